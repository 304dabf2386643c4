//! The sources that run. They outlive everything else: while the agent goes over to another configuration
//! those whose settings are the same go on untouched, whatever else starts anew.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::supervise::{self, Shared};
use crate::line;
use crate::settings::{SourceSettings, SourceSpec};
use crate::source::snmp::names::Names;
use crate::source::snmp::{Ties, Transport};
use crate::source::{Batch, HealthBoard, Known, Position, SourceKind};

/// For sources to hand over what they have.
const STOP: Duration = Duration::from_secs(3);

/// All of them.
pub(super) struct Crew {
    /// To the line, whichever it is.
    batches: mpsc::Sender<Batch>,
    health: HealthBoard,
    transport: Option<Transport>,
    known: Known,
    names: Names,
    running: BTreeMap<Arc<str>, Running>,
}

/// One that runs.
struct Running {
    settings: Arc<SourceSettings>,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Crew {
    /// Nobody yet; and where the batches will come out.
    pub(super) fn new() -> (Self, mpsc::Receiver<Batch>) {
        let (batches, out) = mpsc::channel(line::BATCHES);
        let crew = Crew {
            batches,
            health: HealthBoard::default(),
            transport: None,
            known: Known::default(),
            names: Names::default(),
            running: BTreeMap::new(),
        };
        (crew, out)
    }

    /// To the line.
    pub(super) fn batches(&self) -> &mpsc::Sender<Batch> {
        &self.batches
    }

    /// How they are doing.
    pub(super) fn health(&self) -> &HealthBoard {
        &self.health
    }

    /// Stops those that are not wanted as they are, and waits until they have handed over what they have.
    /// Answers who goes on.
    pub(super) async fn let_go(&mut self, wanted: &[SourceSettings]) -> BTreeSet<Arc<str>> {
        let wanted: BTreeMap<&str, &SourceSettings> =
            wanted.iter().map(|source| (&*source.name, source)).collect();
        let goes_on = |running: &Running| {
            let next = wanted.get(&*running.settings.name);
            next.is_some_and(|next| running.settings.is_like(next))
        };
        let leaving: Vec<Arc<str>> = self
            .running
            .iter()
            .filter(|(_, running)| !goes_on(running))
            .map(|(name, _)| name.clone())
            .collect();
        let leaving: Vec<Running> =
            leaving.iter().filter_map(|name| self.running.remove(name)).collect();
        for running in &leaving {
            running.stop.cancel();
        }
        let until = Instant::now() + STOP;
        for running in leaving {
            let name = &running.settings.name;
            for mut task in running.tasks {
                if timeout_at(until, &mut task).await.is_err() {
                    tracing::warn!(source = %name, "the source did not stop in time");
                    task.abort();
                }
            }
            self.health.forget(name);
        }
        self.running.keys().cloned().collect()
    }

    /// Starts those that do not run, on the present `LocalSet` (SNMP's task cannot change threads); tells the
    /// others what they can learn. `positions` are those stored with what they led to.
    pub(super) async fn take_on(
        &mut self,
        mut wanted: Vec<SourceSettings>,
        mut positions: BTreeMap<String, Position>,
    ) -> anyhow::Result<()> {
        self.share_plans(&mut wanted);
        let snmp = |source: &&SourceSettings| source.spec.kind() == SourceKind::Snmp;
        let polled: BTreeSet<&str> =
            wanted.iter().filter(snmp).map(|source| &*source.device.name).collect();
        if self.transport.is_none() && !polled.is_empty() {
            let transport = Transport::bind().await.context("SNMP socket")?;
            // For as long as the process lives: requests of all devices share it.
            tokio::spawn(transport.clone().receive(CancellationToken::new()));
            self.transport = Some(transport);
        }
        self.known.only(&polled);
        self.names.want(supervise::names_wanted(&wanted));
        for source in wanted.iter().filter(snmp) {
            self.known.expect(&source.device);
        }
        for source in wanted {
            if let Some(running) = self.running.get(&source.name) {
                running.settings.take_over(&source);
                continue;
            }
            let position = positions.remove(source.name.as_ref());
            let stop = CancellationToken::new();
            let (names, known) = (self.names.clone(), self.known.clone());
            // How far it got is each source's own.
            let ties = Ties { names, known, ..Ties::default() };
            let shared = Shared { transport: self.transport.clone(), ties };
            let (out, source) = (self.batches.clone(), Arc::new(source));
            let tasks =
                supervise::start(source.clone(), position, out, &self.health, shared, &stop);
            let running = Running { settings: source, stop, tasks };
            self.running.insert(running.settings.name.clone(), running);
        }
        Ok(())
    }

    /// Where the profiles say what they said before, new devices are read by the plans that there are.
    fn share_plans(&self, wanted: &mut [SourceSettings]) {
        let plans = self.running.values().find_map(|running| match &running.settings.spec {
            SourceSpec::Snmp(snmp) => Some(snmp.plans.clone()),
            _ => None,
        });
        let Some(plans) = plans else { return };
        let mut same = None;
        for source in wanted {
            if let SourceSpec::Snmp(snmp) = &mut source.spec {
                let library = snmp.plans.library();
                if *same.get_or_insert_with(|| library.says_as(plans.library())) {
                    snmp.plans = plans.clone();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: &str = r#"
[[device]]
name = "a"

[[device]]
name = "b"

[[serial]]
name = "console"
device = "a"
port = "/dev/ttyS0"

[[serial.command]]
id = "show"
send = "show"
every_s = 60
until = '> $'

[[logfile]]
name = "log"
device = "a"
path = "/var/log/a"

[[snmp]]
name = "poll"
device = "b"
address = "192.0.2.1"
version = "2c"
community = "public"

[[syslog]]
name = "syslog"
device = "a"
udp = ["127.0.0.1:5514"]

[trap]
name = "trap"
device = "a"
listen = ["127.0.0.1:5162"]

[host]
device = "a"
"#;

    fn sources(text: &str) -> Vec<SourceSettings> {
        let read = |_: &std::path::Path| Err(std::io::ErrorKind::NotFound.into());
        crate::config::parse("agent.toml", text, &read).unwrap().sources
    }

    /// The names of those that do not go on.
    fn changed(next: &str) -> Vec<String> {
        let next = sources(next);
        let goes_on = |one: &SourceSettings| next.iter().any(|other| one.is_like(other));
        let leaving = sources(ALL).into_iter().filter(|one| !goes_on(one));
        leaving.map(|one| one.name.to_string()).collect()
    }

    #[test]
    fn only_what_a_source_reads_by_makes_it_begin_anew() {
        assert!(changed(ALL).is_empty(), "what says the same goes on");
        let with = |from: &str, to: &str| {
            assert!(ALL.contains(from), "{from}");
            changed(&ALL.replacen(from, to, 1))
        };
        assert_eq!(with("/dev/ttyS0", "/dev/ttyS1"), ["console"]);
        assert_eq!(with("every_s = 60", "every_s = 61"), ["console"]);
        assert_eq!(with("'> $'", "'# $'"), ["console"]);
        assert_eq!(with("/var/log/a", "/var/log/b"), ["log"]);
        assert_eq!(with("\"public\"", "\"private\""), ["poll"], "secrets count");
        assert_eq!(with("\"192.0.2.1\"", "\"192.0.2.2\""), ["poll"], "receivers are told of it");
        assert_eq!(with("127.0.0.1:5514", "127.0.0.1:5515"), ["syslog"]);
        assert_eq!(with("127.0.0.1:5162", "127.0.0.1:5163"), ["trap"]);
        assert_eq!(with("[host]\n", "[host]\ninterval_s = 5\n"), ["host"]);
        assert_eq!(with("name = \"b\"\n", "name = \"b\"\nsite = \"x\"\n"), ["poll"], "its device");
        let rule = "\n[[logfile.pattern]]\nid = \"x\"\nmatch = 'x'\ntype = \"x\"\nseverity = \"major\"\n\n[[snmp]]";
        assert!(with("\n[[snmp]]", rule).is_empty(), "rules are the line's");
        let windows = "[[maintenance]]\nname = \"w\"\nreason = \"x\"\nfrom = \"2026-12-01T00:00:00Z\"\nuntil = \"2026-12-02T00:00:00Z\"\n\n[host]\n";
        assert!(with("[host]\n", windows).is_empty());
        assert!(with("\n[[device]]", "\n[collector]\nack_timeout_s = 7\n\n[[device]]").is_empty());
    }

    #[test]
    fn receivers_learn_of_addresses_while_they_run() {
        let old = sources(ALL);
        let next = sources(&ALL.replace("192.0.2.1", "192.0.2.2"));
        let origins = |source: &SourceSettings| match &source.spec {
            SourceSpec::Syslog(syslog) => Some(syslog.origins.clone()),
            SourceSpec::Trap(trap) => Some(trap.origins.clone()),
            _ => None,
        };
        let mut seen = 0;
        for old in &old {
            let Some(origins) = origins(old) else { continue };
            let known = |last: u8| origins.by_address([192, 0, 2, last].into()).is_some();
            assert!(known(1) && !known(2));
            old.take_over(next.iter().find(|next| next.name == old.name).unwrap());
            assert!(!known(1) && known(2), "{}", old.name);
            seen += 1;
        }
        assert_eq!(seen, 2);
    }
}
