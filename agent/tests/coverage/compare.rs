//! Values beside values, verdicts beside verdicts.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use callhome_agent::profile::oid::Oid;
use callhome_agent::source::Value;
use callhome_agent::workshop::read::once;
use callhome_agent::workshop::{Rig, Row, Survey};
use serde::{Deserialize, Serialize};

use crate::expected::Sensor;

/// Numbers agree within this share, for rounding there.
const NEAR: f64 = 0.01;

/// What of one recording is seen.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Score {
    /// State sensors.
    pub states: usize,
    /// Of them, read with the same value.
    pub states_read: usize,
    /// Of them, read with the same value and the same verdict.
    pub states_agree: usize,
    /// Other sensors.
    pub numbers: usize,
    /// Of them, read with the same value.
    pub numbers_agree: usize,
    /// Alarms on the recording as it is.
    pub alarms: usize,
    /// Faults that could be written into sensors that are read.
    pub faults: usize,
    /// Of them, exactly one alarm of the right class on the right part, and cleared.
    pub detected: usize,
    /// What differs, for the report.
    #[serde(skip)]
    pub remarks: Vec<String>,
}

/// All but the mutants.
pub fn compare(survey: &Survey, sensors: &[Sensor]) -> Score {
    let mut rig = Rig::new(&survey.profiles);
    // As `profile read` tells them: each object once.
    let rows = once(rig.rows(&survey.snapshot));
    let by_oid = by_oid(&rows);
    let mut score = Score::default();
    for sensor in sensors {
        let found = by_oid.get(&sensor.oid).map(Vec::as_slice).unwrap_or_default();
        if sensor.class == "state" {
            state(sensor, found, &mut score);
        } else {
            score.numbers += 1;
            let same = found.iter().any(|row| agrees(&row.examined.reading.value, sensor.value));
            score.numbers_agree += usize::from(same);
            if !same {
                score.remarks.push(format!(
                    "{} {}: {}",
                    sensor.class,
                    sensor.label,
                    told(sensor, found)
                ));
            }
        }
    }
    rig.settle(&survey.snapshot);
    for alarm in rig.active() {
        score.alarms += 1;
        let (severity, kind) = (alarm.severity.as_str(), &alarm.kind);
        score
            .remarks
            .push(format!("ALARM {severity} {kind} on {}: {}", alarm.resource, alarm.text));
    }
    score
}

fn state(sensor: &Sensor, found: &[&Row], score: &mut Score) {
    score.states += 1;
    let same: Vec<&&Row> =
        found.iter().filter(|row| says(&row.examined.reading.value, sensor)).collect();
    score.states_read += usize::from(!same.is_empty());
    let agree = same.iter().any(|row| row.verdict == sensor.verdict);
    score.states_agree += usize::from(agree);
    if !agree {
        score.remarks.push(format!("state {}: {}", sensor.label, told(sensor, found)));
    }
}

fn told(sensor: &Sensor, found: &[&Row]) -> String {
    let there = format!("{} there: {:?} {:?}", sensor.oid, sensor.value, sensor.verdict);
    match found {
        [] => format!("not read; {there}"),
        rows => {
            let here = rows.iter().map(|row| {
                let (value, unit) = (&row.examined.reading.value, &row.examined.reading.unit);
                format!("{} {value:?} {unit} {:?}", row.metric.name, row.verdict)
            });
            format!("{}; {there}", here.collect::<Vec<_>>().join(", "))
        }
    }
}

/// The rows by where their values stand.
pub fn by_oid(rows: &[Row]) -> BTreeMap<Oid, Vec<&Row>> {
    let mut all: BTreeMap<Oid, Vec<&Row>> = BTreeMap::new();
    for row in rows {
        all.entry(row.examined.oid.clone()).or_default().push(row);
    }
    all
}

/// A device that answers in words is compared by the words.
fn says(value: &Value, sensor: &Sensor) -> bool {
    let word =
        |text: &String| sensor.meaning.as_ref().is_some_and(|m| m.eq_ignore_ascii_case(text));
    agrees(value, sensor.value) || matches!(value, Value::Text(text) if word(text))
}

fn agrees(value: &Value, expected: Option<f64>) -> bool {
    let Some(expected) = expected else { return false };
    let number = match value {
        Value::Number(number) => *number,
        Value::Text(text) => match text.parse() {
            Ok(number) => number,
            Err(_) => return false,
        },
        _ => return false,
    };
    (number - expected).abs() <= NEAR * expected.abs().max(1.0)
}

/// The report.
pub fn table(scores: &BTreeMap<String, Score>, full: bool) -> String {
    let mut out = String::new();
    if full {
        for (name, score) in scores {
            for remark in &score.remarks {
                let _ = writeln!(out, "{name}: {remark}");
            }
        }
    }
    let head = [
        "recording",
        "states",
        "read",
        "agree",
        "numbers",
        "agree",
        "alarms",
        "faults",
        "detected",
    ];
    let _ = writeln!(out, "| {} |\n|{}", head.join(" | "), " --- |".repeat(head.len()));
    let mut sum = Score::default();
    for (name, s) in scores {
        line(&mut out, name, s);
        sum.states += s.states;
        sum.states_read += s.states_read;
        sum.states_agree += s.states_agree;
        sum.numbers += s.numbers;
        sum.numbers_agree += s.numbers_agree;
        sum.alarms += s.alarms;
        sum.faults += s.faults;
        sum.detected += s.detected;
    }
    line(&mut out, "all", &sum);
    out
}

fn line(out: &mut String, name: &str, s: &Score) {
    let counts = [
        s.states,
        s.states_read,
        s.states_agree,
        s.numbers,
        s.numbers_agree,
        s.alarms,
        s.faults,
        s.detected,
    ];
    let counts: Vec<String> = counts.iter().map(usize::to_string).collect();
    let _ = writeln!(out, "| {name} | {} |", counts.join(" | "));
}
