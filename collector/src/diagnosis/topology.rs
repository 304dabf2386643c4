//! What hangs on what: devices, feeds, racks, sites as nodes. Pure.
//!
//! Agents tell one parent of a device; people write in the installed base what it `hangs_on` (switch,
//! enclosure, rack) and what it is `powered_by` (PDU, feed, UPS). The parents of one list stand in for one
//! another: only when all of them are lost, what hangs on them is. What nobody watches is a node, too.

use std::collections::{BTreeSet, HashMap, HashSet};

mod grow;

/// What an agent tells of a device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// The agent.
    pub agent: String,
    /// The device's id there.
    pub id: String,
    /// Its name there.
    pub name: String,
    /// Its serial number.
    pub serial: Option<String>,
    /// Name of the device that it hangs on.
    pub parent: Option<String>,
    /// The part of that one.
    pub parent_resource: Option<String>,
}

/// What people wrote of a device (or a feed, a rack).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Serial number, or a name of the house.
    pub id: String,
    /// What it is reached through; `id#part` names a part.
    pub hangs_on: Vec<String>,
    /// What gives it power.
    pub powered_by: Vec<String>,
}

/// In which way it hangs on its parents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// An agent says so: reached through it, or in it.
    Parent,
    /// Reached through them.
    HangsOn,
    /// Fed by them.
    PoweredBy,
}

impl Relation {
    /// A stable word.
    pub fn as_str(self) -> &'static str {
        match self {
            Relation::Parent => "parent",
            Relation::HangsOn => "hangs-on",
            Relation::PoweredBy => "powered-by",
        }
    }
}

/// Parents that stand in for one another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Need {
    pub(super) relation: Relation,
    /// The node, and the part of it where one is named.
    pub(super) parents: Vec<(usize, Option<String>)>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Node {
    pub(super) name: String,
    pub(super) needs: Vec<Need>,
    devices: Vec<(String, String)>,
}

/// An arrow that would close a circle and is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// What would hang …
    pub from: String,
    /// … on this, which hangs on it.
    pub to: String,
}

/// All of it.
#[derive(Clone, Debug, Default)]
pub struct Topology {
    pub(super) nodes: Vec<Node>,
    of_device: HashMap<(String, String), usize>,
    carries: BTreeSet<usize>,
    cuts: Vec<Cut>,
    told: HashMap<(String, String), (String, Option<String>)>,
    names: Names,
}

/// Where names lead.
#[derive(Clone, Debug, Default)]
struct Names {
    /// Serial numbers and ids of the installed base.
    ids: HashMap<String, usize>,
    /// Names inside of an agent.
    inside: HashMap<(String, String), usize>,
    /// Names that one node alone has; `None`: several.
    alone: HashMap<String, Option<usize>>,
    /// What was looked for and was no name inside of the agent and no id at first: who comes by such a name or serial
    /// number may be meant.
    asked: HashSet<String>,
}

impl Topology {
    /// From everything that is told and written; the same whatever the order.
    pub fn build(told: &[Told], written: &[Written]) -> Self {
        let mut told: Vec<&Told> = told.iter().collect();
        told.sort_by(|a, b| (&a.agent, &a.id).cmp(&(&b.agent, &b.id)));
        let mut written: Vec<&Written> = written.iter().collect();
        written.sort_by(|a, b| a.id.cmp(&b.id));
        let (mut all, mut names) = (Topology::default(), Names::default());
        for one in &told {
            all.add_told(one, &mut names);
        }
        for one in &written {
            if !names.ids.contains_key(&one.id) {
                let node = all.node(&one.id);
                names.ids.insert(one.id.clone(), node);
            }
        }
        for one in &told {
            all.hang_told(one, &mut names);
        }
        for one in &written {
            let Some(&node) = names.ids.get(&one.id) else { continue };
            for (relation, parents) in
                [(Relation::HangsOn, &one.hangs_on), (Relation::PoweredBy, &one.powered_by)]
            {
                let parents: Vec<_> = parents
                    .iter()
                    .map(|text| match text.split_once('#') {
                        Some((id, part)) => (id.trim(), Some(part.trim().to_owned())),
                        None => (text.trim(), None),
                    })
                    .filter(|(id, _)| !id.is_empty())
                    .map(|(id, part)| (all.named(id, &mut names), part))
                    .collect();
                all.hang(node, relation, parents);
            }
        }
        all.names = names;
        all.cut_circles();
        let needs = all.nodes.iter().flat_map(|node| &node.needs);
        all.carries = needs.flat_map(|need| need.parents.iter().map(|(node, _)| *node)).collect();
        all
    }

    fn node(&mut self, name: &str) -> usize {
        self.nodes.push(Node { name: name.to_owned(), ..Node::default() });
        self.nodes.len() - 1
    }

    fn add_told(&mut self, one: &Told, names: &mut Names) {
        let serial = one.serial.as_ref().filter(|serial| !serial.is_empty());
        let node = serial.and_then(|serial| names.ids.get(serial)).copied();
        let node = node.unwrap_or_else(|| self.node(&one.name));
        if let Some(serial) = serial {
            names.ids.insert(serial.clone(), node);
        }
        self.nodes[node].devices.push((one.agent.clone(), one.id.clone()));
        self.of_device.insert((one.agent.clone(), one.id.clone()), node);
        names.inside.entry((one.agent.clone(), one.name.clone())).or_insert(node);
        let known = names.alone.entry(one.name.clone()).or_insert(Some(node));
        if *known != Some(node) {
            *known = None;
        }
    }

    fn hang_told(&mut self, one: &Told, names: &mut Names) {
        let Some(parent) = one.parent.as_ref().filter(|parent| !parent.is_empty()) else { return };
        let device = (one.agent.clone(), one.id.clone());
        let Some(&node) = self.of_device.get(&device) else { return };
        self.told.insert(device, (parent.clone(), one.parent_resource.clone()));
        let place = (one.agent.clone(), parent.clone());
        let inside = names.inside.get(&place).copied();
        if inside.is_none() {
            names.asked.insert(parent.clone());
        }
        let known = inside.or_else(|| names.ids.get(parent).copied());
        let to = known.unwrap_or_else(|| self.node(parent));
        names.inside.insert(place, to);
        self.hang(node, Relation::Parent, vec![(to, one.parent_resource.clone())]);
    }

    /// An id of the installed base, a serial number, or a name that only one has; else a new node.
    fn named(&mut self, id: &str, names: &mut Names) -> usize {
        if let Some(node) = names.ids.get(id).copied() {
            return node;
        }
        names.asked.insert(id.to_owned());
        if let Some(node) = names.alone.get(id).copied().flatten() {
            return node;
        }
        let node = self.node(id);
        names.ids.insert(id.to_owned(), node);
        node
    }

    fn hang(&mut self, node: usize, relation: Relation, mut parents: Vec<(usize, Option<String>)>) {
        parents.sort();
        parents.dedup();
        if !parents.is_empty() {
            self.nodes[node].needs.push(Need { relation, parents });
        }
    }

    /// Leaves out the arrows that close circles, found by going up from each node in order.
    fn cut_circles(&mut self) {
        #[derive(Clone, Copy, PartialEq)]
        enum Mark {
            New,
            OnTheWay,
            Done,
        }
        let mut marks = vec![Mark::New; self.nodes.len()];
        let mut closing: BTreeSet<(usize, usize)> = BTreeSet::new();
        for start in 0..self.nodes.len() {
            if marks[start] != Mark::New {
                continue;
            }
            marks[start] = Mark::OnTheWay;
            let mut way = vec![(start, self.above(start))];
            while let Some((node, above)) = way.last_mut() {
                let node = *node;
                match above.pop() {
                    None => {
                        marks[node] = Mark::Done;
                        way.pop();
                    }
                    Some(parent) => match marks[parent] {
                        Mark::OnTheWay => {
                            closing.insert((node, parent));
                        }
                        Mark::Done => {}
                        Mark::New => {
                            marks[parent] = Mark::OnTheWay;
                            way.push((parent, self.above(parent)));
                        }
                    },
                }
            }
        }
        for (from, to) in closing {
            for need in &mut self.nodes[from].needs {
                need.parents.retain(|(parent, _)| *parent != to);
            }
            self.nodes[from].needs.retain(|need| !need.parents.is_empty());
            let (from, to) = (self.nodes[from].name.clone(), self.nodes[to].name.clone());
            self.cuts.push(Cut { from, to });
        }
    }

    fn above(&self, node: usize) -> Vec<usize> {
        let parents = self.nodes[node].needs.iter().flat_map(|need| &need.parents);
        parents.map(|(parent, _)| *parent).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// The node of a device.
    pub fn node_of(&self, agent: &str, device: &str) -> Option<usize> {
        self.of_device.get(&(agent.to_owned(), device.to_owned())).copied()
    }

    /// Whether an agent is known to say that its device hangs on this.
    pub fn is_told(&self, agent: &str, device: &str, parent: &str, part: Option<&str>) -> bool {
        let told = self.told.get(&(agent.to_owned(), device.to_owned()));
        told.is_some_and(|(known, of)| known == parent && of.as_deref() == part)
    }

    /// The node of a serial number, or of an id of the installed base: also of a device that no agent has told of.
    pub fn node_named(&self, id: &str) -> Option<usize> {
        self.names.ids.get(id).copied()
    }

    /// Whether it hangs on anything.
    pub fn hangs(&self, node: usize) -> bool {
        self.nodes.get(node).is_some_and(|node| !node.needs.is_empty())
    }

    /// Whether anything hangs on it.
    pub fn carries(&self, node: usize) -> bool {
        self.carries.contains(&node)
    }

    /// Everything that it hangs on, at any distance.
    pub fn ancestors(&self, node: usize) -> BTreeSet<usize> {
        let (mut found, mut left) = (BTreeSet::new(), vec![node]);
        while let Some(node) = left.pop() {
            for parent in self.above(node) {
                if found.insert(parent) {
                    left.push(parent);
                }
            }
        }
        found
    }

    /// The devices that agents tell of a node: (agent, id).
    pub fn devices(&self, node: usize) -> &[(String, String)] {
        self.nodes.get(node).map_or(&[], |node| &node.devices)
    }

    /// What a node is called.
    pub fn name(&self, node: usize) -> &str {
        self.nodes.get(node).map_or("", |node| &node.name)
    }

    /// The arrows that were left out.
    pub fn cuts(&self) -> &[Cut] {
        &self.cuts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn written(id: &str, hangs_on: &[&str], powered_by: &[&str]) -> Written {
        let all = |list: &[&str]| list.iter().map(|one| (*one).to_owned()).collect();
        Written { id: id.to_owned(), hangs_on: all(hangs_on), powered_by: all(powered_by) }
    }

    #[test]
    fn told_and_written_meet_by_serial_number_and_name() {
        let told = [
            Told {
                agent: "a".into(),
                id: "S1".into(),
                name: "switch-1".into(),
                serial: Some("S1".into()),
                ..Told::default()
            },
            Told {
                agent: "a".into(),
                id: "D1".into(),
                name: "array-1".into(),
                serial: Some("D1".into()),
                parent: Some("switch-1".into()),
                ..Told::default()
            },
            Told {
                agent: "b".into(),
                id: "D1".into(),
                name: "the same array".into(),
                serial: Some("D1".into()),
                ..Told::default()
            },
        ];
        let all = Topology::build(
            &told,
            &[written("D1", &[], &["PDU-1#Outlet 3", "PDU-2"]), written("PDU-1", &[], &["FEED"])],
        );
        let array = all.node_of("a", "D1").unwrap();
        assert_eq!(all.node_of("b", "D1"), Some(array));
        let names: BTreeSet<&str> = all.ancestors(array).into_iter().map(|n| all.name(n)).collect();
        assert_eq!(names, BTreeSet::from(["FEED", "PDU-1", "PDU-2", "switch-1"]));
        assert!(all.hangs(array) && !all.carries(array) && all.cuts().is_empty());
        assert!(all.carries(all.node_of("a", "S1").unwrap()));
    }

    #[test]
    fn circles_are_cut_and_told() {
        let all = Topology::build(
            &[],
            &[written("a", &["b"], &[]), written("b", &["c"], &[]), written("c", &["a"], &["a"])],
        );
        assert_eq!(all.cuts(), [Cut { from: "c".into(), to: "a".into() }]);
        let own = Topology::build(&[], &[written("a", &["a"], &[])]);
        assert_eq!((own.cuts().len(), own.hangs(0)), (1, false));
    }

    proptest::proptest! {
        #[test]
        fn prop_no_circle_is_left(arrows in proptest::collection::vec((0u8..8, 0u8..8, proptest::bool::ANY), 0..40)) {
            let rows: Vec<Written> = (0u8..8).map(|n| {
                let of = |power: bool| arrows.iter().filter(|a| a.0 == n && a.2 == power).map(|a| a.1.to_string()).collect();
                Written { id: n.to_string(), hangs_on: of(false), powered_by: of(true) }
            }).collect();
            let all = Topology::build(&[], &rows);
            for node in 0..all.nodes.len() {
                proptest::prop_assert!(!all.ancestors(node).contains(&node));
            }
        }
    }
}
