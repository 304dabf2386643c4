//! As much BER as an SNMP v1 and v2c responder needs.

use super::{Oid, SimValue};

/// What is asked.
pub enum Pdu {
    /// GetRequest.
    Get,
    /// GetNextRequest.
    GetNext,
    /// GetBulkRequest.
    GetBulk {
        /// Leading variables that are asked once.
        non_repeaters: usize,
        /// How often the others are.
        max_repetitions: usize,
    },
}

/// A decoded request.
pub struct Request {
    version: i64,
    community: Vec<u8>,
    id: i64,
    /// What is asked.
    pub pdu: Pdu,
    /// Of which objects.
    pub oids: Vec<Oid>,
}

impl Request {
    /// Whether it is of version 1.
    pub fn is_v1(&self) -> bool {
        self.version == 0
    }
}

/// An error status and the binding that it is about, from 1 (0 = none).
pub type Fault = (i64, usize);

/// Reads a v1 or v2c request; `None` for anything else.
pub fn decode(datagram: &[u8]) -> Option<Request> {
    let mut message = Reader(Reader(datagram).expect(0x30)?);
    let version = message.integer()?;
    let community = message.expect(0x04)?.to_vec();
    let (tag, body) = message.any()?;
    let mut body = Reader(body);
    let id = body.integer()?;
    let (second, third) = (body.integer()?, body.integer()?);
    let pdu = match tag {
        0xa0 => Pdu::Get,
        0xa1 => Pdu::GetNext,
        0xa5 => Pdu::GetBulk {
            non_repeaters: usize::try_from(second).ok()?,
            max_repetitions: usize::try_from(third).ok()?.min(10_000),
        },
        _ => return None,
    };
    let mut list = Reader(body.expect(0x30)?);
    let mut oids = Vec::new();
    while !list.0.is_empty() {
        let mut binding = Reader(list.expect(0x30)?);
        oids.push(read_oid(binding.expect(0x06)?)?);
    }
    Some(Request { version, community, id, pdu, oids })
}

/// Writes the response. `None` values are noSuchInstance for GET, endOfMibView otherwise.
/// Version 1 knows neither: there absent values are NULL.
pub fn encode(
    request: &Request,
    (error, index): Fault,
    bindings: &[(Oid, Option<SimValue>)],
) -> Vec<u8> {
    let absent = match request.pdu {
        _ if request.is_v1() => 0x05,
        Pdu::Get => 0x81,
        _ => 0x82,
    };
    let mut list = Vec::new();
    for (oid, value) in bindings {
        let mut binding = Vec::new();
        put(&mut binding, 0x06, &write_oid(oid));
        match value {
            Some(value) => put_value(&mut binding, value),
            None => put(&mut binding, absent, &[]),
        }
        put(&mut list, 0x30, &binding);
    }
    let mut pdu = Vec::new();
    put_integer(&mut pdu, 0x02, request.id);
    put_integer(&mut pdu, 0x02, error);
    put_integer(&mut pdu, 0x02, i64::try_from(index).unwrap_or(0));
    put(&mut pdu, 0x30, &list);
    let mut message = Vec::new();
    put_integer(&mut message, 0x02, request.version);
    put(&mut message, 0x04, &request.community);
    put(&mut message, 0xa2, &pdu);
    let mut out = Vec::new();
    put(&mut out, 0x30, &message);
    out
}

/// Writes a version 2c trap.
pub fn encode_trap(community: &str, bindings: &[(Oid, SimValue)]) -> Vec<u8> {
    let mut list = Vec::new();
    for (oid, value) in bindings {
        let mut binding = Vec::new();
        put(&mut binding, 0x06, &write_oid(oid));
        put_value(&mut binding, value);
        put(&mut list, 0x30, &binding);
    }
    let mut pdu = Vec::new();
    for number in [1, 0, 0] {
        put_integer(&mut pdu, 0x02, number);
    }
    put(&mut pdu, 0x30, &list);
    let mut message = Vec::new();
    put_integer(&mut message, 0x02, 1);
    put(&mut message, 0x04, community.as_bytes());
    put(&mut message, 0xa7, &pdu);
    let mut out = Vec::new();
    put(&mut out, 0x30, &message);
    out
}

/// About how large a value is on the wire.
pub fn size_hint(value: &SimValue) -> usize {
    match value {
        SimValue::OctetString(bytes) | SimValue::Opaque(bytes) => bytes.len(),
        SimValue::ObjectId(text) => text.len(),
        _ => 9,
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn any(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, mut rest) = rest.split_first()?;
        let length = if first < 0x80 {
            usize::from(first)
        } else {
            let count = usize::from(first & 0x7f);
            if count == 0 || count > 4 || rest.len() < count {
                return None;
            }
            let (digits, after) = rest.split_at(count);
            rest = after;
            digits.iter().fold(0, |n, d| (n << 8) | usize::from(*d))
        };
        if rest.len() < length {
            return None;
        }
        let (body, after) = rest.split_at(length);
        self.0 = after;
        Some((tag, body))
    }

    fn expect(&mut self, wanted: u8) -> Option<&'a [u8]> {
        let (tag, body) = self.any()?;
        (tag == wanted).then_some(body)
    }

    fn integer(&mut self) -> Option<i64> {
        let body = self.expect(0x02)?;
        if body.is_empty() || body.len() > 8 {
            return None;
        }
        let start = if body[0] & 0x80 == 0 { 0 } else { -1 };
        Some(body.iter().fold(start, |n, b| (n << 8) | i64::from(*b)))
    }
}

fn read_oid(body: &[u8]) -> Option<Oid> {
    let mut oid = Vec::new();
    let mut arc: u32 = 0;
    for byte in body {
        arc = arc.checked_mul(128)?.checked_add(u32::from(byte & 0x7f))?;
        if byte & 0x80 == 0 {
            if oid.is_empty() {
                let first = (arc / 40).min(2);
                oid.extend([first, arc - first * 40]);
            } else {
                oid.push(arc);
            }
            arc = 0;
        }
    }
    Some(oid)
}

fn write_oid(oid: &[u32]) -> Vec<u8> {
    let mut out = Vec::new();
    let first = oid.first().copied().unwrap_or(0) * 40 + oid.get(1).copied().unwrap_or(0);
    for arc in std::iter::once(first).chain(oid.iter().skip(2).copied()) {
        let mut groups = vec![u8::try_from(arc & 0x7f).unwrap_or(0)];
        let mut rest = arc >> 7;
        while rest > 0 {
            groups.push(u8::try_from(rest & 0x7f).unwrap_or(0) | 0x80);
            rest >>= 7;
        }
        out.extend(groups.iter().rev());
    }
    out
}

fn put(out: &mut Vec<u8>, tag: u8, body: &[u8]) {
    out.push(tag);
    let length = body.len();
    if let (true, Ok(short)) = (length < 0x80, u8::try_from(length)) {
        out.push(short);
    } else {
        let bytes = length.to_be_bytes();
        let skip = bytes.iter().take_while(|b| **b == 0).count();
        out.push(0x80 | u8::try_from(bytes.len() - skip).unwrap_or(8));
        out.extend(&bytes[skip..]);
    }
    out.extend(body);
}

fn put_integer(out: &mut Vec<u8>, tag: u8, n: i64) {
    let bytes = n.to_be_bytes();
    let mut start = 0;
    while start < 7
        && ((bytes[start] == 0 && bytes[start + 1] & 0x80 == 0)
            || (bytes[start] == 0xff && bytes[start + 1] & 0x80 != 0))
    {
        start += 1;
    }
    put(out, tag, &bytes[start..]);
}

fn put_unsigned(out: &mut Vec<u8>, tag: u8, n: u64) {
    let mut bytes = vec![0];
    bytes.extend(n.to_be_bytes());
    let mut start = 0;
    while start < 8 && bytes[start] == 0 && bytes[start + 1] & 0x80 == 0 {
        start += 1;
    }
    put(out, tag, &bytes[start..]);
}

fn put_value(out: &mut Vec<u8>, value: &SimValue) {
    match value {
        SimValue::Integer(n) => put_integer(out, 0x02, *n),
        SimValue::OctetString(bytes) => put(out, 0x04, bytes),
        SimValue::Null => put(out, 0x05, &[]),
        SimValue::ObjectId(text) => {
            put(out, 0x06, &write_oid(&super::parse_oid(text).unwrap_or_default()));
        }
        SimValue::IpAddress(bytes) => put(out, 0x40, bytes),
        SimValue::Counter32(n) => put_unsigned(out, 0x41, u64::from(*n)),
        SimValue::Gauge32(n) => put_unsigned(out, 0x42, u64::from(*n)),
        SimValue::TimeTicks(n) => put_unsigned(out, 0x43, u64::from(*n)),
        SimValue::Opaque(bytes) => put(out, 0x44, bytes),
        SimValue::Counter64(n) => put_unsigned(out, 0x46, *n),
    }
}
