//! Faults that the collector finds by itself: raised, changed and ended through the same tables as those
//! of agents. One life of a fault at a time stands by the collector's word (a unique index).

use callhome_shared::alarm::Alarm;
use callhome_shared::time::Time;
use tokio::sync::broadcast;

use super::batch::Batch;
use super::fault::{Origin, known_of};
use super::ledger::Ledger;
use super::{Event, answer, save};
use crate::inbox::{Known, Order, Update};
use crate::metrics::Metrics;
use crate::store::{Db, Result, alarms};

/// Faults in one transaction: the intake must not wait long.
const SLICE: usize = 64;

/// The agent's id in the rows of faults that are the collector's own and no agent's.
pub(super) const NOBODY: &str = "";

/// What the collector itself says about an agent, or itself.
pub(super) fn own<'a>(agent: &'a str, at: Time, reason: Option<&'static str>) -> Origin<'a> {
    let order = Order { epoch: "collector".to_owned(), seq: at.millis(), at };
    Origin { agent, order, received_at: at, own: true, reason }
}

/// A fault as it is to stand.
pub(super) struct Fault {
    /// The agent that it is about, or [`NOBODY`].
    pub(super) agent: String,
    /// The fault's identity.
    pub(super) identity: String,
    /// What is said of it. Its id is that of the life that stands already, or a new one.
    pub(super) alarm: Alarm,
}

/// A life that is over.
pub(super) struct Over {
    /// The agent.
    pub(super) agent: String,
    /// The life.
    pub(super) alarm_id: String,
    /// A stable word.
    pub(super) why: &'static str,
}

impl Ledger {
    /// The collector says that this fault stands. A life of it that is over stays so.
    pub(super) fn say_own(&mut self, agent: &str, identity: &str, alarm: &Alarm) -> Result<bool> {
        let origin = own(agent, self.now, None);
        let before = self.alarms.get(&alarm.alarm_id.to_string());
        let before = before.map(|held| known_of(&held.row)).transpose()?;
        if before.as_ref().is_some_and(|known| !known.active) {
            return Ok(false);
        }
        let now = Known {
            active: true,
            severity: alarm.severity,
            raised_at: before.map_or(self.now, |known| known.raised_at),
            cleared_at: None,
            order: origin.order.clone(),
        };
        self.settle(&origin, alarm, identity, &Update { now, newest: true })?;
        Ok(true)
    }
}

/// Says what stands and what is over. A fault that an agent says by itself, or that another collector was
/// faster with, is not said again.
pub(super) async fn say(
    db: &Db,
    events: &broadcast::Sender<Event>,
    metrics: &Metrics,
    now: Time,
    (faults, over): (Vec<Fault>, Vec<Over>),
) -> Result<()> {
    for slice in faults.chunks(SLICE) {
        let mut tx = db.begin().await?;
        let mut ledger = Ledger::empty(now);
        let agents: Vec<String> = slice.iter().map(|f| f.agent.clone()).collect();
        let ids: Vec<String> = slice.iter().map(|f| f.alarm.alarm_id.to_string()).collect();
        let identities: Vec<String> = slice.iter().map(|f| f.identity.clone()).collect();
        ledger.load_agents(&mut tx, &agents).await?;
        ledger.load_faults(&mut tx, &ids, &identities).await?;
        let stands = alarms::active_identities(&mut tx, &identities).await?;
        for fault in slice {
            let known = ledger.alarms.contains_key(&fault.alarm.alarm_id.to_string());
            let gone = fault.agent != NOBODY && !ledger.agents.contains_key(&fault.agent);
            if gone || (!known && stands.contains(&fault.identity)) {
                continue;
            }
            ledger.say_own(&fault.agent, &fault.identity, &fault.alarm)?;
        }
        save::save(&mut tx, &mut ledger).await?;
        tx.commit().await?;
        for ticket in ledger.tickets.values().filter(|t| t.new) {
            metrics.ticket_opened(ticket.row.test);
        }
        tell(events, &ledger);
    }
    for slice in over.chunks(SLICE) {
        let mut tx = db.begin().await?;
        let mut ledger = Ledger::empty(now);
        let ids: Vec<String> = slice.iter().map(|o| o.alarm_id.clone()).collect();
        ledger.load_faults(&mut tx, &ids, &[]).await?;
        for one in slice {
            if ledger.alarms.get(&one.alarm_id).is_some_and(|held| held.row.active) {
                ledger.end(&own(&one.agent, now, Some(one.why)), &one.alarm_id, now)?;
            }
        }
        save::save(&mut tx, &mut ledger).await?;
        tx.commit().await?;
        tell(events, &ledger);
    }
    Ok(())
}

/// Tells live pages. Nobody listening is fine.
pub(super) fn tell(events: &broadcast::Sender<Event>, ledger: &Ledger) {
    for event in answer::events(&Batch::default(), ledger) {
        let _ = events.send(event);
    }
    for id in ledger.presence.iter().filter(|(_, held)| held.changed).map(|(id, _)| id) {
        let _ = events.send(Event::Agent { id: id.clone(), at: ledger.now });
    }
}
