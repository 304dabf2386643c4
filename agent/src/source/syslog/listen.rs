//! The sockets: datagrams, connections, TLS.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use callhome_shared::time::Time;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;

use super::framing::{Frame, Framer};
use super::hub::{Hub, Place};
use super::tls::Tls;
use crate::source::missed::KernelDrops;

/// Before a socket that could not be opened is tried again.
const REOPEN: Duration = Duration::from_secs(3);
/// Asked of the kernel for datagrams that wait; it gives what `net.core.rmem_max` allows.
const RECEIVE_BUFFER: usize = 4 << 20;
/// Datagrams read before others get their turn.
const DATAGRAMS: usize = 64;
/// Largest UDP payload.
const DATAGRAM_BYTES: usize = 65_535;
const READ_BYTES: usize = 16 * 1024;
/// For the rest of a message whose beginning came; then the connection is closed.
const PARTIAL: Duration = Duration::from_secs(60);
const HANDSHAKE: Duration = Duration::from_secs(10);
/// A peer that is gone without a word is found after about so long.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// Starts a task for each configured address.
pub(super) fn start(hub: &Hub, tasks: &mut JoinSet<()>) {
    let settings = hub.settings();
    for at in &settings.udp {
        tasks.spawn(keep_udp(hub.clone(), *at));
    }
    for at in &settings.tcp {
        tasks.spawn(keep_tcp(hub.clone(), *at, None));
    }
    for at in &settings.tls {
        let tls = settings.identity.clone().map(Tls::new);
        tasks.spawn(keep_tcp(hub.clone(), *at, tls));
    }
}

async fn keep_udp(hub: Hub, at: SocketAddr) {
    let name = format!("udp {at}");
    loop {
        let why = match bind_udp(at) {
            Ok((socket, bound)) => {
                hub.opened(&name, bound, KernelDrops::of(&socket));
                datagrams(&hub, &socket).await
            }
            Err(error) => hint(&error, at),
        };
        hub.closed(&name, &why);
        tokio::time::sleep(REOPEN).await;
    }
}

fn bind_udp(at: SocketAddr) -> io::Result<(UdpSocket, SocketAddr)> {
    let socket = Socket::new(Domain::for_address(at), Type::DGRAM, Some(Protocol::UDP))?;
    if at.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    socket.set_nonblocking(true)?;
    socket.bind(&at.into())?;
    let socket = UdpSocket::from_std(socket.into())?;
    let bound = socket.local_addr()?;
    Ok((socket, bound))
}

/// Reads until the socket fails; says why.
async fn datagrams(hub: &Hub, socket: &UdpSocket) -> String {
    let max = hub.settings().max_line_bytes;
    let mut buffer = vec![0; DATAGRAM_BYTES];
    loop {
        if let Err(error) = socket.readable().await {
            return error.to_string();
        }
        for _ in 0..DATAGRAMS {
            match socket.try_recv_from(&mut buffer) {
                Ok((length, from)) => {
                    let bytes = buffer.get(..length.min(max)).unwrap_or_default().to_vec();
                    let frame = Frame { bytes, truncated: length > max };
                    let (now, at) = (Instant::now(), Time::now());
                    hub.at_desk(|desk| desk.datagram(from, &frame, now, at));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return error.to_string(),
            }
        }
        tokio::task::yield_now().await;
    }
}

async fn keep_tcp(hub: Hub, at: SocketAddr, tls: Option<Tls>) {
    let name = format!("{} {at}", if tls.is_some() { "tls" } else { "tcp" });
    loop {
        let why = match listener(at).and_then(|socket| Ok((socket.local_addr()?, socket))) {
            Ok((bound, socket)) => match tls.as_ref().map(Tls::check).transpose() {
                Ok(_) => {
                    hub.opened(&name, bound, None);
                    connections(&hub, &socket, tls.as_ref()).await
                }
                Err(why) => why,
            },
            Err(error) => hint(&error, at),
        };
        hub.closed(&name, &why);
        tokio::time::sleep(REOPEN).await;
    }
}

fn listener(at: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(at), Type::STREAM, Some(Protocol::TCP))?;
    if at.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // A port whose last connections are still closing is ours all the same.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&at.into())?;
    socket.listen(128)?;
    TcpListener::from_std(socket.into())
}

/// Accepts until the socket fails; says why. Connections end with this task.
async fn connections(hub: &Hub, listener: &TcpListener, tls: Option<&Tls>) -> String {
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, from)) => {
                    let Some(place) = hub.connect(from) else { continue };
                    open.spawn(serve(hub.clone(), stream, from, place, tls.cloned()));
                }
                // Out of descriptors, or the peer is gone already: the others go on.
                Err(error) if open.is_empty() && is_broken(&error) => return error.to_string(),
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            },
            Some(_) = open.join_next(), if !open.is_empty() => {}
        }
    }
}

fn is_broken(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::NotConnected)
}

async fn serve(hub: Hub, stream: TcpStream, from: SocketAddr, place: Place, tls: Option<Tls>) {
    let keep_alive = TcpKeepalive::new().with_time(KEEP_ALIVE).with_interval(KEEP_ALIVE / 6);
    if let Err(error) = SockRef::from(&stream).set_tcp_keepalive(&keep_alive) {
        tracing::debug!(%from, %error, "no keep-alive");
    }
    // Our own probe has no certificate to show; that it is ours is known by its socket.
    let ours = hub.at_desk(|desk| desk.is_expected(from));
    let Some(tls) = tls.filter(|_| !ours) else {
        return messages(&hub, stream, from, &place).await;
    };
    match tokio::time::timeout(HANDSHAKE, tls.accept(stream)).await {
        Ok(Ok(stream)) => messages(&hub, stream, from, &place).await,
        Ok(Err(error)) => {
            hub.at_desk(|desk| desk.counts.refused += 1);
            tracing::info!(%from, error, "TLS connection refused");
        }
        Err(_) => hub.at_desk(|desk| desk.counts.refused += 1),
    }
}

async fn messages(hub: &Hub, mut stream: impl AsyncRead + Unpin, from: SocketAddr, place: &Place) {
    let mut framer = Framer::new(hub.settings().max_line_bytes);
    let mut buffer = vec![0; READ_BYTES];
    let mut found = Vec::new();
    loop {
        let read = match framer.has_partial() {
            false => stream.read(&mut buffer).await,
            // What hangs half said must not hold up for ever what passes for heard.
            true => match tokio::time::timeout(PARTIAL, stream.read(&mut buffer)).await {
                Ok(read) => read,
                Err(_) => Ok(0),
            },
        };
        place.pending(Some(Time::now()));
        let framed = match read {
            Ok(0) | Err(_) => {
                framer.finish(&mut |frame| found.push(frame));
                hand_in(hub, &mut found, from).await;
                return;
            }
            Ok(length) => framer.push(buffer.get(..length).unwrap_or_default(), &mut |frame| {
                found.push(frame);
            }),
        };
        hand_in(hub, &mut found, from).await;
        if let Err(error) = framed {
            hub.at_desk(|desk| desk.counts.refused += 1);
            tracing::info!(%from, %error, "connection ended");
            return;
        }
        if !framer.has_partial() {
            place.pending(None);
        }
    }
}

/// Hands messages to the desk at the sender's rate, and while there is room: nothing is dropped, and
/// the sender notices that it is not read.
async fn hand_in(hub: &Hub, found: &mut Vec<Frame>, from: SocketAddr) {
    for frame in found.drain(..) {
        loop {
            let now = Instant::now();
            let (full, pause) =
                hub.at_desk(|desk| (desk.queue.is_half_full(), desk.pause(from, now)));
            if full {
                tokio::select! {
                    () = hub.room() => {}
                    () = tokio::time::sleep(Duration::from_millis(100)) => {}
                }
            } else if let Some(pause) = pause {
                tokio::time::sleep(pause).await;
            } else {
                break;
            }
        }
        hub.at_desk(|desk| desk.message(from, &frame, Time::now()));
    }
}

/// Why a socket could not be opened, with what helps.
fn hint(error: &io::Error, at: SocketAddr) -> String {
    match error.kind() {
        io::ErrorKind::PermissionDenied if at.port() < 1024 => format!(
            "{error}: ports below 1024 need AmbientCapabilities=CAP_NET_BIND_SERVICE in the unit"
        ),
        _ => error.to_string(),
    }
}
