//! What comes down from the collector, read before it is queued: small, checked, bounded.

use callhome_shared::ack::{Ack, Receipt};
use callhome_shared::control::{Control, MAINTENANCE, RESYNC};
use callhome_shared::id::AgentId;
use callhome_shared::limits::{MAX_ID_BYTES, MAX_TEXT_BYTES, cut};
use callhome_shared::topic::Down;

/// Rejects that one acknowledgement may carry; more are a fault of the collector.
const MAX_REJECTS: usize = 1024;

/// A message understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Downward {
    /// Committed up to here.
    Ack(Ack),
    /// An alarm's ticket.
    Receipt(Receipt),
    /// Something to do; of a kind that is known.
    Control(Control),
}

/// Reads one message. The error says for the log why it is none.
pub fn read(agent: &AgentId, topic: &[u8], payload: &[u8]) -> Result<Downward, String> {
    let topic = std::str::from_utf8(topic).map_err(|_| "topic is no UTF-8".to_owned())?;
    match Down::parse(topic, agent) {
        Some(Down::Ack) => read_ack(payload).map(Downward::Ack),
        Some(Down::Receipt) => read_receipt(payload).map(Downward::Receipt),
        Some(Down::Control) => read_control(payload).map(Downward::Control),
        None => Err(format!("unknown topic {:?}", topic.chars().take(80).collect::<String>())),
    }
}

fn read_ack(payload: &[u8]) -> Result<Ack, String> {
    let mut ack: Ack = serde_json::from_slice(payload).map_err(|e| format!("ack: {e}"))?;
    if ack.rejects.len() > MAX_REJECTS {
        return Err(format!("ack: {} rejects, at most {MAX_REJECTS}", ack.rejects.len()));
    }
    for reject in &mut ack.rejects {
        cut(&mut reject.reason, MAX_ID_BYTES);
        cut(&mut reject.text, MAX_TEXT_BYTES);
    }
    Ok(ack)
}

fn read_receipt(payload: &[u8]) -> Result<Receipt, String> {
    let receipt: Receipt = serde_json::from_slice(payload).map_err(|e| format!("receipt: {e}"))?;
    for (what, text) in [("case", &receipt.case), ("ticket", &receipt.ticket)] {
        if text.len() > MAX_ID_BYTES || text.chars().any(char::is_control) {
            return Err(format!(
                "receipt: {what} is no plain text of at most {MAX_ID_BYTES} bytes"
            ));
        }
    }
    Ok(receipt)
}

fn read_control(payload: &[u8]) -> Result<Control, String> {
    let mut control: Control =
        serde_json::from_slice(payload).map_err(|e| format!("control: {e}"))?;
    if control.kind == MAINTENANCE {
        let set = control.maintenance.as_ref().ok_or("control: maintenance without its windows")?;
        set.validate().map_err(|why| format!("control: maintenance: {why}"))?;
    } else if control.kind != RESYNC {
        let kind: String = control.kind.chars().take(60).collect();
        return Err(format!("control: {kind:?} is not understood by this version"));
    }
    control.reason.retain(|c| !c.is_control());
    cut(&mut control.reason, MAX_ID_BYTES);
    Ok(control)
}

#[cfg(test)]
mod tests {
    use super::*;
    use callhome_shared::envelope::Lane;
    use proptest::prelude::*;
    use uuid::Uuid;

    fn agent() -> AgentId {
        AgentId::new("a-1").unwrap()
    }

    #[test]
    fn reads_what_is_for_us_and_nothing_else() {
        let ack = Ack {
            store: Uuid::from_u128(1),
            epoch: Uuid::from_u128(2),
            lane: Lane::Alarm,
            seq: 7,
            rejects: vec![],
        };
        let json = serde_json::to_vec(&ack).unwrap();
        let read = |topic: &str, payload: &[u8]| super::read(&agent(), topic.as_bytes(), payload);
        assert_eq!(read("callhome/v1/a-1/down/ack", &json), Ok(Downward::Ack(ack)));
        let resync = Control {
            id: Uuid::from_u128(3),
            kind: RESYNC.into(),
            at: callhome_shared::time::Time(1),
            reason: "digest-differs".into(),
            maintenance: None,
        };
        let without =
            serde_json::to_vec(&Control { kind: MAINTENANCE.into(), ..resync.clone() }).unwrap();
        let other =
            serde_json::to_vec(&Control { kind: "dance".into(), ..resync.clone() }).unwrap();
        let said = serde_json::to_vec(&resync).unwrap();
        assert_eq!(read("callhome/v1/a-1/down/control", &said), Ok(Downward::Control(resync)));
        for (topic, payload, why) in [
            ("callhome/v1/a-2/down/ack", &json[..], "unknown topic"),
            ("callhome/v1/a-1/down/ack", b"{}", "missing field"),
            ("callhome/v1/a-1/down/ack", b"\xff", "expected value"),
            ("callhome/v1/a-1/down/receipt", &json, "missing field"),
            ("callhome/v1/a-1/down/control", b"{}", "missing field"),
            ("callhome/v1/a-1/down/control", &other, "\"dance\" is not understood"),
            ("callhome/v1/a-1/down/control", &without, "without its windows"),
        ] {
            let error = read(topic, payload).unwrap_err();
            assert!(error.contains(why), "{topic}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_input_panics(payload: Vec<u8>, text in ".{0,300}", n: u64) {
            let ack = format!(r#"{{"store":"{n}","epoch":{n},"lane":"{text}","seq":"{n}"}}"#);
            let down = |name| format!("callhome/v1/a-1/down/{name}");
            for topic in [&down("ack"), &down("receipt"), &down("control"), &text] {
                let _ = read(&agent(), topic.as_bytes(), &payload);
                let _ = read(&agent(), topic.as_bytes(), ack.as_bytes());
                let _ = read(&agent(), topic.as_bytes(), text.as_bytes());
            }
        }
    }
}
