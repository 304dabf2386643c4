//! What follows from batches: a decision, with staged changes of rules and alarms.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use callhome_shared::alarm::{Alarm, RuleRef, Transition};
use callhome_shared::envelope::{Kind, Loss};
use callhome_shared::id::new_uuid;
use callhome_shared::limits::MAX_PAYLOAD_BYTES;
use callhome_shared::resync;
use callhome_shared::time::Time;
use serde::Serialize;
use uuid::Uuid;

use super::is_ephemeral;
use super::status::Counts;
use super::stock::Shelf;
use crate::alarm::ActiveSet;
use crate::hold::{Book, STORED_AS};
use crate::outbox::{Decision, Draft};
use crate::probe::Probes;
use crate::redact::{Blocks, HIDDEN, Redactor};
use crate::rule::{Context, Engine, Finding, RuleSet, told_id};
use crate::source::{Batch, Position, Reading, Value};

/// Rules, alarms and what is known of the sources; with staged changes until [`Desk::keep`].
pub(super) struct Desk {
    pub(super) engine: Engine,
    pub(super) alarms: ActiveSet,
    /// Until when each ephemeral source surely heard, as stored.
    heard: BTreeMap<Arc<str>, Time>,
    /// The last stored position of each source, for a new file.
    pub(super) positions: BTreeMap<Arc<str>, Position>,
    /// Ephemeral sources that have listened since the start: their agent-down gap is declared.
    listening: BTreeSet<Arc<str>>,
    /// What was counted, and what the staged changes would add to it.
    pub(super) counts: Counts,
    pub(super) staged: Staged,
    /// What every text goes through.
    pub(super) redactor: Arc<Redactor>,
    /// The consoles and files that are inside a private key.
    blocks: Blocks,
    /// Who wants to know of the probes that pass.
    pub(super) probes: Probes,
    /// Alarms of the probes in the last decision.
    pub(super) stored_probes: Vec<Uuid>,
    /// Windows of maintenance.
    pub(super) windows: Book,
    /// They are others than those that are stored.
    pub(super) windows_unsaved: bool,
    /// Devices that no source identifies.
    pub(super) shelf: Shelf,
    /// Scratch, kept for its memory.
    findings: Vec<Finding>,
}

/// What counts only after the transaction.
#[derive(Default)]
pub(super) struct Staged {
    pub(super) counts: Counts,
    listening: Vec<Arc<str>>,
    /// [`Desk::blocks`] as they will be, if they change.
    blocks: Option<Blocks>,
    /// Alarms of probes.
    pub(super) probes: Vec<Uuid>,
}

impl Desk {
    /// `heard` and `positions` as stored.
    pub(super) fn new(
        engine: Engine,
        alarms: ActiveSet,
        (heard, positions): (BTreeMap<String, Time>, BTreeMap<String, Position>),
        redactor: Arc<Redactor>,
        probes: Probes,
        (windows, shelf): (Book, Shelf),
        (listening, blocks): (BTreeSet<Arc<str>>, Blocks),
    ) -> Self {
        Desk {
            engine,
            alarms,
            heard: heard.into_iter().map(|(s, at)| (s.into(), at)).collect(),
            positions: positions.into_iter().map(|(s, p)| (s.into(), p)).collect(),
            listening,
            counts: Counts::default(),
            staged: Staged::default(),
            redactor,
            blocks,
            probes,
            stored_probes: Vec::new(),
            windows,
            windows_unsaved: false,
            shelf,
            findings: Vec::new(),
        }
    }

    /// What a line must go on with that follows this one; see [`super::Rest`].
    pub(super) fn rest(self) -> (BTreeSet<Arc<str>>, BTreeMap<Arc<str>, RuleSet>, Blocks) {
        (self.listening, self.engine.planned(), self.blocks)
    }

    /// Begins a decision.
    pub(super) fn begin(&self, now: Time) -> Decision {
        Decision { id: new_uuid(), time: now, ..Decision::default() }
    }

    /// Adds what follows from a batch.
    pub(super) fn batch(&mut self, batch: &Batch, decision: &mut Decision) {
        if is_ephemeral(batch.kind) && batch.heard_until.is_some() {
            self.declare_downtime(batch, decision);
        }
        for gap in &batch.gaps {
            let (from, to) = (gap.from, gap.to);
            self.lose(&batch.source, (from, to), gap.reason, gap.count, decision);
        }
        if let Some(rules) = &batch.rules {
            self.plan(&batch.source, rules, decision);
        }
        let mut findings = std::mem::take(&mut self.findings);
        let redactor = self.redactor.clone();
        let (source, device) = (&batch.source, &batch.device);
        let context = Context { source, kind: batch.kind, device, redactor: &redactor };
        let told = self.alarms.has_events() && self.alarms.has_event(&told_id(&redactor, device));
        self.engine.look_for_ends(told);
        for reading in &batch.readings {
            let reading = self.without_keys(source, reading);
            self.engine.read(context, &reading, &mut findings);
            if let Value::Probe(entered) = reading.value {
                self.probe(entered, findings.drain(..).next(), decision);
            }
            for finding in findings.drain(..) {
                self.find(&finding, decision);
            }
        }
        self.findings = findings;
        if let Some(inventory) = &batch.inventory {
            self.take_stock(&batch.source, inventory, decision);
        }
        if let Some(position) = &batch.position {
            set(&mut decision.positions, &batch.source, position.clone());
        }
        if let Some(heard) = batch.heard_until {
            set(&mut decision.heard, &batch.source, heard);
        }
        self.staged.counts.batches += 1;
        self.staged.counts.readings += batch.readings.len() as u64;
    }

    /// A source is read by these rules from now on: nothing could clear any more what others raised.
    /// A decision that is made again does this again, too.
    fn plan(&mut self, source: &str, rules: &RuleSet, decision: &mut Decision) {
        self.engine.plan(source, rules);
        let engine = &self.engine;
        let watched = |rule: &RuleRef| engine.knows(source, &rule.pack, &rule.id);
        let lost = self.alarms.clear_unplanned(source, watched, decision.time);
        if !lost.is_empty() {
            tracing::info!(source, alarms = lost.len(), "the device's plan no longer watches them");
            self.tell_unwatched(lost, decision);
        }
    }

    /// Adds what follows from the passing of time.
    pub(super) fn tick(&mut self, now: Time, decision: &mut Decision) {
        let mut findings = std::mem::take(&mut self.findings);
        let redactor = self.redactor.clone();
        self.engine.tick(now, &redactor, &mut findings);
        for finding in findings.drain(..) {
            self.find(&finding, decision);
        }
        self.findings = findings;
        self.look_at_windows(now, decision);
        self.look_at_held(now, decision);
        self.look_at_shelf(now, decision);
    }

    /// Adds what a finding changes. Says which alarm, if it does.
    pub(super) fn find(&mut self, finding: &Finding, decision: &mut Decision) -> Option<Alarm> {
        let device = self.redactor.device(&finding.device);
        let told = match Arc::ptr_eq(&device, &finding.device) {
            true => Cow::Borrowed(finding),
            false => Cow::Owned(Finding { device, ..finding.clone() }),
        };
        let hold = self.hold(&told, decision.time);
        let alarm = self.alarms.apply(&told, self.redactor.fingerprint(), hold, new_uuid)?;
        self.tell(alarm.clone(), decision);
        Some(alarm)
    }

    /// Adds a transition.
    pub(super) fn tell(&mut self, mut alarm: Alarm, decision: &mut Decision) {
        let counts = &mut self.staged.counts;
        match alarm.transition {
            Transition::Raised => counts.raised += 1,
            Transition::Changed => counts.changed += 1,
            Transition::Cleared => counts.cleared += 1,
        }
        let mut data = json(&alarm);
        if data.len() > MAX_PAYLOAD_BYTES {
            // Its parts are bounded; only evidence in a script that JSON escapes can get so large.
            tracing::warn!(alarm_id = %alarm.alarm_id, "alarm too large: evidence left out");
            alarm.evidence.clear();
            data = json(&alarm);
        }
        decision.drafts.push(Draft {
            id: new_uuid(),
            kind: Kind::Alarm,
            time: decision.time,
            data,
        });
    }

    /// Adds the whole active set, as it is stored. Nothing else may be staged: it is what the envelopes
    /// before it led to.
    pub(super) fn snapshot(&mut self, reason: &str, decision: &mut Decision) {
        let alarms = self.alarms.snapshot();
        let count = alarms.len();
        let (pages, left_out) = resync::paginate(new_uuid(), decision.time, reason, alarms);
        tracing::warn!(
            reason,
            alarms = count,
            pages = pages.len(),
            left_out,
            "the whole active set is sent"
        );
        self.staged.counts.resyncs += 1;
        for page in pages {
            let (kind, data) = (Kind::Resync, json(&page));
            decision.drafts.push(Draft { id: new_uuid(), kind, time: decision.time, data });
        }
    }

    /// Completes the decision: what was refused is declared, and the staged changes are put in.
    pub(super) fn finish(&mut self, decision: &mut Decision) {
        let now = decision.time;
        let alarms = self.alarms.take_refused();
        let states = self.engine.take_refused();
        for (count, reason) in [(alarms, "alarm-set-full"), (states, "rule-state-full")] {
            if count > 0 {
                self.lose("line", (now, now), reason, Some(count), decision);
            }
        }
        let (held, ended) = self.alarms.take_held();
        self.staged.counts.held += held;
        self.staged.counts.held_ended += ended;
        self.staged.counts.alarms_refused += alarms;
        self.staged.counts.states_refused += states;
        decision.rules.append(&mut self.engine.changes());
        decision.alarms.append(&mut self.alarms.changes());
    }

    /// The decision is stored: what it staged has happened.
    pub(super) fn keep(&mut self, decision: &Decision) {
        self.engine.keep();
        self.alarms.keep();
        let staged = std::mem::take(&mut self.staged);
        self.stored_probes = staged.probes;
        self.counts.add(&staged.counts);
        if let Some(blocks) = staged.blocks {
            self.blocks = blocks;
        }
        self.listening.extend(staged.listening);
        if decision.positions.iter().any(|(name, _)| **name == *STORED_AS) {
            self.windows_unsaved = false;
        }
        self.heard.extend(decision.heard.iter().cloned());
        self.positions.extend(decision.positions.iter().cloned());
    }

    /// The decision is not stored: what it staged did not happen.
    pub(super) fn discard(&mut self) {
        self.engine.discard();
        self.alarms.discard();
        self.staged = Staged::default();
    }

    /// All that is known, for a file that is new.
    pub(super) fn everything(&self, now: Time) -> Decision {
        Decision {
            positions: self.positions.iter().map(|(s, p)| (s.clone(), p.clone())).collect(),
            heard: self.heard.iter().map(|(s, at)| (s.clone(), *at)).collect(),
            rules: self.engine.everything(),
            alarms: self.alarms.everything(),
            ..self.begin(now)
        }
    }

    /// A line of a private key says nothing to rules: what they make of it must not leave.
    fn without_keys<'r>(&mut self, source: &Arc<str>, reading: &'r Reading) -> Cow<'r, Reading> {
        let Value::Line { text, truncated } = &reading.value else { return Cow::Borrowed(reading) };
        let blocks = self.staged.blocks.as_ref().unwrap_or(&self.blocks);
        // Nearly always: outside of any block, and none begins.
        if blocks.is_empty() && !text.contains("PRIVATE KEY") {
            return Cow::Borrowed(reading);
        }
        let blocks = self.staged.blocks.get_or_insert_with(|| self.blocks.clone());
        if !blocks.hides(source, &reading.metric, text) {
            return Cow::Borrowed(reading);
        }
        self.redactor.count_hidden();
        let value = Value::Line { text: HIDDEN.to_owned(), truncated: *truncated };
        Cow::Owned(Reading { value, ..reading.clone() })
    }

    /// The first time since the start that an ephemeral source listens: from its last sign before
    /// until now it was deaf. Each end is told by the clock as it was then: a beginning later than
    /// the end says that the clock was set back in between, and how long it was is not known.
    fn declare_downtime(&mut self, batch: &Batch, decision: &mut Decision) {
        let source = &batch.source;
        if self.listening.contains(source) || self.staged.listening.contains(source) {
            return;
        }
        self.staged.listening.push(source.clone());
        let Some(from) = self.heard.get(source).copied() else { return };
        let first = batch.readings.iter().map(|reading| reading.observed_at).min();
        let to = first.unwrap_or(decision.time).min(decision.time);
        self.lose(source, (from, to), "agent-down", None, decision);
    }

    fn lose(
        &mut self,
        source: &str,
        (from, to): (Time, Time),
        reason: &str,
        count: Option<u64>,
        decision: &mut Decision,
    ) {
        let told = self.redactor.id(source).into_owned();
        let loss = Loss { source: told, from, to, reason: reason.to_owned(), count };
        tracing::warn!(loss.source = source, %from, %to, reason, count, "loss declared");
        self.staged.counts.losses += 1;
        let data = json(&loss);
        decision.drafts.push(Draft { id: new_uuid(), kind: Kind::Loss, time: decision.time, data });
    }
}

/// Sets a source's value: the last one counts.
pub(super) fn set<T>(pairs: &mut Vec<(Arc<str>, T)>, source: &Arc<str>, value: T) {
    match pairs.iter_mut().find(|(name, _)| name == source) {
        Some((_, old)) => *old = value,
        None => pairs.push((source.clone(), value)),
    }
}

pub(super) fn json(value: &impl Serialize) -> Vec<u8> {
    // Strings, numbers and options only: this cannot fail.
    serde_json::to_vec(value).unwrap_or_default()
}
