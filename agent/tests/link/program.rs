//! The program itself: `run` with a log file, `status`, `test`, health, and its end.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use callhome_agent::control::{StatusReport, client};
use callhome_shared::alarm::Transition;
use callhome_shared::heartbeat::SourceState;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};

use crate::mosquitto::{Certificates, Mosquitto, free_port};
use crate::peer::Collector;
use crate::until;

struct Agent {
    dir: tempfile::TempDir,
    health: u16,
}

impl Agent {
    /// A configuration with an identity beside it and one watched file.
    fn new(certificates: &Certificates, mqtt: u16) -> Self {
        let (dir, health) = (tempfile::tempdir().unwrap(), free_port());
        let identity = dir.path().join("state/identity");
        std::fs::create_dir_all(&identity).unwrap();
        for name in ["ca.pem", "agent.pem", "agent.key"] {
            std::fs::copy(certificates.path(name), identity.join(name)).unwrap();
        }
        std::fs::write(dir.path().join("log"), "").unwrap();
        let config = format!(
            "[agent]\nstate_dir = '{0}/state'\ncontrol_socket = '{0}/s'\nhealth_listen = '127.0.0.1:{health}'\n\
             [collector]\nmqtt = 'mqtts://localhost:{mqtt}'\nack_timeout_s = 2\nbackoff_first_ms = 50\n\
             backoff_max_s = 1\n[heartbeat]\ninterval_s = 1\n[[device]]\nname = 'd'\n\
             [[logfile]]\nname = 'l'\ndevice = 'd'\npath = '{0}/log'\nfrom = 'start'\n\
             [[logfile.pattern]]\nid = 'psu'\nmatch = 'PSU (?P<n>\\d) failed'\nclear = 'PSU (?P<n>\\d) ok'\n\
             type = 'psu-failed'\nseverity = 'major'\nresource = 'PSU ${{n}}'\n",
            dir.path().display()
        );
        std::fs::write(dir.path().join("agent.toml"), config).unwrap();
        Agent { dir, health }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_callhome-agent"));
        command.arg("--config").arg(self.path("agent.toml")).args(arguments).kill_on_drop(true);
        command
    }

    fn start(&self) -> Child {
        let log =
            std::fs::File::options().create(true).append(true).open(self.path("out")).unwrap();
        self.command(&["run"])
            .env("CALLHOME_LOG", "info,stage=trace")
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap()
    }

    /// Exit code, standard output, standard error.
    async fn output(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let output = self.command(arguments).output().await.unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    }

    async fn status(&self) -> StatusReport {
        let (code, out, err) = self.output(&["status", "--json"]).await;
        assert_eq!(code, Some(0), "{err}");
        serde_json::from_str(&out).unwrap()
    }

    /// Status code and body of a GET on the health address; 0 where nobody listens.
    async fn get(&self, path: &str) -> (u16, String) {
        let Ok(mut tcp) = tokio::net::TcpStream::connect(("127.0.0.1", self.health)).await else {
            return (0, String::new());
        };
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        tcp.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        tcp.read_to_string(&mut answer).await.unwrap();
        let code = answer.split(' ').nth(1).unwrap().parse().unwrap();
        (code, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
    }

    async fn until_ready(&self) {
        for _ in 0..400 {
            if self.get("/readyz").await.0 == 200 {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("not ready; {}", std::fs::read_to_string(self.path("out")).unwrap());
    }

    fn say(&self, line: &str) {
        let mut log = std::fs::File::options().append(true).open(self.path("log")).unwrap();
        writeln!(log, "{line}").unwrap();
    }
}

async fn ended(mut child: Child, signal: &str) -> Option<i32> {
    let id = child.id().unwrap().to_string();
    Command::new("kill").args([signal, &id]).status().await.unwrap();
    child.wait().await.unwrap().code()
}

#[tokio::test]
async fn a_line_becomes_an_alarm_and_its_ticket_is_shown() {
    let certificates = Certificates::new();
    let Some(broker) = Mosquitto::start(&certificates).await else { return };
    let collector = Collector::start(&certificates, broker.port).await;
    collector.acknowledge_from_now_on();
    let agent = Agent::new(&certificates, broker.port);
    let child = agent.start();
    agent.until_ready().await;

    agent.say("Jan 1 host: PSU 2 failed");
    until("the alarm", || collector.alarms().iter().any(|a| a.resource == "PSU 2")).await;

    let (code, out, err) = agent.output(&["test", "--timeout", "20"]).await;
    assert_eq!(code, Some(0), "{err}");
    assert!(out.starts_with("ticket T-") && out.trim_end().ends_with(" ms"), "{out}");

    let report = agent.status().await;
    let alarm = report.alarms.iter().find(|a| a.resource == "PSU 2").unwrap();
    assert!(alarm.ticket.as_deref().is_some_and(|t| t.starts_with("T-")), "{alarm:?}");
    assert_eq!(report.sources[0].state, SourceState::Ok);
    assert!(
        report.outbox.lanes.iter().all(|l| l.last_seq == l.acked + l.folded + l.evicted + l.depth)
    );
    assert!(report.agent.resident_bytes > 1 << 20);
    let (_, text, _) = agent.output(&["status"]).await;
    for part in ["certificate", "connected to mqtts://localhost", "PSU 2", "alarm:", "last ack"] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    pages(&agent).await;

    // A second agent on the same state is refused.
    let (code, _, err) = agent.output(&["run"]).await;
    assert_eq!(code, Some(1));
    assert!(err.contains("another agent runs"), "{err}");

    agent.say("Jan 1 host: PSU 2 ok");
    let cleared = |a: &callhome_shared::alarm::Alarm| a.transition == Transition::Cleared;
    until("the end", || collector.alarms().iter().any(|a| a.resource == "PSU 2" && cleared(a)))
        .await;
    assert_eq!(ended(child, "-TERM").await, Some(0));
    let log = std::fs::read_to_string(agent.path("out")).unwrap();
    assert!(log.contains("drained=true") && log.contains("settled=true"), "{log}");
    for stage in ["source.read", "line.decided", "outbox.committed", "link.publishing", "link.ack"]
    {
        assert!(log.contains(stage), "{stage}");
    }
    until("good-bye", || collector.heartbeats().last().is_some_and(|beat| !beat.online)).await;
}

async fn pages(agent: &Agent) {
    assert_eq!(agent.get("/healthz").await, (200, "ok\n".to_owned()));
    let (code, metrics) = agent.get("/metrics").await;
    assert_eq!(code, 200);
    for line in [
        "callhome_agent_link_connected 1.0",
        "callhome_agent_outbox_depth{lane=\"alarm\"}",
        "callhome_agent_alarms_total{transition=\"raised\"} 2",
        "callhome_agent_source_up{source=\"l\",device=\"d\",kind=\"logfile\"} 1.0",
        "callhome_agent_link_acks_total",
        "# EOF",
    ] {
        assert!(metrics.contains(line), "{line} in\n{metrics}");
    }
    // What tells more than health is only on the socket.
    assert_eq!(agent.get("/status").await.0, 404);
    assert_eq!(mode(&agent.path("s")), 0o660);
}

fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn the_service_manager_is_told() {
    let certificates = Certificates::new();
    let agent = Agent::new(&certificates, free_port());
    let manager = tokio::net::UnixDatagram::bind(agent.path("notify")).unwrap();
    let mut command = agent.command(&["run"]);
    command.env("NOTIFY_SOCKET", agent.path("notify")).env("WATCHDOG_USEC", "300000");
    let child = command.stderr(Stdio::null()).spawn().unwrap();
    let mut heard = Vec::new();
    let mut message = [0; 256];
    while heard.iter().filter(|m| *m == "WATCHDOG=1").count() < 3 {
        let n = manager.recv(&mut message).await.unwrap();
        heard.push(String::from_utf8_lossy(&message[..n]).trim().to_owned());
    }
    assert!(heard.iter().any(|m| m == "READY=1"), "ready although not connected: {heard:?}");
    assert_eq!(agent.get("/healthz").await.0, 200);
    let (code, why) = agent.get("/readyz").await;
    assert_eq!(code, 503);
    assert!(why.contains("not connected"), "{why}");
    let told = tokio::spawn(async move {
        let mut message = [0; 256];
        loop {
            let n = manager.recv(&mut message).await.unwrap();
            if message[..n].starts_with(b"STOPPING=1") {
                return;
            }
        }
    });
    assert_eq!(ended(child, "-TERM").await, Some(0));
    told.await.unwrap();
}

#[tokio::test]
async fn killed_anywhere_it_goes_on_where_it_was() {
    let certificates = Certificates::new();
    let Some(broker) = Mosquitto::start(&certificates).await else { return };
    let collector = Collector::start(&certificates, broker.port).await;
    let agent = Agent::new(&certificates, broker.port);
    for n in 1..=4 {
        let child = agent.start();
        agent.until_ready().await;
        agent.say(&format!("PSU {n} failed"));
        let resource = format!("PSU {n}");
        until(&resource, || collector.alarms().iter().any(|a| a.resource == resource)).await;
        assert_eq!(ended(child, "-KILL").await, None);
    }
    collector.acknowledge_from_now_on();
    let child = agent.start();
    agent.until_ready().await;
    until("all acknowledged", || {
        collector.alarms().iter().filter(|a| a.transition == Transition::Raised).count() >= 8
    })
    .await;
    let report = loop {
        let report = agent.status().await;
        if report.outbox.lanes.iter().all(|l| l.depth == 0) {
            break report;
        }
    };
    // Each fault raised once, whatever was sent twice.
    assert_eq!(report.line.active_alarms, 4);
    let mut lives: Vec<_> = collector.alarms().iter().map(|a| a.alarm_id).collect();
    lives.sort_unstable();
    lives.dedup();
    assert_eq!(lives.len(), 4);
    assert_eq!(ended(child, "-INT").await, Some(0));
}

#[tokio::test]
async fn exit_codes_and_words_without_a_running_agent() {
    let certificates = Certificates::new();
    let agent = Agent::new(&certificates, free_port());
    let (code, out, _) = agent.output(&["check"]).await;
    assert_eq!(code, Some(0));
    assert!(out.contains("l of d: logfile"), "{out}");
    let (code, _, err) = agent.output(&["status"]).await;
    assert_eq!(code, Some(1));
    assert!(err.contains("no running agent"), "{err}");
    let missing = client::status(Path::new("/nowhere")).await;
    assert!(missing.is_err());
    assert_eq!(agent.output(&["test", "--timeout", "0"]).await.0, Some(2));

    std::fs::remove_dir_all(agent.path("state/identity")).unwrap();
    let (code, _, err) = agent.output(&["run"]).await;
    assert_eq!(code, Some(78));
    assert!(err.contains("run callhome-agent enroll"), "{err}");
    std::fs::write(agent.path("agent.toml"), "[agent]\nlog_jsn = true\n").unwrap();
    let (code, _, err) = agent.output(&["check"]).await;
    assert_eq!(code, Some(78));
    assert!(err.contains("agent.toml:2:1: agent.log_jsn: unknown key"), "{err}");
    assert!(err.contains("did you mean \"log_json\"?"), "{err}");
}

/// One fault of one device, raised by datagram and ended by connection, over a kill in between.
#[tokio::test]
async fn a_syslog_message_becomes_an_alarm_and_its_counterpart_ends_it() {
    let certificates = Certificates::new();
    let Some(broker) = Mosquitto::start(&certificates).await else { return };
    let collector = Collector::start(&certificates, broker.port).await;
    collector.acknowledge_from_now_on();
    let agent = Agent::new(&certificates, broker.port);
    let (udp, tcp) = (free_port(), free_port());
    let listener = format!(
        "[[device]]\nname = 'sw'\nserial = 'SN-7'\n\
         [[syslog]]\nname = 'sl'\ndevice = 'd'\nudp = ['127.0.0.1:{udp}']\ntcp = ['127.0.0.1:{tcp}']\n\
         [[syslog.sender]]\ndevice = 'sw'\naddresses = ['127.0.0.0/8']\n"
    );
    let mut config = std::fs::File::options().append(true).open(agent.path("agent.toml")).unwrap();
    config.write_all(listener.as_bytes()).unwrap();
    let child = agent.start();
    agent.until_ready().await;

    let message = |state| {
        format!("<187>45: %LINK-3-UPDOWN: Interface GigabitEthernet1/0/1, changed state to {state}")
    };
    let told = |transition: Transition| {
        let alarms = collector.alarms();
        let found =
            alarms.into_iter().find(|a| a.kind == "port-down" && a.transition == transition);
        found.map(|a| (a.device.id.clone(), a.resource.clone()))
    };
    let expected = Some(("SN-7".to_owned(), "port Gi1/0/1".to_owned()));
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    // Until it listens a datagram is gone: it is said again.
    until("the alarm", || {
        socket.send_to(message("down").as_bytes(), ("127.0.0.1", udp)).unwrap();
        told(Transition::Raised) == expected
    })
    .await;

    ended(child, "-KILL").await;
    let child = agent.start();
    agent.until_ready().await;
    let up = message("up");
    until("the end", || {
        if let Ok(mut stream) = std::net::TcpStream::connect(("127.0.0.1", tcp)) {
            let _ = stream.write_all(format!("{} {up}", up.len()).as_bytes());
        }
        told(Transition::Cleared) == expected
    })
    .await;
    let report = agent.status().await;
    assert!(report.sources.iter().any(|s| s.kind == "syslog" && s.state == SourceState::Ok));
    assert_eq!(report.alarms.len(), 0, "{:?}", report.alarms);
    assert_eq!(ended(child, "-TERM").await, Some(0));
}
