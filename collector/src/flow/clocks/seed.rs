//! What a new store has: the plans that come with the program, and the promise of the configuration.

use callhome_shared::time::Time;

use super::DEFAULT;
use crate::clock::{Promise, presets};
use crate::store::plans::{self, BodyRow, Shelf};
use crate::store::{Db, Result, StoreError, Tx, meta};

/// Puts the plans of this program on the shelf, where nobody has changed or deleted them, and notes what tickets
/// are promised that are promised nothing else. Of several collectors of one database the one that
/// started last has the word.
pub async fn seed(db: &Db, promise: &Promise, now: Time) -> Result<()> {
    let mut tx = db.begin().await?;
    shelve(&mut tx, now).await?;
    let text = serde_json::to_string(promise).unwrap_or_default();
    meta::set(&mut tx, DEFAULT, &text).await?;
    tx.commit().await
}

/// Puts the plans of this program on the shelf: contracts may name them before the collector has run.
pub async fn stock(db: &Db, now: Time) -> Result<()> {
    let mut tx = db.begin().await?;
    shelve(&mut tx, now).await?;
    tx.commit().await
}

async fn shelve(tx: &mut Tx, now: Time) -> Result<()> {
    for preset in presets() {
        let body = serde_json::to_string(&preset.plan).unwrap_or_default();
        let newest = plans::newest(tx, Shelf::Plans, preset.name).await?;
        let version = match &newest {
            None => 1,
            Some(row) if row.preset && row.deleted_at.is_none() && row.body != body => {
                row.version + 1
            }
            Some(_) => continue,
        };
        let row = BodyRow {
            name: preset.name.to_owned(),
            version,
            body,
            preset: true,
            created_at: now,
            created_by: "collector".to_owned(),
            deleted_at: None,
        };
        match plans::add(tx, Shelf::Plans, &row).await {
            // Another collector starts at the same time.
            Ok(()) | Err(StoreError::Changed(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
