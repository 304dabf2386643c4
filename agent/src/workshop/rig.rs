//! A profile at work on snapshots of one device, with a clock of our own: the same rooms as in the
//! running agent (evaluate → rules → alarms), without a network and without an outbox.

use std::sync::Arc;

use callhome_shared::alarm::{Alarm, Device, RuleRef};
use callhome_shared::id::new_uuid;
use callhome_shared::time::Time;

use super::verdict::{Verdict, verdict};
use crate::alarm::ActiveSet;
use crate::profile::Profile;
use crate::profile::plan::{Field, Metric};
use crate::redact::Redactor;
use crate::rule::{Condition, Context, Engine, Rule, Watched};
use crate::source::SourceKind;
use crate::source::snmp::evaluate::{Examined, Snapshot, evaluate, examine};
use crate::source::snmp::identity::read_metadata;
use crate::source::snmp::memory::Memory;
use crate::source::snmp::plan::Plan;

/// Where the clock begins: any time will do.
const BEGIN: Time = Time(1_000_000_000_000);
/// Between two polls, ms.
const STEP: i64 = 60_000;

/// One value that was read, and what the profile says of it.
#[derive(Debug)]
pub struct Row {
    /// The metric.
    pub metric: Arc<Metric>,
    /// What was read.
    pub examined: Examined,
    /// `None` = a plain value without a limit.
    pub verdict: Option<Verdict>,
}

/// The rig.
pub struct Rig {
    /// What is read.
    pub plan: Plan,
    rules: Vec<Arc<Rule>>,
    source: Arc<str>,
    device: Arc<Device>,
    memory: Memory,
    engine: Engine,
    alarms: ActiveSet,
    redactor: Redactor,
    now: Time,
    /// Longest duration that a rule waits for, ms.
    patience: i64,
}

impl Rig {
    /// For a device with these profiles, which has not been seen yet.
    pub fn new(profiles: &[Arc<Profile>]) -> Self {
        let mut rules: Vec<Arc<Rule>> = Vec::new();
        for rule in profiles.iter().flat_map(|profile| &profile.rules) {
            if !rules.iter().any(|known| Arc::ptr_eq(known, rule)) {
                rules.push(rule.clone());
            }
        }
        let source: Arc<str> = "device".into();
        let device = Device { id: "device".into(), name: "device".into(), ..Device::default() };
        let device = Arc::new(device);
        let watched = Watched {
            source: source.clone(),
            kind: SourceKind::Snmp,
            device: device.clone(),
            rules: rules.clone(),
        };
        Rig {
            plan: Plan::new(profiles),
            patience: rules.iter().map(|rule| patience(&rule.condition)).max().unwrap_or(0),
            rules,
            source,
            device,
            memory: Memory::default(),
            engine: Engine::new([watched], BEGIN),
            alarms: ActiveSet::default(),
            redactor: Redactor::default(),
            now: BEGIN,
        }
    }

    /// Every value that the profiles read, in the order of the plan, with what they say of it alone.
    pub fn rows(&self, snapshot: &Snapshot) -> Vec<Row> {
        let mut rows = Vec::new();
        for metric in self.metrics() {
            for examined in examine(metric, snapshot) {
                let verdict = verdict(&self.rules, &examined.reading);
                // A row that says nothing now has no limit either.
                let verdict = match (&examined.skipped, verdict) {
                    (Some(_), Some(_)) => metric.stateful.then_some(Verdict::Unknown),
                    (_, verdict) => verdict,
                };
                if examined.readable {
                    rows.push(Row { metric: metric.clone(), examined, verdict });
                }
            }
        }
        rows
    }

    /// Every row of every metric, whether it says something now or not.
    pub fn examined(&self, snapshot: &Snapshot) -> Vec<(Arc<Metric>, Vec<Examined>)> {
        self.metrics().map(|metric| (metric.clone(), examine(metric, snapshot))).collect()
    }

    /// The rules on a metric.
    pub fn rules_on<'r>(&'r self, metric: &'r str) -> impl Iterator<Item = &'r Arc<Rule>> {
        self.rules.iter().filter(move |rule| rule.metric == metric)
    }

    /// What the device says of itself.
    pub fn device(&self, snapshot: &Snapshot) -> Device {
        let mut device = Device::clone(&self.device);
        for (field, text) in read_metadata(&self.plan.metadata, snapshot) {
            match field {
                Field::Serial => device.serial = Some(text),
                Field::Vendor => device.vendor = Some(text),
                Field::Model => device.model = Some(text),
                Field::Firmware => device.firmware = Some(text),
            }
        }
        device
    }

    /// One poll a minute later: what it raised, changed and cleared.
    pub fn poll(&mut self, snapshot: &Snapshot) -> Vec<Alarm> {
        self.poll_after(STEP, snapshot)
    }

    /// One poll so many ms later.
    pub fn poll_after(&mut self, ms: i64, snapshot: &Snapshot) -> Vec<Alarm> {
        self.now = Time(self.now.millis().saturating_add(ms));
        let mut transitions = Vec::new();
        let mut findings = Vec::new();
        let metrics: Vec<Arc<Metric>> = self.metrics().cloned().collect();
        for metric in metrics {
            for mut reading in evaluate(&metric, snapshot, &mut self.memory) {
                reading.observed_at = self.now;
                let context = Context {
                    source: &self.source,
                    kind: SourceKind::Snmp,
                    device: &self.device,
                    redactor: &self.redactor,
                };
                self.engine.read(context, &reading, &mut findings);
            }
        }
        for finding in &findings {
            transitions.extend(self.alarms.apply(finding, "", None, new_uuid));
        }
        self.engine.keep();
        self.alarms.keep();
        transitions
    }

    /// Polls until whatever lasts has lasted long enough, and what is gone counts as gone.
    pub fn settle(&mut self, snapshot: &Snapshot) -> Vec<Alarm> {
        let mut transitions = self.poll(snapshot);
        self.now = Time(self.now.millis() + self.patience);
        transitions.extend(self.poll(snapshot));
        transitions
    }

    /// The alarms that stand, the oldest first.
    pub fn active(&self) -> Vec<Alarm> {
        let mut all = self.alarms.newest(usize::MAX);
        all.reverse();
        all
    }

    /// The metric that a rule looks at.
    pub fn metric_of(&self, rule: &RuleRef) -> Option<&str> {
        let found = self.rules.iter().find(|r| r.pack == rule.pack && r.id == rule.id);
        found.map(|rule| rule.metric.as_str())
    }

    fn metrics(&self) -> impl Iterator<Item = &Arc<Metric>> {
        let tables = self.plan.tables.iter().flat_map(|table| &table.metrics);
        self.plan.scalar_metrics.iter().chain(tables)
    }
}

fn patience(condition: &Condition) -> i64 {
    match condition {
        Condition::Threshold { for_ms, .. } | Condition::StateMap { for_ms, .. } => *for_ms,
        _ => 0,
    }
}
