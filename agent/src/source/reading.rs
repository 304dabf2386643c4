//! What sources hand to the line.

use std::fmt;
use std::sync::Arc;

use callhome_shared::alarm::Device;
use callhome_shared::inventory::Inventory;
use callhome_shared::time::Time;
use tokio::sync::mpsc;

use super::probe::Entered;
use crate::profile::oid::Oid;
use crate::rule::RuleSet;

/// How a source can (or cannot) tell again what it once told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SourceKind {
    /// SNMP polling: standing, the next poll tells again.
    Snmp,
    /// Serial console: ephemeral, what comes while nobody listens is gone.
    Serial,
    /// A log file: replayable from a position.
    Logfile,
    /// The host itself: standing.
    Host,
    /// Syslog messages: ephemeral. Of many devices: each batch says of which.
    Syslog,
    /// SNMP traps: ephemeral; informs: confirmed.
    Trap,
}

impl SourceKind {
    /// The name in configuration, health and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            SourceKind::Snmp => "snmp",
            SourceKind::Serial => "serial",
            SourceKind::Logfile => "logfile",
            SourceKind::Host => "host",
            SourceKind::Syslog => "syslog",
            SourceKind::Trap => "trap",
        }
    }

    /// Whether a time that the device says is from just now, so that it tells how far its clock is off.
    pub fn is_live(self) -> bool {
        matches!(self, SourceKind::Syslog)
    }

    /// Whether what is read, and by which rules, is only known once the device has said what it is
    /// ([`Batch::rules`]).
    pub fn is_planned(self) -> bool {
        matches!(self, SourceKind::Snmp)
    }

    /// Whether it says what its device is ([`Batch::inventory`]).
    pub fn tells_inventory(self) -> bool {
        matches!(self, SourceKind::Snmp | SourceKind::Host)
    }
}

/// How far a source has read: opaque to everybody but the source that made it. At most 64 KiB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position(pub Vec<u8>);

/// Readings that belong together and are decided on in one transaction.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The source's configured name.
    pub source: Arc<str>,
    /// Its kind.
    pub kind: SourceKind,
    /// The device it watches, as far as known now (a poll may fill in serial, model, firmware).
    pub device: Arc<Device>,
    /// The source has chosen what it reads: the rules that look at its readings from this batch on,
    /// beside those that always do. `None` = as before. What others had raised is cleared.
    pub rules: Option<RuleSet>,
    /// What was read, in order. May be empty (a position alone, or a sign of life).
    pub readings: Vec<Reading>,
    /// To be stored with the decision; `None` keeps the stored one.
    pub position: Option<Position>,
    /// Deaf intervals to declare.
    pub gaps: Vec<Gap>,
    /// Ephemeral sources: all that was heard until then is in this batch or an earlier one. The line
    /// stores it with the decision (never its own clock: what is still in the channel would be
    /// taken for heard); after a kill the `agent-down` gap begins there. `None` keeps the stored one.
    pub heard_until: Option<Time>,
    /// Who wants to know that the batch is stored: a confirmed source's sender waits for it.
    pub stored: Option<Stored>,
    /// What the device is and is made of, as it was read just now. The line tells it when it says something
    /// new, and once a day.
    pub inventory: Option<Box<Inventory>>,
}

/// Tells a source that one of its batches is stored.
#[derive(Clone, Debug)]
pub struct Stored {
    told: mpsc::Sender<u64>,
    which: u64,
}

impl Stored {
    /// Sends `which` once the batch is stored. The channel must hold one for each batch under way:
    /// what finds no place in it is not told.
    pub fn new(told: mpsc::Sender<u64>, which: u64) -> Self {
        Stored { told, which }
    }

    /// The batch is stored.
    pub fn tell(&self) {
        // Whoever has gone away does not want to know.
        let _ = self.told.try_send(self.which);
    }
}

/// An interval in which the source could not hear, or items it had to drop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The last time it surely heard.
    pub from: Time,
    /// From when on it hears again.
    pub to: Time,
    /// A stable word: `agent-down`, `port-gone`, `rotated-away`, `truncated`, `overflow`,
    /// `rate-limited`, `kernel-overflow`.
    pub reason: &'static str,
    /// How many items, where known.
    pub count: Option<u64>,
}

/// One thing that was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// What was measured: a profile's metric name, `disk.used_percent`, `line` for lines of a console
    /// or a log, `answer:<command id>` for a line of a scheduled command's answer. Rules match on it.
    pub metric: Arc<str>,
    /// Canonical resource key (`PSU 2`, `/var`, `port Gi0/1`); empty = the device itself.
    pub resource: String,
    /// The value.
    pub value: Value,
    /// Unit of a number (`%`, `C`, `V`, …), may be empty.
    pub unit: Arc<str>,
    /// Where it was read, for evidence.
    pub origin: Origin,
    /// Further names for templates (`${name}`): a profile's tags.
    pub labels: Vec<(Arc<str>, String)>,
    /// When it happened by the device's clock, if it says so.
    pub occurred_at: Option<Time>,
    /// When it was read.
    pub observed_at: Time,
}

/// Where something was read. Only what becomes evidence needs it in words, so that an object's name is written then.
#[derive(Clone, Debug, PartialEq)]
pub enum Origin {
    /// A path, a port, a sender.
    Place(String),
    /// An SNMP object.
    Object(Oid),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Place(place) => f.write_str(place),
            Origin::Object(oid) => write!(f, "SNMP {oid}"),
        }
    }
}

impl From<String> for Origin {
    fn from(place: String) -> Self {
        Origin::Place(place)
    }
}

impl From<&str> for Origin {
    fn from(place: &str) -> Self {
        Origin::Place(place.to_owned())
    }
}

/// As [`Value::Text`]: the thing is there, but does not count now (a port that is switched off).
/// An alarm that a state or a threshold raised on it ends.
pub const SKIPPED: &str = "skipped";
/// As [`Value::Text`]: the thing is gone. Ends alarms likewise, unless a state map says otherwise.
pub const ABSENT: &str = "absent";

/// Label of a number that a device counts in 32 bits: the count itself, exact and without scale.
pub const COUNTER32: &str = "counter32";
/// The same in 64 bits.
pub const COUNTER64: &str = "counter64";
/// Label beside it: how long the device had been up, in hundredths of a second (sysUpTime).
pub const UPTIME: &str = "uptime";

/// A read value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A number, already scaled to `unit`. Also an enumerated state's integer.
    Number(f64),
    /// A text (a state by name, a version).
    Text(String),
    /// A line of a console or log, without its end of line; lossy UTF-8.
    Line {
        /// The text.
        text: String,
        /// Whether it was cut at the line limit.
        truncated: bool,
    },
    /// A synthetic fault that came through the reader. Nothing that a device says becomes one.
    Probe(Entered),
}
