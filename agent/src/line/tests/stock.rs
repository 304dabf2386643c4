//! What devices are made of: told when it says something new, over restarts, too.

use callhome_shared::inventory::{Inventory, Module};

use super::*;

/// A device that a poll has read, with a module of this serial number.
fn read(serial: &str, at: i64) -> Batch {
    let module =
        Module { index: 1, name: "PSU 1".into(), serial: Some(serial.into()), ..Module::default() };
    let inventory = Inventory {
        at: Time(at),
        device: (*device()).clone(),
        read_by: "snmp".into(),
        modules: Some(vec![module]),
        ..Inventory::default()
    };
    Batch { kind: SourceKind::Snmp, inventory: Some(Box::new(inventory)), ..batch("switch", &[]) }
}

async fn told(bench: &Bench, device: &str) -> Vec<Inventory> {
    let waits = bench.outbox.pending(Lane::Bulk, 0, usize::MAX, usize::MAX).await.unwrap();
    assert!(waits.envelopes.iter().all(|e| e.kind == Kind::Inventory));
    let all = waits.envelopes.iter().map(|e| serde_json::from_slice(&e.data).unwrap());
    all.filter(|told: &Inventory| told.device.id == device).collect()
}

fn serials(told: &[Inventory]) -> Vec<&str> {
    let modules = told.iter().map(|one| one.modules.as_ref().unwrap());
    modules.map(|modules| modules[0].serial.as_deref().unwrap()).collect()
}

#[tokio::test]
async fn what_a_device_is_made_of_is_told_when_it_changes_and_not_again_after_a_restart() {
    let (_directory, path) = place();
    let bench = Bench::start(&path);
    // Twice in one transaction or in two: once is enough.
    for (serial, at) in [("A", 1), ("A", 2), ("B", 3), ("B", 4), ("A", 5)] {
        bench.send(read(serial, at)).await;
    }
    bench.until(|s| s.counts.batches == 5).await;
    assert_eq!(serials(&told(&bench, "d").await), ["A", "B", "A"]);
    assert_eq!(bench.until(|s| s.counts.inventories == 4).await.counts.batches, 5);
    bench.end().await;
    let bench = Bench::start(&path);
    bench.send(read("A", 6)).await;
    bench.until(|s| s.counts.batches == 1).await;
    assert_eq!(serials(&told(&bench, "d").await), ["A", "B", "A"], "known from before");
    bench.send(read("C", 7)).await;
    bench.until(|s| s.counts.batches == 2).await;
    assert_eq!(serials(&told(&bench, "d").await), ["A", "B", "A", "C"]);
    bench.end().await;
}

#[tokio::test]
async fn of_a_device_that_no_poll_reads_the_configuration_is_told() {
    let (_directory, path) = place();
    let bench = Bench::start(&path);
    bench.until(|s| s.counts.inventories == 1).await;
    let said = told(&bench, "array-1").await;
    assert_eq!((said[0].read_by.as_str(), &said[0].modules), ("configuration", &None));
    assert_eq!((said.len(), &said[0].device), (1, &*shelved()));
    bench.end().await;
    let bench = Bench::start(&path);
    // A transaction later it would have been told.
    bench.send(batch("log", &["PSU 1 failed"])).await;
    let status = bench.until(|s| s.counts.raised == 1).await;
    assert_eq!(status.counts.inventories, 0, "known from before");
    bench.end().await;
}
