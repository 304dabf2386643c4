//! The book against a collector that cuts, kills, damages and forgets.

use callhome_shared::bundle::Subject;
use callhome_shared::id::new_uuid;
use proptest::prelude::*;

use super::super::record::{Decided, Person, Upload};
use super::*;

fn approved(size: u64) -> Record {
    Record {
        id: new_uuid(),
        subject: Subject { ticket: Some("T-000123".into()), alarm_id: None },
        name: "a.tar.gz".into(),
        size,
        sha256: "0".repeat(64),
        files: 1,
        created_at: Time(0),
        created_by: Person::default(),
        note: None,
        state: State::Approved,
        decided: Some(Decided { by: None, at: Time(0) }),
        cancelled: None,
        over_at: None,
        reason: None,
        archive: true,
        upload: Upload::default(),
    }
}

/// What the other side does with a request.
#[derive(Clone, Copy, Debug)]
enum Fate {
    /// It is done and answered.
    Fine,
    /// It is done, the answer is lost.
    Unheard,
    /// It never arrives.
    Cut,
    /// The agent dies before the answer; the record comes back from the disk.
    Killed,
    /// The chunk is damaged on its way.
    Damaged,
    /// The collector has forgotten the upload (restored from a backup).
    Forgotten,
    /// The collector is too busy.
    Busy,
}

/// The other side, as the routes are documented.
#[derive(Default)]
struct Collector {
    declared: bool,
    kept: u64,
    complete: bool,
    /// How often it was put on the ticket.
    landed: u32,
}

impl Collector {
    fn serve(&mut self, step: Step, size: u64) -> Event {
        match step {
            Step::Declare => {
                self.declared = true;
                let state = if self.complete { There::Complete } else { There::Open };
                Event::Stands(Standing {
                    id: uuid::Uuid::nil(),
                    state,
                    offset: self.kept,
                    reason: None,
                })
            }
            _ if !self.declared => Event::Unknown,
            Step::Look => Event::Offset(self.kept, self.complete),
            Step::Chunk { offset, .. } if offset != self.kept => {
                Event::Offset(self.kept, self.complete)
            }
            Step::Chunk { len, .. } => {
                self.kept += len;
                assert!(self.kept <= size);
                Event::Offset(self.kept, false)
            }
            Step::Complete if self.kept < size => Event::Offset(self.kept, false),
            Step::Complete => {
                self.landed += u32::from(!self.complete);
                self.complete = true;
                Event::Completed
            }
            Step::Withdraw if self.complete => Event::Completed,
            Step::Withdraw => {
                *self = Collector::default();
                Event::Withdrawn
            }
            Step::Tell | Step::Rest => Event::Told,
        }
    }
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        4 => Just(Fate::Fine), 1 => Just(Fate::Unheard), 1 => Just(Fate::Cut), 1 => Just(Fate::Killed),
        1 => Just(Fate::Damaged), 1 => Just(Fate::Forgotten), 1 => Just(Fate::Busy),
    ]
}

proptest! {
    #[test]
    fn prop_whatever_happens_all_of_it_arrives_once(
        size in 1u64..5_000, chunk in 1u64..700, fates in prop::collection::vec(fate(), 0..60)
    ) {
        let (mut record, mut there) = (approved(size), Collector::default());
        let mut disk = record.clone();
        let mut fates = fates.into_iter();
        let (mut sent, mut wasted, mut steps) = (0, 0, 0);
        while record.state == State::Approved {
            steps += 1;
            prop_assert!(steps < 12_000, "it never ends: {record:?}");
            let step = next(&record, chunk);
            let len = if let Step::Chunk { len, .. } = step { len } else { 0 };
            sent += len;
            let fate = fates.next().unwrap_or(Fate::Fine);
            if step == Step::Tell {
                disk = record.clone();
            }
            let event = match fate {
                _ if step == Step::Tell => Event::Told,
                Fate::Fine => there.serve(step, size),
                Fate::Unheard => { there.serve(step, size); Event::Lost("cut".into()) }
                Fate::Cut => { wasted += len; Event::Lost("cut".into()) }
                Fate::Killed => {
                    there.serve(step, size);
                    let text = serde_json::to_string(&disk).unwrap();
                    record = serde_json::from_str(&text).unwrap();
                    continue;
                }
                Fate::Damaged if len > 0 => { wasted += len; Event::Damaged("digest".into()) }
                Fate::Damaged => there.serve(step, size),
                Fate::Forgotten if !there.complete => {
                    wasted += there.kept + len;
                    there = Collector::default();
                    if step == Step::Declare { there.serve(step, size) } else { Event::Unknown }
                }
                Fate::Forgotten => there.serve(step, size),
                Fate::Busy => { wasted += len; Event::Later(Duration::from_secs(5), "busy".into()) }
            };
            if apply(&mut record, event, Time(1)) == Weight::Heavy {
                disk = record.clone();
            }
        }
        prop_assert_eq!((record.state, there.kept, there.landed), (State::Sent, size, 1));
        prop_assert_eq!(sent, size + wasted);
    }

    #[test]
    fn prop_a_cancelled_one_sends_no_more_and_is_withdrawn(
        size in 1u64..5_000, before in 0usize..30, fates in prop::collection::vec(fate(), 0..20)
    ) {
        let (mut record, mut there) = (approved(size), Collector::default());
        for _ in 0..before {
            let event = there.serve(next(&record, 300), size);
            apply(&mut record, event, Time(1));
        }
        let late = record.upload.complete;
        prop_assert_eq!(record.cancel(Person::default(), Time(2)).is_err(), late);
        if late {
            return Ok(());
        }
        let mut fates = fates.into_iter();
        let mut steps = 0;
        loop {
            let step = next(&record, 300);
            if step == Step::Rest {
                break;
            }
            prop_assert!(matches!(step, Step::Withdraw | Step::Tell), "{step:?}");
            let event = match fates.next() {
                Some(Fate::Cut | Fate::Busy | Fate::Killed | Fate::Damaged) => Event::Lost("x".into()),
                Some(Fate::Unheard) => { there.serve(step, size); Event::Lost("x".into()) }
                _ => there.serve(step, size),
            };
            apply(&mut record, event, Time(3));
            steps += 1;
            prop_assert!(steps < 100);
        }
        // Either it is gone on both sides, or it was there before and is on both.
        prop_assert_eq!(there.complete, record.state == State::Sent);
        prop_assert!(there.complete || !there.declared);
    }

    #[test]
    fn no_answer_panics_or_goes_beyond_the_end(offset: u64, size in 1u64..u64::MAX, chunk: u64, all: bool) {
        let mut record = approved(size);
        record.upload.declared = true;
        apply(&mut record, Event::Offset(offset, all), Time(i64::MAX));
        match next(&record, chunk) {
            Step::Chunk { offset, len } => prop_assert!(len > 0 && offset + len <= size),
            step => prop_assert_eq!(step, Step::Complete),
        }
        apply(&mut record, Event::Later(Duration::MAX, "\u{7}".repeat(1000)), Time(i64::MAX));
        prop_assert!(due(&record, Time(i64::MIN)).unwrap() <= LONGEST_WAIT);
    }
}

#[test]
fn three_wrong_ones_are_enough_and_pauses_are_kept() {
    let mut record = approved(10);
    for n in 1..=3 {
        record.upload.declared = true;
        apply(&mut record, Event::Differs, Time(0));
        assert_eq!(record.state == State::Refused, n == 3, "{n}");
    }
    let mut record = approved(10);
    apply(&mut record, Event::Later(Duration::from_secs(7), "507".into()), Time(0));
    assert_eq!(due(&record, Time(2000)), Some(Duration::from_secs(5)));
    assert_eq!(record.upload.trouble.as_ref().unwrap().text, "507");
    assert_eq!(largest_chunk(0), 1024 * 1024);
    assert_eq!(largest_chunk(1024 * 1024), 256 * 1024);
    assert_eq!(largest_chunk(1000), MIN_CHUNK);
}
