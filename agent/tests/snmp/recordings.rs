//! Recordings of real devices: every one is polled to its end with the generic profiles.

use std::collections::BTreeMap;
use std::path::PathBuf;

use callhome_agent::source::Value;
use callhome_shared::heartbeat::SourceState;
use serde::Deserialize;

use crate::data::folder;
use crate::device::{Poll, plain, watch};
use crate::snmp_sim::SnmpSim;

/// What another program reads from a recording.
#[derive(Deserialize)]
struct Expected {
    recording: String,
    cls: String,
    oid: String,
    value: Option<f64>,
}

async fn poll(text: &str, name: &str) -> (Poll, SourceState, String) {
    let sim = SnmpSim::start(([127, 0, 0, 1], 0).into()).await.unwrap();
    let objects = sim.load_snmprec(text).unwrap_or_else(|e| panic!("{name}: {e:#}"));
    assert!(objects > 0);
    let mut plain = plain(sim.addr());
    plain.interval_s = 60;
    plain.timeout_ms = 5000;
    plain.profiles = Some(
        ["entity-sensor", "entity-state", "host-resources", "if-mib", "ucd-snmp"]
            .map(str::to_owned)
            .to_vec(),
    );
    let mut watched = watch(&plain).await;
    let poll = watched.poll().await;
    let (state, detail) = watched.health();
    (poll, state, detail)
}

#[tokio::test]
async fn every_recording_is_polled_to_its_end() {
    let Some(folder) = folder() else { return };
    let mut names: Vec<PathBuf> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "snmprec"))
        .collect();
    names.sort();
    let mut polls: BTreeMap<String, Poll> = BTreeMap::new();
    for path in names {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
        let (poll, state, detail) = poll(&text, &name).await;
        let device = poll.device.clone().unwrap();
        println!(
            "{name}: {} readings {:?}; id {}, {state:?} {detail}",
            poll.readings.len(),
            poll.counts(),
            device.id
        );
        assert_eq!(poll.reachable(), Some(1.0), "{name}");
        assert_ne!(state, SourceState::Failed, "{name}: {detail}");
        polls.insert(name, poll);
    }
    let text = std::fs::read_to_string(folder.join("expected.jsonl")).unwrap();
    compare(&text, &polls);
}

/// Wherever both read the same object of ENTITY-SENSOR-MIB, they read the same value.
fn compare(expected: &str, polls: &BTreeMap<String, Poll>) {
    let (mut same, mut other) = (0, Vec::new());
    for line in expected.lines() {
        let Ok(row) = serde_json::from_str::<Expected>(line) else { continue };
        let (Some(value), Some(poll)) = (row.value, polls.get(&row.recording)) else { continue };
        if row.cls == "state" {
            continue;
        }
        let origin = format!("SNMP {}", row.oid.trim_start_matches('.'));
        let found = poll.readings.iter().find(|r| r.origin == origin);
        let Some(Value::Number(ours)) = found.map(|r| &r.value) else { continue };
        if (ours - value).abs() <= 0.001 * value.abs().max(1.0) {
            same += 1;
        } else {
            other.push(format!("{} {}: {ours} instead of {value}", row.recording, row.oid));
        }
    }
    println!("{same} physical values as expected, {} others: {other:#?}", other.len());
    assert!(same >= 20, "hardly anything was compared");
    assert!(other.len() * 20 <= same, "{other:#?}");
}
