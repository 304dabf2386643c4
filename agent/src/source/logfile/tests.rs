//! Every kind of rotation, driven look by look.
#![allow(clippy::disallowed_methods)] // std's sleep: these are threads without a runtime

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use callhome_shared::heartbeat::SourceState;
use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::follower::Follower;
use super::*;
use crate::source::Gap;

/// A log and its reader with what was "committed": lines, gaps and position together.
struct Bench {
    folder: tempfile::TempDir,
    settings: LogfileSettings,
    follower: Option<Follower>,
    position: Option<Position>,
    lines: Vec<String>,
    gaps: Vec<Gap>,
}

impl Bench {
    fn new(from: StartFrom) -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("messages");
        let settings = LogfileSettings { path, from, max_line_bytes: 1 << 20 };
        let (lines, gaps) = (Vec::new(), Vec::new());
        Bench { folder, settings, follower: None, position: None, lines, gaps }
    }

    fn log(&self) -> PathBuf {
        self.settings.path.clone()
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        self.folder.path().join(format!("messages{suffix}"))
    }

    /// One look; `false` = the decision on it was never committed: the agent was killed.
    fn look(&mut self, commit: bool) -> bool {
        let follower = self
            .follower
            .get_or_insert_with(|| Follower::new(self.settings.clone(), self.position.clone()));
        let polled = match follower.poll() {
            Ok(polled) => polled,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => return true,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return true,
            Err(error) => panic!("{error}"),
        };
        if !commit {
            self.follower = None;
            return true;
        }
        assert!(polled.lines.is_empty() || polled.position.is_some(), "lines move the position");
        self.lines.extend(polled.lines.into_iter().map(|l| l.text));
        self.gaps.extend(polled.gaps);
        self.position = polled.position.or(self.position.take());
        polled.more
    }

    /// Looks until there is nothing more to read.
    fn read(&mut self) {
        while self.look(true) {}
    }

    fn stop(&mut self) {
        self.follower = None;
    }

    fn append(&self, text: &str) {
        append(&self.log(), text);
    }

    #[track_caller]
    fn expect(&mut self, lines: &[&str]) {
        self.read();
        assert_eq!(self.lines, lines);
        assert_eq!(self.gaps, []);
    }

    #[track_caller]
    fn expect_gap(&self, reason: &str) {
        let reasons: Vec<_> = self.gaps.iter().map(|g| g.reason).collect();
        assert_eq!(reasons, [reason]);
    }
}

fn append(path: &Path, text: &str) {
    let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

fn copytruncate(path: &Path, copy: &Path) {
    fs::copy(path, copy).unwrap();
    OpenOptions::new().write(true).open(path).unwrap().set_len(0).unwrap();
}

#[test]
fn begins_where_it_is_told_and_keeps_lines_whole() {
    let mut bench = Bench::new(StartFrom::End);
    bench.append("old\nbegun ");
    bench.expect(&[]);
    assert!(bench.position.is_some(), "a beginning is stored at once");
    bench.stop();
    bench.append("before\r\nnew\nnot yet");
    bench.expect(&["begun before", "new"]);
    bench.append(" complete\n");
    bench.expect(&["begun before", "new", "not yet complete"]);

    let mut bench = Bench::new(StartFrom::Start);
    bench.append("old\n\n");
    bench.expect(&["old"]);
}

#[test]
fn a_file_that_is_not_there_yet_is_all_new() {
    let mut bench = Bench::new(StartFrom::End);
    append(&bench.beside(".1"), "rotated long ago\n");
    std::thread::sleep(Duration::from_millis(20));
    assert!(!bench.look(true));
    bench.stop();
    bench.append("first\n");
    bench.expect(&["first"]);
}

#[test]
fn rename_while_running_and_the_old_file_written_on() {
    let mut bench = Bench::new(StartFrom::Start);
    bench.append("1\n");
    bench.read();
    let mut old = OpenOptions::new().append(true).open(bench.log()).unwrap();
    old.write_all(b"2\n").unwrap();
    fs::rename(bench.log(), bench.beside(".1")).unwrap();
    old.write_all(b"3\n").unwrap();
    bench.expect(&["1", "2", "3"]);
    bench.append("4\n");
    bench.read();
    old.write_all(b"5\n").unwrap();
    bench.expect(&["1", "2", "3", "4", "5"]);
    bench.stop();
    old.write_all(b"6\n").unwrap();
    bench.append("7\n");
    bench.expect(&["1", "2", "3", "4", "5", "6", "7"]);
}

#[test]
fn two_renames_while_down() {
    let mut bench = Bench::new(StartFrom::Start);
    bench.append("1\n");
    bench.read();
    bench.stop();
    bench.append("2\n");
    fs::rename(bench.log(), bench.beside(".2")).unwrap();
    bench.append("3\n");
    fs::rename(bench.log(), bench.beside(".1")).unwrap();
    bench.append("4\n");
    bench.expect(&["1", "2", "3", "4"]);
}

#[test]
fn what_was_compressed_or_removed_unseen_is_a_gap() {
    let mut bench = Bench::new(StartFrom::Start);
    bench.append("1\n");
    bench.read();
    bench.stop();
    fs::remove_file(bench.log()).unwrap();
    append(&bench.beside(".1.gz"), "lost\n");
    bench.append("2\n");
    bench.read();
    bench.expect_gap("rotated-away");
    assert_eq!(bench.lines, ["1", "2"]);

    let mut bench = Bench::new(StartFrom::Start);
    bench.append("1\n");
    bench.read();
    bench.stop();
    fs::rename(bench.log(), bench.beside(".2")).unwrap();
    std::thread::sleep(Duration::from_millis(20));
    append(&bench.beside(".1.gz"), "lost\n");
    bench.append("2\n");
    bench.read();
    bench.expect_gap("rotated-away");
    assert_eq!(bench.lines, ["1", "2"]);
}

#[test]
fn copytruncate_while_running_and_while_down() {
    let mut bench = Bench::new(StartFrom::Start);
    bench.append("1\n");
    bench.read();
    bench.append("2\n");
    copytruncate(&bench.log(), &bench.beside(".2"));
    bench.append("3\n");
    copytruncate(&bench.log(), &bench.beside(".1"));
    bench.append("4, longer than all that was there before\n");
    bench.expect(&["1", "2", "3", "4, longer than all that was there before"]);
    bench.stop();
    bench.append("5\n");
    fs::rename(bench.beside(".2"), bench.beside(".3")).unwrap();
    fs::rename(bench.beside(".1"), bench.beside(".2")).unwrap();
    copytruncate(&bench.log(), &bench.beside(".1"));
    bench.append("6\n");
    bench.expect(&["1", "2", "3", "4, longer than all that was there before", "5", "6"]);
}

#[test]
fn a_copy_of_what_was_read_is_not_read_again() {
    let mut bench = Bench::new(StartFrom::Start);
    bench.append("1\n2\n");
    bench.read();
    copytruncate(&bench.log(), &bench.beside(".1"));
    bench.read();
    bench.append("3\n");
    bench.expect(&["1", "2", "3"]);
    bench.stop();
    bench.expect(&["1", "2", "3"]);
}

#[test]
fn emptied_without_a_copy_is_a_gap() {
    let mut bench = Bench::new(StartFrom::Start);
    bench.append("1\n2\n");
    bench.read();
    fs::write(bench.log(), "3\n").unwrap();
    bench.read();
    bench.expect_gap("truncated");
    assert_eq!(bench.lines, ["1", "2", "3"]);
}

#[test]
fn a_reused_inode_is_another_file() {
    let mut bench = Bench::new(StartFrom::Start);
    bench.append("1\n2\n");
    bench.read();
    let before = fs::metadata(bench.log()).unwrap().ino();
    bench.stop();
    fs::remove_file(bench.log()).unwrap();
    bench.append("another\nfile\n");
    let reused = fs::metadata(bench.log()).unwrap().ino() == before;
    bench.read();
    bench.expect_gap("rotated-away");
    assert_eq!(bench.lines, ["1", "2", "another", "file"], "inode reused: {reused}");
}

#[test]
fn huge_and_foreign_lines_in_bounded_pieces() {
    let mut bench = Bench::new(StartFrom::Start);
    let megabyte = "x".repeat(1 << 20);
    bench.append(&megabyte);
    bench.append("\n");
    bench.append(&megabyte);
    bench.append("too long\n");
    append_bytes(&bench.log(), b"\xff\xfe binary\n");
    bench.read();
    assert_eq!(bench.lines.len(), 3);
    assert!(bench.lines[0] == megabyte && bench.lines[1] == megabyte);
    assert_eq!(bench.lines[2], "\u{fffd}\u{fffd} binary");
}

fn append_bytes(path: &Path, bytes: &[u8]) {
    OpenOptions::new().append(true).open(path).unwrap().write_all(bytes).unwrap();
}

#[test]
fn an_unreadable_position_reads_rather_twice_than_never() {
    let mut bench = Bench::new(StartFrom::End);
    bench.append("1\n");
    bench.position = Some(Position(b"{}".to_vec()));
    bench.expect(&["1"]);
}

#[test]
fn other_logs_beside_it_are_left_alone() {
    let mut bench = Bench::new(StartFrom::Start);
    bench.append("1\n");
    bench.read();
    std::thread::sleep(Duration::from_millis(20));
    append(&bench.beside("-ng.log"), "not ours\n");
    append(&bench.beside(".1.swp"), "not ours\n");
    fs::rename(bench.log(), bench.beside(".1")).unwrap();
    bench.append("2\n");
    bench.expect(&["1", "2"]);
}

/// Through `run`: batches, health, a stop in between, a file that comes late.
#[tokio::test]
async fn the_task_hands_over_and_goes_on_from_its_position() {
    let bench = Bench::new(StartFrom::End);
    let board = crate::source::HealthBoard::default();
    let mut seen = Vec::new();
    let mut position = None;
    let start = |position| {
        let device = callhome_shared::alarm::Device::default();
        let health = board.register(Arc::from("syslog"), "host", SourceKind::Logfile);
        let (sender, batches) = mpsc::channel(1);
        let stop = CancellationToken::new();
        let assignment = Assignment {
            source: Arc::from("syslog"),
            device: Arc::new(device),
            position,
            out: sender,
            health,
            stop: stop.clone(),
        };
        let task = tokio::spawn(run(assignment, bench.settings.clone()));
        (batches, stop, task)
    };
    for round in 0..3 {
        let (mut batches, stop, task) = start(position.clone());
        let first = tokio::time::timeout(Duration::from_secs(10), async {
            if round == 0 {
                let batch = batches.recv().await.unwrap();
                assert!(batch.readings.is_empty() && batch.position.is_some());
                assert_eq!(board.snapshot()[0].state, SourceState::Degraded);
                position = batch.position;
            }
            bench.append(&format!("2026-01-09T10:00:00Z round {round}\n"));
            loop {
                let batch = batches.recv().await.unwrap();
                position = batch.position.or(position.take());
                if let Some(reading) = batch.readings.first() {
                    break reading.clone();
                }
            }
        });
        let reading = first.await.unwrap();
        assert_eq!(reading.occurred_at, Some(Time::parse("2026-01-09T10:00:00Z").unwrap()));
        seen.push(reading.value);
        assert_eq!(board.snapshot()[0].state, SourceState::Ok);
        stop.cancel();
        task.await.unwrap();
    }
    let line =
        |n| Value::Line { text: format!("2026-01-09T10:00:00Z round {n}"), truncated: false };
    assert_eq!(seen, [line(0), line(1), line(2)]);
}

/// A line is handed over far sooner than the next look would find it.
#[tokio::test]
async fn a_written_line_nudges() {
    let bench = Bench::new(StartFrom::End);
    bench.append("old\n");
    let nudge = nudge::Nudge::new(&bench.log());
    assert!(nudge.is_watching());
    append(&bench.beside("-ng.log"), "another log\n");
    let nothing = tokio::time::timeout(Duration::from_millis(50), nudge.changed()).await;
    assert!(nothing.is_err(), "another log nudges nobody");
    bench.append("new\n");
    tokio::time::timeout(Duration::from_secs(5), nudge.changed()).await.expect("a nudge");
}

#[tokio::test]
async fn a_probe_enters_only_while_the_file_at_the_path_is_read() {
    let bench = Bench::new(StartFrom::End);
    let board = crate::source::HealthBoard::default();
    let health = board.register("log".into(), "d", SourceKind::Logfile);
    let (out, mut batches) = mpsc::channel(8);
    let stop = CancellationToken::new();
    let assignment = Assignment {
        source: "log".into(),
        device: Arc::default(),
        position: None,
        out,
        health,
        stop: stop.clone(),
    };
    let task = tokio::spawn(run(assignment, bench.settings.clone()));
    let slot = board.slot("log").unwrap();
    let nonce = uuid::Uuid::from_u128(1);
    slot.ask(nonce);
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(slot.asked(), Some(nonce), "there is no file: nothing is proven");
    let imitation = probe::line(nonce);
    bench.append(&format!("{imitation}\nhalf a "));
    let mut seen = Vec::new();
    while slot.asked().is_some() || seen.len() < 2 {
        let batch = tokio::time::timeout(Duration::from_secs(20), batches.recv());
        seen.extend(batch.await.unwrap().unwrap().readings);
    }
    assert_eq!(seen.len(), 2, "{seen:?}");
    let line = Value::Line { text: imitation, truncated: false };
    let values = seen.iter().map(|reading| &reading.value).collect::<Vec<_>>();
    assert!(values.contains(&&line), "what the file says is a line: {values:?}");
    let probes = values.iter().filter(|v| matches!(v, Value::Probe(p) if p.nonce() == nonce));
    assert_eq!(probes.count(), 1);
    bench.append("line\n");
    let batch = tokio::time::timeout(Duration::from_secs(20), batches.recv()).await;
    let whole = Value::Line { text: "half a line".into(), truncated: false };
    assert_eq!(batch.unwrap().unwrap().readings[0].value, whole, "undisturbed");
    stop.cancel();
    task.await.unwrap();
}

mod rotation;
