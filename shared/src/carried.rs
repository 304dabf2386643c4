//! The file in which envelopes are carried by hand: JSON lines. A [`Header`], one CloudEvents event in
//! structured mode a line ([`crate::envelope::Envelope::to_structured`]), and an [`End`].

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::id::AgentId;
use crate::time::Time;

/// The form of the file.
pub const FORMAT: u32 = 1;
/// Longest line that is read: an envelope with its attributes.
pub const MAX_LINE_BYTES: usize = 512 * 1024;

/// The first line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// [`FORMAT`]; the field's name says what the file is.
    pub callhome_export: u32,
    /// Whose envelopes they are.
    pub agent: AgentId,
    /// The outbox's life.
    pub epoch: Uuid,
    /// When the file was written.
    pub made_at: Time,
    /// Envelopes of the alarm lane in it.
    pub alarm: u64,
    /// Envelopes of the bulk lane in it.
    pub bulk: u64,
}

/// The last line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// SHA-256 over every byte before this line, lower-case hexadecimal.
    pub sha256: String,
}

impl Header {
    /// A header of this version; `counts` are those of the alarm and the bulk lane.
    pub fn new(agent: AgentId, epoch: Uuid, made_at: Time, counts: (u64, u64)) -> Self {
        let (alarm, bulk) = counts;
        Header { callhome_export: FORMAT, agent, epoch, made_at, alarm, bulk }
    }

    /// As a line, its end included.
    pub fn line(&self) -> serde_json::Result<Vec<u8>> {
        line(self)
    }

    /// Reads the first line; the error says what was expected.
    pub fn parse(line: &[u8]) -> Result<Header, String> {
        let header: Header = serde_json::from_slice(line)
            .map_err(|e| format!("expected the header of callhome-agent outbox export: {e}"))?;
        match header.callhome_export {
            FORMAT => Ok(header),
            other => Err(format!("expected form {FORMAT} of the file, found {other}")),
        }
    }
}

impl End {
    /// As a line, its end included.
    pub fn line(&self) -> serde_json::Result<Vec<u8>> {
        line(self)
    }
}

fn line(value: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    Ok(line)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_header_is_read_back_and_others_are_refused() {
        let agent = AgentId::new("a-1").unwrap();
        let mut header = Header::new(agent, Uuid::from_u128(1), Time(0), (3, 4));
        assert_eq!(Header::parse(&header.line().unwrap()), Ok(header.clone()));
        header.callhome_export = 2;
        let error = Header::parse(&header.line().unwrap()).unwrap_err();
        assert_eq!(error, "expected form 1 of the file, found 2");
        assert!(Header::parse(b"{}").unwrap_err().contains("callhome_export"));
    }

    proptest! {
        #[test]
        fn fuzz_no_header_panics(line: Vec<u8>) {
            let _ = Header::parse(&line);
        }
    }
}
