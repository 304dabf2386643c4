//! How fast one agent may upload, and how many requests it may have at a time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use callhome_shared::id::AgentId;

use super::judge::Refusal;
use crate::broker::rate::Rate;

/// Requests of one agent at a time.
const AT_ONCE: usize = 4;
/// An agent that is further ahead of its pace is sent away instead of being held.
const LONGEST_HOLD: Duration = Duration::from_secs(5);
/// Refused subjects of one agent are recorded once in this time; all are counted and logged.
const RECORD_EVERY: Duration = Duration::from_secs(60);
/// Bytes are counted in units of this size.
const UNIT: u64 = 1024;

/// Every agent that uploads.
pub(super) struct Paces {
    agents: Mutex<HashMap<AgentId, Pace>>,
    units_per_second: u32,
}

struct Pace {
    bytes: Rate,
    running: usize,
    recorded_at: Option<Instant>,
}

/// A running request.
pub(super) struct Visit {
    paces: Arc<Paces>,
    agent: AgentId,
}

impl Drop for Visit {
    fn drop(&mut self) {
        let now = Instant::now();
        let mut agents = self.paces.lock();
        if let Some(pace) = agents.get_mut(&self.agent) {
            pace.running = pace.running.saturating_sub(1);
        }
        if agents.len() > 64 {
            // A new one would say the same.
            agents.retain(|_, pace| {
                let recorded =
                    pace.recorded_at.is_some_and(|at| now.duration_since(at) < RECORD_EVERY);
                pace.running > 0 || recorded || !pace.bytes.is_rested(now)
            });
        }
    }
}

impl Paces {
    pub(super) fn new(bytes_per_second: u64) -> Arc<Self> {
        let units = u32::try_from(bytes_per_second / UNIT).unwrap_or(u32::MAX).max(1);
        Arc::new(Paces { agents: Mutex::default(), units_per_second: units })
    }

    /// A request begins.
    pub(super) fn enter(self: &Arc<Self>, agent: &AgentId) -> Result<Visit, Refusal> {
        let mut agents = self.lock();
        let pace = agents.entry(agent.clone()).or_insert_with(|| Pace {
            bytes: Rate::per_second(self.units_per_second),
            running: 0,
            recorded_at: None,
        });
        if pace.running >= AT_ONCE {
            return Err(Refusal::TooFast(Duration::from_secs(1)));
        }
        pace.running += 1;
        Ok(Visit { paces: self.clone(), agent: agent.clone() })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<AgentId, Pace>> {
        self.agents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Visit {
    /// So many bytes come: how long the agent is to be held first.
    pub(super) fn bytes(&self, count: u64, now: Instant) -> Result<Duration, Refusal> {
        let units = u32::try_from(count.div_ceil(UNIT)).unwrap_or(u32::MAX);
        let mut agents = self.paces.lock();
        let Some(pace) = agents.get_mut(&self.agent) else { return Ok(Duration::ZERO) };
        pace.bytes.try_take_many(units, now, LONGEST_HOLD).map_err(Refusal::TooFast)
    }

    /// Whether what this agent was refused is to be recorded.
    pub(super) fn records(&self, now: Instant) -> bool {
        let mut agents = self.paces.lock();
        let Some(pace) = agents.get_mut(&self.agent) else { return false };
        let due = pace.recorded_at.is_none_or(|at| now.duration_since(at) >= RECORD_EVERY);
        if due {
            pace.recorded_at = Some(now);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_too_fast_is_held_then_sent_away_and_what_is_refused_costs_nothing() {
        let paces = Paces::new(1024 * 1024);
        let agent = AgentId::new("a-1").unwrap();
        let visit = paces.enter(&agent).unwrap();
        let now = Instant::now();
        let mib = 1024 * 1024;
        let holds: Vec<_> = (0..8).map(|_| visit.bytes(mib, now)).collect();
        // Two seconds' worth at once, then one second each, until five would be too long.
        let seconds = |n| Ok(Duration::from_secs(n));
        assert_eq!(holds[..3], [seconds(0), seconds(0), seconds(0)]);
        let rounded: Vec<_> =
            holds[3..].iter().map(|h| h.clone().map(|d| d.as_secs_f64().round())).collect();
        assert_eq!(rounded[..2], [Ok(1.0), Ok(2.0)]);
        for _ in 0..1000 {
            assert!(matches!(visit.bytes(100 * mib, now), Err(Refusal::TooFast(_)) | Ok(_)));
        }
        assert!(
            matches!(visit.bytes(mib, now), Err(Refusal::TooFast(wait)) if wait < Duration::from_secs(300))
        );
        let others: Vec<_> = (0..AT_ONCE - 1).map(|_| paces.enter(&agent).unwrap()).collect();
        assert!(paces.enter(&agent).is_err());
        drop(others);
        assert!(paces.enter(&agent).is_ok());
        assert!(visit.records(now) && !visit.records(now) && visit.records(now + RECORD_EVERY));
    }
}
