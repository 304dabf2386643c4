//! Whether the device answers at all: a metric and a built-in rule on it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use callhome_shared::severity::Severity;
use callhome_shared::time::Time;

use crate::rule::{Condition, Rule, Template};
use crate::source::{Reading, Value};

/// 1 = the device answers, 0 = it does not. Label `detail`: why not.
pub const METRIC: &str = "snmp.reachable";

/// Raises `device-unreachable` once two polls in a row got no answer.
pub fn builtin_rules(interval: Duration) -> Vec<Arc<Rule>> {
    // A little less than one interval between the two polls, as they do not come to the ms.
    let for_ms = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX) / 10 * 9;
    let states = BTreeMap::from([("0".to_owned(), Some(Severity::Major)), ("1".to_owned(), None)]);
    vec![Arc::new(Rule {
        pack: "builtin".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        id: "device-unreachable".to_owned(),
        metric: METRIC.to_owned(),
        condition: Condition::StateMap { states, otherwise: None, for_ms },
        damping: None,
        template: Template {
            kind: "device-unreachable".to_owned(),
            text: "${detail}".to_owned(),
            fault_code: Some("device.unreachable".to_owned()),
            proposed_repair: Some(
                "Check the device's power, its network and its SNMP settings.".to_owned(),
            ),
            ..Template::default()
        },
    })]
}

/// The reading; `detail` is why it does not answer.
pub fn reading(address: &str, detail: Option<&str>) -> Reading {
    let words = detail.unwrap_or("the device answers").to_owned();
    Reading {
        metric: METRIC.into(),
        resource: String::new(),
        value: Value::Number(if detail.is_some() { 0.0 } else { 1.0 }),
        unit: "".into(),
        origin: format!("SNMP {address}").into(),
        labels: vec![("detail".into(), words)],
        occurred_at: None,
        observed_at: Time::now(),
    }
}
