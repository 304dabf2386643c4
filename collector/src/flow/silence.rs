//! Agents that have missed five of their heartbeats: a ticket for each, made by the collector itself.
//! On a timer, idempotent: the truth is in the rows.

use std::sync::Arc;
use std::time::{Duration, Instant};

use callhome_shared::heartbeat::Heartbeat;
use callhome_shared::id::new_uuid;
use callhome_shared::time::Time;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use super::ledger::{Held, Ledger};
use super::own::tell;
use super::rounds::Rounds;
use super::{Event, save};
use crate::diagnosis;
use crate::diagnosis::silence::{self, Ear, Facts, KIND, MISSED, QUIET};
use crate::health::Health;
use crate::metrics::Metrics;
use crate::store::presence::{self, SilentRow, SiteRow};
use crate::store::{Db, Result};

/// Between two looks.
const EVERY: Duration = Duration::from_secs(5);
/// Agents in one transaction: the intake must not wait long.
const SLICE: i64 = 64;
/// Slices in one look.
const SLICES: usize = 100;
/// An agent heard so far in the future was heard by a clock that has been set back since.
const CLOCK_MS: i64 = 60_000;

/// Looks until `stop` is cancelled.
pub async fn run(
    db: Db,
    events: broadcast::Sender<Event>,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
    stop: CancellationToken,
) {
    let started = Instant::now();
    let mut ear = Ear::default();
    let mut stored = true;
    let mut rounds = Rounds::new(EVERY, stop);
    while rounds.next().await {
        let hears = stored && health.broker_listening();
        let now = Time::now();
        let listened = ear.listen(hears, started.elapsed(), now, EVERY);
        // While nothing can be stored nobody is heard, as far as the rows tell.
        stored = match look(&db, &events, &metrics, now, listened).await {
            Ok(_) => true,
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "flow.silence.failed");
                false
            }
        };
    }
}

/// One look by who has listened for so long. Answers how many agents were found silent.
pub async fn look(
    db: &Db,
    events: &broadcast::Sender<Event>,
    metrics: &Metrics,
    now: Time,
    listened: Duration,
) -> Result<usize> {
    let mended = presence::mend_clock(db, now, CLOCK_MS).await?;
    if mended > 0 {
        tracing::warn!(agents = mended, "flow.silence.clock: agents were heard in the future");
    }
    let mut found = 0;
    for _ in 0..SLICES {
        let rows = presence::unheard(db, MISSED, now, listened, SLICE).await?;
        if rows.is_empty() {
            break;
        }
        let sites = presence::sites(db, QUIET, now).await?;
        let count = note(db, events, metrics, now, &rows, &sites).await?;
        found += count;
        if count == 0 {
            break;
        }
    }
    release_revoked(db, events, now).await?;
    metrics.set_agents_silent(presence::count_silent(db).await?);
    Ok(found)
}

async fn note(
    db: &Db,
    events: &broadcast::Sender<Event>,
    metrics: &Metrics,
    now: Time,
    rows: &[SilentRow],
    sites: &[SiteRow],
) -> Result<usize> {
    let mut tx = db.begin().await?;
    let mut ledger = Ledger::empty(now);
    let ids: Vec<String> = rows.iter().map(|row| row.agent_id.clone()).collect();
    ledger.load_agents(&mut tx, &ids).await?;
    let identities: Vec<String> = ids.iter().map(|id| diagnosis::own_identity(id, KIND)).collect();
    ledger.load_faults(&mut tx, &[], &identities).await?;
    let mut count = 0;
    for row in rows {
        // It may have spoken since, or another collector was faster.
        let limit = now.plus_ms(-1000 * MISSED * row.presence.interval_s);
        let agent = ledger.agents.get(&row.agent_id);
        let still = agent.is_some_and(|a| a.last_seen_at.is_some_and(|seen| seen < limit));
        let noted =
            ledger.presence.get(&row.agent_id).is_some_and(|h| h.row.silent_alarm.is_some());
        if still && !noted {
            open(&mut ledger, row, sites, now)?;
            count += 1;
        }
    }
    save::save(&mut tx, &mut ledger).await?;
    tx.commit().await?;
    for ticket in ledger.tickets.values().filter(|t| t.new) {
        metrics.ticket_opened(ticket.row.test);
    }
    tell(events, &ledger);
    Ok(count)
}

fn open(ledger: &mut Ledger, row: &SilentRow, sites: &[SiteRow], now: Time) -> Result<()> {
    let alarm_id = new_uuid();
    let alarm = silence::alarm(&facts(row, sites), alarm_id, now);
    tracing::warn!(agent = row.agent_id, text = alarm.text, "flow.agent.silent");
    let identity = diagnosis::own_identity(&row.agent_id, KIND);
    ledger.say_own(&row.agent_id, &identity, &alarm)?;
    let fresh = || Held { row: row.presence.clone(), changed: true };
    let held = ledger.presence.entry(row.agent_id.clone()).or_insert_with(fresh);
    (held.row.silent_alarm, held.changed) = (Some(alarm_id.to_string()), true);
    Ok(())
}

fn facts<'a>(row: &'a SilentRow, sites: &[SiteRow]) -> Facts<'a> {
    let beat =
        row.heartbeat.as_deref().and_then(|text| serde_json::from_str::<Heartbeat>(text).ok());
    let here = |s: &&SiteRow| Some(&s.site) == row.site.as_ref() && s.customer == row.customer;
    let others = sites.iter().find(here).map_or((0, 0), |s| (s.agents - 1, s.quiet - 1));
    Facts {
        agent: &row.agent_id,
        since: row.last_seen_at,
        interval_s: row.presence.interval_s,
        departed: row.presence.departed.as_deref(),
        alarms: beat.as_ref().map(|beat| beat.active_alarms),
        waiting: beat.as_ref().map(|beat| beat.lanes.iter().map(|lane| lane.depth).sum()),
        customer: row.customer.as_deref(),
        site: row.site.as_deref(),
        others,
    }
}

/// Who may not speak any more is not expected to.
async fn release_revoked(db: &Db, events: &broadcast::Sender<Event>, now: Time) -> Result<()> {
    let ids = presence::silent_and_revoked(db, SLICE).await?;
    if ids.is_empty() {
        return Ok(());
    }
    let mut tx = db.begin().await?;
    let mut ledger = Ledger::empty(now);
    ledger.load_agents(&mut tx, &ids).await?;
    let alarms = ledger.presence.values().filter_map(|held| held.row.silent_alarm.clone());
    let alarms: Vec<String> = alarms.collect();
    ledger.load_faults(&mut tx, &alarms, &[]).await?;
    for id in &ids {
        ledger.end_silence(id, now, "revoked")?;
    }
    save::save(&mut tx, &mut ledger).await?;
    tx.commit().await?;
    tell(events, &ledger);
    Ok(())
}
