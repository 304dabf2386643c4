//! SNMP messages: requests are written here, answers are read with snmp2's reader.
//!
//! snmp2 has no public way to write a v1 or v2c request outside of its own sessions, so a small writer
//! does it. Its variable-binding iterator ends silently at a value that it cannot decode; answers
//! are therefore read one binding at a time, and such a value becomes [`Value::Undecodable`].

use snmp2::asn1::{AsnReader, TYPE_OBJECTIDENTIFIER, TYPE_OCTETSTRING, TYPE_SEQUENCE};
use snmp2::snmp::{MSG_GET, MSG_GET_BULK, MSG_GET_NEXT, MSG_REPORT, MSG_RESPONSE};

use super::rows::Bindings;
use super::value::Value;
use crate::profile::oid::Oid;

/// Octets of a short variable binding.
const BINDING: usize = 16;

/// What to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// The named objects.
    Get,
    /// The object after each named one.
    GetNext,
    /// Several objects after each named one.
    GetBulk {
        /// How many for each.
        max_repetitions: u32,
    },
}

impl Operation {
    fn tag(self) -> u8 {
        match self {
            Operation::Get => MSG_GET,
            Operation::GetNext => MSG_GET_NEXT,
            Operation::GetBulk { .. } => MSG_GET_BULK,
        }
    }
}

/// A version that is spoken with a community.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// RFC 1157: neither GETBULK nor Counter64, and one object that is missing refuses all.
    V1,
    /// RFC 1901.
    V2c,
}

impl Version {
    /// As messages carry it.
    fn number(self) -> i64 {
        match self {
            Version::V1 => 0,
            Version::V2c => 1,
        }
    }
}

/// One variable binding.
#[derive(Clone, Debug, PartialEq)]
pub struct VarBind {
    /// Its name.
    pub oid: Oid,
    /// Its value.
    pub value: Value,
}

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Response {
    /// Of the request.
    pub request_id: i32,
    /// 0 = none; 1 = too big; see [`error_name`].
    pub error_status: u32,
    /// Which binding, from 1.
    pub error_index: u32,
    /// What was answered.
    pub varbinds: Bindings,
}

/// What the transport needs to know of a datagram before anybody decodes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peek {
    /// Request id (v1, v2c) or message id (v3).
    pub id: i32,
}

/// Why an answer could not be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Not an SNMP message, or cut off.
    #[error("{0} ({1})")]
    Malformed(&'static str, snmp2::Error),
    /// A number or an object identifier out of its range.
    #[error("{0} out of range")]
    Range(&'static str),
    /// Of another protocol version.
    #[error("an answer of SNMP version number {0}")]
    Version(i64),
    /// With another community.
    #[error("an answer with another community")]
    Community,
    /// Not a response.
    #[error("a message that is no response")]
    NotAResponse,
    /// Neither trap nor inform.
    #[error("a PDU of type {0:#04x}, which is no notification")]
    NotANotification(u8),
}

impl DecodeError {
    pub(crate) fn at(what: &'static str) -> impl Fn(snmp2::Error) -> DecodeError {
        move |e| DecodeError::Malformed(what, e)
    }
}

/// A request with a community.
pub fn encode(
    version: Version,
    community: &[u8],
    operation: Operation,
    id: i32,
    oids: &[&Oid],
) -> Vec<u8> {
    let head = [integer(version.number()), tlv(TYPE_OCTETSTRING, community)].concat();
    tlv(TYPE_SEQUENCE, &[head, encode_pdu(operation, id, oids)].concat())
}

/// The protocol data unit alone.
pub fn encode_pdu(operation: Operation, id: i32, oids: &[&Oid]) -> Vec<u8> {
    let max_repetitions = match operation {
        Operation::GetBulk { max_repetitions } => i64::from(max_repetitions),
        _ => 0,
    };
    let mut bindings = Vec::with_capacity(oids.len() * 20);
    for oid in oids {
        let name = tlv(TYPE_OBJECTIDENTIFIER, &oid.to_ber());
        bindings.extend(tlv(TYPE_SEQUENCE, &[name.as_slice(), &[5, 0]].concat()));
    }
    let body = [
        integer(i64::from(id)),
        integer(0),
        integer(max_repetitions),
        tlv(TYPE_SEQUENCE, &bindings),
    ]
    .concat();
    tlv(operation.tag(), &body)
}

/// Tag, length, contents.
pub fn tlv(tag: u8, contents: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(contents.len() + 4);
    bytes.push(tag);
    let len = contents.len();
    if len < 128 {
        bytes.push(len as u8);
    } else {
        let be = len.to_be_bytes();
        let skip = be.iter().take_while(|b| **b == 0).count();
        bytes.push(0x80 | (be.len() - skip) as u8);
        bytes.extend(be.iter().skip(skip));
    }
    bytes.extend_from_slice(contents);
    bytes
}

/// An INTEGER.
pub fn integer(n: i64) -> Vec<u8> {
    let be = n.to_be_bytes();
    let mut start = 0;
    // A leading octet is superfluous where it only repeats the sign of the next.
    while let [a, b, ..] = be.get(start..).unwrap_or_default() {
        let superfluous = (*a == 0 && b & 0x80 == 0) || (*a == 0xff && b & 0x80 != 0);
        if !superfluous {
            break;
        }
        start += 1;
    }
    tlv(2, be.get(start..).unwrap_or_default())
}

/// Reads just the id. `None` = not an SNMP message, or cut off.
pub fn peek(datagram: &[u8]) -> Option<Peek> {
    let (version, mut message) = open_message(datagram).ok()?;
    let id = match version {
        0 | 1 => {
            message.read_asn_octetstring().ok()?;
            let tag = message.peek_byte().ok()?;
            AsnReader::from_bytes(message.read_raw(tag).ok()?).read_asn_integer().ok()?
        }
        3 => {
            AsnReader::from_bytes(message.read_raw(TYPE_SEQUENCE).ok()?).read_asn_integer().ok()?
        }
        _ => return None,
    };
    Some(Peek { id: i32::try_from(id).ok()? })
}

/// The version and the reader behind it.
pub(crate) fn open_message(datagram: &[u8]) -> Result<(i64, AsnReader<'_>), DecodeError> {
    let body = AsnReader::from_bytes(datagram)
        .read_raw(TYPE_SEQUENCE)
        .map_err(DecodeError::at("a message cut off"))?;
    let mut message = AsnReader::from_bytes(body);
    let version = message.read_asn_integer().map_err(DecodeError::at("no version"))?;
    Ok((version, message))
}

/// Reads an answer with a community.
pub fn decode(
    version: Version,
    datagram: &[u8],
    community: &[u8],
) -> Result<Response, DecodeError> {
    let (theirs, mut message) = open_message(datagram)?;
    if theirs != version.number() {
        return Err(DecodeError::Version(theirs));
    }
    let theirs = message.read_asn_octetstring().map_err(DecodeError::at("no community"))?;
    if theirs != community {
        return Err(DecodeError::Community);
    }
    match decode_pdu(&mut message)? {
        (MSG_RESPONSE, response) => Ok(response),
        _ => Err(DecodeError::NotAResponse),
    }
}

/// Reads a protocol data unit: its tag ([`MSG_RESPONSE`], [`MSG_REPORT`], …) and contents.
pub(super) fn decode_pdu(reader: &mut AsnReader<'_>) -> Result<(u8, Response), DecodeError> {
    let tag = reader.peek_byte().map_err(DecodeError::at("no PDU"))?;
    if tag != MSG_RESPONSE && tag != MSG_REPORT {
        return Err(DecodeError::NotAResponse);
    }
    let body = reader.read_raw(tag).map_err(DecodeError::at("a PDU cut off"))?;
    let mut pdu = AsnReader::from_bytes(body);
    let mut number = |what: &'static str| {
        pdu.read_asn_integer()
            .map_err(DecodeError::at(what))
            .and_then(|n| i32::try_from(n).map_err(|_| DecodeError::Range(what)))
    };
    let request_id = number("request id")?;
    let error_status = number("error status")?;
    let error_index = number("error index")?;
    let list = pdu.read_raw(TYPE_SEQUENCE).map_err(DecodeError::at("no variable bindings"))?;
    let varbinds = decode_bindings(list)?;
    let natural = |n: i32, what| u32::try_from(n).map_err(|_| DecodeError::Range(what));
    let response = Response {
        request_id,
        error_status: natural(error_status, "error status")?,
        error_index: natural(error_index, "error index")?,
        varbinds,
    };
    Ok((tag, response))
}

/// Reads a list of variable bindings, whatever becomes of single values.
pub(crate) fn decode_varbinds(list: &[u8]) -> Result<Vec<VarBind>, DecodeError> {
    decode_bindings(list).map(|bindings| bindings.into_iter().collect())
}

/// The same in few pieces of memory.
fn decode_bindings(list: &[u8]) -> Result<Bindings, DecodeError> {
    let mut reader = AsnReader::from_bytes(list);
    let mut varbinds = Bindings::with_capacity(list.len() / BINDING);
    while reader.bytes_left() > 0 {
        let pair = reader
            .read_raw(TYPE_SEQUENCE)
            .map_err(DecodeError::at("a variable binding cut off"))?;
        let mut pair = AsnReader::from_bytes(pair);
        let name =
            pair.read_raw(TYPE_OBJECTIDENTIFIER).map_err(DecodeError::at("a binding's name"))?;
        let tag = pair.peek_byte().map_err(DecodeError::at("a binding without value"))?;
        let value = || pair.next().map_or(Value::Undecodable(tag), Value::from_wire);
        if !varbinds.push_ber(name, value) {
            return Err(DecodeError::Range("an object identifier"));
        }
    }
    Ok(varbinds)
}

/// The name of an error status.
pub fn error_name(status: u32) -> &'static str {
    const NAMES: [&str; 19] = [
        "noError",
        "tooBig",
        "noSuchName",
        "badValue",
        "readOnly",
        "genErr",
        "noAccess",
        "wrongType",
        "wrongLength",
        "wrongEncoding",
        "wrongValue",
        "noCreation",
        "inconsistentValue",
        "resourceUnavailable",
        "commitFailed",
        "undoFailed",
        "authorizationError",
        "notWritable",
        "inconsistentName",
    ];
    usize::try_from(status).ok().and_then(|i| NAMES.get(i)).copied().unwrap_or("unknown error")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn oid(text: &str) -> Oid {
        Oid::parse(text).unwrap()
    }

    /// An answer with one binding whose value is the given TLV.
    fn answer(values: &[&[u8]]) -> Vec<u8> {
        let mut list = Vec::new();
        for (i, value) in values.iter().enumerate() {
            let name = tlv(6, &oid("1.3.6.1.2.1.1").with(&[i as u32]).to_ber());
            list.extend(tlv(0x30, &[name.as_slice(), value].concat()));
        }
        let pdu = [integer(7), integer(0), integer(0), tlv(0x30, &list)].concat();
        tlv(0x30, &[integer(1), tlv(4, b"public"), tlv(MSG_RESPONSE, &pdu)].concat())
    }

    #[test]
    fn a_request_is_what_snmp2_reads() {
        let a = oid("1.3.6.1.2.1.1.3.0");
        let b = oid("1.3.6.1.2.1.2.2.1.8.300");
        let bytes = encode(
            Version::V2c,
            b"public",
            Operation::GetBulk { max_repetitions: 20 },
            -77,
            &[&a, &b],
        );
        let pdu = snmp2::Pdu::from_bytes(&bytes).unwrap();
        assert_eq!(pdu.message_type, snmp2::MessageType::GetBulkRequest);
        assert_eq!((pdu.req_id, pdu.error_status, pdu.error_index), (-77, 0, 20));
        let names: Vec<String> = pdu.varbinds.map(|(name, _)| name.to_id_string()).collect();
        assert_eq!(names, [a.to_string(), b.to_string()]);
        assert_eq!(peek(&bytes), Some(Peek { id: -77 }));
    }

    #[test]
    fn an_undecodable_value_is_noticed_and_the_rest_is_read() {
        // An empty IpAddress, a tag nobody knows, an INTEGER of nine octets.
        let bytes = answer(&[
            &[2, 1, 42],
            &[0x40, 0],
            &[0x4f, 1, 1],
            &[2, 9, 1, 1, 1, 1, 1, 1, 1, 1, 1],
            &[4, 2, b'o', b'k'],
        ]);
        let silently = snmp2::Pdu::from_bytes(&bytes).unwrap().varbinds.count();
        assert_eq!(silently, 1, "snmp2 ends silently; if that changed, simplify decode_varbinds");
        let values: Vec<Value> = decode(Version::V2c, &bytes, b"public")
            .unwrap()
            .varbinds
            .into_iter()
            .map(|v| v.value)
            .collect();
        assert_eq!(
            values,
            [
                Value::Integer(42),
                Value::Undecodable(0x40),
                Value::Undecodable(0x4f),
                Value::Undecodable(2),
                Value::Octets(b"ok".to_vec()),
            ]
        );
    }

    #[test]
    fn truncated_answers_are_refused() {
        let bytes = answer(&[&[2, 1, 42], &[4, 2, b'o', b'k']]);
        assert!(decode(Version::V2c, &bytes, b"public").is_ok());
        for end in 0..bytes.len() {
            assert!(decode(Version::V2c, &bytes[..end], b"public").is_err(), "cut at {end}");
            assert_eq!(peek(&bytes[..end]), None, "cut at {end}");
        }
        assert_eq!(decode(Version::V2c, &bytes, b"other"), Err(DecodeError::Community));
        assert_eq!(decode(Version::V1, &bytes, b"public"), Err(DecodeError::Version(1)));
    }

    proptest::proptest! {
        #[test]
        fn fuzz_random_datagrams_never_panic(bytes in proptest::collection::vec(0u8.., 0..300)) {
            let _ = peek(&bytes);
            for version in [Version::V1, Version::V2c] {
                let _ = decode(version, &bytes, b"public");
            }
        }

        #[test]
        fn fuzz_mutated_answers_never_panic(at in 0usize..90, to in 0u8.., cut in 0usize..90) {
            let mut bytes = answer(&[&[2, 1, 42], &[0x46, 2, 1, 1], &[4, 2, b'o', b'k'], &[0x40, 4, 1, 2, 3, 4]]);
            if let Some(byte) = bytes.get_mut(at) { *byte = to; }
            bytes.truncate(bytes.len().saturating_sub(cut % 7));
            let _ = peek(&bytes);
            for version in [Version::V1, Version::V2c] {
                let _ = decode(version, &bytes, b"public");
            }
        }
    }
}
