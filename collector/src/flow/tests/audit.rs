//! The record: appended by many at once, and what verification finds.

use std::sync::Arc;
use std::time::Duration;

use callhome_shared::time::Time;
use serde_json::json;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::World;
use crate::audit::{Break, Chain, Deed, Entry};
use crate::flow::record::Verifier;
use crate::metrics::Metrics;
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
    let all = audit::Filter::default();
    assert_eq!(audit::latest(&world.db, Some(5), &all, 10).await.unwrap().len(), 4);

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

async fn rows_of(world: &World, filter: audit::Filter) -> Vec<i64> {
    let latest = audit::latest(&world.db, None, &filter, 100).await.unwrap();
    let mut numbers: Vec<i64> = latest.iter().map(|row| row.seq).collect();
    numbers.reverse();
    let forward = audit::between(&world.db, (0, i64::MAX), &filter, 100).await.unwrap();
    assert_eq!(forward.iter().map(|row| row.seq).collect::<Vec<_>>(), numbers);
    numbers
}

pub(super) async fn the_record_is_filtered(world: World) {
    for (at, who, deed, subject) in [
        (10, "cli:li", Deed::TokenMade, "a-1"),
        (20, "agent:a-1", Deed::Enrolled, "ffee"),
        (30, "user:li", Deed::PasswordSet, "li"),
        (40, "collector", Deed::ConfigurationLoaded, "collector.toml"),
        (50, "cli:wang", Deed::Revoked, "a-2"),
    ] {
        let entry = Entry::new(Time(at), who, deed, subject, json!({}));
        audit::note(&world.db, &entry).await.unwrap();
    }
    let all = audit::Filter::default;
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(rows_of(&world, all()).await, [1, 2, 3, 4, 5]);
    assert_eq!(rows_of(&world, audit::Filter { agent: text("a-1"), ..all() }).await, [1, 2]);
    assert_eq!(rows_of(&world, audit::Filter::about("a-1")).await, [1]);
    assert_eq!(rows_of(&world, audit::Filter { who: text("li"), ..all() }).await, [1, 3]);
    assert_eq!(rows_of(&world, audit::Filter { who: text("user:li"), ..all() }).await, [3]);
    assert_eq!(rows_of(&world, audit::Filter { who: text("collector"), ..all() }).await, [4]);
    let token = audit::Filter { what: text("token-made"), ..all() };
    assert_eq!(rows_of(&world, token).await, [1]);
    let between = audit::Filter { from: Some(Time(20)), to: Some(Time(40)), ..all() };
    assert_eq!(rows_of(&world, between.clone()).await, [2, 3]);
    let both = audit::Filter { agent: text("a-1"), who: text("agent:a-1"), ..between };
    assert_eq!(rows_of(&world, both).await, [2]);
    let trick = audit::Filter { who: text("x' OR '1'='1"), ..all() };
    assert_eq!(rows_of(&world, trick).await, Vec::<i64>::new());
}

/// The running collector finds a record that was written anew as a whole, too.
pub(super) async fn the_record_is_looked_along(world: World) {
    for n in 0..5 {
        audit::note(&world.db, &entry(n)).await.unwrap();
    }
    let metrics = Arc::new(Metrics::new());
    let verifier = Verifier::new(world.db.clone(), metrics.clone());
    let stop = CancellationToken::new();
    let running = tokio::spawn(verifier.clone().run(stop.clone()));
    let minute = Duration::from_secs(60);
    let whole = verifier.look(minute).await.unwrap();
    assert_eq!((whole.rows, whole.head, whole.good_up_to(), &*whole.breaks), (5, 5, 5, &[][..]));
    let execute = |sql: &'static str| world.db.execute(sql, Vec::new());
    execute("UPDATE audit SET detail = '{}' WHERE seq = 4").await.unwrap();
    let broken = verifier.look(minute).await.unwrap();
    assert_eq!((broken.good_up_to(), &*broken.breaks), (3, &[Break::Altered { seq: 4 }][..]));
    assert!(metrics.text().contains("record_good_rows 3"), "{}", metrics.text());
    assert!(metrics.text().contains("record_breaks 1"), "{}", metrics.text());

    // Written anew as a whole: every hash fits, but not the one that was good before.
    execute("DELETE FROM audit").await.unwrap();
    execute("UPDATE audit_head SET seq = 0, hash = '0000000000000000000000000000000000000000000000000000000000000000'").await.unwrap();
    for n in 0..6 {
        audit::note(&world.db, &entry(n + 100)).await.unwrap();
    }
    assert_eq!(breaks(&world.db).await, [], "the chain alone cannot tell");
    let forged = verifier.look(minute).await.unwrap();
    assert_eq!((forged.good_up_to(), &*forged.breaks), (4, &[Break::NotTheNoted { seq: 5 }][..]));
    assert_eq!(verifier.last().unwrap(), forged);
    stop.cancel();
    running.await.unwrap();
}
