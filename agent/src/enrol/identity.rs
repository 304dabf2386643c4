//! `identity/`: who the agent is. Written as a whole in a directory beside it, then renamed, so that
//! key and certificate never come from two enrolments.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use callhome_shared::config_error::{Problem, parse_toml};
use callhome_shared::id::AgentId;
use callhome_shared::time::Time;
use callhome_shared::tls::{self, Peer};
use rustls::RootCertStore;
use rustls::server::WebPkiClientVerifier;
use rustls_pki_types::{CertificateDer, UnixTime};
use serde::{Deserialize, Serialize};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::EnrolError;
use super::key::AgentKey;

/// `enrolment.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrolment {
    /// Our id.
    pub agent: AgentId,
    /// The collector's HTTPS address.
    pub collector: String,
    /// Its MQTT address.
    pub mqtt: String,
    /// Ways to it, the preferred first; empty where the enrolment is older than they are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roads: Vec<String>,
    /// The organisation's offline root, `sha256:<hex>`.
    pub root_fingerprint: String,
    /// When.
    pub enrolled_at: Time,
}

/// The ways to a collector whose addresses are known: MQTT; on the HTTPS address, through which the
/// enrolment has just gone, MQTT in a WebSocket; HTTPS itself.
pub fn roads(mqtt: &str, https: &str) -> Vec<String> {
    let secure = https.strip_prefix("https://").map(|place| format!("wss://{place}/mqtt"));
    [Some(mqtt.to_owned()), secure, Some(https.to_owned())].into_iter().flatten().collect()
}

impl Enrolment {
    /// Ways to the collector, the preferred first.
    pub fn roads(&self) -> Vec<String> {
        if self.roads.is_empty() { vec![self.mqtt.clone()] } else { self.roads.clone() }
    }

    /// Reads the enrolment of `state_dir`; `None` before there is one.
    pub fn load(state_dir: &Path) -> Result<Option<Self>, Problem> {
        let path = IdentityFiles::new(state_dir).directory().join("enrolment.toml");
        let name = path.display().to_string();
        match fs::read_to_string(&path) {
            Ok(text) => parse_toml(&name, &text).map(Some),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Problem::at_line(&name, "", 1, 1, e.to_string())),
        }
    }
}

/// Where the identity of a state directory is.
pub struct IdentityFiles {
    state_dir: PathBuf,
}

/// A directory that holds the key and waits for the certificate.
pub struct Staged {
    state_dir: PathBuf,
    directory: PathBuf,
}

impl IdentityFiles {
    /// Of this state directory.
    pub fn new(state_dir: &Path) -> Self {
        IdentityFiles { state_dir: state_dir.to_owned() }
    }

    /// `identity/`.
    pub fn directory(&self) -> PathBuf {
        self.state_dir.join("identity")
    }

    /// Who is enrolled here already.
    pub fn present(&self) -> Option<AgentId> {
        Enrolment::load(&self.state_dir).ok().flatten().map(|enrolment| enrolment.agent)
    }

    /// Makes `identity.new/` with the key in it, readable by the owner alone.
    pub fn stage(&self, key: &AgentKey) -> Result<Staged, EnrolError> {
        let directory = self.state_dir.join("identity.new");
        let at = |path: &Path| {
            let path = path.to_owned();
            move |source| EnrolError::File { path, source }
        };
        fs::create_dir_all(&self.state_dir).map_err(at(&self.state_dir))?;
        match fs::remove_dir_all(&directory) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(at(&directory)(e)),
            _ => {}
        }
        fs::DirBuilder::new().mode(0o750).create(&directory).map_err(at(&directory))?;
        let staged = Staged { state_dir: self.state_dir.clone(), directory };
        staged.write("agent.key", key.pem().as_bytes(), 0o600)?;
        Ok(staged)
    }
}

impl Staged {
    /// Adds the certificates and puts the directory in place. A former one is kept beside it.
    pub fn finish(
        self,
        chain: &[CertificateDer<'static>],
        ca: &CertificateDer<'static>,
        enrolment: &Enrolment,
    ) -> Result<(), EnrolError> {
        let text = toml::to_string(enrolment).map_err(|e| EnrolError::Answer(e.to_string()))?;
        self.write("agent.pem", pem(chain).as_bytes(), 0o644)?;
        self.write("ca.pem", pem(std::slice::from_ref(ca)).as_bytes(), 0o644)?;
        let root = format!("{}\n", enrolment.root_fingerprint);
        self.write("root.fingerprint", root.as_bytes(), 0o644)?;
        self.write("enrolment.toml", text.as_bytes(), 0o644)?;
        self.put_in_place()
            .map_err(|source| EnrolError::File { path: self.state_dir.join("identity"), source })
    }

    fn put_in_place(&self) -> io::Result<()> {
        self.give_to_owner()?;
        File::open(&self.directory)?.sync_all()?;
        let place = self.state_dir.join("identity");
        if place.exists() {
            let aside = format!("identity.old-{}", Time::now().millis());
            fs::rename(&place, self.state_dir.join(aside))?;
        }
        fs::rename(&self.directory, &place)?;
        File::open(&self.state_dir)?.sync_all()
    }

    /// Root enrols for the service's user: who owns the state directory owns the identity.
    fn give_to_owner(&self) -> io::Result<()> {
        let owner = fs::metadata(&self.state_dir)?;
        if !rustix::process::geteuid().is_root() || owner.uid() == 0 {
            return Ok(());
        }
        let chown =
            |path: &Path| std::os::unix::fs::chown(path, Some(owner.uid()), Some(owner.gid()));
        for entry in fs::read_dir(&self.directory)? {
            chown(&entry?.path())?;
        }
        chown(&self.directory)
    }

    fn write(&self, name: &str, content: &[u8], mode: u32) -> Result<(), EnrolError> {
        let path = self.directory.join(name);
        let write = || {
            let mut file =
                OpenOptions::new().write(true).create_new(true).mode(mode).open(&path)?;
            file.write_all(content)?;
            file.sync_all()
        };
        write().map_err(|source| EnrolError::File { path: path.clone(), source })
    }
}

/// Checks what was issued and orders it: our leaf first, then intermediates, no roots.
pub fn check_issued(
    issued: Vec<CertificateDer<'static>>,
    key: &AgentKey,
    agent: &AgentId,
    roots: &[CertificateDer<'static>],
) -> Result<Vec<CertificateDer<'static>>, EnrolError> {
    let wrong = |why: String| EnrolError::Certificate(why);
    let public = key.public();
    let (ours, others): (Vec<_>, Vec<_>) =
        issued.into_iter().partition(|certificate| is_for_key(certificate, &public));
    let Some(leaf) = ours.into_iter().next() else {
        return Err(wrong("none of the certificates is for the key made here".into()));
    };
    match tls::peer(&leaf).map_err(|e| wrong(e.to_string()))? {
        Peer::Agent(found) if found == *agent => {}
        Peer::Agent(found) => return Err(wrong(format!("it is for {found}, not for {agent}"))),
        Peer::Collector(name) => return Err(wrong(format!("it is for the collector {name}"))),
    }
    let mut chain = vec![leaf];
    chain.extend(others.into_iter().filter(|certificate| !is_self_issued(certificate)));
    verify(&chain, roots)?;
    Ok(chain)
}

/// As the broker will look at it.
fn verify(
    chain: &[CertificateDer<'static>],
    roots: &[CertificateDer<'static>],
) -> Result<(), EnrolError> {
    let wrong = |why: String| EnrolError::Certificate(why);
    let mut store = RootCertStore::empty();
    for root in roots {
        store.add(root.clone()).map_err(|e| wrong(e.to_string()))?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(store.into(), tls::provider())
        .build()
        .map_err(|e| wrong(e.to_string()))?;
    let (leaf, intermediates) = chain.split_first().ok_or_else(|| wrong("empty chain".into()))?;
    match verifier.verify_client_cert(leaf, intermediates, UnixTime::now()) {
        Ok(_) => Ok(()),
        Err(e) => Err(wrong(format!("{e} (this host's clock says {})", Time::now()))),
    }
}

/// When the leaf ends.
pub fn not_after(chain: &[CertificateDer<'static>]) -> Result<Time, EnrolError> {
    let leaf = chain.first().ok_or_else(|| EnrolError::Certificate("empty chain".into()))?;
    tls::not_after(leaf).map_err(|e| EnrolError::Certificate(e.to_string()))
}

fn is_for_key(certificate: &CertificateDer<'_>, public: &[u8]) -> bool {
    X509Certificate::from_der(certificate).is_ok_and(|(_, c)| c.public_key().raw == public)
}

fn is_self_issued(certificate: &CertificateDer<'_>) -> bool {
    X509Certificate::from_der(certificate).is_ok_and(|(_, c)| c.subject() == c.issuer())
}

pub(super) fn pem(certificates: &[CertificateDer<'_>]) -> String {
    certificates.iter().map(|certificate| pem_block("CERTIFICATE", certificate)).collect()
}

/// One block of PEM (RFC 7468).
pub(super) fn pem_block(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut out = String::with_capacity(text.len() + text.len() / 64 + 2 * label.len() + 40);
    out.push_str(&format!("-----BEGIN {label}-----\n"));
    for line in text.as_bytes().chunks(64) {
        out.push_str(&String::from_utf8_lossy(line));
        out.push('\n');
    }
    out.push_str(&format!("-----END {label}-----\n"));
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{
        BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType,
        ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    };
    use std::os::unix::fs::PermissionsExt as _;

    struct Ca {
        certificate: CertificateDer<'static>,
        issuer: Issuer<'static, KeyPair>,
    }

    fn ca() -> Ca {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "test CA");
        let certificate = params.self_signed(&key).unwrap().der().clone();
        Ca { certificate, issuer: Issuer::new(params, key) }
    }

    fn issue(ca: &Ca, csr: &[u8]) -> CertificateDer<'static> {
        let csr: rustls_pki_types::CertificateSigningRequestDer<'_> = csr.into();
        let mut request = CertificateSigningRequestParams::from_der(&csr).unwrap();
        request.params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        request.signed_by(&ca.issuer).unwrap().der().clone()
    }

    #[test]
    fn only_our_own_certificate_is_taken() {
        let (ours, other, id) = (ca(), ca(), AgentId::new("a-1").unwrap());
        let key = AgentKey::generate().unwrap();
        let leaf = issue(&ours, &key.request(&id).unwrap());
        let all = vec![ours.certificate.clone(), leaf.clone()];
        let chain =
            check_issued(all.clone(), &key, &id, std::slice::from_ref(&ours.certificate)).unwrap();
        assert_eq!(chain, [leaf]);
        let stranger = AgentId::new("a-2").unwrap();
        let error =
            check_issued(all.clone(), &key, &stranger, std::slice::from_ref(&ours.certificate))
                .unwrap_err();
        assert!(error.to_string().contains("for a-1, not for a-2"), "{error}");
        let another = AgentKey::generate().unwrap();
        let error =
            check_issued(all.clone(), &another, &id, std::slice::from_ref(&ours.certificate))
                .unwrap_err();
        assert!(error.to_string().contains("key made here"), "{error}");
        assert!(
            check_issued(all, &key, &id, std::slice::from_ref(&other.certificate)).is_err(),
            "another CA"
        );
    }

    #[test]
    fn written_as_a_whole_and_read_back() {
        let (dir, authority, id) =
            (tempfile::tempdir().unwrap(), ca(), AgentId::new("a-1").unwrap());
        let files = IdentityFiles::new(dir.path());
        assert_eq!(files.present(), None);
        for round in 0..2 {
            let key = AgentKey::generate().unwrap();
            let staged = files.stage(&key).unwrap();
            let leaf = issue(&authority, &key.request(&id).unwrap());
            let enrolment = Enrolment {
                agent: id.clone(),
                collector: "https://c:8443".into(),
                mqtt: "mqtts://c:8883".into(),
                roads: roads("mqtts://c:8883", "https://c:8443"),
                root_fingerprint: "sha256:00".into(),
                enrolled_at: Time(round),
            };
            staged.finish(&[leaf], &authority.certificate, &enrolment).unwrap();
            assert_eq!(Enrolment::load(dir.path()).unwrap(), Some(enrolment));
            let read = |name: &str| fs::read(files.directory().join(name)).unwrap();
            tls::Identity::from_pem(&read("agent.pem"), &read("agent.key")).unwrap();
            assert_eq!(
                tls::read_certificates(&read("ca.pem")).unwrap(),
                std::slice::from_ref(&authority.certificate)
            );
            let mode =
                fs::metadata(files.directory().join("agent.key")).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        let kept = fs::read_dir(dir.path()).unwrap().filter(|e| {
            e.as_ref().unwrap().file_name().to_string_lossy().starts_with("identity.old-")
        });
        assert_eq!(kept.count(), 1);
    }
}
