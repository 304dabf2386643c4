//! What rules remember, by source and key; bounded, with changes staged until they are stored.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use callhome_shared::alarm::Identity;
use callhome_shared::time::Time;
use serde::{Deserialize, Serialize};

use super::gate::Gate;
use super::sample::Sample;
use super::threshold::Reached;

/// States that the rules of one source remember at most. Healthy values need none, but for the times of
/// silence and for-durations. At the limit the oldest healthy ones are forgotten; if all are faults, a
/// further one is not judged, and counted.
pub const STATES_PER_SOURCE: usize = 20_000;
/// Between the parts of a key.
pub(super) const SEPARATOR: char = '\u{1f}';

/// What one rule remembers of one thing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct State {
    /// The fault it has raised and not cleared. Kept here because what the identity was made of (a
    /// device's id, a capture) may be another one when it clears.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) active: Option<Identity>,
    /// When this state was made or last changed.
    pub(super) touched: Time,
    /// What it needs to remember besides.
    pub(super) memory: Memory,
}

/// By kind of condition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Memory {
    /// How far each level is reached, in the rule's order of levels.
    Threshold(Vec<Reached>),
    /// Since when the state has been a bad one.
    StateMap(Time),
    /// Whether a line of the answer that is being read has raised it.
    Answer(bool),
    /// When something was last read.
    Silence(Time),
    /// The last reading, for rates and differences.
    Sample(Sample),
    /// What damping needs.
    Gate(Box<Gate>),
    /// When what was told ends by itself.
    Told(Time),
}

/// All of it.
#[derive(Default)]
pub(super) struct Table {
    sheets: BTreeMap<Arc<str>, Sheet>,
    /// States that found no place since the last [`Table::take_refused`].
    refused: u64,
}

#[derive(Default)]
struct Sheet {
    kept: BTreeMap<String, State>,
    staged: BTreeMap<String, Option<State>>,
    /// Those staged that need not be stored.
    passing: BTreeSet<String>,
    /// Number of states with the staged changes applied.
    count: usize,
}

impl Sheet {
    fn get(&self, key: &str) -> Option<&State> {
        match self.staged.get(key) {
            Some(staged) => staged.as_ref(),
            None => self.kept.get(key),
        }
    }

    fn stage(&mut self, key: String, state: Option<State>) {
        match (self.get(&key).is_some(), state.is_some()) {
            (false, true) => self.count += 1,
            (true, false) => self.count -= 1,
            _ => {}
        }
        self.passing.remove(&key);
        self.staged.insert(key, state);
    }

    /// Drops the oldest of the healthy states, a part of them at once so that it is not done for
    /// every new state. Says whether there were any.
    fn make_room(&mut self) -> bool {
        let mut healthy: Vec<(Time, &String)> = self
            .kept
            .iter()
            .filter(|(key, state)| state.active.is_none() && !self.staged.contains_key(*key))
            .map(|(key, state)| (state.touched, key))
            .collect();
        healthy.sort_unstable();
        let oldest: Vec<String> =
            healthy.iter().take(STATES_PER_SOURCE / 16).map(|(_, key)| (*key).clone()).collect();
        for key in &oldest {
            self.stage(key.clone(), None);
        }
        !oldest.is_empty()
    }
}

impl Table {
    pub(super) fn get(&self, source: &str, key: &str) -> Option<&State> {
        self.sheets.get(source)?.get(key)
    }

    /// Whether nothing is remembered of a source.
    pub(super) fn is_blank(&self, source: &str) -> bool {
        let blank = |sheet: &Sheet| sheet.kept.is_empty() && sheet.staged.is_empty();
        self.sheets.get(source).is_none_or(blank)
    }

    /// Stages a state, or its removal. Says whether there was a place for it.
    pub(super) fn set(&mut self, source: &Arc<str>, key: &str, state: Option<State>) -> bool {
        if self.get(source, key) == state.as_ref() {
            return true;
        }
        let sheet = self.sheets.entry(source.clone()).or_default();
        let before = sheet.get(key);
        let is_new = before.is_none();
        if is_new && sheet.count >= STATES_PER_SOURCE && !sheet.make_room() {
            self.refused += 1;
            return false;
        }
        sheet.stage(key.to_owned(), state);
        true
    }

    /// Stages newer memory of a state that is there, not to be stored for its own sake: for what may be
    /// older after a restart.
    pub(super) fn refresh(&mut self, source: &str, key: &str, memory: Memory, at: Time) {
        let Some(sheet) = self.sheets.get_mut(source) else { return };
        let Some(mut state) = sheet.get(key).cloned() else { return };
        (state.memory, state.touched) = (memory, at);
        let passing = !sheet.staged.contains_key(key) || sheet.passing.contains(key);
        sheet.stage(key.to_owned(), Some(state));
        if passing {
            sheet.passing.insert(key.to_owned());
        }
    }

    /// Keys and states of a source whose keys begin with `prefix`.
    pub(super) fn with_prefix(&self, source: &str, prefix: &str) -> Vec<(String, State)> {
        let Some(sheet) = self.sheets.get(source) else { return Vec::new() };
        let kept = sheet.kept.range(prefix.to_owned()..).map(|(key, _)| key);
        let staged = sheet.staged.range(prefix.to_owned()..).map(|(key, _)| key);
        let mut keys: Vec<&String> = kept
            .take_while(|key| key.starts_with(prefix))
            .chain(staged.take_while(|key| key.starts_with(prefix)))
            .collect();
        keys.sort_unstable();
        keys.dedup();
        keys.into_iter()
            .filter_map(|key| sheet.get(key).map(|state| (key.clone(), state.clone())))
            .collect()
    }

    /// Stages the removal of every state that holds one of these faults.
    pub(super) fn forget(&mut self, identities: &[Identity]) {
        for sheet in self.sheets.values_mut() {
            let held =
                |state: &State| state.active.as_ref().is_some_and(|a| identities.contains(a));
            let keys: Vec<String> =
                sheet.kept.iter().filter(|(_, s)| held(s)).map(|(key, _)| key.clone()).collect();
            for key in keys {
                sheet.stage(key, None);
            }
        }
    }

    /// Stages the removal of a source's states whose rule (`pack/id`) is not one to `keep`.
    pub(super) fn retain(&mut self, source: &str, keep: impl Fn(&str) -> bool) {
        let Some(sheet) = self.sheets.get_mut(source) else { return };
        let staged = sheet.staged.iter().filter(|(_, state)| state.is_some()).map(|(key, _)| key);
        let useless = |key: &&String| !keep(key.split(SEPARATOR).next().unwrap_or_default());
        let keys: BTreeSet<String> =
            sheet.kept.keys().chain(staged).filter(useless).cloned().collect();
        for key in keys {
            sheet.stage(key, None);
        }
    }

    /// Takes a stored state without staging it.
    pub(super) fn load(&mut self, source: Arc<str>, key: String, state: State) {
        let sheet = self.sheets.entry(source).or_default();
        if sheet.kept.insert(key, state).is_none() {
            sheet.count += 1;
        }
    }

    /// Staged changes by the key under which they are stored; `None` removes.
    pub(super) fn changes(&self) -> Vec<(String, Option<Vec<u8>>)> {
        let mut changes = Vec::new();
        for (source, sheet) in &self.sheets {
            for (key, state) in sheet.staged.iter().filter(|(key, _)| !sheet.passing.contains(*key))
            {
                changes.push((stored_key(source, key), state.as_ref().and_then(encode)));
            }
        }
        changes
    }

    /// Everything that is kept, for a file that is new.
    pub(super) fn everything(&self) -> Vec<(String, Option<Vec<u8>>)> {
        let mut all = Vec::new();
        for (source, sheet) in &self.sheets {
            all.extend(sheet.kept.iter().map(|(key, s)| (stored_key(source, key), encode(s))));
        }
        all
    }

    /// Staged changes are stored.
    pub(super) fn keep(&mut self) {
        for sheet in self.sheets.values_mut() {
            sheet.passing.clear();
            for (key, state) in std::mem::take(&mut sheet.staged) {
                match state {
                    Some(state) => sheet.kept.insert(key, state),
                    None => sheet.kept.remove(&key),
                };
            }
        }
    }

    /// Staged changes are not stored.
    pub(super) fn discard(&mut self) {
        self.refused = 0;
        for sheet in self.sheets.values_mut() {
            sheet.staged.clear();
            sheet.passing.clear();
            sheet.count = sheet.kept.len();
        }
    }

    pub(super) fn len(&self) -> usize {
        self.sheets.values().map(|sheet| sheet.count).sum()
    }

    pub(super) fn take_refused(&mut self) -> u64 {
        std::mem::take(&mut self.refused)
    }
}

/// `source␟rule␟thing`.
pub(super) fn stored_key(source: &str, key: &str) -> String {
    format!("{source}{SEPARATOR}{key}")
}

fn encode(state: &State) -> Option<Vec<u8>> {
    // Strings, numbers and options only: this cannot fail.
    serde_json::to_vec(state).ok()
}
