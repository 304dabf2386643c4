//! The whole active set, told again.

use callhome_shared::heartbeat::active_digest;
use callhome_shared::resync::Page;

use super::*;

impl Bench {
    /// Acknowledges everything as this store.
    async fn ack_as(&self, store: Uuid) {
        let (epoch, seq) = {
            let status = self.outbox.status();
            let status = status.borrow();
            (status.epoch, status.lanes[0].last_seq)
        };
        let ack = Ack { store, epoch, lane: Lane::Alarm, seq, rejects: vec![] };
        self.outbox.ack(ack).await.unwrap();
    }

    async fn pages(&self) -> Vec<Page> {
        let envelopes = self.envelopes().await;
        let pages = envelopes.iter().filter(|e| e.kind == Kind::Resync);
        pages.map(|e| serde_json::from_slice(&e.data).unwrap()).collect()
    }

    async fn ask(&self) {
        self.commands.send(Command::Resync { reason: "digest-differs".into() }).await.unwrap();
    }
}

#[tokio::test]
async fn asked_once_answered_once_with_everything_that_stands() {
    let (_directory, path) = place();
    let bench = Bench::start(&path);
    bench.ask().await;
    bench.until(|s| s.counts.resyncs == 1).await;
    let pages = bench.pages().await;
    assert_eq!((pages.len(), pages[0].pages, pages[0].alarms.len()), (1, 1, 0), "nothing stands");
    let lines: Vec<String> =
        (1..=400).map(|n| format!("PSU {n} failed {}", "x".repeat(400))).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    bench.send(batch("log", &lines)).await;
    bench.send(batch("log", &["PSU 7 ok"])).await;
    bench.until(|s| s.counts.cleared == 1).await;
    bench.ask().await;
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!(bench.status.borrow().counts.resyncs, 1, "the first answer has not arrived yet");
    bench.ack_as(Uuid::from_u128(1)).await;
    bench.ask().await;
    bench.ask().await;
    bench.until(|s| s.counts.resyncs == 2).await;
    let pages = bench.pages().await;
    assert!(pages.len() > 1, "{}", pages.len());
    let alarms: Vec<Alarm> = pages.iter().flat_map(|p| p.alarms.clone()).collect();
    assert_eq!(alarms.len(), 399);
    assert!(alarms.iter().all(|a| a.evidence.is_empty() && a.resource != "PSU 7"));
    for (n, page) in (1..).zip(&pages) {
        page.validate().unwrap();
        assert_eq!((page.page, page.snapshot, page.at), (n, pages[0].snapshot, pages[0].at));
        assert_eq!(page.reason, "digest-differs");
    }
    // What the heartbeat says is what the snapshot holds, and up to where.
    let envelopes = bench.envelopes().await;
    let last = envelopes.last().unwrap();
    let status = bench.until(|s| s.active_as_of.is_some_and(|a| a.seq == last.seq)).await;
    assert_eq!(status.active_as_of.unwrap().epoch, last.epoch);
    let told = alarms.iter().map(|a| (a.alarm_id.to_string(), a.severity.as_str()));
    assert_eq!(*status.active_digest, *active_digest(told));
    bench.end().await;
}

#[tokio::test]
async fn another_store_is_told_everything_by_itself_even_after_a_restart() {
    let (_directory, path) = place();
    let (first, second) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let bench = Bench::start(&path);
    bench.send(batch("log", &["PSU 1 failed"])).await;
    bench.until(|s| s.counts.raised == 1).await;
    bench.ack_as(first).await;
    let synced = bench.outbox.status().wait_for(|s| s.synced_store == Some(first)).await.is_ok();
    assert!(synced);
    assert_eq!(bench.status.borrow().counts.resyncs, 0, "it had everything from the beginning");
    bench.ack_as(first).await;
    bench.end().await;

    let bench = Bench::start(&path);
    bench.ack_as(second).await;
    bench.until(|s| s.counts.resyncs == 1).await;
    let pages = bench.pages().await;
    assert_eq!((pages.len(), pages[0].alarms.len(), &*pages[0].reason), (1, 1, "store-changed"));
    {
        let status = bench.outbox.status();
        let status = status.borrow();
        assert_eq!((status.store_changes, status.synced_store), (1, Some(second)));
        assert!(status.store_changed_at.is_some());
    }
    bench.end().await;
    let bench = Bench::start(&path);
    bench.ack_as(second).await;
    bench.send(batch("log", &["PSU 2 failed"])).await;
    bench.until(|s| s.counts.raised == 1).await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(bench.status.borrow().counts.resyncs, 0, "once is enough");
    bench.end().await;
}

#[tokio::test]
async fn the_mark_follows_a_new_epoch() {
    let (_directory, path) = place();
    let bench = Bench::start(&path);
    bench.send(batch("log", &["PSU 1 failed"])).await;
    bench.until(|s| s.counts.raised == 1).await;
    let envelope = bench.envelopes().await.pop().unwrap();
    let reject = callhome_shared::ack::Reject {
        seq: envelope.seq,
        id: envelope.id,
        reason: "duplicate-seq".into(),
        text: String::new(),
    };
    let (store, epoch, lane) = (Uuid::nil(), envelope.epoch, Lane::Alarm);
    bench.outbox.ack(Ack { store, epoch, lane, seq: 0, rejects: vec![reject] }).await.unwrap();
    let status = bench.until(|s| s.active_as_of.is_some_and(|a| a.epoch != epoch)).await;
    let now = bench.outbox.status().borrow().clone();
    let as_of = status.active_as_of.unwrap();
    assert_eq!((as_of.epoch, as_of.seq), (now.epoch, now.lanes[0].last_seq));
    bench.end().await;
}
