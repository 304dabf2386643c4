//! Speaks as an agent does.

use bytes::Bytes;
use callhome_shared::alarm::{Alarm, Device, Evidence, Message, RuleRef, Transition};
use callhome_shared::envelope::{Envelope, Kind, Lane};
use callhome_shared::heartbeat::{Heartbeat, LaneState};
use callhome_shared::id::{AgentId, new_uuid};
use callhome_shared::severity::Severity;
use callhome_shared::time::Time;
use callhome_shared::topic::Up;
use uuid::Uuid;

use crate::link::Delivery;

/// One outbox life.
pub(super) struct Agent {
    pub(super) id: AgentId,
    pub(super) epoch: Uuid,
    pub(super) seq: u64,
}

/// An alarm's life on `resource`.
pub(super) fn alarm(alarm_id: Uuid, resource: &str, transition: Transition) -> Alarm {
    Alarm {
        alarm_id,
        transition,
        severity: Severity::Minor,
        kind: "psu-failed".into(),
        qualifier: String::new(),
        fault_code: Some("F-1".into()),
        message: Message { key: "state.bad".into(), arguments: Default::default() },
        text: format!("{resource} failed \u{7535}\u{6e90}\u{6545}\u{969c}"),
        device: Device {
            id: "SN-7".into(),
            name: "array-1".into(),
            model: Some("M".into()),
            ..Device::default()
        },
        resource: resource.into(),
        occurred_at: None,
        observed_at: Time::now(),
        raised_at: None,
        reason: None,
        clock_skew_s: None,
        rule: RuleRef { pack: "p".into(), version: "1".into(), id: "r".into() },
        proposed_repair: None,
        evidence: vec![],
        flapping: false,
        test: false,
    }
}

pub(super) fn evidence(text: &str) -> Evidence {
    Evidence {
        kind: "log".into(),
        origin: "/var/log/messages".into(),
        at: Time::now(),
        text: text.into(),
        truncated: false,
    }
}

impl Agent {
    pub(super) fn new(id: &str) -> Self {
        Agent { id: AgentId::new(id).unwrap(), epoch: Uuid::new_v4(), seq: 0 }
    }

    /// The next envelope with this payload.
    pub(super) fn send(&mut self, kind: Kind, data: &impl serde::Serialize) -> Delivery {
        self.seq += 1;
        self.at(self.seq, new_uuid(), kind, data)
    }

    /// An envelope at any place.
    pub(super) fn at(
        &self,
        seq: u64,
        id: Uuid,
        kind: Kind,
        data: &impl serde::Serialize,
    ) -> Delivery {
        let lane = kind.lane();
        let envelope = Envelope {
            id,
            source: self.id.clone(),
            kind,
            time: Time::now(),
            epoch: self.epoch,
            lane,
            seq,
            data: serde_json::to_vec(data).unwrap(),
        };
        Delivery {
            agent: self.id.clone(),
            up: if lane == Lane::Alarm { Up::Event } else { Up::Bulk },
            properties: envelope.user_properties(),
            payload: Bytes::from(envelope.data),
            received_at: Time::now(),
        }
    }

    pub(super) fn alarm(&mut self, alarm: &Alarm) -> Delivery {
        self.send(Kind::Alarm, alarm)
    }

    /// A new life on `resource`: its id and the envelope that raises it.
    pub(super) fn raise(&mut self, resource: &str) -> (Uuid, Delivery) {
        let id = new_uuid();
        (id, self.alarm(&alarm(id, resource, Transition::Raised)))
    }

    pub(super) fn raise_at(&mut self, resource: &str, severity: Severity) -> (Uuid, Delivery) {
        let id = new_uuid();
        let alarm = Alarm { severity, ..alarm(id, resource, Transition::Raised) };
        (id, self.alarm(&alarm))
    }

    pub(super) fn change(&mut self, id: Uuid, resource: &str, severity: Severity) -> Delivery {
        self.alarm(&Alarm { severity, ..alarm(id, resource, Transition::Changed) })
    }

    pub(super) fn clear(&mut self, id: Uuid, resource: &str) -> Delivery {
        self.alarm(&alarm(id, resource, Transition::Cleared))
    }

    /// A heartbeat that says how far the alarm lane was acknowledged.
    pub(super) fn beat(&self, online: bool, acked_seq: u64) -> Delivery {
        let lanes = vec![LaneState {
            lane: Lane::Alarm,
            last_seq: self.seq,
            acked_seq,
            depth: self.seq - acked_seq.min(self.seq),
            oldest_s: 0,
            acked: acked_seq,
            rejected: 0,
            folded: 0,
            evicted: 0,
        }];
        self.heartbeat(Heartbeat {
            online,
            at: Time::now(),
            version: "0.1.0".into(),
            uptime_s: 1,
            interval_s: 30,
            reconnect_s: 60,
            epoch: online.then_some(self.epoch),
            lanes: if online { lanes } else { vec![] },
            site: Some("by-agent".into()),
            customer: Some("ACME".into()),
            ..Heartbeat::default()
        })
    }

    /// Any heartbeat.
    pub(super) fn heartbeat(&self, beat: Heartbeat) -> Delivery {
        Delivery {
            agent: self.id.clone(),
            up: Up::Heartbeat,
            properties: vec![],
            payload: Bytes::from(serde_json::to_vec(&beat).unwrap()),
            received_at: Time::now(),
        }
    }
}
