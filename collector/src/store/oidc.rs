//! Who people of an identity provider are here.

use callhome_shared::time::Time;

use super::users::{User, from_row};
use super::{Result, Tx};
use crate::args;

/// Somebody that a provider knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The provider.
    pub issuer: String,
    /// Its name of the person, which it never gives to another one.
    pub subject: String,
    /// The user here.
    pub user_name: String,
    /// Made at the first log-in: the role follows the provider.
    pub managed: bool,
}

/// The user, and whether the role follows the provider.
pub async fn find(tx: &mut Tx, issuer: &str, subject: &str) -> Result<Option<(User, bool)>> {
    let sql = "SELECT u.*, o.managed AS managed FROM oidc_users o JOIN users u ON u.name = o.user_name \
               WHERE o.issuer = $1 AND o.subject = $2";
    let Some(row) = tx.query_one(sql, args![issuer, subject]).await? else { return Ok(None) };
    Ok(Some((from_row(&row)?, row.int("managed")? != 0)))
}

/// Notes who it is; `false` when that is known already, of this or another user.
pub async fn link(tx: &mut Tx, link: &Link, now: Time) -> Result<bool> {
    let sql = "INSERT INTO oidc_users (issuer, subject, user_name, managed, linked_at) \
               VALUES ($1, $2, $3, $4, $5) ON CONFLICT (issuer, subject) DO NOTHING";
    let managed = i64::from(link.managed);
    let args = args![&link.issuer, &link.subject, &link.user_name, managed, now];
    Ok(tx.execute(sql, args).await? == 1)
}

/// Forgets who a user is at providers; answers how many that were.
pub async fn unlink(tx: &mut Tx, user_name: &str) -> Result<u64> {
    tx.execute("DELETE FROM oidc_users WHERE user_name = $1", args![user_name]).await
}
