//! Alertmanager's webhook (version 4) as a source of alarms: what it says, and what that means. Pure.
//!
//! What is needed is asked for strictly, what is not known is passed over. The format:
//! <https://prometheus.io/docs/alerting/latest/configuration/#webhook_config>.

mod life;
mod mapping;

pub use life::{Former, Life, Living, life};
pub use mapping::{Mapping, Said};

use std::collections::BTreeMap;

use callhome_shared::time::Time;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Largest body, bytes.
pub const MAX_BYTES: usize = 4 << 20;
/// Alerts of one notification.
pub const MAX_ALERTS: usize = 4000;
/// What agent ids of this kind of source begin with; no agent's id has a colon.
const PREFIX: &str = "alertmanager:";

/// One notification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// The alerts, in their order.
    pub alerts: Vec<Alert>,
    /// Alerts that Alertmanager left out (its `max_alerts`).
    pub truncated: u64,
}

/// One alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// Whether it stands.
    pub firing: bool,
    /// Its labels: what it is.
    pub labels: BTreeMap<String, String>,
    /// What is said of it.
    pub annotations: BTreeMap<String, String>,
    /// Since when, by the clock of whoever found it.
    pub starts_at: Time,
    /// Until when; `None` while it stands.
    pub ends_at: Option<Time>,
    /// Where it was found.
    pub generator: String,
    /// A hash of its labels.
    pub fingerprint: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WrittenNotification {
    version: String,
    #[serde(default)]
    truncated_alerts: u64,
    alerts: Vec<WrittenAlert>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WrittenAlert {
    status: Status,
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    starts_at: String,
    #[serde(default)]
    ends_at: String,
    #[serde(default, rename = "generatorURL")]
    generator: String,
    fingerprint: String,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Status {
    Firing,
    Resolved,
}

/// Reads a notification; an error says where in it and what was expected.
pub fn read(body: &[u8]) -> Result<Notification, String> {
    // serde would take a structure's values as a list, too.
    if body.trim_ascii_start().first() == Some(&b'[') {
        return Err("body: expected an object, found a list".to_owned());
    }
    let mut json = serde_json::Deserializer::from_slice(body);
    let written: WrittenNotification =
        serde_path_to_error::deserialize(&mut json).map_err(|e| {
            let path = e.path().to_string();
            let place = if path == "." { "body".to_owned() } else { path };
            format!("{place}: {}", e.inner())
        })?;
    json.end().map_err(|e| format!("body: {e}"))?;
    if written.version != "4" {
        return Err(format!("version: expected \"4\", found {:?}", short(&written.version)));
    }
    if written.alerts.len() > MAX_ALERTS {
        let found = written.alerts.len();
        return Err(format!(
            "alerts: expected at most {MAX_ALERTS}, found {found}; set max_alerts or group by more labels"
        ));
    }
    let alerts = written.alerts.into_iter().enumerate();
    let alerts = alerts.map(|(at, alert)| alert.read(at)).collect::<Result<_, _>>()?;
    Ok(Notification { alerts, truncated: written.truncated_alerts })
}

impl WrittenAlert {
    fn read(self, at: usize) -> Result<Alert, String> {
        let time = |name: &str, text: &str| {
            Time::parse(text).map_err(|e| format!("alerts[{at}].{name}: {e}"))
        };
        let starts_at = time("startsAt", &self.starts_at)?;
        let print = self.fingerprint;
        if print.is_empty() || print.len() > 64 || !print.bytes().all(|b| b.is_ascii_alphanumeric())
        {
            let found = short(&print);
            return Err(format!(
                "alerts[{at}].fingerprint: expected 1 to 64 letters or digits, found {found:?}"
            ));
        }
        // Go writes a time that is not set as that of the year 1.
        let ends_at = match (self.status, self.ends_at.as_str()) {
            (Status::Firing, _) | (_, "") => None,
            (Status::Resolved, text) => Some(time("endsAt", text)?).filter(|end| end.millis() > 0),
        };
        Ok(Alert {
            firing: self.status == Status::Firing,
            labels: self.labels,
            annotations: self.annotations,
            starts_at,
            ends_at,
            generator: self.generator,
            fingerprint: print,
        })
    }
}

fn short(text: &str) -> String {
    text.chars().take(60).collect()
}

/// The id under which a source's alarms stand, in place of an agent's: `alertmanager:<name>`. `None`: the
/// name is not 1 to 32 letters, digits or `-`.
pub fn source_id(name: &str) -> Option<String> {
    let fits = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    (fits && (1..=32).contains(&name.len())).then(|| format!("{PREFIX}{name}"))
}

/// An id made of what it names: the same for the same parts.
pub fn id_of(parts: &[&str]) -> Uuid {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
    let digest: [u8; 32] = hash.finalize().into();
    let mut bytes = [0_u8; 16];
    bytes.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

#[cfg(test)]
mod tests;
