//! The sockets: a task for each, which drops what is over its sender's limit before anybody waits for it.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use callhome_shared::time::Time;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;

use crate::source::senders::{Admission, Senders};

/// Largest UDP payload.
const MAX_DATAGRAM: usize = 65_535;

/// A message as it came.
#[derive(Debug)]
pub(super) struct Datagram {
    pub(super) bytes: Vec<u8>,
    pub(super) from: SocketAddr,
    pub(super) at: Time,
    /// Which socket: an answer leaves by it.
    pub(super) socket: usize,
}

/// Opens all, or says why not and what helps.
pub(super) async fn open(listen: &[SocketAddr]) -> Result<Vec<Arc<UdpSocket>>, String> {
    let mut sockets = Vec::with_capacity(listen.len());
    for address in listen {
        sockets.push(Arc::new(bind(*address).await.map_err(|error| {
            let hint = match error.kind() {
                ErrorKind::PermissionDenied => {
                    ": a port below 1024 needs AmbientCapabilities=CAP_NET_BIND_SERVICE in the unit, \
                     or listen on 1162 and redirect 162 to it (docs/traps.md)"
                }
                ErrorKind::AddrInUse => ": another program listens there (snmptrapd?)",
                _ => "",
            };
            format!("{address}: {error}{hint}")
        })?));
    }
    Ok(sockets)
}

/// Where a host has no IPv6, `[::]` means every address of IPv4.
async fn bind(address: SocketAddr) -> std::io::Result<UdpSocket> {
    match UdpSocket::bind(address).await {
        Err(error)
            if address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED)
                && !matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::AddrInUse) =>
        {
            UdpSocket::bind((Ipv4Addr::UNSPECIFIED, address.port())).await
        }
        bound => bound,
    }
}

/// Receives until nobody listens any more. `own` is where our own probe comes from: it is never over a limit.
pub(super) async fn receive(
    socket: Arc<UdpSocket>,
    number: usize,
    senders: Arc<Mutex<Senders>>,
    own: Arc<Mutex<Option<SocketAddr>>>,
    out: mpsc::Sender<Datagram>,
) {
    let mut buffer = vec![0u8; MAX_DATAGRAM];
    loop {
        let (len, from) = match socket.recv_from(&mut buffer).await {
            Ok(received) => received,
            Err(error) => {
                tracing::debug!(%error, "trap socket");
                // An error that lasts must not spin.
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            }
        };
        let probe = *own.lock().unwrap_or_else(PoisonError::into_inner);
        let admission = match probe {
            Some(own) if canonical(own) == canonical(from) => Admission::Pass,
            _ => {
                let mut senders = senders.lock().unwrap_or_else(PoisonError::into_inner);
                senders.admit(from.ip(), Instant::now())
            }
        };
        if admission == Admission::Dropped {
            continue;
        }
        let bytes = buffer.get(..len).unwrap_or_default().to_vec();
        let datagram = Datagram { bytes, from, at: Time::now(), socket: number };
        if out.send(datagram).await.is_err() {
            return;
        }
    }
}

/// An IPv4 address is the same whether it comes through a socket of IPv6 or not.
pub(super) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
