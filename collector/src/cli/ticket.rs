//! `ticket list`, `ticket show`. The JSON is the API's.

use anyhow::Context;
use callhome_shared::alarm::Message;
use clap::Subcommand;
use clap::builder::PossibleValuesParser;
use serde_json::json;

use super::table::{plain, plain_lines, table};
use super::{Failure, print};
use crate::api::explain::explain;
use crate::api::model;
use crate::settings::Settings;
use crate::store::tickets::{self, Filter, States, TicketRow};
use crate::store::{Db, alarms, evidence, timeline};
use crate::ticket::State;

/// Alarms, items of evidence and entries that are shown.
const SHOWN: i64 = 200;

/// `open`, `all` and every state.
fn states() -> PossibleValuesParser {
    let states = State::ALL.iter().map(|state| state.as_str());
    PossibleValuesParser::new(["open", "all"].into_iter().chain(states).collect::<Vec<_>>())
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List tickets, the latest first
    List {
        /// Where they stand
        #[arg(long, default_value = "open", value_parser = states())]
        state: String,
        /// At most so many
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(i64).range(1..=10_000))]
        limit: i64,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Say why there is a ticket, and what is in none of its own because of it
    Explain {
        /// Its number, such as T-000123
        number: String,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Show one ticket with its alarms, evidence and timeline
    Show {
        /// Its number, such as T-000123
        number: String,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

pub(super) async fn run(command: Command, settings: &Settings) -> Result<(), Failure> {
    let db = super::open(settings).await?;
    match command {
        Command::List { state, limit, json } => list(&db, &state, limit, json).await?,
        Command::Explain { number, json } => why(&db, &number, json).await?,
        Command::Show { number, json } => show(&db, &number, json).await?,
    }
    db.close().await;
    Ok(())
}

async fn list(db: &Db, state: &str, limit: i64, as_json: bool) -> Result<(), Failure> {
    let states = match state {
        "open" => States::Open,
        "all" => States::All,
        one => States::One(one.to_owned()),
    };
    let rows = tickets::list(db, &Filter { states, limit, ..Filter::default() }).await?;
    if as_json {
        let items: Vec<model::TicketSummary> = rows.into_iter().map(Into::into).collect();
        return super::print_json(&items);
    }
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|t| {
            vec![
                t.number.clone(),
                t.state.clone(),
                t.priority.clone(),
                t.severity.clone(),
                t.agent_id.clone(),
                t.device_name.clone(),
                t.resource.clone(),
                t.kind.clone(),
                t.opened_at.to_string(),
                notes(t),
            ]
        })
        .collect();
    let head = [
        "number", "state", "priority", "severity", "agent", "device", "resource", "type", "opened",
        "",
    ];
    print(&table(&head, &cells))
}

fn notes(ticket: &TicketRow) -> String {
    let mut notes = Vec::new();
    if ticket.test {
        notes.push("test".to_owned());
    }
    if ticket.condition_cleared_at.is_some() {
        notes.push("condition cleared".to_owned());
    }
    if ticket.recurrences > 0 {
        notes.push(format!("recurred {}×", ticket.recurrences));
    }
    notes.join(", ")
}

async fn show(db: &Db, number: &str, as_json: bool) -> Result<(), Failure> {
    let ticket = tickets::get(db, number).await?;
    let ticket = ticket.with_context(|| format!("there is no ticket {}", plain(number)))?;
    let alarms = alarms::of_ticket(db, &ticket.id, SHOWN).await?;
    let evidence = evidence::of_ticket(db, &ticket.id, SHOWN).await?;
    let timeline = timeline::of_ticket(db, &ticket.id, SHOWN).await?;
    if as_json {
        return super::print_json(&json!({
            "ticket": model::Ticket::from(ticket),
            "alarms": alarms.into_iter().map(model::Alarm::from).collect::<Vec<_>>(),
            "evidence": evidence.into_iter().map(model::Evidence::from).collect::<Vec<_>>(),
            "timeline": timeline.into_iter().map(model::TimelineEntry::from).collect::<Vec<_>>(),
        }));
    }
    let mut out = summary(&ticket);
    out.push_str("\nAlarms\n");
    let rows: Vec<Vec<String>> = alarms
        .iter()
        .map(|a| {
            let a = &a.alarm;
            let state = if a.active { "active" } else { "cleared" };
            vec![
                a.raised_at.to_string(),
                state.to_owned(),
                a.severity.clone(),
                message(&a.message),
                a.alarm_id.clone(),
            ]
        })
        .collect();
    out.push_str(&table(&["raised", "state", "severity", "message", "alarm"], &rows));
    for item in &evidence {
        let e = &item.evidence;
        let cut = if e.truncated { " (cut)" } else { "" };
        out.push_str(&format!("\nEvidence: {} {} {}{cut}\n", e.at, e.kind, plain(&e.origin)));
        for line in plain_lines(&e.text).lines() {
            out.push_str(&format!("  {line}\n"));
        }
    }
    out.push_str("\nTimeline\n");
    let rows: Vec<Vec<String>> = timeline
        .iter()
        .map(|e| vec![e.at.to_string(), e.who.clone(), e.what.clone(), e.detail.clone()])
        .collect();
    out.push_str(&table(&["at", "who", "what", "detail"], &rows));
    print(&out)
}

async fn why(db: &Db, number: &str, as_json: bool) -> Result<(), Failure> {
    let ticket = tickets::get(db, number).await?;
    let ticket = ticket.with_context(|| format!("there is no ticket {}", plain(number)))?;
    let why = explain(db, &ticket).await?;
    if as_json {
        return super::print_json(&why);
    }
    let mut out = format!("{}  opened: {}\n", why.number, plain(&why.reason));
    let rule = why.rule.as_deref().map_or("none: a ticket at once".to_owned(), plain);
    let mut line = |name: &str, text: String| out.push_str(&format!("  {name:<18}{text}\n"));
    line("rule", rule);
    if let (Some(ms), Some(what)) = (why.waited_ms, &why.waited_for) {
        line("waited", format!("{} s ({what})", ms / 1000));
    }
    line("lives", why.lives.to_string());
    if why.transients > 0 {
        line("held down", format!("{} lives that were gone in a moment", why.transients));
    }
    if why.flapping {
        line("flapping", "further lives are only counted".to_owned());
    }
    if let Some(fleet) = &why.fleet {
        let others = fleet.others.join(", ");
        line("fleet", format!("{} sites have it: {others}", fleet.sites));
    }
    if let Some(into) = &why.merged_into {
        line("merged into", into.clone());
    }
    line("consequences", format!("{}, {} active", why.consequence_count, why.consequences_active));
    if why.consequences.is_empty() {
        return print(&out);
    }
    let rows: Vec<Vec<String>> = why
        .consequences
        .iter()
        .map(|one| {
            let way = one.path.join(" > ");
            let after = one.after_ms.map(|ms| format!("{} s", ms / 1000)).unwrap_or_default();
            let relation = one.relation.clone().unwrap_or_default();
            let state = if one.active { "active" } else { "cleared" };
            let texts = [&one.device, &one.resource, &one.kind, &one.severity];
            let mut row: Vec<String> = texts.into_iter().cloned().collect();
            row.extend([state.to_owned(), relation, way, after]);
            row
        })
        .collect();
    let head = ["device", "resource", "type", "severity", "state", "relation", "way", "after"];
    out.push_str(&table(&head, &rows));
    print(&out)
}

fn summary(t: &TicketRow) -> String {
    let mut out = format!("{}  {}  {}  {}\n", t.number, t.state, t.priority, t.severity);
    let optional = |name: &str, value: Option<String>| value.map(|v| (name.to_owned(), v));
    let lines = [
        Some(("fault".to_owned(), message(&t.title))),
        Some(("text".to_owned(), t.text.clone())),
        Some(("agent".to_owned(), t.agent_id.clone())),
        Some(("device".to_owned(), format!("{} ({})", t.device_name, t.device_id))),
        Some(("resource".to_owned(), t.resource.clone())),
        Some(("type".to_owned(), t.kind.clone())),
        optional("site", t.site.clone()),
        optional("customer", t.customer.clone()),
        optional("contract", t.contract.clone()),
        optional("fault code", t.fault_code.clone()),
        optional("proposed repair", t.proposed_repair.clone()),
        Some(("opened".to_owned(), t.opened_at.to_string())),
        optional("condition cleared", t.condition_cleared_at.map(|at| at.to_string())),
        optional("resolved", t.resolved_at.map(|at| at.to_string())),
        optional("closed", t.closed_at.map(|at| at.to_string())),
        (t.recurrences > 0).then(|| ("recurrences".to_owned(), t.recurrences.to_string())),
        t.test.then(|| ("test".to_owned(), "yes".to_owned())),
    ];
    for (name, value) in lines.into_iter().flatten().filter(|(_, value)| !value.is_empty()) {
        out.push_str(&format!("  {name:<18}{}\n", plain(&value)));
    }
    out
}

/// Key and arguments: the catalogue with the words is the console's.
fn message(message: &Message) -> String {
    let arguments: Vec<String> =
        message.arguments.iter().map(|(name, value)| format!("{name}={value}")).collect();
    format!("{} {}", message.key, arguments.join(" ")).trim_end().to_owned()
}
