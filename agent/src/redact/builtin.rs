//! The rules that are always there: what devices, switches, servers and programs call a secret.
//!
//! Each has words without which it cannot match (they are looked for first, so that an ordinary line
//! costs next to nothing) and an expression of linear time; expressions are compiled when first needed.

use std::ops::Range;
use std::sync::OnceLock;

use regex::{Regex, RegexBuilder};

use super::secret::{always, not_bgp, of_a_command, unlike_a_word};

/// The rule for private keys; also counts the lines that [`super::Blocks`] hides.
pub(super) const PRIVATE_KEY: &str = "private-key";
/// Memory of one compiled expression.
const REGEX_BYTES: usize = 512 * 1024;
/// Values up to this length are looked into again: `password password hunter2`.
const SHORT: usize = 32;

/// One rule.
pub(super) struct Builtin {
    pub(super) name: &'static str,
    /// In small letters; one of them must be in the text.
    needles: &'static [&'static str],
    /// With a group `s`, only that is the secret.
    pattern: &'static str,
    /// Whether what was found is a secret after all.
    is_secret: fn(text: &str, secret: &str) -> bool,
    compiled: OnceLock<Option<Regex>>,
}

/// An encoding or type that CLIs write before a secret.
macro_rules! enc {
    () => {
        "(?:(?:[04-9]|10|irreversible-cipher|cipher|simple|plain|encrypted|localized|sha256|sha512|md5|clear|hash|ascii-text|ascii|hexadecimal|hex)[ \\t]+)"
    };
}
/// A value: quoted (also with escapes), or up to the next blank.
macro_rules! val {
    () => {
        r#"(?:\\?"(?P<s>(?:[^"\\\r\n]|\\[^"\r\n])+)|'(?P<s1>[^'\r\n]+)|(?P<s2>[^ \t\r\n"'][^ \t\r\n]*))"#
    };
}
/// Between a key and its value: `=`, `:`, `":`, `=>`.
macro_rules! sep {
    () => {
        r#"\\?["']?[ \t]*(?:=>|:=|[:=：])[ \t]*"#
    };
}
macro_rules! password {
    () => {
        "(?:pass[-_ ]?(?:word|wd|phrase|code)|passwd|pwd|kennwort|\u{5bc6}\u{7801}|\u{53e3}\u{4ee4})"
    };
}
macro_rules! key {
    () => {
        "(?:(?:api|access|secret|private|shared|pre-?shared|encryption|auth|authentication|session|master|wpa|radius|tacacs|message-digest|account|storage|sas|signing|license|client)[-_ ]?key|key-string|psk|secret|community[-_ ]?string)"
    };
}

const fn rule(
    name: &'static str,
    needles: &'static [&'static str],
    pattern: &'static str,
    is_secret: fn(&str, &str) -> bool,
) -> Builtin {
    Builtin { name, needles, pattern, is_secret, compiled: OnceLock::new() }
}

const PASSWORDS: &[&str] = &["pass", "pwd", "kennwort", "\u{5bc6}\u{7801}", "\u{53e3}\u{4ee4}"];
const KEYS: &[&str] = &["key", "psk", "secret", "string"];

/// The rule for [`super::material::lines`].
pub(super) const KEY_MATERIAL: &str = "key-material";

/// In the order in which they name what several of them find.
pub(super) static RULES: [Builtin; 24] = [
    rule(
        PRIVATE_KEY,
        &["private key"],
        r"(?s)-{4,5} ?BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY.*?(?:-{4,5} ?END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)? ?-{0,5}|$)",
        always,
    ),
    rule("private-key", &["private-lines"], r"(?s)Private-Lines:(?P<s>.*)", always),
    rule(
        "url-credentials",
        &["://"],
        r"[a-z][a-z0-9+.-]{0,30}://[^ \t\r\n/:@?#]*:(?P<s>[^ \t\r\n]+)@",
        always,
    ),
    rule(
        "authorization",
        &["authorization"],
        r#"authorization\\?["']?[ \t]*[:=][ \t]*\\?["']?(?:basic|bearer|digest|negotiate|ntlm|token|apikey|aws4-hmac-sha256)[ \t]+(?P<s>[^\r\n"]+)"#,
        always,
    ),
    rule(
        "authorization",
        &["bearer"],
        r"(?-u:\b)bearer[ \t]+(?P<s>[A-Za-z0-9._~+/=-]{8,})",
        unlike_a_word,
    ),
    rule("cookie", &["cookie"], r"(?-u:\b)(?:set-)?cookie[ \t]*:[ \t]*(?P<s>[^\r\n]+)", always),
    rule(
        "token",
        &["token", "api", "session", "csrf"],
        concat!("(?:token|api[-_ ]?key|session[-_]?id|csrf)[a-z0-9_.-]{0,24}", sep!(), val!()),
        always,
    ),
    rule(
        "token",
        &[
            "eyj",
            "akia",
            "ghp_",
            "gho_",
            "ghu_",
            "ghs_",
            "ghr_",
            "github_pat_",
            "xox",
            "glpat-",
            "aiza",
            "sk-",
            "hvs.",
        ],
        r"(?-u:\b)(?:eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]*)?|AKIA[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}|xox[abeoprs]-[A-Za-z0-9-]{10,}|glpat-[A-Za-z0-9_-]{16,}|AIza[0-9A-Za-z_-]{30,}|sk-[A-Za-z0-9_-]{20,}|hvs\.[A-Za-z0-9_-]{20,})",
        always,
    ),
    rule(
        "password",
        PASSWORDS,
        concat!(password!(), "[a-z0-9_.-]{0,24}", sep!(), enc!(), "*", val!()),
        always,
    ),
    rule("password", PASSWORDS, concat!(r"(?-u:\b)pass", sep!(), val!()), always),
    rule(
        "password",
        PASSWORDS,
        concat!(
            password!(),
            "[a-z0-9_-]{0,24}[ \\t]+(?:level[ \\t]+[0-9]+[ \\t]+)?",
            enc!(),
            "+",
            val!()
        ),
        always,
    ),
    rule(
        "password",
        PASSWORDS,
        concat!(password!(), "(?:[_-][a-z0-9_-]{1,24})?[ \\t]+", val!()),
        unlike_a_word,
    ),
    rule(
        "password",
        PASSWORDS,
        concat!(
            password!(),
            "(?:[ \\t]+(?:for|of)[ \\t]+(?:user[ \\t]+)?[^ \\t\\r\\n]+)?[ \\t]+(?:(?:is|was|has[ \\t]+been)[ \\t]+)?(?:is|was|to|(?:set|changed|reset)[ \\t]+to)[ \\t]*:?[ \\t]*",
            val!()
        ),
        unlike_a_word,
    ),
    rule("key", KEYS, concat!(key!(), "[a-z0-9_.-]{0,24}", sep!(), enc!(), "*", val!()), always),
    rule(
        "key",
        KEYS,
        concat!(
            key!(),
            "[ \\t]+(?:(?:local|remote)[ \\t]+)?(?:[0-9]+[ \\t]+(?:md5|sha[-0-9]*|hmac[-a-z0-9]*)[ \\t]+)?",
            enc!(),
            "*",
            val!()
        ),
        unlike_a_word,
    ),
    rule(
        "key",
        &["key", "authentication"],
        concat!(
            r"(?-u:\b)(?:isakmp[ \t]+key[ \t]+|key[ \t]+(?:[05-9]|10)[ \t]+|authentication-mode[ \t]+[^ \t\r\n]+[ \t]+(?:[0-9]+[ \t]+)?(?:cipher|plain|simple)[ \t]+|authentication[ \t]+(?:md5|text)[ \t]+)",
            enc!(),
            "*",
            val!()
        ),
        always,
    ),
    rule(
        "community",
        &["community"],
        concat!(
            r"(?:community|communities)(?:[-_ ]?(?:names?|strings?))?",
            sep!(),
            enc!(),
            "*",
            val!()
        ),
        not_bgp,
    ),
    rule(
        "community",
        &["community"],
        r"community[ \t]+[0-9]+[ \t]*:[ \t]+(?P<s>[^\r\n(]+)",
        always,
    ),
    rule(
        "community",
        &["community"],
        concat!(
            r"(?:^|[^-a-z0-9_])(?:snmp[-_]?)?community(?:[-_](?:name|string))?[ \t]+(?:(?:name|string|is|read|write)[ \t]+)*",
            enc!(),
            "*",
            val!()
        ),
        not_bgp,
    ),
    rule(
        "community",
        &["snmp", "securityname"],
        concat!(
            r"(?:snmp-server[ \t]+host[ \t]+[^ \t\r\n]+[ \t]+(?:(?:traps|informs|version[ \t]+(?:1|2c|3[ \t]+(?:auth|noauth|priv))|(?:use-)?vrf[ \t]+[^ \t\r\n]+)[ \t]+)*|securityname[ \t]+(?:cipher[ \t]+)?)",
            val!()
        ),
        always,
    ),
    rule(
        "snmp-v3",
        &["auth", "priv"],
        concat!(
            r"(?-u:\b)(?:auth(?:entication-(?:mode|protocol))?[ \t]+(?:md5|sha[-0-9]*)|priv(?:acy-(?:mode|protocol))?[ \t]+(?:3?des(?:168)?|aes)[-0-9]*(?:[ \t]+(?:128|192|256))?)[ \t]+",
            enc!(),
            "*",
            val!()
        ),
        always,
    ),
    rule(
        "command-line",
        &["snmp", "ipmi", "sshpass", "curl"],
        concat!(r"(?:[ \t]-[AXcPpu][ \t]+)", val!()),
        of_a_command,
    ),
    rule(
        "password-hash",
        &["$", "%^%#", "%$%$", "@%@%", "{ssha", "{sha", "{md5", "{crypt"],
        r#"(?:\$(?:[0-9]{1,2}[a-z]?|2[abxy]|y|gy|md5|sha1|argon2[id]{0,2})\$[^ \t\r\n"',;]{6,}|%\^%#[^ \t\r\n]{6,}|%\$%\$[^ \t\r\n]{6,}|@%@%[^ \t\r\n]{6,}|\{(?:ssha(?:256|512)?|sha(?:256|512)?|md5|crypt)\}[^ \t\r\n]{6,})"#,
        always,
    ),
    rule(
        "ssh-key",
        &["aaaa"],
        r"(?:(?:ssh|sk|ecdsa)-[a-z0-9@.-]{1,60}[ \t]+)?(?P<s>AAAA[BCE][0-9A-Za-z+/=]{16,})",
        always,
    ),
];

/// Names of the rules, each once.
pub fn names() -> Vec<&'static str> {
    let mut names: Vec<&str> = Vec::new();
    for rule in RULES.iter().filter(|rule| rule.name != PRIVATE_KEY) {
        if !names.contains(&rule.name) {
            names.push(rule.name);
        }
    }
    names.insert(0, PRIVATE_KEY);
    names.push(KEY_MATERIAL);
    names
}

/// Index of the first rule of a name.
pub(super) fn index_of(name: &str) -> Option<usize> {
    RULES.iter().position(|rule| rule.name == name)
}

impl Builtin {
    /// Calls `found` with every secret. `low` is the text in small letters.
    pub(super) fn find(&self, text: &str, low: &str, mut found: impl FnMut(Range<usize>)) {
        if !self.needles.iter().any(|needle| low.contains(needle)) {
            return;
        }
        let Some(regex) = self.regex() else {
            // Cannot happen: a test compiles all of them. If it does, rather nothing than a secret.
            return found(0..text.len());
        };
        let mut at = 0;
        while at <= text.len() {
            let Some(captures) = regex.captures_at(text, at) else { return };
            let Some(whole) = captures.get(0) else { return };
            let group = ["s", "s1", "s2"].into_iter().find_map(|name| captures.name(name));
            let secret = group.unwrap_or(whole);
            if (self.is_secret)(text, secret.as_str()) {
                found(secret.range());
            }
            // A short value may itself be the word before the secret. What is longer is not looked
            // into again: that keeps it linear.
            let next =
                if group.is_some() && secret.len() <= SHORT { secret.start() } else { whole.end() };
            at = next.max(whole.start() + 1);
            while !text.is_char_boundary(at) {
                at += 1;
            }
        }
    }

    pub(super) fn regex(&self) -> Option<&Regex> {
        let compile = || {
            RegexBuilder::new(self.pattern)
                .case_insensitive(true)
                .multi_line(false)
                .size_limit(REGEX_BYTES)
                .dfa_size_limit(REGEX_BYTES)
                .build()
                .ok()
        };
        self.compiled.get_or_init(compile).as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_expression_compiles() {
        for rule in &RULES {
            let built = RegexBuilder::new(rule.pattern).size_limit(REGEX_BYTES).build();
            assert!(built.is_ok(), "{}: {}", rule.name, built.unwrap_err());
            assert!(rule.regex().is_some(), "{}", rule.name);
        }
    }
}
