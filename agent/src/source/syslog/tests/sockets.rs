//! Through real sockets, with util-linux's `logger` where it is there.

use std::net::UdpSocket;
use std::process::Command;

use callhome_shared::alarm::Device;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::*;
use crate::source::Gap;

/// Runs `logger`; says if there is none.
fn logger(arguments: &[&str]) -> bool {
    match Command::new("logger").args(arguments).status() {
        Ok(status) => {
            assert!(status.success(), "logger {arguments:?}");
            true
        }
        Err(error) => {
            eprintln!("skipped: logger (util-linux): {error}");
            false
        }
    }
}

fn send(to: SocketAddr, messages: &[&str]) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for message in messages {
        socket.send_to(message.as_bytes(), to).unwrap();
    }
}

#[tokio::test]
async fn logger_by_datagram_and_by_connection() {
    let (udp, tcp) = (free(true), free(false));
    let mut bench =
        Bench::start(SyslogSettings { udp: vec![udp], tcp: vec![tcp], ..settings() }).await;
    let (udp_port, tcp_port) = (udp.port().to_string(), tcp.port().to_string());
    let forms: [&[&str]; 4] = [
        &["--udp", "--port", &udp_port, "--rfc3164"],
        &["--udp", "--port", &udp_port, "--rfc5424"],
        &["--tcp", "--port", &tcp_port, "--rfc3164"],
        &["--tcp", "--port", &tcp_port, "--rfc5424", "--octet-count"],
    ];
    let mut sent = Vec::new();
    for (n, form) in forms.iter().enumerate() {
        let said = format!("form {n} speaks");
        let common = ["--server", "127.0.0.1", "--tag", "tester", "--priority", "local0.err"];
        let arguments: Vec<&str> =
            common.iter().chain(form.iter()).chain([&said.as_str()]).copied().collect();
        if !logger(&arguments) {
            return;
        }
        sent.push(said);
    }
    let lines = bench.lines(4).await;
    for said in &sent {
        let line = lines.iter().find(|l| text(l).ends_with(said.as_str())).expect(said);
        assert!(text(line).starts_with("tester"), "{line:?}");
        assert!(line.labels.iter().any(|(n, v)| &**n == "level" && v == "3"), "{line:?}");
        let skew = line.occurred_at.unwrap().since_ms(line.observed_at);
        assert!(skew.abs() < 60_000, "{line:?}");
    }
}

#[tokio::test]
async fn both_framings_long_lines_and_broken_ones() {
    let tcp = free(false);
    let mut bench = Bench::start(SyslogSettings { tcp: vec![tcp], ..settings() }).await;
    let long = "x".repeat(3000);
    for bytes in [
        format!("<13>a one\n<13>b two\n<13>long {long}\n<13>c half"),
        format!("9 <13>d oct{} <13>{long}9 <13>e oct", long.len() + 4),
        "5 <13>f<13>lost".to_owned(),
    ] {
        let mut stream = TcpStream::connect(tcp).await.unwrap();
        // In small pieces, as a slow link would.
        for piece in bytes.as_bytes().chunks(700) {
            stream.write_all(piece).await.unwrap();
            stream.flush().await.unwrap();
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        stream.shutdown().await.unwrap();
    }
    let texts = bench.texts(8).await;
    let short: Vec<&str> = texts.iter().map(|t| t.get(..5).unwrap_or(t)).collect();
    assert_eq!(short, ["a one", "b two", "c hal", "d oct", "e oct", "f", "long ", "xxxxx"]);
    assert!(texts[6].ends_with("x…") && texts[6].len() <= 1024 + 3);
}

#[tokio::test]
async fn a_storm_of_datagrams_is_dropped_and_declared_and_others_are_heard() {
    let udp: SocketAddr = free(true);
    let limits = Limits { per_s: 1.0, burst: 50.0, table: 64 };
    let mut bench = Bench::start(SyslogSettings { udp: vec![udp], limits, ..settings() }).await;
    let storm = UdpSocket::bind("127.0.0.2:0").unwrap();
    for n in 0..300 {
        storm.send_to(format!("<13>storm {n}").as_bytes(), udp).unwrap();
    }
    send(udp, &["<13>quiet one"]);
    let (mut taken, mut lost, mut heard) = (0, 0, false);
    while lost == 0 || !heard {
        let batch = bench.batch().await;
        for line in batch.readings.iter().filter(|r| &*r.metric == "line").map(text) {
            taken += u64::from(line.starts_with("storm"));
            heard |= line == "quiet one";
        }
        for Gap { reason, count, from, to } in batch.gaps {
            assert!(reason == "rate-limited" && from <= to, "{reason}");
            lost += count.unwrap();
        }
    }
    // What of it came while the bucket had a new token is taken, too.
    let rest = bench.end().await;
    lost += rest.iter().flat_map(|b| &b.gaps).filter_map(|g| g.count).sum::<u64>();
    taken += rest.iter().flat_map(|b| &b.readings).filter(|r| text(r).starts_with("storm")).count()
        as u64;
    assert_eq!(taken + lost, 300, "every message is handed over or declared");
    assert!((50..100).contains(&taken), "{taken}");
}

#[tokio::test]
async fn a_connection_over_its_rate_waits_and_loses_nothing() {
    let tcp = free(false);
    let limits = Limits { per_s: 500.0, burst: 20.0, table: 64 };
    let mut bench = Bench::start(SyslogSettings { tcp: vec![tcp], limits, ..settings() }).await;
    let began = std::time::Instant::now();
    let mut stream = TcpStream::connect(tcp).await.unwrap();
    let all: String = (0..520).map(|n| format!("<13>n {n}\n")).collect();
    stream.write_all(all.as_bytes()).await.unwrap();
    let lines = bench.lines(520).await;
    assert_eq!(lines.len(), 520);
    assert!(began.elapsed() >= Duration::from_millis(900), "500 a second beyond the first 20");
    let last = bench.end().await;
    assert!(last.iter().all(|b| b.gaps.is_empty()), "{last:?}");
}

/// A CA, and certificates under it.
pub(super) struct Pki {
    pub(super) folder: tempfile::TempDir,
    ca: CertifiedIssuer<'static, KeyPair>,
}

impl Pki {
    pub(super) fn new() -> Pki {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Another name than those under it: openssl takes a certificate of its issuer's name for its own.
        params.distinguished_name.push(rcgen::DnType::CommonName, "a test's CA");
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), ca.pem()).unwrap();
        Pki { folder, ca }
    }

    pub(super) fn issue(&self, name: &str) {
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.ca).unwrap();
        std::fs::write(self.path(&format!("{name}.pem")), certificate.pem()).unwrap();
        std::fs::write(self.path(&format!("{name}.key")), key.serialize_pem()).unwrap();
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// Sends a message by `openssl s_client`; `None` = there is no openssl.
fn s_client(pki: &Pki, to: SocketAddr, client: Option<&str>, message: &str) -> Option<()> {
    use std::io::Write as _;
    let mut command = Command::new("openssl");
    command.args([
        "s_client",
        "-quiet",
        "-no_ign_eof",
        "-verify_return_error",
        "-servername",
        "localhost",
    ]);
    command.args(["-connect", &to.to_string(), "-CAfile"]).arg(pki.path("ca.pem"));
    if let Some(name) = client {
        command.arg("-cert").arg(pki.path(&format!("{name}.pem")));
        command.arg("-key").arg(pki.path(&format!("{name}.key")));
    }
    command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::null());
    let spawned = command.stderr(std::process::Stdio::null()).spawn();
    let Ok(mut child) = spawned else {
        eprintln!("skipped: openssl is not installed");
        return None;
    };
    let mut stdin = child.stdin.take().unwrap();
    // A refused one may be gone before it is written.
    let _ = stdin.write_all(message.as_bytes());
    drop(stdin);
    let _ = child.wait();
    Some(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openssl_speaks_tls_with_and_without_a_certificate_of_its_own() {
    let pki = Pki::new();
    for name in ["listener", "sender"] {
        pki.issue(name);
    }
    let (open, closed) = (free(false), free(false));
    let files = |client_ca| TlsFiles {
        certificate: pki.path("listener.pem"),
        key: pki.path("listener.key"),
        client_ca,
    };
    let with = |at, client_ca| SyslogSettings {
        tls: vec![at],
        identity: Some(files(client_ca)),
        ..settings()
    };
    let mut anybody = Bench::start(with(open, None)).await;
    let mut members = Bench::start(with(closed, Some(pki.path("ca.pem")))).await;
    let Some(()) = s_client(&pki, open, None, "14 <13>over tls x") else { return };
    assert_eq!(anybody.texts(1).await, ["over tls x"]);
    s_client(&pki, closed, None, "<13>not let in\n");
    s_client(&pki, closed, Some("sender"), "<13>let in\n");
    assert_eq!(members.texts(1).await, ["let in"], "only who shows a certificate");
}

#[tokio::test]
async fn a_probe_comes_through_each_kind_of_socket_and_nobody_can_forge_one() {
    let pki = Pki::new();
    pki.issue("listener");
    let files = TlsFiles {
        certificate: pki.path("listener.pem"),
        key: pki.path("listener.key"),
        client_ca: Some(pki.path("ca.pem")),
    };
    for kind in ["udp", "tcp", "tls"] {
        let at = free(kind == "udp");
        let only = |wanted: &str| if wanted == kind { vec![at] } else { Vec::new() };
        let mut bench = Bench::start(SyslogSettings {
            udp: only("udp"),
            tcp: only("tcp"),
            tls: only("tls"),
            identity: Some(files.clone()),
            ..settings()
        })
        .await;
        let nonce = uuid::Uuid::from_u128(7);
        let forged = format!("<46>{}", crate::source::probe::line(nonce));
        if kind == "udp" {
            send(at, &[&forged]);
            assert_eq!(
                text(&bench.lines(1).await[0]),
                crate::source::probe::line(nonce),
                "a line like any other"
            );
        }
        bench.board.slot("sl").unwrap().ask(nonce);
        let entered = loop {
            let batch = bench.batch().await;
            if let Some(reading) = batch.readings.first() {
                assert_eq!(batch.device.name, "host", "the listener's own device");
                break reading.clone();
            }
        };
        let Value::Probe(entered) = entered.value else { panic!("{kind}: {entered:?}") };
        assert_eq!(entered.nonce(), nonce, "{kind}");
    }
}

#[tokio::test]
async fn a_device_is_waited_for_until_its_poll_knows_its_serial_number() {
    let udp = free(true);
    let known = Known::default();
    known.expect(&device("sw-1"));
    let settings = SyslogSettings { udp: vec![udp], ..settings() };
    let mut bench = Bench::start_known(settings, known).await;
    let down = "<187>%LINK-3-UPDOWN: Interface GigabitEthernet1/0/1, changed state to down";
    send(udp, &[down]);
    // "Listening" and two further signs of life, five seconds apart.
    let mut heard = None;
    for _ in 0..3 {
        let batch = bench.batch().await;
        assert!(batch.readings.is_empty(), "its id is not known yet: {batch:?}");
        heard = batch.heard_until;
    }
    let serial =
        Device { id: "SN1".into(), serial: Some("SN1".into()), ..(*device("sw-1")).clone() };
    bench.known.tell(&Arc::new(serial));
    let batch = loop {
        let batch = bench.batch().await;
        if !batch.readings.is_empty() {
            break batch;
        }
    };
    assert_eq!((batch.device.id.as_str(), batch.readings.len()), ("SN1", 2), "{batch:?}");
    assert!(heard.unwrap() <= batch.readings[0].observed_at, "what waits is not heard yet");
}

#[tokio::test]
async fn a_port_that_is_taken_is_said_and_opened_when_it_is_free() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let at = taken.local_addr().unwrap();
    let tcp = free(false);
    let settings = SyslogSettings { udp: vec![at], tcp: vec![tcp], ..settings() };
    let opening = tokio::spawn(Bench::start(settings));
    // It is tried again every three seconds.
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(!opening.is_finished(), "a part of it is not open: it is not well");
    drop(taken);
    let mut bench = opening.await.unwrap();
    let gap = loop {
        if let Some(gap) = bench.batch().await.gaps.pop() {
            break gap;
        }
    };
    assert_eq!(gap.reason, "port-gone");
    send(at, &["<13>heard"]);
    assert_eq!(bench.texts(1).await, ["heard"]);
}

#[tokio::test]
async fn connections_are_limited_by_sender_and_the_rest_goes_on() {
    let tcp = free(false);
    let mut bench = Bench::start(SyslogSettings { tcp: vec![tcp], ..settings() }).await;
    // Eight places: a quarter for one sender.
    let mut held = Vec::new();
    for n in 0..4 {
        let mut stream = TcpStream::connect(tcp).await.unwrap();
        let _ = stream.write_all(format!("<13>n {n}\n").as_bytes()).await;
        held.push(stream);
    }
    assert_eq!(bench.texts(2).await, ["n 0", "n 1"]);
    drop(held);
    loop {
        let mut stream = TcpStream::connect(tcp).await.unwrap();
        let _ = stream.write_all(b"<13>again\n").await;
        let _ = stream.shutdown().await;
        let next = timeout(Duration::from_millis(200), bench.texts(1)).await;
        if let Ok(texts) = next {
            assert_eq!(texts, ["again"]);
            return;
        }
    }
}
