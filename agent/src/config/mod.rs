//! Configuration as written: TOML → checked → [`crate::settings::Settings`].
//!
//! Three passes, each telling everything it finds: syntax, shape ([`shape`]: keys, types, ranges,
//! words), meaning ([`check`]: references, expressions, addresses, files). A pass that found something
//! ends the matter, because the next one would only repeat it in other words.

mod bundle;
mod check;
mod maintenance;
mod network;
mod pattern;
mod privacy;
mod roads;
mod rules;
mod shape;
mod snmp;
mod sources;
mod summary;
mod syslog;
mod trap;
mod written;

#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::io;
use std::path::{Path, PathBuf};

use callhome_shared::config_error::{Problem, Problems, parse_toml};
use sha2::{Digest as _, Sha256};

use crate::settings::{Settings, SourceSpec};

pub use summary::summary;

/// Where the configuration is looked for unless the command line says otherwise.
pub const DEFAULT_PATH: &str = "/etc/callhome-agent/agent.toml";
/// Largest configuration file that is read.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// Reads a file that the configuration names.
pub type ReadFile<'a> = &'a dyn Fn(&Path) -> io::Result<String>;

/// Where the state is unless the configuration says otherwise.
pub fn default_state_dir() -> PathBuf {
    written::Agent::default().state_dir.get_ref().into()
}

/// Reads and checks a configuration file, and the files that it names.
pub fn load(path: &Path) -> Result<Settings, Problems> {
    let name = path.display().to_string();
    let unreadable = |why: String| Problems::from(Problem::at_line(&name, "", 1, 1, why));
    let size = std::fs::metadata(path).map_err(|e| unreadable(format!("cannot be read: {e}")))?;
    if size.len() > MAX_FILE_BYTES {
        return Err(unreadable(format!("is larger than {MAX_FILE_BYTES} bytes")));
    }
    let text =
        std::fs::read_to_string(path).map_err(|e| unreadable(format!("cannot be read: {e}")))?;
    // Everything that is read counts: two configurations with the same digest say the same.
    let digest = RefCell::new(Sha256::new());
    digest.borrow_mut().update(&text);
    let read = |path: &Path| {
        let read = std::fs::read_to_string(path);
        let mut digest = digest.borrow_mut();
        digest.update(path.as_os_str().as_encoded_bytes());
        digest.update(read.as_ref().map_or(&[][..], |text| text.as_bytes()));
        read
    };
    let mut settings = parse(&name, &text, &read)?;
    let of_traps = settings.sources.iter().filter_map(|source| match &source.spec {
        SourceSpec::Trap(trap) => trap.dir.as_ref(),
        _ => None,
    });
    for profile in settings.profiles_dir.iter().chain(of_traps).flat_map(|dir| files_in(dir)) {
        // What cannot be read now was told by the checks.
        let _ = read(&profile);
    }
    settings.read_from = digest.into_inner().finalize().into();
    Ok(settings)
}

/// The files of a directory, in the order of their names.
fn files_in(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    files.sort();
    files
}

/// Where the running agent's control socket is by a configuration file that need not be a good one now.
pub fn control_socket(path: &Path) -> PathBuf {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let (table, _) = toml::de::DeTable::parse_recoverable(&text);
    let agent = table.get_ref().iter().find(|(key, _)| key.get_ref() == "agent");
    let agent = agent.and_then(|(_, agent)| agent.get_ref().as_table());
    let socket = agent.and_then(|agent| {
        agent.iter().find(|(key, _)| key.get_ref() == "control_socket").map(|(_, socket)| socket)
    });
    let written = socket.and_then(|socket| socket.get_ref().as_str());
    match written {
        Some(written) => written.into(),
        None => written::Agent::default().control_socket.get_ref().into(),
    }
}

/// Checks a configuration text; `read` reads the files that it names.
pub fn parse(file: &str, text: &str, read: ReadFile<'_>) -> Result<Settings, Problems> {
    let wrong = shape::problems(file, text, &schema_value());
    if !wrong.is_empty() {
        return Err(sorted(wrong));
    }
    let written: written::File = parse_toml(file, text).map_err(Problems::from)?;
    check::Checker::new(file, text, read).settings(written).map_err(sorted)
}

fn sorted(mut problems: Vec<Problem>) -> Problems {
    problems.sort_by_key(|p| (p.line, p.column));
    Problems(problems)
}

/// The JSON Schema of the configuration file.
pub fn schema() -> String {
    let mut text = serde_json::to_string_pretty(&schema_value()).unwrap_or_default();
    text.push('\n');
    text
}

fn schema_value() -> serde_json::Value {
    let mut schema = schemars::schema_for!(written::File).to_value();
    without_defaults(&mut schema);
    schema
}

/// Whole tables as defaults say the same thing twice, and `null` is no TOML.
fn without_defaults(schema: &mut serde_json::Value) {
    match schema {
        serde_json::Value::Object(object) => {
            if object.get("default").is_some_and(|d| d.is_null() || d.is_object()) {
                object.remove("default");
            }
            object.values_mut().for_each(without_defaults);
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(without_defaults),
        _ => {}
    }
}
