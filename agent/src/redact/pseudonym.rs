//! Stable pseudonyms: HMAC-SHA-256 (RFC 2104) with a key that never leaves the site.

use callhome_shared::heartbeat::hex;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

/// Length of the site's key.
pub const KEY_BYTES: usize = 32;
/// Hexadecimal digits of a pseudonym: 64 bits, so that no two of a site's addresses meet.
pub(super) const PSEUDONYM_HEX: usize = 16;
/// Hexadecimal digits of a secret's fingerprint in an identity.
const FINGERPRINT_HEX: usize = 12;

/// What can become a pseudonym.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// IPv4 addresses.
    Ipv4,
    /// IPv6 addresses.
    Ipv6,
    /// MAC addresses, and the world-wide names of Fibre Channel and SAS.
    Mac,
    /// Host names in configured domains.
    Host,
    /// Configured names of devices.
    Device,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 5] = [Kind::Ipv4, Kind::Ipv6, Kind::Mac, Kind::Host, Kind::Device];

    /// The name in configuration and counters.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Ipv4 => "ipv4",
            Kind::Ipv6 => "ipv6",
            Kind::Mac => "mac",
            Kind::Host => "host",
            Kind::Device => "device",
        }
    }

    /// How its pseudonyms begin.
    pub(super) fn prefix(self) -> &'static str {
        match self {
            Kind::Ipv4 | Kind::Ipv6 => "ip-",
            Kind::Mac => "mac-",
            Kind::Host => "host-",
            Kind::Device => "device-",
        }
    }

    pub(super) fn index(self) -> usize {
        self as usize
    }
}

/// The site's key.
#[derive(Clone)]
pub struct Key(Zeroizing<[u8; KEY_BYTES]>);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(…)")
    }
}

impl Key {
    /// Takes a key.
    pub fn new(bytes: [u8; KEY_BYTES]) -> Self {
        Key(Zeroizing::new(bytes))
    }

    pub(super) fn zero() -> Self {
        Key::new([0; KEY_BYTES])
    }

    /// `ip-3fa9…`: the same for the same thing as long as the key lives.
    pub(super) fn pseudonym(&self, kind: Kind, canonical: &str) -> String {
        let prefix = kind.prefix();
        let mut out = String::with_capacity(prefix.len() + PSEUDONYM_HEX);
        out.push_str(prefix);
        out.push_str(&self.digest(prefix, canonical, PSEUDONYM_HEX));
        out
    }

    /// Tells one secret from another without saying which it is.
    pub(super) fn fingerprint_of(&self, secret: &str) -> String {
        self.digest("secret", secret, FINGERPRINT_HEX)
    }

    fn digest(&self, domain: &str, text: &str, digits: usize) -> String {
        // HMAC takes keys of any length: this cannot fail.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&*self.0) else { return String::new() };
        mac.update(domain.as_bytes());
        mac.update(&[0]);
        mac.update(text.as_bytes());
        let full = mac.finalize().into_bytes();
        hex(full.get(..digits / 2).unwrap_or_default())
    }
}
