//! What is taken out of a recording before anybody sees it. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::profile::oid::Oid;
use crate::redact::{Key, Kind, Redactor, Settings};
use crate::source::snmp::value::Value;

/// Left out as a whole: what they hold is secret or names others, and much of it stands in the index.
const LEFT_OUT: &[(&[u32], &str)] = &[
    (&[1, 3, 6, 1, 6, 3, 12], "SNMP targets"),
    (&[1, 3, 6, 1, 6, 3, 13], "SNMP notification filters"),
    (&[1, 3, 6, 1, 6, 3, 14], "SNMP proxies"),
    (&[1, 3, 6, 1, 6, 3, 15], "SNMP users"),
    (&[1, 3, 6, 1, 6, 3, 16], "SNMP views"),
    (&[1, 3, 6, 1, 6, 3, 18], "SNMP communities"),
    (&[1, 3, 6, 1, 2, 1, 4, 20], "IP addresses"),
    (&[1, 3, 6, 1, 2, 1, 4, 21], "IP routes"),
    (&[1, 3, 6, 1, 2, 1, 4, 22], "ARP"),
    (&[1, 3, 6, 1, 2, 1, 4, 24], "IP routes"),
    (&[1, 3, 6, 1, 2, 1, 4, 28], "IP addresses"),
    (&[1, 3, 6, 1, 2, 1, 4, 32], "IP addresses"),
    (&[1, 3, 6, 1, 2, 1, 4, 34], "IP addresses"),
    (&[1, 3, 6, 1, 2, 1, 4, 35], "ARP"),
    (&[1, 3, 6, 1, 2, 1, 4, 37], "IP routers"),
    (&[1, 3, 6, 1, 2, 1, 6, 13], "TCP connections"),
    (&[1, 3, 6, 1, 2, 1, 6, 19], "TCP connections"),
    (&[1, 3, 6, 1, 2, 1, 6, 20], "TCP listeners"),
    (&[1, 3, 6, 1, 2, 1, 7, 5], "UDP listeners"),
    (&[1, 3, 6, 1, 2, 1, 7, 7], "UDP endpoints"),
    (&[1, 3, 6, 1, 2, 1, 14], "OSPF"),
    (&[1, 3, 6, 1, 2, 1, 15], "BGP"),
    (&[1, 3, 6, 1, 2, 1, 17, 4, 3], "MAC addresses of others"),
    (&[1, 3, 6, 1, 2, 1, 17, 7, 1, 2], "MAC addresses of others"),
    (&[1, 3, 6, 1, 2, 1, 25, 4], "programs and their arguments"),
    (&[1, 3, 6, 1, 2, 1, 25, 6], "installed software"),
    (&[1, 0, 8802, 1, 1, 2, 1, 4], "LLDP neighbours"),
    (&[1, 0, 8802, 1, 1, 2, 1, 3, 8], "LLDP addresses"),
];
const SYS_CONTACT: &[u32] = &[1, 3, 6, 1, 2, 1, 1, 4, 0];
const SYS_NAME: &[u32] = &[1, 3, 6, 1, 2, 1, 1, 5, 0];
const SYS_LOCATION: &[u32] = &[1, 3, 6, 1, 2, 1, 1, 6, 0];
const SYS_UP_TIME: &[u32] = &[1, 3, 6, 1, 2, 1, 1, 3, 0];
/// A shorter text is found in too many places by chance.
const MIN_SECRET: usize = 4;
/// Communities that tell nobody anything, and are words.
const WORDS: [&str; 2] = ["public", "private"];

/// What must not be seen besides what the redaction rules find.
#[derive(Debug, Default)]
pub struct Scrub {
    /// Communities, users and passwords that the device was asked with.
    pub secrets: Vec<String>,
    /// Columns and objects that hold serial numbers, where these are to be replaced too.
    pub serials: Vec<Oid>,
}

/// A recording without it.
#[derive(Debug, Default)]
pub struct Scrubbed {
    /// Lines `oid|tag|value`.
    pub text: String,
    /// Objects in it.
    pub objects: usize,
    /// What was taken out, and how often.
    pub counts: BTreeMap<String, usize>,
}

/// Takes it out. `key` makes the pseudonyms.
pub fn scrub(objects: &BTreeMap<Oid, Value>, scrub: &Scrub, key: Key) -> Scrubbed {
    let text = |arcs: &[u32]| objects.get(&Oid::new(arcs)).and_then(Value::text);
    let name = text(SYS_NAME).filter(|name| name.len() >= 2);
    let settings = Settings {
        pseudonyms: vec![Kind::Ipv4, Kind::Ipv6, Kind::Mac, Kind::Device],
        devices: name.into_iter().collect(),
        ..Settings::default()
    };
    let mut work = Work {
        redactor: Redactor::new(settings, key),
        words: words(objects, scrub),
        addresses: BTreeMap::new(),
        macs: BTreeMap::new(),
        out: Scrubbed::default(),
    };
    for (oid, value) in objects {
        let hidden = LEFT_OUT.iter().find(|(arcs, _)| oid.after(&Oid::new(arcs)).is_some());
        if let Some((_, what)) = hidden {
            work.count(&format!("left out: {what}"));
            continue;
        }
        let value = work.value(oid, value);
        work.line(oid, &value);
    }
    for count in work.redactor.counts() {
        *work.out.counts.entry(count.rule).or_default() +=
            usize::try_from(count.count).unwrap_or(usize::MAX);
    }
    work.out
}

/// Texts that are replaced wherever they stand, the longest first.
fn words(objects: &BTreeMap<Oid, Value>, scrub: &Scrub) -> Vec<(String, String, &'static str)> {
    let mut words = Vec::new();
    for secret in scrub.secrets.iter().filter(|s| s.len() >= MIN_SECRET) {
        if !WORDS.contains(&secret.as_str()) {
            words.push((secret.clone(), "[redacted:credential]".to_owned(), "credential"));
        }
    }
    let holds = |oid: &Oid| scrub.serials.iter().any(|root| oid.after(root).is_some());
    let serials: BTreeSet<String> = objects
        .iter()
        .filter(|(oid, value)| holds(oid) && matches!(value, Value::Octets(_)))
        .filter_map(|(_, value)| value.text())
        .filter(|text| text.len() >= MIN_SECRET)
        .collect();
    for (n, serial) in serials.into_iter().enumerate() {
        words.push((serial, format!("SERIAL{:04}", n + 1), "serial number"));
    }
    words.sort_by_key(|(word, ..)| std::cmp::Reverse(word.len()));
    words
}

struct Work {
    redactor: Redactor,
    words: Vec<(String, String, &'static str)>,
    addresses: BTreeMap<[u8; 4], [u8; 4]>,
    macs: BTreeMap<Vec<u8>, u32>,
    out: Scrubbed,
}

impl Work {
    fn count(&mut self, what: &str) {
        *self.out.counts.entry(what.to_owned()).or_default() += 1;
    }

    fn value(&mut self, oid: &Oid, value: &Value) -> Value {
        match value {
            Value::Ip(ip) => Value::Ip(self.address(*ip)),
            Value::Octets(octets) if oid.arcs() == SYS_CONTACT && !octets.is_empty() => {
                self.count("contact");
                Value::Octets(b"[redacted:contact]".to_vec())
            }
            Value::Octets(octets) if oid.arcs() == SYS_LOCATION && !octets.is_empty() => {
                self.count("location");
                Value::Octets(b"[redacted:location]".to_vec())
            }
            Value::Octets(octets) => Value::Octets(self.octets(octets)),
            other => other.clone(),
        }
    }

    fn octets(&mut self, octets: &[u8]) -> Vec<u8> {
        let text = std::str::from_utf8(octets).ok();
        let text =
            text.filter(|t| !t.chars().any(|c| c.is_control() && !c.is_whitespace() && c != '\0'));
        let Some(text) = text else { return self.binary(octets) };
        let mut text = text.to_owned();
        let mut found = Vec::new();
        for (word, by, what) in &self.words {
            if text.contains(word.as_str()) {
                text = text.replace(word.as_str(), by);
                found.push(*what);
            }
        }
        for what in found {
            self.count(what);
        }
        self.redactor.text(&text).into_owned().into_bytes()
    }

    /// Addresses of interfaces (6 octets) and of ports in a storage network (8).
    fn binary(&mut self, octets: &[u8]) -> Vec<u8> {
        let wwn =
            octets.len() == 8 && octets.first().is_some_and(|b| [1, 2, 5].contains(&(b >> 4)));
        if !(octets.len() == 6 || wwn) || octets.iter().all(|b| *b == 0) {
            return octets.to_vec();
        }
        self.count("mac");
        let next = u32::try_from(self.macs.len()).unwrap_or(u32::MAX) + 1;
        let n = *self.macs.entry(octets.to_vec()).or_insert(next);
        let [a, b, c, d] = n.to_be_bytes();
        // Locally administered, or a name that nobody has registered.
        match wwn {
            true => vec![0x20, 0, 0, 0, a, b, c, d],
            false => vec![0x02, 0, a, b, c, d],
        }
    }

    /// 198.18.0.0/15 is for tests (RFC 2544).
    fn address(&mut self, ip: [u8; 4]) -> [u8; 4] {
        if matches!(ip, [0 | 127 | 255, ..]) {
            return ip;
        }
        self.count("ipv4");
        let next = u32::try_from(self.addresses.len()).unwrap_or(0) % 0x2_0000;
        let [_, high, mid, low] = (next + 1).to_be_bytes();
        *self.addresses.entry(ip).or_insert([198, 18 + (high & 1), mid, low])
    }

    fn line(&mut self, oid: &Oid, value: &Value) {
        let Some(written) = written(oid, value) else { return };
        self.out.objects += 1;
        self.out.text.push_str(&format!("{oid}|{written}\n"));
    }
}

/// A value as it stands in a recording, `tag|value`. Of gauges and times the agent knows no difference any
/// more: but for sysUpTime they become Gauge32.
fn written(oid: &Oid, value: &Value) -> Option<String> {
    Some(match value {
        Value::Integer(n) => format!("2|{n}"),
        Value::Unsigned(n) if oid.arcs() == SYS_UP_TIME => format!("67|{n}"),
        Value::Unsigned(n) if u32::try_from(*n).is_ok() => format!("66|{n}"),
        Value::Counter32(n) => format!("65|{n}"),
        Value::Counter64(n) => format!("70|{n}"),
        Value::Unsigned(n) => format!("70|{n}"),
        Value::Real(n) => format!("68x|9f7908{}", hex(&n.to_be_bytes())),
        Value::Octets(octets) if octets.iter().all(|b| (0x20..0x7f).contains(b)) => {
            format!("4|{}", String::from_utf8_lossy(octets))
        }
        Value::Octets(octets) => format!("4x|{}", hex(octets)),
        Value::Oid(oid) => format!("6|{oid}"),
        Value::Ip([a, b, c, d]) => format!("64|{a}.{b}.{c}.{d}"),
        Value::Null => "5|".to_owned(),
        Value::Missing | Value::EndOfMibView | Value::Undecodable(_) => return None,
    })
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}
