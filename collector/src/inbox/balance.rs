//! The balance of a lane: what the agent made against what is here.

use callhome_shared::heartbeat::LaneState;

/// What this store knows of a lane of one outbox life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Everything up to this number is committed or passed.
    pub acked_seq: u64,
    /// Numbers above it that are committed or passed.
    pub ahead: u64,
    /// The highest number that is committed or passed.
    pub highest_seq: u64,
    /// Numbers that the agent declared as given up and that did not come either.
    pub passed: u64,
    /// Of the committed ones, refused.
    pub rejected: u64,
    /// Numbers that another store acknowledged: they never come here.
    pub missing: u64,
}

/// Whether it closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every envelope that was made is committed, declared, or on its way.
    Closes,
    /// The agent has not told its side yet.
    Unknown,
    /// The agent's own account does not close.
    AgentDiffers,
    /// Envelopes that the agent was told are kept are not here.
    Missing,
}

impl Verdict {
    /// The stable word.
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::Closes => "closes",
            Verdict::Unknown => "unknown",
            Verdict::AgentDiffers => "agent_differs",
            Verdict::Missing => "missing",
        }
    }
}

/// Made = committed + given up + missing + on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Balance {
    /// Envelopes of this outbox life, as far as is known.
    pub made: u64,
    /// Committed here, refused ones too.
    pub committed: u64,
    /// Declared as folded or lost, never here.
    pub passed: u64,
    /// Acknowledged by another store, never here.
    pub missing: u64,
    /// Neither here nor declared yet.
    pub on_the_way: u64,
    /// Whether it closes.
    pub verdict: Verdict,
}

/// Draws it up. `told` is the lane in the agent's newest heartbeat of the same outbox life.
pub fn balance(ours: Account, told: Option<&LaneState>) -> Balance {
    let here = ours.acked_seq.saturating_add(ours.ahead);
    let made = told.map_or(0, |t| t.last_seq).max(ours.highest_seq).max(here);
    let missing = ours.missing.min(here);
    let passed = ours.passed.min(here - missing);
    Balance {
        made,
        committed: here - missing - passed,
        passed,
        missing,
        on_the_way: made - here,
        verdict: verdict(ours, told),
    }
}

fn verdict(ours: Account, told: Option<&LaneState>) -> Verdict {
    let Some(told) = told else { return Verdict::Unknown };
    let known = [told.acked, told.folded, told.evicted, told.depth];
    let known = known.into_iter().fold(0u64, u64::saturating_add);
    if ours.missing > 0 || told.acked_seq > ours.acked_seq {
        Verdict::Missing
    } else if known != told.last_seq {
        Verdict::AgentDiffers
    } else {
        Verdict::Closes
    }
}

#[cfg(test)]
mod tests {
    use callhome_shared::envelope::Lane;
    use proptest::prelude::*;

    use super::*;

    fn told(last_seq: u64, acked: u64, folded: u64, depth: u64) -> LaneState {
        LaneState {
            lane: Lane::Alarm,
            last_seq,
            acked_seq: acked + folded,
            depth,
            oldest_s: 0,
            acked,
            rejected: 0,
            folded,
            evicted: 0,
        }
    }

    #[test]
    fn each_verdict() {
        let ours = Account { acked_seq: 9, highest_seq: 9, passed: 2, ..Account::default() };
        let closing = balance(ours, Some(&told(12, 7, 2, 3)));
        assert_eq!((closing.made, closing.committed, closing.passed), (12, 7, 2));
        assert_eq!((closing.on_the_way, closing.verdict), (3, Verdict::Closes));
        assert_eq!(balance(ours, None).verdict, Verdict::Unknown);
        assert_eq!(balance(ours, Some(&told(12, 7, 2, 2))).verdict, Verdict::AgentDiffers);
        assert_eq!(balance(ours, Some(&told(12, 10, 2, 0))).verdict, Verdict::Missing);
        let restored = Account { missing: 4, ..ours };
        let open = balance(restored, Some(&told(9, 7, 2, 0)));
        assert_eq!((open.missing, open.committed, open.verdict), (4, 3, Verdict::Missing));
    }

    proptest! {
        #[test]
        fn prop_the_parts_are_the_whole(n: [u64; 6], m: [u64; 4], there: bool) {
            let [acked_seq, ahead, highest_seq, passed, rejected, missing] = n;
            let ours = Account { acked_seq, ahead, highest_seq, passed, rejected, missing };
            let told = told(m[0], m[1] / 2, m[2] / 2, m[3]);
            let b = balance(ours, there.then_some(&told));
            let sum = [b.committed, b.passed, b.missing, b.on_the_way].map(u128::from);
            prop_assert_eq!(sum.iter().sum::<u128>(), u128::from(b.made));
        }
    }
}
