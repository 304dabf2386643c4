//! Articles and their words.

use proptest::prelude::*;

use super::words::{MAX_ASKED, MAX_TERM};
use super::*;

fn article() -> Article {
    Article {
        code: "E0-1204".into(),
        // "The array's power supply has failed"
        title: "\u{9635}\u{5217}\u{7535}\u{6e90}\u{6545}\u{969c}".into(),
        symptom: "PSU 2: AC lost, fan stops".into(),
        cause: "worn capacitor".into(),
        fix: "replace PSU 2\r\nthen clear the log".into(),
    }
}

fn finds(article: &Article, question: &str) -> bool {
    let index = index(article);
    asked(question).iter().all(|asked| match asked {
        Asked::Term(term) => index.iter().any(|(known, _)| known == term),
        Asked::Beginning(begin) => index.iter().any(|(known, _)| known.starts_with(begin.as_str())),
    })
}

#[test]
fn chinese_is_found_by_any_word_in_it_and_not_by_letters_in_another_order() {
    let one = checked(&article()).unwrap();
    for question in [
        "\u{7535}\u{6e90}",                  // power supply
        "\u{9635}\u{5217}\u{7535}\u{6e90}",  // the array's power supply
        "\u{7535}\u{6e90} \u{9635}\u{5217}", // two words
        "\u{6e90}",                          // one letter
        "psu",
        "ps",
        "e0-1204",
        "\u{ff25}\u{ff10}\u{ff0d}\u{ff11}\u{ff12}", // E0-12 in wide letters
        "\u{7535}\u{6e90} PSU",
    ] {
        assert!(finds(&one, question), "{question:?}");
    }
    for question in ["\u{6e90}\u{7535}", "\u{7535}\u{5217}", "su", "e1204", "\u{786c}\u{76d8}"] {
        assert!(!finds(&one, question), "{question:?}");
    }
    assert!(asked("\u{3002} - !").is_empty(), "signs ask for nothing");
}

#[test]
fn what_says_most_weighs_most() {
    let index = index(&checked(&article()).unwrap());
    let weight = |term: &str| index.iter().find(|(known, _)| known == term).map(|(_, w)| *w);
    assert_eq!(
        (weight("1204"), weight("\u{7535}\u{6e90}"), weight("worn")),
        (Some(8), Some(4), Some(1))
    );
    assert_eq!(weight("psu"), Some(3), "once in the symptom, once in the fix");
}

#[test]
fn what_cannot_be_kept_is_named() {
    let kept = checked(&article()).unwrap();
    assert_eq!(kept.fix, "replace PSU 2\nthen clear the log");
    assert_eq!(checked(&kept), Ok(kept));
    for (field, wrong) in [
        ("code", Article { code: " ".into(), ..article() }),
        ("code", Article { code: "a\nb".into(), ..article() }),
        ("title", Article { title: "x".repeat(MAX_TITLE + 1), ..article() }),
        ("cause", Article { cause: "x".repeat(MAX_TEXT + 1), ..article() }),
        ("fix", Article { fix: "a\u{7}b".into(), ..article() }),
    ] {
        assert_eq!(checked(&wrong).unwrap_err().field, field);
    }
}

#[test]
fn a_ticket_without_a_fault_code_is_found_by_its_kind() {
    assert_eq!(code_of(Some("E1"), "disk.failed"), Some("E1"));
    assert_eq!(code_of(Some(" "), "disk.failed"), Some("disk.failed"));
    assert_eq!(code_of(None, "disk.failed"), Some("disk.failed"));
    assert_eq!((code_of(Some("E1"), BY_HAND), code_of(None, BY_HAND)), (Some("E1"), None));
    assert_eq!(id(" E0-Ab "), "e0-ab");
}

proptest! {
    #[test]
    fn prop_every_article_is_found_by_its_own_title(title in "[a-z0-9\u{4e00}-\u{4e20} ,-]{1,30}") {
        let Ok(one) = checked(&Article { title, ..article() }) else { return Ok(()) };
        prop_assert!(finds(&one, &one.title));
    }

    #[test]
    fn no_text_panics_and_the_index_is_bounded(text in ".{0,300}", many in "[\u{4e00}-\u{9fff}]{0,3000}") {
        let one = Article { symptom: format!("{text}{many}"), cause: many, ..article() };
        prop_assert!(index(&one).len() <= MAX_TERMS);
        prop_assert!(asked(&text).len() <= MAX_ASKED);
        prop_assert!(index(&one).iter().all(|(term, _)| term.chars().count() <= MAX_TERM));
    }
}

#[test]
fn a_ticket_is_found_by_its_number_and_any_part_of_its_serial_number() {
    let texts = vec!["\u{9635}\u{5217}\u{7535}\u{6e90}", "PSU 2"];
    let terms = ticket::opened(&ticket::Known { ordinal: 42, device: "210235ABC-9", texts });
    let finds = |question: &str| {
        asked(question).iter().all(|asked| match asked {
            Asked::Term(term) => terms.contains(term),
            Asked::Beginning(begin) => terms.iter().any(|term| term.starts_with(begin.as_str())),
        })
    };
    for question in
        ["T-000042", "42", "000042", "0235", "5abc", "210235abc-9", "\u{7535}\u{6e90} psu"]
    {
        assert!(finds(question), "{question:?}");
    }
    for question in ["T-000043", "5ab0", "abcd", "\u{6e90}\u{7535}"] {
        assert!(!finds(question), "{question:?}");
    }
}

proptest! {
    #[test]
    fn prop_what_was_said_is_found_by_its_first_words(text in "[a-zA-Z0-9\u{4e00}-\u{4e80} .]{1,60}") {
        let terms = ticket::said(&text);
        for one in asked(&text) {
            let found = match one {
                Asked::Term(term) => terms.contains(&term),
                Asked::Beginning(begin) => terms.contains(&begin),
            };
            prop_assert!(found);
        }
    }

    #[test]
    fn prop_no_serial_number_makes_more_terms_than_there_is_room(device in ".{0,300}", text in ".{0,2000}") {
        let known = ticket::Known { ordinal: 7, device: &device, texts: vec![&text] };
        let terms = ticket::opened(&known);
        prop_assert!(terms.len() <= 400 && terms.contains("000007"));
        prop_assert!(terms.iter().all(|term| term.chars().count() <= MAX_TERM));
    }
}
