//! Whether a fault follows from another one: by what the device hangs on, by the types of both, by time. Pure.

use std::cell::Cell;
use std::collections::BTreeMap;

use callhome_shared::time::Time;

use super::effect::{Effect, Loss, effect, loss};
use super::topology::{Need, Relation, Topology};

/// Steps from a fault up to its cause, at most.
const MAX_STEPS: usize = 16;
/// Nodes that are looked at for one fault, at most: many ways may lead up. Beyond it none is found.
const MAX_VISITS: u32 = 4096;

/// A fault on a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The alarm life.
    pub alarm_id: String,
    /// Alarm type.
    pub kind: String,
    /// The part.
    pub resource: String,
    /// Since when.
    pub raised_at: Time,
    /// Until when, if it is over.
    pub cleared_at: Option<Time>,
}

/// Faults by node.
pub type Faults = BTreeMap<usize, Vec<Fault>>;

/// Why a fault follows from another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// The alarm that all of it follows from.
    pub alarm_id: String,
    /// Its type.
    pub kind: String,
    /// The nodes between, from the first parent to the one that has it.
    pub path: Vec<String>,
    /// In which way the first step goes.
    pub relation: Relation,
    /// How long after its cause it was raised, milliseconds; below zero: before.
    pub after_ms: i64,
    /// Where several parents stand in for one another: the causes of the others.
    pub others: Vec<String>,
}

/// What is known, while one fault is looked at.
struct Look<'a> {
    topology: &'a Topology,
    faults: &'a Faults,
    raised_at: Time,
    within_ms: i64,
    visits: Cell<u32>,
}

/// What took a node away.
#[derive(Clone)]
struct Found<'a> {
    fault: &'a Fault,
    path: Vec<usize>,
}

/// The cause of `fault`, which is on `node`: the one farthest up. `within_ms`: how far from one another
/// both may have begun, and how long a cause may have been over.
pub fn find(
    topology: &Topology,
    faults: &Faults,
    node: usize,
    fault: &Fault,
    within_ms: i64,
) -> Option<Cause> {
    let missing = effect(&fault.kind)?;
    let visits = Cell::new(MAX_VISITS);
    let look = Look { topology, faults, raised_at: fault.raised_at, within_ms, visits };
    let needs = &topology.nodes.get(node)?.needs;
    // No supply is out because something is not reached.
    let needs =
        needs.iter().filter(|need| missing == Effect::Reach || need.relation != Relation::HangsOn);
    let all = needs.filter_map(|need| Some((need, look.group(need, missing, MAX_STEPS)?)));
    // Of several lists the one whose loss is the oldest: it explains the most.
    let (need, lost) = all.min_by(|(_, a), (_, b)| first(a).cmp(&first(b)))?;
    // Of parents that stand in for one another the last one to go made the difference.
    let last = lost.iter().max_by_key(|one| (one.fault.raised_at, &one.fault.alarm_id))?;
    let mut others: Vec<String> = lost.iter().map(|one| one.fault.alarm_id.clone()).collect();
    others.retain(|id| *id != last.fault.alarm_id);
    others.sort();
    others.dedup();
    Some(Cause {
        alarm_id: last.fault.alarm_id.clone(),
        kind: last.fault.kind.clone(),
        path: last.path.iter().map(|node| topology.name(*node).to_owned()).collect(),
        relation: need.relation,
        after_ms: fault.raised_at.since_ms(last.fault.raised_at),
        others,
    })
}

fn first<'a>(lost: &[Found<'a>]) -> (Time, &'a str) {
    let all = lost.iter().map(|one| (one.fault.raised_at, one.fault.alarm_id.as_str()));
    all.min().unwrap_or((Time(i64::MAX), ""))
}

impl<'a> Look<'a> {
    /// What took the parents of a list; `None`: enough of them is left.
    fn group(&self, need: &Need, missing: Effect, steps: usize) -> Option<Vec<Found<'a>>> {
        let lost: Vec<Found<'a>> = need
            .parents
            .iter()
            .filter_map(|(node, part)| {
                self.lost(*node, part.as_deref(), missing, need.relation, steps)
            })
            .collect();
        // A supply is out with its own feed, whatever the other feed does.
        let one_will_do = missing == Effect::Power && need.relation == Relation::PoweredBy;
        let enough = if one_will_do { !lost.is_empty() } else { lost.len() == need.parents.len() };
        enough.then_some(lost)
    }

    /// What took this node away from what hangs on (that part of) it: something farther up if there is
    /// such a thing, else its own fault.
    fn lost(
        &self,
        node: usize,
        part: Option<&str>,
        missing: Effect,
        relation: Relation,
        steps: usize,
    ) -> Option<Found<'a>> {
        let steps = steps.checked_sub(1)?;
        self.visits.set(self.visits.get().checked_sub(1)?);
        let needs = self.topology.nodes.get(node)?.needs.iter();
        // A PDU that cannot be reached gives power all the same.
        let needs =
            needs.filter(|need| missing == Effect::Reach || need.relation != Relation::HangsOn);
        let above = needs.filter_map(|need| {
            // What is above takes the whole node: all of its parents must be gone.
            let lost: Option<Vec<Found<'a>>> = need
                .parents
                .iter()
                .map(|(up, part)| self.lost(*up, part.as_deref(), missing, need.relation, steps))
                .collect();
            lost?.into_iter().max_by_key(|one| (one.fault.raised_at, &one.fault.alarm_id))
        });
        let above = above.min_by_key(|one| (one.fault.raised_at, &one.fault.alarm_id));
        let found = above.or_else(|| {
            let own = self.faults.get(&node)?.iter();
            let own = own.filter(|fault| self.takes(fault, part, missing, relation));
            let fault = own.min_by_key(|fault| (fault.raised_at, &fault.alarm_id))?;
            Some(Found { fault, path: Vec::new() })
        })?;
        let mut path = vec![node];
        path.extend(found.path);
        Some(Found { fault: found.fault, path })
    }

    fn takes(
        &self,
        fault: &Fault,
        part: Option<&str>,
        missing: Effect,
        relation: Relation,
    ) -> bool {
        let together = fault.raised_at.since_ms(self.raised_at) <= self.within_ms
            && fault.cleared_at.is_none_or(|at| self.raised_at.since_ms(at) <= self.within_ms);
        let this_part = part.is_some_and(|part| same_part(&fault.resource, part));
        let takes = match (loss(&fault.kind), missing) {
            (Some(Loss::Whole), Effect::Power) => relation == Relation::PoweredBy,
            (Some(Loss::Whole | Loss::Power), _) => true,
            (Some(Loss::Outlet), _) => this_part,
            (Some(Loss::Part), Effect::Reach) => this_part,
            (Some(Loss::Part), Effect::Power) | (None, _) => false,
        };
        together && takes
    }
}

/// As agents compare them: the whole name, or its end after a blank, whatever the capitals.
fn same_part(resource: &str, part: &str) -> bool {
    let (resource, part) = (resource.to_lowercase(), part.to_lowercase());
    resource == part || resource.strip_suffix(&part).is_some_and(|head| head.ends_with(' '))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnosis::topology::Written;

    fn topology() -> Topology {
        let row = |id: &str, hangs_on: &[&str], powered_by: &[&str]| Written {
            id: id.to_owned(),
            hangs_on: hangs_on.iter().map(|s| (*s).to_owned()).collect(),
            powered_by: powered_by.iter().map(|s| (*s).to_owned()).collect(),
        };
        Topology::build(
            &[],
            &[
                row("array", &["sw-1#Gi1/0/7", "sw-2"], &["pdu-a", "pdu-b"]),
                row("feed", &[], &[]),
                row("pdu-a", &[], &["feed"]),
                row("pdu-b", &[], &[]),
                row("server", &["sw-1"], &["pdu-a#Outlet 3"]),
                row("sw-1", &[], &["pdu-a"]),
                row("sw-2", &[], &["pdu-b"]),
            ],
        )
    }

    fn node(all: &Topology, name: &str) -> usize {
        (0..all.nodes.len()).find(|n| all.name(*n) == name).unwrap()
    }

    fn fault(id: &str, kind: &str, resource: &str, at: i64) -> Fault {
        Fault {
            alarm_id: id.into(),
            kind: kind.into(),
            resource: resource.into(),
            raised_at: Time(at),
            cleared_at: None,
        }
    }

    fn cause(on: &str, one: &Fault, others: &[(&str, Fault)]) -> Option<Cause> {
        let all = topology();
        let mut faults = Faults::new();
        for (name, fault) in others {
            faults.entry(node(&all, name)).or_default().push(fault.clone());
        }
        find(&all, &faults, node(&all, on), one, 60_000)
    }

    #[test]
    fn a_lost_feed_explains_what_is_behind_it_and_no_disk() {
        let feed = [("feed", fault("f", "power-lost", "", 1000))];
        let away = fault("x", "device-unreachable", "", 5000);
        let found = cause("server", &away, &feed).unwrap();
        assert_eq!((found.alarm_id.as_str(), found.after_ms), ("f", 4000));
        assert_eq!(found.path.last().unwrap(), "feed");
        assert_eq!(cause("server", &fault("d", "disk-failed", "", 5000), &feed), None);
        assert_eq!(cause("array", &away, &feed), None, "it has another feed and another switch");
        let supply = fault("p", "psu-failed", "PSU 1", 5000);
        let found = cause("array", &supply, &feed).unwrap();
        assert_eq!((found.alarm_id.as_str(), found.relation), ("f", Relation::PoweredBy));
        assert_eq!(found.path, ["pdu-a", "feed"]);
    }

    #[test]
    fn of_redundant_parents_all_must_be_lost() {
        let one = ("sw-1", fault("s1", "port-down", "interface Gi1/0/7", 1000));
        let two = ("sw-2", fault("s2", "device-unreachable", "", 3000));
        let away = fault("x", "device-unreachable", "", 5000);
        assert_eq!(cause("array", &away, std::slice::from_ref(&one)), None);
        assert_eq!(cause("array", &away, std::slice::from_ref(&two)), None);
        let found = cause("array", &away, &[one, two.clone()]).unwrap();
        assert_eq!((found.alarm_id.as_str(), found.others), ("s2", vec!["s1".to_owned()]));
        let other = ("sw-1", fault("s1", "port-down", "Gi1/0/17", 1000));
        assert_eq!(cause("array", &away, &[other, two]), None, "another port");
    }

    #[test]
    fn the_farthest_cause_counts_and_time_does() {
        let both = [
            ("sw-1", fault("s1", "device-unreachable", "", 2000)),
            ("feed", fault("f", "power-lost", "", 30_000)),
        ];
        let away = fault("x", "device-unreachable", "", 5000);
        assert_eq!(cause("server", &away, &both).unwrap().alarm_id, "f");
        let late = [("feed", fault("f", "power-lost", "", 65_001))];
        assert_eq!(cause("server", &away, &late), None);
        let over = Fault { cleared_at: Some(Time(1500)), ..fault("f", "power-lost", "", 1000) };
        assert!(cause("server", &away, &[("feed", over.clone())]).is_some());
        let away = fault("x", "device-unreachable", "", 61_501);
        assert_eq!(cause("server", &away, &[("feed", over)]), None);
    }

    #[test]
    fn an_outlet_takes_what_is_plugged_into_it() {
        let supply = fault("p", "psu-failed", "PSU 1", 5000);
        let of = |outlet: &str| [("pdu-a", fault("o", "outlet-failed", outlet, 1000))];
        assert!(cause("server", &supply, &of("Outlet 3")).is_some());
        assert_eq!(cause("server", &supply, &of("Outlet 13")), None);
        let unreachable = [("pdu-a", fault("u", "device-unreachable", "", 1000))];
        assert!(cause("server", &supply, &unreachable).is_some());
    }
}
