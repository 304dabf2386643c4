//! What of the files in the data directory a round works with: makes what is missing or ends soon, and puts
//! the servers' settings together.

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Duration;

use callhome_shared::tls::{self, ClientAuth, Identity};
use rustls::ServerConfig;
use sha2::{Digest, Sha256};
use tracing::info;

use super::KeeperError;
use crate::api::server::tls_config;
use crate::diagnosis::ending::End;
use crate::enrol::EnrolError;
use crate::enrol::authority::{self, Authority, Issued, Lives};
use crate::enrol::cas::{Cas, read_crls, revoked_by};
use crate::enrol::files::{self, TrustFiles};
use crate::store::certificates;

/// What of the files a round works with.
#[derive(Clone)]
pub(super) struct Desk {
    pub(super) files: TrustFiles,
    pub(super) names: Vec<String>,
    pub(super) collector: String,
    pub(super) lives: Lives,
    /// The servers' chain and key, if they are given.
    pub(super) given: Option<(PathBuf, PathBuf)>,
    pub(super) crl_file: Option<PathBuf>,
    pub(super) superseded_grace: Duration,
}

/// What a round has made of the files.
pub(super) struct Made {
    pub(super) cas: Cas,
    pub(super) mqtt: ServerConfig,
    pub(super) https: ServerConfig,
    pub(super) ends: Vec<End>,
    pub(super) seen: Vec<u8>,
    pub(super) withdrawn: HashSet<String>,
}

impl Desk {
    /// Reads everything, makes what is missing or ends soon, writes the revocation list if `revoked` is
    /// given or the CAs are others, and puts the servers' settings together.
    pub(super) fn make(
        &self,
        revoked: Option<&[certificates::Certificate]>,
    ) -> Result<Made, KeeperError> {
        let files = &self.files;
        let _lock = files::lock_cas(files)?;
        let cas = Cas::load(files, self.lives)?;
        if !cas.issuing.has_key() && self.given.is_none() {
            return Err(EnrolError::NoServer.into());
        }
        renew(files, &cas.issuing, &self.names, &self.collector, self.given.is_some())?;
        let roots = cas.roots_pem();
        let fresh = files::read(&files.roots()).is_ok_and(|there| there == roots.as_bytes());
        if !fresh {
            files::write(&files.roots(), roots.as_bytes(), 0o644)?;
        }
        if let Some(revoked) = revoked {
            write_crl(files, &cas, revoked)?;
        }
        let (chain, key) = self.server();
        let chain = files::read(&chain)?;
        let key = zeroize::Zeroizing::new(files::read(&key)?);
        let identity = || -> Result<Identity, KeeperError> {
            let identity = Identity::from_pem(&chain, &key)?;
            if identity.is_pair() { Ok(identity) } else { Err(EnrolError::NoPair.into()) }
        };
        let mut crls = read_crls(&files::read(&files.crl())?)?;
        let mut withdrawn = HashSet::new();
        if let Some(given) = &self.crl_file {
            let given = read_crls(&files::read(given)?)?;
            for crl in &given {
                withdrawn.extend(revoked_by(crl)?);
            }
            crls.extend(given);
        }
        let required = ClientAuth::Required(cas.roots(), crls.clone());
        let mqtt = tls::server_config(identity()?, required)?;
        let optional = ClientAuth::OptionalEvenExpired(cas.roots(), crls);
        let https = tls_config(identity()?, optional)?;
        let ends = ends(&cas, identity()?.chain.first())?;
        Ok(Made { cas, mqtt, https, ends, seen: self.look(), withdrawn })
    }

    /// The servers' chain and key.
    fn server(&self) -> (PathBuf, PathBuf) {
        let own = || (self.files.server(), self.files.server_key());
        self.given.clone().unwrap_or_else(own)
    }

    pub(super) fn must_renew(&self) -> Result<bool, KeeperError> {
        let _lock = files::lock_cas(&self.files)?;
        let cas = Cas::load(&self.files, self.lives)?;
        let must =
            |chain: PathBuf, names: &[String]| authority::must_renew(&chain, &cas.issuing, names);
        let server = || self.given.is_none() && must(self.files.server(), &self.names);
        let urn = [format!("{}{}", callhome_shared::id::COLLECTOR_URN, self.collector)];
        Ok(cas.issuing.has_key() && (server() || must(self.files.collector(), &urn)))
    }

    pub(super) fn is_as_seen(&self, seen: &[u8]) -> bool {
        self.look() == seen
    }

    /// One digest of the content of every file that settings are made of.
    fn look(&self) -> Vec<u8> {
        let files = &self.files;
        let (chain, key) = self.server();
        let all = [
            files.ca(),
            files.ca_key(),
            files.next(),
            files.former(),
            files.cross(),
            files.crl(),
            chain,
            key,
        ];
        let mut digest = Sha256::new();
        for file in all.iter().chain(&self.crl_file) {
            let content = std::fs::read(file).map(zeroize::Zeroizing::new).unwrap_or_default();
            digest.update(content.len().to_be_bytes());
            digest.update(&*content);
        }
        digest.finalize().to_vec()
    }
}

fn ends(
    cas: &Cas,
    server: Option<&rustls_pki_types::CertificateDer<'_>>,
) -> Result<Vec<End>, KeeperError> {
    let others = [("next-ca", &cas.next), ("former-ca", &cas.former)];
    let others =
        others.into_iter().filter_map(|(what, ca)| Some((what, ca.as_ref()?.certificate())));
    let mut ends = Vec::new();
    for (what, certificate) in server
        .map(|c| ("server", c))
        .into_iter()
        .chain([("ca", cas.issuing.certificate())])
        .chain(others)
    {
        let (from, to) = tls::validity(certificate)?;
        ends.push(End { what, name: tls::subject(certificate)?, from, to });
    }
    Ok(ends)
}

/// Makes the server's (unless it is given) and the collector's certificate anew where needed.
pub fn renew(
    files: &TrustFiles,
    authority: &Authority,
    names: &[String],
    collector: &str,
    server_is_given: bool,
) -> Result<(), EnrolError> {
    if !authority.has_key() {
        return Ok(());
    }
    if !server_is_given && authority::must_renew(&files.server(), authority, names) {
        let issued = authority.server(names)?;
        write_pair(&files.server(), &files.server_key(), &issued)?;
    }
    let urn = vec![format!("{}{collector}", callhome_shared::id::COLLECTOR_URN)];
    if authority::must_renew(&files.collector(), authority, &urn) {
        let issued = authority.collector(collector)?;
        write_pair(&files.collector(), &files.collector_key(), &issued)?;
    }
    Ok(())
}

fn write_pair(
    chain: &std::path::Path,
    key: &std::path::Path,
    issued: &Issued,
) -> Result<(), EnrolError> {
    // The chain last: a crash between the two leaves a pair that does not fit, which the next
    // start would not notice by the chain alone; so the old chain goes first.
    let _ = std::fs::remove_file(chain);
    files::write(key, issued.key.as_bytes(), 0o600)?;
    files::write(chain, issued.chain.as_bytes(), 0o644)?;
    info!(file = %chain.display(), "certificate renewed");
    Ok(())
}

/// Writes the revocation lists.
pub fn write_crl(
    files: &TrustFiles,
    cas: &Cas,
    revoked: &[certificates::Certificate],
) -> Result<(), EnrolError> {
    let lists = cas.revocation_lists(revoked)?;
    files::write(&files.crl(), lists.as_bytes(), 0o644)
}
