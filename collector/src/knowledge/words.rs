//! The words of texts and of questions, Chinese ones too. Pure.
//!
//! Chinese is written without spaces. Instead of a dictionary, which never knows the names of parts, every
//! letter of a run of Chinese (Japanese, Korean) letters is a term and every two that stand beside each other:
//! who asks for "power supply" in two or four letters finds what has these pairs.

/// Terms of one question.
pub(super) const MAX_ASKED: usize = 16;
/// Longest term, characters: what is longer is cut.
pub(super) const MAX_TERM: usize = 40;

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
pub fn terms(text: &str) -> Vec<(String, bool)> {
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
