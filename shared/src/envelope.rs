//! The envelope: a CloudEvents 1.0 event, in MQTT binary mode (attributes as
//! user properties) or in structured JSON mode.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::id::AgentId;
use crate::limits::MAX_PAYLOAD_BYTES;
use crate::time::Time;

/// The outbox's lanes. `Bulk` may be evicted at the disk budget, `Alarm` never.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Lane {
    /// Alarms, evidence, losses, probes.
    Alarm,
    /// Samples, inventory.
    Bulk,
}

impl Lane {
    /// Both lanes.
    pub const ALL: [Lane; 2] = [Lane::Alarm, Lane::Bulk];

    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Lane::Alarm => "alarm",
            Lane::Bulk => "bulk",
        }
    }

    /// Reads [`Lane::as_str`] back.
    pub fn parse(text: &str) -> Option<Self> {
        Lane::ALL.into_iter().find(|l| l.as_str() == text)
    }
}

/// What an envelope carries. Unknown kinds decode: the collector answers them with a reasoned reject.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// [`crate::alarm::Alarm`].
    Alarm,
    /// More evidence for a living alarm.
    Evidence,
    /// [`Loss`]: what could not be heard or kept.
    Loss,
    /// [`crate::probe::Probe`]: a synthetic fault that proves the path.
    Probe,
    /// Full active set, the answer to a resync.
    Resync,
    /// [`crate::clear_all::ClearAll`]: of an agent or a device no alarm stands any more.
    ClearAll,
    /// Measured values.
    Samples,
    /// [`crate::inventory::Inventory`]: what a device is and what it is made of.
    Inventory,
    /// Anything else.
    Other(String),
}

impl Kind {
    /// The CloudEvents `type`.
    pub fn as_str(&self) -> &str {
        match self {
            Kind::Alarm => "alarm",
            Kind::Evidence => "evidence",
            Kind::Loss => "loss",
            Kind::Probe => "probe",
            Kind::Resync => "resync",
            Kind::ClearAll => "clear-all",
            Kind::Samples => "samples",
            Kind::Inventory => "inventory",
            Kind::Other(name) => name,
        }
    }

    /// Reads the CloudEvents `type`.
    pub fn parse(text: &str) -> Kind {
        match text {
            "alarm" => Kind::Alarm,
            "evidence" => Kind::Evidence,
            "loss" => Kind::Loss,
            "probe" => Kind::Probe,
            "resync" => Kind::Resync,
            "clear-all" => Kind::ClearAll,
            "samples" => Kind::Samples,
            "inventory" => Kind::Inventory,
            other => Kind::Other(other.to_owned()),
        }
    }

    /// The lane it travels in.
    pub fn lane(&self) -> Lane {
        match self {
            Kind::Samples | Kind::Inventory => Lane::Bulk,
            _ => Lane::Alarm,
        }
    }
}

/// A deaf interval or an eviction, declared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    /// The source that was deaf, or `outbox`.
    pub source: String,
    /// From when (the last time it surely heard).
    pub from: Time,
    /// Until when.
    pub to: Time,
    /// A stable word: `agent-down`, `port-gone`, `overflow`, `rotated-away`, …
    pub reason: String,
    /// How many items, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
}

/// One numbered event on its way from an agent's outbox to the collector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// UUIDv7; stays with the event through resend, salvage and export.
    pub id: Uuid,
    /// The agent.
    pub source: AgentId,
    /// What `data` is.
    pub kind: Kind,
    /// When it was made.
    pub time: Time,
    /// The outbox's life.
    pub epoch: Uuid,
    /// The lane.
    pub lane: Lane,
    /// `+1` per envelope within lane and epoch, from 1.
    pub seq: u64,
    /// JSON.
    pub data: Vec<u8>,
}

/// Why something is no envelope.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum EnvelopeError {
    /// An attribute is missing.
    #[error("attribute {0} is missing")]
    Missing(&'static str),
    /// An attribute is there and wrong.
    #[error("attribute {name}: expected {expected}, found {found:?}")]
    Attribute {
        /// Its name.
        name: &'static str,
        /// What was expected.
        expected: &'static str,
        /// What was there (cut to 60 characters).
        found: String,
    },
    /// The payload is over [`MAX_PAYLOAD_BYTES`].
    #[error("payload of {0} bytes is over the limit of {MAX_PAYLOAD_BYTES}")]
    TooLarge(usize),
    /// Structured mode: no JSON object of the expected shape.
    #[error("structured event: {0}")]
    Json(String),
}

/// The MQTT content type of a binary-mode envelope.
pub const CONTENT_TYPE: &str = "application/json";
/// The CloudEvents version.
pub const SPEC_VERSION: &str = "1.0";

impl Envelope {
    /// The attributes as MQTT 5 user properties (CloudEvents MQTT binding 1.0, §3.1).
    pub fn user_properties(&self) -> Vec<(String, String)> {
        [
            ("specversion", SPEC_VERSION.to_owned()),
            ("id", self.id.to_string()),
            ("source", self.source.urn()),
            ("type", self.kind.as_str().to_owned()),
            ("time", self.time.to_string()),
            ("epoch", self.epoch.to_string()),
            ("lane", self.lane.as_str().to_owned()),
            ("seq", self.seq.to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec()
    }

    /// Reads a binary-mode message. Unknown properties are ignored; the payload is not parsed.
    pub fn from_binary(
        properties: &[(String, String)],
        data: &[u8],
    ) -> Result<Self, EnvelopeError> {
        if data.len() > MAX_PAYLOAD_BYTES {
            return Err(EnvelopeError::TooLarge(data.len()));
        }
        let attributes = Attributes(properties);
        if attributes.get("specversion")? != SPEC_VERSION {
            return Err(attributes.wrong("specversion", "1.0"));
        }
        Ok(Envelope {
            id: attributes.parse("id", "a UUID", |t| Uuid::parse_str(t).ok())?,
            source: attributes
                .parse("source", "urn:callhome:agent:<id>", |t| AgentId::from_urn(t).ok())?,
            kind: attributes.parse("type", "1 to 64 characters", |t| {
                (1..=64).contains(&t.len()).then(|| Kind::parse(t))
            })?,
            time: attributes.parse("time", "an RFC 3339 timestamp", |t| Time::parse(t).ok())?,
            epoch: attributes.parse("epoch", "a UUID", |t| Uuid::parse_str(t).ok())?,
            lane: attributes.parse("lane", "alarm or bulk", Lane::parse)?,
            seq: attributes.parse("seq", "a decimal number from 1", parse_seq)?,
            data: data.to_vec(),
        })
    }

    /// Structured mode: one JSON object.
    pub fn to_structured(&self) -> Result<Vec<u8>, EnvelopeError> {
        let data: &serde_json::value::RawValue = serde_json::from_slice(&self.data)
            .map_err(|e| EnvelopeError::Json(format!("data: {e}")))?;
        let structured = Structured {
            specversion: SPEC_VERSION.into(),
            id: self.id,
            source: self.source.urn(),
            kind: self.kind.as_str().to_owned(),
            time: self.time,
            epoch: self.epoch,
            lane: self.lane,
            seq: self.seq,
            datacontenttype: Some(CONTENT_TYPE.to_owned()),
            data: data.to_owned(),
        };
        serde_json::to_vec(&structured).map_err(|e| EnvelopeError::Json(e.to_string()))
    }

    /// Reads structured mode.
    pub fn from_structured(json: &[u8]) -> Result<Self, EnvelopeError> {
        let read: Structured =
            serde_json::from_slice(json).map_err(|e| EnvelopeError::Json(e.to_string()))?;
        let data = read.data.get().as_bytes().to_vec();
        if data.len() > MAX_PAYLOAD_BYTES {
            return Err(EnvelopeError::TooLarge(data.len()));
        }
        if read.specversion != SPEC_VERSION {
            return Err(wrong("specversion", "1.0", &read.specversion));
        }
        if read.seq == 0 {
            return Err(wrong("seq", "a decimal number from 1", "0"));
        }
        Ok(Envelope {
            id: read.id,
            source: AgentId::from_urn(&read.source)
                .map_err(|_| wrong("source", "urn:callhome:agent:<id>", &read.source))?,
            kind: Kind::parse(&read.kind),
            time: read.time,
            epoch: read.epoch,
            lane: read.lane,
            seq: read.seq,
            data,
        })
    }
}

#[derive(Serialize, Deserialize)]
struct Structured {
    specversion: String,
    id: Uuid,
    source: String,
    #[serde(rename = "type")]
    kind: String,
    time: Time,
    epoch: Uuid,
    lane: Lane,
    #[serde(with = "decimal")]
    seq: u64,
    #[serde(default)]
    datacontenttype: Option<String>,
    data: Box<serde_json::value::RawValue>,
}

struct Attributes<'a>(&'a [(String, String)]);

impl Attributes<'_> {
    fn get(&self, name: &'static str) -> Result<&str, EnvelopeError> {
        self.0
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.as_str())
            .ok_or(EnvelopeError::Missing(name))
    }

    fn wrong(&self, name: &'static str, expected: &'static str) -> EnvelopeError {
        wrong(name, expected, self.get(name).unwrap_or_default())
    }

    fn parse<T>(
        &self,
        name: &'static str,
        expected: &'static str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<T, EnvelopeError> {
        read(self.get(name)?).ok_or_else(|| self.wrong(name, expected))
    }
}

fn wrong(name: &'static str, expected: &'static str, found: &str) -> EnvelopeError {
    EnvelopeError::Attribute { name, expected, found: found.chars().take(60).collect() }
}

/// A decimal without sign or leading zero, from 1.
fn parse_seq(text: &str) -> Option<u64> {
    let canonical = text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
    if canonical { text.parse().ok() } else { None }
}

/// Sequence numbers travel as decimal strings: CloudEvents integers have 32 bits.
pub mod decimal {
    use serde::{Deserialize, Deserializer, Serializer, de};

    /// Writes `"123"`.
    pub fn serialize<S: Serializer>(n: &u64, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(n)
    }

    /// Reads `"123"`.
    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<u64, D::Error> {
        let text = String::deserialize(d)?;
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(de::Error::custom("expected a decimal string"));
        }
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample() -> Envelope {
        Envelope {
            id: Uuid::from_u128(1),
            source: AgentId::new("a-1").unwrap(),
            kind: Kind::Alarm,
            time: Time(1_700_000_000_000),
            epoch: Uuid::from_u128(2),
            lane: Lane::Alarm,
            seq: 5_000_000_000,
            data: br#"{"x":1}"#.to_vec(),
        }
    }

    #[test]
    fn both_modes_read_back() {
        let e = sample();
        assert_eq!(Envelope::from_binary(&e.user_properties(), &e.data).unwrap(), e);
        assert_eq!(Envelope::from_structured(&e.to_structured().unwrap()).unwrap(), e);
    }

    #[test]
    fn each_missing_attribute_is_named() {
        let e = sample();
        let all = e.user_properties();
        for left_out in 0..all.len() {
            let mut some = all.clone();
            let (name, _) = some.remove(left_out);
            let error = Envelope::from_binary(&some, &e.data).unwrap_err();
            assert_eq!(error.to_string(), format!("attribute {name} is missing"));
        }
    }

    proptest! {
        #[test]
        fn no_input_panics(props in proptest::collection::vec((".{0,12}", ".{0,40}"), 0..12),
                           which in 0usize..8, value in ".{0,40}", data: Vec<u8>) {
            let _ = Envelope::from_binary(&props, &data);
            let mut nearly = sample().user_properties();
            nearly[which].1 = value;
            let _ = Envelope::from_binary(&nearly, &data);
            let _ = Envelope::from_structured(&data);
        }
    }
}
