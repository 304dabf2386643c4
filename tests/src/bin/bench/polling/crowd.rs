//! Many small switches, each on an address of its own.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use callhome_tests::harness::free_udp_port;
use callhome_tests::snmp_sim::{Manners, SimValue, SnmpSim, Traffic};

use super::INTERVAL;

/// Ports of a switch.
pub const ROWS: u32 = 24;
/// Columns of IF-MIB's ifTable: what everybody reads of each port, the name first.
pub const COLUMNS: [(u32, &str); 6] = [
    (2, "ifDescr"),
    (8, "ifOperStatus"),
    (10, "ifInOctets"),
    (16, "ifOutOctets"),
    (14, "ifInErrors"),
    (20, "ifOutErrors"),
];
/// The table's entry.
pub const ENTRY: &str = "1.3.6.1.2.1.2.2.1";
/// The only community.
pub const COMMUNITY: &str = "public";

/// The switches.
pub struct Crowd {
    devices: Vec<SnmpSim>,
    dead: usize,
    /// Beginnings of polls count from here.
    since: std::sync::Mutex<Instant>,
}

impl Crowd {
    /// Starts `count`; each `dead`-th of them answers nothing (0: none).
    pub async fn start(count: usize, dead: usize) -> Result<Self> {
        let port = free_udp_port()?;
        let mut devices = Vec::with_capacity(count);
        for n in 0..u32::try_from(count)? {
            let address = Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 1, 0, 1)) + n);
            let device = SnmpSim::start(SocketAddr::from((address, port))).await?;
            fill(&device)?;
            if dead > 0 && (n as usize).is_multiple_of(dead) {
                device.set_manners(Manners { silent: true, ..Manners::default() });
            }
            devices.push(device);
        }
        Ok(Crowd { devices, dead, since: std::sync::Mutex::new(Instant::now()) })
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.devices.len()
    }

    /// Their addresses.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.devices.iter().map(SnmpSim::addr)
    }

    /// What all of them were asked and answered.
    pub fn traffic(&self) -> Traffic {
        self.devices.iter().fold(Traffic::default(), |sum, device| sum.plus(&device.traffic()))
    }

    /// Polls up to now say nothing.
    pub fn forget(&self) {
        if let Ok(mut since) = self.since.lock() {
            *since = Instant::now();
        }
    }

    /// How far the polls of the living ones begin from their interval, ms.
    pub fn deviations(&self) -> Vec<f64> {
        let since = self.since.lock().map_or_else(|_| Instant::now(), |since| *since);
        let dead = |n: usize| self.dead > 0 && n.is_multiple_of(self.dead);
        let alive = self.devices.iter().enumerate().filter(|(n, _)| !dead(*n));
        let mut all = Vec::new();
        for (_, device) in alive {
            let mut polls = device.beginnings(INTERVAL / 4);
            polls.retain(|at| *at >= since);
            let between = polls.windows(2).map(|pair| pair[1].duration_since(pair[0]));
            all.extend(between.map(|between| off(between).as_secs_f64() * 1000.0));
        }
        all
    }

    /// The agent's part: the devices, and the profile that they are read by.
    pub fn agent_toml(&self, profiles: &Path) -> Result<String> {
        std::fs::create_dir_all(profiles)?;
        std::fs::write(profiles.join("bench-switch.yaml"), profile())?;
        let mut toml = String::from("[probe]\ninterval_s = 0\n\n");
        for (n, address) in self.addresses().enumerate() {
            let _ = write!(
                toml,
                "[[device]]\nname = \"switch-{n}\"\nserial = \"SN{n}\"\n\n[[snmp]]\nname = \"snmp-{n}\"\n\
                 device = \"switch-{n}\"\naddress = \"{address}\"\nversion = \"2c\"\n\
                 community = \"{COMMUNITY}\"\ninterval_s = {}\nprofiles = [\"bench-switch\"]\n\n",
                INTERVAL.as_secs()
            );
        }
        Ok(toml)
    }
}

fn off(between: Duration) -> Duration {
    between.abs_diff(INTERVAL)
}

fn profile() -> String {
    let mut symbols = String::new();
    for (column, name) in &COLUMNS[1..] {
        let _ = writeln!(symbols, "      - {{ OID: {ENTRY}.{column}, name: {name} }}");
    }
    // A rule on every value, so that every column is read, by each row's name, and every value judged.
    let mut alarms = String::from(
        "alarms:\n  - metric: ifOperStatus\n    type: port-down\n    resource: \"port ${port}\"\n    \
         states: { 1: ok, 2: major }\n",
    );
    for (_, name) in &COLUMNS[2..] {
        let _ = writeln!(
            alarms,
            "  - metric: {name}\n    type: counts-much\n    resource: \"port ${{port}}\"\n    \
             threshold: {{ above: 4000000000, severity: warning }}"
        );
    }
    format!(
        "metrics:\n  - MIB: IF-MIB\n    table: {{ OID: 1.3.6.1.2.1.2.2, name: ifTable }}\n    symbols:\n{symbols}    \
         metric_tags:\n      - {{ tag: port, symbol: {{ OID: {ENTRY}.2, name: ifDescr }} }}\n{alarms}"
    )
}

fn fill(device: &SnmpSim) -> Result<()> {
    device.set("1.3.6.1.2.1.1.2.0", SimValue::ObjectId("1.3.6.1.4.1.32473.1".to_owned()))?;
    device.set("1.3.6.1.2.1.1.3.0", SimValue::TimeTicks(8_640_000))?;
    for row in 1..=ROWS {
        for (column, _) in &COLUMNS {
            let value = match column {
                2 => SimValue::OctetString(format!("GigabitEthernet1/0/{row}").into_bytes()),
                8 => SimValue::Integer(1),
                _ => SimValue::Counter32(3_000_000_000 + row),
            };
            device.set(&format!("{ENTRY}.{column}.{row}"), value)?;
        }
    }
    Ok(())
}

/// Each device has a socket: more than the usual limit of open files allows.
pub fn raise_file_limit() -> Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    Ok(())
}
