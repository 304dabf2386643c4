//! Tokens with which programs ask the API. Only a hash of the secret is kept.

use callhome_shared::time::Time;

use super::rows::read_as;
use super::users::{self, User};
use super::{Db, Result, Row, StoreError, Tx};
use crate::access::Scope;
use crate::args;

/// A token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiToken {
    /// Its id, part of its text.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// SHA-256 of the secret, hex.
    pub secret_hash: String,
    /// What it opens; words that this program does not know open nothing.
    pub scopes: Vec<Scope>,
    /// For whom it acts: it may never more than he may.
    pub owner: String,
    /// The sites that it is limited to; none: not limited.
    pub sites: Vec<String>,
    /// When it was made.
    pub created_at: Time,
    /// Who made it.
    pub created_by: String,
    /// After this it is worth nothing.
    pub expires_at: Time,
    /// The last request, to the minute.
    pub last_used_at: Option<Time>,
    /// Since when it is worth nothing because somebody said so.
    pub revoked_at: Option<Time>,
    /// Who.
    pub revoked_by: Option<String>,
}

impl ApiToken {
    /// Whether it is good now.
    pub fn lives(&self, now: Time) -> bool {
        self.revoked_at.is_none() && self.expires_at > now
    }
}

const COLUMNS: &str = "t.id AS token_id, t.name AS token_name, t.secret_hash, t.scopes, t.owner, t.sites, \
    t.created_at AS token_created_at, t.created_by, t.expires_at, t.last_used_at, t.revoked_at, t.revoked_by";

fn from_row(row: &Row) -> Result<ApiToken> {
    let sites = row.text("sites")?;
    let sites = serde_json::from_str(&sites)
        .map_err(|e| StoreError::Schema(format!("api_tokens.sites is no list of texts: {e}")))?;
    Ok(ApiToken {
        id: row.text("token_id")?,
        name: row.text("token_name")?,
        secret_hash: row.text("secret_hash")?,
        scopes: row.text("scopes")?.split(' ').filter_map(Scope::parse).collect(),
        owner: row.text("owner")?,
        sites,
        created_at: Time(row.int("token_created_at")?),
        created_by: row.text("created_by")?,
        expires_at: Time(row.int("expires_at")?),
        last_used_at: row.opt_int("last_used_at")?.map(Time),
        revoked_at: row.opt_int("revoked_at")?.map(Time),
        revoked_by: row.opt_text("revoked_by")?,
    })
}

/// Keeps a new token.
pub async fn insert(tx: &mut Tx, token: &ApiToken) -> Result<()> {
    let sql = "INSERT INTO api_tokens (id, name, secret_hash, scopes, owner, sites, created_at, created_by, \
               expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    let scopes: Vec<&str> = token.scopes.iter().map(|scope| scope.as_str()).collect();
    let args = args![
        &token.id,
        &token.name,
        &token.secret_hash,
        scopes.join(" "),
        &token.owner,
        serde_json::Value::from(token.sites.clone()).to_string(),
        token.created_at,
        &token.created_by,
        token.expires_at
    ];
    tx.execute(sql, args).await.map(drop)
}

/// The token of that id with its owner, whether it is good or not.
pub async fn get(db: &Db, id: &str) -> Result<Option<(ApiToken, User)>> {
    let sql = format!(
        "SELECT u.*, {COLUMNS} FROM api_tokens t JOIN users u ON u.name = t.owner WHERE t.id = $1"
    );
    let Some(row) = db.read_one(sql, args![id]).await? else { return Ok(None) };
    Ok(Some((from_row(&row)?, users::from_row(&row)?)))
}

/// The latest tokens first, at most `limit`.
pub async fn list(db: &Db, limit: i64) -> Result<Vec<ApiToken>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM api_tokens t ORDER BY t.created_at DESC, t.id DESC LIMIT $1"
    );
    read_as(db, sql, args![limit], from_row).await
}

/// How many there are, good or not.
pub async fn count(tx: &mut Tx) -> Result<i64> {
    let row = tx.query_one("SELECT COUNT(*) AS n FROM api_tokens", vec![]).await?;
    row.map_or(Ok(0), |row| row.int("n"))
}

/// Forgets tokens that were worth nothing any more at that time.
pub async fn forget(tx: &mut Tx, before: Time) -> Result<u64> {
    tx.execute("DELETE FROM api_tokens WHERE expires_at < $1 OR revoked_at < $1", args![before])
        .await
}

/// Ends a token; answers its name, `None` when there is none of that id or it is ended already.
pub async fn revoke(tx: &mut Tx, id: &str, by: &str, at: Time) -> Result<Option<String>> {
    let sql = "UPDATE api_tokens SET revoked_at = $2, revoked_by = $3 \
               WHERE id = $1 AND revoked_at IS NULL RETURNING name";
    let row = tx.query_one(sql, args![id, at, by]).await?;
    row.map(|row| row.text("name")).transpose()
}

/// Notes that it was used. Not for every request: a write a minute is enough.
pub async fn touch(db: &Db, id: &str, at: Time) -> Result<()> {
    let sql = "UPDATE api_tokens SET last_used_at = $2 WHERE id = $1";
    db.execute(sql, args![id, at]).await.map(drop)
}
