//! Looks into an archive on the shelf: what exactly would leave.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use bytes::Bytes;
use flate2::read::GzDecoder;
use tokio::sync::mpsc;

/// Bytes handed over at once.
const PIECE: usize = 32 * 1024;

/// Hands over the file `name` of an archive in pieces. Blocks; ends early when nobody listens any more.
pub(super) fn file(archive: &Path, name: &str, out: &mpsc::Sender<io::Result<Bytes>>) {
    if let Err(error) = copy(archive, name, out) {
        let _ = out.blocking_send(Err(error));
    }
}

fn copy(archive: &Path, name: &str, out: &mpsc::Sender<io::Result<Bytes>>) -> io::Result<()> {
    let mut tar = tar::Archive::new(GzDecoder::new(File::open(archive)?));
    for entry in tar.entries()? {
        let mut entry = entry?;
        if *entry.path_bytes() != *name.as_bytes() {
            continue;
        }
        loop {
            let mut piece = Vec::with_capacity(PIECE);
            entry.by_ref().take(PIECE as u64).read_to_end(&mut piece)?;
            if piece.is_empty() || out.blocking_send(Ok(piece.into())).is_err() {
                return Ok(());
            }
        }
    }
    Err(io::Error::new(io::ErrorKind::NotFound, "the archive has no such file"))
}
