//! Crashes, upgrades, time.

use std::time::Duration;

use callhome_shared::time::Time;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::World;
use super::agent::Agent;
use crate::flow::intake;
use crate::flow::sweep;
use crate::store::{Db, StoreError, agents};

/// The intake is dropped in the middle of its work again and again, whatever it was doing; the
/// agent sends everything from its first unacknowledged envelope.
pub(super) async fn killed_anywhere_and_sent_again(world: World) {
    let mut world = world;
    let mut agent = Agent::new("a-1");
    let all: Vec<_> = (0..60)
        .flat_map(|n| {
            let resource = format!("Disk {}", n % 20);
            let (id, raise) = agent.raise(&resource);
            [raise, agent.clear(id, &resource)]
        })
        .collect();
    let mut acked = 0;
    for round in 0..25_u64 {
        let (tx, rx) = mpsc::channel(all.len());
        for delivery in all.iter().skip(acked).take(40) {
            tx.send(delivery.clone()).await.unwrap();
        }
        let (downward, mut said) = mpsc::channel(200);
        let outlets = world.outlets(downward);
        let running =
            tokio::spawn(intake::run(world.db.clone(), rx, outlets, CancellationToken::new()));
        tokio::time::sleep(Duration::from_micros(400 * round * (round % 7))).await;
        running.abort();
        let _ = running.await;
        while let Ok(message) = said.try_recv() {
            if message.down == callhome_shared::topic::Down::Ack {
                let ack: callhome_shared::ack::Ack =
                    serde_json::from_slice(&message.payload).unwrap();
                acked = acked.max(usize::try_from(ack.seq).unwrap());
            }
        }
        if round % 8 == 7 {
            world = world.reopen().await;
        }
        world.check().await;
    }
    let answers = world.feed(all.into_iter().skip(acked.saturating_sub(3))).await;
    assert_eq!(answers.last_seq(), 120);
    assert_eq!(world.tickets().await.len(), 20);
    assert_eq!(world.count("SELECT COUNT(*) AS n FROM alarms").await, 60);
    assert_eq!(world.count("SELECT COUNT(*) AS n FROM envelopes").await, 120);
    world.check().await;
}

/// The database may go away at any moment, also between the opening and the intake's first look.
pub(super) async fn a_database_that_is_away_at_the_start_is_waited_for(world: World) {
    world.db.execute("ALTER TABLE meta RENAME TO away", vec![]).await.unwrap();
    let (tx, rx) = mpsc::channel(4);
    let (downward, mut said) = mpsc::channel(8);
    let outlets = world.outlets(downward);
    let mut running =
        tokio::spawn(intake::run(world.db.clone(), rx, outlets, CancellationToken::new()));
    let ended = tokio::time::timeout(Duration::from_millis(300), &mut running).await;
    assert!(ended.is_err(), "the intake ended: {ended:?}");
    world.db.execute("ALTER TABLE away RENAME TO meta", vec![]).await.unwrap();
    let (_, raise) = Agent::new("a-1").raise("PSU 1");
    tx.send(raise).await.unwrap();
    let answer = tokio::time::timeout(Duration::from_secs(60), said.recv()).await;
    assert!(answer.unwrap().is_some(), "it is acknowledged");
    drop(tx);
    running.await.unwrap().unwrap();
    world.ticket().await;

    // And who is to stop meanwhile stops.
    world.db.execute("ALTER TABLE meta RENAME TO away", vec![]).await.unwrap();
    let (_tx, rx) = mpsc::channel(4);
    let (downward, _said) = mpsc::channel(8);
    let outlets = world.outlets(downward);
    let stop = CancellationToken::new();
    let running = tokio::spawn(intake::run(world.db.clone(), rx, outlets, stop.clone()));
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(60), running).await.unwrap().unwrap().unwrap();
    world.db.execute("ALTER TABLE away RENAME TO meta", vec![]).await.unwrap();
}

pub(super) async fn a_newer_schema_is_refused(world: World) {
    let store = crate::store::meta::store_id(&world.db).await.unwrap();
    let world = world.reopen().await;
    assert_eq!(crate::store::meta::store_id(&world.db).await.unwrap(), store);
    if let Some(file) = world.file() {
        use std::os::unix::fs::MetadataExt;
        assert_eq!(std::fs::metadata(file).unwrap().mode() & 0o777, 0o600);
    }
    let sql = "INSERT INTO schema_migrations (number, name, sha256, applied_at) VALUES (99, 'later', '', 0)";
    world.db.execute(sql, vec![]).await.unwrap();
    let error = Db::open(&world.settings).await.err().unwrap();
    assert!(matches!(&error, StoreError::Schema(text) if text.contains("newer")), "{error}");
}

pub(super) async fn old_rows_go(world: World) {
    let mut agent = Agent::new("a-1");
    let (id, raise) = agent.raise("PSU 1");
    world.feed([raise.clone(), agent.beat(true, 0)]).await;
    agent.seq += 1;
    let ahead = agent.clear(id, "PSU 1");
    world.feed([ahead]).await;
    let later = Time::now().plus_ms(100 * 24 * 3600 * 1000);
    sweep::sweep(&world.db, &world.events, &world.metrics, later).await.unwrap();
    let left = world.count("SELECT COUNT(*) AS n FROM envelopes").await;
    assert_eq!(left, 1, "what is ahead of a gap stays");
    assert!(!agents::get(&world.db, "a-1").await.unwrap().unwrap().online, "silent");
    // Sent again after all that time: applied again, which changes nothing.
    let before = world.ticket().await;
    assert_eq!(world.feed([raise]).await.last_seq(), 1);
    assert_eq!(world.ticket().await, before);
    world.check().await;
}
