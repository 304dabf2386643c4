//! Client certificates of every kind: properly enrolled ones, and those nobody should accept.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use callhome_shared::tls::{self, Identity};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use rustls::pki_types::CertificateDer;

use super::process::run;
use super::program;
use super::world::World;

const DAY: Duration = Duration::from_secs(86_400);

/// Enrols another agent with the real programs; the folder of its identity.
pub async fn enrol(world: &World, id: &str) -> Result<PathBuf> {
    let dir = world.dir.join(format!("other-{id}"));
    std::fs::create_dir_all(&dir)?;
    let token = dir.join("token.toml").display().to_string();
    world.collector_cli(&["agent", "token", id, "--out", &token]).await?;
    let config = dir.join("agent.toml");
    std::fs::write(
        &config,
        format!(
            "[agent]\nstate_dir = \"{}\"\ncontrol_socket = \"{}\"\nhealth_listen = \"\"\n",
            dir.join("state").display(),
            dir.join("agent.sock").display()
        ),
    )?;
    let (config, url) = (config.display().to_string(), world.url());
    let args = ["--config", &config, "enroll", "--collector", &url, "--token-file", &token];
    run(&program("callhome-agent")?, &args, None).await?;
    Ok(dir.join("state/identity"))
}

/// Reads an agent's identity from its folder.
pub fn read(dir: &Path) -> Result<Identity> {
    pair(&dir.join("agent.pem"), &dir.join("agent.key"))
}

/// Reads a certificate chain and its key.
pub fn pair(chain: &Path, key: &Path) -> Result<Identity> {
    let read = |path: &Path| std::fs::read(path).with_context(|| path.display().to_string());
    Ok(Identity::from_pem(&read(chain)?, &read(key)?)?)
}

/// The collector's CA as a client trusts it.
pub fn roots(world: &World) -> Result<Vec<CertificateDer<'static>>> {
    Ok(tls::read_certificates(&std::fs::read(world.ca())?)?)
}

/// What a made-up certificate says of itself.
#[derive(Clone, Debug)]
pub struct Claim {
    /// Common name.
    pub cn: String,
    /// SAN URI.
    pub uri: String,
    /// Whether it has ended.
    pub expired: bool,
}

impl Claim {
    /// To be this agent.
    pub fn agent(id: &str) -> Self {
        Claim { cn: id.to_owned(), uri: format!("urn:callhome:agent:{id}"), expired: false }
    }

    fn params(&self) -> Result<CertificateParams> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, self.cn.as_str());
        params.subject_alt_names = vec![SanType::URI(self.uri.as_str().try_into()?)];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let now = SystemTime::now();
        params.not_before = (now - DAY * 10).into();
        let end = if self.expired { now - DAY } else { now + DAY };
        params.not_after = end.into();
        Ok(params)
    }
}

/// Signed by itself.
pub fn self_signed(claim: &Claim) -> Result<Identity> {
    let key = KeyPair::generate()?;
    let certificate = claim.params()?.self_signed(&key)?;
    identity(vec![certificate.der().clone()], &key)
}

/// Signed by a CA of one's own that has the collector's CA's name.
pub fn foreign_ca(claim: &Claim) -> Result<Identity> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "Demo Support CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_key = KeyPair::generate()?;
    let ca = params.self_signed(&ca_key)?.der().clone();
    let issuer = Issuer::new(params, ca_key);
    let key = KeyPair::generate()?;
    let certificate = claim.params()?.signed_by(&key, &issuer)?;
    identity(vec![certificate.der().clone(), ca], &key)
}

/// Signed by the collector's own CA, as if its key had been misused.
pub fn misissued(world: &World, claim: &Claim) -> Result<Identity> {
    let ca = roots(world)?.into_iter().next().context("no CA")?;
    let key = std::fs::read_to_string(world.data_dir().join("ca/ca.key"))?;
    let issuer = Issuer::from_ca_cert_der(&ca, KeyPair::from_pem(&key)?)?;
    let key = KeyPair::generate()?;
    let certificate = claim.params()?.signed_by(&key, &issuer)?;
    identity(vec![certificate.der().clone()], &key)
}

fn identity(chain: Vec<CertificateDer<'static>>, key: &KeyPair) -> Result<Identity> {
    Ok(Identity { chain, key: tls::read_key(key.serialize_pem().as_bytes())? })
}

/// A second handle on the same identity.
pub fn again(identity: &Identity) -> Identity {
    Identity { chain: identity.chain.clone(), key: identity.key.clone_key() }
}
