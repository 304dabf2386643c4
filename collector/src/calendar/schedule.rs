//! Which moments count: hours of a week in a time zone, with the days that are not like their weekday.
//!
//! A moment counts exactly when the clocks of the place show a minute at it that is inside a window. So a
//! window shrinks by the hour that clocks skip in spring, and an hour that they show twice in autumn counts
//! twice. A window that goes over midnight belongs to the day on which it begins.

use std::sync::Arc;

use callhome_shared::time::Time;

use super::days::{DayKind, Days};
use super::week::{DAY_MIN, Week, Window};
use super::zone::{Stretch, Zone};

const MINUTE: i64 = 60_000;
const DAY: i64 = DAY_MIN * MINUTE;
/// Further than this nobody looks for a moment that counts: ten years.
const HORIZON: i64 = 3660 * DAY;

/// Hours, zone and days together.
#[derive(Clone, Debug)]
pub struct Schedule {
    zone: Zone,
    week: Week,
    days: Arc<Days>,
}

/// Why a stretch of time counts or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// Inside the hours.
    Inside,
    /// Inside the hours of a make-up working day or of a day with hours of its own: its note.
    Special(Arc<str>),
    /// Outside of the hours.
    Outside,
    /// A public holiday: its note.
    Holiday(Arc<str>),
}

/// A stretch of time, `[from, to)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// Its beginning.
    pub from: Time,
    /// Its end.
    pub to: Time,
    /// Whether it counts.
    pub counts: bool,
    /// Why.
    pub why: Why,
}

/// A stretch that counts, of one window.
struct Piece {
    from: i64,
    to: i64,
    /// The day to which the window belongs, in days since 1970.
    day: i64,
    special: Option<Arc<str>>,
}

impl Schedule {
    /// Puts them together.
    pub fn new(zone: Zone, week: Week, days: Arc<Days>) -> Self {
        Schedule { zone, week, days }
    }

    /// Every moment counts.
    pub fn always() -> Self {
        let whole = Window { from: 0, to: DAY_MIN };
        let days = std::array::from_fn(|_| vec![whole]);
        Schedule::new(Zone::utc(), Week { days, holidays: false }, Arc::default())
    }

    /// The time zone.
    pub fn zone(&self) -> &Zone {
        &self.zone
    }

    /// How much of the time from `from` to `to` counts, milliseconds; none if `to` is not after `from`.
    pub fn working_time_between(&self, from: Time, to: Time) -> i64 {
        let (from, to) = (from.millis(), to.millis());
        if self.week.is_always() {
            return to.saturating_sub(from).max(0);
        }
        self.pieces(from, to).map(|piece| piece.to - piece.from).sum()
    }

    /// The first moment by which `working` milliseconds count from `from` on; `None`: not within ten years.
    pub fn instant_after(&self, from: Time, working: i64) -> Option<Time> {
        if working <= 0 {
            return Some(from);
        }
        let start = from.millis();
        if self.week.is_always() {
            return start.checked_add(working).map(Time);
        }
        let mut left = working;
        for piece in self.pieces(start, start.saturating_add(HORIZON.saturating_add(working))) {
            let long = piece.to - piece.from;
            if long >= left {
                return Some(Time(piece.from + left));
            }
            left -= long;
        }
        None
    }

    /// The end of the hours of the `count`th day with hours after the day on which `from` is there: for
    /// 5×8 hours the end of the next business day (NBD). `None`: not within ten years.
    pub fn end_of_next_day(&self, from: Time, count: u32) -> Option<Time> {
        let start = from.millis();
        let today = (start + self.zone.offset(start)).div_euclid(DAY);
        let mut day = today;
        let (mut left, mut end) = (count, None);
        for piece in self.pieces(start, start.saturating_add(HORIZON)) {
            if piece.day > day {
                if left == 0 {
                    break;
                }
                (day, left) = (piece.day, left - 1);
            }
            if left == 0 && piece.day == day && day > today {
                end = Some(Time(piece.to));
            }
        }
        end
    }

    /// All of the time from `from` to `to`, what counts and what does not, and why.
    pub fn spans(&self, from: Time, to: Time) -> Vec<Span> {
        let (start, end) = (from.millis(), to.millis());
        let mut all = Vec::new();
        let mut at = start;
        for piece in self.pieces(start, end) {
            self.gap(at, piece.from, &mut all);
            let why = piece.special.map_or(Why::Inside, Why::Special);
            push(&mut all, piece.from, piece.to, true, why);
            at = piece.to;
        }
        self.gap(at, end, &mut all);
        all
    }

    /// What does not count, day by day.
    fn gap(&self, from: i64, to: i64, all: &mut Vec<Span>) {
        let mut at = from;
        for stretch in self.zone.stretches(from) {
            while at < to.min(stretch.to) {
                let day = (at + stretch.offset).div_euclid(DAY);
                let midnight = (day + 1) * DAY - stretch.offset;
                let end = to.min(stretch.to).min(midnight);
                push(all, at, end, false, self.why_off(day));
                at = end;
            }
            if at >= to {
                return;
            }
        }
    }

    fn why_off(&self, day: i64) -> Why {
        match self.days.rules.get(&day).filter(|_| self.week.holidays) {
            Some(rule) if rule.kind == DayKind::Holiday => Why::Holiday(rule.note.clone()),
            _ => Why::Outside,
        }
    }

    /// The windows that begin on a day, and the note of a day that is not like its weekday.
    fn windows(&self, day: i64) -> (&[Window], Option<Arc<str>>) {
        let usual = &self.week.days[usize::try_from((day + 3).rem_euclid(7)).unwrap_or(0)];
        match self.days.rules.get(&day).filter(|_| self.week.holidays) {
            None => (usual, None),
            Some(rule) => match (rule.kind, &rule.windows) {
                (DayKind::Holiday, _) => (&[], None),
                (DayKind::Working, Some(own)) => (own, Some(rule.note.clone())),
                (DayKind::Working, None) if usual.is_empty() => {
                    (self.week.made_up(), Some(rule.note.clone()))
                }
                (DayKind::Working, None) => (usual, Some(rule.note.clone())),
            },
        }
    }

    /// What counts between two moments, in order, without overlaps.
    fn pieces(&self, from: i64, to: i64) -> impl Iterator<Item = Piece> + '_ {
        let stretches = self.zone.stretches(from).take_while(move |s| s.from < to);
        stretches.flat_map(move |stretch| self.pieces_of(stretch, to.min(stretch.to)))
    }

    /// Those of a stretch in which the clocks run evenly.
    fn pieces_of(&self, stretch: Stretch, to: i64) -> impl Iterator<Item = Piece> + '_ {
        let Stretch { from, offset, .. } = stretch;
        // A window reaches two days at most: the one before may still last.
        let first = (from + offset).div_euclid(DAY) - 1;
        let last = to.saturating_add(offset).div_euclid(DAY);
        let mut done = from;
        (first..=last)
            .flat_map(move |day| {
                let (windows, special) = self.windows(day);
                windows.iter().map(move |window| (day, *window, special.clone()))
            })
            .filter_map(move |(day, window, special)| {
                let begin = (day * DAY + window.from * MINUTE - offset).max(done);
                let end = (day * DAY + window.to * MINUTE - offset).min(to);
                (begin < end).then(|| {
                    done = end;
                    Piece { from: begin, to: end, day, special }
                })
            })
    }
}

/// Adds a stretch, to the last one if it goes on in the same way.
fn push(all: &mut Vec<Span>, from: i64, to: i64, counts: bool, why: Why) {
    if from >= to {
        return;
    }
    match all.last_mut() {
        Some(last) if last.counts == counts && last.why == why && last.to.millis() == from => {
            last.to = Time(to);
        }
        _ => all.push(Span { from: Time(from), to: Time(to), counts, why }),
    }
}

#[cfg(test)]
mod tests;
