//! All profiles: the shipped ones, and those of a directory over them. What devices each is for is known
//! of all; compiled are only those that somebody uses.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use callhome_shared::config_error::{Problem, Problems};

use super::compile::{Missing, Written, compile, near, read_head};
use super::oid::Oid;
use super::plan::{Head, Profile};
use super::text::{MAX_FILE_BYTES, Text};

// The shipped profiles, `BUILT_IN: &[(name, head, text)]`: every `profiles/*.yaml`, listed by `build.rs`.
include!(concat!(env!("OUT_DIR"), "/built_in_profiles.rs"));

/// Profiles by name.
#[derive(Debug, Default)]
pub struct Library {
    books: BTreeMap<String, Book>,
    notes: Vec<Problem>,
    /// The compiled ones. Nobody but those who use a profile keeps it.
    used: Mutex<BTreeMap<String, Weak<Profile>>>,
}

/// One profile before it is compiled.
#[derive(Debug)]
struct Book {
    head: Head,
    text: Text,
}

impl Library {
    /// The shipped profiles alone.
    pub fn built_in() -> Result<Self, Problems> {
        Library::with(&[])
    }

    /// The shipped profiles and those of `dir` (`*.yaml`); one of the same name goes before the
    /// shipped one. Those of `dir`, and what builds on them, are compiled once to see what is wrong.
    pub fn load(dir: Option<&Path>) -> Result<Self, Problems> {
        Library::over(dir.map(read_dir).transpose()?.unwrap_or_default())
    }

    /// The same with profiles given as (name, text).
    pub fn with(further: &[(&str, &str)]) -> Result<Self, Problems> {
        let own = |(name, text): &(&str, &str)| {
            ((*name).to_owned(), Text::own(format!("{name}.yaml"), text))
        };
        Library::over(further.iter().map(own).collect())
    }

    /// Whether each profile of it says what the other's of the same name says.
    pub fn says_as(&self, other: &Library) -> bool {
        std::ptr::eq(self, other)
            || self.books.len() == other.books.len()
                && self.books.iter().all(|(name, book)| {
                    other.books.get(name).is_some_and(|other| book.text.says_as(&other.text))
                })
    }

    fn over(own: BTreeMap<String, Text>) -> Result<Self, Problems> {
        let mut library = Library::default();
        for (name, head, text) in BUILT_IN.iter().filter(|(name, ..)| !own.contains_key(*name)) {
            let text = Text::built_in(name, text);
            let book = Book { head: read_head(text.file(), head)?, text };
            library.books.insert((*name).to_owned(), book);
        }
        let given: Vec<String> = own.keys().cloned().collect();
        for (name, text) in own {
            library.books.insert(name, Book { head: Head::default(), text });
        }
        let (mut problems, mut notes) = (Vec::new(), Vec::new());
        let mut work = Work::new(&library);
        for name in given.iter().chain(&library.builds_on(&given)) {
            // Its faults are in `problems`; there is nobody else to tell.
            let _ = work.profile(name, &mut problems, &mut notes);
        }
        if !problems.is_empty() {
            return Err(Problems(problems));
        }
        let done = work.done;
        for (book, profile) in
            given.iter().filter_map(|name| Some((name, done.get(name)?.as_ref()?)))
        {
            if let Some(book) = library.books.get_mut(book) {
                book.head = profile.head.clone();
            }
        }
        library.notes = notes;
        Ok(library)
    }

    /// The shipped profiles that extend one of these, directly or not.
    fn builds_on(&self, names: &[String]) -> BTreeSet<String> {
        let mut found: BTreeSet<String> = BTreeSet::new();
        loop {
            let is_one = |name: &String| names.contains(name) || found.contains(name);
            let next = self
                .books
                .iter()
                .find(|(name, book)| !is_one(name) && book.head.extends.iter().any(is_one));
            match next {
                Some((name, _)) => found.insert(name.clone()),
                None => return found,
            };
        }
    }

    /// One profile, compiled unless somebody uses it already. Shipped profiles and those that were
    /// loaded have no faults; a name that is none is one.
    pub fn get(&self, name: &str) -> Result<Arc<Profile>, Problems> {
        let mut used = self.used();
        if let Some(profile) = used.get(name).and_then(Weak::upgrade) {
            return Ok(profile);
        }
        let mut problems = Vec::new();
        let mut work = Work { used: &used, ..Work::new(self) };
        let profile = work.profile(name, &mut problems, &mut Vec::new());
        let done = work.done;
        let done = done.into_iter().filter_map(|(name, p)| Some((name, Arc::downgrade(&p?))));
        used.extend(done);
        profile.map_err(|_| {
            if problems.is_empty() {
                let message = format!("no profile is called {name:?}");
                problems.push(Problem::at_line("", "", 1, 1, message).hint(self.near(name)));
            }
            Problems(problems)
        })
    }

    /// These profiles.
    pub fn all<'n>(
        &self,
        names: impl IntoIterator<Item = &'n str>,
    ) -> Result<Vec<Arc<Profile>>, Problems> {
        names.into_iter().map(|name| self.get(name)).collect()
    }

    /// Which devices a profile is for.
    pub fn head(&self, name: &str) -> Option<&Head> {
        self.books.get(name).map(|book| &book.head)
    }

    /// The names that a configuration may use, and that may be chosen for a device.
    pub fn names(&self) -> Vec<&str> {
        self.selectable().map(|(name, _)| name).collect()
    }

    /// The nearest name to one that is no profile.
    pub fn near(&self, name: &str) -> Option<String> {
        near(name, &self.names())
    }

    /// What was not understood in the files of the directory and left out.
    pub fn notes(&self) -> &[Problem] {
        &self.notes
    }

    /// Number of profiles that are compiled now.
    pub fn in_use(&self) -> usize {
        self.used().values().filter(|profile| profile.strong_count() > 0).count()
    }

    /// The name of the profile made for a device, or of all generic ones. `find` gives what the device
    /// has at or below an object of [`Library::questions`]. Of two, the one with the more specific
    /// sysObjectID counts, then one that asked for more than that.
    pub fn choose(
        &self,
        sysobjectid: Option<&Oid>,
        find: &dyn Fn(&Oid) -> Option<String>,
    ) -> Vec<&str> {
        let fitting =
            self.selectable().filter_map(|(name, head)| Some((head.fit(sysobjectid, find)?, name)));
        match fitting.max_by_key(|(fit, _)| *fit) {
            Some((_, name)) => vec![name],
            None => {
                let generic = self.selectable().filter(|(_, head)| head.fits_any());
                generic.map(|(name, _)| name).collect()
            }
        }
    }

    /// What [`Library::choose`] chooses.
    pub fn select(
        &self,
        sysobjectid: Option<&Oid>,
        find: &dyn Fn(&Oid) -> Option<String>,
    ) -> Result<Vec<Arc<Profile>>, Problems> {
        self.all(self.choose(sysobjectid, find))
    }

    /// The objects that the choice for a device depends on.
    pub fn questions(&self, sysobjectid: Option<&Oid>) -> BTreeSet<Oid> {
        let open = self.selectable().filter(|(_, head)| {
            let patterns = &head.sysobjectids;
            let fits = |id: &Oid| patterns.iter().any(|p| p.fit(id).is_some());
            patterns.is_empty() || sysobjectid.is_some_and(fits)
        });
        open.flat_map(|(_, head)| head.matches.iter().map(|m| m.oid.clone())).collect()
    }

    /// Those that are not only there to be extended (`_name`).
    fn selectable(&self) -> impl Iterator<Item = (&str, &Head)> {
        let all = self.books.iter().filter(|(name, _)| !name.starts_with('_'));
        all.map(|(name, book)| (name.as_str(), &book.head))
    }

    fn used(&self) -> MutexGuard<'_, BTreeMap<String, Weak<Profile>>> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The shipped profiles' texts, by name.
pub fn shipped() -> impl Iterator<Item = (&'static str, &'static str)> {
    BUILT_IN.iter().map(|(name, _, text)| (*name, *text))
}

/// The name of the profile in a file: `name.yaml`. `None` = it holds none; `name.test.yaml` holds what is
/// expected of one.
pub fn is_profile(path: &Path) -> Option<&str> {
    let name = path.file_name()?.to_str()?.strip_suffix(".yaml")?;
    (!name.ends_with(".test")).then_some(name)
}

fn read_dir(dir: &Path) -> Result<BTreeMap<String, Text>, Problem> {
    let trouble = |path: &Path, error: std::io::Error| {
        Problem::at_line(&path.display().to_string(), "", 1, 1, format!("cannot read: {error}"))
    };
    let mut texts = BTreeMap::new();
    let entries = std::fs::read_dir(dir).map_err(|e| trouble(dir, e))?;
    for entry in entries {
        let path = entry.map_err(|e| trouble(dir, e))?.path();
        let Some(name) = is_profile(&path) else { continue };
        let size = std::fs::metadata(&path).map_err(|e| trouble(&path, e))?.len();
        if size > MAX_FILE_BYTES {
            let message = format!("{size} bytes are more than the allowed {MAX_FILE_BYTES}");
            return Err(Problem::at_line(&path.display().to_string(), "", 1, 1, message));
        }
        let text = std::fs::read_to_string(&path).map_err(|e| trouble(&path, e))?;
        texts.insert(name.to_owned(), Text::own(path.display().to_string(), &text));
    }
    Ok(texts)
}

/// Compiles parents before children.
struct Work<'a> {
    library: &'a Library,
    /// Those that need not be compiled.
    used: &'a BTreeMap<String, Weak<Profile>>,
    /// `None` = wrong.
    done: BTreeMap<String, Option<Arc<Profile>>>,
    /// Being compiled, to see circles.
    open: Vec<String>,
}

impl<'a> Work<'a> {
    fn new(library: &'a Library) -> Self {
        const NOBODY: &BTreeMap<String, Weak<Profile>> = &BTreeMap::new();
        Work { library, used: NOBODY, done: BTreeMap::new(), open: Vec::new() }
    }

    fn profile(
        &mut self,
        name: &str,
        problems: &mut Vec<Problem>,
        notes: &mut Vec<Problem>,
    ) -> Result<Arc<Profile>, Missing> {
        if let Some(used) = self.used.get(name).and_then(Weak::upgrade) {
            return Ok(used);
        }
        if let Some(done) = self.done.get(name) {
            return done.clone().ok_or(Missing::Wrong);
        }
        if self.open.iter().any(|open| open == name) {
            return Err(Missing::Circle);
        }
        let library = self.library;
        let Some(book) = library.books.get(name) else { return Err(Missing::Unknown) };
        self.open.push(name.to_owned());
        let known: Vec<&str> = library.books.keys().map(String::as_str).collect();
        let text = book.text.read();
        let written = Written { name, file: book.text.file(), text: &text };
        let compiled = compile(&written, &known, |parent| self.profile(parent, problems, notes));
        self.open.pop();
        problems.extend(compiled.problems);
        notes.extend(compiled.notes);
        self.done.insert(name.to_owned(), compiled.profile.clone());
        compiled.profile.ok_or(Missing::Wrong)
    }
}
