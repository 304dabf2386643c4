//! Thresholds: levels with hysteresis and a for-duration.

use callhome_shared::time::Time;
use serde::{Deserialize, Serialize};

use super::Level;

/// What is remembered of one level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Reached {
    /// Not beyond it.
    #[default]
    No,
    /// Beyond it since then, but not for long enough yet.
    Since(Time),
    /// Beyond it for long enough, and not back yet.
    Yes,
}

/// Moves `reached` (one entry a level; a level that the device does not give is not reached) and says
/// the worst level that holds. Between `limit` and
/// `clear` a level that was reached stays so, and one that was not does not begin to count. The
/// caller has sorted out values that are no number.
pub(super) fn judge(
    levels: &[Option<Level>],
    for_ms: i64,
    reached: &mut Vec<Reached>,
    value: f64,
    at: Time,
) -> Option<Level> {
    reached.resize(levels.len(), Reached::No);
    let mut worst: Option<Level> = None;
    for (level, reached) in levels.iter().zip(reached.iter_mut()) {
        let Some(level) = level else {
            *reached = Reached::No;
            continue;
        };
        let (beyond, back) = (level.is_reached(value), level.is_back(value));
        *reached = match *reached {
            _ if back => Reached::No,
            Reached::Yes => Reached::Yes,
            _ if !beyond => Reached::No,
            // A clock that was set back must not lengthen the wait: it begins anew.
            Reached::Since(start) if start <= at => ripe(start, for_ms, at),
            Reached::No | Reached::Since(_) => ripe(at, for_ms, at),
        };
        if *reached == Reached::Yes && worst.is_none_or(|w| level.severity > w.severity) {
            worst = Some(*level);
        }
    }
    worst
}

fn ripe(start: Time, for_ms: i64, at: Time) -> Reached {
    if at.since_ms(start) >= for_ms { Reached::Yes } else { Reached::Since(start) }
}
