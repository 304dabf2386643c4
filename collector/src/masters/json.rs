//! A list of objects in JSON, with the place of every value.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::SEPARATOR;
use super::csv::{Cell, Place};

/// Line and column of a byte offset; asked for ascending offsets it reads the text once.
pub struct Places<'a> {
    text: &'a str,
    at: usize,
    place: Place,
}

impl<'a> Places<'a> {
    /// Of this text.
    pub fn of(text: &'a str) -> Self {
        Places { text, at: 0, place: (1, 1) }
    }

    fn at(&mut self, offset: usize) -> Place {
        if offset < self.at {
            (self.at, self.place) = (0, (1, 1));
        }
        for c in self.text.get(self.at..offset).unwrap_or_default().chars() {
            self.place =
                if c == '\n' { (self.place.0 + 1, 1) } else { (self.place.0, self.place.1 + 1) };
        }
        self.at = offset;
        self.place
    }
}

/// One object: its place, and its values by name.
pub type Object = (Place, Vec<(String, Cell)>);

/// Every object's names and values; a value is a text, a number, null or a list of texts.
pub fn objects(text: &str, most: usize) -> Result<Vec<Object>, (Place, String)> {
    let syntax = |e: serde_json::Error, from: Place| {
        let column = if e.line() <= 1 { from.1 + e.column().saturating_sub(1) } else { e.column() };
        let line = from.0 + e.line().saturating_sub(1);
        ((line, column.max(1)), format!("expected a list of objects: {e}"))
    };
    let all: Vec<&RawValue> = serde_json::from_str(text).map_err(|e| syntax(e, (1, 1)))?;
    let mut places = Places::of(text);
    if let Some(extra) = all.get(most) {
        return Err((places.at(offset(text, extra)), format!("expected at most {most} rows")));
    }
    let mut objects = Vec::new();
    for raw in all {
        let place = places.at(offset(text, raw));
        let object: BTreeMap<String, &RawValue> =
            serde_json::from_str(raw.get()).map_err(|e| syntax(e, place))?;
        let mut values: Vec<(usize, String, &RawValue)> =
            object.into_iter().map(|(name, value)| (offset(text, value), name, value)).collect();
        values.sort_by_key(|(at, ..)| *at);
        let mut cells = Vec::new();
        for (at, name, value) in values {
            let place = places.at(at);
            let text = plain(value.get()).ok_or_else(|| {
                (place, format!("{name}: expected a text, a number, null or a list of texts"))
            })?;
            cells.push((name, Cell { place, text }));
        }
        objects.push((place, cells));
    }
    Ok(objects)
}

/// Raw values borrow from the text that they were read from.
fn offset(text: &str, raw: &RawValue) -> usize {
    (raw.get().as_ptr() as usize).saturating_sub(text.as_ptr() as usize).min(text.len())
}

fn plain(raw: &str) -> Option<String> {
    match serde_json::from_str(raw).ok()? {
        serde_json::Value::Null => Some(String::new()),
        serde_json::Value::String(text) => Some(text),
        serde_json::Value::Number(number) => Some(number.to_string()),
        serde_json::Value::Array(all) => {
            let texts = all.iter().map(|one| one.as_str().map(str::to_owned));
            Some(texts.collect::<Option<Vec<_>>>()?.join(&SEPARATOR.to_string()))
        }
        _ => None,
    }
}
