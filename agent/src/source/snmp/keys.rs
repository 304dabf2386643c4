//! Keys, authentication and privacy of SNMPv3 users (RFC 3414, 3826, 7860). Pure.
//!
//! Traps and informs are secured by it, and what a device encrypted is read with it. snmp2 is not used
//! here: it keeps one engine in one state, moves that engine's clock before it has
//! checked the HMAC, writes into the datagram that it was lent, panics at an empty password, and cannot
//! answer an inform. What is expensive (a megabyte of hash for each password) is done once for a user,
//! so that a sender who makes up engine ids costs nothing.

use aes::{Aes128, Aes192, Aes256};
use cbc::cipher::block_padding::NoPadding;
use cbc::cipher::{AsyncStreamCipher as _, BlockDecryptMut as _, BlockEncryptMut as _, KeyIvInit};
use hmac::digest::core_api::BlockSizeUser;
use hmac::{Mac as _, SimpleHmac};
use sha2::Digest;
use snmp2::v3::{AuthProtocol, Cipher, KeyExtension};
use zeroize::Zeroizing;

use super::usm::{Credentials, Privacy};

/// A key that is wiped when it is let go.
pub type Key = Zeroizing<Vec<u8>>;

/// Bytes of password that are hashed into a key (RFC 3414, A.2).
const EXPANDED: usize = 1 << 20;
/// Salt of AES and DES in a message.
pub const SALT_BYTES: usize = 8;

/// A user whose messages are taken.
pub struct User {
    /// Its name.
    pub name: Vec<u8>,
    /// The engine that it belongs to; `None` = any, told apart by their messages.
    pub engine: Option<Vec<u8>>,
    auth: Option<(AuthProtocol, Key)>,
    privacy: Option<(Cipher, KeyExtension, Key)>,
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("User").field("name", &self.name).finish_non_exhaustive()
    }
}

impl User {
    /// Hashes the passwords: milliseconds of computing for each. An empty password gives no key, and
    /// nothing is ever authenticated by it.
    pub fn new(credentials: &Credentials, engine: Option<Vec<u8>>) -> Self {
        let auth = credentials.auth.as_ref();
        let privacy = auth.zip(credentials.privacy.as_ref()).map(|((protocol, _), p)| {
            (p.cipher, p.extension, password_key(*protocol, &p.password))
        });
        User {
            name: credentials.user.as_bytes().to_vec(),
            engine,
            auth: auth.map(|(protocol, password)| (*protocol, password_key(*protocol, password))),
            privacy,
        }
    }

    /// Whether its messages must be authenticated.
    pub fn authenticates(&self) -> bool {
        self.auth.is_some()
    }

    /// Whether its messages must be encrypted.
    pub fn encrypts(&self) -> bool {
        self.privacy.is_some()
    }

    /// Octets of a message's authentication parameters.
    pub fn mac_bytes(&self) -> usize {
        self.auth.as_ref().map_or(0, |(protocol, _)| mac_bytes(*protocol))
    }

    /// What stands in a message's authentication parameters; `message` has zeros there.
    pub fn mac(&self, engine: &[u8], message: &[u8]) -> Option<Vec<u8>> {
        // An empty password would be a key that everybody knows.
        let (protocol, ku) = self.auth.as_ref().filter(|(_, ku)| !ku.is_empty())?;
        let mut mac = hmac(*protocol, &localized(*protocol, ku, engine), message)?;
        mac.truncate(mac_bytes(*protocol));
        Some(mac)
    }

    /// The key of the cipher at this engine, made as long as it needs. May cost a megabyte of hash:
    /// only for messages that are authenticated, and kept.
    pub fn privacy_key(&self, engine: &[u8]) -> Option<Key> {
        let (protocol, _) = self.auth.as_ref()?;
        let (cipher, extension, ku) = self.privacy.as_ref()?;
        Some(extended(*protocol, *cipher, *extension, ku, engine))
    }

    /// Decrypts a scoped PDU; what is padding stays behind it.
    pub fn decrypt(&self, key: &Key, clock: Clock, salt: &[u8], data: &[u8]) -> Option<Vec<u8>> {
        decrypt(self.privacy.as_ref()?.0, key, clock, salt, data)
    }

    /// Encrypts a scoped PDU.
    pub fn encrypt(&self, key: &Key, clock: Clock, salt: [u8; 8], data: &[u8]) -> Option<Vec<u8>> {
        let (cipher, ..) = self.privacy.as_ref()?;
        let mut data = data.to_vec();
        let iv = clock.iv(salt);
        match cipher {
            Cipher::Des => {
                let len = data.len().next_multiple_of(8);
                data.resize(len, 0);
                let (key, iv) = des_key(key, salt)?;
                let des = cbc::Encryptor::<des::Des>::new_from_slices(&key, &iv).ok()?;
                des.encrypt_padded_mut::<NoPadding>(&mut data, len).ok()?;
            }
            Cipher::Aes128 => {
                cfb_mode::Encryptor::<Aes128>::new_from_slices(key, &iv).ok()?.encrypt(&mut data);
            }
            Cipher::Aes192 => {
                cfb_mode::Encryptor::<Aes192>::new_from_slices(key, &iv).ok()?.encrypt(&mut data);
            }
            Cipher::Aes256 => {
                cfb_mode::Encryptor::<Aes256>::new_from_slices(key, &iv).ok()?.encrypt(&mut data);
            }
        }
        Some(data)
    }
}

/// The key of a privacy password at one engine: a megabyte of hash, two or more where the cipher needs a
/// longer one than the hash gives and Reeder's way makes it longer.
pub fn privacy_key(protocol: AuthProtocol, privacy: &Privacy, engine: &[u8]) -> Key {
    let ku = password_key(protocol, &privacy.password);
    extended(protocol, privacy.cipher, privacy.extension, &ku, engine)
}

fn extended(
    protocol: AuthProtocol,
    cipher: Cipher,
    extension: KeyExtension,
    ku: &[u8],
    engine: &[u8],
) -> Key {
    let mut key = localized(protocol, ku, engine);
    let needed = key_bytes(cipher);
    while key.len() < needed {
        let more = match extension {
            KeyExtension::Blumenthal => hash(protocol, &[&key]),
            KeyExtension::Reeder => localized(protocol, &password_key(protocol, &key), engine),
        };
        key.extend_from_slice(&more);
    }
    key.truncate(needed);
    key
}

/// Decrypts a scoped PDU; what is padding stays behind it. `None`: a salt or a length that is none.
pub fn decrypt(
    cipher: Cipher,
    key: &Key,
    clock: Clock,
    salt: &[u8],
    data: &[u8],
) -> Option<Vec<u8>> {
    let salt: [u8; SALT_BYTES] = salt.try_into().ok()?;
    let mut data = data.to_vec();
    let iv = clock.iv(salt);
    match cipher {
        Cipher::Des => {
            let (key, iv) = des_key(key, salt)?;
            let des = cbc::Decryptor::<des::Des>::new_from_slices(&key, &iv).ok()?;
            des.decrypt_padded_mut::<NoPadding>(&mut data).ok()?;
        }
        Cipher::Aes128 => {
            cfb_mode::Decryptor::<Aes128>::new_from_slices(key, &iv).ok()?.decrypt(&mut data);
        }
        Cipher::Aes192 => {
            cfb_mode::Decryptor::<Aes192>::new_from_slices(key, &iv).ok()?.decrypt(&mut data);
        }
        Cipher::Aes256 => {
            cfb_mode::Decryptor::<Aes256>::new_from_slices(key, &iv).ok()?.decrypt(&mut data);
        }
    }
    Some(data)
}

/// An engine's boots and time, as a message carries them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clock {
    /// How often it was started.
    pub boots: i64,
    /// Seconds since.
    pub time: i64,
}

impl Clock {
    /// RFC 3826, 3.1.2.1.
    fn iv(self, salt: [u8; SALT_BYTES]) -> [u8; 16] {
        let mut iv = [0; 16];
        let (boots, time) = (self.boots as u32, self.time as u32);
        let parts = boots.to_be_bytes().into_iter().chain(time.to_be_bytes()).chain(salt);
        iv.iter_mut().zip(parts).for_each(|(to, from)| *to = from);
        iv
    }
}

/// RFC 3414, 8.1.1.1: eight octets of key, eight that the salt is added to.
fn des_key(key: &[u8], salt: [u8; SALT_BYTES]) -> Option<(Vec<u8>, Vec<u8>)> {
    let (des, before) = (key.get(..8)?, key.get(8..16)?);
    Some((des.to_vec(), before.iter().zip(salt).map(|(a, b)| a ^ b).collect()))
}

fn key_bytes(cipher: Cipher) -> usize {
    match cipher {
        Cipher::Des | Cipher::Aes128 => 16,
        Cipher::Aes192 => 24,
        Cipher::Aes256 => 32,
    }
}

fn mac_bytes(protocol: AuthProtocol) -> usize {
    match protocol {
        AuthProtocol::Md5 | AuthProtocol::Sha1 => 12,
        AuthProtocol::Sha224 => 16,
        AuthProtocol::Sha256 => 24,
        AuthProtocol::Sha384 => 32,
        AuthProtocol::Sha512 => 48,
    }
}

/// RFC 3414, A.2: the password repeated to a megabyte and hashed.
fn password_key(protocol: AuthProtocol, password: &[u8]) -> Key {
    if password.is_empty() {
        return Key::default();
    }
    let repeats = EXPANDED / password.len() + 1;
    let mut expanded = Zeroizing::new(password.repeat(repeats));
    expanded.truncate(EXPANDED);
    hash(protocol, &[&expanded])
}

/// A password's key at one engine.
fn localized(protocol: AuthProtocol, ku: &[u8], engine: &[u8]) -> Key {
    hash(protocol, &[ku, engine, ku])
}

fn hash(protocol: AuthProtocol, parts: &[&[u8]]) -> Key {
    fn of<D: Digest>(parts: &[&[u8]]) -> Key {
        let mut hasher = D::new();
        parts.iter().for_each(|part| hasher.update(part));
        Zeroizing::new(hasher.finalize().to_vec())
    }
    match protocol {
        AuthProtocol::Md5 => of::<md5::Md5>(parts),
        AuthProtocol::Sha1 => of::<sha1::Sha1>(parts),
        AuthProtocol::Sha224 => of::<sha2::Sha224>(parts),
        AuthProtocol::Sha256 => of::<sha2::Sha256>(parts),
        AuthProtocol::Sha384 => of::<sha2::Sha384>(parts),
        AuthProtocol::Sha512 => of::<sha2::Sha512>(parts),
    }
}

fn hmac(protocol: AuthProtocol, key: &[u8], message: &[u8]) -> Option<Vec<u8>> {
    fn of<D: Digest + BlockSizeUser>(key: &[u8], message: &[u8]) -> Option<Vec<u8>> {
        let mut mac = SimpleHmac::<D>::new_from_slice(key).ok()?;
        mac.update(message);
        Some(mac.finalize().into_bytes().to_vec())
    }
    match protocol {
        AuthProtocol::Md5 => of::<md5::Md5>(key, message),
        AuthProtocol::Sha1 => of::<sha1::Sha1>(key, message),
        AuthProtocol::Sha224 => of::<sha2::Sha224>(key, message),
        AuthProtocol::Sha256 => of::<sha2::Sha256>(key, message),
        AuthProtocol::Sha384 => of::<sha2::Sha384>(key, message),
        AuthProtocol::Sha512 => of::<sha2::Sha512>(key, message),
    }
}

/// Equal without telling by the time it takes where they differ.
pub fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |odd, (a, b)| odd | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(protocol: AuthProtocol, cipher: Option<(Cipher, KeyExtension)>) -> User {
        let secret = |text: &str| Zeroizing::new(text.as_bytes().to_vec());
        let credentials = Credentials {
            user: "u".into(),
            auth: Some((protocol, secret("maplesyrup"))),
            privacy: cipher.map(|(cipher, extension)| Privacy {
                cipher,
                extension,
                password: secret("maplesyrup"),
            }),
            context: String::new(),
        };
        User::new(&credentials, None)
    }

    /// RFC 3414, A.3.
    const ENGINE: [u8; 12] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];

    #[test]
    fn keys_are_those_of_the_rfc() {
        for (protocol, ku, kul) in [
            (
                AuthProtocol::Md5,
                "9faf3283884e92834ebc9847d8edd963",
                "526f5eed9fcce26f8964c2930787d82b",
            ),
            (
                AuthProtocol::Sha1,
                "9fb5cc0381497b3793528939ff788d5d79145211",
                "6695febc9288e36282235fc7151f128497b38f3f",
            ),
        ] {
            let key = password_key(protocol, b"maplesyrup");
            assert_eq!(callhome_shared::heartbeat::hex(&key), ku);
            assert_eq!(callhome_shared::heartbeat::hex(&localized(protocol, &key, &ENGINE)), kul);
        }
    }

    #[test]
    fn every_cipher_reads_what_it_wrote() {
        use KeyExtension::{Blumenthal, Reeder};
        let clock = Clock { boots: 3, time: 77 };
        for protocol in [AuthProtocol::Md5, AuthProtocol::Sha512] {
            // A megabyte of hash: once.
            let ku = password_key(protocol, b"maplesyrup");
            for (cipher, extension) in [
                (Cipher::Des, Blumenthal),
                (Cipher::Aes128, Blumenthal),
                (Cipher::Aes192, Blumenthal),
                (Cipher::Aes256, Blumenthal),
                (Cipher::Aes192, Reeder),
                (Cipher::Aes256, Reeder),
            ] {
                let user = User {
                    name: b"u".to_vec(),
                    engine: None,
                    auth: Some((protocol, ku.clone())),
                    privacy: Some((cipher, extension, ku.clone())),
                };
                let key = user.privacy_key(&ENGINE).unwrap();
                assert_eq!(key.len(), key_bytes(cipher));
                let sealed = user.encrypt(&key, clock, [7; 8], b"scoped").unwrap();
                assert!(!sealed.starts_with(b"scoped"));
                let opened = user.decrypt(&key, clock, &[7; 8], &sealed).unwrap();
                assert!(opened.starts_with(b"scoped"), "{cipher:?}");
                assert!(user.decrypt(&key, clock, &[7; 7], &sealed).is_none(), "salt of 7");
            }
        }
        let des = user(AuthProtocol::Md5, Some((Cipher::Des, Blumenthal)));
        let key = des.privacy_key(&ENGINE).unwrap();
        assert!(des.decrypt(&key, clock, &[0; 8], &[0; 7]).is_none(), "half a block");
    }

    #[test]
    fn an_empty_password_neither_panics_nor_authenticates() {
        let credentials = Credentials {
            user: "u".into(),
            auth: Some((AuthProtocol::Sha256, Key::default())),
            privacy: Some(Privacy {
                cipher: Cipher::Aes128,
                extension: KeyExtension::Blumenthal,
                password: Key::default(),
            }),
            context: String::new(),
        };
        let user = User::new(&credentials, None);
        assert_eq!(user.mac(&ENGINE, b"message"), None);
        assert!(user.privacy_key(&ENGINE).is_some());
        // What it replaces: the library divides an empty password into a megabyte.
        let naked = std::panic::catch_unwind(|| {
            snmp2::v3::Security::new(b"u", b"")
                .with_auth(snmp2::v3::Auth::AuthNoPriv)
                .with_engine_id(&ENGINE)
                .is_ok()
        });
        assert!(naked.is_err(), "snmp2 panics at an empty password; if not, it is mended");
    }

    #[test]
    fn equality() {
        assert!(same(b"ab", b"ab") && !same(b"ab", b"ac") && !same(b"ab", b"abc"));
    }
}
