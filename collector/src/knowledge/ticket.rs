//! The words by which a ticket is found. Pure.

use std::collections::BTreeSet;

use super::words::terms;

/// Terms of what is known of a ticket at its opening: the first ones.
const MAX_OPENED: usize = 400;
/// Terms of one thing that was said about it.
const MAX_SAID: usize = 500;
/// Endings of serial numbers shorter than this find nothing.
const MIN_TAIL: usize = 4;
/// Longest serial number whose endings find it, characters.
const MAX_SERIAL: usize = 40;

/// What a ticket knows of itself at its opening.
#[derive(Clone, Debug, Default)]
pub struct Known<'a> {
    /// Its number as a number.
    pub ordinal: i64,
    /// The device's id: its serial number where that is known.
    pub device: &'a str,
    /// All else, what matters most first.
    pub texts: Vec<&'a str>,
}

/// The terms by which a new ticket is found. People read out the last digits of a serial number: it is found by
/// any part of it.
pub fn opened(known: &Known<'_>) -> BTreeSet<String> {
    let number = known.ordinal.to_string();
    let mut all: Vec<String> = vec!["t".to_owned(), format!("{number:0>6}"), number];
    for (term, _) in terms(known.device) {
        let letters: Vec<char> = term.chars().take(MAX_SERIAL).collect();
        if letters.iter().any(char::is_ascii_digit) {
            let tails = 1..(letters.len() + 1).saturating_sub(MIN_TAIL);
            all.extend(tails.map(|from| letters.iter().skip(from).collect()));
        }
        all.push(term);
    }
    let texts = known.texts.iter().flat_map(|text| terms(text));
    kept(all.into_iter().chain(texts.map(|(term, _)| term)), MAX_OPENED)
}

/// The terms of what was said about a ticket.
pub fn said(text: &str) -> BTreeSet<String> {
    kept(terms(text).into_iter().map(|(term, _)| term), MAX_SAID)
}

fn kept(all: impl Iterator<Item = String>, most: usize) -> BTreeSet<String> {
    let mut kept = BTreeSet::new();
    for term in all {
        if kept.len() == most {
            break;
        }
        kept.insert(term);
    }
    kept
}
