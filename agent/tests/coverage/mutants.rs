//! Every fault that could be written into a sensor: exactly one alarm, on the right part, of the right
//! class, and cleared when the value is as it was.

use callhome_agent::profile::oid::Oid;
use callhome_agent::source::snmp::evaluate::Snapshot;
use callhome_agent::source::snmp::value::Value;
use callhome_agent::workshop::{Recording, Rig, Survey, Verdict};
use callhome_shared::alarm::Transition;

use crate::compare::{Score, by_oid};
use crate::expected::{self, Sensor};

/// One in so many, where not all are tried.
const SAMPLE: usize = 10;

/// Tries the sensors that are read.
pub fn detect(
    survey: &Survey,
    recording: &Recording,
    sensors: &[Sensor],
    full: bool,
    score: &mut Score,
) {
    let mut rig = Rig::new(&survey.profiles);
    let rows = rig.rows(&survey.snapshot);
    let by_oid = by_oid(&rows);
    rig.settle(&survey.snapshot);
    let mut tried = 0;
    for sensor in sensors.iter().filter(|sensor| sensor.class == "state") {
        let Some(rows) = by_oid.get(&sensor.oid) else { continue };
        let resources: Vec<&str> =
            rows.iter().map(|row| row.examined.reading.resource.as_str()).collect();
        let Some(was) = recording.get(&sensor.oid) else { continue };
        for written in &sensor.faults {
            tried += 1;
            if !full && tried % SAMPLE != 1 {
                continue;
            }
            score.faults += 1;
            let fault = Fault { oid: &sensor.oid, was, written, resources: &resources };
            match fault.shows(&mut rig, &survey.snapshot) {
                Ok(()) => score.detected += 1,
                Err(why) => {
                    score.remarks.push(format!("fault {} = {}: {why}", sensor.label, written.raw));
                    rig = Rig::new(&survey.profiles);
                    rig.settle(&survey.snapshot);
                }
            }
        }
    }
}

struct Fault<'a> {
    oid: &'a Oid,
    was: &'a Value,
    written: &'a expected::Fault,
    resources: &'a [&'a str],
}

impl Fault<'_> {
    fn shows(&self, rig: &mut Rig, healthy: &Snapshot) -> Result<(), String> {
        let stood = rig.active().len();
        let broken = with(healthy, self.oid, &self.value());
        let said = rig.settle(&broken);
        let raised: Vec<_> =
            said.iter().filter(|alarm| alarm.transition != Transition::Cleared).collect();
        let [alarm] = raised.as_slice() else {
            let kinds: Vec<_> =
                raised.iter().map(|a| format!("{} {}", a.kind, a.resource)).collect();
            return Err(format!("{} alarms {kinds:?}", raised.len()));
        };
        if Verdict::from(alarm.severity) != self.written.class {
            return Err(format!(
                "{:?} expected, {} raised",
                self.written.class,
                alarm.severity.as_str()
            ));
        }
        if !self.resources.contains(&alarm.resource.as_str()) {
            return Err(format!("on {:?}, expected on {:?}", alarm.resource, self.resources));
        }
        rig.settle(healthy);
        match rig.active().len() {
            n if n == stood => Ok(()),
            n => Err(format!("{n} alarms stand afterwards, {stood} before")),
        }
    }

    /// The fault in the type, and in the kind of words, that the device answers with.
    fn value(&self) -> Value {
        let raw = &self.written.raw;
        let octets = |text: &str| Value::Octets(text.as_bytes().to_vec());
        match (self.was, raw.parse::<i64>()) {
            (Value::Octets(_), _) if self.was.number().is_none() => octets(&self.written.meaning),
            (Value::Octets(_), _) | (_, Err(_)) => octets(raw),
            (_, Ok(number)) => Value::Integer(number),
        }
    }
}

fn with(snapshot: &Snapshot, oid: &Oid, value: &Value) -> Snapshot {
    let mut snapshot = snapshot.clone();
    if let Some(scalar) = snapshot.scalars.get_mut(oid) {
        *scalar = value.clone();
    }
    for (root, column) in &mut snapshot.columns {
        if let Some(cell) = oid.after(root).and_then(|index| column.rows.get_mut(index)) {
            *cell = value.clone();
        }
    }
    snapshot
}
