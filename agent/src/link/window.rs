//! Which envelopes of a lane are on their way. Pure: time comes in.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

/// Longest wait for an acknowledgement, in multiples of the configured one.
const LONGEST: u32 = 8;

/// Limits of one lane.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Envelopes sent and not acknowledged end to end.
    pub count: usize,
    /// Their payload bytes.
    pub bytes: usize,
    /// Resend after so long.
    pub ack_timeout: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Sent {
    seq: u64,
    bytes: usize,
    at: Instant,
}

/// One lane's window.
#[derive(Debug)]
pub struct Window {
    limits: Limits,
    /// The outbox life that the sequence numbers belong to.
    epoch: Option<Uuid>,
    /// Highest sequence number handed to the client since the last going back.
    highest: u64,
    /// Sent and not acknowledged, in order.
    open: VecDeque<Sent>,
    /// Sum of their bytes.
    bytes: usize,
    /// Present wait; grows while the collector is silent.
    wait: Duration,
}

impl Window {
    /// An empty window: sending starts at the first unacknowledged envelope.
    pub fn new(limits: Limits) -> Self {
        Window {
            limits,
            epoch: None,
            highest: 0,
            open: VecDeque::new(),
            bytes: 0,
            wait: limits.ack_timeout,
        }
    }

    /// How many envelopes and bytes still fit.
    pub fn room(&self) -> (usize, usize) {
        (
            self.limits.count.saturating_sub(self.open.len()),
            self.limits.bytes.saturating_sub(self.bytes),
        )
    }

    /// The next envelope has a greater number than this.
    pub fn after(&self) -> u64 {
        self.highest
    }

    /// Whether everything handed over is acknowledged.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Looks at the life an answer of the outbox belongs to. `false`: it is a new one, the window was
    /// emptied, and the answer (asked with an old number) must be asked for again.
    pub fn enter(&mut self, epoch: Uuid) -> bool {
        let same = self.epoch.is_none_or(|known| known == epoch);
        self.epoch = Some(epoch);
        if !same {
            self.open.clear();
            self.bytes = 0;
            self.highest = 0;
            self.wait = self.limits.ack_timeout;
        }
        same
    }

    /// An envelope was handed to the client.
    pub fn sent(&mut self, seq: u64, bytes: usize, now: Instant) {
        if seq <= self.highest {
            return;
        }
        self.highest = seq;
        self.bytes += bytes;
        self.open.push_back(Sent { seq, bytes, at: now });
    }

    /// The collector committed up to `seq`. Numbers never sent say nothing. `true`: it freed something.
    pub fn acked(&mut self, epoch: Uuid, seq: u64) -> bool {
        if self.epoch != Some(epoch) {
            return false;
        }
        let before = self.open.len();
        while let Some(first) = self.open.front().filter(|first| first.seq <= seq) {
            self.bytes = self.bytes.saturating_sub(first.bytes);
            self.open.pop_front();
        }
        let progress = self.open.len() < before;
        if progress {
            self.wait = self.limits.ack_timeout;
        }
        progress
    }

    /// The collector said something: it is there, and what it does not acknowledge now need not wait
    /// as long as for one that is silent.
    pub fn alive(&mut self) {
        self.wait = self.limits.ack_timeout;
    }

    /// Goes back to the first unacknowledged envelope where the oldest waits too long. Says how many
    /// are to be sent again.
    pub fn overdue(&mut self, now: Instant) -> usize {
        let Some(first) = self.open.front() else { return 0 };
        if now.saturating_duration_since(first.at) < self.wait {
            return 0;
        }
        let again = self.open.len();
        self.highest = first.seq.saturating_sub(1);
        self.open.clear();
        self.bytes = 0;
        self.wait = (self.wait * 2).min(self.limits.ack_timeout * LONGEST);
        again
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMITS: Limits = Limits { count: 4, bytes: 100, ack_timeout: Duration::from_secs(10) };

    #[test]
    fn goes_back_to_the_first_unacknowledged_and_waits_longer_each_time() {
        let (epoch, start) = (Uuid::from_u128(1), Instant::now());
        let mut window = Window::new(LIMITS);
        assert!(window.enter(epoch));
        for seq in [3, 4, 7] {
            window.sent(seq, 30, start);
        }
        assert_eq!((window.room(), window.after()), ((1, 10), 7));
        assert!(window.acked(epoch, 3));
        assert!(!window.acked(Uuid::from_u128(2), 7), "another life's acknowledgement");
        let later = start + Duration::from_secs(10);
        assert_eq!(window.overdue(later - Duration::from_millis(1)), 0);
        assert_eq!(window.overdue(later), 2);
        assert_eq!((window.room(), window.after()), ((4, 100), 3));
        window.sent(4, 30, later);
        assert_eq!(window.overdue(later + Duration::from_secs(19)), 0);
        assert_eq!(window.overdue(later + Duration::from_secs(20)), 1);
        window.sent(4, 30, later);
        assert!(window.acked(epoch, 900), "a number beyond what was sent frees only what was sent");
        assert!(window.is_empty());
        assert_eq!(window.after(), 4);
    }

    #[test]
    fn a_sign_of_life_ends_the_longer_waits() {
        let (epoch, start) = (Uuid::from_u128(1), Instant::now());
        let mut window = Window::new(LIMITS);
        assert!(window.enter(epoch));
        let mut at = start;
        // 10, 20, 40, 80 and no more.
        for wait in [10, 20, 40, 80, 80] {
            window.sent(1, 30, at);
            at += Duration::from_secs(wait);
            assert_eq!(window.overdue(at - Duration::from_millis(1)), 0, "{wait}");
            assert_eq!(window.overdue(at), 1, "{wait}");
        }
        window.sent(1, 30, at);
        let soon = at + Duration::from_secs(10);
        assert_eq!(window.overdue(soon), 0, "nothing was heard");
        // An acknowledgement that frees nothing says that somebody is there.
        assert!(!window.acked(epoch, 0));
        assert_eq!(window.overdue(soon), 0);
        window.alive();
        assert_eq!(window.overdue(soon), 1);
        // From then on the waits grow as before.
        window.sent(1, 30, soon);
        assert_eq!(window.overdue(soon + Duration::from_secs(19)), 0);
        assert_eq!(window.overdue(soon + Duration::from_secs(20)), 1);
    }

    #[test]
    fn a_new_life_empties_it() {
        let mut window = Window::new(LIMITS);
        assert!(window.enter(Uuid::from_u128(1)));
        window.sent(9, 10, Instant::now());
        assert!(!window.enter(Uuid::from_u128(2)));
        assert_eq!((window.after(), window.is_empty(), window.room()), (0, true, (4, 100)));
        assert!(window.enter(Uuid::from_u128(2)));
    }

    proptest! {
        #[test]
        fn prop_bytes_and_count_always_agree(steps in prop::collection::vec((0u8..3, 1u64..20), 0..80)) {
            let (epoch, start) = (Uuid::from_u128(1), Instant::now());
            let mut window = Window::new(LIMITS);
            window.enter(epoch);
            for (i, (what, n)) in steps.into_iter().enumerate() {
                let now = start + Duration::from_secs(i as u64);
                match what {
                    0 => window.sent(window.after() + n, 10, now),
                    1 => { window.acked(epoch, n); }
                    _ => { window.overdue(now); }
                }
                prop_assert_eq!(window.bytes, window.open.len() * 10);
                prop_assert!(window.open.iter().all(|s| s.seq <= window.highest));
            }
        }
    }
}
