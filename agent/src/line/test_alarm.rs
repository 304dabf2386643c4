//! The test alarm: raised on demand, cleared when its ticket is known.

use std::sync::Arc;

use callhome_shared::alarm::{Device, Identity, Message, RuleRef};
use callhome_shared::severity::Severity;
use callhome_shared::time::Time;
use uuid::Uuid;

use crate::rule::{Finding, Raise, Repeat, Verdict};

/// Without a receipt it is cleared after so long.
pub(super) const TEST_LIFE_MS: i64 = 5 * 60 * 1000;
/// Its alarm type.
const KIND: &str = "callhome-test";
/// Its source, which no configuration can name.
const SOURCE: &str = "callhome-agent test";

/// Raises one. Each has a qualifier of its own: a second test is a second fault, so that it travels
/// the whole way again.
pub(super) fn raise(host: &Arc<Device>, qualifier: Uuid, now: Time) -> Finding {
    let identity = Identity {
        device: if host.id.is_empty() { host.name.clone() } else { host.id.clone() },
        resource: String::new(),
        kind: KIND.to_owned(),
        qualifier: qualifier.to_string(),
    };
    let verdict = Verdict::Raise(Box::new(Raise {
        severity: Severity::Warning,
        message: Message { key: "test.alarm".to_owned(), ..Message::default() },
        text: "test alarm, raised by callhome-agent test".to_owned(),
        fault_code: None,
        proposed_repair: None,
        repeat: Repeat::Standing,
        flapping: false,
        test: true,
    }));
    finding(host, identity, verdict, now)
}

/// Clears one.
pub(super) fn clear(host: &Arc<Device>, identity: Identity, now: Time) -> Finding {
    finding(host, identity, Verdict::Clear { own_only: true }, now)
}

fn finding(host: &Arc<Device>, identity: Identity, verdict: Verdict, now: Time) -> Finding {
    Finding {
        source: SOURCE.into(),
        rule: RuleRef {
            pack: "builtin".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            id: KIND.to_owned(),
        },
        identity,
        device: host.clone(),
        occurred_at: None,
        clock_skew_s: None,
        observed_at: now,
        evidence: None,
        verdict,
    }
}
