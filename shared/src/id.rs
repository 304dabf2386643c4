//! Identifiers that cross the wire.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, de};

/// An agent's id: 1–64 letters, digits or `-`. It is the certificate's CN, the
/// MQTT client id and a level of the topic, so nothing else is ever issued.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct AgentId(String);

/// Why a text is no agent id.
#[derive(Debug, thiserror::Error)]
#[error("an agent id is 1 to 64 ASCII letters, digits or '-', found {0:?}")]
pub struct BadAgentId(String);

impl AgentId {
    /// Checks and takes `text`.
    pub fn new(text: &str) -> Result<Self, BadAgentId> {
        let fits = (1..=64).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if fits {
            Ok(AgentId(text.to_owned()))
        } else {
            Err(BadAgentId(text.chars().take(80).collect()))
        }
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The certificate's SAN URI and CloudEvents `source`.
    pub fn urn(&self) -> String {
        format!("{AGENT_URN}{}", self.0)
    }

    /// Reads [`AgentId::urn`] back.
    pub fn from_urn(urn: &str) -> Result<Self, BadAgentId> {
        match urn.strip_prefix(AGENT_URN) {
            Some(id) => AgentId::new(id),
            None => Err(BadAgentId(urn.chars().take(80).collect())),
        }
    }
}

/// Prefix of an agent's SAN URI.
pub const AGENT_URN: &str = "urn:callhome:agent:";
/// Prefix of a collector's SAN URI.
pub const COLLECTOR_URN: &str = "urn:callhome:collector:";

impl fmt::Display for AgentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for AgentId {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        AgentId::new(&text).map_err(de::Error::custom)
    }
}

/// A new time-ordered UUID (version 7).
pub fn new_uuid() -> uuid::Uuid {
    uuid::Uuid::now_v7()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_letters_digits_and_dash() {
        for good in ["a", "site-7", "A9"] {
            assert_eq!(AgentId::new(good).unwrap().as_str(), good);
        }
        let long = "x".repeat(65);
        for bad in ["", "a/b", "a+", "#", "ä", "a b", "a.session", long.as_str()] {
            assert!(AgentId::new(bad).is_err(), "{bad:?}");
        }
        assert_eq!(AgentId::from_urn("urn:callhome:agent:x").unwrap().as_str(), "x");
        assert!(AgentId::from_urn("urn:callhome:collector:x").is_err());
    }
}
