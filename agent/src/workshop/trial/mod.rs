//! `profile test`: what a profile must say of recordings, kept beside it in `<profile>.test.yaml`.
//!
//! ```text
//! <profile>.test.yaml ─► cases ─► Rig { recording → poll → change rows → poll … } ─► what did not hold
//! ```
//!
//! The format: `docs/profiles.md`, "Tests beside a profile".

mod hold;
pub mod propose;
mod written;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use callhome_shared::config_error::{Problem, Problems};
use serde_json::json;

use crate::profile::{Library, Profile};
use written::Case;

/// What a test file's name ends with.
const SUFFIX: &str = ".test.yaml";
/// Largest test file.
const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;

/// What came of one case.
#[derive(Debug)]
pub struct Outcome {
    /// The file.
    pub file: String,
    /// The case's name.
    pub case: String,
    /// What was compared.
    pub checked: usize,
    /// What did not hold; empty = all did.
    pub broken: Vec<Problem>,
}

/// Runs the tests of these profiles, test files and folders of both.
pub fn run(paths: &[PathBuf], further: Option<&Path>) -> Result<Vec<Outcome>, Problems> {
    let mut outcomes = Vec::new();
    for path in paths {
        let files = files(path)?;
        let folder = if path.is_dir() { Some(path.as_path()) } else { path.parent() };
        let folder = folder.filter(|f| !f.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let library = Library::load(Some(further.unwrap_or(folder)))?;
        for file in files {
            outcomes.extend(run_file(&file, &library)?);
        }
    }
    Ok(outcomes)
}

fn run_file(path: &Path, library: &Library) -> Result<Vec<Outcome>, Problems> {
    let file = path.display().to_string();
    let trouble =
        |e: std::io::Error| Problem::at_line(&file, "", 1, 1, format!("cannot read: {e}"));
    let size = std::fs::metadata(path).map_err(trouble)?.len();
    if size > MAX_FILE_BYTES {
        let message = format!("{size} bytes are more than the allowed {MAX_FILE_BYTES}");
        return Err(Problem::at_line(&file, "", 1, 1, message).into());
    }
    let text = std::fs::read_to_string(path).map_err(trouble)?;
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    let profile = name.strip_suffix(SUFFIX).unwrap_or(name);
    run_text(&Written { file: &file, text: &text, profile, folder: path.parent() }, library)
}

/// A test file's text.
pub struct Written<'a> {
    /// The file, for messages.
    pub file: &'a str,
    /// Its text.
    pub text: &'a str,
    /// The profile that it is about.
    pub profile: &'a str,
    /// Where the recordings that it names are.
    pub folder: Option<&'a Path>,
}

/// Runs the cases of one test file.
pub fn run_text(written: &Written<'_>, library: &Library) -> Result<Vec<Outcome>, Problems> {
    let cases = written::read(written)?;
    cases
        .into_iter()
        .map(|case| {
            let (profiles, mut broken) = profiles(written, &case, library)?;
            let (checked, further) = hold::hold(&case, &profiles, written);
            broken.extend(further);
            Ok(Outcome { file: written.file.to_owned(), case: case.name, checked, broken })
        })
        .collect()
}

/// The profiles of a case, and whether the device would choose the one that the file is about.
fn profiles(
    written: &Written<'_>,
    case: &Case,
    library: &Library,
) -> Result<(Vec<Arc<Profile>>, Vec<Problem>), Problems> {
    let at = |message: String| {
        let place = case.at;
        Problem::at_line(written.file, written.text, place.line, place.column, message)
    };
    let mut profiles = Vec::new();
    for name in &case.profiles {
        profiles.push(known(library, name, at)?);
    }
    if !case.profiles.is_empty() {
        return Ok((profiles, Vec::new()));
    }
    let profile = known(library, written.profile, |message| {
        at(format!("{message}, after which this file is named"))
    })?;
    let mut broken = Vec::new();
    if !is_abstract(&profile.name) && !profile.head.fits_any() {
        let chosen = super::select(&case.recording, library)?;
        if !chosen.iter().any(|p| p.name == profile.name) {
            let names: Vec<&str> = chosen.iter().map(|p| p.name.as_str()).collect();
            let message = format!(
                "{}: for this device {} would be chosen, not {}",
                case.name,
                names.join(", "),
                profile.name
            );
            broken.push(at(message));
        }
    }
    Ok((vec![profile], broken))
}

/// A profile by its name; `wrong` places what is said of one that is not there.
fn known(
    library: &Library,
    name: &str,
    wrong: impl Fn(String) -> Problem,
) -> Result<Arc<Profile>, Problems> {
    if library.head(name).is_none() {
        return Err(wrong(format!("no profile is called {name:?}"))
            .hint(library.near(name))
            .into());
    }
    library.get(name)
}

/// Whether it is only there to be extended.
fn is_abstract(name: &str) -> bool {
    name.starts_with('_')
}

/// The test files that a path stands for.
fn files(path: &Path) -> Result<Vec<PathBuf>, Problem> {
    let shown = path.display().to_string();
    let wrong = |message: String| Problem::at_line(&shown, "", 1, 1, message);
    if path.is_dir() {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(path).map_err(|e| wrong(format!("cannot read: {e}")))? {
            let found = entry.map_err(|e| wrong(format!("cannot read: {e}")))?.path();
            if found.to_string_lossy().ends_with(SUFFIX) {
                files.push(found);
            }
        }
        files.sort();
        return match files.is_empty() {
            true => Err(wrong(format!("no file *{SUFFIX} is in this folder"))),
            false => Ok(files),
        };
    }
    if shown.ends_with(SUFFIX) {
        return Ok(vec![path.to_owned()]);
    }
    let beside =
        PathBuf::from(format!("{}{SUFFIX}", shown.strip_suffix(".yaml").unwrap_or(&shown)));
    match beside.is_file() {
        true => Ok(vec![beside]),
        false => {
            Err(wrong(format!("its tests would be in {}, which is not there", beside.display())))
        }
    }
}

/// For people, or JSON lines; with the exit status: 0 = all hold, 1 = some do not.
pub fn told(outcomes: &[Outcome], as_json: bool) -> (String, u8) {
    let mut text = String::new();
    let broken = outcomes.iter().filter(|o| !o.broken.is_empty()).count();
    for outcome in outcomes {
        if as_json {
            let broken: Vec<_> = outcome
                .broken
                .iter()
                .map(|p| json!({"line": p.line, "column": p.column, "message": p.message}))
                .collect();
            let line = json!({
                "file": outcome.file, "case": outcome.case, "checked": outcome.checked,
                "holds": broken.is_empty(), "broken": broken,
            });
            text.push_str(&format!("{line}\n"));
            continue;
        }
        let verdict = if outcome.broken.is_empty() { "ok  " } else { "FAIL" };
        text.push_str(&format!(
            "{verdict} {}: {} ({} compared)\n",
            outcome.file, outcome.case, outcome.checked
        ));
        for problem in &outcome.broken {
            text.push_str(&format!("{problem}\n"));
        }
    }
    if !as_json {
        text.push_str(&format!("{} of {} cases hold\n", outcomes.len() - broken, outcomes.len()));
    }
    (text, u8::from(broken > 0))
}
