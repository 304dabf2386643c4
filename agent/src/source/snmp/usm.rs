//! SNMPv3 with the user-based security model, one [`Engine`] per device.
//!
//! Keys, HMAC and encryption are snmp2's. Four of its faults are made harmless here:
//! it moves engine boots and time *before* it checks the HMAC, so every message is read with a
//! clone of the security state and nothing of the clone is kept; it writes into the received
//! datagram, so it gets a private copy; it reports a refusal without saying which, so the plain
//! part of the message is read here; its list of variables ends silently at a value that it cannot
//! decode, so what it accepted is read again here (decrypted with [`super::keys`]). Boots and time are kept here and only ever taken from
//! discovery or from an authenticated answer to a request with an unpredictable id.

use std::fmt;
use std::time::Instant;

use snmp2::asn1::{AsnReader, TYPE_OCTETSTRING, TYPE_SEQUENCE};
use snmp2::snmp::{
    MSG_REPORT, MSG_RESPONSE, V3_MSG_FLAGS_AUTH, V3_MSG_FLAGS_PRIVACY, V3_MSG_FLAGS_REPORTABLE,
};
use snmp2::v3::{Auth, AuthErrorKind, AuthProtocol, Cipher, KeyExtension, Security};
use snmp2::{MessageType, Pdu};
use zeroize::Zeroizing;

use super::keys::{self, Clock, Key};
use super::message::{self, DecodeError, Operation, Response, VarBind};
use super::rows::Bindings;
use super::value::Value;
use crate::profile::oid::Oid;

/// Largest message that we say we accept: what snmp2 says too.
const MAX_MESSAGE: i64 = 65_507;
/// Engine id in the message that snmp2 encrypts for us; never leaves the process.
const TEMPLATE_ENGINE: &[u8] = b"template";

/// Who we are to a device.
#[derive(Clone, PartialEq)]
pub struct Credentials {
    /// User name.
    pub user: String,
    /// How we authenticate.
    pub auth: Option<(AuthProtocol, Zeroizing<Vec<u8>>)>,
    /// How we encrypt.
    pub privacy: Option<Privacy>,
    /// Context name, mostly empty.
    pub context: String,
}

/// Encryption.
#[derive(Clone, PartialEq)]
pub struct Privacy {
    /// Cipher.
    pub cipher: Cipher,
    /// How short keys are made longer, where the cipher needs it.
    pub extension: KeyExtension,
    /// Password.
    pub password: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

/// What the device says about our credentials or clock (RFC 3414, usmStats).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// usmStatsUnsupportedSecLevels.
    UnsupportedLevel,
    /// usmStatsNotInTimeWindows.
    TimeWindow,
    /// usmStatsUnknownUserNames.
    UnknownUser,
    /// usmStatsUnknownEngineIDs.
    UnknownEngine,
    /// usmStatsWrongDigests.
    WrongDigest,
    /// usmStatsDecryptionErrors.
    Decryption,
    /// snmpUnknownContexts, snmpUnavailableContexts.
    UnknownContext,
    /// Anything else.
    Other,
}

impl Report {
    fn of(oid: &Oid) -> Self {
        match oid.arcs() {
            [1, 3, 6, 1, 6, 3, 15, 1, 1, n, ..] => match n {
                1 => Report::UnsupportedLevel,
                2 => Report::TimeWindow,
                3 => Report::UnknownUser,
                4 => Report::UnknownEngine,
                5 => Report::WrongDigest,
                6 => Report::Decryption,
                _ => Report::Other,
            },
            [1, 3, 6, 1, 6, 3, 12, 1, 4 | 5, ..] => Report::UnknownContext,
            _ => Report::Other,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Report::UnsupportedLevel => {
                "the device does not allow this user this security level (usmStatsUnsupportedSecLevels)"
            }
            Report::TimeWindow => {
                "the device's clock and ours do not agree (usmStatsNotInTimeWindows)"
            }
            Report::UnknownUser => "the device does not know this user (usmStatsUnknownUserNames)",
            Report::UnknownEngine => "the device has another engine id (usmStatsUnknownEngineIDs)",
            Report::WrongDigest => {
                "wrong authentication password or protocol (usmStatsWrongDigests)"
            }
            Report::Decryption => "wrong privacy password or protocol (usmStatsDecryptionErrors)",
            Report::UnknownContext => "the device does not know this context",
            Report::Other => "the device refuses the message (an unknown report)",
        })
    }
}

/// What an answer turned out to be.
#[derive(Debug)]
pub enum Opened {
    /// The answer.
    Response(Response),
    /// Boots or time were taken over; ask again.
    Resynchronised,
    /// The device refuses.
    Refused(Report),
    /// No answer to us (forged, of another engine, undecodable): wait on.
    Ignored(String),
}

/// What is not encrypted of a v3 message.
struct Plain<'a> {
    flags: u8,
    engine_id: &'a [u8],
    boots: i64,
    time: i64,
    salt: &'a [u8],
    scoped: Scoped<'a>,
}

/// The scoped PDU's contents.
#[derive(Clone, Copy)]
enum Scoped<'a> {
    Plain(&'a [u8]),
    Encrypted(&'a [u8]),
}

impl Plain<'_> {
    fn authenticated(&self) -> bool {
        self.flags & V3_MSG_FLAGS_AUTH != 0
    }
}

/// A device's engine with our keys for it.
pub struct Engine {
    /// With keys; its boots and time are never used.
    security: Security,
    needs_auth: bool,
    /// To read again what the library decrypted.
    privacy: Option<(Cipher, Key)>,
    boots: i64,
    time: i64,
    /// When `time` was true.
    since: Instant,
}

impl Engine {
    /// Derives the keys (milliseconds of computing) for the engine that `found` describes.
    pub fn new(credentials: &Credentials, found: &Discovered) -> Result<Self, snmp2::Error> {
        let password = credentials.auth.as_ref().map(|(_, p)| p.as_slice()).unwrap_or_default();
        let mut security = Security::new(credentials.user.as_bytes(), password)
            .with_context_name(&credentials.context);
        security = match (&credentials.auth, &credentials.privacy) {
            (None, _) => security.with_auth(Auth::NoAuthNoPriv),
            (Some((protocol, _)), None) => {
                security.with_auth(Auth::AuthNoPriv).with_auth_protocol(*protocol)
            }
            (Some((protocol, _)), Some(privacy)) => security
                .with_auth_protocol(*protocol)
                .with_key_extension_method(privacy.extension)
                .with_auth(Auth::AuthPriv {
                    cipher: privacy.cipher,
                    privacy_password: privacy.password.to_vec(),
                }),
        };
        let security = security.with_engine_id(&found.engine_id)?;
        let needs_auth = credentials.auth.is_some();
        let privacy = credentials.auth.as_ref().zip(credentials.privacy.as_ref()).map(
            |((protocol, _), privacy)| {
                (privacy.cipher, keys::privacy_key(*protocol, privacy, &found.engine_id))
            },
        );
        let mut engine =
            Engine { security, needs_auth, privacy, boots: 0, time: 0, since: Instant::now() };
        engine.adopt(found.boots, found.time);
        Ok(engine)
    }

    /// Whether this engine is the one that was found.
    pub fn is(&self, found: &Discovered) -> bool {
        self.security.engine_id() == found.engine_id
    }

    /// Its id, and how often it was started.
    pub fn boots(&self) -> (&[u8], i64) {
        (self.security.engine_id(), self.boots)
    }

    /// Takes over the device's boots and time.
    pub fn adopt(&mut self, boots: i64, time: i64) {
        self.boots = boots;
        self.time = time;
        self.since = Instant::now();
    }

    /// The security state with the device's clock as it should be now.
    fn now(&self) -> Security {
        let elapsed = i64::try_from(self.since.elapsed().as_secs()).unwrap_or(0);
        self.security.clone().with_engine_boots_and_time(self.boots, self.time + elapsed)
    }

    /// A request, authenticated and encrypted as the credentials say.
    pub fn seal(
        &self,
        operation: Operation,
        id: i32,
        oids: &[&Oid],
    ) -> Result<Vec<u8>, snmp2::Error> {
        // snmp2 offers no public way to a v3 request but to read one: so it reads ours.
        let template = plain_message(id, TEMPLATE_ENGINE, operation, oids);
        let mut reader = Security::new(b"", b"")
            .with_auth(Auth::NoAuthNoPriv)
            .with_engine_id(TEMPLATE_ENGINE)?;
        let pdu = Pdu::from_bytes_with_security(&template, Some(&mut reader))?;
        pdu.to_bytes_with_security(Some(&self.now()))
    }

    /// Judges a datagram that carries the id of our request.
    pub fn open(&mut self, datagram: &[u8]) -> Opened {
        let plain = match read_plain(datagram) {
            Ok(plain) => plain,
            Err(error) => return Opened::Ignored(error.to_string()),
        };
        if self.needs_auth && !plain.authenticated() {
            // Refusals come without authentication: the device cannot make one.
            return match read_report(&plain) {
                Some(report) => Opened::Refused(report),
                None => Opened::Ignored("an answer without authentication".to_owned()),
            };
        }
        if !self.needs_auth && plain.authenticated() {
            return Opened::Ignored(
                "an answer with an authentication that we do not use".to_owned(),
            );
        }
        let (boots, time) = (plain.boots, plain.time);
        let sane = 0..=i64::from(i32::MAX);
        if !sane.contains(&boots) || !sane.contains(&time) {
            return Opened::Ignored("engine boots or time out of range".to_owned());
        }
        let copy = datagram.to_vec();
        let mut security = self.now();
        match Pdu::from_bytes_with_security(&copy, Some(&mut security)).map(owned) {
            Ok(Some(answer)) => {
                self.adopt(boots, time);
                self.complete(answer, &plain)
            }
            Ok(None) => Opened::Ignored("a message that is no response".to_owned()),
            Err(error) => self.judge(&error, &plain),
        }
    }

    /// What snmp2 accepted is read again, so that no undecodable value ends it silently.
    fn complete(&self, answer: Opened, plain: &Plain<'_>) -> Opened {
        if !matches!(answer, Opened::Response(_)) {
            return answer;
        }
        let decrypted = match (plain.scoped, &self.privacy) {
            (Scoped::Encrypted(data), Some((cipher, key))) => {
                let clock = Clock { boots: plain.boots, time: plain.time };
                keys::decrypt(*cipher, key, clock, plain.salt, data)
            }
            _ => None,
        };
        let again = match (plain.scoped, &decrypted) {
            (Scoped::Plain(contents), _) => read_scoped(contents),
            // Padding stays behind the sequence.
            (Scoped::Encrypted(_), Some(data)) => AsnReader::from_bytes(data)
                .read_raw(TYPE_SEQUENCE)
                .map_err(DecodeError::at("no scoped PDU"))
                .and_then(read_scoped),
            (Scoped::Encrypted(_), None) => Err(DecodeError::Range("the salt or the length")),
        };
        match again {
            Ok((MSG_RESPONSE, response)) => Opened::Response(response),
            Ok(_) => Opened::Ignored("a message that is no response".to_owned()),
            Err(error) => Opened::Ignored(error.to_string()),
        }
    }

    /// What snmp2 calls an error. It checks the HMAC before all of those that are accepted here,
    /// and the message has the unpredictable id of our request: so it is no old one played again.
    fn judge(&mut self, error: &snmp2::Error, plain: &Plain<'_>) -> Opened {
        use AuthErrorKind::{EngineBootsMismatch, EngineTimeMismatch, ReplyNotEncrypted};
        use snmp2::Error::{AuthFailure, AuthUpdated};
        let report = read_report(plain);
        match (error, report) {
            (AuthUpdated | AuthFailure(ReplyNotEncrypted), Some(Report::TimeWindow))
            | (AuthUpdated | AuthFailure(EngineTimeMismatch | EngineBootsMismatch), None) => {
                self.adopt(plain.boots, plain.time);
                Opened::Resynchronised
            }
            (AuthFailure(EngineTimeMismatch | EngineBootsMismatch), Some(Report::TimeWindow)) => {
                self.adopt(plain.boots, plain.time);
                Opened::Resynchronised
            }
            (AuthUpdated | AuthFailure(ReplyNotEncrypted), Some(report)) => Opened::Refused(report),
            _ => Opened::Ignored(explain(error)),
        }
    }
}

fn explain(error: &snmp2::Error) -> String {
    match error {
        snmp2::Error::BufferOverflow => format!(
            "the device announces messages above {MAX_MESSAGE} bytes, which the SNMP library refuses"
        ),
        other => other.to_string(),
    }
}

/// Takes what snmp2 read out of its buffers. `None` = neither response nor report.
fn owned(pdu: Pdu<'_>) -> Option<Opened> {
    let varbinds: Bindings = pdu
        .varbinds
        .clone()
        .map_while(|(name, value)| {
            let oid = Oid::from_ber(name.as_bytes())?;
            Some(VarBind { oid, value: Value::from_wire(value) })
        })
        .collect();
    match pdu.message_type {
        MessageType::Response => Some(Opened::Response(Response {
            request_id: pdu.req_id,
            error_status: pdu.error_status,
            error_index: pdu.error_index,
            varbinds,
        })),
        MessageType::Report => {
            Some(match varbinds.into_iter().next().map(|v| Report::of(&v.oid)) {
                Some(Report::TimeWindow) => Opened::Resynchronised,
                Some(report) => Opened::Refused(report),
                None => Opened::Refused(Report::Other),
            })
        }
        _ => None,
    }
}

/// What discovery found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discovered {
    /// The authoritative engine's id.
    pub engine_id: Vec<u8>,
    /// How often it was started.
    pub boots: i64,
    /// Seconds since.
    pub time: i64,
}

/// The message that asks for the engine id.
pub fn discovery(id: i32) -> Vec<u8> {
    plain_message(id, &[], Operation::Get, &[])
}

/// Reads the answer to [`discovery`].
pub fn discovered(datagram: &[u8]) -> Result<Discovered, String> {
    let plain = read_plain(datagram).map_err(|e| e.to_string())?;
    if plain.engine_id.is_empty() {
        return Err("a discovery answer without engine id".to_owned());
    }
    let whole = |n: i64| n.clamp(0, i64::from(i32::MAX));
    Ok(Discovered {
        engine_id: plain.engine_id.to_vec(),
        boots: whole(plain.boots),
        time: whole(plain.time),
    })
}

/// A v3 message without authentication and encryption.
fn plain_message(id: i32, engine: &[u8], operation: Operation, oids: &[&Oid]) -> Vec<u8> {
    use message::{integer, tlv};
    let empty = || tlv(TYPE_OCTETSTRING, &[]);
    let id = i64::from(id);
    let header = [
        integer(id),
        integer(MAX_MESSAGE),
        tlv(TYPE_OCTETSTRING, &[V3_MSG_FLAGS_REPORTABLE]),
        integer(3),
    ];
    let security =
        [tlv(TYPE_OCTETSTRING, engine), integer(0), integer(0), empty(), empty(), empty()];
    let scoped = [
        tlv(TYPE_OCTETSTRING, engine),
        empty(),
        message::encode_pdu(operation, i32::try_from(id).unwrap_or(0), oids),
    ];
    let body = [
        integer(3),
        tlv(TYPE_SEQUENCE, &header.concat()),
        tlv(TYPE_OCTETSTRING, &tlv(TYPE_SEQUENCE, &security.concat())),
        tlv(TYPE_SEQUENCE, &scoped.concat()),
    ];
    tlv(TYPE_SEQUENCE, &body.concat())
}

fn read_plain(datagram: &[u8]) -> Result<Plain<'_>, DecodeError> {
    let (version, mut reader) = message::open_message(datagram)?;
    if version != 3 {
        return Err(DecodeError::Version(version));
    }
    let bad = DecodeError::at("a broken v3 header");
    let header = reader.read_raw(TYPE_SEQUENCE).map_err(&bad)?;
    let mut header = AsnReader::from_bytes(header);
    header.read_asn_integer().map_err(&bad)?;
    header.read_asn_integer().map_err(&bad)?;
    let flags = header.read_asn_octetstring().map_err(&bad)?.first().copied().unwrap_or_default();
    let bad = DecodeError::at("broken security parameters");
    let security = reader.read_asn_octetstring().map_err(&bad)?;
    let security = AsnReader::from_bytes(security).read_raw(TYPE_SEQUENCE).map_err(&bad)?;
    let mut security = AsnReader::from_bytes(security);
    let engine_id = security.read_asn_octetstring().map_err(&bad)?;
    let boots = security.read_asn_integer().map_err(&bad)?;
    let time = security.read_asn_integer().map_err(&bad)?;
    // User name, and what proves it.
    security.read_asn_octetstring().map_err(&bad)?;
    security.read_asn_octetstring().map_err(&bad)?;
    let salt = security.read_asn_octetstring().map_err(&bad)?;
    let bad = DecodeError::at("no scoped PDU");
    let scoped = if flags & V3_MSG_FLAGS_PRIVACY == 0 {
        Scoped::Plain(reader.read_raw(TYPE_SEQUENCE).map_err(bad)?)
    } else {
        Scoped::Encrypted(reader.read_asn_octetstring().map_err(bad)?)
    };
    Ok(Plain { flags, engine_id, boots, time, salt, scoped })
}

/// The contents of a scoped PDU: the tag of what is in it, and that.
fn read_scoped(contents: &[u8]) -> Result<(u8, Response), DecodeError> {
    let mut scoped = AsnReader::from_bytes(contents);
    let bad = DecodeError::at("a broken scoped PDU");
    scoped.read_asn_octetstring().map_err(&bad)?;
    scoped.read_asn_octetstring().map_err(&bad)?;
    message::decode_pdu(&mut scoped)
}

/// The report in a message that is not encrypted.
fn read_report(plain: &Plain<'_>) -> Option<Report> {
    let Scoped::Plain(contents) = plain.scoped else { return None };
    match read_scoped(contents).ok()? {
        (MSG_REPORT, pdu) => {
            Some(pdu.varbinds.into_iter().next().map_or(Report::Other, |v| Report::of(&v.oid)))
        }
        _ => None,
    }
}

#[cfg(test)]
#[path = "usm_tests.rs"]
mod tests;
