//! Faults come and go in every kind of source while the storm is on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rand::Rng as _;
use rand::rngs::SmallRng;

use crate::harness::fleet::{Fleet, Kind};
use crate::harness::logs::Rotation;
use crate::harness::now_ms;
use crate::harness::oracle::Told;

/// Device and resource of every alarm that stands at the centre, as the watcher saw it last.
pub type Board = Arc<Mutex<BTreeSet<(String, String)>>>;

/// Lines and polls a second, as far as the machine goes.
const EVENTS_PER_S: u64 = 60;
/// A subject of the log or the console does not stand longer than this many others.
const STANDING: usize = 60;
/// Log events between two rotations, about.
const ROTATE_EVERY: usize = 120;
/// How long the log keeps quiet to be truncated safely.
const TRUNCATE_PATIENCE: Duration = Duration::from_secs(8);

/// Where a subject is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// No fault.
    Clear,
    /// A fault was put in; the centre does not show it yet.
    Raising,
    /// The centre shows it (or the source repeats everything, so nobody has to look).
    Stands,
    /// It was taken out; the centre still shows it.
    Clearing,
}

struct Subject {
    n: usize,
    resource: String,
    state: State,
}

/// Puts faults in and takes them out.
pub struct Injector<'a> {
    fleet: &'a mut Fleet,
    rng: SmallRng,
    board: Board,
    subjects: BTreeMap<Kind, Vec<Subject>>,
    told: Vec<Told>,
    raised: usize,
    log_events: usize,
    /// The log keeps quiet until the centre shows this; then all of it was read.
    truncating: Option<(String, Instant)>,
}

impl<'a> Injector<'a> {
    /// For this fleet.
    pub fn new(fleet: &'a mut Fleet, rng: SmallRng, board: Board) -> Self {
        let subjects = fleet.kinds().into_iter().map(|kind| (kind, Vec::new())).collect();
        Injector {
            fleet,
            rng,
            board,
            subjects,
            told: Vec::new(),
            raised: 0,
            log_events: 0,
            truncating: None,
        }
    }

    /// Until so many faults came.
    pub async fn run(&mut self, faults: usize) -> Result<()> {
        let started = Instant::now();
        let mut events = 0_u64;
        while self.raised < faults {
            let elapsed = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
            if events >= elapsed * EVENTS_PER_S / 1000 {
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            }
            // Now and then many at once: a broken shelf takes its disks with it.
            let burst = if self.rng.random_bool(0.005) { 40 } else { 1 };
            for _ in 0..burst {
                self.event()?;
                events += 1;
            }
        }
        Ok(())
    }

    /// One more fault in each kind, in a subject that never had one where there is such.
    pub fn probes(&mut self) -> Result<usize> {
        self.look();
        let kinds: Vec<Kind> = self.subjects.keys().copied().collect();
        let mut done = 0;
        for kind in kinds {
            if let Some(n) = self.fresh(kind).or_else(|| self.pick(kind, State::Clear)) {
                self.raise(kind, n)?;
                done += 1;
            }
        }
        Ok(done)
    }

    /// Everything that was done, in order.
    pub fn told(&self) -> &[Told] {
        &self.told
    }

    fn event(&mut self) -> Result<()> {
        self.look();
        self.truncate_when_read()?;
        let kind = match self.rng.random_range(0..100) {
            0..35 => Kind::Log,
            35..60 => Kind::Console,
            60..90 => Kind::Array,
            90..97 => Kind::Snmpd,
            _ => Kind::Host,
        };
        if kind == Kind::Log && self.truncating.is_some() {
            return Ok(());
        }
        if !self.subjects.contains_key(&kind) {
            return Ok(());
        }
        let standing = self.count(kind, State::Stands);
        let mend = match kind.is_standing() {
            true => self.rng.random_bool(0.45),
            false if standing > STANDING => self.rng.random_bool(0.7),
            false => self.rng.random_bool(0.35),
        };
        if mend {
            if let Some(n) = self.pick(kind, State::Stands) {
                self.mend(kind, n)?;
            }
        } else {
            let again = self.rng.random_bool(0.4);
            let old = again.then(|| self.pick(kind, State::Clear)).flatten();
            let n = old.or_else(|| self.fresh(kind)).or_else(|| self.pick(kind, State::Clear));
            if let Some(n) = n {
                self.raise(kind, n)?;
            }
        }
        if kind == Kind::Log { self.log_event() } else { Ok(()) }
    }

    fn log_event(&mut self) -> Result<()> {
        self.log_events += 1;
        self.fleet.log_noise("kernel: nothing to see here")?;
        if !self.log_events.is_multiple_of(ROTATE_EVERY) {
            return Ok(());
        }
        if self.rng.random_bool(0.6) {
            return self.fleet.rotate_log(Rotation::Rename);
        }
        // Copying and truncating loses what was not read at that moment, by its nature: the writer
        // waits until the centre shows the last line.
        let n = self.fresh(Kind::Log).context("the log holds any number")?;
        self.raise(Kind::Log, n)?;
        let resource = self.told.last().map(|t| t.resource.clone()).unwrap_or_default();
        self.truncating = Some((resource, Instant::now()));
        Ok(())
    }

    fn truncate_when_read(&mut self) -> Result<()> {
        let Some((resource, since)) = &self.truncating else { return Ok(()) };
        if self.shows(Kind::Log, resource) {
            self.truncating = None;
            return self.fleet.rotate_log(Rotation::CopyTruncate);
        }
        if since.elapsed() > TRUNCATE_PATIENCE {
            self.truncating = None;
            return self.fleet.rotate_log(Rotation::Rename);
        }
        Ok(())
    }

    /// A number that never had a fault.
    fn fresh(&self, kind: Kind) -> Option<usize> {
        let next = self.subjects.get(&kind)?.len() + 1;
        (next <= self.fleet.capacity(kind)).then_some(next)
    }

    fn pick(&mut self, kind: Kind, state: State) -> Option<usize> {
        let fit: Vec<usize> =
            self.subjects.get(&kind)?.iter().filter(|s| s.state == state).map(|s| s.n).collect();
        (!fit.is_empty()).then(|| fit[self.rng.random_range(0..fit.len())])
    }

    fn count(&self, kind: Kind, state: State) -> usize {
        self.subjects.get(&kind).map_or(0, |all| all.iter().filter(|s| s.state == state).count())
    }

    fn raise(&mut self, kind: Kind, n: usize) -> Result<()> {
        let fault = self.fleet.inject(kind, n)?;
        // What only a poll can see must be seen before it may go; a line is there for good.
        let state = if kind.is_standing() { State::Raising } else { State::Stands };
        let all = self.subjects.entry(kind).or_default();
        match all.iter_mut().find(|s| s.n == n) {
            Some(subject) => subject.state = state,
            None => all.push(Subject { n, resource: fault.resource.clone(), state }),
        }
        self.told.push(Told { kind, resource: fault.resource, raised: true, at: fault.at });
        self.raised += 1;
        Ok(())
    }

    fn mend(&mut self, kind: Kind, n: usize) -> Result<()> {
        let at = now_ms();
        self.fleet.mend(kind, n)?;
        let state = if kind.is_standing() { State::Clearing } else { State::Clear };
        let subject = self
            .subjects
            .get_mut(&kind)
            .and_then(|all| all.iter_mut().find(|s| s.n == n))
            .context("subject")?;
        subject.state = state;
        self.told.push(Told { kind, resource: subject.resource.clone(), raised: false, at });
        Ok(())
    }

    fn shows(&self, kind: Kind, resource: &str) -> bool {
        let board = self.board.lock().unwrap_or_else(PoisonError::into_inner);
        board.contains(&(kind.device().to_owned(), resource.to_owned()))
    }

    /// Takes over what the centre shows by now.
    fn look(&mut self) {
        let board = self.board.lock().unwrap_or_else(PoisonError::into_inner);
        for (kind, subjects) in &mut self.subjects {
            for subject in subjects {
                let waits = matches!(subject.state, State::Raising | State::Clearing);
                if !waits {
                    continue;
                }
                let shown = (kind.device().to_owned(), subject.resource.clone());
                subject.state = match (subject.state, board.contains(&shown)) {
                    (State::Raising, true) => State::Stands,
                    (State::Clearing, false) => State::Clear,
                    (state, _) => state,
                };
            }
        }
    }
}
