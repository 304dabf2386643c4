//! Who listens: the agent, enrolled at a collector that is away; snmptrapd and rsyslogd as Debian has them.

use std::io::{Read as _, Seek as _, SeekFrom};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use callhome_tests::harness::process::Process;
use callhome_tests::harness::world::{Broker, Ports, World};
use callhome_tests::harness::{free_port, free_udp_port, until};

use super::Kind;
use super::offer::COMMUNITY;
use crate::process::cpu_s;

/// What both sides ask of the kernel for a socket's buffer, bytes.
const BUFFER: u32 = 4 * 1024 * 1024;

/// What was heard, since a program began.
#[derive(Clone, Copy, Debug, Default)]
pub struct Heard {
    /// Messages that it has dealt with.
    pub taken: u64,
    /// Messages that it says were lost.
    pub told_lost: u64,
    /// Whether it says so at all.
    pub tells: bool,
    /// Envelopes in the outbox.
    pub stored: u64,
    /// Processor time, seconds.
    pub cpu_s: f64,
}

impl Heard {
    /// What is still moving.
    pub fn progress(&self) -> (u64, u64, u64) {
        (self.taken, self.told_lost, self.stored)
    }

    /// What came since.
    pub fn since(&self, before: &Self) -> Self {
        Heard {
            taken: self.taken - before.taken,
            told_lost: self.told_lost - before.told_lost,
            tells: self.tells,
            stored: self.stored - before.stored,
            cpu_s: self.cpu_s - before.cpu_s,
        }
    }
}

/// A program that listens.
pub trait Ear {
    /// Where.
    fn address(&self) -> SocketAddr;
    /// What it heard so far.
    fn heard(&mut self) -> impl Future<Output = Result<Heard>>;
}

/// The agent.
pub struct AgentEar {
    world: World,
    kind: Kind,
    address: SocketAddr,
    client: reqwest::Client,
}

impl AgentEar {
    /// Starts it, and stops its collector.
    pub async fn start(dir: &Path, kind: Kind) -> Result<Self> {
        let port = if kind == Kind::Connection { free_port()? } else { free_udp_port()? };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut world = World::create(dir, Broker::Embedded, Ports::free()?).await?;
        world.quiet().await?;
        world.enrol(&sources(dir, kind, address)?).await?;
        world.start_agent().await?;
        world.agent_ready().await?;
        if let Some(collector) = world.take_collector() {
            collector.stop(Duration::from_secs(20)).await?;
        }
        // Without TLS; but a client is not made without saying how it would be done.
        let tls = callhome_shared::tls::client_config(&[], None)?;
        let client = reqwest::Client::builder().tls_backend_preconfigured(tls).build()?;
        Ok(AgentEar { world, kind, address, client })
    }

    /// Ends it at once: what it has stored is of no use any more.
    pub async fn stop(mut self) -> Result<()> {
        if let Some(agent) = self.world.take_agent() {
            agent.kill9().await?;
        }
        self.world.stop().await
    }
}

/// What it listens to; its limits on single senders, which are for storms, are far away.
fn sources(dir: &Path, kind: Kind, address: SocketAddr) -> Result<String> {
    let community = dir.join("community");
    std::fs::write(&community, format!("{COMMUNITY}\n"))?;
    let (community, sender) =
        (community.display(), "device = \"switch-1\"\naddresses = [\"127.0.0.1\"]\n");
    let head = "[probe]\ninterval_s = 0\n\n[outbox]\nmax_mib = 4096\n\n[[device]]\nname = \"switch-1\"\nserial = \"SN1\"\n\n[[device]]\nname = \"host-1\"\n\n";
    Ok(match kind {
        Kind::Traps => format!(
            "{head}[trap]\ndevice = \"host-1\"\nlisten = [\"{address}\"]\ncommunity_files = [\"{community}\"]\n\
             rate = 100000\nburst = 1000000\n\n[[trap.sender]]\n{sender}"
        ),
        Kind::Datagrams | Kind::Connection => {
            let way = if kind == Kind::Connection { "tcp" } else { "udp" };
            format!(
                "{head}[[syslog]]\nname = \"syslog\"\ndevice = \"host-1\"\n{way} = [\"{address}\"]\n\
                 rate_per_s = 100000\nburst = 1000000\n\n[[syslog.sender]]\n{sender}"
            )
        }
    })
}

impl Ear for AgentEar {
    fn address(&self) -> SocketAddr {
        self.address
    }

    async fn heard(&mut self) -> Result<Heard> {
        let pid = self.world.agent().and_then(Process::id).context("the agent is not running")?;
        let url = format!("http://127.0.0.1:{}/metrics", self.world.ports.agent_health);
        let page = self.client.get(url).send().await?.text().await?;
        let outcome =
            |what: &str| sum(&page, "listener_messages_total", &format!("outcome=\"{what}\""));
        let heard = outcome(if self.kind == Kind::Traps { "traps" } else { "messages" });
        // Traps that find no place are not counted as such, lines are.
        let dropped = if self.kind == Kind::Traps { 0 } else { outcome("overflow") };
        Ok(Heard {
            taken: heard.saturating_sub(dropped),
            told_lost: outcome("overflow") + outcome("rate-limited") + outcome("kernel-overflow"),
            tells: true,
            stored: sum(&page, "outbox_envelopes_total", "lane=\"alarm\""),
            cpu_s: cpu_s(pid)?,
        })
    }
}

/// The sum of a metric over the lines with this label.
fn sum(page: &str, metric: &str, label: &str) -> u64 {
    let head = format!("callhome_agent_{metric}{{");
    let lines = page.lines().filter(|line| line.starts_with(&head) && line.contains(label));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>() as u64
}

/// Another program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rival {
    /// net-snmp's `snmptrapd`.
    Snmptrapd,
    /// `rsyslogd`.
    Rsyslogd,
}

impl Rival {
    /// The one for these.
    pub fn of(kind: Kind) -> Self {
        if kind == Kind::Traps { Rival::Snmptrapd } else { Rival::Rsyslogd }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Rival::Snmptrapd => "snmptrapd",
            Rival::Rsyslogd => "rsyslogd",
        }
    }

    /// What stands once in the file for each message.
    fn mark(self) -> &'static [u8] {
        match self {
            Rival::Snmptrapd => b".1.3.6.1.6.3.1.1.4.1.0 = ",
            Rival::Rsyslogd => b"\n",
        }
    }
}

/// One at work.
pub struct RivalEar {
    rival: Rival,
    process: Process,
    address: SocketAddr,
    file: PathBuf,
    read: u64,
    taken: u64,
}

impl RivalEar {
    /// Starts it; `None` where it is not installed.
    pub async fn start(dir: &Path, kind: Kind) -> Result<Option<Self>> {
        let rival = Rival::of(kind);
        let program = Path::new("/usr/sbin").join(rival.name());
        if !program.is_file() {
            return Ok(None);
        }
        let port = if kind == Kind::Connection { free_port()? } else { free_udp_port()? };
        let (file, config) = (dir.join("heard"), dir.join("rival.conf"));
        let (args, text) = match rival {
            Rival::Snmptrapd => snmptrapd(&config, &file, port),
            Rival::Rsyslogd => rsyslogd(dir, &config, &file, port, kind),
        };
        std::fs::write(&config, text)?;
        let log = dir.join("rival.log");
        let process = Process::start(rival.name(), &program, &args, &[], &log).await?;
        until(rival.name(), Duration::from_secs(20), Duration::from_millis(50), || async move {
            Ok(listens(port)?.then_some(()))
        })
        .await
        .with_context(|| std::fs::read_to_string(&log).unwrap_or_default())?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Ok(Some(RivalEar { rival, process, address, file, read: 0, taken: 0 }))
    }

    /// Ends it.
    pub async fn stop(self) -> Result<()> {
        self.process.kill9().await?;
        Ok(())
    }
}

impl Ear for RivalEar {
    fn address(&self) -> SocketAddr {
        self.address
    }

    async fn heard(&mut self) -> Result<Heard> {
        let pid = self.process.id().context("it has ended")?;
        let cpu_s = cpu_s(pid)?;
        if let Ok(mut file) = std::fs::File::open(&self.file) {
            file.seek(SeekFrom::Start(self.read))?;
            let mut new = Vec::new();
            file.read_to_end(&mut new)?;
            // A mark is never cut: what comes after the last end of a line is read the next time.
            let whole = new.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            let mark = self.rival.mark();
            self.taken += new[..whole].windows(mark.len()).filter(|w| *w == mark).count() as u64;
            self.read += whole as u64;
        }
        Ok(Heard { taken: self.taken, cpu_s, ..Heard::default() })
    }
}

/// In the foreground, no look-up of names, no MIBs, everything taken and written.
fn snmptrapd(config: &Path, file: &Path, port: u16) -> (Vec<String>, String) {
    let (config, file) = (config.display().to_string(), file.display().to_string());
    let listen = format!("udp:127.0.0.1:{port}");
    let args = [
        "-f",
        "-n",
        "-C",
        "-c",
        &config,
        "-Lf",
        &file,
        "-On",
        "-m",
        "",
        "-M",
        "/nonexistent",
        &listen,
    ];
    let text = format!("disableAuthorization yes\n[snmp] serverRecvBuf {BUFFER}\n");
    (args.map(str::to_owned).to_vec(), text)
}

fn rsyslogd(
    dir: &Path,
    config: &Path,
    file: &Path,
    port: u16,
    kind: Kind,
) -> (Vec<String>, String) {
    let pid = dir.join("rsyslogd.pid").display().to_string();
    let args = ["-n", "-i", &pid, "-f", &config.display().to_string()].map(str::to_owned).to_vec();
    let (module, more) = match kind {
        Kind::Connection => ("imtcp", String::new()),
        _ => ("imudp", format!(" rcvbufSize=\"{BUFFER}\"")),
    };
    let text = format!(
        "global(workDirectory=\"{}\")\nmodule(load=\"{module}\")\n\
         input(type=\"{module}\" address=\"127.0.0.1\" port=\"{port}\"{more})\naction(type=\"omfile\" file=\"{}\")\n",
        dir.display(),
        file.display()
    );
    (args, text)
}

/// Whether anything on this machine listens at that port.
fn listens(port: u16) -> Result<bool> {
    let own = format!("0100007F:{port:04X}");
    for table in ["/proc/net/udp", "/proc/net/tcp"] {
        let text = std::fs::read_to_string(table)?;
        if text.lines().any(|line| line.split_whitespace().nth(1) == Some(&own)) {
            return Ok(true);
        }
    }
    Ok(false)
}
