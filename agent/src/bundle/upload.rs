//! The uploader: one task, one connection, one request at a time. What to do and what an answer means is
//! [`super::book`]'s; here is what it takes.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use callhome_shared::backoff::Backoff;
use callhome_shared::bundle::{Told, digest_value, hex};
use callhome_shared::time::Time;
use sha2::{Digest as _, Sha256};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Bundles;
use super::book::{self, Event, LONGEST_WAIT, MIN_CHUNK, Step, Weight};
use super::record::Record;
use super::wire::{Ask, Paced, Said, Wire, takes};
use crate::link::dial::meter::Meters;
use crate::settings::{LinkSettings, Road};

/// After a record could not be written.
const DISK_PAUSE: Duration = Duration::from_secs(30);
/// For the line to store an announcement.
const STORED: Duration = Duration::from_secs(60);

/// Something of a bundle that is about to leave.
#[derive(Clone, Copy, Debug)]
pub struct Leaving<'a> {
    /// Which bundle.
    pub bundle: Uuid,
    /// By which road.
    pub road: &'a str,
    /// Of a chunk, where in the archive it begins.
    pub offset: Option<u64>,
    /// How many bytes.
    pub bytes: u64,
    /// Their SHA-256, hexadecimal.
    pub sha256: &'a str,
    /// The declaration itself; chunks are not handed over for keeping.
    pub payload: Option<&'a [u8]>,
}

/// Is told of everything before it leaves; must not wait.
pub type Notes = Arc<dyn Fn(Leaving<'_>) + Send + Sync>;

/// A bundle is at the collector: an envelope is to say so.
pub struct Announcement {
    /// Its payload.
    pub told: Told,
    /// Answered when it is stored for sending.
    pub stored: oneshot::Sender<Result<(), String>>,
}

/// What the uploader works with.
pub struct Uploader {
    /// The bundles.
    pub bundles: Bundles,
    /// Certificates and back-off.
    pub link: LinkSettings,
    /// What counts bytes.
    pub meters: Meters,
    /// Who is told of what leaves.
    pub notes: Notes,
    /// Who stores announcements.
    pub announce: mpsc::Sender<Announcement>,
}

impl Uploader {
    /// Works until `stop`. What is on its way then is asked for at the next start.
    pub async fn run(self, stop: CancellationToken) {
        let work = Work {
            wire: Wire::new(self.link.clone(), self.meters.clone()),
            backoff: Backoff::new(self.link.backoff.0, self.link.backoff.1),
            chunk: book::largest_chunk(self.bundles.settings.rate),
            road: 0,
            free_at: Instant::now(),
            on: self,
        };
        tokio::select! {
            () = work.run() => {}
            () = stop.cancelled() => {}
        }
    }
}

struct Work {
    on: Uploader,
    wire: Wire,
    backoff: Backoff,
    /// Largest chunk at present: smaller after a cut.
    chunk: u64,
    /// Which of the roads.
    road: usize,
    /// When the pace allows the next byte.
    free_at: Instant,
}

impl Work {
    async fn run(mut self) {
        let mut swept: Option<Instant> = None;
        loop {
            if swept.is_none_or(|at| at.elapsed() >= LONGEST_WAIT) {
                swept = Some(Instant::now());
                let shelf = self.on.bundles.shelf.clone();
                let _ = tokio::task::spawn_blocking(move || shelf.sweep(Time::now())).await;
            }
            let Some(record) = self.turn().await else { continue };
            let step = book::next(&record, self.chunk);
            let event = self.take(step, &record).await;
            self.settle(record.id, step, event).await;
        }
    }

    /// The bundle whose turn it is; waits until there may be one.
    async fn turn(&mut self) -> Option<Record> {
        let (shelf, now) = (&self.on.bundles.shelf, Time::now());
        let records = shelf.records();
        let mut wait = LONGEST_WAIT;
        if !self.on.bundles.settings.roads.is_empty() {
            for record in records {
                match book::due(&record, now) {
                    Some(Duration::ZERO) => return Some(record),
                    Some(other) => wait = wait.min(other),
                    None => {}
                }
            }
        }
        self.wire.close();
        tokio::select! {
            () = shelf.rung() => {}
            () = sleep(wait) => {}
        }
        None
    }

    async fn take(&mut self, step: Step, record: &Record) -> Event {
        let id = record.id;
        let taken = match step {
            Step::Declare => self.declare(record).await,
            Step::Look => self.ask(Ask::look(id)).await.map(|said| said.to_look()),
            Step::Chunk { offset, len } => self.send_chunk(record, offset, len).await,
            Step::Complete => self.ask(Ask::complete(id)).await.map(|said| said.to_complete()),
            Step::Withdraw => self.ask(Ask::withdraw(id)).await.map(|said| said.to_withdrawal()),
            Step::Tell => Ok(self.tell(record).await),
            Step::Rest => Ok(Event::Later(LONGEST_WAIT, String::new())),
        };
        taken.unwrap_or_else(Event::Lost)
    }

    fn way(&self) -> Result<Arc<Road>, String> {
        let roads = &self.on.bundles.settings.roads;
        roads.get(self.road % roads.len().max(1)).cloned().ok_or_else(|| "no road".to_owned())
    }

    async fn ask(&mut self, ask: Ask) -> Result<Said, String> {
        let road = self.way()?;
        self.wire.dial(&road).await?;
        self.wire.ask(ask).await
    }

    async fn declare(&mut self, record: &Record) -> Result<Event, String> {
        let id = record.id;
        let bundles = self.on.bundles.clone();
        // Declared again it must be the same, whatever the redaction says by then.
        let by = record.approver(|text| bundles.redactor.text(text).into_owned());
        if record.upload.by.is_none() {
            let kept = by.clone();
            let change = move |record: &mut Record| {
                record.upload.by = Some(kept);
                Ok(())
            };
            if let Err(error) = bundles.shelf.change(id, change).await {
                return Ok(Event::Later(DISK_PAUSE, error.to_string()));
            }
        }
        let contents = match bundles.shelf.contents(id) {
            Ok(contents) => contents,
            Err(error) => return Ok(Event::Later(DISK_PAUSE, error.to_string())),
        };
        let declaration = record.declaration(contents, by);
        let json = serde_json::to_vec(&declaration).map_err(|e| e.to_string())?;
        let road = self.way()?;
        self.wire.dial(&road).await?;
        let sha256 = hex(&Sha256::digest(&json));
        let (bytes, payload) = (json.len() as u64, Some(json.as_slice()));
        let (road, sha256) = (&*road.to_string(), &*sha256);
        (self.on.notes)(Leaving { bundle: id, road, offset: None, bytes, sha256, payload });
        self.wire.ask(Ask::declare(json.into())).await.map(|said| said.to_declaration())
    }

    async fn send_chunk(
        &mut self,
        record: &Record,
        offset: u64,
        len: u64,
    ) -> Result<Event, String> {
        let archive = self.on.bundles.shelf.archive(record.id);
        let read = tokio::task::spawn_blocking(move || read(archive, offset, len)).await;
        let (bytes, sha256) = match read {
            Ok(Ok(read)) => read,
            Ok(Err(error)) => return Ok(unreadable(&error)),
            Err(_) => return Ok(Event::Later(DISK_PAUSE, "the archive is not read".to_owned())),
        };
        let road = self.way()?;
        self.wire.dial(&road).await?;
        let rate = self.on.bundles.settings.rate;
        let body = Paced::new(bytes, rate, self.free_at);
        self.free_at = self.free_at.max(Instant::now()) + takes(len, rate);
        let (road, hash) = (&*road.to_string(), &*hex(&sha256));
        let (bundle, offset_of, payload) = (record.id, Some(offset), None);
        let leaving =
            Leaving { bundle, road, offset: offset_of, bytes: len, sha256: hash, payload };
        (self.on.notes)(leaving);
        self.on.bundles.tally.chunk(len);
        self.on.bundles.shelf.touch(bundle, |record| {
            record.upload.sent_bytes += len;
            record.upload.chunks += 1;
        });
        let ask = Ask::chunk(bundle, offset, digest_value(&sha256), body);
        self.wire.ask(ask).await.map(|said| said.to_chunk())
    }

    /// The envelope that refers to it.
    async fn tell(&self, record: &Record) -> Event {
        let told = Told::new(record.reference());
        let (stored, answer) = oneshot::channel();
        let announced = async {
            self.on.announce.send(Announcement { told, stored }).await.ok()?;
            answer.await.ok()
        };
        match timeout(STORED, announced).await {
            Ok(Some(Ok(()))) => Event::Told,
            Ok(Some(Err(why))) => Event::Later(DISK_PAUSE, why),
            _ => Event::Later(DISK_PAUSE, "the line does not answer".to_owned()),
        }
    }

    async fn settle(&mut self, id: Uuid, step: Step, event: Event) {
        let interrupted =
            matches!(event, Event::Lost(_) | Event::Later(..) | Event::Damaged(_) | Event::Differs);
        if interrupted {
            self.on.bundles.tally.interrupted();
        }
        log(id, &event);
        let lost = matches!(event, Event::Lost(_));
        let largest = book::largest_chunk(self.on.bundles.settings.rate);
        self.chunk = match step {
            // What is lost with a connection is sent again: less at a time.
            Step::Chunk { .. } if lost => (self.chunk / 2).max(MIN_CHUNK),
            Step::Chunk { .. } if !interrupted => (self.chunk * 2).min(largest),
            _ => self.chunk,
        };
        self.enter(id, event).await;
        if lost {
            self.road = self.road.wrapping_add(1);
            sleep(self.backoff.next_delay()).await;
        } else {
            self.backoff.reset();
        }
    }

    /// Into memory, and onto the disk where it matters.
    async fn enter(&self, id: Uuid, event: Event) {
        let (shelf, now) = (&self.on.bundles.shelf, Time::now());
        let mut trial = match shelf.record(id) {
            Ok(record) => record,
            Err(_) => return,
        };
        if book::apply(&mut trial, event.clone(), now) == Weight::Light {
            return shelf.touch(id, |record| {
                book::apply(record, event, now);
            });
        }
        let change = move |record: &mut Record| {
            book::apply(record, event, now);
            Ok(record.state)
        };
        match shelf.change(id, change).await {
            Ok(state) if state.is_over() => {
                tracing::info!(bundle = %id, state = state.as_str(), "bundle is over");
            }
            Ok(_) => {}
            Err(error) => {
                tracing::error!(bundle = %id, %error, "a bundle's record cannot be written");
                sleep(DISK_PAUSE).await;
            }
        }
    }
}

fn log(id: Uuid, event: &Event) {
    match event {
        Event::Lost(why) | Event::Later(_, why) | Event::Damaged(why) => {
            tracing::warn!(bundle = %id, why, "bundle: interrupted, goes on later");
        }
        Event::Differs => {
            tracing::error!(bundle = %id, "bundle: its SHA-256 differs at the collector")
        }
        Event::Refused(why) => {
            tracing::error!(bundle = %id, why, "bundle: the collector refuses it")
        }
        Event::Stands(standing) => {
            tracing::info!(bundle = %id, offset = standing.offset, "bundle declared");
        }
        _ => tracing::debug!(bundle = %id, event = ?event, "bundle"),
    }
}

fn unreadable(error: &io::Error) -> Event {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof => {
            Event::Refused("its archive on the disk is gone or damaged".to_owned())
        }
        _ => Event::Later(DISK_PAUSE, format!("the archive cannot be read: {error}")),
    }
}

/// A part of the archive with its SHA-256.
fn read(archive: PathBuf, offset: u64, len: u64) -> io::Result<(Bytes, [u8; 32])> {
    let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
    File::open(archive)?.read_exact_at(&mut bytes, offset)?;
    let sha256 = Sha256::digest(&bytes).into();
    Ok((bytes.into(), sha256))
}
