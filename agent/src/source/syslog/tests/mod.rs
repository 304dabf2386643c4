mod meaning;
mod rsyslog;
mod sockets;

use std::net::SocketAddr;

use callhome_shared::alarm::Device;
use callhome_shared::heartbeat::SourceState;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use std::sync::Arc;

use super::*;
use crate::source::origins::{OriginSettings, Sender};
use crate::source::{HealthBoard, Reading, Value};

const PATIENCE: Duration = Duration::from_secs(60);

fn device(name: &str) -> Arc<Device> {
    Arc::new(Device { name: name.to_owned(), id: name.to_owned(), ..Device::default() })
}

fn all_catalogues() -> Catalogues {
    let names: Vec<String> = catalogue_names().into_iter().map(str::to_owned).collect();
    Catalogues::load(&names).unwrap()
}

/// Everything from the loopback is of `sw-1`.
fn settings() -> SyslogSettings {
    let addresses = ["127.0.0.0/8", "::1"];
    let addresses = addresses.iter().map(|a| crate::source::origins::Prefix::parse(a).unwrap());
    SyslogSettings {
        udp: Vec::new(),
        tcp: Vec::new(),
        tls: Vec::new(),
        identity: None,
        max_line_bytes: 1024,
        connections: 8,
        limits: Limits { per_s: 10_000.0, burst: 10_000.0, table: 64 },
        origins: Origins::new(OriginSettings {
            senders: vec![Sender {
                device: device("sw-1"),
                addresses: addresses.collect(),
                hosts: vec!["core-1".to_owned()],
            }],
            ..OriginSettings::default()
        }),
        zone: Some(TimeZone::UTC),
        zones: BTreeMap::new(),
        unknown: false,
        catalogues: all_catalogues(),
        every_line: true,
    }
}

/// A port that nobody listens at now.
fn free(udp: bool) -> SocketAddr {
    match udp {
        true => std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap(),
        false => std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap(),
    }
}

struct Bench {
    board: HealthBoard,
    batches: mpsc::Receiver<Batch>,
    known: Known,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Bench {
    /// Starts the listener and waits until all its sockets are open.
    async fn start(settings: SyslogSettings) -> Bench {
        Bench::start_known(settings, Known::default()).await
    }

    async fn start_known(settings: SyslogSettings, known: Known) -> Bench {
        let board = HealthBoard::default();
        let health = board.register(Arc::from("sl"), "host", SourceKind::Syslog);
        let (out, batches) = mpsc::channel(16);
        let stop = CancellationToken::new();
        let assignment = Assignment {
            source: Arc::from("sl"),
            device: device("host"),
            position: None,
            out,
            health,
            stop: stop.clone(),
        };
        let task = tokio::spawn(run(assignment, settings, known.clone()));
        let bench = Bench { board, batches, known, stop, task };
        let opened = async {
            while bench.state() != SourceState::Ok {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, opened).await.expect("it listens");
        bench
    }

    fn state(&self) -> SourceState {
        self.board.snapshot()[0].state
    }

    async fn batch(&mut self) -> Batch {
        timeout(PATIENCE, self.batches.recv()).await.expect("a batch").unwrap()
    }

    /// Readings of metric `line` until there are so many.
    async fn lines(&mut self, count: usize) -> Vec<Reading> {
        let mut all = Vec::new();
        let came = async {
            while all.len() < count {
                let batch = self.batch().await;
                all.extend(batch.readings.into_iter().filter(|r| &*r.metric == "line"));
            }
        };
        // Signs of life come for ever.
        let in_time = timeout(PATIENCE, came).await.is_ok();
        assert!(in_time, "{count} lines were expected, there are {all:?}");
        all
    }

    async fn texts(&mut self, count: usize) -> Vec<String> {
        let mut texts: Vec<String> = self.lines(count).await.iter().map(text).collect();
        texts.sort();
        texts
    }

    async fn end(mut self) -> Vec<Batch> {
        self.stop.cancel();
        let mut rest = Vec::new();
        while let Some(batch) = timeout(PATIENCE, self.batches.recv()).await.expect("it ends") {
            rest.push(batch);
        }
        self.task.await.unwrap();
        rest
    }
}

fn text(reading: &Reading) -> String {
    match &reading.value {
        Value::Line { text, truncated } => format!("{text}{}", if *truncated { "…" } else { "" }),
        other => format!("{other:?}"),
    }
}
