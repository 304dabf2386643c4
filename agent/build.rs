//! Lists the shipped device profiles, so that a file put into `profiles/` is shipped; each with its head,
//! so that the agent need not read a whole profile to know which devices it is for.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// The top-level keys that say which devices a profile is for, and what it is made of.
const HEAD: [&str; 3] = ["extends", "sysobjectid", "match"];

fn main() -> io::Result<()> {
    let folder = Path::new(&env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default()).join("profiles");
    println!("cargo:rerun-if-changed={}", folder.display());
    let mut files: Vec<PathBuf> =
        fs::read_dir(&folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    // `name.test.yaml` holds what is expected of a profile.
    let is_profile = |name: &str| name.ends_with(".yaml") && !name.ends_with(".test.yaml");
    files.retain(|path| path.file_name().is_some_and(|n| is_profile(&n.to_string_lossy())));
    files.sort();
    let mut list = String::from("const BUILT_IN: &[(&str, &str, &str)] = &[\n");
    for path in &files {
        println!("cargo:rerun-if-changed={}", path.display());
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let head = head(&fs::read_to_string(path)?);
        let path = path.display().to_string();
        let _ = writeln!(list, "    ({name:?}, {head:?}, include_str!({path:?})),");
    }
    list.push_str("];\n");
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    fs::write(out.join("built_in_profiles.rs"), list)
}

/// The lines of the top-level entries in [`HEAD`]. An entry begins with its key in the first column and
/// goes on to the next such line. (A test compares what is read of it with what is read of the whole.)
fn head(text: &str) -> String {
    let mut head = String::new();
    let mut inside = false;
    for line in text.lines() {
        if line.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '_' | '"' | '\'')) {
            let is = |key: &&str| line.strip_prefix(*key).is_some_and(|rest| rest.starts_with(':'));
            inside = HEAD.iter().any(is);
        }
        if inside && !line.trim_start().starts_with('#') {
            head.push_str(line);
            head.push('\n');
        }
    }
    head
}
