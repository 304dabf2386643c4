//! Judges a storm: what was put into the devices against what the support centre shows. Pure: no clock,
//! no network, no files.
//!
//! The rule it stands for: every fault that happened is in exactly one case or inside a declared loss; no
//! alarm stands that should be clear, none is clear that should stand; and the counts close.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::fleet::Kind;

/// Something that was done to a device: a fault came or went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Into which kind of source.
    pub kind: Kind,
    /// The resource it shows up on.
    pub resource: String,
    /// The fault came; else it went.
    pub raised: bool,
    /// When, ms since 1970 by the clock of this machine.
    pub at: i64,
}

/// One alarm life, as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenAlarm {
    /// The device's name.
    pub device: String,
    /// The resource.
    pub resource: String,
    /// Its type.
    pub about: String,
    /// Not cleared.
    pub active: bool,
    /// The ticket of its case.
    pub ticket: Option<String>,
}

/// One ticket, as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenTicket {
    /// Its number.
    pub number: String,
    /// The device's name.
    pub device: String,
    /// The resource.
    pub resource: String,
    /// The condition is marked as cleared.
    pub cleared: bool,
    /// What it is about (message key).
    pub about: String,
}

/// A declared loss, in milliseconds of the agent's clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenLoss {
    /// The source that was deaf.
    pub source: String,
    /// From.
    pub from: i64,
    /// To.
    pub to: i64,
}

/// From `at` (this machine's clock) on, the agent's clock was `ahead` milliseconds ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockStep {
    /// Since when, ms since 1970.
    pub at: i64,
    /// How far.
    pub ahead: i64,
}

/// All that the support centre shows.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Alarm lives.
    pub alarms: Vec<SeenAlarm>,
    /// Tickets.
    pub tickets: Vec<SeenTicket>,
    /// Declared losses of the agent.
    pub losses: Vec<SeenLoss>,
}

/// What is wrong, and with what.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wrong {
    /// Fewer alarm lives than faults, and no declared loss explains it.
    Lost,
    /// More alarm lives or more tickets than faults.
    Twice,
    /// An alarm whose case has no ticket, or another ticket than its identity's.
    NoCase,
    /// The fault went, the alarm stands.
    StandsButClear,
    /// The fault stands, the alarm is clear.
    ClearButStands,
    /// The ticket's mark "condition cleared" does not go with its alarm.
    TicketDisagrees,
    /// An alarm that nobody put in.
    Stranger,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What is wrong.
    pub wrong: Wrong,
    /// Device and resource.
    pub subject: String,
    /// The numbers or the history behind it.
    pub why: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}: {}", self.wrong, self.subject, self.why)
    }
}

/// Faults of one kind of source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Faults that came.
    pub faults: usize,
    /// Alarm lives.
    pub lives: usize,
    /// Tickets.
    pub tickets: usize,
    /// Faults that only a declared loss accounts for.
    pub declared: usize,
    /// Faults that nothing accounts for.
    pub lost: usize,
    /// Standing at the end.
    pub standing: usize,
}

/// The judgement.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// By kind of source.
    pub by_kind: BTreeMap<Kind, Count>,
    /// All that is wrong.
    pub findings: Vec<Finding>,
    /// Tickets that nobody put in and that may be there (the agent's silence, a device that did not
    /// answer, the machine's own disks), by what they are about.
    pub others: BTreeMap<String, usize>,
}

impl Verdict {
    /// The sum over all kinds.
    pub fn total(&self) -> Count {
        self.by_kind.values().fold(Count::default(), |a, b| Count {
            faults: a.faults + b.faults,
            lives: a.lives + b.lives,
            tickets: a.tickets + b.tickets,
            declared: a.declared + b.declared,
            lost: a.lost + b.lost,
            standing: a.standing + b.standing,
        })
    }

    /// How many findings are of this sort.
    pub fn of(&self, wrong: &Wrong) -> usize {
        self.findings.iter().filter(|f| f.wrong == *wrong).count()
    }
}

/// One fault's identity as the harness knows it.
type Subject = (String, String);

/// Judges `told` (in the order it was done) against `seen`.
pub fn judge(told: &[Told], seen: &Seen, clock: &[ClockStep]) -> Verdict {
    let mut verdict = Verdict::default();
    let mut histories: BTreeMap<Subject, Vec<&Told>> = BTreeMap::new();
    for event in told {
        let subject = (event.kind.device().to_owned(), event.resource.clone());
        histories.entry(subject).or_default().push(event);
    }
    let mut alarms: BTreeMap<Subject, Vec<&SeenAlarm>> = BTreeMap::new();
    for alarm in &seen.alarms {
        alarms.entry((alarm.device.clone(), alarm.resource.clone())).or_default().push(alarm);
    }
    let mut tickets: BTreeMap<Subject, Vec<&SeenTicket>> = BTreeMap::new();
    for ticket in &seen.tickets {
        tickets.entry((ticket.device.clone(), ticket.resource.clone())).or_default().push(ticket);
    }
    let deaf = Deaf::new(&seen.losses, clock, span(told));
    for (subject, history) in &histories {
        let lives = alarms.remove(subject).unwrap_or_default();
        let cases = tickets.remove(subject).unwrap_or_default();
        judge_one(subject, history, &lives, &cases, &deaf, &mut verdict);
    }
    strangers(&alarms, &tickets, &mut verdict);
    verdict
}

fn judge_one(
    subject: &Subject,
    history: &[&Told],
    lives: &[&SeenAlarm],
    cases: &[&SeenTicket],
    deaf: &Deaf,
    verdict: &mut Verdict,
) {
    let Some(kind) = history.first().map(|t| t.kind) else { return };
    let reachable = reachable(history, |event| deaf.covers(kind.source(), event.at));
    let faults = history.iter().filter(|t| t.raised).count();
    let fewest = reachable.iter().map(|(_, n)| *n).min().unwrap_or(0);
    let most = reachable.iter().map(|(_, n)| *n).max().unwrap_or(0);
    let active = lives.iter().filter(|a| a.active).count();
    let count = verdict.by_kind.entry(kind).or_default();
    count.faults += faults;
    count.lives += lives.len();
    count.tickets += cases.len();
    count.declared += faults.saturating_sub(lives.len().max(fewest));
    count.lost += fewest.saturating_sub(lives.len());
    count.standing += active;
    let mut found = |wrong: Wrong, why: String| {
        let subject = format!("{}/{}", subject.0, subject.1);
        verdict.findings.push(Finding { wrong, subject, why });
    };
    let numbers = || {
        format!(
            "{faults} faults, {} lives ({active} active), expected one of {reachable:?}; {}",
            lives.len(),
            tell(history, |event| deaf.covers(kind.source(), event.at))
        )
    };
    if lives.len() < fewest {
        found(Wrong::Lost, numbers());
    } else if lives.len() > most || active > 1 {
        found(Wrong::Twice, numbers());
    } else if !reachable.contains(&(active == 1, lives.len())) {
        let wrong = if active == 1 { Wrong::StandsButClear } else { Wrong::ClearButStands };
        found(wrong, numbers());
    }
    if cases.len() > 1 {
        let numbers: Vec<_> = cases.iter().map(|t| t.number.as_str()).collect();
        found(Wrong::Twice, format!("tickets {numbers:?}"));
    }
    for alarm in lives {
        let own = cases.first().map(|t| t.number.as_str());
        if alarm.ticket.is_none() || alarm.ticket.as_deref() != own {
            found(Wrong::NoCase, format!("alarm in ticket {:?}, not {own:?}", alarm.ticket));
        }
    }
    if let [ticket] = cases
        && ticket.cleared == (active > 0)
    {
        found(Wrong::TicketDisagrees, format!("cleared: {}, active: {active}", ticket.cleared));
    }
}

/// Every (stands, number of lives) that may come of a history, when events for which `may_miss` holds
/// may have been heard or not.
fn reachable(history: &[&Told], may_miss: impl Fn(&Told) -> bool) -> BTreeSet<(bool, usize)> {
    let mut states = BTreeSet::from([(false, 0)]);
    for event in history {
        let heard = states.iter().map(|(active, lives)| match (event.raised, active) {
            (true, false) => (true, lives + 1),
            (raised, _) => (raised, *lives),
        });
        let mut next: BTreeSet<(bool, usize)> = heard.collect();
        if may_miss(event) {
            next.extend(&states);
        }
        states = next;
    }
    states
}

/// The last events of a history, for people.
fn tell(history: &[&Told], declared: impl Fn(&Told) -> bool) -> String {
    let from = history.len().saturating_sub(12);
    let events: Vec<String> = history
        .iter()
        .skip(from)
        .map(|event| {
            let what = if event.raised { "raised" } else { "cleared" };
            let declared = if declared(event) { " (declared)" } else { "" };
            format!("{what} at {}{declared}", event.at)
        })
        .collect();
    events.join(", ")
}

/// What is left is not ours: some of it is nobody's, some may be there but not stand.
fn strangers(
    alarms: &BTreeMap<Subject, Vec<&SeenAlarm>>,
    tickets: &BTreeMap<Subject, Vec<&SeenTicket>>,
    verdict: &mut Verdict,
) {
    for (subject, cases) in tickets {
        for ticket in cases {
            *verdict.others.entry(ticket.about.clone()).or_default() += 1;
            if is_ours(subject) {
                let why = format!("ticket {} about {}", ticket.number, ticket.about);
                let subject = format!("{}/{}", subject.0, subject.1);
                verdict.findings.push(Finding { wrong: Wrong::Stranger, subject, why });
            } else if is_about_itself(&ticket.about) && !ticket.cleared {
                let why = format!("ticket {} about {} stands", ticket.number, ticket.about);
                let subject = format!("{}/{}", subject.0, subject.1);
                verdict.findings.push(Finding { wrong: Wrong::StandsButClear, subject, why });
            }
        }
    }
    for (subject, lives) in alarms {
        let over = must_be_over(subject);
        if lives.iter().any(|a| a.active && (over || is_about_itself(&a.about))) {
            let subject = format!("{}/{}", subject.0, subject.1);
            let why = "stands at the end, and nobody put it in".to_owned();
            verdict.findings.push(Finding { wrong: Wrong::StandsButClear, subject, why });
        }
    }
}

/// Whether an alarm that nobody put in may not stand at the end. On the simulated devices none may. The
/// real ones tell of this machine's load and disks, too: there it is the alarm about the device itself,
/// which did not answer for a while.
fn must_be_over((device, resource): &Subject) -> bool {
    let simulated = [Kind::Array, Kind::Console].iter().any(|k| k.device() == device);
    let watched = Kind::ALL.iter().any(|k| k.device() == device);
    simulated || (watched && resource.is_empty())
}

/// Whether a type or a message is about the call-home system and not about a device: after a storm every
/// agent is heard again and every path proven.
fn is_about_itself(about: &str) -> bool {
    ["agent-silent", "agent.silent", "path-not-proven", "path.not-proven"]
        .iter()
        .any(|own| about.starts_with(own))
}

/// Whether only an injected fault has such a resource.
fn is_ours((device, resource): &Subject) -> bool {
    Kind::ALL.iter().any(|kind| kind.device() == device && kind.injects(resource))
}

/// The declared losses in this machine's time.
struct Deaf {
    intervals: Vec<(String, i64, i64)>,
}

impl Deaf {
    /// The agent declares in its own clock, which may have jumped between beginning and end: each end
    /// is turned back by an offset that was in force at the moment it then means, within `span`.
    /// Where several fit (an hour that came twice) the widest interval counts: the agent cannot tell
    /// them apart either.
    fn new(losses: &[SeenLoss], clock: &[ClockStep], span: (i64, i64)) -> Self {
        let within = |shown| {
            let times = real_times(shown, clock).into_iter();
            times.filter(move |t| (span.0..=span.1).contains(t))
        };
        let intervals = losses
            .iter()
            .filter_map(|loss| {
                let from = within(loss.from).min()?;
                let to = within(loss.to).max()?;
                Some((loss.source.clone(), from, to))
            })
            .collect();
        Deaf { intervals }
    }

    fn covers(&self, source: &str, at: i64) -> bool {
        self.intervals.iter().any(|(s, from, to)| s == source && (*from..=*to).contains(&at))
    }
}

/// The storm and an hour around it: nothing that is declared now means next week.
fn span(told: &[Told]) -> (i64, i64) {
    const AROUND: i64 = 3_600_000;
    let first = told.iter().map(|t| t.at).min().unwrap_or(0);
    let last = told.iter().map(|t| t.at).max().unwrap_or(0);
    (first.saturating_sub(AROUND), last.saturating_add(AROUND))
}

/// Moments at which a clock with these steps showed `shown`. A second of slack around a step: a process
/// reads the new offset a moment after it was written.
fn real_times(shown: i64, clock: &[ClockStep]) -> Vec<i64> {
    const SLACK: i64 = 1_000;
    let mut times = Vec::new();
    let first = ClockStep { at: i64::MIN / 2, ahead: 0 };
    let steps: Vec<ClockStep> = std::iter::once(first).chain(clock.iter().copied()).collect();
    for (n, step) in steps.iter().enumerate() {
        let real = shown.saturating_sub(step.ahead);
        let until = steps.get(n + 1).map_or(i64::MAX / 2, |next| next.at);
        if (step.at - SLACK..=until + SLACK).contains(&real) {
            times.push(real);
        }
    }
    times
}

#[cfg(test)]
#[path = "oracle_tests.rs"]
mod tests;
