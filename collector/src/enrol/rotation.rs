//! The steps of exchanging the CA, each with its entry in the record. The entry is committed after
//! the files are exchanged: there is none for a step that failed.

use callhome_shared::time::Time;
use callhome_shared::tls;
use serde_json::{Value, json};

use super::authority::{Authority, Lives};
use super::cas::{self, Cas};
use super::files::{self, TrustFiles};
use super::{EnrolError, chain};
use crate::audit::{Deed, Entry};
use crate::store::{Db, StoreError, audit};

/// Why a step was not done.
#[derive(Debug, thiserror::Error)]
pub enum RotationError {
    /// Files and certificates.
    #[error(transparent)]
    Enrol(#[from] EnrolError),
    /// The store.
    #[error("data store")]
    Store(#[from] StoreError),
    /// The worker thread was lost.
    #[error("the worker thread was lost")]
    Worker(#[from] tokio::task::JoinError),
}

/// Announces `next`.
pub async fn announce(
    db: &Db,
    files: &TrustFiles,
    next: Authority,
    who: &str,
) -> Result<(), RotationError> {
    let subject = tls::fingerprint(next.certificate());
    let detail = json!({ "name": name(&next) });
    step(db, files, (who, Deed::CaAnnounced, subject, detail), move |files| {
        cas::announce(files, &next)
    })
    .await
}

/// Gives the announced CA up.
pub async fn withdraw(db: &Db, files: &TrustFiles, who: &str) -> Result<(), RotationError> {
    let present = Cas::load(files, Lives::default())?;
    let subject = present.next.as_ref().map(|ca| tls::fingerprint(ca.certificate()));
    let what = (who, Deed::CaWithdrawn, subject.unwrap_or_default(), json!({}));
    step(db, files, what, cas::withdraw).await
}

/// Switches to the announced CA. `unaware`: agents that have not learned it.
pub async fn switch(
    db: &Db,
    files: &TrustFiles,
    who: &str,
    unaware: &[String],
) -> Result<(), RotationError> {
    let present = Cas::load(files, Lives::default())?;
    let subject = present.next.as_ref().map(|ca| tls::fingerprint(ca.certificate()));
    let detail = json!({
        "former": tls::fingerprint(present.issuing.certificate()),
        "agents_unaware": unaware.len(),
    });
    let what = (who, Deed::CaSwitched, subject.unwrap_or_default(), detail);
    step(db, files, what, cas::switch).await
}

/// Ends the trust in the former CA. `left`: certificates of it that are still in use.
pub async fn retire(
    db: &Db,
    files: &TrustFiles,
    who: &str,
    left: i64,
) -> Result<(), RotationError> {
    let present = Cas::load(files, Lives::default())?;
    let subject = present.former.as_ref().map(|ca| tls::fingerprint(ca.certificate()));
    let detail = json!({ "certificates_left": left });
    let what = (who, Deed::CaRetired, subject.unwrap_or_default(), detail);
    step(db, files, what, cas::retire).await
}

fn name(ca: &Authority) -> String {
    tls::subject(ca.certificate()).unwrap_or_default()
}

async fn step(
    db: &Db,
    files: &TrustFiles,
    (who, deed, subject, detail): (&str, Deed, String, Value),
    exchange: impl FnOnce(&TrustFiles) -> Result<(), EnrolError> + Send + 'static,
) -> Result<(), RotationError> {
    let mut tx = db.begin().await?;
    let entry = Entry::new(Time::now(), who, deed, &subject, detail);
    audit::append(&mut tx, &entry).await?;
    let files = files.clone();
    tokio::task::spawn_blocking(move || {
        let _lock = files::lock_cas(&files)?;
        exchange(&files)
    })
    .await??;
    if let Err(error) = tx.commit().await {
        tracing::error!(step = deed.as_str(), error = chain(&error), "done, but not recorded");
        return Err(error.into());
    }
    tracing::info!(step = deed.as_str(), ca = subject, who, "CA rotation");
    Ok(())
}
