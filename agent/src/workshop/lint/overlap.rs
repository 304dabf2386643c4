//! What is wrong between profiles: what is inherited and lost, and who is chosen for a device.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::About;
use super::shelf::Shelf;
use super::view::{get, items, word};
use crate::profile::Profile;
use crate::profile::node::Place;
use crate::rule::Rule;

/// All of them.
pub(super) fn all(about: &mut About<'_>) {
    lost(about);
    rivals(about);
}

impl Shelf {
    /// Alarm types of all profiles but one.
    pub(super) fn known_types(&self, but: &str) -> Vec<&str> {
        let others = self.profiles().filter(|profile| profile.name != but);
        let rules = others.flat_map(|profile| profile.rules.iter());
        let kinds: BTreeSet<&str> =
            rules.filter(|rule| rule.pack != but).map(|rule| rule.template.kind.as_str()).collect();
        kinds.into_iter().collect()
    }
}

fn symbol(rule: &Rule) -> &str {
    rule.metric.rsplit_once('.').map_or(rule.metric.as_str(), |(_, symbol)| symbol)
}

/// Alarms of an extended profile that this one ends by giving the metric anew.
fn lost(about: &mut About<'_>) {
    let Some(profile) = about.profile() else { return };
    let mut told: Vec<(Place, String)> = Vec::new();
    for parent in parents(about) {
        for rule in &parent.rules {
            let stays = |own: &&Arc<Rule>| {
                symbol(own) == symbol(rule) && own.template.kind == rule.template.kind
            };
            if profile.rules.iter().any(|own| stays(&own)) {
                continue;
            }
            let view = about.view;
            let by_alarm = view.alarms.iter().find(|alarm| alarm.metric == symbol(rule));
            let by_symbol = view.symbols.iter().find(|s| s.name == symbol(rule));
            let Some(at) = by_alarm.map(|a| a.at).or(by_symbol.map(|s| s.at)) else { continue };
            let message = format!(
                "the alarm {} on {}, inherited from {}, is overwritten and lost",
                rule.template.kind,
                symbol(rule),
                parent.name
            );
            if !told.contains(&(at, message.clone())) {
                told.push((at, message));
            }
        }
    }
    for (at, message) in told {
        about.warn("inherited-alarm-lost", at, message);
    }
}

fn parents(about: &About<'_>) -> Vec<Arc<Profile>> {
    let names = get(about.root, "extends").map(items).unwrap_or_default();
    let names = names.iter().filter_map(word);
    names.filter_map(|name| about.shelf.get(name.trim_end_matches(".yaml")).cloned()).collect()
}

/// Other profiles for the same devices, and profiles for all devices.
fn rivals(about: &mut About<'_>) {
    let Some(profile) = about.profile() else { return };
    if profile.name.starts_with('_') || profile.metrics.is_empty() {
        return;
    }
    if profile.head.fits_any() && !Shelf::is_shipped(&profile.name) {
        let message = "neither `sysobjectid` nor `match`: it is used for every device that no other profile is for; \
                       call it _name if it is only there to be extended"
            .to_owned();
        about.warn("for-every-device", about.root.at, message);
    }
    let Some(node) = get(about.root, "sysobjectid") else { return };
    if !profile.head.matches.is_empty() {
        return;
    }
    for (pattern, item) in profile.head.sysobjectids.iter().zip(items(node)) {
        let same = |other: &&Arc<Profile>| {
            other.name != profile.name
                && !other.name.starts_with('_')
                && other.head.matches.is_empty()
                && other.head.sysobjectids.contains(pattern)
        };
        let others: Vec<&str> =
            about.shelf.profiles().filter(same).map(|p| p.name.as_str()).collect();
        let Some(last) = others.last() else { continue };
        let chosen = if *last > profile.name.as_str() { last } else { profile.name.as_str() };
        let message = format!(
            "also the sysObjectID of {}; {chosen} is chosen for such a device",
            others.join(", ")
        );
        about.warn("same-sysobjectid", item.at, message);
    }
}
