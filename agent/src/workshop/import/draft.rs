//! A profile in the making, and its text.

use std::collections::BTreeSet;

use crate::workshop::yaml::quoted;

/// A profile.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    /// Its name.
    pub name: String,
    /// Where it came from.
    pub origin: String,
    /// Single objects.
    pub scalars: Vec<Symbol>,
    /// Tables.
    pub tables: Vec<Table>,
    /// Alarms.
    pub alarms: Vec<Alarm>,
    /// What was left, and why.
    pub left: Vec<String>,
}

/// A symbol.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Symbol {
    /// In numbers.
    pub oid: String,
    /// Unique in the profile.
    pub name: String,
    /// `scale_factor`.
    pub scale: Option<f64>,
    /// Unit; empty = none.
    pub unit: String,
    /// `match_pattern` and `match_value`.
    pub extract: Option<(String, String)>,
}

/// A table.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// The entry's OID.
    pub entry: String,
    /// Its columns.
    pub symbols: Vec<Symbol>,
    /// What names its rows.
    pub tags: Vec<Tag>,
}

/// What names a row.
#[derive(Clone, Debug, PartialEq)]
pub struct Tag {
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub source: TagSource,
}

/// Where a tag stands.
#[derive(Clone, Debug, PartialEq)]
pub enum TagSource {
    /// A column, with the parts of the index that make its own.
    Column(String, Vec<(usize, usize)>),
    /// An arc of the index, from 1.
    Index(usize),
    /// Arcs of the index that are a text.
    Text(usize, Option<usize>),
}

/// An alarm.
#[derive(Clone, Debug, Default)]
pub struct Alarm {
    /// The symbol's name.
    pub metric: String,
    /// The alarm type.
    pub kind: String,
    /// How the part is called; empty = by default.
    pub resource: String,
    /// Names of raw values.
    pub names: Vec<(String, String)>,
    /// Verdicts of states, by raw value.
    pub states: Vec<(String, &'static str)>,
    /// On other states.
    pub otherwise: Option<&'static str>,
    /// Levels: above, limit, severity.
    pub levels: Vec<(bool, f64, &'static str)>,
    /// `for`, s; 0 = none.
    pub for_s: u64,
    /// The words.
    pub text: String,
    /// Whether the verdicts were guessed.
    pub guessed: bool,
}

impl Draft {
    /// A name for a symbol that none has yet.
    pub fn free_name(&self, wanted: &str) -> String {
        let of_tables = self.tables.iter().flat_map(|table| &table.symbols);
        let taken: BTreeSet<&str> =
            self.scalars.iter().chain(of_tables).map(|symbol| symbol.name.as_str()).collect();
        if !taken.contains(wanted) {
            return wanted.to_owned();
        }
        let further = (2..).map(|n| format!("{wanted}_{n}"));
        further.into_iter().find(|name| !taken.contains(name.as_str())).unwrap_or_default()
    }

    /// Adds a column to the table with this entry and these names of rows.
    pub fn add_column(&mut self, symbol: Symbol, tags: Vec<Tag>) {
        let entry = parent(&symbol.oid);
        let same = |table: &&mut Table| table.entry == entry && table.tags == tags;
        match self.tables.iter_mut().find(same) {
            Some(table) => table.symbols.push(symbol),
            None => self.tables.push(Table { entry, symbols: vec![symbol], tags }),
        }
    }

    /// The profile's text.
    pub fn yaml(&self) -> String {
        let mut text = format!(
            "# Made by `callhome-agent profile import` out of {}.\n",
            one_line(&self.origin)
        );
        text.push_str("# Read it, lint it, try it on a recording, and write a test beside it.\n");
        let own = self.objects().find(|oid| oid.starts_with("1.3.6.1.4.1."));
        match own {
            Some(oid) => {
                text.push_str("# Better say `sysobjectid: …`, what the device says it is; until then: who has this object.\n");
                text.push_str(&format!("match: [{{ OID: {oid} }}]\n"));
            }
            None => text.push_str("# Say `sysobjectid: …`: without it, it is used for every device that no other profile fits.\n"),
        }
        text.push_str("extends: [_device.yaml]\n\nmetrics:");
        if self.scalars.is_empty() && self.tables.is_empty() {
            text.push_str(" []");
        }
        text.push('\n');
        for symbol in &self.scalars {
            text.push_str(&format!("  - symbol: {}\n", symbol.yaml()));
        }
        for table in &self.tables {
            table.write(&mut text);
        }
        if !self.alarms.is_empty() {
            text.push_str("\nalarms:\n");
        }
        for alarm in &self.alarms {
            alarm.write(&mut text);
        }
        text
    }

    fn objects(&self) -> impl Iterator<Item = &str> {
        let of_tables = self.tables.iter().map(|table| table.entry.as_str());
        self.scalars.iter().map(|symbol| symbol.oid.as_str()).chain(of_tables)
    }
}

/// Without the last arc.
pub fn parent(oid: &str) -> String {
    oid.rsplit_once('.').map_or(oid, |(parent, _)| parent).to_owned()
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl Symbol {
    fn yaml(&self) -> String {
        let mut text = format!("{{ OID: {}, name: {}", self.oid, quoted(&self.name));
        if let Some(scale) = self.scale {
            text.push_str(&format!(", scale_factor: {scale}"));
        }
        if !self.unit.is_empty() {
            text.push_str(&format!(", unit: {}", quoted(&self.unit)));
        }
        if let Some((pattern, value)) = &self.extract {
            let (pattern, value) = (quoted(pattern), quoted(value));
            text.push_str(&format!(", match_pattern: {pattern}, match_value: {value}"));
        }
        text.push_str(" }");
        text
    }
}

impl Table {
    fn write(&self, text: &mut String) {
        // The entry is below the table.
        let table = parent(&self.entry);
        let name = self.symbols.first().map(|s| format!("{}Table", s.name)).unwrap_or_default();
        text.push_str(&format!(
            "  - table: {{ OID: {table}, name: {} }}\n    symbols:\n",
            quoted(&name)
        ));
        for symbol in &self.symbols {
            text.push_str(&format!("      - {}\n", symbol.yaml()));
        }
        if !self.tags.is_empty() {
            text.push_str("    metric_tags:\n");
        }
        for tag in &self.tags {
            let name = quoted(&tag.name);
            let source = match &tag.source {
                TagSource::Index(n) => format!("index: {n}"),
                TagSource::Text(start, None) => format!("index_text: {{ start: {start} }}"),
                TagSource::Text(start, Some(end)) => {
                    format!("index_text: {{ start: {start}, end: {end} }}")
                }
                TagSource::Column(oid, parts) => {
                    let parts: Vec<String> = parts
                        .iter()
                        .map(|(start, end)| format!("{{ start: {start}, end: {end} }}"))
                        .collect();
                    let transform = match parts.is_empty() {
                        true => String::new(),
                        false => format!(", index_transform: [{}]", parts.join(", ")),
                    };
                    format!("symbol: {{ OID: {oid}, name: {name} }}{transform}")
                }
            };
            text.push_str(&format!("      - {{ tag: {name}, {source} }}\n"));
        }
    }
}

impl Alarm {
    fn write(&self, text: &mut String) {
        if self.guessed {
            text.push_str("  # Guessed from the names of the states: check every verdict.\n");
        }
        let mut say = |key: &str, value: &str| text.push_str(&format!("    {key}: {value}\n"));
        say("metric", &quoted(&self.metric));
        say("type", &quoted(&self.kind));
        if !self.resource.is_empty() {
            say("resource", &quoted(&self.resource));
        }
        let map = |pairs: Vec<(String, String)>| {
            let pairs: Vec<String> = pairs
                .iter()
                .map(|(key, value)| format!("{}: {}", quoted(key), quoted(value)))
                .collect();
            format!("{{ {} }}", pairs.join(", "))
        };
        if !self.names.is_empty() {
            say("names", &map(self.names.clone()));
        }
        if self.levels.is_empty() {
            let states = self.states.iter().map(|(raw, word)| (raw.clone(), (*word).to_owned()));
            say("states", &map(states.collect()));
        } else {
            let level = |(above, limit, severity): &(bool, f64, &str)| {
                let side = if *above { "above" } else { "below" };
                format!("{{ {side}: {limit}, severity: {severity} }}")
            };
            let levels: Vec<String> = self.levels.iter().map(level).collect();
            say("threshold", &format!("[{}]", levels.join(", ")));
        }
        if let Some(otherwise) = self.otherwise {
            say("otherwise", otherwise);
        }
        if self.for_s > 0 {
            say("for", &format!("{}s", self.for_s));
        }
        if !self.text.is_empty() {
            say("text", &quoted(&one_line(&self.text)));
        }
        // The entry's first key begins the list's item.
        if let Some(at) = text.rfind("    metric: ") {
            text.replace_range(at..at + 4, "  - ");
        }
    }
}
