//! How many connections one agent may have, and how often it may come back.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use callhome_shared::id::AgentId;

use super::rate::Rate;

/// Connections of one agent at the same time: its own, its session's, and for each one that is dead
/// without the broker knowing it yet.
const OPEN: usize = 4;
/// Connects a second, in the long run.
const PER_SECOND: u32 = 1;
/// Connects at once.
const BURST: u32 = 60;

/// All agents that are or were here. Its size is bounded by the number of enrolled agents: only who
/// has a good certificate and is on the roster gets this far.
#[derive(Debug, Default)]
pub(super) struct Callers {
    by_agent: Mutex<HashMap<AgentId, Caller>>,
}

#[derive(Debug)]
struct Caller {
    open: usize,
    pace: Rate,
    /// The refusals since the last connection that was let in were told of.
    told: bool,
}

/// One open connection; given back when dropped.
#[derive(Debug)]
pub(super) struct Call {
    callers: Arc<Callers>,
    agent: AgentId,
}

/// Why it is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    /// As a label of the counter.
    pub(super) why: &'static str,
    /// The first of a row: worth a line in the log.
    pub(super) first: bool,
}

impl Callers {
    /// One more connection of `agent`.
    pub(super) fn enter(self: &Arc<Self>, agent: &AgentId, now: Instant) -> Result<Call, Refused> {
        let mut callers = self.lock();
        let caller = callers.entry(agent.clone()).or_insert_with(|| Caller {
            open: 0,
            pace: Rate::new(PER_SECOND, BURST),
            told: false,
        });
        let why = if caller.open >= OPEN {
            "agent"
        } else if caller.pace.try_take(now) {
            caller.open += 1;
            caller.told = false;
            return Ok(Call { callers: self.clone(), agent: agent.clone() });
        } else {
            "agent-pace"
        };
        Err(Refused { why, first: !std::mem::replace(&mut caller.told, true) })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<AgentId, Caller>> {
        self.by_agent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let mut callers = self.callers.lock();
        let Some(caller) = callers.get_mut(&self.agent) else { return };
        caller.open = caller.open.saturating_sub(1);
        if caller.open == 0 && caller.pace.is_rested(Instant::now()) {
            callers.remove(&self.agent);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn per_agent() {
        let callers = Arc::new(Callers::default());
        let (a, b) = (AgentId::new("a").unwrap(), AgentId::new("b").unwrap());
        let now = Instant::now();
        let mut open: Vec<Call> = (0..OPEN).map(|_| callers.enter(&a, now).unwrap()).collect();
        let refused = callers.enter(&a, now).unwrap_err();
        assert_eq!(refused, Refused { why: "agent", first: true });
        assert!(!callers.enter(&a, now).unwrap_err().first, "told once");
        assert!(callers.enter(&b, now).is_ok());
        open.clear();
        let storm = (0..1000).filter(|_| callers.enter(&a, now).is_ok()).count();
        assert_eq!(storm, 1 + BURST as usize - OPEN);
        assert_eq!(callers.enter(&a, now).unwrap_err().why, "agent-pace");
        assert!(callers.enter(&b, now).is_ok());
    }
}
