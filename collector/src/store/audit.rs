//! The record of everything that touches trust. Rows are only ever appended.

use callhome_shared::time::Time;

use super::rows::read_as;
use super::{Db, Result, Row, Tx, Val};
use crate::args;
use crate::audit::{self, Entry};

/// Appends an entry in the transaction of what it tells of. The head's row is the lock: two
/// transactions append one after the other.
pub async fn append(tx: &mut Tx, entry: &Entry) -> Result<audit::Row> {
    let sql = "UPDATE audit_head SET seq = seq + 1 WHERE only_row = 1 RETURNING seq, hash";
    let head = tx.query_one(sql, vec![]).await?;
    let Some(head) = head else {
        return Err(super::StoreError::Schema("the audit's head is missing".into()));
    };
    let mut row = audit::Row {
        seq: head.int("seq")?,
        at: entry.at,
        who: entry.who.clone(),
        what: entry.deed.as_str().to_owned(),
        subject: entry.subject.clone(),
        detail: audit::canonical(&entry.detail),
        previous: head.text("hash")?,
        hash: String::new(),
    };
    row.hash = audit::hash(&row);
    let sql = "INSERT INTO audit (seq, at, who, what, subject, detail, previous, hash) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    let args = args![
        row.seq,
        row.at,
        &row.who,
        &row.what,
        &row.subject,
        &row.detail,
        &row.previous,
        &row.hash
    ];
    tx.execute(sql, args).await?;
    tx.execute("UPDATE audit_head SET hash = $1 WHERE only_row = 1", args![&row.hash]).await?;
    Ok(row)
}

/// Appends an entry that tells of no change of the database, in a transaction of its own.
pub async fn note(db: &Db, entry: &Entry) -> Result<audit::Row> {
    let mut tx = db.begin().await?;
    let row = append(&mut tx, entry).await?;
    tx.commit().await?;
    Ok(row)
}

fn from_row(row: &Row) -> Result<audit::Row> {
    Ok(audit::Row {
        seq: row.int("seq")?,
        at: Time(row.int("at")?),
        who: row.text("who")?,
        what: row.text("what")?,
        subject: row.text("subject")?,
        detail: row.text("detail")?,
        previous: row.text("previous")?,
        hash: row.text("hash")?,
    })
}

/// Which rows; without any of them all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Done to this agent or by it.
    pub agent: Option<String>,
    /// Done to this agent, user or CA.
    pub subject: Option<String>,
    /// Done by this one: `user:li`, or `li` for whoever has that name.
    pub who: Option<String>,
    /// [`audit::Deed::as_str`].
    pub what: Option<String>,
    /// Not before.
    pub from: Option<Time>,
    /// Before.
    pub to: Option<Time>,
}

impl Filter {
    /// What was done to this agent, user or CA.
    pub fn about(subject: &str) -> Self {
        Filter { subject: Some(subject.to_owned()), ..Filter::default() }
    }

    /// ` AND …` for each part, its arguments appended to `args`.
    fn sql(&self, args: &mut Vec<Val>) -> String {
        let mut sql = String::new();
        let mut add = |text: &str, values: Vec<Val>| {
            let mut text = text.to_owned();
            for value in values {
                args.push(value);
                text = text.replacen('?', &format!("${}", args.len()), 1);
            }
            sql += " AND ";
            sql += &text;
        };
        if let Some(agent) = &self.agent {
            add("(subject = ? OR who = ?)", args![agent, format!("agent:{agent}")]);
        }
        if let Some(subject) = &self.subject {
            add("subject = ?", args![subject]);
        }
        match self.who.as_deref() {
            None => {}
            Some(who) if who.contains(':') || who == "collector" => add("who = ?", args![who]),
            Some(name) => {
                let [user, cli, agent] =
                    ["user", "cli", "agent"].map(|as_| format!("{as_}:{name}"));
                add("who IN (?, ?, ?)", args![user, cli, agent]);
            }
        }
        if let Some(what) = &self.what {
            add("what = ?", args![what]);
        }
        if let Some(from) = self.from {
            add("at >= ?", args![from]);
        }
        if let Some(to) = self.to {
            add("at < ?", args![to]);
        }
        sql
    }
}

/// Rows after number `after`, in order, at most `limit`.
pub async fn after(db: &Db, after: i64, limit: i64) -> Result<Vec<audit::Row>> {
    between(db, (after, i64::MAX), &Filter::default(), limit).await
}

/// Rows after the first number up to the second one, in order, at most `limit` of those that `filter`
/// names.
pub async fn between(
    db: &Db,
    (after, to): (i64, i64),
    filter: &Filter,
    limit: i64,
) -> Result<Vec<audit::Row>> {
    let mut args = args![after, to, limit];
    let which = filter.sql(&mut args);
    let sql =
        format!("SELECT * FROM audit WHERE seq > $1 AND seq <= $2{which} ORDER BY seq LIMIT $3");
    read_as(db, sql, args, from_row).await
}

/// Rows before number `before` (all without it), the latest first, at most `limit` of those that
/// `filter` names.
pub async fn latest(
    db: &Db,
    before: Option<i64>,
    filter: &Filter,
    limit: i64,
) -> Result<Vec<audit::Row>> {
    let mut args = args![before.unwrap_or(i64::MAX), limit];
    let which = filter.sql(&mut args);
    let sql = format!("SELECT * FROM audit WHERE seq < $1{which} ORDER BY seq DESC LIMIT $2");
    read_as(db, sql, args, from_row).await
}

/// Number and hash of the last row, as the head says.
pub async fn head(db: &Db) -> Result<(i64, String)> {
    let row = db.read_one("SELECT seq, hash FROM audit_head WHERE only_row = 1", vec![]).await?;
    match row {
        Some(row) => Ok((row.int("seq")?, row.text("hash")?)),
        None => Ok((-1, String::new())),
    }
}

/// The latest row of that deed.
pub async fn last_of(db: &Db, deed: audit::Deed) -> Result<Option<audit::Row>> {
    let sql = "SELECT * FROM audit WHERE what = $1 ORDER BY seq DESC LIMIT 1";
    db.read_one(sql, args![deed.as_str()]).await?.as_ref().map(from_row).transpose()
}
