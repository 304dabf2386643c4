//! Where a source is asked to prove its path: a synthetic fault must come through its real reader.
//!
//! Somebody asks ([`Slot::ask`]); the reader answers when it is really reading, and only then
//! ([`Slot::enter`]). What comes out is a value that nothing else can make: whatever a device, a file or
//! a console says is a number, a text or a line.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use callhome_shared::time::Time;
use tokio::sync::Notify;
use uuid::Uuid;

use super::{Reading, Value};

/// The metric of a probe's reading. Rules of probes look at it; it is the value's kind that counts.
pub const METRIC: &str = "callhome.probe";

/// A probe that entered a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entered {
    nonce: Uuid,
    began: Instant,
}

impl Entered {
    /// Which probe.
    pub fn nonce(&self) -> Uuid {
        self.nonce
    }

    /// When the reader began with it.
    pub fn began(&self) -> Instant {
        self.began
    }

    /// Its reading; `origin` is what was read meanwhile.
    pub fn reading(self, origin: &str) -> Reading {
        Reading {
            metric: METRIC.into(),
            resource: String::new(),
            value: Value::Probe(self),
            unit: "".into(),
            origin: origin.into(),
            labels: Vec::new(),
            occurred_at: None,
            observed_at: Time::now(),
        }
    }
}

/// One source's slot: at most one probe waits in it. Cheap to clone.
#[derive(Clone, Default)]
pub struct Slot(Arc<Waiting>);

#[derive(Default)]
struct Waiting {
    nonce: Mutex<Option<Uuid>>,
    bell: Notify,
}

impl Slot {
    /// Asks for a probe; one that still waits is replaced.
    pub fn ask(&self, nonce: Uuid) {
        *self.0.nonce.lock().unwrap_or_else(PoisonError::into_inner) = Some(nonce);
        self.0.bell.notify_one();
    }

    /// Which probe waits. A reader that cannot read leaves it there, for when it can.
    pub fn asked(&self) -> Option<Uuid> {
        *self.0.nonce.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a probe is asked for; once for each.
    pub async fn rung(&self) {
        self.0.bell.notified().await;
    }

    /// The probe that waits came through the reader, which began with it at `began`.
    pub fn enter(&self, nonce: Uuid, began: Instant) -> Option<Entered> {
        let mut waiting = self.0.nonce.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = waiting.take_if(|asked| *asked == nonce);
        asked.map(|nonce| Entered { nonce, began })
    }
}

/// The synthetic line of a probe, without its end: what enters at a reader's line assembler.
pub(in crate::source) fn line(nonce: Uuid) -> String {
    format!("callhome-probe {nonce}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_probe_enters_once_and_only_while_it_is_asked_for() {
        let slot = Slot::default();
        let (first, second) = (Uuid::from_u128(1), Uuid::from_u128(2));
        assert!(slot.enter(first, Instant::now()).is_none(), "nobody asked");
        slot.ask(first);
        slot.ask(second);
        slot.rung().await;
        assert_eq!(slot.asked(), Some(second));
        assert!(slot.enter(first, Instant::now()).is_none(), "it was replaced");
        let entered = slot.enter(second, Instant::now()).unwrap();
        assert_eq!((entered.nonce(), slot.asked()), (second, None));
        assert!(slot.enter(second, Instant::now()).is_none(), "once");
        let reading = entered.reading("/dev/ttyS0");
        assert_eq!((&*reading.metric, reading.value), (METRIC, Value::Probe(entered)));
    }
}
