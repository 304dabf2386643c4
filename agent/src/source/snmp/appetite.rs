//! How much to ask a device for at once. Pure.
//!
//! A device that cannot answer so much (tooBig, genErr, answers that get lost) is asked for half; one
//! that takes no GETBULK is asked by GETNEXT. What was learned is kept over polls; after some whole walks
//! twice as much is tried again, and after each attempt that fails twice as many walks are waited for.

use super::message::Operation;

/// Columns asked for in one request.
const MAX_COLUMNS: usize = 8;
/// Bindings that one GETBULK may ask for before it is known how large they are: about what fits a UDP
/// datagram without fragments.
const BINDINGS: usize = 60;
/// The same once it is known.
const MAX_BINDINGS: usize = 90;
/// Octets of an answer that go through an Ethernet in one piece, whatever is before them.
const ANSWER: usize = 1400;
/// Whole walks after which more is tried again, at first.
const REST: u32 = 16;
/// The same at most.
const MAX_REST: u32 = 65_536;

/// How much to ask for at once; learned per device and kept over polls.
#[derive(Clone, Copy, Debug)]
pub struct Appetite {
    most: Portion,
    now: Portion,
    /// Whole walks since `now` became what it is.
    calm: u32,
    /// So many of them and more is tried.
    rest: u32,
    /// Whether `now` is an attempt with more.
    attempt: bool,
    /// Bindings that fit an answer.
    bindings: usize,
}

/// What one request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Portion {
    /// GETBULK, or GETNEXT only.
    pub bulk: bool,
    /// Rows at once.
    pub max_repetitions: u32,
    /// Columns at once.
    pub columns: usize,
}

impl Portion {
    fn half(self) -> Option<Self> {
        Some(if self.bulk && self.max_repetitions > 1 {
            Portion { max_repetitions: self.max_repetitions / 2, ..self }
        } else if self.bulk {
            Portion { bulk: false, ..self }
        } else if self.columns > 1 {
            Portion { columns: self.columns / 2, ..self }
        } else {
            return None;
        })
    }

    /// The way back, no further than `most`.
    fn double(self, most: Self) -> Self {
        if self.columns < most.columns {
            Portion { columns: (self.columns * 2).min(most.columns), ..self }
        } else if !self.bulk {
            Portion { bulk: most.bulk, ..self }
        } else {
            let max_repetitions = self.max_repetitions.saturating_mul(2).min(most.max_repetitions);
            Portion { max_repetitions, ..self }
        }
    }
}

impl Appetite {
    /// As configured.
    pub fn new(bulk: bool, max_repetitions: u32) -> Self {
        let max_repetitions = max_repetitions.max(1);
        let most = Portion { bulk, max_repetitions, columns: MAX_COLUMNS };
        Appetite { most, now: most, calm: 0, rest: REST, attempt: false, bindings: BINDINGS }
    }

    /// What a request asks for now.
    pub fn portion(&self) -> Portion {
        self.now
    }

    /// Asks for less; `false` = it cannot be less.
    pub fn halve(&mut self) -> bool {
        let Some(half) = self.now.half() else { return false };
        if self.attempt {
            self.rest = self.rest.saturating_mul(2).min(MAX_REST);
        }
        (self.now, self.calm, self.attempt) = (half, 0, false);
        tracing::debug!(portion = ?self.now, "asking the device for less at once");
        true
    }

    /// A walk came to its end, and nothing had to be made smaller.
    pub fn calm(&mut self) {
        self.calm = self.calm.saturating_add(1);
        if self.now == self.most || self.calm < self.rest {
            return;
        }
        (self.now, self.calm, self.attempt) = (self.now.double(self.most), 0, true);
        tracing::debug!(portion = ?self.now, "asking the device for more at once again");
    }

    /// An answer came with so many bindings in so many octets.
    pub fn fed(&mut self, bindings: usize, octets: usize) {
        // A few short ones say nothing of the others.
        if bindings >= BINDINGS / 2 {
            let fits = ANSWER * bindings / octets.max(1);
            self.bindings = fits.clamp(BINDINGS, MAX_BINDINGS);
        }
    }

    /// How to ask for so many columns.
    pub fn operation(&self, columns: usize) -> Operation {
        if !self.now.bulk {
            return Operation::GetNext;
        }
        let fits = u32::try_from(self.bindings / columns.max(1)).unwrap_or(1).max(1);
        Operation::GetBulk { max_repetitions: self.now.max_repetitions.min(fits) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calm(appetite: &mut Appetite, walks: u32) -> Portion {
        (0..walks).for_each(|_| appetite.calm());
        appetite.portion()
    }

    #[test]
    fn half_down_to_one_value_and_doubled_back_to_what_is_configured() {
        let mut appetite = Appetite::new(true, 20);
        let all = appetite.portion();
        let mut sizes = Vec::new();
        while appetite.halve() {
            let Portion { bulk, max_repetitions, columns } = appetite.portion();
            sizes.push((bulk, max_repetitions, columns));
        }
        assert_eq!(
            sizes,
            [
                (true, 10, 8),
                (true, 5, 8),
                (true, 2, 8),
                (true, 1, 8),
                (false, 1, 8),
                (false, 1, 4),
                (false, 1, 2),
                (false, 1, 1)
            ]
        );
        let mut walks = 0;
        while appetite.portion() != all {
            appetite.calm();
            walks += 1;
            assert!(walks < 1000);
        }
        // 2, 4, 8 columns, GETBULK, 2, 4, 8, 16, 20 rows.
        assert_eq!(walks, 9 * REST);
        assert_eq!(calm(&mut appetite, 1000), all, "never more than that");
        let mut never = Appetite::new(false, 20);
        while never.halve() {}
        assert!(!calm(&mut never, 10_000).bulk, "where it is switched off it stays off");
    }

    #[test]
    fn an_attempt_that_fails_is_repeated_less_and_less_often() {
        let mut appetite = Appetite::new(true, 8);
        appetite.halve();
        let small = appetite.portion();
        let mut waits = Vec::new();
        for _ in 0..5 {
            let mut walks = 0;
            while appetite.portion() == small {
                appetite.calm();
                walks += 1;
            }
            waits.push(walks);
            appetite.halve();
            assert_eq!(appetite.portion(), small);
        }
        assert_eq!(waits, [16, 32, 64, 128, 256]);
    }

    #[test]
    fn as_many_bindings_as_fit_a_datagram() {
        let mut appetite = Appetite::new(true, 100);
        let rows = |appetite: &Appetite| match appetite.operation(6) {
            Operation::GetBulk { max_repetitions } => max_repetitions,
            other => panic!("{other:?}"),
        };
        assert_eq!(rows(&appetite), 10, "60 bindings");
        appetite.fed(60, 60 * 18);
        assert_eq!(rows(&appetite), 12, "77 of 18 octets");
        appetite.fed(72, 72 * 40);
        assert_eq!(rows(&appetite), 10, "large ones: as before");
        appetite.fed(60, 60);
        assert_eq!(rows(&appetite), 15, "never more than 90");
        appetite.fed(6, 6000);
        assert_eq!(rows(&appetite), 15, "too few to say anything");
    }

    proptest::proptest! {
        /// Whatever happens: between one value and what is configured, and never more bindings than fit.
        #[test]
        fn prop_a_portion_stays_within_its_limits(
            bulk in proptest::bool::ANY,
            rows in 0u32..600,
            steps in proptest::collection::vec((proptest::bool::ANY, 0u32..200), 0..60),
        ) {
            let mut appetite = Appetite::new(bulk, rows);
            let most = appetite.portion();
            for (less, walks) in steps {
                if less { appetite.halve(); } else { calm(&mut appetite, walks); }
                appetite.fed(walks as usize, walks as usize * 9);
                let Portion { bulk, max_repetitions, columns } = appetite.portion();
                proptest::prop_assert!(most.bulk || !bulk);
                proptest::prop_assert!((1..=most.max_repetitions).contains(&max_repetitions));
                proptest::prop_assert!((1..=MAX_COLUMNS).contains(&columns));
                if let Operation::GetBulk { max_repetitions } = appetite.operation(columns) {
                    let asked = usize::try_from(max_repetitions).unwrap() * columns;
                    proptest::prop_assert!((1..=MAX_BINDINGS).contains(&asked));
                }
            }
        }
    }
}
