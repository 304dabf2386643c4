//! Whether what an expression found is a secret after all.

/// Whatever was found.
pub(super) fn always(_: &str, _: &str) -> bool {
    true
}

/// BGP has communities too: `65000:100`, `no-export`.
pub(super) fn not_bgp(text: &str, secret: &str) -> bool {
    let number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let bgp = secret
        .split_once(':')
        .is_some_and(|(a, n)| number(a) && number(n.trim_end_matches([',', ')'])));
    let known =
        ["no-export", "no-advertise", "local-as", "internet", "additive", "both", "extended"];
    !bgp && !known.contains(&secret.to_ascii_lowercase().as_str()) && unlike_a_word(text, secret)
}

/// `-c public` is a community only after snmpwalk and its kin.
pub(super) fn of_a_command(text: &str, _: &str) -> bool {
    let low = text.to_ascii_lowercase();
    [
        "snmpget",
        "snmpwalk",
        "snmpbulk",
        "snmpset",
        "snmptrap",
        "snmpinform",
        "snmptable",
        "snmpstatus",
        "snmptranslate",
        "snmpdf",
        "ipmitool",
        "ipmi-",
        "ipmiutil",
        "sshpass",
        "curl",
    ]
    .iter()
    .any(|command| low.contains(command))
}

/// Ordinary words that follow `password` in a sentence: `Failed password for root`. Everything else
/// counts as a secret.
const WORDS: &[&str] = &[
    "0",
    "10",
    "4",
    "5",
    "6",
    "7",
    "8",
    "9",
    "a",
    "accepted",
    "access",
    "aging",
    "agreement",
    "algorithm",
    "all",
    "an",
    "and",
    "are",
    "ascii",
    "ascii-text",
    "at",
    "attempt",
    "attempts",
    "auth",
    "authenticated",
    "authentication",
    "authorization",
    "based",
    "be",
    "because",
    "been",
    "both",
    "but",
    "by",
    "can",
    "cannot",
    "change",
    "changed",
    "changes",
    "check",
    "cipher",
    "clear",
    "complexity",
    "configuration",
    "configured",
    "context",
    "control",
    "correct",
    "could",
    "created",
    "database",
    "deleted",
    "denied",
    "did",
    "disabled",
    "does",
    "enabled",
    "encrypted",
    "encryption",
    "entered",
    "entry",
    "error",
    "established",
    "exchange",
    "exchanged",
    "expiration",
    "expired",
    "expires",
    "expiry",
    "fail",
    "failed",
    "failure",
    "failures",
    "field",
    "file",
    "for",
    "format",
    "found",
    "from",
    "generated",
    "generation",
    "group",
    "has",
    "hash",
    "have",
    "hex",
    "hexadecimal",
    "history",
    "id",
    "if",
    "in",
    "incorrect",
    "index",
    "input",
    "invalid",
    "irreversible-cipher",
    "is",
    "key",
    "length",
    "level",
    "line",
    "list",
    "loaded",
    "local-as",
    "localized",
    "login",
    "management",
    "manager",
    "may",
    "md5",
    "mismatch",
    "missing",
    "mode",
    "must",
    "name",
    "need",
    "needs",
    "none",
    "not",
    "of",
    "on",
    "or",
    "pair",
    "plain",
    "policy",
    "prompt",
    "protected",
    "protection",
    "quality",
    "recovery",
    "rejected",
    "removed",
    "required",
    "requirements",
    "reset",
    "retries",
    "retry",
    "revoked",
    "ro",
    "rotation",
    "rw",
    "set",
    "sha256",
    "sha512",
    "should",
    "simple",
    "size",
    "storage",
    "store",
    "stored",
    "strength",
    "string",
    "successfully",
    "that",
    "the",
    "then",
    "this",
    "timeout",
    "to",
    "token",
    "too",
    "type",
    "unchanged",
    "unknown",
    "update",
    "updated",
    "usage",
    "user",
    "using",
    "value",
    "verification",
    "via",
    "view",
    "was",
    "when",
    "will",
    "with",
    "wrong",
];

/// Whether it is none of the words that follow `password` in a sentence.
pub(super) fn unlike_a_word(_: &str, secret: &str) -> bool {
    let word = secret.trim_end_matches([',', '.', ';', ':', '!', ')', ']', '"', '\'']);
    let low = word.to_ascii_lowercase();
    !word.is_empty() && WORDS.binary_search(&low.as_str()).is_err()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_sorted() {
        assert!(WORDS.is_sorted(), "binary search needs order");
    }
}
