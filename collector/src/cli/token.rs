//! `token api create`, `token api list`, `token api revoke`.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use callhome_shared::time::Time;
use clap::Subcommand;
use clap::builder::PossibleValuesParser;
use serde_json::json;

use super::table::table;
use super::{Failure, print, who};
use crate::access::Scope;
use crate::api::tokens::{check_owner, read_scopes};
use crate::flow::access::{self, DAYS, MAX_DAYS, MAX_TOKENS, Wish};
use crate::settings::Settings;
use crate::store::Db;
use crate::store::api_tokens::{self, ApiToken};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Tokens for the API (those with which agents enrol: `agent token`)
    #[command(subcommand)]
    Api(Api),
}

#[derive(Debug, Subcommand)]
pub(super) enum Api {
    /// Make a token and print it once
    Create {
        /// What people call it
        name: String,
        /// What it opens; may be given several times
        #[arg(long = "scope", required = true, value_parser = PossibleValuesParser::new(Scope::ALL.map(Scope::as_str)))]
        scopes: Vec<String>,
        /// The user for whom it acts: it may never more than he may
        #[arg(long)]
        owner: String,
        /// A site that it is limited to; may be given several times
        #[arg(long = "site")]
        sites: Vec<String>,
        /// For how many days it is good
        #[arg(long, default_value_t = DAYS, value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_DAYS)))]
        valid_days: u32,
        /// Write it to this new file (mode 0600) instead of printing it
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// List all tokens, the latest first
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// End a token at once
    Revoke {
        /// Its id, as `list` shows it
        id: String,
    },
}

pub(super) async fn run(
    Command::Api(command): Command,
    settings: &Settings,
) -> Result<(), Failure> {
    let db = super::open(settings).await?;
    match command {
        Api::Create { name, scopes, owner, sites, valid_days, out } => {
            let scopes = read_scopes(&scopes).map_err(anyhow::Error::msg)?;
            let fits = check_owner(&db, &owner, &scopes).await.map_err(|e| anyhow!("{e}"))?;
            fits.map_err(anyhow::Error::msg)?;
            let wish = Wish { name, scopes, owner, sites, valid_days, by: who() };
            create(&db, wish, out.as_deref()).await?;
        }
        Api::List { json } => list(&db, json).await?,
        Api::Revoke { id } => {
            if !access::revoke(&db, &id, &who(), Time::now()).await? {
                return Err(anyhow!("there is no token {id} that is not ended by hand").into());
            }
            print(&format!("{id} is ended; event streams that it opened end within 15 s\n"))?;
        }
    }
    db.close().await;
    Ok(())
}

async fn create(db: &Db, wish: Wish, out: Option<&Path>) -> Result<(), Failure> {
    // The file first: a token whose text is lost would have to be ended by hand.
    let mut options = std::fs::OpenOptions::new();
    let options = options.write(true).create_new(true).mode(0o600);
    let file = out.map(|path| options.open(path).with_context(|| path.display().to_string()));
    let mut file = file.transpose()?;
    let issued = access::issue(db, wish, Time::now()).await;
    if let (Err(_), Some(path)) = (&issued, out) {
        // It is empty, and ours.
        let _ = std::fs::remove_file(path);
    }
    let (token, text) = issued?;
    let until = token.expires_at;
    match (&mut file, out) {
        (Some(file), Some(path)) => {
            file.write_all(format!("{}\n", *text).as_bytes())?;
            file.sync_all()?;
            print(&format!("{}: token {}, good until {until}\n", path.display(), token.id))
        }
        _ => print(&format!("{}\n", *text)),
    }
}

fn state(token: &ApiToken, now: Time) -> &'static str {
    match token {
        _ if token.lives(now) => "good",
        token if token.revoked_at.is_some() => "revoked",
        _ => "expired",
    }
}

async fn list(db: &Db, as_json: bool) -> Result<(), Failure> {
    let now = Time::now();
    let tokens = api_tokens::list(db, MAX_TOKENS).await?;
    let words = |t: &ApiToken| t.scopes.iter().map(|s| s.as_str()).collect::<Vec<_>>();
    if as_json {
        let all = tokens.iter().map(|t| {
            json!({
                "id": t.id, "name": t.name, "scopes": words(t), "owner": t.owner, "sites": t.sites,
                "created_at": t.created_at, "created_by": t.created_by, "expires_at": t.expires_at,
                "last_used_at": t.last_used_at, "revoked_at": t.revoked_at, "state": state(t, now),
            })
        });
        return super::print_json(&all.collect::<Vec<_>>());
    }
    let lines: Vec<Vec<String>> = tokens
        .iter()
        .map(|t| {
            vec![
                t.id.clone(),
                t.name.clone(),
                state(t, now).to_owned(),
                words(t).join(" "),
                t.owner.clone(),
                t.sites.join(", "),
                t.expires_at.to_string(),
                t.last_used_at.map(|at| at.to_string()).unwrap_or_default(),
            ]
        })
        .collect();
    print(&table(
        &["id", "name", "state", "scopes", "owner", "sites", "expires", "last used"],
        &lines,
    ))
}
