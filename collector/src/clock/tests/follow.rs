//! What a ticket's way does to its clocks.

use super::super::*;
use super::life::{at, life, term};

const HOUR: i64 = 3_600_000;

/// A clock whose ticket went through these states, an hour each; how it stands, and how much has counted.
fn way(name: &str, states: &[&str]) -> (State, i64) {
    let plan = presets().into_iter().find(|p| p.name == "carrier").unwrap().plan;
    let mut now = at("2026-11-23T02:00:00Z");
    let mut events = vec![(now, What::Started { terms: term("100h", "7x24") })];
    for state in states {
        now = now.plus_ms(HOUR);
        if let Some(what) = follow(&plan, name, &life(&events), state) {
            events.push((now, what));
        }
    }
    let life = life(&events);
    (life.state(), life.elapsed(now.plus_ms(HOUR)))
}

#[test]
fn states_pause_stop_and_continue_clocks() {
    let running = |hours: i64| (State::Running, hours * HOUR);
    assert_eq!(way("restore", &["recorded"]), running(2));
    assert_eq!(way("restore", &["in_diagnosis", "waiting_customer"]), (State::Paused, 2 * HOUR));
    assert_eq!(way("restore", &["waiting_customer", "in_diagnosis"]), running(2));
    assert_eq!(way("restore", &["waiting_customer", "waiting_approval", "recorded"]), running(2));
    assert_eq!(way("restore", &["in_diagnosis", "resolved"]), (State::Stopped, 2 * HOUR));
    let way_through = ["resolved", "verified", "confirmed", "closed", "reviewed"];
    assert_eq!(way("restore", &way_through), (State::Stopped, HOUR));
    assert_eq!(way("restore", &["waiting_customer", "resolved"]), (State::Stopped, HOUR));
    assert_eq!(way("restore", &["resolved", "in_diagnosis"]), running(2), "opened again");
    assert_eq!(way("restore", &["closed", "waiting_customer", "in_diagnosis"]).0, State::Running);
    assert_eq!(
        way("respond", &["assigned", "in_diagnosis", "resolved", "in_diagnosis"]).0,
        State::Stopped
    );
    assert_eq!(way("diagnose", &["in_diagnosis", "dispatched"]), (State::Stopped, 2 * HOUR));
    assert_eq!(way("part_return", &["resolved", "closed"]), running(3), "parts come back later");
    for end in ["merged", "rejected"] {
        assert_eq!(way("restore", &["assigned", end, "in_diagnosis"]), (State::Dropped, 2 * HOUR));
    }
}

#[test]
fn a_comment_answers_and_mends_nothing() {
    let plan = presets().into_iter().find(|p| p.name == "carrier").unwrap().plan;
    let begun = life(&[(at("2026-11-23T02:00:00Z"), What::Started { terms: term("4h", "7x24") })]);
    assert_eq!(
        deed(&plan, "respond", &begun, "comment"),
        Some(What::Stopped { by: "comment".into() })
    );
    assert_eq!(deed(&plan, "restore", &begun, "comment"), None);
    assert_eq!(deed(&plan, "respond", &begun, "coffee"), None);
}
