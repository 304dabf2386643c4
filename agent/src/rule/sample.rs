//! Rates and differences: two readings make one value. Counters wrap and begin anew.

use callhome_shared::time::Time;
use serde::{Deserialize, Serialize};

use super::definition::Measure;
use crate::source::{COUNTER32, COUNTER64, Reading, UPTIME, Value};

/// A device's sysUpTime wraps after 497 days; it is read this much before or after the rows, at most.
const UPTIME_SLACK_CS: u64 = 60 * 100;
const UPTIME_RANGE: u64 = 1 << 32;

/// What is remembered of the last reading.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Sample {
    /// When it was read.
    at: Time,
    /// The value, scaled; of a counter what its device counted, before scaling.
    value: Number,
    /// How long the device had been up, hundredths of a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    uptime: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Number {
    /// May rise and fall.
    Gauge(f64),
    /// Only rises; 32 bits.
    Counter32(u64),
    /// Only rises; 64 bits.
    Counter64(u64),
}

/// What a reading adds to the last one: the new sample, and the derived value where there is one. `None`
/// = the reading is no number.
pub(super) fn derive(
    measure: Measure,
    last: Option<&Sample>,
    reading: &Reading,
) -> Option<(Sample, Option<f64>)> {
    let sample = Sample::of(reading)?;
    let derived = last.and_then(|last| {
        let elapsed = sample.at.since_ms(last.at);
        if elapsed <= 0 || begun_anew(last, &sample) {
            return None;
        }
        let counted = difference(last.value, sample.value)?;
        let scaled = counted * scale(reading, sample.value);
        Some(match measure {
            Measure::Rate => scaled * 1000.0 / elapsed as f64,
            Measure::Value | Measure::Delta => scaled,
        })
    });
    Some((sample, derived.filter(|value| value.is_finite())))
}

impl Sample {
    /// Whether the value is the same.
    pub(super) fn is_at(&self, next: &Sample) -> bool {
        self.value == next.value
    }

    fn of(reading: &Reading) -> Option<Sample> {
        let Value::Number(number) = reading.value else { return None };
        let label = |name: &str| {
            let found = reading.labels.iter().find(|(n, _)| **n == *name);
            found.and_then(|(_, text)| text.parse::<u64>().ok())
        };
        let value = match (label(COUNTER32), label(COUNTER64)) {
            (Some(count), _) => Number::Counter32(count),
            (None, Some(count)) => Number::Counter64(count),
            (None, None) => Number::Gauge(Some(number).filter(|n| n.is_finite())?),
        };
        Some(Sample { at: reading.observed_at, value, uptime: label(UPTIME) })
    }
}

/// Whether the device was started between the two, so that its counters began at 0.
fn begun_anew(last: &Sample, next: &Sample) -> bool {
    let (Some(before), Some(now)) = (last.uptime, next.uptime) else { return false };
    let elapsed = u64::try_from(next.at.since_ms(last.at) / 10).unwrap_or(0);
    let expected = before.saturating_add(elapsed);
    // The uptime itself has wrapped: it is small, and that was due.
    if expected.saturating_add(UPTIME_SLACK_CS) >= UPTIME_RANGE && now < before {
        let due = expected.saturating_sub(UPTIME_RANGE).saturating_add(UPTIME_SLACK_CS);
        return now > due;
    }
    now < before || now.saturating_add(elapsed / 10) < elapsed
}

/// By how much it went on; of a counter that fell without a restart, beyond its wrap. One that would
/// have gone on by more than half of its range was set back instead, or wrapped who knows how often.
fn difference(last: Number, next: Number) -> Option<f64> {
    let counted = |last: u64, next: u64, top: u64| {
        if next >= last {
            return Some((next - last) as f64);
        }
        let on = top.checked_sub(last)?.checked_add(next)?.checked_add(1)?;
        (on <= top / 2).then_some(on as f64)
    };
    match (last, next) {
        (Number::Gauge(last), Number::Gauge(next)) => Some(next - last),
        (Number::Counter32(last), Number::Counter32(next)) => {
            counted(last, next, u64::from(u32::MAX))
        }
        (Number::Counter64(last), Number::Counter64(next)) => counted(last, next, u64::MAX),
        // Another kind of number than before: a device that was replaced.
        _ => None,
    }
}

/// What one count is worth in the reading's unit.
fn scale(reading: &Reading, value: Number) -> f64 {
    match (value, &reading.value) {
        (Number::Gauge(_), _) => 1.0,
        (Number::Counter32(count) | Number::Counter64(count), Value::Number(scaled))
            if count > 0 && scaled.is_finite() =>
        {
            scaled / count as f64
        }
        _ => 1.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn reading(label: Option<(&str, u64)>, value: f64, at: i64, uptime: Option<u64>) -> Reading {
        let counter = label.map(|(name, count)| (name.into(), count.to_string()));
        let uptime = uptime.map(|uptime| (UPTIME.into(), uptime.to_string()));
        Reading {
            metric: "m".into(),
            resource: String::new(),
            value: Value::Number(value),
            unit: "".into(),
            origin: "".into(),
            labels: counter.into_iter().chain(uptime).collect(),
            occurred_at: None,
            observed_at: Time(at),
        }
    }

    fn between(one: &Reading, two: &Reading) -> (Option<f64>, Option<f64>) {
        let (first, none) = derive(Measure::Delta, None, one).unwrap();
        assert_eq!(none, None, "one reading is no interval");
        let of = |measure| derive(measure, Some(&first), two).unwrap().1;
        (of(Measure::Delta), of(Measure::Rate))
    }

    #[test]
    fn gauges_may_fall_and_counters_wrap() {
        let gauge = |value, at| reading(None, value, at, None);
        assert_eq!(between(&gauge(80.0, 0), &gauge(74.0, 3000)), (Some(-6.0), Some(-2.0)));
        assert_eq!(between(&gauge(80.0, 0), &gauge(74.0, 0)), (None, None), "no time has passed");
        assert_eq!(
            between(&gauge(80.0, 9), &gauge(74.0, 0)),
            (None, None),
            "the clock was set back"
        );
        let c32 = |count: u64, at| reading(Some((COUNTER32, count)), count as f64, at, None);
        assert_eq!(between(&c32(10, 0), &c32(70, 60_000)), (Some(60.0), Some(1.0)));
        assert_eq!(between(&c32(u64::from(u32::MAX), 0), &c32(4, 1000)), (Some(5.0), Some(5.0)));
        assert_eq!(between(&c32(1_000_000, 0), &c32(4, 1000)), (None, None), "set back by hand");
        let c64 = |count: u64, at| reading(Some((COUNTER64, count)), count as f64, at, None);
        assert_eq!(between(&c64(u64::MAX - 1, 0), &c64(1, 500)), (Some(3.0), Some(6.0)));
        // 2^60 + 1 has no place in a floating-point number.
        assert_eq!(between(&c64(1 << 60, 0), &c64((1 << 60) + 1, 1000)), (Some(1.0), Some(1.0)));
        assert_eq!(between(&c32(1, 0), &c64(9, 1000)), (None, None), "another device");
        let kib = |count: u64, at| reading(Some((COUNTER64, count)), count as f64 * 8.0, at, None);
        assert_eq!(between(&kib(100, 0), &kib(200, 1000)), (Some(800.0), Some(800.0)), "scaled");
    }

    #[test]
    fn an_interval_with_a_restart_gives_nothing() {
        let at = |count: u64, at, uptime| reading(Some((COUNTER32, count)), 0.0, at, Some(uptime));
        let judged = |one: (u64, u64), two: (u64, u64)| {
            between(&at(one.0, 0, one.1), &at(two.0, 60_000, two.1)).0.is_some()
        };
        assert!(judged((5, 100_000), (9, 106_000)));
        assert!(judged((5, 100_000), (9, 105_700)), "read a little earlier");
        assert!(!judged((5, 100_000), (9, 3_000)), "it is up for 30 s");
        assert!(!judged((5, 1_000), (900, 3_000)), "again up for longer than it was, yet started");
        let top = UPTIME_RANGE;
        assert!(judged((5, top - 3_000), (9, 3_000)), "after 497 days the uptime wraps");
        assert!(!judged((5, top - 500_000), (9, 3_000)), "that was not due");
    }

    proptest! {
        /// Whatever a counter counted between two readings is what comes out, however it wraps.
        #[test]
        fn prop_a_counter_gives_what_it_counted(start: u64, on in 0u64..=u64::MAX / 2, wide: bool) {
            let (name, mask) = if wide { (COUNTER64, u64::MAX) } else { (COUNTER32, u64::from(u32::MAX)) };
            let on = if wide { on } else { on & (mask / 2) };
            let (first, second) = (start & mask, start.wrapping_add(on) & mask);
            let one = reading(Some((name, first)), first as f64, 0, None);
            let two = reading(Some((name, second)), second as f64, 1000, None);
            let (delta, rate) = between(&one, &two);
            let close = |found: Option<f64>| found.is_some_and(|f| (f - on as f64).abs() <= on as f64 * 1e-9);
            prop_assert!(close(delta) && close(rate), "{delta:?} {rate:?} {on}");
        }

        /// No reading panics, and nothing that is no finite number comes out.
        #[test]
        fn prop_no_reading_panics(
            steps in proptest::collection::vec((proptest::option::of(any::<u64>()), any::<f64>(), any::<i64>(), proptest::option::of(any::<u64>()), any::<bool>()), 1..20),
        ) {
            let mut last = None;
            for (count, value, at, uptime, wide) in steps {
                let name = if wide { COUNTER64 } else { COUNTER32 };
                let next = reading(count.map(|c| (name, c)), value, at, uptime);
                for measure in [Measure::Rate, Measure::Delta] {
                    if let Some((_, Some(derived))) = derive(measure, last.as_ref(), &next) {
                        prop_assert!(derived.is_finite());
                    }
                }
                last = derive(Measure::Rate, last.as_ref(), &next).map(|(sample, _)| sample).or(last);
            }
        }
    }
}
