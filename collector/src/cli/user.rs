//! `user add`, `user passwd`, `user bind`, `user link`, `user disable`, `user role`. A password is read from standard input or made here; it is never an
//! argument.

use std::io::{IsTerminal, Read};

use anyhow::{Context, bail, ensure};
use callhome_shared::time::Time;
use clap::Subcommand;
use clap::builder::PossibleValuesParser;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{Failure, print, who};
use crate::api::rights::Role;
use crate::audit::{Deed, Entry};
use crate::flow::mine;
use crate::password::{MAX_PASSWORD_BYTES, generate_password, hash_password};
use crate::settings::Settings;
use crate::store::mine::Place;
use crate::store::oidc::{self, Link};
use crate::store::users::{self, User};
use crate::store::{Db, Tx, audit};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Add a person. The password is the first line of standard input; at a terminal, or with
    /// --generate, a one-time password is made and printed once
    Add {
        /// Log-in name
        name: String,
        /// What the person may do
        #[arg(long, value_parser = PossibleValuesParser::new(Role::ALL.map(Role::as_str)))]
        role: String,
        /// Name shown to others (default: the log-in name)
        #[arg(long)]
        display_name: Option<String>,
        /// Language of the console
        #[arg(long, default_value = "zh-CN", value_parser = ["zh-CN", "en"])]
        language: String,
        /// Make a one-time password
        #[arg(long)]
        generate: bool,
    },
    /// Set a person's password, in the same way, and end all their sessions
    Passwd {
        /// Log-in name
        name: String,
        /// Make a one-time password
        #[arg(long)]
        generate: bool,
    },
    /// Tie a customer's person to a customer, and end all their sessions
    Bind {
        /// Log-in name; the role is `customer`
        name: String,
        /// The customer's id
        #[arg(long)]
        customer: String,
        /// One of its sites; may be given several times; without it all of them
        #[arg(long = "site")]
        sites: Vec<String>,
    },
    /// Say who a person is at the OpenID provider of the configuration; the role stays as it is here
    Link {
        /// Log-in name
        name: String,
        /// The provider's name of the person: the claim `sub`
        #[arg(long)]
        subject: String,
    },
    /// Forget who a person is at OpenID providers, and end all their sessions
    Unlink {
        /// Log-in name
        name: String,
    },
    /// Let a person log in no more, and end all their sessions
    Disable {
        /// Log-in name
        name: String,
    },
    /// Let a person log in again
    Enable {
        /// Log-in name
        name: String,
    },
    /// Give a person another role, and end all their sessions
    Role {
        /// Log-in name
        name: String,
        /// What the person may do
        #[arg(value_parser = PossibleValuesParser::new(Role::ALL.map(Role::as_str)))]
        role: String,
    },
}

/// A password and whether it must be changed at the first log-in.
struct Chosen {
    password: Zeroizing<String>,
    one_time: bool,
}

pub(super) async fn run(command: Command, settings: &Settings) -> Result<(), Failure> {
    let db = super::open(settings).await?;
    match command {
        Command::Add { name, role, display_name, language, generate } => {
            check_name(&name)?;
            let chosen = choose(generate)?;
            let user = User {
                display_name: display_name.unwrap_or_else(|| name.clone()),
                name: name.clone(),
                role,
                password_hash: hash_password(chosen.password.clone()).await?,
                must_change: chosen.one_time,
                language,
                created_at: Time::now(),
                disabled_at: None,
            };
            let mut tx = db.begin().await?;
            if !users::insert(&mut tx, &user).await? {
                return Err(anyhow::anyhow!("there is a user {name} already").into());
            }
            let detail = json!({ "role": user.role, "one_time": chosen.one_time });
            record(tx, Deed::UserAdded, &name, detail).await?;
            tell(&name, &chosen)?;
        }
        Command::Passwd { name, generate } => {
            let known = users::get(&db, &name).await?;
            known.with_context(|| format!("there is no user {name}"))?;
            let chosen = choose(generate)?;
            let hash = hash_password(chosen.password.clone()).await?;
            let mut tx = db.begin().await?;
            users::set_password(&mut tx, &name, &hash, chosen.one_time, None).await?;
            let detail = json!({ "one_time": chosen.one_time });
            record(tx, Deed::PasswordSet, &name, detail).await?;
            tell(&name, &chosen)?;
        }
        Command::Bind { name, customer, sites } => {
            let place = Place { customer, sites };
            mine::bind(&db, &name, &place, &who(), Time::now()).await?;
            let sites = match place.sites.as_slice() {
                [] => "all sites".to_owned(),
                sites => sites.join(", "),
            };
            print(&format!("{name} sees {}: {sites}; all sessions are ended\n", place.customer))?;
        }
        Command::Link { name, subject } => link(&db, settings, &name, &subject).await?,
        Command::Unlink { name } => {
            let mut tx = db.begin().await?;
            let gone = oidc::unlink(&mut tx, &name).await?;
            if gone == 0 {
                return Err(anyhow::anyhow!("{name} is linked to no OpenID provider").into());
            }
            users::end_sessions(&mut tx, &name).await?;
            record(tx, Deed::UserUnlinked, &name, json!({})).await?;
            print(&format!("{name} logs in by no OpenID provider; all sessions are ended\n"))?;
        }
        Command::Disable { name } => let_in(&db, &name, false).await?,
        Command::Enable { name } => let_in(&db, &name, true).await?,
        Command::Role { name, role } => {
            let mut tx = db.begin().await?;
            let before = users::set_role(&mut tx, &name, &role).await?;
            let before = before.with_context(|| format!("there is no user {name}"))?;
            let detail = json!({ "before": before, "role": role });
            record(tx, Deed::RoleChanged, &name, detail).await?;
            print(&format!("{name}: {before} → {role}; all sessions are ended\n"))?;
        }
    }
    db.close().await;
    Ok(())
}

async fn link(db: &Db, settings: &Settings, name: &str, subject: &str) -> Result<(), Failure> {
    let provider = settings.oidc.as_ref().context("oidc.issuer is not configured")?;
    let known = users::get(db, name).await?;
    known.with_context(|| format!("there is no user {name}"))?;
    let link = Link {
        issuer: provider.issuer.clone(),
        subject: subject.to_owned(),
        user_name: name.to_owned(),
        managed: false,
    };
    let mut tx = db.begin().await?;
    if !oidc::link(&mut tx, &link, Time::now()).await? {
        let text = format!("{subject} is somebody here already: user unlink comes first");
        return Err(anyhow::anyhow!(text).into());
    }
    let detail = json!({ "issuer": link.issuer, "subject": subject });
    record(tx, Deed::UserLinked, name, detail).await?;
    print(&format!("{name} is {subject} at {}\n", link.issuer))
}

async fn let_in(db: &Db, name: &str, may: bool) -> Result<(), Failure> {
    let since = (!may).then(Time::now);
    let mut tx = db.begin().await?;
    if !users::set_disabled(&mut tx, name, since).await? {
        return Err(anyhow::anyhow!("there is no user {name}").into());
    }
    let deed = if may { Deed::UserEnabled } else { Deed::UserDisabled };
    record(tx, deed, name, json!({})).await?;
    let text = if may { "may log in again" } else { "may log in no more; all sessions are ended" };
    print(&format!("{name} {text}\n"))
}

/// Records the deed and commits it.
async fn record(mut tx: Tx, deed: Deed, name: &str, detail: Value) -> Result<(), Failure> {
    audit::append(&mut tx, &Entry::new(Time::now(), &who(), deed, name, detail)).await?;
    Ok(tx.commit().await?)
}

fn tell(name: &str, chosen: &Chosen) -> Result<(), Failure> {
    if chosen.one_time {
        print(&format!("one-time password of {name}: {}\n", *chosen.password))
    } else {
        print(&format!("password of {name} is set\n"))
    }
}

fn check_name(name: &str) -> anyhow::Result<()> {
    let letter = |c: char| c.is_alphanumeric() || "-_.@".contains(c);
    ensure!(
        (1..=64).contains(&name.chars().count()) && name.chars().all(letter),
        "a log-in name is 1 to 64 letters, digits or - _ . @"
    );
    Ok(())
}

fn choose(generate: bool) -> anyhow::Result<Chosen> {
    let input = std::io::stdin();
    if generate || input.is_terminal() {
        return Ok(Chosen { password: generate_password()?, one_time: true });
    }
    let mut text = Zeroizing::new(String::new());
    let limit = u64::try_from(MAX_PASSWORD_BYTES + 2).unwrap_or(u64::MAX);
    input.lock().take(limit).read_to_string(&mut text).context("password from standard input")?;
    let Some(line) = text.lines().next().filter(|line| !line.is_empty()) else {
        bail!("no password on standard input (use --generate to have one made)");
    };
    Ok(Chosen { password: Zeroizing::new(line.to_owned()), one_time: false })
}
