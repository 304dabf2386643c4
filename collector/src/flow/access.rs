//! Tokens of programs: made and ended, each with its entry in the record.

use callhome_shared::id::new_uuid;
use callhome_shared::time::Time;
use serde_json::json;
use zeroize::Zeroizing;

use crate::access::{self, Scope};
use crate::audit::{Deed, Entry};
use crate::store::api_tokens::{self, ApiToken};
use crate::store::{Db, StoreError, audit};

/// Tokens that are kept, ended ones included.
pub const MAX_TOKENS: i64 = 1000;
/// Sites of one token.
const MAX_SITES: usize = 100;
/// Longest name of a token or a site, bytes.
const MAX_NAME_BYTES: usize = 128;
/// Longest life of a token, days.
pub const MAX_DAYS: u32 = 3660;
/// The life of a token unless told, days.
pub const DAYS: u32 = 365;
const DAY_MS: i64 = 86_400_000;
/// Ended tokens are shown for so long.
const SHOWN_MS: i64 = 400 * DAY_MS;

/// A token that is wished for. Whoever asks has made sure that the owner is a user who may what it opens.
#[derive(Clone, Debug)]
pub struct Wish {
    /// What people call it.
    pub name: String,
    /// What it opens.
    pub scopes: Vec<Scope>,
    /// For whom it acts.
    pub owner: String,
    /// The sites that it is limited to; none: not limited.
    pub sites: Vec<String>,
    /// For how long it is good.
    pub valid_days: u32,
    /// Who makes it: `user:<name>` or `cli:<name>`.
    pub by: String,
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The wish cannot be meant.
    #[error("{0}")]
    Wrong(String),
    /// There are too many.
    #[error("there are {MAX_TOKENS} tokens already, ended ones of the last 400 days included")]
    Full,
    /// No randomness.
    #[error("no randomness: {0}")]
    Random(String),
    /// The store.
    #[error("data store")]
    Store(#[from] StoreError),
}

impl Wish {
    fn check(&mut self) -> Result<(), AccessError> {
        let wrong = |text: &str| Err(AccessError::Wrong(text.to_owned()));
        let printable = |text: &String| {
            let fits = !text.is_empty() && text.len() <= MAX_NAME_BYTES;
            fits && text.trim() == text && !text.chars().any(char::is_control)
        };
        if !printable(&self.name) {
            return wrong("name: expected 1 to 128 bytes without control characters");
        }
        self.scopes.sort_unstable();
        self.scopes.dedup();
        if self.scopes.is_empty() {
            return wrong("scopes: expected at least one");
        }
        if self.sites.len() > MAX_SITES {
            return wrong("sites: expected at most 100");
        }
        if !self.sites.iter().all(printable) {
            return wrong("sites: expected names of 1 to 128 bytes");
        }
        let blind = self.scopes.iter().find(|scope| !scope.knows_sites());
        if let Some(scope) = blind.filter(|_| !self.sites.is_empty()) {
            let scope = scope.as_str();
            let text = format!("sites: a token for {scope} cannot be limited to sites");
            return Err(AccessError::Wrong(text));
        }
        if !(1..=MAX_DAYS).contains(&self.valid_days) {
            return wrong("valid_days: expected 1 to 3660");
        }
        Ok(())
    }
}

/// Makes a token. Its text is answered here and never again.
pub async fn issue(
    db: &Db,
    mut wish: Wish,
    now: Time,
) -> Result<(ApiToken, Zeroizing<String>), AccessError> {
    wish.check()?;
    let mut secret = Zeroizing::new([0_u8; 32]);
    getrandom::fill(secret.as_mut()).map_err(|e| AccessError::Random(e.to_string()))?;
    let id = new_uuid();
    let (text, secret_hash) = access::text(id, &secret);
    let token = ApiToken {
        id: id.to_string(),
        name: wish.name,
        secret_hash,
        scopes: wish.scopes,
        owner: wish.owner,
        sites: wish.sites,
        created_at: now,
        created_by: wish.by,
        expires_at: now.plus_ms(i64::from(wish.valid_days) * DAY_MS),
        last_used_at: None,
        revoked_at: None,
        revoked_by: None,
    };
    let mut tx = db.begin().await?;
    api_tokens::forget(&mut tx, now.plus_ms(-SHOWN_MS)).await?;
    if api_tokens::count(&mut tx).await? >= MAX_TOKENS {
        return Err(AccessError::Full);
    }
    api_tokens::insert(&mut tx, &token).await?;
    let scopes: Vec<&str> = token.scopes.iter().map(|scope| scope.as_str()).collect();
    let detail = json!({
        "token": token.id, "scopes": scopes, "owner": token.owner, "sites": token.sites,
        "expires_at": token.expires_at.to_string(),
    });
    let entry = Entry::new(now, &token.created_by, Deed::ApiTokenMade, &token.name, detail);
    audit::append(&mut tx, &entry).await?;
    tx.commit().await?;
    Ok((token, text))
}

/// Ends a token; `false` when there is none of that id that is not ended.
pub async fn revoke(db: &Db, id: &str, by: &str, now: Time) -> Result<bool, StoreError> {
    let mut tx = db.begin().await?;
    let Some(name) = api_tokens::revoke(&mut tx, id, by, now).await? else { return Ok(false) };
    let entry = Entry::new(now, by, Deed::ApiTokenRevoked, &name, json!({ "token": id }));
    audit::append(&mut tx, &entry).await?;
    tx.commit().await?;
    Ok(true)
}
