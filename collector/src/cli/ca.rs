//! `ca show`, `ca rotate`, `ca switch`, `ca withdraw`, `ca retire`.

use std::path::PathBuf;

use anyhow::{Context, anyhow};
use callhome_shared::time::Time;
use callhome_shared::tls;
use clap::Subcommand;
use serde_json::json;

use super::table::table;
use super::{Failure, print, who};
use crate::enrol::authority::Authority;
use crate::enrol::cas::Cas;
use crate::enrol::files::{self, TrustFiles};
use crate::enrol::rotation;
use crate::settings::Settings;
use crate::store::{Db, agents, certificates};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show the CAs and who knows them
    Show {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Announce a new CA beside the present one. A running `serve` tells it to the agents and switches
    /// to it when all know it
    Rotate {
        /// Certificate of a CA of your own (PEM), instead of a new one
        #[arg(long, value_name = "FILE", requires = "ca_key")]
        ca_cert: Option<PathBuf>,
        /// Its key (PEM, PKCS#8)
        #[arg(long, value_name = "FILE", requires = "ca_cert")]
        ca_key: Option<PathBuf>,
    },
    /// Switch to the announced CA now
    Switch {
        /// Also if agents do not know it yet. They get in by its certificate that the former CA has
        /// signed, as long as the former CA is not retired
        #[arg(long)]
        anyway: bool,
    },
    /// Give the announced CA up
    Withdraw,
    /// Stop trusting the former CA, and delete its key
    Retire {
        /// Also if agents still hold certificates of it: they are locked out and must enrol anew
        #[arg(long)]
        anyway: bool,
    },
}

pub(super) async fn run(command: Command, settings: &Settings) -> Result<(), Failure> {
    let files = TrustFiles::new(&settings.data_dir);
    if !files.ca().exists() {
        return Err(anyhow!("there is no CA: run `callhome-collector init` first").into());
    }
    let db = super::open(settings).await?;
    match command {
        Command::Show { json } => show(&db, settings, &files, json).await?,
        Command::Rotate { ca_cert, ca_key } => {
            rotate(&db, settings, &files, ca_cert.zip(ca_key)).await?
        }
        Command::Switch { anyway } => switch(&db, settings, &files, anyway).await?,
        Command::Withdraw => {
            rotation::withdraw(&db, &files, &who()).await?;
            print("the announced CA is withdrawn\n")?;
        }
        Command::Retire { anyway } => retire(&db, settings, &files, anyway).await?,
    }
    db.close().await;
    Ok(())
}

fn load(settings: &Settings, files: &TrustFiles) -> anyhow::Result<Cas> {
    Ok(Cas::load(files, settings.certificates.lives)?)
}

async fn show(
    db: &Db,
    settings: &Settings,
    files: &TrustFiles,
    as_json: bool,
) -> Result<(), Failure> {
    let cas = load(settings, files)?;
    let now = Time::now();
    let unaware = agents::not_knowing(db, &cas.digest(), now).await?;
    let all = [
        ("issuing", Some(&cas.issuing)),
        ("next", cas.next.as_ref()),
        ("former", cas.former.as_ref()),
    ];
    let mut rows = Vec::new();
    let mut items = Vec::new();
    for (role, ca) in all.into_iter().filter_map(|(role, ca)| Some((role, ca?))) {
        let certificate = ca.certificate();
        let fingerprint = tls::fingerprint(certificate);
        let (subject, until) = (tls::subject(certificate)?, tls::not_after(certificate)?);
        let living = certificates::living_of_issuer(db, &fingerprint, now).await?;
        items.push(json!({
            "role": role, "subject": subject, "fingerprint": fingerprint, "not_after": until,
            "key": ca.has_key(), "certificates_in_use": living,
        }));
        let key = if ca.has_key() { "here" } else { "not here: verifies only" };
        rows.push(vec![
            role.to_owned(),
            subject,
            fingerprint,
            until.to_string(),
            key.to_owned(),
            living.to_string(),
        ]);
    }
    if as_json {
        return super::print_json(&json!({ "cas": items, "agents_unaware": unaware }));
    }
    let head = ["role", "name", "fingerprint", "until", "key", "agents' certificates"];
    let mut text = table(&head, &rows);
    if cas.next.is_some() || cas.former.is_some() {
        text.push_str(&format!("agents that have not taken all of them yet: {}", unaware.len()));
        if !unaware.is_empty() {
            text.push_str(&format!(" ({})", some(&unaware)));
        }
        text.push('\n');
    }
    print(&text)
}

/// The first few of many.
fn some(agents: &[String]) -> String {
    let shown = agents.iter().take(10).cloned().collect::<Vec<_>>().join(", ");
    if agents.len() > 10 { format!("{shown}, …") } else { shown }
}

async fn rotate(
    db: &Db,
    settings: &Settings,
    files: &TrustFiles,
    given: Option<(PathBuf, PathBuf)>,
) -> Result<(), Failure> {
    let next = match given {
        Some((certificate, key)) => {
            let key = zeroize::Zeroizing::new(files::read(&key)?);
            Authority::from_pem(&files::read(&certificate)?, &key)
                .with_context(|| certificate.display().to_string())?
        }
        // A name of its own: chains and revocation lists are found by it.
        None => {
            let mark = callhome_shared::id::new_uuid().simple().to_string();
            let mark = mark.get(mark.len() - 8..).unwrap_or_default();
            Authority::generate(&settings.organisation, &format!("callhome CA {mark}"))?
        }
    };
    let fingerprint = tls::fingerprint(next.certificate());
    rotation::announce(db, files, next, &who()).await?;
    let unaware = agents::not_knowing(db, &load(settings, files)?.digest(), Time::now()).await?;
    print(&format!(
        "next CA {fingerprint}\n\
         {} agents must learn it; the running collector switches to it when all have.\n\
         `callhome-collector ca show` tells who has not; `ca switch --anyway` does not wait for them.\n",
        unaware.len()
    ))
}

async fn switch(
    db: &Db,
    settings: &Settings,
    files: &TrustFiles,
    anyway: bool,
) -> Result<(), Failure> {
    let cas = load(settings, files)?;
    let unaware = agents::not_knowing(db, &cas.digest(), Time::now()).await?;
    if cas.next.is_some() && !unaware.is_empty() && !anyway {
        let (n, who) = (unaware.len(), some(&unaware));
        return Err(
            anyhow!("{n} agents do not know the next CA yet ({who}); wait, or --anyway").into()
        );
    }
    rotation::switch(db, files, &who(), &unaware).await?;
    print("switched; the former CA stays trusted until `ca retire`\n")
}

async fn retire(
    db: &Db,
    settings: &Settings,
    files: &TrustFiles,
    anyway: bool,
) -> Result<(), Failure> {
    let cas = load(settings, files)?;
    let left = match &cas.former {
        Some(former) => {
            let fingerprint = tls::fingerprint(former.certificate());
            certificates::living_of_issuer(db, &fingerprint, Time::now()).await?
        }
        None => 0,
    };
    let unaware = agents::not_knowing(db, &cas.digest(), Time::now()).await?;
    if !anyway && left > 0 {
        return Err(anyhow!("{left} certificates of the former CA are still in use; wait until they are renewed, or --anyway").into());
    }
    if !anyway && !unaware.is_empty() && cas.former.is_some() {
        let who = some(&unaware);
        return Err(anyhow!(
            "agents know only the former CA ({who}) and would be locked out; wait, or --anyway"
        )
        .into());
    }
    rotation::retire(db, files, &who(), left).await?;
    print("the former CA is no longer trusted, its key is deleted\n")
}
