//! A source that polls one device, as the agent would run it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use callhome_agent::profile::Library;
use callhome_agent::source::snmp::{self, Plans, SnmpPlain, SnmpSettings, Transport, V3Plain};
use callhome_agent::source::{
    Assignment, Batch, HealthBoard, Position, Reading, SourceKind, Value,
};
use callhome_shared::alarm::Device;
use callhome_shared::heartbeat::SourceState;
use callhome_shared::inventory::Inventory;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

/// As a configuration with little patience gives it.
pub fn plain(address: SocketAddr) -> SnmpPlain {
    SnmpPlain {
        address: address.to_string(),
        version: "2c".into(),
        community: Some(Zeroizing::new("public".into())),
        v3: None,
        interval_s: 1,
        timeout_ms: 200,
        retries: 1,
        max_repetitions: 20,
        bulk: true,
        restart_alarm: false,
        profiles: None,
    }
}

/// A v3 user with authPriv SHA-256/AES-128.
pub fn v3(user: &str, auth_password: &str, priv_password: &str) -> V3Plain {
    V3Plain {
        user: user.into(),
        auth: Some("sha256".into()),
        auth_password: Some(Zeroizing::new(auth_password.into())),
        privacy: Some("aes128".into()),
        priv_password: Some(Zeroizing::new(priv_password.into())),
        context: String::new(),
    }
}

/// A running source.
pub struct Watched {
    batches: mpsc::Receiver<Batch>,
    board: HealthBoard,
    stop: CancellationToken,
    pub transport: Transport,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Starts a source of its own transport on `plain`.
pub async fn watch(plain: &SnmpPlain) -> Watched {
    watch_from(plain, None, &[]).await
}

/// The same with a stored position and further profiles.
pub async fn watch_from(
    plain: &SnmpPlain,
    position: Option<Position>,
    profiles: &[(&str, &str)],
) -> Watched {
    let transport = Transport::bind().await.unwrap();
    let stop = CancellationToken::new();
    tokio::spawn(transport.clone().receive(stop.clone()));
    watch_on(plain, position, profiles, transport, stop)
}

/// The same on a transport that others use too.
pub fn watch_on(
    plain: &SnmpPlain,
    position: Option<Position>,
    profiles: &[(&str, &str)],
    transport: Transport,
    stop: CancellationToken,
) -> Watched {
    start(settings(plain, profiles, true), position, transport, stop)
}

/// As the agent runs it: only what rules look at is handed on.
pub async fn watch_judged(plain: &SnmpPlain, profiles: &[(&str, &str)]) -> Watched {
    let transport = Transport::bind().await.unwrap();
    let stop = CancellationToken::new();
    tokio::spawn(transport.clone().receive(stop.clone()));
    start(settings(plain, profiles, false), None, transport, stop)
}

fn settings(plain: &SnmpPlain, profiles: &[(&str, &str)], unjudged: bool) -> SnmpSettings {
    let library = Arc::new(Library::with(profiles).unwrap());
    let settings = SnmpSettings::from_plain(plain, &Plans::new(library)).unwrap();
    SnmpSettings { unjudged, ..settings }
}

fn start(
    settings: SnmpSettings,
    position: Option<Position>,
    transport: Transport,
    stop: CancellationToken,
) -> Watched {
    let device = Device { id: "dev".into(), name: "dev".into(), ..Device::default() };
    let source: Arc<str> = format!("snmp-{}", settings.address).into();
    let board = HealthBoard::default();
    let health = board.register(source.clone(), "dev", SourceKind::Snmp);
    let (out, batches) = mpsc::channel(64);
    let device = Arc::new(device);
    let assignment = Assignment { source, device, position, out, health, stop: stop.clone() };
    tokio::spawn(snmp::run(assignment, settings, transport.clone()));
    Watched { batches, board, stop, transport }
}

/// All that one poll read.
#[derive(Debug, Default)]
pub struct Poll {
    pub readings: Vec<Reading>,
    pub device: Option<Arc<Device>>,
    pub position: Option<Position>,
    pub inventory: Option<Inventory>,
}

impl Poll {
    /// The value of a metric on a resource.
    pub fn value(&self, metric: &str, resource: &str) -> Option<&Value> {
        self.find(metric, resource).map(|r| &r.value)
    }

    pub fn find(&self, metric: &str, resource: &str) -> Option<&Reading> {
        self.readings.iter().find(|r| &*r.metric == metric && r.resource == resource)
    }

    pub fn number(&self, metric: &str, resource: &str) -> Option<f64> {
        match self.value(metric, resource)? {
            Value::Number(n) => Some(*n),
            _ => None,
        }
    }

    pub fn count(&self, metric: &str) -> usize {
        self.readings.iter().filter(|r| &*r.metric == metric).count()
    }

    pub fn counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for reading in &self.readings {
            *counts.entry(reading.metric.to_string()).or_default() += 1;
        }
        counts
    }

    pub fn reachable(&self) -> Option<f64> {
        self.number("snmp.reachable", "")
    }
}

impl Watched {
    /// Everything up to and with the next `snmp.reachable`, which ends a poll.
    pub async fn poll(&mut self) -> Poll {
        let mut poll = Poll::default();
        let all = async {
            while poll.reachable().is_none() {
                let batch = self.batches.recv().await.expect("the source ended");
                poll.device = Some(batch.device);
                poll.position = batch.position.or(poll.position.take());
                poll.inventory = batch.inventory.map(|told| *told).or(poll.inventory.take());
                poll.readings.extend(batch.readings);
            }
        };
        let limit = Duration::from_secs(60);
        tokio::time::timeout(limit, all).await.expect("no poll within a minute");
        poll
    }

    /// What the device is made of, when it comes next.
    pub async fn inventory(&mut self) -> Inventory {
        let next = async {
            loop {
                let batch = self.batches.recv().await.expect("the source ended");
                if let Some(told) = batch.inventory {
                    return *told;
                }
            }
        };
        let limit = Duration::from_secs(60);
        tokio::time::timeout(limit, next).await.expect("no inventory within a minute")
    }

    /// Polls until `enough`, at most 20 times.
    pub async fn until(&mut self, mut enough: impl FnMut(&Poll) -> bool) -> Poll {
        for _ in 0..20 {
            let poll = self.poll().await;
            if enough(&poll) {
                return poll;
            }
        }
        panic!("not within 20 polls");
    }

    /// Values that the last poll read.
    pub fn values(&self) -> u64 {
        self.board.snapshot().remove(0).readout.map_or(0, |readout| readout.values)
    }

    /// State and detail of the source's health.
    pub fn health(&self) -> (SourceState, String) {
        let entry = self.board.snapshot().remove(0);
        (entry.state, entry.detail)
    }

    /// Waits until its health has left `starting`.
    pub async fn first_health(&self) -> (SourceState, String) {
        for _ in 0..600 {
            let (state, detail) = self.health();
            if state != SourceState::Starting {
                return (state, detail);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("still starting after 30 s");
    }
}

/// A simulated device with the shipped recording-style array.
pub async fn array() -> crate::snmp_sim::SnmpSim {
    let sim = crate::snmp_sim::SnmpSim::start(([127, 0, 0, 1], 0).into()).await.unwrap();
    sim.load_snmprec(include_str!("../../../tests/data/sim-array.snmprec")).unwrap();
    sim
}
