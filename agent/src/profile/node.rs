//! YAML with places: every key and value knows its line and column.

use std::fmt;

use callhome_shared::config_error::Problem;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its place.
    pub at: Place,
    /// What it is.
    pub kind: Kind,
}

/// Line and column, from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Line.
    pub line: usize,
    /// Column in characters.
    pub column: usize,
}

/// What a value is.
#[derive(Clone, Debug)]
pub enum Kind {
    /// Nothing.
    Null,
    /// `true`, `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Another number.
    Float(f64),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A map, in the order of writing.
    Map(Vec<(Key, Node)>),
}

/// A key and where it stands.
#[derive(Clone, Debug)]
pub struct Key {
    /// Its place.
    pub at: Place,
    /// Its name.
    pub name: String,
}

impl Place {
    fn of<T>(spanned: &Spanned<T>) -> Self {
        let whole = |n: u64| usize::try_from(n).unwrap_or(0).max(1);
        Place { line: whole(spanned.referenced.line()), column: whole(spanned.referenced.column()) }
    }
}

/// Reads a document.
pub fn parse(file: &str, text: &str) -> Result<Node, Problem> {
    serde_saphyr::from_str::<Node>(text).map_err(|error| {
        let error = error.without_snippet();
        let (line, column) = error.location().map_or((1, 1), |l| {
            (usize::try_from(l.line()).unwrap_or(1), usize::try_from(l.column()).unwrap_or(1))
        });
        let message =
            error.to_string().replace(", set DuplicateKeyPolicy in Options if acceptable", "");
        let message = message.lines().next().unwrap_or_default().to_owned();
        Problem::at_line(file, text, line.max(1), column.max(1), message)
    })
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Kind>::deserialize(deserializer)?;
        Ok(Node { at: Place::of(&spanned), kind: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(KindVisitor)
    }
}

struct KindVisitor;

impl<'de> Visitor<'de> for KindVisitor {
    type Value = Kind;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Kind, E> {
        Ok(Kind::Null)
    }

    fn visit_none<E>(self) -> Result<Kind, E> {
        Ok(Kind::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Kind, E> {
        Ok(Kind::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Kind, E> {
        Ok(Kind::Int(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Kind, E> {
        Ok(i64::try_from(value).map_or(Kind::Float(value as f64), Kind::Int))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Kind, E> {
        Ok(Kind::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Kind, E> {
        Ok(Kind::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Kind, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element::<Node>()? {
            items.push(item);
        }
        Ok(Kind::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Kind, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key::<Spanned<String>>()? {
            let at = Place::of(&key);
            entries.push((Key { at, name: key.value }, map.next_value::<Node>()?));
        }
        Ok(Kind::Map(entries))
    }
}

impl Kind {
    /// What it is, for messages.
    pub fn describe(&self) -> String {
        match self {
            Kind::Null => "nothing".to_owned(),
            Kind::Bool(b) => format!("{b}"),
            Kind::Int(n) => format!("the number {n}"),
            Kind::Float(n) => format!("the number {n}"),
            Kind::Text(text) => format!("{:?}", text.chars().take(60).collect::<String>()),
            Kind::List(_) => "a list".to_owned(),
            Kind::Map(_) => "a map".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_keys_and_values() {
        let node = parse("a.yaml", "a:\n  - b: 1\n    2: x\n  - 1.3.6.1\n").unwrap();
        let Kind::Map(top) = &node.kind else { panic!("{node:?}") };
        let Kind::List(items) = &top[0].1.kind else { panic!("{node:?}") };
        let Kind::Map(first) = &items[0].kind else { panic!("{node:?}") };
        assert_eq!(first[0].0.at, Place { line: 2, column: 5 });
        assert_eq!(first[0].1.at, Place { line: 2, column: 8 });
        assert_eq!((first[1].0.name.as_str(), first[1].0.at.line), ("2", 3));
        assert!(matches!(&items[1].kind, Kind::Text(t) if t == "1.3.6.1"));
        let error = parse("a.yaml", "a: 1\nb: [\n").unwrap_err();
        assert!(error.line >= 2, "{error}");
        assert!(parse("a.yaml", "a: 1\na: 2\n").is_err(), "a key twice");
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "[a-z:\\-\\[\\]{}\"'\n #&*|>0-9]{0,120}") {
            let _ = parse("a.yaml", &text);
        }
    }
}
