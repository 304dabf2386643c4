//! The record: appended by many at once, and what verification finds.

use callhome_shared::time::Time;
use serde_json::json;
use tokio::task::JoinSet;

use super::World;
use crate::audit::{Break, Chain, Deed, Entry};
use crate::store::certificates::{self, Certificate};
use crate::store::{Db, audit};

async fn breaks(db: &Db) -> Vec<Break> {
    let (head, hash) = audit::head(db).await.unwrap();
    let mut chain = Chain::new(Vec::new());
    for row in audit::after(db, 0, 10_000).await.unwrap() {
        chain.follow(&row);
    }
    chain.end((head, &hash))
}

fn entry(n: i64) -> Entry {
    let detail = json!({ "hours": n, "site": "上海", "nothing": null });
    Entry::new(Time(n), "cli:li", Deed::TokenMade, &format!("a-{n}"), detail)
}

pub(super) async fn many_at_once_make_one_chain_and_tampering_is_found(world: World) {
    let mut all = JoinSet::new();
    for n in 0..30 {
        let db = world.db.clone();
        all.spawn(async move { audit::note(&db, &entry(n)).await.unwrap().seq });
    }
    let mut numbers = all.join_all().await;
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=30).collect::<Vec<_>>());
    assert_eq!(breaks(&world.db).await, []);

    // An entry lives and dies with its deed.
    let mut tx = world.db.begin().await.unwrap();
    audit::append(&mut tx, &entry(31)).await.unwrap();
    tx.rollback().await.unwrap();
    assert_eq!(audit::head(&world.db).await.unwrap().0, 30);
    let about = audit::latest(&world.db, None, Some("a-7"), 10).await.unwrap();
    assert_eq!(about.len(), 1);
    assert_eq!(audit::latest(&world.db, Some(5), None, 10).await.unwrap().len(), 4);

    let execute = |sql: &'static str| world.db.execute(sql, Vec::new());
    let before = audit::after(&world.db, 11, 1).await.unwrap().remove(0);
    execute("UPDATE audit SET who = 'cli:wang' WHERE seq = 12").await.unwrap();
    assert_eq!(breaks(&world.db).await, [Break::Altered { seq: 12 }]);
    execute("UPDATE audit SET who = 'cli:li' WHERE seq = 12").await.unwrap();
    assert_eq!(audit::after(&world.db, 11, 1).await.unwrap(), [before]);
    assert_eq!(breaks(&world.db).await, []);

    // Exchanged: 20 and 21 change places.
    for sql in [
        "UPDATE audit SET seq = -1 WHERE seq = 20",
        "UPDATE audit SET seq = 20 WHERE seq = 21",
        "UPDATE audit SET seq = 21 WHERE seq = -1",
    ] {
        execute(sql).await.unwrap();
    }
    assert_eq!(breaks(&world.db).await[0], Break::Altered { seq: 20 });
    for sql in [
        "UPDATE audit SET seq = -1 WHERE seq = 20",
        "UPDATE audit SET seq = 20 WHERE seq = 21",
        "UPDATE audit SET seq = 21 WHERE seq = -1",
    ] {
        execute(sql).await.unwrap();
    }
    execute("DELETE FROM audit WHERE seq = 29 OR seq = 30").await.unwrap();
    assert_eq!(breaks(&world.db).await, [Break::WrongEnd { found: 28, head: 30 }]);
    execute("DELETE FROM audit WHERE seq = 5").await.unwrap();
    assert_eq!(breaks(&world.db).await[0], Break::Missing { from: 5, to: 5 });
}

pub(super) async fn the_first_use_supersedes(world: World) {
    let mut tx = world.db.begin().await.unwrap();
    for (serial, issued_at) in [("0a", 100), ("0b", 200), ("0c", 300)] {
        let certificate = Certificate {
            serial: serial.into(),
            agent_id: "a-1".into(),
            fingerprint: format!("sha256:{serial}"),
            issued_at: Time(issued_at),
            not_after: Time(5000),
            issuer: Some("sha256:ca".into()),
            ..Certificate::default()
        };
        certificates::insert(&mut tx, &certificate).await.unwrap();
    }
    let used = certificates::note_first_use(&mut tx, "0b", Time(400)).await.unwrap();
    assert_eq!(used, Some(vec!["0a".to_owned()]), "those before it, not the one after");
    assert_eq!(certificates::note_first_use(&mut tx, "0b", Time(500)).await.unwrap(), None);
    assert_eq!(certificates::note_first_use(&mut tx, "ff", Time(500)).await.unwrap(), None);
    assert!(certificates::note_quarantine(&mut tx, "0b", Time(6000)).await.unwrap());
    assert!(!certificates::note_quarantine(&mut tx, "0b", Time(6001)).await.unwrap());
    tx.commit().await.unwrap();
    let old = certificates::get(&world.db, "0a").await.unwrap().unwrap();
    assert_eq!((old.superseded_at, old.first_used_at), (Some(Time(400)), None));
    let living = certificates::living_of_issuer(&world.db, "sha256:ca", Time(1000)).await;
    assert_eq!(living.unwrap(), 2);
}
