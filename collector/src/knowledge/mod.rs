//! What solved faults taught: articles, one a fault code, and the words by which they are found. Pure.

#[cfg(test)]
mod tests;
pub mod ticket;
pub mod words;

use std::collections::BTreeMap;

pub use self::words::{Asked, asked};

/// The type of tickets that people write down.
pub const BY_HAND: &str = "manual";
/// Longest code, characters.
pub const MAX_CODE: usize = 100;
/// Longest title, characters.
pub const MAX_TITLE: usize = 200;
/// Longest symptom, cause or fix, bytes.
pub const MAX_TEXT: usize = 16 * 1024;
/// Terms by which an article is found: those that weigh most.
const MAX_TERMS: usize = 2_000;

/// What an article says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Article {
    /// The fault code, or the alarm's type where the device has none.
    pub code: String,
    /// One line.
    pub title: String,
    /// What is seen.
    pub symptom: String,
    /// Why it happens.
    pub cause: String,
    /// What mends it.
    pub fix: String,
}

/// A field that cannot be kept so, and what was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// The field.
    pub field: &'static str,
    /// What was expected.
    pub expected: String,
}

/// An article as it is kept.
pub fn checked(article: &Article) -> Result<Article, Wrong> {
    let line = |field: &'static str, text: &str, max: usize| {
        let text = text.trim();
        let good = (1..=max).contains(&text.chars().count()) && !text.chars().any(char::is_control);
        let expected = format!("one line of 1 to {max} characters");
        if good { Ok(text.to_owned()) } else { Err(Wrong { field, expected }) }
    };
    let lines = |field: &'static str, text: &str| {
        let control = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
        let text = text.trim().replace("\r\n", "\n").replace('\r', "\n");
        let good = text.len() <= MAX_TEXT && !text.chars().any(control);
        let expected = format!("a text of at most {MAX_TEXT} bytes");
        if good { Ok(text) } else { Err(Wrong { field, expected }) }
    };
    Ok(Article {
        code: line("code", &article.code, MAX_CODE)?,
        title: line("title", &article.title, MAX_TITLE)?,
        symptom: lines("symptom", &article.symptom)?,
        cause: lines("cause", &article.cause)?,
        fix: lines("fix", &article.fix)?,
    })
}

/// The id of a code's article: codes differ by more than large and small letters.
pub fn id(code: &str) -> String {
    code.trim().to_lowercase()
}

/// The code by which a ticket's article is found: the fault code, else the alarm's type. What a person wrote down
/// without a code has none: such tickets have nothing in common.
pub fn code_of<'a>(fault_code: Option<&'a str>, kind: &'a str) -> Option<&'a str> {
    let code = fault_code.map(str::trim).filter(|code| !code.is_empty());
    code.or((kind != BY_HAND).then_some(kind))
}

/// The terms of an article, with how much each says about it.
pub fn index(article: &Article) -> Vec<(String, i64)> {
    let mut all: BTreeMap<String, i64> = BTreeMap::new();
    for (weight, text) in [
        (8, &article.code),
        (4, &article.title),
        (2, &article.symptom),
        (1, &article.cause),
        (1, &article.fix),
    ] {
        for (term, _) in words::terms(text) {
            let known = all.entry(term).or_default();
            *known = (*known + weight).min(100);
        }
    }
    let mut all = Vec::from_iter(all);
    all.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    all.truncate(MAX_TERMS);
    all
}
