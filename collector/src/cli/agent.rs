//! `agent token`, `agent add`, `agent list`, `agent revoke`.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use callhome_shared::id::AgentId;
use callhome_shared::time::Time;
use callhome_shared::token::TokenFile;
use clap::Subcommand;
use serde_json::json;

use super::table::table;
use super::{Failure, print, who};
use crate::audit::{Deed, Entry};
use crate::enrol::{files, token};
use crate::settings::Settings;
use crate::store::{Db, agents, audit};

/// Longest life of a token: a month.
const MAX_VALID_HOURS: i64 = 24 * 31;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a one-time token with which an agent enrols (and the agent, if it is new)
    Token {
        /// The agent's id: letters, digits, `-`
        #[arg(value_parser = agent_id)]
        id: AgentId,
        /// Site that it stands on
        #[arg(long)]
        site: Option<String>,
        /// Customer that it belongs to
        #[arg(long)]
        customer: Option<String>,
        /// For how many hours the token is good
        #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=MAX_VALID_HOURS))]
        valid_hours: u32,
        /// Write it to this new file (mode 0600) instead of printing it
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Make an agent without a token: its certificate comes from a PKI of yours
    Add {
        /// The agent's id: letters, digits, `-`
        #[arg(value_parser = agent_id)]
        id: AgentId,
        /// Site that it stands on
        #[arg(long)]
        site: Option<String>,
        /// Customer that it belongs to
        #[arg(long)]
        customer: Option<String>,
    },
    /// List all agents
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Refuse an agent from now on: within a minute its connection is closed. This is for good
    Revoke {
        /// The agent's id
        #[arg(value_parser = agent_id)]
        id: AgentId,
    },
}

fn agent_id(text: &str) -> Result<AgentId, String> {
    AgentId::new(text).map_err(|e| e.to_string())
}

pub(super) async fn run(command: Command, settings: &Settings) -> Result<(), Failure> {
    let db = super::open(settings).await?;
    match command {
        Command::Token { id, site, customer, valid_hours, out } => {
            let request = token::Request { agent: id, site, customer, valid_hours, by: who() };
            let token = token::issue(&db, settings, request).await?;
            hand_out(&token, out.as_deref())?;
        }
        Command::Add { id, site, customer } => {
            add(&db, settings, &id, site.as_deref(), customer.as_deref()).await?;
        }
        Command::List { json } => list(&db, json).await?,
        Command::Revoke { id } => revoke(&db, &id).await?,
    }
    db.close().await;
    Ok(())
}

async fn add(
    db: &Db,
    settings: &Settings,
    id: &AgentId,
    site: Option<&str>,
    customer: Option<&str>,
) -> Result<(), Failure> {
    if id.as_str() == settings.name {
        return Err(anyhow!("{id} is the collector's own name; an agent needs another id").into());
    }
    let now = Time::now();
    let mut tx = db.begin().await?;
    if !agents::create(&mut tx, id.as_str(), site, customer, now).await? {
        return Err(anyhow!("there is an agent {id} already").into());
    }
    let entry = Entry::new(now, &who(), Deed::AgentAdded, id.as_str(), json!({}));
    audit::append(&mut tx, &entry).await?;
    tx.commit().await?;
    print(&format!(
        "{id} may connect with a certificate of a trusted CA: CN = {id}, SAN URI = {}\n",
        id.urn()
    ))
}

fn hand_out(token: &TokenFile, out: Option<&Path>) -> Result<(), Failure> {
    let text = zeroize::Zeroizing::new(toml::to_string(token).context("token")?);
    let Some(path) = out else { return print(&text) };
    files::write_new(path, text.as_bytes(), 0o600)?;
    print(&format!(
        "{}: good once, until {}\ncarry it to the agent: callhome-agent enroll --collector {} --token-file FILE\n",
        path.display(),
        token.expires_at,
        token.collector
    ))
}

async fn list(db: &Db, as_json: bool) -> Result<(), Failure> {
    let all = agents::list(db).await?;
    if as_json {
        let items: Vec<_> = all
            .iter()
            .map(|a| {
                json!({
                    "id": a.agent.id, "site": a.agent.site, "customer": a.agent.customer,
                    "online": a.agent.online, "last_seen_at": a.agent.last_seen_at,
                    "version": a.agent.version, "revoked_at": a.agent.revoked_at,
                    "active_alarms": a.active_alarms,
                    "certificate_not_after": a.certificate_not_after,
                })
            })
            .collect();
        return super::print_json(&items);
    }
    let now = Time::now();
    let time = |t: Option<Time>| t.map_or_else(|| "-".to_owned(), |t| t.to_string());
    let rows: Vec<Vec<String>> = all
        .iter()
        .map(|a| {
            let online = if a.agent.online { "online" } else { "offline" };
            let state = match (a.agent.revoked_at, a.certificate_not_after) {
                (Some(_), _) => "revoked",
                (None, Some(end)) if end < now => "certificate ended",
                (None, None) if !a.agent.online => "not enrolled",
                (None, _) => online,
            };
            vec![
                a.agent.id.clone(),
                state.to_owned(),
                a.agent.site.clone().unwrap_or_default(),
                a.agent.customer.clone().unwrap_or_default(),
                a.active_alarms.to_string(),
                time(a.agent.last_seen_at),
                time(a.certificate_not_after),
                a.agent.version.clone().unwrap_or_default(),
            ]
        })
        .collect();
    let head = [
        "agent",
        "state",
        "site",
        "customer",
        "alarms",
        "last seen",
        "certificate until",
        "version",
    ];
    print(&table(&head, &rows))
}

async fn revoke(db: &Db, id: &AgentId) -> Result<(), Failure> {
    let now = Time::now();
    let mut tx = db.begin().await?;
    if agents::revoke(&mut tx, id.as_str(), now).await? {
        let entry = Entry::new(now, &who(), Deed::Revoked, id.as_str(), json!({}));
        audit::append(&mut tx, &entry).await?;
        tx.commit().await?;
        return print(&format!("{id} is revoked; its connection is closed within a minute\n"));
    }
    tx.rollback().await?;
    match agents::get(db, id.as_str()).await?.and_then(|a| a.revoked_at) {
        Some(at) => print(&format!("{id} was revoked before, at {at}\n")),
        None => Err(anyhow!("there is no agent {id}").into()),
    }
}
