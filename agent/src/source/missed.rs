//! What was lost on its way in, counted until it is declared.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use callhome_shared::time::Time;

use super::Gap;

/// From one declared loss to the next of the same reason, while it goes on.
const DECLARE_EVERY: Duration = Duration::from_secs(60);

/// Items that were lost for one reason, declared together.
#[derive(Debug)]
pub struct Missed {
    reason: &'static str,
    open: Option<(Time, Time, u64)>,
    declared: Option<Instant>,
    total: u64,
}

impl Missed {
    /// Nothing was missed. `reason` as in [`Gap::reason`].
    pub fn new(reason: &'static str) -> Self {
        Missed { reason, open: None, declared: None, total: 0 }
    }

    /// `count` items were missed at a time.
    pub fn add(&mut self, at: Time, count: u64) {
        let (from, _, before) = self.open.unwrap_or((at, at, 0));
        self.open = Some((from.min(at), at, before.saturating_add(count)));
        self.total = self.total.saturating_add(count);
    }

    /// Items missed, ever.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Since when something is not declared yet.
    pub fn since(&self) -> Option<Time> {
        self.open.map(|(from, _, _)| from)
    }

    /// What is to be declared now: at once the first time, then once a minute while it goes on.
    pub fn due(&mut self, now: Instant) -> Option<Gap> {
        let recent =
            self.declared.is_some_and(|at| now.saturating_duration_since(at) < DECLARE_EVERY);
        if recent { None } else { self.take(now) }
    }

    /// What is not declared yet, whenever the last was.
    pub fn take(&mut self, now: Instant) -> Option<Gap> {
        let (from, to, count) = self.open.take()?;
        self.declared = Some(now);
        Some(Gap { from, to, reason: self.reason, count: Some(count) })
    }
}

/// Datagrams that the kernel dropped at one UDP socket because its buffer was full, as Linux counts
/// them in `/proc/net/udp` and `/proc/net/udp6`.
#[derive(Debug)]
pub struct KernelDrops {
    inode: u64,
    seen: u64,
}

impl KernelDrops {
    /// Of this socket; `None` where it cannot be told.
    pub fn of(socket: &impl AsFd) -> Option<Self> {
        let inode = rustix::fs::fstat(socket).ok()?.st_ino;
        Some(KernelDrops { inode, seen: 0 })
    }

    /// How many were dropped since it was last asked.
    pub fn look(&mut self) -> u64 {
        let count = ["/proc/net/udp", "/proc/net/udp6"].iter().find_map(|path| {
            let table = std::fs::read_to_string(path).ok()?;
            table.lines().find_map(|line| dropped(line, self.inode))
        });
        let count = count.unwrap_or(self.seen);
        let new = count.saturating_sub(self.seen);
        self.seen = count;
        new
    }
}

/// The last column of the line with this inode (the tenth).
fn dropped(line: &str, inode: u64) -> Option<u64> {
    let mut words = line.split_whitespace();
    let found: u64 = words.nth(9)?.parse().ok()?;
    (found == inode).then(|| words.last()?.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declared_at_once_and_then_once_a_minute() {
        let start = Instant::now();
        let mut missed = Missed::new("rate-limited");
        assert_eq!(missed.due(start), None);
        missed.add(Time(7), 3);
        missed.add(Time(9), 2);
        let gap = Gap { from: Time(7), to: Time(9), reason: "rate-limited", count: Some(5) };
        assert_eq!(missed.due(start), Some(gap));
        missed.add(Time(10), 1);
        assert_eq!(missed.due(start + Duration::from_secs(59)), None);
        assert_eq!(missed.since(), Some(Time(10)), "nothing later may pass for heard");
        let gap = missed.due(start + Duration::from_secs(60)).unwrap();
        assert_eq!((gap.count, missed.since(), missed.total()), (Some(1), None, 6));
        missed.add(Time(11), 1);
        assert_eq!(missed.take(start).unwrap().count, Some(1), "at the end, whenever");
    }

    #[test]
    fn the_kernel_counts_what_it_drops() {
        let line = " 4096: 00000000:0202 00000000:0000 07 00000000:00000000 00:00000000 00000000  1000        0 5678 2 0000000000000000 42";
        assert_eq!((dropped(line, 5678), dropped(line, 5679)), (Some(42), None));
        assert_eq!(dropped("  sl  local_address rem_address", 1), None);
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let to = socket.local_addr().unwrap();
        let mut drops = KernelDrops::of(&socket).unwrap();
        assert_eq!(drops.look(), 0);
        let sender = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        for _ in 0..2000 {
            sender.send_to(&[0; 8000], to).unwrap();
        }
        assert!(drops.look() > 0, "16 MB do not fit into a socket's buffer");
        assert_eq!(drops.look(), 0, "told once");
    }
}
