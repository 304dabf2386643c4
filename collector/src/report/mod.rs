//! How the service did over a time: what was promised and kept, how fast, how much of it came by itself, and
//! the automatic path beside the manual one on the same faults. Pure.

use std::collections::BTreeMap;

use callhome_shared::time::Time;

use crate::calendar::zone::Zone;

mod table;
#[cfg(test)]
mod tests;

pub use table::csv;

/// Groups of one report; the rest is counted in [`Report::groups_left_out`].
pub const MAX_GROUPS: usize = 100;
/// Faults of one report that came both ways; the rest is counted in [`Report::faults_left_out`].
pub const MAX_FAULTS: usize = 50;

/// By what tickets are grouped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// Month of the opening, `2026-11`.
    Month,
    /// Week of the opening after ISO 8601, `2026-W47`.
    Week,
    /// The customer's id.
    Customer,
    /// The site's id.
    Site,
    /// The service plan that is promised.
    Plan,
}

impl By {
    /// All of them.
    pub const ALL: [By; 5] = [By::Month, By::Week, By::Customer, By::Site, By::Plan];

    /// The word in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            By::Month => "month",
            By::Week => "week",
            By::Customer => "customer",
            By::Site => "site",
            By::Plan => "plan",
        }
    }

    /// Reads [`By::as_str`] back.
    pub fn parse(word: &str) -> Option<Self> {
        By::ALL.into_iter().find(|by| by.as_str() == word)
    }

    fn key(self, item: &Item, zone: &Zone) -> String {
        let of = |name: &Option<String>| name.clone().unwrap_or_default();
        match self {
            By::Customer => of(&item.customer),
            By::Site => of(&item.site),
            By::Plan => of(&item.plan),
            By::Month => zone.local(item.opened_at).strftime("%Y-%m").to_string(),
            By::Week => zone.local(item.opened_at).strftime("%G-W%V").to_string(),
        }
    }
}

/// A ticket as a report sees it.
#[derive(Clone, Debug, Default)]
pub struct Item {
    /// When it was opened.
    pub opened_at: Time,
    /// When its fault was seen: by the agent, or, recorded by hand, by people.
    pub fault_at: Option<Time>,
    /// When whom it stayed with was given it, or took it.
    pub engineer_at: Option<Time>,
    /// When the first human step was done that stops the limit `respond`.
    pub responded_at: Option<Time>,
    /// When it was resolved.
    pub restored_at: Option<Time>,
    /// A person recorded it.
    pub by_hand: bool,
    /// It turned out to be about another ticket's fault: it counts for the comparison of the paths alone.
    pub duplicate: bool,
    /// Its fault came again.
    pub recurred: bool,
    /// The customer's id.
    pub customer: Option<String>,
    /// The site's id.
    pub site: Option<String>,
    /// The plan that is promised.
    pub plan: Option<String>,
    /// The fault's code, or the alarm's type; empty: a person wrote none.
    pub code: String,
    /// Limits that are decided: (name, kept).
    pub limits: Vec<(String, bool)>,
}

/// Durations: how many, and what half and nine of ten of them stay within (nearest rank), milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spread {
    /// How many.
    pub count: usize,
    /// Half of them are at most this long.
    pub p50_ms: Option<i64>,
    /// Nine of ten are at most this long.
    pub p90_ms: Option<i64>,
}

/// How often a limit was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Which limit.
    pub limit: String,
    /// Of so many that are decided: by a person's step, or by time.
    pub decided: usize,
    /// So many were kept.
    pub kept: usize,
}

/// What is told of some tickets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// What they have in common; empty: nothing was known.
    pub key: String,
    /// How many.
    pub tickets: usize,
    /// So many were opened by alarms.
    pub automatic: usize,
    /// Of so many the fault came again.
    pub recurred: usize,
    /// By the limit's name.
    pub limits: Vec<Kept>,
    /// From the opening to the first human step.
    pub respond: Spread,
    /// From the opening until it was resolved.
    pub restore: Spread,
}

/// One of the two paths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Side {
    /// Tickets of these faults.
    pub tickets: usize,
    /// From the fault to the ticket.
    pub to_ticket: Spread,
    /// From the fault to whom the ticket stayed with.
    pub to_engineer: Spread,
}

/// A fault that came both ways.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fault {
    /// Its code, or the alarm's type.
    pub code: String,
    /// Tickets that alarms opened.
    pub automatic: Side,
    /// Tickets that people recorded.
    pub by_hand: Side,
}

/// The report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// All tickets.
    pub all: Group,
    /// By what was asked; months and weeks in their order, others the most tickets first.
    pub groups: Vec<Group>,
    /// Groups that are not told.
    pub groups_left_out: usize,
    /// All faults that came both ways, together; its code is empty.
    pub both: Fault,
    /// Faults that came both ways, the most tickets first.
    pub faults: Vec<Fault>,
    /// Faults that are not told.
    pub faults_left_out: usize,
}

#[derive(Default)]
struct Sum {
    tickets: usize,
    automatic: usize,
    recurred: usize,
    limits: BTreeMap<String, (usize, usize)>,
    respond: Vec<i64>,
    restore: Vec<i64>,
}

#[derive(Default)]
struct Way {
    tickets: usize,
    to_ticket: Vec<i64>,
    to_engineer: Vec<i64>,
}

/// Takes tickets one by one.
pub struct Builder {
    by: By,
    zone: Zone,
    all: Sum,
    groups: BTreeMap<String, Sum>,
    /// By code: by alarms, by hand.
    ways: BTreeMap<String, (Way, Way)>,
}

/// Clocks of two machines may differ: nothing takes less than no time.
fn between(from: Time, to: Time) -> i64 {
    to.millis().saturating_sub(from.millis()).max(0)
}

impl Sum {
    fn add(&mut self, item: &Item) {
        self.tickets += 1;
        self.automatic += usize::from(!item.by_hand);
        self.recurred += usize::from(item.recurred);
        for (name, kept) in &item.limits {
            let of = self.limits.entry(name.clone()).or_default();
            of.0 += 1;
            of.1 += usize::from(*kept);
        }
        let since = |at: Time| between(item.opened_at, at);
        self.respond.extend(item.responded_at.map(since));
        self.restore.extend(item.restored_at.map(since));
    }

    fn told(self, key: String) -> Group {
        let limits = self.limits.into_iter();
        Group {
            key,
            tickets: self.tickets,
            automatic: self.automatic,
            recurred: self.recurred,
            limits: limits.map(|(limit, (decided, kept))| Kept { limit, decided, kept }).collect(),
            respond: spread(self.respond),
            restore: spread(self.restore),
        }
    }
}

impl Way {
    fn add(&mut self, item: &Item) {
        self.tickets += 1;
        let Some(fault) = item.fault_at else { return };
        self.to_ticket.push(between(fault, item.opened_at));
        self.to_engineer.extend(item.engineer_at.map(|at| between(fault, at)));
    }

    fn take(&mut self, other: &Way) {
        self.tickets += other.tickets;
        self.to_ticket.extend(&other.to_ticket);
        self.to_engineer.extend(&other.to_engineer);
    }

    fn told(self) -> Side {
        Side {
            tickets: self.tickets,
            to_ticket: spread(self.to_ticket),
            to_engineer: spread(self.to_engineer),
        }
    }
}

fn spread(mut all: Vec<i64>) -> Spread {
    all.sort_unstable();
    let rank = |per_cent: usize| {
        let place = (all.len() * per_cent).div_ceil(100);
        place.checked_sub(1).and_then(|place| all.get(place).copied())
    };
    Spread { count: all.len(), p50_ms: rank(50), p90_ms: rank(90) }
}

impl Builder {
    /// Months and weeks are those of that time zone.
    pub fn new(by: By, zone: Zone) -> Self {
        let (all, groups, ways) = (Sum::default(), BTreeMap::new(), BTreeMap::new());
        Builder { by, zone, all, groups, ways }
    }

    /// Counts a ticket.
    pub fn add(&mut self, item: &Item) {
        if !item.duplicate {
            self.all.add(item);
            self.groups.entry(self.by.key(item, &self.zone)).or_default().add(item);
        }
        if item.code.is_empty() {
            return;
        }
        let (automatic, by_hand) = self.ways.entry(item.code.clone()).or_default();
        if item.by_hand { by_hand } else { automatic }.add(item);
    }

    /// What they come to.
    pub fn finish(self) -> Report {
        let mut groups: Vec<Group> =
            self.groups.into_iter().map(|(key, sum)| sum.told(key)).collect();
        let in_order = matches!(self.by, By::Month | By::Week);
        if !in_order {
            groups.sort_by_key(|group| std::cmp::Reverse(group.tickets));
        }
        let groups_left_out = groups.len().saturating_sub(MAX_GROUPS);
        if in_order {
            // The latest ones are wanted.
            groups.drain(..groups_left_out);
        } else {
            groups.truncate(MAX_GROUPS);
        }
        let (mut automatic, mut by_hand) = (Way::default(), Way::default());
        let mut faults = Vec::new();
        for (code, (ours, theirs)) in self.ways {
            if ours.tickets == 0 || theirs.tickets == 0 {
                continue;
            }
            automatic.take(&ours);
            by_hand.take(&theirs);
            faults.push(Fault { code, automatic: ours.told(), by_hand: theirs.told() });
        }
        faults.sort_by_key(|one| std::cmp::Reverse(one.automatic.tickets + one.by_hand.tickets));
        let faults_left_out = faults.len().saturating_sub(MAX_FAULTS);
        faults.truncate(MAX_FAULTS);
        Report {
            all: self.all.told(String::new()),
            groups,
            groups_left_out,
            both: Fault {
                code: String::new(),
                automatic: automatic.told(),
                by_hand: by_hand.told(),
            },
            faults,
            faults_left_out,
        }
    }
}
