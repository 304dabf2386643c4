//! When a device's parts are read, and how far that has got. Pure.
//!
//! Column by column between two polls, so that no poll of states waits for it: after the first answer, after a
//! restart or another identity, when the device says that its parts changed (entLastChangeTime, RFC 6933), and
//! once a day.

use std::collections::BTreeMap;
use std::time::Duration;

use callhome_shared::inventory::Module;
use tokio::time::Instant;

use super::modules;
use super::walk::Column;
use crate::profile::oid::Oid;

/// entLastChangeTime.
pub const LAST_CHANGE: &[u32] = &[1, 3, 6, 1, 2, 1, 47, 1, 4, 1, 0];
/// From one whole reading to the next.
const EVERY: Duration = Duration::from_secs(24 * 3600);
/// After parts that could not be read whole.
const AGAIN: Duration = Duration::from_secs(3600);
/// Polls that lie at least between two readings of a device that says that its parts changed: some say it always.
const CALM: u32 = 5;
/// Attempts to read one column; then not before [`AGAIN`].
const ATTEMPTS: u32 = 3;

/// What is kept of it.
#[derive(Debug, Default)]
pub struct Stock {
    /// From when on it is to be read; `None`: the device has not answered yet.
    due: Option<Instant>,
    /// Columns that were read, while it is being read.
    walked: Option<BTreeMap<Oid, Column>>,
    failures: u32,
    /// When it was read last.
    read: Option<Instant>,
    /// The device's entLastChangeTime then, if it has one.
    changed: Option<f64>,
    /// Whether it told any parts.
    has_parts: bool,
}

/// What comes of a column.
#[derive(Debug, PartialEq)]
pub enum Taken {
    /// There is more to read.
    More,
    /// All is read: the parts (`None`: it tells none, or they could not be read whole) and how many found no
    /// place.
    All(Option<Vec<Module>>, usize),
}

impl Stock {
    /// The device is new, was restarted, or says that it is another one: it is read anew.
    pub fn begin(&mut self, now: Instant) {
        *self = Stock { due: Some(now), ..Stock::default() };
    }

    /// Whether entLastChangeTime is worth asking for.
    pub fn asks_for_change(&self) -> bool {
        self.has_parts
    }

    /// The device's entLastChangeTime, hundredths of a second; `every`: from poll to poll.
    pub fn change(&mut self, last_change: Option<f64>, every: Duration, now: Instant) {
        let (Some(told), Some(read)) = (last_change, self.read) else { return };
        let before = self.changed.replace(told);
        if before.is_some_and(|before| before != told) {
            let at = now.max(read + every.saturating_mul(CALM));
            // What is half read may be half old.
            self.walked = None;
            self.due = Some(self.due.map_or(at, |due| due.min(at)));
        }
    }

    /// Whether there is something to read now and time enough for it until the next poll.
    pub fn is_due(&self, now: Instant, next_poll: Instant, every: Duration) -> bool {
        self.due.is_some_and(|due| due <= now)
            && next_poll.saturating_duration_since(now) >= every / 4
    }

    /// The column that is read next.
    pub fn next(&self) -> Option<Oid> {
        let walked = self.walked.as_ref();
        modules::columns().into_iter().find(|c| walked.is_none_or(|w| !w.contains_key(c)))
    }

    /// A column was read.
    pub fn take(&mut self, oid: Oid, column: Column, now: Instant) -> Taken {
        if column.fault.is_some() {
            return self.end(None, AGAIN, now);
        }
        self.failures = 0;
        let walked = self.walked.get_or_insert_default();
        walked.insert(oid, column);
        let nothing =
            modules::deciding().iter().all(|c| walked.get(c).is_some_and(Column::is_empty));
        if !nothing && walked.len() < modules::columns().len() {
            return Taken::More;
        }
        let found = modules::read(walked);
        self.end((!found.list.is_empty()).then_some(found), EVERY, now)
    }

    /// A column could not be read, for want of an answer or of time: it is tried again after the next poll.
    pub fn fail(&mut self, next_poll: Instant, now: Instant) -> Taken {
        self.failures += 1;
        if self.failures >= ATTEMPTS {
            return self.end(None, AGAIN, now);
        }
        self.due = Some(next_poll);
        Taken::More
    }

    fn end(&mut self, found: Option<modules::Modules>, wait: Duration, now: Instant) -> Taken {
        (self.walked, self.failures) = (None, 0);
        (self.read, self.due) = (Some(now), Some(now + wait));
        self.has_parts |= found.is_some();
        match found {
            Some(found) => Taken::All(Some(found.list), found.left_out),
            None => Taken::All(None, 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::snmp::value::Value;

    const POLL: Duration = Duration::from_secs(60);

    fn column(value: Option<Value>) -> Column {
        let mut column = Column::default();
        if let Some(value) = value {
            column.rows.insert(&[1], value);
        }
        column
    }

    /// Reads all columns: a chassis with this serial number.
    fn read_all(stock: &mut Stock, serial: &str, now: Instant) -> Taken {
        loop {
            let next = stock.next().unwrap();
            let value = match next.arcs().last() {
                Some(5) => Some(Value::Integer(3)),
                Some(11) => Some(Value::Octets(serial.as_bytes().to_vec())),
                _ => None,
            };
            let taken = stock.take(next, column(value), now);
            if taken != Taken::More {
                return taken;
            }
        }
    }

    #[test]
    fn it_is_read_at_the_beginning_and_once_a_day_and_only_where_there_is_time() {
        let start = Instant::now();
        let at = |s: u64| start + Duration::from_secs(s);
        let mut stock = Stock::default();
        assert!(!stock.is_due(start, at(60), POLL), "it has not answered yet");
        stock.begin(start);
        assert!(stock.is_due(start, at(60), POLL));
        assert!(!stock.is_due(at(46), at(60), POLL), "14 s are too little");
        let Taken::All(Some(parts), 0) = read_all(&mut stock, "FOC1", at(1)) else { panic!() };
        assert_eq!(parts[0].serial.as_deref(), Some("FOC1"));
        assert!(!stock.is_due(at(86_400), at(86_460), POLL));
        assert!(stock.is_due(at(86_401), at(86_460), POLL));
    }

    #[test]
    fn a_device_without_parts_costs_two_questions() {
        let now = Instant::now();
        let mut stock = Stock::default();
        stock.begin(now);
        let first = stock.next().unwrap();
        assert_eq!(stock.take(first, column(None), now), Taken::More);
        let second = stock.next().unwrap();
        assert_eq!(stock.take(second, column(None), now), Taken::All(None, 0));
        assert!(!stock.asks_for_change());
    }

    #[test]
    fn what_could_not_be_read_whole_is_told_without_and_tried_again_in_an_hour() {
        let start = Instant::now();
        let at = |s: u64| start + Duration::from_secs(s);
        let mut stock = Stock::default();
        stock.begin(start);
        assert_eq!(stock.fail(at(60), at(1)), Taken::More);
        assert!(!stock.is_due(at(2), at(60), POLL) && stock.is_due(at(61), at(120), POLL));
        assert_eq!(stock.fail(at(120), at(61)), Taken::More);
        assert_eq!(stock.fail(at(180), at(121)), Taken::All(None, 0));
        assert!(stock.is_due(at(121 + 3600), at(121 + 3660), POLL));
        let broken = Column { fault: Some("genErr".into()), ..Column::default() };
        let next = stock.next().unwrap();
        assert_eq!(stock.take(next, broken, at(3800)), Taken::All(None, 0));
        assert!(!stock.is_due(at(7399), at(7450), POLL) && stock.is_due(at(7400), at(7450), POLL));
    }

    #[test]
    fn a_device_that_says_its_parts_changed_is_read_again_but_not_always() {
        let start = Instant::now();
        let at = |s: u64| start + Duration::from_secs(s);
        let mut stock = Stock::default();
        stock.begin(start);
        read_all(&mut stock, "FOC1", at(1));
        assert!(stock.asks_for_change());
        stock.change(Some(100.0), POLL, at(60));
        assert!(!stock.is_due(at(61), at(120), POLL), "it is seen for the first time");
        stock.change(None, POLL, at(120));
        stock.change(Some(100.0), POLL, at(180));
        assert!(!stock.is_due(at(181), at(240), POLL));
        stock.change(Some(9_000.0), POLL, at(240));
        assert!(!stock.is_due(at(241), at(300), POLL), "read 240 s ago");
        assert!(stock.is_due(at(301), at(360), POLL));
        read_all(&mut stock, "FOC2", at(302));
        stock.change(Some(9_001.0), POLL, at(900));
        assert!(stock.is_due(at(900), at(960), POLL), "long ago");
        // A restart begins anew, whatever was said before.
        stock.begin(at(901));
        assert!(stock.is_due(at(901), at(960), POLL) && !stock.asks_for_change());
    }
}
