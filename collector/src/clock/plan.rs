//! Service plans as they are written: what is promised, in which hours, and who is told before and after.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::calendar::Hours;

/// Limits that every house knows; a plan names further ones in [`Plan::names`].
pub const LIMITS: [&str; 6] =
    ["respond", "on_site", "diagnose", "restore", "replacement", "part_return"];
/// The priorities of tickets.
pub const PRIORITIES: [&str; 4] = ["p1", "p2", "p3", "p4"];
/// Whom a step may tell, from below.
pub const LEVELS: [&str; 4] = ["l1", "l2", "l3", "manager"];

/// A text in both languages.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Title {
    /// Chinese.
    #[serde(rename = "zh-CN")]
    pub zh: String,
    /// English.
    pub en: String,
}

/// What a support organisation promises.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// What people read.
    pub title: Title,
    /// What they should know about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub note: Option<Title>,
    /// A plan whose limits hold where this one names none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub base: Option<String>,
    /// What `at once` means, `10min` for instance.
    #[serde(default = "ten_minutes")]
    pub at_once: String,
    /// The hours of limits that name none: `7x24`, `5x8`, `7x8` or one of `hours`.
    #[serde(default = "always")]
    pub default_hours: String,
    /// Hours of its own, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub hours: BTreeMap<String, Hours>,
    /// After how much of a limit there is a warning, per cent.
    #[serde(default = "three_quarters")]
    pub warn_at: u32,
    /// Whether escalation takes every level in turn or may jump.
    #[serde(default)]
    pub escalation: Escalation,
    /// Who is told when, for limits without steps of their own.
    #[serde(default)]
    pub steps: Vec<Step>,
    /// States of a ticket in which clocks rest.
    #[serde(default = "pauses")]
    pub pauses: Vec<String>,
    /// What stops which clock: states that a ticket enters, and what people do (`comment`, `assigned`).
    #[serde(default = "stops")]
    pub stops: BTreeMap<String, Vec<String>>,
    /// Names of further limits.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub names: BTreeMap<String, Title>,
    /// By priority (`p1` … `p4`): the limits.
    pub priorities: BTreeMap<String, BTreeMap<String, Limit>>,
}

/// One limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// `30min`, `4h`, `at once`, `next day`, `next 10 days`, `none`.
    pub within: String,
    /// In which hours it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub hours: Option<String>,
    /// After how much of it there is a warning, per cent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub warn_at: Option<u32>,
    /// Who is told when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub steps: Option<Vec<Step>>,
    /// When it begins.
    #[serde(default, skip_serializing_if = "Start::is_opening")]
    pub starts: Start,
}

/// When a limit begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// With the ticket.
    #[default]
    Opening,
    /// When a person starts it.
    ByHand,
}

impl Start {
    fn is_opening(&self) -> bool {
        *self == Start::Opening
    }
}

/// Whether escalation takes every level in turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Escalation {
    /// L1, L2, L3, manager: none is left out.
    EveryLevel,
    /// A hard case may jump.
    #[default]
    Straight,
}

/// Somebody is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// When: `75%` of the limit, or `+30min` after its end, in time that counts.
    pub at: String,
    /// Whom: `l1`, `l2`, `l3`, `manager`.
    pub to: String,
}

fn ten_minutes() -> String {
    "10min".to_owned()
}

fn always() -> String {
    "7x24".to_owned()
}

fn three_quarters() -> u32 {
    75
}

fn pauses() -> Vec<String> {
    vec!["waiting_customer".to_owned(), "waiting_approval".to_owned()]
}

/// A first human step answers, the field engineer's way out is on site, a result ends the rest.
fn stops() -> BTreeMap<String, Vec<String>> {
    const DONE: [&str; 5] = ["resolved", "verified", "confirmed", "closed", "reviewed"];
    let first = [
        "assigned",
        "comment",
        "in_progress",
        "in_diagnosis",
        "escalated",
        "dispatched",
        "waiting_customer",
    ];
    let diagnosed = ["escalated", "dispatched"];
    let with = |words: &[&str]| words.iter().chain(&DONE).map(ToString::to_string).collect();
    [
        ("respond", with(&first)),
        ("on_site", with(&[])),
        ("diagnose", with(&diagnosed)),
        ("restore", with(&[])),
        ("replacement", with(&[])),
    ]
    .into_iter()
    .map(|(limit, words)| (limit.to_owned(), words))
    .collect()
}

impl Plan {
    /// Every limit that it or the plan it is based on has at any priority, and what it is at this one: in
    /// which of the two plans it is written, and how.
    pub fn limits<'a>(
        &'a self,
        base: Option<&'a Plan>,
        priority: &str,
    ) -> BTreeMap<&'a str, (&'a Plan, Option<&'a Limit>)> {
        let mut all: BTreeMap<&str, (&Plan, Option<&Limit>)> = BTreeMap::new();
        for plan in base.into_iter().chain([self]) {
            for (of, limits) in &plan.priorities {
                for (name, limit) in limits {
                    let here = (of == priority).then_some(limit);
                    let found = all.entry(name).or_insert((plan, None));
                    if here.is_some() {
                        *found = (plan, here);
                    }
                }
            }
        }
        all
    }

    /// Whether a limit begins when a person starts it, at whichever priority.
    pub fn by_hand(&self, base: Option<&Plan>, name: &str) -> bool {
        let all = base.into_iter().chain([self]).flat_map(|plan| plan.priorities.values());
        all.filter_map(|limits| limits.get(name)).any(|limit| limit.starts == Start::ByHand)
    }
}
