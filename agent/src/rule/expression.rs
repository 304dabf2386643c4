//! Regular expressions of rules.

use std::sync::{Arc, OnceLock};

use regex::Regex;

/// Memory of one that is compiled when it is first needed.
const MAX_BYTES: usize = 1 << 18;

/// An expression; one of a catalogue is compiled when it is first needed: a compiled one takes tens of
/// KiB, and most catalogues are of devices that are not there. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Expression(Arc<(String, OnceLock<Option<Regex>>)>);

impl Expression {
    /// One that is known to be good, as the tests of the shipped catalogues know it of theirs. A bad one
    /// never matches.
    pub fn later(pattern: String) -> Self {
        Expression(Arc::new((pattern, OnceLock::new())))
    }

    /// Compiled; `None` = it was no expression.
    pub fn get(&self) -> Option<&Regex> {
        let (pattern, regex) = &*self.0;
        let compile = || regex::RegexBuilder::new(pattern).size_limit(MAX_BYTES).build().ok();
        regex.get_or_init(compile).as_ref()
    }
}

impl From<Regex> for Expression {
    fn from(regex: Regex) -> Self {
        Expression(Arc::new((regex.as_str().to_owned(), OnceLock::from(Some(regex)))))
    }
}
