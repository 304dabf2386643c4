//! Which life of a fault an alert is about. Pure.
//!
//! Alertmanager sends an alert again and again while it fires, perhaps from two members of a cluster, and
//! once more when it is resolved. Its start is not a life's name: after a restart of Prometheus the same
//! alert may come with another start, and after Alertmanager took it for resolved with the same one.

use callhome_shared::time::Time;
use uuid::Uuid;

use super::Alert;

/// A firing alert with the start of a life that ended so shortly before is a late word of a cluster's
/// other member.
const LATE_MS: i64 = 60_000;

/// The life of the alert's identity that stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Living {
    /// Its id.
    pub id: Uuid,
    /// Since when, as its alert said.
    pub raised_at: Time,
}

/// The life with the alert's own start, which is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Former {
    /// When its end came in.
    pub ended_at: Time,
}

/// What an alert means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// A new life with this id.
    Begins(Uuid),
    /// This life stands still.
    Stands(Uuid),
    /// This life is over.
    Ends(Uuid),
    /// It is about something that is known to be over.
    Late,
}

/// Decides. `first`: the id of the life with the alert's start; `fresh`: one that no life has.
pub fn life(
    alert: &Alert,
    living: Option<Living>,
    former: Option<Former>,
    (first, fresh): (Uuid, Uuid),
    now: Time,
) -> Life {
    match (alert.firing, living, former) {
        (true, Some(living), _) => Life::Stands(living.id),
        (true, None, None) => Life::Begins(first),
        (true, None, Some(former)) if now.since_ms(former.ended_at) < LATE_MS => Life::Late,
        (true, None, Some(_)) => Life::Begins(fresh),
        // Another life stands, which began after this one had ended.
        (false, Some(living), _)
            if alert.starts_at < living.raised_at
                && alert.ends_at.is_some_and(|end| end <= living.raised_at) =>
        {
            Life::Late
        }
        (false, Some(living), _) => Life::Ends(living.id),
        (false, None, Some(_)) => Life::Late,
        // It began and ended before anybody said so.
        (false, None, None) => Life::Ends(first),
    }
}
