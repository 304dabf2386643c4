use callhome_shared::time::Time;
use proptest::prelude::*;

use super::pace::{MOST_FOLDED, again_after, pace};
use super::shapes::{Content, letter, taken};
use super::words::{CHINESE, ENGLISH};
use super::*;

fn facts(event: Event, text: &str) -> Facts {
    Facts {
        event: event.as_str().into(),
        number: "T-000001".into(),
        priority: "p1".into(),
        device: text.into(),
        text: text.into(),
        person: text.into(),
        level: "l2".into(),
        clock: "restore".into(),
        until: "2026-11-22T18:00:00Z".into(),
        ..Facts::default()
    }
}

#[test]
fn every_event_has_words_in_both_languages_and_no_place_is_left_open() {
    for event in Event::ALL.into_iter().chain([Event::Test]) {
        assert_eq!(Event::parse(event.as_str()), Some(event));
        assert!(ENGLISH.events.contains_key(event.as_str()), "{event:?}");
        assert!(CHINESE.events.contains_key(event.as_str()), "{event:?}");
        for language in [Language::English, Language::Chinese] {
            let (subject, text) = text(&facts(event, "li"), language, "https://x/");
            assert!(!subject.contains('{') && !text.contains('{'), "{subject}\n{text}");
            assert!(text.contains("https://x/"));
        }
    }
    let (_, text) = text(&facts(Event::Called, "li"), Language::English, "l");
    assert!(
        text.starts_with("li is called (L2) and asked to answer by 2026-11-22T18:00:00Z."),
        "{text}"
    );
}

#[test]
fn quiet_hours_go_over_midnight() {
    let quiet = Quiet { hours: "22:00-07:00".into(), time_zone: "Asia/Shanghai".into() };
    let at = |text: &str| Time::parse(text).unwrap();
    let held = |text: &str| held_until(Some(&quiet), false, at(text));
    let morning = Some(at("2026-11-23T07:00:00+08:00"));
    assert_eq!(held("2026-11-22T22:00:00+08:00"), morning);
    assert_eq!(held("2026-11-23T06:59:59+08:00"), morning);
    assert_eq!(held("2026-11-23T07:00:00+08:00"), None);
    assert_eq!(held("2026-11-22T21:59:59+08:00"), None);
    assert_eq!(held_until(Some(&quiet), true, at("2026-11-22T23:00:00+08:00")), None);
    assert_eq!(held_until(None, false, at("2026-11-22T23:00:00+08:00")), None);
    let wrong = Quiet { hours: "22-7".into(), ..quiet };
    assert!(wrong.check().unwrap_err().to_string().starts_with("hours: expected a window"));
}

#[test]
fn a_failed_one_is_tried_again_later_and_later_and_not_for_ever() {
    let waits: Vec<i64> = (1..10).map_while(again_after).collect();
    assert_eq!(waits, [10, 30, 120, 600, 1800, 3600, 7200]);
    assert_eq!((again_after(0), again_after(8), again_after(-1)), (None, None, None));
}

#[test]
fn robots_say_in_the_body_what_they_think() {
    assert!(taken(Kind::Webhook, "whatever").is_ok());
    assert!(taken(Kind::Wecom, r#"{"errcode":0}"#).is_ok());
    assert!(taken(Kind::Feishu, r#"{"StatusCode":0}"#).is_ok());
    assert!(taken(Kind::Dingtalk, "").is_err());
    let why = taken(Kind::Dingtalk, r#"{"errcode":310000,"errmsg":"sign not match"}"#).unwrap_err();
    assert!(why.contains("sign not match"));
}

proptest! {
    #[test]
    fn prop_pace_keeps_the_limit_and_forgets_nothing(due in 0_usize..2000, left in 0_usize..700) {
        let pace = pace(due, left);
        prop_assert!(pace.alone + pace.folded <= due);
        prop_assert!(pace.alone + usize::from(pace.folded > 0) <= left);
        prop_assert!(pace.folded <= MOST_FOLDED);
        // What waits on does so because nothing more may go, or one summary is full.
        let rest = due - pace.alone - pace.folded;
        prop_assert!(rest == 0 || left == 0 || pace.folded == MOST_FOLDED);
    }

    #[test]
    fn prop_no_text_panics_or_breaks_a_shape(text in "\\PC{0,60}\n\\PC{0,20}", times in 1_usize..12, many in 1_usize..4, secret in "\\PC{0,30}") {
        let text = text.repeat(times);
        let all: Vec<Facts> = (0..many).map(|_| facts(Event::Called, &text)).collect();
        for kind in Kind::ALL {
            for language in [Language::English, Language::Chinese] {
                let content = Content { facts: &all, id: "i", receiver: "r", language, base: "https://x" };
                let letter = letter(kind, content, Some(&secret), Time(1_700_000_000_000));
                let body: serde_json::Value = serde_json::from_str(&letter.body).unwrap();
                if kind == Kind::Wecom {
                    prop_assert!(body["text"]["content"].as_str().unwrap().len() <= 2048);
                }
                prop_assert!(letter.query.is_none_or(|q| q.is_ascii() && !q.contains(['+', ' ', '/'])));
            }
        }
        let (subject, _) = super::text(&all[0], Language::English, "l");
        prop_assert!(!subject.chars().any(char::is_control));
    }
}
