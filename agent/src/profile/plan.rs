//! A profile as compiled: what to read and how to turn it into readings.

use std::sync::{Arc, OnceLock};

use regex::Regex;

use super::oid::Oid;
use crate::rule::Rule;

/// Memory of one compiled expression.
const MAX_REGEX_BYTES: usize = 1 << 18;

/// A compiled profile. Shared by all devices that use it.
#[derive(Debug)]
pub struct Profile {
    /// Its name: the file's, without `.yaml`.
    pub name: String,
    /// Its version, which alarms carry.
    pub version: String,
    /// The devices it is for; empty = any (a generic profile).
    pub sysobjectids: Vec<Pattern>,
    /// What one of which a device must have besides; empty = nothing.
    pub matches: Vec<Match>,
    /// What is read once to know the device.
    pub metadata: Vec<Metadatum>,
    /// What is polled, that of the profiles it extends included.
    pub metrics: Vec<Arc<Metric>>,
    /// The rules on it, likewise.
    pub rules: Vec<Arc<Rule>>,
}

impl Profile {
    /// How well it fits a device; `None` = not. `find` gives what the device has at or below an object.
    pub fn fit(
        &self,
        sysobjectid: Option<&Oid>,
        find: &dyn Fn(&Oid) -> Option<String>,
    ) -> Option<(usize, bool)> {
        if self.is_abstract() || self.is_generic() {
            return None;
        }
        let by_id = match self.sysobjectids.as_slice() {
            [] => 0,
            patterns => patterns.iter().filter_map(|p| p.fit(sysobjectid?)).max()?,
        };
        let holds = self.matches.is_empty() || self.matches.iter().any(|m| m.holds(find));
        holds.then_some((by_id, !self.matches.is_empty()))
    }

    /// Whether it is only there to be extended (`_name`).
    pub fn is_abstract(&self) -> bool {
        self.name.starts_with('_')
    }

    /// Whether it fits any device.
    pub fn is_generic(&self) -> bool {
        self.sysobjectids.is_empty() && self.matches.is_empty() && !self.is_abstract()
    }
}

/// Something that a device has: for families that share a sysObjectID.
#[derive(Clone, Debug)]
pub struct Match {
    /// An object, or what objects are below.
    pub oid: Oid,
    /// What its text must match; `None` = anything.
    pub pattern: Option<Expression>,
}

impl Match {
    fn holds(&self, find: &dyn Fn(&Oid) -> Option<String>) -> bool {
        let Some(text) = find(&self.oid) else { return false };
        match &self.pattern {
            None => true,
            Some(pattern) => pattern.get().is_some_and(|regex| regex.is_match(&text)),
        }
    }
}

/// A sysObjectID with wildcards: `1.3.6.1.4.1.674.10892.*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// `None` = any arc. A wildcard at the end stands for any number of arcs.
    pub arcs: Vec<Option<u32>>,
}

impl Pattern {
    /// Reads it.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim().trim_start_matches('.');
        let arcs: Option<Vec<Option<u32>>> = text
            .split('.')
            .map(|arc| if arc == "*" { Some(None) } else { arc.parse().ok().map(Some) })
            .collect();
        arcs.filter(|arcs| arcs.len() >= 2).map(|arcs| Pattern { arcs })
    }

    /// Whether `oid` fits; if so, how specific the pattern is (fixed arcs; no wildcard counts more).
    pub fn fit(&self, oid: &Oid) -> Option<usize> {
        let open = matches!(self.arcs.last(), Some(None));
        let arcs = oid.arcs();
        let long_enough =
            if open { arcs.len() >= self.arcs.len() } else { arcs.len() == self.arcs.len() };
        let fits =
            long_enough && self.arcs.iter().zip(arcs).all(|(p, a)| p.is_none_or(|p| p == *a));
        let fixed = self.arcs.iter().flatten().count() * 2;
        fits.then_some(if open { fixed } else { fixed + 1 })
    }
}

/// One thing to know of the device.
#[derive(Clone, Debug)]
pub struct Metadatum {
    /// Which.
    pub field: Field,
    /// Where it stands.
    pub source: Source,
}

/// What may be known of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// Serial number.
    Serial,
    /// Vendor.
    Vendor,
    /// Model.
    Model,
    /// Firmware or operating-system version.
    Firmware,
}

/// Where metadata comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// The profile says it.
    Fixed(String),
    /// A single object.
    Scalar {
        /// With instance.
        oid: Oid,
        /// What of its text counts.
        extract: Extract,
    },
    /// The first row of a column that is not empty and whose `key` column has one of `values`.
    Row {
        /// The column with the value.
        column: Oid,
        /// The column to look at.
        key: Oid,
        /// Its accepted values, as text, best first.
        values: Vec<String>,
        /// What of its text counts.
        extract: Extract,
    },
}

/// A regular expression that is compiled when it is first needed: a compiled one takes tens of KiB, and
/// most profiles are for devices that are not there.
#[derive(Clone, Debug)]
pub struct Expression(Arc<(String, OnceLock<Option<Regex>>)>);

impl Expression {
    /// Checks `pattern`; an error says what is wrong with it.
    pub fn new(pattern: &str) -> Result<Self, regex::Error> {
        compiled(pattern).map(|_| Expression(Arc::new((pattern.to_owned(), OnceLock::new()))))
    }

    /// Compiled. `None` cannot be: it was checked.
    pub fn get(&self) -> Option<&Regex> {
        let (pattern, regex) = &*self.0;
        regex.get_or_init(|| compiled(pattern).ok()).as_ref()
    }
}

fn compiled(pattern: &str) -> Result<Regex, regex::Error> {
    regex::RegexBuilder::new(pattern).size_limit(MAX_REGEX_BYTES).build()
}

/// What of a text counts.
#[derive(Clone, Debug, Default)]
pub enum Extract {
    /// All of it.
    #[default]
    Whole,
    /// What the expression's first group catches (all of the match if it has none).
    First(Expression),
    /// `template` with `\1`, `\2`, … filled from the match.
    Filled {
        /// The expression.
        regex: Expression,
        /// The template.
        template: String,
    },
}

impl Extract {
    /// `None` = the expression does not match.
    pub fn apply(&self, text: &str) -> Option<String> {
        match self {
            Extract::Whole => Some(text.to_owned()),
            Extract::First(regex) => {
                let captures = regex.get()?.captures(text)?;
                captures.get(1).or_else(|| captures.get(0)).map(|m| m.as_str().to_owned())
            }
            Extract::Filled { regex, template } => {
                let captures = regex.get()?.captures(text)?;
                let mut filled = template.clone();
                for n in (1..captures.len()).rev() {
                    let part = captures.get(n).map_or("", |m| m.as_str());
                    filled = filled.replace(&format!("\\{n}"), part);
                    filled = filled.replace(&format!("${n}"), part);
                }
                Some(filled)
            }
        }
    }
}

/// One polled object: a scalar, or a table's column.
#[derive(Clone, Debug)]
pub struct Metric {
    /// What readings are called: `<profile>.<symbol>`.
    pub name: Arc<str>,
    /// The symbol alone.
    pub symbol: String,
    /// With instance (scalar) or without (column).
    pub oid: Oid,
    /// Whether it is a column.
    pub column: bool,
    /// How its rows are called, shared by all columns of the table entry in the profile.
    pub tags: Arc<[Tag]>,
    /// How the value is read.
    pub conversion: Conversion,
    /// How the resource is called.
    pub resource: Arc<Name>,
    /// Limits that the device says itself.
    pub limits: Arc<[ReadLimit]>,
    /// Rows that say nothing now: an alarm on them is cleared.
    pub skip: Arc<[Skip]>,
    /// Values of which one must have been seen on a resource before others count; empty = none.
    pub after: Arc<[String]>,
    /// Names of raw values, for the label `state`.
    pub states: Arc<[(String, String)]>,
    /// Whether rules look at states.
    pub stateful: bool,
    /// Whether any rule looks at it, so that a skipped or vanished row must be told.
    pub alarmed: bool,
}

/// A limit that the device says itself.
#[derive(Clone, Debug, PartialEq)]
pub struct ReadLimit {
    /// The label that it becomes.
    pub label: Arc<str>,
    /// Where it stands: with instance (scalar) or without (column).
    pub oid: Oid,
    /// Whether it is a column.
    pub column: bool,
    /// Multiplied with it.
    pub scale: f64,
    /// Raw values that mean "no limit".
    pub unset: Vec<f64>,
}

/// What else is done to a number: a short fixed list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Convert {
    /// Hexadecimal text to a number. Before scaling.
    Hex,
    /// Eight bits, two's complement. Before scaling.
    Signed8,
    /// Sixteen bits, two's complement. Before scaling.
    Signed16,
    /// Thirty-two bits, two's complement. Before scaling.
    Signed32,
    /// The bits of an IEEE 754 single. Before scaling.
    Float32,
    /// °F to °C. After scaling.
    Fahrenheit,
    /// K to °C. After scaling.
    Kelvin,
    /// mW to dBm. After scaling; nothing for zero and below.
    DbmFromMilliwatt,
}

impl Convert {
    /// All, by the names that profiles use.
    pub const ALL: [(&str, Convert); 8] = [
        ("hex", Convert::Hex),
        ("signed8", Convert::Signed8),
        ("signed16", Convert::Signed16),
        ("signed32", Convert::Signed32),
        ("float32", Convert::Float32),
        ("fahrenheit", Convert::Fahrenheit),
        ("kelvin", Convert::Kelvin),
        ("dbm_from_mw", Convert::DbmFromMilliwatt),
    ];

    /// Before scaling; `None` = the number is none of this kind.
    pub fn decode(self, number: f64) -> Option<f64> {
        let signed = |bits: u32| {
            let range = 2f64.powi(bits as i32);
            let half = range / 2.0;
            let fits = number.fract() == 0.0 && (-half..range).contains(&number);
            fits.then_some(if number >= half { number - range } else { number })
        };
        match self {
            Convert::Signed8 => signed(8),
            Convert::Signed16 => signed(16),
            Convert::Signed32 => signed(32),
            Convert::Float32 => {
                let fits = number.fract() == 0.0 && (-2147483648.0..4294967296.0).contains(&number);
                let bits = fits.then_some(number as i64 as u32)?;
                Some(f64::from(f32::from_bits(bits))).filter(|n| n.is_finite())
            }
            _ => Some(number),
        }
    }

    /// After scaling.
    pub fn convert(self, number: f64) -> Option<f64> {
        match self {
            Convert::Fahrenheit => Some((number - 32.0) / 1.8),
            Convert::Kelvin => Some(number - 273.15),
            Convert::DbmFromMilliwatt => (number > 0.0).then(|| 10.0 * number.log10()),
            _ => Some(number),
        }
    }
}

/// How a raw value becomes a reading's value.
#[derive(Clone, Debug)]
pub struct Conversion {
    /// Raw values that mean "no value here".
    pub ignore: Vec<String>,
    /// In this order.
    pub convert: Vec<Convert>,
    /// Multiplied with a number.
    pub scale: f64,
    /// Powers of ten that stand in other columns of the row.
    pub exponents: Vec<Exponent>,
    /// The value is a part of this object; the reading is the percentage.
    pub percent_of: Option<Oid>,
    /// The value is a bit string; the reading is the name of the first of these bits that is set,
    /// `none` if none is.
    pub bits: Vec<(u32, String)>,
    /// What of a text counts.
    pub extract: Extract,
    /// Unit.
    pub unit: Unit,
}

/// A power of ten in another column.
#[derive(Clone, Debug)]
pub struct Exponent {
    /// The column.
    pub column: Oid,
    /// Exponent by raw value; empty = the value itself.
    pub mapping: Vec<(String, i32)>,
    /// 1 or -1.
    pub sign: i32,
}

/// A unit.
#[derive(Clone, Debug)]
pub enum Unit {
    /// Always the same.
    Fixed(Arc<str>),
    /// By another column's raw value.
    ByColumn {
        /// The column.
        column: Oid,
        /// Unit by raw value.
        mapping: Vec<(String, Arc<str>)>,
    },
}

/// A name of a row.
#[derive(Clone, Debug)]
pub struct Tag {
    /// How templates call it.
    pub name: Arc<str>,
    /// Where it comes from.
    pub source: TagSource,
    /// Names of raw values.
    pub mapping: Vec<(String, String)>,
    /// What of the text counts.
    pub extract: Extract,
}

/// Where a tag comes from.
#[derive(Clone, Debug)]
pub enum TagSource {
    /// A column, of this table or another one with a shared index.
    Column {
        /// The column.
        oid: Oid,
        /// Parts of the row's index (from, to, inclusive, from 0) that make the other table's
        /// index; empty = the whole.
        transform: Vec<(usize, usize)>,
    },
    /// A column of another table whose index stands in a column of this row, as a number or an
    /// object identifier's arcs.
    Reference {
        /// The column of the other table.
        oid: Oid,
        /// The column of this row that says which row there.
        index: Oid,
    },
    /// The row's index: its n-th arc, from 1.
    Index(usize),
    /// Arcs of the row's index that are the octets of a text, from (from 0) to the end or to
    /// (inclusive). A first arc that is the number of those that follow is left out.
    IndexText(usize, Option<usize>),
    /// Always the same.
    Fixed(String),
}

/// When a row says nothing.
#[derive(Clone, Debug)]
pub struct Skip {
    /// The tag to look at.
    pub tag: Arc<str>,
    /// Patterns with `*`.
    pub patterns: Vec<String>,
    /// `true`: skipped unless one fits.
    pub unless: bool,
}

impl Skip {
    /// Whether a row with this tag value is skipped.
    pub fn skips(&self, value: &str) -> bool {
        self.patterns.iter().any(|pattern| glob(pattern, value)) != self.unless
    }
}

/// `*` stands for any text.
fn glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = rest.get(at + part.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// A text with names in it: `port ${ifName|ifDescr|index}`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Name {
    /// Its parts.
    pub parts: Vec<Part>,
}

/// A part of a [`Name`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// As it stands.
    Text(String),
    /// The first of these tags that is not empty.
    Tags(Vec<String>),
}

impl Name {
    /// Reads it; an error says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(start) = rest.find("${") {
            let (before, after) = rest.split_at(start);
            let inner = after.strip_prefix("${").unwrap_or_default();
            let Some(end) = inner.find('}') else {
                return Err(format!("`${{` without `}}` in {text:?}"));
            };
            let (names, tail) = inner.split_at(end);
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            parts.push(Part::Tags(names.split('|').map(|n| n.trim().to_owned()).collect()));
            rest = tail.strip_prefix('}').unwrap_or_default();
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Name { parts })
    }

    /// Fills it; `tag` gives a tag's value.
    pub fn fill<'t>(&self, tag: impl Fn(&str) -> Option<&'t str>) -> String {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(words) => text.push_str(words),
                Part::Tags(names) => {
                    let found = names.iter().filter_map(|n| tag(n)).find(|v| !v.is_empty());
                    text.push_str(found.unwrap_or_default());
                }
            }
        }
        text.trim().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_and_globs() {
        let fit = |p: &str, o: &str| Pattern::parse(p).unwrap().fit(&Oid::parse(o).unwrap());
        assert_eq!(fit("1.3.6.1.4.1.9.*", "1.3.6.1.4.1.9.1.5"), Some(14));
        assert_eq!(fit("1.3.6.1.4.1.9.1.5", "1.3.6.1.4.1.9.1.5"), Some(19));
        assert_eq!(fit("1.3.6.1.4.1.9", "1.3.6.1.4.1.9.1.5"), None);
        assert_eq!(fit("1.3.6.1.4.1.*.1.5", "1.3.6.1.4.1.9.1.5"), Some(17));
        assert_eq!(fit("1.3.6.1.4.1.9.*", "1.3.6.1.4.1.9"), None);
        for (pattern, text, fits) in [
            ("down", "down", true),
            ("down", "downy", false),
            ("/snap/*", "/snap/core", true),
            ("*loop*", "/dev/loop0", true),
            ("a*b*c", "a-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("*", "", true),
        ] {
            assert_eq!(glob(pattern, text), fits, "{pattern} {text}");
        }
    }

    #[test]
    fn names_fall_back() {
        let name = Name::parse("port ${ifName|index}").unwrap();
        assert_eq!(name.fill(|n| (n == "index").then_some("7")), "port 7");
        assert_eq!(name.fill(|n| Some(if n == "index" { "7" } else { "Gi0/1" })), "port Gi0/1");
        assert!(Name::parse("port ${ifName").is_err());
    }

    #[test]
    fn extracts() {
        let regex = Expression::new(r"Version (\d+)\.(\d+)").unwrap();
        let text = "OS Version 12.3 build 7";
        assert_eq!(Extract::First(regex.clone()).apply(text).unwrap(), "12");
        let filled = Extract::Filled { regex, template: "\\1-\\2".to_owned() };
        assert_eq!(filled.apply(text).unwrap(), "12-3");
        assert_eq!(filled.apply("none"), None);
    }
}
