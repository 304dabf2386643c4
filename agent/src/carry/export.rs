//! `outbox export`: what waits, in one file that is carried by hand to where the collector is.
//!
//! JSON lines: a header, one CloudEvents event in structured mode a line, and at the end the SHA-256
//! over everything before. See docs/delivery.md.

use std::fs::{File, OpenOptions};
use std::io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::Context;
use callhome_shared::carried::{End, Header};
use callhome_shared::envelope::Lane;
use callhome_shared::heartbeat::hex;
use callhome_shared::time::Time;
use sha2::{Digest, Sha256};

use super::{Access, each};

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exported {
    /// Envelopes of the alarm lane.
    pub alarm: u64,
    /// Envelopes of the bulk lane.
    pub bulk: u64,
    /// Size of the file.
    pub bytes: u64,
}

/// Writes what waits to `path`, which must not be there yet, readable by its owner alone. Nothing
/// leaves the outbox. A file that could not be finished is removed.
pub async fn export(access: &Access, path: &Path) -> anyhow::Result<Exported> {
    let done = write(access, path).await;
    if done.is_err() {
        let _ = std::fs::remove_file(body_path(path));
    }
    done
}

fn body_path(path: &Path) -> std::path::PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    name.into()
}

async fn write(access: &Access, path: &Path) -> anyhow::Result<Exported> {
    anyhow::ensure!(!path.exists(), "{} is there already", path.display());
    // The header has the counts, so the body is written first.
    let part = body_path(path);
    let mut body = BufWriter::new(create(&part)?);
    let (mut alarm, mut bulk) = (0, 0);
    let first = each(access, |lane, envelope| {
        match lane {
            Lane::Alarm => alarm += 1,
            Lane::Bulk => bulk += 1,
        }
        body.write_all(envelope.as_bytes())?;
        Ok(body.write_all(b"\n")?)
    })
    .await?;
    let mut body = body.into_inner().context("write")?;
    body.seek(SeekFrom::Start(0))?;
    let header = Header::new(first.agent, first.epoch, Time::now(), (alarm, bulk));
    let bytes = assemble(path, &header, body);
    if bytes.is_err() {
        let _ = std::fs::remove_file(path);
    }
    std::fs::remove_file(&part)?;
    Ok(Exported { alarm, bulk, bytes: bytes? })
}

fn create(path: &Path) -> anyhow::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true).mode(0o600);
    options.open(path).with_context(|| format!("create {}", path.display()))
}

fn assemble(path: &Path, header: &Header, body: File) -> anyhow::Result<u64> {
    let file = create(path)?;
    let mut out = BufWriter::new(&file);
    let mut hash = Sha256::new();
    let mut put = |bytes: &[u8]| {
        hash.update(bytes);
        out.write_all(bytes)
    };
    put(&header.line()?)?;
    let mut body = BufReader::new(body);
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let n = body.read(&mut buffer)?;
        if n == 0 {
            break;
        }
        put(buffer.get(..n).unwrap_or_default())?;
    }
    let end = End { sha256: hex(&hash.finalize()) };
    out.write_all(&end.line()?)?;
    out.flush()?;
    drop(out);
    file.sync_all()?;
    Ok(file.metadata()?.len())
}
