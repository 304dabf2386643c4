//! A profile as compiled: what to read and how to turn it into readings.

use std::sync::Arc;

use super::oid::Oid;
use crate::rule::Rule;

pub use super::convert::{Conversion, Convert, Exponent, Unit, scaled};
pub use super::extract::{Expression, Extract};
pub use super::name::{Name, Part};

/// A compiled profile. Shared by all devices that use it.
#[derive(Debug)]
pub struct Profile {
    /// Its name: the file's, without `.yaml`.
    pub name: String,
    /// Its version, which alarms carry.
    pub version: String,
    /// The devices it is for.
    pub head: Head,
    /// What is read once to know the device.
    pub metadata: Vec<Metadatum>,
    /// What is polled, that of the profiles it extends included.
    pub metrics: Vec<Arc<Metric>>,
    /// The rules on it, likewise.
    pub rules: Vec<Arc<Rule>>,
    /// The profiles it extends: as long as they are there, others share their metrics and rules with it.
    pub parents: Vec<Arc<Profile>>,
}

/// Which devices a profile is for, and what it is made of: all that is known of one before it is
/// compiled.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Head {
    /// The devices it is for; empty = any (a generic profile).
    pub sysobjectids: Vec<Pattern>,
    /// What one of which a device must have besides; empty = nothing.
    pub matches: Vec<Match>,
    /// Names of the profiles it extends.
    pub extends: Vec<String>,
}

impl Head {
    /// How well a profile with this head that can be chosen fits a device; `None` = not, or any. `find`
    /// gives what the device has at or below an object.
    pub fn fit(
        &self,
        sysobjectid: Option<&Oid>,
        find: &dyn Fn(&Oid) -> Option<String>,
    ) -> Option<(usize, bool)> {
        if self.fits_any() {
            return None;
        }
        let by_id = match self.sysobjectids.as_slice() {
            [] => 0,
            patterns => patterns.iter().filter_map(|p| p.fit(sysobjectid?)).max()?,
        };
        let holds = self.matches.is_empty() || self.matches.iter().any(|m| m.holds(find));
        holds.then_some((by_id, !self.matches.is_empty()))
    }

    /// Whether it fits any device.
    pub fn fits_any(&self) -> bool {
        self.sysobjectids.is_empty() && self.matches.is_empty()
    }
}

/// Something that a device has: for families that share a sysObjectID.
#[derive(Clone, Debug, PartialEq)]
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
    /// Whether rules look at rates and differences of it: counts are told exactly.
    pub counted: bool,
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
    /// Multiplied with it; `None` = it is converted as the metric is.
    pub scale: Option<f64>,
    /// Raw values that mean "no limit".
    pub unset: Vec<f64>,
}

/// A name of a row.
#[derive(Clone, Debug)]
pub struct Tag {
    /// How templates call it.
    pub name: Arc<str>,
    /// Where it comes from.
    pub source: TagSource,
    /// Names of raw values, which may be patterns with `*`: [`mapped`].
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

/// What a raw value is called: by itself, else by the first pattern with `*` that it fits.
pub fn mapped<'m, T>(mapping: &'m [(String, T)], raw: &str) -> Option<&'m T> {
    let exact = mapping.iter().find(|(from, _)| from == raw);
    let found =
        exact.or_else(|| mapping.iter().find(|(from, _)| from.contains('*') && glob(from, raw)));
    found.map(|(_, to)| to)
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
        let pairs = [("*Temp*", "C"), ("FAN*", "rpm"), ("FAN TEMP", "cool"), ("7", "seven")];
        let mapping = pairs.map(|(from, to)| (from.to_owned(), to));
        for (raw, to) in [
            ("CPU Temp 1", Some("C")),
            ("FAN 1", Some("rpm")),
            ("FAN Temp", Some("C")),
            ("FAN TEMP", Some("cool")),
            ("7", Some("seven")),
            ("71", None),
        ] {
            assert_eq!(mapped(&mapping, raw).copied(), to, "{raw}");
        }
    }
}
