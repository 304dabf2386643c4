//! What comes up from agents and goes down to them, whichever broker carries it; the client for
//! an external broker.

pub mod dynsec;
pub mod external;

use bytes::Bytes;
use callhome_shared::id::AgentId;
use callhome_shared::time::Time;
use callhome_shared::topic::{Down, Up};

/// One message from an agent. The broker has verified that `agent` is who published it.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The publisher, from the topic (which the broker ties to the certificate).
    pub agent: AgentId,
    /// Which of its topics.
    pub up: Up,
    /// MQTT 5 user properties.
    pub properties: Vec<(String, String)>,
    /// The payload.
    pub payload: Bytes,
    /// When it came in.
    pub received_at: Time,
}

/// One message to an agent (QoS 1). Lost when the agent is not connected: what must not be lost is
/// sent again on its next connect.
#[derive(Clone, Debug)]
pub struct Downward {
    /// To whom.
    pub agent: AgentId,
    /// Which of its topics.
    pub down: Down,
    /// JSON.
    pub payload: Vec<u8>,
}
