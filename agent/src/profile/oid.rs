//! Object identifiers: numbers, text and BER.

use std::fmt;

/// Most arcs an object identifier may have (RFC 2578).
const MAX_ARCS: usize = 128;

/// An object identifier. Ordered as SNMP orders them.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Oid(Box<[u32]>);

impl Oid {
    /// From its arcs.
    pub fn new(arcs: &[u32]) -> Self {
        Oid(arcs.into())
    }

    /// Reads `1.3.6.1…`, with or without a leading dot.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let text = text.strip_prefix('.').unwrap_or(text);
        let arcs: Option<Vec<u32>> = text.split('.').map(|arc| arc.parse().ok()).collect();
        arcs.filter(|arcs| (2..=MAX_ARCS).contains(&arcs.len())).map(|arcs| Oid(arcs.into()))
    }

    /// The arcs.
    pub fn arcs(&self) -> &[u32] {
        &self.0
    }

    /// What follows `prefix`, if it is one.
    pub fn after(&self, prefix: &Oid) -> Option<&[u32]> {
        self.0.strip_prefix(prefix.arcs())
    }

    /// This one with further arcs.
    #[must_use]
    pub fn with(&self, arcs: &[u32]) -> Self {
        Oid([self.arcs(), arcs].concat().into_boxed_slice())
    }

    /// Reads BER contents (without tag and length).
    pub fn from_ber(bytes: &[u8]) -> Option<Self> {
        // Each arc ends with an octet below 0x80; the first one holds two. Exactly so many: what is kept
        // need not be moved into a smaller place.
        let ends = bytes.iter().filter(|byte| **byte < 0x80).count();
        let mut arcs: Vec<u32> = Vec::with_capacity(ends + 1);
        Self::read_ber(bytes, &mut arcs).then(|| Oid(arcs.into()))
    }

    /// Adds the arcs that BER contents (without tag and length) hold. `false` = these are no object
    /// identifier, and what was added means nothing.
    pub fn read_ber(bytes: &[u8], arcs: &mut Vec<u32>) -> bool {
        let before = arcs.len();
        let mut arc: u32 = 0;
        let mut inside = false;
        for byte in bytes {
            if arc > u32::MAX >> 7 {
                return false;
            }
            arc = arc << 7 | u32::from(byte & 0x7f);
            inside = byte & 0x80 != 0;
            if inside {
                continue;
            }
            if arcs.len() == before {
                let root = (arc / 40).min(2);
                arcs.extend([root, arc - root * 40]);
            } else {
                arcs.push(arc);
            }
            arc = 0;
        }
        !inside && (2..=MAX_ARCS).contains(&(arcs.len() - before))
    }

    /// BER contents (without tag and length).
    pub fn to_ber(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.0.len() + 8);
        let [first, second, rest @ ..] = self.arcs() else { return bytes };
        push_arc(&mut bytes, first.saturating_mul(40).saturating_add(*second));
        for arc in rest {
            push_arc(&mut bytes, *arc);
        }
        bytes
    }
}

fn push_arc(bytes: &mut Vec<u8>, arc: u32) {
    for shift in [28, 21, 14, 7] {
        if arc >> shift != 0 {
            bytes.push((arc >> shift) as u8 & 0x7f | 0x80);
        }
    }
    bytes.push(arc as u8 & 0x7f);
}

impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_dotted(self.arcs(), f)
    }
}

/// Arcs joined by dots.
pub fn dotted(arcs: &[u32]) -> String {
    let mut text = String::with_capacity(arcs.len() * 4);
    // Into a text it cannot fail.
    let _ = write_dotted(arcs, &mut text);
    text
}

fn write_dotted(arcs: &[u32], to: &mut impl fmt::Write) -> fmt::Result {
    for (i, arc) in arcs.iter().enumerate() {
        if i > 0 {
            to.write_char('.')?;
        }
        write!(to, "{arc}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_ber_and_back() {
        for text in ["1.3.6.1.2.1.1.3.0", "2.999.1", "1.3.6.1.4.1.4294967295.128.127.16384", "0.0"]
        {
            let oid = Oid::parse(text).unwrap();
            assert_eq!(oid.to_string(), text);
            assert_eq!(Oid::from_ber(&oid.to_ber()), Some(oid));
        }
        for bad in ["", "1", "1.x", "1..2", "1.4294967296", "sysDescr.0"] {
            assert_eq!(Oid::parse(bad), None, "{bad}");
        }
        assert_eq!(Oid::from_ber(&[0x2b, 0x86]), None);
        assert_eq!(Oid::from_ber(&[0x2b, 0xff, 0xff, 0xff, 0xff, 0x7f]), None);
        assert!(Oid::parse("1.3.10") > Oid::parse("1.3.9.1"));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_panics(bytes in proptest::collection::vec(0u8.., 0..160)) {
            if let Some(oid) = Oid::from_ber(&bytes) {
                proptest::prop_assert_eq!(Oid::from_ber(&oid.to_ber()), Some(oid));
            }
        }
    }
}
