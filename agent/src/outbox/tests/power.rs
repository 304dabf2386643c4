//! Power losses on a simulated disk: of what was not synced any part may be missing, in any order.

use std::io;
use std::sync::{Arc, Mutex};

use callhome_shared::envelope::{Kind, Lane};
use callhome_shared::id::new_uuid;
use callhome_shared::time::Time;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use redb::{Database, StorageBackend};

use super::super::frame::Meta;
use super::super::transaction::{self, Pending};
use super::*;

/// Unless `CALLHOME_TEST_POWER_LOSSES` says more.
const LOSSES: u64 = 120;
/// Unless `CALLHOME_TEST_DISK_FULL` says more.
const DISKS_FULL: u64 = 100;

#[derive(Clone, Debug)]
enum Change {
    Length(u64),
    Bytes(u64, Vec<u8>),
}

impl Change {
    fn apply(&self, image: &mut Vec<u8>) {
        match self {
            Change::Length(length) => image.resize(usize::try_from(*length).unwrap(), 0),
            Change::Bytes(offset, bytes) => {
                let start = usize::try_from(*offset).unwrap();
                let end = start + bytes.len();
                if image.len() < end {
                    image.resize(end, 0);
                }
                image[start..end].copy_from_slice(bytes);
            }
        }
    }
}

/// A disk with a cache: what reads see, what surely survives, and what came between.
#[derive(Clone, Debug, Default)]
struct Disk(Arc<Mutex<Platters>>);

#[derive(Debug, Default)]
struct Platters {
    seen: Vec<u8>,
    safe: Vec<u8>,
    unsynced: Vec<Change>,
    /// The power goes after so many further changes; then every call fails.
    changes_left: Option<u64>,
}

impl Platters {
    fn change(&mut self, change: Change) -> io::Result<()> {
        match &mut self.changes_left {
            Some(0) => return Err(io::Error::other("no power")),
            Some(left) => *left -= 1,
            None => {}
        }
        change.apply(&mut self.seen);
        self.unsynced.push(change);
        Ok(())
    }

    /// What is found when the power is back: the safe image with some sectors of the rest.
    fn after_loss(&self, random: &mut SmallRng) -> Vec<u8> {
        const SECTOR: usize = 512;
        let mut image = self.safe.clone();
        let share = match random.random_range(0..3) {
            0 => 1.0,
            _ => random.random_range(0.0..1.0),
        };
        for change in &self.unsynced {
            match change {
                Change::Length(_) => change.apply(&mut image),
                Change::Bytes(offset, bytes) => {
                    for (n, sector) in bytes.chunks(SECTOR).enumerate() {
                        if random.random_bool(share) {
                            let at = offset + (n * SECTOR) as u64;
                            Change::Bytes(at, sector.to_vec()).apply(&mut image);
                        }
                    }
                }
            }
        }
        image
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().seen.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let platters = self.0.lock().unwrap();
        let start = usize::try_from(offset).unwrap();
        let bytes = platters.seen.get(start..start + out.len());
        out.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.lock().unwrap().change(Change::Length(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut platters = self.0.lock().unwrap();
        if platters.changes_left == Some(0) {
            return Err(io::Error::other("no power"));
        }
        platters.safe = platters.seen.clone();
        platters.unsynced.clear();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.lock().unwrap().change(Change::Bytes(offset, data.to_vec()))
    }
}

fn boot(image: Vec<u8>) -> (Disk, Database) {
    let disk = Disk::default();
    {
        let mut platters = disk.0.lock().unwrap();
        platters.safe.clone_from(&image);
        platters.seen = image;
    }
    let database = Database::builder()
        .set_cache_size(1024 * 1024)
        .set_check_integrity_on_open(true)
        .create_with_backend(disk.clone())
        .unwrap();
    (disk, database)
}

fn life() -> Meta {
    Meta::new(&agent(), new_uuid(), Time(0))
}

#[test]
fn a_power_loss_keeps_what_was_committed_and_nothing_by_halves() {
    let mut random = SmallRng::seed_from_u64(20);
    let (disk, database) = boot(Vec::new());
    transaction::create(&database, &life()).unwrap();
    drop(database);
    let mut image = disk.0.lock().unwrap().safe.clone();
    let mut cut_short = 0;
    let losses = super::repetitions("CALLHOME_TEST_POWER_LOSSES", LOSSES);
    for _ in 0..losses {
        let (disk, database) = boot(image);
        let (mut meta, loaded, _) = transaction::load(&database).unwrap();
        let last = meta.lanes.alarm.last_seq;
        let position = loaded.positions.get("s").map(|p| p.0.clone()).unwrap_or_default();
        assert_eq!(position, if last == 0 { vec![] } else { last.to_string().into_bytes() });
        disk.0.lock().unwrap().changes_left = Some(random.random_range(1..60));
        let mut sure = last;
        loop {
            let n = sure + 1;
            let next = Decision {
                id: new_uuid(),
                drafts: vec![draft(Kind::Alarm, &n.to_string())],
                positions: vec![("s".into(), Position(n.to_string().into_bytes()))],
                ..Decision::default()
            };
            // All but the last twenty were acknowledged.
            meta.lanes.alarm.acked_seq = meta.lanes.alarm.acked_seq.max(sure.saturating_sub(20));
            match transaction::write(&database, &mut meta, &Pending::default(), &next, u64::MAX) {
                Ok(committed) => sure = committed.last_seq,
                Err(_) => break,
            }
        }
        drop(database);
        image = disk.0.lock().unwrap().after_loss(&mut random);
        let (_, database) = boot(image.clone());
        let (meta, _, _) = transaction::load(&database).unwrap();
        let stored = meta.lanes.alarm.last_seq;
        assert!(stored == sure || stored == sure + 1, "{sure} were committed, {stored} are there");
        cut_short += u64::from(stored == sure);
        check_entries(&database, &meta);
    }
    println!(
        "{losses} power losses, {cut_short} of them inside a transaction, 0 lost, 0 by halves"
    );
    assert!((1..losses).contains(&cut_short), "{cut_short} of {losses}: the loss is not random");
}

/// A disk that is full from any one write on, for each write of many transactions in turn: what was
/// committed stays, what was not is there whole or not at all, and it goes on when there is space.
#[test]
fn a_disk_full_at_each_write_loses_nothing() {
    let (disk, database) = boot(Vec::new());
    transaction::create(&database, &life()).unwrap();
    drop(database);
    let mut image = disk.0.lock().unwrap().seen.clone();
    let (mut full, mut committed, mut at) = (0u64, 0u64, 0);
    let wanted = super::repetitions("CALLHOME_TEST_DISK_FULL", DISKS_FULL);
    while full < wanted {
        let (disk, database) = boot(image);
        let (mut meta, _, _) = transaction::load(&database).unwrap();
        let mut sure = meta.lanes.alarm.last_seq;
        // After so many writes: each place in a transaction has its turn.
        at = (at + 1) % 97;
        disk.0.lock().unwrap().changes_left = Some(at);
        loop {
            let n = sure + 1;
            let next = decision(vec![draft(Kind::Alarm, &n.to_string())]);
            meta.lanes.alarm.acked_seq = meta.lanes.alarm.acked_seq.max(sure.saturating_sub(20));
            let mut tried = meta.clone();
            match transaction::write(&database, &mut tried, &Pending::default(), &next, u64::MAX) {
                Ok(done) => (meta, sure, committed) = (tried, done.last_seq, committed + 1),
                Err(error) => {
                    assert!(error.is_doubtful(), "{error:?}");
                    break;
                }
            }
        }
        full += 1;
        drop(database);
        // There is space again; nothing was lost but what was not written.
        image = std::mem::take(&mut disk.0.lock().unwrap().seen);
        let (disk, database) = boot(image);
        let (meta, _, _) = transaction::load(&database).unwrap();
        let stored = meta.lanes.alarm.last_seq;
        assert!(stored == sure || stored == sure + 1, "{sure} were committed, {stored} are there");
        check_entries(&database, &meta);
        drop(database);
        image = std::mem::take(&mut disk.0.lock().unwrap().seen);
    }
    println!("full at a write {full} times, {committed} transactions, 0 lost");
    assert!(committed > full / 2, "{committed} transactions only");
}

/// Every entry from the floor on is there, with its own payload.
fn check_entries(database: &Database, meta: &Meta) {
    use redb::ReadableDatabase;
    let read = database.begin_read().unwrap();
    let table = read.open_table(super::super::frame::ENVELOPES).unwrap();
    let book = &meta.lanes.alarm;
    let mut bytes = 0;
    for seq in book.floor + 1..=book.last_seq {
        let value = table.get((0, seq)).unwrap().expect("an entry");
        let envelope =
            super::super::frame::read_envelope(meta, Lane::Alarm, seq, value.value()).unwrap();
        assert_eq!(envelope.data, seq.to_string().into_bytes());
        bytes += value.value().len() as u64 + 32;
    }
    assert_eq!(bytes, book.bytes);
}
