//! Whom an identity provider names: the user here, made at the first log-in where the provider gives a role.

use callhome_shared::heartbeat::hex;
use callhome_shared::time::Time;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::access::oidc::{Refusal, login_name};
use crate::audit::{Deed, Entry};
use crate::password::{PasswordError, generate_password, hash_password};
use crate::store::oidc::{self, Link};
use crate::store::users::{self, User};
use crate::store::{Db, StoreError, Tx, audit};

/// Names that are tried for a new user.
const TRIES: usize = 3;

/// Whom a provider vouches for.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The provider.
    pub issuer: String,
    /// Its name of the person, which it never gives to another one.
    pub subject: String,
    /// The log-in name that it suggests; it decides nothing but a new user's name.
    pub name: Option<String>,
    /// Name shown to others.
    pub display_name: Option<String>,
    /// Language of a new user's console.
    pub language: &'static str,
    /// The role that it gives.
    pub role: Option<String>,
}

/// Why there is no user.
#[derive(Debug, thiserror::Error)]
pub enum OidcError {
    /// He is not let in; the user's name, if there is such a user.
    #[error("refused: {}", .0.as_str())]
    Refused(Refusal, Option<String>),
    /// The password that nobody knows could not be made.
    #[error("password")]
    Password(#[from] PasswordError),
    /// The store.
    #[error("data store")]
    Store(#[from] StoreError),
}

/// The user of an identity. One made here has a password that nobody knows.
pub async fn admit(db: &Db, who: &Identity, now: Time) -> Result<User, OidcError> {
    let mut tx = db.begin().await?;
    if let Some((user, managed)) = oidc::find(&mut tx, &who.issuer, &who.subject).await? {
        return again(tx, user, managed, who, now).await;
    }
    drop(tx);
    let role = who.role.clone().ok_or(OidcError::Refused(Refusal::Role, None))?;
    let hash = hash_password(generate_password()?).await?;
    let mut tx = db.begin().await?;
    // Somebody may have been faster, with the same identity.
    if let Some((user, managed)) = oidc::find(&mut tx, &who.issuer, &who.subject).await? {
        return again(tx, user, managed, who, now).await;
    }
    for name in names(who) {
        let user = User {
            display_name: who.display_name.clone().unwrap_or_else(|| name.clone()),
            name: name.clone(),
            role: role.clone(),
            password_hash: hash.clone(),
            must_change: false,
            language: who.language.to_owned(),
            created_at: now,
            disabled_at: None,
        };
        if !users::insert(&mut tx, &user).await? {
            continue;
        }
        let (issuer, subject) = (who.issuer.clone(), who.subject.clone());
        let link = Link { issuer, subject, user_name: name.clone(), managed: true };
        if !oidc::link(&mut tx, &link, now).await? {
            return Err(OidcError::Refused(Refusal::Busy, None));
        }
        let detail = json!({ "role": role, "issuer": who.issuer, "subject": who.subject });
        let entry = Entry::new(now, "collector", Deed::UserAdded, &name, detail);
        audit::append(&mut tx, &entry).await?;
        tx.commit().await?;
        return Ok(user);
    }
    Err(OidcError::Refused(Refusal::Busy, None))
}

/// Somebody who was here before.
async fn again(
    mut tx: Tx,
    mut user: User,
    managed: bool,
    who: &Identity,
    now: Time,
) -> Result<User, OidcError> {
    if user.disabled_at.is_some() {
        return Err(OidcError::Refused(Refusal::Disabled, Some(user.name)));
    }
    if !managed {
        return Ok(user);
    }
    let Some(role) = &who.role else {
        return Err(OidcError::Refused(Refusal::Role, Some(user.name)));
    };
    if *role != user.role {
        users::set_role(&mut tx, &user.name, role).await?;
        let detail = json!({ "before": user.role, "role": role, "issuer": who.issuer });
        let entry = Entry::new(now, "collector", Deed::RoleChanged, &user.name, detail);
        audit::append(&mut tx, &entry).await?;
        tx.commit().await?;
        user.role.clone_from(role);
    }
    Ok(user)
}

/// Names for a new user, the best first: never that of a user who is there.
fn names(who: &Identity) -> Vec<String> {
    let digest = hex(&Sha256::digest(format!("{}\n{}", who.issuer, who.subject)));
    let tail = digest.get(..8).unwrap_or_default();
    let suggested = login_name(who.name.as_deref());
    let mut names: Vec<String> = suggested.map(str::to_owned).into_iter().collect();
    // A name of 64 characters has no room for a tail.
    let beside = suggested.map(|name| format!("{name}-{tail}"));
    names.extend(beside.filter(|name| login_name(Some(name)).is_some()));
    names.push(format!("oidc-{tail}"));
    names.truncate(TRIES);
    names
}
