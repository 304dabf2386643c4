//! `backup`, `restore`.

use std::path::PathBuf;

use callhome_shared::time::Time;
use clap::Args;
use serde_json::json;

use super::{Failure, print, who};
use crate::audit::{Deed, Entry};
use crate::enrol::files;
use crate::settings::Settings;
use crate::store::{audit, backup, bundles};

#[derive(Debug, Args)]
pub(super) struct Backup {
    /// The new file to write; it holds the CA's key: keep it as safe as the data directory
    file: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct Restore {
    /// A file that `backup` wrote
    file: PathBuf,
}

pub(super) async fn back_up(args: Backup, settings: &Settings) -> Result<(), Failure> {
    let db = super::open(settings).await?;
    let manifest = backup::backup(&db, &settings.data_dir, &args.file).await?;
    let subject = args.file.display().to_string();
    let detail = json!({ "members": manifest.members.len() });
    audit::note(&db, &Entry::new(Time::now(), &who(), Deed::BackedUp, &subject, detail)).await?;
    let kept = bundles::census(&db).await?;
    db.close().await;
    let files = manifest.members.len();
    print(&format!("{}: {files} members, made {}\n", args.file.display(), manifest.created_at))?;
    if kept.complete > 0 {
        let dir = settings.bundles.dir.display();
        let text =
            format!("not in it: the files of {} evidence bundles; copy {dir}\n", kept.complete);
        print(&text)?;
    }
    Ok(())
}

pub(super) async fn restore(args: Restore, settings: &Settings) -> Result<(), Failure> {
    files::make_dir(&settings.data_dir)?;
    let restored =
        backup::restore(&args.file, &settings.data_dir, &settings.database, &who()).await?;
    print(&format!(
        "{}: restored the backup of {}\nthe store's new id is {}: agents will send again what \
         was acknowledged since then and they still have\nfiles of evidence bundles are in no \
         backup: put yours back into {}, then run `bundle verify`\n",
        settings.data_dir.display(),
        restored.manifest.created_at,
        restored.store,
        settings.bundles.dir.display()
    ))
}
