//! `profile record`: a device walked into a recording that may be shown to others.
//!
//! ```text
//! device ◄─GETBULK, GETNEXT─ Walker (pure: what to ask next, when to give up) ─► objects ─► Scrub (pure) ─► file
//! ```

mod scrub;
mod walker;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use rand::RngCore as _;

use super::device::Access;
use super::{Recording, select};
use crate::profile::Library;
use crate::profile::oid::Oid;
use crate::profile::plan::{Field, Source};
use crate::redact::{KEY_BYTES, Key};
use crate::source::snmp::error::SnmpError;
use crate::source::snmp::session::Session;
use crate::source::snmp::value::Value;
use crate::source::snmp::{Plans, SnmpSettings, Transport, poll};

pub use scrub::{Scrub, Scrubbed};
use walker::{Heard, Walker};

/// A whole device, however slow, is walked within this.
const PATIENCE: Duration = Duration::from_secs(1800);
/// What is walked where nothing else is asked for: all that is SNMP's, and LLDP's.
const ROOTS: [&[u32]; 2] = [&[1, 3, 6, 1], &[1, 0, 8802]];
/// entPhysicalSerialNum (ENTITY-MIB).
const ENTITY_SERIALS: &[u32] = &[1, 3, 6, 1, 2, 1, 47, 1, 1, 1, 1, 11];
/// A device is recorded at most so far.
const MAX_OBJECTS: usize = 300_000;
/// Octets of all values together.
const MAX_OCTETS: usize = 64 * 1024 * 1024;

/// What a device was found to hold.
#[derive(Debug, Default)]
pub struct Walked {
    /// Its objects.
    pub objects: BTreeMap<Oid, Value>,
    /// What it did wrong, and what was left out for it.
    pub remarks: Vec<String>,
    /// Requests that were made.
    pub requests: u64,
}

/// Walks a device. `roots` = below these objects only; none = everything.
pub async fn walk(
    address: &str,
    access: &Access,
    library: &Arc<Library>,
    roots: &[Oid],
) -> anyhow::Result<Walked> {
    let plain = access.plain(address, &[])?;
    let bulk = if plain.bulk { plain.max_repetitions } else { 0 };
    let settings = SnmpSettings::from_plain(&plain, &Plans::new(library.clone()))?;
    let stop = CancellationToken::new();
    let transport = Transport::bind().await.context("SNMP socket")?;
    let receiver = tokio::spawn(transport.clone().receive(stop.clone()));
    let walked = async {
        let peer = poll::resolve(&settings.address).await?;
        let mut session =
            Session::new(transport, peer, settings.security.clone(), settings.patience);
        session.deadline = Instant::now() + PATIENCE;
        on(&mut session, roots, bulk).await
    };
    let walked = walked.await;
    stop.cancel();
    let _ = receiver.await;
    walked.map_err(|error| anyhow::anyhow!(error.chain()))
}

async fn on(session: &mut Session, roots: &[Oid], bulk: u32) -> Result<Walked, SnmpError> {
    let roots: Vec<Oid> = match roots {
        [] => ROOTS.iter().map(|arcs| Oid::new(arcs)).collect(),
        roots => roots.to_vec(),
    };
    let mut walked = Walked::default();
    let mut octets = 0;
    for root in roots {
        let mut walker = Walker::new(root, bulk);
        while let Some((operation, after)) = walker.ask() {
            walked.requests += 1;
            let heard = match session.request(operation, &[&after]).await {
                Ok(answer) => {
                    let answer = answer.response;
                    Heard::Answer(answer.error_status, answer.varbinds.into_iter().collect())
                }
                Err(error) if error.is_silence() && walker.has_heard() => Heard::Nothing,
                Err(SnmpError::Budget) => {
                    walker.give_up("the time for the whole walk is up");
                    break;
                }
                Err(error) if walked.objects.is_empty() && !walker.has_heard() => {
                    return Err(session.explain(error).await);
                }
                Err(error) => {
                    walker.give_up(&error.chain());
                    break;
                }
            };
            for (oid, value) in walker.take(heard) {
                octets += size(&value);
                walked.objects.insert(oid, value);
            }
            if walked.objects.len() >= MAX_OBJECTS || octets >= MAX_OCTETS {
                walker.give_up(&format!(
                    "more than {MAX_OBJECTS} objects or {MAX_OCTETS} octets are not recorded"
                ));
                break;
            }
        }
        walked.remarks.extend(walker.remarks());
    }
    Ok(walked)
}

fn size(value: &Value) -> usize {
    match value {
        Value::Octets(octets) => octets.len() + 16,
        _ => 16,
    }
}

/// Takes out of a walked device what must not be seen. `with_serials` = serial numbers, too.
pub fn scrubbed(
    walked: &Walked,
    access: &Access,
    library: &Library,
    with_serials: bool,
) -> anyhow::Result<Scrubbed> {
    let mut serials = Vec::new();
    if with_serials {
        serials.push(Oid::new(ENTITY_SERIALS));
        let recording = Recording::of(walked.objects.clone());
        for profile in select(&recording, library)? {
            serials.extend(profile.metadata.iter().filter_map(|datum| {
                match (&datum.source, datum.field) {
                    (Source::Scalar { oid, .. }, Field::Serial) => Some(oid.clone()),
                    (Source::Row { column, .. }, Field::Serial) => Some(column.clone()),
                    _ => None,
                }
            }));
        }
    }
    let mut key = [0; KEY_BYTES];
    rand::rng().fill_bytes(&mut key);
    let what = Scrub { secrets: access.secrets()?, serials };
    Ok(scrub::scrub(&walked.objects, &what, Key::new(key)))
}

/// Writes a new file that its owner alone may read.
pub fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(path);
    let mut file = file.with_context(|| format!("cannot create {}", path.display()))?;
    file.write_all(text.as_bytes()).with_context(|| format!("cannot write {}", path.display()))
}
