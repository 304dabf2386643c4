//! Debian's rsyslog as the sender: over datagrams, over TCP in both framings, and over TLS.

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::sockets::Pki;
use super::*;

const MESSAGES: usize = 200;
const PROGRAM: &str = "/usr/sbin/rsyslogd";

/// A running rsyslogd; ends with the test.
struct Rsyslog(Child);

impl Drop for Rsyslog {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Where Debian puts the driver for TLS.
fn has_tls() -> bool {
    let folders = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    folders.into_iter().any(|folder| folder.path().join("rsyslog/lmnsd_ossl.so").is_file())
}

/// Starts it with these actions; what is written to the socket that is answered goes to all of them.
async fn start(folder: &Path, head: &str, actions: &[String]) -> (Rsyslog, UnixDatagram) {
    let socket = folder.join("log.sock");
    let conf = folder.join("rsyslog.conf");
    let text = format!(
        "{head}\nmodule(load=\"imuxsock\" SysSock.Use=\"off\")\n\
         input(type=\"imuxsock\" Socket=\"{}\" CreatePath=\"on\" RateLimit.Interval=\"0\")\n{}\n",
        socket.display(),
        actions.join("\n")
    );
    std::fs::write(&conf, text).unwrap();
    let child = Command::new(PROGRAM)
        .arg("-n")
        .arg("-f")
        .arg(&conf)
        .arg("-i")
        .arg(folder.join("pid"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let running = Rsyslog(child);
    let client = UnixDatagram::unbound().unwrap();
    let open = async {
        while client.connect(&socket).is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, open).await.expect("rsyslogd listens");
    (running, client)
}

/// Everything that was said came, once each; nothing was declared lost.
async fn hears_all(bench: &mut Bench, how: &str) {
    let lines = bench.lines(MESSAGES).await;
    let mut heard: Vec<usize> = lines
        .iter()
        .map(|line| {
            let text = text(line);
            assert!(text.starts_with("storage"), "{how}: {text}");
            assert!(
                line.labels.iter().any(|(n, v)| &**n == "level" && v == "3"),
                "{how}: {line:?}"
            );
            text.rsplit(' ').next().unwrap().parse().unwrap()
        })
        .collect();
    heard.sort_unstable();
    assert_eq!(heard, (0..MESSAGES).collect::<Vec<_>>(), "{how}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rsyslog_by_datagram_by_both_framings_and_by_tls() {
    if !Path::new(PROGRAM).is_file() {
        eprintln!("skipped: rsyslog is not installed");
        return;
    }
    let pki = Pki::new();
    pki.issue("listener");
    let files = TlsFiles {
        certificate: pki.path("listener.pem"),
        key: pki.path("listener.key"),
        client_ca: None,
    };
    let (udp, counted, plain, tls) = (free(true), free(false), free(false), free(false));
    let mut by_udp = Bench::start(SyslogSettings { udp: vec![udp], ..settings() }).await;
    let mut by_count = Bench::start(SyslogSettings { tcp: vec![counted], ..settings() }).await;
    let mut by_line = Bench::start(SyslogSettings { tcp: vec![plain], ..settings() }).await;
    let identity = Some(files);
    let mut by_tls = Bench::start(SyslogSettings { tls: vec![tls], identity, ..settings() }).await;
    let action = |to: SocketAddr, more: &str| {
        format!("action(type=\"omfwd\" target=\"127.0.0.1\" port=\"{}\" {more})", to.port())
    };
    let mut actions = vec![
        action(udp, "protocol=\"udp\" template=\"RSYSLOG_TraditionalForwardFormat\""),
        action(
            counted,
            "protocol=\"tcp\" TCP_Framing=\"octet-counted\" template=\"RSYSLOG_SyslogProtocol23Format\"",
        ),
        action(
            plain,
            "protocol=\"tcp\" TCP_Framing=\"traditional\" template=\"RSYSLOG_ForwardFormat\"",
        ),
    ];
    let mut head = format!("global(workDirectory=\"{}\")", pki.path("").display());
    if has_tls() {
        head = format!(
            "global(workDirectory=\"{}\" DefaultNetstreamDriver=\"ossl\" DefaultNetstreamDriverCAFile=\"{}\")",
            pki.path("").display(),
            pki.path("ca.pem").display()
        );
        for action in &mut actions {
            action.insert_str(action.len() - 1, " StreamDriver=\"ptcp\"");
        }
        actions.push(action(
            tls,
            "protocol=\"tcp\" TCP_Framing=\"octet-counted\" template=\"RSYSLOG_SyslogProtocol23Format\" \
             StreamDriver=\"ossl\" StreamDriverMode=\"1\" StreamDriverAuthMode=\"x509/name\" \
             StreamDriverPermittedPeers=\"localhost\"",
        ));
    } else {
        eprintln!("skipped: rsyslog over TLS: rsyslog-openssl is not installed");
    }
    let (_running, sender) = start(pki.folder.path(), &head, &actions).await;
    for n in 0..MESSAGES {
        sender.send(format!("<11>Nov 22 10:00:00 storage: disk {n}").as_bytes()).unwrap();
    }
    hears_all(&mut by_udp, "udp").await;
    hears_all(&mut by_count, "tcp, counted").await;
    hears_all(&mut by_line, "tcp, by lines").await;
    if has_tls() {
        hears_all(&mut by_tls, "tls").await;
    }
    println!("rsyslog: {MESSAGES} messages each over {} ways, all heard once", actions.len());
}
