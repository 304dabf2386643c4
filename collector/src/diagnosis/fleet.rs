//! The same fault on many sites in a short time: a problem of the fleet. Pure.

use std::collections::{BTreeMap, BTreeSet};

use callhome_shared::heartbeat::hex;
use sha2::{Digest, Sha256};

use super::rules::Rules;

/// A ticket's fault, as others may have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// The ticket.
    pub ticket: String,
    /// The site; empty: not known, which is no site.
    pub site: String,
    /// The agent's rule, `pack/id`.
    pub rule: String,
    /// The device's model.
    pub model: String,
}

/// A problem of the fleet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The same for the same type, rule and model.
    pub id: String,
    /// The agent's rule.
    pub rule: String,
    /// The model.
    pub model: String,
    /// How many sites have it.
    pub sites: usize,
    /// Their tickets.
    pub tickets: Vec<String>,
}

/// What these sightings of one alarm type within the window make up. A model that is not known is no model
/// that they share.
pub fn problems(rules: &Rules, kind: &str, sightings: &[Sighting]) -> Vec<Problem> {
    let mut groups: BTreeMap<(&str, &str), Vec<&Sighting>> = BTreeMap::new();
    for one in sightings.iter().filter(|one| !one.model.is_empty()) {
        groups.entry((&one.rule, &one.model)).or_default().push(one);
    }
    let found = groups.into_iter().filter_map(|((rule, model), all)| {
        let sites = all.iter().map(|one| one.site.as_str()).filter(|site| !site.is_empty());
        let sites = sites.collect::<BTreeSet<_>>().len();
        if sites < rules.fleet_sites {
            return None;
        }
        let tickets: BTreeSet<String> = all.iter().map(|one| one.ticket.clone()).collect();
        Some(Problem {
            id: id(kind, rule, model),
            rule: rule.to_owned(),
            model: model.to_owned(),
            sites,
            tickets: tickets.into_iter().collect(),
        })
    });
    found.collect()
}

fn id(kind: &str, rule: &str, model: &str) -> String {
    hex(&Sha256::digest([kind, rule, model].join("\u{1f}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_sites_are_a_fleet_and_many_tickets_of_one_are_not() {
        let rules = Rules::default();
        let one = |n: usize, site: &str, model: &str| Sighting {
            ticket: n.to_string(),
            site: site.into(),
            rule: "p/r".into(),
            model: model.into(),
        };
        let here: Vec<Sighting> = (0..9).map(|n| one(n, "S1", "M")).collect();
        assert_eq!(problems(&rules, "disk-failed", &here), []);
        let mut all = here;
        all.extend([one(10, "S2", "M"), one(11, "S3", "other"), one(12, "", "M")]);
        assert_eq!(problems(&rules, "disk-failed", &all), []);
        all.push(one(13, "S3", "M"));
        let found = problems(&rules, "disk-failed", &all);
        assert_eq!((found.len(), found[0].sites, found[0].tickets.len()), (1, 3, 12));
        let nameless: Vec<Sighting> = (0..9).map(|n| one(n, &n.to_string(), "")).collect();
        assert_eq!(problems(&rules, "disk-failed", &nameless), []);
    }
}
