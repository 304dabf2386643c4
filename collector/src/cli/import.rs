//! `import`: what an agent exported to a file and somebody carried here. The same rules as over a
//! link: what is known already changes nothing, whichever way it came first.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use bytes::Bytes;
use callhome_shared::carried::{End, Header, MAX_LINE_BYTES};
use callhome_shared::envelope::{Envelope, Lane};
use callhome_shared::heartbeat::hex;
use callhome_shared::time::Time;
use callhome_shared::topic::Up;
use clap::Args;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::{Failure, print, who};
use crate::audit::{Deed, Entry};
use crate::flow::diagnosis::Diagnosis;
use crate::flow::intake::{self, Tally};
use crate::link::Delivery;
use crate::settings::Settings;
use crate::store::{Db, agents, audit};

/// Envelopes that are held at once.
const AT_ONCE: usize = 64;

#[derive(Debug, Args)]
pub(super) struct Import {
    /// The file, as `callhome-agent outbox export` wrote it
    file: PathBuf,
}

pub(super) async fn run(args: Import, settings: &Settings) -> Result<(), Failure> {
    let header = check(&args.file)?;
    let db = super::open(settings).await?;
    let diagnosis = Arc::new(Diagnosis::new(settings.diagnosis.clone()));
    let tally = import(&db, &args.file, &header, &diagnosis).await?;
    let Tally { applied, known, rejected, not_admitted } = tally;
    let detail = json!({
        "file": args.file.display().to_string(), "epoch": header.epoch, "written": header.made_at,
        "applied": applied, "known": known, "rejected": rejected,
    });
    let deed = Entry::new(Time::now(), &who(), Deed::Imported, header.agent.as_str(), detail);
    audit::note(&db, &deed).await?;
    db.close().await;
    print(&format!(
        "{}: agent {}, written {}: {applied} applied, {known} known already, {rejected} rejected\n",
        args.file.display(),
        header.agent,
        header.made_at,
    ))?;
    if not_admitted > 0 {
        // It was revoked while the file was read.
        return Err(
            anyhow::anyhow!("{not_admitted} not taken: agent {} is revoked", header.agent).into()
        );
    }
    Ok(())
}

/// Reads the whole file before anything is taken of it: its form, its agent, its checksum.
fn check(path: &Path) -> anyhow::Result<Header> {
    let mut lines = Lines::open(path)?;
    let mut hash = Sha256::new();
    let first = lines.read()?.context("expected an export, found an empty file")?;
    let header = Header::parse(&first).map_err(|why| lines.wrong(&why))?;
    hash.update(&first);
    let (mut alarm, mut bulk) = (0, 0);
    while let Some(line) = lines.read()? {
        if let Ok(end) = serde_json::from_slice::<End>(&line) {
            let found = hex(&hash.finalize());
            if end.sha256 != found {
                return Err(lines.wrong(&format!(
                    "the file was altered: its SHA-256 is {found}, expected {}",
                    end.sha256
                )));
            }
            anyhow::ensure!(lines.read()?.is_none(), lines.wrong("expected nothing after the end"));
            let counts = (header.alarm, header.bulk);
            anyhow::ensure!(
                (alarm, bulk) == counts,
                "{}: expected {} envelopes of lane alarm and {} of lane bulk, found {alarm} and {bulk}",
                path.display(),
                header.alarm,
                header.bulk
            );
            return Ok(header);
        }
        hash.update(&line);
        match envelope(&line, &header).map_err(|why| lines.wrong(&why))?.lane {
            Lane::Alarm => alarm += 1,
            Lane::Bulk => bulk += 1,
        }
    }
    Err(lines.wrong("the end is missing: the file was cut off"))
}

fn envelope(line: &[u8], header: &Header) -> Result<Envelope, String> {
    let envelope = Envelope::from_structured(line).map_err(|e| e.to_string())?;
    if envelope.source != header.agent {
        return Err(format!(
            "expected an envelope of {}, found {}'s",
            header.agent, envelope.source
        ));
    }
    if envelope.epoch != header.epoch {
        return Err(format!("expected epoch {}, found {}", header.epoch, envelope.epoch));
    }
    Ok(envelope)
}

async fn import(
    db: &Db,
    path: &Path,
    header: &Header,
    diagnosis: &Arc<Diagnosis>,
) -> anyhow::Result<Tally> {
    let agent = header.agent.as_str();
    let Some(known) = agents::get(db, agent).await? else {
        anyhow::bail!("agent {agent} is not known here: was the file meant for another collector?");
    };
    if let Some(at) = known.revoked_at {
        anyhow::bail!("agent {agent} was revoked at {at}: nothing is taken from it");
    }
    let mut lines = Lines::open(path)?;
    // The header; `check` has read it.
    lines.read()?;
    let mut sum = Tally::default();
    let mut held = Vec::with_capacity(AT_ONCE);
    while let Some(line) = lines.read()? {
        if serde_json::from_slice::<End>(&line).is_ok() {
            break;
        }
        held.push(delivery(envelope(&line, header).map_err(|why| lines.wrong(&why))?));
        if held.len() == AT_ONCE {
            sum.add(intake::take(db, &held, diagnosis).await?);
            held.clear();
        }
    }
    sum.add(intake::take(db, &held, diagnosis).await?);
    Ok(sum)
}

fn delivery(envelope: Envelope) -> Delivery {
    Delivery {
        agent: envelope.source.clone(),
        up: match envelope.lane {
            Lane::Alarm => Up::Event,
            Lane::Bulk => Up::Bulk,
        },
        properties: envelope.user_properties(),
        payload: Bytes::from(envelope.data),
        received_at: Time::now(),
    }
}

/// The lines of a file, with bounded length.
struct Lines {
    path: PathBuf,
    reader: BufReader<File>,
    number: u64,
}

impl Lines {
    fn open(path: &Path) -> anyhow::Result<Lines> {
        let file = File::open(path).with_context(|| format!("open {}", path.display()))?;
        Ok(Lines { path: path.to_owned(), reader: BufReader::new(file), number: 0 })
    }

    /// The next line with its end.
    fn read(&mut self) -> anyhow::Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        let limit = u64::try_from(MAX_LINE_BYTES + 1).unwrap_or(u64::MAX);
        let read = self.reader.by_ref().take(limit).read_until(b'\n', &mut line)?;
        self.number += 1;
        if read > MAX_LINE_BYTES {
            return Err(self.wrong(&format!("expected a line of at most {MAX_LINE_BYTES} bytes")));
        }
        Ok((read > 0).then_some(line))
    }

    fn wrong(&self, why: &str) -> anyhow::Error {
        anyhow::anyhow!("{}:{}: {why}", self.path.display(), self.number)
    }
}

#[cfg(test)]
mod tests {
    use callhome_shared::envelope::Kind;
    use callhome_shared::id::{AgentId, new_uuid};
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::settings::Database;

    fn exported(agent: &str, count: u64) -> Vec<u8> {
        let (agent, epoch) = (AgentId::new(agent).unwrap(), Uuid::from_u128(7));
        let header = Header::new(agent.clone(), epoch, Time(0), (count, 0));
        let mut bytes = header.line().unwrap();
        for seq in 1..=count {
            let data = br#"{"source":"s","from":"2026-01-31T08:00:00Z","to":"2026-01-31T08:00:01Z","reason":"port-gone"}"#;
            let envelope = Envelope {
                id: new_uuid(),
                source: agent.clone(),
                kind: Kind::Loss,
                time: Time(0),
                epoch,
                lane: Lane::Alarm,
                seq,
                data: data.to_vec(),
            };
            bytes.extend(envelope.to_structured().unwrap());
            bytes.push(b'\n');
        }
        let end = End { sha256: hex(&Sha256::digest(&bytes)) };
        bytes.extend(end.line().unwrap());
        bytes
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_file_is_taken_once_and_only_from_those_who_may() {
        let dir = tempfile::tempdir().unwrap();
        let db = Db::open(&Database::Sqlite { path: dir.path().join("db") }).await.unwrap();
        let path = dir.path().join("export");
        std::fs::write(&path, exported("a-1", 150)).unwrap();
        let header = check(&path).unwrap();
        let error = import(&db, &path, &header, &Arc::default()).await.unwrap_err().to_string();
        assert!(error.contains("agent a-1 is not known here"), "{error}");
        agents::create_alone(&db, "a-1", None, None, Time(1)).await.unwrap();
        let tally = |applied, known| Tally { applied, known, ..Tally::default() };
        assert_eq!(import(&db, &path, &header, &Arc::default()).await.unwrap(), tally(150, 0));
        assert_eq!(import(&db, &path, &header, &Arc::default()).await.unwrap(), tally(0, 150));
        agents::revoke_alone(&db, "a-1", Time(2)).await.unwrap();
        let error = import(&db, &path, &header, &Arc::default()).await.unwrap_err().to_string();
        assert!(error.contains("was revoked at 1970"), "{error}");
    }

    #[test]
    fn an_altered_file_is_refused_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("export");
        let good = exported("a-1", 5);
        let refused = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            check(&path).unwrap_err().to_string().replace(&path.display().to_string(), "F")
        };
        let text = String::from_utf8(good.clone()).unwrap();
        let altered = text.replacen("port-gone", "port-back", 1);
        assert!(
            refused(altered.as_bytes()).starts_with("F:7: the file was altered: its SHA-256 is")
        );
        let cut: Vec<&str> = text.lines().take(4).collect();
        assert_eq!(
            refused(cut.join("\n").as_bytes()),
            "F:5: the end is missing: the file was cut off"
        );
        let more = format!("{text}x\n");
        assert_eq!(refused(more.as_bytes()), "F:8: expected nothing after the end");
        let foreign = text.replacen("agent:a-1", "agent:b-1", 1);
        assert!(refused(foreign.as_bytes()).contains("expected an envelope of a-1, found b-1's"));
        assert!(refused(b"{}").starts_with("F:1: expected the header of callhome-agent"));
        assert!(refused(b"").contains("found an empty file"));
        std::fs::write(&path, good).unwrap();
        assert_eq!(check(&path).unwrap().alarm, 5);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn fuzz_no_file_panics(bytes: Vec<u8>, text in "(\\{\"callhome_export\":1,.{0,80}\n.{0,80}\n){0,3}") {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("x");
            for content in [&bytes[..], text.as_bytes()] {
                std::fs::write(&path, content).unwrap();
                prop_assert!(check(&path).is_err());
            }
        }
    }
}
