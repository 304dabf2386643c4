//! A profile's tree, as far as the checks look at it: what stands where.

use crate::profile::node::{Key, Kind, Node, Place};
use crate::profile::oid::Oid;

/// The parts of a profile.
pub struct View<'n> {
    /// Symbols under `metrics:`.
    pub symbols: Vec<Symbol<'n>>,
    /// Entries of `alarms:`.
    pub alarms: Vec<Alarm<'n>>,
    /// Whether there is an `alarms:` block.
    pub has_alarms: bool,
}

/// A symbol under `metrics:`.
pub struct Symbol<'n> {
    /// Where it stands.
    pub at: Place,
    /// Its name.
    pub name: String,
    /// The symbol.
    pub node: &'n Node,
    /// Its OID.
    pub oid: Option<Oid>,
    /// The table's OID.
    pub table: Option<Oid>,
    /// The entry it belongs to.
    pub entry: &'n Node,
}

/// An entry of `alarms:`.
pub struct Alarm<'n> {
    /// Where it stands.
    pub at: Place,
    /// The metric's name.
    pub metric: String,
    /// The alarm type.
    pub kind: String,
    /// The entry.
    pub node: &'n Node,
}

impl<'n> View<'n> {
    /// Reads a tree; what has another shape is left out (the loader tells it).
    pub fn new(root: &'n Node) -> Self {
        let mut symbols = Vec::new();
        for entry in list(get(root, "metrics")) {
            let table = get(entry, "table").and_then(|t| get(t, "OID")).and_then(oid);
            let one = get(entry, "symbol").into_iter();
            for node in one.chain(list(get(entry, "symbols"))) {
                let name = get(node, "name").and_then(word).unwrap_or_default();
                let oid = get(node, "OID").and_then(oid);
                symbols.push(Symbol { at: node.at, name, node, oid, table: table.clone(), entry });
            }
        }
        let alarms = list(get(root, "alarms")).iter().map(|node| Alarm {
            at: node.at,
            metric: get(node, "metric").and_then(word).unwrap_or_default(),
            kind: get(node, "type").and_then(word).unwrap_or_default(),
            node,
        });
        let alarms = alarms.collect();
        View { symbols, alarms, has_alarms: get(root, "alarms").is_some() }
    }
}

/// The entries of a map.
pub fn entries(node: &Node) -> &[(Key, Node)] {
    match &node.kind {
        Kind::Map(entries) => entries,
        _ => &[],
    }
}

/// A key's value.
pub fn get<'n>(node: &'n Node, key: &str) -> Option<&'n Node> {
    entries(node).iter().find(|(k, _)| k.name == key).map(|(_, node)| node)
}

/// The items of a list; a single value counts as a list of one where `node` is no list.
pub fn items(node: &Node) -> &[Node] {
    match &node.kind {
        Kind::List(items) => items,
        Kind::Null => &[],
        _ => std::slice::from_ref(node),
    }
}

fn list(node: Option<&Node>) -> &[Node] {
    match node.map(|n| &n.kind) {
        Some(Kind::List(items)) => items,
        _ => &[],
    }
}

/// A text or number as text.
pub fn word(node: &Node) -> Option<String> {
    match &node.kind {
        Kind::Text(text) => Some(text.clone()),
        Kind::Int(n) => Some(n.to_string()),
        Kind::Float(n) => Some(n.to_string()),
        Kind::Bool(b) => Some(b.to_string()),
        _ => None,
    }
}

/// A number.
pub fn number(node: &Node) -> Option<f64> {
    match &node.kind {
        Kind::Int(n) => Some(*n as f64),
        Kind::Float(n) => Some(*n),
        _ => None,
    }
}

fn oid(node: &Node) -> Option<Oid> {
    Oid::parse(&word(node)?)
}
