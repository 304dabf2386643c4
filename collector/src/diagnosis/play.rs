//! The engine played over a history: which tickets these rules would have made of it. Pure.

use std::collections::{BTreeMap, BTreeSet};

use callhome_shared::severity::Severity;
use callhome_shared::time::Time;

use super::cause::{self, Cause, Fault, Faults};
use super::effect::{effect, loss};
use super::judge::{First, Known, Next, Waiting, Why, again, first, flaps};
use super::rules::{Rules, Subject};
use super::topology::Topology;

/// Lives of one identity that are remembered for flapping.
const REMEMBERED: usize = 64;

/// One alarm life as it is known in the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Life {
    /// The alarm life.
    pub alarm_id: String,
    /// Its identity.
    pub identity: String,
    /// Where it is in the topology.
    pub node: Option<usize>,
    /// Alarm type.
    pub kind: String,
    /// The part.
    pub resource: String,
    /// Severity.
    pub severity: Severity,
    /// The agent's rule: pack and id.
    pub rule: (String, String),
    /// Site.
    pub site: String,
    /// Device: id and name.
    pub device: (String, String),
}

/// Something that happened. Each is made and moved once: a box would cost more than it saves.
#[allow(clippy::large_enum_variant)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A life begins.
    Raised(Life),
    /// A life has this severity now.
    Changed(String, Severity),
    /// A life is over.
    Cleared(String),
    /// People closed the ticket of this identity.
    Closed(String),
}

/// What became of a life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It waits still.
    Waits {
        /// Why.
        why: Why,
        /// Since when.
        since: Time,
        /// Until when.
        until: Time,
    },
    /// Recorded, no ticket.
    Recorded,
    /// It was gone before its time.
    Transient,
    /// It opened that ticket.
    Opened(usize),
    /// Another life of a fault of that ticket.
    Joined(usize),
    /// A consequence, in its cause's ticket.
    Consequence(usize, Cause),
}

/// A life with what became of it.
#[derive(Clone, Debug)]
pub struct Played {
    /// The life, with its worst severity.
    pub life: Life,
    /// When it was raised.
    pub raised_at: Time,
    /// When it was over.
    pub cleared_at: Option<Time>,
    /// What became of it.
    pub fate: Fate,
    /// The rule that held or recorded it.
    pub rule: Option<String>,
}

/// A ticket that would have been.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// The life that opened it.
    pub alarm_id: String,
    /// When.
    pub opened_at: Time,
    /// Its worst severity.
    pub severity: Severity,
    /// Lives that are consequences.
    pub consequences: usize,
    /// Further lives of its faults.
    pub recurrences: usize,
    /// It says "flapping".
    pub flapping: bool,
    /// Its cause came later: that ticket has it all.
    pub merged_into: Option<usize>,
    /// People closed it.
    pub closed: bool,
}

/// The history as far as it was played.
pub struct Play<'a> {
    rules: &'a Rules,
    topology: &'a Topology,
    lives: BTreeMap<String, Played>,
    tickets: Vec<Ticket>,
    open: BTreeMap<String, usize>,
    raised: BTreeMap<String, Vec<Time>>,
    looks: BTreeSet<(Time, String)>,
    faults: Faults,
}

impl<'a> Play<'a> {
    /// Nothing yet.
    pub fn new(rules: &'a Rules, topology: &'a Topology) -> Self {
        Play {
            rules,
            topology,
            lives: BTreeMap::new(),
            tickets: Vec::new(),
            open: BTreeMap::new(),
            raised: BTreeMap::new(),
            looks: BTreeSet::new(),
            faults: Faults::new(),
        }
    }

    /// Something happened; in the order of time.
    pub fn hear(&mut self, at: Time, what: What) {
        self.advance(at);
        match what {
            What::Raised(life) => self.raised(life, at),
            What::Changed(id, severity) => self.changed(&id, severity, at),
            What::Cleared(id) => self.cleared(&id, at),
            What::Closed(identity) => self.closed(&identity),
        }
    }

    /// Time passes until everything that waits is decided.
    pub fn end(mut self) -> (Vec<Ticket>, BTreeMap<String, Played>) {
        self.advance(Time(i64::MAX));
        (self.tickets, self.lives)
    }

    fn advance(&mut self, to: Time) {
        while let Some((at, id)) = self.looks.first().cloned().filter(|(at, _)| *at <= to) {
            self.looks.remove(&(at, id.clone()));
            self.look(&id, at);
        }
    }

    fn raised(&mut self, life: Life, at: Time) {
        if self.lives.contains_key(&life.alarm_id) {
            return self.changed(&life.alarm_id.clone(), life.severity, at);
        }
        let id = life.alarm_id.clone();
        self.note(&life, at);
        let lives = self.count(&life.identity, at);
        let fate = Fate::Transient;
        let played = Played { life, raised_at: at, cleared_at: None, fate, rule: None };
        self.lives.insert(id.clone(), played);
        self.judge(&id, lives, at);
    }

    /// Judges a life for the first time, or anew because it got worse.
    fn judge(&mut self, id: &str, lives: i64, at: Time) {
        let Some(played) = self.lives.get(id) else { return };
        let life = &played.life;
        if let Some(ticket) = self.open.get(&life.identity).copied() {
            return self.join(id, ticket, flaps(self.rules, lives));
        }
        let of = subject(life);
        let hangs = life.node.is_some_and(|node| self.topology.hangs(node));
        let (said, rule) = first(self.rules, &of, hangs, lives, at);
        let before = match played.fate {
            Fate::Waits { until, .. } => until,
            _ => Time(i64::MAX),
        };
        let fate = match said {
            First::Open { flapping } => return self.open_ticket(id, flapping, at),
            First::Record => Fate::Recorded,
            First::Wait { until, why } => {
                let until = until.min(before);
                self.looks.insert((at.max(at.plus_ms(1)).min(until), id.to_owned()));
                Fate::Waits { why, since: at, until }
            }
        };
        if let Some(played) = self.lives.get_mut(id) {
            (played.fate, played.rule) = (fate, rule);
        }
    }

    fn changed(&mut self, id: &str, severity: Severity, at: Time) {
        let Some(played) = self.lives.get_mut(id) else { return };
        if severity <= played.life.severity {
            return;
        }
        played.life.severity = severity;
        let identity = played.life.identity.clone();
        match played.fate.clone() {
            Fate::Opened(ticket) | Fate::Joined(ticket) | Fate::Consequence(ticket, _) => {
                let ticket = self.at(ticket);
                let ticket = &mut self.tickets[ticket];
                ticket.severity = ticket.severity.max(severity);
            }
            Fate::Waits { .. } | Fate::Recorded if played.cleared_at.is_none() => {
                let lives = self.count(&identity, at);
                self.judge(id, lives, at);
            }
            Fate::Waits { .. } | Fate::Recorded | Fate::Transient => {}
        }
    }

    fn cleared(&mut self, id: &str, at: Time) {
        let Some(played) = self.lives.get_mut(id) else { return };
        played.cleared_at = Some(at);
        if let Fate::Waits { why: Why::HoldDown, .. } = played.fate {
            played.fate = Fate::Transient;
        }
        if let Some(node) = played.life.node {
            let here = self.faults.get_mut(&node).into_iter().flatten();
            for fault in here.filter(|fault| fault.alarm_id == id) {
                fault.cleared_at = Some(at);
            }
        }
    }

    fn closed(&mut self, identity: &str) {
        let Some(ticket) = self.open.get(identity).copied() else { return };
        self.tickets[ticket].closed = true;
        self.open.retain(|_, of| *of != ticket);
    }

    /// Notes what others may follow from, and that it lived.
    fn note(&mut self, life: &Life, at: Time) {
        let lives = self.raised.entry(life.identity.clone()).or_default();
        lives.push(at);
        if lives.len() > REMEMBERED {
            lives.remove(0);
        }
        let Some(node) = life.node.filter(|_| loss(&life.kind).is_some()) else { return };
        let within = self.rules.within_ms;
        let here = self.faults.entry(node).or_default();
        here.retain(|f| f.cleared_at.is_none_or(|over| at.since_ms(over) <= 2 * within));
        here.push(fault(life, at, None));
    }

    fn count(&self, identity: &str, at: Time) -> i64 {
        let all = self.raised.get(identity).into_iter().flatten();
        let near = all.filter(|raised| at.since_ms(**raised) < self.rules.flap_ms).count();
        i64::try_from(near).unwrap_or(i64::MAX)
    }

    /// The ticket that a ticket has become.
    fn at(&self, mut ticket: usize) -> usize {
        while let Some(into) = self.tickets[ticket].merged_into {
            ticket = into;
        }
        ticket
    }

    fn join(&mut self, id: &str, ticket: usize, flapping: bool) {
        let Some(played) = self.lives.get_mut(id) else { return };
        played.fate = Fate::Joined(ticket);
        let severity = played.life.severity;
        let ticket = &mut self.tickets[ticket];
        ticket.recurrences += 1;
        ticket.severity = ticket.severity.max(severity);
        ticket.flapping |= flapping;
    }

    fn open_ticket(&mut self, id: &str, flapping: bool, at: Time) {
        let Some(played) = self.lives.get_mut(id) else { return };
        let ticket = self.tickets.len();
        played.fate = Fate::Opened(ticket);
        self.open.insert(played.life.identity.clone(), ticket);
        self.tickets.push(Ticket {
            alarm_id: id.to_owned(),
            opened_at: at,
            severity: played.life.severity,
            consequences: 0,
            recurrences: 0,
            flapping,
            merged_into: None,
            closed: false,
        });
        let (kind, node) = (played.life.kind.clone(), played.life.node);
        if loss(&kind).is_some() && node.is_some_and(|node| self.topology.carries(node)) {
            self.adopt(ticket, at);
        }
    }

    fn cause(&self, played: &Played) -> Option<Cause> {
        effect(&played.life.kind)?;
        let fault = fault(&played.life, played.raised_at, played.cleared_at);
        cause::find(self.topology, &self.faults, played.life.node?, &fault, self.rules.within_ms)
    }

    /// The open ticket of a life.
    fn ticket_of(&self, alarm: &str) -> Option<usize> {
        let (Fate::Opened(ticket) | Fate::Joined(ticket) | Fate::Consequence(ticket, _)) =
            &self.lives.get(alarm)?.fate
        else {
            return None;
        };
        Some(self.at(*ticket)).filter(|ticket| !self.tickets[*ticket].closed)
    }

    /// Tickets that follow from this one and that nobody has touched become part of it.
    fn adopt(&mut self, into: usize, at: Time) {
        let near = |ticket: &Ticket| at.since_ms(ticket.opened_at) <= self.rules.within_ms;
        let all = self.tickets[..into].iter().enumerate();
        let all: Vec<usize> = all
            .filter(|(_, t)| t.merged_into.is_none() && !t.closed && near(t))
            .map(|(place, _)| place)
            .collect();
        for one in all {
            let Some(played) = self.lives.get(&self.tickets[one].alarm_id) else { continue };
            let Some(cause) = self.cause(played) else { continue };
            if self.ticket_of(&cause.alarm_id) != Some(into) {
                continue;
            }
            let taken = self.tickets[one].clone();
            self.tickets[one].merged_into = Some(into);
            let ticket = &mut self.tickets[into];
            ticket.severity = ticket.severity.max(taken.severity);
            ticket.consequences += 1 + taken.consequences + taken.recurrences;
            self.open.values_mut().filter(|of| **of == one).for_each(|of| *of = into);
            if let Some(played) = self.lives.get_mut(&taken.alarm_id) {
                played.fate = Fate::Consequence(into, cause);
            }
        }
    }

    fn look(&mut self, id: &str, at: Time) {
        let Some(played) = self.lives.get(id) else { return };
        let Fate::Waits { why, since, until } = played.fate else { return };
        if let Some(ticket) = self.open.get(&played.life.identity).copied() {
            return self.join(id, ticket, false);
        }
        let cause = self.cause(played);
        let known = match &cause {
            None => Known::Nothing,
            Some(cause) if self.ticket_of(&cause.alarm_id).is_some() => Known::InTicket,
            Some(cause) => match self.lives.get(&cause.alarm_id).map(|of| &of.fate) {
                Some(Fate::Waits { .. }) => Known::Waits,
                _ => Known::Nothing,
            },
        };
        let active = played.cleared_at.is_none();
        let (severity, identity) = (played.life.severity, played.life.identity.clone());
        let fate = match again(self.rules, &Waiting { why, since, until, active }, known, at) {
            Next::Wait { look, until, why } => {
                self.looks.insert((look, id.to_owned()));
                Fate::Waits { why, since, until }
            }
            Next::Transient => Fate::Transient,
            Next::Open => return self.open_ticket(id, false, at),
            Next::Attach => {
                let Some(cause) = cause else { return };
                let Some(ticket) = self.ticket_of(&cause.alarm_id) else { return };
                self.open.insert(identity, ticket);
                let of = &mut self.tickets[ticket];
                of.consequences += 1;
                of.severity = of.severity.max(severity);
                Fate::Consequence(ticket, cause)
            }
        };
        if let Some(played) = self.lives.get_mut(id) {
            played.fate = fate;
        }
    }
}

fn subject(life: &Life) -> Subject<'_> {
    Subject {
        severity: life.severity,
        kind: &life.kind,
        rule: (&life.rule.0, &life.rule.1),
        site: &life.site,
        device: (&life.device.0, &life.device.1),
    }
}

fn fault(life: &Life, raised_at: Time, cleared_at: Option<Time>) -> Fault {
    Fault {
        alarm_id: life.alarm_id.clone(),
        kind: life.kind.clone(),
        resource: life.resource.clone(),
        raised_at,
        cleared_at,
    }
}

#[cfg(test)]
mod tests;
