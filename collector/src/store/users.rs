//! People who may log in.

use callhome_shared::time::Time;

use super::rows::read_as;
use super::{Db, Result, Row, Tx};
use crate::args;

/// A user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Log-in name.
    pub name: String,
    /// Name shown to others.
    pub display_name: String,
    /// See the service model: `administrator`, `engineer`, …
    pub role: String,
    /// Argon2 hash (PHC string).
    pub password_hash: String,
    /// The password is a one-time password.
    pub must_change: bool,
    /// `zh-CN` or `en`.
    pub language: String,
    /// When the user was made.
    pub created_at: Time,
    /// Since when the user may not log in.
    pub disabled_at: Option<Time>,
}

pub(super) fn from_row(row: &Row) -> Result<User> {
    Ok(User {
        name: row.text("name")?,
        display_name: row.text("display_name")?,
        role: row.text("role")?,
        password_hash: row.text("password_hash")?,
        must_change: row.flag("must_change")?,
        language: row.text("language")?,
        created_at: Time(row.int("created_at")?),
        disabled_at: row.opt_int("disabled_at")?.map(Time),
    })
}

/// [`insert`] in a transaction of its own.
#[cfg(test)]
pub async fn insert_alone(db: &Db, user: &User) -> Result<bool> {
    let mut tx = db.begin().await?;
    let inserted = insert(&mut tx, user).await?;
    tx.commit().await?;
    Ok(inserted)
}

/// Makes a user; `false` when there is one of that name already.
pub async fn insert(tx: &mut Tx, user: &User) -> Result<bool> {
    let sql = "INSERT INTO users (name, display_name, role, password_hash, must_change, language, created_at, disabled_at) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (name) DO NOTHING";
    let args = args![
        &user.name,
        &user.display_name,
        &user.role,
        &user.password_hash,
        user.must_change,
        &user.language,
        user.created_at,
        user.disabled_at
    ];
    Ok(tx.execute(sql, args).await? == 1)
}

/// One user.
pub async fn get(db: &Db, name: &str) -> Result<Option<User>> {
    let row = db.read_one("SELECT * FROM users WHERE name = $1", args![name]).await?;
    row.as_ref().map(from_row).transpose()
}

/// All users by name.
pub async fn list(db: &Db) -> Result<Vec<User>> {
    read_as(db, "SELECT * FROM users ORDER BY name", vec![], from_row).await
}

/// How many there are.
pub async fn count(db: &Db) -> Result<i64> {
    let row = db.read_one("SELECT COUNT(*) AS n FROM users", vec![]).await?;
    row.map_or(Ok(0), |row| row.int("n"))
}

/// Sets the password and ends all the user's web sessions but `keep` (a session's hash), if any.
/// `false` when there is no such user.
pub async fn set_password(
    tx: &mut Tx,
    name: &str,
    password_hash: &str,
    must_change: bool,
    keep: Option<&str>,
) -> Result<bool> {
    let done = tx
        .execute(
            "UPDATE users SET password_hash = $2, must_change = $3 WHERE name = $1",
            args![name, password_hash, must_change],
        )
        .await?;
    let keep = keep.unwrap_or_default();
    tx.execute(
        "DELETE FROM web_sessions WHERE user_name = $1 AND id_hash <> $2",
        args![name, keep],
    )
    .await?;
    Ok(done == 1)
}

/// Sets the user's role and ends all the user's web sessions; answers the role before, if there is
/// such a user.
pub async fn set_role(tx: &mut Tx, name: &str, role: &str) -> Result<Option<String>> {
    let before = tx.query_one("SELECT role FROM users WHERE name = $1", args![name]).await?;
    let Some(before) = before else { return Ok(None) };
    tx.execute("UPDATE users SET role = $2 WHERE name = $1", args![name, role]).await?;
    tx.execute("DELETE FROM web_sessions WHERE user_name = $1", args![name]).await?;
    before.text("role").map(Some)
}

/// Ends all the user's web sessions.
pub async fn end_sessions(tx: &mut Tx, name: &str) -> Result<()> {
    tx.execute("DELETE FROM web_sessions WHERE user_name = $1", args![name]).await.map(drop)
}

/// Sets since when the user may not log in, if so, and ends all the sessions; `false` when there is no such user.
pub async fn set_disabled(tx: &mut Tx, name: &str, since: Option<Time>) -> Result<bool> {
    let sql = "UPDATE users SET disabled_at = $2 WHERE name = $1";
    let done = tx.execute(sql, args![name, since]).await?;
    end_sessions(tx, name).await?;
    Ok(done == 1)
}

/// Sets the language of the user's interface.
pub async fn set_language(db: &Db, name: &str, language: &str) -> Result<bool> {
    let sql = "UPDATE users SET language = $2 WHERE name = $1";
    Ok(db.execute(sql, args![name, language]).await? == 1)
}

/// The names of all who may log in and whose role is another one than `role`.
pub async fn in_service(tx: &mut Tx, role: &str) -> Result<Vec<String>> {
    let sql = "SELECT name FROM users WHERE disabled_at IS NULL AND role <> $1 ORDER BY name";
    tx.query(sql, args![role]).await?.iter().map(|row| row.text("name")).collect()
}
