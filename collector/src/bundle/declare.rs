//! Declarations: whose ticket it is, judged, and its row in one transaction.

use callhome_shared::bundle::{Declaration, Standing, State};
use callhome_shared::id::AgentId;
use callhome_shared::time::Time;

use super::desk::{ATTEMPTS, Bundles, Done};
use super::failure::Failure;
use super::judge::{self, Known, Limits, Refusal, Ruling, Subject, Taken};
use crate::store::bundles::{self, BundleRow};
use crate::store::{self, Remedy, StoreError, alarms, cases, tickets};

impl Bundles {
    /// Takes a declaration; says whether it is a new one, and how the upload is.
    pub(super) async fn declare(
        &self,
        agent: &AgentId,
        said: &Declaration,
    ) -> Done<(bool, Standing)> {
        let _hold = self.hold(said.id).await?;
        if !self.files.has_room(0)? {
            // Before anything is written: the database may need what is left.
            if bundles::get(&self.db, &said.id.to_string()).await?.is_none() {
                return Err(Refusal::DiskFull.into());
            }
        }
        let mut attempt = 1;
        let new = loop {
            match self.try_declare(agent, said).await {
                Err(Failure::Store(e)) if e.remedy() == Remedy::Again && attempt < ATTEMPTS => {
                    attempt += 1;
                }
                done => break done?,
            }
        };
        let row = self.own(agent, said.id).await?;
        Ok((new, self.standing(agent, &row).await?))
    }

    async fn try_declare(&self, agent: &AgentId, said: &Declaration) -> Done<bool> {
        let now = Time::now();
        let mut tx = self.db.begin().await?;
        let taken = bundles::taken(&mut tx, agent.as_str()).await?;
        let row = bundles::get_in(&mut tx, &said.id.to_string()).await?;
        let known = row.map(|row| Known {
            own: row.agent_id == agent.as_str(),
            declaration: serde_json::from_str(&row.declaration).ok(),
            here: self.is_here(&row),
            state: row.state,
            collector: row.collector,
            active_at: row.active_at,
        });
        let subject = match known {
            Some(_) => Subject::Unknown,
            None => subject(&mut tx, agent, &said.subject).await?,
        };
        let taken = Taken {
            open: taken.open,
            agent: u64::try_from(taken.agent).unwrap_or(0),
            total: u64::try_from(taken.total).unwrap_or(0),
        };
        let limits = self.limits();
        match judge::declare(said, known.as_ref(), &subject, taken, limits, now)? {
            Ruling::Known => return Ok(false),
            Ruling::TakeOver => {
                bundles::take_over(&mut tx, &said.id.to_string(), &self.collector, now).await?;
                tx.commit().await?;
                self.metrics.bundle_event("taken-over");
                return Ok(false);
            }
            Ruling::New { ticket, weight } => {
                let row = self.new_row(agent, said, ticket, weight, now)?;
                bundles::insert(&mut tx, &row).await?;
            }
        }
        tx.commit().await?;
        tracing::info!(agent.id = %agent, bundle = %said.id, size = said.size, "bundle declared");
        Ok(true)
    }

    fn limits(&self) -> Limits {
        Limits {
            max: self.settings.max_bytes,
            agent: self.settings.agent_bytes,
            total: self.settings.total_bytes,
            open: self.settings.open_per_agent,
        }
    }

    fn new_row(
        &self,
        agent: &AgentId,
        said: &Declaration,
        ticket_id: String,
        weight: u64,
        now: Time,
    ) -> Done<BundleRow> {
        let declaration = serde_json::to_string(said)
            .map_err(|e| Refusal::Malformed(format!("declaration: {e}")))?;
        Ok(BundleRow {
            id: said.id.to_string(),
            agent_id: agent.to_string(),
            ticket_id,
            alarm_id: said.subject.alarm_id.map(|id| id.to_string()),
            name: said.name.clone(),
            size: i64::try_from(said.size).unwrap_or(i64::MAX),
            sha256: said.sha256.clone(),
            declaration,
            state: State::Open.as_str().to_owned(),
            reason: None,
            weight: i64::try_from(weight).unwrap_or(i64::MAX),
            received: 0,
            mismatches: 0,
            missing: false,
            collector: self.collector.clone(),
            declared_at: now,
            active_at: now,
            completed_at: None,
            told_at: None,
            removed_at: None,
        })
    }
}

/// Whose ticket or alarm it is. The ticket that is named goes before the alarm's.
async fn subject(
    tx: &mut store::Tx,
    agent: &AgentId,
    named: &callhome_shared::bundle::Subject,
) -> Result<Subject, StoreError> {
    let mut ticket = None;
    if let Some(number) = &named.ticket {
        let Some(row) = tickets::get_in(tx, number).await? else { return Ok(Subject::Unknown) };
        if row.agent_id != agent.as_str() {
            return Ok(Subject::Foreign);
        }
        ticket = Some(row.id);
    }
    let Some(alarm_id) = named.alarm_id.map(|id| id.to_string()) else {
        return Ok(ticket.map_or(Subject::Unknown, Subject::Own));
    };
    let ids = [alarm_id];
    match alarms::load(tx, &ids).await?.first() {
        Some(alarm) if alarm.agent_id != agent.as_str() => return Ok(Subject::Foreign),
        // A probe's shadow ticket is nobody's work.
        Some(alarm) if !alarm.shadow => {}
        _ => return Ok(Subject::Unknown),
    }
    if ticket.is_none() {
        let found = cases::of_alarms(tx, &ids).await?.into_iter().next();
        ticket = found.map(|(_, case)| case.ticket_id);
    }
    Ok(ticket.map_or(Subject::Unknown, Subject::Own))
}
