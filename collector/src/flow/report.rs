//! Goes through the tickets of a time, page by page, and hands them to the report.

use std::collections::BTreeMap;

use callhome_shared::time::Time;

use crate::calendar::Zone;
use crate::knowledge::BY_HAND;
use crate::report::{Builder, By, Item, Report};
use crate::store::reports::{self, Clock, Hand, Range};
use crate::store::tickets::TicketRow;
use crate::store::{Db, Result};
use crate::ticket::State;

/// Tickets that one report looks at.
pub const MAX_TICKETS: usize = 50_000;
/// Tickets read at a time.
const PAGE: i64 = 64;

/// The report, and whether it is about all tickets of the range: the first [`MAX_TICKETS`] otherwise.
pub async fn of(db: &Db, range: &Range, by: By, zone: Zone, now: Time) -> Result<(Report, bool)> {
    let mut report = Builder::new(by, zone);
    let mut after = (Time(i64::MIN), 0);
    let mut seen = 0;
    loop {
        let rows = reports::page(db, range, after, PAGE).await?;
        let Some(last) = rows.last() else { return Ok((report.finish(), true)) };
        if seen >= MAX_TICKETS {
            return Ok((report.finish(), false));
        }
        after = (last.opened_at, last.ordinal);
        seen += rows.len();
        let mut faults: BTreeMap<String, Time> =
            reports::first_seen(db, &rows).await?.into_iter().collect();
        let mut plans: BTreeMap<String, String> =
            reports::plans(db, &rows).await?.into_iter().collect();
        let clocks = reports::clocks(db, &rows).await?;
        let hands = reports::hands(db, &rows).await?;
        for row in &rows {
            let of = |id: &str| id == row.id;
            let clocks = clocks.iter().filter(|clock| of(&clock.ticket_id));
            let hands = hands.iter().filter(|hand| of(&hand.ticket_id));
            let mut item = item(row, faults.remove(&row.id), clocks, hands, now);
            item.plan = plans.remove(&row.id);
            report.add(&item);
        }
    }
}

fn item<'a>(
    row: &TicketRow,
    seen: Option<Time>,
    clocks: impl Iterator<Item = &'a Clock>,
    mut hands: impl Iterator<Item = &'a Hand>,
    now: Time,
) -> Item {
    let by_hand = row.service.opened_by.is_some();
    let (mut limits, mut responded_at) = (Vec::new(), None);
    for clock in clocks {
        if clock.name == "respond" && clock.state == "stopped" {
            responded_at = clock.stopped_at;
        }
        limits.extend(kept(clock, now).map(|kept| (clock.name.clone(), kept)));
    }
    let with = row.assignee.as_deref();
    Item {
        opened_at: row.opened_at,
        fault_at: if by_hand { noticed(row) } else { seen },
        engineer_at: with.and_then(|name| hands.find(|hand| gives(hand, name))).map(|hand| hand.at),
        responded_at,
        restored_at: row.resolved_at,
        by_hand,
        duplicate: row.state == State::Merged.as_str(),
        recurred: row.recurrences > 0,
        customer: row.customer.clone(),
        site: row.site.clone(),
        plan: None,
        code: code(row),
        limits,
    }
}

/// What makes two tickets ones of the same fault: its code, else the alarm's type.
fn code(row: &TicketRow) -> String {
    let code = row.fault_code.as_deref().map(str::trim).filter(|code| !code.is_empty());
    let kind = (row.kind != BY_HAND).then_some(row.kind.as_str());
    code.or(kind).unwrap_or_default().to_lowercase()
}

/// Whether a limit was kept, as far as that is decided.
fn kept(clock: &Clock, now: Time) -> Option<bool> {
    match (clock.state.as_str(), clock.verdict.as_deref()) {
        ("dropped", _) => None,
        (_, Some("missed")) => Some(false),
        ("stopped", Some("kept")) => Some(true),
        // It is over, and nobody has looked at it since.
        ("running", _) => clock.due_at.filter(|due| *due < now).map(|_| false),
        _ => None,
    }
}

/// Whether this is the moment at which that person was given it, or took it up.
fn gives(hand: &Hand, name: &str) -> bool {
    let detail: serde_json::Value = serde_json::from_str(&hand.detail).unwrap_or_default();
    let to = detail["to"].as_str().unwrap_or_default();
    let took = to == State::InDiagnosis.as_str() && hand.who.strip_prefix("user:") == Some(name);
    took || to == name
}

/// When people noticed it, as they told.
fn noticed(row: &TicketRow) -> Option<Time> {
    let intake: serde_json::Value = serde_json::from_str(row.service.intake.as_deref()?).ok()?;
    Time::parse(intake["noticed_at"].as_str()?).ok()
}
