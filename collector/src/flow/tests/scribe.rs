//! Entries of the record that are written together.

use std::time::Instant;

use callhome_shared::time::Time;
use serde_json::json;
use tokio::task::JoinSet;

use super::World;
use crate::audit::{Deed, Entry};
use crate::flow::record;
use crate::flow::scribe::Scribe;
use crate::store::audit;

const WRITERS: i64 = 64;
const EACH: i64 = 20;

fn entry(n: i64) -> Entry {
    Entry::new(Time(n), "user:li", Deed::EvidenceRead, &format!("T-{n}"), json!({ "n": n }))
}

pub(super) async fn many_at_once_are_a_whole_chain_and_nobody_waits_for_each(world: World) {
    let scribe = Scribe::new(world.db.clone());
    let began = Instant::now();
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let scribe = scribe.clone();
        writers.spawn(async move {
            for n in 0..EACH {
                scribe.note(entry(writer * EACH + n)).await.unwrap();
            }
        });
    }
    // Deeds of the database are recorded beside it.
    for n in 0..20 {
        let deed = Entry::new(Time(n), "cli:root", Deed::UserAdded, "li", json!({}));
        audit::note(&world.db, &deed).await.unwrap();
    }
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
    let together = began.elapsed();
    let count = WRITERS * EACH;
    println!("{count} entries by {WRITERS} at once: {together:?}, {:?} each", together / 1280);
    let found = record::verify(&world.db, Vec::new()).await.unwrap();
    assert_eq!((found.breaks.len(), found.rows), (0, u64::try_from(count + 20).unwrap()));
    let began = Instant::now();
    for n in 0..100 {
        audit::note(&world.db, &entry(n)).await.unwrap();
    }
    println!("100 entries one by one: {:?}, {:?} each", began.elapsed(), began.elapsed() / 100);
    // One that nobody waits for is written, too.
    drop(tokio::time::timeout(std::time::Duration::ZERO, scribe.note(entry(9999))).await);
    scribe.note(entry(10_000)).await.unwrap();
    let sql = "SELECT COUNT(*) AS n FROM audit WHERE subject IN ('T-9999', 'T-10000')";
    while world.count(sql).await < 2 {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    // An altered row is named.
    let row = "UPDATE audit SET subject = 'T-x' WHERE seq = 700";
    world.db.execute(row, vec![]).await.unwrap();
    world.db.execute("DELETE FROM audit WHERE seq = 800", vec![]).await.unwrap();
    let found = record::verify(&world.db, Vec::new()).await.unwrap();
    let told: Vec<String> = found.breaks.iter().map(ToString::to_string).collect();
    assert!(told[0].contains("row 700 was altered"), "{told:?}");
    assert!(told[1].contains("rows 800 to 800 are missing"), "{told:?}");
}
