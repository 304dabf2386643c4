//! Takes what Alertmanager says: load → decide → one transaction. Who asks is answered after the commit.
//!
//! The alarms go the way of agents' alarms, in the name of a source instead of an agent.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use callhome_shared::alarm::{Alarm, Transition};
use callhome_shared::backoff::Backoff;
use callhome_shared::envelope::Loss;
use callhome_shared::id::new_uuid;
use callhome_shared::time::Time;
use tokio::sync::broadcast;
use uuid::Uuid;

use super::diagnosis::Diagnosis;
use super::fault::Origin;
use super::ledger::Ledger;
use super::own::tell;
use super::{Event, save};
use crate::alertmanager::{Alert, Former, Life, Living, Mapping, Notification, id_of, life};
use crate::diagnosis;
use crate::inbox::Order;
use crate::metrics::Metrics;
use crate::store::evidence::EvidenceRow;
use crate::store::losses::LossRow;
use crate::store::rejects::RejectRow;
use crate::store::{Db, Remedy, Result, Tx, alarms};

/// Alerts in one transaction: the intake must not wait long.
const SLICE: usize = 64;
/// How often two transactions may meet before the sender is told to come again.
const MAX_MEETINGS: u32 = 20;
/// Refused alerts of one notification that are kept with their reason.
const KEPT_REFUSALS: usize = 20;
/// The place of what came without an outbox.
const EPOCH: &str = "alertmanager";

/// Who says it, and for which sites it may.
#[derive(Clone, Debug)]
pub struct Source {
    /// See [`crate::alertmanager::source_id`].
    pub id: String,
    /// The sites that it may speak for; none: all.
    pub sites: Vec<String>,
}

/// An alert that was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Its fingerprint.
    pub fingerprint: String,
    /// Why.
    pub why: String,
}

/// What became of a notification.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Alerts that changed something.
    pub taken: u64,
    /// Alerts that said what was known.
    pub known: u64,
    /// Alerts about what is known to be over.
    pub late: u64,
    /// Alerts that the source may not bring.
    pub refused: Vec<Refused>,
}

/// Where it goes.
pub struct Intake<'a> {
    /// The store.
    pub db: &'a Db,
    /// Which alarms call home.
    pub diagnosis: &'a Diagnosis,
    /// What labels mean.
    pub mapping: &'a Mapping,
    /// To live pages.
    pub events: &'a broadcast::Sender<Event>,
    /// The counters.
    pub metrics: &'a Metrics,
}

impl Intake<'_> {
    /// Takes a notification; an error says that it is to be sent again. What was committed before an error
    /// is known when it comes again.
    pub async fn take(&self, source: &Source, said: &Notification) -> Result<Tally> {
        let mut sum = Tally::default();
        for slice in said.alerts.chunks(SLICE) {
            let tally = self.persist(source, slice, 0).await?;
            sum.add(tally);
        }
        if said.truncated > 0 {
            tracing::warn!(source = source.id, truncated = said.truncated, "flow.alerts.truncated");
            self.persist(source, &[], said.truncated).await?;
        }
        Ok(sum)
    }

    async fn persist(&self, source: &Source, alerts: &[Alert], truncated: u64) -> Result<Tally> {
        let mut backoff = Backoff::new(Duration::from_millis(20), Duration::from_secs(1));
        let mut meetings = 0;
        loop {
            match self.commit(source, alerts, truncated).await {
                Err(e) if e.remedy() == Remedy::Again && meetings < MAX_MEETINGS => meetings += 1,
                other => return other,
            }
            tokio::time::sleep(backoff.next_delay()).await;
        }
    }

    async fn commit(&self, source: &Source, alerts: &[Alert], truncated: u64) -> Result<Tally> {
        let started = Instant::now();
        let now = Time::now();
        let mut tx = self.db.begin().await?;
        let guide = self.diagnosis.guide(&mut tx).await?;
        let mut ledger = Ledger { guide, ..Ledger::empty(now) };
        let mut tally = Tally::default();
        let brought = self.admit(source, alerts, &mut ledger, &mut tally);
        let mut living = load(&mut tx, &mut ledger, &brought).await?;
        for one in brought {
            ledger.take_alert(source, one, &mut living, &mut tally)?;
        }
        if truncated > 0 {
            ledger.added.losses.push(left_out(source, truncated, now));
        }
        save::save(&mut tx, &mut ledger).await?;
        tx.commit().await?;
        self.metrics.committed(started.elapsed());
        for ticket in ledger.tickets.values().filter(|t| t.new) {
            self.metrics.ticket_opened(ticket.row.test);
        }
        let refused = u64::try_from(tally.refused.len()).unwrap_or(u64::MAX);
        for (outcome, count) in [
            ("taken", tally.taken),
            ("known", tally.known),
            ("late", tally.late),
            ("refused", refused),
        ] {
            self.metrics.alerts(outcome, count);
        }
        tell(self.events, &ledger);
        Ok(tally)
    }

    /// What the source may say; the rest is kept with its reason.
    fn admit<'a>(
        &self,
        source: &Source,
        alerts: &'a [Alert],
        ledger: &mut Ledger,
        tally: &mut Tally,
    ) -> Vec<Brought<'a>> {
        let mut brought = Vec::with_capacity(alerts.len());
        for alert in alerts {
            let said = self.mapping.say(alert, ledger.now);
            let site = said.site.as_deref().unwrap_or_default();
            if !source.sites.is_empty() && !source.sites.iter().any(|allowed| allowed == site) {
                let why = format!("the token is not for the site {site:?}");
                tracing::warn!(source = source.id, alert.fingerprint, site, "flow.alert.refused");
                if tally.refused.len() < KEPT_REFUSALS {
                    ledger.added.rejects.push(reject(source, alert, &why, ledger.now));
                }
                tally.refused.push(Refused { fingerprint: alert.fingerprint.clone(), why });
                continue;
            }
            let alarm = said.alarm;
            let identity = diagnosis::identity(&source.id, &alarm.identity(), false);
            let start = alert.starts_at.millis().to_string();
            let first = id_of(&[&identity, &start]);
            brought.push(Brought { alert, alarm, identity, first });
        }
        brought
    }
}

impl Tally {
    fn add(&mut self, more: Tally) {
        self.taken += more.taken;
        self.known += more.known;
        self.late += more.late;
        self.refused.extend(more.refused);
    }
}

/// An alert with what it means.
struct Brought<'a> {
    alert: &'a Alert,
    alarm: Alarm,
    identity: String,
    /// The id of the life with the alert's start.
    first: Uuid,
}

/// Loads what the alerts are about; answers the lives that stand, by identity.
async fn load(
    tx: &mut Tx,
    ledger: &mut Ledger,
    brought: &[Brought<'_>],
) -> Result<BTreeMap<String, Living>> {
    let identities: BTreeSet<String> = brought.iter().map(|b| b.identity.clone()).collect();
    let identities = Vec::from_iter(identities);
    let mut living = BTreeMap::new();
    let mut ids: BTreeSet<String> = brought.iter().map(|b| b.first.to_string()).collect();
    for (identity, alarm_id, raised_at) in alarms::active_lives(tx, &identities).await? {
        if let Ok(id) = Uuid::parse_str(&alarm_id) {
            living.insert(identity, Living { id, raised_at });
        }
        ids.insert(alarm_id);
    }
    ledger.load_faults(tx, &Vec::from_iter(ids), &identities).await?;
    Ok(living)
}

impl Ledger {
    fn take_alert(
        &mut self,
        source: &Source,
        one: Brought<'_>,
        living: &mut BTreeMap<String, Living>,
        tally: &mut Tally,
    ) -> Result<()> {
        let now = self.now;
        let standing = living.get(&one.identity).copied();
        let former = self.alarms.get(&one.first.to_string()).filter(|held| !held.row.active);
        let former = former.map(|held| Former { ended_at: held.row.last_at });
        let ids = (one.first, new_uuid());
        let mut alarm = one.alarm;
        match life(one.alert, standing, former, ids, now) {
            Life::Late => {
                tally.late += 1;
                return Ok(());
            }
            Life::Begins(id) => {
                alarm.alarm_id = id;
                living.insert(one.identity.clone(), Living { id, raised_at: alarm.observed_at });
                self.add_alert_evidence(source, &alarm);
            }
            Life::Stands(id) => {
                if self.says_the_same(id, &alarm) {
                    tally.known += 1;
                    return Ok(());
                }
                alarm.alarm_id = id;
                alarm.transition = Transition::Changed;
                alarm.raised_at = Some(alarm.observed_at);
                alarm.observed_at = now;
            }
            Life::Ends(id) => {
                alarm.alarm_id = id;
                alarm.transition = Transition::Cleared;
                let began = alarm.observed_at;
                alarm.raised_at = Some(began);
                alarm.observed_at = one.alert.ends_at.unwrap_or(now).min(now).max(began);
                if standing.is_none() {
                    self.add_alert_evidence(source, &alarm);
                }
                living.remove(&one.identity);
            }
        }
        alarm.evidence.clear();
        let before = self.alarms.get(&alarm.alarm_id.to_string());
        let seq = before.map_or(0, |held| held.row.last_seq + 1).max(now.millis());
        let order = Order { epoch: EPOCH.to_owned(), seq, at: now };
        let origin =
            Origin { agent: &source.id, order, received_at: now, own: false, reason: None };
        if let Some(rejection) = self.fault(&origin, &alarm)? {
            self.added.rejects.push(reject(source, one.alert, &rejection.text, now));
            let fingerprint = one.alert.fingerprint.clone();
            tally.refused.push(Refused { fingerprint, why: rejection.text });
            return Ok(());
        }
        tally.taken += 1;
        Ok(())
    }

    fn says_the_same(&self, id: Uuid, alarm: &Alarm) -> bool {
        self.alarms.get(&id.to_string()).is_some_and(|held| {
            held.row.text == alarm.text && held.row.severity == alarm.severity.as_str()
        })
    }

    /// Labels and annotations, once for each life.
    fn add_alert_evidence(&mut self, source: &Source, alarm: &Alarm) {
        let alarm_id = alarm.alarm_id.to_string();
        let rows = alarm.evidence.iter().map(|evidence| EvidenceRow {
            id: format!("{alarm_id}-0"),
            agent_id: source.id.clone(),
            alarm_id: alarm_id.clone(),
            evidence: evidence.clone(),
        });
        self.added.evidence.extend(rows);
    }
}

fn reject(source: &Source, alert: &Alert, why: &str, now: Time) -> RejectRow {
    let payload = serde_json::to_string(&alert.labels).unwrap_or_default();
    RejectRow {
        id: new_uuid().to_string(),
        agent_id: source.id.clone(),
        epoch: None,
        lane: None,
        seq: None,
        envelope_id: None,
        reason: "alert-refused".to_owned(),
        text: why.to_owned(),
        payload: Some(payload.chars().take(1000).collect()),
        received_at: now,
    }
}

/// Alertmanager itself left alerts out.
fn left_out(source: &Source, count: u64, now: Time) -> LossRow {
    LossRow {
        id: new_uuid().to_string(),
        agent_id: source.id.clone(),
        loss: Loss {
            source: EPOCH.to_owned(),
            from: now,
            to: now,
            reason: "truncated".to_owned(),
            count: Some(count),
        },
        received_at: now,
    }
}
