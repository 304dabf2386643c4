//! Notifications as they come: versions 1, 2c and 3, down to their variable bindings. Pure; snmp2's
//! reader of BER is used, and nothing else of it.

use snmp2::asn1::{AsnReader, TYPE_OCTETSTRING, TYPE_SEQUENCE};
use snmp2::snmp::{MSG_TRAP, MSG_TRAP_V1};

use crate::profile::oid::Oid;
use crate::source::snmp::message::{DecodeError, VarBind, decode_varbinds};
use crate::source::snmp::value::Value;

/// InformRequest-PDU.
pub const MSG_INFORM: u8 = 0xa6;
/// sysUpTime.0: the first binding of a version 2 notification.
const SYS_UP_TIME: [u32; 9] = [1, 3, 6, 1, 2, 1, 1, 3, 0];
/// snmpTrapOID.0: its second.
const TRAP_OID: [u32; 11] = [1, 3, 6, 1, 6, 3, 1, 1, 4, 1, 0];
/// snmpTrapAddress.0: who sent it first, where it was forwarded (RFC 3584).
const TRAP_ADDRESS: [u32; 10] = [1, 3, 6, 1, 6, 3, 18, 1, 3, 0];
/// snmpTraps: the generic traps of version 1 are below it.
const GENERIC: [u32; 9] = [1, 3, 6, 1, 6, 3, 1, 1, 5];
/// Bindings that are kept of one notification; further ones are counted.
pub const MAX_VARBINDS: usize = 128;

/// A datagram with its outermost part read.
#[derive(Debug)]
pub enum Message<'a> {
    /// Version 1 or 2c.
    Community {
        /// The community: a password in clear.
        community: &'a [u8],
        /// What it says.
        notification: Notification,
    },
    /// Version 3: what it says is behind its security.
    V3(V3<'a>),
}

/// A version 3 message before its security is judged (RFC 3412, RFC 3414).
#[derive(Clone, Copy, Debug)]
pub struct V3<'a> {
    /// Its number.
    pub id: i64,
    /// 1 = authenticated, 2 = encrypted, 4 = an answer is wanted.
    pub flags: u8,
    /// The authoritative engine.
    pub engine: &'a [u8],
    /// That engine's boots.
    pub boots: i64,
    /// That engine's time, seconds.
    pub time: i64,
    /// The user.
    pub user: &'a [u8],
    /// The message authentication code.
    pub mac: &'a [u8],
    /// Where it stands in the datagram.
    pub mac_at: usize,
    /// The salt.
    pub salt: &'a [u8],
    /// The scoped PDU: encrypted, or its contents.
    pub data: &'a [u8],
}

/// Flag: authenticated.
pub const AUTHENTICATED: u8 = 1;
/// Flag: encrypted.
pub const ENCRYPTED: u8 = 2;
/// Flag: a report may be sent in answer.
pub const REPORTABLE: u8 = 4;

/// What kind of message it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nobody waits for an answer.
    Trap,
    /// The sender repeats it until it is answered.
    Inform,
}

/// What a notification says, whichever version it came in.
#[derive(Clone, Debug, PartialEq)]
pub struct Notification {
    /// Trap or inform.
    pub kind: Kind,
    /// Of the PDU; 0 in version 1.
    pub request_id: i32,
    /// Which notification (snmpTrapOID; version 1 as RFC 3584 maps it).
    pub trap: Oid,
    /// The device that it is about, where the message itself names one (version 1's agent-addr,
    /// snmpTrapAddress): true where it was forwarded.
    pub about: Option<[u8; 4]>,
    /// sysUpTime, hundredths of a second.
    pub uptime: Option<u64>,
    /// The bindings, without sysUpTime and snmpTrapOID; at most [`MAX_VARBINDS`].
    pub varbinds: Vec<VarBind>,
    /// Further bindings that were left out.
    pub left_out: usize,
    /// The list of bindings as it came: an inform's answer repeats it.
    pub list: Vec<u8>,
}

/// The scoped PDU of a version 3 message.
#[derive(Debug)]
pub struct Scoped<'a> {
    /// The context's engine.
    pub engine: &'a [u8],
    /// The context's name.
    pub name: &'a [u8],
    /// The PDU: tag and all.
    pub pdu: AsnReader<'a>,
}

/// Reads a datagram.
pub fn decode(datagram: &[u8]) -> Result<Message<'_>, DecodeError> {
    let (version, mut message) = crate::source::snmp::message::open_message(datagram)?;
    match version {
        0 | 1 => {
            let community =
                message.read_asn_octetstring().map_err(DecodeError::at("no community"))?;
            let notification = notification(&mut message)?;
            Ok(Message::Community { community, notification })
        }
        3 => v3(datagram, message).map(Message::V3),
        other => Err(DecodeError::Version(other)),
    }
}

fn v3<'a>(datagram: &'a [u8], mut message: AsnReader<'a>) -> Result<V3<'a>, DecodeError> {
    let bad = DecodeError::at("a broken v3 header");
    let mut header = AsnReader::from_bytes(message.read_raw(TYPE_SEQUENCE).map_err(&bad)?);
    let id = header.read_asn_integer().map_err(&bad)?;
    header.read_asn_integer().map_err(&bad)?;
    let flags = header.read_asn_octetstring().map_err(&bad)?;
    let flags = flags.first().copied().ok_or(DecodeError::Range("the message flags"))?;
    if header.read_asn_integer().map_err(&bad)? != 3 {
        return Err(DecodeError::Range("the security model: 3 (USM) is understood; it is"));
    }
    let bad = DecodeError::at("broken security parameters");
    let security = message.read_asn_octetstring().map_err(&bad)?;
    let security = AsnReader::from_bytes(security).read_raw(TYPE_SEQUENCE).map_err(&bad)?;
    let mut security = AsnReader::from_bytes(security);
    let engine = security.read_asn_octetstring().map_err(&bad)?;
    let boots = security.read_asn_integer().map_err(&bad)?;
    let time = security.read_asn_integer().map_err(&bad)?;
    let user = security.read_asn_octetstring().map_err(&bad)?;
    let mac = security.read_asn_octetstring().map_err(&bad)?;
    let salt = security.read_asn_octetstring().map_err(&bad)?;
    let sane = 0..=i64::from(i32::MAX);
    if !sane.contains(&boots) || !sane.contains(&time) || !sane.contains(&id) {
        return Err(DecodeError::Range("engine boots, time or message id"));
    }
    if engine.len() > 32 || user.len() > 32 {
        return Err(DecodeError::Range("an engine id or user name of more than 32 octets: it is"));
    }
    let data = match flags & ENCRYPTED {
        0 => message.read_raw(TYPE_SEQUENCE).map_err(DecodeError::at("no scoped PDU"))?,
        _ => message.read_raw(TYPE_OCTETSTRING).map_err(DecodeError::at("no encrypted PDU"))?,
    };
    // Both are parts of one buffer.
    let mac_at = (mac.as_ptr() as usize).saturating_sub(datagram.as_ptr() as usize);
    Ok(V3 { id, flags, engine, boots, time, user, mac, mac_at, salt, data })
}

/// Opens the contents of a scoped PDU.
pub fn scoped(contents: &[u8]) -> Result<Scoped<'_>, DecodeError> {
    let bad = DecodeError::at("a broken scoped PDU");
    let mut reader = AsnReader::from_bytes(contents);
    let engine = reader.read_asn_octetstring().map_err(&bad)?;
    let name = reader.read_asn_octetstring().map_err(&bad)?;
    Ok(Scoped { engine, name, pdu: reader })
}

/// The contents of what was decrypted: a sequence with padding behind it.
pub fn decrypted(plain: &[u8]) -> Result<&[u8], DecodeError> {
    AsnReader::from_bytes(plain).read_raw(TYPE_SEQUENCE).map_err(DecodeError::at("no scoped PDU"))
}

/// The request id of any PDU but version 1's trap; of an engine's question for discovery, too.
pub fn request_id(mut reader: AsnReader<'_>) -> Option<i32> {
    let tag = reader.peek_byte().ok()?;
    let mut pdu = AsnReader::from_bytes(reader.read_raw(tag).ok()?);
    i32::try_from(pdu.read_asn_integer().ok()?).ok()
}

/// Reads a notification PDU.
pub fn notification(reader: &mut AsnReader<'_>) -> Result<Notification, DecodeError> {
    let tag = reader.peek_byte().map_err(DecodeError::at("no PDU"))?;
    let kind = match tag {
        MSG_TRAP_V1 | MSG_TRAP => Kind::Trap,
        MSG_INFORM => Kind::Inform,
        _ => return Err(DecodeError::NotANotification(tag)),
    };
    let body = reader.read_raw(tag).map_err(DecodeError::at("a PDU cut off"))?;
    let pdu = AsnReader::from_bytes(body);
    match tag {
        MSG_TRAP_V1 => version_1(pdu),
        _ => version_2(pdu, kind),
    }
}

fn version_2(mut pdu: AsnReader<'_>, kind: Kind) -> Result<Notification, DecodeError> {
    let bad = DecodeError::at("a broken PDU");
    let request_id = pdu.read_asn_integer().map_err(&bad)?;
    let request_id =
        i32::try_from(request_id).map_err(|_| DecodeError::Range("the request id is"))?;
    pdu.read_asn_integer().map_err(&bad)?;
    pdu.read_asn_integer().map_err(&bad)?;
    let list = pdu.read_raw(TYPE_SEQUENCE).map_err(DecodeError::at("no variable bindings"))?;
    let mut varbinds = decode_varbinds(list)?;
    let (mut uptime, mut trap, mut about) = (None, None, None);
    varbinds.retain(|varbind| match (varbind.oid.arcs(), &varbind.value) {
        (arcs, Value::Unsigned(n)) if arcs == SYS_UP_TIME => {
            uptime = Some(*n);
            false
        }
        (arcs, Value::Oid(oid)) if arcs == TRAP_OID => {
            trap = Some(oid.clone());
            false
        }
        (arcs, Value::Ip(ip)) if arcs == TRAP_ADDRESS => {
            about = Some(*ip);
            true
        }
        _ => true,
    });
    let trap = trap.ok_or(DecodeError::Range("no snmpTrapOID.0: the notification's name is"))?;
    Ok(kept(Notification {
        kind,
        request_id,
        trap,
        about,
        uptime,
        varbinds,
        left_out: 0,
        list: list.to_vec(),
    }))
}

/// As RFC 3584 (3.1) maps it.
fn version_1(mut pdu: AsnReader<'_>) -> Result<Notification, DecodeError> {
    let bad = DecodeError::at("a broken version 1 trap");
    let enterprise = pdu.read_raw(snmp2::asn1::TYPE_OBJECTIDENTIFIER).map_err(&bad)?;
    let enterprise = Oid::from_ber(enterprise).ok_or(DecodeError::Range("the enterprise"))?;
    let about = <[u8; 4]>::try_from(pdu.read_raw(0x40).map_err(&bad)?).ok();
    let generic = pdu.read_asn_integer().map_err(&bad)?;
    let specific = pdu.read_asn_integer().map_err(&bad)?;
    let uptime = pdu.next().and_then(|value| match Value::from_wire(value) {
        Value::Unsigned(n) => Some(n),
        _ => None,
    });
    let list = pdu.read_raw(TYPE_SEQUENCE).map_err(DecodeError::at("no variable bindings"))?;
    let varbinds = decode_varbinds(list)?;
    let number = |n: i64| u32::try_from(n).map_err(|_| DecodeError::Range("the trap's number is"));
    let trap = match generic {
        0..=5 => Oid::new(&GENERIC).with(&[number(generic)? + 1]),
        _ => enterprise.with(&[0, number(specific)?]),
    };
    Ok(kept(Notification {
        kind: Kind::Trap,
        request_id: 0,
        trap,
        about: about.filter(|ip| *ip != [0; 4]),
        uptime,
        varbinds,
        left_out: 0,
        list: Vec::new(),
    }))
}

fn kept(mut notification: Notification) -> Notification {
    notification.left_out = notification.varbinds.len().saturating_sub(MAX_VARBINDS);
    notification.varbinds.truncate(MAX_VARBINDS);
    notification.varbinds.shrink_to_fit();
    notification
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
