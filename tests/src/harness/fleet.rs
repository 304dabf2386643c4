//! The devices of one test or demo: a simulated array, a real snmpd, a console, a log, a small disk of
//! the host; and how a fault is put into each.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::console::Console;
use super::logs::{RotatingLog, Rotation};
use super::process::run;
use super::snmpd::{self, Snmpd};
use super::{is_root, now_ms};
use crate::snmp_sim::{SimValue, SnmpSim};

/// Where faults come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Simulated array, SNMP v2c (standing).
    Array,
    /// Real snmpd, SNMP v3 (standing).
    Snmpd,
    /// Console lines on a pseudo-terminal (ephemeral).
    Console,
    /// Log file that rotates (replayable).
    Log,
    /// A disk of the host (standing).
    Host,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 5] = [Kind::Array, Kind::Snmpd, Kind::Console, Kind::Log, Kind::Host];

    /// For people.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Array => "array (SNMP v2c)",
            Kind::Snmpd => "snmpd (SNMP v3)",
            Kind::Console => "console (pty)",
            Kind::Log => "log file",
            Kind::Host => "host disk",
        }
    }

    /// The device's configured name.
    pub fn device(self) -> &'static str {
        match self {
            Kind::Array => "array-1",
            Kind::Snmpd => "server-1",
            Kind::Console => "switch-1",
            Kind::Log | Kind::Host => "host-1",
        }
    }

    /// The configured name of the source that reads it.
    pub fn source(self) -> &'static str {
        match self {
            Kind::Array => "array-1-snmp",
            Kind::Snmpd => "server-1-snmp",
            Kind::Console => "switch-1-console",
            Kind::Log => "messages",
            Kind::Host => "host",
        }
    }

    /// Whether the device keeps its state so that the next poll tells again.
    pub fn is_standing(self) -> bool {
        matches!(self, Kind::Array | Kind::Snmpd | Kind::Host)
    }

    /// Whether only a fault that was put in here has such a resource. The host's disks are nobody's
    /// own: those of other runs on the same machine show up, too.
    pub fn injects(self, resource: &str) -> bool {
        match self {
            Kind::Array => resource.starts_with("Disk "),
            Kind::Snmpd => resource.starts_with("file "),
            Kind::Console => resource.starts_with("unit-"),
            Kind::Log => resource.starts_with("sd"),
            Kind::Host => false,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One injected fault.
#[derive(Clone, Debug)]
pub struct Fault {
    /// Into which source.
    pub kind: Kind,
    /// The device it must show up on.
    pub device: &'static str,
    /// The resource it must show up on.
    pub resource: String,
    /// When it was written, ms since 1970.
    pub at: i64,
}

/// How many faults each standing source can hold.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Disks of the array.
    pub array_disks: usize,
    /// Files that snmpd watches, at most 20.
    pub snmpd_files: usize,
    /// Small disks of the host (needs root).
    pub host_disks: usize,
    /// Between polls, seconds.
    pub poll_s: u64,
}

/// All devices.
pub struct Fleet {
    plan: Plan,
    dir: PathBuf,
    sim: SnmpSim,
    snmpd: Option<Snmpd>,
    /// The console.
    pub console: Console,
    log: RotatingLog,
    mounts: Vec<PathBuf>,
}

/// `entPhysicalDescr`, `entPhysicalClass`, `entPhysicalName` (ENTITY-MIB, RFC 6933).
const ENT_PHYSICAL: &str = "1.3.6.1.2.1.47.1.1.1.1";
/// `entStateOper` (ENTITY-STATE-MIB, RFC 4268): 2 disabled, 3 enabled.
const ENT_STATE_OPER: &str = "1.3.6.1.2.1.131.1.1.1.3";
/// What the console answers to.
pub const COMMAND: &str = "show environment";
/// Its prompt.
pub const PROMPT: &str = "switch-1#";

impl Fleet {
    /// Starts all of it in `dir`; sources that this machine cannot give are left out.
    pub async fn start(dir: &Path, plan: Plan) -> Result<Self> {
        std::fs::create_dir_all(dir)?;
        let sim = SnmpSim::start("127.0.0.1:0".parse()?).await?;
        fill_array(&sim, plan.array_disks);
        let snmpd = match (plan.snmpd_files, snmpd::program()) {
            (0, _) | (_, None) => None,
            (files, Some(_)) => Some(Snmpd::start(&dir.join("snmpd"), files).await?),
        };
        let console = Console::open(PROMPT)?;
        console.set_answer(COMMAND, "PSU 1   ok\nPSU 2   ok\nFAN 1   ok");
        let log = RotatingLog::create(&dir.join("messages"))?;
        let mut fleet =
            Fleet { plan, dir: dir.to_owned(), sim, snmpd, console, log, mounts: Vec::new() };
        fleet.mount_disks().await?;
        Ok(fleet)
    }

    /// Kinds that can be used here.
    pub fn kinds(&self) -> Vec<Kind> {
        Kind::ALL
            .into_iter()
            .filter(|k| match k {
                Kind::Array => self.plan.array_disks > 0,
                Kind::Snmpd => self.snmpd.is_some(),
                Kind::Host => !self.mounts.is_empty(),
                Kind::Console | Kind::Log => true,
            })
            .collect()
    }

    /// How many different faults a kind can hold.
    pub fn capacity(&self, kind: Kind) -> usize {
        match kind {
            Kind::Array => self.plan.array_disks,
            Kind::Snmpd => self.snmpd.as_ref().map_or(0, Snmpd::files),
            Kind::Host => self.mounts.len(),
            Kind::Console | Kind::Log => usize::MAX,
        }
    }

    /// The agent's configuration for it: devices and sources.
    pub fn agent_toml(&self) -> Result<String> {
        let Plan { poll_s, .. } = self.plan;
        let secret = |name: &str, text: &str| -> Result<String> {
            let path = self.dir.join(name);
            std::fs::write(&path, format!("{text}\n"))?;
            Ok(path.display().to_string())
        };
        let community = secret("community", "public")?;
        let mut toml = String::new();
        for (name, vendor, model) in [
            ("array-1", "Simulated", "DemoArray 5000"),
            ("server-1", "net-snmp", "snmpd"),
            ("switch-1", "Simulated", "DemoSwitch 48"),
            ("host-1", "", ""),
        ] {
            toml.push_str(&format!("[[device]]\nname = \"{name}\"\n"));
            if !vendor.is_empty() {
                toml.push_str(&format!("vendor = \"{vendor}\"\nmodel = \"{model}\"\n"));
            }
            toml.push('\n');
        }
        toml.push_str(&format!(
            "[[snmp]]\nname = \"array-1-snmp\"\ndevice = \"array-1\"\naddress = \"{}\"\n\
             version = \"2c\"\ncommunity_file = \"{community}\"\ninterval_s = {poll_s}\n\
             timeout_ms = 1000\nprofiles = [\"entity-state\"]\n\n",
            self.sim.addr()
        ));
        if let Some(snmpd) = &self.snmpd {
            let auth = secret("auth", snmpd::AUTH_PASSWORD)?;
            let privacy = secret("priv", snmpd::PRIV_PASSWORD)?;
            toml.push_str(&format!(
                "[[snmp]]\nname = \"server-1-snmp\"\ndevice = \"server-1\"\n\
                 address = \"127.0.0.1:{}\"\nversion = \"3\"\ninterval_s = {poll_s}\n\
                 timeout_ms = 1000\nprofiles = [\"ucd-snmp\"]\n\n[snmp.v3]\nuser = \"{}\"\n\
                 auth = \"sha256\"\nauth_password_file = \"{auth}\"\npriv = \"aes128\"\n\
                 priv_password_file = \"{privacy}\"\n\n",
                snmpd.port,
                snmpd::USER
            ));
        }
        toml.push_str(&format!(
            "[[serial]]\nname = \"switch-1-console\"\ndevice = \"switch-1\"\nport = \"{}\"\n\
             baud = 9600\nidle_flush_ms = 300\n\n[[serial.pattern]]\nid = \"psu\"\n\
             match = '%ENV-2-FAIL: (?P<unit>\\S+) failed'\nclear = '%ENV-6-OK: (?P<unit>\\S+) ok'\n\
             type = \"hardware-failed\"\nseverity = \"major\"\nresource = \"${{unit}}\"\n\n\
             [[serial.command]]\nid = \"env\"\nsend = \"{COMMAND}\\r\"\nevery_s = {poll_s}\n\
             timeout_ms = 2000\nuntil = '^{PROMPT}\\s*$'\n\n[[serial.command.pattern]]\n\
             id = \"env-bad\"\nmatch = '^(?P<unit>(PSU|FAN) \\d+)\\s+(FAILED|absent)'\n\
             type = \"environment-bad\"\nseverity = \"critical\"\nresource = \"${{unit}}\"\n\n",
            self.console.path().display()
        ));
        toml.push_str(&format!(
            "[[logfile]]\nname = \"messages\"\ndevice = \"host-1\"\npath = \"{}\"\n\
             from = \"start\"\n\n[[logfile.pattern]]\nid = \"io-error\"\n\
             match = 'I/O error on (?P<disk>[a-z0-9]+)'\nclear = 'I/O recovered on (?P<disk>[a-z0-9]+)'\n\
             type = \"disk-io-error\"\nseverity = \"critical\"\nresource = \"${{disk}}\"\n\
             fault_code = \"HOST-DISK-IO\"\nrepair = \"Replace the disk.\"\n\n",
            self.log.path().display()
        ));
        if !self.mounts.is_empty() {
            toml.push_str(&format!(
                "[host]\nname = \"host\"\ndevice = \"host-1\"\ninterval_s = {poll_s}\n\
                 disk_warning_pct = 85\ndisk_critical_pct = 95\nfor_s = 0\n\
                 load_warning_per_core = 1000.0\nmemory_warning_pct = 98\n\
                 memory_critical_pct = 99\n"
            ));
        }
        Ok(toml)
    }

    /// Puts fault number `n` (from 1) into `kind`. Each number is another fault.
    pub fn inject(&mut self, kind: Kind, n: usize) -> Result<Fault> {
        if n == 0 || n > self.capacity(kind) {
            bail!("{kind} holds {} faults, {n} was asked for", self.capacity(kind));
        }
        let at = now_ms();
        let resource = match kind {
            Kind::Array => {
                self.sim.set(&format!("{ENT_STATE_OPER}.{n}"), SimValue::Integer(2))?;
                format!("Disk {n}")
            }
            Kind::Snmpd => {
                let snmpd = self.snmpd.as_ref().context("no snmpd")?;
                snmpd.set_fault(n, true)?;
                snmpd.resource(n)
            }
            Kind::Console => {
                self.console.line(&format!("%ENV-2-FAIL: unit-{n} failed, see \"show env\""))?;
                format!("unit-{n}")
            }
            Kind::Log => {
                self.log
                    .line(&format!("kernel: [{n}.0] blk_update: I/O error on sd{n}, sector 7"))?;
                format!("sd{n}")
            }
            Kind::Host => {
                let mount = self.mounts.get(n - 1).context("no such disk")?;
                std::fs::write(mount.join("filled"), vec![0_u8; 1000 * 1024])?;
                mount.display().to_string()
            }
        };
        Ok(Fault { kind, device: kind.device(), resource, at })
    }

    /// Takes a standing fault out again.
    pub fn mend(&mut self, kind: Kind, n: usize) -> Result<()> {
        match kind {
            Kind::Array => self.sim.set(&format!("{ENT_STATE_OPER}.{n}"), SimValue::Integer(3))?,
            Kind::Snmpd => self.snmpd.as_ref().context("no snmpd")?.set_fault(n, false)?,
            Kind::Console => self.console.line(&format!("%ENV-6-OK: unit-{n} ok"))?,
            Kind::Log => self.log.line(&format!("kernel: I/O recovered on sd{n}"))?,
            Kind::Host => std::fs::remove_file(
                self.mounts.get(n - 1).context("no such disk")?.join("filled"),
            )?,
        }
        Ok(())
    }

    /// A line of the log that means nothing.
    pub fn log_noise(&mut self, text: &str) -> Result<()> {
        self.log.line(text)
    }

    /// Rotates the log.
    pub fn rotate_log(&mut self, how: Rotation) -> Result<()> {
        self.log.rotate(how)
    }

    /// Rotations so far.
    pub fn rotations(&self) -> usize {
        self.log.rotations
    }

    /// Ends snmpd and takes the small disks away.
    pub async fn stop(mut self) -> Result<()> {
        if let Some(snmpd) = self.snmpd.take() {
            snmpd.stop().await?;
        }
        self.unmount();
        Ok(())
    }

    fn unmount(&mut self) {
        for mount in self.mounts.drain(..) {
            unmount(&mount);
        }
    }

    async fn mount_disks(&mut self) -> Result<()> {
        if !is_root() {
            return Ok(());
        }
        for n in 1..=self.plan.host_disks {
            let dir = self.dir.join(format!("disk-{n}"));
            std::fs::create_dir_all(&dir)?;
            let path = dir.display().to_string();
            let args = ["-t", "tmpfs", "-o", "size=1m", "callhome-test", &path];
            // A container may forbid mounting: then the host source is left out, and said so.
            if run(Path::new("mount"), &args, None).await.is_err() {
                break;
            }
            self.mounts.push(dir);
        }
        Ok(())
    }
}

impl Drop for Fleet {
    /// A test that failed must not leave its disks mounted: other agents on the host would see them.
    fn drop(&mut self) {
        self.unmount();
    }
}

fn unmount(path: &Path) {
    let _ =
        std::process::Command::new("umount").arg(path).stderr(std::process::Stdio::null()).status();
}

/// Unmounts what a run that was killed left behind below `dir`.
pub fn unmount_leftovers(dir: &Path) {
    for n in 1..=64 {
        let path = dir.join(format!("disk-{n}"));
        if !path.exists() {
            break;
        }
        unmount(&path);
    }
}

fn fill_array(sim: &SnmpSim, disks: usize) {
    let set = |oid: String, value: SimValue| {
        let _ = sim.set(&oid, value);
    };
    set("1.3.6.1.2.1.1.1.0".into(), SimValue::OctetString(b"DemoArray 5000".to_vec()));
    set("1.3.6.1.2.1.1.2.0".into(), SimValue::ObjectId("1.3.6.1.4.1.99999.1.1".into()));
    set("1.3.6.1.2.1.1.3.0".into(), SimValue::TimeTicks(4711));
    for n in 1..=disks {
        let name = format!("Disk {n}").into_bytes();
        set(format!("{ENT_PHYSICAL}.2.{n}"), SimValue::OctetString(name.clone()));
        set(format!("{ENT_PHYSICAL}.5.{n}"), SimValue::Integer(9));
        set(format!("{ENT_PHYSICAL}.7.{n}"), SimValue::OctetString(name));
        let serial = format!("DSK-{n:04}").into_bytes();
        set(format!("{ENT_PHYSICAL}.11.{n}"), SimValue::OctetString(serial));
        set(format!("{ENT_STATE_OPER}.{n}"), SimValue::Integer(3));
    }
}
