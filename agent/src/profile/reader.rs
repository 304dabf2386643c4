//! Reads typed things out of located YAML and collects everything that is wrong.

use std::cell::RefCell;

use callhome_shared::config_error::{Problem, did_you_mean};

use super::node::{Key, Kind, Node, Place};
use super::oid::Oid;
use super::plan::Expression;

/// One file being read.
pub struct Reader<'a> {
    file: &'a str,
    text: &'a str,
    problems: RefCell<Vec<Problem>>,
    notes: RefCell<Vec<Problem>>,
}

impl<'a> Reader<'a> {
    /// Reads `text`, which is called `file` in messages.
    pub fn new(file: &'a str, text: &'a str) -> Self {
        Reader { file, text, problems: RefCell::default(), notes: RefCell::default() }
    }

    /// What is wrong, and what is merely not understood.
    pub fn finish(self) -> (Vec<Problem>, Vec<Problem>) {
        (self.problems.into_inner(), self.notes.into_inner())
    }

    fn problem(&self, at: Place, message: impl Into<String>) -> Problem {
        Problem::at_line(self.file, self.text, at.line, at.column, message)
    }

    /// Something is wrong.
    pub fn error(&self, at: Place, message: impl Into<String>) {
        self.problems.borrow_mut().push(self.problem(at, message));
    }

    /// Something is wrong, and this may be meant.
    pub fn error_near<'n>(
        &self,
        at: Place,
        message: impl Into<String>,
        found: &str,
        valid: impl IntoIterator<Item = &'n str>,
    ) {
        let problem = self.problem(at, message).hint(did_you_mean(found, valid));
        self.problems.borrow_mut().push(problem);
    }

    fn expected(&self, node: &Node, what: &str) {
        self.error(node.at, format!("expected {what}, found {}", node.kind.describe()));
    }

    /// A text; numbers count as they are written.
    pub fn text(&self, node: &Node) -> Option<String> {
        match &node.kind {
            Kind::Text(text) => Some(text.clone()),
            Kind::Int(n) => Some(n.to_string()),
            Kind::Float(n) => Some(n.to_string()),
            Kind::Bool(b) => Some(b.to_string()),
            _ => {
                self.expected(node, "a text");
                None
            }
        }
    }

    /// A number.
    pub fn number(&self, node: &Node) -> Option<f64> {
        match &node.kind {
            Kind::Int(n) => Some(*n as f64),
            Kind::Float(n) if n.is_finite() => Some(*n),
            _ => {
                self.expected(node, "a number");
                None
            }
        }
    }

    /// A whole number from `least`.
    pub fn whole(&self, node: &Node, least: u32) -> Option<u32> {
        match &node.kind {
            Kind::Int(n) if *n >= i64::from(least) => u32::try_from(*n).ok(),
            _ => {
                self.expected(node, &format!("a whole number of at least {least}"));
                None
            }
        }
    }

    /// A list.
    pub fn list<'n>(&self, node: &'n Node) -> &'n [Node] {
        match &node.kind {
            Kind::List(items) => items,
            _ => {
                self.expected(node, "a list");
                &[]
            }
        }
    }

    /// One text or a list of them.
    pub fn texts(&self, node: &Node) -> Vec<(Place, String)> {
        match &node.kind {
            Kind::List(items) => items.iter().filter_map(|n| Some((n.at, self.text(n)?))).collect(),
            _ => self.text(node).map(|text| (node.at, text)).into_iter().collect(),
        }
    }

    /// A map.
    pub fn map<'n>(&'n self, node: &'n Node) -> Option<Map<'n>> {
        match &node.kind {
            Kind::Map(entries) => {
                Some(Map { reader: self, at: node.at, entries, asked: RefCell::default() })
            }
            _ => {
                self.expected(node, "a map");
                None
            }
        }
    }

    /// A map of texts, in the order of writing.
    pub fn pairs(&self, node: &Node) -> Vec<(String, String)> {
        let Some(map) = self.map(node) else { return Vec::new() };
        map.entries.iter().filter_map(|(k, v)| Some((k.name.clone(), self.text(v)?))).collect()
    }

    /// An object identifier in numbers.
    pub fn oid(&self, node: &Node) -> Option<Oid> {
        let text = self.text(node)?;
        let oid = Oid::parse(&text);
        if oid.is_none() {
            self.error(
                node.at,
                format!("expected an object identifier in numbers such as 1.3.6.1.2.1.1.3.0, found {text:?}"),
            );
        }
        oid
    }

    /// A regular expression.
    pub fn regex(&self, node: &Node) -> Option<Expression> {
        let text = self.text(node)?;
        match Expression::new(&text) {
            Ok(regex) => Some(regex),
            Err(error) => {
                let words = error.to_string();
                let last = words.lines().last().unwrap_or_default();
                self.error(node.at, format!("expected a regular expression: {last}"));
                None
            }
        }
    }

    /// A duration in ms: `90` (seconds), `30s`, `5m`, `2h`.
    pub fn duration_ms(&self, node: &Node) -> Option<i64> {
        let text = self.text(node)?;
        let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (digits, unit) = text.split_at(split);
        let factor = match unit.trim() {
            "" | "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "ms" => 1,
            _ => 0,
        };
        let value = digits.parse::<i64>().ok().and_then(|n| n.checked_mul(factor));
        if value.is_none() || factor == 0 {
            self.error(
                node.at,
                format!("expected a duration such as 90, 30s, 5m or 1h, found {text:?}"),
            );
            return None;
        }
        value
    }
}

/// A map whose keys are asked for one by one; what nobody asked for is reported at the end.
pub struct Map<'a> {
    reader: &'a Reader<'a>,
    /// Where it begins.
    pub at: Place,
    /// Its entries.
    pub entries: &'a [(Key, Node)],
    asked: RefCell<Vec<&'static str>>,
}

impl<'a> Map<'a> {
    /// The value of `key`; absent and null are the same.
    pub fn get(&self, key: &'static str) -> Option<&'a Node> {
        self.asked.borrow_mut().push(key);
        let found = self.entries.iter().find(|(k, _)| k.name == key);
        found.map(|(_, node)| node).filter(|node| !matches!(node.kind, Kind::Null))
    }

    /// A value that must be there.
    pub fn need(&self, key: &'static str, of: &str) -> Option<&'a Node> {
        let found = self.get(key);
        if found.is_none() {
            self.reader.error(self.at, format!("{of} needs `{key}`"));
        }
        found
    }

    /// Unknown keys are wrong: for the parts that are callhome's own.
    pub fn no_others(&self) {
        self.others(&[], |key, hint| {
            let message =
                format!("unknown key `{}`, expected one of {}", key.name, self.expected());
            let problem = self.reader.problem(key.at, message).hint(hint);
            self.reader.problems.borrow_mut().push(problem);
        });
    }

    /// Unknown keys are noted, those of `unused` not even that: for the parts that are Datadog's.
    pub fn tolerate_others(&self, unused: &[&str]) {
        self.others(unused, |key, hint| {
            let message = format!("unknown key `{}` is ignored", key.name);
            let problem = self.reader.problem(key.at, message).hint(hint);
            self.reader.notes.borrow_mut().push(problem);
        });
    }

    fn expected(&self) -> String {
        let names: Vec<String> = self.asked.borrow().iter().map(|k| format!("`{k}`")).collect();
        names.join(", ")
    }

    fn others(&self, unused: &[&str], report: impl Fn(&Key, Option<String>)) {
        let asked = self.asked.borrow().clone();
        for (key, _) in self.entries {
            let name = key.name.as_str();
            if !asked.contains(&name) && !unused.contains(&name) {
                report(key, did_you_mean(name, asked.iter().copied()));
            }
        }
    }
}
