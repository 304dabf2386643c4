//! What one poll of a device was like.

use std::sync::Arc;
use std::time::Duration;

use callhome_shared::readout::{Chosen, Hint, Readout, Slowest};
use callhome_shared::time::Time;

use super::error::SnmpError;
use super::plan::Plan;
use crate::profile::oid::Oid;

/// Counted while a device is polled.
#[derive(Debug, Default)]
pub struct Tally {
    /// Values that were read.
    values: u64,
    slowest: Option<(Oid, Duration)>,
}

impl Tally {
    /// Readings came.
    pub fn read(&mut self, values: usize) {
        self.values = self.values.saturating_add(values as u64);
    }

    /// Whether there were none.
    pub fn is_empty(&self) -> bool {
        self.values == 0
    }

    /// A question whose first object is this was answered, or given up, after so long.
    pub fn waited(&mut self, oid: &Oid, took: Duration) {
        if self.slowest.as_ref().is_none_or(|(_, longest)| took > *longest) {
            self.slowest = Some((oid.clone(), took));
        }
    }

    /// What the poll was like. `plan`: what the device says it is and how it is read, if that is known;
    /// `configured`: the configuration names its profiles; `faults`: what could not be read.
    pub fn readout(
        &self,
        took: Duration,
        plan: Option<&(Option<Oid>, Arc<Plan>)>,
        configured: bool,
        outcome: Result<usize, &SnmpError>,
    ) -> Readout {
        let profiles = plan.map_or_else(Vec::new, |(_, plan)| {
            plan.names().into_iter().map(str::to_owned).collect()
        });
        let chosen = plan.map(|(_, plan)| match (configured, plan.generic) {
            (true, _) => Chosen::Configured,
            (false, true) => Chosen::Generic,
            (false, false) => Chosen::Device,
        });
        let hint = match outcome {
            Err(error) => error.hint(),
            Ok(_) if self.values == 0 => Some(Hint::NothingRead),
            Ok(faults) if faults > 0 => Some(Hint::Partly),
            Ok(_) => (chosen == Some(Chosen::Generic)).then_some(Hint::NoProfile),
        };
        let slowest = self.slowest.as_ref();
        Readout {
            at: Time::now(),
            took_ms: millis(took),
            values: self.values,
            faults: outcome.map_or(0, |faults| faults as u64),
            slowest: slowest.map(|(oid, took)| Slowest { oid: oid.to_string(), ms: millis(*took) }),
            profiles,
            chosen,
            sysobjectid: plan.and_then(|(id, _)| id.as_ref()).map(ToString::to_string),
            hint,
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::plan::Plans;
    use super::*;
    use crate::profile::Library;

    /// The plan for a shipped profile.
    fn plan(profile: &str) -> Arc<Plan> {
        let library = Library::built_in().unwrap_or_else(|e| panic!("{e:?}"));
        Plans::new(Arc::new(library)).of(&[profile.to_owned()]).unwrap_or_else(|e| panic!("{e:?}"))
    }

    fn oid(last: u32) -> Oid {
        Oid::new(&[1, 3, 6, last])
    }

    #[test]
    fn says_what_took_longest_and_what_to_check() {
        let mut tally = Tally::default();
        let apc = (Some(oid(9)), plan("apc"));
        let second = Duration::from_secs(1);
        let empty = tally.readout(second, Some(&apc), false, Ok(0));
        assert_eq!((empty.hint, empty.chosen), (Some(Hint::NothingRead), Some(Chosen::Device)));
        tally.waited(&oid(1), Duration::from_millis(5));
        tally.waited(&oid(2), Duration::from_millis(70));
        tally.waited(&oid(3), Duration::from_millis(7));
        tally.read(40);
        let good = tally.readout(second, Some(&apc), true, Ok(0));
        let slowest = Slowest { oid: "1.3.6.2".into(), ms: 70 };
        assert_eq!((good.took_ms, good.values, good.slowest), (1000, 40, Some(slowest)));
        assert_eq!((good.hint, good.chosen), (None, Some(Chosen::Configured)));
        assert_eq!(good.profiles, ["apc"]);
        assert_eq!(good.sysobjectid.as_deref(), Some("1.3.6.9"));
        let partly = tally.readout(second, Some(&apc), true, Ok(3));
        assert_eq!((partly.hint, partly.faults), (Some(Hint::Partly), 3));
        let generic = (None, plan("if-mib"));
        let unknown = tally.readout(second, Some(&generic), false, Ok(0));
        assert_eq!((unknown.hint, unknown.chosen), (Some(Hint::NoProfile), Some(Chosen::Generic)));
        let closed = SnmpError::PortClosed { address: "192.0.2.1:161".into() };
        let dead = tally.readout(second, None, false, Err(&closed));
        assert_eq!((dead.hint, dead.chosen), (Some(Hint::PortClosed), None));
    }
}
