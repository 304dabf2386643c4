//! One syslog message, whoever wrote it. Pure.
//!
//! RFC 5424 is read strictly. Everything else (RFC 3164 is a description of what there was, not a
//! standard) is read piece by piece: sequence numbers, time stamps, host names and colons come in every
//! order before what is said, and what is none of them begins the text.

use super::stamp::{self, Stamp};

/// Largest host name that is one.
const MAX_HOST_BYTES: usize = 255;
/// Parameters of structured data that are kept.
const MAX_PARAMETERS: usize = 32;
/// Pieces in front of the text of a message without a standard.
const MAX_PIECES: usize = 8;

/// What a message says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Message {
    /// 0 to 23; `None` without a priority.
    pub facility: Option<u8>,
    /// 0 (emergency) to 7 (debug).
    pub severity: Option<u8>,
    /// When, as it is written.
    pub stamp: Option<Stamp>,
    /// Who says it of itself.
    pub host: Option<String>,
    /// What is said: from the vendor's code or the program's name on. This is what rules see.
    pub text: String,
    /// Structured data, as `id.name` and value.
    pub parameters: Vec<(String, String)>,
}

/// Reads a message. Nothing is refused: at worst all of it is text.
pub(super) fn parse(bytes: &[u8]) -> Message {
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim_matches(|c: char| matches!(c, '\0' | '\n' | '\r' | '\u{feff}'));
    let (priority, rest) = priority(text);
    let mut message = Message {
        facility: priority.map(|p| p / 8),
        severity: priority.map(|p| p % 8),
        ..Message::default()
    };
    let modern = priority.and_then(|_| rest.strip_prefix("1 "));
    if modern.is_none_or(|rest| rfc5424(rest, &mut message).is_none()) {
        loose(rest, &mut message);
    }
    message
}

/// `<34>`.
fn priority(text: &str) -> (Option<u8>, &str) {
    let inside = text.strip_prefix('<').and_then(|rest| rest.split_once('>'));
    match inside {
        Some((digits, rest))
            if (1..=3).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()) =>
        {
            match digits.parse::<u8>() {
                Ok(priority) if priority < 192 => (Some(priority), rest),
                _ => (None, rest),
            }
        }
        _ => (None, text),
    }
}

/// `TIMESTAMP HOSTNAME APP-NAME PROCID MSGID STRUCTURED-DATA MSG`. `None`: it is something else.
fn rfc5424(text: &str, message: &mut Message) -> Option<()> {
    let (when, rest) = word(text)?;
    let (host, rest) = word(rest)?;
    let (app, rest) = word(rest)?;
    let (_process, rest) = word(rest)?;
    let (id, rest) = match word(rest) {
        Some(found) => found,
        None => (rest, ""),
    };
    let stamp = match when {
        "-" => None,
        when => Some(stamp::leading(when).filter(|(_, rest)| rest.is_empty())?.0),
    };
    let (parameters, said, raw) = structured(rest)?;
    let said = said.trim_start_matches([' ', '\u{feff}']).trim_end();
    let mut text = String::new();
    // What names the event comes first, unless the text begins with it anyway.
    for name in [app, id].into_iter().filter(|name| !matches!(*name, "-" | "")) {
        if !said.starts_with(name) {
            text.push_str(name);
            text.push_str(": ");
        }
    }
    // Without a text the data is what is said (Junos with `structured-data brief`).
    text.push_str(if said.is_empty() { raw } else { said });
    message.stamp = stamp;
    message.host = Some(host).filter(|h| is_host(h)).map(str::to_owned);
    message.text = text.trim_end().trim_end_matches(':').to_owned();
    message.parameters = parameters;
    Some(())
}

fn word(text: &str) -> Option<(&str, &str)> {
    let (word, rest) = text.split_once(' ')?;
    (!word.is_empty()).then_some((word, rest))
}

/// Parameters, what follows them, and the data as it stands there.
type Structured<'t> = (Vec<(String, String)>, &'t str, &'t str);

/// `-` or `[id name="value" …][…]`.
fn structured(text: &str) -> Option<Structured<'_>> {
    if text.is_empty() {
        return Some((Vec::new(), "", ""));
    }
    if let Some(rest) = text.strip_prefix('-') {
        return (rest.is_empty() || rest.starts_with(' ')).then(|| (Vec::new(), rest, ""));
    }
    let mut parameters = Vec::new();
    let mut rest = text;
    while let Some(inside) = rest.strip_prefix('[') {
        let end = inside.find([' ', ']'])?;
        let (id, mut within) = inside.split_at(end);
        while let Some(behind) = within.strip_prefix(' ') {
            let (name, value) = behind.trim_start().split_once("=\"")?;
            let (value, behind) = quoted(value)?;
            if parameters.len() < MAX_PARAMETERS {
                parameters.push((format!("{id}.{name}"), value));
            }
            within = behind;
        }
        rest = within.strip_prefix(']')?;
    }
    let raw = text.get(..text.len() - rest.len()).unwrap_or_default();
    (!raw.is_empty()).then_some((parameters, rest, raw))
}

/// The value up to its closing quotation mark; `\"`, `\\` and `\]` are escapes.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, text.get(at + 1..)?)),
            '\\' => match chars.next() {
                Some((_, c @ ('"' | '\\' | ']'))) => value.push(c),
                Some((_, c)) => value.extend(['\\', c]),
                None => return None,
            },
            c => value.push(c),
        }
    }
    None
}

/// RFC 3164 and whatever vendors made of it.
fn loose(text: &str, message: &mut Message) {
    let mut rest = text.trim_start();
    for _ in 0..MAX_PIECES {
        let before = rest;
        rest = rest.trim_start_matches([' ', ':']);
        if begins_text(rest) {
            break;
        }
        if message.stamp.is_none()
            && let Some((stamp, behind)) = stamp::leading(rest)
        {
            message.stamp = Some(stamp);
            rest = behind;
        } else if let Some(behind) = sequence(rest) {
            rest = behind;
        } else if let Some(behind) = up_time(rest) {
            rest = behind;
        } else if message.host.is_none()
            && let Some((host, behind)) = host(rest, message.stamp.is_some())
        {
            message.host = Some(host.to_owned());
            rest = behind;
        } else {
            rest = before.trim_start_matches(' ');
            break;
        }
    }
    message.text = rest.trim_start_matches([' ', ':']).trim_end().to_owned();
}

/// `%FAC-4-NAME:`, `%%01IFNET/4/LINK`, `[event:ERROR]`.
fn begins_text(text: &str) -> bool {
    text.starts_with(['%', '['])
}

/// `45: `, `000123: `: Cisco's sequence numbers.
fn sequence(text: &str) -> Option<&str> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let behind = text.get(digits..)?.strip_prefix(':')?;
    let is_clock = behind.starts_with(|c: char| c.is_ascii_digit());
    ((1..=12).contains(&digits) && !is_clock).then_some(behind)
}

/// `00:00:46: `, `3d04h: `, `1w2d: `: the time since Cisco's start, which says no time of day.
fn up_time(text: &str) -> Option<&str> {
    let (word, behind) = text.split_once(": ")?;
    let clock = word.len() <= 10
        && word.split(':').count() == 3
        && word.split(':').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
    let units = || {
        let digits = word.bytes().filter(u8::is_ascii_digit).count();
        let letters = word.bytes().filter(|b| b"ywdh".contains(b)).count();
        digits + letters == word.len()
            && letters == 2
            && word.starts_with(|c: char| c.is_ascii_digit())
    };
    (clock || units()).then_some(behind)
}

/// A host name: a word behind a stamp, or one with a colon before one. `name[123]:` and `name:` behind a
/// stamp are the program that speaks.
fn host(text: &str, stamped: bool) -> Option<(&str, &str)> {
    let (first, rest) = text.split_once(' ')?;
    if stamped {
        if let Some(bare) = first.strip_suffix(':') {
            // `host: %LINK-3-UPDOWN`; else it is a program.
            return (is_host(bare) && begins_text(rest.trim_start())).then_some((bare, rest));
        }
        return is_host(first).then_some((first, rest));
    }
    let bare = first.strip_suffix(':').unwrap_or(first);
    // In front of a stamp, a sequence number or a code.
    let behind = rest.trim_start_matches([' ', ':']);
    let goes_on =
        stamp::leading(behind).is_some() || sequence(behind).is_some() || begins_text(behind);
    // IOS XR: `RP/0/RSP0/CPU0:Mar  5 10:00:00.123 : ifmgr[1]: …` has its colon and no blank.
    if let Some((node, at)) = text.split_once(':')
        && stamp::leading(at).is_some()
        && !node.contains(' ')
        && !node.is_empty()
    {
        return is_host(node).then_some((node, at));
    }
    (goes_on && is_host(bare)).then_some((bare, rest))
}

fn is_host(word: &str) -> bool {
    let fits = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '/');
    (1..=MAX_HOST_BYTES).contains(&word.len())
        && word != "-"
        && word.chars().all(fits)
        && word.starts_with(|c: char| c.is_alphanumeric() || c == ':')
}

#[cfg(test)]
mod tests {
    use super::*;
    use callhome_shared::time::Time;
    use jiff::tz::TimeZone;
    use proptest::prelude::*;

    fn read(text: &str) -> (String, String, String) {
        let message = parse(text.as_bytes());
        let now = Time::parse("2026-01-10T00:00:00Z").unwrap();
        let at = message.stamp.and_then(|s| s.resolve(now, Some(&TimeZone::UTC), &TimeZone::UTC));
        let at = at.map(|t| t.to_string().replace(".000Z", "")).unwrap_or_default();
        (at, message.host.unwrap_or_default(), message.text)
    }

    /// Message → time, host, text.
    const FORMS: &[(&str, &str, &str, &str)] = &[
        // RFC 3164.
        (
            "<34>Jan  9 22:14:15 mymachine su: 'su root' failed",
            "2026-01-09T22:14:15",
            "mymachine",
            "su: 'su root' failed",
        ),
        ("<13>Jan  9 22:14:15 su[12]: no host", "2026-01-09T22:14:15", "", "su[12]: no host"),
        ("<13>just words", "", "", "just words"),
        ("no priority at all", "", "", "no priority at all"),
        // RFC 5424.
        (
            "<165>1 2026-01-09T10:00:00.003Z h.example evntslog - ID47 [x@32473 iut=\"3\"] \u{feff}An event",
            "2026-01-09T10:00:00.003Z",
            "h.example",
            "evntslog: ID47: An event",
        ),
        ("<34>1 - - - - - -", "", "", ""),
        (
            "<34>1 2026-01-09T10:00:00Z 192.0.2.1 su - - - 'su' failed",
            "2026-01-09T10:00:00",
            "192.0.2.1",
            "su: 'su' failed",
        ),
        ("<34>1 not a standard one", "", "", "1 not a standard one"),
        // Cisco IOS: sequence numbers, clocks that are not set, host names of its own.
        (
            "<189>45: *Jan  9 18:46:11.123: %SYS-5-CONFIG_I: Configured",
            "2026-01-09T18:46:11.123Z",
            "",
            "%SYS-5-CONFIG_I: Configured",
        ),
        (
            "<187>000045: sw1: 000046: .Jan  9 18:46:11 UTC: %LINK-3-UPDOWN: Interface X",
            "2026-01-09T18:46:11",
            "sw1",
            "%LINK-3-UPDOWN: Interface X",
        ),
        (
            "<187>45: Jan  9 2025 18:46:11: %LINK-3-UPDOWN: x",
            "2025-01-09T18:46:11",
            "",
            "%LINK-3-UPDOWN: x",
        ),
        ("<187>45: 00:00:46: %LINK-3-UPDOWN: x", "", "", "%LINK-3-UPDOWN: x"),
        ("<187>45: 3d04h: %LINK-3-UPDOWN: x", "", "", "%LINK-3-UPDOWN: x"),
        ("<187>%LINK-3-UPDOWN: x", "", "", "%LINK-3-UPDOWN: x"),
        // NX-OS, IOS XR.
        (
            "<187>: 2026 Jan  9 10:00:00 EDT: %ETHPORT-5-IF_DOWN: x",
            "2026-01-09T10:00:00",
            "",
            "%ETHPORT-5-IF_DOWN: x",
        ),
        (
            "<187>nx1: 2026 Jan  9 10:00:00.5 UTC: %ETHPORT-5-IF_DOWN: x",
            "2026-01-09T10:00:00.500Z",
            "nx1",
            "%ETHPORT-5-IF_DOWN: x",
        ),
        (
            "<187>139: RP/0/RSP0/CPU0:Jan  9 10:00:00.123 : ifmgr[123]: %PKT_INFRA-LINK-3-UPDOWN : x",
            "2026-01-09T10:00:00.123Z",
            "RP/0/RSP0/CPU0",
            "ifmgr[123]: %PKT_INFRA-LINK-3-UPDOWN : x",
        ),
        // ASA.
        ("<164>%ASA-4-411002: Line protocol down", "", "", "%ASA-4-411002: Line protocol down"),
        (
            "<164>Jan 09 2026 12:00:00: %ASA-4-411002: x",
            "2026-01-09T12:00:00",
            "",
            "%ASA-4-411002: x",
        ),
        (
            "<164>Jan 09 2026 12:00:00 fw1 : %ASA-4-411002: x",
            "2026-01-09T12:00:00",
            "fw1",
            "%ASA-4-411002: x",
        ),
        (
            "<164>:Jan 09 12:00:00 UTC: %ASA-session-4-411002: x",
            "2026-01-09T12:00:00",
            "",
            "%ASA-session-4-411002: x",
        ),
        // Huawei, H3C.
        (
            "<188>2026-1-9 12:00:00 HW %%01IFNET/4/IF_STATE(l)[12]:Interface X has turned into DOWN state.",
            "2026-01-09T12:00:00",
            "HW",
            "%%01IFNET/4/IF_STATE(l)[12]:Interface X has turned into DOWN state.",
        ),
        (
            "<186>Jan  9 2026 12:00:00+08:00 CE %%01IFNET/2/linkDown_active(l):CID=1;x",
            "2026-01-09T04:00:00",
            "CE",
            "%%01IFNET/2/linkDown_active(l):CID=1;x",
        ),
        (
            "<187>Jan  9 12:00:00 2026 H3C %%10IFNET/3/LINK_UPDOWN: x",
            "2026-01-09T12:00:00",
            "H3C",
            "%%10IFNET/3/LINK_UPDOWN: x",
        ),
        // Juniper, with and without structured data.
        (
            "<28>Jan  9 12:00:00 mx1 mib2d[77]: SNMP_TRAP_LINK_DOWN: ifIndex 531",
            "2026-01-09T12:00:00",
            "mx1",
            "mib2d[77]: SNMP_TRAP_LINK_DOWN: ifIndex 531",
        ),
        (
            "<28>1 2026-01-09T12:00:00.1Z mx1 mib2d 77 SNMP_TRAP_LINK_DOWN [junos@2636.1.1.1.2.18 interface-name=\"ge-0/0/1\"]",
            "2026-01-09T12:00:00.100Z",
            "mx1",
            "mib2d: SNMP_TRAP_LINK_DOWN: [junos@2636.1.1.1.2.18 interface-name=\"ge-0/0/1\"]",
        ),
        // Arista, Aruba, Brocade, iDRAC, ONTAP.
        (
            "<188>Jan  9 12:00:00 leaf1 Ebra: %LINEPROTO-5-UPDOWN: x",
            "2026-01-09T12:00:00",
            "leaf1",
            "Ebra: %LINEPROTO-5-UPDOWN: x",
        ),
        (
            "<12> Jan  9 12:00:00 10.0.0.1 00077 ports:  port 1 is now off-line",
            "2026-01-09T12:00:00",
            "10.0.0.1",
            "00077 ports:  port 1 is now off-line",
        ),
        (
            "<188>Jan  9 12:00:00 fc1 raslogd: 2026/01/09-12:00:00, [FW-1424], 12",
            "2026-01-09T12:00:00",
            "fc1",
            "raslogd: 2026/01/09-12:00:00, [FW-1424], 12",
        ),
        (
            "<28>Jan  9 12:00:00 idrac-1 Severity: Critical, Category: x",
            "2026-01-09T12:00:00",
            "idrac-1",
            "Severity: Critical, Category: x",
        ),
        (
            "<131>Jan  9 01:02:03 [filer1:monitor.fan.failed:EMERGENCY]: Fan",
            "2026-01-09T01:02:03",
            "",
            "[filer1:monitor.fan.failed:EMERGENCY]: Fan",
        ),
    ];

    #[test]
    fn the_forms_that_devices_send() {
        for (text, at, host, said) in FORMS {
            let expected = ((*at).to_owned(), (*host).to_owned(), (*said).to_owned());
            assert_eq!(read(text), expected, "{text}");
        }
    }

    #[test]
    fn priorities_and_structured_data() {
        let message = parse(b"<165>1 2026-01-09T10:00:00Z h a p i [a@1 x=\"1\" y=\"q\\\"\\]\\n\"][b z=\"\"] m\r\n\0");
        assert_eq!((message.facility, message.severity), (Some(20), Some(5)));
        let pairs: Vec<(&str, &str)> =
            message.parameters.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        assert_eq!(pairs, [("a@1.x", "1"), ("a@1.y", "q\"]\\n"), ("b.z", "")]);
        assert_eq!(message.text, "a: i: m");
        for bad in ["<192>x", "<>x", "<1234>x", "<x>x", "x"] {
            assert_eq!(parse(bad.as_bytes()).severity, None, "{bad}");
        }
        let latin = parse(b"<13>bad \xff byte");
        assert_eq!(latin.text, "bad \u{fffd} byte");
    }

    proptest! {
        #[test]
        fn no_message_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn no_altered_message_panics(which in 0..FORMS.len(), cut in 0usize..120, put in ".{0,3}", at in 0usize..120) {
            let mut text: String = FORMS[which].0.chars().skip(cut.min(60)).collect();
            let at = text.char_indices().map(|(i, _)| i).nth(at).unwrap_or(text.len());
            text.insert_str(at, &put);
            let message = parse(text.as_bytes());
            prop_assert!(message.text.len() <= text.len() * 3 + 8);
            prop_assert!(message.parameters.len() <= MAX_PARAMETERS);
        }

        #[test]
        fn prop_structured_data_comes_out(value in "[ -~]{0,20}") {
            let escaped = value.replace('\\', "\\\\").replace('"', "\\\"").replace(']', "\\]");
            let text = format!("<34>1 - h a - - [id name=\"{escaped}\"] said");
            prop_assert_eq!(parse(text.as_bytes()).parameters, [("id.name".to_owned(), value)]);
        }
    }
}
