//! The enrolment token file: what an administrator carries from the collector to the agent.

use serde::{Deserialize, Serialize};

use crate::id::AgentId;
use crate::time::Time;

/// A one-time token with what makes the first contact not blind. Written as TOML, mode 0600.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenFile {
    /// The agent that it enrols.
    pub agent: AgentId,
    /// The collector's HTTPS address, `https://host:port`.
    pub collector: String,
    /// The collector's MQTT address, `mqtts://host:port`.
    pub mqtt: String,
    /// SHA-256 fingerprint of the CA's certificate, `sha256:<hex>`.
    pub ca_fingerprint: String,
    /// SHA-256 fingerprint of the organisation's offline root, `sha256:<hex>`.
    pub root_fingerprint: String,
    /// The secret; the collector keeps only a hash of it.
    pub secret: String,
    /// After this it is worth nothing.
    pub expires_at: Time,
}

impl std::fmt::Debug for TokenFile {
    /// Leaves the secret out.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenFile")
            .field("agent", &self.agent)
            .field("collector", &self.collector)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}
