//! What was found where, and what redaction has left in a text already.

use std::ops::Range;

use super::builtin;
use super::pseudonym::{Kind, PSEUDONYM_HEX};

/// Begins what stands in a secret's place.
pub(super) const OPEN: &str = "[redacted:";
/// Ends it.
pub(super) const CLOSE: char = ']';
/// Longest name between the two, with a fingerprint.
const MAX_NAME: usize = 96;

/// Something to be replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// Where, in bytes.
    pub range: Range<usize>,
    /// What it is.
    pub(super) what: What,
}

/// What something to be replaced is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// Found by a built-in rule.
    Builtin(usize),
    /// Found by an own rule.
    Own {
        /// Which.
        index: usize,
        /// What takes its place, if the rule says so.
        by: Option<Box<str>>,
    },
    /// Key material by its looks.
    Material,
    /// An address or a name, in its canonical form.
    Pseudonym(Kind, Box<str>),
}

impl What {
    fn is_secret(&self) -> bool {
        !matches!(self, What::Pseudonym(..))
    }

    /// Its place among the counters, with `own` own rules.
    pub(super) fn index(&self, own: usize) -> usize {
        match self {
            What::Builtin(index) => *index,
            What::Own { index, .. } => builtin::RULES.len() + index,
            What::Pseudonym(kind, _) => builtin::RULES.len() + own + kind.index(),
            What::Material => builtin::RULES.len() + own + Kind::ALL.len(),
        }
    }
}

/// Puts findings in order. Overlapping ones become one: nothing of a secret is left, and of two names
/// the one that begins first, or is longer, counts. What redaction has put there already is left as it is.
pub(super) fn merge(text: &str, mut found: Vec<Span>) -> Vec<Span> {
    if found.is_empty() {
        return found;
    }
    let left = atoms(text);
    // What begins in one and reaches beyond it takes all of it: half of one would be found again.
    for span in &mut found {
        let begun = left.iter().filter(|atom| atom.contains(&span.range.start));
        let beyond = begun.filter(|atom| atom.end < span.range.end);
        if let Some(start) = beyond.map(|atom| atom.start).min() {
            span.range.start = start;
        }
    }
    found.retain(|span| {
        !span.range.is_empty()
            && !left.iter().any(|atom| atom.start <= span.range.start && span.range.end <= atom.end)
    });
    found.sort_by_key(|span| (span.range.start, std::cmp::Reverse(span.range.end)));
    let mut merged: Vec<Span> = Vec::with_capacity(found.len());
    for span in found {
        match merged.last_mut() {
            Some(last) if span.range.start < last.range.end => {
                let end = last.range.end.max(span.range.end);
                match (last.what.is_secret(), span.what.is_secret()) {
                    (true, _) => last.range.end = end,
                    (false, true) => {
                        last.range.end = end;
                        last.what = span.what;
                    }
                    (false, false) => {}
                }
            }
            _ => merged.push(span),
        }
    }
    merged
}

/// Where redaction has been: `[redacted:…]` and pseudonyms.
pub(super) fn atoms(text: &str) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    for (at, _) in text.match_indices(OPEN) {
        let rest = text.get(at + OPEN.len()..).unwrap_or_default();
        let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':');
        let len = rest.bytes().take(MAX_NAME).take_while(|b| fits(*b)).count();
        if len > 0 && rest.get(len..).is_some_and(|r| r.starts_with(CLOSE)) {
            found.push(at..at + OPEN.len() + len + CLOSE.len_utf8());
        }
    }
    for kind in Kind::ALL {
        let prefix = kind.prefix();
        for (at, _) in text.match_indices(prefix) {
            let hex = text.as_bytes().get(at + prefix.len()..).unwrap_or_default();
            let len = hex.iter().take_while(|b| b.is_ascii_hexdigit()).count();
            if len == PSEUDONYM_HEX {
                found.push(at..at + prefix.len() + len);
            }
        }
    }
    found
}
