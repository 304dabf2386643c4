//! The engine: which rules look at a reading, and what they remember of it.

mod told;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use callhome_shared::alarm::{Device, Identity};
use callhome_shared::severity::Severity;
use callhome_shared::time::Time;

use super::finding::{Finding, Verdict};
use super::saying::Saying;
use super::table::{Memory, SEPARATOR, State, Table};
use super::threshold::Reached;
use super::{ANSWER, ANSWER_END, Condition, Rule, RuleSet, pattern, state_map, threshold};
use crate::redact::Redactor;
use crate::source::{ABSENT, Reading, SKIPPED, SourceKind, Value};

/// After a start, silence is not spoken of for so long (or its own duration, if that is shorter): a
/// source that was not listened to was not silent.
const SILENCE_GRACE_MS: i64 = 60_000;

/// A source with the rules on its readings.
#[derive(Clone, Debug)]
pub struct Watched {
    /// The source's name.
    pub source: Arc<str>,
    /// Its kind.
    pub kind: SourceKind,
    /// The device it watches, as configured.
    pub device: Arc<Device>,
    /// The rules that always look at its readings. One that reads by a plan ([`SourceKind::is_planned`])
    /// brings further ones with it: [`Engine::plan`].
    pub rules: Vec<Arc<Rule>>,
}

/// A source as the engine keeps it.
struct Post {
    source: Arc<str>,
    kind: SourceKind,
    /// As known now.
    device: Arc<Device>,
    /// What always looks at it.
    fixed: RuleSet,
    /// What its plan brought; `None` = there is none, or it is not known yet.
    planned: Option<RuleSet>,
}

impl Post {
    /// Whether rules may look at it that are not known yet.
    fn is_open(&self) -> bool {
        self.kind.is_planned() && self.planned.is_none()
    }

    fn rules(&self) -> impl Iterator<Item = &Arc<Rule>> {
        self.fixed.all().iter().chain(self.planned.iter().flat_map(RuleSet::all))
    }

    /// The rules on a metric. A reference to them must not hold the engine while it changes its table.
    fn on(&self, metric: &str) -> Vec<Arc<Rule>> {
        let planned = self.planned.as_ref().map(|rules| rules.on(metric)).unwrap_or_default();
        self.fixed.on(metric).iter().chain(planned).cloned().collect()
    }
}

/// Where a reading comes from.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The source's name.
    pub source: &'a Arc<str>,
    /// Its kind.
    pub kind: SourceKind,
    /// The device, as known now.
    pub device: &'a Arc<Device>,
    /// What every word goes through that leaves the rules.
    pub redactor: &'a Redactor,
}

/// All rules with all they remember.
pub struct Engine {
    posts: BTreeMap<Arc<str>, Post>,
    pub(super) table: Table,
    /// Before this, silence is not spoken of.
    started: Time,
    /// Whether an event raised an alarm of the device that is being read.
    look_for_ends: bool,
    /// When to look next for told faults that end by themselves.
    told_next: Time,
}

impl Engine {
    /// Rules that remember nothing yet. `started` is the present time.
    pub fn new(watched: impl IntoIterator<Item = Watched>, started: Time) -> Self {
        let post = |watched: Watched| {
            let Watched { source, kind, device, rules } = watched;
            let fixed = RuleSet::new(rules);
            (source.clone(), Post { source, kind, device, fixed, planned: None })
        };
        let posts = watched.into_iter().map(post).collect();
        let (look_for_ends, told_next) = (false, Time(0));
        Engine { posts, table: Table::default(), started, look_for_ends, told_next }
    }

    /// Takes stored states; returns the keys of those that no rule can use any more. Those of a source
    /// whose plan is not known yet are kept until it is.
    pub fn load(&mut self, stored: Vec<(String, Vec<u8>)>) -> Vec<String> {
        let mut useless = Vec::new();
        for (stored_key, value) in stored {
            let mut parts = stored_key.splitn(3, SEPARATOR);
            let (source, rule) = (parts.next().unwrap_or_default(), parts.next());
            let post = self.posts.get(source);
            let known =
                post.is_some_and(|p| p.is_open() || p.rules().any(|r| Some(&*rule_key(r)) == rule));
            match serde_json::from_slice::<State>(&value) {
                Ok(state) if known => {
                    let source = post.map_or_else(|| source.into(), |p| p.source.clone());
                    let key = stored_key.get(source.len() + 1..).unwrap_or_default().to_owned();
                    self.table.load(source, key, state);
                }
                _ => useless.push(stored_key),
            }
        }
        useless
    }

    /// Whether the source still has this rule, or may have it: its plan is not known yet.
    pub fn knows(&self, source: &str, pack: &str, id: &str) -> bool {
        let Some(post) = self.posts.get(source) else { return false };
        post.is_open() || post.rules().any(|rule| rule.pack == pack && rule.id == id)
    }

    /// A source has chosen what it reads: these rules look at it from now on, beside those that always
    /// do. What other rules remember of it is forgotten (staged). Doing it again changes nothing.
    pub fn plan(&mut self, source: &str, rules: &RuleSet) {
        let Some(post) = self.posts.get_mut(source) else { return };
        post.planned = Some(rules.clone());
        let known: BTreeSet<String> = post.rules().map(|rule| rule_key(rule)).collect();
        self.table.retain(source, |rule| known.contains(rule));
    }

    /// What the plans of all sources brought, as far as they are known.
    pub fn planned(&self) -> BTreeMap<Arc<str>, RuleSet> {
        let planned = |post: &Post| Some((post.source.clone(), post.planned.clone()?));
        self.posts.values().filter_map(planned).collect()
    }

    /// Judges one reading.
    pub fn read(&mut self, context: Context<'_>, reading: &Reading, findings: &mut Vec<Finding>) {
        let Some(post) = self.posts.get_mut(context.source) else { return };
        if !Arc::ptr_eq(&post.device, context.device) {
            post.device = context.device.clone();
        }
        if let Some(command) = reading.metric.strip_prefix(ANSWER_END) {
            self.end_answer(context, command, reading, findings);
            return;
        }
        for rule in post.on(&reading.metric) {
            self.judge(Saying { context, rule: &rule }, reading, findings);
        }
    }

    /// Judges the passing of time. To be called about every second.
    pub fn tick(&mut self, now: Time, redactor: &Redactor, findings: &mut Vec<Finding>) {
        type Listening = (Arc<str>, SourceKind, Arc<Device>, Vec<Arc<Rule>>);
        let ticks = |p: &&Post| p.fixed.ticks() || p.planned.as_ref().is_some_and(RuleSet::ticks);
        let posts: Vec<Listening> = self
            .posts
            .values()
            .filter(ticks)
            .map(|p| (p.source.clone(), p.kind, p.device.clone(), p.rules().cloned().collect()))
            .collect();
        for (source, kind, device, rules) in &posts {
            let context = Context { source, kind: *kind, device, redactor };
            for rule in rules {
                let saying = Saying { context, rule };
                match rule.condition {
                    Condition::Silence { after_ms, severity } => {
                        self.listen(saying, (after_ms, severity), now, findings);
                    }
                    Condition::Told if now >= self.told_next => {
                        self.end_told(saying, now, findings);
                    }
                    _ => {}
                }
                if let Some(damping) = &rule.damping {
                    self.wait(Saying { context, rule }, damping, now, findings);
                }
            }
        }
        self.told_checked(now);
    }

    /// Whether an event (a trap, a line) raised an alarm of the device whose readings come next: then a
    /// healthy reading is told, so that it ends what nothing else may end.
    pub fn look_for_ends(&mut self, yes: bool) {
        self.look_for_ends = yes;
    }

    /// Forgets what led to these faults: they are no longer told under these identities.
    pub fn forget(&mut self, identities: &[Identity]) {
        self.table.forget(identities);
    }

    /// Changed states, as they are to be stored.
    pub fn changes(&self) -> Vec<(String, Option<Vec<u8>>)> {
        self.table.changes()
    }

    /// All states, for a file that is new.
    pub fn everything(&self) -> Vec<(String, Option<Vec<u8>>)> {
        self.table.everything()
    }

    /// The changes are stored.
    pub fn keep(&mut self) {
        self.table.keep();
    }

    /// The changes are not stored and did not happen.
    pub fn discard(&mut self) {
        self.table.discard();
    }

    /// Number of states that are remembered.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// States that found no place since it was last asked.
    pub fn take_refused(&mut self) -> u64 {
        self.table.take_refused()
    }

    fn judge(&mut self, saying: Saying<'_>, reading: &Reading, findings: &mut Vec<Finding>) {
        match &saying.rule.condition {
            Condition::Threshold { .. } => self.judge_number(saying, reading, findings),
            Condition::StateMap { .. } => self.judge_state(saying, reading, findings),
            Condition::Pattern { .. } => self.judge_line(saying, reading, findings),
            Condition::Silence { .. } => self.heard(saying, reading, findings),
            Condition::Told => self.judge_told(saying, reading, findings),
            Condition::Probe => findings.extend(saying.probe(reading)),
        }
    }

    fn judge_number(&mut self, saying: Saying<'_>, reading: &Reading, findings: &mut Vec<Finding>) {
        let Condition::Threshold { levels, for_ms, measure } = &saying.rule.condition else {
            return;
        };
        let Some(reading) = &self.measured(saying, *measure, reading) else { return };
        let reading: &Reading = reading;
        let value = match &reading.value {
            Value::Number(value) if value.is_finite() => Some(*value),
            // Nothing is measured any more: whatever stood is over.
            Value::Text(word) if [SKIPPED, ABSENT].contains(&word.as_str()) => None,
            _ => return,
        };
        if self.is_blank(saying) {
            let mut reached = Vec::new();
            let judge = |value| {
                let levels: Vec<_> = levels.iter().map(|limit| limit.level(reading)).collect();
                threshold::judge(&levels, *for_ms, &mut reached, value, reading.observed_at)
            };
            if value.and_then(judge).is_none() && reached.iter().all(|r| *r == Reached::No) {
                return;
            }
        }
        let key = thing_key(saying.rule, &saying.id(&reading.resource));
        let before = self.table.get(saying.context.source, &key);
        let mut reached = match before.map(|s| &s.memory) {
            Some(Memory::Threshold(reached)) => reached.clone(),
            _ => Vec::new(),
        };
        let active = before.and_then(|s| s.active.clone());
        let at = reading.observed_at;
        let worst = match value {
            Some(value) => {
                let levels: Vec<_> = levels.iter().map(|limit| limit.level(reading)).collect();
                threshold::judge(&levels, *for_ms, &mut reached, value, at)
            }
            None => {
                reached.clear();
                None
            }
        };
        let healthy = reached.iter().all(|r| *r == Reached::No);
        let memory = Memory::Threshold(reached);
        let bad = worst.map(|level| (level.severity, saying.threshold(reading, &level)));
        let outcome = Outcome { active, bad, memory: (!healthy).then_some(memory) };
        self.conclude(saying, &key, reading, outcome, findings);
    }

    fn judge_state(&mut self, saying: Saying<'_>, reading: &Reading, findings: &mut Vec<Finding>) {
        let Condition::StateMap { states, otherwise, for_ms } = &saying.rule.condition else {
            return;
        };
        let severity = match state_map::judge(states, *otherwise, &reading.value) {
            state_map::Judgement::Bad(severity) => Some(severity),
            state_map::Judgement::Good => None,
            state_map::Judgement::Unknown => return,
        };
        if severity.is_none() && self.is_blank(saying) {
            return;
        }
        let key = thing_key(saying.rule, &saying.id(&reading.resource));
        let before = self.table.get(saying.context.source, &key);
        let at = reading.observed_at;
        let since = match before.map(|s| &s.memory) {
            Some(Memory::StateMap(since)) if *since <= at => *since,
            _ => at,
        };
        let active = before.and_then(|s| s.active.clone());
        let ripe = active.is_some() || at.since_ms(since) >= *for_ms;
        let bad = severity.filter(|_| ripe).map(|s| (s, saying.bad_state(reading)));
        let memory = severity.map(|_| Memory::StateMap(since));
        self.conclude(saying, &key, reading, Outcome { active, bad, memory }, findings);
    }

    /// Whether a healthy value says nothing: nothing of its source is remembered that it could end, nor
    /// is there an event's alarm. Nearly always, and for every value of every poll.
    fn is_blank(&self, saying: Saying<'_>) -> bool {
        !self.look_for_ends && self.table.is_blank(saying.context.source)
    }

    /// Stores what a polled value led to, and says it.
    fn conclude(
        &mut self,
        saying: Saying<'_>,
        key: &str,
        reading: &Reading,
        outcome: Outcome,
        findings: &mut Vec<Finding>,
    ) {
        let Outcome { active, bad, memory } = outcome;
        let words = saying.words(reading, None);
        let healthy = bad.is_none() && memory.is_none();
        let identity = match (&active, &bad) {
            (Some(active), _) => Some(active.clone()),
            (None, Some(_)) => Some(saying.identity(&words)),
            (None, None) => self.damped(saying, key),
        };
        let next = bad.is_some().then(|| identity.clone()).flatten();
        if !self.remember(saying.context.source, key, next, memory, reading.observed_at) {
            return;
        }
        let Some(identity) = identity else {
            // Healthy, and it was before: but an event may have said otherwise.
            if self.look_for_ends && healthy {
                let (identity, over) = (saying.identity(&words), Verdict::Clear { own_only: true });
                findings.push(saying.finding(reading, identity, over));
            }
            return;
        };
        let verdict = match bad {
            Some((severity, message)) => saying.raise(&words, severity, message),
            None => Verdict::Clear { own_only: true },
        };
        let before = findings.len();
        self.tell(saying, key, reading, (identity.clone(), verdict), findings);
        // What damping still remembers is no reason to leave an event's word standing.
        if self.look_for_ends && healthy && findings.len() == before && !self.stands(saying, key) {
            let over = Verdict::Clear { own_only: true };
            findings.push(saying.finding(reading, identity, over));
        }
    }

    fn judge_line(&mut self, saying: Saying<'_>, reading: &Reading, findings: &mut Vec<Finding>) {
        let Condition::Pattern { raise, clear, severity } = &saying.rule.condition else { return };
        let (Value::Line { text, .. } | Value::Text(text)) = &reading.value else { return };
        let (captures, bad) = match pattern::judge(raise, clear.as_ref(), text) {
            pattern::Judgement::Bad(captures) => (captures, true),
            pattern::Judgement::Good(captures) => (captures, false),
            pattern::Judgement::Silent => return,
        };
        let words = saying.words(reading, Some(&captures));
        let identity = saying.identity(&words);
        let key = line_key(saying.rule, &identity);
        if reading.metric.starts_with(ANSWER) {
            let (active, memory) = if bad {
                (Some(identity.clone()), Some(Memory::Answer(true)))
            } else {
                (None, None)
            };
            // Without a place it is raised all the same, but no later answer clears it.
            self.remember(saying.context.source, &key, active, memory, reading.observed_at);
        }
        let verdict = if bad {
            saying.raise(&words, *severity, saying.matched(&identity))
        } else {
            Verdict::Clear { own_only: false }
        };
        self.tell(saying, &key, reading, (identity, verdict), findings);
    }

    /// A complete answer has ended: what it did not raise again is gone.
    fn end_answer(
        &mut self,
        context: Context<'_>,
        command: &str,
        reading: &Reading,
        findings: &mut Vec<Finding>,
    ) {
        let Some(post) = self.posts.get(context.source) else { return };
        let metric = format!("{ANSWER}{command}");
        let mut states = Vec::new();
        for rule in post.on(&metric) {
            for (key, state) in self.table.with_prefix(context.source, &thing_key(&rule, "")) {
                states.push((rule.clone(), key, state));
            }
        }
        let said: Vec<Identity> = states
            .iter()
            .filter(|(_, _, state)| state.memory == Memory::Answer(true))
            .filter_map(|(_, _, state)| state.active.clone())
            .collect();
        for (rule, key, state) in states {
            let (Some(identity), Memory::Answer(again)) = (state.active, state.memory) else {
                continue;
            };
            let at = reading.observed_at;
            if again {
                let unsaid = Some(Memory::Answer(false));
                self.remember(context.source, &key, Some(identity), unsaid, at);
                continue;
            }
            self.remember(context.source, &key, None, None, at);
            // Another rule's line in the same answer may have said the same fault.
            if !said.contains(&identity) {
                let verdict = Verdict::Clear { own_only: false };
                let saying = Saying { context, rule: &rule };
                self.tell(saying, &key, reading, (identity, verdict), findings);
            }
        }
    }

    /// Something was read: it is not silent.
    fn heard(&mut self, saying: Saying<'_>, reading: &Reading, findings: &mut Vec<Finding>) {
        let key = thing_key(saying.rule, "");
        let active =
            self.table.get(saying.context.source, &key).and_then(|state| state.active.clone());
        let memory = Some(Memory::Silence(reading.observed_at));
        self.remember(saying.context.source, &key, None, memory, reading.observed_at);
        if let Some(identity) = active {
            let verdict = Verdict::Clear { own_only: true };
            findings.push(saying.finding(reading, identity, verdict));
        }
    }

    /// Nothing was read just now: how long for?
    fn listen(
        &mut self,
        saying: Saying<'_>,
        (after_ms, severity): (i64, Severity),
        now: Time,
        findings: &mut Vec<Finding>,
    ) {
        let source = saying.context.source;
        let key = thing_key(saying.rule, "");
        let (last, active) = match self.table.get(source, &key) {
            Some(State { memory: Memory::Silence(last), active, .. }) if *last <= now => {
                (*last, active.is_some())
            }
            // Never heard yet, or the clock was set back: it counts from now.
            Some(State { active: Some(_), .. }) => return,
            _ => {
                self.remember(source, &key, None, Some(Memory::Silence(now)), now);
                return;
            }
        };
        let grace = after_ms.min(SILENCE_GRACE_MS);
        if active || now.since_ms(last) < after_ms || now.since_ms(self.started) < grace {
            return;
        }
        let reading = saying.nothing_since(last, now);
        let words = saying.words(&reading, None);
        let identity = saying.identity(&words);
        let memory = Some(Memory::Silence(last));
        if self.remember(source, &key, Some(identity.clone()), memory, now) {
            let verdict = saying.raise(&words, severity, saying.silent(after_ms));
            findings.push(saying.finding(&reading, identity, verdict));
        }
    }

    /// Stages a state, or its removal where there is nothing to remember. Unchanged ones are not
    /// staged, so that a standing fault costs no writing.
    pub(super) fn remember(
        &mut self,
        source: &Arc<str>,
        key: &str,
        active: Option<Identity>,
        memory: Option<Memory>,
        at: Time,
    ) -> bool {
        let next = memory.map(|memory| {
            let same = self
                .table
                .get(source, key)
                .filter(|before| before.memory == memory && before.active == active);
            State { touched: same.map_or(at, |before| before.touched), active, memory }
        });
        self.table.set(source, key, next)
    }
}

/// What a polled value led to.
struct Outcome {
    /// What was raised before.
    active: Option<Identity>,
    /// How bad it is and what to show; `None` = not bad, or not for long enough.
    bad: Option<(Severity, callhome_shared::alarm::Message)>,
    /// What to remember; `None` = healthy.
    memory: Option<Memory>,
}

/// `pack/id`.
fn rule_key(rule: &Rule) -> String {
    format!("{}/{}", rule.pack, rule.id)
}

/// `pack/id␟thing`.
pub(super) fn thing_key(rule: &Rule, thing: &str) -> String {
    format!("{}/{}{SEPARATOR}{thing}", rule.pack, rule.id)
}

fn line_key(rule: &Rule, identity: &Identity) -> String {
    thing_key(rule, &format!("{}{SEPARATOR}{}", identity.resource, identity.qualifier))
}
