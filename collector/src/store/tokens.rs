//! One-time enrolment tokens. Only a hash of the secret is kept.

use callhome_shared::time::Time;

use super::{Db, Result, Row, Tx};
use crate::args;

/// A token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Its id, for lists and the record.
    pub id: String,
    /// The agent that it enrols.
    pub agent_id: String,
    /// SHA-256 of the secret, hex.
    pub secret_hash: String,
    /// When it was made.
    pub created_at: Time,
    /// Who made it.
    pub created_by: String,
    /// After this it is worth nothing.
    pub expires_at: Time,
    /// When it was used.
    pub used_at: Option<Time>,
}

/// What came of trying to use a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is used up now.
    Yes(Token),
    /// No token has that secret.
    Unknown,
    /// It was used before.
    Used(Token),
    /// It came too late.
    Expired(Token),
}

fn from_row(row: &Row) -> Result<Token> {
    Ok(Token {
        id: row.text("id")?,
        agent_id: row.text("agent_id")?,
        secret_hash: row.text("secret_hash")?,
        created_at: Time(row.int("created_at")?),
        created_by: row.text("created_by")?,
        expires_at: Time(row.int("expires_at")?),
        used_at: row.opt_int("used_at")?.map(Time),
    })
}

/// [`insert`] in a transaction of its own.
#[cfg(test)]
pub async fn insert_alone(db: &Db, token: &Token) -> Result<()> {
    let mut tx = db.begin().await?;
    insert(&mut tx, token).await?;
    tx.commit().await
}

/// Keeps a new token.
pub async fn insert(tx: &mut Tx, token: &Token) -> Result<()> {
    let sql = "INSERT INTO enrol_tokens (id, agent_id, secret_hash, created_at, created_by, expires_at, used_at) \
               VALUES ($1, $2, $3, $4, $5, $6, $7)";
    let args = args![
        &token.id,
        &token.agent_id,
        &token.secret_hash,
        token.created_at,
        &token.created_by,
        token.expires_at,
        token.used_at
    ];
    tx.execute(sql, args).await.map(drop)
}

/// Uses the token with that hash up. Of any number of callers exactly one gets [`Taken::Yes`].
/// Part of the transaction that keeps the certificate, so that a crash between the two does not
/// burn the token.
pub async fn take(tx: &mut Tx, secret_hash: &str, at: Time) -> Result<Taken> {
    let sql = "UPDATE enrol_tokens SET used_at = $2 \
               WHERE secret_hash = $1 AND used_at IS NULL AND expires_at > $2 RETURNING *";
    if let Some(row) = tx.query_one(sql, args![secret_hash, at]).await? {
        return Ok(Taken::Yes(from_row(&row)?));
    }
    let sql = "SELECT * FROM enrol_tokens WHERE secret_hash = $1";
    let Some(row) = tx.query_one(sql, args![secret_hash]).await? else {
        return Ok(Taken::Unknown);
    };
    let token = from_row(&row)?;
    Ok(if token.used_at.is_some() { Taken::Used(token) } else { Taken::Expired(token) })
}

/// The agent's tokens, newest first.
pub async fn of_agent(db: &Db, agent_id: &str) -> Result<Vec<Token>> {
    let sql = "SELECT * FROM enrol_tokens WHERE agent_id = $1 ORDER BY created_at DESC LIMIT 100";
    super::rows::read_as(db, sql, args![agent_id], from_row).await
}
