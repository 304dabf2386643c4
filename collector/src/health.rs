//! Whether the collector is alive (its tasks move) and ready (it can take and keep alarms).

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What `/healthz` and `/readyz` look at. One value, shared by all tasks.
#[derive(Debug)]
pub struct Health {
    started: Instant,
    pulses: Mutex<Vec<Arc<Beats>>>,
    broker_listening: AtomicBool,
}

#[derive(Debug)]
struct Beats {
    /// The task's name.
    task: &'static str,
    /// Longest silence before the task counts as stuck.
    limit: Duration,
    /// Milliseconds from `Health::started` to the last beat.
    last_ms: AtomicU64,
    /// The task has ended as it should.
    finished: AtomicBool,
}

/// One task's side: it beats at least once in its limit.
#[derive(Debug)]
pub struct Pulse {
    beats: Arc<Beats>,
    started: Instant,
}

impl Default for Health {
    fn default() -> Self {
        Health {
            started: Instant::now(),
            pulses: Mutex::default(),
            broker_listening: AtomicBool::new(false),
        }
    }
}

impl Health {
    /// Watches one more task; it must call [`Pulse::beat`] at least every `limit`.
    pub fn watch(&self, task: &'static str, limit: Duration) -> Pulse {
        let beats = Arc::new(Beats {
            task,
            limit,
            last_ms: AtomicU64::new(millis(self.started)),
            finished: AtomicBool::new(false),
        });
        self.pulses.lock().unwrap_or_else(PoisonError::into_inner).push(beats.clone());
        Pulse { beats, started: self.started }
    }

    /// The tasks that have not beaten within their limit, with their silence.
    pub fn stuck(&self) -> Vec<(&'static str, Duration)> {
        let now = millis(self.started);
        let pulses = self.pulses.lock().unwrap_or_else(PoisonError::into_inner);
        pulses
            .iter()
            .filter(|beats| !beats.finished.load(Ordering::Relaxed))
            .map(|beats| {
                let silent = now.saturating_sub(beats.last_ms.load(Ordering::Relaxed));
                (beats, Duration::from_millis(silent))
            })
            .filter(|(beats, silent)| *silent > beats.limit)
            .map(|(beats, silent)| (beats.task, silent))
            .collect()
    }

    /// Whether agents can connect: the embedded broker listens, or the external one is connected.
    pub fn set_broker_listening(&self, listening: bool) {
        self.broker_listening.store(listening, Ordering::Relaxed);
    }

    /// See [`Health::set_broker_listening`].
    pub fn broker_listening(&self) -> bool {
        self.broker_listening.load(Ordering::Relaxed)
    }
}

impl Pulse {
    /// The task moves.
    pub fn beat(&self) {
        self.beats.last_ms.store(millis(self.started), Ordering::Relaxed);
    }

    /// The task ends as it should; a task that is dropped without this shows as stuck.
    pub fn finish(self) {
        self.beats.finished.store(true, Ordering::Relaxed);
    }
}

fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_silent_task_shows_and_a_finished_one_does_not() {
        let health = Health::default();
        let writer = health.watch("writer", Duration::from_millis(20));
        let sweep = health.watch("sweep", Duration::from_secs(60));
        assert!(health.stuck().is_empty());
        tokio::time::sleep(Duration::from_millis(40)).await;
        let stuck = health.stuck();
        assert_eq!(stuck.iter().map(|(task, _)| *task).collect::<Vec<_>>(), ["writer"]);
        writer.beat();
        assert!(health.stuck().is_empty());
        tokio::time::sleep(Duration::from_millis(40)).await;
        writer.finish();
        sweep.beat();
        assert!(health.stuck().is_empty());
    }
}
