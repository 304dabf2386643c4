//! The file of an agent that does not run: looked at, exported, not changed.

use callhome_shared::carried::Header;
use callhome_shared::envelope::{Envelope, Kind};
use callhome_shared::id::{AgentId, new_uuid};
use callhome_shared::time::Time;
use sha2::{Digest, Sha256};

use super::*;
use crate::outbox::{Decision, Draft, Outbox};
use crate::settings::OutboxSettings;

fn draft(kind: Kind, data: &str) -> Draft {
    Draft { id: new_uuid(), kind, time: Time(1000), data: data.as_bytes().to_vec() }
}

/// An outbox as a kill leaves it, with so many envelopes in the alarm lane and one in the other.
fn left_behind(dir: &Path, count: usize) -> Vec<Draft> {
    let agent = AgentId::new("agent-1").unwrap();
    let settings = OutboxSettings { max_bytes: 64 << 20, preallocate_bytes: 1 << 20 };
    let path = outbox::path_in(dir);
    let (mut outbox, _) = Outbox::open(&path, &agent, &settings).unwrap();
    let mut drafts: Vec<Draft> =
        (0..count).map(|n| draft(Kind::Alarm, &format!(r#"{{"n":{n}}}"#))).collect();
    drafts.push(draft(Kind::Samples, "[1]"));
    let decision =
        Decision { id: new_uuid(), time: Time(0), drafts: drafts.clone(), ..Decision::default() };
    outbox.commit(&decision).unwrap();
    let open = std::fs::read(&path).unwrap();
    drop(outbox);
    std::fs::write(&path, open).unwrap();
    drafts
}

#[tokio::test]
async fn a_resting_outbox_is_exported_whole_and_not_changed() {
    let dir = tempfile::tempdir().unwrap();
    let drafts = left_behind(dir.path(), 450);
    let before = std::fs::read(outbox::path_in(dir.path())).unwrap();
    let access = Access::file(dir.path()).unwrap();
    assert!(Access::file(dir.path()).is_err(), "the lock is held");

    let verified = verify(&access).await.unwrap();
    assert!(verified.good, "{}", verified.text);
    assert!(verified.text.contains("alarm: 450 entries"), "{}", verified.text);

    let list = list(&access, None, 300).await.unwrap();
    assert!(list.ends_with("… and 151 more\n") && list.lines().count() == 301, "{list}");
    let found = show(&access, Which::Id(drafts[333].id)).await.unwrap().0;
    assert_eq!((found.seq, found.data), (334, drafts[333].data.clone()));
    let found = show(&access, "bulk/1".parse().unwrap()).await.unwrap();
    assert!(found.text().contains("samples"), "{}", found.text());
    assert!(show(&access, Which::Place(Lane::Alarm, 451)).await.is_err());

    let file = dir.path().join("export.jsonl");
    let done = export(&access, &file).await.unwrap();
    assert_eq!((done.alarm, done.bulk), (450, 1));
    let text = std::fs::read_to_string(&file).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let header = Header::parse(lines[0].as_bytes()).unwrap();
    assert_eq!((header.alarm, header.bulk, header.agent.as_str()), (450, 1, "agent-1"));
    for (line, draft) in lines[1..452].iter().zip(&drafts) {
        let envelope = Envelope::from_structured(line.as_bytes()).unwrap();
        assert_eq!((envelope.id, &envelope.data), (draft.id, &draft.data));
    }
    let end: serde_json::Value = serde_json::from_str(lines[452]).unwrap();
    let body = &text[..text.len() - lines[452].len() - 1];
    let sum = callhome_shared::heartbeat::hex(&Sha256::digest(body.as_bytes()));
    assert_eq!(end["sha256"], sum);
    assert!(export(&access, &file).await.is_err(), "a file that is there is not written over");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 3, "outbox, lock, export");
    drop(access);
    assert_eq!(std::fs::read(outbox::path_in(dir.path())).unwrap(), before);
}

#[tokio::test]
async fn an_altered_entry_is_found() {
    let dir = tempfile::tempdir().unwrap();
    left_behind(dir.path(), 20);
    let path = outbox::path_in(dir.path());
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes.windows(8).position(|window| window == br#"{"n":13}"#).unwrap();
    bytes[at + 5] = b'7';
    std::fs::write(&path, bytes).unwrap();
    let verified = verify(&Access::file(dir.path()).unwrap()).await.unwrap();
    assert!(!verified.good && verified.text.contains("NOT [14]"), "{}", verified.text);
}

#[test]
fn envelopes_are_named_by_id_or_place() {
    assert_eq!("alarm/17".parse(), Ok(Which::Place(Lane::Alarm, 17)));
    assert_eq!(Uuid::nil().to_string().parse(), Ok(Which::Id(Uuid::nil())));
    for bad in ["alarm/0", "x/1", "17", ""] {
        assert!(bad.parse::<Which>().unwrap_err().contains("alarm/17"), "{bad}");
    }
}
