//! One tar file with a manifest: what is in it, how large, with which SHA-256.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path};

use callhome_shared::heartbeat::hex;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The manifest's name: the first member.
pub(super) const MANIFEST: &str = "manifest.json";
/// Largest manifest that is read.
const MAX_MANIFEST_BYTES: u64 = 4 << 20;

/// What is in a backup.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Manifest {
    /// 1.
    pub format: u32,
    /// RFC 3339.
    pub created_at: String,
    /// The collector's version.
    pub version: String,
    /// The store's id at that time.
    pub store: String,
    /// The file that holds the database: [`super::backup::SQLITE`] or [`super::backup::DUMP`].
    pub database: String,
    /// Everything else in the archive.
    pub members: Vec<Member>,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Relative path.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// Hex.
    pub sha256: String,
}

fn invalid(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

/// Describes a file below `root`.
pub(super) fn describe(root: &Path, path: &str) -> io::Result<Member> {
    let mut file = File::open(root.join(path))?;
    let (bytes, sha256) = copy_hashing(&mut file, &mut io::sink())?;
    Ok(Member { path: path.to_owned(), bytes, sha256 })
}

fn copy_hashing(from: &mut impl Read, to: &mut impl Write) -> io::Result<(u64, String)> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    let mut bytes = 0;
    loop {
        let read = from.read(&mut buffer)?;
        let part = buffer.get(..read).unwrap_or_default();
        if part.is_empty() {
            return Ok((bytes, hex(&hash.finalize())));
        }
        hash.update(part);
        to.write_all(part)?;
        bytes += u64::try_from(read).unwrap_or(u64::MAX);
    }
}

/// A new file that only its owner can read.
pub(super) fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Packs the manifest and its members, found below `root`, into the new file `to`, and syncs it.
pub(super) fn pack(manifest: &Manifest, root: &Path, to: &Path) -> io::Result<()> {
    let mut tar = tar::Builder::new(create(to)?);
    let json = serde_json::to_vec_pretty(manifest)?;
    append(&mut tar, MANIFEST, u64::try_from(json.len()).unwrap_or(u64::MAX), &mut &json[..])?;
    for member in &manifest.members {
        let mut file = File::open(root.join(&member.path))?;
        append(&mut tar, &member.path, member.bytes, &mut file)?;
    }
    tar.into_inner()?.sync_all()
}

fn append(
    tar: &mut tar::Builder<File>,
    path: &str,
    bytes: u64,
    data: &mut dyn Read,
) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes);
    header.set_mode(0o600);
    header.set_entry_type(tar::EntryType::Regular);
    tar.append_data(&mut header, path, data)
}

/// Unpacks `from` into the empty directory `into`. Every member must be in the manifest once and
/// be what the manifest says; nothing else may be there.
pub(super) fn unpack(from: &Path, into: &Path) -> io::Result<Manifest> {
    let mut archive = tar::Archive::new(File::open(from)?);
    let mut entries = archive.entries()?;
    let first = entries.next().ok_or_else(|| invalid("the archive is empty".into()))??;
    if first.path()?.as_ref() != Path::new(MANIFEST) {
        return Err(invalid(format!("the archive does not begin with {MANIFEST}")));
    }
    let mut json = Vec::new();
    first.take(MAX_MANIFEST_BYTES).read_to_end(&mut json)?;
    let manifest: Manifest =
        serde_json::from_slice(&json).map_err(|e| invalid(format!("{MANIFEST}: {e}")))?;
    if manifest.format != 1 {
        return Err(invalid(format!("format {} is not known to this version", manifest.format)));
    }
    let mut missing = manifest.members.clone();
    for entry in entries {
        let mut entry = entry?;
        let path = entry.path()?.to_string_lossy().into_owned();
        let place = missing.iter().position(|m| m.path == path);
        let place = place.ok_or_else(|| invalid(format!("{path} is not in the manifest")))?;
        let expected = missing.swap_remove(place);
        if !is_plain(&path) || entry.header().entry_type() != tar::EntryType::Regular {
            return Err(invalid(format!("{path} is no plain file inside the data directory")));
        }
        let target = into.join(&path);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent)?;
        }
        let mut file = create(&target)?;
        let (bytes, sha256) = copy_hashing(&mut entry, &mut file)?;
        file.sync_all()?;
        if (bytes, &sha256) != (expected.bytes, &expected.sha256) {
            return Err(invalid(format!("{path} is not what the manifest says: damaged")));
        }
    }
    match missing.first() {
        None => Ok(manifest),
        Some(member) => Err(invalid(format!("{} is missing: cut off", member.path))),
    }
}

/// Only names, no way up, no root.
fn is_plain(path: &str) -> bool {
    Path::new(path).components().all(|c| matches!(c, Component::Normal(_)))
}
