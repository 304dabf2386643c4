//! A probe enters at a real socket: a message from one of our own to the one that listens.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpSocket, UdpSocket};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::hub::Hub;
use crate::source::probe::{self, Slot};

/// Facility syslog, informational.
const PRIORITY: u8 = 46;
const TIME_OUT: Duration = Duration::from_secs(5);

/// Sends the probe that is asked for, if any. One that gets lost is sent again at the next look.
pub(super) fn ask(hub: &Hub, slot: &Slot, tasks: &mut JoinSet<()>) {
    let (Some(nonce), Some((name, at))) = (slot.asked(), hub.open_socket()) else { return };
    let hub = hub.clone();
    tasks.spawn(async move {
        let sent = tokio::time::timeout(TIME_OUT, send(&hub, &name, at, nonce)).await;
        match sent {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(socket = name, %error, "probe not sent"),
            Err(_) => tracing::debug!(socket = name, "probe not sent in time"),
        }
    });
}

async fn send(hub: &Hub, name: &str, at: SocketAddr, nonce: Uuid) -> io::Result<()> {
    let to = reachable(at);
    let from = SocketAddr::new(to.ip(), 0);
    let message = format!("<{PRIORITY}>{}", probe::line(nonce));
    let began = Instant::now();
    if name.starts_with("udp") {
        let socket = UdpSocket::bind(from).await?;
        let own = socket.local_addr()?;
        hub.at_desk(|desk| desk.expect(own, nonce, began));
        socket.send_to(message.as_bytes(), to).await?;
        return Ok(());
    }
    let socket = if to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.bind(from)?;
    let own = socket.local_addr()?;
    hub.at_desk(|desk| desk.expect(own, nonce, began));
    let mut stream = socket.connect(to).await?;
    stream.write_all(format!("{} {message}", message.len()).as_bytes()).await?;
    stream.shutdown().await
}

/// A socket that listens everywhere is reached on the loopback.
fn reachable(at: SocketAddr) -> SocketAddr {
    let ip = match at.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, at.port())
}
