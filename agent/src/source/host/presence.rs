//! Which things of the host were there, so that an alarm of one that is gone does not stand for ever.

use std::collections::BTreeSet;

use crate::source::{Position, Reading};

/// Things remembered at most: the position has a limit.
const MAX_THINGS: usize = 256;

/// Metric and resource.
type Thing = (String, String);

/// File systems and sensors of the last reading, over restarts too.
#[derive(Debug, Default)]
pub(super) struct Presence {
    known: BTreeSet<Thing>,
    stored: BTreeSet<Thing>,
}

impl Presence {
    /// What the last run left; nothing if that cannot be read.
    pub(super) fn restore(position: Option<&Position>) -> Self {
        let known: BTreeSet<Thing> =
            position.and_then(|p| serde_json::from_slice(&p.0).ok()).unwrap_or_default();
        Presence { stored: known.clone(), known }
    }

    /// Takes what was read now; gives what was read before, is not now, and is no longer `there`.
    pub(super) fn update(
        &mut self,
        read: &[Reading],
        there: impl Fn(&str, &str) -> bool,
    ) -> Vec<Thing> {
        let mut here: BTreeSet<Thing> = read
            .iter()
            .filter(|reading| !reading.resource.is_empty())
            .map(|reading| (reading.metric.to_string(), reading.resource.clone()))
            .take(MAX_THINGS)
            .collect();
        let missing: Vec<Thing> = self.known.difference(&here).cloned().collect();
        let (silent, gone): (Vec<Thing>, Vec<Thing>) =
            missing.into_iter().partition(|(metric, resource)| there(metric, resource));
        here.extend(silent);
        self.known = here;
        gone
    }

    /// To be stored with what was just taken, if it changed.
    pub(super) fn position(&mut self) -> Option<Position> {
        if self.known == self.stored {
            return None;
        }
        self.stored = self.known.clone();
        serde_json::to_vec(&self.known).ok().map(Position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::host::measure::reading;
    use callhome_shared::time::Time;
    use proptest::prelude::*;

    fn disk(point: &str) -> Reading {
        reading(Time(0), "disk.used_percent", point, 1.0, "%", "")
    }

    #[test]
    fn what_is_gone_is_said_once_even_over_a_restart() {
        let mut presence = Presence::restore(None);
        let gone = |_: &str, _: &str| false;
        assert!(presence.update(&[disk("/"), disk("/data")], gone).is_empty());
        let position = presence.position();
        assert!(position.is_some() && presence.position().is_none());
        let mut presence = Presence::restore(position.as_ref());
        assert!(presence.update(&[disk("/")], |_, _| true).is_empty(), "there, but not read");
        let left = presence.update(&[disk("/")], gone);
        assert_eq!(left, [("disk.used_percent".to_owned(), "/data".to_owned())]);
        assert!(presence.position().is_some());
        assert!(presence.update(&[disk("/")], gone).is_empty());
    }

    proptest! {
        #[test]
        fn no_position_panics(bytes: Vec<u8>) {
            let _ = Presence::restore(Some(&Position(bytes)));
        }
    }
}
