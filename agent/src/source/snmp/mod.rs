//! SNMP polling (v1, v2c, v3): one task per device, one shared socket for all of them.
//!
//! How it is wired:
//!
//! ```text
//! let plans = Plans::new(Arc::new(profile::Library::load(profiles_dir)?));  // once
//! let settings = SnmpSettings::from_plain(&plain, &plans)?;                 // per [[snmp]]
//! let rules = settings.rules();                                             // whatever the device is
//!
//! let transport = Transport::bind().await?;                                 // once
//! tokio::spawn(transport.clone().receive(stop.clone()));                    // once
//! tokio::spawn(snmp::run(assignment, settings, transport));                 // per [[snmp]]
//! ```
//!
//! What is read, and by which rules, is chosen at the first answer: the rules come with the first batch
//! after it ([`super::Batch::rules`]), and again whenever the device says that it is another one.
//!
//! The position that comes with some batches holds what must outlive a restart: the device's id,
//! and which resources were once seen healthy. Without it all works, only a port that went down
//! while the agent did is not told from one that was never used.
//!
//! Besides what profiles read there is `snmp.reachable` ([`reachable::METRIC`]) with a rule of its
//! own, so that a device that falls silent is an alarm too. A device's id is decided at its first
//! answer (serial number, see [`identity`]); nothing is handed out before.
//!
//! Between the polls it is read what the device is made of ([`stock`]); that is handed out as an inventory.

pub mod appetite;
pub mod error;
pub mod evaluate;
pub mod identity;
pub mod keys;
pub mod memory;
pub mod message;
pub mod modules;
pub mod names;
pub mod outlet;
pub mod plan;
pub mod poll;
pub mod reachable;
pub mod restart;
pub mod rows;
pub mod session;
pub mod settings;
pub mod stock;
pub mod take;
pub mod tally;
pub mod transport;
pub mod usm;
pub mod value;
pub mod walk;

use std::time::Duration;

use tokio::time::Instant;

pub use outlet::Ties;
pub use plan::Plans;
pub use settings::{SnmpConfigError, SnmpPlain, SnmpSettings, V3Plain};
pub use transport::{Transport, TransportCounts};

use self::error::SnmpError;
use self::identity::Identity;
use self::memory::Memory;
use self::outlet::Outlet;
use self::poll::{Poller, Remarks};
use super::{Assignment, Health};

/// Between the first polls of two bunches of devices, as long as their interval has room for it. What is
/// polled at once is in memory at once, so not all of them.
const STEP: Duration = Duration::from_millis(100);
/// Devices in a bunch: their answers come together, and waking up for each costs more than reading it.
const BUNCH: u64 = 10;
/// A probe's question takes no longer, whatever the patience for polls is.
const PROBE: Duration = Duration::from_secs(15);

/// Polls one device until stopped.
pub async fn run(assignment: Assignment, settings: SnmpSettings, transport: Transport) {
    run_tied(assignment, settings, transport, Ties::default()).await;
}

/// The same, and tells others what they want to know.
pub async fn run_tied(
    assignment: Assignment,
    settings: SnmpSettings,
    transport: Transport,
    ties: Ties,
) {
    let Assignment { source, device, position, out, health, stop } = assignment;
    let memory = Memory::restore(position.as_ref());
    let identity = Identity::new(device);
    let seat = transport.seat();
    let mut poller = Poller::new(&settings, transport, memory, identity);
    poller.names = ties.names.clone();
    let outlet = Outlet::new(source, out, ties);
    let polling = async {
        let mut next = Instant::now() + first(seat, settings.interval);
        loop {
            tokio::select! {
                biased;
                () = tokio::time::sleep_until(next) => {}
                () = health.probe().rung() => {
                    prove(&mut poller, &outlet, &health).await;
                    continue;
                }
                () = std::future::ready(()), if poller.has_stock_to_take(next) => {
                    // Rare: it is not to make the task of each poll larger.
                    Box::pin(poller.take_stock(next, &outlet)).await;
                    continue;
                }
            }
            let began = Instant::now();
            poll_once(&mut poller, &outlet, &health, &settings, began + settings.interval).await;
            // One that got no answer, or came before it was known who the device is.
            prove(&mut poller, &outlet, &health).await;
            // A poll that took its whole time is followed by the next one at once, not by two.
            next = (next + settings.interval).max(Instant::now());
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = polling => {}
    }
}

async fn poll_once(
    poller: &mut Poller<'_>,
    outlet: &Outlet,
    health: &Health,
    settings: &SnmpSettings,
    deadline: Instant,
) {
    let address = settings.address.to_string();
    let began = Instant::now();
    let outcome = poller.poll(deadline, outlet).await;
    let faults = outcome.as_ref().map(|remarks| remarks.faults.len());
    health.readout(poller.readout(began.elapsed(), faults));
    match outcome {
        Ok(remarks) => {
            report(health, &remarks, poller.restarted());
            if poller.identity.device().is_none() {
                // It answers, but what it is could not be read: that must not go on for ever.
                poller.identity.failed(&mut poller.memory);
            }
            let mut readings = Vec::new();
            if settings.restart_alarm {
                readings.push(restart::reading(&address, poller.restarted()));
            }
            readings.push(reachable::reading(&address, None));
            poller.hand_out(outlet, readings).await;
        }
        Err(error) => {
            let detail = error.chain();
            health.failed(&detail);
            poller.identity.failed(&mut poller.memory);
            if !matches!(error, SnmpError::Busy | SnmpError::Budget) {
                let reading = reachable::reading(&address, Some(&detail));
                poller.hand_out(outlet, vec![reading]).await;
            }
        }
    }
}

/// A probe that is asked for: only the device's own answer turns it into a reading.
async fn prove(poller: &mut Poller<'_>, outlet: &Outlet, health: &Health) {
    let Some(nonce) = health.probe().asked() else { return };
    let began = std::time::Instant::now();
    if poller.identity.device().is_none() {
        return;
    }
    match poller.up_time(Instant::now() + PROBE).await {
        Ok(origin) => {
            let entered = health.probe().enter(nonce, began);
            poller
                .hand_out(outlet, entered.map(|e| e.reading(&origin)).into_iter().collect())
                .await;
        }
        Err(error) => tracing::debug!(error = error.chain(), "probe: no answer"),
    }
}

fn report(health: &Health, remarks: &Remarks, restarted: Option<&str>) {
    match remarks.faults.as_slice() {
        [] => match restarted {
            Some(why) => health.noted(&format!("it was restarted within the last hour: {why}")),
            None => health.ok(),
        },
        [one] => health.degraded(one),
        [first, more @ ..] => health.degraded(&format!("{first} (and {} more)", more.len())),
    }
}

/// When the device with this place in the order is polled for the first time.
fn first(seat: u64, interval: Duration) -> Duration {
    let turn = interval.as_millis().max(1);
    let at = u128::from(seat / BUNCH).saturating_mul(STEP.as_millis()) % turn;
    Duration::from_millis(u64::try_from(at).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_polls_are_spread_over_the_interval() {
        let ten = Duration::from_secs(10);
        let at = |seat| first(seat, ten).as_millis();
        assert_eq!((at(0), at(9), at(10), at(999)), (0, 0, 100, 9900), "a few begin at once");
        assert_eq!((at(1000), at(1010)), (0, 100), "none begins later than an interval");
        assert_eq!(first(7, Duration::ZERO), Duration::ZERO);
        assert!(first(u64::MAX, ten) < ten);
        // No moment of the interval has much more to do than another.
        let mut busy = [0_u32; 10];
        for seat in 0..5000 {
            busy[usize::try_from(at(seat) / 1000).unwrap()] += 1;
        }
        assert_eq!(busy, [500; 10]);
    }
}
