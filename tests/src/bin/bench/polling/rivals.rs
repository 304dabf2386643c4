//! Other programs that poll, as Debian has them: collectd's snmp plugin, and the Prometheus SNMP exporter
//! with scrapes of our own in Prometheus's place.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use callhome_tests::harness::free_port;
use callhome_tests::harness::process::Process;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval_at};

use super::INTERVAL;
use super::crowd::{COLUMNS, COMMUNITY, Crowd, ENTRY};

/// Rows that are asked for at once, as the agent does.
const BULK: u32 = 20;

/// A program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rival {
    /// `collectd` with its snmp plugin.
    Collectd,
    /// `prometheus-snmp-exporter`.
    Exporter,
}

/// One at work.
pub struct Running {
    process: Process,
    scrapes: Vec<JoinHandle<()>>,
}

impl Running {
    /// Its process.
    pub fn pid(&self) -> Result<u32> {
        self.process.id().context("it has ended")
    }

    /// Ends it.
    pub async fn stop(self) -> Result<()> {
        for scrape in &self.scrapes {
            scrape.abort();
        }
        self.process.kill9().await?;
        Ok(())
    }
}

impl Rival {
    /// All.
    pub const ALL: [Rival; 2] = [Rival::Collectd, Rival::Exporter];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Rival::Collectd => "collectd",
            Rival::Exporter => "prometheus-snmp-exporter",
        }
    }

    fn program(self) -> Option<PathBuf> {
        let (place, needs) = match self {
            Rival::Collectd => ("/usr/sbin/collectd", "/usr/lib/collectd/snmp.so"),
            Rival::Exporter => {
                ("/usr/bin/prometheus-snmp-exporter", "/usr/bin/prometheus-snmp-exporter")
            }
        };
        (Path::new(place).is_file() && Path::new(needs).is_file()).then(|| place.into())
    }

    /// Starts it on these devices; `None` where it is not installed.
    pub async fn start(self, dir: &Path, crowd: &Crowd) -> Result<Option<Running>> {
        let Some(program) = self.program() else { return Ok(None) };
        std::fs::create_dir_all(dir)?;
        let log = dir.join("log");
        let (config, port) = (dir.join("config").display().to_string(), free_port()?);
        let (args, scrapes) = match self {
            Rival::Collectd => {
                std::fs::write(&config, collectd(dir, crowd))?;
                (vec!["-f".to_owned(), "-C".to_owned(), config], Vec::new())
            }
            Rival::Exporter => {
                std::fs::write(&config, exporter())?;
                let listen = format!("--web.listen-address=127.0.0.1:{port}");
                (vec![format!("--config.file={config}"), listen], scrapes(port, crowd)?)
            }
        };
        let process = Process::start(self.name(), &program, &args, &[], &log).await?;
        Ok(Some(Running { process, scrapes }))
    }
}

/// Walks the name's column with each kind of value: so its plugin does it.
fn collectd(dir: &Path, crowd: &Crowd) -> String {
    let mut text = format!(
        "Hostname \"bench\"\nFQDNLookup false\nInterval {}\nBaseDir \"{dir}\"\nPIDFile \"{dir}/pid\"\n\
         TypesDB \"/usr/share/collectd/types.db\"\nLoadPlugin snmp\n<Plugin snmp>\n",
        INTERVAL.as_secs(),
        dir = dir.display()
    );
    let data = [
        ("status", "gauge", "8", ""),
        ("octets", "if_octets", "10", "16"),
        ("errors", "if_errors", "14", "20"),
    ];
    for (name, kind, first, second) in data {
        let values: Vec<String> = [first, second]
            .iter()
            .filter(|column| !column.is_empty())
            .map(|column| format!("\"{ENTRY}.{column}\""))
            .collect();
        let _ = writeln!(
            text,
            "<Data \"{name}\">\nType \"{kind}\"\nTable true\nTypeInstanceOID \"{ENTRY}.2\"\nValues {}\n</Data>",
            values.join(" ")
        );
    }
    for (n, address) in crowd.addresses().enumerate() {
        let _ = writeln!(
            text,
            "<Host \"switch-{n}\">\nAddress \"{address}\"\nVersion 2\nCommunity \"{COMMUNITY}\"\n\
             Collect \"status\" \"octets\" \"errors\"\nInterval {}\nTimeout 2\nRetries 2\nBulkSize {BULK}\n</Host>",
            INTERVAL.as_secs()
        );
    }
    text.push_str("</Plugin>\n");
    text
}

fn exporter() -> String {
    let mut text = String::from("poll:\n  version: 2\n");
    let _ = writeln!(
        text,
        "  max_repetitions: {BULK}\n  retries: 2\n  timeout: 2s\n  auth:\n    community: {COMMUNITY}\n  walk:"
    );
    for (column, _) in COLUMNS {
        let _ = writeln!(text, "  - {ENTRY}.{column}");
    }
    text.push_str("  metrics:\n");
    for (column, name) in &COLUMNS[1..] {
        let kind = if *column == 8 { "gauge" } else { "counter" };
        let _ = writeln!(
            text,
            "  - name: {name}\n    oid: {ENTRY}.{column}\n    type: {kind}\n    indexes:\n    - labelname: ifIndex\n      type: gauge\n    \
             lookups:\n    - labels: [ifIndex]\n      labelname: ifDescr\n      oid: {ENTRY}.2\n      type: DisplayString"
        );
    }
    text
}

/// What Prometheus would do: each device in its own time within the interval.
fn scrapes(port: u16, crowd: &Crowd) -> Result<Vec<JoinHandle<()>>> {
    let addresses: Vec<_> = crowd.addresses().collect();
    let step = INTERVAL / u32::try_from(addresses.len().max(1)).unwrap_or(1);
    // Without TLS; but a client is not made without saying how it would be done.
    let tls = callhome_shared::tls::client_config(&[], None)?;
    let client = reqwest::Client::builder().tls_backend_preconfigured(tls).build()?;
    let mut tasks = Vec::with_capacity(addresses.len());
    for (n, address) in addresses.into_iter().enumerate() {
        let client = client.clone();
        let url = format!("http://127.0.0.1:{port}/snmp?module=poll&target={address}");
        let first = tokio::time::Instant::now()
            + Duration::from_secs(2)
            + step * u32::try_from(n).unwrap_or(0);
        tasks.push(tokio::spawn(async move {
            let mut ticks = interval_at(first, INTERVAL);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
            loop {
                ticks.tick().await;
                if let Ok(answer) = client.get(&url).send().await {
                    let _ = answer.bytes().await;
                }
            }
        }));
    }
    Ok(tasks)
}
