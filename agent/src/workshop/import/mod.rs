//! `profile import`: profiles out of what other programs poll by. Pure, but for the files.
//!
//! ```text
//! snmp_exporter's snmp.yml ─┐
//!                           ├─► Draft (symbols, tables, alarms, what was left) ─► YAML of ours
//! Zabbix template (YAML) ───┘
//! ```
//!
//! What cannot be said in a profile is left, and told with the reason. What was guessed (which states of an
//! enumeration are bad) carries a comment.

mod draft;
mod exporter;
mod guess;
mod trigger;
mod zabbix;

#[cfg(test)]
mod tests;

use callhome_shared::config_error::{Problem, Problems};

use super::lint::view::{entries, get};
use crate::profile::node;

pub use draft::Draft;

/// Largest file that is read.
pub const MAX_FILE_BYTES: u64 = 32 * 1024 * 1024;

/// Profiles out of a file's text.
pub fn import(file: &str, text: &str) -> Result<Vec<Draft>, Problems> {
    let root = node::parse(file, text)?;
    let wrong = |message: &str| Problem::at_line(file, text, 1, 1, message);
    if let Some(export) = get(&root, "zabbix_export") {
        return Ok(zabbix::drafts(export));
    }
    let modules = get(&root, "modules").unwrap_or(&root);
    let generated = entries(modules).iter().any(|(_, module)| get(module, "metrics").is_some());
    if generated {
        return Ok(exporter::drafts(modules));
    }
    if entries(modules).iter().any(|(_, module)| get(module, "walk").is_some()) {
        return Err(wrong(
            "this is the input of snmp_exporter's generator, which names objects but does not number them; \
             give the snmp.yml that the generator makes of it",
        )
        .into());
    }
    Err(wrong(
        "expected a Zabbix template (`zabbix_export:`) or snmp_exporter's snmp.yml (`modules:`)",
    )
    .into())
}
