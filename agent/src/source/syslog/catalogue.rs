//! The shipped catalogues: what vendors' messages mean, as patterns in the same words as the
//! configuration's own. Which of them may match is found by the words they hold, all at once; the
//! expressions themselves are compiled when one of these words first comes.

use std::sync::Arc;

use aho_corasick::AhoCorasick;
use callhome_shared::severity::Severity;
use serde::Deserialize;

use crate::rule::{Condition, Expression, Rule, Template};

macro_rules! shipped {
    ($name:literal) => {
        ($name, include_str!(concat!("../../../catalogues/", $name, ".yaml")))
    };
}

/// Every `catalogues/*.yaml`: name and text.
const CATALOGUES: &[(&str, &str)] = &[
    shipped!("arista"),
    shipped!("aruba"),
    shipped!("brocade"),
    shipped!("cisco"),
    shipped!("cisco-asa"),
    shipped!("dell-idrac"),
    shipped!("h3c"),
    shipped!("hpe-ilo"),
    shipped!("huawei"),
    shipped!("juniper"),
    shipped!("netapp"),
];

/// Metrics of catalogue entries begin so.
const METRIC: &str = "syslog:";

/// One file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    patterns: Vec<Written>,
}

/// One pattern; the keys are those of `[[syslog.pattern]]`, and `keys`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    id: String,
    /// Every line that raises or clears holds one of these.
    keys: Vec<String>,
    #[serde(rename = "match")]
    raise: String,
    clear: Option<String>,
    #[serde(rename = "type")]
    kind: String,
    severity: Severity,
    #[serde(default)]
    resource: String,
    #[serde(default)]
    qualifier: String,
    #[serde(default)]
    text: String,
    fault_code: Option<String>,
    repair: Option<String>,
}

/// The chosen catalogues, ready to be looked up.
#[derive(Clone, Debug)]
pub struct Catalogues(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    names: Vec<&'static str>,
    rules: Vec<Arc<Rule>>,
    metrics: Vec<Arc<str>>,
    /// Finds the keys; `owner` says of which rule each is.
    finder: Option<AhoCorasick>,
    owner: Vec<usize>,
}

/// The names of all that are shipped.
pub fn names() -> Vec<&'static str> {
    CATALOGUES.iter().map(|(name, _)| *name).collect()
}

impl Catalogues {
    /// Those with these names; the error says what is wrong with one.
    pub fn load(names: &[String]) -> Result<Self, String> {
        let (mut rules, mut metrics) = (Vec::new(), Vec::new());
        let mut loaded = Vec::new();
        let (mut keys, mut owner) = (Vec::new(), Vec::new());
        for (name, text) in CATALOGUES {
            if !names.iter().any(|wanted| wanted == name) {
                continue;
            }
            loaded.push(*name);
            let file: File = serde_saphyr::from_str(text).map_err(|e| format!("{name}: {e}"))?;
            for written in file.patterns {
                owner.extend(std::iter::repeat_n(rules.len(), written.keys.len()));
                keys.extend(written.keys.iter().cloned());
                let metric = format!("{METRIC}{name}/{}", written.id);
                metrics.push(Arc::from(metric.as_str()));
                rules.push(Arc::new(rule(name, metric, written)));
            }
        }
        let finder = match keys.is_empty() {
            true => None,
            false => Some(AhoCorasick::new(&keys).map_err(|e| e.to_string())?),
        };
        Ok(Catalogues(Arc::new(Inner { names: loaded, rules, metrics, finder, owner })))
    }

    /// Which they are.
    pub fn names(&self) -> &[&'static str] {
        &self.0.names
    }

    /// Their rules.
    pub fn rules(&self) -> &[Arc<Rule>] {
        &self.0.rules
    }

    /// The metrics of the patterns that a text may match, in the catalogues' order.
    pub(super) fn look(&self, text: &str) -> Vec<Arc<str>> {
        let Some(finder) = &self.0.finder else { return Vec::new() };
        let mut found: Vec<usize> = finder
            .find_overlapping_iter(text)
            .filter_map(|hit| self.0.owner.get(hit.pattern().as_usize()).copied())
            .collect();
        found.sort_unstable();
        found.dedup();
        found.into_iter().filter_map(|rule| self.0.metrics.get(rule).cloned()).collect()
    }
}

fn rule(catalogue: &str, metric: String, written: Written) -> Rule {
    Rule {
        pack: catalogue.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        id: written.id,
        metric,
        condition: Condition::Pattern {
            raise: Expression::later(written.raise),
            clear: written.clear.map(Expression::later),
            severity: written.severity,
        },
        damping: None,
        template: Template {
            kind: written.kind,
            qualifier: written.qualifier,
            resource: written.resource,
            text: written.text,
            fault_code: written.fault_code,
            proposed_repair: written.repair,
        },
    }
}
