//! How much of real devices the shipped profiles see: recordings beside what another program reads from
//! them, and every fault that could be written into them. Skips, saying so, where the recordings are absent.

#![allow(clippy::unwrap_used, clippy::panic)] // a test

mod compare;
#[path = "../data/mod.rs"]
mod data;
mod expected;
mod golden;
mod mutants;

use std::collections::BTreeMap;
use std::path::PathBuf;

use callhome_agent::profile::Library;
use callhome_agent::workshop::{Recording, Survey};

use compare::Score;
use data::folder;
use expected::Sensor;

/// Prints all of it, every mutant included: `make coverage-report`. Else every tenth mutant.
const FULL: &str = "COVERAGE_FULL";
/// A directory of profiles to try over the shipped ones.
const PROFILES: &str = "COVERAGE_PROFILES";
/// Only recordings whose name holds this.
const ONLY: &str = "COVERAGE_ONLY";
/// Writes the golden file anew.
const UPDATE: &str = "UPDATE";

fn is_set(name: &str) -> bool {
    std::env::var_os(name).is_some_and(|value| !value.is_empty())
}

#[test]
fn the_shipped_profiles_see_no_less_than_before() {
    let Some(folder) = folder() else { return };
    let further = std::env::var_os(PROFILES).map(PathBuf::from);
    let library = Library::load(further.as_deref()).unwrap_or_else(|problems| panic!("{problems}"));
    let only = std::env::var(ONLY).unwrap_or_default();
    let mut sensors = expected::load(&folder);
    sensors.retain(|name, _| name.contains(&only));
    let full = is_set(FULL);
    let mut scores: BTreeMap<String, Score> = BTreeMap::new();
    for (name, sensors) in &sensors {
        let path = folder.join(format!("{name}.snmprec"));
        let recording = Recording::load(&path).unwrap_or_else(|problems| panic!("{problems}"));
        scores.insert(name.clone(), score(&recording, sensors, &library, full));
    }
    print!("{}", compare::table(&scores, full));
    if is_set(UPDATE) {
        golden::write(&scores);
    }
    let worse = golden::worse(&scores);
    assert!(worse.is_empty(), "worse than the golden file:\n{}", worse.join("\n"));
}

fn score(recording: &Recording, sensors: &[Sensor], library: &Library, full: bool) -> Score {
    let survey = Survey::of_recording(recording, library).unwrap();
    let mut score = compare::compare(&survey, sensors);
    mutants::detect(&survey, recording, sensors, full, &mut score);
    score
}
