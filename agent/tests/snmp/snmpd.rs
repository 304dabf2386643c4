//! The real `snmpd`: v1, v2c and v3, right and wrong credentials.

use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use callhome_agent::source::snmp::{SnmpPlain, V3Plain};
use callhome_agent::workshop::{Recording, Survey, record};
use callhome_shared::heartbeat::SourceState;
use zeroize::Zeroizing;

use crate::device::{plain, v3, watch};

/// A running snmpd. Ends when dropped.
struct Snmpd {
    child: Child,
    address: SocketAddr,
    dir: tempfile::TempDir,
}

impl Drop for Snmpd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const USERS: &str = "\
createUser sha256 SHA-256 authpassword AES privpassword
createUser sha1aes SHA authpassword AES privpassword
createUser md5des MD5 authpassword DES privpassword
createUser sha512 SHA-512 authpassword AES privpassword
createUser sha224 SHA-224 authpassword AES-192 privpassword
createUser sha384 SHA-384 authpassword AES-256 privpassword
createUser md5long MD5 authpassword AES-256 privpassword
createUser cisco192 SHA authpassword AES-192-C privpassword
createUser cisco256 SHA-256 authpassword AES-256-C privpassword
createUser cisco256md5 MD5 authpassword AES-256-C privpassword
createUser authonly SHA-256 authpassword
createUser nobody
rouser sha256 priv
rouser sha1aes priv
rouser md5des priv
rouser sha512 priv
rouser sha224 priv
rouser sha384 priv
rouser md5long priv
rouser cisco192 priv
rouser cisco256 priv
rouser cisco256md5 priv
rouser authonly auth
rouser nobody noauth
";

impl Snmpd {
    /// `None` = there is none on this machine.
    async fn start() -> Option<Self> {
        let program = ["/usr/sbin/snmpd", "/usr/local/sbin/snmpd"];
        let Some(program) = program.into_iter().find(|p| Path::new(p).exists()) else {
            eprintln!("skipped: snmpd is not installed");
            return None;
        };
        let free = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let dir = tempfile::tempdir().unwrap();
        Self::spawn(program, address, dir).await
    }

    async fn spawn(program: &str, address: SocketAddr, dir: tempfile::TempDir) -> Option<Self> {
        let config = dir.path().join("snmpd.conf");
        let path = dir.path().display();
        std::fs::write(
            &config,
            format!(
                "agentaddress udp:{address}\nrocommunity public 127.0.0.1\n{USERS}\
                 disk / 1%\nproc callhome-no-such-program 2 1\nload 900 900 900\n\
                 exec verdict /bin/sh {path}/check\n"
            ),
        )
        .unwrap();
        std::fs::write(dir.path().join("check"), "echo fine; exit 0\n").unwrap();
        let child = Command::new(program)
            .args(["-f", "-Lf", "/dev/null", "-C", "-c"])
            .arg(&config)
            .args(["-p", &format!("{path}/pid")])
            .env("SNMP_PERSISTENT_DIR", dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let snmpd = Snmpd { child, address, dir };
        for _ in 0..50 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            if UdpSocket::bind(address).is_err() {
                return Some(snmpd);
            }
        }
        panic!("snmpd does not listen on {address}");
    }

    fn plain(&self) -> SnmpPlain {
        let mut plain = plain(self.address);
        plain.timeout_ms = 2000;
        plain.interval_s = 5;
        plain
    }

    fn v3(&self, credentials: V3Plain) -> SnmpPlain {
        SnmpPlain { version: "3".into(), v3: Some(credentials), community: None, ..self.plain() }
    }
}

#[tokio::test]
async fn v2c_reads_and_sees_a_fault() {
    let Some(snmpd) = Snmpd::start().await else { return };
    let mut plain = snmpd.plain();
    // A poll of a busy machine may take longer than a second.
    plain.interval_s = 4;
    let mut watched = watch(&plain).await;
    let poll = watched.poll().await;
    println!("v2c: {:?}", poll.counts());
    assert_eq!(poll.number("ucd-snmp.prErrorFlag", "process callhome-no-such-program"), Some(1.0));
    assert_eq!(poll.number("ucd-snmp.dskErrorFlag", "/"), Some(0.0));
    assert_eq!(poll.number("ucd-snmp.laErrorFlag", "load Load-1"), Some(0.0));
    assert_eq!(poll.number("ucd-snmp.extResult", "check verdict"), Some(0.0));
    assert_eq!(poll.number("if-mib.ifOperStatus", "port lo"), Some(1.0));
    assert!(poll.count("host-resources.hrStorageUsedPercent") >= 1);
    let device = poll.device.unwrap();
    assert_eq!(device.id, "dev", "no serial number: the name");
    assert!(device.firmware.as_deref().is_some_and(|f| f.contains("Linux")), "{device:?}");
    std::fs::write(snmpd.dir.path().join("check"), "echo broken; exit 3\n").unwrap();
    let poll =
        watched.until(|p| p.number("ucd-snmp.extResult", "check verdict") == Some(3.0)).await;
    let reading = poll.find("ucd-snmp.extResult", "check verdict").unwrap();
    let words = reading.labels.iter().find(|(n, _)| &**n == "words").unwrap();
    assert_eq!(words.1, "broken");
}

#[tokio::test]
async fn v1_reads_the_same_without_getbulk() {
    let Some(snmpd) = Snmpd::start().await else { return };
    let mut plain = snmpd.plain();
    plain.version = "1".into();
    plain.interval_s = 20;
    let mut watched = watch(&plain).await;
    let poll = watched.poll().await;
    println!("v1: {:?}", poll.counts());
    assert_eq!(watched.health().0, SourceState::Ok, "{:?}", watched.health());
    assert_eq!(poll.number("ucd-snmp.prErrorFlag", "process callhome-no-such-program"), Some(1.0));
    assert_eq!(poll.number("ucd-snmp.dskErrorFlag", "/"), Some(0.0));
    assert_eq!(poll.number("if-mib.ifOperStatus", "port lo"), Some(1.0));
    let device = poll.device.unwrap();
    assert!(device.firmware.as_deref().is_some_and(|f| f.contains("Linux")), "{device:?}");
    plain.community = Some(Zeroizing::new("wrong".into()));
    plain.timeout_ms = 300;
    let (_, detail) = watch(&plain).await.first_health().await;
    assert!(detail.contains("community is wrong"), "{detail}");
}

#[tokio::test]
async fn v3_reads_at_every_level() {
    let Some(snmpd) = Snmpd::start().await else { return };
    let level = |user: &str, auth: Option<&str>, privacy: Option<&str>| V3Plain {
        user: user.into(),
        auth: auth.map(str::to_owned),
        privacy: privacy.map(str::to_owned),
        ..v3(user, "authpassword", "privpassword")
    };
    for credentials in [
        level("sha256", Some("sha256"), Some("aes128")),
        level("sha1aes", Some("sha1"), Some("aes128")),
        level("md5des", Some("md5"), Some("des")),
        level("sha512", Some("sha512"), Some("aes128")),
        level("sha224", Some("sha224"), Some("aes192")),
        level("sha384", Some("sha384"), Some("aes256")),
        // Hashes shorter than the key: both ways to make it longer.
        level("md5long", Some("md5"), Some("aes256")),
        level("cisco192", Some("sha1"), Some("aes192c")),
        level("cisco256", Some("sha256"), Some("aes256c")),
        level("cisco256md5", Some("md5"), Some("aes256c")),
        level("authonly", Some("sha256"), None),
        level("nobody", None, None),
    ] {
        let user = credentials.user.clone();
        // A poll on a busy machine may take longer than a short interval; the health would say so.
        let plain = SnmpPlain { interval_s: 60, ..snmpd.v3(credentials) };
        let mut watched = watch(&plain).await;
        let poll = watched.poll().await;
        assert_eq!(poll.reachable(), Some(1.0), "{user}: {:?}", watched.health());
        assert_eq!(poll.number("if-mib.ifOperStatus", "port lo"), Some(1.0), "{user}");
        assert!(poll.readings.len() > 8, "{user}: {:?}", poll.counts());
        assert_eq!(watched.health().0, SourceState::Ok, "{user}: {:?}", watched.health());
    }
}

#[tokio::test]
async fn wrong_credentials_are_told_apart() {
    let Some(snmpd) = Snmpd::start().await else { return };
    let mut stranger = v3("sha256", "authpassword", "privpassword");
    stranger.user = "stranger".into();
    let mut unencrypted = v3("sha256", "authpassword", "privpassword");
    unencrypted.privacy = None;
    let mut context = v3("sha256", "authpassword", "privpassword");
    context.context = "elsewhere".into();
    let cases = [
        ("usmStatsWrongDigests", v3("sha256", "wrongpassword", "privpassword")),
        ("usmStatsUnknownUserNames", stranger),
        ("authorizationError", unencrypted),
        ("the context may be wrong", context),
    ];
    for (expected, credentials) in cases {
        let watched = watch(&snmpd.v3(credentials)).await;
        let (state, detail) = watched.first_health().await;
        println!("{state:?}: {detail}");
        assert_eq!(state, SourceState::Failed, "{expected}: {detail}");
        assert!(detail.contains(expected), "{expected}: {detail}");
    }
    // What a device does on a wrong privacy password is its own affair: a report or silence.
    let watched = watch(&snmpd.v3(v3("sha256", "authpassword", "wrongpassword"))).await;
    let (state, detail) = watched.first_health().await;
    println!("wrong privacy password: {detail}");
    assert_eq!(state, SourceState::Failed);
    let mut plain = snmpd.plain();
    plain.community = Some(Zeroizing::new("wrong".into()));
    plain.timeout_ms = 300;
    let (state, detail) = watch(&plain).await.first_health().await;
    assert_eq!(state, SourceState::Failed);
    assert!(detail.contains("community"), "{detail}");
}

#[tokio::test]
async fn a_restarted_engine_is_found_again() {
    let Some(mut snmpd) = Snmpd::start().await else { return };
    let mut plain = snmpd.v3(v3("sha256", "authpassword", "privpassword"));
    plain.interval_s = 1;
    let mut watched = watch(&plain).await;
    assert_eq!(watched.poll().await.reachable(), Some(1.0));
    let address = snmpd.address;
    snmpd.child.kill().unwrap();
    snmpd.child.wait().unwrap();
    watched.until(|p| p.reachable() == Some(0.0)).await;
    let (_, detail) = watched.health();
    assert!(detail.contains("port closed"), "{detail}");
    // Another engine id and boots at the same address: all that was known is void.
    let again = Snmpd::spawn("/usr/sbin/snmpd", address, tempfile::tempdir().unwrap()).await;
    watched.until(|p| p.reachable() == Some(1.0)).await;
    drop(again);
}

#[tokio::test]
async fn it_is_walked_into_a_recording_with_bulk_without_and_over_v3() {
    let Some(snmpd) = Snmpd::start().await else { return };
    let file = |name: &str, text: &str| {
        let path = snmpd.dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (auth, privacy) = (file("auth", "authpassword\n"), file("priv", "privpassword\n"));
    let library = std::sync::Arc::new(callhome_agent::profile::Library::built_in().unwrap());
    let mut sizes = Vec::new();
    for words in [
        vec![],
        vec!["--no-bulk"],
        vec![
            "--version",
            "3",
            "--user",
            "sha256",
            "--auth",
            "sha256",
            "--auth-password-file",
            &auth,
            "--privacy",
            "aes128",
            "--privacy-password-file",
            &privacy,
        ],
    ] {
        let access = crate::record::access(&words);
        let walked = crate::record::walked(snmpd.address, &access, &library).await;
        let scrubbed = record::scrubbed(&walked, &access, &library, true).unwrap();
        println!(
            "snmpd {words:?}: {} objects in {} requests, {} kept; {:?}; {:?}",
            walked.objects.len(),
            walked.requests,
            scrubbed.objects,
            scrubbed.counts,
            walked.remarks
        );
        let recording = Recording::parse("snmpd", &scrubbed.text).unwrap();
        assert_eq!(recording.len(), scrubbed.objects);
        assert!(scrubbed.objects > 100, "{}", scrubbed.objects);
        assert!(!scrubbed.text.contains("authpassword"));
        assert!(!scrubbed.text.contains("127.0.0.2"), "addresses of others");
        let survey = Survey::of_recording(&recording, &library).unwrap();
        let read = callhome_agent::workshop::read::lines(&survey, Default::default());
        assert!(read.len() > 10, "{}", read.len());
        sizes.push(walked.objects.len());
    }
    let (least, most) = (sizes.iter().min().unwrap(), sizes.iter().max().unwrap());
    // Processes come and go; everything else is the same however it was asked for.
    assert!(most - least < most / 4, "{sizes:?}");
}
