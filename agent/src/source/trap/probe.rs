//! Our own trap to our own socket: the proof that what is sent there is read.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use uuid::Uuid;

use super::decode::{Message, decode};
use crate::profile::oid::Oid;
use crate::source::probe;
use crate::source::snmp::message::{integer, tlv};
use crate::source::snmp::value::Value;

/// snmpTrapOID.0.
const TRAP_OID: [u32; 11] = [1, 3, 6, 1, 6, 3, 1, 1, 4, 1, 0];
/// What the trap is called: nothing that a device sends.
const NAME: [u32; 2] = [0, 0];

/// Where to send it: the socket's own address, or the host itself where it listens to all.
pub(super) fn to(listening: SocketAddr) -> SocketAddr {
    let ip = match listening.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        // Also heard by a socket of both families.
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listening.port())
}

/// Where to send it from.
pub(super) fn from(to: SocketAddr) -> SocketAddr {
    SocketAddr::new(to.ip(), 0)
}

/// A version 2c trap that carries the nonce.
pub(super) fn datagram(nonce: Uuid) -> Vec<u8> {
    let binding = |name: &[u32], value: Vec<u8>| {
        tlv(0x30, &[tlv(6, &Oid::new(name).to_ber()), value].concat())
    };
    let list = [
        binding(&TRAP_OID, tlv(6, &Oid::new(&NAME).to_ber())),
        binding(&NAME, tlv(4, probe::line(nonce).as_bytes())),
    ];
    let pdu = [integer(0), integer(0), integer(0), tlv(0x30, &list.concat())].concat();
    let body = [integer(1), tlv(4, b"callhome-probe"), tlv(snmp2::snmp::MSG_TRAP, &pdu)];
    tlv(0x30, &body.concat())
}

/// Whether a datagram, read as any other, is this probe.
pub(super) fn says(datagram: &[u8], nonce: Uuid) -> bool {
    let Ok(Message::Community { notification, .. }) = decode(datagram) else { return false };
    let line = probe::line(nonce);
    notification.varbinds.iter().any(|v| v.value == Value::Octets(line.as_bytes().to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_is_read_like_any_trap() {
        let nonce = Uuid::from_u128(7);
        assert!(says(&datagram(nonce), nonce));
        assert!(!says(&datagram(nonce), Uuid::from_u128(8)));
        assert!(!says(b"callhome-probe", nonce));
        assert_eq!(to("[::]:162".parse().unwrap()), "[::1]:162".parse().unwrap());
        assert_eq!(to("192.0.2.1:162".parse().unwrap()), "192.0.2.1:162".parse().unwrap());
    }
}
