//! Decides what an envelope changes. Pure.
//!
//! [`read`] turns a delivery into a numbered item with its content or the reason why it is
//! refused; [`follow`] says what a transition makes of an alarm, in whatever order they come.

mod balance;
mod follow;
mod reason;
mod resync;

pub use balance::{Account, Balance, Verdict, balance};
pub use follow::{Known, Order, Update, follow};
pub use reason::{Reason, Rejection};
pub use resync::{Demand, Said, Step, against, demand, is_gone, pause_ms};

use callhome_shared::alarm::{Alarm, Evidence};
use callhome_shared::bundle::Reference;
use callhome_shared::clear_all::ClearAll;
use callhome_shared::envelope::{Envelope, EnvelopeError, Kind, Lane, Loss};
use callhome_shared::heartbeat::Heartbeat;
use callhome_shared::id::AgentId;
use callhome_shared::inventory::Inventory;
use callhome_shared::limits::{MAX_INLINE_EVIDENCE_BYTES, MAX_RANGES};
use callhome_shared::probe::Probe;
use callhome_shared::resync::Page;
use callhome_shared::time::Time;
use callhome_shared::topic::Up;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

/// Items of evidence in one envelope.
const MAX_EVIDENCE_ITEMS: usize = 256;

/// A message from an agent, as a broker hands it over.
#[derive(Clone, Copy, Debug)]
pub struct Incoming<'a> {
    /// The publisher, verified by the broker.
    pub agent: &'a AgentId,
    /// Which of its topics.
    pub up: Up,
    /// MQTT 5 user properties.
    pub properties: &'a [(String, String)],
    /// The payload.
    pub payload: &'a [u8],
    /// When it came in.
    pub received_at: Time,
}

/// What a delivery is.
#[derive(Debug)]
pub enum Item {
    /// An envelope whose place in its stream could be read, whatever else is wrong with it.
    Numbered(Box<Numbered>),
    /// A heartbeat, or a last will (`online` is false).
    Heartbeat(Box<Heartbeat>),
    /// Something that cannot even be acknowledged.
    Stray(Rejection),
}

/// An envelope with its place.
#[derive(Debug)]
pub struct Numbered {
    /// Its id.
    pub id: Uuid,
    /// The outbox's life.
    pub epoch: Uuid,
    /// The lane it is numbered in.
    pub lane: Lane,
    /// Its number; fits the store's integers.
    pub seq: i64,
    /// CloudEvents type, empty where it could not be read.
    pub kind: String,
    /// When it was made (when it came in, where that could not be read).
    pub time: Time,
    /// What it says, or why it is refused.
    pub content: Result<Content, Rejection>,
}

/// What an envelope says.
#[derive(Debug)]
pub enum Content {
    /// A transition of an alarm.
    Alarm(Box<Alarm>),
    /// More evidence for an alarm.
    Evidence(MoreEvidence),
    /// A declared loss.
    Loss(DeclaredLoss),
    /// A proof of a path.
    Probe(Box<Probe>),
    /// A page of the agent's whole active alarm set.
    Resync(Box<Page>),
    /// Of the agent or one of its devices no alarm stands any more.
    ClearAll(ClearAll),
    /// What a device is and what it is made of.
    Inventory(Box<Inventory>),
}

/// Payload of an `evidence` envelope.
#[derive(Debug, Deserialize)]
pub struct MoreEvidence {
    /// The alarm life it belongs to; absent only where a bundle for a ticket is told.
    #[serde(default)]
    pub alarm_id: Option<Uuid>,
    /// The items.
    #[serde(default)]
    pub evidence: Vec<Evidence>,
    /// A bundle that has arrived over HTTPS.
    #[serde(default)]
    pub bundle: Option<Reference>,
}

/// Payload of a `loss` envelope: when the outbox gave numbers up, they are named.
#[derive(Debug, Deserialize)]
pub struct DeclaredLoss {
    /// What was lost.
    #[serde(flatten)]
    pub loss: Loss,
    /// The outbox's life that the numbers belong to; the envelope's own where it is not said.
    #[serde(default)]
    pub epoch: Option<Uuid>,
    /// The lane whose numbers were given up.
    #[serde(default)]
    pub lane: Option<Lane>,
    /// The first of them, decimal, where they are one range.
    #[serde(default)]
    pub first_seq: Option<String>,
    /// The last of them, decimal.
    #[serde(default)]
    pub last_seq: Option<String>,
    /// The ranges, where they are several: first and last of each, decimal.
    #[serde(default)]
    pub ranges: Vec<(String, String)>,
}

impl DeclaredLoss {
    /// The ranges of numbers of that outbox life that were given up. Those of another life say
    /// nothing: a new life has numbers of its own, and nothing of the old one is waited for.
    pub fn passed(&self, epoch: Uuid) -> Vec<(Lane, i64, i64)> {
        let Some(lane) = self.lane.filter(|_| self.epoch.is_none_or(|named| named == epoch)) else {
            return Vec::new();
        };
        let one = self.first_seq.iter().zip(&self.last_seq);
        let several = self.ranges.iter().map(|(first, last)| (first, last));
        one.chain(several)
            .filter_map(|(first, last)| Some((first.parse().ok()?, last.parse().ok()?)))
            .filter(|(first, last)| 1 <= *first && first <= last)
            .map(|(first, last)| (lane, first, last))
            .collect()
    }
}

/// Reads a incoming. Never fails: what cannot be understood is a reasoned rejection.
pub fn read(incoming: Incoming<'_>) -> Item {
    match incoming.up {
        Up::Heartbeat => match payload::<Heartbeat>(incoming.payload) {
            Ok(beat) => Item::Heartbeat(Box::new(beat)),
            Err(rejection) => Item::Stray(rejection),
        },
        Up::Event | Up::Bulk => {
            match Envelope::from_binary(incoming.properties, incoming.payload) {
                Ok(envelope) => read_envelope(incoming, &envelope),
                Err(error) => read_broken(incoming, &error),
            }
        }
    }
}

fn read_envelope(incoming: Incoming<'_>, envelope: &Envelope) -> Item {
    let Ok(seq) = i64::try_from(envelope.seq) else {
        let text = format!("seq {} is beyond any real number", envelope.seq);
        return Item::Stray(Rejection::new(Reason::BadEnvelope, text));
    };
    Item::Numbered(Box::new(Numbered {
        id: envelope.id,
        epoch: envelope.epoch,
        lane: envelope.lane,
        seq,
        kind: envelope.kind.as_str().to_owned(),
        time: envelope.time,
        content: content(incoming, envelope),
    }))
}

fn content(incoming: Incoming<'_>, envelope: &Envelope) -> Result<Content, Rejection> {
    if envelope.source != *incoming.agent {
        let text = format!("source is {}, the topic is {}'s", envelope.source, incoming.agent);
        return Err(Rejection::new(Reason::SourceMismatch, text));
    }
    let data = &envelope.data;
    let known = match &envelope.kind {
        Kind::Alarm
        | Kind::Evidence
        | Kind::Loss
        | Kind::Probe
        | Kind::Resync
        | Kind::ClearAll
        | Kind::Inventory => envelope.kind.lane(),
        Kind::Samples | Kind::Other(_) => {
            let text = format!("type {:?} is not known to this version", envelope.kind.as_str());
            return Err(Rejection::new(Reason::UnknownType, text));
        }
    };
    let topic_lane = if incoming.up == Up::Bulk { Lane::Bulk } else { Lane::Alarm };
    if envelope.lane != known || topic_lane != known {
        let text = format!(
            "type {:?} belongs in lane {}, found lane {} on the topic of lane {}",
            envelope.kind.as_str(),
            known.as_str(),
            envelope.lane.as_str(),
            topic_lane.as_str()
        );
        return Err(Rejection::new(Reason::WrongLane, text));
    }
    match envelope.kind {
        Kind::Alarm => {
            let alarm: Alarm = payload(data)?;
            alarm.validate().map_err(|text| Rejection::new(Reason::BadPayload, text))?;
            Ok(Content::Alarm(Box::new(alarm)))
        }
        Kind::Evidence => evidence(data).map(Content::Evidence),
        Kind::Probe => {
            let probe: Probe = payload(data)?;
            probe.validate().map_err(|text| Rejection::new(Reason::BadPayload, text))?;
            Ok(Content::Probe(Box::new(probe)))
        }
        Kind::Resync => {
            let page: Page = payload(data)?;
            page.validate().map_err(|text| Rejection::new(Reason::BadPayload, text))?;
            Ok(Content::Resync(Box::new(page)))
        }
        Kind::ClearAll => {
            let said: ClearAll = payload(data)?;
            said.validate().map_err(|text| Rejection::new(Reason::BadPayload, text))?;
            Ok(Content::ClearAll(said))
        }
        Kind::Inventory => {
            let said: Inventory = payload(data)?;
            said.validate().map_err(|text| Rejection::new(Reason::BadPayload, text))?;
            Ok(Content::Inventory(Box::new(said)))
        }
        _ => loss(data).map(Content::Loss),
    }
}

fn loss(data: &[u8]) -> Result<DeclaredLoss, Rejection> {
    let declared: DeclaredLoss = payload(data)?;
    if declared.ranges.len() > MAX_RANGES {
        let text = format!("more than {MAX_RANGES} ranges of numbers");
        return Err(Rejection::new(Reason::BadPayload, text));
    }
    Ok(declared)
}

fn evidence(data: &[u8]) -> Result<MoreEvidence, Rejection> {
    let more: MoreEvidence = payload(data)?;
    match &more.bundle {
        Some(bundle) => {
            let wrong = |text| Rejection::new(Reason::BadPayload, format!("bundle.{text}"));
            bundle.check().map_err(wrong)?;
        }
        None if more.alarm_id.is_none() => {
            let text = "alarm_id: missing, and there is no bundle";
            return Err(Rejection::new(Reason::BadPayload, text));
        }
        None => {}
    }
    if more.alarm_id.is_none() && !more.evidence.is_empty() {
        let text = "alarm_id: missing, and there are items of evidence";
        return Err(Rejection::new(Reason::BadPayload, text));
    }
    let bytes: usize = more.evidence.iter().map(|e| e.text.len()).sum();
    if bytes > MAX_INLINE_EVIDENCE_BYTES {
        let text = format!("evidence is larger than {MAX_INLINE_EVIDENCE_BYTES} bytes");
        return Err(Rejection::new(Reason::BadPayload, text));
    }
    if more.evidence.len() > MAX_EVIDENCE_ITEMS {
        let text = format!("more than {MAX_EVIDENCE_ITEMS} items of evidence");
        return Err(Rejection::new(Reason::BadPayload, text));
    }
    Ok(more)
}

/// JSON, with the path to what is wrong in it.
fn payload<T: DeserializeOwned>(data: &[u8]) -> Result<T, Rejection> {
    let mut json = serde_json::Deserializer::from_slice(data);
    let read = serde_path_to_error::deserialize(&mut json).map_err(|e| {
        let path = e.path().to_string();
        Rejection::new(Reason::BadPayload, format!("{path}: {}", e.inner()))
    })?;
    json.end().map_err(|e| Rejection::new(Reason::BadPayload, e.to_string()))?;
    Ok(read)
}

/// An envelope that is none: where its place can be read all the same it is refused by number, so
/// that the agent stops sending it and what follows is not held up.
fn read_broken(incoming: Incoming<'_>, error: &EnvelopeError) -> Item {
    let reason = match error {
        EnvelopeError::TooLarge(_) => Reason::TooLarge,
        _ => Reason::BadEnvelope,
    };
    let rejection = Rejection::new(reason, error.to_string());
    let get = |name: &str| {
        let found = incoming.properties.iter().find(|(n, _)| n == name);
        found.map(|(_, value)| value.as_str())
    };
    let uuid = |name: &str| get(name).and_then(|text| Uuid::parse_str(text).ok());
    let seq = get("seq").and_then(|t| t.parse::<i64>().ok()).filter(|n| *n >= 1);
    let lane = get("lane").and_then(Lane::parse);
    let (Some(id), Some(epoch), Some(lane), Some(seq)) = (uuid("id"), uuid("epoch"), lane, seq)
    else {
        return Item::Stray(rejection);
    };
    Item::Numbered(Box::new(Numbered {
        id,
        epoch,
        lane,
        seq,
        kind: get("type").unwrap_or_default().chars().take(64).collect(),
        time: get("time").and_then(|t| Time::parse(t).ok()).unwrap_or(incoming.received_at),
        content: Err(rejection),
    }))
}

#[cfg(test)]
mod tests;
