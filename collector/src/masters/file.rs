//! Whole files: CSV with a head, or a list of objects in JSON.

use callhome_shared::config_error::{Problem, Problems, did_you_mean};
use serde_json::{Map, Value};

use super::csv::{self, Cell, Place};
use super::{Kind, SEPARATOR, Shape, Values, check, json};

/// Rows of one file.
pub const MAX_ROWS: usize = 20_000;
/// Faults that are told of one file.
const MAX_FAULTS: usize = 100;

/// One row as it was given.
#[derive(Clone, Debug)]
pub struct Given {
    /// Where it begins.
    pub place: Place,
    /// Where each of its values begins.
    pub places: Vec<(&'static str, Place)>,
    /// Its id.
    pub id: String,
    /// The version that it was exported at, if the file says so.
    pub version: Option<i64>,
    /// What it says.
    pub values: Values,
}

/// A file that was read.
#[derive(Clone, Debug, Default)]
pub struct Read {
    /// Its rows, no id twice.
    pub rows: Vec<Given>,
}

/// What is wrong with a file, by place.
pub struct Faults<'a> {
    name: &'a str,
    text: &'a str,
    all: Vec<Problem>,
    more: usize,
}

/// An empty list of faults of this file.
pub fn faults<'a>(name: &'a str, text: &'a str) -> Faults<'a> {
    Faults { name, text, all: Vec::new(), more: 0 }
}

impl Faults<'_> {
    /// Adds one.
    pub fn add(&mut self, place: Place, text: impl Into<String>, hint: Option<String>) {
        if self.all.len() == MAX_FAULTS {
            self.more += 1;
            return;
        }
        self.all.push(Problem::at_line(self.name, self.text, place.0, place.1, text).hint(hint));
    }

    /// Nothing is wrong, or all that is.
    pub fn end(mut self) -> Result<(), Problems> {
        if let (more @ 1.., Some(last)) = (self.more, self.all.last_mut()) {
            last.hint = Some(format!("and {more} more faults"));
        }
        if self.all.is_empty() { Ok(()) } else { Err(Problems(self.all)) }
    }
}

impl Given {
    /// Where this field's value begins.
    pub fn place_of(&self, field: &str) -> Place {
        self.places.iter().find(|(name, _)| *name == field).map_or(self.place, |(_, place)| *place)
    }
}

/// Reads CSV whose first line names the columns: `id`, fields of the kind, and perhaps `version`.
pub fn read_csv(kind: Kind, name: &str, text: &str) -> Result<Read, Problems> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut faults = faults(name, text);
    let mut rows = match csv::rows(text, MAX_ROWS + 1) {
        Ok(rows) => rows.into_iter(),
        Err((place, why)) => {
            faults.add(place, why, None);
            return faults.end().map(|()| Read::default());
        }
    };
    let Some(head) = rows.next() else {
        let wanted =
            format!("expected a first line with the columns' names: {}", columns(kind).join(","));
        faults.add((1, 1), wanted, None);
        return faults.end().map(|()| Read::default());
    };
    let mut names: Vec<&'static str> = Vec::new();
    for cell in &head {
        match column(kind, cell.text.trim()) {
            Ok(name) if names.contains(&name) => {
                faults.add(cell.place, format!("the column {name} is there twice"), None);
            }
            Ok(name) => names.push(name),
            Err((why, hint)) => faults.add(cell.place, why, hint),
        }
    }
    if !names.contains(&"id") {
        faults.add((1, 1), "expected a column id", None);
    }
    faults.end()?;
    let mut faults = self::faults(name, text);
    let mut objects = Vec::new();
    for row in rows {
        let place = row.first().map_or((1, 1), |cell| cell.place);
        if row.len() != names.len() {
            let why =
                format!("expected {} cells as in the first line, found {}", names.len(), row.len());
            faults.add(place, why, None);
            continue;
        }
        objects.push((place, names.iter().copied().zip(row).collect()));
    }
    finish(kind, objects, faults)
}

/// Reads a list of objects whose names are `id`, fields of the kind, and perhaps `version`.
pub fn read_json(kind: Kind, name: &str, text: &str) -> Result<Read, Problems> {
    let mut faults = faults(name, text);
    let found = match json::objects(text, MAX_ROWS) {
        Ok(found) => found,
        Err((place, why)) => {
            faults.add(place, why, None);
            return faults.end().map(|()| Read::default());
        }
    };
    let mut objects = Vec::new();
    for (place, values) in found {
        let mut cells = Vec::new();
        for (name, cell) in values {
            match column(kind, &name) {
                Ok(name) => cells.push((name, cell)),
                Err((why, hint)) => faults.add(cell.place, why, hint),
            }
        }
        objects.push((place, cells));
    }
    finish(kind, objects, faults)
}

fn columns(kind: Kind) -> Vec<&'static str> {
    std::iter::once("id").chain(kind.fields().iter().map(|f| f.name)).chain(["version"]).collect()
}

fn column(kind: Kind, name: &str) -> Result<&'static str, (String, Option<String>)> {
    let all = columns(kind);
    all.iter().find(|column| **column == name).copied().ok_or_else(|| {
        let shown: String = name.chars().take(60).collect();
        (
            format!("there is no column {shown:?}; expected {}", all.join(", ")),
            did_you_mean(name, all),
        )
    })
}

type Cells = Vec<(&'static str, Cell)>;

fn finish(
    kind: Kind,
    objects: Vec<(Place, Cells)>,
    mut faults: Faults<'_>,
) -> Result<Read, Problems> {
    let mut read = Read::default();
    let mut seen = std::collections::BTreeMap::new();
    for (place, cells) in objects {
        let Some(given) = row(kind, place, cells, &mut faults) else { continue };
        if let Some(first) = seen.insert(given.id.clone(), place.0) {
            let why =
                format!("the {} {:?} is there twice, first in line {first}", kind.one(), given.id);
            faults.add(given.place_of("id"), why, None);
            continue;
        }
        read.rows.push(given);
    }
    faults.end().map(|()| read)
}

fn row(kind: Kind, place: Place, cells: Cells, faults: &mut Faults<'_>) -> Option<Given> {
    let mut given = Given {
        place,
        places: Vec::new(),
        id: String::new(),
        version: None,
        values: Values::new(),
    };
    let mut good = true;
    let mut wrong = |faults: &mut Faults<'_>, place, text: String, hint| {
        faults.add(place, text, hint);
        good = false;
    };
    for (name, cell) in cells {
        given.places.push((name, cell.place));
        match (name, kind.field(name)) {
            ("id", _) => match check::id(&cell.text) {
                Ok(id) => given.id = id,
                Err(e) => wrong(faults, cell.place, format!("id: {}", e.text), e.hint),
            },
            (_, Some(field)) => match check::value(field, &cell.text) {
                Ok(value) => {
                    given.values.insert(field.name, value);
                }
                Err(e) => wrong(faults, cell.place, format!("{name}: {}", e.text), e.hint),
            },
            (_, None) if cell.text.trim().is_empty() => {}
            (_, None) => match cell.text.trim().parse() {
                Ok(version) => given.version = Some(version),
                Err(_) => {
                    let text = format!(
                        "{name}: expected a whole number or nothing, found {:?}",
                        cell.text
                    );
                    wrong(faults, cell.place, text, None);
                }
            },
        }
    }
    if given.places.iter().all(|(name, _)| *name != "id") {
        wrong(faults, place, "expected an id".to_owned(), None);
    }
    good.then_some(given)
}

/// Head and rows: (id, version, values).
pub fn export_csv<'a>(
    kind: Kind,
    rows: impl Iterator<Item = (&'a str, i64, &'a Values)>,
) -> String {
    let mut out = csv::line(columns(kind).into_iter());
    for (id, version, values) in rows {
        let version = version.to_string();
        let of = |name| values.get(name).map(String::as_str).unwrap_or_default();
        let cells = std::iter::once(id).chain(kind.fields().iter().map(|f| of(f.name)));
        out.push_str(&csv::line(cells.chain([version.as_str()])));
    }
    out
}

/// A list of objects, one a line.
pub fn export_json<'a>(
    kind: Kind,
    rows: impl Iterator<Item = (&'a str, i64, &'a Values)>,
) -> String {
    let lines: Vec<String> = rows
        .map(|(id, version, values)| {
            let mut object = Map::new();
            object.insert("id".to_owned(), id.into());
            for field in kind.fields() {
                let text = values.get(field.name).map(String::as_str).unwrap_or_default();
                let value = match field.shape {
                    Shape::Refs(..) | Shape::Serials(_) => text
                        .split(SEPARATOR)
                        .filter(|one| !one.is_empty())
                        .map(Value::from)
                        .collect::<Value>(),
                    _ => text.into(),
                };
                object.insert(field.name.to_owned(), value);
            }
            object.insert("version".to_owned(), version.into());
            Value::Object(object).to_string()
        })
        .collect();
    if lines.is_empty() { "[]\n".to_owned() } else { format!("[\n{}\n]\n", lines.join(",\n")) }
}
