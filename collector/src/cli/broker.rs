//! `broker sync`.

use std::sync::Arc;

use arc_swap::ArcSwap;
use callhome_shared::time::Time;
use clap::Subcommand;

use super::{Failure, print};
use crate::enrol::cas::Cas;
use crate::enrol::files::TrustFiles;
use crate::enrol::keeper;
use crate::link::dynsec::{self, Target};
use crate::settings::{Mqtt, Settings};
use crate::store::certificates;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Bring the rights in mosquitto's dynamic security plugin to what the database says, and tell
    /// what was changed. `serve` does the same by itself
    Sync,
}

pub(super) async fn run(command: Command, settings: &Settings) -> Result<(), Failure> {
    match command {
        Command::Sync => sync(settings).await,
    }
}

async fn sync(settings: &Settings) -> Result<(), Failure> {
    let Mqtt::External { host, port, provision: true } = &settings.mqtt else {
        let why =
            "mqtt.provision is not \"dynamic-security\": the collector keeps no rights in a broker";
        return Err(anyhow::anyhow!(why).into());
    };
    let db = super::open(settings).await?;
    let revoked = certificates::revoked(&db, Time::now()).await?;
    let roster = keeper::roster(&db, &revoked, settings.certificates.superseded_grace).await?;
    let files = TrustFiles::new(&settings.data_dir);
    let cas = Cas::load(&files, settings.certificates.lives)?;
    let target = Target {
        host: host.clone(),
        port: *port,
        collector: settings.name.clone(),
        cas: Arc::new(ArcSwap::from_pointee(cas)),
    };
    // A round of a running `serve` at the same moment closes this connection: both have one name.
    let mut tries = 3;
    let changes = loop {
        match dynsec::sync(&target, &roster).await {
            Ok(changes) => break changes,
            Err(e @ dynsec::SyncError::Connection(_)) if tries > 1 => {
                tries -= 1;
                tracing::warn!(error = %e, "once more");
                tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            }
            Err(e) => return Err(anyhow::Error::new(e).into()),
        }
    };
    db.close().await;
    for change in &changes {
        print(&format!("{change}\n"))?;
    }
    let agents = roster.agents.len();
    match changes.len() {
        0 => {
            print(&format!("nothing to change: rights of {agents} agents are as they should be\n"))
        }
        n => print(&format!("{n} changes: rights of {agents} agents are as they should be\n")),
    }
}
