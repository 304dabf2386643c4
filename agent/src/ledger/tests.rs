//! The ledger on real files: what is written is read, and every change is found.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use callhome_shared::envelope::Lane;
use proptest::prelude::*;
use uuid::Uuid;

use super::chain::{self, Head};
use super::read::verify;
use super::tail::{self, Tail};
use super::*;

const SMALL: Settings = Settings { max_bytes: 64 * 1024 * 1024, keep_payloads_bytes: 1024 * 1024 };

fn departure(n: u64) -> Departure {
    Departure {
        kind: if n.is_multiple_of(3) { "heartbeat".into() } else { "alarm".into() },
        road: "mqtts://c.example:8883".into(),
        envelope: (!n.is_multiple_of(3)).then(|| (Uuid::from_u128(n.into()), Lane::Alarm, n)),
    }
}

/// A ledger with some departures, closed again.
fn filled(state_dir: &Path, settings: Settings, departures: u64) -> Status {
    let ledger = Ledger::open(state_dir, settings);
    for n in 1..=departures {
        ledger.departs(departure(n), format!("{{\"n\":{n}}}").as_bytes());
    }
    ledger.status()
}

fn book(state_dir: &Path) -> Book {
    Book::open(&folder(state_dir), SMALL.keep_payloads_bytes).unwrap()
}

fn files(state_dir: &Path) -> Vec<(u64, Vec<u8>)> {
    let folder = folder(state_dir);
    let numbers = tail::segments(&folder).unwrap();
    numbers.into_iter().map(|n| (n, fs::read(tail::path(&folder, n)).unwrap())).collect()
}

fn known(state_dir: &Path) -> Head {
    Head::read(&fs::read(folder(state_dir).join("head")).unwrap()).unwrap()
}

#[test]
fn what_left_is_there_with_its_payload_and_the_chain_holds() {
    let dir = tempfile::tempdir().unwrap();
    let status = filled(dir.path(), SMALL, 20);
    // Segment, started, and the departures.
    assert_eq!((status.entries, status.missed), (22, 0));
    let book = book(dir.path());
    let verdict = book.verify();
    assert!(verdict.holds() && verdict.notes.is_empty(), "{verdict:?}");
    assert_eq!((verdict.entries, verdict.head), (22, (22, status.head)));
    let (entry, _) = book.entries().last().unwrap();
    assert_eq!(book.payload(&entry).unwrap(), b"{\"n\":20}");
    assert_eq!(entry.what.kind(), "alarm");
    let text = show_entry(&entry, "", book.payload(&entry).as_deref());
    assert!(text.contains("alarm/20") && text.contains("{\"n\":20}"), "{text}");
    // A second run goes on with the same chain.
    let status = filled(dir.path(), SMALL, 1);
    assert_eq!(status.entries, 24);
    assert!(self::book(dir.path()).verify().holds());
    for file in fs::read_dir(folder(dir.path())).unwrap().flatten() {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o077, 0, "{file:?}");
    }
}

#[test]
fn every_single_changed_removed_or_added_byte_is_found() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), SMALL, 8);
    let (files, known) = (files(dir.path()), known(dir.path()));
    assert!(verify(&files, Some(&known)).holds());
    let bytes = &files[0].1;
    let mut found = [0u32; 3];
    for at in 0..bytes.len() {
        let mut altered = bytes.clone();
        altered[at] ^= 1;
        let mut removed = bytes.clone();
        removed.remove(at);
        let mut added = bytes.clone();
        added.insert(at, b'x');
        for (i, changed) in [altered, removed, added].into_iter().enumerate() {
            let verdict = verify(&[(files[0].0, changed)], Some(&known));
            assert!(!verdict.holds(), "way {i} at byte {at} was not found");
            let line = 1 + bytes[..at].iter().filter(|b| **b == b'\n').count();
            let places = [format!(":{line}:"), format!(":{}:", line + 1)];
            let said = verdict.findings.join("\n");
            assert!(
                places.iter().any(|p| said.contains(p)) || said.contains("the end is missing"),
                "line {line}: {said}"
            );
            found[i] += 1;
        }
    }
    println!(
        "{} bytes: {} altered, {} removed, {} added, all found",
        bytes.len(),
        found[0],
        found[1],
        found[2]
    );
}

#[test]
fn lines_that_are_missing_moved_or_from_elsewhere_are_found() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), SMALL, 10);
    let (files, known) = (files(dir.path()), known(dir.path()));
    let lines: Vec<&[u8]> = files[0].1.split_inclusive(|b| *b == b'\n').collect();
    let judge = |lines: &[&[u8]]| verify(&[(1, lines.concat())], Some(&known)).findings.join("\n");
    for at in 0..lines.len() {
        let mut less = lines.clone();
        less.remove(at);
        let said = judge(&less);
        let wanted = match at {
            0 => "entries 1 to 1 are missing",
            at if at + 1 == lines.len() => "the end is missing",
            _ => "is missing",
        };
        assert!(said.contains(wanted), "without line {}: {said}", at + 1);
        for other in at + 1..lines.len() {
            let mut moved = lines.clone();
            moved.swap(at, other);
            assert!(!judge(&moved).is_empty(), "{at} and {other} changed places");
        }
        let mut twice = lines.clone();
        twice.insert(at, lines[at]);
        assert!(judge(&twice).contains("stands behind"), "line {} twice", at + 1);
    }
    // The whole end taken off, the head left or forged.
    assert!(
        judge(&lines[..5])
            .contains("the end is missing: entry 12 was written, the last one here is 5")
    );
    // A line of another chain.
    let other = tempfile::tempdir().unwrap();
    filled(other.path(), SMALL, 10);
    let others = self::files(other.path());
    let foreign: Vec<&[u8]> = others[0].1.split_inclusive(|b| *b == b'\n').collect();
    let mut mixed = lines.clone();
    mixed[6] = foreign[6];
    assert!(judge(&mixed).contains("does not follow"), "{}", judge(&mixed));
}

#[test]
fn a_torn_end_is_repaired_and_said() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), SMALL, 5);
    let path = tail::path(&folder(dir.path()), 1);
    let whole = fs::read(&path).unwrap();
    let last = whole[..whole.len() - 1].iter().rposition(|b| *b == b'\n').unwrap() + 1;
    for cut in [last + 1, last + 70, whole.len() - 1] {
        fs::write(&path, &whole[..cut]).unwrap();
        assert!(!book(dir.path()).verify().holds());
        let status = filled(dir.path(), SMALL, 0);
        // The torn entry is gone; the repair and the new start stand behind the one before.
        assert_eq!(status.entries, 8, "cut at {cut}");
        let verdict = book(dir.path()).verify();
        assert!(verdict.holds(), "{verdict:?}");
        let torn = format!("{} bytes of an unfinished line were cut off, 1 entries", cut - last);
        assert!(verdict.notes[0].contains(&torn), "{:?}", verdict.notes);
        fs::write(
            folder(dir.path()).join("head"),
            Head { n: 7, hash: chain::read(&whole[last..whole.len() - 1]).unwrap().1 }.write(),
        )
        .unwrap();
    }
}

#[test]
fn damage_in_the_middle_is_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), SMALL, 5);
    let path = tail::path(&folder(dir.path()), 1);
    let mut damaged = fs::read(&path).unwrap();
    let at = damaged.len() - 20;
    damaged[at] ^= 1;
    fs::write(&path, &damaged).unwrap();
    filled(dir.path(), SMALL, 5);
    assert_eq!(fs::read(&path).unwrap(), damaged, "nothing was written over it");
    let verdict = book(dir.path()).verify();
    assert_eq!(verdict.files, 2);
    assert!(verdict.findings[0].contains("00000001.log:7"), "{verdict:?}");
}

#[test]
fn the_oldest_go_at_the_budget_and_the_chain_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings { max_bytes: 200 * 1024, keep_payloads_bytes: 0 };
    let status = filled(dir.path(), settings, 3000);
    let on_disk: u64 = files(dir.path()).iter().map(|(_, b)| b.len() as u64).sum();
    assert_eq!(status.bytes, on_disk);
    assert!(on_disk <= settings.max_bytes + 64 * 1024, "{on_disk}");
    let book = book(dir.path());
    let verdict = book.verify();
    assert!(verdict.holds(), "{verdict:?}");
    assert!(
        verdict.notes.iter().any(|n| n.contains("removed")) && verdict.files > 2,
        "{verdict:?}"
    );
    let (first, _) = book.entries().next().unwrap();
    assert!(first.n > 1000);
    println!(
        "{} entries written, {} kept in {} files of {on_disk} bytes",
        status.entries, verdict.entries, verdict.files
    );
    // A file that somebody else removes is missed.
    let mut some = files(dir.path());
    some.remove(0);
    assert!(
        verify(&some, Some(&known(dir.path()))).findings[0]
            .contains("were not removed by the agent")
    );
    let mut some = files(dir.path());
    some.remove(1);
    assert!(!verify(&some, Some(&known(dir.path()))).holds());
    assert!(book.payload(&first).is_none());
}

#[test]
fn two_processes_write_one_chain() {
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings { max_bytes: 1024 * 1024, keep_payloads_bytes: 0 };
    let (one, two) = (Ledger::open(dir.path(), settings), Ledger::open(dir.path(), settings));
    let write = |ledger: Ledger| {
        std::thread::spawn(move || (1..=400).for_each(|n| ledger.departs(departure(n), b"{}")))
    };
    let (a, b) = (write(one.clone()), write(two.clone()));
    a.join().unwrap();
    b.join().unwrap();
    let verdict = book(dir.path()).verify();
    assert!(verdict.holds(), "{verdict:?}");
    let sent =
        book(dir.path()).entries().filter(|(e, _)| matches!(e.what, What::Sent { .. })).count();
    assert_eq!((sent, one.status().missed + two.status().missed), (800, 0));
}

#[test]
fn what_cannot_be_written_is_declared_later() {
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings { max_bytes: 1, keep_payloads_bytes: 0 };
    let ledger = Ledger::open(dir.path(), settings);
    // The next entry needs a new file.
    while ledger.status().bytes < 32 * 1024 {
        ledger.departs(departure(3), b"{}");
    }
    // A folder that is away, as an unmounted disk would be.
    let (here, away) = (folder(dir.path()), dir.path().join("away"));
    fs::rename(&here, &away).unwrap();
    fs::write(&here, "").unwrap();
    for n in 1..=3 {
        ledger.departs(departure(n), &[b'x'; 100]);
    }
    assert_eq!(ledger.status().missed, 3);
    fs::remove_file(&here).unwrap();
    fs::rename(&away, &here).unwrap();
    ledger.departs(departure(4), b"{}");
    let verdict = book(dir.path()).verify();
    assert!(verdict.holds(), "{verdict:?}");
    let declared = verdict.notes.iter().any(|n| n.starts_with("3 departures (300 bytes)"));
    assert!(declared, "{:?}", verdict.notes);
}

#[test]
fn a_ledger_that_cannot_be_opened_does_not_stop_anybody() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(folder(dir.path()), "no folder").unwrap();
    let ledger = Ledger::open(dir.path(), SMALL);
    ledger.departs(departure(1), b"{}");
    assert_eq!(ledger.status().missed, 2);
    fs::remove_file(folder(dir.path())).unwrap();
    ledger.0.lock().unwrap().tried_at -= RETRY * 2;
    ledger.departs(departure(2), b"{}");
    let verdict = book(dir.path()).verify();
    assert!(verdict.holds() && verdict.notes[0].starts_with("2 departures"), "{verdict:?}");
}

/// The agent's way of writing in a process that is killed: see `a_killed_writer_loses_nothing`.
#[test]
fn written_until_killed() {
    let Some(dir) = std::env::var_os("CALLHOME_TEST_LEDGER_DIR") else { return };
    let ledger = Ledger::open(Path::new(&dir), SMALL);
    let mut out = std::io::stdout().lock();
    for n in 1u64.. {
        ledger.departs(departure(n), b"{}");
        // Only what the parent has read counts as having left.
        writeln!(out, "left {}", ledger.status().entries).unwrap();
    }
}

#[test]
fn a_killed_writer_loses_nothing() {
    use std::io::BufRead as _;
    let dir = tempfile::tempdir().unwrap();
    let rounds: u64 =
        std::env::var("CALLHOME_TEST_LEDGER_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(10);
    let mut seen = 0;
    for round in 0..rounds {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "ledger::tests::written_until_killed", "--nocapture"])
            .env("CALLHOME_TEST_LEDGER_DIR", dir.path())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let lines = std::io::BufReader::new(child.stdout.take().unwrap()).lines();
        let stop_after = 1 + round * 7 % 60;
        let mut left = 0;
        for line in lines.map_while(Result::ok) {
            if let Some((_, n)) = line.split_once("left ") {
                seen = n.parse().unwrap();
                left += 1;
                if left == stop_after {
                    child.kill().unwrap();
                }
            }
        }
        child.wait().unwrap();
        let book = book(dir.path());
        let last = book.entries().last().unwrap().0.n;
        assert!(last >= seen, "round {round}: entry {seen} had left, the last one noted is {last}");
    }
    let status = filled(dir.path(), SMALL, 0);
    let verdict = book(dir.path()).verify();
    assert!(verdict.holds(), "{verdict:?}");
    assert_eq!(verdict.entries, status.entries);
    println!("{rounds} kills, {} entries, {seen} known to have left, chain whole", status.entries);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_input_panics(bytes: Vec<u8>, lines in proptest::collection::vec("[0-9a-f]{60,66} .{0,80}", 0..5)) {
        let _ = chain::read(&bytes);
        let _ = Head::read(&bytes);
        let text = lines.join("\n").into_bytes();
        for bytes in [bytes, text] {
            let _ = verify(&[(1, bytes.clone()), (2, bytes.clone())], Some(&Head::start()));
            let dir = tempfile::tempdir().unwrap();
            fs::write(tail::path(dir.path(), 1), &bytes).unwrap();
            let _ = Tail::find(dir.path()).unwrap();
        }
    }

    #[test]
    fn prop_any_damage_leaves_a_ledger_that_starts(at in 0usize..4000, how in 0usize..3, more: Vec<u8>) {
        let dir = tempfile::tempdir().unwrap();
        filled(dir.path(), SMALL, 5);
        let path = tail::path(&folder(dir.path()), 1);
        let mut bytes = fs::read(&path).unwrap();
        let at = at % bytes.len();
        match how {
            0 => bytes.truncate(at),
            1 => bytes[at] ^= 0x10,
            _ => bytes.extend_from_slice(&more),
        }
        fs::write(&path, &bytes).unwrap();
        let status = filled(dir.path(), SMALL, 3);
        prop_assert_eq!(status.missed, 0);
        // What was written after it follows on it, whatever was damaged before.
        let after = book(dir.path()).entries().filter(|(e, _)| matches!(e.what, What::Sent { .. })).count();
        prop_assert!(after >= 3);
    }
}
