//! Zabbix triggers into alarms: one comparison of one item with a number, a state or a macro.

use std::collections::BTreeMap;

use super::draft::{Alarm, Tag};
use super::guess;
use super::zabbix::zabbix_number;
use crate::profile::node::Node;
use crate::workshop::lint::view::{get, word};

/// What is known of the item.
pub struct Facts<'a> {
    /// Its key.
    pub key: &'a str,
    /// The symbol's name.
    pub metric: String,
    /// Names of its raw values.
    pub names: Vec<(String, String)>,
    /// The template's macros.
    pub macros: &'a BTreeMap<String, String>,
    /// What names its rows.
    pub tags: &'a [Tag],
    /// What the item is called, without what tells rows apart.
    pub part: String,
}

/// What became of the triggers.
#[derive(Debug, Default)]
pub struct Told {
    /// Alarms.
    pub alarms: Vec<Alarm>,
    /// Triggers that were left, and why.
    pub left: Vec<String>,
}

/// A comparison.
#[derive(Debug, PartialEq)]
struct Comparison {
    op: Op,
    /// A number, or a text that is compared for equality.
    value: String,
    /// How long it must hold, s.
    for_s: u64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Op {
    Same,
    Other,
    Above,
    Below,
}

/// At most two alarms on an item: one on its states, one on its number.
pub fn alarms(facts: &Facts<'_>, triggers: &[Node]) -> Told {
    let mut told = Told::default();
    let mut states = base(facts);
    let mut levels = base(facts);
    for trigger in triggers {
        let text = |key: &str| get(trigger, key).and_then(word).unwrap_or_default();
        let title = text("name");
        if text("status") == "DISABLED" {
            told.left.push(format!("trigger {title:?}: it is switched off"));
            continue;
        }
        let Some(severity) = severity(&text("priority")) else {
            told.left.push(format!("trigger {title:?}: it is information only"));
            continue;
        };
        let found = comparison(&text("expression"), facts);
        let taken = found.and_then(|found| take(&mut states, &mut levels, found, severity));
        if let Err(why) = taken {
            told.left.push(format!("trigger {title:?}: {why}"));
        }
    }
    let about = match facts.tags.is_empty() {
        true => "${resource}".to_owned(),
        false => format!("${{resource}}: {}", facts.part.replace(['$', '{', '}'], "")),
    };
    if !states.states.is_empty() {
        states.text = format!("{about} is ${{state}}");
        states.names.clone_from(&facts.names);
        let unnamed = |raw: &String| !facts.names.iter().any(|(known, _)| known == raw);
        let more: Vec<String> =
            states.states.iter().map(|(raw, _)| raw.clone()).filter(unnamed).collect();
        if !states.names.is_empty() {
            states.names.extend(more.into_iter().map(|raw| (raw.clone(), raw)));
        }
        states.kind = guess::kind(&facts.metric, "abnormal");
        told.alarms.push(states);
    }
    if !levels.levels.is_empty() {
        levels.text = format!("{about} is ${{value}} ${{unit}}");
        let (above, below) =
            (levels.levels.iter().any(|l| l.0), levels.levels.iter().any(|l| !l.0));
        let what = match (above, below) {
            (true, true) => "out-of-range",
            (true, false) => "high",
            _ => "low",
        };
        levels.kind = guess::kind(&facts.metric, what);
        told.alarms.push(levels);
    }
    told
}

fn base(facts: &Facts<'_>) -> Alarm {
    let resource =
        match facts.tags.iter().find(|tag| tag.name != "snmpvalue").or(facts.tags.first()) {
            Some(tag) => format!("${{{}|index}}", tag.name),
            None => facts.part.clone(),
        };
    Alarm { metric: facts.metric.clone(), resource, ..Alarm::default() }
}

fn severity(priority: &str) -> Option<&'static str> {
    match priority {
        "DISASTER" => Some("critical"),
        "HIGH" => Some("major"),
        "AVERAGE" => Some("minor"),
        "WARNING" => Some("warning"),
        _ => None,
    }
}

fn take(
    states: &mut Alarm,
    levels: &mut Alarm,
    found: Comparison,
    severity: &'static str,
) -> Result<(), String> {
    let alarm = match found.op {
        Op::Same => {
            if states.otherwise == Some(severity)
                || states.states.iter().any(|(raw, _)| *raw == found.value)
            {
                return Err("another trigger judges this state already".to_owned());
            }
            states.states.push((found.value, severity));
            states.otherwise.get_or_insert("ok");
            states
        }
        Op::Other if states.states.is_empty() => {
            states.states.push((found.value, "ok"));
            states.otherwise = Some(severity);
            states
        }
        Op::Other => return Err("another trigger judges the other states already".to_owned()),
        Op::Above | Op::Below => {
            let limit =
                found.value.parse().map_err(|_| format!("{:?} is no number", found.value))?;
            levels.levels.push((found.op == Op::Above, limit, severity));
            levels
        }
    };
    alarm.for_s = alarm.for_s.max(found.for_s);
    Ok(())
}

/// One comparison out of an expression; what only switches it on and off (`{$CONTROL}=1`) is left out.
fn comparison(expression: &str, facts: &Facts<'_>) -> Result<Comparison, String> {
    if expression.contains(" or ") {
        return Err("several conditions, one of which must hold".to_owned());
    }
    let clauses =
        expression.split(" and ").map(|clause| clause.trim().trim_matches(['(', '\n', ' ']));
    let is_switch = |clause: &&str| clause.starts_with("{$") && clause.ends_with("=1");
    let mut clauses = clauses.filter(|clause| !is_switch(clause));
    let (Some(clause), None) = (clauses.next(), clauses.next()) else {
        return Err("several conditions at once".to_owned());
    };
    let (function, rest) = clause.split_once('(').ok_or("it is no function of an item")?;
    let end = rest.rfind(')').ok_or("it is no function of an item")?;
    let (inside, after) =
        (rest.get(..end).unwrap_or_default(), rest.get(end + 1..).unwrap_or_default());
    let parameters =
        inside.split_once(facts.key).map(|(_, after)| after.trim_start_matches(',').trim());
    let parameters = parameters.ok_or("it looks at another item")?;
    let (op, value) =
        operator(after.trim()).ok_or("it compares with something else than a value")?;
    let value = resolved(value, facts)?;
    match function.trim() {
        "last" => Ok(Comparison { op, value, for_s: 0 }),
        "avg" | "min" | "max" => Ok(Comparison { op, value, for_s: seconds(parameters, facts) }),
        "count" => counted(parameters, facts),
        other => Err(format!("its function {other}")),
    }
}

/// `count(…,#1,"eq","3")=1`: the last value is 3.
fn counted(parameters: &str, facts: &Facts<'_>) -> Result<Comparison, String> {
    let parts: Vec<&str> = parameters.splitn(3, ',').map(str::trim).collect();
    match parts.as_slice() {
        ["#1", op, value] => {
            let op = match op.trim_matches('"') {
                "eq" => Op::Same,
                "ne" => Op::Other,
                other => return Err(format!("it counts what is {other}")),
            };
            Ok(Comparison { op, value: resolved(value, facts)?, for_s: 0 })
        }
        _ => Err("it counts values over time".to_owned()),
    }
}

fn operator(text: &str) -> Option<(Op, &str)> {
    for (sign, op) in [
        ("<>", Op::Other),
        (">=", Op::Above),
        ("<=", Op::Below),
        ("=", Op::Same),
        (">", Op::Above),
        ("<", Op::Below),
    ] {
        if let Some(rest) = text.strip_prefix(sign) {
            let rest = rest.trim();
            let one = !rest.is_empty() && !rest.contains(['(', '+', '*', '/', '<', '>']);
            return one.then_some((op, rest));
        }
    }
    None
}

/// A number or a text, out of a macro where it is one: `{$TEMP:"context"}`, `"{$OK:\"x\"}"`.
fn resolved(value: &str, facts: &Facts<'_>) -> Result<String, String> {
    let value = value.trim().trim_matches('"');
    let found = match value.starts_with("{$") {
        false => value.to_owned(),
        true => {
            let plain = value.replace("\\\"", "\"");
            let base = plain.split(':').next().unwrap_or_default().trim_end_matches('}');
            let base = format!("{base}}}");
            let found = facts.macros.get(&plain).or_else(|| facts.macros.get(&base));
            found.cloned().ok_or_else(|| format!("the template does not say what {plain} is"))?
        }
    };
    if found.contains("{#") || found.contains("{$") {
        return Err(format!("what it compares with is told by the device: {found:?}"));
    }
    Ok(zabbix_number(&found).map_or(found, |number| number.to_string()))
}

/// `5m`, `300s`, `{$MACRO}`; `#3` (a number of values) counts as nothing.
fn seconds(text: &str, facts: &Facts<'_>) -> u64 {
    let first = text.split(',').next().unwrap_or_default().trim();
    let text = match first.starts_with("{$") {
        true => facts.macros.get(first).map_or("", String::as_str),
        false => first,
    };
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(split);
    let factor = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => 0,
    };
    digits.parse::<u64>().unwrap_or(0).saturating_mul(factor).min(86_400)
}
