//! From what was read to readings. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

use callhome_shared::time::Time;

use super::memory::Memory;
use super::plan::sys_uptime;
use super::value::Value as Raw;
use super::walk::Column;
use crate::profile::oid::{Oid, dotted};
use crate::profile::plan::{
    Conversion, Convert, Extract, Metric, ReadLimit, Tag, TagSource, Unit, mapped, scaled,
};
use crate::source::{ABSENT, COUNTER32, COUNTER64, Origin, Reading, SKIPPED, UPTIME, Value};

static INDEX: LazyLock<Arc<str>> = LazyLock::new(|| "index".into());
static STATE: LazyLock<Arc<str>> = LazyLock::new(|| "state".into());
static VALUE: LazyLock<Arc<str>> = LazyLock::new(|| "value".into());

/// What one poll has read so far.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Walked columns.
    pub columns: BTreeMap<Oid, Column>,
    /// Single objects.
    pub scalars: BTreeMap<Oid, Raw>,
    /// When the single objects were answered.
    pub scalars_at: Time,
}

impl Snapshot {
    fn cell(&self, column: &Oid, index: &[u32]) -> Option<&Raw> {
        self.columns.get(column)?.rows.get(index)
    }

    /// How many values of a metric were read.
    pub fn values(&self, metric: &Metric) -> usize {
        match metric.column {
            true => self.columns.get(&metric.oid).map_or(0, |column| column.rows.len()),
            false => usize::from(self.scalars.contains_key(&metric.oid)),
        }
    }
}

/// One row on its way to a reading.
struct Row<'a> {
    index: &'a [u32],
    raw: &'a Raw,
    tags: Vec<(Arc<str>, String)>,
    resource: String,
}

impl Row<'_> {
    fn tag(&self, name: &str) -> Option<&str> {
        self.tags.iter().find(|(n, _)| **n == *name).map(|(_, value)| value.as_str())
    }
}

/// One row as it was read: what it says, and whether it counts now.
#[derive(Clone, Debug)]
pub struct Examined {
    /// Its reading, with the value that was read.
    pub reading: Reading,
    /// The full object identifier.
    pub oid: Oid,
    /// The tag for whose value the row says nothing now.
    pub skipped: Option<Arc<str>>,
    /// Whether the value is one that the metric can be read from; else the reading's is empty.
    pub readable: bool,
}

impl Examined {
    /// Its value as rules write it in their state maps.
    pub fn state(&self) -> String {
        state_key(&self.reading.value)
    }
}

/// All rows of one metric.
pub fn examine(metric: &Metric, snapshot: &Snapshot) -> Vec<Examined> {
    if !metric.column {
        let Some(raw) = snapshot.scalars.get(&metric.oid) else { return Vec::new() };
        let row =
            Row { index: &[], raw, tags: Vec::new(), resource: metric.resource.fill(|_| None) };
        return vec![examined(metric, row, snapshot, snapshot.scalars_at)];
    }
    let Some(column) = snapshot.columns.get(&metric.oid) else { return Vec::new() };
    let mut rows: Vec<Row<'_>> =
        column.rows.iter().map(|(index, raw)| row(metric, snapshot, index, raw)).collect();
    tell_apart(&mut rows);
    rows.into_iter().map(|row| examined(metric, row, snapshot, column.at)).collect()
}

/// The readings of one metric.
pub fn evaluate(metric: &Metric, snapshot: &Snapshot, memory: &mut Memory) -> Vec<Reading> {
    let rows = examine(metric, snapshot);
    // Only a column that was walked to its end can tell what is gone.
    let whole = snapshot.columns.get(&metric.oid).filter(|column| column.fault.is_none());
    let gone = match whole.filter(|_| metric.column && metric.alarmed) {
        Some(column) => {
            let present = rows.iter().map(|row| row.reading.resource.as_str());
            let gone = memory.gone(&metric.name, present);
            gone.into_iter().map(|resource| word(metric, resource, ABSENT, column.at)).collect()
        }
        None => Vec::new(),
    };
    rows.into_iter().filter_map(|row| told(metric, row, memory)).chain(gone).collect()
}

/// What of a row the rules are told.
fn told(metric: &Metric, row: Examined, memory: &mut Memory) -> Option<Reading> {
    let Examined { reading, oid, skipped, readable } = row;
    if skipped.is_some() {
        let (resource, at) = (reading.resource, reading.observed_at);
        return metric.alarmed.then(|| word(metric, resource, SKIPPED, at));
    }
    if !readable {
        return None;
    }
    if !metric.after.is_empty() {
        if metric.after.contains(&state_key(&reading.value)) {
            memory.see(&metric.name, &reading.resource);
        } else if !memory.has_seen(&metric.name, &reading.resource) {
            return None;
        }
    }
    Some(Reading { origin: Origin::Object(oid), ..reading })
}

/// A reading that is one of our own words.
fn word(metric: &Metric, resource: String, word: &str, at: Time) -> Reading {
    Reading {
        metric: metric.name.clone(),
        resource,
        value: Value::Text(word.to_owned()),
        unit: "".into(),
        origin: Origin::Object(metric.oid.clone()),
        labels: Vec::new(),
        occurred_at: None,
        observed_at: at,
    }
}

fn row<'a>(metric: &Metric, snapshot: &Snapshot, index: &'a [u32], raw: &'a Raw) -> Row<'a> {
    // Room for the state, too.
    let mut tags: Vec<(Arc<str>, String)> = Vec::with_capacity(metric.tags.len() + 2);
    let value = |tag| tag_value(tag, snapshot, index).unwrap_or_default();
    tags.extend(metric.tags.iter().map(|tag| (tag.name.clone(), value(tag))));
    tags.push((INDEX.clone(), dotted(index)));
    let mut row = Row { index, raw, tags, resource: String::new() };
    row.resource = metric.resource.fill(|name| row.tag(name));
    row
}

/// Rows of one name get their index added, all of them, so that the order does not matter.
fn tell_apart(rows: &mut [Row<'_>]) {
    let mut names: Vec<&str> = rows.iter().map(|row| row.resource.as_str()).collect();
    names.sort_unstable();
    let pairs = names.iter().zip(names.iter().skip(1));
    let twice: BTreeSet<String> =
        pairs.filter(|(one, next)| one == next).map(|(name, _)| (*name).to_owned()).collect();
    if twice.is_empty() {
        return;
    }
    for row in rows {
        if twice.contains(&row.resource) {
            row.resource = format!("{} [{}]", row.resource, dotted(row.index));
        }
    }
}

fn tag_value(tag: &Tag, snapshot: &Snapshot, index: &[u32]) -> Option<String> {
    let raw = match &tag.source {
        TagSource::Fixed(value) => return Some(value.clone()),
        TagSource::Index(n) => index.get(n - 1)?.to_string(),
        TagSource::IndexText(start, end) => index_text(index, *start, *end)?,
        TagSource::Reference { oid, index: column } => {
            let other = match snapshot.cell(column, index)? {
                Raw::Oid(oid) => oid.arcs().to_vec(),
                raw => raw.text()?.split('.').map(|arc| arc.parse().ok()).collect::<Option<_>>()?,
            };
            snapshot.cell(oid, &other)?.text()?
        }
        TagSource::Column { oid, transform } if transform.is_empty() => {
            snapshot.cell(oid, index)?.text()?
        }
        TagSource::Column { oid, transform } => {
            let mut other = Vec::new();
            for (start, end) in transform {
                other.extend_from_slice(index.get(*start..=*end)?);
            }
            snapshot.cell(oid, &other)?.text()?
        }
    };
    let text = match &tag.extract {
        Extract::Whole => raw,
        extract => extract.apply(&raw)?,
    };
    Some(mapped(&tag.mapping, &text).cloned().unwrap_or(text))
}

/// Arcs that are octets of a text, with or without their number before them.
fn index_text(index: &[u32], start: usize, end: Option<usize>) -> Option<String> {
    let arcs = match end {
        Some(end) => index.get(start..=end.min(index.len().checked_sub(1)?))?,
        None => index.get(start..)?,
    };
    let arcs = match arcs {
        [length, rest @ ..] if usize::try_from(*length) == Ok(rest.len()) => rest,
        arcs => arcs,
    };
    let octets: Option<Vec<u8>> = arcs.iter().map(|arc| u8::try_from(*arc).ok()).collect();
    Raw::Octets(octets?).text()
}

/// The limits that the device says, as labels. What it leaves unset is none.
fn limits(metric: &Metric, index: &[u32], snapshot: &Snapshot) -> Vec<(Arc<str>, String)> {
    let said = |limit: &ReadLimit| {
        let raw = match limit.column {
            true => snapshot.cell(&limit.oid, index)?,
            false => snapshot.scalars.get(&limit.oid)?,
        };
        let number = raw.number().filter(|number| !limit.unset.contains(number))?;
        let number = match limit.scale {
            Some(scale) => scaled(number, scale),
            None => converted(&metric.conversion, number, index, snapshot)?,
        };
        Some((limit.label.clone(), number.to_string()))
    };
    metric.limits.iter().filter_map(said).collect()
}

fn examined(metric: &Metric, row: Row<'_>, snapshot: &Snapshot, at: Time) -> Examined {
    let skipped =
        metric.skip.iter().find(|s| s.skips(row.tag(&s.tag).unwrap_or_default())).map(|s| &s.tag);
    // A value that says "none here" is a row that says nothing.
    let ignore = &metric.conversion.ignore;
    let none = !ignore.is_empty() && row.raw.text().is_some_and(|text| ignore.contains(&text));
    let skipped = if none { Some(&*VALUE) } else { skipped };
    let value = value(&metric.conversion, metric.column, row.raw, row.index, snapshot);
    let readable = value.is_some();
    let value = value.unwrap_or_else(|| Value::Text(String::new()));
    let unit = unit(&metric.conversion.unit, row.index, snapshot);
    let oid = metric.oid.with(row.index);
    let mut labels = row.tags;
    labels.extend(limits(metric, row.index, snapshot));
    if metric.counted {
        labels.extend(counts(row.raw, snapshot));
    }
    if metric.stateful {
        let state = state_key(&value);
        let named = metric.states.iter().find(|(raw, _)| *raw == state);
        let name = named.map(|(_, name)| name.clone()).unwrap_or(state);
        labels.push((STATE.clone(), name));
    }
    let reading = Reading {
        metric: metric.name.clone(),
        resource: row.resource,
        value,
        unit,
        // Told when it is told to the rules.
        origin: Origin::Place(String::new()),
        labels,
        occurred_at: None,
        observed_at: at,
    };
    Examined { reading, oid, skipped: skipped.cloned(), readable }
}

/// What a counter counted, exactly, and how long the device had been up then.
fn counts(raw: &Raw, snapshot: &Snapshot) -> Vec<(Arc<str>, String)> {
    let count = match raw {
        Raw::Counter32(count) => (COUNTER32.into(), count.to_string()),
        Raw::Counter64(count) => (COUNTER64.into(), count.to_string()),
        _ => return Vec::new(),
    };
    let uptime = snapshot.scalars.get(&sys_uptime()).and_then(Raw::text);
    std::iter::once(count).chain(uptime.map(|uptime| (UPTIME.into(), uptime))).collect()
}

/// A value as rules write it in their state maps.
fn state_key(value: &Value) -> String {
    match value {
        // Nearly always; a whole number is written much faster, and the same.
        Value::Number(n) if n.fract() == 0.0 && n.abs() < 1e9 && *n != 0.0 => {
            (*n as i64).to_string()
        }
        Value::Number(n) => n.to_string(),
        Value::Text(text) => text.clone(),
        Value::Line { text, .. } => text.clone(),
        Value::Probe(entered) => entered.nonce().to_string(),
    }
}

fn value(
    conversion: &Conversion,
    column: bool,
    raw: &Raw,
    index: &[u32],
    snapshot: &Snapshot,
) -> Option<Value> {
    if !conversion.bits.is_empty() {
        return Some(Value::Text(first_bit(&conversion.bits, raw)?));
    }
    let hex = conversion.convert.contains(&Convert::Hex);
    let number = match &conversion.extract {
        Extract::Whole if hex => {
            let text = raw.text()?;
            let digits = text.trim().trim_start_matches("0x");
            Some(u64::from_str_radix(digits, 16).ok()? as f64)
        }
        Extract::Whole => raw.number(),
        extract => {
            let text = extract.apply(&raw.text()?)?;
            match text.trim().parse::<f64>().ok().filter(|n| n.is_finite()) {
                Some(number) => Some(number),
                None => return Some(Value::Text(text)),
            }
        }
    };
    let Some(number) = number else { return raw.text().map(Value::Text) };
    if let Some(whole) = &conversion.percent_of {
        let whole = if column { snapshot.cell(whole, index) } else { snapshot.scalars.get(whole) };
        let whole = unsigned(whole?.number()?);
        return (whole > 0.0).then(|| Value::Number(unsigned(number) * 100.0 / whole));
    }
    converted(conversion, number, index, snapshot).map(Value::Number)
}

/// A raw number in the metric's unit, by what the row says of itself.
fn converted(
    conversion: &Conversion,
    number: f64,
    index: &[u32],
    snapshot: &Snapshot,
) -> Option<f64> {
    let number = conversion.convert.iter().try_fold(number, |n, c| c.decode(n))?;
    let mut power = 0;
    for exponent in &conversion.exponents {
        let Some(raw) = snapshot.cell(&exponent.column, index).and_then(Raw::text) else {
            continue;
        };
        let named = mapped(&exponent.mapping, &raw).copied();
        let own = exponent.mapping.is_empty().then(|| raw.parse().ok()).flatten();
        power += exponent.sign * named.or(own).unwrap_or(0).clamp(-64, 64);
    }
    // Dividing keeps 235 with one decimal at 23.5, multiplying by 0.1 would not.
    let number = if power < 0 { number / 10f64.powi(-power) } else { number * 10f64.powi(power) };
    let number = scaled(number, conversion.scale);
    let number = conversion.convert.iter().try_fold(number, |n, c| c.convert(n))?;
    let celsius = unit_word(&conversion.unit, index, snapshot).and_then(|w| Unit::to_celsius(w));
    let number = celsius.map_or(Some(number), |convert| convert.convert(number))?;
    Some(number).filter(|number| number.is_finite())
}

/// Sizes above 2³¹ come as negative Integer32 from agents that do not care.
fn unsigned(number: f64) -> f64 {
    if number < 0.0 { number + 4_294_967_296.0 } else { number }
}

fn first_bit(bits: &[(u32, String)], raw: &Raw) -> Option<String> {
    let Raw::Octets(octets) = raw else { return None };
    let is_set = |bit: u32| {
        let octet = usize::try_from(bit / 8).ok().and_then(|i| octets.get(i));
        octet.is_some_and(|octet| octet & (0x80 >> (bit % 8)) != 0)
    };
    let first = bits.iter().find(|(bit, _)| is_set(*bit));
    Some(first.map_or_else(|| "none".to_owned(), |(_, name)| name.clone()))
}

/// What the device says of the unit.
fn unit_word<'u>(unit: &'u Unit, index: &[u32], snapshot: &Snapshot) -> Option<&'u Arc<str>> {
    let Unit::ByColumn { column, mapping } = unit else { return None };
    let raw = match unit.object() {
        Some(object) => snapshot.scalars.get(object),
        None => snapshot.cell(column, index),
    };
    mapped(mapping, &raw.and_then(Raw::text)?)
}

fn unit(unit: &Unit, index: &[u32], snapshot: &Snapshot) -> Arc<str> {
    match (unit, unit_word(unit, index, snapshot)) {
        (Unit::Fixed(unit), _) => unit.clone(),
        (_, Some(word)) if Unit::to_celsius(word).is_some() => "C".into(),
        (_, word) => word.cloned().unwrap_or_else(|| "".into()),
    }
}
