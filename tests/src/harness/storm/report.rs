//! What a storm came to, for people: one line a storm, everything about one that went wrong.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use super::act::Lines;
use super::plan::{Line, Plan};
use super::{Balance, LIVE_WITHIN, Outcome};
use crate::harness::oracle::{Verdict, Wrong};
use crate::harness::proxy::Counts;
use crate::harness::world::Broker;

/// A storm's report.
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// Faults asked for.
    pub faults: usize,
    /// Which broker.
    pub broker: Broker,
    /// PostgreSQL; else SQLite.
    pub postgres: bool,
    /// The oracle's judgement.
    pub verdict: Verdict,
    /// From the last disturbance until everything was right, where it came to that.
    pub settled: Option<Duration>,
    /// How long the disturbances went on.
    pub raged: Duration,
    /// The numbers of the alarm lane.
    pub balance: Balance,
    /// Disturbances by sort.
    pub troubles: BTreeMap<String, usize>,
    /// The agent's roads, the preferred one first.
    pub roads: Vec<Line>,
    /// What the proxies did.
    pub lines: BTreeMap<Line, Counts>,
    /// What was done when.
    pub timeline: Vec<(Duration, String)>,
    /// Rotations of the log.
    pub rotations: usize,
    /// Panics in the programs' logs.
    pub panics: Vec<String>,
    /// What else went wrong.
    pub notes: Vec<String>,
}

impl Report {
    /// An empty one.
    pub fn new(plan: &Plan, faults: usize) -> Self {
        Report {
            seed: plan.seed,
            faults,
            broker: plan.broker,
            postgres: plan.postgres,
            verdict: Verdict::default(),
            settled: None,
            raged: Duration::ZERO,
            balance: Balance::default(),
            troubles: BTreeMap::new(),
            roads: plan.roads.clone(),
            lines: BTreeMap::new(),
            timeline: Vec::new(),
            rotations: 0,
            panics: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Takes the proxies' counts over.
    pub fn take_lines(&mut self, lines: &Lines) {
        self.lines = lines.0.iter().map(|(line, proxy)| (*line, proxy.counts())).collect();
    }

    /// Takes the judgement over.
    pub fn take(&mut self, outcome: Outcome) {
        self.verdict = outcome.verdict;
        self.settled = outcome.settled;
        self.raged = outcome.raged;
        self.balance = outcome.balance;
    }

    /// Why it is not as it should be; empty when it is.
    pub fn faults_found(&self) -> Vec<String> {
        let mut wrong: Vec<String> =
            self.verdict.findings.iter().map(ToString::to_string).collect();
        wrong.extend(self.panics.iter().cloned());
        wrong.extend(self.notes.iter().cloned());
        let total = self.verdict.total();
        if total.faults < self.faults {
            wrong.push(format!("only {} of {} faults were put in", total.faults, self.faults));
        }
        if total.faults != total.lives + total.declared + total.lost && wrong.is_empty() {
            wrong.push(format!("the counts do not close: {total:?}"));
        }
        match self.settled {
            Some(settled) if settled > LIVE_WITHIN => {
                wrong.push(format!("live again only after {settled:?}"));
            }
            None if wrong.is_empty() => {
                wrong.push(format!("the balance does not close: {:?}", self.balance));
            }
            Some(_) | None => {}
        }
        wrong
    }

    /// How many disturbances began.
    pub fn disturbances(&self) -> usize {
        let counts = self.troubles.iter();
        let begun = counts.filter(|(sort, _)| !sort.starts_with("ended") && sort.contains(':'));
        begun.map(|(_, n)| n).sum()
    }

    /// Broker and database.
    pub fn system(&self) -> &'static str {
        match (self.broker, self.postgres) {
            (Broker::Embedded, false) => "embedded, SQLite",
            (Broker::Embedded, true) => "embedded, PostgreSQL",
            (Broker::Mosquitto | Broker::MosquittoDynsec, false) => "mosquitto, SQLite",
            (Broker::Mosquitto | Broker::MosquittoDynsec, true) => "mosquitto, PostgreSQL",
        }
    }

    /// One line.
    pub fn line(&self) -> String {
        let total = self.verdict.total();
        let disturbances = self.disturbances();
        let settled = self.settled.map_or("never".into(), |s| format!("{:.1}", s.as_secs_f64()));
        format!(
            "seed={} broker={} db={} roads={} faults={} lives={} tickets={} declared={} lost={} twice={} \
             wrong={} disturbances={disturbances} raged_s={:.0} live_again_s={settled} made={} \
             epochs={} rotations={}",
            self.seed,
            match self.broker {
                Broker::Embedded => "embedded",
                Broker::Mosquitto => "mosquitto",
                Broker::MosquittoDynsec => "mosquitto-dynsec",
            },
            if self.postgres { "postgres" } else { "sqlite" },
            self.roads.iter().map(|road| road.name()).collect::<Vec<_>>().join(">"),
            total.faults,
            total.lives,
            total.tickets,
            total.declared,
            total.lost,
            self.verdict.of(&Wrong::Twice),
            self.faults_found().len(),
            self.raged.as_secs_f64(),
            self.balance.made,
            self.balance.epochs,
            self.rotations,
        )
    }

    /// By kind of source, and what was done.
    pub fn tables(&self) -> String {
        let mut out = String::new();
        let _ = writeln!(
            out,
            "  {:<18} {:>7} {:>7} {:>8} {:>9} {:>5} {:>9}",
            "source", "faults", "lives", "tickets", "declared", "lost", "standing"
        );
        for (kind, c) in &self.verdict.by_kind {
            let _ = writeln!(
                out,
                "  {kind:<18} {:>7} {:>7} {:>8} {:>9} {:>5} {:>9}",
                c.faults, c.lives, c.tickets, c.declared, c.lost, c.standing
            );
        }
        let _ = writeln!(out, "  disturbances: {}", list(&self.troubles));
        for (line, c) in &self.lines {
            let _ = writeln!(
                out,
                "  line {:<12} {} connections, {} cut, {} refused, {} pieces garbled; bytes: {} \
                 carried, {} swallowed, {} late",
                line.name(),
                c.connections,
                c.cut,
                c.refused,
                c.corrupted,
                c.carried,
                c.swallowed,
                c.late
            );
        }
        let _ = writeln!(out, "  other tickets: {}", list(&self.verdict.others));
        for (at, what) in self.timeline.iter().filter(|(_, what)| what.contains("by itself")) {
            let _ = writeln!(out, "  {:>8.2} {what}", at.as_secs_f64());
        }
        out
    }

    /// Everything about a storm that went wrong.
    pub fn story(&self) -> String {
        let mut out = format!("STORM OF SEED {}\n{}\n", self.seed, self.line());
        out.push_str(&self.tables());
        let _ = writeln!(out, "  balance: {:?}", self.balance);
        out.push_str("what was done, seconds from the beginning:\n");
        for (at, what) in &self.timeline {
            let _ = writeln!(out, "  {:>8.2} {what}", at.as_secs_f64());
        }
        let found = self.faults_found();
        let _ = writeln!(out, "what is wrong ({}):", found.len());
        for finding in found.iter().take(40) {
            let _ = writeln!(out, "  {finding}");
        }
        out
    }
}

fn list(counts: &BTreeMap<String, usize>) -> String {
    let all: Vec<String> = counts.iter().map(|(what, n)| format!("{what} {n}")).collect();
    all.join(", ")
}
