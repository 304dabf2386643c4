//! Customers, sites, contacts, contracts, the installed base: one set of queries for all kinds.

use callhome_shared::time::Time;

use super::rows::{insert, read_as, select_in};
use super::{Db, Result, Row, StoreError, Tx, Val};
use crate::args;
use crate::masters::{Kind, Values, list};

/// Sites, and devices, that appear by themselves and that nobody has completed: at most so many of a kind.
pub const MAX_TO_COMPLETE: i64 = 5_000;

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Master {
    /// Its id.
    pub id: String,
    /// What is known of it: every field of its kind.
    pub values: Values,
    /// An agent named it; nobody has looked at it yet.
    pub to_complete: bool,
    /// +1 per change.
    pub version: i64,
    /// When it last changed.
    pub updated_at: Time,
    /// Who changed it last: `user:<name>`, `cli:<name>` or `collector`.
    pub updated_by: String,
}

/// Which ones to list.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only those in whose id or fields these words are.
    pub words: Option<String>,
    /// Only those that are to be completed, or only others.
    pub to_complete: Option<bool>,
    /// Only those after this id: paging.
    pub after: String,
    /// At most so many.
    pub limit: i64,
}

fn from_row(kind: Kind, row: &Row) -> Result<Master> {
    let values = kind.fields().iter().map(|f| Ok((f.name, row.text(f.name)?)));
    Ok(Master {
        id: row.text("id")?,
        values: values.collect::<Result<_>>()?,
        to_complete: row.flag("to_complete")?,
        version: row.int("version")?,
        updated_at: Time(row.int("updated_at")?),
        updated_by: row.text("updated_by")?,
    })
}

/// Sorted by id.
pub async fn list_of(db: &Db, kind: Kind, filter: &Filter) -> Result<Vec<Master>> {
    let texts: Vec<&str> = kind.fields().iter().map(|f| f.name).collect();
    let sql = format!(
        "SELECT * FROM {} WHERE id > $1 AND ($2 < 0 OR to_complete = $2) AND ($3 = '' OR \
         LOWER(id || ' ' || {}) LIKE $3 ESCAPE '!') ORDER BY id LIMIT $4",
        kind.table(),
        texts.join(" || ' ' || ")
    );
    let words = filter.words.as_deref().map(str::trim).filter(|words| !words.is_empty());
    let args = args![
        &filter.after,
        filter.to_complete.map_or(-1, i64::from),
        words.map(super::rows::contains).unwrap_or_default(),
        filter.limit
    ];
    read_as(db, sql, args, |row| from_row(kind, row)).await
}

/// One.
pub async fn get(db: &Db, kind: Kind, id: &str) -> Result<Option<Master>> {
    let sql = format!("SELECT * FROM {} WHERE id = $1", kind.table());
    let row = db.read_one(sql, args![id]).await?;
    row.as_ref().map(|row| from_row(kind, row)).transpose()
}

/// Those of `ids` that exist.
pub async fn load(tx: &mut Tx, kind: Kind, ids: &[String]) -> Result<Vec<Master>> {
    let head = format!("SELECT * FROM {} WHERE id", kind.table());
    let rows = select_in(tx, &head, ids, "").await?;
    rows.iter().map(|row| from_row(kind, row)).collect()
}

/// Ids that begin somehow like this one, for "did you mean": at most 1000.
pub async fn ids(tx: &mut Tx, kind: Kind) -> Result<Vec<String>> {
    let sql = format!("SELECT id FROM {} ORDER BY id LIMIT 1000", kind.table());
    tx.query(sql, vec![]).await?.iter().map(|row| row.text("id")).collect()
}

/// Writes them, sorted by id. One that exists must have been read at version − 1, else
/// [`StoreError::Changed`].
pub async fn save(tx: &mut Tx, kind: Kind, all: &[Master]) -> Result<()> {
    let names: Vec<&str> = kind.fields().iter().map(|f| f.name).collect();
    let table = kind.table();
    let head = format!(
        "INSERT INTO {table} (id, {}, to_complete, version, updated_at, updated_by)",
        names.join(", ")
    );
    let set: Vec<String> = names.iter().map(|name| format!("{name} = excluded.{name}")).collect();
    let tail = format!(
        "ON CONFLICT (id) DO UPDATE SET {}, to_complete = excluded.to_complete, version = excluded.version, \
         updated_at = excluded.updated_at, updated_by = excluded.updated_by \
         WHERE {table}.version = excluded.version - 1",
        set.join(", ")
    );
    let rows = all.iter().map(|one| {
        let mut row = args![&one.id];
        row.extend(names.iter().map(|n| Val::from(one.values.get(n).map_or("", String::as_str))));
        row.extend(args![one.to_complete, one.version, one.updated_at, &one.updated_by]);
        row
    });
    let touched = insert(tx, &head, rows.collect(), &tail).await?;
    if usize::try_from(touched) != Ok(all.len()) {
        return Err(StoreError::Changed("master record"));
    }
    index(tx, kind, all).await
}

/// What is found from the other end.
async fn index(tx: &mut Tx, kind: Kind, all: &[Master]) -> Result<()> {
    let of = |one: &Master, name: &str| one.values.get(name).cloned().unwrap_or_default();
    match kind {
        Kind::Contracts => {
            for one in all {
                tx.execute("DELETE FROM contract_cover WHERE contract = $1", args![&one.id])
                    .await?;
            }
            let mut rows = Vec::new();
            for one in all {
                let (what, values) = match of(one, "covers").as_str() {
                    "customer" => ("customer", of(one, "customer")),
                    "sites" => ("site", of(one, "sites")),
                    _ => ("serial", of(one, "serials")),
                };
                rows.extend(list(&values).map(|value| args![what, value, &one.id]));
            }
            let head = "INSERT INTO contract_cover (what, value, contract)";
            insert(tx, head, rows, "ON CONFLICT DO NOTHING").await.map(drop)
        }
        Kind::Contacts => {
            for one in all {
                tx.execute("DELETE FROM contact_sites WHERE contact = $1", args![&one.id]).await?;
            }
            let mut rows = Vec::new();
            for one in all {
                rows.extend(list(&of(one, "sites")).map(|site| args![site, &one.id]));
            }
            let head = "INSERT INTO contact_sites (site, contact)";
            insert(tx, head, rows, "ON CONFLICT DO NOTHING").await.map(drop)
        }
        Kind::Devices => {
            // A new one that hangs on nothing changes nothing.
            let hangs = |one: &Master| of(one, "hangs_on") + &of(one, "powered_by");
            if all.iter().all(|one| one.version == 1 && hangs(one).is_empty()) {
                return Ok(());
            }
            super::topology::changed(tx).await
        }
        Kind::Customers | Kind::Sites => Ok(()),
    }
}

/// Removes one that was read at this version; `false` when it is not there at that version.
pub async fn remove(tx: &mut Tx, kind: Kind, id: &str, version: i64) -> Result<bool> {
    let sql = format!("DELETE FROM {} WHERE id = $1 AND version = $2", kind.table());
    let done = tx.execute(sql, args![id, version]).await? == 1;
    let index = match kind {
        Kind::Contracts => "DELETE FROM contract_cover WHERE contract = $1",
        Kind::Contacts => "DELETE FROM contact_sites WHERE contact = $1",
        Kind::Devices => {
            super::topology::changed(tx).await?;
            return Ok(done);
        }
        Kind::Customers | Kind::Sites => return Ok(done),
    };
    if done {
        tx.execute(index, args![id]).await?;
    }
    Ok(done)
}

/// Something that refers to it: (kind, id). One of perhaps many.
pub async fn referrer(tx: &mut Tx, kind: Kind, id: &str) -> Result<Option<(Kind, String)>> {
    for (from, field) in kind.referred_by() {
        // A list is kept with its separators; an id has none.
        let sql = format!(
            "SELECT id FROM {0} WHERE REPLACE(';' || {1} || ';', $1, '') <> ';' || {1} || ';' \
             ORDER BY id LIMIT 1",
            from.table(),
            field.name
        );
        if let Some(row) = tx.query_one(sql, args![format!(";{id};")]).await? {
            return Ok(Some((from, row.text("id")?)));
        }
    }
    Ok(None)
}

/// Notes sites and devices that agents named and that are not known: (kind, id, values). What is known
/// stays as it is. Answers how many were left out because too many wait to be completed.
pub async fn appear(
    tx: &mut Tx,
    kind: Kind,
    named: Vec<(String, Values)>,
    at: Time,
) -> Result<usize> {
    let ids: Vec<String> = named.iter().map(|(id, _)| id.clone()).collect();
    let head = format!("SELECT id FROM {} WHERE id", kind.table());
    let known = select_in(tx, &head, &ids, "").await?;
    let known: Vec<String> = known.iter().map(|row| row.text("id")).collect::<Result<_>>()?;
    let mut new: Vec<_> = named.into_iter().filter(|(id, _)| !known.contains(id)).collect();
    if new.is_empty() {
        return Ok(0);
    }
    let sql = format!("SELECT COUNT(*) AS n FROM {} WHERE to_complete = 1", kind.table());
    let waiting = tx.query_one(sql, vec![]).await?.map_or(Ok(0), |row| row.int("n"))?;
    let room = usize::try_from(MAX_TO_COMPLETE - waiting).unwrap_or(0);
    let left_out = new.len().saturating_sub(room);
    new.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    new.truncate(room);
    let names: Vec<&str> = kind.fields().iter().map(|f| f.name).collect();
    let head = format!(
        "INSERT INTO {} (id, {}, to_complete, version, updated_at, updated_by)",
        kind.table(),
        names.join(", ")
    );
    let rows = new.iter().map(|(id, values)| {
        let mut row = args![id];
        row.extend(names.iter().map(|n| Val::from(values.get(n).map_or("", String::as_str))));
        row.extend(args![true, 1_i64, at, "collector"]);
        row
    });
    insert(tx, &head, rows.collect(), "ON CONFLICT (id) DO NOTHING").await?;
    Ok(left_out)
}

/// Whether any contract is kept: without one, cover is nobody's question.
pub async fn any_contract(tx: &mut Tx) -> Result<bool> {
    let sql = "SELECT 1 AS n FROM contracts LIMIT 1";
    Ok(tx.query_one(sql, vec![]).await?.is_some())
}

/// The contracts that cover one of these values: (`customer`, `site` or `serial`) with the values.
pub async fn covering(tx: &mut Tx, what: &str, values: &[String]) -> Result<Vec<String>> {
    if values.is_empty() {
        return Ok(Vec::new());
    }
    let head = match what {
        "customer" => "SELECT contract FROM contract_cover WHERE what = 'customer' AND value",
        "site" => "SELECT contract FROM contract_cover WHERE what = 'site' AND value",
        _ => "SELECT contract FROM contract_cover WHERE what = 'serial' AND value",
    };
    let rows = select_in(tx, head, values, "").await?;
    rows.iter().map(|row| row.text("contract")).collect()
}

/// The contacts of a site: at most `limit`.
pub async fn contacts_of_site(db: &Db, site: &str, limit: i64) -> Result<Vec<Master>> {
    let sql = "SELECT c.* FROM contact_sites s JOIN contacts c ON c.id = s.contact \
               WHERE s.site = $1 ORDER BY c.id LIMIT $2";
    read_as(db, sql, args![site, limit], |row| from_row(Kind::Contacts, row)).await
}
