//! Anti-entropy: whole sets, applied.
//!
//! A snapshot's pages wait as rows until the last one is there; then all of it is applied in that
//! transaction. Which page comes when, and how often, makes no difference. [`ask`] compares and asks.

mod ask;

use std::collections::{BTreeMap, BTreeSet};

use callhome_shared::alarm::{Alarm, Transition};
use callhome_shared::control::RESYNC;
use callhome_shared::heartbeat::Heartbeat;
use callhome_shared::resync::Page;
use uuid::Uuid;

use super::batch::{Batch, Entry};
use super::fault::{Origin, known_of};
use super::ledger::Ledger;
use crate::diagnosis;
use crate::inbox::{self, Content, Known, Reason, Rejection, Step, Update};
use crate::store::controls;
use crate::store::resync_history;
use crate::store::resyncs::{self, PageRow, ResyncRow};
use crate::store::{Result, Tx, alarms};

pub(super) use self::ask::compare;
use self::ask::{answer_of, word};

/// What a ticket's timeline gives as the reason.
const WHY: &str = "resync";
/// Receipts after one snapshot at most: ticket numbers are a convenience for who looks at the agent.
const RECEIPTS: usize = 100;

/// A snapshot of which some pages are there.
pub(super) struct Assembly {
    snapshot: String,
    pages: u32,
    /// The place of the page that came first.
    place: (String, i64),
    have: BTreeMap<u32, Vec<Alarm>>,
}

/// What a snapshot changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Applied {
    pub(super) agent: String,
    pub(super) envelope: Uuid,
    pub(super) alarms: i64,
    pub(super) raised: i64,
    pub(super) changed: i64,
    pub(super) cleared: i64,
    /// Named and known just so, or newer.
    pub(super) unchanged: i64,
    /// Why it was taken, the agent's word.
    pub(super) reason: String,
    /// Alarms that cannot be this agent's, or cannot be at all.
    pub(super) refused: i64,
    /// Alarms whose ticket is to be told to the agent.
    pub(super) told: Vec<Uuid>,
}

impl Assembly {
    fn new(page: &Page, place: (String, i64)) -> Self {
        let (snapshot, pages) = (page.snapshot.to_string(), page.pages);
        Assembly { snapshot, pages, place, have: BTreeMap::new() }
    }

    fn is_whole(&self) -> bool {
        self.have.len() >= self.pages as usize
    }
}

impl Ledger {
    /// Loads the pages that wait, and for snapshots that this batch makes whole what they touch.
    pub(super) async fn load_snapshots(
        &mut self,
        tx: &mut Tx,
        batch: &Batch,
        ids: &mut BTreeSet<String>,
        identities: &mut BTreeSet<String>,
    ) -> Result<()> {
        let coming = batch.entries.iter().filter_map(|entry| match &entry.numbered.content {
            Ok(Content::Resync(page)) => Some((entry.agent.as_str(), &**page)),
            _ => None,
        });
        let coming: Vec<(&str, &Page)> = coming.collect();
        let agents: BTreeSet<String> =
            coming.iter().map(|(agent, _)| (*agent).to_owned()).collect();
        if agents.is_empty() {
            return Ok(());
        }
        let agents = Vec::from_iter(agents);
        for row in resyncs::pages(tx, &agents).await? {
            self.put_stored(&row);
        }
        for (agent, page) in &coming {
            let stored =
                self.assemblies.get(*agent).filter(|a| a.snapshot == page.snapshot.to_string());
            let same = |(a, p): &&(&str, &Page)| a == agent && p.snapshot == page.snapshot;
            let mut numbers: BTreeSet<u32> =
                coming.iter().filter(same).map(|(_, p)| p.page).collect();
            numbers.extend(stored.into_iter().flat_map(|a| a.have.keys().copied()));
            if numbers.len() < page.pages as usize {
                continue;
            }
            let waiting = stored.into_iter().flat_map(|a| a.have.values().flatten());
            for alarm in page.alarms.iter().chain(waiting) {
                ids.insert(alarm.alarm_id.to_string());
                identities.insert(diagnosis::identity(agent, &alarm.identity(), alarm.test));
            }
            let active = alarms::active_of(tx, &[(*agent).to_owned()]).await?;
            ids.extend(active.into_iter().map(|(_, id, _)| id));
        }
        Ok(())
    }

    fn put_stored(&mut self, row: &PageRow) {
        let Ok(page) = serde_json::from_str::<Page>(&row.payload) else { return };
        let place = (row.epoch.clone(), row.seq);
        let fresh = || Assembly::new(&page, place.clone());
        let assembly = self.assemblies.entry(row.agent_id.clone()).or_insert_with(fresh);
        assembly.have.insert(page.page, page.alarms);
    }

    /// Takes a page; applies the snapshot when it is the last one.
    pub(super) fn take_page(&mut self, entry: &Entry, page: &Page) -> Result<Option<Rejection>> {
        let place = (entry.stream.epoch.clone(), entry.numbered.seq);
        let snapshot = page.snapshot.to_string();
        match self.assemblies.get(&entry.agent) {
            Some(there) if there.snapshot == snapshot && there.pages != page.pages => {
                let text = format!("the snapshot has {} pages, not {}", there.pages, page.pages);
                return Ok(Some(Rejection::new(Reason::BadPayload, text)));
            }
            Some(there) if there.snapshot == snapshot => {}
            // A straggler of a snapshot that a later one has replaced.
            Some(there) if there.place.0 == place.0 && there.place.1 > place.1 => return Ok(None),
            _ => {
                self.forget_pages(&entry.agent);
                self.assemblies.insert(entry.agent.clone(), Assembly::new(page, place.clone()));
            }
        }
        let Some(assembly) = self.assemblies.get_mut(&entry.agent) else { return Ok(None) };
        assembly.have.insert(page.page, page.alarms.clone());
        if !assembly.is_whole() {
            self.added.pages.push(PageRow {
                agent_id: entry.agent.clone(),
                page: i64::from(page.page),
                snapshot,
                pages: i64::from(page.pages),
                epoch: place.0,
                seq: place.1,
                payload: String::from_utf8_lossy(&entry.payload).into_owned(),
                received_at: entry.received_at,
            });
            return Ok(None);
        }
        let whole = self.assemblies.remove(&entry.agent);
        self.forget_pages(&entry.agent);
        let alarms = whole.into_iter().flat_map(|a| a.have.into_values().flatten()).collect();
        self.apply_snapshot(entry, page, alarms)?;
        Ok(None)
    }

    fn forget_pages(&mut self, agent: &str) {
        self.added.pages.retain(|row| row.agent_id != agent);
        self.added.pages_done.insert(agent.to_owned());
    }

    fn apply_snapshot(&mut self, entry: &Entry, last: &Page, alarms: Vec<Alarm>) -> Result<()> {
        let (mut origin, at) = (Origin::of(entry), last.at);
        (origin.order.at, origin.reason) = (at, Some(WHY));
        let present = self.is_present(&entry.agent, &origin.order.epoch);
        let mut applied = Applied {
            agent: entry.agent.clone(),
            envelope: entry.numbered.id,
            alarms: i64::try_from(alarms.len()).unwrap_or(i64::MAX),
            reason: word(&last.reason),
            ..Applied::default()
        };
        let mut named = BTreeSet::new();
        for alarm in alarms {
            named.insert(alarm.alarm_id.to_string());
            self.apply_named(&origin, alarm, present, &mut applied)?;
        }
        let mut gone = Vec::new();
        for held in self.alarms.values() {
            let row = &held.row;
            let theirs = row.agent_id == entry.agent && !row.own && !named.contains(&row.alarm_id);
            if theirs && row.active && inbox::is_gone(&known_of(row)?, &origin.order, present) {
                gone.push(row.alarm_id.clone());
            }
        }
        applied.cleared = i64::try_from(gone.len()).unwrap_or(i64::MAX);
        for id in gone {
            self.end(&origin, &id, at)?;
        }
        self.added.resynced.push(applied);
        Ok(())
    }

    fn apply_named(
        &mut self,
        origin: &Origin<'_>,
        alarm: Alarm,
        present: bool,
        applied: &mut Applied,
    ) -> Result<()> {
        let identity = diagnosis::identity(origin.agent, &alarm.identity(), alarm.test);
        let sound = alarm.transition != Transition::Cleared && alarm.validate().is_ok();
        let known = match self.known(origin, &alarm, &identity) {
            Ok(known) if sound => known?,
            _ => {
                applied.refused += 1;
                return Ok(());
            }
        };
        let step = inbox::against(known.as_ref(), alarm.severity, &origin.order, present);
        match step {
            Step::Keep => {
                applied.unchanged += 1;
                return Ok(());
            }
            Step::Severity => applied.changed += 1,
            Step::Raise | Step::Again => applied.raised += 1,
        }
        if applied.told.len() < RECEIPTS {
            applied.told.push(alarm.alarm_id);
        }
        let raised_at = known.map_or(alarm.began_at(), |k| k.raised_at.min(alarm.began_at()));
        let now = Known {
            active: true,
            severity: alarm.severity,
            raised_at,
            cleared_at: None,
            order: origin.order.clone(),
        };
        self.settle(origin, &alarm, &identity, &Update { now, newest: true })
    }

    /// Whether the agent's newest heartbeat names this outbox life.
    pub(super) fn is_present(&self, agent: &str, epoch: &str) -> bool {
        let now = self.signs.get(agent).and_then(|sign| sign.heartbeat.as_deref());
        let before = self.agents.get(agent).and_then(|agent| agent.heartbeat.as_deref());
        let beat = now.or(before).and_then(|text| serde_json::from_str::<Heartbeat>(text).ok());
        beat.and_then(|beat| beat.epoch).is_some_and(|present| present.to_string() == epoch)
    }
}

/// Writes the pages that wait, and of the snapshots that were applied that they were.
pub(super) async fn save(tx: &mut Tx, ledger: &mut Ledger) -> Result<()> {
    let added = &mut ledger.added;
    for agent in &added.pages_done {
        resyncs::drop_pages(tx, agent).await?;
    }
    added.pages.sort_unstable_by(|a, b| (&a.agent_id, a.page).cmp(&(&b.agent_id, b.page)));
    added.pages.dedup_by(|a, b| (&a.agent_id, a.page) == (&b.agent_id, b.page));
    resyncs::keep_pages(tx, &added.pages).await?;
    if added.resynced.is_empty() {
        return Ok(());
    }
    let agents: BTreeSet<String> = added.resynced.iter().map(|a| a.agent.clone()).collect();
    let agents = Vec::from_iter(agents);
    let mut open = controls::open_of(tx, &agents).await?;
    let mut told = Vec::new();
    let before = resyncs::of_agents(tx, &agents).await?;
    let mut rows: BTreeMap<String, ResyncRow> =
        before.into_iter().map(|row| (row.agent_id.clone(), row)).collect();
    for applied in &added.resynced {
        let Applied { agent, alarms, raised, changed, cleared, unchanged, refused, reason, .. } =
            applied;
        tracing::info!(
            agent,
            reason,
            alarms,
            raised,
            changed,
            cleared,
            unchanged,
            refused,
            "flow.resync.applied"
        );
        let request = open.iter().position(|c| c.agent_id == *agent && c.kind == RESYNC);
        let request = request.map(|at| open.swap_remove(at));
        told.push(answer_of(request.as_ref(), applied, ledger.now));
        let row = rows.entry(agent.clone()).or_default();
        row.agent_id.clone_from(agent);
        row.in_a_row += 1;
        row.not_before = ledger.now.plus_ms(inbox::pause_ms(row.in_a_row));
        (row.applied, row.applied_at) = (row.applied + 1, ledger.now);
        row.raised += raised;
        row.changed += changed;
        row.cleared += cleared;
        controls::done(tx, agent, RESYNC, ledger.now).await?;
    }
    told.sort_unstable_by(|a, b| a.id.cmp(&b.id));
    resync_history::note(tx, &told).await?;
    resyncs::save(tx, &Vec::from_iter(rows.into_values())).await
}
