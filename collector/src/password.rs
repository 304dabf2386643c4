//! Passwords: argon2id, off the runtime's threads, at most a few at the same time.

use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

/// One computation takes 19 MiB and tens of milliseconds: more at once than this wait.
static AT_ONCE: Semaphore = Semaphore::const_new(2);

/// Longest password that is hashed; more is refused before any work is done.
pub const MAX_PASSWORD_BYTES: usize = 1024;
/// Shortest password that people may choose.
pub const MIN_PASSWORD_CHARS: usize = 10;

/// Why a password cannot be hashed.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// Shorter than [`MIN_PASSWORD_CHARS`].
    #[error("a password has at least {MIN_PASSWORD_CHARS} characters")]
    TooShort,
    /// Longer than [`MAX_PASSWORD_BYTES`].
    #[error("a password has at most {MAX_PASSWORD_BYTES} bytes")]
    TooLong,
    /// argon2 refuses.
    #[error("argon2: {0}")]
    Argon2(String),
    /// No randomness, or the process is ending.
    #[error("the system cannot hash now: {0}")]
    System(String),
}

/// Hashes a password (PHC string, argon2id).
pub async fn hash_password(password: Zeroizing<String>) -> Result<String, PasswordError> {
    if password.chars().count() < MIN_PASSWORD_CHARS {
        return Err(PasswordError::TooShort);
    }
    if password.len() > MAX_PASSWORD_BYTES {
        return Err(PasswordError::TooLong);
    }
    off_thread(move || hash(&password)).await?
}

/// Whether `password` is the one that was hashed. `None` (no such user) takes as long as a wrong
/// password does, so that the time does not tell which names exist.
pub async fn verify_password(
    password: Zeroizing<String>,
    hash: Option<String>,
) -> Result<bool, PasswordError> {
    if password.len() > MAX_PASSWORD_BYTES {
        return Ok(false);
    }
    off_thread(move || {
        let known = hash.is_some();
        // The hash of a password that nobody knows, with the parameters of `hasher`.
        let hash = hash.unwrap_or_else(|| {
            "$argon2id$v=19$m=19456,t=2,p=1$Y2FsbGhvbWUtbm9uZS4uLg$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".into()
        });
        let parsed = PasswordHash::new(&hash).map_err(argon2_error)?;
        let fits = hasher()?.verify_password(password.as_bytes(), &parsed).is_ok();
        Ok(fits && known)
    })
    .await?
}

/// A password for the first log-in: 20 letters and digits that cannot be taken for each other.
pub fn generate_password() -> Result<Zeroizing<String>, PasswordError> {
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut bytes = Zeroizing::new([0_u8; 20]);
    getrandom::fill(bytes.as_mut()).map_err(|e| PasswordError::System(e.to_string()))?;
    let letter = |b: &u8| LETTERS.get(usize::from(*b & 31)).map_or('x', |c| char::from(*c));
    Ok(Zeroizing::new(bytes.iter().map(letter).collect()))
}

fn hash(password: &str) -> Result<String, PasswordError> {
    let mut salt = [0_u8; 16];
    getrandom::fill(&mut salt).map_err(|e| PasswordError::System(e.to_string()))?;
    let salt = SaltString::encode_b64(&salt).map_err(argon2_error)?;
    let hash = hasher()?.hash_password(password.as_bytes(), &salt).map_err(argon2_error)?;
    Ok(hash.to_string())
}

/// OWASP's first choice: 19 MiB, two passes, one lane.
fn hasher() -> Result<Argon2<'static>, PasswordError> {
    let params =
        Params::new(19_456, 2, 1, None).map_err(|e| PasswordError::Argon2(e.to_string()))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

fn argon2_error(e: argon2::password_hash::Error) -> PasswordError {
    PasswordError::Argon2(e.to_string())
}

async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, PasswordError> {
    let _turn = AT_ONCE.acquire().await.map_err(|e| PasswordError::System(e.to_string()))?;
    tokio::task::spawn_blocking(work).await.map_err(|e| PasswordError::System(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn hashes_and_verifies() {
        let password = generate_password().unwrap();
        assert_eq!(password.len(), 20);
        assert_ne!(*password, *generate_password().unwrap());
        let hash = hash_password(password.clone()).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(verify_password(password.clone(), Some(hash.clone())).await.unwrap());
        assert!(!verify_password("another one".to_owned().into(), Some(hash)).await.unwrap());
        assert!(!verify_password(password, None).await.unwrap());
        let short = hash_password("short".to_owned().into()).await;
        assert!(matches!(short, Err(PasswordError::TooShort)));
        let long = "x".repeat(MAX_PASSWORD_BYTES + 1);
        assert!(matches!(hash_password(long.into()).await, Err(PasswordError::TooLong)));
    }
}
