//! The host itself: disks, memory, temperatures, load.
//!
//! A standing source: the next reading tells again, so nothing is lost. All that is stored is what
//! there was, so that an alarm of a file system or a sensor that is gone ends.

mod identity;
mod measure;
mod mounts;
mod presence;
mod rules;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use callhome_shared::inventory::Inventory;
use callhome_shared::logging::STAGE;
use callhome_shared::time::Time;
use tokio::time::MissedTickBehavior;

use super::{ABSENT, Assignment, Batch, Reading, SourceKind, Value};
use measure::{Measured, Probe};
use presence::Presence;

pub use rules::builtin_rules;

/// Everything that is read.
pub const METRICS: [&str; 4] =
    ["disk.used_percent", "memory.used_percent", "temperature.celsius", "load.per_core"];

/// Between two looks at what the host is; it is told when it is something else, and once a day.
const IDENTITY_EVERY: Duration = Duration::from_secs(3600);

/// What to read.
#[derive(Clone, Debug, PartialEq)]
pub struct HostSettings {
    /// Between two readings.
    pub interval: Duration,
    /// Mount points that are not watched.
    pub ignore_mounts: Vec<PathBuf>,
}

/// Limits of the built-in rules.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HostLimits {
    /// Used share of a file system, %.
    pub disk_warning_pct: f64,
    /// See `disk_warning_pct`.
    pub disk_critical_pct: f64,
    /// Used share of memory, %.
    pub memory_warning_pct: f64,
    /// See `memory_warning_pct`.
    pub memory_critical_pct: f64,
    /// A sensor's temperature, °C.
    pub temperature_warning_c: f64,
    /// See `temperature_warning_c`.
    pub temperature_critical_c: f64,
    /// Load average over one minute, per core.
    pub load_warning_per_core: f64,
    /// How long a limit must be exceeded before it counts, ms.
    pub for_ms: i64,
}

/// Reads until stopped. A full channel delays the next reading.
pub async fn run(assignment: Assignment, settings: HostSettings) {
    let Assignment { health, stop, .. } = &assignment;
    let mut probe = Some(Probe::new(settings.ignore_mounts.clone()));
    let mut presence = Presence::restore(assignment.position.as_ref());
    let mut identified: Option<std::time::Instant> = None;
    let mut ticks = tokio::time::interval(settings.interval.max(Duration::from_millis(100)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
            () = health.probe().rung() => {}
        }
        let asked = health.probe().asked();
        let began = std::time::Instant::now();
        let mut using = probe.take().unwrap_or_else(|| Probe::new(settings.ignore_mounts.clone()));
        // statvfs waits for the disk: never on the runtime's own thread.
        let identifies = identified.is_none_or(|at| at.elapsed() >= IDENTITY_EVERY);
        let device = assignment.device.clone();
        let read = tokio::task::spawn_blocking(move || {
            let measured = using.measure();
            let inventory = identifies.then(|| identity::read(Path::new("/"), &device));
            (using, measured, inventory)
        });
        // A file system that hangs must not keep the agent from stopping.
        let read = tokio::select! {
            () = stop.cancelled() => return,
            read = read => read,
        };
        let (mut measured, inventory) = match read {
            Ok((used, measured, inventory)) => {
                probe = Some(used);
                (measured, inventory)
            }
            Err(error) => {
                health.failed(&format!("reading the host: {error}"));
                continue;
            }
        };
        if identifies && !measured.readings.is_empty() {
            identified = Some(began);
        }
        if !measured.readings.is_empty() {
            let entered = asked.and_then(|nonce| health.probe().enter(nonce, began));
            measured.readings.extend(entered.map(|probe| probe.reading("this host")));
        }
        let sent = tokio::select! {
            () = stop.cancelled() => return,
            sent = hand_over(&assignment, measured, inventory, &mut presence) => sent,
        };
        if !sent {
            return;
        }
    }
}

/// Whether anybody still listens.
async fn hand_over(
    assignment: &Assignment,
    mut measured: Measured,
    inventory: Option<Inventory>,
    presence: &mut Presence,
) -> bool {
    let Assignment { source, device, out, health, .. } = assignment;
    if measured.readings.is_empty() {
        health.failed(measured.problem.as_deref().unwrap_or("nothing could be read"));
        return true;
    }
    match &measured.problem {
        // What could not be read may be there all the same.
        Some(problem) => health.degraded(problem),
        None => {
            health.ok();
            declare_gone(&mut measured, presence);
        }
    }
    let count = measured.readings.len();
    let batch = Batch {
        source: Arc::clone(source),
        kind: SourceKind::Host,
        device: Arc::clone(device),
        rules: None,
        readings: measured.readings,
        position: presence.position(),
        gaps: Vec::new(),
        heard_until: None,
        stored: None,
        inventory: inventory.map(Box::new),
    };
    if out.send(batch).await.is_err() {
        return false;
    }
    tracing::trace!(target: STAGE, at = "source.read", source = %source, readings = count);
    true
}

/// A last reading of what was there before and is no more. A file system that is still mounted and
/// only no longer watched (it became read-only, perhaps by an error) is not gone.
fn declare_gone(measured: &mut Measured, presence: &mut Presence) {
    let Measured { readings, mount_points, .. } = measured;
    let gone = presence.update(readings, |_, resource| mount_points.contains(Path::new(resource)));
    let now = Time::now();
    readings.extend(gone.into_iter().map(|(metric, resource)| Reading {
        value: Value::Text(ABSENT.to_owned()),
        ..measure::reading(now, &metric, &resource, 0.0, "", "")
    }));
}
