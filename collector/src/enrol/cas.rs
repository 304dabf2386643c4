//! All CAs of the collector, and the steps of exchanging one.
//!
//! ```text
//!            announce                    switch                      retire
//! [present] ─────────► [present] + next ───────► [next] + former ─────────► [next]
//!                          └── withdraw ──► [present]
//! ```
//!
//! In brackets: who issues and serves. All are trusted and told to agents (EST `cacerts`). After the
//! switch servers also show the new CA's certificate signed by the former one, so that an agent
//! that has not learned the new one yet still gets in: nobody is locked out before the former CA is
//! retired or ends. Each step is a few renamings in an order that a crash cannot spoil.

use std::path::Path;

use callhome_shared::time::Time;
use callhome_shared::tls;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};

use super::EnrolError;
use super::authority::{Authority, Lives, first, pem_of};
use super::files::{self, TrustFiles};
use crate::store::certificates::Certificate;

/// The CAs as their files say.
pub struct Cas {
    /// It issues (if its key is here) and its certificates are served.
    pub issuing: Authority,
    /// Announced, trusted, and not in use yet.
    pub next: Option<Authority>,
    /// Still trusted: agents hold certificates of it.
    pub former: Option<Authority>,
    /// Whether servers show the issuing CA's certificate signed by the former one.
    pub crossed: bool,
}

impl Cas {
    /// Reads them.
    pub fn load(files: &TrustFiles, lives: Lives) -> Result<Self, EnrolError> {
        let issuing = Authority::load(&files.ca(), &files.ca_key())?;
        let other = |certificate: &Path, key: &Path| -> Result<Option<Authority>, EnrolError> {
            if !certificate.exists() {
                return Ok(None);
            }
            let other = Authority::load(certificate, key)?;
            // What a crash in the middle of the switch leaves.
            Ok((other.certificate() != issuing.certificate()).then_some(other))
        };
        let next = other(&files.next(), &files.next_key())?;
        let former = other(&files.former(), &files.former_key())?;
        let cross = match &former {
            Some(_) if files.cross().exists() => Some(first(&files::read(&files.cross())?)?),
            _ => None,
        };
        let cross = cross.filter(|cross| tls::same_key(cross, issuing.certificate()));
        let own = issuing.certificate().clone();
        let mut tail = vec![&own];
        tail.extend(cross.as_ref());
        tail.extend(former.as_ref().map(Authority::certificate));
        let issuing = issuing.with_lives(lives).with_tail(&tail);
        Ok(Cas { crossed: cross.is_some(), issuing, next, former })
    }

    /// Everything that is trusted: the issuing one, the next, the former.
    pub fn roots(&self) -> Vec<CertificateDer<'static>> {
        let others = self.next.iter().chain(&self.former);
        std::iter::once(&self.issuing).chain(others).map(|ca| ca.certificate().clone()).collect()
    }

    /// [`tls::roots_digest`] of [`Cas::roots`].
    pub fn digest(&self) -> String {
        tls::roots_digest(&self.roots())
    }

    /// [`Cas::roots`] in PEM.
    pub fn roots_pem(&self) -> String {
        self.roots().iter().map(pem_of).collect()
    }

    /// A revocation list of each CA whose key is here, PEM, one after the other.
    pub fn revocation_lists(&self, revoked: &[Certificate]) -> Result<String, EnrolError> {
        let mut text = String::new();
        for ca in std::iter::once(&self.issuing).chain(&self.former).filter(|ca| ca.has_key()) {
            let name = tls::fingerprint(ca.certificate());
            let own = revoked.iter().filter(|c| c.issuer.as_ref().is_none_or(|i| *i == name));
            let entries: Vec<(String, Time)> =
                own.map(|c| (c.serial.clone(), c.revoked_at.unwrap_or_default())).collect();
            text.push_str(&ca.revocation_list(&entries)?);
        }
        Ok(text)
    }
}

/// All revocation lists of a PEM text; none in an empty one.
pub fn read_crls(pem: &[u8]) -> Result<Vec<CertificateRevocationListDer<'static>>, EnrolError> {
    use rustls_pki_types::pem::PemObject;
    CertificateRevocationListDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|e| EnrolError::BadCa(format!("revocation list: {e}")))
}

/// Serial numbers (lower-case hex, as [`tls::serial`] writes them) that a revocation list names.
pub fn revoked_by(list: &CertificateRevocationListDer<'_>) -> Result<Vec<String>, EnrolError> {
    use x509_parser::prelude::{CertificateRevocationList, FromDer};
    let (_, list) = CertificateRevocationList::from_der(list)
        .map_err(|e| EnrolError::BadCa(format!("revocation list: {e}")))?;
    let serials = list
        .iter_revoked_certificates()
        .map(|one| callhome_shared::heartbeat::hex(one.raw_serial()));
    Ok(serials.collect())
}

/// Lays the next CA down beside the present one.
pub fn announce(files: &TrustFiles, next: &Authority) -> Result<(), EnrolError> {
    let cas = Cas::load(files, Lives::default())?;
    let refuse = |why: &str| Err(EnrolError::Rotation(why.to_owned()));
    if cas.next.is_some() {
        return refuse("a next CA is announced already; switch to it or withdraw it first");
    }
    if cas.former.is_some() {
        return refuse("the former CA of the last rotation is still trusted; retire it first");
    }
    if tls::same_key(next.certificate(), cas.issuing.certificate()) {
        return refuse("the next CA has the same key as the present one");
    }
    // Revocation lists and chains are found by the name.
    if tls::subject(next.certificate())? == tls::subject(cas.issuing.certificate())? {
        return refuse("the next CA has the same name as the present one; it needs another");
    }
    files::write(&files.next_key(), next.key_pem()?.as_bytes(), 0o600)?;
    files::write(&files.next(), next.pem().as_bytes(), 0o644)
}

/// Gives the announced CA up.
pub fn withdraw(files: &TrustFiles) -> Result<(), EnrolError> {
    if Cas::load(files, Lives::default())?.next.is_none() {
        return Err(EnrolError::Rotation("no next CA is announced".into()));
    }
    files::remove(&files.next())?;
    files::remove(&files.next_key())
}

/// Makes the announced CA the issuing one; the present one becomes the former one.
pub fn switch(files: &TrustFiles) -> Result<(), EnrolError> {
    let cas = Cas::load(files, Lives::default())?;
    let Some(next) = cas.next else {
        return Err(EnrolError::Rotation("no next CA is announced".into()));
    };
    // Copies first: until ca.pem is exchanged they count for nothing.
    files::remove(&files.cross())?;
    if cas.issuing.has_key() {
        let cross = cas.issuing.cross_sign(&next)?;
        files::write(&files.former_key(), cas.issuing.key_pem()?.as_bytes(), 0o600)?;
        files::write(&files.cross(), pem_of(&cross).as_bytes(), 0o644)?;
    }
    files::write(&files.former(), cas.issuing.pem().as_bytes(), 0o644)?;
    // Both keys, so that whichever certificate is there has its own.
    let mut keys = next.key_pem()?;
    if cas.issuing.has_key() {
        keys.push_str(&cas.issuing.key_pem()?);
    }
    files::write(&files.ca_key(), keys.as_bytes(), 0o600)?;
    files::write(&files.ca(), next.pem().as_bytes(), 0o644)?;
    files::write(&files.ca_key(), next.key_pem()?.as_bytes(), 0o600)?;
    files::remove(&files.next())?;
    files::remove(&files.next_key())
}

/// Ends the trust in the former CA; its key is deleted.
pub fn retire(files: &TrustFiles) -> Result<(), EnrolError> {
    if Cas::load(files, Lives::default())?.former.is_none() {
        return Err(EnrolError::Rotation("there is no former CA".into()));
    }
    files::remove(&files.former_key())?;
    files::remove(&files.cross())?;
    files::remove(&files.former())
}

#[cfg(test)]
mod tests {
    use super::*;
    use callhome_shared::id::AgentId;
    use rustls::RootCertStore;
    use rustls::client::WebPkiServerVerifier;
    use rustls::client::danger::ServerCertVerifier as _;
    use rustls_pki_types::{ServerName, UnixTime};

    fn house() -> (tempfile::TempDir, TrustFiles) {
        let dir = tempfile::tempdir().unwrap();
        let files = TrustFiles::new(dir.path());
        files.make_dirs().unwrap();
        let ca = Authority::generate("Example", "CA 1").unwrap();
        files::write(&files.ca_key(), ca.key_pem().unwrap().as_bytes(), 0o600).unwrap();
        files::write(&files.ca(), ca.pem().as_bytes(), 0o644).unwrap();
        (dir, files)
    }

    fn load(files: &TrustFiles) -> Cas {
        Cas::load(files, Lives::default()).unwrap()
    }

    /// Whether a client that knows only `root` takes a server of these CAs.
    fn serves(cas: &Cas, root: &CertificateDer<'static>) -> bool {
        let server = cas.issuing.server(&["localhost".into()]).unwrap();
        let chain = tls::read_certificates(server.chain.as_bytes()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(root.clone()).unwrap();
        let verifier =
            WebPkiServerVerifier::builder_with_provider(roots.into(), tls::provider()).build();
        let name = ServerName::try_from("localhost").unwrap();
        let verified = verifier.unwrap().verify_server_cert(
            &chain[0],
            &chain[1..],
            &name,
            &[],
            UnixTime::now(),
        );
        verified.is_ok()
    }

    #[test]
    fn who_knows_only_the_old_or_only_the_new_ca_gets_in_at_every_step() {
        let (_dir, files) = house();
        let first = load(&files);
        let old = first.issuing.certificate().clone();
        assert!(first.roots().iter().eq([&old]));
        let next = Authority::generate("Example", "CA 2").unwrap();
        let new = next.certificate().clone();
        announce(&files, &next).unwrap();
        let announced = load(&files);
        assert_eq!(announced.roots(), [old.clone(), new.clone()]);
        assert_ne!(announced.digest(), first.digest());
        assert!(serves(&announced, &old));
        assert!(
            announce(&files, &Authority::generate("E", "CA 3").unwrap()).is_err(),
            "one a time"
        );

        switch(&files).unwrap();
        let switched = load(&files);
        assert_eq!(switched.roots(), [new.clone(), old.clone()]);
        assert_eq!(switched.digest(), announced.digest(), "nothing new to learn");
        assert!(switched.crossed && serves(&switched, &old) && serves(&switched, &new));
        let id = AgentId::new("a").unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        use rcgen::PublicKeyData as _;
        let issued = switched.issuing.agent(&id, &key.subject_public_key_info()).unwrap();
        assert!(tls::serial(&issued).is_ok());
        let revoked = |issuer: &CertificateDer<'_>, serial: &str| Certificate {
            serial: serial.into(),
            issuer: Some(tls::fingerprint(issuer)),
            ..Certificate::default()
        };
        let lists = switched.revocation_lists(&[revoked(&old, "0a"), revoked(&new, "0b")]).unwrap();
        assert_eq!(read_crls(lists.as_bytes()).unwrap().len(), 2, "one of each CA");
        assert!(switch(&files).is_err() && withdraw(&files).is_err());

        retire(&files).unwrap();
        let retired = load(&files);
        assert!(retired.roots().iter().eq([&new]));
        assert!(!serves(&retired, &old) && serves(&retired, &new));
        assert!(!files.former_key().exists() && retire(&files).is_err());
    }

    #[test]
    fn a_crash_at_any_step_of_the_switch_leaves_cas_that_work() {
        let (dir, files) = house();
        let old = load(&files).issuing.certificate().clone();
        let next = Authority::generate("Example", "CA 2").unwrap();
        announce(&files, &next).unwrap();
        // What lies there before and after, and every file of it in every state between.
        let snapshot = |at: &Path| -> Vec<(std::path::PathBuf, Option<Vec<u8>>)> {
            let at = TrustFiles::new(at);
            // In the order in which they are exchanged.
            [
                at.former_key(),
                at.cross(),
                at.former(),
                at.ca_key(),
                at.ca(),
                at.next(),
                at.next_key(),
            ]
            .into_iter()
            .map(|file| (file.clone(), std::fs::read(&file).ok()))
            .collect()
        };
        let before = snapshot(dir.path());
        switch(&files).unwrap();
        let after = snapshot(dir.path());
        for done in 0..=after.len() {
            for (n, (file, _)) in after.iter().enumerate() {
                let content = if n < done { &after[n].1 } else { &before[n].1 };
                match content {
                    Some(bytes) => std::fs::write(file, bytes).unwrap(),
                    None => drop(std::fs::remove_file(file)),
                }
            }
            if done == 4 || done == 5 {
                // Between the two exchanges of ca.key it holds both keys.
                let keys = [after[3].1.clone().unwrap(), before[3].1.clone().unwrap()].concat();
                std::fs::write(files.ca_key(), keys).unwrap();
            }
            let cas = load(&files);
            assert!(cas.issuing.has_key() && serves(&cas, &old), "after {done} steps");
            let roots = cas.roots();
            assert!(roots.contains(&old) && roots.contains(next.certificate()), "after {done}");
        }
    }

    #[test]
    fn a_ca_without_its_key_verifies_and_says_so() {
        let (_dir, files) = house();
        files::remove(&files.ca_key()).unwrap();
        let cas = load(&files);
        assert!(!cas.issuing.has_key());
        let error = cas.issuing.server(&["x".into()]).err().unwrap().to_string();
        assert!(error.contains("key of the CA is not here"), "{error}");
        assert_eq!(cas.revocation_lists(&[]).unwrap(), "");
        assert!(read_crls(b"").unwrap().is_empty());
        // It can still be exchanged for one whose key is here; without a cross-signature.
        announce(&files, &Authority::generate("Example", "CA 2").unwrap()).unwrap();
        switch(&files).unwrap();
        assert!(load(&files).issuing.has_key() && !load(&files).crossed);
    }
}
