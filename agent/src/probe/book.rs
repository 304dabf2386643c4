//! The bookkeeping. Pure: no clock, no task, no file.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use callhome_shared::ack::Receipt;
use callhome_shared::id::new_uuid;
use callhome_shared::probe::{Hop, Missing, PathState, overdue_ms};
use callhome_shared::time::Time;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::ring::Ring;

/// The first probe waits so long after the start, at most: sources have to come up.
const FIRST_MS: i64 = 15_000;
/// The first probes of many sources are spread over at most so long.
const FIRST_SPREAD_MS: i64 = 60_000;
/// Longest words on what is in the way, characters.
const MAX_DETAIL: usize = 300;

/// A moment: for people, and for counting (which no set clock disturbs).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The clock.
    pub wall: Time,
    /// Milliseconds since the book was opened.
    pub mono_ms: i64,
}

/// What the book must know of the others.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Why nothing can be stored, if so.
    pub blocked_by: Option<Arc<str>>,
    /// Whether the collector is connected.
    pub connected: bool,
    /// What the link is doing, in words.
    pub link: String,
    /// The outbox's life.
    pub epoch: Uuid,
    /// The alarm lane is acknowledged up to here.
    pub acked_seq: u64,
}

/// What an envelope tells of its probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// The source.
    pub source: String,
    /// Its kind.
    pub kind: String,
    /// Between two probes, seconds.
    pub interval_s: u64,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Ask this source for a probe.
    Ask(Arc<str>, Uuid),
    /// Tell the line of this source's path.
    Tell(Arc<str>, Told),
}

/// What the line is told of a path; [`Book::told`] when it has taken it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Not proven, or proven (again).
    pub missing: Option<Missing>,
    /// What is to be stored of the last proof.
    pub stored: Option<Vec<u8>>,
}

/// Where a probe is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Its source is asked.
    Asked,
    /// Rules or alarm set did not take it.
    Refused(&'static str),
    /// It is about to be stored.
    Decided,
    /// It is stored, not behind this number of this outbox life.
    Stored(Uuid, u64),
}

/// A probe that is under way.
#[derive(Clone, Copy, Debug)]
struct UnderWay {
    nonce: Uuid,
    /// When its source was asked.
    asked_ms: i64,
    /// When its reader began with it.
    began: Moment,
    /// Its alarm, once it is decided on.
    alarm_id: Uuid,
    stage: Stage,
}

/// The last proof, as it is kept over a restart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Proof {
    at: Time,
    ticket: String,
    took_ms: u64,
}

/// One source's path.
#[derive(Debug)]
struct Track {
    kind: &'static str,
    /// When the next probe is due.
    due_ms: i64,
    /// When the newest proven probe began; the book's beginning before the first.
    base_ms: i64,
    under_way: Option<UnderWay>,
    proof: Option<Proof>,
    count: u64,
    latencies: Ring,
    missing: Option<Missing>,
    /// Somebody waits for a proof: the interval does not count.
    hurried: bool,
    /// What the line knows: `Some(true)` = not proven.
    line_knows: Option<bool>,
    /// Whether the last proof is to be stored.
    unstored: bool,
}

/// All paths.
#[derive(Debug)]
pub struct Book {
    interval_s: u64,
    tracks: BTreeMap<Arc<str>, Track>,
}

impl Book {
    /// A book of these sources, each with its kind and what [`Told::stored`] said last time.
    pub fn new(
        sources: impl IntoIterator<Item = (Arc<str>, &'static str, Option<Vec<u8>>)>,
        interval_s: u64,
        now: Moment,
    ) -> Self {
        let interval = ms(interval_s);
        let tracks = sources.into_iter().map(|(source, kind, stored)| {
            let wait =
                FIRST_MS.min(interval / 4) + spread(&source, (interval / 4).min(FIRST_SPREAD_MS));
            let track = Track {
                kind,
                due_ms: now.mono_ms + wait,
                base_ms: now.mono_ms,
                under_way: None,
                proof: stored.and_then(|bytes| serde_json::from_slice(&bytes).ok()),
                count: 0,
                latencies: Ring::default(),
                missing: None,
                hurried: false,
                line_knows: None,
                unstored: false,
            };
            (source, track)
        });
        Book { interval_s, tracks: tracks.collect() }
    }

    /// See [`About`]; `None` for a probe that is not under way.
    pub fn about(&self, nonce: Uuid) -> Option<About> {
        let (source, track) = self.tracks.iter().find(|(_, t)| t.is(nonce))?;
        Some(About {
            source: source.to_string(),
            kind: track.kind.to_owned(),
            interval_s: self.interval_s,
        })
    }

    /// The line decided on it: this is its alarm.
    pub fn decided(&mut self, nonce: Uuid, alarm_id: Uuid, began: Moment) {
        if let Some(probe) = self.probe(|p| p.nonce == nonce) {
            (probe.stage, probe.alarm_id, probe.began) = (Stage::Decided, alarm_id, began);
        }
    }

    /// The line could not take it.
    pub fn refused(&mut self, nonce: Uuid, why: &'static str) {
        if let Some(probe) = self.probe(|p| p.nonce == nonce) {
            probe.stage = Stage::Refused(why);
        }
    }

    /// It is in the outbox.
    pub fn stored(&mut self, alarm_id: Uuid, epoch: Uuid, seq: u64) {
        if let Some(probe) = self.probe(|p| p.stage == Stage::Decided && p.alarm_id == alarm_id) {
            probe.stage = Stage::Stored(epoch, seq);
        }
    }

    /// Its shadow ticket is known: the path is proven. Says whether anybody waited for that.
    pub fn receipt(&mut self, receipt: &Receipt, now: Moment) -> bool {
        let known = |probe: &UnderWay| {
            probe.alarm_id == receipt.alarm_id
                && matches!(probe.stage, Stage::Decided | Stage::Stored(..))
        };
        let found = self.tracks.values_mut().find(|t| t.under_way.as_ref().is_some_and(known));
        let Some(track) = found else { return false };
        let Some(probe) = track.under_way.take() else { return false };
        let took_ms = u64::try_from(now.mono_ms - probe.began.mono_ms).unwrap_or_default();
        track.latencies.push(took_ms);
        track.proof = Some(Proof { at: now.wall, ticket: receipt.ticket.clone(), took_ms });
        track.count += 1;
        track.base_ms = track.base_ms.max(probe.began.mono_ms);
        track.hurried = false;
        track.unstored = true;
        true
    }

    /// Lets time pass. `trouble` says why a source does not read.
    pub fn advance(
        &mut self,
        now: Moment,
        facts: &Facts,
        trouble: impl Fn(&str) -> String,
    ) -> Vec<Order> {
        let interval = ms(self.interval_s);
        let overdue = overdue_ms(self.interval_s);
        let mut orders = Vec::new();
        for (source, track) in &mut self.tracks {
            if track.may_ask(now.mono_ms, interval, facts) {
                orders.push(Order::Ask(source.clone(), track.ask(now, interval)));
            }
            let late = now.mono_ms - track.base_ms >= overdue;
            track.missing = late.then(|| {
                let (hop, detail) = track.stuck(facts, &trouble(source));
                let since = track.missing.as_ref().map_or(now.wall, |before| before.since);
                Missing { hop, since, detail }
            });
            orders.extend(track.news().map(|told| Order::Tell(source.clone(), told)));
        }
        orders
    }

    /// The line has taken it.
    pub fn told(&mut self, source: &str, told: &Told) {
        let Some(track) = self.tracks.get_mut(source) else { return };
        track.line_knows = Some(told.missing.is_some());
        track.unstored &= told.stored.is_none() || told.stored != track.to_store();
    }

    /// Wants a probe of one source, or of all, as soon as may be; says how often each was proven.
    pub fn hurry(&mut self, source: Option<&str>) -> Vec<(String, u64)> {
        let wanted =
            self.tracks.iter_mut().filter(|(name, _)| source.is_none_or(|s| s == &***name));
        wanted
            .map(|(name, track)| {
                track.hurried = true;
                (name.to_string(), track.count)
            })
            .collect()
    }

    /// Proofs of a source since the start.
    pub fn count(&self, source: &str) -> u64 {
        self.tracks.get(source).map_or(0, |track| track.count)
    }

    /// Where a source's probe is, in words.
    pub fn whereabouts(&self, source: &str, facts: &Facts, trouble: &str) -> String {
        let Some(track) = self.tracks.get(source) else { return "no such source".to_owned() };
        let (hop, detail) = track.stuck(facts, trouble);
        format!("{}: {detail}", hop.as_str())
    }

    /// All paths as they are.
    pub fn report(&self) -> Vec<PathState> {
        let state = |(source, track): (&Arc<str>, &Track)| PathState {
            source: source.to_string(),
            kind: track.kind.to_owned(),
            interval_s: self.interval_s,
            proven_at: track.proof.as_ref().map(|p| p.at),
            ticket: track.proof.as_ref().map(|p| p.ticket.clone()),
            took_ms: track.proof.as_ref().map(|p| p.took_ms),
            p50_ms: track.latencies.percentile(50),
            p99_ms: track.latencies.percentile(99),
            samples: track.latencies.len(),
            missing: track.missing.clone(),
        };
        self.tracks.iter().map(state).collect()
    }

    fn probe(&mut self, which: impl Fn(&UnderWay) -> bool) -> Option<&mut UnderWay> {
        self.tracks.values_mut().filter_map(|t| t.under_way.as_mut()).find(|p| which(p))
    }
}

impl Track {
    fn is(&self, nonce: Uuid) -> bool {
        self.under_way.as_ref().is_some_and(|probe| probe.nonce == nonce)
    }

    /// Whether a new probe may go out. At most one of a source is anywhere between its reader and the
    /// collector: an outage must not fill queues with what can come again.
    fn may_ask(&self, now_ms: i64, interval: i64, facts: &Facts) -> bool {
        let Some(probe) = &self.under_way else { return self.hurried || now_ms >= self.due_ms };
        let waited = now_ms - probe.asked_ms >= interval;
        match probe.stage {
            // It waits in the reader's slot, or was lost with a source that ended; what is behind the
            // line's door is waited for.
            Stage::Asked | Stage::Decided => waited && facts.blocked_by.is_none(),
            Stage::Refused(_) => waited || self.hurried,
            Stage::Stored(epoch, seq) => {
                let passed = epoch != facts.epoch || seq <= facts.acked_seq;
                passed && (waited || (self.hurried && now_ms - probe.asked_ms >= 1000))
            }
        }
    }

    fn ask(&mut self, now: Moment, interval: i64) -> Uuid {
        let nonce = new_uuid();
        let (asked_ms, stage) = (now.mono_ms, Stage::Asked);
        self.under_way =
            Some(UnderWay { nonce, asked_ms, began: now, alarm_id: Uuid::nil(), stage });
        // A probe out of turn does not move the others.
        while self.due_ms <= now.mono_ms {
            self.due_ms += interval.max(1);
        }
        nonce
    }

    /// Where the present probe is, and why it does not move.
    fn stuck(&self, facts: &Facts, trouble: &str) -> (Hop, String) {
        let stage = self.under_way.as_ref().map(|probe| probe.stage);
        let (hop, detail) = match (stage, &facts.blocked_by) {
            (Some(Stage::Refused(why)), _) => (Hop::Rule, why.to_owned()),
            (Some(Stage::Asked | Stage::Decided), Some(why)) => (Hop::Outbox, why.to_string()),
            (Some(Stage::Decided), None) => (Hop::Outbox, "it is being stored".to_owned()),
            (Some(Stage::Stored(epoch, seq)), _) => {
                if epoch == facts.epoch && seq > facts.acked_seq {
                    match facts.connected {
                        true => (Hop::Collector, "it does not acknowledge".to_owned()),
                        false => (Hop::Link, facts.link.clone()),
                    }
                } else {
                    (Hop::Receipt, "acknowledged, but no shadow ticket was told".to_owned())
                }
            }
            (Some(Stage::Asked) | None, _) => match trouble {
                "" => (Hop::Reader, "the source has not handed a probe over".to_owned()),
                why => (Hop::Reader, why.to_owned()),
            },
        };
        (hop, detail.chars().take(MAX_DETAIL).collect())
    }

    /// What the line does not know yet.
    fn news(&self) -> Option<Told> {
        let missing = self.missing.is_some();
        // After a start nothing is said before something is known: an alarm that stands may stand.
        let known = missing || self.count > 0;
        let changed = known && self.line_knows != Some(missing);
        (changed || self.unstored).then(|| Told {
            missing: self.missing.clone(),
            stored: self.unstored.then(|| self.to_store()).flatten(),
        })
    }

    fn to_store(&self) -> Option<Vec<u8>> {
        self.proof.as_ref().and_then(|proof| serde_json::to_vec(proof).ok())
    }
}

fn ms(seconds: u64) -> i64 {
    i64::try_from(seconds.saturating_mul(1000)).unwrap_or(i64::MAX / 4)
}

/// A source's share of `most`, the same at every start.
fn spread(source: &str, most: i64) -> i64 {
    let mut hasher = DefaultHasher::new();
    source.hash(&mut hasher);
    let most = u64::try_from(most.max(1)).unwrap_or(1);
    i64::try_from(hasher.finish() % most).unwrap_or_default()
}
