//! Packing, the shelf and its limits, with real files.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use callhome_shared::bundle::{Redacted, Subject, hex};
use callhome_shared::time::Time;
use sha2::{Digest as _, Sha256};

use super::frames::{Begin, FileHead, Frame, MAX_FRAME};
use super::*;

const MIB: u64 = 1024 * 1024;

fn settings(max_mib: u64, budget_mib: u64) -> Settings {
    let keep = Duration::from_secs(3600);
    let limits = Limits { max_bytes: max_mib * MIB, budget_bytes: budget_mib * MIB, keep };
    Settings { limits, ..Settings::default() }
}

fn open(dir: &Path, settings: Settings) -> Bundles {
    Bundles::open(dir, settings, Arc::new(Redactor::default()))
}

fn li() -> Person {
    Person { uid: Some(1001), user: "li".into(), login: None }
}

fn begin() -> Frame {
    let subject = Subject { ticket: Some("T-000123".into()), alarm_id: None };
    Frame::Begin(Begin { subject, note: Some("see password=Hunter2x there".into()) })
}

fn file(name: &str, binary: bool, bytes: &[u8]) -> Vec<Frame> {
    let mut frames = vec![Frame::File(FileHead { name: name.into(), binary, modified_at: None })];
    frames.extend(bytes.chunks(MAX_FRAME).map(|c| Frame::Data(Bytes::copy_from_slice(c))));
    frames.push(Frame::EndOfFile);
    frames
}

/// Sends frames until somebody refuses them.
async fn make(bundles: &Bundles, frames: Vec<Frame>) -> Result<Record, ShelfError> {
    let making = bundles.create(li())?;
    for frame in frames {
        if making.body.send(frame.encode()).await.is_err() {
            break;
        }
    }
    drop(making.body);
    making.made.await.unwrap()
}

async fn made(bundles: &Bundles, files: Vec<Frame>) -> Result<Record, ShelfError> {
    make(bundles, [vec![begin()], files, vec![Frame::End]].concat()).await
}

async fn read(bundles: &Bundles, id: Uuid, name: &str) -> Vec<u8> {
    let (mut pieces, mut all) = (bundles.file(id, name).unwrap(), Vec::new());
    while let Some(piece) = pieces.recv().await {
        all.extend_from_slice(&piece.unwrap());
    }
    all
}

/// Bytes that no compressor makes smaller.
fn noise(len: usize) -> Vec<u8> {
    use rand::{RngCore as _, SeedableRng as _};
    let mut bytes = vec![0; len];
    rand::rngs::SmallRng::seed_from_u64(7).fill_bytes(&mut bytes);
    bytes
}

#[tokio::test]
async fn what_is_shown_is_what_would_leave_and_nothing_secret_is_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let bundles = open(dir.path(), settings(10, 20));
    let log = "fan 3 failed\nadmin password Hunter2x ok\n".repeat(500);
    let core = noise(300_000);
    let files = [
        file("messages", false, log.as_bytes()),
        file("core", true, &core),
        file("../../etc/messages", false, b"again"),
        file("messages", false, b"and again"),
        file("manifest.json", false, b"{}"),
        file("empty", false, b""),
    ];
    let record = made(&bundles, files.concat()).await.unwrap();
    assert_eq!((record.state, record.files), (State::Held, 6));
    assert!(!record.note.as_ref().unwrap().contains("Hunter2x"), "{:?}", record.note);

    let archive = std::fs::read(bundles.shelf().archive(record.id)).unwrap();
    assert_eq!(archive.len() as u64, record.size);
    assert_eq!(hex(&Sha256::digest(&archive)), record.sha256);
    let contents = bundles.contents(record.id).unwrap();
    let names: Vec<&str> = contents.iter().map(|c| c.name.as_str()).collect();
    let expected =
        ["messages", "core", ".._.._etc_messages", "messages-2", "manifest-2.json", "empty"];
    assert_eq!(names, expected);
    assert_eq!(contents[0].redacted, Redacted::Replaced(500));
    assert_eq!(contents[1].redacted, Redacted::Binary);

    let told = String::from_utf8(read(&bundles, record.id, "messages").await).unwrap();
    assert_eq!(told.len() as u64, contents[0].size);
    assert!(
        told.starts_with("fan 3 failed\nadmin password [redacted:") && !told.contains("Hunter2x")
    );
    assert_eq!(read(&bundles, record.id, "core").await, core);
    let manifest = read(&bundles, record.id, MANIFEST).await;
    let manifest: Manifest = serde_json::from_slice(&manifest).unwrap();
    assert_eq!((manifest.bundle, manifest.files.len()), (record.id, 6));
    assert_eq!(manifest.files[0].rules.iter().map(|rule| rule.count).sum::<u64>(), 500);
    assert!(bundles.file(record.id, "/etc/passwd").is_err());

    // Another start finds the same, and a declaration that the other side takes.
    let again = open(dir.path(), settings(10, 20));
    assert_eq!(again.shelf().records().as_slice(), std::slice::from_ref(&record));
    again.approve(record.id, li()).await.unwrap();
    let record = again.shelf().record(record.id).unwrap();
    let declaration = record.declaration(contents, record.approver(str::to_owned));
    declaration.check().unwrap();
    assert_eq!(declaration.approved.by, "li");
}

#[tokio::test]
async fn what_is_no_text_is_refused_unless_it_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let bundles = open(dir.path(), settings(10, 20));
    let error = made(&bundles, file("core", false, &noise(100_000))).await.unwrap_err().to_string();
    assert!(error.starts_with("core: ") && error.contains("--binary"), "{error}");
    assert!(bundles.shelf().records().is_empty());
    for (frames, expected) in [
        (vec![begin(), Frame::End], "needs a file"),
        ([vec![begin()], file("a", false, b"x")].concat(), "not sent to its end"),
        (vec![Frame::Begin(Begin::default()), Frame::End], "--ticket"),
    ] {
        let error = make(&bundles, frames).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let left: Vec<_> = std::fs::read_dir(dir.path().join(FOLDER)).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn limits_refuse_and_what_is_over_gives_way() {
    let dir = tempfile::tempdir().unwrap();
    let bundles = open(dir.path(), settings(2, 4));
    let large = file("large", true, &noise(2 * MIB as usize + 1));
    let error = made(&bundles, large).await.unwrap_err().to_string();
    assert!(error.contains("bundle.max_mib"), "{error}");
    let half = || file("a", true, &noise(1_100_000));
    let first = made(&bundles, half()).await.unwrap();
    let second = made(&bundles, half()).await.unwrap();
    let error = made(&bundles, half()).await.unwrap_err().to_string();
    assert!(error.contains("bundle.budget_mib"), "{error}");
    assert_eq!(bundles.report().refused, 2);
    // What was denied is not needed any more.
    bundles.deny(first.id, li()).await.unwrap();
    let third = made(&bundles, half()).await.unwrap();
    let first = bundles.shelf().record(first.id).unwrap();
    assert!(first.state == State::Denied && !first.archive);
    assert!(bundles.shelf().record(second.id).unwrap().archive);
    assert!(bundles.report().used_bytes <= 4 * MIB);
    let error = bundles.file(first.id, "a").unwrap_err().to_string();
    assert!(error.contains("removed"), "{error}");
    let _ = third;
}

#[tokio::test]
async fn one_decision_each_and_archives_are_kept_for_their_time() {
    let dir = tempfile::tempdir().unwrap();
    let bundles = open(dir.path(), settings(2, 3));
    let a = made(&bundles, file("a", false, b"text")).await.unwrap().id;
    let b = made(&bundles, file("b", false, b"text")).await.unwrap().id;
    bundles.deny(a, li()).await.unwrap();
    let error = bundles.approve(a, li()).await.unwrap_err().to_string();
    assert!(error.contains("is denied, not held"), "{error}");
    bundles.approve(b, li()).await.unwrap();
    bundles.cancel(b, li()).await.unwrap();
    let record = bundles.shelf().record(b).unwrap();
    assert!(!record.upload.withdraw, "the collector never heard of it");
    assert!(bundles.cancel(b, li()).await.is_err());

    bundles.shelf().sweep(Time::now());
    assert!(bundles.shelf().record(a).unwrap().archive);
    bundles.shelf().sweep(Time::now().plus_ms(3_600_001));
    for id in [a, b] {
        assert!(!bundles.shelf().record(id).unwrap().archive);
        assert!(!bundles.shelf().archive(id).exists());
    }
    assert_eq!(bundles.shelf().find(&b.to_string()[30..]).unwrap(), b);
    assert!(bundles.shelf().find("zz").is_err());
}

#[tokio::test]
async fn a_second_one_waits_and_a_third_start_tidies_up() {
    let dir = tempfile::tempdir().unwrap();
    let bundles = open(dir.path(), settings(2, 3));
    let making = bundles.create(li()).unwrap();
    making.body.send(begin().encode()).await.unwrap();
    let error = bundles.create(li()).err().unwrap().to_string();
    assert!(error.contains("being packed"), "{error}");
    drop(making.body);
    assert!(making.made.await.unwrap().is_err());
    let kept = made(&bundles, file("a", false, b"text")).await.unwrap();
    let lost = made(&bundles, file("b", false, b"text")).await.unwrap();

    let folder = dir.path().join(FOLDER);
    std::fs::create_dir(folder.join("packing")).unwrap();
    std::fs::write(folder.join("packing/bundle.tar.gz"), "half").unwrap();
    std::fs::write(folder.join(lost.id.to_string()).join("bundle.tar.gz"), "cut").unwrap();
    std::fs::create_dir(folder.join("strange")).unwrap();
    std::fs::write(folder.join("strange/record.json"), "{").unwrap();
    let again = open(dir.path(), settings(2, 3));
    assert!(!folder.join("packing").exists());
    assert_eq!(again.report().strange, 1);
    assert_eq!(again.shelf().record(kept.id).unwrap(), kept);
    let lost = again.shelf().record(lost.id).unwrap();
    assert_eq!(lost.state, State::Refused);
    assert!(lost.reason.unwrap().contains("damaged"));
}

#[tokio::test]
async fn the_configuration_may_approve() {
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings { approve: Approve::Auto, ..settings(2, 3) };
    let bundles = open(dir.path(), settings);
    let record = made(&bundles, file("a", false, b"text")).await.unwrap();
    assert_eq!(record.state, State::Approved);
    let by = record.approver(str::to_owned);
    let declaration = record.declaration(bundles.contents(record.id).unwrap(), by);
    assert_eq!(declaration.approved.how, callhome_shared::bundle::How::Rule);
}

#[tokio::test]
async fn a_folder_that_cannot_be_used_is_said() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(FOLDER), "a file").unwrap();
    let bundles = open(dir.path(), settings(2, 3));
    let error = bundles.create(li()).err().unwrap().to_string();
    assert!(error.contains(FOLDER), "{error}");
}
