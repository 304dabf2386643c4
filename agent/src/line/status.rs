//! How the line is doing, and what can be asked of it.

use std::sync::Arc;

use callhome_shared::alarm::Alarm;
use callhome_shared::bundle::Told;
use callhome_shared::heartbeat::AsOf;
use callhome_shared::time::Time;
use serde::Serialize;
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::alarm::HeldCounts;
use crate::hold::{Ask, Hold, Shown};

/// A picture of the line, published after each transaction and each second.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Status {
    /// Number of active alarms.
    pub active_alarms: u64,
    /// [`callhome_shared::heartbeat::active_digest`] of them; at most a second old.
    pub active_digest: Arc<str>,
    /// The last envelope of the alarm lane that the digest takes into account.
    pub active_as_of: Option<AsOf>,
    /// Since when readings are not taken because the outbox is full or cannot be written.
    pub blocked_since: Option<Time>,
    /// Why.
    pub blocked_by: Option<Arc<str>>,
    /// Alarms that are held back, and nobody was told of.
    pub held: HeldCounts,
    /// The revision of the windows of maintenance that the centre set.
    pub centre: Arc<str>,
    /// Windows of maintenance, those that are now first.
    pub windows: Arc<[Shown]>,
    /// Remembered rule states (faulty, pending or silent ones; healthy ones need none).
    pub rule_states: u64,
    /// What was counted since the start.
    pub counts: Counts,
}

/// Counters since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Batches stored.
    pub batches: u64,
    /// Readings stored.
    pub readings: u64,
    /// Alarms raised.
    pub raised: u64,
    /// Alarms changed.
    pub changed: u64,
    /// Alarms cleared.
    pub cleared: u64,
    /// Losses declared.
    pub losses: u64,
    /// Raises refused because the active set is full.
    pub alarms_refused: u64,
    /// Readings not judged because a source's rule state is full.
    pub states_refused: u64,
    /// Times the whole active set was sent.
    pub resyncs: u64,
    /// Times it was said of a device, or of the agent, that no alarm stands any more.
    pub clear_alls: u64,
    /// What devices are and are made of: times it was told.
    pub inventories: u64,
    /// Alarms held back.
    pub held: u64,
    /// Of these, those that ended before they were told.
    pub held_ended: u64,
    /// Of these, those that were told when the reason was gone.
    pub released: u64,
}

impl Counts {
    /// Adds what a transaction counted.
    pub(super) fn add(&mut self, more: &Counts) {
        let Counts {
            batches,
            readings,
            raised,
            changed,
            cleared,
            losses,
            alarms_refused,
            states_refused,
            resyncs,
            clear_alls,
            inventories,
            held,
            held_ended,
            released,
        } = more;
        self.batches += batches;
        self.readings += readings;
        self.raised += raised;
        self.changed += changed;
        self.cleared += cleared;
        self.losses += losses;
        self.alarms_refused += alarms_refused;
        self.states_refused += states_refused;
        self.resyncs += resyncs;
        self.clear_alls += clear_alls;
        self.inventories += inventories;
        self.held += held;
        self.held_ended += held_ended;
        self.released += released;
    }
}

/// What can be asked of the line.
#[derive(Debug)]
pub enum Command {
    /// Raise a test alarm. It is cleared when its receipt has arrived, or after five minutes.
    TestAlarm {
        /// Answered after the transaction.
        reply: oneshot::Sender<Result<TestAlarm, String>>,
    },
    /// The collector asks for the whole active set. Sent within a second, unless it is on its way.
    Resync {
        /// Why, a stable word.
        reason: String,
    },
    /// An evidence bundle is at the collector: an `evidence` envelope is to say so.
    Bundle {
        /// What it says; redacted already.
        told: Box<Told>,
        /// Answered after the transaction.
        reply: oneshot::Sender<Result<(), String>>,
    },
    /// What is asked of the windows of maintenance.
    Maintenance {
        /// What.
        ask: Ask,
        /// The windows afterwards, or why not.
        reply: oneshot::Sender<Result<Vec<Shown>, String>>,
    },
    /// List the alarms that are held back, the newest first.
    Held {
        /// At most so many.
        limit: usize,
        /// The answer.
        reply: oneshot::Sender<Vec<(Alarm, Hold)>>,
    },
    /// List active alarms, the newest first.
    Active {
        /// At most so many.
        limit: usize,
        /// The answer.
        reply: oneshot::Sender<Vec<Alarm>>,
    },
}

/// A test alarm that is stored. Its ticket: [`crate::outbox::Handle::wait_receipt`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TestAlarm {
    /// The alarm life.
    pub alarm_id: Uuid,
    /// The envelope that raised it.
    pub envelope: Uuid,
    /// When it was raised.
    pub at: Time,
}
