//! One message → readings: whose it is, whether its sender may, what may match. No socket, no task.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use callhome_shared::alarm::Device;
use callhome_shared::time::Time;
use jiff::tz::TimeZone;

use super::SyslogSettings;
use super::framing::Frame;
use super::message::{self, Message};
use super::queue::Queue;
use crate::source::listener::{Listener, SENDERS};
use crate::source::missed::Missed;
use crate::source::origins::{Origin, Origins};
use crate::source::probe::{self, Entered, Slot};
use crate::source::senders::{Admission, Sender, Senders};
use crate::source::{Gap, Known, Reading, Value};

/// All senders that no device is known by have one bucket together, at this address.
const STRANGERS: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
/// Addresses that became known by a host name in a message, at most.
const ACQUAINTED: usize = 4096;
/// A device whose id its poll has not decided is waited for so long.
const PATIENCE_MS: i64 = 300_000;
/// Metric of every line, for the configuration's own patterns and for silence.
const LINE: &str = "line";

/// What is counted, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Messages read.
    pub messages: u64,
    /// Of them cut at the line limit.
    pub truncated: u64,
    /// From senders that no device is known by.
    pub unknown: u64,
    /// Messages that a pattern may match: handed to the rules.
    pub handed: u64,
    /// Connections that were refused at the limit, or broke the framing.
    pub refused: u64,
}

/// A probe on its way to one of our own sockets.
#[derive(Clone, Debug)]
struct Expected {
    from: SocketAddr,
    nonce: uuid::Uuid,
    began: Instant,
}

/// The desk.
pub(super) struct Desk {
    device: Arc<Device>,
    settings: Arc<SyslogSettings>,
    origins: Origins,
    known: Known,
    senders: Senders,
    acquainted: HashMap<IpAddr, ()>,
    ours: TimeZone,
    slot: Slot,
    expected: Option<Expected>,
    line_metric: Arc<str>,
    no_unit: Arc<str>,
    pub(super) queue: Queue,
    pub(super) counts: Counts,
    limited: Missed,
    overflow: Missed,
    kernel: Missed,
    /// Deaf intervals to declare with the next batch.
    pub(super) gaps: Vec<Gap>,
}

impl Desk {
    pub(super) fn new(
        device: Arc<Device>,
        settings: Arc<SyslogSettings>,
        known: Known,
        slot: Slot,
    ) -> Self {
        Desk {
            origins: settings.origins.clone(),
            senders: Senders::new(settings.limits),
            device,
            settings,
            known,
            acquainted: HashMap::new(),
            ours: TimeZone::system(),
            slot,
            expected: None,
            line_metric: LINE.into(),
            no_unit: "".into(),
            queue: Queue::default(),
            counts: Counts::default(),
            limited: Missed::new("rate-limited"),
            overflow: Missed::new("overflow"),
            kernel: Missed::new("kernel-overflow"),
            gaps: Vec::new(),
        }
    }

    pub(super) fn origins(&self) -> Origins {
        self.origins.clone()
    }

    /// A probe will come from this address of ours.
    pub(super) fn expect(&mut self, from: SocketAddr, nonce: uuid::Uuid, began: Instant) {
        self.expected = Some(Expected { from, nonce, began });
    }

    /// Whether an address is the one our probe comes from.
    pub(super) fn is_expected(&self, from: SocketAddr) -> bool {
        self.expected.as_ref().is_some_and(|e| e.from == from)
    }

    /// A datagram: nobody can be asked to wait, so what is too much is dropped and declared.
    pub(super) fn datagram(&mut self, from: SocketAddr, frame: &Frame, now: Instant, at: Time) {
        if self.admit(from, now) {
            self.message(from, frame, at);
        } else {
            self.limited.add(at, 1);
        }
    }

    /// Whether one more message of this sender is taken now.
    pub(super) fn admit(&mut self, from: SocketAddr, now: Instant) -> bool {
        let who = self.payer(from);
        self.is_expected(from) || self.senders.admit(who, now) == Admission::Pass
    }

    /// The same for a connection, of which nothing is dropped: how long it waits, if it must.
    pub(super) fn pause(&mut self, from: SocketAddr, now: Instant) -> Option<Duration> {
        let who = self.payer(from);
        if !self.is_expected(from) && !self.senders.may(who, now) {
            let one = 1.0 / self.settings.limits.per_s.max(1.0);
            return Some(Duration::from_secs_f64(one.min(1.0)));
        }
        self.admit(from, now);
        None
    }

    fn payer(&self, from: SocketAddr) -> IpAddr {
        let address = from.ip().to_canonical();
        let known = self.acquainted.contains_key(&address)
            || self.origins.is_relay(address)
            || self.origins.by_address(address).is_some();
        if known { address } else { STRANGERS }
    }

    /// Takes a message that was admitted.
    pub(super) fn message(&mut self, from: SocketAddr, frame: &Frame, at: Time) {
        let message = message::parse(&frame.bytes);
        if let Some(entered) = self.probed(from, &message) {
            let (device, reading) = (self.device.clone(), entered.reading(&from.to_string()));
            self.push(&device, reading);
            return;
        }
        self.counts.messages += 1;
        self.counts.truncated += u64::from(frame.truncated);
        let Some(device) = self.device_of(from.ip(), &message) else { return };
        let mut metrics = self.settings.catalogues.look(&message.text);
        if self.settings.every_line {
            metrics.push(self.line_metric.clone());
        }
        if metrics.is_empty() {
            return;
        }
        self.counts.handed += 1;
        let occurred_at = self.occurred_at(&device, &message, at);
        let labels = labels(&message);
        for metric in metrics {
            let text = message.text.clone();
            let reading = Reading {
                metric,
                resource: String::new(),
                value: Value::Line { text, truncated: frame.truncated },
                unit: self.no_unit.clone(),
                origin: format!("syslog {}", from.ip().to_canonical()).into(),
                labels: labels.clone(),
                occurred_at,
                observed_at: at,
            };
            self.push(&device, reading);
        }
    }

    fn push(&mut self, device: &Arc<Device>, reading: Reading) {
        if let Some(at) = self.queue.push(device, reading) {
            self.overflow.add(at, 1);
        }
    }

    /// Whether this is the probe that is waited for: from our own socket, with its very words.
    fn probed(&mut self, from: SocketAddr, message: &Message) -> Option<Entered> {
        let expected = self.expected.take_if(|e| e.from == from)?;
        if message.text != probe::line(expected.nonce) {
            return None;
        }
        self.slot.enter(expected.nonce, expected.began)
    }

    /// Whose message it is; `None`: nobody's whom we know, and such are not looked at.
    fn device_of(&mut self, from: IpAddr, message: &Message) -> Option<Arc<Device>> {
        match self.origins.of(from, message.host.as_deref()) {
            Origin::Address(device) => Some(device),
            Origin::Host(device) => {
                if self.acquainted.len() < ACQUAINTED {
                    self.acquainted.insert(from.to_canonical(), ());
                }
                Some(device)
            }
            Origin::Unknown => {
                self.counts.unknown += 1;
                self.settings.unknown.then(|| self.device.clone())
            }
        }
    }

    fn occurred_at(&self, device: &Device, message: &Message, now: Time) -> Option<Time> {
        let own = self.settings.zones.get(&device.name);
        let zone = own.or(self.settings.zone.as_ref());
        message.stamp?.resolve(now, zone, &self.ours)
    }

    /// The next batch's device and readings.
    pub(super) fn take(&mut self, now: Time) -> Option<(Arc<Device>, Vec<Reading>)> {
        let known = &self.known;
        self.queue.take(|device| known.device(device), now.plus_ms(-PATIENCE_MS))
    }

    /// Whether [`Desk::take`] would hand out readings.
    pub(super) fn has_ready(&self, now: Time) -> bool {
        let known = &self.known;
        self.queue.has_ready(|device| known.device(device), now.plus_ms(-PATIENCE_MS))
    }

    /// The kernel dropped so many datagrams between two looks.
    pub(super) fn kernel_dropped(&mut self, from: Time, to: Time, count: u64) {
        if count > 0 {
            self.kernel.add(from, 0);
            self.kernel.add(to, count);
        }
    }

    /// What was lost and is to be declared now; at the end everything.
    pub(super) fn due(&mut self, now: Instant, last: bool) -> Vec<Gap> {
        let mut gaps = std::mem::take(&mut self.gaps);
        for missed in [&mut self.limited, &mut self.overflow, &mut self.kernel] {
            gaps.extend(if last { missed.take(now) } else { missed.due(now) });
        }
        gaps
    }

    /// Until when everything heard is handed over or declared, if not until `now`.
    pub(super) fn settled_until(&self, now: Time) -> Time {
        let open = [self.limited.since(), self.overflow.since(), self.kernel.since()];
        open.into_iter().chain([self.queue.oldest()]).flatten().fold(now, Time::min)
    }

    /// Messages dropped at each of the three places, since the start.
    pub(super) fn dropped(&self) -> (u64, u64, u64) {
        (self.limited.total(), self.overflow.total(), self.kernel.total())
    }

    /// What is shown of it: what became of the messages, and who sends most.
    pub(super) fn told(&self) -> Listener {
        let (limited, overflow, kernel) = self.dropped();
        let mut told = Listener::default();
        for (what, count) in [
            ("messages", self.counts.messages),
            ("handed", self.counts.handed),
            ("unknown-sender", self.counts.unknown),
            ("truncated", self.counts.truncated),
            ("refused", self.counts.refused),
            ("rate-limited", limited),
            ("overflow", overflow),
            ("kernel-overflow", kernel),
        ] {
            told.set(what, count);
        }
        let known = |sender: &Sender| sender.address != STRANGERS;
        told.senders = self.senders.worst(SENDERS).into_iter().filter(known).collect();
        told
    }

    /// The senders that cost most, in words.
    pub(super) fn busiest(&self) -> String {
        let name = |address: IpAddr| match address {
            STRANGERS => "unknown senders".to_owned(),
            address => address.to_string(),
        };
        let worst = self.senders.worst(3).into_iter().filter(|s| s.dropped > 0);
        let told: Vec<String> =
            worst.map(|s| format!("{}: {} dropped", name(s.address), s.dropped)).collect();
        told.join(", ")
    }
}

/// For templates: `${host}`, `${facility}`, `${level}`, and structured data as `${id.name}`.
fn labels(message: &Message) -> Vec<(Arc<str>, String)> {
    let mut labels: Vec<(Arc<str>, String)> = Vec::new();
    labels.extend(message.host.clone().map(|host| (Arc::from("host"), host)));
    labels.extend(message.facility.map(|n| (Arc::from("facility"), n.to_string())));
    labels.extend(message.severity.map(|n| (Arc::from("level"), n.to_string())));
    labels.extend(message.parameters.iter().map(|(n, v)| (Arc::from(n.as_str()), v.clone())));
    labels
}
