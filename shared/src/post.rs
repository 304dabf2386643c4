//! Delivery over HTTPS where MQTT is blocked: `POST /callhome/v1/events` with a CloudEvents batch,
//! answered with what waits for the agent.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The route.
pub const PATH: &str = "/callhome/v1/events";
/// The body's content type (CloudEvents JSON format 1.0, §4).
pub const BATCH_TYPE: &str = "application/cloudevents-batch+json";
/// Longest wait for messages that `?wait=` is granted, seconds.
pub const MAX_WAIT_S: u64 = 20;

/// What a certificate's holder may bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// Everything.
    Full,
    /// The certificate has expired: alarms and nothing else.
    AlarmsOnly,
}

/// The answer's body.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Answer {
    /// What the agent may bring.
    pub standing: Standing,
    /// Events of this request that were not taken because of it.
    #[serde(default)]
    pub withheld: usize,
    /// What waited for the agent.
    #[serde(default)]
    pub messages: Vec<Message>,
}

/// One message from the collector.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Message {
    /// `ack`, `receipt` or `control`: the last part of the MQTT topic.
    pub topic: String,
    /// The same JSON as over MQTT.
    pub payload: Box<RawValue>,
}
