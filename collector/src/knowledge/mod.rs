//! What solved faults taught: articles, one a fault code, and the words by which they are found. Pure.
//!
//! Chinese is written without spaces. Instead of a dictionary, which never knows the names of parts, every
//! letter of a run of Chinese (Japanese, Korean) letters is a term and every two that stand beside each other:
//! who asks for "power supply" in two or four letters finds what has these pairs.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

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
/// Terms of one question.
const MAX_ASKED: usize = 16;
/// Longest term, characters: what is longer is cut.
const MAX_TERM: usize = 40;

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
        for (term, _) in terms(text) {
            let known = all.entry(term).or_default();
            *known = (*known + weight).min(100);
        }
    }
    let mut all = Vec::from_iter(all);
    all.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    all.truncate(MAX_TERMS);
    all
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// This term.
    Term(String),
    /// One that begins so: words of letters and digits may be cut off.
    Beginning(String),
}

/// What a question asks for: all of it must be there.
pub fn asked(question: &str) -> Vec<Asked> {
    let mut found = Vec::new();
    let all = terms(question);
    for (at, (term, chinese)) in all.iter().enumerate() {
        // A letter beside others is asked for within their pairs.
        let of_pair = *chinese
            && term.chars().count() == 1
            && [at.checked_sub(1), Some(at + 1)].into_iter().flatten().any(|near| {
                all.get(near).is_some_and(|(other, _)| {
                    other.chars().count() == 2 && other.contains(term.as_str())
                })
            });
        if of_pair {
            continue;
        }
        let one = if *chinese { Asked::Term(term.clone()) } else { Asked::Beginning(term.clone()) };
        if !found.contains(&one) {
            found.push(one);
        }
        if found.len() == MAX_ASKED {
            break;
        }
    }
    found
}

/// The terms of a text in their order, and whether each is of Chinese letters: letter, pair, letter, pair, …
fn terms(text: &str) -> Vec<(String, bool)> {
    let mut all = Vec::new();
    let mut word = String::new();
    let mut before: Option<char> = None;
    let end = |word: &mut String, all: &mut Vec<(String, bool)>| {
        if !word.is_empty() {
            all.push((word.chars().take(MAX_TERM).collect(), false));
            word.clear();
        }
    };
    for c in text.chars().map(narrow) {
        if is_ideograph(c) {
            end(&mut word, &mut all);
            if let Some(before) = before {
                all.push((format!("{before}{c}"), true));
            }
            all.push((c.to_string(), true));
            before = Some(c);
            continue;
        }
        before = None;
        if c.is_alphanumeric() {
            word.extend(c.to_lowercase());
        } else {
            end(&mut word, &mut all);
        }
    }
    end(&mut word, &mut all);
    all
}

/// The wide forms of Latin letters, digits and signs (U+FF01 to U+FF5E) are the usual ones.
fn narrow(c: char) -> char {
    match u32::from(c) {
        wide @ 0xFF01..=0xFF5E => char::from_u32(wide - 0xFEE0).unwrap_or(c),
        _ => c,
    }
}

/// Letters of scripts that are written without spaces between words.
fn is_ideograph(c: char) -> bool {
    matches!(u32::from(c),
        0x3040..=0x30FF | 0x3400..=0x4DBF | 0x4E00..=0x9FFF | 0xAC00..=0xD7AF | 0xF900..=0xFAFF | 0x20000..=0x323AF)
}
