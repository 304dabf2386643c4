//! Traps and informs by net-snmp's own senders: every version, every level, storms, strangers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::net::{SocketAddr, UdpSocket};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use callhome_agent::profile::oid::Oid;
use callhome_agent::source::known::Known;
use callhome_agent::source::listener::Listener;
use callhome_agent::source::origins::{OriginSettings, Origins, Prefix, Sender};
use callhome_agent::source::senders::Limits;
use callhome_agent::source::snmp::names::Names;
use callhome_agent::source::snmp::settings::{V3Plain, credentials};
use callhome_agent::source::trap::db::Db;
use callhome_agent::source::trap::{Community, TrapSettings, TrapUser, run};
use callhome_agent::source::{
    Assignment, Batch, Health, HealthBoard, Position, Reading, SourceKind,
};
use callhome_shared::alarm::Device;
use callhome_shared::heartbeat::SourceState;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

const WAIT: Duration = Duration::from_secs(60);
const LINK_DOWN: &str = "1.3.6.1.6.3.1.1.5.3";
const COLUMN: &str = "1.3.6.1.2.1.2.2.1.8";

/// A listening source.
struct Ear {
    address: SocketAddr,
    batches: mpsc::Receiver<Batch>,
    board: HealthBoard,
    health: Health,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
    dir: tempfile::TempDir,
}

fn device(name: &str) -> Arc<Device> {
    Arc::new(Device { id: name.to_owned(), name: name.to_owned(), ..Device::default() })
}

fn free() -> SocketAddr {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn settings(address: SocketAddr) -> TrapSettings {
    TrapSettings {
        listen: vec![address],
        communities: vec![Community(Zeroizing::new(b"traps".to_vec()))],
        users: Vec::new(),
        engine_id: None,
        origins: origins(Vec::new()),
        limits: Limits { per_s: 1000.0, burst: 1000.0, table: 100 },
        unknown_is_alarm: false,
        clear_after: Duration::from_secs(3600),
        db: Arc::new(Db::load(None).unwrap()),
        dir: None,
    }
}

/// The switch, and others.
fn origins(others: Vec<Sender>) -> Origins {
    let switch = Sender {
        device: device("switch"),
        addresses: vec![Prefix::parse("127.0.0.1").unwrap()],
        hosts: Vec::new(),
    };
    let senders = std::iter::once(switch).chain(others).collect();
    Origins::new(OriginSettings { senders, ..OriginSettings::default() })
}

fn user(name: &str, auth: Option<&str>, privacy: Option<&str>) -> TrapUser {
    let secret = |text: &str| Some(Zeroizing::new(text.to_owned()));
    let plain = V3Plain {
        user: name.to_owned(),
        auth: auth.map(str::to_owned),
        auth_password: auth.and_then(|_| secret("authpassword")),
        privacy: privacy.map(str::to_owned),
        priv_password: privacy.and_then(|_| secret("privpassword")),
        context: String::new(),
    };
    TrapUser { credentials: credentials(&plain).unwrap(), engine: None }
}

impl Ear {
    async fn start(settings: TrapSettings) -> Self {
        Ear::start_from(settings, None, Known::default()).await
    }

    async fn start_from(settings: TrapSettings, position: Option<Position>, known: Known) -> Self {
        let names = Names::of(settings.db.polled());
        let column = Oid::parse(COLUMN).unwrap();
        names.tell("switch", &column, [(vec![7], "port Gi0/7".to_owned())].into_iter());
        let address = settings.listen[0];
        let board = HealthBoard::default();
        let health = board.register("traps".into(), "agent", SourceKind::Trap);
        let (out, batches) = mpsc::channel(64);
        let stop = CancellationToken::new();
        let assignment = Assignment {
            source: "traps".into(),
            device: device("agent"),
            position,
            out,
            health: health.clone(),
            stop: stop.clone(),
        };
        let task = tokio::spawn(run(assignment, settings, known, names));
        let dir = tempfile::tempdir().unwrap();
        let mut ear = Ear { address, batches, board, health, stop, task, dir };
        let first = ear.next().await;
        assert!(first.position.is_some(), "the engine's boots");
        first.stored.unwrap().tell();
        ear
    }

    async fn next(&mut self) -> Batch {
        tokio::time::timeout(WAIT, self.batches.recv()).await.unwrap().unwrap()
    }

    /// The next batch that says something.
    async fn reading(&mut self) -> (Batch, Reading) {
        loop {
            let batch = self.next().await;
            if let Some(reading) = batch.readings.first().cloned() {
                return (batch, reading);
            }
        }
    }

    /// Waits until the report is as wanted.
    async fn until(&mut self, wanted: impl Fn(&Listener) -> bool) -> Listener {
        let begun = std::time::Instant::now();
        loop {
            let told = self.board.listeners().into_values().next().unwrap_or_default();
            if wanted(&told) {
                return told;
            }
            assert!(begun.elapsed() < WAIT, "{told:?}");
            while self.batches.try_recv().is_ok() {}
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn sender(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env("MIBS", "")
            .env("SNMPCONFPATH", self.dir.path())
            .env("SNMP_PERSISTENT_DIR", self.dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs one of net-snmp's senders to its end.
    async fn send(&self, program: &str, arguments: &[&str]) -> Output {
        let mut command = self.sender(program, arguments);
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    }

    async fn end(mut self) -> Vec<Batch> {
        self.stop.cancel();
        let mut rest = Vec::new();
        while let Ok(Some(batch)) = tokio::time::timeout(WAIT, self.batches.recv()).await {
            rest.push(batch);
        }
        self.task.await.unwrap();
        rest
    }
}

fn there(program: &str) -> bool {
    let found = ["/usr/bin", "/usr/local/bin"]
        .iter()
        .any(|dir| std::path::Path::new(dir).join(program).exists());
    if !found {
        eprintln!("skipped: {program} is not installed");
    }
    found
}

fn label<'r>(reading: &'r Reading, name: &str) -> &'r str {
    reading.labels.iter().find(|(n, _)| &**n == name).map_or("", |(_, v)| v.as_str())
}

fn link(admin: &str) -> Vec<String> {
    [
        ("1.3.6.1.2.1.2.2.1.1.7", "7"),
        ("1.3.6.1.2.1.2.2.1.7.7", admin),
        ("1.3.6.1.2.1.2.2.1.8.7", "2"),
    ]
    .iter()
    .flat_map(|(name, value)| [(*name).to_owned(), "i".to_owned(), (*value).to_owned()])
    .collect()
}

fn with<'a>(head: &[&'a str], tail: &'a [String]) -> Vec<&'a str> {
    head.iter().copied().chain(tail.iter().map(String::as_str)).collect()
}

fn is_link_down(reading: &Reading) {
    assert_eq!((&*reading.metric, reading.resource.as_str()), ("trap", "port Gi0/7"));
    assert_eq!((label(reading, "type"), label(reading, "severity")), ("port-down", "major"));
}

#[tokio::test]
async fn versions_1_and_2c_and_the_pair() {
    if !there("snmptrap") {
        return;
    }
    let mut ear = Ear::start(settings(free())).await;
    let to = ear.address.to_string();
    let to = to.as_str();
    let down = link("1");
    let v1 = ["-v", "1", "-c", "traps", to, "1.3.6.1.4.1.8072", "127.0.0.1", "2", "0", "1"];
    assert!(ear.send("snmptrap", &with(&v1, &down)).await.status.success());
    let (batch, reading) = ear.reading().await;
    is_link_down(&reading);
    assert_eq!(
        (&*batch.device.name, &*reading.origin.to_string()),
        ("switch", "trap 127.0.0.1 v1")
    );
    assert!(batch.stored.is_none(), "nobody waits for a trap");
    let v2 = ["-v", "2c", "-c", "traps", to, "1", LINK_DOWN];
    ear.send("snmptrap", &with(&v2, &down)).await;
    let (_, reading) = ear.reading().await;
    is_link_down(&reading);
    let up = ["-v", "2c", "-c", "traps", to, "1", "1.3.6.1.6.3.1.1.5.4"];
    ear.send("snmptrap", &with(&up, &down)).await;
    let (_, reading) = ear.reading().await;
    assert_eq!((label(&reading, "type"), label(&reading, "severity")), ("port-down", ""));
    assert_eq!(reading.resource, "port Gi0/7");
    // Switched off on purpose, another community, and one that nobody knows.
    let off = link("2");
    ear.send("snmptrap", &with(&v2, &off)).await;
    ear.send("snmptrap", &["-v", "2c", "-c", "public", to, "1", LINK_DOWN]).await;
    let apc = ["-v", "1", "-c", "traps", to, "1.3.6.1.4.1.318", "127.0.0.1", "6", "99999", "1"];
    ear.send("snmptrap", &apc).await;
    let told = ear.until(|l| l.counts.contains_key("unknown")).await;
    println!("counts: {:?}", told.counts);
    for (what, count) in
        [("traps", 5), ("faults", 3), ("ignored", 1), ("wrong-community", 1), ("unknown", 1)]
    {
        assert_eq!(told.counts.get(what), Some(&count), "{what} of {:?}", told.counts);
    }
    assert_eq!(told.recent[0].name, "apc.0.99999");
    assert_eq!(ear.health.state().unwrap().state, SourceState::Ok);
    ear.end().await;
}

#[tokio::test]
async fn an_inform_is_answered_only_when_it_is_stored() {
    if !there("snmpinform") {
        return;
    }
    let mut ear = Ear::start(settings(free())).await;
    let to = ear.address.to_string();
    let to = to.as_str();
    let down = link("1");
    let head = ["-v", "2c", "-c", "traps", "-t", "1", "-r", "0", to, "1", LINK_DOWN];
    // Not stored: the sender learns that it was not taken.
    let sent = ear.send("snmpinform", &with(&head, &down)).await;
    assert!(!sent.status.success(), "{sent:?}");
    let (first, reading) = ear.reading().await;
    is_link_down(&reading);
    drop(first);
    // Stored while the sender waits.
    let head = ["-v", "2c", "-c", "traps", "-t", "20", "-r", "0", to, "1", LINK_DOWN];
    let arguments = with(&head, &down);
    let sender = ear.sender("snmpinform", &arguments).spawn().unwrap();
    let (batch, reading) = ear.reading().await;
    is_link_down(&reading);
    batch.stored.unwrap().tell();
    let sent = tokio::task::spawn_blocking(move || sender.wait_with_output().unwrap());
    let sent = tokio::time::timeout(WAIT, sent).await.unwrap().unwrap();
    assert!(sent.status.success(), "{sent:?}");
    let told = ear.until(|l| l.counts.contains_key("informs-answered")).await;
    assert_eq!(told.counts["informs-answered"], 1);
    ear.end().await;
}

/// User, authentication, privacy, and how net-snmp's senders are told of it.
type Kind = (&'static str, Option<&'static str>, Option<&'static str>, &'static [&'static str]);

const KINDS: [Kind; 9] = [
    ("nobody", None, None, &["-l", "noAuthNoPriv"]),
    ("md5", Some("md5"), None, &["-l", "authNoPriv", "-a", "MD5"]),
    ("sha", Some("sha1"), None, &["-l", "authNoPriv", "-a", "SHA"]),
    ("sha224", Some("sha224"), Some("aes128"), &["-l", "authPriv", "-a", "SHA-224", "-x", "AES"]),
    ("sha256", Some("sha256"), Some("aes128"), &["-l", "authPriv", "-a", "SHA-256", "-x", "AES"]),
    (
        "sha384",
        Some("sha384"),
        Some("aes192"),
        &["-l", "authPriv", "-a", "SHA-384", "-x", "AES-192"],
    ),
    (
        "sha512",
        Some("sha512"),
        Some("aes256"),
        &["-l", "authPriv", "-a", "SHA-512", "-x", "AES-256"],
    ),
    ("md5des", Some("md5"), Some("des"), &["-l", "authPriv", "-a", "MD5", "-x", "DES"]),
    ("shaaes256", Some("sha1"), Some("aes256"), &["-l", "authPriv", "-a", "SHA", "-x", "AES-256"]),
];

#[tokio::test]
async fn version_3_at_every_level_traps_and_informs() {
    if !there("snmptrap") || !there("snmpinform") {
        return;
    }
    let mut settings = settings(free());
    settings.users =
        KINDS.iter().map(|(name, auth, privacy, _)| user(name, *auth, *privacy)).collect();
    let mut ear = Ear::start(settings).await;
    let to = ear.address.to_string();
    let to = to.as_str();
    let (mut traps, mut informs) = (0, 0);
    let down = link("1");
    let tail = [to, "1", LINK_DOWN];
    for (n, (name, _, _, level)) in KINDS.iter().enumerate() {
        let engine = format!("0x80001f88040000{n:02x}");
        let secrets = ["-A", "authpassword", "-X", "privpassword", "-u", *name];
        let who = [&["-v", "3", "-e", engine.as_str()][..], *level, &secrets[..], &tail[..]];
        let sent = ear.send("snmptrap", &with(&who.concat(), &down)).await;
        if !sent.status.success() {
            let why = String::from_utf8_lossy(&sent.stderr).into_owned();
            assert!(why.contains("Invalid") || why.contains("nsupported"), "{name}: {why}");
            println!("{name}: this net-snmp cannot ({})", why.lines().next().unwrap_or_default());
            continue;
        }
        let (_, reading) = ear.reading().await;
        is_link_down(&reading);
        assert_eq!(reading.origin.to_string(), "trap 127.0.0.1 v3");
        traps += 1;
        // An inform is secured with our engine, which its sender asks for.
        let who = [&["-v", "3", "-t", "20", "-r", "0"][..], *level, &secrets[..], &tail[..]];
        let arguments = with(&who.concat(), &down).join(" ");
        let arguments: Vec<&str> = arguments.split(' ').collect();
        let sender = ear.sender("snmpinform", &arguments).spawn().unwrap();
        let (batch, reading) = ear.reading().await;
        is_link_down(&reading);
        batch.stored.unwrap().tell();
        let sent = tokio::task::spawn_blocking(move || sender.wait_with_output().unwrap());
        let sent = tokio::time::timeout(WAIT, sent).await.unwrap().unwrap();
        assert!(sent.status.success(), "{name}: {sent:?}");
        informs += 1;
    }
    println!("{traps} kinds of traps and {informs} of informs of version 3");
    assert!(traps >= 7 && informs == traps);
    ear.end().await;
}

#[tokio::test]
async fn version_3_with_wrong_words_is_refused() {
    if !there("snmptrap") {
        return;
    }
    let mut settings = settings(free());
    settings.users = vec![user("sha256", Some("sha256"), Some("aes128"))];
    let mut ear = Ear::start(settings).await;
    let to = ear.address.to_string();
    let to = to.as_str();
    // Wrong passwords, and a user nobody knows.
    for (name, password) in [("sha256", "wrongpassword"), ("stranger", "authpassword")] {
        let who =
            ["-v", "3", "-e", "0x80001f8804000099", "-l", "authPriv", "-a", "SHA-256", "-x", "AES"];
        let secrets = ["-A", password, "-X", "privpassword", "-u", name, to, "1", LINK_DOWN];
        ear.send("snmptrap", &[&who[..], &secrets[..]].concat()).await;
    }
    let told = ear.until(|l| l.counts.contains_key("unknown-user")).await;
    println!("counts: {:?}", told.counts);
    assert_eq!((told.counts["wrong-digest"], told.counts["unknown-user"]), (1, 1));
    ear.end().await;
}

#[tokio::test]
async fn a_storm_costs_its_sender_only_and_is_declared() {
    let mut settings = settings(free());
    settings.limits = Limits { per_s: 1.0, burst: 20.0, table: 100 };
    let other = Sender {
        device: device("other"),
        addresses: vec![Prefix::parse("127.0.0.2").unwrap()],
        hosts: Vec::new(),
    };
    settings.origins = origins(vec![other]);
    let mut ear = Ear::start(settings).await;
    let storm = UdpSocket::bind("127.0.0.1:0").unwrap();
    let quiet = UdpSocket::bind("127.0.0.2:0").unwrap();
    let stranger = UdpSocket::bind("127.0.0.3:0").unwrap();
    let trap = trap_bytes();
    for _ in 0..10 {
        for _ in 0..50 {
            storm.send_to(&trap, ear.address).unwrap();
        }
        // A socket's buffer holds some 270 of them: what it cannot take is the kernel's loss, not the limit's.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    quiet.send_to(&trap, ear.address).unwrap();
    stranger.send_to(&trap, ear.address).unwrap();
    let (mut taken, mut others, mut declared) = (0, 0, 0);
    let begun = std::time::Instant::now();
    while others == 0 || declared == 0 {
        assert!(
            begun.elapsed() < WAIT,
            "{taken} taken, {others} of the other, {declared} declared"
        );
        let batch = ear.next().await;
        match &*batch.device.name {
            "switch" => taken += batch.readings.len(),
            "other" => others += batch.readings.len(),
            _ => {}
        }
        declared += batch
            .gaps
            .iter()
            .filter(|gap| gap.reason == "rate-limited")
            .filter_map(|gap| gap.count)
            .sum::<u64>();
    }
    // What is not declared yet is told within a minute, but counted at once.
    let all = |l: &Listener| l.counts.get("rate-limited").is_some_and(|n| *n >= 400);
    let told = ear.until(|l| l.counts.contains_key("unknown-sender") && all(l)).await;
    println!("{taken} of 500 taken, {declared} declared, {:?} {:?}", told.counts, told.senders);
    assert!((20..60).contains(&taken) && others == 1, "{taken} {others}");
    let over = told.counts.get("rate-limited").copied().unwrap_or_default();
    assert!(
        declared <= over && over + taken as u64 == 500,
        "{declared} declared, {over} over the limit"
    );
    assert_eq!(told.senders[0].address, storm.local_addr().unwrap().ip());
    assert_eq!(told.refusals.back().unwrap().address, stranger.local_addr().unwrap().ip());
    ear.end().await;
}

/// linkDown of port 7, version 2c.
fn trap_bytes() -> Vec<u8> {
    use callhome_agent::source::snmp::message::{integer, tlv};
    let binding = |name: &str, value: Vec<u8>| {
        let name = Oid::parse(name).unwrap().to_ber();
        tlv(0x30, &[tlv(6, &name), value].concat())
    };
    let list = [
        binding("1.3.6.1.6.3.1.1.4.1.0", tlv(6, &Oid::parse(LINK_DOWN).unwrap().to_ber())),
        binding("1.3.6.1.2.1.2.2.1.1.7", integer(7)),
    ];
    let pdu = [integer(1), integer(0), integer(0), tlv(0x30, &list.concat())].concat();
    tlv(0x30, &[integer(1), tlv(4, b"traps"), tlv(0xa7, &pdu)].concat())
}

#[tokio::test]
async fn a_device_that_is_not_known_yet_is_waited_for() {
    let known = Known::default();
    known.expect(&device("switch"));
    let mut ear = Ear::start_from(settings(free()), None, known.clone()).await;
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    sender.send_to(&trap_bytes(), ear.address).unwrap();
    let held = ear.until(|l| l.counts.is_empty()).await;
    assert!(held.counts.is_empty());
    tokio::time::sleep(Duration::from_millis(100)).await;
    let serial = Some("SN1".to_owned());
    known.tell(&Arc::new(Device { id: "SN1".into(), serial, ..(*device("switch")).clone() }));
    let (batch, reading) = ear.reading().await;
    assert_eq!(batch.device.id, "SN1", "as the alarms of its poll");
    is_link_down(&reading);
    ear.end().await;
}

#[tokio::test]
async fn a_probe_goes_through_the_socket() {
    let mut ear = Ear::start(settings(free())).await;
    let nonce = uuid::Uuid::from_u128(42);
    ear.health.probe().ask(nonce);
    let (batch, reading) = ear.reading().await;
    let callhome_agent::source::Value::Probe(entered) = reading.value else {
        panic!("{reading:?}")
    };
    assert_eq!((entered.nonce(), &*batch.device.name), (nonce, "agent"));
    ear.end().await;
}

#[tokio::test]
async fn a_port_that_is_taken_is_said_and_deaf_time_is_declared_by_the_line() {
    let address = free();
    let taken = UdpSocket::bind(address).unwrap();
    let board = HealthBoard::default();
    let health = board.register("traps".into(), "agent", SourceKind::Trap);
    let (out, mut batches) = mpsc::channel(64);
    let stop = CancellationToken::new();
    let assignment = Assignment {
        source: "traps".into(),
        device: device("agent"),
        position: None,
        out,
        health: health.clone(),
        stop: stop.clone(),
    };
    let task = tokio::spawn(run(assignment, settings(address), Known::default(), Names::default()));
    let begun = std::time::Instant::now();
    while health.state().unwrap().state != SourceState::Failed {
        assert!(begun.elapsed() < WAIT);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let detail = health.state().unwrap().detail;
    assert!(detail.contains("another program listens there"), "{detail}");
    assert!(batches.try_recv().is_err(), "nothing says that it hears");
    drop(taken);
    let first = tokio::time::timeout(WAIT, batches.recv()).await.unwrap().unwrap();
    assert!(first.position.is_some());
    let listening = tokio::time::timeout(WAIT, batches.recv()).await.unwrap().unwrap();
    assert!(listening.heard_until.is_some(), "from now on it hears");
    stop.cancel();
    task.await.unwrap();
}
