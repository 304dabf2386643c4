//! Patterns: a line that matches raises, another one clears.

use regex::Captures;

use super::Expression;

/// What a line means.
#[derive(Debug)]
pub(super) enum Judgement<'t> {
    /// A fault, with what was captured.
    Bad(Captures<'t>),
    /// The fault with these captures is gone.
    Good(Captures<'t>),
    /// Nothing.
    Silent,
}

/// Matches a line. `clear` is asked first: it is often the raising pattern with a word more.
pub(super) fn judge<'t>(
    raise: &Expression,
    clear: Option<&Expression>,
    line: &'t str,
) -> Judgement<'t> {
    if let Some(captures) = clear.and_then(|clear| clear.get()?.captures(line)) {
        return Judgement::Good(captures);
    }
    raise.get().and_then(|raise| raise.captures(line)).map_or(Judgement::Silent, Judgement::Bad)
}
