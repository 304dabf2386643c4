//! What clocks should say, reckoned step by step through every minute, with nothing of the program: its own
//! calendar, its own time zones, its own table of what the plans promise.

/// A minute, milliseconds.
pub(super) const MIN: i64 = 60_000;
/// An hour.
pub(super) const HOUR: i64 = 60 * MIN;
/// A day.
pub(super) const DAY: i64 = 24 * HOUR;
/// When in each minute the collector looks.
pub(super) const LOOK: i64 = 41_000;

/// Where a site is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Zone {
    Shanghai,
    Berlin,
}

#[derive(Clone, Copy, Debug)]
enum Hours {
    Always,
    /// Daily 09:00 to 21:30.
    Daily,
    /// Working days 09:00 to 17:30.
    Routine,
    /// Working days 09:00 to 17:00.
    Office,
}

#[derive(Clone, Copy, Debug)]
enum Within {
    Ms(i64),
    /// Until the end of the hours of the nth next day that has some.
    Days(u32),
}

/// Days since 1970 of a date of 2026.
fn day_of(month: i64, day: i64) -> i64 {
    const BEFORE: [i64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    20_454 + BEFORE[usize::try_from(month - 1).unwrap()] + day - 1
}

/// First and last, of 2026.
pub(super) const OFF: [((i64, i64), (i64, i64)); 7] = [
    ((1, 1), (1, 3)),
    ((2, 15), (2, 23)),
    ((4, 4), (4, 6)),
    ((5, 1), (5, 5)),
    ((6, 19), (6, 21)),
    ((9, 25), (9, 27)),
    ((10, 1), (10, 7)),
];
/// Worked, though it is a weekend.
pub(super) const MADE_UP: [(i64, i64); 6] = [(1, 4), (2, 14), (2, 28), (5, 9), (9, 20), (10, 10)];

impl Zone {
    fn local(self, at: i64) -> i64 {
        match self {
            Zone::Shanghai => at + 8 * HOUR,
            // From the last Sunday of March to that of October, 01:00 UTC: the 29th and the 25th.
            Zone::Berlin => {
                let summer = day_of(3, 29) * DAY + HOUR..day_of(10, 25) * DAY + HOUR;
                at + if summer.contains(&at) { 2 * HOUR } else { HOUR }
            }
        }
    }

    /// Whether a day is worked, by its number. China's days are those above, Berlin has none.
    fn works(self, day: i64) -> bool {
        // 1970 began on a Thursday.
        let weekday = (day + 3).rem_euclid(7);
        let of = |(month, day)| day_of(month, day);
        match self {
            Zone::Shanghai if MADE_UP.iter().any(|d| of(*d) == day) => true,
            Zone::Shanghai if OFF.iter().any(|(a, b)| (of(*a)..=of(*b)).contains(&day)) => false,
            _ => weekday < 5,
        }
    }
}

impl Hours {
    /// The minutes of a day that count.
    fn of(self, zone: Zone, day: i64) -> std::ops::Range<i64> {
        match self {
            Hours::Always => 0..24 * 60,
            Hours::Daily => 9 * 60..21 * 60 + 30,
            Hours::Routine if zone.works(day) => 9 * 60..17 * 60 + 30,
            Hours::Office if zone.works(day) => 9 * 60..17 * 60,
            Hours::Routine | Hours::Office => 0..0,
        }
    }

    fn counts(self, zone: Zone, at: i64) -> bool {
        let local = zone.local(at);
        let minute = local.rem_euclid(DAY) / MIN;
        self.of(zone, local.div_euclid(DAY)).contains(&minute)
    }

    /// How much counts between two moments, both at whole seconds of whole halves of a minute.
    fn between(self, zone: Zone, from: i64, to: i64) -> i64 {
        let mut sum = 0;
        let mut at = from;
        while at < to {
            let next = ((at / MIN + 1) * MIN).min(to);
            if self.counts(zone, at) {
                sum += next - at;
            }
            at = next;
        }
        sum
    }

    /// Where the nth next day that has hours ends, counted from `from`.
    fn until_day(self, zone: Zone, from: i64, nth: u32) -> i64 {
        let mut left = nth;
        let mut day = zone.local(from).div_euclid(DAY);
        while left > 0 {
            day += 1;
            left -= u32::from(!self.of(zone, day).is_empty());
        }
        let end = day * DAY + self.of(zone, day).end * MIN;
        // The offset at the end is what it is there: none of these hours touches the night of a change.
        let guess = end - zone.local(from) + from;
        guess + (end - zone.local(guess))
    }
}

fn limits(plan: &str, priority: &str) -> &'static [(&'static str, Within, Hours)] {
    use Hours::{Always, Daily, Office, Routine};
    use Within::{Days, Ms};
    match (plan, priority) {
        ("carrier", "p1") => &[
            ("on_site", Ms(HOUR), Always),
            ("respond", Ms(10 * MIN), Always),
            ("restore", Ms(2 * HOUR), Always),
        ],
        ("carrier", "p2") => &[
            ("on_site", Ms(HOUR), Always),
            ("respond", Ms(10 * MIN), Always),
            ("restore", Ms(4 * HOUR), Always),
        ],
        ("carrier", "p3") => {
            &[("on_site", Ms(2 * HOUR), Always), ("restore", Ms(24 * HOUR), Always)]
        }
        ("carrier", "p4") => &[("respond", Days(1), Office)],
        ("third-party-windows", "p1") => {
            &[("on_site", Ms(24 * HOUR), Always), ("respond", Ms(2 * HOUR), Always)]
        }
        ("third-party-windows", "p2") => {
            &[("on_site", Days(2), Routine), ("respond", Ms(4 * HOUR), Daily)]
        }
        ("third-party-windows", _) => &[("respond", Days(1), Routine)],
        ("third-party-normal", _) => &[
            ("on_site", Ms(HOUR), Always),
            ("replacement", Ms(12 * HOUR), Always),
            ("respond", Ms(10 * MIN), Always),
            ("restore", Ms(4 * HOUR), Always),
        ],
        _ => &[],
    }
}

/// What people did with a ticket, and what was promised of it.
#[derive(Clone, Debug)]
pub(super) struct Course {
    pub(super) plan: &'static str,
    pub(super) priority: String,
    pub(super) zone: Zone,
    pub(super) opened: i64,
    pub(super) answered: Option<i64>,
    pub(super) resolved: Option<i64>,
    /// From and to: it waited for the customer.
    pub(super) waited: Vec<(i64, i64)>,
    /// Until when the year goes.
    pub(super) end: i64,
}

/// What one clock should have come to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Expected {
    pub(super) name: String,
    /// Once it was stopped.
    pub(super) stopped: Option<i64>,
    /// Counted until then.
    pub(super) elapsed: Option<i64>,
    pub(super) verdict: Option<String>,
    /// What was told, to whom, when.
    pub(super) told: Vec<(String, String, i64)>,
}

impl Course {
    pub(super) fn expected(&self) -> Vec<Expected> {
        let limits = limits(self.plan, &self.priority).iter();
        limits.map(|(name, within, hours)| self.clock(name, *within, *hours)).collect()
    }

    fn clock(&self, name: &str, within: Within, hours: Hours) -> Expected {
        let budget = match within {
            Within::Ms(ms) => ms,
            Within::Days(nth) => {
                let end = hours.until_day(self.zone, self.opened, nth);
                hours.between(self.zone, self.opened, end)
            }
        };
        let stopped = if name == "respond" { self.answered } else { self.resolved };
        let mut steps = vec![(budget * 3 / 4, "clock-warning", ""), (budget, "clock-breached", "")];
        if self.plan == "carrier" {
            steps.push((budget / 2, "escalated", "l2"));
        }
        steps.push((budget * 3 / 4, "escalated", "l3"));
        steps.push((budget, "escalated", "manager"));
        let (mut elapsed, mut told) = (0, Vec::new());
        let mut at = self.opened;
        while at < stopped.unwrap_or(self.end) {
            // Everything begins and ends at a whole or a half minute, except the looks.
            let minute = at / MIN * MIN;
            let edges = [minute + MIN / 2, minute + LOOK, minute + MIN];
            let next = edges.into_iter().find(|edge| *edge > at).unwrap();
            let rests = self.waited.iter().any(|(from, to)| (*from..*to).contains(&at));
            if !rests && hours.counts(self.zone, at) {
                elapsed += next - at;
            }
            at = next;
            // The collector looks; or somebody does something with the ticket.
            let deed = Some(at) == stopped || self.waited.iter().any(|(from, _)| *from == at);
            if (at % MIN == LOOK && !rests) || deed {
                steps.retain(|(after, what, to)| {
                    // The end of a limit belongs to it.
                    let due = if *after < budget { elapsed >= *after } else { elapsed > *after };
                    if due {
                        told.push(((*what).to_owned(), (*to).to_owned(), at));
                    }
                    !due
                });
            }
        }
        told.sort();
        let late = told.iter().any(|(what, ..)| what == "clock-breached");
        let verdict = match stopped {
            Some(_) => Some(if elapsed > budget { "missed" } else { "kept" }),
            None => late.then_some("missed"),
        };
        let verdict = verdict.map(str::to_owned);
        Expected {
            name: name.to_owned(),
            stopped,
            elapsed: stopped.map(|_| elapsed),
            verdict,
            told,
        }
    }
}
