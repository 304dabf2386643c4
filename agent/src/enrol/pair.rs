//! Exchanging certificate and key on disk so that a crash at any point leaves a pair that works.
//!
//! Two files cannot be renamed at once. So the key file first gets both keys, then the certificate is
//! exchanged, then the key file loses the old key. [`tls::Identity::from_pem`] takes the key that
//! fits the certificate: whichever certificate is there, its key is too.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use callhome_shared::tls::Identity;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::EnrolError;
use super::identity::{pem, pem_block};
use super::key::AgentKey;

/// Where certificate, key and CAs are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// Our chain, PEM.
    pub certificate: PathBuf,
    /// Our key, PEM.
    pub key: PathBuf,
    /// The CAs we trust, PEM.
    pub ca: PathBuf,
}

/// Puts a new pair in place of `present`.
pub fn exchange(
    files: &Files,
    present: &Identity,
    key: &AgentKey,
    chain: &[CertificateDer<'static>],
) -> Result<(), EnrolError> {
    let mut both = key.pem();
    both.push_str(&key_pem(&present.key));
    replace(&files.key, both.as_bytes(), 0o600)?;
    replace(&files.certificate, pem(chain).as_bytes(), 0o644)?;
    replace(&files.key, key.pem().as_bytes(), 0o600)
}

/// Puts other CA certificates in place.
pub fn exchange_roots(files: &Files, roots: &[CertificateDer<'static>]) -> Result<(), EnrolError> {
    replace(&files.ca, pem(roots).as_bytes(), 0o644)
}

/// Replaces a file as a whole: a reader or a crash sees the old content or the new one. Owner and
/// group stay.
fn replace(path: &Path, content: &[u8], mode: u32) -> Result<(), EnrolError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = path.with_file_name(name);
    let write = || -> io::Result<()> {
        match fs::remove_file(&new) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&new)?;
        file.write_all(content)?;
        if let Ok(old) = fs::metadata(path) {
            let now = file.metadata()?;
            if (old.uid(), old.gid()) != (now.uid(), now.gid()) {
                std::os::unix::fs::fchown(&file, Some(old.uid()), Some(old.gid()))?;
            }
        }
        file.sync_all()?;
        fs::rename(&new, path)?;
        let dir = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(dir)?.sync_all()
    };
    write().map_err(|source| EnrolError::File { path: path.to_owned(), source })
}

fn key_pem(key: &PrivateKeyDer<'_>) -> zeroize::Zeroizing<String> {
    let label = match key {
        PrivateKeyDer::Pkcs1(_) => "RSA PRIVATE KEY",
        PrivateKeyDer::Sec1(_) => "EC PRIVATE KEY",
        _ => "PRIVATE KEY",
    };
    zeroize::Zeroizing::new(pem_block(label, key.secret_der()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair};
    use std::os::unix::fs::PermissionsExt as _;

    fn self_signed(key: &str) -> CertificateDer<'static> {
        let key = KeyPair::from_pem(key).unwrap();
        CertificateParams::default().self_signed(&key).unwrap().der().clone()
    }

    #[test]
    fn a_crash_after_any_step_leaves_a_pair() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let files = Files { certificate: at("agent.pem"), key: at("agent.key"), ca: at("ca.pem") };
        let old = AgentKey::generate().unwrap();
        let old_leaf = self_signed(&old.pem());
        fs::write(&files.certificate, pem(std::slice::from_ref(&old_leaf))).unwrap();
        fs::write(&files.key, old.pem().as_bytes()).unwrap();
        let load = || {
            let read = |path: &Path| fs::read(path).unwrap();
            let identity =
                Identity::from_pem(&read(&files.certificate), &read(&files.key)).unwrap();
            assert!(identity.is_pair());
            identity
        };
        let new = AgentKey::generate().unwrap();
        let leaf = self_signed(&new.pem());
        // The states between the steps, as they would lie there after a crash.
        let mut both = new.pem();
        both.push_str(&key_pem(&load().key));
        fs::write(&files.key, both.as_bytes()).unwrap();
        assert_eq!(load().chain, [old_leaf]);
        fs::write(at("agent.pem.new"), "half wri").unwrap();
        fs::write(&files.certificate, pem(std::slice::from_ref(&leaf))).unwrap();
        assert_eq!(load().chain, std::slice::from_ref(&leaf));

        // The whole exchange from there, with a leftover lying around.
        let newest = AgentKey::generate().unwrap();
        let newest_leaf = self_signed(&newest.pem());
        exchange(&files, &load(), &newest, std::slice::from_ref(&newest_leaf)).unwrap();
        assert_eq!(load().chain, [newest_leaf]);
        let text = fs::read_to_string(&files.key).unwrap();
        assert_eq!(text.matches("BEGIN").count(), 1, "the old keys are gone");
        assert_eq!(fs::metadata(&files.key).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!at("agent.pem.new").exists() && !at("agent.key.new").exists());
        exchange_roots(&files, std::slice::from_ref(&leaf)).unwrap();
        let ca = fs::read(&files.ca).unwrap();
        assert_eq!(callhome_shared::tls::read_certificates(&ca).unwrap(), [leaf]);
    }

    /// Tells the test binary, run again, that it is the one to be killed: where its files are.
    const CHILD: &str = "CALLHOME_TEST_PAIR_CHILD";
    /// Unless `CALLHOME_TEST_PAIR_KILLS` says more.
    const KILLS: u32 = 60;

    fn files(dir: &Path) -> Files {
        let at = |name: &str| dir.join(name);
        Files { certificate: at("agent.pem"), key: at("agent.key"), ca: at("ca.pem") }
    }

    fn load(files: &Files) -> Identity {
        let read = |path: &Path| fs::read(path).unwrap();
        Identity::from_pem(&read(&files.certificate), &read(&files.key)).unwrap()
    }

    /// Exchanges the pair for ever, going on from what is there.
    fn exchange_for_ever(dir: &Path) {
        let files = files(dir);
        loop {
            let key = AgentKey::generate().unwrap();
            let leaf = self_signed(&key.pem());
            exchange(&files, &load(&files), &key, std::slice::from_ref(&leaf)).unwrap();
        }
    }

    #[test]
    #[allow(clippy::disallowed_methods)] // No runtime here.
    fn kill_9_at_any_moment_leaves_a_pair() {
        if let Some(dir) = std::env::var_os(CHILD) {
            exchange_for_ever(Path::new(&dir));
        }
        let dir = tempfile::tempdir().unwrap();
        let files = files(dir.path());
        let first = AgentKey::generate().unwrap();
        fs::write(&files.certificate, pem(&[self_signed(&first.pem())])).unwrap();
        fs::write(&files.key, first.pem().as_bytes()).unwrap();
        let kills = std::env::var("CALLHOME_TEST_PAIR_KILLS").ok().and_then(|n| n.parse().ok());
        let kills: u32 = kills.unwrap_or(KILLS);
        let (mut both, mut leftovers, mut exchanged) = (0, 0, 0);
        let mut before = load(&files).chain;
        for round in 0..kills {
            let mut child = std::process::Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "enrol::pair::tests::kill_9_at_any_moment_leaves_a_pair"])
                .env(CHILD, dir.path())
                .stdout(std::process::Stdio::null())
                .stderr(std::process::Stdio::null())
                .spawn()
                .unwrap();
            // Its first exchange tells that it runs; then at some moment of the ones that follow.
            let began = std::time::Instant::now();
            while load_or_none(&files).is_none_or(|chain| chain == before) {
                assert!(began.elapsed().as_secs() < 60, "the child exchanges nothing");
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            let moment = u64::from(round) * 7919 % 20_000;
            std::thread::sleep(std::time::Duration::from_micros(moment));
            child.kill().unwrap();
            child.wait().unwrap();
            let now = load(&files);
            assert!(now.is_pair(), "round {round}: certificate and key do not fit");
            let keys = fs::read_to_string(&files.key).unwrap().matches("BEGIN").count();
            assert!((1..=2).contains(&keys), "round {round}: {keys} keys");
            both += u32::from(keys == 2);
            let lies = |name: &str| dir.path().join(name).exists();
            leftovers += u32::from(lies("agent.key.new") || lies("agent.pem.new"));
            exchanged += u32::from(now.chain != before);
            before = now.chain;
        }
        println!(
            "{kills} kills: a usable pair after each; {both} between the files (both keys there), \
             {leftovers} while a file was being written, {exchanged} with another pair than before"
        );
        assert_eq!(exchanged, kills);
    }

    /// Between two files of an exchange a reader may see an old certificate and a new key.
    fn load_or_none(files: &Files) -> Option<Vec<CertificateDer<'static>>> {
        let (chain, key) = (fs::read(&files.certificate).ok()?, fs::read(&files.key).ok()?);
        Some(Identity::from_pem(&chain, &key).ok()?.chain)
    }
}
