//! Takes one set of readings. Blocks: runs on a blocking thread.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use callhome_shared::time::Time;
use sysinfo::{Components, MemoryRefreshKind, System};

use super::mounts;
use crate::source::{Reading, Value};

/// Longest mount table that is read; what comes after is not watched, and that is said.
const MAX_TABLE_BYTES: u64 = 1 << 20;

/// One set of readings.
pub(super) struct Measured {
    pub readings: Vec<Reading>,
    /// What could not be read.
    pub problem: Option<String>,
    /// All mount points, watched or not.
    pub mount_points: HashSet<PathBuf>,
}

/// Keeps what sysinfo wants kept from one reading to the next.
pub(super) struct Probe {
    ignore_mounts: Vec<PathBuf>,
    system: Option<System>,
    components: Option<Components>,
}

impl Probe {
    pub(super) fn new(ignore_mounts: Vec<PathBuf>) -> Self {
        // Without thermal sensors (virtual machines) there is simply no temperature.
        Probe { ignore_mounts, system: System::new().ok(), components: Components::new().ok() }
    }

    pub(super) fn measure(&mut self) -> Measured {
        let at = Time::now();
        let mut problems = Vec::new();
        let mut mount_points = HashSet::new();
        let mut readings = Vec::new();
        match mount_tables() {
            Ok((table, kinds)) => {
                readings.extend(disks(
                    at,
                    &mounts::watched(&table, &kinds, &self.ignore_mounts),
                    &mut problems,
                ));
                mount_points = mounts::all(&table);
            }
            Err(error) => problems.push(format!("mount table: {error}")),
        }
        match &mut self.system {
            Some(system) => readings.extend(memory(at, system)),
            None => problems.push("memory: not readable".to_owned()),
        }
        if let Some(components) = &mut self.components {
            components.refresh(true);
            readings.extend(temperatures(at, components));
        }
        match load_per_core() {
            Ok(load) => readings.push(reading(at, "load.per_core", "", load, "", "/proc/loadavg")),
            Err(error) => problems.push(format!("load: {error}")),
        }
        let problem = (!problems.is_empty()).then(|| problems.join("; "));
        Measured { readings, problem, mount_points }
    }
}

fn mount_tables() -> std::io::Result<(String, String)> {
    Ok((read_table("/proc/self/mountinfo")?, read_table("/proc/filesystems")?))
}

fn disks(at: Time, points: &[PathBuf], problems: &mut Vec<String>) -> Vec<Reading> {
    let mut readings = Vec::new();
    for point in points {
        match used_percent(point) {
            Ok(Some(used)) => {
                let resource = point.to_string_lossy();
                readings.push(reading(at, "disk.used_percent", &resource, used, "%", "statvfs"));
            }
            Ok(None) => {}
            // Unmounted since the table was read, or hidden below another mount.
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::ACCESS) => {}
            Err(error) => problems.push(format!("{}: {error}", point.display())),
        }
    }
    readings
}

fn read_table(path: &str) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    let read = File::open(path)?.take(MAX_TABLE_BYTES).read_to_end(&mut bytes)?;
    if read as u64 == MAX_TABLE_BYTES {
        tracing::warn!(table = path, limit = MAX_TABLE_BYTES, "mount table cut at its limit");
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// As `df` counts: of what an ordinary user can use, root's reserve left out. `None` = no size.
#[allow(clippy::cast_precision_loss)]
fn used_percent(point: &Path) -> rustix::io::Result<Option<f64>> {
    let stat = rustix::fs::statvfs(point)?;
    let used = stat.f_blocks.saturating_sub(stat.f_bfree);
    let usable = used.saturating_add(stat.f_bavail);
    if usable == 0 {
        return Ok(None);
    }
    Ok(Some(used as f64 / usable as f64 * 100.0))
}

#[allow(clippy::cast_precision_loss)]
fn memory(at: Time, system: &mut System) -> Option<Reading> {
    system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
    let total = system.total_memory();
    if total == 0 {
        return None;
    }
    let used = total.saturating_sub(system.available_memory()) as f64 / total as f64 * 100.0;
    Some(reading(at, "memory.used_percent", "", used, "%", "/proc/meminfo"))
}

fn temperatures(at: Time, components: &Components) -> Vec<Reading> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut readings = Vec::new();
    for component in components {
        let Some(celsius) = component.temperature().filter(|t| t.is_finite()) else { continue };
        // Two equal disks have equal labels: the second of them is `… #2`.
        let label = component.label().trim().to_owned();
        let count = seen.entry(label.clone()).or_default();
        *count += 1;
        let resource = if *count == 1 { label } else { format!("{label} #{count}") };
        let celsius = f64::from(celsius);
        readings.push(reading(at, "temperature.celsius", &resource, celsius, "C", "hwmon"));
    }
    readings
}

fn load_per_core() -> Result<f64, sysinfo::Error> {
    Ok(System::load_average()?.one / f64::from(online_cores()))
}

/// All of the machine's: the load is the machine's too, whatever share of it this process may use.
fn online_cores() -> u32 {
    let listed = std::fs::read_to_string("/sys/devices/system/cpu/online");
    listed.ok().and_then(|list| count_cpu_list(&list)).unwrap_or_else(|| {
        let usable = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        u32::try_from(usable).unwrap_or(u32::MAX)
    })
}

/// How many `0-3,6` names; `None` if it names none.
fn count_cpu_list(list: &str) -> Option<u32> {
    let mut count = 0_u32;
    for part in list.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (first.parse::<u16>().ok()?, last.parse::<u16>().ok()?);
        count += u32::from(last.checked_sub(first)?) + 1;
    }
    (count > 0).then_some(count)
}

pub(super) fn reading(
    at: Time,
    metric: &str,
    resource: &str,
    value: f64,
    unit: &str,
    origin: &str,
) -> Reading {
    Reading {
        metric: Arc::from(metric),
        resource: resource.to_owned(),
        // One decimal: more is noise, and it would make every text of an alarm different.
        value: Value::Number((value * 10.0).round() / 10.0),
        unit: Arc::from(unit),
        origin: origin.into(),
        labels: Vec::new(),
        occurred_at: None,
        observed_at: at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_lists_are_counted() {
        assert_eq!(count_cpu_list("0-3,6\n"), Some(5));
        assert_eq!(count_cpu_list("0"), Some(1));
        assert_eq!(count_cpu_list("3-1"), None);
        assert_eq!(count_cpu_list(""), None);
    }

    #[test]
    fn this_host_can_be_measured() {
        let measured = Probe::new(Vec::new()).measure();
        assert_eq!(measured.problem, None);
        for metric in ["memory.used_percent", "load.per_core"] {
            let found = measured.readings.iter().filter(|r| &*r.metric == metric).count();
            assert_eq!(found, 1, "{metric}");
        }
        for reading in &measured.readings {
            let Value::Number(n) = reading.value else { panic!("{reading:?}") };
            assert!(n >= 0.0 && (reading.unit.as_ref() != "%" || n <= 100.0), "{reading:?}");
        }
    }

    /// Only root may mount; elsewhere this says that it skips.
    #[test]
    fn a_full_tmpfs_of_its_own_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let mount = |args: &[&str]| std::process::Command::new(args[0]).args(&args[1..]).output();
        let point = folder.path().to_str().unwrap();
        let mounted = mount(&["mount", "-t", "tmpfs", "-o", "size=4m", "callhome-test", point]);
        if !mounted.is_ok_and(|o| o.status.success()) {
            eprintln!("skipped: no right to mount");
            return;
        }
        let used = || {
            let all = Probe::new(Vec::new()).measure().readings;
            all.into_iter().find(|r| r.resource == point).map(|r| r.value)
        };
        let empty = used();
        std::fs::write(folder.path().join("ballast"), vec![1; 4 * 1024 * 1024 - 65536]).unwrap();
        let full = used();
        assert!(mount(&["umount", point]).unwrap().status.success());
        assert_eq!(empty, Some(Value::Number(0.0)));
        assert!(matches!(full, Some(Value::Number(n)) if n > 95.0), "{full:?}");
        assert_eq!(used(), None, "no longer there");
    }
}
