//! Writing, rotating, reading and being killed, at random: every line exactly once.

use super::*;

/// Writes numbered lines and rotates in every way, as fast as it can.
struct Rotator {
    folder: PathBuf,
    random: SmallRng,
    written: usize,
    /// Open across rotations, as a daemon holds it until it is told.
    file: Option<fs::File>,
    dates: usize,
    /// Names by date instead of by number: nobody mixes them.
    dated: bool,
}

impl Rotator {
    const KEEP: usize = 40;

    fn log(&self) -> PathBuf {
        self.folder.join("messages")
    }

    fn numbered(&self, n: usize) -> PathBuf {
        self.folder.join(format!("messages.{n}"))
    }

    fn write_some(&mut self) {
        let path = self.log();
        let file = self.file.get_or_insert_with(|| {
            OpenOptions::new().create(true).append(true).open(path).unwrap()
        });
        for _ in 0..self.random.random_range(1..20) {
            let width = self.random.random_range(1..200);
            let line = format!("line {} {}\n", self.written, "y".repeat(width));
            self.written += 1;
            let cut = self.random.random_range(0..line.len());
            file.write_all(&line.as_bytes()[..cut]).unwrap();
            file.write_all(&line.as_bytes()[cut..]).unwrap();
        }
    }

    /// Makes room: what the present file will be called.
    fn next_name(&mut self) -> PathBuf {
        if self.dated {
            self.dates += 1;
            return self.folder.join(format!("messages-2026{:06}", self.dates));
        }
        for n in (1..Self::KEEP).rev() {
            let _ = fs::rename(self.numbered(n), self.numbered(n + 1));
        }
        self.numbered(1)
    }

    /// Copytruncate loses by itself what is written between its copy and its truncation: nothing
    /// is written in between here, so that the test can be exact.
    fn rotate(&mut self) {
        if !self.log().exists() {
            return;
        }
        let name = self.next_name();
        match self.random.random_range(0..5) {
            0 | 1 => copytruncate(&self.log(), &name),
            2 => {
                // The daemon goes on writing into the renamed file until it is told.
                fs::rename(self.log(), name).unwrap();
                self.write_some();
                self.file = None;
            }
            3 => {
                fs::rename(self.log(), name).unwrap();
                self.file = None;
                fs::File::create(self.log()).unwrap();
            }
            _ => {
                fs::rename(self.log(), name).unwrap();
                self.file = None;
            }
        }
    }

    fn expected(&self, seen: &[String]) {
        let numbers: Vec<usize> = seen
            .iter()
            .map(|l| l.split(' ').nth(1).unwrap().parse().unwrap_or_else(|_| panic!("{l}")))
            .collect();
        let mut sorted = numbers.clone();
        sorted.sort_unstable();
        sorted.dedup();
        let missing: Vec<usize> =
            (0..self.written).filter(|n| sorted.binary_search(n).is_err()).collect();
        assert_eq!(missing, Vec::<usize>::new(), "lines not seen");
        assert_eq!(sorted.len(), numbers.len(), "lines seen twice");
        let inversions: Vec<_> = numbers.windows(2).filter(|w| w[1] != w[0] + 1).collect();
        assert!(inversions.is_empty(), "out of order: {inversions:?}");
    }
}

fn rotator(bench: &Bench, seed: u64) -> Rotator {
    let random = SmallRng::seed_from_u64(seed);
    Rotator {
        folder: bench.folder.path().to_owned(),
        random,
        written: 0,
        file: None,
        dates: 0,
        dated: seed % 4 == 3,
    }
}

/// Which seeds to try; `CALLHOME_SEEDS` multiplies their number.
fn seeds(count: u64) -> std::ops::Range<u64> {
    let times = std::env::var("CALLHOME_SEEDS").ok().and_then(|t| t.parse().ok()).unwrap_or(1);
    0..count * times
}

/// Writing, rotating, reading, stopping and being killed in turns, at random.
#[test]
fn every_line_exactly_once_in_turns() {
    let mut restarts = 0;
    for seed in seeds(40) {
        let mut bench = Bench::new(StartFrom::Start);
        let mut rotator = rotator(&bench, seed);
        let mut random = SmallRng::seed_from_u64(seed + 1000);
        bench.look(true);
        for _ in 0..150 {
            match random.random_range(0..10) {
                0..=3 => rotator.write_some(),
                4 => rotator.rotate(),
                5 => {
                    restarts += 1;
                    bench.stop();
                }
                6 => {
                    restarts += 1;
                    bench.look(false);
                }
                _ => {
                    bench.look(true);
                }
            }
        }
        bench.read();
        assert_eq!(bench.gaps, [], "seed {seed}");
        rotator.expected(&bench.lines);
    }
    assert!(restarts > 500);
}

/// The same with writer and reader at once.
#[test]
fn every_line_exactly_once_at_once() {
    for seed in seeds(4) {
        let mut bench = Bench::new(StartFrom::Start);
        let mut rotator = rotator(&bench, seed);
        let mut random = SmallRng::seed_from_u64(seed + 2000);
        bench.look(true);
        let finished = AtomicBool::new(false);
        let rotator = std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                for _ in 0..300 {
                    rotator.write_some();
                    if rotator.random.random_range(0..6) == 0 {
                        rotator.rotate();
                    }
                    std::thread::sleep(Duration::from_millis(rotator.random.random_range(0..6)));
                }
                finished.store(true, Ordering::SeqCst);
                rotator
            });
            while !finished.load(Ordering::SeqCst) {
                bench.look(random.random_range(0..20) != 0);
                if random.random_range(0..20) == 0 {
                    bench.stop();
                }
                std::thread::sleep(Duration::from_millis(random.random_range(0..8)));
            }
            writer.join().unwrap()
        });
        bench.stop();
        bench.read();
        assert_eq!(bench.gaps, [], "seed {seed}");
        rotator.expected(&bench.lines);
    }
}
