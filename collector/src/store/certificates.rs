//! Certificates that were issued to agents.

use callhome_shared::time::Time;

use super::rows::read_as;
use super::{Db, Result, Row, Tx};
use crate::args;

/// A certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
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
}

fn from_row(row: &Row) -> Result<Certificate> {
    Ok(Certificate {
        serial: row.text("serial")?,
        agent_id: row.text("agent_id")?,
        fingerprint: row.text("fingerprint")?,
        issued_at: Time(row.int("issued_at")?),
        not_after: Time(row.int("not_after")?),
        revoked_at: row.opt_int("revoked_at")?.map(Time),
    })
}

/// Keeps an issued certificate.
pub async fn insert(tx: &mut Tx, certificate: &Certificate) -> Result<()> {
    let sql = "INSERT INTO certificates (serial, agent_id, fingerprint, issued_at, not_after, revoked_at) \
               VALUES ($1, $2, $3, $4, $5, $6)";
    let args = args![
        &certificate.serial,
        &certificate.agent_id,
        &certificate.fingerprint,
        certificate.issued_at,
        certificate.not_after,
        certificate.revoked_at
    ];
    tx.execute(sql, args).await.map(drop)
}

/// Revokes one certificate; `false` when it is unknown or was revoked before.
pub async fn revoke(db: &Db, serial: &str, at: Time) -> Result<bool> {
    let sql = "UPDATE certificates SET revoked_at = $2 WHERE serial = $1 AND revoked_at IS NULL";
    Ok(db.execute(sql, args![serial, at]).await? == 1)
}

/// All revoked certificates that have not ended by `now`: what a revocation list must name.
pub async fn revoked(db: &Db, now: Time) -> Result<Vec<Certificate>> {
    let sql = "SELECT * FROM certificates WHERE revoked_at IS NOT NULL AND not_after > $1 ORDER BY serial";
    read_as(db, sql, args![now], from_row).await
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
