//! What was reached before: a change that reaches less fails.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::compare::Score;

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/coverage/golden.json")
}

/// Writes it anew; to be run with all mutants.
pub fn write(scores: &BTreeMap<String, Score>) {
    let text = serde_json::to_string_pretty(scores).unwrap();
    std::fs::write(path(), text + "\n").unwrap();
}

/// What is worse than before, in words.
pub fn worse(scores: &BTreeMap<String, Score>) -> Vec<String> {
    let text = std::fs::read_to_string(path()).unwrap_or_else(|_| "{}".to_owned());
    let golden: BTreeMap<String, Score> = serde_json::from_str(&text).unwrap();
    let mut worse = Vec::new();
    for (name, was) in &golden {
        let Some(now) = scores.get(name) else { continue };
        for (what, now, was) in [
            ("states read", now.states_read, was.states_read),
            ("states that agree", now.states_agree, was.states_agree),
            ("numbers that agree", now.numbers_agree, was.numbers_agree),
        ] {
            if now < was {
                worse.push(format!("{name}: {now} {what}, {was} before"));
            }
        }
        if now.alarms > was.alarms {
            worse.push(format!("{name}: {} alarms as it is, {} before", now.alarms, was.alarms));
        }
        // A sample of the mutants, or all of them: the misses must not become more.
        let missed = |s: &Score| s.faults - s.detected;
        if missed(now) > missed(was) {
            worse.push(format!("{name}: {} faults missed, {} before", missed(now), missed(was)));
        }
    }
    worse
}
