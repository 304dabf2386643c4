//! Devices that appear, without building all of it again: a rollout brings thousands, one after the other.

use super::{Need, Relation, Told, Topology};

impl Topology {
    /// Takes in devices that agents tell of for the first time. `false`: what they tell may change where others
    /// hang; then all of it is to be built again, and this one is of no use any more.
    pub fn grow(&mut self, told: &[Told]) -> bool {
        let mut told: Vec<&Told> = told.iter().collect();
        told.sort_by(|a, b| (&a.agent, &a.id).cmp(&(&b.agent, &b.id)));
        // Which arrow of a circle is left out depends on everything.
        self.cuts.is_empty() && told.into_iter().all(|one| self.take_in(one).is_some())
    }

    fn take_in(&mut self, one: &Told) -> Option<()> {
        let device = (one.agent.clone(), one.id.clone());
        let place = (one.agent.clone(), one.name.clone());
        let serial = one.serial.as_ref().filter(|serial| !serial.is_empty());
        let known = serial.and_then(|serial| self.names.ids.get(serial)).copied();
        let meant = self.names.ids.get(&one.name).copied();
        let asked = &self.names.asked;
        let is_asked = (asked.contains(&one.name) && (meant.is_none() || meant != known))
            || serial.is_some_and(|serial| asked.contains(serial));
        if is_asked
            || self.names.inside.contains_key(&place)
            || self.of_device.contains_key(&device)
        {
            return None;
        }
        let node = match known {
            // The first device of a node gives it its name, and their needs follow one another.
            Some(node) if self.nodes[node].devices.last().is_some_and(|last| *last > device) => {
                return None;
            }
            Some(node) => node,
            None => self.node(&one.name),
        };
        if self.nodes[node].devices.is_empty() {
            self.nodes[node].name.clone_from(&one.name);
        }
        if let Some(serial) = serial {
            self.names.ids.insert(serial.clone(), node);
        }
        self.nodes[node].devices.push(device.clone());
        self.of_device.insert(device, node);
        self.names.inside.insert(place, node);
        let alone = self.names.alone.entry(one.name.clone()).or_insert(Some(node));
        if *alone != Some(node) {
            *alone = None;
        }
        self.hang_new(one, node)
    }

    /// Under what it tells: a parent whose own is not known yet to hang on it.
    fn hang_new(&mut self, one: &Told, node: usize) -> Option<()> {
        let Some(parent) = one.parent.as_ref().filter(|parent| !parent.is_empty()) else {
            return Some(());
        };
        if self.carries(node) {
            // It might close a circle.
            return None;
        }
        let place = (one.agent.clone(), parent.clone());
        let inside = self.names.inside.get(&place).copied();
        if inside.is_none() && !self.names.asked.insert(parent.clone()) {
            // Whether both mean the same depends on what is told and what is written.
            return None;
        }
        let known = inside.or_else(|| self.names.ids.get(parent).copied());
        let to = known.unwrap_or_else(|| self.node(parent));
        if to == node {
            return None;
        }
        self.names.inside.insert(place, to);
        let part = one.parent_resource.clone();
        self.told.insert((one.agent.clone(), one.id.clone()), (parent.clone(), part.clone()));
        let needs = &mut self.nodes[node].needs;
        let after = needs.iter().take_while(|need| need.relation == Relation::Parent).count();
        needs.insert(after, Need { relation: Relation::Parent, parents: vec![(to, part)] });
        self.carries.insert(to);
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::super::Written;
    use super::*;

    /// What is to be seen of it, whatever the nodes' numbers are.
    fn seen(all: &Topology) -> Vec<String> {
        let of = |node: usize| format!("{} {:?}", all.nodes[node].name, all.nodes[node].devices);
        let nodes = all.nodes.iter().enumerate().map(|(n, node)| {
            let needs = node.needs.iter().map(|need| {
                let mut parents: Vec<_> =
                    need.parents.iter().map(|(to, part)| (of(*to), part.clone())).collect();
                parents.sort();
                (need.relation, parents)
            });
            let needs: Vec<_> = needs.collect();
            format!("{} {needs:?} {}", of(n), all.carries(n))
        });
        let mut seen: Vec<String> = nodes.collect();
        seen.extend(
            all.of_device.iter().map(|(device, n)| format!("device {device:?} {}", of(*n))),
        );
        seen.extend(all.names.ids.iter().map(|(id, n)| format!("id {id} {}", of(*n))));
        seen.extend(all.told.iter().map(|told| format!("told {told:?}")));
        seen.extend(all.cuts.iter().map(|cut| format!("{cut:?}")));
        seen.sort();
        seen
    }

    /// Few names, so that they meet.
    fn name() -> impl Strategy<Value = String> {
        "[a-e]"
    }

    fn told() -> impl Strategy<Value = Told> {
        let part = proptest::option::of(Just("p".to_owned()));
        let some = || proptest::option::of(name());
        ("[xy]", "[a-h]", name(), some(), some(), part).prop_map(
            |(agent, id, name, serial, parent, parent_resource)| Told {
                agent,
                id,
                name,
                serial,
                parent,
                parent_resource,
            },
        )
    }

    fn written() -> impl Strategy<Value = Written> {
        (name(), vec(name(), 0..2), vec(name(), 0..2))
            .prop_map(|(id, hangs_on, powered_by)| Written { id, hangs_on, powered_by })
    }

    proptest! {
        #[test]
        fn prop_what_grew_is_as_what_was_built(
            mut all in vec(told(), 0..8),
            mut by_hand in vec(written(), 0..4),
            first in 0_usize..8,
        ) {
            let mut ids = std::collections::BTreeSet::new();
            all.retain(|one| ids.insert((one.agent.clone(), one.id.clone())));
            let mut ids = std::collections::BTreeSet::new();
            by_hand.retain(|one| ids.insert(one.id.clone()));
            let first = first.min(all.len());
            let mut grown = Topology::build(&all[..first], &by_hand);
            for one in first..all.len() {
                if !grown.grow(&all[one..=one]) {
                    grown = Topology::build(&all[..=one], &by_hand);
                }
                prop_assert_eq!(seen(&grown), seen(&Topology::build(&all[..=one], &by_hand)));
            }
        }
    }

    #[test]
    fn a_rollout_grows() {
        let switch = Written { id: "SW".into(), hangs_on: vec![], powered_by: vec!["FEED".into()] };
        let by_hand = (0..50).map(|n| Written {
            id: format!("D{n}"),
            hangs_on: vec!["SW".into()],
            powered_by: vec![],
        });
        let by_hand: Vec<Written> = std::iter::once(switch).chain(by_hand).collect();
        let mut all = Topology::build(&[], &by_hand);
        let (mut told, mut built) = (Vec::new(), 0);
        for n in 0..100 {
            let (id, serial) = (format!("d-{n}"), Some(format!("D{n}")));
            let parent = (n >= 50).then(|| "SW".to_owned());
            told.push(Told {
                agent: "a".into(),
                name: id.clone(),
                id,
                serial,
                parent,
                ..Told::default()
            });
            if !all.grow(&told[n..]) {
                (all, built) = (Topology::build(&told, &by_hand), built + 1);
            }
        }
        assert_eq!((seen(&all), built), (seen(&Topology::build(&told, &by_hand)), 0));
    }
}
