//! A whole call-home system in a folder: collector, broker, one agent; started, killed, restarted.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::api::Api;
use super::process::{Process, run};
use super::{free_port, program, until};

/// Which broker carries the messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broker {
    /// The collector's own.
    Embedded,
    /// Debian's mosquitto beside the collector, rights in an ACL file.
    Mosquitto,
    /// The same, with the shipped configuration: the collector keeps the rights in the dynamic
    /// security plugin.
    MosquittoDynsec,
}

/// Where Debian puts mosquitto; `None` where it is not installed.
pub fn mosquitto_program() -> Option<PathBuf> {
    ["/usr/sbin/mosquitto", "/usr/bin/mosquitto"].iter().map(PathBuf::from).find(|p| p.is_file())
}

/// Ports of one system, all on 127.0.0.1.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    /// MQTT.
    pub mqtt: u16,
    /// API and console.
    pub https: u16,
    /// The collector's health.
    pub collector_health: u16,
    /// The agent's health.
    pub agent_health: u16,
}

impl Ports {
    /// Free ones.
    pub fn free() -> Result<Self> {
        Ok(Ports {
            mqtt: free_port()?,
            https: free_port()?,
            collector_health: free_port()?,
            agent_health: free_port()?,
        })
    }
}

/// What is not as usual in a system.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// Replaces the collector's `[database]` section (empty = SQLite).
    pub database: String,
    /// More for `init`.
    pub init: Vec<String>,
    /// The agent's roads (URLs), when it shall not have those of its enrolment.
    pub agent_roads: Vec<String>,
    /// Port at which the collector finds mosquitto, when something stands in between.
    pub collector_dials: Option<u16>,
    /// More for the agent's `[collector]` section.
    pub agent_collector: String,
    /// Between its heartbeats, seconds; 5 without.
    pub heartbeat_s: Option<u64>,
    /// Environment of the agent.
    pub agent_env: Vec<(String, String)>,
    /// Environment of the collector.
    pub collector_env: Vec<(String, String)>,
    /// Log filter of both; stage marks when empty.
    pub log: String,
}

/// The system.
pub struct World {
    /// Its folder.
    pub dir: PathBuf,
    /// Its ports.
    pub ports: Ports,
    /// Which broker.
    pub broker: Broker,
    /// The administrator's one-time password, as `init` printed it.
    pub admin_password: String,
    collector: Option<Process>,
    mosquitto: Option<Process>,
    agent: Option<Process>,
    log_filter: String,
    setup: Setup,
}

/// Name of the service account the harness reads the API with.
pub const READER: &str = "harness";
/// Its password; the system lives on 127.0.0.1 in a folder of its own.
const READER_PASSWORD: &str = "harness-reads-4711";
/// The agent's id.
pub const AGENT: &str = "site-1";

impl World {
    /// Makes a system in `dir` (which must be empty or new) and starts its collector and broker.
    pub async fn create(dir: &Path, broker: Broker, ports: Ports) -> Result<Self> {
        World::create_with(dir, broker, ports, "").await
    }

    /// The same; `database` replaces the collector's `[database]` section (empty = SQLite).
    pub async fn create_with(
        dir: &Path,
        broker: Broker,
        ports: Ports,
        database: &str,
    ) -> Result<Self> {
        let setup = Setup { database: database.to_owned(), ..Setup::default() };
        World::create_unusual(dir, broker, ports, setup).await
    }

    /// The same, unusual in more than that.
    pub async fn create_unusual(
        dir: &Path,
        broker: Broker,
        ports: Ports,
        setup: Setup,
    ) -> Result<Self> {
        std::fs::create_dir_all(dir)?;
        let mut world = World {
            dir: dir.to_owned(),
            ports,
            broker,
            admin_password: String::new(),
            collector: None,
            mosquitto: None,
            agent: None,
            log_filter: "info,stage=trace".to_owned(),
            setup,
        };
        if !world.setup.log.is_empty() {
            world.log_filter.clone_from(&world.setup.log);
        }
        std::fs::write(world.collector_config(), world.collector_toml(&world.setup.database))?;
        let root = dir.join("offline-root").display().to_string();
        let mut init = vec!["init", "--root-out", &root];
        init.extend(world.setup.init.iter().map(String::as_str));
        let out = world.collector_cli(&init).await?;
        world.admin_password = one_time_password(&out)
            .with_context(|| format!("init printed no one-time password:\n{out}"))?;
        let args = ["user", "add", READER, "--role", "manager"];
        world.collector_cli_with(&args, Some(&format!("{READER_PASSWORD}\n"))).await?;
        match broker {
            Broker::Embedded => {}
            Broker::Mosquitto => world.write_mosquitto_config()?,
            Broker::MosquittoDynsec => {
                let dir = world.dir.join("mosquitto");
                std::fs::create_dir_all(&dir)?;
                super::mosquitto::write_shipped(&dir, &world.data_dir(), ports.mqtt)?;
            }
        }
        world.start_broker().await?;
        world.start_collector().await?;
        Ok(world)
    }

    /// No stage marks from here on: they cost time that a measurement must not pay. Starts the
    /// collector anew.
    pub async fn quiet(&mut self) -> Result<()> {
        self.log_filter = "warn".to_owned();
        if let Some(collector) = self.collector.take() {
            collector.stop(Duration::from_secs(20)).await?;
        }
        self.start_collector().await
    }

    /// The collector's configuration file.
    pub fn collector_config(&self) -> PathBuf {
        self.dir.join("collector.toml")
    }

    /// The collector's data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.dir.join("collector")
    }

    /// The agent's configuration file.
    pub fn agent_config(&self) -> PathBuf {
        self.dir.join("agent.toml")
    }

    /// The agent's state directory.
    pub fn state_dir(&self) -> PathBuf {
        self.dir.join("agent")
    }

    /// The address of API and console.
    pub fn url(&self) -> String {
        format!("https://localhost:{}", self.ports.https)
    }

    /// The CA's certificate.
    pub fn ca(&self) -> PathBuf {
        self.data_dir().join("ca/ca.pem")
    }

    fn collector_toml(&self, database: &str) -> String {
        let Ports { mqtt, https, collector_health, .. } = self.ports;
        let mode = match self.broker {
            Broker::Embedded => format!(
                "mode = \"embedded\"\nlisten = \"127.0.0.1:{mqtt}\"\n\
                 public_address = \"mqtts://localhost:{mqtt}\"\n"
            ),
            Broker::Mosquitto | Broker::MosquittoDynsec => {
                let rights =
                    if self.broker == Broker::Mosquitto { "none" } else { "dynamic-security" };
                let dials = self.setup.collector_dials.unwrap_or(mqtt);
                format!(
                    "mode = \"external\"
address = \"mqtts://localhost:{dials}\"
\
                     provision = \"{rights}\"
\
                     public_address = \"mqtts://localhost:{mqtt}\"
"
                )
            }
        };
        format!(
            "[collector]\nname = \"main\"\norganisation = \"Demo Support\"\ndata_dir = \"{}\"\n\
             names = [\"localhost\", \"127.0.0.1\"]\n\
             health_listen = \"127.0.0.1:{collector_health}\"\n{database}\n[mqtt]\n{mode}\n[https]\n\
             listen = \"127.0.0.1:{https}\"\npublic_url = \"https://localhost:{https}\"\n",
            self.data_dir().display()
        )
    }

    /// The part of the agent's configuration that is the same for every test; sources follow it.
    pub fn agent_toml(&self, sources: &str) -> String {
        // Beside mosquitto only that road: it is what such a test is about.
        let mqtt = match (self.setup.agent_roads.is_empty(), self.broker) {
            (true, Broker::Mosquitto | Broker::MosquittoDynsec) => {
                format!("mqtt = \"mqtts://localhost:{}\"\n", self.ports.mqtt)
            }
            _ => String::new(),
        };
        let road = |url: &String| format!("\n[[collector.road]]\nurl = \"{url}\"\n");
        let roads: String = self.setup.agent_roads.iter().map(road).collect();
        format!(
            "[agent]\nstate_dir = \"{}\"\ncontrol_socket = \"{}\"\n\
             health_listen = \"127.0.0.1:{}\"\nsite = \"SH-01\"\ncustomer = \"示例银行\"\n\
             contract = \"C-2026-001\"\n\n[collector]\nack_timeout_s = 3\nbackoff_first_ms = 100\n\
             backoff_max_s = 2\nfailback_s = 5\n{mqtt}{}{roads}\n[heartbeat]\ninterval_s = {}\n\n{sources}",
            self.state_dir().display(),
            self.control_socket().display(),
            self.ports.agent_health,
            self.setup.agent_collector,
            self.setup.heartbeat_s.unwrap_or(5),
        )
    }

    /// The agent's control socket. A path of its own: socket paths are limited to 108 bytes.
    pub fn control_socket(&self) -> PathBuf {
        self.dir.join("agent.sock")
    }

    /// Runs the collector's command line.
    pub async fn collector_cli(&self, args: &[&str]) -> Result<String> {
        self.collector_cli_with(args, None).await
    }

    async fn collector_cli_with(&self, args: &[&str], input: Option<&str>) -> Result<String> {
        let config = self.collector_config().display().to_string();
        let mut all = vec!["--config", &config];
        all.extend(args);
        run(&program("callhome-collector")?, &all, input).await
    }

    /// Runs the agent's command line.
    pub async fn agent_cli(&self, args: &[&str]) -> Result<String> {
        let config = self.agent_config().display().to_string();
        let mut all = vec!["--config", &config];
        all.extend(args);
        run(&program("callhome-agent")?, &all, None).await
    }

    /// Starts the collector and waits until it is ready.
    pub async fn start_collector(&mut self) -> Result<()> {
        self.spawn_collector().await?;
        wait_ready("collector", self.ports.collector_health, &mut self.collector).await
    }

    /// Starts the collector and waits for nothing.
    pub async fn spawn_collector(&mut self) -> Result<()> {
        let config = self.collector_config().display().to_string();
        let args = ["--config", &config, "serve"];
        let log = self.dir.join("collector.log");
        let envs = self.envs(&self.setup.collector_env);
        let program = program("callhome-collector")?;
        let process = Process::start("callhome-collector", &program, &args, &envs, &log).await?;
        self.collector = Some(process);
        Ok(())
    }

    fn envs<'a>(&'a self, more: &'a [(String, String)]) -> Vec<(&'a str, &'a str)> {
        let more = more.iter().map(|(k, v)| (k.as_str(), v.as_str()));
        std::iter::once(("CALLHOME_LOG", self.log_filter.as_str())).chain(more).collect()
    }

    /// Starts mosquitto, if that is the broker.
    pub async fn start_broker(&mut self) -> Result<()> {
        if self.broker == Broker::Embedded {
            return Ok(());
        }
        let program = mosquitto_program().context("mosquitto is not installed")?;
        let config = self.dir.join("mosquitto/mosquitto.conf").display().to_string();
        let args = ["-c", &config];
        let log = self.dir.join("mosquitto.log");
        let process = Process::start("mosquitto", &program, &args, &[], &log).await?;
        self.mosquitto = Some(process);
        let port = self.ports.mqtt;
        until("mosquitto", Duration::from_secs(10), Duration::from_millis(30), || async move {
            Ok(tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok().map(drop))
        })
        .await
    }

    /// Enrols the agent with a fresh token and writes its configuration.
    pub async fn enrol(&mut self, sources: &str) -> Result<()> {
        let token = self.dir.join("token.toml").display().to_string();
        self.collector_cli(&["agent", "token", AGENT, "--out", &token]).await?;
        std::fs::write(self.agent_config(), self.agent_toml(sources))?;
        let url = self.url();
        self.agent_cli(&["enroll", "--collector", &url, "--token-file", &token]).await?;
        Ok(())
    }

    /// Starts the agent and waits until it is healthy.
    pub async fn start_agent(&mut self) -> Result<()> {
        self.spawn_agent().await?;
        wait_healthy("agent", self.ports.agent_health, &mut self.agent).await
    }

    /// Starts the agent and waits for nothing.
    pub async fn spawn_agent(&mut self) -> Result<()> {
        let config = self.agent_config().display().to_string();
        let args = ["--config", &config, "run"];
        let log = self.dir.join("agent.log");
        let envs = self.envs(&self.setup.agent_env);
        let program = program("callhome-agent")?;
        let process = Process::start("callhome-agent", &program, &args, &envs, &log).await?;
        self.agent = Some(process);
        Ok(())
    }

    /// Waits until the agent is connected.
    pub async fn agent_ready(&mut self) -> Result<()> {
        wait_ready("agent", self.ports.agent_health, &mut self.agent).await
    }

    /// A client of the API.
    pub async fn api(&self) -> Result<Api> {
        self.api_at(&self.url()).await
    }

    /// A client of another collector of the same house.
    pub async fn api_at(&self, url: &str) -> Result<Api> {
        let first = Api::login(url, &self.ca(), READER, READER_PASSWORD).await;
        match first {
            Ok(api) => Ok(api),
            // The first log-in of the account may have changed the password already.
            Err(_) => {
                let changed = format!("{READER_PASSWORD}-changed");
                Api::login(url, &self.ca(), READER, &changed).await
            }
        }
    }

    /// The password that [`READER`] has by now: the first log-in may change it.
    pub async fn reader_password(&self) -> Result<String> {
        drop(self.api().await?);
        let still = Api::login(&self.url(), &self.ca(), READER, READER_PASSWORD).await;
        let end = if still.is_ok() { "" } else { "-changed" };
        Ok(format!("{READER_PASSWORD}{end}"))
    }

    /// The agent's process while it runs.
    pub fn agent(&self) -> Option<&Process> {
        self.agent.as_ref()
    }

    /// The collector's process while it runs.
    pub fn collector(&self) -> Option<&Process> {
        self.collector.as_ref()
    }

    /// The processes that ended by themselves since the last look, with their exit status; they are
    /// taken out.
    pub fn take_ended(&mut self) -> Result<Vec<(&'static str, String)>> {
        let mut ended = Vec::new();
        for (name, place) in [
            ("agent", &mut self.agent),
            ("collector", &mut self.collector),
            ("mosquitto", &mut self.mosquitto),
        ] {
            let Some(process) = place else { continue };
            if let Some(status) = process.ended()? {
                ended.push((name, status.to_string()));
                *place = None;
            }
        }
        Ok(ended)
    }

    /// Mosquitto's process while it runs.
    pub fn mosquitto(&self) -> Option<&Process> {
        self.mosquitto.as_ref()
    }

    /// Takes the agent's process out (to kill it).
    pub fn take_agent(&mut self) -> Option<Process> {
        self.agent.take()
    }

    /// Takes the collector's process out.
    pub fn take_collector(&mut self) -> Option<Process> {
        self.collector.take()
    }

    /// Takes mosquitto's process out.
    pub fn take_mosquitto(&mut self) -> Option<Process> {
        self.mosquitto.take()
    }

    /// Stops everything in order; an error when something does not end cleanly.
    pub async fn stop(mut self) -> Result<()> {
        let mut errors = Vec::new();
        for process in [self.agent.take(), self.collector.take()].into_iter().flatten() {
            if let Err(e) = process.stop(Duration::from_secs(20)).await {
                errors.push(e.to_string());
            }
        }
        if let Some(mosquitto) = self.mosquitto.take() {
            mosquitto.kill9().await?;
        }
        if errors.is_empty() { Ok(()) } else { bail!(errors.join("\n")) }
    }

    fn write_mosquitto_config(&self) -> Result<()> {
        let dir = self.dir.join("mosquitto");
        std::fs::create_dir_all(&dir)?;
        let data = self.data_dir();
        // mosquitto drops its rights to another user when started as root; here it keeps them to
        // read the keys, so it must be told.
        let user = if super::is_root() { "user root\n" } else { "" };
        let conf = format!(
            "{user}per_listener_settings false\nlistener {} 127.0.0.1\ncafile {}\ncertfile {}\n\
             keyfile {}\nrequire_certificate true\nuse_identity_as_username true\n\
             allow_anonymous false\nacl_file {}\npersistence true\npersistence_location {}/\n\
             autosave_interval 1\nautosave_on_changes true\nmax_inflight_messages 100\n\
             max_queued_messages 10000\nset_tcp_nodelay true\nlog_dest stderr\nlog_type error\nlog_type warning\n",
            self.ports.mqtt,
            data.join("ca/ca.pem").display(),
            data.join("tls/server.pem").display(),
            data.join("tls/server.key").display(),
            dir.join("acl").display(),
            dir.display(),
        );
        std::fs::write(dir.join("mosquitto.conf"), conf)?;
        std::fs::write(
            dir.join("acl"),
            "user main\ntopic read callhome/v1/+/up/#\ntopic write callhome/v1/+/down/#\n\n\
             pattern write callhome/v1/%u/up/#\npattern read callhome/v1/%u/down/#\n",
        )?;
        Ok(())
    }
}

/// The one-time password in what `init` printed: the last word of the line that names it.
fn one_time_password(out: &str) -> Option<String> {
    out.lines()
        .find(|line| line.to_lowercase().contains("one-time password"))
        .and_then(|line| line.split_whitespace().last())
        .map(str::to_owned)
}

/// GET over plain HTTP on 127.0.0.1; the status code.
async fn status(port: u16, path: &str) -> Result<u16> {
    let answer = reqwest::Client::builder()
        .tls_backend_preconfigured(callhome_shared::tls::client_config(&[], None)?)
        .timeout(Duration::from_secs(3))
        .build()?
        .get(format!("http://127.0.0.1:{port}{path}"))
        .send()
        .await?;
    Ok(answer.status().as_u16())
}

/// GET over plain HTTP on 127.0.0.1; the body.
pub async fn plain_get(port: u16, path: &str) -> Result<String> {
    let answer = reqwest::Client::builder()
        .tls_backend_preconfigured(callhome_shared::tls::client_config(&[], None)?)
        .timeout(Duration::from_secs(5))
        .build()?
        .get(format!("http://127.0.0.1:{port}{path}"))
        .send()
        .await?
        .error_for_status()?;
    Ok(answer.text().await?)
}

async fn wait_ready(name: &str, port: u16, process: &mut Option<Process>) -> Result<()> {
    wait_for(name, port, "/readyz", process).await
}

async fn wait_healthy(name: &str, port: u16, process: &mut Option<Process>) -> Result<()> {
    wait_for(name, port, "/healthz", process).await
}

async fn wait_for(name: &str, port: u16, path: &str, process: &mut Option<Process>) -> Result<()> {
    let start = std::time::Instant::now();
    while start.elapsed() < Duration::from_secs(30) {
        let running = process.as_mut().context("not started")?;
        if let Some(status) = running.ended()? {
            let log = std::fs::read_to_string(running.log()).unwrap_or_default();
            let tail: Vec<&str> = log.lines().rev().take(15).collect();
            let tail: Vec<&str> = tail.into_iter().rev().collect();
            bail!("{name} ended at once with {status}:\n{}", tail.join("\n"));
        }
        if matches!(status(port, path).await, Ok(200)) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    bail!("{name} does not answer {path} on port {port} within 30 s")
}
