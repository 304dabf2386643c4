//! kill -9 in a loop: nothing is lost, nothing is twice.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use callhome_shared::ack::Ack;
use callhome_shared::envelope::{Kind, Lane};
use callhome_shared::id::new_uuid;
use callhome_shared::time::Time;
use uuid::Uuid;

use super::*;

/// Tells the test binary, run again, that it is the one to be killed.
const CHILD: &str = "CALLHOME_TEST_OUTBOX_CHILD";
/// Unless `CALLHOME_TEST_OUTBOX_KILLS` says more.
const KILLS: u64 = 15;

/// Counts on from where the file is: the payload of each envelope and the position with it are the
/// count. Says what it has committed. Acknowledges half of it now and then.
fn count(path: &Path) {
    let (mut outbox, loaded) = open(path);
    let mut n: u64 = loaded
        .positions
        .get("source")
        .map_or(0, |position| String::from_utf8_lossy(&position.0).parse().unwrap());
    let mut out = std::io::stdout().lock();
    loop {
        n += 1;
        let next = Decision {
            id: new_uuid(),
            time: Time(0),
            drafts: vec![draft(Kind::Alarm, &n.to_string())],
            positions: vec![("source".into(), Position(n.to_string().into_bytes()))],
            alarms: vec![((n % 7).to_string(), (!n.is_multiple_of(3)).then(|| vec![b' '; 300]))],
            ..Decision::default()
        };
        let committed = outbox.commit(&next).unwrap();
        writeln!(out, "{} {}", n, committed.last_seq).unwrap();
        if n.is_multiple_of(10) {
            let (store, epoch, seq) = (Uuid::nil(), outbox.epoch(), committed.last_seq / 2);
            outbox.ack(&Ack { store, epoch, lane: Lane::Alarm, seq, rejects: vec![] }, Time(0));
        }
    }
}

#[test]
fn kill_9_neither_loses_nor_repeats() {
    if let Some(path) = std::env::var_os(CHILD) {
        count(Path::new(&path));
        return;
    }
    let (_directory, path) = place();
    let mut said = 0;
    let kills = super::repetitions("CALLHOME_TEST_OUTBOX_KILLS", KILLS);
    for round in 0..kills {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "outbox::tests::kill::kill_9_neither_loses_nor_repeats",
                "--nocapture",
            ])
            .env(CHILD, &path)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // At least one commit a round, then a moment that differs from round to round.
        let numbers = |line: &str| -> Option<(u64, u64)> {
            let (n, seq) = line.split_once(' ')?;
            Some((n.parse().ok()?, seq.parse().ok()?))
        };
        let mut last = None;
        while last.is_none() {
            last = numbers(&lines.next().expect("the child commits").unwrap());
        }
        wait(Duration::from_micros(1 + round * 7919 % 40_000));
        child.kill().unwrap();
        for line in lines.map_while(Result::ok) {
            last = numbers(&line).or(last);
        }
        child.wait().unwrap();
        let (n, seq) = last.unwrap();
        assert_eq!(n, seq, "one envelope each, from the first");
        said = n;

        let (mut outbox, loaded) = open(&path);
        assert!(loaded.set_aside.is_none());
        let page = outbox.pending(Lane::Alarm, 0, usize::MAX, usize::MAX).unwrap();
        let payloads: Vec<u64> =
            page.envelopes.iter().map(|e| serde_json::from_slice(&e.data).unwrap()).collect();
        let seqs: Vec<u64> = page.envelopes.iter().map(|e| e.seq).collect();
        let stored: u64 = String::from_utf8_lossy(&loaded.positions["source"].0).parse().unwrap();
        let acked = outbox.status().lanes[0].acked_seq;
        assert!(stored == n || stored == n + 1, "{n} were said, {stored} are stored");
        assert_eq!(seqs, (acked + 1..=stored).collect::<Vec<_>>());
        assert_eq!(payloads, seqs);
    }
    println!("{kills} kills, {said} transactions committed, 0 lost, 0 twice");
    assert!(said > KILLS, "the child got nowhere");
}

#[expect(clippy::disallowed_methods, reason = "a test without a runtime")]
fn wait(time: Duration) {
    std::thread::sleep(time);
}
