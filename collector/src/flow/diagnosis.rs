//! What diagnosis needs of the store, and what the intake does by its word: which alarm lives open a ticket
//! at once, which wait, which are only recorded.

use std::sync::{Arc, Mutex, PoisonError};

use callhome_shared::alarm::Alarm;
use callhome_shared::severity::Severity;
use callhome_shared::time::Time;
use serde_json::json;

use super::fault::Origin;
use super::ledger::{Held, Ledger};
use crate::diagnosis::judge::{self, First, LOOK_MS, Why};
use crate::diagnosis::rules::{Rules, Subject};
use crate::diagnosis::topology::Topology;
use crate::inbox::Known;
use crate::store::decisions::DecisionRow;
use crate::store::{Result, Tx, topology};

/// Rules, and the topology as it was read last: one for all tasks of a collector.
#[derive(Default)]
pub struct Diagnosis {
    rules: Arc<Rules>,
    read: Mutex<Option<(i64, Arc<Topology>)>>,
}

/// What one transaction goes by.
#[derive(Clone, Default)]
pub struct Guide {
    /// Which alarms call home.
    pub rules: Arc<Rules>,
    /// What hangs on what.
    pub topology: Arc<Topology>,
}

impl Diagnosis {
    /// By these rules.
    pub fn new(rules: Rules) -> Self {
        Diagnosis { rules: Arc::new(rules), read: Mutex::new(None) }
    }

    /// Rules and topology as they are now; the topology is read again only when it has changed.
    pub async fn guide(&self, tx: &mut Tx) -> Result<Guide> {
        let version = topology::version(tx).await?;
        let known = self.read.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let rules = self.rules.clone();
        if let Some((_, topology)) = known.filter(|(known, _)| *known == version) {
            return Ok(Guide { rules, topology });
        }
        if let Some(topology) = self.grown(tx, version).await? {
            return Ok(Guide { rules, topology });
        }
        let (told, written) = topology::load(tx).await?;
        let topology = Arc::new(Topology::build(&told, &written));
        for cut in topology.cuts() {
            tracing::warn!(from = cut.from, to = cut.to, "flow.topology.circle: left out");
        }
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        *read = Some((version, topology.clone()));
        Ok(Guide { rules, topology })
    }

    /// The known topology and the devices that appeared since, where nothing else changed.
    async fn grown(&self, tx: &mut Tx, version: i64) -> Result<Option<Arc<Topology>>> {
        let lock = || self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let known = lock().as_ref().map(|(known, _)| *known);
        let Some(known) = known.filter(|known| *known < version) else { return Ok(None) };
        let Some(news) = topology::news(tx, known, version).await? else { return Ok(None) };
        let mut read = lock();
        // Somebody else may have read it meanwhile.
        let Some((now, topology)) = read.as_mut().filter(|(now, _)| *now == known) else {
            return Ok(None);
        };
        if !Arc::make_mut(topology).grow(&news) {
            *read = None;
            return Ok(None);
        }
        *now = version;
        Ok(Some(topology.clone()))
    }
}

impl Ledger {
    /// What diagnosis says of a life that is in no case and whose identity has no open one: `Some`: it
    /// opens a ticket now, and whether because it flaps.
    pub(super) fn first_word(
        &mut self,
        origin: &Origin<'_>,
        alarm: &Alarm,
        identity: &str,
        now: &Known,
    ) -> Option<bool> {
        if origin.own || alarm.test {
            return Some(false);
        }
        let id = alarm.alarm_id.to_string();
        let before = self.decisions.get(&id).map(|held| held.row.clone());
        let worst = before.as_ref().and_then(|row| Severity::parse(&row.worst));
        let worse = worst.is_some_and(|worst| now.severity > worst);
        if let Some(row) = &before
            && !self.is_to_be_judged_again(row, now, worse)
        {
            return None;
        }
        let worst = worst.map_or(now.severity, |worst| worst.max(now.severity));
        let site = alarm.device.site.clone();
        let site = site.or_else(|| self.agents.get(origin.agent).and_then(|a| a.site.clone()));
        let of = Subject {
            severity: worst,
            kind: &alarm.kind,
            rule: (&alarm.rule.pack, &alarm.rule.id),
            site: site.as_deref().unwrap_or_default(),
            device: (&alarm.device.id, &alarm.device.name),
        };
        let hangs = self.hangs(origin.agent, alarm);
        let lives = self.lives.get(identity).copied().unwrap_or(1);
        let (first, rule) = judge::first(&self.guide.rules, &of, hangs, lives, self.now);
        let mut row = DecisionRow {
            alarm_id: id,
            outcome: "opened".to_owned(),
            why: None,
            rule,
            worst: worst.as_str().to_owned(),
            since: before.as_ref().map_or(self.now, |row| row.since),
            until: None,
            // What follows from it, and who else has it, is looked at at once.
            look_at: Some(self.now),
            detail: json!({ "lives": lives }).to_string(),
        };
        let opens = match first {
            First::Open { flapping } => Some(flapping),
            First::Record => {
                (row.outcome, row.look_at) = ("recorded".to_owned(), None);
                None
            }
            First::Wait { why: Why::HoldDown, .. } if !now.active => {
                (row.outcome, row.look_at) = ("transient".to_owned(), None);
                row.why = Some(Why::HoldDown.as_str().to_owned());
                None
            }
            First::Wait { until, why } => {
                let waits = before.filter(|row| row.outcome == "waits").and_then(|row| row.until);
                let until = waits.map_or(until, |earlier| earlier.min(until));
                let look = if why == Why::Cause { self.now.plus_ms(LOOK_MS) } else { until };
                "waits".clone_into(&mut row.outcome);
                row.why = Some(why.as_str().to_owned());
                (row.until, row.look_at) = (Some(until), Some(look.min(until)));
                None
            }
        };
        self.decide(row);
        opens
    }

    /// Of a life that was judged before: whether it is to be judged again. A life that is held down and
    /// over, or got worse while it waits, is noted.
    fn is_to_be_judged_again(&mut self, row: &DecisionRow, now: &Known, worse: bool) -> bool {
        let held_down = row.why.as_deref() == Some(Why::HoldDown.as_str());
        let mut next = row.clone();
        match row.outcome.as_str() {
            "waits" if held_down && !now.active => {
                "transient".clone_into(&mut next.outcome);
                next.look_at = None;
            }
            "waits" | "recorded" if worse && now.active => return true,
            "transient" if now.active => return true,
            "waits" | "recorded" | "transient" => {}
            // It was decided, and its case is gone from here: nothing that happens by itself.
            _ => return true,
        }
        if worse {
            now.severity.as_str().clone_into(&mut next.worst);
        }
        if next != *row {
            self.decide(next);
        }
        false
    }

    fn hangs(&self, agent: &str, alarm: &Alarm) -> bool {
        let (topology, device) = (&self.guide.topology, &alarm.device);
        // One that no agent has told of before may be written down.
        let written = || topology.node_named(device.serial.as_deref().unwrap_or(&device.id));
        let node = topology.node_of(agent, &device.id).or_else(written);
        let known = node.is_some_and(|node| topology.hangs(node));
        // A device's first alarm tells of its parent, too.
        known || device.parent.as_ref().is_some_and(|parent| !parent.is_empty())
    }

    /// Keeps what was decided.
    pub(super) fn decide(&mut self, row: DecisionRow) {
        self.decisions.insert(row.alarm_id.clone(), Held { row, changed: true });
    }

    /// What the batch's devices do to the topology: those that appear, or, where one of them hangs elsewhere now,
    /// `None`.
    pub(super) fn topology_news(&self) -> Option<Vec<(String, String)>> {
        let mut new = Vec::new();
        for ((agent, id), (device, _)) in &self.devices {
            if self.guide.topology.node_of(agent, id).is_none() {
                new.push((agent.clone(), id.clone()));
                continue;
            }
            let told = device.parent.as_ref().filter(|parent| !parent.is_empty());
            let part = device.parent_resource.as_deref();
            if told.is_some_and(|parent| !self.guide.topology.is_told(agent, id, parent, part)) {
                return None;
            }
        }
        Some(new)
    }

    /// When lives are counted from.
    pub(super) fn lives_since(&self) -> Time {
        self.now.plus_ms(-self.guide.rules.flap_ms)
    }
}
