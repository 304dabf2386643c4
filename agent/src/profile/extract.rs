//! What of a text counts: regular expressions, compiled when they are first needed.

use std::sync::{Arc, OnceLock};

use regex::Regex;

/// Memory of one compiled expression.
const MAX_REGEX_BYTES: usize = 1 << 18;

/// A regular expression that is compiled when it is first needed: a compiled one takes tens of KiB, and
/// most profiles are for devices that are not there.
#[derive(Clone, Debug)]
pub struct Expression(Arc<(String, OnceLock<Option<Regex>>)>);

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.0.0 == other.0.0
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

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
