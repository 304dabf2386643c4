//! What an alarm holds back, in its own evidence: who hears of a switch that is down hears what is silent behind it.

use std::collections::BTreeMap;

use callhome_shared::alarm::{Alarm, Evidence, Transition};
use callhome_shared::heartbeat::active_digest;
use callhome_shared::limits::cut;
use callhome_shared::time::Time;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::ActiveSet;
use super::set::{Active, CHANGE_INTERVAL_MS};
use crate::hold::{Hold, is_part};

/// The kind of this evidence.
pub const EVIDENCE: &str = "held";
/// Held alarms that are named, the oldest; the others are counted.
const NAMED: usize = 20;
/// Longest line about one of them, bytes.
const MAX_LINE: usize = 512;

/// What was told last of what an alarm holds back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Behind {
    /// [`active_digest`] of them.
    digest: String,
    /// When.
    at: Time,
}

/// The held alarms of one cause: their ids and keys.
type Group<'a> = Vec<(Uuid, &'a str)>;

impl ActiveSet {
    /// Alarms that hold others back and have not said so as it is now: each a change, with what it holds back as
    /// its evidence, and not sooner than a minute after the last one. One that is held back itself says nothing.
    pub fn tell_held(&mut self, now: Time) -> Vec<Alarm> {
        let mut told = Vec::new();
        for (key, behind, evidence) in self.news_of_held(now) {
            let Some((_, mut stored)) = self.get(&key).and_then(|a| Active::read(&a.stored)) else {
                continue;
            };
            stored.behind = behind;
            let alarm = &mut stored.alarm;
            alarm.raised_at = Some(alarm.began_at());
            alarm.observed_at = now.max(alarm.observed_at);
            alarm.transition = Transition::Changed;
            told.push(Alarm { evidence: vec![evidence], ..alarm.clone() });
            self.stage_stored(key, &stored);
        }
        told
    }

    fn news_of_held(&self, now: Time) -> Vec<(String, Option<Behind>, Evidence)> {
        let groups = self.groups();
        let mut news = Vec::new();
        for (key, active) in self.living().filter(|(_, active)| active.held.is_none()) {
            let group = groups.get(key.as_str()).map(Vec::as_slice).unwrap_or_default();
            let before = active.behind.as_deref();
            if group.is_empty() && before.is_none() {
                continue;
            }
            let severity = |key: &str| self.get(key).map_or("", |held| held.severity.as_str());
            let digest =
                active_digest(group.iter().map(|(id, key)| (id.to_string(), severity(key))));
            let is_due = |before: &Behind| {
                // A clock that was set back must not silence it for as long.
                before.digest != digest
                    && !(0..CHANGE_INTERVAL_MS).contains(&now.since_ms(before.at))
            };
            if before.is_none_or(is_due) {
                let behind = (!group.is_empty()).then_some(Behind { digest, at: now });
                news.push((key.clone(), behind, self.evidence(group, now)));
            }
        }
        news
    }

    /// Held alarms by the key of the alarm that they are held for, the oldest first.
    fn groups(&self) -> BTreeMap<&str, Group<'_>> {
        let causes = || self.living().filter(|(_, active)| active.held.is_none());
        let mut down: BTreeMap<&str, &str> = BTreeMap::new();
        for (key, active) in causes() {
            if let Some(device) = active.down.as_deref() {
                down.entry(device).or_insert(key);
            }
        }
        let part_down = |device: &str, part: &str| {
            causes().find_map(|(key, active)| {
                let (on, resource) = active.part.as_deref()?;
                (**on == *device && is_part(resource, part)).then_some(key.as_str())
            })
        };
        let mut groups: BTreeMap<&str, Group<'_>> = BTreeMap::new();
        for (key, active) in self.living() {
            let cause = match active.held.as_deref() {
                Some((Hold::Parent(device), _)) => down.get(device.as_str()).copied(),
                Some((Hold::Part { device, resource }, _)) => part_down(device, resource),
                _ => None,
            };
            if let Some(cause) = cause {
                groups.entry(cause).or_default().push((active.alarm_id, key));
            }
        }
        // Version 7: the order of ids is the order of time.
        groups.values_mut().for_each(|group| group.sort_unstable());
        groups
    }

    /// One line for each: severity, type, device, resource, since when.
    fn evidence(&self, group: &[(Uuid, &str)], now: Time) -> Evidence {
        let line = |key: &str| {
            let (_, stored) = Active::read(&self.get(key)?.stored)?;
            let alarm = stored.alarm;
            let (severity, since) = (alarm.severity.as_str(), alarm.began_at());
            let words = [severity, &alarm.kind, &alarm.device.name, &alarm.resource];
            let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
            let mut line = words.join(" · ");
            cut(&mut line, MAX_LINE);
            Some(format!("{since} · {line}"))
        };
        let named = group.iter().take(NAMED).filter_map(|(_, key)| line(key));
        let mut lines = vec![format!("= {}", group.len())];
        lines.extend(named);
        let more = group.len().saturating_sub(NAMED);
        if more > 0 {
            lines.push(format!("+ {more}"));
        }
        let (kind, origin) = (EVIDENCE.to_owned(), "agent".to_owned());
        Evidence { kind, origin, at: now, text: lines.join("\n"), truncated: more > 0 }
    }
}
