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
        let found = poll.readings.iter().find(|r| r.origin.to_string() == origin);
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

/// `profile read` in JSON: the parts of a device.
async fn parts(device: &str) -> Vec<serde_json::Value> {
    let read = tokio::process::Command::new(env!("CARGO_BIN_EXE_callhome-agent"))
        .args(["profile", "read", device, "--json", "--modules"])
        .output()
        .await
        .unwrap();
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    let lines = String::from_utf8(read.stdout).unwrap();
    let lines = lines.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    lines.filter(|line| line["kind"] == "module").collect()
}

#[tokio::test]
async fn what_devices_are_made_of_is_read_from_recordings_and_from_living_ones() {
    let Some(folder) = folder() else { return };
    // Counted in the recordings by another program: parts, and those of them with a serial number.
    for (name, all, serials) in [
        ("qnap", 1, 1),
        ("fabos", 10, 4),
        ("dell-os10", 9, 8),
        ("ironware", 5, 1),
        ("nxos_n9k-c93180yc-fx3", 31, 15),
        ("iosxe_c9200l", 19, 0),
        ("arubaos-cx_6300_vsf_stack", 1, 1),
        ("sentry4", 0, 0),
    ] {
        let path = folder.join(format!("{name}.snmprec"));
        let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
        let sim = SnmpSim::start(([127, 0, 0, 1], 0).into()).await.unwrap();
        sim.load_snmprec(&text).unwrap();
        let recorded = parts(&path.display().to_string()).await;
        let living = parts(&sim.addr().to_string()).await;
        assert_eq!(recorded, living, "{name}");
        let with = |key: &str| recorded.iter().filter(|part| part[key].is_string()).count();
        println!(
            "{name}: {} parts, {} with a serial number, {} with a model, {} inside another",
            recorded.len(),
            with("serial"),
            with("model"),
            recorded.iter().filter(|part| part["inside"].is_number()).count()
        );
        assert_eq!((recorded.len(), with("serial")), (all, serials), "{name}: {recorded:?}");
        if name == "qnap" {
            assert_eq!(recorded[0]["class"], "chassis");
            assert_eq!(recorded[0]["serial"], "Q157I12451");
            assert_eq!(recorded[0]["model"], "TVS-871U-RP");
        }
    }
}
