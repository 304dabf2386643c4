//! Which tickets a list shows, and in which order.

use callhome_shared::time::Time;

use super::rows::{read_as, tuple};
use super::tickets::{TicketRow, from_row, ordinal};
use super::{Db, Result, Val, search};
use crate::args;
use crate::knowledge::asked;

/// Which states to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum States {
    /// All that are not closed.
    #[default]
    Open,
    /// All.
    All,
    /// One.
    One(String),
}

/// Whose tickets to list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Assignee {
    /// Nobody's.
    Nobody,
    /// This person's.
    Is(String),
}

/// Which tickets to list.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// By state.
    pub states: States,
    /// Only of this severity.
    pub severity: Option<String>,
    /// Only of this priority.
    pub priority: Option<String>,
    /// Only whose.
    pub assignee: Option<Assignee>,
    /// Only of this site.
    pub site: Option<String>,
    /// Only of this customer.
    pub customer: Option<String>,
    /// Only those in which all these words are found, see `knowledge::words`. Signs alone ask for nothing.
    pub words: Option<String>,
    /// Only tests, or only others.
    pub test: Option<bool>,
    /// Only of this agent.
    pub agent: Option<String>,
    /// Only those opened before the ticket of this number: paging of [`list`].
    pub before: Option<String>,
    /// At most so many.
    pub limit: i64,
}

/// When a ticket's first limit is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// The ticket's id.
    pub ticket_id: String,
    /// Which limit.
    pub clock: String,
    /// When.
    pub at: Time,
}

/// A place in the list by the time that is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// After the ticket of this number, whose first limit is over then.
    Due(Time, i64),
    /// After the ticket of this number, of which no time runs: those come last, the latest first.
    Rest(i64),
}

impl Left {
    /// Before all.
    pub const START: Left = Left::Due(Time(i64::MIN), 0);

    /// As a page's cursor.
    pub fn cursor(self) -> String {
        match self {
            Left::Due(at, ordinal) => format!("due.{}.{ordinal}", at.millis()),
            Left::Rest(ordinal) => format!("rest.{ordinal}"),
        }
    }

    /// Reads [`Left::cursor`] back.
    pub fn read(cursor: &str) -> Option<Left> {
        let mut parts = cursor.split('.');
        let found = match parts.next()? {
            "due" => Left::Due(Time(parts.next()?.parse().ok()?), parts.next()?.parse().ok()?),
            "rest" => Left::Rest(parts.next()?.parse().ok()?),
            _ => return None,
        };
        parts.next().is_none().then_some(found)
    }
}

/// The states of work that is not over: closed tickets are many, so an index must find the others.
const OPEN: &str = " AND tickets.state IN ('recorded', 'waiting_approval', 'assigned', 'in_diagnosis', \
                    'escalated', 'dispatched', 'waiting_customer', 'resolved', 'verified', 'confirmed')";

/// What a list asks of `tickets`. Each form of it finds an index.
struct Conditions {
    sql: String,
    args: Vec<Val>,
}

impl Conditions {
    fn and(&mut self, left: &str, value: impl Into<Val>) {
        self.args.push(value.into());
        self.sql += &format!(" AND {left} ${}", self.args.len());
    }

    /// `None`: no ticket fits.
    async fn of(db: &Db, filter: &Filter) -> Result<Option<Self>> {
        let mut all = Conditions { sql: "ordinal > 0".to_owned(), args: Vec::new() };
        match &filter.states {
            States::Open => all.sql += OPEN,
            States::All => {}
            States::One(state) => all.and("tickets.state =", state),
        }
        for (left, value) in [
            ("tickets.severity =", &filter.severity),
            ("tickets.priority =", &filter.priority),
            ("tickets.site =", &filter.site),
            ("tickets.customer =", &filter.customer),
            ("tickets.agent_id =", &filter.agent),
        ] {
            if let Some(value) = value {
                all.and(left, value);
            }
        }
        match &filter.assignee {
            Some(Assignee::Nobody) => all.sql += " AND tickets.assignee IS NULL",
            Some(Assignee::Is(name)) => all.and("tickets.assignee =", name),
            None => {}
        }
        if let Some(test) = filter.test {
            all.and("tickets.test =", test);
        }
        let asked = asked(filter.words.as_deref().unwrap_or_default());
        let found = search::conditions(db, &asked, all.args.len() + 1).await?;
        let Some((sql, args)) = found else { return Ok(None) };
        all.sql += &sql;
        all.args.extend(args);
        Ok(Some(all))
    }
}

/// Tickets, the latest first.
pub async fn list(db: &Db, filter: &Filter) -> Result<Vec<TicketRow>> {
    let Some(mut all) = Conditions::of(db, filter).await? else { return Ok(Vec::new()) };
    if let Some(number) = &filter.before {
        all.and("ordinal <", ordinal(number).unwrap_or(0));
    }
    all.args.push(filter.limit.into());
    let (sql, limit) = (all.sql, all.args.len());
    let sql = format!("SELECT * FROM tickets WHERE {sql} ORDER BY ordinal DESC LIMIT ${limit}");
    read_as(db, sql, all.args, from_row).await
}

/// Tickets, the least time left first; those of which no time runs come last.
pub async fn by_left(db: &Db, filter: &Filter, after: Left) -> Result<Vec<(TicketRow, Left)>> {
    let mut found = Vec::new();
    if let Left::Due(at, last) = after {
        let Some(mut all) = Conditions::of(db, filter).await? else { return Ok(found) };
        let n = all.args.len();
        all.args.extend(args![at, last, filter.limit]);
        let sql = format!(
            "SELECT tickets.*, p.due_at FROM ticket_plans p JOIN tickets ON tickets.id = p.ticket_id \
             WHERE {} AND p.due_at IS NOT NULL AND (p.due_at > ${a} OR (p.due_at = ${a} AND ordinal > ${b})) \
             ORDER BY p.due_at, ordinal LIMIT ${c}",
            all.sql,
            a = n + 1,
            b = n + 2,
            c = n + 3
        );
        let rows = read_as(db, sql, all.args, |row| {
            let ticket = from_row(row)?;
            let place = Left::Due(Time(row.int("due_at")?), ticket.ordinal);
            Ok((ticket, place))
        });
        found = rows.await?;
    }
    let room = filter.limit - i64::try_from(found.len()).unwrap_or(i64::MAX);
    if room <= 0 {
        return Ok(found);
    }
    let Some(mut all) = Conditions::of(db, filter).await? else { return Ok(found) };
    if let Left::Rest(last) = after {
        all.and("ordinal <", last);
    }
    all.args.push(room.into());
    let sql = format!(
        "SELECT * FROM tickets WHERE {} AND NOT EXISTS (SELECT 1 FROM ticket_plans p WHERE p.ticket_id = tickets.id \
         AND p.due_at IS NOT NULL) ORDER BY ordinal DESC LIMIT ${}",
        all.sql,
        all.args.len()
    );
    let rest = read_as(db, sql, all.args, from_row).await?;
    found.extend(rest.into_iter().map(|ticket| {
        let place = Left::Rest(ticket.ordinal);
        (ticket, place)
    }));
    Ok(found)
}

/// When the first limits of these tickets are over: of those whose time runs, of at most 201.
pub async fn dues(db: &Db, tickets: &[TicketRow]) -> Result<Vec<Due>> {
    if tickets.is_empty() {
        return Ok(Vec::new());
    }
    let args: Vec<Val> = tickets.iter().take(201).map(|ticket| Val::from(&ticket.id)).collect();
    let sql = format!(
        "SELECT ticket_id, due_clock, due_at FROM ticket_plans WHERE due_at IS NOT NULL AND ticket_id IN {}",
        tuple(1, args.len())
    );
    read_as(db, sql, args, |row| {
        let clock = row.opt_text("due_clock")?.unwrap_or_default();
        Ok(Due { ticket_id: row.text("ticket_id")?, clock, at: Time(row.int("due_at")?) })
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_read_back_and_rubbish_does_not() {
        for place in [Left::START, Left::Due(Time(5), 7), Left::Rest(3)] {
            assert_eq!(Left::read(&place.cursor()), Some(place));
        }
        for rubbish in ["", "due.1", "due.1.2.3", "rest.", "rest.x", "T-000001"] {
            assert_eq!(Left::read(rubbish), None, "{rubbish}");
        }
    }
}
