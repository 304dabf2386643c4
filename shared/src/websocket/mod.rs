//! WebSocket (RFC 6455) for MQTT: binary frames only, every frame bounded, no extensions.
//!
//! A stream of bytes is cut into frames as it comes; where they are cut means nothing (MQTT 5, §6).
//! Payloads pass through without being gathered, so a frame costs no memory of its own size.

pub mod pump;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest as _, Sha1};

/// The subprotocol (MQTT 5, §6).
pub const SUBPROTOCOL: &str = "mqtt";
/// Largest data frame that is taken.
pub const MAX_FRAME_BYTES: u64 = 1024 * 1024;
/// Largest payload of a control frame (RFC 6455, §5.5).
pub const MAX_CONTROL_BYTES: usize = 125;
/// What the key is hashed with (RFC 6455, §1.3).
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Which end we are. A client masks what it sends, a server does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The one that connected.
    Client,
    /// The other.
    Server,
}

/// `Sec-WebSocket-Accept` for a `Sec-WebSocket-Key`.
pub fn accept_key(key: &str) -> String {
    let mut hash = Sha1::new();
    hash.update(key.as_bytes());
    hash.update(GUID.as_bytes());
    STANDARD.encode(hash.finalize())
}

/// Kinds of frame that are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    /// Data.
    Binary,
    /// Good-bye.
    Close,
    /// Are you there?
    Ping,
    /// I am.
    Pong,
}

impl Opcode {
    fn code(self) -> u8 {
        match self {
            Opcode::Binary => 0x2,
            Opcode::Close => 0x8,
            Opcode::Ping => 0x9,
            Opcode::Pong => 0xa,
        }
    }
}

/// A whole frame.
pub fn frame(opcode: Opcode, mask: Option<[u8; 4]>, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.len() + 14);
    out.push(0x80 | opcode.code());
    let masked = if mask.is_some() { 0x80 } else { 0 };
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(short), _) if short < 126 => out.push(masked | short),
        (_, Ok(medium)) => {
            out.push(masked | 126);
            out.extend_from_slice(&medium.to_be_bytes());
        }
        _ => {
            out.push(masked | 127);
            out.extend_from_slice(&(payload.len() as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&mask.unwrap_or_default()[..if mask.is_some() { 4 } else { 0 }]);
    let start = out.len();
    out.extend_from_slice(payload);
    if let Some(mask) = mask {
        unmask(&mut out[start..], mask, 0);
    }
    out
}

/// What the peer sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// So many bytes of the buffer given are data now: from its beginning.
    Data(usize),
    /// It wants a pong with this payload.
    Ping(Vec<u8>),
    /// It answers a ping.
    Pong,
    /// It says good-bye.
    Close,
}

/// What the peer may not send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// An extension was not agreed on.
    #[error("reserved bits are set")]
    Reserved,
    /// Text, or a kind that does not exist.
    #[error("frame of kind {0:#x}, expected binary")]
    Kind(u8),
    /// A client must mask, a server must not.
    #[error("frame is masked and should not be, or the other way round")]
    Mask,
    /// A data frame over [`MAX_FRAME_BYTES`].
    #[error("frame of {0} bytes is over the limit of {MAX_FRAME_BYTES}")]
    TooLarge(u64),
    /// A control frame in pieces, or over [`MAX_CONTROL_BYTES`].
    #[error("control frame in pieces or too long")]
    Control,
    /// A piece of nothing, or a new message within one.
    #[error("pieces of messages are out of order")]
    Order,
}

/// Reads frames, however they are cut by the network.
#[derive(Debug)]
pub struct Decoder {
    role: Role,
    /// A message of several frames has begun.
    within_message: bool,
    /// The data frame that is being read.
    open: Option<Open>,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    left: u64,
    mask: Option<[u8; 4]>,
    /// Payload bytes so far, modulo 4.
    at: usize,
}

struct Head {
    finished: bool,
    code: u8,
    mask: Option<[u8; 4]>,
    length: u64,
    size: usize,
}

impl Decoder {
    /// For the end that we are.
    pub fn new(role: Role) -> Self {
        Decoder { role, within_message: false, open: None }
    }

    /// Looks at the beginning of `input`. Answers the event and how many bytes of frame head to drop
    /// *before* it; [`Event::Data`]'s bytes follow them, unmasked in place. `None`: more is needed.
    /// Control frames are dropped as a whole.
    pub fn next(&mut self, input: &mut [u8]) -> Result<Option<(usize, Event)>, Violation> {
        let mut skipped = 0;
        loop {
            if let Some(open) = &mut self.open {
                let rest = input.get_mut(skipped..).unwrap_or_default();
                let here = usize::try_from(open.left).unwrap_or(usize::MAX).min(rest.len());
                if open.left > 0 && here == 0 {
                    return Ok((skipped > 0).then_some((skipped, Event::Data(0))));
                }
                let piece = rest.get_mut(..here).unwrap_or_default();
                if let Some(mask) = open.mask {
                    unmask(piece, mask, open.at);
                }
                open.at = (open.at + here) % 4;
                open.left -= here as u64;
                if open.left == 0 {
                    self.open = None;
                }
                if here > 0 {
                    return Ok(Some((skipped, Event::Data(here))));
                }
                continue;
            }
            let rest = input.get_mut(skipped..).unwrap_or_default();
            let Some(head) = head(rest) else {
                return Ok((skipped > 0).then_some((skipped, Event::Data(0))));
            };
            let head = head?;
            self.check(&head)?;
            if head.code & 0x8 == 0 {
                self.within_message = !head.finished;
                self.open = Some(Open { left: head.length, mask: head.mask, at: 0 });
                skipped += head.size;
                continue;
            }
            let length = usize::try_from(head.length).unwrap_or(usize::MAX);
            let Some(payload) = rest.get_mut(head.size..head.size.saturating_add(length)) else {
                return Ok((skipped > 0).then_some((skipped, Event::Data(0))));
            };
            if let Some(mask) = head.mask {
                unmask(payload, mask, 0);
            }
            let event = match head.code {
                0x8 => Event::Close,
                0x9 => Event::Ping(payload.to_vec()),
                _ => Event::Pong,
            };
            return Ok(Some((skipped + head.size + length, event)));
        }
    }

    fn check(&self, head: &Head) -> Result<(), Violation> {
        if head.mask.is_some() != (self.role == Role::Server) {
            return Err(Violation::Mask);
        }
        match head.code {
            0x0 if !self.within_message => Err(Violation::Order),
            0x2 if self.within_message => Err(Violation::Order),
            0x0 | 0x2 if head.length > MAX_FRAME_BYTES => Err(Violation::TooLarge(head.length)),
            0x0 | 0x2 => Ok(()),
            0x8..=0xa if !head.finished || head.length > MAX_CONTROL_BYTES as u64 => {
                Err(Violation::Control)
            }
            0x8..=0xa => Ok(()),
            other => Err(Violation::Kind(other)),
        }
    }
}

/// `None`: not yet whole.
fn head(input: &[u8]) -> Option<Result<Head, Violation>> {
    let (first, second) = (*input.first()?, *input.get(1)?);
    if first & 0x70 != 0 {
        return Some(Err(Violation::Reserved));
    }
    let (length, mut size) = match second & 0x7f {
        126 => (u64::from(u16::from_be_bytes(input.get(2..4)?.try_into().ok()?)), 4),
        127 => (u64::from_be_bytes(input.get(2..10)?.try_into().ok()?), 10),
        short => (u64::from(short), 2),
    };
    let mask = if second & 0x80 == 0 {
        None
    } else {
        size += 4;
        Some(input.get(size - 4..size)?.try_into().ok()?)
    };
    Some(Ok(Head { finished: first & 0x80 != 0, code: first & 0x0f, mask, length, size }))
}

/// Masks and unmasks; `at` is the first byte's place in its frame.
fn unmask(bytes: &mut [u8], mask: [u8; 4], at: usize) {
    for (i, byte) in bytes.iter_mut().enumerate() {
        *byte ^= mask[(at + i) % 4];
    }
}

#[cfg(test)]
mod tests;
