//! What duty knows: people beside their log-in, published shifts, swaps, absences.

use callhome_shared::time::Time;

use super::rows::{insert, read_as};
use super::{Db, Result, Row, StoreError, Tx};
use crate::args;

/// A user as far as duty goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonRow {
    /// Log-in name.
    pub name: String,
    /// Name shown to others.
    pub display_name: String,
    /// See the service model.
    pub role: String,
    /// `zh-CN` or `en`.
    pub language: String,
    /// May not log in any more.
    pub disabled: bool,
    /// E-mail address; empty: none.
    pub mail: String,
    /// Telephone number; empty: none.
    pub phone: String,
    /// Separated by `;`.
    pub skills: String,
    /// Sites, separated by `;`.
    pub sites: String,
    /// Customers, separated by `;`.
    pub customers: String,
    /// What the person wants to be told, JSON.
    pub choices: String,
    /// +1 per change; 0: nothing was written yet.
    pub version: i64,
}

fn person(row: &Row) -> Result<PersonRow> {
    let text = |name: &str| row.opt_text(name).map(Option::unwrap_or_default);
    Ok(PersonRow {
        name: row.text("name")?,
        display_name: row.text("display_name")?,
        role: row.text("role")?,
        language: row.text("language")?,
        disabled: row.opt_int("disabled_at")?.is_some(),
        mail: text("mail")?,
        phone: text("phone")?,
        skills: text("skills")?,
        sites: text("sites")?,
        customers: text("customers")?,
        choices: text("choices")?,
        version: row.opt_int("version")?.unwrap_or_default(),
    })
}

const PEOPLE: &str = "SELECT u.name, u.display_name, u.role, u.language, u.disabled_at, p.mail, p.phone, p.skills, \
                      p.sites, p.customers, p.choices, p.version FROM users u LEFT JOIN people p ON p.name = u.name \
                      WHERE u.role <> 'customer'";

/// Everybody but customers, by name.
pub async fn people(tx: &mut Tx) -> Result<Vec<PersonRow>> {
    tx.query(format!("{PEOPLE} ORDER BY u.name"), vec![]).await?.iter().map(person).collect()
}

/// One of them.
pub async fn one(tx: &mut Tx, name: &str) -> Result<Option<PersonRow>> {
    let row = tx.query_one(format!("{PEOPLE} AND u.name = $1"), args![name]).await?;
    row.as_ref().map(person).transpose()
}

/// Writes what is known of a person; `row.version` is the one that was seen. Somebody was faster:
/// [`StoreError::Changed`].
pub async fn save_person(tx: &mut Tx, row: &PersonRow, at: Time, who: &str) -> Result<()> {
    let sql = "INSERT INTO people (name, mail, phone, skills, sites, customers, choices, version, updated_at, updated_by) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (name) DO UPDATE SET \
               mail = excluded.mail, phone = excluded.phone, skills = excluded.skills, sites = excluded.sites, \
               customers = excluded.customers, choices = excluded.choices, version = excluded.version, \
               updated_at = excluded.updated_at, updated_by = excluded.updated_by \
               WHERE people.version = excluded.version - 1";
    let args = args![
        &row.name,
        &row.mail,
        &row.phone,
        &row.skills,
        &row.sites,
        &row.customers,
        &row.choices,
        row.version + 1,
        at,
        who
    ];
    match tx.execute(sql, args).await? {
        0 => Err(StoreError::Changed("person")),
        _ => Ok(()),
    }
}

/// Open tickets by the person who works on them.
pub async fn loads(tx: &mut Tx) -> Result<Vec<(String, i64)>> {
    let sql = "SELECT assignee, COUNT(*) AS n FROM tickets WHERE assignee IS NOT NULL AND test = 0 AND shadow = 0 \
               AND state IN ('recorded', 'assigned', 'in_diagnosis', 'escalated', 'dispatched', 'waiting_customer') \
               GROUP BY assignee";
    let rows = tx.query(sql, vec![]).await?;
    rows.iter().map(|row| Ok((row.text("assignee")?, row.int("n")?))).collect()
}

/// A published shift.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShiftRow {
    /// Its id.
    pub id: String,
    /// The roster's name.
    pub roster: String,
    /// `l1`, `manager`, …
    pub level: String,
    /// The pattern's name.
    pub pattern: String,
    /// Its beginning.
    pub from: Time,
    /// Its end.
    pub to: Time,
    /// Who has it.
    pub person: String,
    /// Who had it when it was published.
    pub planned: String,
}

fn shift(row: &Row) -> Result<ShiftRow> {
    Ok(ShiftRow {
        id: row.text("id")?,
        roster: row.text("roster")?,
        level: row.text("level")?,
        pattern: row.text("pattern")?,
        from: Time(row.int("from_at")?),
        to: Time(row.int("to_at")?),
        person: row.text("person")?,
        planned: row.text("planned")?,
    })
}

/// Published shifts that are, at least in part, between two moments.
pub async fn shifts(tx: &mut Tx, from: Time, to: Time) -> Result<Vec<ShiftRow>> {
    let sql = "SELECT * FROM shifts WHERE to_at > $1 AND from_at < $2 ORDER BY from_at, level, person, id";
    tx.query(sql, args![from, to]).await?.iter().map(shift).collect()
}

/// One of them.
pub async fn shift_of(tx: &mut Tx, id: &str) -> Result<Option<ShiftRow>> {
    let row = tx.query_one("SELECT * FROM shifts WHERE id = $1", args![id]).await?;
    row.as_ref().map(shift).transpose()
}

/// Adds published shifts.
pub async fn add_shifts(tx: &mut Tx, all: &[ShiftRow]) -> Result<()> {
    let rows = all.iter().map(|s| {
        args![&s.id, &s.roster, &s.level, &s.pattern, s.from, s.to, &s.person, &s.planned]
    });
    let head = "INSERT INTO shifts (id, roster, level, pattern, from_at, to_at, person, planned)";
    insert(tx, head, rows.collect(), "").await.map(drop)
}

/// Gives a published shift to another person; `false`: it is `from`'s no more.
pub async fn give(tx: &mut Tx, id: &str, from: &str, to: &str) -> Result<bool> {
    let sql = "UPDATE shifts SET person = $3 WHERE id = $1 AND person = $2";
    Ok(tx.execute(sql, args![id, from, to]).await? == 1)
}

/// Until when the shifts of rosters are published: (roster, until).
pub async fn published(tx: &mut Tx) -> Result<Vec<(String, Time)>> {
    let rows = tx.query("SELECT roster, until_at FROM published ORDER BY roster", vec![]).await?;
    rows.iter().map(|row| Ok((row.text("roster")?, Time(row.int("until_at")?)))).collect()
}

/// The shifts of a roster are published until then; `false`: they were, and further.
pub async fn publish(tx: &mut Tx, roster: &str, until: Time, at: Time, who: &str) -> Result<bool> {
    let sql = "INSERT INTO published (roster, until_at, at, who) VALUES ($1, $2, $3, $4) \
               ON CONFLICT (roster) DO UPDATE SET until_at = excluded.until_at, at = excluded.at, who = excluded.who \
               WHERE published.until_at < excluded.until_at";
    Ok(tx.execute(sql, args![roster, until, at, who]).await? == 1)
}

/// A change of a published shift.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SwapRow {
    /// Its id.
    pub id: String,
    /// The shift.
    pub shift_id: String,
    /// The one that was given for it.
    pub other_id: Option<String>,
    /// Who had it.
    pub from_person: String,
    /// Who has it.
    pub to_person: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: Time,
    /// Who did it.
    pub who: String,
}

/// Notes a swap.
pub async fn add_swap(tx: &mut Tx, s: &SwapRow) -> Result<()> {
    let sql = "INSERT INTO swaps (id, shift_id, other_id, from_person, to_person, reason, at, who) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    let args = args![
        &s.id,
        &s.shift_id,
        &s.other_id,
        &s.from_person,
        &s.to_person,
        &s.reason,
        s.at,
        &s.who
    ];
    tx.execute(sql, args).await.map(drop)
}

/// The latest swaps.
pub async fn swaps(db: &Db, limit: i64) -> Result<Vec<SwapRow>> {
    let sql = "SELECT * FROM swaps ORDER BY at DESC, id DESC LIMIT $1";
    read_as(db, sql, args![limit], |row| {
        Ok(SwapRow {
            id: row.text("id")?,
            shift_id: row.text("shift_id")?,
            other_id: row.opt_text("other_id")?,
            from_person: row.text("from_person")?,
            to_person: row.text("to_person")?,
            reason: row.text("reason")?,
            at: Time(row.int("at")?),
            who: row.text("who")?,
        })
    })
    .await
}

/// Somebody is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AbsenceRow {
    /// Its id.
    pub id: String,
    /// Who.
    pub person: String,
    /// From then.
    pub from: Time,
    /// Until then.
    pub to: Time,
    /// Why.
    pub reason: String,
    /// When it was written down.
    pub created_at: Time,
    /// By whom.
    pub created_by: String,
}

fn absence(row: &Row) -> Result<AbsenceRow> {
    Ok(AbsenceRow {
        id: row.text("id")?,
        person: row.text("person")?,
        from: Time(row.int("from_at")?),
        to: Time(row.int("to_at")?),
        reason: row.text("reason")?,
        created_at: Time(row.int("created_at")?),
        created_by: row.text("created_by")?,
    })
}

/// Absences that are, at least in part, between two moments, the first ones first.
pub async fn absences(tx: &mut Tx, from: Time, to: Time, limit: i64) -> Result<Vec<AbsenceRow>> {
    let sql = "SELECT * FROM absences WHERE ended_at IS NULL AND to_at > $1 AND from_at < $2 \
               ORDER BY from_at, id LIMIT $3";
    tx.query(sql, args![from, to, limit]).await?.iter().map(absence).collect()
}

/// Notes an absence.
pub async fn add_absence(tx: &mut Tx, a: &AbsenceRow) -> Result<()> {
    let sql = "INSERT INTO absences (id, person, from_at, to_at, reason, created_at, created_by) \
               VALUES ($1, $2, $3, $4, $5, $6, $7)";
    let args = args![&a.id, &a.person, a.from, a.to, &a.reason, a.created_at, &a.created_by];
    tx.execute(sql, args).await.map(drop)
}

/// An absence that stands.
pub async fn absence_of(tx: &mut Tx, id: &str) -> Result<Option<AbsenceRow>> {
    let sql = "SELECT * FROM absences WHERE id = $1 AND ended_at IS NULL";
    tx.query_one(sql, args![id]).await?.as_ref().map(absence).transpose()
}

/// Takes an absence back; `false`: it is taken back already.
pub async fn end_absence(tx: &mut Tx, id: &str, at: Time, who: &str) -> Result<bool> {
    let sql = "UPDATE absences SET ended_at = $2, ended_by = $3 WHERE id = $1 AND ended_at IS NULL";
    Ok(tx.execute(sql, args![id, at, who]).await? == 1)
}

/// Open tickets of these people: (number, device, assignee, priority), the most urgent first.
pub async fn tickets_of(
    tx: &mut Tx,
    people: &[String],
    limit: i64,
) -> Result<Vec<(String, String, String, String)>> {
    if people.is_empty() {
        return Ok(Vec::new());
    }
    let list = super::rows::tuple(2, people.len());
    let sql = format!(
        "SELECT number, device_name, assignee, priority FROM tickets WHERE test = 0 AND shadow = 0 \
         AND state IN ('recorded', 'assigned', 'in_diagnosis', 'escalated', 'dispatched', 'waiting_customer') \
         AND assignee IN {list} ORDER BY priority, ordinal LIMIT $1"
    );
    let mut all = args![limit];
    all.extend(people.iter().map(super::Val::from));
    let rows = tx.query(sql, all).await?;
    rows.iter()
        .map(|row| {
            let text = |name: &str| row.text(name);
            Ok((text("number")?, text("device_name")?, text("assignee")?, text("priority")?))
        })
        .collect()
}
