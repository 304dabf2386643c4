//! Why a clock shows what it shows: every stretch that counted and every one that did not.

use callhome_shared::time::Time;

use super::life::{Life, Rest};
use crate::calendar::Why;

/// Why a stretch counts or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Because {
    /// The hours of the calendar.
    Calendar(Why),
    /// The clock did not run.
    Rest(Rest),
}

/// One stretch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its beginning.
    pub from: Time,
    /// Its end.
    pub to: Time,
    /// How much of it counts, milliseconds: all or nothing.
    pub counted_ms: i64,
    /// How much had counted by its end, milliseconds.
    pub elapsed_ms: i64,
    /// Why.
    pub because: Because,
    /// What was promised in it: its place among the clock's terms.
    pub terms: usize,
}

/// All stretches from the beginning to `now` (or to the end of its life), without gaps.
pub fn explain(life: &Life, now: Time) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut elapsed_ms = 0;
    for part in &life.parts {
        let to = part.to.map_or(now, |to| to.min(now));
        if to <= part.from {
            continue;
        }
        let terms = part.terms;
        if let Some(rest) = &part.rest {
            let because = Because::Rest(rest.clone());
            // After the end of its life nothing is to be explained.
            if part.to.is_some() || matches!(rest, Rest::Paused(_)) {
                lines.push(Line { from: part.from, to, counted_ms: 0, elapsed_ms, because, terms });
            }
            continue;
        }
        for span in life.terms[terms].1.spans(part.from, to) {
            let counted_ms = if span.counts { span.to.since_ms(span.from) } else { 0 };
            elapsed_ms += counted_ms;
            let because = Because::Calendar(span.why);
            lines.push(Line {
                from: span.from,
                to: span.to,
                counted_ms,
                elapsed_ms,
                because,
                terms,
            });
        }
    }
    lines
}
