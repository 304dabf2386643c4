//! What another program reads from the recordings: `expected.jsonl`.

use std::collections::BTreeMap;
use std::path::Path;

use callhome_agent::profile::oid::Oid;
use callhome_agent::workshop::Verdict;
use serde::Deserialize;

#[derive(Deserialize)]
struct Row {
    recording: String,
    cls: String,
    oid: String,
    label: String,
    value: Option<f64>,
    #[serde(default)]
    states: BTreeMap<String, (u8, String)>,
    #[serde(default)]
    severity: Option<String>,
}

/// One sensor.
pub struct Sensor {
    /// `state` or a physical quantity.
    pub class: String,
    /// Where its value stands.
    pub oid: Oid,
    /// Its name there.
    pub label: String,
    /// Its value, scaled; for a state the raw one.
    pub value: Option<f64>,
    /// What a state's value means there.
    pub verdict: Option<Verdict>,
    /// What a state's value is called there.
    pub meaning: Option<String>,
    /// Its other values that mean a fault.
    pub faults: Vec<Fault>,
}

/// A value that means a fault.
pub struct Fault {
    /// As a number.
    pub raw: String,
    /// What it is called: what a device says that answers in words.
    pub meaning: String,
    /// How bad it is there.
    pub class: Verdict,
}

/// By recording.
pub fn load(folder: &Path) -> BTreeMap<String, Vec<Sensor>> {
    let text = std::fs::read_to_string(folder.join("expected.jsonl")).unwrap();
    let mut all: BTreeMap<String, Vec<Sensor>> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let row: Row = serde_json::from_str(line).unwrap();
        let now = row.value.map(|value| value.to_string());
        let faults = row.states.iter().filter_map(|(raw, (class, meaning))| {
            let class = match class {
                1 => Verdict::Warning,
                2 => Verdict::Critical,
                _ => return None,
            };
            let fault = Fault { raw: raw.clone(), meaning: meaning.clone(), class };
            (Some(raw) != now.as_ref()).then_some(fault)
        });
        let verdict = row.severity.as_deref().map(|word| match word {
            "ok" => Verdict::Ok,
            "warning" => Verdict::Warning,
            "critical" => Verdict::Critical,
            _ => Verdict::Unknown,
        });
        let sensor = Sensor {
            oid: Oid::parse(&row.oid).unwrap(),
            label: row.label.clone(),
            value: row.value,
            verdict,
            faults: faults.collect(),
            meaning: now.as_ref().and_then(|now| Some(row.states.get(now)?.1.clone())),
            class: row.cls.clone(),
        };
        all.entry(row.recording.clone()).or_default().push(sensor);
    }
    all
}
