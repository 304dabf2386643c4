//! All profiles: the shipped ones, and those of a directory over them.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use callhome_shared::config_error::{Problem, Problems};

use super::compile::{Missing, Written, compile, near};
use super::oid::Oid;
use super::plan::Profile;

/// Largest profile file.
const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;
// The shipped profiles, `BUILT_IN: &[(name, text)]`: every `profiles/*.yaml`, listed by `build.rs`.
include!(concat!(env!("OUT_DIR"), "/built_in_profiles.rs"));

/// Compiled profiles by name. Compile once, share.
#[derive(Debug, Default)]
pub struct Library {
    profiles: BTreeMap<String, Arc<Profile>>,
    notes: Vec<Problem>,
}

struct Text {
    file: String,
    text: Cow<'static, str>,
}

impl Library {
    /// The shipped profiles alone.
    pub fn built_in() -> Result<Self, Problems> {
        Library::compile(built_in_texts())
    }

    /// The shipped profiles and those of `dir` (`*.yaml`); one of the same name goes before the
    /// shipped one.
    pub fn load(dir: Option<&Path>) -> Result<Self, Problems> {
        let mut texts = built_in_texts();
        if let Some(dir) = dir {
            texts.extend(read_dir(dir)?);
        }
        Library::compile(texts)
    }

    /// Profiles given as (name, text); for `check` of a single file and for tests.
    pub fn with(further: &[(&str, &str)]) -> Result<Self, Problems> {
        let mut texts = built_in_texts();
        for (name, text) in further {
            let entry = Text { file: format!("{name}.yaml"), text: Cow::Owned((*text).to_owned()) };
            texts.insert((*name).to_owned(), entry);
        }
        Library::compile(texts)
    }

    /// Like [`Library::with`], but of the shipped profiles only those that the given ones extend.
    pub fn only(given: &[(&str, &str)]) -> Result<Self, Problems> {
        let mut texts = built_in_texts();
        for (name, text) in given {
            let entry = Text { file: format!("{name}.yaml"), text: Cow::Owned((*text).to_owned()) };
            texts.insert((*name).to_owned(), entry);
        }
        let names: Vec<String> = given.iter().map(|(name, _)| (*name).to_owned()).collect();
        Library::compile_some(&texts, &names)
    }

    fn compile(texts: BTreeMap<String, Text>) -> Result<Self, Problems> {
        let names: Vec<String> = texts.keys().cloned().collect();
        Library::compile_some(&texts, &names)
    }

    fn compile_some(texts: &BTreeMap<String, Text>, names: &[String]) -> Result<Self, Problems> {
        let mut work = Work { texts, done: BTreeMap::new(), open: Vec::new() };
        let mut problems = Vec::new();
        let mut notes = Vec::new();
        for name in names {
            // Its faults are in `problems`; there is nobody else to tell.
            let _ = work.profile(name, &mut problems, &mut notes);
        }
        if !problems.is_empty() {
            return Err(Problems(problems));
        }
        let profiles = work.done.into_iter().filter_map(|(name, p)| Some((name, p?))).collect();
        Ok(Library { profiles, notes })
    }

    /// One profile.
    pub fn get(&self, name: &str) -> Option<&Arc<Profile>> {
        self.profiles.get(name)
    }

    /// The names that a configuration may use.
    pub fn names(&self) -> Vec<&str> {
        self.profiles.values().filter(|p| !p.is_abstract()).map(|p| p.name.as_str()).collect()
    }

    /// The nearest name to one that is no profile.
    pub fn near(&self, name: &str) -> Option<String> {
        near(name, &self.names())
    }

    /// What was not understood in the files and left out.
    pub fn notes(&self) -> &[Problem] {
        &self.notes
    }

    /// The profile made for a device, or all generic ones. `find` gives what the device has at or below
    /// an object of [`Library::questions`]. Of two, the one with the more specific sysObjectID counts,
    /// then one that asked for more than that.
    pub fn select(
        &self,
        sysobjectid: Option<&Oid>,
        find: &dyn Fn(&Oid) -> Option<String>,
    ) -> Vec<Arc<Profile>> {
        let fitting = self.profiles.values().filter_map(|p| Some((p.fit(sysobjectid, find)?, p)));
        match fitting.max_by_key(|(fit, _)| *fit) {
            Some((_, profile)) => vec![profile.clone()],
            None => self.profiles.values().filter(|p| p.is_generic()).cloned().collect(),
        }
    }

    /// The objects that the choice for a device depends on.
    pub fn questions(&self, sysobjectid: Option<&Oid>) -> BTreeSet<Oid> {
        let open = self.selectable().filter(|profile| {
            let patterns = &profile.sysobjectids;
            let fits = |id: &Oid| patterns.iter().any(|p| p.fit(id).is_some());
            patterns.is_empty() || sysobjectid.is_some_and(fits)
        });
        open.flat_map(|profile| profile.matches.iter().map(|m| m.oid.clone())).collect()
    }

    /// Every profile that [`Library::select`] may give.
    pub fn selectable(&self) -> impl Iterator<Item = &Arc<Profile>> {
        self.profiles.values().filter(|p| !p.is_abstract())
    }
}

fn built_in_texts() -> BTreeMap<String, Text> {
    let entry = |(name, text): &(&str, &'static str)| {
        let file = format!("built-in {name}.yaml");
        ((*name).to_owned(), Text { file, text: Cow::Borrowed(*text) })
    };
    BUILT_IN.iter().map(entry).collect()
}

fn read_dir(dir: &Path) -> Result<BTreeMap<String, Text>, Problem> {
    let trouble = |path: &Path, error: std::io::Error| {
        Problem::at_line(&path.display().to_string(), "", 1, 1, format!("cannot read: {error}"))
    };
    let mut texts = BTreeMap::new();
    let entries = std::fs::read_dir(dir).map_err(|e| trouble(dir, e))?;
    for entry in entries {
        let path = entry.map_err(|e| trouble(dir, e))?.path();
        let is_yaml = path.extension().is_some_and(|e| e == "yaml");
        let Some(name) = path.file_stem().and_then(|n| n.to_str()).filter(|_| is_yaml) else {
            continue;
        };
        let size = std::fs::metadata(&path).map_err(|e| trouble(&path, e))?.len();
        if size > MAX_FILE_BYTES {
            let message = format!("{size} bytes are more than the allowed {MAX_FILE_BYTES}");
            return Err(Problem::at_line(&path.display().to_string(), "", 1, 1, message));
        }
        let text = std::fs::read_to_string(&path).map_err(|e| trouble(&path, e))?;
        let file = path.display().to_string();
        texts.insert(name.to_owned(), Text { file, text: Cow::Owned(text) });
    }
    Ok(texts)
}

/// Compiles parents before children.
struct Work<'a> {
    texts: &'a BTreeMap<String, Text>,
    /// `None` = wrong.
    done: BTreeMap<String, Option<Arc<Profile>>>,
    /// Being compiled, to see circles.
    open: Vec<String>,
}

impl Work<'_> {
    fn profile(
        &mut self,
        name: &str,
        problems: &mut Vec<Problem>,
        notes: &mut Vec<Problem>,
    ) -> Result<Arc<Profile>, Missing> {
        if let Some(done) = self.done.get(name) {
            return done.clone().ok_or(Missing::Wrong);
        }
        if self.open.iter().any(|open| open == name) {
            return Err(Missing::Circle);
        }
        let texts = self.texts;
        let Some(text) = texts.get(name) else { return Err(Missing::Unknown) };
        self.open.push(name.to_owned());
        let known: Vec<&str> = texts.keys().map(String::as_str).collect();
        let written = Written { name, file: &text.file, text: &text.text };
        let compiled = compile(&written, &known, |parent| self.profile(parent, problems, notes));
        self.open.pop();
        problems.extend(compiled.problems);
        notes.extend(compiled.notes);
        self.done.insert(name.to_owned(), compiled.profile.clone());
        compiled.profile.ok_or(Missing::Wrong)
    }
}
