//! Backup while writing, restore, damage.

use std::fs;
use std::path::Path;

use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::World;
use super::agent::Agent;
use crate::settings::Database;
use crate::store::backup::{BackupError, DUMP, SQLITE, backup, restore};
use crate::store::{audit, meta};

fn data_dir(root: &Path) -> std::path::PathBuf {
    let dir = root.join("data");
    for (name, text) in [("ca/ca.key", "secret"), ("ca/ca.pem", "ca"), ("tls/server.pem", "s")] {
        fs::create_dir_all(dir.join(name).parent().unwrap()).unwrap();
        fs::write(dir.join(name), text).unwrap();
    }
    fs::write(dir.join("something-else"), "not ours").unwrap();
    dir
}

/// Where the backup may be restored: always SQLite for a dump, and the same kind of database.
async fn targets(world: &World, root: &Path) -> Vec<Database> {
    let file = |n: &str| Database::Sqlite { path: root.join(n).join("callhome.db") };
    match &world.settings {
        Database::Sqlite { .. } => vec![file("r0")],
        Database::Postgres { url } => {
            let mut connection = PgConnection::connect(url).await.unwrap();
            let (server, name) = url.rsplit_once('/').unwrap();
            let sql = format!("CREATE DATABASE {name}_restored");
            sqlx::query(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
            vec![file("r0"), Database::Postgres { url: format!("{server}/{name}_restored") }]
        }
    }
}

pub(super) async fn taken_while_writing_and_restored(world: World) {
    let temporary = tempfile::tempdir().unwrap();
    let root = temporary.path();
    let data = data_dir(root);
    let to = root.join("backup.tar");
    let mut agent = Agent::new("a-1");
    let all: Vec<_> = (0..120).map(|n| agent.raise(&format!("Disk {}", n % 40)).1).collect();
    world.feed(all.iter().take(20).cloned()).await;
    let writing = async {
        for chunk in all[20..].chunks(5) {
            world.feed(chunk.to_vec()).await;
        }
    };
    let (made, ()) = tokio::join!(backup(&world.db, &data, &to), writing);
    let manifest = made.unwrap();
    let expected = if world.db.is_postgres() { DUMP } else { SQLITE };
    assert_eq!(manifest.database, expected);
    let paths: Vec<&str> = manifest.members.iter().map(|m| m.path.as_str()).collect();
    assert_eq!(paths, [expected, "ca/ca.key", "ca/ca.pem", "tls/server.pem"]);
    assert_eq!(fs::read_dir(root).unwrap().count(), 2, "nothing is left over");
    assert!(matches!(backup(&world.db, &data, &to).await, Err(BackupError::Exists(_))));
    world.check().await;

    let old = meta::store_id(&world.db).await.unwrap();
    for (n, target) in targets(&world, root).await.into_iter().enumerate() {
        let dir = root.join(format!("r{n}"));
        let restored = restore(&to, &dir, &target, "test").await.unwrap();
        assert_ne!(restored.store, old);
        assert_eq!(fs::read_to_string(dir.join("ca/ca.key")).unwrap(), "secret");
        assert!(!dir.join("something-else").exists());
        let names: Vec<_> = fs::read_dir(&dir).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert!(names.iter().all(|n| !n.to_string_lossy().starts_with('.')), "{names:?}");
        let again = restore(&to, &dir, &target, "test").await;
        assert!(matches!(again, Err(BackupError::NotEmpty(_))));
        let world = World::open(target).await;
        assert_eq!(meta::store_id(&world.db).await.unwrap(), restored.store);
        let recorded =
            audit::latest(&world.db, None, &audit::Filter::default(), 1).await.unwrap().remove(0);
        assert_eq!((recorded.what.as_str(), recorded.who.as_str()), ("restored", "test"));
        world.check().await;
        let before = world.count("SELECT COUNT(*) AS n FROM alarms").await;
        assert!((20..=120).contains(&before), "{before}");
        // The agent sends everything that this store does not know, and it is as before.
        let answers = world.feed(all.clone()).await;
        assert_eq!(answers.last_seq(), 120);
        assert!(answers.acks.iter().all(|a| a.store == restored.store));
        assert_eq!(world.tickets().await.len(), 40);
        world.check().await;
    }
}

pub(super) async fn damage_is_found(world: World) {
    let temporary = tempfile::tempdir().unwrap();
    let root = temporary.path();
    let data = data_dir(root);
    let to = root.join("backup.tar");
    backup(&world.db, &data, &to).await.unwrap();
    let whole = fs::read(&to).unwrap();
    let secret = whole.windows(6).rposition(|w| w == b"secret").unwrap();
    let mut altered = whole.clone();
    altered[secret] ^= 1;
    let cut = whole[..whole.len() / 2].to_vec();
    let empty = Vec::new();
    for (n, bytes) in [altered, cut, empty].into_iter().enumerate() {
        let damaged = root.join(format!("damaged-{n}.tar"));
        fs::write(&damaged, bytes).unwrap();
        let dir = root.join(format!("r{n}"));
        let target = Database::Sqlite { path: dir.join("callhome.db") };
        let error = restore(&damaged, &dir, &target, "test").await.unwrap_err();
        assert!(matches!(error, BackupError::Io { .. }), "{error}");
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 0, "nothing appears");
    }
    if !world.db.is_postgres() {
        let target = Database::Postgres { url: "postgres://nobody@localhost/none".into() };
        let error = restore(&to, &root.join("r9"), &target, "test").await.unwrap_err();
        assert!(matches!(error, BackupError::OtherDatabase), "{error}");
    }
}
