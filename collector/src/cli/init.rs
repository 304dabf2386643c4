//! `init`: the data directory, the CA, the offline root, the database, the first administrator.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use callhome_shared::time::Time;
use callhome_shared::tls;
use clap::Args;
use serde_json::json;

use super::{Failure, print, who};
use crate::api::rights::Role;
use crate::audit::{Deed, Entry};
use crate::enrol::EnrolError;
use crate::enrol::authority::Authority;
use crate::enrol::cas::Cas;
use crate::enrol::files::{self, TrustFiles};
use crate::enrol::keeper;
use crate::password::{generate_password, hash_password};
use crate::settings::{Database, Settings};
use crate::store::users::{self, User};
use crate::store::{Db, audit};

/// Log-in name of the first administrator.
const ADMIN: &str = "admin";

#[derive(Debug, Args)]
pub(super) struct Init {
    /// Certificate of a CA of your own (PEM), instead of a new one
    #[arg(long, value_name = "FILE")]
    ca_cert: Option<PathBuf>,
    /// Its key (PEM, PKCS#8). Without it the collector verifies certificates and issues none: its own
    /// server certificate must be given (certificates.server_certificate_file)
    #[arg(long, value_name = "FILE", requires = "ca_cert")]
    ca_key: Option<PathBuf>,
    /// Directory that the organisation's offline root is written to: take it away from this
    /// machine afterwards
    #[arg(long, value_name = "DIR", default_value = "./callhome-root")]
    root_out: PathBuf,
}

pub(super) async fn run(init: Init, settings: &Settings) -> Result<(), Failure> {
    let trust = TrustFiles::new(&settings.data_dir);
    nothing_there(&trust, settings, &init.root_out)?;
    // All that can be refused is refused before the first file is written.
    let authority = authority(&init, settings)?;
    let root = Authority::generate(&settings.organisation, "offline root")?;
    trust.make_dirs()?;
    let db = Db::open(&settings.database).await?;
    ensure_empty(&db).await?;

    files::make_dir(&init.root_out)?;
    files::write_new(&init.root_out.join("root.key"), root.key_pem()?.as_bytes(), 0o600)?;
    files::write_new(&init.root_out.join("root.pem"), root.pem().as_bytes(), 0o644)?;
    files::write_new(&trust.root(), root.pem().as_bytes(), 0o644)?;
    if authority.has_key() {
        files::write_new(&trust.ca_key(), authority.key_pem()?.as_bytes(), 0o600)?;
    }
    files::write_new(&trust.ca(), authority.pem().as_bytes(), 0o644)?;
    let cas = Cas::load(&trust, settings.certificates.lives)?;
    let given = settings.certificates.server.is_some();
    keeper::renew(&trust, &cas.issuing, &settings.names, &settings.name, given)?;
    keeper::write_crl(&trust, &cas, &[])?;
    files::write(&trust.roots(), cas.roots_pem().as_bytes(), 0o644)?;

    let password = generate_password()?;
    let admin = User {
        name: ADMIN.to_owned(),
        display_name: "Administrator".to_owned(),
        role: Role::Administrator.as_str().to_owned(),
        password_hash: hash_password(password.clone()).await?,
        must_change: true,
        language: "zh-CN".to_owned(),
        created_at: Time::now(),
        disabled_at: None,
    };
    let mut tx = db.begin().await?;
    users::insert(&mut tx, &admin).await?;
    let detail = json!({
        "ca": tls::fingerprint(authority.certificate()),
        "ca_key": authority.has_key(),
        "offline_root": tls::fingerprint(root.certificate()),
        "administrator": ADMIN,
    });
    let entry = Entry::new(Time::now(), &who(), Deed::Initialised, &settings.name, detail);
    audit::append(&mut tx, &entry).await?;
    tx.commit().await?;
    db.close().await;
    print(&format!(
        "data directory    {}\n\
         CA                {}\n\
         offline root      {}\n\
         \n\
         {}/root.key signs the keys of remote-diagnosis engineers. Whoever has it can open\n\
         sessions at every customer: move the directory to a medium that is kept elsewhere, locked up,\n\
         and delete it here. The collector keeps only the root's certificate and never needs its key.\n\
         \n\
         console           {}\n\
         one-time password of {ADMIN} (shown only now, must be changed at the first log-in): {}\n",
        settings.data_dir.display(),
        tls::fingerprint(authority.certificate()),
        tls::fingerprint(root.certificate()),
        init.root_out.display(),
        settings.https.public_url,
        *password
    ))
}

fn authority(init: &Init, settings: &Settings) -> anyhow::Result<Authority> {
    match (&init.ca_cert, &init.ca_key) {
        (Some(certificate), None) => {
            ensure!(
                settings.certificates.server.is_some(),
                "{}: {}; or give its key with --ca-key",
                certificate.display(),
                EnrolError::NoServer
            );
            Authority::verifying(&files::read(certificate)?)
                .with_context(|| format!("{}", certificate.display()))
        }
        (Some(certificate), Some(key)) => {
            let key = zeroize::Zeroizing::new(files::read(key)?);
            Authority::from_pem(&files::read(certificate)?, &key)
                .with_context(|| format!("{}", certificate.display()))
        }
        _ => Ok(Authority::generate(&settings.organisation, "callhome CA")?),
    }
}

/// Refuses to write over anything.
fn nothing_there(trust: &TrustFiles, settings: &Settings, root_out: &Path) -> anyhow::Result<()> {
    let mut files = vec![
        trust.ca(),
        trust.ca_key(),
        trust.root(),
        trust.server(),
        trust.server_key(),
        trust.collector(),
        trust.collector_key(),
        root_out.join("root.key"),
        root_out.join("root.pem"),
    ];
    if let Database::Sqlite { path } = &settings.database {
        files.push(path.clone());
    }
    let there: Vec<String> =
        files.iter().filter(|f| f.exists()).map(|f| f.display().to_string()).collect();
    ensure!(
        there.is_empty(),
        "already there, and init never overwrites: {}; was this collector initialised before?",
        there.join(", ")
    );
    Ok(())
}

/// A PostgreSQL database may hold another collector's data.
async fn ensure_empty(db: &Db) -> anyhow::Result<()> {
    let users = users::count(db).await?;
    ensure!(users == 0, "the database has {users} users already: it belongs to another collector");
    Ok(())
}
