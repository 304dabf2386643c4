//! The source on pseudo-terminals: the test holds the device's end.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use callhome_shared::alarm::Device;
use callhome_shared::heartbeat::SourceState;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::source::{Batch, HealthBoard, Reading, SourceKind, Value};

/// The device's end of a pseudo-terminal. Dropping it unplugs the port.
struct Plug(File);

impl Plug {
    /// Plugs a device in at `link`.
    fn new(link: &Path) -> Plug {
        let flags = rustix::pty::OpenptFlags::RDWR | rustix::pty::OpenptFlags::NOCTTY;
        let master = rustix::pty::openpt(flags).unwrap();
        rustix::pty::grantpt(&master).unwrap();
        rustix::pty::unlockpt(&master).unwrap();
        let name = rustix::pty::ptsname(&master, Vec::new()).unwrap();
        let _ = std::fs::remove_file(link);
        symlink(name.to_str().unwrap(), link).unwrap();
        Plug(File::from(master))
    }

    fn say(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).unwrap();
    }

    /// Waits until the agent has sent `expected`.
    async fn hear(&mut self, expected: &str) {
        let mut file = self.0.try_clone().unwrap();
        let expected = expected.to_owned();
        let heard = tokio::task::spawn_blocking(move || {
            let mut heard = Vec::new();
            while !String::from_utf8_lossy(&heard).contains(&expected) {
                let mut byte = [0];
                file.read_exact(&mut byte).unwrap();
                heard.push(byte[0]);
            }
        });
        timeout(Duration::from_secs(20), heard).await.expect("the command comes").unwrap();
    }
}

struct Bench {
    _folder: tempfile::TempDir,
    link: PathBuf,
    board: HealthBoard,
    batches: mpsc::Receiver<Batch>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Bench {
    fn settings(link: &Path) -> SerialSettings {
        SerialSettings {
            port: link.to_owned(),
            baud: 9600,
            idle_flush: Duration::from_millis(100),
            max_line_bytes: 64,
            commands: Vec::new(),
        }
    }

    fn start(capacity: usize, change: impl FnOnce(&mut SerialSettings)) -> (Bench, Plug) {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("port");
        let plug = Plug::new(&link);
        let mut settings = Self::settings(&link);
        change(&mut settings);
        let device = Device { id: "sw-1".into(), name: "sw-1".into(), ..Device::default() };
        let board = HealthBoard::default();
        let health = board.register(Arc::from("console"), "sw-1", SourceKind::Serial);
        let (sender, batches) = mpsc::channel(capacity);
        let stop = CancellationToken::new();
        let assignment = Assignment {
            source: Arc::from("console"),
            device: Arc::new(device),
            position: None,
            out: sender,
            health,
            stop: stop.clone(),
        };
        let task = tokio::spawn(run(assignment, settings));
        (Bench { _folder: folder, link, board, batches, stop, task }, plug)
    }

    async fn batch(&mut self) -> Batch {
        timeout(Duration::from_secs(20), self.batches.recv()).await.expect("a batch").unwrap()
    }

    /// Waits for the batch that says "listening".
    async fn listening(&mut self) -> Batch {
        let batch = self.batch().await;
        assert!(batch.readings.is_empty(), "{batch:?}");
        assert!(batch.heard_until.is_some());
        batch
    }

    /// Collects readings until `last` came, as `metric text`.
    async fn until(&mut self, last: &str) -> Vec<String> {
        let mut all = Vec::new();
        while all.last().is_none_or(|l| l != last) {
            all.extend(self.batch().await.readings.iter().map(show));
        }
        all
    }

    fn state(&self) -> SourceState {
        self.board.snapshot()[0].state
    }
}

fn show(reading: &Reading) -> String {
    match &reading.value {
        Value::Line { text, truncated } => {
            format!("{} {text}{}", reading.metric, if *truncated { "…" } else { "" })
        }
        Value::Text(text) => format!("{} {text}", reading.metric),
        Value::Number(n) => format!("{} {n}", reading.metric),
        Value::Probe(entered) => format!("probe {}", entered.nonce()),
    }
}

#[tokio::test]
async fn lines_escapes_prompts_and_long_lines() {
    let (mut bench, mut plug) = Bench::start(8, |_| ());
    assert!(bench.listening().await.gaps.is_empty());
    plug.say("\x1b[31mPSU 2 failed\x1b[0m\r\n\0\r\n");
    plug.say(&"x".repeat(100));
    plug.say("\nlogin: ");
    let long = format!("line {}…", "x".repeat(64));
    assert_eq!(bench.until("line login: ").await, ["line PSU 2 failed", &long, "line login: "]);
    assert_eq!(bench.state(), SourceState::Ok);
}

#[tokio::test]
async fn nobody_else_gets_the_port() {
    let (mut bench, _plug) = Bench::start(8, |_| ());
    bench.listening().await;
    let error = port::open(&bench.link, 9600).unwrap_err();
    assert!(error.to_string().contains("lock") || error.raw_os_error() == Some(16), "{error}");
}

fn command(settings: &mut SerialSettings, timeout: Duration) {
    settings.commands.push(SerialCommand {
        id: Arc::from("env"),
        send: "show environment\r".into(),
        every: Duration::from_secs(1),
        timeout,
        until: regex::Regex::new(r"^\S+[>#]\s*$").unwrap(),
    });
}

#[tokio::test]
async fn a_complete_answer_ends_and_lines_go_to_both() {
    let (mut bench, mut plug) = Bench::start(8, |s| command(s, Duration::from_secs(10)));
    bench.listening().await;
    plug.hear("show environment\r").await;
    plug.say("PSU 1 failed\r\nsw1# ");
    let got = bench.until("answer-end:env ").await;
    let want = [
        "answer:env PSU 1 failed",
        "line PSU 1 failed",
        "answer:env sw1# ",
        "line sw1# ",
        "answer-end:env ",
    ];
    assert_eq!(got, want);
    plug.say("unasked\n");
    assert_eq!(bench.until("line unasked").await, ["line unasked"]);
    plug.hear("show environment\r").await;
}

#[tokio::test]
async fn an_answer_without_end_is_none() {
    let (mut bench, mut plug) = Bench::start(8, |s| command(s, Duration::from_millis(300)));
    bench.listening().await;
    plug.hear("show environment\r").await;
    plug.say("PSU 1 failed\r\n");
    assert_eq!(
        bench.until("line PSU 1 failed").await,
        ["answer:env PSU 1 failed", "line PSU 1 failed"]
    );
    plug.hear("show environment\r").await;
    assert_eq!(bench.state(), SourceState::Degraded);
    plug.say("sw1#\r\n");
    let got = bench.until("answer-end:env ").await;
    assert_eq!(got, ["answer:env sw1#", "line sw1#", "answer-end:env "]);
    assert_eq!(bench.state(), SourceState::Ok);
}

#[tokio::test]
async fn an_unplugged_port_is_reopened_and_the_deaf_interval_declared() {
    let (mut bench, mut plug) = Bench::start(8, |_| ());
    bench.listening().await;
    plug.say("before\nhalf a li");
    bench.until("line before").await;
    let unplugged = Time::now();
    drop(plug);
    bench.until("line half a li").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(bench.state(), SourceState::Failed);
    let mut plug = Plug::new(&bench.link);
    let plugged = Time::now();
    let batch = bench.listening().await;
    let [gap] = batch.gaps.as_slice() else { panic!("{batch:?}") };
    assert_eq!((gap.reason, gap.count), ("port-gone", None));
    assert!(gap.from <= unplugged && gap.to >= plugged, "{gap:?}");
    plug.say("after\n");
    assert_eq!(bench.until("line after").await, ["line after"]);
    assert_eq!(bench.state(), SourceState::Ok);
}

#[tokio::test]
async fn a_busy_line_loses_nothing_within_bounds_and_declares_the_rest() {
    let (mut bench, mut plug) = Bench::start(1, |_| ());
    bench.listening().await;
    // Nobody takes batches while twice the bound is said; a pty holds only a few kilobytes, so
    // the writer can finish only because the source goes on reading.
    let mut writer = plug.0.try_clone().unwrap();
    let said = tokio::task::spawn_blocking(move || {
        for n in 0..8192 {
            writeln!(writer, "line number {n}").unwrap();
        }
    });
    timeout(Duration::from_secs(60), said).await.expect("the source goes on reading").unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let (mut kept, mut dropped) = (Vec::new(), 0);
    while dropped == 0 {
        let batch = bench.batch().await;
        kept.extend(batch.readings.iter().map(show));
        dropped += batch.gaps.iter().filter_map(|g| g.count).sum::<u64>();
        assert!(batch.gaps.iter().all(|g| g.reason == "overflow"));
    }
    assert_eq!(kept.len() as u64 + dropped, 8192);
    assert!(kept.iter().enumerate().all(|(n, line)| *line == format!("line line number {n}")));
    plug.say("room again\n");
    bench.until("line room again").await;
}

#[tokio::test]
async fn what_was_heard_is_handed_over_when_stopping() {
    let (mut bench, mut plug) = Bench::start(8, |s| s.idle_flush = Duration::from_secs(60));
    bench.listening().await;
    plug.say("no end of line");
    tokio::time::sleep(Duration::from_millis(200)).await;
    bench.stop.cancel();
    assert_eq!(bench.until("line no end of line").await.len(), 1);
    timeout(Duration::from_secs(5), bench.task).await.unwrap().unwrap();
}

#[tokio::test]
async fn surely_heard_never_passes_a_line_that_waits() {
    let (mut bench, mut plug) = Bench::start(8, |s| s.idle_flush = Duration::from_secs(60));
    bench.listening().await;
    let before = Time::now();
    plug.say("begun and not ended");
    let sign = bench.batch().await;
    assert!(sign.readings.is_empty(), "a sign of life");
    assert!(sign.heard_until.unwrap() <= Time::now().plus_ms(-1000));
    plug.say("\n");
    let batch = bench.batch().await;
    assert_eq!(batch.readings.len(), 1);
    assert!(batch.heard_until.unwrap() >= before, "it moves on with the line");
}

#[tokio::test]
async fn a_probe_enters_through_an_open_port_only_and_cannot_be_imitated() {
    let (mut bench, mut plug) = Bench::start(8, |_| ());
    bench.listening().await;
    let slot = bench.board.slot("console").unwrap();
    let nonces = [1, 2].map(uuid::Uuid::from_u128);
    let synthetic = format!("callhome-probe {}", nonces[0]);
    // What a device says is a line, even if it could know the nonce.
    plug.say("half a ");
    slot.ask(nonces[0]);
    assert_eq!(bench.until(&format!("probe {}", nonces[0])).await.len(), 1);
    plug.say(&format!("line\n{synthetic}\n"));
    let said = bench.until(&format!("line {synthetic}")).await;
    assert_eq!(said, ["line half a line".to_owned(), format!("line {synthetic}")]);
    assert_eq!(slot.asked(), None);
    // Unplugged: it waits until the port is back.
    drop(plug);
    while bench.state() != SourceState::Failed {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    slot.ask(nonces[1]);
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(slot.asked(), Some(nonces[1]), "a port that is gone proves nothing");
    let _plug = Plug::new(&bench.link);
    assert_eq!(bench.until(&format!("probe {}", nonces[1])).await.len(), 1);
    bench.stop.cancel();
    bench.task.await.unwrap();
}
