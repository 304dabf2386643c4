//! The files that are looked at, beside the shipped profiles that they may extend.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use callhome_shared::config_error::{Problem, Problems};

use crate::profile::Profile;
use crate::profile::compile::{Compiled, Missing, Written, compile};
use crate::profile::library::{is_profile, shipped};
use crate::profile::node::{self, Node};

/// Largest file.
const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;
/// Most files of a folder.
const MAX_FILES: usize = 10_000;

/// One file.
#[derive(Debug, Default)]
pub struct Entry {
    /// For messages.
    pub file: String,
    /// Its text.
    pub text: String,
    /// Whether it was asked for; else it is there to be extended.
    pub given: bool,
    /// Its tree; `None` = it is no YAML.
    pub root: Option<Node>,
    /// As compiled; `None` = it does not load.
    pub profile: Option<Arc<Profile>>,
    /// Why it does not load.
    pub problems: Vec<Problem>,
    /// What the loader left out.
    pub notes: Vec<Problem>,
}

/// All files, by the profile's name.
#[derive(Debug, Default)]
pub struct Shelf {
    entries: BTreeMap<String, Entry>,
}

impl Entry {
    /// Whether it says what traps mean, and is no profile.
    pub fn is_traps(&self) -> bool {
        self.root.as_ref().is_some_and(super::traps::is_one)
    }
}

impl Shelf {
    /// Files and folders. Whatever lies beside a file can be extended by it.
    pub fn of_paths(paths: &[PathBuf]) -> Result<Self, Problems> {
        let mut shelf = Shelf::default();
        for path in paths {
            if path.is_dir() {
                shelf.folder(path, true)?;
                continue;
            }
            let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
            shelf.folder(folder.unwrap_or(Path::new(".")), false)?;
        }
        for path in paths.iter().filter(|path| !path.is_dir()) {
            let name = path.file_stem().and_then(|n| n.to_str()).unwrap_or_default();
            shelf.put(name, Entry { given: true, ..read(path)? });
        }
        shelf.compile();
        Ok(shelf)
    }

    /// Texts, by name.
    pub fn of_texts(texts: &[(&str, &str)]) -> Self {
        let mut shelf = Shelf::default();
        for (name, text) in texts {
            let (file, text) = (format!("{name}.yaml"), (*text).to_owned());
            shelf.put(name, Entry { file, text, given: true, ..Entry::default() });
        }
        shelf.compile();
        shelf
    }

    /// The files that were asked for.
    pub fn given(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.entries.iter().filter(|(_, e)| e.given).map(|(name, entry)| (name.as_str(), entry))
    }

    /// Every profile that loads, the shipped ones included that no file replaces.
    pub fn profiles(&self) -> impl Iterator<Item = &Arc<Profile>> {
        let own = self.entries.values().filter_map(|entry| entry.profile.as_ref());
        let replaced = |name: &&String| self.entries.contains_key(*name);
        own.chain(shipped_profiles().iter().filter(move |(n, _)| !replaced(n)).map(|(_, p)| p))
    }

    /// One profile.
    pub fn get(&self, name: &str) -> Option<&Arc<Profile>> {
        match self.entries.get(name) {
            Some(entry) => entry.profile.as_ref(),
            None => shipped_profiles().get(name),
        }
    }

    /// Whether a file of that name is shipped with the agent.
    pub fn is_shipped(name: &str) -> bool {
        shipped().any(|(known, _)| known == name)
    }

    fn put(&mut self, name: &str, entry: Entry) {
        self.entries.insert(name.to_owned(), entry);
    }

    fn folder(&mut self, folder: &Path, given: bool) -> Result<(), Problem> {
        let shown = folder.display().to_string();
        let trouble =
            |e: std::io::Error| Problem::at_line(&shown, "", 1, 1, format!("cannot read: {e}"));
        for (n, found) in std::fs::read_dir(folder).map_err(trouble)?.enumerate() {
            if n >= MAX_FILES {
                let message = format!("more than {MAX_FILES} files");
                return Err(Problem::at_line(&shown, "", 1, 1, message));
            }
            let path = found.map_err(trouble)?.path();
            let Some(name) = is_profile(&path) else { continue };
            if !given && self.entries.get(name).is_some_and(|entry| entry.given) {
                continue;
            }
            match read(&path) {
                Ok(entry) => self.put(name, Entry { given, ..entry }),
                // What merely lies beside a file may be anything.
                Err(_) if !given => {}
                Err(problem) => return Err(problem),
            }
        }
        Ok(())
    }

    fn compile(&mut self) {
        // A file that replaces a shipped profile changes those that extend it, too.
        if self.entries.keys().any(|name| Shelf::is_shipped(name)) {
            for (name, text) in shipped() {
                self.entries.entry(name.to_owned()).or_insert_with(|| shipped_entry(name, text));
            }
        }
        for entry in self.entries.values_mut() {
            entry.root = node::parse(&entry.file, &entry.text).ok();
        }
        let mut work = Work { entries: &self.entries, done: BTreeMap::new(), open: Vec::new() };
        for name in self.entries.keys() {
            // What is wrong is in `done`.
            let _ = work.profile(name);
        }
        for (name, compiled) in work.done {
            if let Some(entry) = self.entries.get_mut(&name) {
                let Compiled { profile, problems, notes } = compiled;
                (entry.profile, entry.problems, entry.notes) = (profile, problems, notes);
            }
        }
    }
}

fn shipped_entry(name: &str, text: &str) -> Entry {
    let (file, text) = (format!("built-in {name}.yaml"), text.to_owned());
    Entry { file, text, ..Entry::default() }
}

/// The shipped profiles as they are, compiled once.
fn shipped_profiles() -> &'static BTreeMap<String, Arc<Profile>> {
    static SHIPPED: OnceLock<BTreeMap<String, Arc<Profile>>> = OnceLock::new();
    SHIPPED.get_or_init(|| {
        let entries = shipped().map(|(name, text)| (name.to_owned(), shipped_entry(name, text)));
        let entries: BTreeMap<String, Entry> = entries.collect();
        let mut work = Work { entries: &entries, done: BTreeMap::new(), open: Vec::new() };
        for name in entries.keys() {
            // They all load: a test says so.
            let _ = work.profile(name);
        }
        work.done.into_iter().filter_map(|(name, c)| Some((name, c.profile?))).collect()
    })
}

fn read(path: &Path) -> Result<Entry, Problem> {
    let file = path.display().to_string();
    let trouble = |message: String| Problem::at_line(&file, "", 1, 1, message);
    let size = std::fs::metadata(path).map_err(|e| trouble(format!("cannot read: {e}")))?.len();
    if size > MAX_FILE_BYTES {
        return Err(trouble(format!("{size} bytes are more than the allowed {MAX_FILE_BYTES}")));
    }
    let text = std::fs::read_to_string(path).map_err(|e| trouble(format!("cannot read: {e}")))?;
    Ok(Entry { file, text, ..Entry::default() })
}

/// Compiles parents before children, each once, and keeps what was wrong by file.
struct Work<'a> {
    entries: &'a BTreeMap<String, Entry>,
    done: BTreeMap<String, Compiled>,
    open: Vec<String>,
}

impl Work<'_> {
    fn profile(&mut self, name: &str) -> Result<Arc<Profile>, Missing> {
        if let Some(done) = self.done.get(name) {
            return done.profile.clone().ok_or(Missing::Wrong);
        }
        if self.open.iter().any(|open| open == name) {
            return Err(Missing::Circle);
        }
        let entries = self.entries;
        let Some(entry) = entries.get(name) else {
            // While the shipped ones are compiled themselves, each of them has an entry.
            let is_shipped = Shelf::is_shipped(name);
            let shipped = is_shipped.then(|| shipped_profiles().get(name).cloned()).flatten();
            return shipped.ok_or(Missing::Unknown);
        };
        self.open.push(name.to_owned());
        let shipped = shipped().map(|(name, _)| name);
        let known: Vec<&str> = entries.keys().map(String::as_str).chain(shipped).collect();
        let written = Written { name, file: &entry.file, text: &entry.text };
        let compiled = compile(&written, &known, |parent| self.profile(parent));
        self.open.pop();
        let profile = compiled.profile.clone();
        self.done.insert(name.to_owned(), compiled);
        profile.ok_or(Missing::Wrong)
    }
}
