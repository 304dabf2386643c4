//! Zabbix templates in YAML: SNMP items with their preprocessing, discovery rules, value maps, triggers.

use std::collections::BTreeMap;

use super::draft::{Draft, Symbol, Tag, TagSource};
use super::guess;
use super::trigger::{self, Facts, Told};
use crate::profile::node::Node;
use crate::profile::oid::Oid;
use crate::workshop::lint::view::{get, items, word};

/// What stands for the row's index in a prototype.
const INDEX: &str = ".{#SNMPINDEX}";
/// Steps of preprocessing that change nothing that is polled.
const HARMLESS: &[&str] =
    &["DISCARD_UNCHANGED", "DISCARD_UNCHANGED_HEARTBEAT", "CHECK_NOT_SUPPORTED"];

/// What an item is read by.
struct Read {
    oid: String,
    column: bool,
    symbol: Symbol,
}

/// The value maps and macros of a template.
struct Known {
    maps: BTreeMap<String, Vec<(String, String)>>,
    macros: BTreeMap<String, String>,
}

/// One profile for each template.
pub fn drafts(export: &Node) -> Vec<Draft> {
    list(export, "templates").iter().map(draft).collect()
}

fn list<'n>(node: &'n Node, key: &str) -> &'n [Node] {
    get(node, key).map(items).unwrap_or_default()
}

fn text(node: &Node, key: &str) -> String {
    get(node, key).and_then(word).unwrap_or_default()
}

fn draft(template: &Node) -> Draft {
    let title = text(template, "template");
    let origin = format!("the Zabbix template {title:?}");
    let name = guess::name(&title).to_ascii_lowercase().replace('_', "-");
    let mut draft = Draft { name, origin, ..Draft::default() };
    let maps = list(template, "valuemaps").iter().map(|map| {
        let pairs =
            list(map, "mappings").iter().filter(|m| ["", "EQUAL"].contains(&&*text(m, "type")));
        let pairs = pairs.map(|m| (text(m, "value"), text(m, "newvalue"))).collect();
        (text(map, "name"), pairs)
    });
    let macros = list(template, "macros").iter();
    let known = Known {
        maps: maps.collect(),
        macros: macros.map(|m| (text(m, "macro"), text(m, "value"))).collect(),
    };
    for item in list(template, "items") {
        add(&mut draft, item, &known, &[], "triggers");
    }
    for rule in list(template, "discovery_rules") {
        let tags = discovered(&mut draft, rule);
        for prototype in list(rule, "item_prototypes") {
            add(&mut draft, prototype, &known, &tags, "trigger_prototypes");
        }
        for trigger in list(rule, "trigger_prototypes") {
            draft
                .left
                .push(format!("trigger {:?}: it looks at several items", text(trigger, "name")));
        }
    }
    draft
}

/// What names the rows of a discovery rule: `discovery[{#A},1.3…,{#B},1.3…]`, or the pairs of SNMP_WALK_TO_JSON.
fn discovered(draft: &mut Draft, rule: &Node) -> Vec<Tag> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    let oid = text(rule, "snmp_oid");
    if let Some(inside) = oid.strip_prefix("discovery[").and_then(|rest| rest.strip_suffix(']')) {
        let parts: Vec<&str> = inside.split(',').map(str::trim).collect();
        pairs.extend(parts.chunks_exact(2).filter_map(|pair| match pair {
            [name, oid] => Some(((*name).to_owned(), (*oid).to_owned())),
            _ => None,
        }));
    }
    for step in list(rule, "preprocessing") {
        if text(step, "type") == "SNMP_WALK_TO_JSON" {
            let parameters: Vec<String> =
                list(step, "parameters").iter().filter_map(word).collect();
            pairs.extend(parameters.chunks(3).filter_map(|part| match part {
                [name, oid, ..] => Some((name.clone(), oid.clone())),
                _ => None,
            }));
        }
    }
    if pairs.is_empty() {
        draft.left.push(format!(
            "discovery {:?}: it does not walk objects by their numbers",
            text(rule, "name")
        ));
    }
    let mut tags: Vec<Tag> = Vec::new();
    for (name, oid) in pairs {
        let bare = name.trim_start_matches("{#").trim_end_matches('}').to_ascii_lowercase();
        match Oid::parse(&oid) {
            Some(oid) => {
                let (name, source) =
                    (guess::name(&bare), TagSource::Column(oid.to_string(), Vec::new()));
                tags.push(Tag { name, source });
            }
            None => draft.left.push(format!("{name}: {oid:?} is no object identifier in numbers")),
        }
    }
    if get(rule, "filter").is_some() {
        draft.left.push(format!(
            "discovery {:?}: its filter (use `skip_when` and `only_when`)",
            text(rule, "name")
        ));
    }
    tags
}

fn add(draft: &mut Draft, item: &Node, known: &Known, tags: &[Tag], triggers: &str) {
    let key = text(item, "key");
    let read = match read(item) {
        Ok(Some(read)) => read,
        Ok(None) => return,
        Err(why) => {
            draft.left.push(format!("item {key}: {why}"));
            return;
        }
    };
    let Read { oid, column, mut symbol } = read;
    symbol.name = draft.free_name(&name(&key));
    symbol.unit = guess::unit(&text(item, "units"));
    let facts = Facts {
        key: &key,
        metric: symbol.name.clone(),
        names: get(item, "valuemap")
            .map(|map| text(map, "name"))
            .and_then(|m| known.maps.get(&m).cloned())
            .unwrap_or_default(),
        macros: &known.macros,
        tags,
        part: part(&text(item, "name")),
    };
    symbol.oid = oid;
    match column {
        true => draft.add_column(symbol, tags.to_vec()),
        false => draft.scalars.push(symbol),
    }
    let Told { alarms, left } = trigger::alarms(&facts, list(item, triggers));
    draft.alarms.extend(alarms);
    draft.left.extend(left);
}

/// `Ok(None)` = nothing of ours: another kind of item, or the walk that others are cut out of.
fn read(item: &Node) -> Result<Option<Read>, String> {
    let kind = text(item, "type");
    let mut symbol = Symbol::default();
    let mut oid = match kind.as_str() {
        "SNMP_AGENT" => text(item, "snmp_oid"),
        "DEPENDENT" => String::new(),
        "SNMP_TRAP" => return Err("traps".to_owned()),
        "CALCULATED" => return Err("it is calculated of other items".to_owned()),
        _ => return Ok(None),
    };
    if oid.starts_with("walk[") {
        return Ok(None);
    }
    if let Some(inside) = oid.strip_prefix("get[").and_then(|rest| rest.strip_suffix(']')) {
        oid = inside.to_owned();
    }
    for step in list(item, "preprocessing") {
        let parameters: Vec<String> = list(step, "parameters").iter().filter_map(word).collect();
        let first = parameters.first().cloned().unwrap_or_default();
        match text(step, "type").as_str() {
            "SNMP_WALK_VALUE" => oid = first,
            "SNMP_GET_VALUE" => {}
            "MULTIPLIER" => {
                let factor = first.parse::<f64>().ok().filter(|f| f.is_finite());
                let factor = factor.ok_or_else(|| format!("its factor {first:?} is no number"))?;
                symbol.scale = Some(symbol.scale.unwrap_or(1.0) * factor);
            }
            "REGEX" if regex::Regex::new(&first).is_ok() => {
                let by = parameters.get(1).cloned().unwrap_or_else(|| "\\0".to_owned());
                symbol.extract = Some((first, by));
            }
            harmless if HARMLESS.contains(&harmless) => {}
            other => return Err(format!("its preprocessing {other}")),
        }
    }
    if oid.is_empty() {
        return Err("it depends on another item, by something else than a walk".to_owned());
    }
    let column = oid.contains("{#");
    let root = oid.strip_suffix(INDEX).unwrap_or(&oid);
    let Some(parsed) = Oid::parse(root) else {
        return Err(format!("{oid:?} is no object identifier in numbers"));
    };
    Ok(Some(Read { oid: parsed.to_string(), column, symbol }))
}

/// `sensor.temp.value[fanSpeed.{#SNMPINDEX}]` is about `fanSpeed`; without that, the key itself.
fn name(key: &str) -> String {
    let (head, inside) = key.split_once('[').unwrap_or((key, ""));
    let inside = inside.trim_end_matches(']');
    let inside = inside.split(".{#").next().unwrap_or_default();
    let inside =
        inside.rsplit([',', '.']).find(|part| !part.is_empty() && part.parse::<u32>().is_err());
    match inside.filter(|part| !part.starts_with('{') && !part.contains('#')) {
        Some(part) => guess::name(part),
        None => guess::name(head),
    }
}

fn part(name: &str) -> String {
    name.rsplit(':').next().unwrap_or_default().trim().to_owned()
}

/// A template's number, as Zabbix writes it: with `K`, `M`, `G`.
pub fn zabbix_number(text: &str) -> Option<f64> {
    let text = text.trim().trim_matches('"');
    let (digits, factor) = match text.chars().last()? {
        'K' => (text.get(..text.len() - 1)?, 1024.0),
        'M' => (text.get(..text.len() - 1)?, 1024.0 * 1024.0),
        'G' => (text.get(..text.len() - 1)?, 1024.0 * 1024.0 * 1024.0),
        _ => (text, 1.0),
    };
    digits.parse::<f64>().ok().filter(|n| n.is_finite()).map(|n| n * factor)
}
