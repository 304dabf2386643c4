//! Carries a plain stream of bytes through a WebSocket, both ways, until one end closes.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::mpsc;

use super::{Decoder, Event, Opcode, Role, frame};

/// One read; also the largest frame that is sent.
const CHUNK: usize = 16 * 1024;
/// Pongs that wait to be sent; a peer that pings faster than it reads is cut off.
const CONTROL: usize = 8;
/// For the good-bye.
const GOODBYE: Duration = Duration::from_secs(2);

/// Runs until either end closes. `head` is what was read from `net` behind the handshake. An error is
/// the network's or a [`super::Violation`] (`InvalidData`).
pub async fn pump<N, P>(net: N, plain: P, role: Role, head: Vec<u8>) -> io::Result<()>
where
    N: AsyncRead + AsyncWrite,
    P: AsyncRead + AsyncWrite,
{
    let (net_read, mut net_write) = tokio::io::split(net);
    let (plain_read, plain_write) = tokio::io::split(plain);
    let (control, queue) = mpsc::channel(CONTROL);
    let ended = tokio::select! {
        ended = inward(net_read, plain_write, role, head, control) => ended,
        ended = outward(plain_read, &mut net_write, role, queue) => ended,
    };
    let goodbye = async {
        // 1000, normal closure; 1002, protocol error (RFC 6455, §7.4.1).
        let code: u16 = if ended.is_ok() { 1000 } else { 1002 };
        net_write.write_all(&frame(Opcode::Close, mask(role), &code.to_be_bytes())).await?;
        net_write.shutdown().await
    };
    let _ = tokio::time::timeout(GOODBYE, goodbye).await;
    ended
}

/// Frames in, bytes out.
async fn inward<N: AsyncRead, P: AsyncWrite>(
    mut net: ReadHalf<N>,
    mut plain: WriteHalf<P>,
    role: Role,
    head: Vec<u8>,
    control: mpsc::Sender<Vec<u8>>,
) -> io::Result<()> {
    let mut decoder = Decoder::new(role);
    let mut buffer = head;
    loop {
        let mut used = 0;
        let wrong = |e: super::Violation| io::Error::new(io::ErrorKind::InvalidData, e);
        while let Some(rest) = buffer.get_mut(used..)
            && let Some((skipped, event)) = decoder.next(rest).map_err(wrong)?
        {
            used += skipped;
            match event {
                Event::Data(count) => {
                    plain.write_all(buffer.get(used..used + count).unwrap_or_default()).await?;
                    used += count;
                }
                Event::Ping(payload) => control
                    .try_send(payload)
                    .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "too many pings"))?,
                Event::Pong => {}
                Event::Close => return plain.shutdown().await,
            }
        }
        plain.flush().await?;
        buffer.drain(..used);
        let start = buffer.len();
        buffer.resize(start + CHUNK, 0);
        let count = net.read(buffer.get_mut(start..).unwrap_or_default()).await?;
        buffer.truncate(start + count);
        if count == 0 {
            return plain.shutdown().await;
        }
    }
}

/// Bytes in, frames out; and pongs.
async fn outward<N: AsyncWrite, P: AsyncRead>(
    mut plain: ReadHalf<P>,
    net: &mut WriteHalf<N>,
    role: Role,
    mut control: mpsc::Receiver<Vec<u8>>,
) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        let framed = tokio::select! {
            Some(ping) = control.recv() => frame(Opcode::Pong, mask(role), &ping),
            count = plain.read(&mut buffer) => {
                let count = count?;
                if count == 0 {
                    return Ok(());
                }
                frame(Opcode::Binary, mask(role), buffer.get(..count).unwrap_or_default())
            }
        };
        net.write_all(&framed).await?;
        net.flush().await?;
    }
}

/// A fresh mask for each frame of a client. It protects proxies that do not look inside TLS, which
/// is why a system without randomness may go on with a constant.
fn mask(role: Role) -> Option<[u8; 4]> {
    (role == Role::Client).then(|| getrandom::u32().unwrap_or(0x5a5a_a5a5).to_ne_bytes())
}
