//! Certificates that were issued to agents.

use callhome_shared::time::Time;

use super::rows::read_as;
use super::{Db, Result, Row, Tx};
use crate::args;

/// A certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Certificate {
    /// Serial number, lower-case hex.
    pub serial: String,
    /// Whose it is.
    pub agent_id: String,
    /// `sha256:<hex>` over the DER form.
    pub fingerprint: String,
    /// When it was issued.
    pub issued_at: Time,
    /// When it ends.
    pub not_after: Time,
    /// When it was revoked.
    pub revoked_at: Option<Time>,
    /// Fingerprint of the CA that signed it; unknown for those of before this was kept.
    pub issuer: Option<String>,
    /// When it was used first.
    pub first_used_at: Option<Time>,
    /// When a newer one of the same agent was used.
    pub superseded_at: Option<Time>,
    /// When it was first let in after it had ended.
    pub quarantined_at: Option<Time>,
}

fn from_row(row: &Row) -> Result<Certificate> {
    Ok(Certificate {
        serial: row.text("serial")?,
        agent_id: row.text("agent_id")?,
        fingerprint: row.text("fingerprint")?,
        issued_at: Time(row.int("issued_at")?),
        not_after: Time(row.int("not_after")?),
        revoked_at: row.opt_int("revoked_at")?.map(Time),
        issuer: row.opt_text("issuer")?,
        first_used_at: row.opt_int("first_used_at")?.map(Time),
        superseded_at: row.opt_int("superseded_at")?.map(Time),
        quarantined_at: row.opt_int("quarantined_at")?.map(Time),
    })
}

/// Keeps an issued certificate.
pub async fn insert(tx: &mut Tx, certificate: &Certificate) -> Result<()> {
    let sql = "INSERT INTO certificates (serial, agent_id, fingerprint, issued_at, not_after, revoked_at, issuer) \
               VALUES ($1, $2, $3, $4, $5, $6, $7)";
    let args = args![
        &certificate.serial,
        &certificate.agent_id,
        &certificate.fingerprint,
        certificate.issued_at,
        certificate.not_after,
        certificate.revoked_at,
        &certificate.issuer
    ];
    tx.execute(sql, args).await.map(drop)
}

/// All revoked certificates that have not ended by `now`: what a revocation list must name.
pub async fn revoked(db: &Db, now: Time) -> Result<Vec<Certificate>> {
    let sql = "SELECT * FROM certificates WHERE revoked_at IS NOT NULL AND not_after > $1 ORDER BY serial";
    read_as(db, sql, args![now], from_row).await
}

/// Serial numbers of certificates that were superseded before `limit` and have not ended by `now`.
pub async fn outlived(db: &Db, limit: Time, now: Time) -> Result<Vec<String>> {
    let sql = "SELECT serial FROM certificates WHERE superseded_at <= $1 AND revoked_at IS NULL \
               AND not_after > $2 ORDER BY serial";
    read_as(db, sql, args![limit, now], |row| row.text("serial")).await
}

/// One certificate.
pub async fn get(db: &Db, serial: &str) -> Result<Option<Certificate>> {
    let row = db.read_one("SELECT * FROM certificates WHERE serial = $1", args![serial]).await?;
    row.as_ref().map(from_row).transpose()
}

/// The agent's certificates, newest first.
pub async fn of_agent(db: &Db, agent_id: &str) -> Result<Vec<Certificate>> {
    let sql = "SELECT * FROM certificates WHERE agent_id = $1 ORDER BY issued_at DESC LIMIT 100";
    read_as(db, sql, args![agent_id], from_row).await
}

/// One certificate, within a transaction.
pub async fn find(tx: &mut Tx, serial: &str) -> Result<Option<Certificate>> {
    let sql = "SELECT * FROM certificates WHERE serial = $1";
    tx.query_one(sql, args![serial]).await?.as_ref().map(from_row).transpose()
}

/// Notes the first use of a certificate. The agent's certificates that were issued before it are
/// superseded. Answers their serial numbers; `None` when it is unknown or was used before.
pub async fn note_first_use(tx: &mut Tx, serial: &str, at: Time) -> Result<Option<Vec<String>>> {
    let sql = "UPDATE certificates SET first_used_at = $2 \
               WHERE serial = $1 AND first_used_at IS NULL RETURNING agent_id, issued_at";
    let Some(row) = tx.query_one(sql, args![serial, at]).await? else { return Ok(None) };
    let sql = "UPDATE certificates SET superseded_at = $4 WHERE agent_id = $1 AND serial <> $2 \
               AND issued_at <= $3 AND superseded_at IS NULL AND revoked_at IS NULL RETURNING serial";
    let args = args![row.text("agent_id")?, serial, row.int("issued_at")?, at];
    let rows = tx.query(sql, args).await?;
    rows.iter().map(|row| row.text("serial")).collect::<Result<_>>().map(Some)
}

/// Notes that an ended certificate was let in; `true` the first time.
pub async fn note_quarantine(tx: &mut Tx, serial: &str, at: Time) -> Result<bool> {
    let sql =
        "UPDATE certificates SET quarantined_at = $2 WHERE serial = $1 AND quarantined_at IS NULL";
    Ok(tx.execute(sql, args![serial, at]).await? == 1)
}

/// How many certificates of agents that CA has signed which have not ended, are not revoked, and
/// are not superseded.
pub async fn living_of_issuer(db: &Db, issuer: &str, now: Time) -> Result<i64> {
    let sql = "SELECT COUNT(*) AS n FROM certificates WHERE issuer = $1 AND not_after > $2 \
               AND revoked_at IS NULL AND superseded_at IS NULL";
    db.read_one(sql, args![issuer, now]).await?.map_or(Ok(0), |row| row.int("n"))
}
