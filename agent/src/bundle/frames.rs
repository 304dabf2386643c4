//! What `bundle create` sends over the control socket: who it is about, then each file in pieces, so that
//! a file whose size is not known (standard input, `/proc`, a log that grows) can be sent as it is read.
//!
//! A frame is one byte (what it is), its length in four bytes (big endian), and so many bytes:
//!
//! ```text
//! B {"subject":…,"note":…}   F {"name":…,"binary":…}  D bytes  D bytes …  E    F … E    Z
//! ```

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use callhome_shared::bundle::Subject;
use callhome_shared::time::Time;
use serde::{Deserialize, Serialize};

/// Largest payload of a frame, bytes.
pub const MAX_FRAME: usize = 64 * 1024;
const HEAD: usize = 5;

/// The first frame.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begin {
    /// What the bundle is about.
    pub subject: Subject,
    /// What the person says about it.
    #[serde(default)]
    pub note: Option<String>,
}

/// Before a file's bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileHead {
    /// Its name, without folders.
    pub name: String,
    /// Whether the person wants it as it is, without redaction.
    #[serde(default)]
    pub binary: bool,
    /// When it was last written.
    #[serde(default)]
    pub modified_at: Option<Time>,
}

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// The first one.
    Begin(Begin),
    /// A file begins.
    File(FileHead),
    /// More of it.
    Data(Bytes),
    /// It ends.
    EndOfFile,
    /// Everything was sent.
    End,
}

impl Frame {
    /// As it is sent. Data over [`MAX_FRAME`] must be split before.
    pub fn encode(&self) -> Bytes {
        let (kind, payload) = match self {
            Frame::Begin(begin) => (b'B', json(begin)),
            Frame::File(head) => (b'F', json(head)),
            Frame::Data(bytes) => (b'D', bytes.clone()),
            Frame::EndOfFile => (b'E', Bytes::new()),
            Frame::End => (b'Z', Bytes::new()),
        };
        let mut out = BytesMut::with_capacity(HEAD + payload.len());
        out.put_u8(kind);
        out.put_u32(u32::try_from(payload.len()).unwrap_or(u32::MAX));
        out.put(payload);
        out.freeze()
    }
}

/// Texts and flags only: this cannot fail.
fn json(value: &impl Serialize) -> Bytes {
    serde_json::to_vec(value).unwrap_or_default().into()
}

/// Where in the order of frames the stream is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Start,
    BetweenFiles,
    InFile,
    Over,
}

/// Reads frames out of pieces of any size. After an error it is of no use.
#[derive(Debug, Default)]
pub struct Frames {
    held: BytesMut,
    place: Place,
}

impl Frames {
    /// More bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
    }

    /// The next whole frame, if there is one. The error says what was expected.
    pub fn take(&mut self) -> Result<Option<Frame>, String> {
        let Some((kind, length)) = self.head()? else { return Ok(None) };
        if self.held.len() < HEAD + length {
            return Ok(None);
        }
        self.held.advance(HEAD);
        let payload = self.held.split_to(length).freeze();
        let bad = |what: &str, e: serde_json::Error| format!("{what}: {e}");
        let (frame, place) = match (kind, self.place) {
            (b'B', Place::Start) => {
                let begin = serde_json::from_slice(&payload).map_err(|e| bad("begin", e))?;
                (Frame::Begin(begin), Place::BetweenFiles)
            }
            (b'F', Place::BetweenFiles) => {
                let head = serde_json::from_slice(&payload).map_err(|e| bad("file", e))?;
                (Frame::File(head), Place::InFile)
            }
            (b'D', Place::InFile) => (Frame::Data(payload), Place::InFile),
            (b'E', Place::InFile) if length == 0 => (Frame::EndOfFile, Place::BetweenFiles),
            (b'Z', Place::BetweenFiles) if length == 0 => (Frame::End, Place::Over),
            (kind, place) => {
                let kind = char::from(kind).escape_default();
                return Err(format!("a frame '{kind}' is not expected here ({place:?})"));
            }
        };
        self.place = place;
        Ok(Some(frame))
    }

    fn head(&self) -> Result<Option<(u8, usize)>, String> {
        let Some((head, _)) = self.held.split_first_chunk::<HEAD>() else { return Ok(None) };
        let [kind, length @ ..] = *head;
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if length > MAX_FRAME {
            return Err(format!("a frame has at most {MAX_FRAME} bytes, this one says {length}"));
        }
        Ok(Some((kind, length)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(bytes: &[u8], step: usize) -> Result<Vec<Frame>, String> {
        let (mut frames, mut found) = (Frames::default(), Vec::new());
        for piece in bytes.chunks(step) {
            frames.push(piece);
            while let Some(frame) = frames.take()? {
                found.push(frame);
            }
        }
        Ok(found)
    }

    #[test]
    fn the_order_is_kept() {
        let file = || Frame::File(FileHead::default()).encode();
        let begin = || Frame::Begin(Begin::default()).encode();
        for wrong in [
            vec![file()],
            vec![begin(), begin()],
            vec![begin(), file(), file()],
            vec![begin(), Frame::Data(Bytes::from_static(b"x")).encode()],
            vec![begin(), file(), Frame::End.encode()],
            vec![begin(), Frame::End.encode(), file()],
            vec![Bytes::from_static(b"D\xff\xff\xff\xff")],
            vec![Bytes::from_static(b"B\0\0\0\x02[]")],
        ] {
            let error = all(&wrong.concat(), 3).unwrap_err();
            assert!(!error.is_empty());
        }
    }

    proptest! {
        #[test]
        fn prop_frames_read_back_however_they_are_cut(
            files in prop::collection::vec((".{0,20}", any::<bool>(), prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..4)), 0..4),
            note in prop::option::of(".{0,30}"), step in 1usize..50
        ) {
            let mut sent = vec![Frame::Begin(Begin { note, ..Begin::default() })];
            for (name, binary, pieces) in files {
                sent.push(Frame::File(FileHead { name, binary, modified_at: None }));
                sent.extend(pieces.into_iter().map(|piece| Frame::Data(piece.into())));
                sent.push(Frame::EndOfFile);
            }
            sent.push(Frame::End);
            let bytes: Vec<u8> = sent.iter().flat_map(|frame| frame.encode()).collect();
            prop_assert_eq!(all(&bytes, step), Ok(sent));
        }

        #[test]
        fn no_stream_panics(bytes: Vec<u8>, near in "[BFDEZ]\\PC{0,40}", step in 1usize..20) {
            let _ = all(&bytes, step);
            let _ = all(near.as_bytes(), step);
            let mut begun = Frame::Begin(Begin::default()).encode().to_vec();
            begun.extend_from_slice(&bytes);
            let _ = all(&begun, step);
        }
    }
}
