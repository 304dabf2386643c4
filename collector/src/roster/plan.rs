//! A roster as it is written.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Which shifts there are, and who has them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Roster {
    /// What people read.
    #[serde(default)]
    pub title: String,
    /// IANA time zone of its hours; without it the calendar's, else UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub time_zone: Option<String>,
    /// Name of the business calendar that tells working days from holidays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub calendar: Option<String>,
    /// Sites that it is for; without `sites` and `customers` it is for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sites: Vec<String>,
    /// Customers that it is for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub customers: Vec<String>,
    /// The shifts.
    pub shifts: Vec<Pattern>,
    /// Minutes after which a call that nobody answered goes on, by level; without it 10.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub acknowledge: BTreeMap<String, u32>,
    /// The level to which new tickets go, by priority; without it `l1`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub first: BTreeMap<String, String>,
    /// Priorities of which a new ticket is a call, to be answered; others are assigned only.
    #[serde(default = "urgent")]
    pub call: Vec<String>,
}

fn urgent() -> Vec<String> {
    vec!["p1".to_owned(), "p2".to_owned()]
}

/// A shift that comes again and again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Pattern {
    /// Its name: `day`, `night`.
    pub name: String,
    /// `desk`, `l1`, `l2`, `l3`, `dispatcher`, `manager`.
    pub level: String,
    /// On which days.
    #[serde(default)]
    pub days: DayClass,
    /// Its hours, `"08:30-17:30"`; one that ends at or before its beginning goes over midnight and belongs to
    /// the day on which it begins.
    pub hours: String,
    /// Who has it: teams of log-in names, one after the other.
    pub teams: Vec<Vec<String>>,
    /// When the next team has it.
    #[serde(default)]
    pub turn: Turn,
    /// The day (or a day of the week) of the first team, `2026-01-05`.
    #[serde(default = "first_monday")]
    pub from: String,
    /// Weeks that are not as the turn says: `"2026-W48": ["li"]`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub weeks: BTreeMap<String, Vec<String>>,
}

fn first_monday() -> String {
    "2024-01-01".to_owned()
}

/// Kinds of days.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DayClass {
    /// Every day.
    #[default]
    All,
    /// Working days, make-up working days among them.
    WorkingDay,
    /// Days of the week's end that are neither holidays nor worked.
    Weekend,
    /// Public holidays.
    Holiday,
    /// Days that are not worked: week's ends and public holidays.
    OffDay,
}

/// When the next team has a shift.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Turn {
    /// Every day.
    Day,
    /// Every Monday.
    #[default]
    Week,
}
