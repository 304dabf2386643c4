//! The set of active alarms.

use std::collections::{BTreeMap, BTreeSet};

use callhome_shared::alarm::{Alarm, Device, Identity, RuleRef, Transition};
use callhome_shared::clear_all::CONFIGURATION;
use callhome_shared::heartbeat::active_digest;
use callhome_shared::limits::{MAX_ID_BYTES, cut};
use callhome_shared::severity::Severity;
use callhome_shared::time::Time;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::behind::Behind;
use crate::hold::{DOWN, DOWN_PARTS, Hold, Subject};
use crate::rule::{Finding, Raise, Repeat, Verdict};

/// Active alarms at most, about 1 KiB of memory each. At the limit a new alarm is refused, counted and
/// declared as a loss; those that are active go on.
pub const MAX_ACTIVE: usize = 10_000;
/// Between two changes of an alarm that only differ in their words.
pub const CHANGE_INTERVAL_MS: i64 = 60_000;

/// Every living alarm by [`Identity::key`].
#[derive(Default)]
pub struct ActiveSet {
    kept: BTreeMap<String, Active>,
    staged: BTreeMap<String, Option<Active>>,
    /// Number of alarms with the staged changes applied.
    count: usize,
    /// Raises refused since the last [`ActiveSet::take_refused`].
    refused: u64,
    /// Alarms held back since the last [`ActiveSet::take_held`], and those that ended before they were told.
    pub(super) held: (u64, u64),
    /// Held alarms whose reason is gone, and since when: they are judged again first.
    pub(super) settling: BTreeMap<String, Time>,
    /// Devices with alarms that an event raised (a trap, a line), and how many; with the staged changes.
    by_event: BTreeMap<Box<str>, usize>,
}

/// One living alarm. The alarm itself is kept as JSON, as it is stored: that is the smallest form.
#[derive(Clone)]
pub(super) struct Active {
    pub(super) alarm_id: Uuid,
    pub(super) severity: Severity,
    test: bool,
    /// The source that raised it.
    source: Box<str>,
    /// Why it is held back, and what that goes by; `None` = it is told.
    pub(super) held: Option<Held>,
    /// The device that is down, where it says that one is.
    pub(super) down: Option<Box<str>>,
    /// The device and its part, where it says that one is down.
    pub(super) part: Option<Part>,
    /// The device in its identity, if an event raised it.
    pub(super) event_of: Option<Box<str>>,
    /// What was told last of what it holds back.
    pub(super) behind: Option<Box<Behind>>,
    pub(super) stored: Box<[u8]>,
}

/// As stored in the outbox.
#[derive(Serialize, Deserialize)]
pub(super) struct Stored {
    /// The source that raised it.
    source: String,
    /// When it was last raised or changed.
    at: Time,
    /// Under which redaction its identity was told.
    #[serde(default)]
    told_under: String,
    /// Why it is held back: nobody was told of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) hold: Option<Hold>,
    /// Whether an event raised it: a trap or a line, which is told once and not looked up again.
    #[serde(default)]
    pub(super) event: bool,
    /// What was told last of what it holds back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) behind: Option<Behind>,
    /// The last transition, without evidence.
    pub(super) alarm: Alarm,
}

/// [`Stored`] with the alarm as it is written.
#[derive(Deserialize)]
struct Parts<'a> {
    #[serde(borrow)]
    alarm: &'a RawValue,
}

impl Active {
    pub(super) fn read(stored: &[u8]) -> Option<(Active, Stored)> {
        let parts: Stored = serde_json::from_slice(stored).ok()?;
        let (alarm_id, severity, test) =
            (parts.alarm.alarm_id, parts.alarm.severity, parts.alarm.test);
        let source = parts.source.as_str().into();
        let (held, down, part) = marks(parts.hold.as_ref(), &parts.alarm);
        let (event_of, behind) = (event_of(&parts), parts.behind.clone().map(Box::new));
        let stored = stored.into();
        let active =
            Active { alarm_id, severity, test, source, held, down, part, event_of, behind, stored };
        Some((active, parts))
    }
}

impl ActiveSet {
    /// Takes stored alarms; returns the keys of those that cannot be read.
    pub fn load(&mut self, stored: Vec<(String, Vec<u8>)>) -> Vec<String> {
        let mut useless = Vec::new();
        for (key, value) in stored {
            match Active::read(&value) {
                Some((active, _)) => {
                    self.kept.insert(key, active);
                }
                None => useless.push(key),
            }
        }
        self.count();
        useless
    }

    /// Whether any alarm was raised by an event.
    pub fn has_events(&self) -> bool {
        !self.by_event.is_empty()
    }

    /// Whether an alarm of this device was raised by an event: then a poll that finds the thing healthy
    /// must say so.
    pub fn has_event(&self, device: &str) -> bool {
        self.by_event.contains_key(device)
    }

    /// Whether one more would be refused.
    pub fn is_full(&self) -> bool {
        self.count >= MAX_ACTIVE
    }

    /// What a finding changes: a transition, or nothing. `new_id` names a new life.
    /// `told_under` is the redaction's fingerprint. With `hold` a new life is not told yet: see
    /// [`ActiveSet::release`].
    pub fn apply(
        &mut self,
        finding: &Finding,
        told_under: &str,
        hold: Option<Hold>,
        new_id: impl FnOnce() -> Uuid,
    ) -> Option<Alarm> {
        let key = finding.identity.key();
        let living = self.get(&key).and_then(|a| Active::read(&a.stored)).map(|(_, stored)| stored);
        match (&finding.verdict, living) {
            (Verdict::Raise(_), None) if self.count >= MAX_ACTIVE => {
                self.refused += 1;
                None
            }
            (Verdict::Raise(raise), None) => {
                let alarm = said(finding, raise, Transition::Raised, new_id());
                let held = hold.is_some();
                self.stage_alarm(key, finding, told_under, &alarm, hold);
                self.held.0 += u64::from(held);
                (!held).then_some(alarm)
            }
            (Verdict::Raise(raise), Some(living)) => {
                if !is_news(&living, finding, raise) {
                    return None;
                }
                if let Some(hold) = living.hold {
                    // Nobody was told of it: what they will be told changes.
                    let id = living.alarm.alarm_id;
                    let mut alarm = said(finding, raise, Transition::Raised, id);
                    alarm.observed_at = living.alarm.observed_at;
                    self.stage_alarm(key, finding, told_under, &alarm, Some(hold));
                    return None;
                }
                let mut alarm = said(finding, raise, Transition::Changed, living.alarm.alarm_id);
                alarm.test = living.alarm.test;
                alarm.raised_at = Some(living.alarm.began_at());
                self.stage_alarm(key, finding, told_under, &alarm, None);
                Some(alarm)
            }
            (Verdict::Clear { own_only }, Some(living)) => {
                if *own_only && !is_own(&living, finding) && !outlived(&living, finding) {
                    return None;
                }
                self.stage(key, None);
                if living.hold.is_some() {
                    self.held.1 += 1;
                    return None;
                }
                Some(cleared(living.alarm, finding))
            }
            (Verdict::Clear { .. }, None) => None,
        }
    }

    /// Ends the alarms whose rule is no longer watched, and those that would be told under another
    /// identity now (`same` gets what they were told under): nothing could ever clear them. Tests are
    /// left.
    pub fn clear_unwatched(
        &mut self,
        watched: impl Fn(&str, &RuleRef) -> bool,
        same: impl Fn(&str, &Alarm) -> bool,
        now: Time,
    ) -> Vec<Unwatched> {
        let lost = |stored: &Stored| {
            !watched(&stored.source, &stored.alarm.rule) || !same(&stored.told_under, &stored.alarm)
        };
        self.clear(|_| true, lost, now)
    }

    /// The same for the alarms of one source, whose rules are others now.
    pub fn clear_unplanned(
        &mut self,
        source: &str,
        watched: impl Fn(&RuleRef) -> bool,
        now: Time,
    ) -> Vec<Unwatched> {
        self.clear(|active| *active.source == *source, |s| !watched(&s.alarm.rule), now)
    }

    /// Ends those of `some` that are `lost`.
    fn clear(
        &mut self,
        some: impl Fn(&Active) -> bool,
        lost: impl Fn(&Stored) -> bool,
        now: Time,
    ) -> Vec<Unwatched> {
        let ended: Vec<(String, bool, Alarm)> = self
            .living()
            .filter(|(_, active)| !active.test && some(active))
            .filter_map(|(key, active)| Some((key, Active::read(&active.stored)?.1)))
            .filter(|(_, stored)| lost(stored))
            .map(|(key, stored)| (key.clone(), stored))
            .map(|(key, stored)| (key, stored.hold.is_none(), stored.alarm))
            .collect();
        ended
            .into_iter()
            .map(|(key, told, alarm)| {
                self.stage(key, None);
                self.held.1 += u64::from(!told);
                let (transition, occurred_at) = (Transition::Cleared, None);
                let raised_at = Some(alarm.began_at());
                let reason = Some(CONFIGURATION.to_owned());
                let alarm =
                    Alarm { transition, occurred_at, raised_at, reason, observed_at: now, ..alarm };
                Unwatched { alarm, told }
            })
            .collect()
    }

    /// The ids of the devices that have a living alarm.
    pub fn devices(&self) -> BTreeSet<String> {
        let living =
            self.kept.keys().chain(self.staged.keys()).filter(|key| self.get(key).is_some());
        living.filter_map(|key| key.split('\u{1f}').next()).map(str::to_owned).collect()
    }

    /// Test alarms that live: which, and since when.
    pub fn tests(&self) -> Vec<(Identity, Uuid, Time)> {
        self.kept
            .values()
            .filter(|active| active.test)
            .filter_map(|active| Active::read(&active.stored))
            .map(|(active, stored)| (stored.alarm.identity(), active.alarm_id, stored.at))
            .collect()
    }

    /// The newest alarms, without their evidence.
    pub fn newest(&self, limit: usize) -> Vec<Alarm> {
        let mut all: Vec<&Active> = self.kept.values().filter(|a| a.held.is_none()).collect();
        // Version 7: the order of ids is the order of time.
        all.sort_unstable_by_key(|active| std::cmp::Reverse(active.alarm_id));
        all.into_iter()
            .take(limit)
            .filter_map(|active| Active::read(&active.stored))
            .map(|(_, stored)| stored.alarm)
            .collect()
    }

    /// [`active_digest`] of what is stored.
    pub fn digest(&self) -> String {
        let told = self.kept.values().filter(|active| active.held.is_none());
        active_digest(told.map(|a| (a.alarm_id.to_string(), a.severity.as_str())))
    }

    /// Every stored alarm as it was last told, for a resync.
    pub fn snapshot(&self) -> Vec<Box<RawValue>> {
        let alarm = |active: &Active| {
            let stored: Parts<'_> = serde_json::from_slice(&active.stored).ok()?;
            Some(stored.alarm.to_owned())
        };
        self.kept.values().filter(|active| active.held.is_none()).filter_map(alarm).collect()
    }

    /// Number of active alarms, those that are held back among them.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Raises refused since it was last asked.
    pub fn take_refused(&mut self) -> u64 {
        std::mem::take(&mut self.refused)
    }

    /// Changed alarms, as they are to be stored; `None` removes.
    pub fn changes(&self) -> Vec<(String, Option<Vec<u8>>)> {
        let stored = |active: &Option<Active>| active.as_ref().map(|a| a.stored.to_vec());
        self.staged.iter().map(|(key, active)| (key.clone(), stored(active))).collect()
    }

    /// All alarms, for a file that is new.
    pub fn everything(&self) -> Vec<(String, Option<Vec<u8>>)> {
        self.kept.iter().map(|(key, a)| (key.clone(), Some(a.stored.to_vec()))).collect()
    }

    /// The changes are stored.
    pub fn keep(&mut self) {
        for (key, active) in std::mem::take(&mut self.staged) {
            match active {
                Some(active) => self.kept.insert(key, active),
                None => self.kept.remove(&key),
            };
        }
    }

    /// The changes are not stored and did not happen.
    pub fn discard(&mut self) {
        self.staged.clear();
        self.count();
        self.refused = 0;
        self.held = (0, 0);
    }

    /// All of them, with the staged changes applied.
    pub(super) fn living(&self) -> impl Iterator<Item = (&String, &Active)> {
        let staged = self.staged.iter().filter_map(|(key, active)| Some((key, active.as_ref()?)));
        let kept = self.kept.iter().filter(|(key, _)| !self.staged.contains_key(*key));
        kept.chain(staged)
    }

    pub(super) fn get(&self, key: &str) -> Option<&Active> {
        match self.staged.get(key) {
            Some(staged) => staged.as_ref(),
            None => self.kept.get(key),
        }
    }

    fn stage_alarm(
        &mut self,
        key: String,
        finding: &Finding,
        told_under: &str,
        alarm: &Alarm,
        hold: Option<Hold>,
    ) {
        let stored = Stored {
            source: finding.source.to_string(),
            at: finding.observed_at,
            told_under: told_under.to_owned(),
            event: matches!(&finding.verdict, Verdict::Raise(raise) if raise.repeat == Repeat::Event),
            behind: self.get(&key).and_then(|before| before.behind.as_deref()).cloned(),
            hold,
            alarm: Alarm { evidence: Vec::new(), ..alarm.clone() },
        };
        self.stage_stored(key, &stored);
    }

    pub(super) fn stage_stored(&mut self, key: String, parts: &Stored) {
        let alarm = &parts.alarm;
        let (alarm_id, severity, test) = (alarm.alarm_id, alarm.severity, alarm.test);
        let source = parts.source.as_str().into();
        let (held, down, part) = marks(parts.hold.as_ref(), alarm);
        let (event_of, behind) = (event_of(parts), parts.behind.clone().map(Box::new));
        // Strings, numbers and options only: this cannot fail.
        let stored = serde_json::to_vec(parts).unwrap_or_default().into_boxed_slice();
        self.stage(
            key,
            Some(Active {
                alarm_id,
                severity,
                test,
                source,
                held,
                down,
                part,
                event_of,
                behind,
                stored,
            }),
        );
    }

    fn stage(&mut self, key: String, active: Option<Active>) {
        match (self.get(&key).is_some(), active.is_some()) {
            (false, true) => self.count += 1,
            (true, false) => self.count -= 1,
            _ => {}
        }
        let before = self.get(&key).and_then(|a| a.event_of.clone());
        if let Some(device) = active.as_ref().and_then(|a| a.event_of.clone()) {
            *self.by_event.entry(device).or_default() += 1;
        }
        if let Some(device) = before {
            let count = self.by_event.entry(device.clone()).or_default();
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.by_event.remove(&device);
            }
        }
        self.staged.insert(key, active);
    }

    /// Counts what is kept.
    fn count(&mut self) {
        self.count = self.kept.len();
        self.by_event.clear();
        for device in self.kept.values().filter_map(|active| active.event_of.clone()) {
            *self.by_event.entry(device).or_default() += 1;
        }
    }
}

/// Why an alarm is held back, and what that goes by.
type Held = Box<(Hold, Subject)>;

/// An alarm that nothing watches any more.
#[derive(Clone, Debug, PartialEq)]
pub struct Unwatched {
    /// Its end.
    pub alarm: Alarm,
    /// Whether anybody was told that it began.
    pub told: bool,
}

/// A device's name and the resource of one of its alarms.
type Part = Box<(Box<str>, Box<str>)>;

/// What is known of an alarm without reading it.
fn marks(hold: Option<&Hold>, alarm: &Alarm) -> (Option<Held>, Option<Box<str>>, Option<Part>) {
    let subject = || Subject::of(&alarm.device, &alarm.kind);
    let held = hold.map(|hold| Box::new((hold.clone(), subject())));
    let name = || Box::from(alarm.device.name.as_str());
    let down = (alarm.kind == DOWN).then(name);
    let part = DOWN_PARTS.contains(&alarm.kind.as_str());
    let part = part.then(|| Box::new((name(), Box::from(alarm.resource.as_str()))));
    (held, down, part)
}

/// Whether a raise of a living alarm says anything new.
fn is_news(living: &Stored, finding: &Finding, raise: &Raise) -> bool {
    if raise.severity != living.alarm.severity || raise.flapping != living.alarm.flapping {
        return true;
    }
    let passed = finding.observed_at.since_ms(living.at);
    raise.repeat == Repeat::Event
        && raise.text != living.alarm.text
        // A clock that was set back must not silence it for as long.
        && !(0..CHANGE_INTERVAL_MS).contains(&passed)
}

/// Whether the same rule on the same source raised it.
fn is_own(living: &Stored, finding: &Finding) -> bool {
    let rule = &living.alarm.rule;
    (living.source.as_str(), &rule.pack, &rule.id)
        == (&*finding.source, &finding.rule.pack, &finding.rule.id)
}

/// The device of an alarm that an event raised.
fn event_of(stored: &Stored) -> Option<Box<str>> {
    stored.event.then(|| stored.alarm.device.id.as_str().into())
}

/// Whether an event raised it, and a look at the thing itself says later that it is well.
fn outlived(living: &Stored, finding: &Finding) -> bool {
    living.event && finding.observed_at > living.at
}

fn said(finding: &Finding, raise: &Raise, transition: Transition, alarm_id: Uuid) -> Alarm {
    let identity = &finding.identity;
    Alarm {
        alarm_id,
        transition,
        severity: raise.severity,
        kind: identity.kind.clone(),
        qualifier: identity.qualifier.clone(),
        fault_code: raise.fault_code.clone(),
        message: raise.message.clone(),
        text: raise.text.clone(),
        device: device(finding),
        resource: identity.resource.clone(),
        occurred_at: finding.occurred_at,
        observed_at: finding.observed_at,
        raised_at: None,
        reason: None,
        clock_skew_s: finding.clock_skew_s,
        rule: finding.rule.clone(),
        proposed_repair: raise.proposed_repair.clone(),
        evidence: finding.evidence.iter().cloned().collect(),
        flapping: raise.flapping,
        test: raise.test,
    }
}

/// The end of a life: the alarm's own words, with the line or value that ended it.
fn cleared(alarm: Alarm, finding: &Finding) -> Alarm {
    Alarm {
        transition: Transition::Cleared,
        raised_at: Some(alarm.began_at()),
        occurred_at: finding.occurred_at,
        observed_at: finding.observed_at,
        evidence: finding.evidence.iter().cloned().collect(),
        ..alarm
    }
}

/// The device as known now, under the id that the alarm's identity has; nothing in it too long.
fn device(finding: &Finding) -> Device {
    let mut device = Device { id: finding.identity.device.clone(), ..(*finding.device).clone() };
    cut(&mut device.name, MAX_ID_BYTES);
    for part in [
        &mut device.serial,
        &mut device.vendor,
        &mut device.model,
        &mut device.firmware,
        &mut device.site,
        &mut device.customer,
        &mut device.contract,
        &mut device.parent,
        &mut device.parent_resource,
    ]
    .into_iter()
    .flatten()
    {
        cut(part, MAX_ID_BYTES);
    }
    device
}
