//! The rows that a batch touches, as they were loaded and as they become.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use callhome_shared::alarm::Device;
use callhome_shared::time::Time;

use super::batch::Batch;
use super::clear_all::{self, Cleared};
use super::diagnosis::Guide;
use super::inventory::Stock;
use super::resync::{Applied, Assembly};
use crate::diagnosis;
use crate::inbox::Content;
use crate::store::agents::{self, Agent, Sign};
use crate::store::alarms::{self, AlarmRow};
use crate::store::bundles;
use crate::store::cases::{self, CaseRow};
use crate::store::decisions::{self, DecisionRow};
use crate::store::envelopes::{self, Committed};
use crate::store::evidence::{self, EvidenceRow};
use crate::store::losses::LossRow;
use crate::store::presence::{self, PresenceRow};
use crate::store::probes::ProbeRow;
use crate::store::rejects::RejectRow;
use crate::store::resyncs::PageRow;
use crate::store::streams::{self, Passed, Stream, StreamKey};
use crate::store::tickets::{self, TicketRow};
use crate::store::{Result, Tx, timeline};

/// A row with what is to be written of it.
pub(super) struct Held<T> {
    pub(super) row: T,
    pub(super) changed: bool,
}

/// A ticket that is held.
pub(super) struct HeldTicket {
    pub(super) row: TicketRow,
    pub(super) changed: bool,
    /// Opened by this batch: it gets its number when it is saved.
    pub(super) new: bool,
    /// Its cases are to be opened again.
    pub(super) reopened: bool,
}

/// The other cases of a ticket.
#[derive(Clone, Copy, Default)]
pub(super) struct Kin {
    /// All of its cases.
    pub(super) cases: i64,
    /// Whether an alarm of a case that is not here is active.
    pub(super) stands: bool,
}

/// What is new and only ever added.
#[derive(Default)]
pub(super) struct Added {
    pub(super) envelopes: Vec<Committed>,
    pub(super) rejects: Vec<RejectRow>,
    pub(super) losses: Vec<LossRow>,
    pub(super) passed: Vec<Passed>,
    pub(super) evidence: Vec<EvidenceRow>,
    /// Bundles that envelopes named: (bundle, agent, when).
    pub(super) bundles_told: Vec<(String, String, Time)>,
    pub(super) cases: Vec<CaseRow>,
    /// (alarm, case, when, whether as a consequence).
    pub(super) attached: Vec<(String, String, Time, bool)>,
    pub(super) timeline: Vec<timeline::Entry>,
    pub(super) probes: Vec<ProbeRow>,
    /// Pages of snapshots that are not whole yet.
    pub(super) pages: Vec<PageRow>,
    /// Agents whose waiting pages are of no use any more.
    pub(super) pages_done: BTreeSet<String>,
    /// Snapshots that were applied.
    pub(super) resynced: Vec<Applied>,
    /// What each `clear-all` ended.
    pub(super) cleared_all: Vec<Cleared>,
}

/// Everything.
pub(super) struct Ledger {
    /// One clock reading for the whole batch.
    pub(super) now: Time,
    /// What diagnosis goes by.
    pub(super) guide: Guide,
    /// Agents that may deliver.
    pub(super) agents: BTreeMap<String, Agent>,
    /// What is to be noted about them.
    pub(super) signs: BTreeMap<String, Sign>,
    pub(super) streams: BTreeMap<StreamKey, Held<Stream>>,
    /// What is committed at the places of the batch.
    pub(super) at_place: HashMap<(StreamKey, i64), Committed>,
    /// What is committed under the ids of the batch: by agent and id.
    pub(super) by_id: HashMap<(String, String), Committed>,
    pub(super) alarms: BTreeMap<String, Held<AlarmRow>>,
    /// Cases by id.
    pub(super) cases: HashMap<String, CaseRow>,
    /// Which of them a ticket has.
    pub(super) cases_of: HashMap<String, BTreeSet<String>>,
    pub(super) case_of_alarm: HashMap<String, String>,
    pub(super) open_case: HashMap<String, String>,
    /// Active alarm lives by case, and whether each stands by the collector's own word.
    pub(super) active: HashMap<String, BTreeMap<String, bool>>,
    pub(super) tickets: BTreeMap<String, HeldTicket>,
    /// Of tickets with more cases than are here: how many, and whether any of the others stands.
    pub(super) kin: HashMap<String, Kin>,
    /// Consequences that are over, or stand again.
    pub(super) overs: BTreeMap<String, Option<Time>>,
    /// What diagnosis decided of alarm lives.
    pub(super) decisions: BTreeMap<String, Held<DecisionRow>>,
    /// How often identities were raised lately.
    pub(super) lives: HashMap<String, i64>,
    /// Bundles that envelopes of the batch name and that are here: (bundle, agent).
    pub(super) bundles: BTreeSet<(String, String)>,
    /// How much evidence the alarms of the batch have.
    pub(super) evidence_count: HashMap<String, i64>,
    pub(super) devices: BTreeMap<(String, String), (Device, Time)>,
    /// What devices are made of, by agent and device: those that the batch tells of.
    pub(super) inventories: BTreeMap<(String, String), Stock>,
    /// How the agents come and go.
    pub(super) presence: BTreeMap<String, Held<PresenceRow>>,
    /// Snapshots that are not whole yet, by agent.
    pub(super) assemblies: BTreeMap<String, Assembly>,
    pub(super) added: Added,
}

impl Ledger {
    /// Nothing yet.
    pub(super) fn empty(now: Time) -> Self {
        Ledger {
            now,
            guide: Guide::default(),
            agents: BTreeMap::new(),
            signs: BTreeMap::new(),
            streams: BTreeMap::new(),
            at_place: HashMap::new(),
            by_id: HashMap::new(),
            alarms: BTreeMap::new(),
            cases: HashMap::new(),
            cases_of: HashMap::new(),
            case_of_alarm: HashMap::new(),
            open_case: HashMap::new(),
            active: HashMap::new(),
            tickets: BTreeMap::new(),
            kin: HashMap::new(),
            overs: BTreeMap::new(),
            decisions: BTreeMap::new(),
            lives: HashMap::new(),
            bundles: BTreeSet::new(),
            evidence_count: HashMap::new(),
            devices: BTreeMap::new(),
            inventories: BTreeMap::new(),
            presence: BTreeMap::new(),
            assemblies: BTreeMap::new(),
            added: Added::default(),
        }
    }

    /// Loads what the batch touches.
    pub(super) async fn load(tx: &mut Tx, batch: &Batch, guide: Guide, now: Time) -> Result<Self> {
        let mut ledger = Ledger { guide, ..Ledger::empty(now) };
        ledger.load_agents(tx, &batch.agents()).await?;
        ledger.load_streams(tx, batch).await?;
        ledger.load_envelopes(tx, batch).await?;
        ledger.load_alarms(tx, batch).await?;
        ledger.load_inventories(tx, batch).await?;
        Ok(ledger)
    }

    /// Agents that may deliver, and their presence.
    pub(super) async fn load_agents(&mut self, tx: &mut Tx, ids: &[String]) -> Result<()> {
        for agent in agents::admitted(tx, ids).await? {
            self.agents.insert(agent.id.clone(), agent);
        }
        for row in presence::load(tx, ids).await? {
            self.presence.insert(row.agent_id.clone(), Held { row, changed: false });
        }
        Ok(())
    }

    async fn load_streams(&mut self, tx: &mut Tx, batch: &Batch) -> Result<()> {
        let of_entries = batch.entries.iter().map(|e| e.stream.epoch.clone());
        let of_beats = batch.beats.iter().filter_map(|b| b.heartbeat.epoch).map(|e| e.to_string());
        let epochs: BTreeSet<String> = of_entries.chain(of_beats).collect();
        for row in streams::load(tx, &Vec::from_iter(epochs)).await? {
            self.streams.insert(row.key.clone(), Held { row, changed: false });
        }
        Ok(())
    }

    async fn load_envelopes(&mut self, tx: &mut Tx, batch: &Batch) -> Result<()> {
        let mut places: Vec<(StreamKey, i64)> =
            batch.entries.iter().map(|e| (e.stream.clone(), e.numbered.seq)).collect();
        places.sort_unstable();
        places.dedup();
        for row in envelopes::at_places(tx, &places).await? {
            self.at_place.insert((row.stream.clone(), row.seq), row);
        }
        let ids: BTreeSet<String> =
            batch.entries.iter().map(|e| e.numbered.id.to_string()).collect();
        for row in envelopes::with_ids(tx, &Vec::from_iter(ids)).await? {
            self.by_id.insert((row.stream.agent_id.clone(), row.id.clone()), row);
        }
        Ok(())
    }

    async fn load_alarms(&mut self, tx: &mut Tx, batch: &Batch) -> Result<()> {
        let mut ids = BTreeSet::new();
        let mut identities = BTreeSet::new();
        let mut with_evidence = BTreeSet::new();
        let mut named = BTreeSet::new();
        for entry in &batch.entries {
            match &entry.numbered.content {
                Ok(Content::Alarm(alarm)) => {
                    ids.insert(alarm.alarm_id.to_string());
                    let identity = diagnosis::identity(&entry.agent, &alarm.identity(), alarm.test);
                    identities.insert(identity);
                    if !alarm.evidence.is_empty() {
                        with_evidence.insert(alarm.alarm_id.to_string());
                    }
                }
                Ok(Content::Probe(probe)) => {
                    let alarm = &probe.alarm;
                    ids.insert(alarm.alarm_id.to_string());
                    identities.insert(diagnosis::identity(&entry.agent, &alarm.identity(), true));
                }
                Ok(Content::Evidence(more)) => {
                    let alarm = more.alarm_id.iter().map(ToString::to_string);
                    ids.extend(alarm.clone());
                    with_evidence.extend(alarm);
                    named.extend(more.bundle.iter().map(|bundle| bundle.id.to_string()));
                }
                _ => {}
            }
        }
        self.bundles.extend(bundles::known(tx, &Vec::from_iter(named)).await?);
        let counts = evidence::count(tx, &Vec::from_iter(with_evidence)).await?;
        self.evidence_count.extend(counts);
        self.load_snapshots(tx, batch, &mut ids, &mut identities).await?;
        ids.extend(clear_all::standing(tx, batch).await?);
        let silences = self.presence.values().filter_map(|held| held.row.silent_alarm.clone());
        ids.extend(silences);
        self.load_faults(tx, &Vec::from_iter(ids), &Vec::from_iter(identities)).await
    }

    /// Alarm lives and fault identities with their cases and tickets.
    pub(super) async fn load_faults(
        &mut self,
        tx: &mut Tx,
        ids: &[String],
        identities: &[String],
    ) -> Result<()> {
        for row in alarms::load(tx, ids).await? {
            self.alarms.insert(row.alarm_id.clone(), Held { row, changed: false });
        }
        for (alarm, case) in cases::of_alarms(tx, ids).await? {
            self.case_of_alarm.insert(alarm, case.id.clone());
            self.put_case(case);
        }
        // Of alarms that were found, too: a fault that is told as over may be open in another case.
        let found = self.alarms.values().map(|held| held.row.identity.clone());
        let identities: BTreeSet<String> = identities.iter().cloned().chain(found).collect();
        let identities = Vec::from_iter(identities);
        for case in cases::open_of(tx, &identities).await? {
            self.open_case.insert(case.identity.clone(), case.id.clone());
            self.put_case(case);
        }
        let homeless = ids.iter().filter(|id| !self.case_of_alarm.contains_key(*id));
        let homeless: Vec<String> = homeless.cloned().collect();
        for row in decisions::load(tx, &homeless).await? {
            self.decisions.insert(row.alarm_id.clone(), Held { row, changed: false });
        }
        self.lives.extend(decisions::lives(tx, &identities, self.lives_since()).await?);
        self.load_tickets(tx).await
    }

    async fn load_tickets(&mut self, tx: &mut Tx) -> Result<()> {
        let case_ids: BTreeSet<String> = self.cases.keys().cloned().collect();
        for (case, alarm, own) in cases::active_alarms(tx, &Vec::from_iter(case_ids)).await? {
            self.active.entry(case).or_default().insert(alarm, own);
        }
        let ids: BTreeSet<String> = self.cases.values().map(|c| c.ticket_id.clone()).collect();
        let ids = Vec::from_iter(ids);
        for row in tickets::load(tx, &ids).await? {
            let held = HeldTicket { row, changed: false, new: false, reopened: false };
            self.tickets.insert(held.row.id.clone(), held);
        }
        let mut kin = HashMap::new();
        for (ticket, count) in cases::count(tx, &ids).await? {
            let here = self.cases_of.get(&ticket).map_or(0, BTreeSet::len);
            if i64::try_from(here).is_ok_and(|here| here < count) {
                let stands = self.stands_elsewhere(tx, &ticket).await?;
                kin.insert(ticket, Kin { cases: count, stands });
            }
        }
        self.kin = kin;
        Ok(())
    }

    /// Whether an alarm is active of a case of this ticket that is not here.
    async fn stands_elsewhere(&self, tx: &mut Tx, ticket: &str) -> Result<bool> {
        let here = self.cases_of.get(ticket).into_iter().flatten();
        let active: usize = here.map(|case| self.active.get(case).map_or(0, BTreeMap::len)).sum();
        let limit = i64::try_from(active).unwrap_or(i64::MAX).saturating_add(1);
        let found = cases::active_in(tx, ticket, limit).await?;
        Ok(found.iter().any(|case| !self.cases.contains_key(case)))
    }

    /// Whether any alarm of a ticket is active.
    pub(super) fn stands(&self, ticket: &str) -> bool {
        let elsewhere = self.kin.get(ticket).is_some_and(|kin| kin.stands);
        let mut here = self.cases_of.get(ticket).into_iter().flatten();
        elsewhere || here.any(|case| self.active.get(case).is_some_and(|a| !a.is_empty()))
    }

    /// A case is here.
    pub(super) fn put_case(&mut self, case: CaseRow) {
        self.cases_of.entry(case.ticket_id.clone()).or_default().insert(case.id.clone());
        self.cases.insert(case.id.clone(), case);
    }

    /// The case and the ticket of an alarm life.
    pub(super) fn case_and_ticket(&self, alarm_id: &str) -> Option<(&CaseRow, &HeldTicket)> {
        let case = self.cases.get(self.case_of_alarm.get(alarm_id)?)?;
        Some((case, self.tickets.get(&case.ticket_id)?))
    }
}
