//! Paths that were not proven in time: when that is a fault. Pure.

use std::collections::BTreeMap;

use callhome_shared::probe::overdue_ms;
use callhome_shared::time::Time;

/// A step of the clock between two looks that is longer than this, ms, beyond the usual: time in which
/// nobody listened, or a clock that was set.
const JUMP_MS: i64 = 10_000;

/// Since when each agent is heard without a break. A path is not missed for the time in which its agent
/// was silent (that is a ticket of its own) or this collector did not run.
#[derive(Debug, Default)]
pub struct Heard {
    since: BTreeMap<String, Time>,
    looked: Option<Time>,
}

impl Heard {
    /// A look at those that are connected; `every_ms`: the usual time between two looks.
    pub fn look<'a>(&mut self, online: impl Iterator<Item = &'a str>, now: Time, every_ms: i64) {
        let step = self.looked.map_or(0, |before| now.since_ms(before));
        let mut before = std::mem::take(&mut self.since);
        if !(0..=every_ms + JUMP_MS).contains(&step) {
            before.clear();
        }
        let since =
            online.map(|agent| (agent.to_owned(), before.get(agent).copied().unwrap_or(now)));
        self.since = since.collect();
        self.looked = Some(now);
    }

    /// Whether a path was proven too long ago: `newest` is its last proof.
    pub fn misses(&self, agent: &str, interval_s: u64, newest: Option<Time>, now: Time) -> bool {
        let Some(since) = self.since.get(agent) else { return false };
        let base = newest.map_or(*since, |proof| proof.max(*since));
        now.since_ms(base) >= overdue_ms(interval_s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_restarts_and_clock_jumps_are_not_held_against_a_path() {
        let mut heard = Heard::default();
        let at = |s: i64| Time(s * 1000);
        let look = |heard: &mut Heard, from: i64, to: i64, online: &[&str]| {
            for s in from..=to {
                heard.look(online.iter().copied(), at(s), 1000);
            }
        };
        look(&mut heard, 0, 100, &["a"]);
        assert!(!heard.misses("a", 100, None, at(174)), "not yet, since the start");
        assert!(heard.misses("a", 100, None, at(175)));
        assert!(!heard.misses("a", 100, Some(at(50)), at(224)));
        assert!(heard.misses("a", 100, Some(at(50)), at(225)));
        assert!(
            heard.misses("a", 100, Some(at(-5000)), at(175)),
            "before the start counts no more"
        );
        assert!(!heard.misses("b", 100, None, at(100_000)), "never heard");
        look(&mut heard, 101, 300, &[]);
        assert!(!heard.misses("a", 100, None, at(300)), "silent: that is another ticket");
        look(&mut heard, 301, 400, &["a"]);
        assert!(!heard.misses("a", 100, Some(at(90)), at(475)), "back since 301");
        assert!(heard.misses("a", 100, Some(at(90)), at(476)));
        look(&mut heard, 90_000, 90_010, &["a"]);
        assert!(!heard.misses("a", 100, None, at(90_010)), "the clock jumped");
        look(&mut heard, 80_000, 80_010, &["a"]);
        assert!(!heard.misses("a", 100, None, at(80_010)), "and back");
    }
}
