//! What a device is made of: chassis, modules, power supplies, fans and whatever else has a serial number, as
//! ENTITY-MIB's entPhysicalTable (RFC 6933) tells it. Pure.

use std::collections::{BTreeMap, BTreeSet};

use callhome_shared::inventory::{MAX_MODULE_TEXT, MAX_MODULES};
use callhome_shared::limits::cut;

use super::identity::meaningful;
use super::rows::Rows;
use super::value::Value;
use super::walk::Column;
use crate::profile::oid::Oid;

pub use callhome_shared::inventory::Module;

/// Parts that one is followed up through to the one that holds it.
const MAX_DEPTH: usize = 32;
/// entPhysicalEntry.
const ENTRY: &[u32] = &[1, 3, 6, 1, 2, 1, 47, 1, 1, 1, 1];
const DESCRIPTION: u32 = 2;
const CONTAINED_IN: u32 = 4;
const CLASS: u32 = 5;
const NAME: u32 = 7;
const HARDWARE: u32 = 8;
const FIRMWARE: u32 = 9;
const SOFTWARE: u32 = 10;
const SERIAL: u32 = 11;
const MODEL: u32 = 13;
/// What is read of each. Where neither of the first two has a row there is nothing to read.
const COLUMNS: [u32; 9] =
    [CLASS, SERIAL, CONTAINED_IN, NAME, DESCRIPTION, MODEL, HARDWARE, FIRMWARE, SOFTWARE];

/// The parts of a device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Modules {
    /// By index, at most [`MAX_MODULES`].
    pub list: Vec<Module>,
    /// Those that found no place in it.
    pub left_out: usize,
}

/// The columns that are to be walked, of one table.
pub fn columns() -> Vec<Oid> {
    COLUMNS.iter().map(|column| Oid::new(ENTRY).with(&[*column])).collect()
}

/// Those of them without which there are no parts.
pub fn deciding() -> [Oid; 2] {
    [CLASS, SERIAL].map(|column| Oid::new(ENTRY).with(&[column]))
}

/// The parts out of the walked columns. Ports, sensors, slots and the like are left out unless they have a
/// serial number, as transceivers do.
pub fn read(walked: &BTreeMap<Oid, Column>) -> Modules {
    let rows = |column: u32| walked.get(&Oid::new(ENTRY).with(&[column])).map(|c| &c.rows);
    let text = |column: u32, index: &[u32]| text_of(rows(column)?.get(index)?);
    let mut found: BTreeMap<u32, Module> = BTreeMap::new();
    // Some devices say no class, or none of some parts.
    let with_rows = [CLASS, SERIAL].iter().filter_map(|column| rows(*column));
    let indexes: BTreeSet<&[u32]> =
        with_rows.flat_map(|rows| rows.iter().map(|(index, _)| index)).collect();
    for index in indexes {
        let [number] = index else { continue };
        let class = rows(CLASS).and_then(|rows| rows.get(index)).and_then(number_of);
        let serial = text(SERIAL, index);
        let (class, told) = class_of(class.unwrap_or_default());
        if !told && serial.is_none() {
            continue;
        }
        let (name, description) = (text(NAME, index), text(DESCRIPTION, index));
        let module = Module {
            index: *number,
            inside: None,
            class: class.to_owned(),
            name: name
                .or_else(|| description.clone())
                .unwrap_or_else(|| format!("{class} {number}")),
            description,
            model: text(MODEL, index),
            serial,
            hardware: text(HARDWARE, index),
            firmware: text(FIRMWARE, index),
            software: text(SOFTWARE, index),
        };
        found.insert(*number, module);
    }
    let left_out = found.len().saturating_sub(MAX_MODULES);
    let told: BTreeMap<u32, Module> = found.into_iter().take(MAX_MODULES).collect();
    let holder = |index: u32| rows(CONTAINED_IN).and_then(|rows| holder(rows, &told, index));
    let inside: Vec<Option<u32>> = told.keys().map(|index| holder(*index)).collect();
    let list = told.into_values().zip(inside).map(|(module, inside)| Module { inside, ..module });
    Modules { list: list.collect(), left_out }
}

/// The nearest part that is told and holds this one.
fn holder(contained_in: &Rows, told: &BTreeMap<u32, Module>, index: u32) -> Option<u32> {
    let mut at = index;
    for _ in 0..MAX_DEPTH {
        at = contained_in.get(&[at]).and_then(number_of)?;
        if at == index {
            return None;
        }
        if told.contains_key(&at) {
            return Some(at);
        }
    }
    None
}

/// The class in words, and whether such parts are told without a serial number, too.
fn class_of(class: u32) -> (&'static str, bool) {
    match class {
        3 => ("chassis", true),
        4 => ("backplane", true),
        5 => ("container", false),
        6 => ("power-supply", true),
        7 => ("fan", true),
        8 => ("sensor", false),
        9 => ("module", true),
        10 => ("port", false),
        11 => ("stack", true),
        12 => ("cpu", true),
        13 => ("energy-object", false),
        14 => ("battery", true),
        15 => ("storage-drive", true),
        _ => ("other", false),
    }
}

fn number_of(value: &Value) -> Option<u32> {
    match value {
        Value::Integer(n) => u32::try_from(*n).ok(),
        Value::Unsigned(n) => u32::try_from(*n).ok(),
        _ => None,
    }
}

fn text_of(value: &Value) -> Option<String> {
    let text = value.text()?;
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let mut text = text.trim().to_owned();
    cut(&mut text, MAX_MODULE_TEXT);
    meaningful(&text).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn walked(rows: &[(u32, u32, Value)]) -> BTreeMap<Oid, Column> {
        let mut all: BTreeMap<Oid, Column> = BTreeMap::new();
        for (column, index, value) in rows {
            let column = all.entry(Oid::new(ENTRY).with(&[*column])).or_default();
            column.rows.insert(&[*index], value.clone());
        }
        all
    }

    fn words(text: &str) -> Value {
        Value::Octets(text.as_bytes().to_vec())
    }

    fn part(
        index: u32,
        inside: i64,
        class: i64,
        name: &str,
        serial: &str,
    ) -> Vec<(u32, u32, Value)> {
        vec![
            (CLASS, index, Value::Integer(class)),
            (CONTAINED_IN, index, Value::Integer(inside)),
            (NAME, index, words(name)),
            (SERIAL, index, words(serial)),
        ]
    }

    #[test]
    fn parts_know_what_holds_them_and_only_what_can_be_replaced_is_told() {
        let rows = [
            part(1, 0, 3, "Chassis", "FOC1"),
            part(2, 1, 5, "PSU slot 1", ""),
            part(3, 2, 6, "PSU 1 ", "LIT1"),
            part(4, 1, 10, "Gi1/0/1", "n/a"),
            part(5, 4, 10, "SFP of Gi1/0/1", "AVD1"),
            part(6, 3, 8, "PSU 1 temperature", " "),
            part(7, 7, 7, "Fan that holds itself", ""),
            part(8, 9, 9, "Module in a circle", ""),
            part(9, 10, 5, "Slot", ""),
            part(10, 9, 5, "Slot", ""),
            part(11, 1, 0, "No class, but a number", "X1").split_off(1),
        ];
        let mut all = walked(&rows.concat());
        let description = Oid::new(ENTRY).with(&[DESCRIPTION]);
        all.entry(description).or_default().rows.insert(&[3], words("AC power supply"));
        let found = read(&all);
        let told: Vec<(u32, Option<u32>, &str, &str)> = found
            .list
            .iter()
            .map(|m| (m.index, m.inside, m.class.as_str(), m.name.as_str()))
            .collect();
        let expected = [
            (1, None, "chassis", "Chassis"),
            (3, Some(1), "power-supply", "PSU 1"),
            (5, Some(1), "port", "SFP of Gi1/0/1"),
            (7, None, "fan", "Fan that holds itself"),
            (8, None, "module", "Module in a circle"),
            (11, Some(1), "other", "No class, but a number"),
        ];
        assert_eq!(told, expected);
        assert_eq!(found.list[1].description.as_deref(), Some("AC power supply"));
        assert_eq!((found.list[1].serial.as_deref(), found.left_out), (Some("LIT1"), 0));
        assert_eq!(read(&BTreeMap::new()), Modules::default(), "a device without the table");
    }

    #[test]
    fn more_than_the_limit_are_counted() {
        let rows: Vec<_> = (1..=600).flat_map(|n| part(n, 0, 9, &format!("m{n}"), "")).collect();
        let found = read(&walked(&rows));
        assert_eq!((found.list.len(), found.left_out), (MAX_MODULES, 600 - MAX_MODULES));
    }

    proptest! {
        #[test]
        fn prop_no_table_panics_and_all_is_bounded(
            rows in prop::collection::vec((0u32..16, 0u32..40, prop_oneof![
                (-2i64..50).prop_map(Value::Integer),
                any::<u64>().prop_map(Value::Unsigned),
                prop::collection::vec(any::<u8>(), 0..300).prop_map(Value::Octets),
                Just(Value::Null),
            ]), 0..120),
        ) {
            let found = read(&walked(&rows));
            prop_assert!(found.list.len() <= MAX_MODULES);
            for module in &found.list {
                prop_assert!(!module.name.is_empty() && module.name.len() <= MAX_MODULE_TEXT);
                prop_assert!(module.inside != Some(module.index));
                if let Some(inside) = module.inside {
                    prop_assert!(found.list.iter().any(|m| m.index == inside));
                }
            }
        }
    }
}
