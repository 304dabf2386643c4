//! A living device instead of a recording.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use callhome_shared::alarm::Device;
use clap::Args;
use tokio::task::LocalSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::Survey;
use crate::profile::Library;
use crate::source::snmp::identity::Identity;
use crate::source::snmp::memory::Memory;
use crate::source::snmp::poll::Poller;
use crate::source::snmp::{Plans, SnmpPlain, SnmpSettings, Transport, V3Plain};

/// A whole device, however slow, is read within this.
const PATIENCE: Duration = Duration::from_secs(600);

/// How to speak to a device. Secrets come from files: arguments are seen by everybody on the machine.
#[derive(Args, Clone, Debug)]
pub struct Access {
    /// SNMP version.
    #[arg(long, value_parser = ["1", "2c", "3"], default_value = "2c")]
    version: String,
    /// File whose first line is the community; without it, `public`.
    #[arg(long)]
    community_file: Option<PathBuf>,
    /// SNMPv3: user.
    #[arg(long)]
    user: Option<String>,
    /// SNMPv3: md5, sha1, sha224, sha256, sha384, sha512.
    #[arg(long)]
    auth: Option<String>,
    /// SNMPv3: file whose first line is the authentication password.
    #[arg(long)]
    auth_password_file: Option<PathBuf>,
    /// SNMPv3: des, aes128, aes192, aes256, aes192c, aes256c.
    #[arg(long)]
    privacy: Option<String>,
    /// SNMPv3: file whose first line is the privacy password.
    #[arg(long)]
    privacy_password_file: Option<PathBuf>,
    /// SNMPv3: context name.
    #[arg(long, default_value = "")]
    context: String,
    /// Ask one value after the other (GETNEXT), for devices that cannot answer GETBULK.
    #[arg(long)]
    no_bulk: bool,
}

impl Access {
    /// What it is spoken to with and nobody else should see.
    pub(super) fn secrets(&self) -> anyhow::Result<Vec<String>> {
        let files = [&self.community_file, &self.auth_password_file, &self.privacy_password_file];
        let read = files.into_iter().flatten().map(|path| Ok(first_line(path)?.to_string()));
        read.chain(self.user.iter().map(|user| Ok(user.clone()))).collect()
    }

    pub(super) fn plain(&self, address: &str, profiles: &[String]) -> anyhow::Result<SnmpPlain> {
        let is_v3 = self.version == "3";
        let community = match &self.community_file {
            _ if is_v3 => None,
            Some(path) => Some(first_line(path)?),
            None => Some(Zeroizing::new("public".to_owned())),
        };
        let secret = |path: &Option<PathBuf>| path.as_deref().map(first_line).transpose();
        let v3 = V3Plain {
            user: self.user.clone().unwrap_or_default(),
            auth: self.auth.clone(),
            auth_password: secret(&self.auth_password_file)?,
            privacy: self.privacy.clone(),
            priv_password: secret(&self.privacy_password_file)?,
            context: self.context.clone(),
        };
        Ok(SnmpPlain {
            address: address.to_owned(),
            version: self.version.clone(),
            community,
            v3: is_v3.then_some(v3),
            interval_s: PATIENCE.as_secs(),
            timeout_ms: 3000,
            retries: 2,
            max_repetitions: 20,
            bulk: !self.no_bulk,
            restart_alarm: false,
            profiles: (!profiles.is_empty()).then(|| profiles.to_vec()),
        })
    }
}

fn first_line(path: &std::path::Path) -> anyhow::Result<Zeroizing<String>> {
    let text = std::fs::read_to_string(path);
    let text = Zeroizing::new(text.with_context(|| format!("cannot read {}", path.display()))?);
    Ok(Zeroizing::new(text.lines().next().unwrap_or_default().to_owned()))
}

/// Reads a device. `profiles` are names; none = those that fit its sysObjectID.
pub async fn survey(
    address: &str,
    access: &Access,
    library: &Arc<Library>,
    profiles: &[String],
) -> anyhow::Result<Survey> {
    let plans = Plans::new(library.clone());
    let settings = SnmpSettings::from_plain(&access.plain(address, profiles)?, &plans)?;
    LocalSet::new().run_until(read(&settings)).await
}

async fn read(settings: &SnmpSettings) -> anyhow::Result<Survey> {
    let stop = CancellationToken::new();
    let transport = Transport::bind().await.context("SNMP socket")?;
    let receiver = tokio::spawn(transport.clone().receive(stop.clone()));
    let identity = Identity::new(Arc::new(Device::default()));
    let mut poller = Poller::new(settings, transport, Memory::default(), identity);
    let outcome = poller.survey(Instant::now() + PATIENCE).await;
    stop.cancel();
    let _ = receiver.await;
    let (plan, snapshot, remarks) = outcome.map_err(|error| anyhow::anyhow!(error.chain()))?;
    let profiles = plan.profiles.clone();
    let id = crate::profile::oid::Oid::new(super::SYS_OBJECT_ID);
    let sysobjectid = match snapshot.scalars.get(&id) {
        Some(crate::source::snmp::value::Value::Oid(oid)) => Some(oid.clone()),
        _ => None,
    };
    Ok(Survey { profiles, snapshot, faults: remarks.faults, sysobjectid })
}
