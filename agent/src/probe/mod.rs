//! The proven path: what is known of each source's way to a ticket.
//!
//! ```text
//! book ──ask──► source's reader ──reading──► line: rule, alarm set, outbox ──► link ──► collector
//!   ▲                                          │ decided, stored                          │
//!   └──────────────────────────────────────────┴──────────── receipt: shadow ticket ◄─────┘
//! ```
//!
//! [`Book`] is pure: when the next probe of a source is due, where the present one is, when the path
//! counts as not proven. [`Probes`] is the book where everybody that sees a probe pass can tell it.

mod book;
mod ring;
mod rules;

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use callhome_shared::ack::Receipt;
use callhome_shared::probe::{PathState, SHADOW_PREFIX};
use callhome_shared::time::Time;
use uuid::Uuid;

pub use book::{About, Book, Facts, Moment, Order, Told};
pub use rules::{path_reading, path_source, path_watched, probe_rule};

/// The book, shared. Cheap to clone.
#[derive(Clone)]
pub struct Probes(Arc<Shared>);

struct Shared {
    book: Mutex<Book>,
    /// What moments are counted from.
    origin: Instant,
    bell: tokio::sync::Notify,
}

impl Probes {
    /// Shares a book, which `fill` makes for the present moment.
    pub fn new(fill: impl FnOnce(Moment) -> Book) -> Self {
        let book = fill(Moment { wall: Time::now(), mono_ms: 0 });
        let (book, bell) = (Mutex::new(book), tokio::sync::Notify::new());
        Probes(Arc::new(Shared { book, origin: Instant::now(), bell }))
    }

    /// No source is probed.
    pub fn off() -> Self {
        Probes::new(|now| Book::new([], 0, now))
    }

    /// What of its probe an envelope tells; `None` for one that nobody waits for any more.
    pub fn about(&self, nonce: Uuid) -> Option<About> {
        self.lock().about(nonce)
    }

    /// The rules and the alarm set took the probe; its envelope is about to be stored.
    pub fn decided(&self, nonce: Uuid, alarm_id: Uuid, began: Instant) {
        let began = self.at(began);
        self.lock().decided(nonce, alarm_id, began);
    }

    /// They did not.
    pub fn refused(&self, nonce: Uuid, why: &'static str) {
        self.lock().refused(nonce, why);
    }

    /// It is in the outbox, not behind number `seq` of the alarm lane.
    pub fn stored(&self, alarm_id: Uuid, epoch: Uuid, seq: u64) {
        self.lock().stored(alarm_id, epoch, seq);
    }

    /// Takes the receipt of a shadow ticket; `false` for any other, which is not ours.
    pub fn receipt(&self, receipt: &Receipt) -> bool {
        if !receipt.ticket.starts_with(SHADOW_PREFIX) {
            return false;
        }
        let now = self.now();
        if self.lock().receipt(receipt, now) {
            self.0.bell.notify_one();
        }
        true
    }

    /// Lets time pass; see [`Book::advance`].
    pub fn advance(&self, facts: &Facts, trouble: impl Fn(&str) -> String) -> Vec<Order> {
        let now = self.now();
        self.lock().advance(now, facts, trouble)
    }

    /// The line has taken what was told of a source's path.
    pub fn told(&self, source: &str, told: &Told) {
        self.lock().told(source, told);
    }

    /// Wants a probe of these sources now. Answers how often each was proven so far.
    pub fn hurry(&self, source: Option<&str>) -> Vec<(String, u64)> {
        let wanted = self.lock().hurry(source);
        self.0.bell.notify_one();
        wanted
    }

    /// How often a source's path was proven since the start.
    pub fn count(&self, source: &str) -> u64 {
        self.lock().count(source)
    }

    /// All paths, by source.
    pub fn report(&self) -> Vec<PathState> {
        self.lock().report()
    }

    /// Why a source's probe is not back yet, whether that is too late already or not.
    pub fn hop(&self, source: &str, facts: &Facts, trouble: &str) -> String {
        self.lock().whereabouts(source, facts, trouble)
    }

    /// Waits until there is something to do before the next tick.
    pub async fn rung(&self) {
        self.0.bell.notified().await;
    }

    fn now(&self) -> Moment {
        self.at(Instant::now())
    }

    fn at(&self, instant: Instant) -> Moment {
        let passed = instant.saturating_duration_since(self.0.origin);
        let ago = i64::try_from(instant.elapsed().as_millis()).unwrap_or_default();
        let mono_ms = i64::try_from(passed.as_millis()).unwrap_or(i64::MAX);
        Moment { wall: Time::now().plus_ms(-ago), mono_ms }
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        self.0.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
