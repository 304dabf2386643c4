//! Web sessions. Only a hash of the cookie's value is kept.

use callhome_shared::time::Time;

use super::users::{self, User};
use super::{Db, Result};
use crate::args;

/// A web session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// SHA-256 of the cookie's value, hex.
    pub id_hash: String,
    /// Whose it is.
    pub user_name: String,
    /// What changing requests must carry.
    pub csrf: String,
    /// When the user logged in.
    pub created_at: Time,
    /// After this it is worth nothing.
    pub expires_at: Time,
    /// The last request.
    pub last_used_at: Time,
}

/// Keeps a new session; sessions that have ended are swept out on the way.
pub async fn insert(db: &Db, session: &Session) -> Result<()> {
    let mut tx = db.begin().await?;
    tx.execute("DELETE FROM web_sessions WHERE expires_at <= $1", args![session.created_at])
        .await?;
    let sql = "INSERT INTO web_sessions (id_hash, user_name, csrf, created_at, expires_at, last_used_at) \
               VALUES ($1, $2, $3, $4, $5, $6)";
    let args = args![
        &session.id_hash,
        &session.user_name,
        &session.csrf,
        session.created_at,
        session.expires_at,
        session.last_used_at
    ];
    tx.execute(sql, args).await?;
    tx.commit().await
}

/// The living session of that hash, with its user (who may log in).
pub async fn get(db: &Db, id_hash: &str, now: Time) -> Result<Option<(Session, User)>> {
    let sql = "SELECT s.id_hash, s.user_name, s.csrf, s.created_at AS session_created_at, s.expires_at, \
               s.last_used_at, u.* FROM web_sessions s JOIN users u ON u.name = s.user_name \
               WHERE s.id_hash = $1 AND s.expires_at > $2 AND u.disabled_at IS NULL";
    let Some(row) = db.read_one(sql, args![id_hash, now]).await? else { return Ok(None) };
    let session = Session {
        id_hash: row.text("id_hash")?,
        user_name: row.text("user_name")?,
        csrf: row.text("csrf")?,
        created_at: Time(row.int("session_created_at")?),
        expires_at: Time(row.int("expires_at")?),
        last_used_at: Time(row.int("last_used_at")?),
    };
    Ok(Some((session, users::from_row(&row)?)))
}

/// Notes that the session was used and lives until `expires_at`. Not for every request: a write
/// a minute is enough.
pub async fn touch(db: &Db, id_hash: &str, now: Time, expires_at: Time) -> Result<()> {
    let sql = "UPDATE web_sessions SET last_used_at = $2, expires_at = $3 WHERE id_hash = $1";
    db.execute(sql, args![id_hash, now, expires_at]).await.map(drop)
}

/// Ends a session.
pub async fn delete(db: &Db, id_hash: &str) -> Result<()> {
    db.execute("DELETE FROM web_sessions WHERE id_hash = $1", args![id_hash]).await.map(drop)
}
