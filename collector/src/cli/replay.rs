//! `replay`: what rules of diagnosis would have made of the recorded alarms.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::Context;
use callhome_shared::severity::Severity;
use callhome_shared::time::Time;
use clap::Args;
use serde::Serialize;

use super::table::{plain, table};
use super::{Failure, print};
use crate::config;
use crate::diagnosis::play::{Fate, Life, Play, Played, Ticket, What};
use crate::diagnosis::rules::Rules;
use crate::diagnosis::topology::Topology;
use crate::settings::Settings;
use crate::store::history::{self, Past};
use crate::store::{Db, topology};

/// Alarm lives that are played, at most.
const MOST: usize = 200_000;
/// Differences that are shown as text; `--json` has all.
const SHOWN: usize = 100;

#[derive(Debug, Args)]
pub(super) struct Replay {
    /// A file with a section [diagnosis]; without it: the rules of the configuration
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,
    /// Alarms raised from then on, RFC 3339
    #[arg(long, value_name = "TIME", value_parser = moment)]
    from: Option<Time>,
    /// Alarms raised before then
    #[arg(long, value_name = "TIME", value_parser = moment)]
    to: Option<Time>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

fn moment(text: &str) -> Result<Time, String> {
    Time::parse(text).map_err(|e| e.to_string())
}

/// What would have been.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Outcome {
    /// Alarm lives that were played.
    alarms: usize,
    /// Tickets that they are in.
    tickets_then: usize,
    /// Tickets that these rules would have made of them.
    tickets: usize,
    /// Lives that would have been consequences in another fault's ticket.
    consequences: usize,
    /// Lives that would have been gone before their time.
    transients: usize,
    /// Lives that would only have been recorded.
    recorded: usize,
    /// Tickets that would say "flapping".
    flapping: usize,
    /// Lives that would have gone another way than they went.
    differences: Vec<Difference>,
}

/// A life that would have gone another way.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Difference {
    alarm_id: String,
    device: String,
    resource: String,
    #[serde(rename = "type")]
    kind: String,
    /// The ticket that it is in.
    ticket: Option<String>,
    /// What became of it: `opened`, `joined`, `consequence`, `none`.
    then: &'static str,
    /// What would have become of it: also `transient`, `recorded`.
    now: &'static str,
    /// Why: the rule, or the cause.
    why: String,
}

pub(super) async fn run(args: Replay, settings: &Settings) -> Result<(), Failure> {
    let rules = match &args.rules {
        None => settings.diagnosis.clone(),
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("{} cannot be read", path.display()))?;
            config::rules(&path.display().to_string(), &text).map_err(Failure::Configuration)?
        }
    };
    let db = super::open(settings).await?;
    let (from, to) = (args.from.unwrap_or(Time(0)), args.to.unwrap_or(Time(i64::MAX)));
    let outcome = replay(&db, &rules, from, to).await?;
    db.close().await;
    if args.json { super::print_json(&outcome) } else { show(&outcome) }
}

async fn replay(db: &Db, rules: &Rules, from: Time, to: Time) -> anyhow::Result<Outcome> {
    let past = history::between(db, from, to, MOST).await?;
    anyhow::ensure!(
        past.len() <= MOST,
        "more than {MOST} alarms: expected a shorter time with --from and --to"
    );
    let mut tx = db.begin().await?;
    let (told, written) = topology::load(&mut tx).await?;
    tx.rollback().await?;
    Ok(compare(rules, &Topology::build(&told, &written), &past))
}

/// Plays the history and compares.
fn compare(rules: &Rules, topology: &Topology, past: &[Past]) -> Outcome {
    let mut events: Vec<(Time, u8, What)> = Vec::new();
    let mut closed = BTreeSet::new();
    for one in past {
        events.push((one.raised_at, 1, What::Raised(life(topology, one))));
        if let Some(at) = one.cleared_at {
            events.push((at.max(one.raised_at), 2, What::Cleared(one.alarm_id.clone())));
        }
        // A consequence's case ends by itself.
        if let Some(at) = one.closed_at.filter(|_| !one.consequence)
            && closed.insert((at, one.identity.clone()))
        {
            events.push((at, 0, What::Closed(one.identity.clone())));
        }
    }
    events.sort_by_key(|(at, order, _)| (*at, *order));
    let mut play = Play::new(rules, topology);
    for (at, _, what) in events {
        play.hear(at, what);
    }
    let (tickets, lives) = play.end();
    let count = |is: fn(&Fate) -> bool| lives.values().filter(|l| is(&l.fate)).count();
    let then: BTreeSet<&String> = past.iter().filter_map(|one| one.ticket.as_ref()).collect();
    let standing = || tickets.iter().filter(|ticket| ticket.merged_into.is_none());
    Outcome {
        alarms: past.len(),
        tickets_then: then.len(),
        tickets: standing().count(),
        consequences: count(|fate| matches!(fate, Fate::Consequence(..))),
        transients: count(|fate| matches!(fate, Fate::Transient)),
        recorded: count(|fate| matches!(fate, Fate::Recorded)),
        flapping: standing().filter(|ticket| ticket.flapping).count(),
        differences: differences(past, &tickets, &lives),
    }
}

fn life(topology: &Topology, one: &Past) -> Life {
    let severity = Severity::ALL.into_iter().find(|s| s.as_str() == one.severity);
    Life {
        alarm_id: one.alarm_id.clone(),
        identity: one.identity.clone(),
        node: topology.node_of(&one.agent_id, &one.device_id),
        kind: one.kind.clone(),
        resource: one.resource.clone(),
        severity: severity.unwrap_or(Severity::Indeterminate),
        rule: (one.rule.pack.clone(), one.rule.id.clone()),
        site: one.site.clone(),
        device: (one.device_id.clone(), one.device_name.clone()),
    }
}

fn differences(
    past: &[Past],
    tickets: &[Ticket],
    lives: &BTreeMap<String, Played>,
) -> Vec<Difference> {
    let mut opened = BTreeSet::new();
    let mut all = Vec::new();
    for one in past {
        let then = match &one.ticket {
            None => "none",
            Some(_) if one.consequence => "consequence",
            Some(number) if opened.insert(number) => "opened",
            Some(_) => "joined",
        };
        let Some(played) = lives.get(&one.alarm_id) else { continue };
        let rule = played.rule.clone().unwrap_or_default();
        let (now, why) = match &played.fate {
            Fate::Opened(ticket) if tickets[*ticket].merged_into.is_some() => {
                ("consequence", String::new())
            }
            Fate::Opened(_) => ("opened", rule),
            Fate::Joined(_) => ("joined", String::new()),
            Fate::Consequence(_, cause) => {
                ("consequence", format!("{} on {}", cause.kind, cause.path.join(" > ")))
            }
            Fate::Transient => ("transient", rule),
            Fate::Recorded => ("recorded", rule),
            Fate::Waits { .. } => ("waits", rule),
        };
        let same = now == then || (then == "none" && matches!(now, "transient" | "recorded"));
        if !same {
            all.push(Difference {
                alarm_id: one.alarm_id.clone(),
                device: one.device_name.clone(),
                resource: one.resource.clone(),
                kind: one.kind.clone(),
                ticket: one.ticket.clone(),
                then,
                now,
                why,
            });
        }
    }
    all
}

fn show(outcome: &Outcome) -> Result<(), Failure> {
    let Outcome { alarms, tickets_then, tickets, .. } = outcome;
    let mut out = format!(
        "{alarms} alarms: {tickets_then} tickets then, {tickets} by these rules\n  consequences {}, gone in a moment {}, only recorded {}, flapping tickets {}\n",
        outcome.consequences, outcome.transients, outcome.recorded, outcome.flapping
    );
    if outcome.differences.is_empty() {
        return print(&out);
    }
    out.push_str(&format!("\n{} alarms would have gone another way\n", outcome.differences.len()));
    let rows: Vec<Vec<String>> = outcome
        .differences
        .iter()
        .take(SHOWN)
        .map(|one| {
            let ticket = one.ticket.clone().unwrap_or_default();
            let texts = [&ticket, &one.device, &one.resource, &one.kind];
            let mut row: Vec<String> = texts.into_iter().cloned().collect();
            row.extend([one.then.to_owned(), one.now.to_owned(), plain(&one.why)]);
            row
        })
        .collect();
    out.push_str(&table(&["ticket", "device", "resource", "type", "then", "now", "why"], &rows));
    if outcome.differences.len() > SHOWN {
        out.push_str(&format!("… the first {SHOWN}; --json has all\n"));
    }
    print(&out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use callhome_shared::alarm::RuleRef;

    fn past(n: i64, kind: &str, ticket: &str) -> Past {
        Past {
            alarm_id: n.to_string(),
            identity: format!("{kind} {n}"),
            agent_id: "a".into(),
            device_id: "D".into(),
            device_name: "d".into(),
            site: "LAB-1".into(),
            resource: String::new(),
            kind: kind.into(),
            severity: "minor".into(),
            rule: RuleRef::default(),
            raised_at: Time(n * 1000),
            cleared_at: Some(Time(n * 1000 + 500)),
            ticket: Some(ticket.into()),
            consequence: false,
            closed_at: None,
        }
    }

    #[test]
    fn what_other_rules_would_have_made_of_it() {
        let history = [past(1, "fan-failed", "T-1"), past(2, "disk-failed", "T-2")];
        let topology = Topology::default();
        let same = compare(&Rules::default(), &topology, &history);
        assert_eq!((same.tickets_then, same.tickets, same.differences.len()), (2, 2, 0));
        let text = "[diagnosis]\nrule = [{ name = \"fans\", type = [\"fan-*\"], then = \"hold\", hold_s = 1 }]\n";
        let rules = config::rules("rules.toml", text).unwrap();
        let other = compare(&rules, &topology, &history);
        assert_eq!((other.tickets_then, other.tickets, other.transients), (2, 1, 1));
        let one = &other.differences[0];
        assert_eq!((one.then, one.now, one.why.as_str()), ("opened", "transient", "fans"));
        assert_eq!(one.ticket.as_deref(), Some("T-1"));
    }
}
