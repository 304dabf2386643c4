//! What may go to a receiver at once: robots take some messages a minute and no more. What is over is folded
//! into a summary, so that nothing is lost in a storm.

/// Notices that one summary is of.
pub const MOST_FOLDED: usize = 100;

/// What is done with notices that are due, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// So many of the first go each by itself.
    pub alone: usize,
    /// So many of the next go together in one.
    pub folded: usize,
}

/// `due` notices wait and `left` messages may go now; what is neither alone nor folded waits on.
pub fn pace(due: usize, left: usize) -> Pace {
    if due <= left {
        return Pace { alone: due, folded: 0 };
    }
    let Some(alone) = left.checked_sub(1) else { return Pace { alone: 0, folded: 0 } };
    Pace { alone, folded: (due - alone).min(MOST_FOLDED) }
}

/// After how long a failed attempt is repeated, seconds; `None`: it was the last one. `attempts`: those made.
pub fn again_after(attempts: i64) -> Option<i64> {
    const WAITS: [i64; 7] = [10, 30, 120, 600, 1800, 3600, 7200];
    let place = usize::try_from(attempts).ok()?.checked_sub(1)?;
    WAITS.get(place).copied()
}
