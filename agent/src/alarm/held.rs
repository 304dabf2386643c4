//! Alarms that are held back: nobody is told of them until their reason is gone.

use callhome_shared::alarm::{Alarm, Transition};
use callhome_shared::time::Time;
use serde::Serialize;

use super::ActiveSet;
use super::set::Active;
use crate::hold::{Hold, SETTLE_MS, Subject, is_part};

/// Held alarms by their reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct HeldCounts {
    /// For maintenance.
    pub maintenance: u64,
    /// For a device, or a part of one, that is down.
    pub parent: u64,
}

impl ActiveSet {
    /// Whether a device of this name (as told) is said to be down, aloud or held back.
    pub fn is_down(&self, device: &str) -> bool {
        self.living().any(|(_, active)| active.down.as_deref() == Some(device))
    }

    /// Whether this part of a device (both as told) is said to be down, aloud or held back.
    pub fn is_part_down(&self, device: &str, part: &str) -> bool {
        let says = |active: &Active| {
            active
                .part
                .as_deref()
                .is_some_and(|(on, resource)| **on == *device && is_part(resource, part))
        };
        self.living().any(|(_, active)| says(active))
    }

    /// Number of held alarms.
    pub fn held(&self) -> HeldCounts {
        let mut counts = HeldCounts::default();
        for (_, active) in self.living() {
            match active.held.as_deref() {
                Some((Hold::Maintenance(_), _)) => counts.maintenance += 1,
                Some((Hold::Parent(_) | Hold::Part { .. }, _)) => counts.parent += 1,
                None => {}
            }
        }
        counts
    }

    /// Held alarms with their reasons, the newest first.
    pub fn newest_held(&self, limit: usize) -> Vec<(Alarm, Hold)> {
        let mut all: Vec<&Active> =
            self.living().map(|(_, active)| active).filter(|a| a.held.is_some()).collect();
        all.sort_unstable_by_key(|active| std::cmp::Reverse(active.alarm_id));
        let read = |active: &Active| {
            let (_, stored) = Active::read(&active.stored)?;
            Some((stored.alarm, stored.hold?))
        };
        all.into_iter().take(limit).filter_map(read).collect()
    }

    /// Looks at all held alarms again: `why` says for what each is held now. Those that are held for
    /// nothing any more are told: at once where it was maintenance; where a device was down only after
    /// [`SETTLE_MS`], so that what it hid is judged again first.
    pub fn release(
        &mut self,
        why: impl Fn(&ActiveSet, &Subject) -> Option<Hold>,
        now: Time,
    ) -> Vec<Alarm> {
        type Due = (String, Option<Hold>);
        let mut due: Vec<Due> = Vec::new();
        let mut settling = std::mem::take(&mut self.settling);
        let mut still = std::collections::BTreeMap::new();
        for (key, active) in self.living() {
            let Some((hold, subject)) = active.held.as_deref() else { continue };
            match (why(self, subject), hold) {
                (Some(next), hold) if next == *hold => {}
                (Some(next), _) => due.push((key.clone(), Some(next))),
                (None, Hold::Maintenance(_)) => due.push((key.clone(), None)),
                (None, Hold::Parent(_) | Hold::Part { .. }) => {
                    // A clock that was set back begins the wait anew.
                    let since = settling.remove(key).filter(|since| *since <= now).unwrap_or(now);
                    match now.since_ms(since) >= SETTLE_MS {
                        true => due.push((key.clone(), None)),
                        false => drop(still.insert(key.clone(), since)),
                    }
                }
            }
        }
        self.settling = still;
        let mut told = Vec::new();
        for (key, hold) in due {
            let Some((_, mut stored)) = self.get(&key).and_then(|a| Active::read(&a.stored)) else {
                continue;
            };
            stored.hold = hold;
            if stored.hold.is_none() {
                stored.alarm.transition = Transition::Raised;
                told.push(stored.alarm.clone());
            }
            self.stage_stored(key, &stored);
        }
        told
    }

    /// Alarms held back, and held ones that ended untold, since it was last asked.
    pub fn take_held(&mut self) -> (u64, u64) {
        std::mem::take(&mut self.held)
    }
}
