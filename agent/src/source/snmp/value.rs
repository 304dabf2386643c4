//! Values as devices answer them.

use crate::profile::oid::Oid;

/// Octets shown as hexadecimal where they are no text: at most this many.
const MAX_HEX_OCTETS: usize = 32;

/// A value, owned.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// INTEGER.
    Integer(i64),
    /// Gauge32, TimeTicks.
    Unsigned(u64),
    /// Counter32.
    Counter32(u32),
    /// Counter64.
    Counter64(u64),
    /// A floating-point number (net-snmp's opaque float and double).
    Real(f64),
    /// OCTET STRING, Opaque.
    Octets(Vec<u8>),
    /// OBJECT IDENTIFIER.
    Oid(Oid),
    /// IpAddress.
    Ip([u8; 4]),
    /// NULL.
    Null,
    /// noSuchObject or noSuchInstance: the device has no such thing.
    Missing,
    /// endOfMibView.
    EndOfMibView,
    /// A value that could not be decoded; its tag.
    Undecodable(u8),
}

impl Value {
    pub(crate) fn from_wire(value: snmp2::Value<'_>) -> Self {
        use snmp2::Value as Wire;
        match value {
            Wire::Integer(n) => Value::Integer(n),
            Wire::Unsigned32(n) | Wire::Timeticks(n) => Value::Unsigned(u64::from(n)),
            Wire::Counter32(n) => Value::Counter32(n),
            Wire::Counter64(n) => Value::Counter64(n),
            Wire::OctetString(octets) => Value::Octets(octets.to_vec()),
            Wire::Opaque(octets) => Value::opaque(octets),
            Wire::ObjectIdentifier(oid) => {
                Oid::from_ber(oid.as_bytes()).map_or(Value::Undecodable(6), Value::Oid)
            }
            Wire::IpAddress(ip) => Value::Ip(ip),
            Wire::Null => Value::Null,
            Wire::NoSuchObject | Wire::NoSuchInstance => Value::Missing,
            Wire::EndOfMibView => Value::EndOfMibView,
            // Nothing else is a value in SNMP.
            Wire::Boolean(_) => Value::Undecodable(1),
            _ => Value::Undecodable(0x30),
        }
    }

    /// What an Opaque holds: net-snmp packs floats into it, `9f 78 04 …` and `9f 79 08 …`.
    pub fn opaque(octets: &[u8]) -> Self {
        match octets {
            [0x9f, 0x78, 4, a, b, c, d] => {
                Value::Real(f64::from(f32::from_be_bytes([*a, *b, *c, *d])))
            }
            [0x9f, 0x79, 8, rest @ ..] => match <[u8; 8]>::try_from(rest) {
                Ok(bytes) => Value::Real(f64::from_be_bytes(bytes)),
                Err(_) => Value::Octets(octets.to_vec()),
            },
            _ => Value::Octets(octets.to_vec()),
        }
    }

    /// As a number; a text that is one counts.
    pub fn number(&self) -> Option<f64> {
        match self {
            Value::Integer(n) => Some(*n as f64),
            Value::Unsigned(n) | Value::Counter64(n) => Some(*n as f64),
            Value::Counter32(n) => Some(f64::from(*n)),
            Value::Real(n) => Some(*n).filter(|n| n.is_finite()),
            Value::Octets(octets) => {
                let text = std::str::from_utf8(octets).ok()?;
                let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
                text.parse().ok().filter(|n: &f64| n.is_finite())
            }
            _ => None,
        }
    }

    /// As text: printable strings as they are, other octets in hexadecimal. `None` = no value.
    pub fn text(&self) -> Option<String> {
        match self {
            Value::Integer(n) => Some(n.to_string()),
            Value::Unsigned(n) | Value::Counter64(n) => Some(n.to_string()),
            Value::Counter32(n) => Some(n.to_string()),
            Value::Real(n) => Some(n.to_string()),
            Value::Octets(octets) => Some(octets_text(octets)),
            Value::Oid(oid) => Some(oid.to_string()),
            Value::Ip([a, b, c, d]) => Some(format!("{a}.{b}.{c}.{d}")),
            _ => None,
        }
    }

    /// Whether there is something at all.
    pub fn is_present(&self) -> bool {
        !matches!(self, Value::Null | Value::Missing | Value::EndOfMibView | Value::Undecodable(_))
    }
}

/// Whether it is words with one blank between them, and nothing that is not ASCII: nearly always.
fn is_plain(octets: &[u8]) -> bool {
    let ends = [octets.first(), octets.last()];
    !ends.contains(&Some(&b' '))
        && octets.iter().all(|octet| matches!(octet, b' '..=b'~'))
        && !octets.windows(2).any(|two| two == b"  ")
}

fn octets_text(octets: &[u8]) -> String {
    let end = octets.iter().rposition(|b| *b != 0).map_or(0, |i| i + 1);
    let body = octets.get(..end).unwrap_or_default();
    match std::str::from_utf8(body) {
        Ok(text) if is_plain(body) => text.to_owned(),
        Ok(text) if text.chars().all(|c| !c.is_control() || c.is_whitespace()) => {
            text.split_whitespace().collect::<Vec<_>>().join(" ")
        }
        _ => {
            let hex: Vec<String> =
                octets.iter().take(MAX_HEX_OCTETS).map(|b| format!("{b:02x}")).collect();
            hex.join(":")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_numbers() {
        let octets = |bytes: &[u8]| Value::Octets(bytes.to_vec());
        assert_eq!(octets(b" PSU  1\0\0").text().unwrap(), "PSU 1");
        assert_eq!(octets(&[0, 0x1b, 0xff]).text().unwrap(), "00:1b:ff");
        assert_eq!(octets("风扇 1".as_bytes()).text().unwrap(), "风扇 1");
        assert_eq!(octets(b"").text().unwrap(), "");
        for text in ["a b", " a", "a ", "a  b", "a\tb", "", " ", "Gi1/0/1 \u{e9}"] {
            let words: Vec<&str> = text.split_whitespace().collect();
            assert_eq!(octets(text.as_bytes()).text().unwrap(), words.join(" "));
        }
        assert_eq!(octets(b" 23.5 ").number(), Some(23.5));
        assert_eq!(octets(b"inf").number(), None);
        assert_eq!(Value::opaque(&[0x9f, 0x78, 4, 0x42, 0xf6, 0, 0]), Value::Real(123.0));
        assert_eq!(Value::Missing.text(), None);
    }
}
