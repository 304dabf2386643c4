//! Looks at alarm lives that wait, and at tickets that have just been opened: what follows from what. On a
//! timer; the truth is in the rows, so that a restart loses nothing and two collectors do nothing twice.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use callhome_shared::alarm::{Alarm, Transition};
use callhome_shared::severity::Severity;
use callhome_shared::time::Time;
use serde_json::json;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::diagnosis::{Diagnosis, Guide};
use super::fault::{Origin, known_of};
use super::ledger::Ledger;
use super::rounds::Rounds;
use super::{Event, adopt, fleet, own, save};
use crate::diagnosis::cause::{self, Cause, Fault, Faults};
use crate::diagnosis::effect::{effect, loss};
use crate::diagnosis::judge::{self, Known, Next, Waiting, Why};
use crate::inbox::Order;
use crate::metrics::Metrics;
use crate::store::alarms::{self, AlarmRow};
use crate::store::decisions::{self, DecisionRow};
use crate::store::{Db, Remedy, Result, Tx, devices, topology};
use crate::ticket::State;

/// Between two looks.
const EVERY: Duration = Duration::from_secs(1);
/// Lives of one transaction: the intake must not wait long.
const SLICE: i64 = 64;
/// Transactions of one look. What is left over is first at the next one.
const SLICES: usize = 100;
/// One that cannot be decided is tried again after so long.
const PUT_OFF_MS: i64 = 60_000;

/// Looks until `stop` is cancelled.
pub async fn run(
    db: Db,
    diagnosis: Arc<Diagnosis>,
    events: broadcast::Sender<Event>,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
) {
    let mut rounds = Rounds::new(EVERY, stop);
    while rounds.next().await {
        if let Err(error) = look(&db, &diagnosis, &events, &metrics, Time::now()).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "flow.findings.failed");
        }
    }
}

/// One look; answers how many lives were looked at.
pub async fn look(
    db: &Db,
    diagnosis: &Diagnosis,
    events: &broadcast::Sender<Event>,
    metrics: &Metrics,
    now: Time,
) -> Result<usize> {
    let mut count = 0;
    for _ in 0..SLICES {
        let due = decisions::due(db, now, SLICE).await?;
        if due.is_empty() {
            break;
        }
        count += due.len();
        let desk = Desk { db, diagnosis, events, metrics, now };
        match desk.slice(&due).await {
            Ok(()) => continue,
            Err(error) if error.remedy() == Remedy::Wait => return Err(error),
            Err(_) => {}
        }
        for one in due.chunks(1) {
            match desk.slice(one).await {
                Ok(()) => {}
                Err(error) if error.remedy() == Remedy::Poison => {
                    tracing::error!(
                        alarm = one[0],
                        error = &error as &dyn std::error::Error,
                        "flow.findings.put-off"
                    );
                    desk.put_off(one).await?;
                }
                // Somebody else is at it: he does it, or the next look.
                Err(error) if error.remedy() == Remedy::Again => return Ok(count),
                Err(error) => return Err(error),
            }
        }
    }
    Ok(count)
}

struct Desk<'a> {
    db: &'a Db,
    diagnosis: &'a Diagnosis,
    events: &'a broadcast::Sender<Event>,
    metrics: &'a Metrics,
    now: Time,
}

/// The alarms that others may follow from, by where they are.
pub(super) async fn faults(
    tx: &mut Tx,
    guide: &Guide,
    nodes: &BTreeSet<usize>,
    now: Time,
) -> Result<Faults> {
    let devices = nodes.iter().flat_map(|node| guide.topology.devices(*node).iter().cloned());
    let devices: BTreeSet<(String, String)> = devices.collect();
    let since = now.plus_ms(-2 * guide.rules.within_ms);
    let mut found = Faults::new();
    for row in topology::faults_of(tx, &Vec::from_iter(devices), since).await? {
        let node = guide.topology.node_of(&row.agent_id, &row.device_id);
        if let Some(node) = node.filter(|_| loss(&row.kind).is_some()) {
            found.entry(node).or_default().push(fault(&row));
        }
    }
    Ok(found)
}

pub(super) fn fault(row: &AlarmRow) -> Fault {
    Fault {
        alarm_id: row.alarm_id.clone(),
        kind: row.kind.clone(),
        resource: row.resource.clone(),
        raised_at: row.raised_at,
        cleared_at: row.cleared_at.filter(|_| !row.active),
    }
}

/// Why, as it is kept.
pub(super) fn told(cause: &Cause) -> serde_json::Value {
    json!({ "cause": {
        "alarm_id": cause.alarm_id, "type": cause.kind, "path": cause.path,
        "relation": cause.relation.as_str(), "after_ms": cause.after_ms, "others": cause.others,
    }})
}

impl Desk<'_> {
    async fn slice(&self, due: &[String]) -> Result<()> {
        let mut tx = self.db.begin().await?;
        let guide = self.diagnosis.guide(&mut tx).await?;
        let mut decided = decisions::load(&mut tx, due).await?;
        // Another collector may have been faster.
        decided.retain(|row| row.look_at.is_some_and(|at| at <= self.now));
        decided.sort_by(|a, b| (a.since, &a.alarm_id).cmp(&(b.since, &b.alarm_id)));
        let ids: Vec<String> = decided.iter().map(|row| row.alarm_id.clone()).collect();
        let rows = alarms::load(&mut tx, &ids).await?;
        let rows: BTreeMap<String, AlarmRow> =
            rows.into_iter().map(|row| (row.alarm_id.clone(), row)).collect();
        let causes = self.causes(&mut tx, &guide, &decided, &rows).await?;
        let mut ledger = Ledger { guide, ..Ledger::empty(self.now) };
        let agents: BTreeSet<String> = rows.values().map(|row| row.agent_id.clone()).collect();
        ledger.load_agents(&mut tx, &Vec::from_iter(agents)).await?;
        let roots = causes.values().map(|cause| cause.alarm_id.clone());
        let all: BTreeSet<String> = ids.iter().cloned().chain(roots).collect();
        let identities: BTreeSet<String> = rows.values().map(|row| row.identity.clone()).collect();
        let (all, identities) = (Vec::from_iter(all), Vec::from_iter(identities));
        ledger.load_faults(&mut tx, &all, &identities).await?;
        let mut opened = Vec::new();
        for row in decided {
            let Some(alarm) = rows.get(&row.alarm_id) else { continue };
            if row.outcome == "waits" {
                let device = devices::one(&mut tx, &alarm.agent_id, &alarm.device_id).await?;
                let device = device.unwrap_or_default();
                ledger.settle_waiting(alarm, device, &row, causes.get(&row.alarm_id))?;
            } else {
                opened.push(alarm.clone());
                ledger.decide(DecisionRow { look_at: None, ..row });
            }
        }
        save::save(&mut tx, &mut ledger).await?;
        let mut touched = Vec::new();
        for alarm in &opened {
            touched.extend(adopt::adopt(&mut tx, &ledger.guide, alarm, self.now).await?);
        }
        let kinds: BTreeSet<&str> = opened.iter().map(|alarm| alarm.kind.as_str()).collect();
        for kind in kinds {
            touched.extend(fleet::notice(&mut tx, &ledger.guide, kind, self.now).await?);
        }
        tx.commit().await?;
        for ticket in ledger.tickets.values().filter(|t| t.new) {
            self.metrics.ticket_opened(ticket.row.test);
        }
        own::tell(self.events, &ledger);
        for number in touched {
            // Nobody listening is fine.
            let _ = self.events.send(Event::Ticket { number, at: self.now });
        }
        Ok(())
    }

    /// The causes of those that wait, as far as they are known.
    async fn causes(
        &self,
        tx: &mut Tx,
        guide: &Guide,
        decided: &[DecisionRow],
        rows: &BTreeMap<String, AlarmRow>,
    ) -> Result<BTreeMap<String, Cause>> {
        let topology = &guide.topology;
        let waiting = decided.iter().filter(|row| row.outcome == "waits");
        let waiting: Vec<(&AlarmRow, usize)> = waiting
            .filter_map(|row| rows.get(&row.alarm_id))
            .filter(|alarm| effect(&alarm.kind).is_some())
            .filter_map(|alarm| Some((alarm, topology.node_of(&alarm.agent_id, &alarm.device_id)?)))
            .collect();
        let nodes = waiting.iter().flat_map(|(_, node)| topology.ancestors(*node));
        let faults = faults(tx, guide, &nodes.collect(), self.now).await?;
        let mut causes = BTreeMap::new();
        for (alarm, node) in waiting {
            let within = guide.rules.within_ms;
            if let Some(cause) = cause::find(topology, &faults, node, &fault(alarm), within) {
                causes.insert(alarm.alarm_id.clone(), cause);
            }
        }
        Ok(causes)
    }

    async fn put_off(&self, ids: &[String]) -> Result<()> {
        let mut tx = self.db.begin().await?;
        let mut rows = decisions::load(&mut tx, ids).await?;
        for row in &mut rows {
            row.look_at = Some(self.now.plus_ms(PUT_OFF_MS));
        }
        decisions::save(&mut tx, &rows).await?;
        tx.commit().await
    }
}

impl Ledger {
    fn settle_waiting(
        &mut self,
        row: &AlarmRow,
        device: callhome_shared::alarm::Device,
        decision: &DecisionRow,
        cause: Option<&Cause>,
    ) -> Result<()> {
        let mut next = decision.clone();
        let known = known_of(row)?;
        let alarm = rebuilt(row, device, &decision.worst);
        let order = Order { epoch: row.last_epoch.clone(), seq: row.last_seq, at: row.last_at };
        let origin =
            Origin { agent: &row.agent_id, order, received_at: self.now, own: false, reason: None };
        // What the store has of the device is newer than anything here: it changes nothing.
        let place = (row.agent_id.clone(), row.device_id.clone());
        self.devices.entry(place).or_insert_with(|| (alarm.device.clone(), Time(0)));
        next.look_at = None;
        if self.case_of_alarm.contains_key(&row.alarm_id) {
            "joined".clone_into(&mut next.outcome);
        } else if self.open_case.contains_key(&row.identity) {
            "joined".clone_into(&mut next.outcome);
            self.join_or_open(&origin, &alarm, &row.identity, &known, true)?;
        } else {
            let waiting = Waiting {
                why: decision.why.as_deref().and_then(Why::parse).unwrap_or(Why::Cause),
                since: decision.since,
                until: decision.until.unwrap_or(self.now),
                active: row.active,
            };
            let ticket = cause.and_then(|cause| self.open_ticket_of(&cause.alarm_id));
            let root = cause.and_then(|cause| self.decisions.get(&cause.alarm_id));
            let state = match (&ticket, root) {
                (Some(_), _) => Known::InTicket,
                (None, Some(root)) if root.row.outcome == "waits" => Known::Waits,
                _ => Known::Nothing,
            };
            match judge::again(&self.guide.rules, &waiting, state, self.now) {
                Next::Wait { look, until, why } => {
                    next.why = Some(why.as_str().to_owned());
                    (next.look_at, next.until) = (Some(look), Some(until));
                }
                Next::Transient => "transient".clone_into(&mut next.outcome),
                Next::Open => {
                    "opened".clone_into(&mut next.outcome);
                    next.look_at = Some(self.now);
                    self.join_or_open(&origin, &alarm, &row.identity, &known, false)?;
                }
                Next::Attach => {
                    if let (Some(cause), Some(ticket)) = (cause, ticket) {
                        "consequence".clone_into(&mut next.outcome);
                        next.detail = told(cause).to_string();
                        self.attach(&origin, &alarm, &row.identity, &known, (&ticket, cause))?;
                    }
                }
            }
        }
        self.decide(next);
        Ok(())
    }

    /// The ticket of an alarm, while it is open.
    fn open_ticket_of(&self, alarm_id: &str) -> Option<String> {
        let (_, held) = self.case_and_ticket(alarm_id)?;
        let over = State::parse(&held.row.state).is_none_or(State::is_over);
        (!over && !held.row.shadow && !held.row.test).then(|| held.row.id.clone())
    }
}

/// The alarm as it was told, with its worst severity; its evidence is kept apart.
fn rebuilt(row: &AlarmRow, device: callhome_shared::alarm::Device, worst: &str) -> Alarm {
    let device = callhome_shared::alarm::Device { id: row.device_id.clone(), ..device };
    Alarm {
        alarm_id: Uuid::parse_str(&row.alarm_id).unwrap_or_default(),
        transition: if row.active { Transition::Raised } else { Transition::Cleared },
        severity: Severity::parse(worst).unwrap_or(Severity::Indeterminate),
        kind: row.kind.clone(),
        qualifier: row.qualifier.clone(),
        fault_code: row.fault_code.clone(),
        message: row.message.clone(),
        text: row.text.clone(),
        device,
        resource: row.resource.clone(),
        occurred_at: None,
        observed_at: row.raised_at,
        raised_at: None,
        reason: None,
        clock_skew_s: None,
        rule: row.rule.clone(),
        proposed_repair: row.proposed_repair.clone(),
        evidence: Vec::new(),
        flapping: row.flapping,
        test: row.test,
    }
}
