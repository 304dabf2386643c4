//! A value's way from raw to reading: the metric's own conversion, part by part.

use std::collections::HashMap;

use serde::Serialize;

use super::said;
use crate::profile::oid::Oid;
use crate::profile::plan::{Conversion, Convert, Extract, Metric, Unit};
use crate::source::snmp::evaluate::{Snapshot, examine};

/// One step.
#[derive(Clone, Debug, Serialize)]
pub struct Stage {
    /// What was done.
    pub what: String,
    /// What came of it.
    pub value: String,
}

/// The steps of all rows of a metric.
pub struct Stages(Vec<(String, HashMap<Oid, String>)>);

impl Stages {
    /// The steps of one row.
    pub fn of_row(&self, oid: &Oid) -> Vec<Stage> {
        let stage = |(what, values): &(String, HashMap<Oid, String>)| {
            let value = values.get(oid).cloned().unwrap_or_else(|| "no value".to_owned());
            Stage { what: what.clone(), value }
        };
        self.0.iter().map(stage).collect()
    }
}

/// Runs the conversion with ever more of its parts.
pub fn of(metric: &Metric, snapshot: &Snapshot) -> Stages {
    let mut stages = Vec::new();
    for (what, conversion) in partial(&metric.conversion) {
        let metric = Metric { conversion, ..metric.clone() };
        let values = examine(&metric, snapshot).into_iter().filter(|row| row.readable);
        let values = values.map(|row| (row.oid, said(&row.reading.value))).collect();
        stages.push((what, values));
    }
    Stages(stages)
}

/// Comes after scaling.
fn is_late(convert: Convert) -> bool {
    matches!(convert, Convert::Fahrenheit | Convert::Kelvin | Convert::DbmFromMilliwatt)
}

fn name(convert: Convert) -> &'static str {
    Convert::ALL.iter().find(|(_, c)| *c == convert).map_or("convert", |(name, _)| name)
}

/// Each part with everything before it.
fn partial(whole: &Conversion) -> Vec<(String, Conversion)> {
    let mut now = whole.clone();
    now.ignore.clear();
    now.convert.clear();
    now.exponents.clear();
    now.bits.clear();
    (now.scale, now.percent_of, now.extract) = (1.0, None, Extract::Whole);
    now.unit = Unit::Fixed("".into());
    let mut all = Vec::new();
    if !whole.bits.is_empty() {
        now.bits = whole.bits.clone();
        return vec![("first bit that is set".to_owned(), now)];
    }
    if !matches!(whole.extract, Extract::Whole) {
        now.extract = whole.extract.clone();
        all.push(("extracted by the expression".to_owned(), now.clone()));
    }
    if let Some(oid) = &whole.percent_of {
        now.percent_of = Some(oid.clone());
        all.push((format!("percentage of {oid}"), now));
        return all;
    }
    for convert in whole.convert.iter().filter(|c| !is_late(**c)) {
        now.convert.push(*convert);
        all.push((format!("convert: {}", name(*convert)), now.clone()));
    }
    if !whole.exponents.is_empty() {
        now.exponents = whole.exponents.clone();
        let columns: Vec<String> =
            whole.exponents.iter().map(|exponent| exponent.column.to_string()).collect();
        all.push((format!("power of ten by {}", columns.join(", ")), now.clone()));
    }
    if whole.scale != 1.0 {
        now.scale = whole.scale;
        all.push((format!("scale_factor {}", whole.scale), now.clone()));
    }
    for convert in whole.convert.iter().filter(|c| is_late(**c)) {
        now.convert.push(*convert);
        all.push((format!("convert: {}", name(*convert)), now.clone()));
    }
    if let Unit::ByColumn { column, mapping } = &whole.unit
        && mapping.iter().any(|(_, unit)| Unit::to_celsius(unit).is_some())
    {
        now.unit = whole.unit.clone();
        all.push((format!("unit by {column}, in °C"), now));
    }
    all
}
