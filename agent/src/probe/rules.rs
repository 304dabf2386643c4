//! The agent's own rules: what turns a probe into a synthetic fault, and a path that was not proven
//! into a real one.

use std::collections::BTreeMap;
use std::sync::Arc;

use callhome_shared::alarm::Device;
use callhome_shared::probe::{Missing, PATH_TYPE, PROBE_TYPE};
use callhome_shared::severity::Severity;
use callhome_shared::time::Time;

use crate::rule::{Condition, PATH, Rule, Template, Watched};
use crate::source::{Reading, SourceKind, Value, probe};

/// What the agent says of its own paths comes from a source of this name, which no configuration can
/// hold: names have no control characters.
pub fn path_source(source: &str) -> Arc<str> {
    format!("\u{1}path {source}").into()
}

/// The rule that every probed source has.
pub fn probe_rule() -> Arc<Rule> {
    Arc::new(Rule {
        pack: "builtin".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        id: PROBE_TYPE.to_owned(),
        metric: probe::METRIC.to_owned(),
        condition: Condition::Probe,
        damping: None,
        template: Template {
            kind: PROBE_TYPE.to_owned(),
            // Each probe is a fault of its own, so that each travels the whole way.
            qualifier: "${value}".to_owned(),
            text: "synthetic fault: the path to a ticket is being proven".to_owned(),
            ..Template::default()
        },
    })
}

/// One source's path as something that is watched itself, on the agent as a device.
pub fn path_watched(source: &str, agent: &Arc<Device>) -> Watched {
    let states = BTreeMap::from([("0".to_owned(), Some(Severity::Major)), ("1".to_owned(), None)]);
    Watched {
        source: path_source(source),
        kind: SourceKind::Host,
        device: agent.clone(),
        rules: vec![Arc::new(Rule {
            pack: "builtin".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            id: PATH_TYPE.to_owned(),
            metric: PATH.to_owned(),
            condition: Condition::StateMap { states, otherwise: None, for_ms: 0 },
            damping: None,
            template: Template {
                kind: PATH_TYPE.to_owned(),
                text: "not proven, at ${hop}: ${detail}".to_owned(),
                fault_code: Some("path.not-proven".to_owned()),
                ..Template::default()
            },
        })],
    }
}

/// Whether a source's path is proven, as a reading.
pub fn path_reading(source: &str, missing: Option<&Missing>) -> Reading {
    let label = |name: &'static str, text: String| (Arc::from(name), text);
    let labels = missing.map(|missing| {
        vec![label("hop", missing.hop.as_str().to_owned()), label("detail", missing.detail.clone())]
    });
    Reading {
        metric: PATH.into(),
        resource: source.to_owned(),
        value: Value::Number(if missing.is_some() { 0.0 } else { 1.0 }),
        unit: "".into(),
        origin: "the agent's probes".into(),
        labels: labels.unwrap_or_default(),
        occurred_at: None,
        observed_at: Time::now(),
    }
}
