//! Why a request or a poll failed, in words that tell the causes apart.

use std::time::Duration;

use callhome_shared::readout::Hint;

use super::message::error_name;
use super::session::NO_V3;
use super::usm::Report;
use crate::profile::oid::Oid;

/// Why something could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SnmpError {
    /// The configured name has no address.
    #[error("cannot resolve {address:?}")]
    Resolve {
        /// As configured.
        address: String,
        /// The system's words.
        #[source]
        source: std::io::Error,
    },
    /// The request could not be sent.
    #[error("cannot send to {address}")]
    Send {
        /// Where to.
        address: String,
        /// The system's words.
        #[source]
        source: std::io::Error,
    },
    /// Nobody listens there.
    #[error("{address}: port closed (ICMP unreachable); is SNMP enabled on the device?")]
    PortClosed {
        /// Where to.
        address: String,
    },
    /// No answer at all.
    #[error(
        "{address}: no answer to {attempts} requests within {} ms; {because}", waited.as_millis()
    )]
    Silent {
        /// Where to.
        address: String,
        /// How often it was tried.
        attempts: u32,
        /// How long altogether.
        waited: Duration,
        /// What looks the same from here.
        because: &'static str,
    },
    /// Only answers that could not be used.
    #[error("{address}: answers, but none could be used: {reason}")]
    Unusable {
        /// Where from.
        address: String,
        /// The last one's fault.
        reason: String,
    },
    /// The device's security (USM) refuses.
    #[error("{address}: {report}")]
    Refused {
        /// Where from.
        address: String,
        /// What it says.
        report: Report,
    },
    /// An SNMP error status.
    #[error("the device answers {} for {oid}{}", error_name(*status), meant(*status))]
    Status {
        /// See [`error_name`].
        status: u32,
        /// What was asked.
        oid: Oid,
    },
    /// The security parameters cannot be used.
    #[error("SNMPv3 security: {0}")]
    Security(String),
    /// The device's time for this poll is up.
    #[error("the poll takes longer than its interval")]
    Budget,
    /// Too many requests at once.
    #[error("too many SNMP requests under way")]
    Busy,
}

/// What a status is usually due to, as far as that helps.
fn meant(status: u32) -> &'static str {
    match status {
        // noAccess, authorizationError (RFC 3416; RFC 3414, section 3.2).
        6 | 16 => {
            ": the community's or user's view, or the security level, does not allow this there"
        }
        _ => "",
    }
}

impl SnmpError {
    /// The error and its causes in one line.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }

    /// What to check; none where it is this program's own trouble.
    pub fn hint(&self) -> Option<Hint> {
        Some(match self {
            SnmpError::Resolve { .. } => Hint::Name,
            SnmpError::Send { .. } => Hint::Route,
            SnmpError::PortClosed { .. } => Hint::PortClosed,
            SnmpError::Silent { because: NO_V3, .. } => Hint::SilentAfterDiscovery,
            SnmpError::Silent { .. } => Hint::Silent,
            SnmpError::Unusable { .. } => Hint::Unusable,
            SnmpError::Refused { .. } | SnmpError::Security(_) => Hint::Refused,
            SnmpError::Status { .. } => Hint::View,
            SnmpError::Budget => Hint::Interval,
            SnmpError::Busy => return None,
        })
    }

    /// Whether nothing came back in time.
    pub fn is_silence(&self) -> bool {
        matches!(self, SnmpError::Silent { .. })
    }
}
