//! How much of the sources' health a heartbeat has room for. Pure.

use callhome_shared::heartbeat::{SourceHealth, SourceState};

/// Room for the sources in one heartbeat, bytes of JSON: well within a payload.
pub(super) const ROOM: usize = 64 * 1024;

/// What is told of the sources, by name, and how many found no place. Those that do not read well come
/// first, in full; then the others, then the particulars of these.
pub(super) fn fit(mut all: Vec<SourceHealth>, room: usize) -> (Vec<SourceHealth>, u64) {
    all.sort_by_key(|health| match health.state {
        SourceState::Failed => 0,
        SourceState::Degraded => 1,
        SourceState::Starting => 2,
        SourceState::Ok => 3,
    });
    let mut left = room;
    let mut told = Vec::new();
    let mut readouts = Vec::new();
    let mut left_out = 0;
    for mut health in all {
        // Of those that read well the particulars come last, of the others they give way first.
        let readout = if health.state == SourceState::Ok { health.readout.take() } else { None };
        if size(&health) > left {
            health.readout = None;
        }
        match left.checked_sub(size(&health)) {
            Some(rest) => {
                left = rest;
                told.push(health);
                readouts.push(readout);
            }
            None => left_out += 1,
        }
    }
    for (health, readout) in told.iter_mut().zip(readouts) {
        let Some(readout) = readout else { continue };
        if let Some(rest) = left.checked_sub(size(&readout)) {
            left = rest;
            health.readout = Some(readout);
        }
    }
    told.sort_by(|a, b| a.source.cmp(&b.source));
    (told, left_out)
}

/// Bytes of JSON, with a name and a comma.
fn size(part: &impl serde::Serialize) -> usize {
    serde_json::to_vec(part).map_or(usize::MAX, |json| json.len() + 16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use callhome_shared::readout::Readout;
    use callhome_shared::time::Time;
    use proptest::prelude::*;

    fn health(n: usize, state: SourceState) -> SourceHealth {
        SourceHealth {
            source: format!("array-{n:04}"),
            device: format!("array-{n:04}"),
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

    #[test]
    fn a_thousand_sources_fit_and_the_bad_ones_are_there_in_full() {
        let state = |n| if n % 100 == 7 { SourceState::Failed } else { SourceState::Ok };
        let all: Vec<_> = (0..1000).map(|n| health(n, state(n))).collect();
        let (told, left_out) = fit(all.clone(), ROOM);
        assert_eq!(told.len() as u64 + left_out, 1000);
        assert!(serde_json::to_vec(&told).unwrap().len() <= ROOM);
        let failed: Vec<_> = told.iter().filter(|h| h.state == SourceState::Failed).collect();
        assert_eq!(failed.len(), 10);
        assert!(failed.iter().all(|h| h.readout.is_some()));
        assert!(
            told.len() > 300 && told.is_sorted_by(|a, b| a.source < b.source),
            "{}",
            told.len()
        );
        let (few, none) = fit(all[..20].to_vec(), ROOM);
        assert_eq!((few, none), (all[..20].to_vec(), 0), "what fits is told whole");
    }

    proptest! {
        #[test]
        fn prop_never_more_than_the_room(count in 0_usize..60, room in 0_usize..20_000, bad in 0_usize..60) {
            let state = |n| if n == bad { SourceState::Degraded } else { SourceState::Ok };
            let all: Vec<_> = (0..count).map(|n| health(n, state(n))).collect();
            let (told, left_out) = fit(all, room);
            prop_assert_eq!(told.len() as u64 + left_out, count as u64);
            prop_assert!(told.is_empty() || serde_json::to_vec(&told).unwrap().len() <= room);
        }
    }
}
