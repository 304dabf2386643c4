//! The outbox against a simple model in memory: commit, acknowledge, fold, evict, open again, begin a
//! new life; and a collector that takes what is sent through a small window.

use std::collections::{BTreeMap, BTreeSet};

use callhome_shared::ack::{Ack, Reject};
use callhome_shared::envelope::{Envelope, Kind, Lane};
use callhome_shared::id::new_uuid;
use callhome_shared::time::Time;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use uuid::Uuid;

use super::super::budget::FOLDED;
use super::*;

/// Cases, unless `CALLHOME_TEST_OUTBOX_MODEL` says more.
const CASES: u64 = 6;
/// Steps of a case.
const STEPS: usize = 100;
/// A budget that is soon reached.
const BUDGET: u64 = 24 * 1024;
/// Envelopes on their way at once: few, so that a number that nobody can pass would hold it up.
const WINDOW: usize = 5;

/// What was made and told nobody yet, in order; the outbox must hold it or say that it does not.
#[derive(Default)]
struct Model {
    /// By id: the life and its transition, for alarms.
    made: BTreeMap<Uuid, Option<(Uuid, &'static str)>>,
    /// The last transition of each life, by envelope.
    last: BTreeMap<Uuid, (Uuid, &'static str)>,
    /// Lives that go on.
    living: Vec<Uuid>,
    position: u64,
}

/// The other end: what it knows, by number and by id.
#[derive(Default)]
struct Collector {
    streams: BTreeMap<(Uuid, Lane), BTreeSet<u64>>,
    ids: BTreeSet<Uuid>,
    declared: u64,
}

impl Collector {
    fn take(&mut self, envelope: &Envelope) {
        self.streams.entry((envelope.epoch, envelope.lane)).or_default().insert(envelope.seq);
        self.ids.insert(envelope.id);
        for (epoch, lane, seq) in numbers(envelope) {
            self.streams.entry((epoch, lane)).or_default().insert(seq);
        }
    }

    fn mark(&self, epoch: Uuid, lane: Lane) -> u64 {
        let known = self.streams.get(&(epoch, lane));
        let known = known.into_iter().flatten().zip(1..);
        known.take_while(|(seq, n)| **seq == *n).count() as u64
    }
}

/// The numbers that an envelope declares as given up.
fn numbers(envelope: &Envelope) -> Vec<(Uuid, Lane, u64)> {
    if envelope.kind != Kind::Loss {
        return Vec::new();
    }
    let said: serde_json::Value = serde_json::from_slice(&envelope.data).unwrap();
    let Some(lane) = said["lane"].as_str().and_then(Lane::parse) else { return Vec::new() };
    let epoch = said["epoch"].as_str().unwrap().parse().unwrap();
    let number = |value: &serde_json::Value| value.as_str().unwrap().parse::<u64>().unwrap();
    let mut ranges = Vec::new();
    if said["first_seq"].is_string() {
        ranges.push((number(&said["first_seq"]), number(&said["last_seq"])));
    }
    let several = said["ranges"].as_array().into_iter().flatten();
    ranges.extend(several.map(|pair| (number(&pair[0]), number(&pair[1]))));
    let all: Vec<_> = ranges.iter().flat_map(|(a, b)| *a..=*b).map(|n| (epoch, lane, n)).collect();
    assert_eq!(said["count"], all.len(), "{said}");
    all
}

fn settings() -> OutboxSettings {
    OutboxSettings { max_bytes: BUDGET, preallocate_bytes: 0 }
}

struct Case {
    random: SmallRng,
    /// Mostly new lives, which nothing folds.
    hoards: bool,
    path: std::path::PathBuf,
    outbox: Outbox,
    model: Model,
    collector: Collector,
    counts: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    commits: u64,
    full: u64,
    folded: u64,
    evicted: u64,
    reopened: u64,
    renewed: u64,
}

impl Case {
    fn drafts(&mut self) -> Vec<Draft> {
        let count = self.random.random_range(1..4);
        (0..count).map(|_| self.draft()).collect()
    }

    fn draft(&mut self) -> Draft {
        let pad = "x".repeat(self.random.random_range(0..900));
        let alarm = |life: Uuid, transition: &str| {
            let data =
                format!(r#"{{"alarm_id":"{life}","transition":"{transition}","pad":"{pad}"}}"#);
            draft(Kind::Alarm, &data)
        };
        let at = self.random.random_range(0..self.model.living.len().max(1));
        let living = self.model.living.get(at).copied();
        let which = if self.hoards { 4..40 } else { 0..10 };
        let (next, what) = match (self.random.random_range(which), living) {
            (0, _) => (draft(Kind::Samples, &format!("\"{pad}\"")), None),
            (1, _) => (draft(Kind::Loss, r#"{"source":"s"}"#), None),
            (2, Some(life)) => {
                (draft(Kind::Evidence, &format!(r#"{{"alarm_id":"{life}","pad":"{pad}"}}"#)), None)
            }
            (3..=7, Some(life)) => (alarm(life, "changed"), Some((life, "changed"))),
            (8, Some(life)) => {
                self.model.living.swap_remove(at);
                (alarm(life, "cleared"), Some((life, "cleared")))
            }
            _ => {
                let life = new_uuid();
                self.model.living.push(life);
                (alarm(life, "raised"), Some((life, "raised")))
            }
        };
        self.model.made.insert(next.id, what);
        if let Some((life, transition)) = what {
            self.model.last.insert(life, (next.id, transition));
        }
        next
    }

    fn commit(&mut self) {
        let before = (self.model.last.clone(), self.model.living.clone());
        let drafts = self.drafts();
        let position = self.model.position + 1;
        let next = Decision {
            positions: vec![("s".into(), Position(position.to_string().into_bytes()))],
            ..decision(drafts)
        };
        let was_empty = self.outbox.status().lanes[0].depth == 0;
        match self.outbox.commit(&next) {
            Ok(_) => {
                self.counts.commits += 1;
                self.model.position = position;
                let stored = self.outbox.status().stored_bytes;
                assert!(stored <= BUDGET || was_empty, "{stored} bytes");
            }
            Err(OutboxError::Full { .. }) => {
                self.counts.full += 1;
                (self.model.last, self.model.living) = before;
                self.model.made.retain(|id, _| next.drafts.iter().all(|draft| draft.id != *id));
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// Sends through a window as the link does: what is ahead, then in order; then acknowledges.
    fn deliver(&mut self, rounds: usize) {
        for lane in Lane::ALL {
            for _ in 0..rounds {
                let page = self.outbox.pending(lane, 0, WINDOW, usize::MAX).unwrap();
                for envelope in page.ahead.iter().chain(&page.envelopes) {
                    self.collector.take(envelope);
                }
                let seq = self.collector.mark(page.epoch, lane);
                let (store, epoch) = (Uuid::nil(), page.epoch);
                let done =
                    self.outbox.ack(&Ack { store, epoch, lane, seq, rejects: vec![] }, Time(0));
                // What was evicted from the bulk lane is declared in the alarm lane.
                let may_wait = page.envelopes.is_empty() || lane == Lane::Bulk;
                assert!(done || may_wait, "held up at {seq}");
            }
        }
    }

    fn reopen(&mut self) {
        self.counts.reopened += 1;
        if self.random.random_bool(0.5) {
            self.outbox.break_database();
            return;
        }
        let before = self.outbox.status();
        let other =
            Outbox::open(&self.path.with_extension("other"), &agent(), &settings()).unwrap();
        drop(std::mem::replace(&mut self.outbox, other.0));
        let (opened, loaded) = Outbox::open(&self.path, &agent(), &settings()).unwrap();
        self.outbox = opened;
        let position = loaded
            .positions
            .get("s")
            .map_or(0, |position| String::from_utf8_lossy(&position.0).parse::<u64>().unwrap());
        assert_eq!(position, self.model.position);
        // What was acknowledged and not written down comes again.
        let after = self.outbox.status();
        for (a, b) in before.lanes.iter().zip(&after.lanes) {
            assert_eq!((a.last_seq, a.folded, a.evicted), (b.last_seq, b.folded, b.evicted));
        }
    }

    /// The collector knows our numbers already: everything is sent again in a new life.
    fn renew(&mut self) {
        let page = self.outbox.pending(Lane::Alarm, 0, 1, usize::MAX).unwrap();
        let Some(first) = page.envelopes.first() else { return };
        let reject = Reject {
            seq: first.seq,
            id: first.id,
            reason: "duplicate-seq".into(),
            text: String::new(),
        };
        let mut answer = ack(&self.outbox, Lane::Alarm, 0);
        answer.rejects = vec![reject];
        self.counts.folded += self.outbox.status().lanes[0].folded;
        self.counts.evicted += self.outbox.status().lanes[1].evicted;
        assert!(self.outbox.ack(&answer, Time(0)));
        self.counts.renewed += 1;
    }

    /// Everything is in the file, at the collector, or declared; no life is forgotten.
    fn check(&mut self) {
        let status = self.outbox.status();
        let mut held = BTreeSet::new();
        let mut declared: BTreeSet<_> = BTreeSet::new();
        for lane in &status.lanes {
            assert!(lane.balances(), "{lane:?}");
            let page = self.outbox.pending(lane.lane, 0, usize::MAX, usize::MAX).unwrap();
            assert_eq!(page.envelopes.len() as u64, lane.depth);
            assert!(page.envelopes.is_sorted_by_key(|envelope| envelope.seq));
            held.extend(page.envelopes.iter().map(|envelope| envelope.id));
            declared.extend(page.envelopes.iter().flat_map(numbers));
            let known = page.envelopes.iter().map(|envelope| envelope.seq).collect::<BTreeSet<_>>();
            for seq in lane.acked_seq + 1..=lane.last_seq {
                let place = (status.epoch, lane.lane, seq);
                let passed = self.collector.streams.get(&(status.epoch, lane.lane));
                let passed = passed.is_some_and(|stream| stream.contains(&seq));
                assert!(
                    known.contains(&seq) || declared.contains(&place) || passed
                        // Bulk is declared in the alarm lane.
                        || lane.lane == Lane::Bulk,
                    "{place:?} is neither there nor declared"
                );
            }
        }
        for (life, (envelope, transition)) in &self.model.last {
            let told = held.contains(envelope) || self.collector.ids.contains(envelope);
            assert!(told, "life {life} {transition} is forgotten");
        }
        self.collector.declared = declared.len() as u64;
    }
}

#[test]
fn prop_it_does_what_a_simple_model_does() {
    let mut total = Counts::default();
    for seed in 0..super::repetitions("CALLHOME_TEST_OUTBOX_MODEL", CASES) {
        let (_directory, path) = place();
        let (outbox, _) = Outbox::open(&path, &agent(), &settings()).unwrap();
        let mut case = Case {
            random: SmallRng::seed_from_u64(seed),
            hoards: seed % 3 == 0,
            path,
            outbox,
            model: Model::default(),
            collector: Collector::default(),
            counts: Counts::default(),
        };
        for _ in 0..STEPS {
            match case.random.random_range(0..40) {
                0..=29 => case.commit(),
                30..=33 => case.deliver(1),
                34 => case.outbox.settle().unwrap(),
                35 => case.deliver(8),
                36 | 37 => case.reopen(),
                38 if case.random.random_bool(0.3) => case.renew(),
                _ => {}
            }
            case.check();
        }
        // A link that works again empties it: no number holds it up.
        for _ in 0..STEPS * 4 {
            case.deliver(1);
        }
        case.outbox.settle().unwrap();
        let status = case.outbox.status();
        assert!(status.lanes.iter().all(|lane| lane.depth == 0), "seed {seed}: {status:?}");
        case.check();
        let Counts { commits, full, reopened, renewed, .. } = case.counts;
        total.commits += commits;
        total.full += full;
        total.reopened += reopened;
        total.renewed += renewed;
        total.folded += case.counts.folded + status.lanes[0].folded;
        total.evicted += case.counts.evicted + status.lanes[1].evicted;
    }
    println!("{total:?}");
    assert!(
        total.folded > 0 && total.evicted > 0 && total.full > 0 && total.renewed > 0,
        "{total:?}"
    );
}

#[test]
fn at_the_budget_each_life_is_folded_into_its_last_word() {
    let (_directory, path) = place();
    let (mut outbox, _) = Outbox::open(&path, &agent(), &settings()).unwrap();
    let lives: Vec<Uuid> = (0..10).map(|_| new_uuid()).collect();
    let pad = "x".repeat(300);
    let say = |life: Uuid, transition: &str| {
        let data = format!(r#"{{"alarm_id":"{life}","transition":"{transition}","pad":"{pad}"}}"#);
        draft(Kind::Alarm, &data)
    };
    let evidence = |life: Uuid| draft(Kind::Evidence, &format!(r#"{{"alarm_id":"{life}"}}"#));
    let all = |transition| lives.iter().map(|life| say(*life, transition)).collect::<Vec<_>>();
    outbox.commit(&decision(all("raised"))).unwrap();
    outbox.commit(&decision(lives.iter().map(|life| evidence(*life)).collect())).unwrap();
    for _ in 0..40 {
        outbox.commit(&decision(all("changed"))).unwrap();
    }
    let cleared = say(lives[0], "cleared");
    outbox.commit(&decision(vec![cleared.clone()])).unwrap();
    let status = outbox.status();
    let lane = &status.lanes[0];
    assert!(status.stored_bytes <= BUDGET && lane.balances() && lane.folded > 300, "{status:?}");
    let page = outbox.pending(Lane::Alarm, 0, usize::MAX, usize::MAX).unwrap();
    let kinds = |kind: Kind| page.envelopes.iter().filter(|e| e.kind == kind).count();
    // One declaration, however often it was folded; evidence and what lay between are gone.
    assert_eq!((kinds(Kind::Loss), kinds(Kind::Evidence)), (1, 0));
    assert!(page.envelopes.iter().any(|envelope| envelope.id == cleared.id));
    let raises = |text: &str| {
        let said = |e: &&Envelope| String::from_utf8_lossy(&e.data).contains(text);
        page.envelopes.iter().filter(said).count()
    };
    println!(
        "{} envelopes, {} of them raises, {lane:?}",
        page.envelopes.len(),
        raises("\"raised\"")
    );
    let said: serde_json::Value = page
        .envelopes
        .iter()
        .find(|envelope| envelope.kind == Kind::Loss)
        .map(|envelope| serde_json::from_slice(&envelope.data).unwrap())
        .unwrap();
    assert_eq!((&said["reason"], &said["count"]), (&FOLDED.into(), &lane.folded.into()));
}
