//! How much of the sources' health, and of their paths, a heartbeat has room for. Pure.

use std::collections::VecDeque;
use std::io;

use callhome_shared::heartbeat::{Heartbeat, SourceHealth, SourceState};
use callhome_shared::limits::{MAX_PAYLOAD_BYTES, MAX_TEXT_BYTES, cut};
use callhome_shared::probe::PathState;
use callhome_shared::readout::Readout;
use serde::Serialize;

/// Room for the sources and their paths in one heartbeat, bytes of JSON.
const ROOM: usize = 96 * 1024;
/// Room for windows of maintenance in it.
const HELD_ROOM: usize = 16 * 1024;
/// What the link adds: the road with its proxy, the connection.
const LINK_ROOM: usize = 8 * 1024;
/// Longest word on why a source is not well or a path is stuck, bytes.
const MAX_DETAIL: usize = 1024;

/// Leaves so much in a heartbeat that it is within a payload, and says how many sources and paths found no
/// place. Those that are not well come first, in full; then the others, a source and a path in turn, by
/// name; then the particulars of these.
pub(super) fn fit(mut beat: Heartbeat) -> Heartbeat {
    for text in [&mut beat.site, &mut beat.customer].into_iter().flatten() {
        cut(text, MAX_TEXT_BYTES);
    }
    while size(&beat.held) > HELD_ROOM && beat.held.windows.pop().is_some() {}
    let mut sources = Shelf::new(std::mem::take(&mut beat.sources));
    let mut paths = Shelf::new(std::mem::take(&mut beat.paths));
    let rest = size(&beat) + LINK_ROOM;
    let mut room = MAX_PAYLOAD_BYTES.saturating_sub(rest).min(ROOM);
    loop {
        // What is not well before what is well; in turn while both are the same.
        let next = (sources.next(), paths.next());
        if next == (None, None) {
            break;
        }
        if next.0 >= next.1 {
            sources.place(&mut room);
        }
        if next.1 >= next.0 {
            paths.place(&mut room);
        }
    }
    sources.refine(&mut room);
    paths.refine(&mut room);
    (beat.sources, beat.sources_left_out) = sources.told();
    (beat.paths, beat.paths_left_out) = paths.told();
    beat
}

/// What may be told, or told without its particulars, or only counted.
trait Part: Serialize {
    type Particulars: Serialize;
    fn name(&self) -> &str;
    /// The lowest first.
    fn rank(&self) -> u8;
    fn detail(&mut self) -> Option<&mut String>;
    fn bare(&mut self) -> Self::Particulars;
    fn adorn(&mut self, particulars: Self::Particulars);
}

/// Rank of what is well.
const WELL: u8 = 3;

impl Part for SourceHealth {
    type Particulars = Option<Box<Readout>>;

    fn name(&self) -> &str {
        &self.source
    }

    fn rank(&self) -> u8 {
        match self.state {
            SourceState::Failed => 0,
            SourceState::Degraded => 1,
            SourceState::Starting => 2,
            SourceState::Ok => WELL,
        }
    }

    fn detail(&mut self) -> Option<&mut String> {
        Some(&mut self.detail)
    }

    fn bare(&mut self) -> Self::Particulars {
        self.readout.take()
    }

    fn adorn(&mut self, particulars: Self::Particulars) {
        self.readout = particulars;
    }
}

/// What a path can be told without.
#[derive(Serialize)]
struct Proof {
    ticket: Option<String>,
    took_ms: Option<u64>,
    p50_ms: Option<u64>,
    p99_ms: Option<u64>,
}

impl Part for PathState {
    type Particulars = Proof;

    fn name(&self) -> &str {
        &self.source
    }

    fn rank(&self) -> u8 {
        if self.missing.is_some() { 0 } else { WELL }
    }

    fn detail(&mut self) -> Option<&mut String> {
        self.missing.as_mut().map(|missing| &mut missing.detail)
    }

    fn bare(&mut self) -> Self::Particulars {
        Proof {
            ticket: self.ticket.take(),
            took_ms: self.took_ms.take(),
            p50_ms: self.p50_ms.take(),
            p99_ms: self.p99_ms.take(),
        }
    }

    fn adorn(&mut self, particulars: Self::Particulars) {
        let Proof { ticket, took_ms, p50_ms, p99_ms } = particulars;
        (self.ticket, self.took_ms, self.p50_ms, self.p99_ms) = (ticket, took_ms, p50_ms, p99_ms);
    }
}

/// Parts of a kind: those that wait for a place, and those that have one.
struct Shelf<P: Part> {
    waiting: VecDeque<P>,
    placed: Vec<(P, Option<P::Particulars>)>,
    left_out: u64,
}

impl<P: Part> Shelf<P> {
    fn new(mut all: Vec<P>) -> Self {
        all.sort_by(|a, b| a.rank().cmp(&b.rank()).then_with(|| a.name().cmp(b.name())));
        Shelf { waiting: all.into(), placed: Vec::new(), left_out: 0 }
    }

    /// Whether the next one is not well; `None`: there is no next one.
    fn next(&self) -> Option<bool> {
        self.waiting.front().map(|part| part.rank() < WELL)
    }

    /// Places the next one: with its particulars, if it is not well and there is room for them.
    fn place(&mut self, room: &mut usize) {
        let Some(mut part) = self.waiting.pop_front() else { return };
        if let Some(detail) = part.detail() {
            cut(detail, MAX_DETAIL);
        }
        if part.rank() < WELL && take(room, &part) {
            self.placed.push((part, None));
            return;
        }
        let particulars = part.bare();
        if take(room, &part) {
            self.placed.push((part, Some(particulars)));
        } else {
            self.left_out += 1;
        }
    }

    /// Gives particulars back, as far as there is room.
    fn refine(&mut self, room: &mut usize) {
        for (part, particulars) in &mut self.placed {
            if let Some(particulars) = particulars.take_if(|particulars| take(room, particulars)) {
                part.adorn(particulars);
            }
        }
    }

    /// Those that have a place, by name, and how many have none.
    fn told(self) -> (Vec<P>, u64) {
        let mut told: Vec<P> = self.placed.into_iter().map(|(part, _)| part).collect();
        told.sort_by(|a, b| a.name().cmp(b.name()));
        (told, self.left_out)
    }
}

/// Takes the room that a part needs, if there is so much.
fn take(room: &mut usize, part: &impl Serialize) -> bool {
    let rest = room.checked_sub(size(part));
    *room = rest.unwrap_or(*room);
    rest.is_some()
}

/// Bytes of JSON, with a name and a comma.
fn size(part: &impl Serialize) -> usize {
    let mut count = Count(16);
    serde_json::to_writer(&mut count, part).map_or(usize::MAX, |()| count.0)
}

/// Counts what is written.
struct Count(usize);

impl io::Write for Count {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.saturating_add(bytes.len());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use callhome_shared::heartbeat::{Held, HeldWindow};
    use callhome_shared::probe::{Hop, Missing};
    use callhome_shared::time::Time;
    use proptest::prelude::*;

    fn health(n: usize, name: &str, state: SourceState) -> SourceHealth {
        SourceHealth {
            source: format!("{name}-{n:04}"),
            device: format!("{name}-{n:04}"),
            kind: "snmp".into(),
            state,
            detail: if state == SourceState::Ok { String::new() } else { "no answer".repeat(9) },
            since: Time(n as i64),
            last_reading_at: Some(Time(7)),
            readout: Some(Box::new(Readout {
                profiles: vec!["dell-powervault".into()],
                ..Readout::default()
            })),
        }
    }

    fn path(n: usize, name: &str, missing: Option<Missing>) -> PathState {
        PathState {
            source: format!("{name}-{n:04}"),
            kind: "snmp".into(),
            interval_s: 3600,
            proven_at: Some(Time(7)),
            ticket: Some("P-000123".into()),
            took_ms: Some(12),
            p50_ms: Some(12),
            p99_ms: Some(13),
            samples: 9,
            missing,
        }
    }

    fn missing(detail: &str) -> Missing {
        Missing { hop: Hop::Reader, since: Time(5), detail: detail.to_owned() }
    }

    /// `count` sources named `name-N`, each with a path; one in a hundred not well.
    fn beat(count: usize, name: &str, detail: &str) -> Heartbeat {
        let ill = |n| n % 100 == 7;
        let state = |n| if ill(n) { SourceState::Failed } else { SourceState::Ok };
        Heartbeat {
            sources: (0..count).map(|n| health(n, name, state(n))).collect(),
            paths: (0..count).map(|n| path(n, name, ill(n).then(|| missing(detail)))).collect(),
            ..Heartbeat::default()
        }
    }

    #[test]
    fn a_thousand_sources_fit_and_the_bad_ones_are_there_in_full() {
        let told = fit(beat(1000, "array", "port gone"));
        assert_eq!(told.sources.len() as u64 + told.sources_left_out, 1000);
        assert_eq!(told.paths.len() as u64 + told.paths_left_out, 1000);
        let failed: Vec<_> =
            told.sources.iter().filter(|h| h.state == SourceState::Failed).collect();
        assert_eq!(failed.len(), 10);
        assert!(failed.iter().all(|h| h.readout.is_some()));
        let missed: Vec<_> = told.paths.iter().filter(|p| p.missing.is_some()).collect();
        assert_eq!(missed.len(), 10);
        assert!(missed.iter().all(|p| p.ticket.is_some()));
        assert!(told.sources.len() > 300 && told.paths.len() > 300, "{}", told.paths.len());
        assert!(told.sources.is_sorted_by(|a, b| a.source < b.source));
        assert!(told.paths.is_sorted_by(|a, b| a.source < b.source));
        let few = beat(20, "array", "port gone");
        assert_eq!(fit(few.clone()), few, "what fits is told whole");
    }

    #[test]
    fn particulars_give_way_before_anything_is_left_out() {
        let told = fit(beat(300, "array", "port gone"));
        assert_eq!((told.sources_left_out, told.paths_left_out), (0, 0));
        assert!(told.sources.iter().any(|h| h.readout.is_none()));
        assert!(told.paths.iter().any(|p| p.p50_ms.is_none()));
        let few = |n: usize| fit(beat(n, "array", "port gone"));
        assert!(few(150).sources.iter().all(|h| h.readout.is_some()));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn prop_a_heartbeat_is_never_over_a_payload(
            count in prop_oneof![4 => 0_usize..40, 4 => 0_usize..1000, 1 => 4000_usize..=5000],
            name in "[a-z\u{1}\"\u{4e00}]{1,250}", detail in "[a-z\u{1}\"\u{4e00}]{0,9000}",
            windows in 0_usize..9, bad in prop_oneof![Just(0_usize), Just(1), Just(5000)],
        ) {
            let mut beat = beat(count, &name, &detail);
            for health in beat.sources.iter_mut().take(bad) {
                health.state = SourceState::Degraded;
                health.detail.clone_from(&detail);
            }
            for path in beat.paths.iter_mut().take(bad) {
                path.missing = Some(missing(&detail));
            }
            let window = HeldWindow {
                id: name.clone(),
                devices: vec![name.clone(); 20],
                sites: vec![name.clone(); 20],
                until: Time(9),
                reason: detail.clone(),
                by: name.clone(),
            };
            beat.held = Held { maintenance: 1, parent: 1, windows: vec![window; windows] };
            (beat.site, beat.customer) = (Some(detail.clone()), Some(detail));
            let mut told = fit(beat);
            prop_assert_eq!(told.sources.len() as u64 + told.sources_left_out, count as u64);
            prop_assert_eq!(told.paths.len() as u64 + told.paths_left_out, count as u64);
            if count > 0 {
                prop_assert!(!told.sources.is_empty() && !told.paths.is_empty());
            }
            told.road = Some("r".repeat(LINK_ROOM - 100));
            told.connection = Some(uuid::Uuid::max());
            prop_assert!(serde_json::to_vec(&told).unwrap().len() <= MAX_PAYLOAD_BYTES);
        }
    }
}
