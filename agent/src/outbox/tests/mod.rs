//! The outbox: what it holds survives everything, and it holds to its limits.

mod damage;
mod full;
mod kill;
mod model;
mod power;

use std::path::{Path, PathBuf};

use callhome_shared::ack::{Ack, Receipt, Reject};
use callhome_shared::envelope::{Kind, Lane};
use callhome_shared::id::{AgentId, new_uuid};
use callhome_shared::time::Time;
use tempfile::TempDir;
use uuid::Uuid;

use super::*;
use crate::settings::OutboxSettings;

pub(super) fn agent() -> AgentId {
    AgentId::new("agent-1").unwrap()
}

pub(super) fn settings() -> OutboxSettings {
    OutboxSettings { max_bytes: 1024 * 1024, preallocate_bytes: 1024 * 1024 }
}

pub(super) fn open(path: &Path) -> (Outbox, Loaded) {
    Outbox::open(path, &agent(), &settings()).unwrap()
}

/// How often a test repeats itself: more for a long run.
pub(super) fn repetitions(variable: &str, usual: u64) -> u64 {
    std::env::var(variable).ok().and_then(|n| n.parse().ok()).unwrap_or(usual)
}

/// A directory that goes away, and the outbox's path in it.
fn place() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("outbox.redb");
    (directory, path)
}

pub(super) fn draft(kind: Kind, data: &str) -> Draft {
    Draft { id: new_uuid(), kind, time: Time(1000), data: data.as_bytes().to_vec() }
}

fn decision(drafts: Vec<Draft>) -> Decision {
    Decision { id: new_uuid(), time: Time(2000), drafts, ..Decision::default() }
}

fn ack(outbox: &Outbox, lane: Lane, seq: u64) -> Ack {
    Ack { store: Uuid::from_u128(7), epoch: outbox.epoch(), lane, seq, rejects: Vec::new() }
}

fn seqs(outbox: &mut Outbox, lane: Lane) -> Vec<u64> {
    let page = outbox.pending(lane, 0, usize::MAX, usize::MAX).unwrap();
    page.envelopes.iter().map(|envelope| envelope.seq).collect()
}

#[test]
fn everything_is_there_again() {
    let (_directory, path) = place();
    let (mut outbox, loaded) = open(&path);
    assert!(loaded.positions.is_empty() && loaded.set_aside.is_none());
    let first = Decision {
        positions: vec![("log".into(), Position(vec![0, 255, 1]))],
        heard: vec![("tty".into(), Time(5))],
        rules: vec![("k".to_owned(), Some(b"{}".to_vec())), ("l".to_owned(), Some(b"1".to_vec()))],
        alarms: vec![("a".to_owned(), Some(b"2".to_vec()))],
        ..decision(vec![draft(Kind::Alarm, r#"{"x":1}"#), draft(Kind::Samples, "[]")])
    };
    let committed = outbox.commit(&first).unwrap();
    assert_eq!((committed.first_seq, committed.last_seq), (1, 1));
    let second = Decision { rules: vec![("l".to_owned(), None)], ..decision(Vec::new()) };
    assert!(outbox.commit(&second).unwrap().first_seq == 2);
    let epoch = outbox.epoch();
    drop(outbox);

    let (mut outbox, loaded) = open(&path);
    assert_eq!(outbox.epoch(), epoch);
    assert_eq!(loaded.positions["log"], Position(vec![0, 255, 1]));
    assert_eq!(loaded.heard["tty"], Time(5));
    assert_eq!(loaded.rules, vec![("k".to_owned(), b"{}".to_vec())]);
    assert_eq!(loaded.alarms, vec![("a".to_owned(), b"2".to_vec())]);
    let page = outbox.pending(Lane::Alarm, 0, 10, 10_000).unwrap();
    let [envelope] = page.envelopes.as_slice() else { panic!("{page:?}") };
    assert_eq!((envelope.epoch, envelope.seq, envelope.id), (epoch, 1, first.drafts[0].id));
    assert_eq!((envelope.data.as_slice(), &envelope.kind), (&b"{\"x\":1}"[..], &Kind::Alarm));
    assert_eq!(seqs(&mut outbox, Lane::Bulk), [1]);
    assert_eq!(outbox.commit(&decision(vec![draft(Kind::Loss, "{}")])).unwrap().first_seq, 2);
}

#[test]
fn a_second_process_is_refused_and_harms_nothing() {
    let (_directory, path) = place();
    let (outbox, _) = open(&path);
    let second = Outbox::open(&path, &agent(), &settings());
    assert!(matches!(second, Err(OutboxError::InUse(_))));
    drop(outbox);
    assert!(open(&path).1.set_aside.is_none());
}

#[test]
fn acknowledged_entries_leave_with_the_next_transaction() {
    let (_directory, path) = place();
    let (mut outbox, _) = open(&path);
    for _ in 0..5 {
        outbox.commit(&decision(vec![draft(Kind::Alarm, "1")])).unwrap();
    }
    let mut other_epoch = ack(&outbox, Lane::Alarm, 4);
    other_epoch.epoch = Uuid::nil();
    assert!(!outbox.ack(&other_epoch, Time(0)));
    assert!(!outbox.ack(&ack(&outbox, Lane::Alarm, 6), Time(0)), "never given");
    assert_eq!(seqs(&mut outbox, Lane::Alarm), [1, 2, 3, 4, 5]);
    assert!(outbox.ack(&ack(&outbox, Lane::Alarm, 3), Time(9)));
    assert!(!outbox.ack(&ack(&outbox, Lane::Alarm, 2), Time(9)), "nothing new");
    assert_eq!(seqs(&mut outbox, Lane::Alarm), [4, 5]);
    let status = outbox.status();
    let lane = &status.lanes[0];
    assert_eq!((lane.last_seq, lane.acked_seq, lane.depth), (5, 3, 2));
    assert_eq!((lane.oldest_at, status.last_ack_at), (Some(Time(1000)), Some(Time(9))));
    assert_eq!(status.lane_states(Time(3000))[0].oldest_s, 2);
    assert!(lane.balances(), "{lane:?}");
    outbox.settle().unwrap();
    let lane = outbox.status().lanes[0].clone();
    assert!(lane.balances() && lane.acked == 3, "{lane:?}");
    drop(outbox);
    let (mut outbox, _) = open(&path);
    assert_eq!(seqs(&mut outbox, Lane::Alarm), [4, 5]);
    outbox.ack(&ack(&outbox, Lane::Alarm, 5), Time(9));
    outbox.settle().unwrap();
    assert_eq!((outbox.status().stored_bytes, outbox.status().lanes[0].acked), (0, 5));
}

#[test]
fn pages_hold_to_their_limits() {
    let (_directory, path) = place();
    let (mut outbox, _) = open(&path);
    let text = format!("\"{}\"", "x".repeat(1000));
    outbox.commit(&decision((0..10).map(|_| draft(Kind::Alarm, &text)).collect())).unwrap();
    let mut page = |after, count, bytes| {
        let page = outbox.pending(Lane::Alarm, after, count, bytes).unwrap();
        page.envelopes.iter().map(|e| e.seq).collect::<Vec<_>>()
    };
    assert_eq!(page(0, 3, usize::MAX), [1, 2, 3]);
    assert_eq!(page(3, 3, 1), [4], "one at least");
    assert_eq!(page(3, 30, 4000), [4, 5, 6]);
    assert_eq!(page(8, 30, usize::MAX), [9, 10]);
    assert_eq!(page(10, 30, usize::MAX), [0u64; 0]);
    assert_eq!(page(u64::MAX, 30, usize::MAX), [0u64; 0]);
}

#[test]
fn refused_envelopes_and_receipts_are_kept() {
    let (_directory, path) = place();
    let (mut outbox, _) = open(&path);
    let refused = draft(Kind::Other("odd".to_owned()), r#"{"odd":1}"#);
    outbox.commit(&decision(vec![refused.clone(), draft(Kind::Alarm, "1")])).unwrap();
    let (reason, text) = ("unknown-type".to_owned(), "odd?".to_owned());
    let mut answer = ack(&outbox, Lane::Alarm, 2);
    answer.rejects = vec![Reject { seq: 1, id: refused.id, reason, text }];
    outbox.ack(&answer, Time(11));
    outbox.ack(&answer, Time(12));
    let receipt = Receipt {
        envelope: Uuid::from_u128(1),
        alarm_id: Uuid::from_u128(2),
        case: "C-1".to_owned(),
        ticket: "T-1".to_owned(),
        committed_at: Time(13),
    };
    outbox.receipt(&receipt);
    outbox.settle().unwrap();
    outbox.ack(&answer, Time(14));
    outbox.settle().unwrap();
    drop(outbox);
    let (mut outbox, _) = open(&path);
    let rows = outbox.rejects().unwrap();
    let [row] = rows.as_slice() else { panic!("{rows:?}") };
    assert_eq!((row.at, row.reject.id), (Time(11), refused.id));
    assert!(row.envelope.as_ref().unwrap().get().contains(r#""data":{"odd":1}"#));
    assert_eq!(outbox.status().lanes[0].rejected, 1);
    assert_eq!(outbox.receipt_of(receipt.alarm_id), Some(&receipt));
    assert_eq!(outbox.receipt_of(Uuid::from_u128(3)), None);
}

#[test]
fn numbers_that_another_copy_has_used_begin_anew() {
    let (_directory, path) = place();
    let (mut outbox, _) = open(&path);
    let drafts: Vec<Draft> = (1..=5).map(|n| draft(Kind::Alarm, &n.to_string())).collect();
    outbox.commit(&decision(drafts.clone())).unwrap();
    outbox.commit(&decision(vec![draft(Kind::Samples, "9")])).unwrap();
    outbox.ack(&ack(&outbox, Lane::Alarm, 2), Time(0));
    outbox.settle().unwrap();
    let epoch = outbox.epoch();
    let refusal = |id| Reject { seq: 3, id, reason: "duplicate-seq".into(), text: String::new() };
    // The copy has got further than we have.
    let mut answer = ack(&outbox, Lane::Alarm, 70);
    answer.rejects = vec![refusal(Uuid::nil())];
    assert!(!outbox.ack(&answer, Time(0)), "about another envelope than ours");
    assert_eq!(outbox.epoch(), epoch);
    answer.rejects = vec![refusal(drafts[2].id)];
    assert!(outbox.ack(&answer, Time(0)));
    assert_ne!(outbox.epoch(), epoch);
    let renewed = outbox.epoch();
    assert!(!outbox.ack(&answer, Time(0)), "of the old epoch");
    drop(outbox);
    let (mut outbox, _) = open(&path);
    assert_eq!(outbox.epoch(), renewed);
    let page = outbox.pending(Lane::Alarm, 0, 10, 10_000).unwrap();
    let found: Vec<_> = page.envelopes.iter().map(|e| (e.seq, e.id)).collect();
    assert_eq!(found, [(1, drafts[2].id), (2, drafts[3].id), (3, drafts[4].id)]);
    assert_eq!(seqs(&mut outbox, Lane::Bulk), [1]);
    outbox.ack(&ack(&outbox, Lane::Alarm, 3), Time(0));
    outbox.ack(&ack(&outbox, Lane::Bulk, 1), Time(0));
    outbox.settle().unwrap();
    assert_eq!(outbox.status().stored_bytes, 0);
    assert_eq!(outbox.commit(&decision(vec![draft(Kind::Loss, "{}")])).unwrap().first_seq, 4);
}

#[test]
fn another_agents_file_is_set_aside() {
    let (_directory, path) = place();
    let (mut outbox, _) = open(&path);
    outbox.commit(&decision(vec![draft(Kind::Alarm, "1")])).unwrap();
    drop(outbox);
    let other = AgentId::new("agent-2").unwrap();
    let (mut outbox, loaded) = Outbox::open(&path, &other, &settings()).unwrap();
    assert!(loaded.set_aside.is_some());
    let page = outbox.pending(Lane::Alarm, 0, 10, 10_000).unwrap();
    let kinds: Vec<Kind> = page.envelopes.into_iter().map(|envelope| envelope.kind).collect();
    assert_eq!(kinds, [Kind::Loss], "nothing of another agent is sent as ours");
}

#[test]
fn a_file_that_vanishes_while_running_is_replaced() {
    let (_directory, path) = place();
    let (mut outbox, _) = open(&path);
    let epoch = outbox.epoch();
    outbox.break_database();
    let committed = outbox.commit(&decision(vec![draft(Kind::Alarm, "1")])).unwrap();
    assert_eq!(committed.epoch, epoch, "opened again, the same life");
    std::fs::remove_file(&path).unwrap();
    outbox.break_database();
    let committed = outbox.commit(&decision(vec![draft(Kind::Alarm, "1")])).unwrap();
    assert_ne!(committed.epoch, epoch);
    assert_eq!((committed.first_seq, committed.last_seq), (1, 1));
}

#[test]
fn at_the_budget_bulk_goes_first_and_then_nothing_is_taken() {
    let (_directory, path) = place();
    let (mut outbox, _) = open(&path);
    let text = format!("\"{}\"", "x".repeat(100_000));
    for _ in 0..4 {
        outbox.commit(&decision(vec![draft(Kind::Samples, &text)])).unwrap();
    }
    let mut given = 0;
    let full = loop {
        match outbox.commit(&decision(vec![draft(Kind::Alarm, &text)])) {
            Ok(_) => given += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(full, OutboxError::Full { .. }), "{full:?}");
    let status = outbox.status();
    assert!(given >= 8 && status.stored_bytes <= status.budget_bytes);
    assert_eq!((status.lanes[1].evicted, status.lanes[1].depth, status.refused_full), (4, 0, 1));
    let page = outbox.pending(Lane::Alarm, 0, 100, usize::MAX).unwrap();
    let losses: Vec<serde_json::Value> = page
        .envelopes
        .iter()
        .filter(|envelope| envelope.kind == Kind::Loss)
        .map(|envelope| serde_json::from_slice(&envelope.data).unwrap())
        .collect();
    let lost: u64 = losses.iter().map(|loss| loss["count"].as_u64().unwrap()).sum();
    assert_eq!(
        (lost, &losses[0]["first_seq"], &losses[0]["lane"]),
        (4, &"1".into(), &"bulk".into())
    );
    outbox
        .commit(&Decision { heard: vec![("s".into(), Time(1))], ..decision(Vec::new()) })
        .unwrap();
    outbox.ack(&ack(&outbox, Lane::Alarm, 3), Time(0));
    outbox.commit(&decision(vec![draft(Kind::Alarm, &text)])).unwrap();
    let last = outbox.status().lanes[0].last_seq;
    outbox.ack(&ack(&outbox, Lane::Alarm, last), Time(0));
    let huge: Vec<Draft> = (0..12).map(|_| draft(Kind::Alarm, &text)).collect();
    outbox.commit(&decision(huge)).unwrap();
}

#[test]
fn payloads_that_are_no_json_are_refused_whole() {
    let (_directory, path) = place();
    let (mut outbox, _) = open(&path);
    let bad = decision(vec![draft(Kind::Alarm, "1"), draft(Kind::Alarm, "{")]);
    assert!(matches!(outbox.commit(&bad), Err(OutboxError::Json { .. })));
    assert_eq!(outbox.status().lanes[0].last_seq, 0);
}
