//! Windows of maintenance: people set and end them, agents are told all of theirs.
//!
//! What an agent is told follows from the table alone. Every heartbeat says which revision the agent has; if it
//! is another one than the table gives now, it is told. So it learns of a window at once where it is connected
//! here, with its next heartbeat else, and at its next connection if it was away.

use std::collections::{BTreeMap, BTreeSet};

use callhome_shared::control::{Control, MAINTENANCE};
use callhome_shared::heartbeat::Heartbeat;
use callhome_shared::id::{AgentId, new_uuid};
use callhome_shared::limits::MAX_ID_BYTES;
use callhome_shared::maintenance::{MAX_NAMES, MAX_REASON_BYTES, MAX_WINDOWS, Set, Window};
use callhome_shared::time::Time;
use callhome_shared::topic::Down;
use serde_json::json;

use super::batch::Batch;
use super::ledger::Ledger;
use crate::audit::{Deed, Entry};
use crate::link::Downward;
use crate::store::maintenance::{self as rows, Covered, DeviceRow, WindowRow};
use crate::store::{Db, Result, StoreError, Tx, audit};

/// Longest window, ms: 30 days.
pub const LONGEST_MS: i64 = 30 * 24 * 3_600_000;
/// It begins within this, ms: a year.
pub const AHEAD_MS: i64 = 366 * 24 * 3_600_000;
/// Devices that a preview names.
const SHOWN: i64 = 500;

/// Whose alarms are held back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All that an agent watches.
    Agent(String),
    /// All devices of a site, whichever agents watch them.
    Site(String),
    /// These: agent and device id.
    Devices(Vec<(String, String)>),
}

/// A window that a person wants.
#[derive(Clone, Debug)]
pub struct Wish {
    /// Whose alarms.
    pub scope: Scope,
    /// The first moment; `None` = now.
    pub from: Option<Time>,
    /// The first moment after it.
    pub until: Time,
    /// Why.
    pub reason: String,
}

/// Why it is not done.
#[derive(Debug, thiserror::Error)]
pub enum MaintenanceError {
    /// What is asked makes no sense; the text says what was expected.
    #[error("{0}")]
    Malformed(String),
    /// There is no such window, or it is over.
    #[error("there is no such window, or it is over")]
    NotFound,
    /// An agent would have too many, or too long ones.
    #[error("agent {agent}: {why}")]
    TooMany {
        /// Which agent.
        agent: String,
        /// What is too much.
        why: String,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a window is about.
#[derive(Clone, Debug, Default)]
pub struct Reach {
    /// Agents that are told of it, and whether they can be: an older version cannot.
    pub agents: BTreeMap<String, Knows>,
    /// The devices that are known of it, at most 500.
    pub devices: Vec<Covered>,
}

/// What an agent knows of its windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Knows {
    /// It has said that it has the present ones.
    All,
    /// It has not yet.
    NotYet,
    /// It is of a version that cannot be told.
    Cannot,
}

/// Checks a wish; gives its beginning.
fn check(wish: &Wish, now: Time) -> std::result::Result<Time, MaintenanceError> {
    let malformed = |why: String| Err(MaintenanceError::Malformed(why));
    let from = wish.from.unwrap_or(now);
    let length = wish.until.since_ms(from);
    if wish.until <= now || length <= 0 {
        return malformed("until: expected a time after now, and after from".to_owned());
    }
    if length > LONGEST_MS || from.since_ms(now) > AHEAD_MS {
        return malformed(
            "until: a window lasts 30 days at most and begins within a year".to_owned(),
        );
    }
    let reason = wish.reason.trim();
    if reason.is_empty() || reason.len() > MAX_REASON_BYTES || reason.chars().any(char::is_control)
    {
        return malformed(format!("reason: expected 1 to {MAX_REASON_BYTES} bytes in one line"));
    }
    match &wish.scope {
        Scope::Devices(devices) if devices.is_empty() || devices.len() > MAX_NAMES => {
            malformed(format!("devices: expected 1 to {MAX_NAMES}, found {}", devices.len()))
        }
        Scope::Site(site) if site.is_empty() || site.len() > MAX_ID_BYTES => {
            malformed(format!("site: expected 1 to {MAX_ID_BYTES} bytes"))
        }
        _ => Ok(from),
    }
}

/// What a wish would be about, and what stands there now. Nothing is changed.
pub async fn preview(
    db: &Db,
    wish: &Wish,
    now: Time,
) -> std::result::Result<Reach, MaintenanceError> {
    check(wish, now)?;
    let mut tx = db.begin().await?;
    let reach = reach(&mut tx, &wish.scope, now).await;
    tx.rollback().await?;
    reach
}

async fn reach(
    tx: &mut Tx,
    scope: &Scope,
    now: Time,
) -> std::result::Result<Reach, MaintenanceError> {
    let unknown = |what: &str, name: &str| {
        MaintenanceError::Malformed(format!("{what}: no such {what} is known: {name:?}"))
    };
    let (names, devices) = match scope {
        Scope::Agent(agent) => (vec![agent.clone()], rows::covered(tx, agent, "", SHOWN).await?),
        Scope::Site(site) => {
            let names = rows::agents_at(tx, site).await?;
            if names.is_empty() {
                return Err(unknown("site", site));
            }
            (names, rows::covered(tx, "", site, SHOWN).await?)
        }
        Scope::Devices(wanted) => {
            let names: BTreeSet<&String> = wanted.iter().map(|(agent, _)| agent).collect();
            let mut found = Vec::new();
            for agent in &names {
                found.extend(rows::covered(tx, agent, "", i64::MAX).await?);
            }
            found.retain(|d| wanted.iter().any(|(a, id)| *a == d.agent_id && *id == d.id));
            let missing = wanted
                .iter()
                .find(|(agent, id)| !found.iter().any(|d| d.agent_id == *agent && d.id == *id));
            if let Some((_, id)) = missing {
                return Err(unknown("device", id));
            }
            (names.into_iter().cloned().collect(), found)
        }
    };
    let beats = rows::heartbeats(tx, &names).await?;
    let missing = names.iter().find(|name| !beats.iter().any(|(id, _)| id == *name));
    if let Some(missing) = missing {
        return Err(unknown("agent", missing));
    }
    Ok(Reach { agents: knows(tx, &names, now).await?, devices })
}

/// What each of these agents knows of its windows.
pub async fn knows(tx: &mut Tx, names: &[String], now: Time) -> Result<BTreeMap<String, Knows>> {
    let sets = sets(tx, names, now).await?;
    let beats = rows::heartbeats(tx, names).await?;
    Ok(beats
        .into_iter()
        .map(|(agent, said)| {
            let said = said.and_then(|said| serde_json::from_str::<Heartbeat>(&said).ok());
            let wanted = sets.get(&agent).map_or("", |set| set.revision.as_str());
            let knows = match said.map(|said| said.maintenance) {
                Some(Some(revision)) if revision == wanted => Knows::All,
                Some(None) => Knows::Cannot,
                _ => Knows::NotYet,
            };
            (agent, knows)
        })
        .collect())
}

/// Sets a window. Answers it, and what its agents are to be told.
pub async fn begin(
    db: &Db,
    wish: &Wish,
    user: &str,
    now: Time,
) -> std::result::Result<(WindowRow, Vec<Downward>), MaintenanceError> {
    let from = check(wish, now)?;
    let mut tx = db.begin().await?;
    let reach = reach(&mut tx, &wish.scope, now).await?;
    let (scope, agent_id, site) = match &wish.scope {
        Scope::Agent(agent) => ("agent", Some(agent.clone()), None),
        Scope::Site(site) => ("site", None, Some(site.clone())),
        Scope::Devices(_) => ("devices", None, None),
    };
    let row = WindowRow {
        id: new_uuid().to_string(),
        scope: scope.to_owned(),
        agent_id,
        site,
        starts_at: from,
        ends_at: wish.until,
        reason: wish.reason.trim().to_owned(),
        created_by: user.to_owned(),
        created_at: now,
        ended_by: None,
        ended_at: None,
    };
    let mut devices: Vec<DeviceRow> = match &wish.scope {
        Scope::Devices(_) => {
            reach.devices.iter().map(|device| device_of(&row.id, device)).collect()
        }
        _ => Vec::new(),
    };
    devices.sort();
    devices.dedup();
    rows::add(&mut tx, &row, &devices).await?;
    let names: Vec<String> = reach.agents.keys().cloned().collect();
    for (agent, windows) in wanted(&mut tx, &names, now).await? {
        if let Err(why) = Set::of(windows).validate() {
            tx.rollback().await?;
            return Err(MaintenanceError::TooMany { agent, why });
        }
    }
    let sets = sets(&mut tx, &names, now).await?;
    note(&mut tx, Deed::MaintenanceBegun, &row, user, now).await?;
    tx.commit().await?;
    tracing::info!(id = row.id, user.name = user, agents = names.len(), "flow.maintenance.begun");
    Ok((row, messages(&sets, now)))
}

fn device_of(window: &str, device: &Covered) -> DeviceRow {
    DeviceRow {
        maintenance_id: window.to_owned(),
        agent_id: device.agent_id.clone(),
        device_id: device.id.clone(),
        name: device.name.clone(),
    }
}

/// Ends a window before its time. Answers what its agents are to be told.
pub async fn end(
    db: &Db,
    id: &str,
    user: &str,
    now: Time,
) -> std::result::Result<Vec<Downward>, MaintenanceError> {
    let mut tx = db.begin().await?;
    if !rows::end(&mut tx, id, user, now).await? {
        tx.rollback().await?;
        return Err(MaintenanceError::NotFound);
    }
    let row = rows::get(&mut tx, id).await?.ok_or(MaintenanceError::NotFound)?;
    let names = match (&row.agent_id, &row.site) {
        (Some(agent), _) => vec![agent.clone()],
        (None, Some(site)) => rows::agents_at(&mut tx, site).await?,
        (None, None) => {
            let devices = rows::devices_of(&mut tx, std::slice::from_ref(&row.id)).await?;
            let names: BTreeSet<String> = devices.into_iter().map(|d| d.agent_id).collect();
            names.into_iter().collect()
        }
    };
    let sets = sets(&mut tx, &names, now).await?;
    note(&mut tx, Deed::MaintenanceEnded, &row, user, now).await?;
    tx.commit().await?;
    tracing::info!(id, user.name = user, "flow.maintenance.ended");
    Ok(messages(&sets, now))
}

async fn note(tx: &mut Tx, deed: Deed, row: &WindowRow, user: &str, now: Time) -> Result<()> {
    let detail = json!({
        "scope": row.scope, "agent": row.agent_id.as_deref().unwrap_or_default(),
        "site": row.site.as_deref().unwrap_or_default(), "from": row.starts_at.to_string(),
        "until": row.ends_at.to_string(), "reason": row.reason,
    });
    let entry = Entry::new(now, &format!("user:{user}"), deed, &row.id, detail);
    audit::append(tx, &entry).await.map(drop)
}

/// The windows of each of these agents as it is to be told, one entry an agent. A site may have got a further
/// agent since a window was set: what an agent cannot keep it is not told, those that begin first go first.
pub async fn sets(tx: &mut Tx, names: &[String], now: Time) -> Result<BTreeMap<String, Set>> {
    let bounded = |(name, mut told): (String, Vec<Window>)| {
        told.sort_by(|a, b| (a.from, &a.id).cmp(&(b.from, &b.id)));
        told.truncate(MAX_WINDOWS);
        (name, Set::of(told))
    };
    Ok(wanted(tx, names, now).await?.into_iter().map(bounded).collect())
}

/// All windows of these agents.
async fn wanted(tx: &mut Tx, names: &[String], now: Time) -> Result<BTreeMap<String, Vec<Window>>> {
    let mut windows: BTreeMap<String, Vec<Window>> =
        names.iter().map(|name| (name.clone(), Vec::new())).collect();
    let present = rows::present(tx, now).await?;
    let listed: Vec<String> =
        present.iter().filter(|row| row.scope == "devices").map(|row| row.id.clone()).collect();
    let devices = match listed.is_empty() {
        true => Vec::new(),
        false => rows::devices_of(tx, &listed).await?,
    };
    let mut at_site: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for site in present.iter().filter_map(|row| row.site.as_deref()) {
        if !at_site.contains_key(site) {
            at_site.insert(site, rows::agents_at(tx, site).await?);
        }
    }
    for row in &present {
        let its: Vec<&DeviceRow> =
            devices.iter().filter(|device| device.maintenance_id == row.id).collect();
        for (name, told) in &mut windows {
            let (scope, sites) = match (row.scope.as_str(), &row.agent_id, &row.site) {
                ("agent", Some(agent), _) if agent == name => (Vec::new(), Vec::new()),
                ("site", _, Some(site))
                    if at_site.get(site.as_str()).is_some_and(|all| all.contains(name)) =>
                {
                    (Vec::new(), vec![site.clone()])
                }
                ("devices", ..) if its.iter().any(|device| device.agent_id == *name) => {
                    let own = its.iter().filter(|device| device.agent_id == *name);
                    (own.map(|device| device.name.clone()).collect(), Vec::new())
                }
                _ => continue,
            };
            told.push(Window {
                id: row.id.clone(),
                devices: scope,
                sites,
                from: row.starts_at,
                until: row.ends_at,
                reason: row.reason.clone(),
                by: row.created_by.clone(),
            });
        }
    }
    Ok(windows)
}

fn messages(sets: &BTreeMap<String, Set>, now: Time) -> Vec<Downward> {
    sets.iter().filter_map(|(agent, set)| message(agent, set, now)).collect()
}

fn message(agent: &str, set: &Set, now: Time) -> Option<Downward> {
    let said = Control {
        id: new_uuid(),
        kind: MAINTENANCE.to_owned(),
        at: now,
        reason: String::new(),
        maintenance: Some(set.clone()),
    };
    let payload = serde_json::to_vec(&said).ok()?;
    Some(Downward { agent: AgentId::new(agent).ok()?, down: Down::Control, payload })
}

/// Whose windows are others than his newest heartbeat says: he is told.
pub(super) async fn compare(tx: &mut Tx, ledger: &Ledger, batch: &Batch) -> Result<Vec<Downward>> {
    let mut said: BTreeMap<&str, &str> = BTreeMap::new();
    for beat in batch.beats.iter().filter(|beat| beat.heartbeat.online) {
        if ledger.agents.contains_key(&beat.agent)
            && let Some(revision) = &beat.heartbeat.maintenance
        {
            said.insert(&beat.agent, revision);
        }
    }
    if said.is_empty() {
        return Ok(Vec::new());
    }
    let names: Vec<String> = said.keys().map(|name| (*name).to_owned()).collect();
    let sets = sets(tx, &names, ledger.now).await?;
    let news = sets.iter().filter(|(name, set)| {
        said.get(name.as_str()).is_some_and(|revision| *revision != set.revision)
    });
    Ok(news.filter_map(|(name, set)| message(name, set, ledger.now)).collect())
}

/// Windows with their devices, where they name some.
pub type Listed = Vec<(WindowRow, Vec<Covered>)>;

/// The latest windows, and what the agents of those that are not over know of them.
pub async fn list(db: &Db, limit: i64, now: Time) -> Result<(Listed, BTreeMap<String, Knows>)> {
    let mut tx = db.begin().await?;
    let windows = rows::latest(&mut tx, limit).await?;
    let ids: Vec<String> = windows.iter().map(|row| row.id.clone()).collect();
    let devices = rows::devices_of(&mut tx, &ids).await?;
    let mut names = BTreeSet::new();
    for row in windows.iter().filter(|row| row.ended_at.is_none() && row.ends_at > now) {
        names.extend(row.agent_id.clone());
        if let Some(site) = &row.site {
            names.extend(rows::agents_at(&mut tx, site).await?);
        }
        let its = devices.iter().filter(|device| device.maintenance_id == row.id);
        names.extend(its.map(|device| device.agent_id.clone()));
    }
    let names: Vec<String> = names.into_iter().collect();
    let knows = knows(&mut tx, &names, now).await?;
    tx.rollback().await?;
    let listed = windows.into_iter().map(|row| {
        let its = devices.iter().filter(|device| device.maintenance_id == row.id);
        let its = its.map(|device| Covered {
            agent_id: device.agent_id.clone(),
            id: device.device_id.clone(),
            name: device.name.clone(),
            site: None,
            active_alarms: 0,
        });
        let its = its.collect();
        (row, its)
    });
    Ok((listed.collect(), knows))
}
