//! Files that are cut, altered, zeroed: the outbox opens all the same, once, with what can be read.

use std::collections::BTreeMap;

use callhome_shared::ack::Ack;
use callhome_shared::envelope::{Envelope, Kind, Lane, Loss};
use callhome_shared::id::new_uuid;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use uuid::Uuid;

use super::*;

/// Damaged files, unless `CALLHOME_TEST_OUTBOX_DAMAGE` says more.
const FILES: u64 = 40;

type Waiting = BTreeMap<Uuid, Vec<u8>>;

/// A file with envelopes that wait and some that were acknowledged: what waits, by id, now and before
/// the last transaction.
fn fill(path: &Path, random: &mut SmallRng) -> (Uuid, Waiting, Waiting) {
    let (mut outbox, _) = open(path);
    let mut before = Waiting::new();
    let count = random.random_range(1..60);
    for n in 0..count {
        let pad = "x".repeat(random.random_range(0..9000));
        let life = new_uuid();
        let data = format!(r#"{{"alarm_id":"{life}","transition":"raised","pad":"{pad}"}}"#);
        let kind = if random.random_bool(0.2) { Kind::Samples } else { Kind::Alarm };
        let next = Decision {
            positions: vec![("log".into(), Position(n.to_string().into_bytes()))],
            heard: vec![("tty".into(), Time(n))],
            rules: vec![(format!("r{n}"), Some(b"{}".to_vec()))],
            alarms: vec![
                (format!("a{n}"), Some(vec![b' '; 500])),
                (format!("b{n}"), Some(b"{}".to_vec())),
            ],
            ..decision(vec![draft(kind, &data)])
        };
        before = waiting(&mut outbox);
        outbox.commit(&next).unwrap();
        if n + 1 < count && random.random_bool(0.1) {
            let (store, epoch, lane) = (Uuid::nil(), outbox.epoch(), Lane::Alarm);
            let last = outbox.status().lanes[0].last_seq;
            let seq = random.random_range(0..=last);
            outbox.ack(&Ack { store, epoch, lane, seq, rejects: vec![] }, Time(0));
        }
    }
    let waits = waiting(&mut outbox);
    let epoch = outbox.epoch();
    // Half of them are left as a kill leaves them.
    if random.random_bool(0.5) {
        let copy = std::fs::read(path).unwrap();
        drop(outbox);
        std::fs::write(path, copy).unwrap();
    }
    (epoch, waits, before)
}

fn waiting(outbox: &mut Outbox) -> Waiting {
    let mut all = BTreeMap::new();
    for envelope in envelopes(outbox) {
        all.insert(envelope.id, envelope.data);
    }
    all
}

fn envelopes(outbox: &mut Outbox) -> Vec<Envelope> {
    let mut all = Vec::new();
    for lane in Lane::ALL {
        all.extend(outbox.pending(lane, 0, usize::MAX, usize::MAX).unwrap().envelopes);
    }
    all
}

fn damage(bytes: &mut Vec<u8>, random: &mut SmallRng) {
    let length = bytes.len();
    // Most of a new file is empty.
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0) + 1;
    match random.random_range(0..5) {
        0 => bytes.truncate(random.random_range(0..length)),
        1 => {
            let at = random.random_range(0..used);
            bytes[at] ^= 1 << random.random_range(0..8);
        }
        2 => {
            for _ in 0..random.random_range(2..64) {
                let at = random.random_range(0..used);
                bytes[at] ^= 1 << random.random_range(0..8);
            }
        }
        3 => {
            let from = random.random_range(0..used);
            let to = (from + random.random_range(1..64 * 1024)).min(used);
            bytes[from..to].fill(0);
        }
        _ => {
            let from = random.random_range(0..used);
            let to = (from + random.random_range(1..16 * 1024)).min(used);
            bytes[from..to].iter_mut().for_each(|byte| *byte ^= 0x5a);
        }
    }
}

#[derive(Debug, Default)]
struct Counts {
    files: u64,
    still_whole: u64,
    rolled_back: u64,
    replaced: u64,
    waited: u64,
    taken_over: u64,
    declared_missing: u64,
    missing_unknown: u64,
    with_positions: u64,
}

#[test]
fn prop_damage_anywhere_is_survived_and_declared() {
    let mut counts = Counts::default();
    for seed in 0..repetitions("CALLHOME_TEST_OUTBOX_DAMAGE", FILES) {
        let mut random = SmallRng::seed_from_u64(seed);
        let (_directory, path) = place();
        let (epoch, waited, before) = fill(&path, &mut random);
        let mut bytes = std::fs::read(&path).unwrap();
        damage(&mut bytes, &mut random);
        std::fs::write(&path, &bytes).unwrap();
        counts.files += 1;

        let (mut outbox, loaded) = open(&path);
        let found = envelopes(&mut outbox);
        if bytes.is_empty() {
            // A file without a byte is a new one.
            assert!(found.is_empty());
            continue;
        }
        let Some(aside) = &loaded.set_aside else {
            assert_eq!(outbox.epoch(), epoch, "seed {seed}");
            let now = waiting(&mut outbox);
            // redb's header has two slots: if the newer is damaged it goes back to the transaction
            // before, with positions and all. The collector then knows numbers that are given again,
            // and a new epoch begins.
            let rolled_back = now == before && now != waited;
            counts.rolled_back += u64::from(rolled_back);
            counts.still_whole += u64::from(!rolled_back);
            assert!(rolled_back || now == waited, "seed {seed}");
            continue;
        };
        counts.replaced += 1;
        assert!(aside.exists());
        assert_ne!(outbox.epoch(), epoch, "seed {seed}");
        let losses: Vec<Loss> = found
            .iter()
            .filter(|envelope| envelope.kind == Kind::Loss)
            .map(|envelope| serde_json::from_slice(&envelope.data).unwrap())
            .collect();
        let [loss] = losses.as_slice() else { panic!("seed {seed}: {losses:?}") };
        assert_eq!((&*loss.source, &*loss.reason), ("outbox", "outbox-damaged"));
        let mut taken_over = 0;
        for envelope in found.iter().filter(|envelope| envelope.kind != Kind::Loss) {
            // One that was acknowledged may come again when the account that says so is damaged.
            if let Some(data) = waited.get(&envelope.id) {
                assert_eq!(&envelope.data, data, "seed {seed}");
                taken_over += 1;
            }
        }
        let missing = waited.len() as u64 - taken_over;
        counts.waited += waited.len() as u64;
        counts.taken_over += taken_over;
        match loss.count {
            Some(count) => {
                counts.declared_missing += count;
                assert!(count >= missing, "seed {seed}: {missing} are missing, {count} declared");
            }
            None => counts.missing_unknown += 1,
        }
        counts.with_positions += u64::from(loaded.positions.contains_key("log"));
        // It goes on, and a second start is like any other.
        outbox.commit(&decision(vec![draft(Kind::Alarm, "1")])).unwrap();
        let (renewed, now_waits) = (outbox.epoch(), waiting(&mut outbox));
        drop(outbox);
        let (mut outbox, loaded) = open(&path);
        assert!(loaded.set_aside.is_none(), "seed {seed}: only once");
        assert_eq!((outbox.epoch(), waiting(&mut outbox)), (renewed, now_waits));
    }
    println!("{counts:?}");
    assert!(counts.replaced > 0 && counts.taken_over > 0, "{counts:?}");
    assert!(counts.still_whole > 0 && counts.with_positions > 0, "{counts:?}");
}

#[test]
fn what_is_no_database_at_all_is_set_aside() {
    let (directory, path) = place();
    let mut aside = Vec::new();
    for n in 0..6 {
        std::fs::write(&path, format!("this is no database {n}")).unwrap();
        let (mut outbox, loaded) = open(&path);
        aside.push(loaded.set_aside.unwrap());
        assert_eq!(loaded.salvaged.unwrap().missing, None);
        assert_eq!(seqs(&mut outbox, Lane::Alarm), [1], "the loss");
        assert_eq!(outbox.status().aside_removed, u64::from(n >= 3));
    }
    let kept: Vec<bool> = aside.iter().map(|path| path.exists()).collect();
    assert_eq!(kept, [false, false, false, true, true, true], "the newest three");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 4);
}

/// A salvage that dies is tried again, and not for ever.
#[test]
fn a_salvage_that_was_interrupted_goes_on() {
    let (_directory, path) = place();
    let mut random = SmallRng::seed_from_u64(3);
    let (_, waited, _) = fill(&path, &mut random);
    // As after a kill between putting the file away and the end of the salvage.
    let waiting_path = path.with_file_name("outbox.redb.salvage");
    std::fs::rename(&path, &waiting_path).unwrap();
    let (mut outbox, loaded) = open(&path);
    assert_eq!(loaded.salvaged.unwrap().missing, Some(0));
    let found = waiting(&mut outbox);
    assert!(waited.iter().all(|(id, data)| found.get(id) == Some(data)));
    assert_eq!(found.len(), waited.len() + 1, "and the loss");
    assert!(!loaded.positions.is_empty() && !loaded.alarms.is_empty() && !loaded.rules.is_empty());
    assert!(!waiting_path.exists());
}

/// Entries that were folded may still stand in free parts of the file: they neither go out nor hide
/// that another one is missing.
#[test]
fn what_was_folded_before_the_damage_is_not_taken_for_found() {
    let (_directory, path) = place();
    let small = OutboxSettings { max_bytes: 24 * 1024, preallocate_bytes: 0 };
    let (mut outbox, _) = Outbox::open(&path, &agent(), &small).unwrap();
    let lives: Vec<Uuid> = (0..5).map(|_| new_uuid()).collect();
    for n in 0..40 {
        let say = |life: &Uuid| {
            let pad = "x".repeat(300);
            let data =
                format!(r#"{{"alarm_id":"{life}","transition":"changed","n":{n},"pad":"{pad}"}}"#);
            draft(Kind::Alarm, &data)
        };
        outbox.commit(&decision(lives.iter().map(say).collect())).unwrap();
    }
    assert!(outbox.status().lanes[0].folded > 100);
    let waited = waiting(&mut outbox);
    let all = envelopes(&mut outbox);
    let lost = all.iter().rfind(|envelope| envelope.kind == Kind::Alarm).unwrap();
    drop(outbox);
    let mut bytes = std::fs::read(&path).unwrap();
    let needle = format!(r#"{{"id":"{}""#, lost.id).into_bytes();
    for at in 0..bytes.len() - needle.len() {
        if bytes[at..].starts_with(&needle) {
            bytes[at + 10] ^= 1;
        }
    }
    std::fs::write(&path, bytes).unwrap();
    let (mut outbox, loaded) = Outbox::open(&path, &agent(), &small).unwrap();
    assert_eq!(loaded.salvaged.unwrap().missing, Some(1));
    let found = waiting(&mut outbox);
    let left: Vec<_> = waited.keys().filter(|id| !found.contains_key(id)).collect();
    assert_eq!(left, [&lost.id]);
    assert_eq!(found.len(), waited.len(), "one less, and the loss");
}
