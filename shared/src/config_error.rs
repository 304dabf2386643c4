//! Errors in configuration files: file:line:column, what was expected, the nearest valid name.

use std::fmt;
use std::ops::Range;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// One thing that is wrong in a configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file, as it was named.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong and what was expected.
    pub message: String,
    /// The nearest valid name or another way out.
    pub hint: Option<String>,
    /// The line itself.
    pub excerpt: String,
}

impl Problem {
    /// A problem at a byte range of `text`.
    pub fn at(file: &str, text: &str, span: Range<usize>, message: impl Into<String>) -> Self {
        let (line, column) = position(text, span.start);
        Problem::at_line(file, text, line, column, message)
    }

    /// A problem at a line and column (both from 1) of `text`.
    pub fn at_line(
        file: &str,
        text: &str,
        line: usize,
        column: usize,
        message: impl Into<String>,
    ) -> Self {
        let excerpt = text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
        Problem {
            file: file.to_owned(),
            line,
            column,
            message: message.into(),
            hint: None,
            excerpt: excerpt.chars().take(160).collect(),
        }
    }

    /// Adds a hint.
    #[must_use]
    pub fn hint(mut self, hint: Option<String>) -> Self {
        self.hint = hint.or(self.hint);
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)?;
        if !self.excerpt.trim().is_empty() {
            let caret = " ".repeat(self.column.saturating_sub(1).min(160));
            write!(f, "\n    {}\n    {caret}^", self.excerpt)?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\n    {hint}")?;
        }
        Ok(())
    }
}

/// All that is wrong with a configuration, in file order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.0.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Problems(vec![problem])
    }
}

/// Reads TOML into `T`; an error carries its place, the way to it (`device[1].name`) and, for an unknown name,
/// the nearest valid one.
pub fn parse_toml<T: DeserializeOwned>(file: &str, text: &str) -> Result<T, Problem> {
    toml::from_str(text).map_err(|e| toml_problem(file, text, &e))
}

fn toml_problem(file: &str, text: &str, error: &toml::de::Error) -> Problem {
    let message = error.message();
    let way = error.span().and_then(|span| way_to(text, span.start));
    let place = way.map_or_else(String::new, |way| format!("{way}: "));
    let span = error.span().unwrap_or(0..0);
    Problem::at(file, text, span, format!("{place}{message}")).hint(hint_from_serde(message))
}

/// The names that lead to what stands at a byte of a document, `snmp[0].port`; `None` at the top, or where the
/// document is no TOML. The document is read once more, without types, instead of keeping account
/// while it is read with them: that needs a second copy of each type's reader in the program.
fn way_to(text: &str, at: usize) -> Option<String> {
    let document = DeTable::parse(text).ok()?;
    let mut best = Best { at, width: usize::MAX, way: None };
    best.table(document.get_ref(), "");
    best.way
}

/// The narrowest part of a document that holds a byte.
struct Best {
    at: usize,
    width: usize,
    way: Option<String>,
}

impl Best {
    fn look(&mut self, span: &Range<usize>, way: &str) {
        if span.contains(&self.at) && span.len() < self.width {
            self.width = span.len();
            self.way = Some(way.to_owned());
        }
    }

    fn table(&mut self, table: &DeTable<'_>, way: &str) {
        for (key, value) in table {
            let dot = if way.is_empty() { "" } else { "." };
            let way = format!("{way}{dot}{}", key.get_ref());
            self.look(&key.span(), &way);
            self.value(value, &way);
        }
    }

    fn value(&mut self, value: &Spanned<DeValue<'_>>, way: &str) {
        self.look(&value.span(), way);
        match value.get_ref() {
            DeValue::Table(table) => self.table(table, way),
            DeValue::Array(values) => {
                for (i, value) in values.iter().enumerate() {
                    self.value(value, &format!("{way}[{i}]"));
                }
            }
            _ => {}
        }
    }
}

/// Reads serde's own words (``unknown field `x`, expected one of `a`, `b` ``) for the nearest name.
pub fn hint_from_serde(message: &str) -> Option<String> {
    if !message.starts_with("unknown field") && !message.starts_with("unknown variant") {
        return None;
    }
    let mut names = message.split('`').skip(1).step_by(2);
    let found = names.next()?;
    let valid: Vec<&str> = names.collect();
    did_you_mean(found, valid)
}

/// `did you mean "…"?` for the valid name nearest to `found`, if one is near enough.
pub fn did_you_mean<'a>(found: &str, valid: impl IntoIterator<Item = &'a str>) -> Option<String> {
    valid
        .into_iter()
        .map(|name| (strsim::jaro_winkler(found, name), name))
        .filter(|(score, _)| *score > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| format!("did you mean {name:?}?"))
}

/// Line and column (from 1, in characters) of a byte offset.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let mut end = offset.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let before = &text[..end];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wanted {
        #[allow(dead_code)]
        interval_s: u32,
    }

    #[test]
    fn place_expectation_and_nearest_name() {
        let error = parse_toml::<Wanted>("a.toml", "# 风扇\nintervall_s = 3\n").unwrap_err();
        assert_eq!((error.line, error.column), (2, 1));
        assert!(error.message.contains("unknown field"), "{error}");
        assert_eq!(error.hint.as_deref(), Some("did you mean \"interval_s\"?"));
        let error = parse_toml::<Wanted>("a.toml", "interval_s = \"x\"\n").unwrap_err();
        assert_eq!((error.line, error.column), (1, 14), "{error}");
        let error = parse_toml::<Wanted>("a.toml", "interval_s = \n").unwrap_err();
        assert_eq!(error.line, 1, "{error}");
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Nested {
        #[allow(dead_code)]
        snmp: Vec<Source>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Source {
        #[allow(dead_code)]
        name: String,
        #[serde(default)]
        #[allow(dead_code)]
        rule: Vec<Wanted>,
    }

    #[test]
    fn the_way_to_it_is_told() {
        for (text, line, begins) in [
            ("[[snmp]]\nname = 3\n", 2, "snmp[0].name: invalid type"),
            (
                "[[snmp]]\nname = 'a'\n[[snmp]]\nname = 'b'\nnmae = 1\n",
                5,
                "snmp[1].nmae: unknown field",
            ),
            ("[[snmp]]\nname = 'a'\n\n[[snmp]]\nrule = []\n", 4, "snmp[1]: missing field `name`"),
            (
                "snmp = [{ name = 'a' }, { name = 'b', rule = [{ interval_s = -1 }] }]",
                1,
                "snmp[1].rule[0].interval_s: invalid value",
            ),
            (
                "[[snmp]]\nname = 'a'\n[[snmp.rule]]\ninterval_s = 1\n[[snmp.rule]]\n",
                5,
                "snmp[0].rule[1]: missing field",
            ),
            ("", 1, "missing field `snmp`"),
            ("snmp = [\n", 1, ""),
        ] {
            let error = parse_toml::<Nested>("a.toml", text).unwrap_err();
            assert!(error.message.starts_with(begins), "{text}: {error}");
            assert!(error.line == line || begins.is_empty(), "{text}: {error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_document_panics(text in "(\\[\\[?(snmp|rule|snmp\\.rule)\\]?\\]|name|rule|interval_s|=|[0-9'\",{}\\[\\] \n]){0,30}") {
            if let Err(e) = parse_toml::<Nested>("a.toml", &text) { let _ = e.to_string(); }
        }

        #[test]
        fn no_input_panics(text in ".{0,200}") {
            if let Err(e) = parse_toml::<Wanted>("a.toml", &text) { let _ = e.to_string(); }
        }
    }
}
