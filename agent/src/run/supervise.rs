//! Sources: each in a task of its own; one that panics or ends is started again, within a budget, from
//! where it had got to. The rest keeps running whatever happens to one.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use callhome_shared::backoff::Backoff;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::profile::oid::Oid;
use crate::settings::{SourceSettings, SourceSpec};
use crate::source::snmp::outlet::Left;
use crate::source::snmp::{self, Ties, Transport};
use crate::source::{
    Assignment, Batch, Health, HealthBoard, Position, SourceKind, host, logfile, readable, serial,
    syslog, trap,
};

/// Batches between a source and its supervisor.
const BATCHES: usize = 16;
/// So many restarts within the window; then the source is given up.
const RESTARTS: usize = 5;
const WINDOW: Duration = Duration::from_secs(600);
const BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(60));

/// What sources share.
#[derive(Clone)]
pub(super) struct Shared {
    /// SNMP's sockets; absent where nothing is polled.
    pub(super) transport: Option<Transport>,
    /// What is known of polled devices and their rows.
    pub(super) ties: Ties,
}

/// Starts a source on the present `LocalSet` and keeps it running until `stop`.
pub(super) fn start(
    source: Arc<SourceSettings>,
    position: Option<Position>,
    out: mpsc::Sender<Batch>,
    health: &HealthBoard,
    shared: Shared,
    stop: &CancellationToken,
) -> Vec<JoinHandle<()>> {
    let mut tasks = Vec::with_capacity(2);
    let kind = source.spec.kind();
    let health = health.register(source.name.clone(), &source.device.name, kind);
    if kind != SourceKind::Snmp {
        let (name, device) = (source.name.clone(), source.device.clone());
        let subject = readable::Subject { source: name, kind, device, health: health.clone() };
        tasks.push(tokio::spawn(readable::watch(subject, out.clone(), stop.clone())));
    }
    // Polls tell on their own what is to be known of their batches: there may be a thousand of them.
    let left = (kind == SourceKind::Snmp).then(|| shared.ties.left.clone());
    let (told, ended) = (health.clone(), stop.clone());
    let launch = move |position, out| {
        let assignment = Assignment {
            source: source.name.clone(),
            device: source.device.clone(),
            position,
            out,
            health: told.clone(),
            stop: ended.clone(),
        };
        tokio::task::spawn_local(one(source.spec.clone(), assignment, shared.clone()))
    };
    let kept = keep(launch, position, out, health, left, stop.clone());
    tasks.push(tokio::task::spawn_local(kept));
    tasks
}

/// What traps ask polls for.
pub(super) fn names_wanted(sources: &[SourceSettings]) -> BTreeSet<Oid> {
    let wanted = sources.iter().filter_map(|source| match &source.spec {
        SourceSpec::Trap(trap) => Some(trap.db.polled()),
        _ => None,
    });
    wanted.flatten().collect()
}

async fn one(spec: SourceSpec, assignment: Assignment, shared: Shared) {
    let Shared { transport, ties } = shared;
    let Ties { names, known, .. } = ties.clone();
    // Polls are many, the others few: they do not make the task of a poll larger.
    match spec {
        SourceSpec::Snmp(settings) => match transport {
            Some(transport) => snmp::run_tied(assignment, settings, transport, ties).await,
            None => assignment.health.failed("no SNMP socket"),
        },
        SourceSpec::Serial(settings) => Box::pin(serial::run(assignment, settings)).await,
        SourceSpec::Logfile(settings) => Box::pin(logfile::run(assignment, settings)).await,
        SourceSpec::Host(settings) => Box::pin(host::run(assignment, settings)).await,
        SourceSpec::Syslog(settings) => Box::pin(syslog::run(assignment, *settings, known)).await,
        SourceSpec::Trap(settings) => {
            Box::pin(trap::run(assignment, *settings, known, names)).await;
        }
    }
}

/// Keeps one source running until `stop` or until its budget is used up. `left`: the source says there how
/// far it got, and hands over to the line itself.
async fn keep(
    launch: impl Fn(Option<Position>, mpsc::Sender<Batch>) -> JoinHandle<()>,
    mut position: Option<Position>,
    out: mpsc::Sender<Batch>,
    health: Health,
    left: Option<Left>,
    stop: CancellationToken,
) {
    let mut backoff = Backoff::new(BACKOFF.0, BACKOFF.1);
    let mut budget = Budget::default();
    loop {
        let task = match &left {
            Some(_) => launch(position.clone(), out.clone()),
            None => {
                let (tx, rx) = mpsc::channel::<Batch>(BATCHES);
                let task = launch(position.clone(), tx);
                if !Box::pin(forward(rx, &mut position, &out)).await {
                    return;
                }
                task
            }
        };
        let why = ended_because(task.await);
        if stop.is_cancelled() {
            return;
        }
        if let Some(left) = left.as_ref().and_then(Left::get) {
            position = Some(left);
        }
        tracing::error!(why, "source ended");
        if !budget.allows(Instant::now()) {
            health.failed(&format!("given up after {RESTARTS} restarts: {why}"));
            return;
        }
        health.failed(&format!("starts again: {why}"));
        tokio::select! {
            () = tokio::time::sleep(backoff.next_delay()) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// Hands a source's batches to the line until it ends. `false` = the line takes nothing any more.
async fn forward(
    mut batches: mpsc::Receiver<Batch>,
    position: &mut Option<Position>,
    line: &mpsc::Sender<Batch>,
) -> bool {
    while let Some(batch) = batches.recv().await {
        // What is handed to the line is stored or lives on in its memory: a restart goes on here.
        if batch.position.is_some() {
            position.clone_from(&batch.position);
        }
        if line.send(batch).await.is_err() {
            return false;
        }
    }
    true
}

fn ended_because(end: Result<(), JoinError>) -> String {
    match end {
        Ok(()) => "it ended by itself".to_owned(),
        Err(error) => match error.try_into_panic() {
            Ok(panic) => {
                let text = panic
                    .downcast_ref::<&str>()
                    .map(|s| (*s).to_owned())
                    .or_else(|| panic.downcast_ref::<String>().cloned());
                format!("panic: {}", text.unwrap_or_else(|| "without words".into()))
            }
            Err(error) => error.to_string(),
        },
    }
}

/// Restarts within a window.
#[derive(Default)]
struct Budget(VecDeque<Instant>);

impl Budget {
    fn allows(&mut self, now: Instant) -> bool {
        while self.0.front().is_some_and(|at| now.duration_since(*at) > WINDOW) {
            self.0.pop_front();
        }
        self.0.push_back(now);
        self.0.len() <= RESTARTS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use callhome_shared::heartbeat::SourceState;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn batch(position: u8) -> Batch {
        Batch {
            source: "s".into(),
            kind: SourceKind::Logfile,
            device: Arc::default(),
            rules: None,
            readings: Vec::new(),
            position: Some(Position(vec![position])),
            gaps: Vec::new(),
            heard_until: None,
            stored: None,
            inventory: None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn goes_on_where_it_was_and_gives_up_at_last() {
        let (out, mut line) = mpsc::channel(100);
        let (board, stop) = (HealthBoard::default(), CancellationToken::new());
        let health = board.register("s".into(), "d", SourceKind::Logfile);
        let starts = Arc::new(AtomicUsize::new(0));
        let counted = starts.clone();
        let launch = move |position: Option<Position>, out: mpsc::Sender<Batch>| {
            counted.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(async move {
                let next = position.map_or(1, |p| p.0[0] + 1);
                let _ = out.send(batch(next)).await;
                panic!("on purpose {next}");
            })
        };
        keep(launch, None, out, health, None, stop).await;
        let mut positions = Vec::new();
        while let Some(batch) = line.recv().await {
            positions.push(batch.position.unwrap().0[0]);
        }
        assert_eq!(positions, [1, 2, 3, 4, 5, 6]);
        assert_eq!(starts.load(Ordering::Relaxed), 1 + RESTARTS);
        let health = &board.snapshot()[0];
        assert_eq!(health.state, SourceState::Failed);
        assert!(health.detail.contains("given up") && health.detail.contains("on purpose 6"));
    }
}
