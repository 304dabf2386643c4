//! Where recordings of real devices are, for the tests that use them.

use std::path::PathBuf;

/// The folder of recordings. `None` = absent, which is said.
pub fn folder() -> Option<PathBuf> {
    let root = std::env::var_os("CALLHOME_DATA").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"),
        PathBuf::from,
    );
    let folder = root.join("snmp");
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("skipped: no recordings in {} (CALLHOME_DATA)", folder.display());
    None
}
