//! What real devices say, with secrets in between, goes through the line into a real outbox: nothing
//! that must not leave is in its file.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use callhome_shared::alarm::{Alarm, Device, Transition};
use callhome_shared::envelope::{Kind, Lane};
use callhome_shared::id::AgentId;
use callhome_shared::severity::Severity;
use callhome_shared::time::Time;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::outbox::Outbox;
use crate::redact::{Key, Kind as Pseudonym, Redactor, Settings, builtin_names};
use crate::rule::{Condition, Rule, Template};
use crate::settings::OutboxSettings;
use crate::source::{Batch, Reading, Value};

const SECRETS: &str = include_str!("../redact/secrets.txt");

/// Files below a folder with this ending.
fn files(folder: &Path, ending: &str, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        match path.is_dir() {
            true => files(&path, ending, found),
            false if path.to_string_lossy().ends_with(ending) => found.push(path),
            false => {}
        }
    }
}

/// Lines of the recorded consoles, and the texts of the recorded SNMP devices; each once.
fn recorded() -> Option<Vec<String>> {
    let Some(root) = std::env::var_os("CALLHOME_DATA").map(PathBuf::from) else {
        eprintln!("skipped: CALLHOME_DATA does not name the folder of recordings");
        return None;
    };
    let (mut raw, mut snmp) = (Vec::new(), Vec::new());
    files(&root.join("console"), ".raw", &mut raw);
    files(&root.join("snmp"), ".snmprec", &mut snmp);
    if raw.is_empty() || snmp.is_empty() {
        eprintln!("skipped: no recordings in {}", root.display());
        return None;
    }
    let read = |path: &PathBuf| String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned();
    let mut lines: BTreeSet<String> = BTreeSet::new();
    for path in &raw {
        lines.extend(read(path).lines().map(|line| line.trim_end().to_owned()));
    }
    for path in &snmp {
        let text = read(path);
        let texts = text.lines().filter_map(|line| line.split_once("|4|"));
        lines.extend(texts.map(|(_, value)| value.to_owned()));
    }
    lines.remove("");
    // Every one takes minutes without optimisation; those with an address always.
    let step = if std::env::var_os("CALLHOME_TEST_REDACT_ALL").is_some() { 1 } else { 8 };
    let chosen = lines
        .into_iter()
        .enumerate()
        .filter(|(i, line)| i % step == 0 || !addresses(std::slice::from_ref(line)).is_empty());
    Some(chosen.map(|(_, line)| line).collect())
}

/// Addresses in the lines, found in another way than the redactor's.
fn addresses(lines: &[String]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for word in
        lines.iter().flat_map(|l| l.split(|c: char| c.is_whitespace() || ",()[]/%=\"'".contains(c)))
    {
        let word = word.trim_matches(['.', ':', '-']);
        let host = word.rsplit_once(':').map_or(word, |(host, _)| host);
        for word in [word, host] {
            let is_mac = word.len() == 17
                && word.split([':', '-']).count() == 6
                && word
                    .split([':', '-'])
                    .all(|p| p.len() == 2 && u8::from_str_radix(p, 16).is_ok());
            if is_mac || word.parse::<IpAddr>().is_ok() {
                found.insert(word.to_owned());
            }
        }
    }
    found
}

/// Every line raises: its text, its first and its last word are told.
fn rule() -> Arc<Rule> {
    Arc::new(Rule {
        pack: "config".into(),
        version: String::new(),
        id: "all".into(),
        metric: "line".into(),
        condition: Condition::Pattern {
            raise: regex::Regex::new(r"^\s*(?P<first>\S+)(?:.*?(?P<last>\S+))?\s*$")
                .unwrap()
                .into(),
            clear: None,
            severity: Severity::Warning,
        },
        damping: None,
        template: Template {
            kind: "said".into(),
            resource: "${last}".into(),
            qualifier: "${first}".into(),
            proposed_repair: Some("see ${last} and ${first}".into()),
            ..Template::default()
        },
    })
}

/// Runs the lines through; gives the outbox file and the alarms in it.
async fn stored(lines: &[String], redactor: Redactor) -> (Vec<u8>, Vec<Alarm>) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("outbox.redb");
    let settings = OutboxSettings { max_bytes: 256 * 1024 * 1024, preallocate_bytes: 0 };
    let agent = AgentId::new("agent-1").unwrap();
    let (outbox, loaded) = Outbox::open(&path, &agent, &settings).unwrap();
    let (outbox, thread) = crate::outbox::spawn(outbox).unwrap();
    let name = "zq-array-77";
    let device = Arc::new(Device { id: name.into(), name: name.into(), ..Device::default() });
    let (batches, receiver) = mpsc::channel(BATCHES);
    let (_commands, asked) = mpsc::channel(COMMANDS);
    let (publish, status) = watch::channel(Status::default());
    let (source, kind) = ("log".into(), SourceKind::Logfile);
    let parts = Parts {
        watched: vec![Watched { source, kind, device: device.clone(), rules: vec![rule()] }],
        devices: Vec::new(),
        patience: std::time::Duration::from_secs(60),
        windows: Vec::new(),
        host: device.clone(),
        redactor: Arc::new(redactor),
        loaded,
        outbox: outbox.clone(),
        rest: super::Rest::new(receiver),
        commands: asked,
        probes: crate::probe::Probes::off(),
        status: publish,
    };
    let line = tokio::spawn(run(parts, CancellationToken::new()));
    for chunk in lines.chunks(100) {
        let reading = |text: &String| Reading {
            metric: "line".into(),
            resource: String::new(),
            value: Value::Line { text: text.clone(), truncated: false },
            unit: "".into(),
            origin: "/var/log/10.99.98.97.log".into(),
            labels: Vec::new(),
            occurred_at: None,
            observed_at: Time::now(),
        };
        batches
            .send(Batch {
                source: "log".into(),
                kind: SourceKind::Logfile,
                device: device.clone(),
                rules: None,
                readings: chunk.iter().map(reading).collect(),
                position: None,
                gaps: Vec::new(),
                heard_until: None,
                stored: None,
                inventory: None,
            })
            .await
            .unwrap();
    }
    drop(batches);
    line.await.unwrap().unwrap();
    let counts = status.borrow().counts;
    assert_eq!((counts.readings, counts.alarms_refused), (lines.len() as u64, 0));
    let page = outbox.pending(Lane::Alarm, 0, usize::MAX, usize::MAX).await.unwrap();
    let alarms: Vec<Alarm> = page
        .envelopes
        .iter()
        .filter(|e| e.kind == Kind::Alarm)
        .map(|e| serde_json::from_slice(&e.data).unwrap())
        .collect();
    drop(outbox);
    tokio::task::spawn_blocking(move || thread.join().unwrap()).await.unwrap();
    (std::fs::read(&path).unwrap(), alarms)
}

/// Which of the words are in the file, as they are or as JSON writes them.
fn left<'w>(file: &[u8], words: &'w BTreeSet<String>) -> Vec<&'w str> {
    let text = String::from_utf8_lossy(file);
    let is_left = |word: &&String| {
        let json = serde_json::to_string(word).unwrap();
        text.contains(word.as_str()) || text.contains(json.trim_matches('"'))
    };
    words.iter().filter(is_left).map(String::as_str).collect()
}

#[tokio::test]
async fn secrets_among_real_recordings_never_reach_the_outbox() {
    let Some(mut lines) = recorded() else { return };
    let of_recordings = lines.len();
    let mut words = addresses(&lines);
    let of_addresses = words.len();
    // A key as a console shows it, line by line, and every known secret, spread among the recordings.
    let key = rcgen::KeyPair::generate().unwrap().serialize_pem();
    let body: Vec<String> =
        key.lines().filter(|l| !l.starts_with('-')).map(str::to_owned).collect();
    words.extend(body);
    let mut planted: Vec<String> = Vec::new();
    for line in SECRETS.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        words.extend(line.split('§').skip(1).step_by(2).map(str::to_owned));
        planted.push(line.replace('§', ""));
    }
    let step = lines.len() / (planted.len() + 1);
    for (i, line) in planted.iter().enumerate().rev() {
        lines.insert(i * step, line.clone());
    }
    lines.extend(key.lines().map(str::to_owned));
    words.insert("zq-array-77".into());
    words.insert("10.99.98.97".into());

    // Without redaction they are all there: the search can find them.
    let nothing = Settings {
        disabled: builtin_names().into_iter().map(str::to_owned).collect(),
        ..Settings::default()
    };
    let (file, plain) = stored(&lines, Redactor::new(nothing, Key::new([1; 32]))).await;
    let found = left(&file, &words).len();
    assert!(found * 10 >= words.len() * 9, "the search finds only {found} of {}", words.len());

    let settings = Settings {
        pseudonyms: Pseudonym::ALL.to_vec(),
        domains: vec!["example.org".into()],
        devices: vec!["zq-array-77".into()],
        ..Settings::default()
    };
    let redactor = Redactor::new(settings, Key::new([1; 32]));
    let (file, alarms) = stored(&lines, redactor).await;
    let survivors = left(&file, &words);
    println!(
        "{of_recordings} recorded lines with {of_addresses} addresses, {} planted lines: {} words looked for, \
         {found} of them in the outbox without redaction, {} with it; {} alarms instead of {}",
        planted.len(),
        words.len(),
        survivors.len(),
        alarms.len(),
        plain.len()
    );
    assert!(survivors.is_empty(), "left in the outbox: {survivors:?}");
    assert!(of_addresses >= 8 && alarms.iter().all(|a| a.transition != Transition::Cleared));
    // Redaction does not fold faults into one: as many lives as without it.
    let lives =
        |alarms: &[Alarm]| alarms.iter().filter(|a| a.transition == Transition::Raised).count();
    assert!(lives(&alarms) * 100 >= lives(&plain) * 99, "{} {}", lives(&alarms), lives(&plain));
}
