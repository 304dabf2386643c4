//! snmp_exporter's `snmp.yml`, as its generator makes it.

use super::draft::{Alarm, Draft, Symbol, Tag, TagSource};
use super::guess;
use crate::profile::node::Node;
use crate::profile::oid::Oid;
use crate::workshop::lint::view::{entries, get, items, number, word};

/// Why a thing was left, where several do the same.
const NO_NUMBER: &str = "its type is shown as text or time only";

/// One profile for each module.
pub fn drafts(modules: &Node) -> Vec<Draft> {
    entries(modules)
        .iter()
        .filter(|(_, module)| get(module, "metrics").is_some())
        .map(|(key, module)| draft(&key.name, module))
        .collect()
}

fn draft(name: &str, module: &Node) -> Draft {
    let origin = format!("snmp_exporter's module {name}");
    let mut draft = Draft { name: guess::name(name), origin, ..Draft::default() };
    for metric in get(module, "metrics").map(items).unwrap_or_default() {
        add(&mut draft, metric);
    }
    for (key, what) in [
        ("filters", "filters of rows (use `skip_when` and `only_when`)"),
        ("overrides", "overrides"),
    ] {
        if get(module, key).is_some() {
            draft.left.push(format!("{key}: {what}"));
        }
    }
    draft
}

fn add(draft: &mut Draft, metric: &Node) {
    let text = |key: &str| get(metric, key).and_then(word).unwrap_or_default();
    let (given, oid, kind) = (text("name"), text("oid"), text("type"));
    if Oid::parse(&oid).is_none() {
        draft.left.push(format!("{given}: {oid:?} is no object identifier in numbers"));
        return;
    }
    if ["DateAndTime", "ParseDateAndTime", "NTPTimeStamp"].contains(&kind.as_str()) {
        draft.left.push(format!("{given}: {NO_NUMBER} ({kind})"));
        return;
    }
    let name = draft.free_name(&guess::name(&given));
    let scale =
        get(metric, "scale").and_then(number).filter(|scale| *scale != 0.0 && *scale != 1.0);
    if get(metric, "offset").and_then(number).is_some_and(|offset| offset != 0.0) {
        draft.left.push(format!("{given}: its `offset`"));
    }
    if get(metric, "regex_extracts").is_some() {
        draft.left.push(format!("{given}: its `regex_extracts` (one value becomes several)"));
    }
    let symbol = Symbol { oid: oid.clone(), name: name.clone(), scale, ..Symbol::default() };
    let indexes = get(metric, "indexes").map(items).unwrap_or_default();
    if indexes.is_empty() {
        // A scalar is named with its instance there, or without.
        draft.scalars.push(symbol);
    } else {
        let tags = tags(draft, &given, metric, indexes);
        draft.add_column(symbol, tags);
    }
    alarm(draft, metric, &given, &name, !indexes.is_empty());
}

/// Where each index stands in the row's: first arc, and number of arcs (`None` = it varies).
fn places(indexes: &[Node]) -> Vec<(String, String, Option<usize>, Option<usize>)> {
    let mut at = Some(0);
    let mut all = Vec::new();
    for index in indexes {
        let name = get(index, "labelname").and_then(word).unwrap_or_default();
        let kind = get(index, "type").and_then(word).unwrap_or_default();
        let size = get(index, "fixed_size").and_then(number).filter(|n| *n >= 1.0);
        let arcs = match kind.as_str() {
            "IpAddr" | "InetAddressIPv4" => Some(4),
            "InetAddressIPv6" => Some(16),
            "PhysAddress48" => Some(6),
            "gauge" | "counter" | "Integer" | "Integer32" | "Unsigned32" | "EnumAsInfo"
            | "EnumAsStateSet" | "TimeTicks" | "uptime" => Some(1),
            _ => size.map(|size| size as usize),
        };
        all.push((name, kind, at, arcs));
        at = at.zip(arcs).map(|(at, arcs)| at + arcs);
    }
    all
}

fn tags(draft: &mut Draft, metric: &str, node: &Node, indexes: &[Node]) -> Vec<Tag> {
    let places = places(indexes);
    let mut tags = Vec::new();
    let lookups = get(node, "lookups").map(items).unwrap_or_default();
    for lookup in lookups {
        let Some(oid) = get(lookup, "oid").and_then(word).filter(|oid| Oid::parse(oid).is_some())
        else {
            continue;
        };
        let name = get(lookup, "labelname").and_then(word).unwrap_or_default();
        let labels: Vec<String> =
            get(lookup, "labels").map(items).unwrap_or_default().iter().filter_map(word).collect();
        let whole =
            labels.len() == places.len() && labels.iter().zip(&places).all(|(l, p)| *l == p.0);
        let parts = match whole {
            true => Some(Vec::new()),
            false => labels.iter().map(|label| part(label, &places)).collect(),
        };
        match parts {
            Some(parts) => {
                let source = TagSource::Column(oid, parts);
                tags.push(Tag { name: guess::name(&name), source });
            }
            None => {
                draft.left.push(format!("{metric}: the lookup {name}: its index varies in length"))
            }
        }
    }
    let last = places.len();
    for (n, (name, kind, at, arcs)) in places.iter().enumerate() {
        let source = match (at, arcs) {
            (Some(at), Some(1)) => Some(TagSource::Index(at + 1)),
            (Some(at), Some(arcs)) if is_text(kind) => {
                Some(TagSource::Text(*at, Some(at + arcs - 1)))
            }
            (Some(at), None) if is_text(kind) && n + 1 == last => Some(TagSource::Text(*at, None)),
            _ => None,
        };
        let taken = tags.iter().any(|tag: &Tag| tag.name == guess::name(name));
        match source {
            Some(source) if !taken => tags.push(Tag { name: guess::name(name), source }),
            Some(_) => {}
            None => draft
                .left
                .push(format!("{metric}: the index {name} ({kind}) as a name of its rows")),
        }
    }
    tags
}

fn part(
    label: &str,
    places: &[(String, String, Option<usize>, Option<usize>)],
) -> Option<(usize, usize)> {
    let (.., at, arcs) = places.iter().find(|(name, ..)| name == label)?;
    let (at, arcs) = ((*at)?, (*arcs)?);
    (arcs > 0).then(|| (at, at + arcs - 1))
}

fn is_text(kind: &str) -> bool {
    ["DisplayString", "OctetString"].contains(&kind)
}

/// Enumerations become state maps, by what their names sound like.
fn alarm(draft: &mut Draft, metric: &Node, given: &str, name: &str, column: bool) {
    let names: Vec<(String, String)> = get(metric, "enum_values")
        .map(entries)
        .unwrap_or_default()
        .iter()
        .filter_map(|(key, node)| Some((key.name.clone(), word(node)?)))
        .collect();
    // What somebody has set is no state.
    if names.is_empty() || given.contains("Admin") {
        return;
    }
    let Some(states) = guess::verdicts(&names) else {
        draft.left.push(format!(
            "{given}: an alarm, as the names of its states do not say which are bad"
        ));
        return;
    };
    let resource = if column { String::new() } else { given.to_owned() };
    draft.alarms.push(Alarm {
        metric: name.to_owned(),
        kind: guess::kind(given, "abnormal"),
        resource,
        names,
        states,
        text: format!("{given} of ${{resource}} is ${{state}}"),
        guessed: true,
        ..Alarm::default()
    });
}
