//! Configuration as written: TOML → checked → [`crate::settings::Settings`].

mod address;
mod alertmanager;
mod bundle;
mod certificates;
mod check;
mod diagnosis;
mod network;
mod notice;
mod oidc;
mod service;
mod written;

use std::path::Path;

use callhome_shared::config_error::{Problem, Problems, parse_toml};

use crate::settings::Settings;

/// Where the configuration is looked for unless the command line says otherwise.
pub const DEFAULT_PATH: &str = "/etc/callhome-collector/collector.toml";
/// Largest configuration file that is read.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// Reads and checks a configuration file, and the secret files that it names.
pub fn load(path: &Path) -> Result<Settings, Problems> {
    let name = path.display().to_string();
    let unreadable = |why: String| Problems::from(Problem::at_line(&name, "", 1, 1, why));
    let size = std::fs::metadata(path).map_err(|e| unreadable(format!("cannot be read: {e}")))?;
    if size.len() > MAX_FILE_BYTES {
        return Err(unreadable(format!("is larger than {MAX_FILE_BYTES} bytes")));
    }
    let text =
        std::fs::read_to_string(path).map_err(|e| unreadable(format!("cannot be read: {e}")))?;
    parse(&name, &text, &|path| std::fs::read_to_string(path))
}

/// Checks a configuration text; `read` reads the secret files that it names.
pub fn parse(
    file: &str,
    text: &str,
    read: &dyn Fn(&Path) -> std::io::Result<String>,
) -> Result<Settings, Problems> {
    let written: written::File = parse_toml(file, text).map_err(Problems::from)?;
    check::Checker::new(file, text, read).settings(&written)
}

/// The rules of diagnosis of a configuration text, whatever else is in it: a collector's own file, or one
/// with the section `[diagnosis]` alone.
pub fn rules(file: &str, text: &str) -> Result<crate::diagnosis::rules::Rules, Problems> {
    let nothing = |_: &Path| Ok(String::new());
    parse(file, text, &nothing).map(|settings| settings.diagnosis)
}

/// The JSON Schema of the configuration file.
pub fn schema() -> String {
    let mut schema = schemars::schema_for!(written::File).to_value();
    without_null_defaults(&mut schema);
    let mut text = serde_json::to_string_pretty(&schema).unwrap_or_default();
    text.push('\n');
    text
}

/// An absent key is no `null` (TOML has none): the descriptions say what it means.
fn without_null_defaults(schema: &mut serde_json::Value) {
    if let Some(object) = schema.as_object_mut() {
        if object.get("default").is_some_and(serde_json::Value::is_null) {
            object.remove("default");
        }
        object.values_mut().for_each(without_null_defaults);
    }
}

#[cfg(test)]
mod tests;
