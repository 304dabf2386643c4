//! A mosquitto with mutual TLS, and certificates for everybody.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    SanType,
};

/// A CA with what it issued, in a folder.
pub struct Certificates {
    dir: tempfile::TempDir,
}

impl Certificates {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, format!("test CA {}", uuid::Uuid::new_v4()));
        let ca = params.self_signed(&key).unwrap().pem();
        std::fs::write(dir.path().join("ca.pem"), ca).unwrap();
        let issuer = Issuer::new(params, key);
        let issue = |name: &str, cn: &str, san: SanType, usage: ExtendedKeyUsagePurpose| {
            let key = KeyPair::generate().unwrap();
            let mut params = CertificateParams::default();
            params.distinguished_name.push(DnType::CommonName, cn);
            params.subject_alt_names = vec![san];
            params.extended_key_usages = vec![usage];
            let certificate = params.signed_by(&key, &issuer).unwrap().pem();
            std::fs::write(dir.path().join(format!("{name}.pem")), certificate).unwrap();
            std::fs::write(dir.path().join(format!("{name}.key")), key.serialize_pem()).unwrap();
        };
        let uri = |text: &str| SanType::URI(text.try_into().unwrap());
        let name = SanType::DnsName("localhost".try_into().unwrap());
        issue("server", "localhost", name, ExtendedKeyUsagePurpose::ServerAuth);
        let client = ExtendedKeyUsagePurpose::ClientAuth;
        issue("agent", "a-1", uri("urn:callhome:agent:a-1"), client.clone());
        issue("collector", "main", uri("urn:callhome:collector:main"), client);
        Certificates { dir }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Our CA, another one's agent.
    pub fn with_agent_of(&self, other: &Certificates) -> Certificates {
        let mixed = Certificates { dir: tempfile::tempdir().unwrap() };
        std::fs::copy(self.path("ca.pem"), mixed.path("ca.pem")).unwrap();
        for name in ["agent.pem", "agent.key"] {
            std::fs::copy(other.path(name), mixed.path(name)).unwrap();
        }
        mixed
    }
}

/// A port that is free now.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

pub struct Mosquitto {
    pub port: u16,
    child: Child,
}

impl Mosquitto {
    /// `None` where mosquitto is not installed; the test then skips.
    pub async fn start(certificates: &Certificates) -> Option<Self> {
        let port = free_port();
        let config = format!(
            "listener {port} 127.0.0.1\ncafile {0}/ca.pem\ncertfile {0}/server.pem\nkeyfile {0}/server.key\n\
             require_certificate true\nuse_identity_as_username true\nallow_anonymous true\n\
             user root\npersistence false\nmax_queued_messages 0\nlog_dest stderr\n",
            certificates.dir.path().display()
        );
        std::fs::write(certificates.path("mosquitto.conf"), config).unwrap();
        let Some(child) = launch(certificates) else {
            println!("skipped: mosquitto is not installed");
            return None;
        };
        let broker = Mosquitto { port, child };
        broker.wait().await;
        Some(broker)
    }

    /// kill -9.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
    }

    pub async fn restart(&mut self, certificates: &Certificates) {
        self.child = launch(certificates).unwrap();
        self.wait().await;
    }

    async fn wait(&self) {
        for _ in 0..200 {
            if tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await.is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("mosquitto does not listen");
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn launch(certificates: &Certificates) -> Option<Child> {
    let program = ["/usr/sbin/mosquitto", "/usr/bin/mosquitto"]
        .into_iter()
        .find(|p| Path::new(p).is_file())?;
    let log = std::fs::File::options()
        .create(true)
        .append(true)
        .open(certificates.path("mosquitto.log"))
        .unwrap();
    let child = Command::new(program)
        .arg("-c")
        .arg(certificates.path("mosquitto.conf"))
        .stdout(Stdio::null())
        .stderr(log)
        .spawn();
    Some(child.unwrap())
}
