//! Recordings of devices, as snmpsim writes them: one object a line, `oid|tag|value`. The tag is the
//! value's BER tag in decimal; with an `x` behind it the value is written in hexadecimal.

use std::collections::BTreeMap;
use std::collections::btree_map::Range;
use std::path::Path;

use callhome_shared::config_error::{Problem, Problems};

use crate::profile::oid::Oid;
use crate::source::snmp::evaluate::Snapshot;
use crate::source::snmp::modules;
use crate::source::snmp::plan::Plan;
use crate::source::snmp::value::Value;
use crate::source::snmp::walk::{Column, MAX_ROWS};

/// Largest recording that is read.
const MAX_FILE_BYTES: u64 = 256 * 1024 * 1024;
/// Faults that are told; the rest of such a file is worth no more words.
const MAX_PROBLEMS: usize = 20;

/// All objects of a device at one moment.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    objects: BTreeMap<Oid, Value>,
}

impl Recording {
    /// Reads a file.
    pub fn load(path: &Path) -> Result<Self, Problems> {
        let file = path.display().to_string();
        let trouble = |message: String| Problem::at_line(&file, "", 1, 1, message);
        let size = std::fs::metadata(path).map_err(|e| trouble(format!("cannot read: {e}")))?.len();
        if size > MAX_FILE_BYTES {
            let message = format!("{size} bytes are more than the allowed {MAX_FILE_BYTES}");
            return Err(trouble(message).into());
        }
        let bytes = std::fs::read(path).map_err(|e| trouble(format!("cannot read: {e}")))?;
        // Texts of devices may be in any encoding; the rest is ASCII.
        Recording::parse(&file, &String::from_utf8_lossy(&bytes))
    }

    /// Reads a text; `file` is for the messages. A later line on an object wins.
    pub fn parse(file: &str, text: &str) -> Result<Self, Problems> {
        let mut objects = BTreeMap::new();
        let mut problems = Vec::new();
        for (n, line) in text.lines().enumerate() {
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            match object(line) {
                Ok((oid, value)) => {
                    objects.insert(oid, value);
                }
                Err((column, message)) => {
                    problems.push(Problem::at_line(file, text, n + 1, column + 1, message));
                    if problems.len() >= MAX_PROBLEMS {
                        break;
                    }
                }
            }
        }
        if problems.is_empty() { Ok(Recording { objects }) } else { Err(Problems(problems)) }
    }

    /// One object.
    pub fn get(&self, oid: &Oid) -> Option<&Value> {
        self.objects.get(oid).filter(|value| value.is_present())
    }

    /// The first value at or below an object.
    pub fn first(&self, root: &Oid) -> Option<&Value> {
        self.below(root).map(|(_, value)| value).find(|value| value.is_present())
    }

    /// Changes one object; `None` takes it away.
    pub fn set(&mut self, oid: Oid, value: Option<Value>) {
        match value {
            Some(value) => self.objects.insert(oid, value),
            None => self.objects.remove(&oid),
        };
    }

    /// Of these objects.
    pub fn of(objects: BTreeMap<Oid, Value>) -> Self {
        Recording { objects }
    }

    /// All of them, in order.
    pub fn objects(&self) -> &BTreeMap<Oid, Value> {
        &self.objects
    }

    /// Number of objects.
    pub fn len(&self) -> usize {
        self.objects.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// Everything that a poll by this plan would have read.
    pub fn snapshot(&self, plan: &Plan) -> Snapshot {
        let mut snapshot = Snapshot::default();
        let (scalars, columns) = plan.metadata_needs();
        for oid in plan.scalars.iter().chain(&scalars) {
            if let Some(value) = self.get(oid) {
                snapshot.scalars.insert(oid.clone(), value.clone());
            }
        }
        let modules = modules::columns();
        let tables = plan.tables.iter().flat_map(|table| &table.columns);
        let wanted = tables.chain(&columns).flatten().chain(&modules);
        for root in wanted {
            if !snapshot.columns.contains_key(root) {
                snapshot.columns.insert(root.clone(), self.column(root));
            }
        }
        snapshot
    }

    fn column(&self, root: &Oid) -> Column {
        let rows = self.below(root).filter_map(|(oid, value)| {
            let index = oid.after(root)?;
            (value.is_present() && !index.is_empty()).then(|| (index, value.clone()))
        });
        Column { rows: rows.take(MAX_ROWS).collect(), ..Column::default() }
    }

    fn below(&self, root: &Oid) -> Range<'_, Oid, Value> {
        match root.arcs().split_last() {
            Some((last, arcs)) if *last < u32::MAX => {
                let end = Oid::new(arcs).with(&[last + 1]);
                self.objects.range(root.clone()..end)
            }
            _ => self.objects.range(root.clone()..),
        }
    }
}

/// Reads a value as it stands in a recording behind the object: `tag|value`.
pub fn value(written: &str) -> Result<Value, String> {
    tagged(written).map_err(|(_, message)| message)
}

/// An error is the column (from 0) with what is wrong there.
fn object(line: &str) -> Result<(Oid, Value), (usize, String)> {
    let Some((name, rest)) = line.split_once('|') else {
        return Err((0, "expected `oid|tag|value`".to_owned()));
    };
    let oid = Oid::parse(name).ok_or_else(|| (0, format!("{name:?} is no object identifier")))?;
    let value = tagged(rest).map_err(|(at, message)| (name.len() + 1 + at, message))?;
    Ok((oid, value))
}

fn tagged(rest: &str) -> Result<Value, (usize, String)> {
    let (tag, text) = rest.split_once('|').unwrap_or((rest, ""));
    let at = tag.len() + 1;
    let (number, hex) = tag.strip_suffix('x').map_or((tag, false), |number| (number, true));
    let octets = || match hex {
        true => unhex(text).ok_or_else(|| (at, "expected pairs of hexadecimal digits".to_owned())),
        false => Ok(text.as_bytes().to_vec()),
    };
    let unsigned = || match text.trim().parse::<u64>() {
        Ok(n) => Ok(n),
        Err(_) => Err((at, format!("expected a whole number from 0, found {text:?}"))),
    };
    match number {
        "2" => match text.trim().parse() {
            Ok(n) => Ok(Value::Integer(n)),
            Err(_) => Err((at, format!("expected a whole number, found {text:?}"))),
        },
        "4" => Ok(Value::Octets(octets()?)),
        "68" => Ok(Value::opaque(&octets()?)),
        "5" => Ok(Value::Null),
        "6" => match Oid::parse(text) {
            Some(oid) => Ok(Value::Oid(oid)),
            None => Err((at, format!("expected an object identifier, found {text:?}"))),
        },
        "64" => {
            let found = match hex {
                true => unhex(text).and_then(|octets| octets.try_into().ok()),
                false => text.trim().parse::<std::net::Ipv4Addr>().ok().map(|ip| ip.octets()),
            };
            found.map(Value::Ip).ok_or_else(|| (at, format!("expected an address, found {text:?}")))
        }
        "65" => unsigned().map(|n| u32::try_from(n).map_or(Value::Unsigned(n), Value::Counter32)),
        "66" | "67" => unsigned().map(Value::Unsigned),
        "70" => unsigned().map(Value::Counter64),
        "128" | "129" | "130" => Ok(Value::Missing),
        _ => Err((0, format!("no value has the tag {tag:?}"))),
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let text = text.trim().as_bytes();
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    let pair = |pair: &[u8]| match pair {
        [high, low] => u8::try_from(digit(high)? << 4 | digit(low)?).ok(),
        _ => None,
    };
    text.chunks(2).map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn oid(text: &str) -> Oid {
        Oid::parse(text).unwrap()
    }

    #[test]
    fn every_type_and_the_faults() {
        let text = "# a comment\n1.3.6.1.2.1.1.1.0|4|fan 1\n1.3.6.1.2.1.1.2.0|6|1.3.6.1.4.1.9.1\n\
            1.3.6.1.2.1.1.3.0|67|100\n1.3.6.1.2.1.1.4.0|4x|00fF\n1.3.6.1.2.1.1.5.0|64|192.0.2.1\n\
            1.3.6.1.2.1.1.6.0|64x|c0000201\n1.3.6.1.2.1.1.7.0|2|-5\n1.3.6.1.2.1.1.8.0|5|\n";
        let recording = Recording::parse("dev.snmprec", text).unwrap();
        let get = |n: u32| recording.get(&oid(&format!("1.3.6.1.2.1.1.{n}.0"))).cloned();
        assert_eq!(recording.len(), 8);
        assert_eq!(get(1), Some(Value::Octets(b"fan 1".to_vec())));
        assert_eq!(get(2), Some(Value::Oid(oid("1.3.6.1.4.1.9.1"))));
        assert_eq!(get(3), Some(Value::Unsigned(100)));
        assert_eq!(get(4), Some(Value::Octets(vec![0, 255])));
        assert_eq!((get(5), get(6)), (get(6), Some(Value::Ip([192, 0, 2, 1]))));
        assert_eq!(get(7), Some(Value::Integer(-5)));
        assert_eq!(get(8), None, "NULL is no value");
        let wrong = Recording::parse("dev.snmprec", "1.3.6|4|a\n1.3.x|4|a\n1.3.6|2|five\n1.3|9|\n");
        let wrong = wrong.unwrap_err().0;
        let places: Vec<_> = wrong.iter().map(|p| (p.line, p.column)).collect();
        assert_eq!(places, [(2, 1), (3, 9), (4, 5)]);
        assert!(wrong[1].to_string().contains("dev.snmprec:3:9: expected a whole number"));
    }

    #[test]
    fn a_column_ends_where_the_next_begins() {
        let text = "1.3.6.1.9.1|2|0\n1.3.6.1.9.1.1|2|1\n1.3.6.1.9.1.2.7|2|2\n1.3.6.1.9.2.1|2|3\n\
            1.3.6.1.9.10|2|4\n";
        let recording = Recording::parse("d", text).unwrap();
        let column = recording.column(&oid("1.3.6.1.9.1"));
        let rows: Vec<_> = column.rows.iter().map(|(index, _)| index.to_vec()).collect();
        assert_eq!(rows, [vec![1], vec![2, 7]]);
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "([0-9.]{0,12}\\|[0-9x]{0,3}\\|.{0,12}\n?){0,6}|.{0,200}") {
            let _ = Recording::parse("any", &text);
        }
    }
}
