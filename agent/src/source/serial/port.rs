//! The port itself.

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio_serial::SerialStream;

/// A command that the port does not take within this time is not sent.
const WRITE_TIMEOUT: Duration = Duration::from_secs(2);

/// Opens the port: raw, 8N1, without flow control, for us alone.
///
/// "Alone" is TIOCEXCL, which root ignores, *and* an flock, which only programs respect that ask
/// for it: `tokio_serial` does both for a port that is opened as exclusive.
pub(super) fn open(path: &Path, baud: u32) -> io::Result<SerialStream> {
    let path = path.to_str().ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidInput, "the port's path is not UTF-8")
    })?;
    let builder = tokio_serial::new(path, baud).exclusive(true);
    SerialStream::open(&builder).map_err(io::Error::from)
}

/// Writes all of it or says why not. No flush: that is `tcdrain`, which blocks the runtime's thread.
pub(super) async fn send(port: &mut SerialStream, text: &str) -> io::Result<()> {
    tokio::time::timeout(WRITE_TIMEOUT, port.write_all(text.as_bytes()))
        .await
        .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "the port takes nothing"))?
}
