//! The end of one of the collector's own certificates: when that is a fault, and what its ticket says. Pure.

use std::collections::BTreeMap;

use callhome_shared::alarm::{Alarm, Device, Message};
use callhome_shared::severity::Severity;
use callhome_shared::time::Time;
use uuid::Uuid;

use super::own::{self, Finding, seconds};

/// Its alarm type; an agent's alarm of its own certificate has the same.
pub const KIND: &str = "certificate-ending";
const DAY_MS: i64 = 86_400_000;
/// Days left and part of the life left, whichever is shorter, from which on it is so bad.
const STEPS: [(i64, i64, Severity); 3] =
    [(1, 96, Severity::Critical), (7, 24, Severity::Major), (30, 6, Severity::Warning)];

/// A certificate of the collector's own, and when it ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// `server`, `ca`, `next-ca`, `former-ca`.
    pub what: &'static str,
    /// Its subject's name.
    pub name: String,
    /// When it begins.
    pub from: Time,
    /// When it ends.
    pub to: Time,
}

impl End {
    /// How urgent it is: a warning in the last 30 days (or the last sixth of its life, if that is
    /// shorter), major in the last 7 (or the last twenty-fourth), critical on the last one (or in the
    /// last ninety-sixth) and when it has ended.
    pub fn severity(&self, now: Time) -> Option<Severity> {
        let (life, left) = (self.to.since_ms(self.from).max(0), self.to.since_ms(now));
        if left < 0 {
            return Some(Severity::Critical);
        }
        let reached =
            |(days, part, _): &(i64, i64, Severity)| left < (days * DAY_MS).min(life / part);
        STEPS.iter().find(|step| reached(step)).map(|(_, _, severity)| *severity)
    }
}

/// The identity of the fault: of one kind of certificate of the collector of this name.
pub fn identity(collector: &str, what: &str) -> String {
    super::own_identity(&format!("{collector}\u{1f}{what}"), KIND)
}

/// The device id under which the collector of this name is its own subject. An agent's device cannot be
/// mistaken for it: it belongs to no agent.
pub fn device_id(collector: &str) -> String {
    format!("urn:callhome:collector:{collector}")
}

/// The alarm that says so, as of `now`.
pub fn alarm(collector: &str, end: &End, severity: Severity, alarm_id: Uuid, now: Time) -> Alarm {
    let ended = end.to < now;
    let at = seconds(end.to);
    let text = format!(
        "the {} certificate of collector {collector} ({}) {} {at}",
        end.what,
        end.name,
        if ended { "ended" } else { "ends" }
    );
    let arguments = BTreeMap::from([
        ("collector".to_owned(), collector.to_owned()),
        ("certificate".to_owned(), end.what.to_owned()),
        ("name".to_owned(), end.name.clone()),
        ("at".to_owned(), at),
    ]);
    let key = if ended { "certificate.ended" } else { "certificate.ending" };
    let repair = match end.what {
        "server" => "look into the collector's log why it is not renewed, or renew the given files",
        _ => "exchange the CA: callhome-collector ca rotate",
    };
    let finding = Finding {
        kind: KIND,
        severity,
        device: Device {
            id: device_id(collector),
            name: collector.to_owned(),
            ..Device::default()
        },
        resource: end.what.to_owned(),
        message: Message { key: key.to_owned(), arguments },
        text,
        since: None,
        repair: Some(repair.to_owned()),
    };
    own::alarm(finding, alarm_id, now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_gets_more_urgent() {
        let end =
            |life: i64| End { what: "server", name: String::new(), from: Time(0), to: Time(life) };
        let year = end(365 * DAY_MS);
        for (left_days, wanted) in [
            (100, None),
            (31, None),
            (29, Some(Severity::Warning)),
            (8, Some(Severity::Warning)),
            (6, Some(Severity::Major)),
            (2, Some(Severity::Major)),
            (0, Some(Severity::Critical)),
            (-1, Some(Severity::Critical)),
        ] {
            assert_eq!(year.severity(Time((365 - left_days) * DAY_MS)), wanted, "{left_days}");
        }
        // A short life is not urgent from its beginning.
        assert_eq!(end(60_000).severity(Time(45_000)), None);
        assert_eq!(end(60_000).severity(Time(51_000)), Some(Severity::Warning));
        assert_eq!(end(60_000).severity(Time(58_000)), Some(Severity::Major));
    }

    #[test]
    fn what_is_said_of_it() {
        let end =
            End { what: "ca", name: "CN=X".into(), from: Time(0), to: Time(1_769_846_400_123) };
        let one = alarm("main", &end, Severity::Major, Uuid::nil(), Time(5));
        one.validate().unwrap();
        assert_eq!(
            one.text,
            "the ca certificate of collector main (CN=X) ends 2026-01-31 08:00:00 UTC"
        );
        assert_eq!(one.message.key, "certificate.ending");
        let past = alarm("main", &end, Severity::Critical, Uuid::nil(), Time(i64::MAX));
        assert_eq!(past.message.key, "certificate.ended");
        assert_ne!(identity("main", "ca"), identity("main", "server"));
        assert_ne!(identity("main", "ca"), identity("two", "ca"));
    }
}
