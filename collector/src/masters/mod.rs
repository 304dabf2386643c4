//! Customers, sites, contacts, contracts and the installed base: what there is to know of each, and what
//! is wrong with what people write about them. Pure.
//!
//! All five are read and written in the same ways (console, API, files), so each is described by its
//! [`Field`]s and one code does the rest. `store::masters` keeps the rows.

mod check;
mod csv;
mod file;
mod json;

pub use check::{Refusal, across, day, id, value};
pub use csv::line as csv_line;
pub use file::{Given, Read, export_csv, export_json, faults, read_csv, read_json};

use std::collections::BTreeMap;

/// Longest id, characters.
pub const MAX_ID: usize = 100;
/// What separates the values of a list.
pub const SEPARATOR: char = ';';

/// What is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Who has a contract.
    Customers,
    /// Where devices stand.
    Sites,
    /// Whom to call.
    Contacts,
    /// What was promised, by contract number.
    Contracts,
    /// The installed base, by serial number.
    Devices,
}

/// What a field's text must look like. Empty is "not known".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One line of so many characters.
    Line(usize),
    /// Lines of so many characters together.
    Text(usize),
    /// `2026-01-31`.
    Day,
    /// An IANA time zone.
    Zone,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A telephone number.
    Phone,
    /// A mail address.
    Mail,
    /// The id of one of these.
    Ref(Kind),
    /// Ids of these, separated by [`SEPARATOR`]; so many at most.
    Refs(Kind, usize),
    /// The name of a service plan.
    Plan,
    /// The name of a business calendar.
    Calendar,
    /// Serial numbers, separated by [`SEPARATOR`]; so many at most.
    Serials(usize),
}

/// One thing that is known of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name in columns, files and the API.
    pub name: &'static str,
    /// What its text must look like.
    pub shape: Shape,
    /// Whether it must not be empty.
    pub required: bool,
}

const fn field(name: &'static str, shape: Shape) -> Field {
    Field { name, shape, required: false }
}

const fn required(name: &'static str, shape: Shape) -> Field {
    Field { name, shape, required: true }
}

/// Languages of people.
pub const LANGUAGES: &[&str] = &["zh-CN", "en"];
/// Tiers of a contract.
pub const TIERS: &[&str] = &["standard", "gold", "platinum", "diamond"];
/// What a contract covers.
pub const COVERS: &[&str] = &["customer", "sites", "devices"];

const NOTE: Field = field("note", Shape::Text(2000));
static CUSTOMERS: [Field; 2] = [required("name", Shape::Line(200)), NOTE];
static SITES: [Field; 6] = [
    field("name", Shape::Line(200)),
    field("customer", Shape::Ref(Kind::Customers)),
    field("address", Shape::Line(500)),
    field("time_zone", Shape::Zone),
    field("calendar", Shape::Calendar),
    NOTE,
];
static CONTACTS: [Field; 7] = [
    required("name", Shape::Line(200)),
    field("phone", Shape::Phone),
    field("mail", Shape::Mail),
    field("language", Shape::Word(LANGUAGES)),
    field("customer", Shape::Ref(Kind::Customers)),
    field("sites", Shape::Refs(Kind::Sites, 100)),
    NOTE,
];
static CONTRACTS: [Field; 9] = [
    required("customer", Shape::Ref(Kind::Customers)),
    required("plan", Shape::Plan),
    field("tier", Shape::Word(TIERS)),
    required("valid_from", Shape::Day),
    required("valid_until", Shape::Day),
    required("covers", Shape::Word(COVERS)),
    field("sites", Shape::Refs(Kind::Sites, 1000)),
    field("serials", Shape::Serials(5000)),
    NOTE,
];
static DEVICES: [Field; 10] = [
    field("name", Shape::Line(200)),
    field("vendor", Shape::Line(100)),
    field("model", Shape::Line(200)),
    field("firmware", Shape::Line(200)),
    field("site", Shape::Ref(Kind::Sites)),
    field("asset", Shape::Line(100)),
    field("contract", Shape::Ref(Kind::Contracts)),
    field("hangs_on", Shape::Serials(16)),
    field("powered_by", Shape::Serials(16)),
    NOTE,
];

impl Kind {
    /// All of them; what is referred to comes before what refers.
    pub const ALL: [Kind; 5] =
        [Kind::Customers, Kind::Sites, Kind::Contacts, Kind::Contracts, Kind::Devices];

    /// The word in the API and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Customers => "customers",
            Kind::Sites => "sites",
            Kind::Contacts => "contacts",
            Kind::Contracts => "contracts",
            Kind::Devices => "devices",
        }
    }

    /// Reads [`Kind::as_str`] back.
    pub fn parse(text: &str) -> Option<Self> {
        Kind::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// Its rows' table. Agents' descriptions of devices are in `devices`, what people know in `installed`.
    pub fn table(self) -> &'static str {
        match self {
            Kind::Devices => "installed",
            other => other.as_str(),
        }
    }

    /// One of them, for people.
    pub fn one(self) -> &'static str {
        match self {
            Kind::Customers => "customer",
            Kind::Sites => "site",
            Kind::Contacts => "contact",
            Kind::Contracts => "contract",
            Kind::Devices => "device",
        }
    }

    /// What is known of it beside its id.
    pub fn fields(self) -> &'static [Field] {
        match self {
            Kind::Customers => &CUSTOMERS,
            Kind::Sites => &SITES,
            Kind::Contacts => &CONTACTS,
            Kind::Contracts => &CONTRACTS,
            Kind::Devices => &DEVICES,
        }
    }

    /// The field of that name.
    pub fn field(self, name: &str) -> Option<&'static Field> {
        self.fields().iter().find(|f| f.name == name)
    }

    /// Fields of other kinds (and of its own) that refer to it.
    pub fn referred_by(self) -> impl Iterator<Item = (Kind, &'static Field)> {
        let all =
            Kind::ALL.into_iter().flat_map(|kind| kind.fields().iter().map(move |f| (kind, f)));
        all.filter(move |(_, f)| f.shape.refers_to() == Some(self))
    }
}

impl Shape {
    /// The kind that its values are ids of.
    pub fn refers_to(self) -> Option<Kind> {
        match self {
            Shape::Ref(kind) | Shape::Refs(kind, _) => Some(kind),
            _ => None,
        }
    }
}

/// One customer, site, … by its fields. What is not in it is left as it is, or empty where it is new.
pub type Values = BTreeMap<&'static str, String>;

/// The values of a list.
pub fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(SEPARATOR).map(str::trim).filter(|one| !one.is_empty())
}

/// The ids that these values refer to.
pub fn refers(kind: Kind, values: &Values) -> Vec<(&'static Field, Kind, &str)> {
    let mut all = Vec::new();
    for field in kind.fields() {
        let Some(to) = field.shape.refers_to() else { continue };
        let text = values.get(field.name).map(String::as_str).unwrap_or_default();
        all.extend(list(text).map(|id| (field, to, id)));
    }
    all
}

#[cfg(test)]
mod tests;
