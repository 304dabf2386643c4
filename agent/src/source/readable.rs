//! Whether a source can be read at all: a metric and a built-in rule on it, for serial ports, log files
//! and the host. (SNMP has [`super::snmp::reachable`].)
//!
//! It goes by what the source says of its own health, so a source that was given up counts, too.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use callhome_shared::alarm::Device;
use callhome_shared::heartbeat::SourceState;
use callhome_shared::severity::Severity;
use callhome_shared::time::Time;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Batch, Health, Reading, SourceKind, Value};
use crate::rule::{Condition, Rule, Template};

/// See [`Judgement`]; labels `state` and `detail`.
pub const METRIC: &str = "source.readable";
/// A rotation, a port that is plugged elsewhere, a command that is late: they take a moment.
const FOR_MS: i64 = 30_000;
/// Between two looks at a source's health.
const EVERY: Duration = Duration::from_secs(5);

/// What a source's health says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// Nothing can be read: the port is gone, the file is not readable.
    Unreadable,
    /// It reads.
    Readable,
    /// The log file is not there.
    Missing,
    /// The console does not answer its commands.
    Unanswered,
}

impl Judgement {
    /// The metric's value and the word for it.
    fn value(self) -> (f64, &'static str) {
        match self {
            Judgement::Unreadable => (0.0, "unreadable"),
            Judgement::Readable => (1.0, "readable"),
            Judgement::Missing => (2.0, "missing"),
            Judgement::Unanswered => (3.0, "unanswered"),
        }
    }
}

/// Judges; `None`: not known yet, or not this rule's business.
pub fn judge(kind: SourceKind, state: SourceState) -> Option<Judgement> {
    match (kind, state) {
        (SourceKind::Snmp, _) | (_, SourceState::Starting) => None,
        (_, SourceState::Ok) => Some(Judgement::Readable),
        (_, SourceState::Failed) => Some(Judgement::Unreadable),
        (SourceKind::Logfile, SourceState::Degraded) => Some(Judgement::Missing),
        (SourceKind::Serial, SourceState::Degraded) => Some(Judgement::Unanswered),
        // A part of what should be listened to is not.
        (SourceKind::Syslog, SourceState::Degraded) => Some(Judgement::Unreadable),
        // Some of it is read.
        (SourceKind::Host | SourceKind::Trap, SourceState::Degraded) => Some(Judgement::Readable),
    }
}

/// Raises `source-unreadable`; none for SNMP.
pub fn builtin_rule(kind: SourceKind) -> Option<Arc<Rule>> {
    if kind == SourceKind::Snmp {
        return None;
    }
    let state = |judgement: Judgement, severity| (judgement.value().0.to_string(), severity);
    let states = BTreeMap::from([
        state(Judgement::Unreadable, Some(Severity::Major)),
        state(Judgement::Readable, None),
        state(Judgement::Missing, Some(Severity::Minor)),
        state(Judgement::Unanswered, Some(Severity::Major)),
    ]);
    let repair = match kind {
        SourceKind::Serial => "Check the cable, the port and the device's power.",
        SourceKind::Trap => "Check the address in [trap] and whether the agent may listen there.",
        SourceKind::Logfile => {
            "Check the path, the permissions and whether the log is still written."
        }
        SourceKind::Syslog => {
            "Check the listener's addresses, its certificate and who else listens there."
        }
        _ => "Check what the agent may read on its host.",
    };
    Some(Arc::new(Rule {
        pack: "builtin".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        id: "source-unreadable".to_owned(),
        metric: METRIC.to_owned(),
        condition: Condition::StateMap { states, otherwise: None, for_ms: FOR_MS },
        damping: None,
        template: Template {
            kind: "source-unreadable".to_owned(),
            text: "${detail}".to_owned(),
            fault_code: Some("source.unreadable".to_owned()),
            proposed_repair: Some(repair.to_owned()),
            ..Template::default()
        },
    }))
}

/// What is watched.
pub struct Subject {
    /// The source's name; the alarm's resource.
    pub source: Arc<str>,
    /// Its kind.
    pub kind: SourceKind,
    /// Its device.
    pub device: Arc<Device>,
    /// How it is doing.
    pub health: Health,
}

/// Hands a reading to the line whenever the judgement changes, and again while it is a bad one.
pub async fn watch(subject: Subject, out: mpsc::Sender<Batch>, stop: CancellationToken) {
    let mut said = None;
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let Some(health) = subject.health.state() else { return };
        let Some(judgement) = judge(subject.kind, health.state) else { continue };
        if said == Some(judgement) && judgement == Judgement::Readable {
            continue;
        }
        said = Some(judgement);
        let batch = subject.batch(judgement, &health.detail);
        tokio::select! {
            () = stop.cancelled() => return,
            sent = out.send(batch) => if sent.is_err() { return },
        }
    }
}

impl Subject {
    fn batch(&self, judgement: Judgement, detail: &str) -> Batch {
        let (value, word) = judgement.value();
        let detail = if detail.is_empty() { "the source can be read" } else { detail };
        let reading = Reading {
            metric: METRIC.into(),
            resource: self.source.to_string(),
            value: Value::Number(value),
            unit: "".into(),
            origin: (&*self.source).into(),
            labels: vec![("state".into(), word.to_owned()), ("detail".into(), detail.to_owned())],
            occurred_at: None,
            observed_at: Time::now(),
        };
        Batch {
            source: self.source.clone(),
            kind: self.kind,
            device: self.device.clone(),
            rules: None,
            readings: vec![reading],
            position: None,
            gaps: Vec::new(),
            heard_until: None,
            stored: None,
            inventory: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redact::Redactor;
    use crate::rule::{Context, Engine, Verdict, Watched};
    use crate::source::HealthBoard;

    #[test]
    fn each_kind_is_judged_by_its_own_health() {
        use Judgement::{Missing, Readable, Unanswered, Unreadable};
        use SourceKind::{Host, Logfile, Serial, Snmp, Syslog};
        let states =
            [SourceState::Starting, SourceState::Ok, SourceState::Degraded, SourceState::Failed];
        for (kind, expected) in [
            (Serial, [None, Some(Readable), Some(Unanswered), Some(Unreadable)]),
            (Logfile, [None, Some(Readable), Some(Missing), Some(Unreadable)]),
            (Host, [None, Some(Readable), Some(Readable), Some(Unreadable)]),
            (Syslog, [None, Some(Readable), Some(Unreadable), Some(Unreadable)]),
            (Snmp, [None; 4]),
        ] {
            assert_eq!(states.map(|state| judge(kind, state)), expected, "{kind:?}");
            assert_eq!(builtin_rule(kind).is_none(), kind == Snmp);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_that_is_gone_for_a_while_is_an_alarm_until_it_is_back() {
        let board = HealthBoard::default();
        let health = board.register("con".into(), "d", SourceKind::Serial);
        let device: Arc<Device> = Arc::default();
        let (source, kind): (Arc<str>, _) = ("con".into(), SourceKind::Serial);
        let subject = Subject {
            source: source.clone(),
            kind,
            device: device.clone(),
            health: health.clone(),
        };
        let (out, mut line) = mpsc::channel(8);
        let stop = CancellationToken::new();
        let task = tokio::spawn(watch(subject, out, stop.clone()));
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(line.try_recv().is_err(), "it only starts");
        health.failed("/dev/ttyS9: no such device");
        let bad = line.recv().await.unwrap();
        let again = line.recv().await.unwrap();
        health.ok();
        let mut good = line.recv().await.unwrap();
        while good.readings[0].value == again.readings[0].value {
            good = line.recv().await.unwrap();
        }
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(line.try_recv().is_err(), "good news once");
        stop.cancel();
        task.await.unwrap();

        let rules = vec![builtin_rule(kind).unwrap()];
        let watched = Watched { source: source.clone(), kind, device: device.clone(), rules };
        let mut engine = Engine::new(vec![watched], Time(0));
        let redactor = Redactor::default();
        let context = Context { source: &source, kind, device: &device, redactor: &redactor };
        let mut read = |reading: &Reading, at: i64| {
            let mut findings = Vec::new();
            let reading = Reading { observed_at: Time(at), ..reading.clone() };
            engine.read(context, &reading, &mut findings);
            findings.pop()
        };
        assert!(read(&bad.readings[0], 1_000).is_none(), "it may be back in a moment");
        assert!(read(&again.readings[0], 30_999).is_none());
        let raised = read(&again.readings[0], 31_000).unwrap();
        assert_eq!(
            (&*raised.identity.kind, &*raised.identity.resource),
            ("source-unreadable", "con")
        );
        let Verdict::Raise(raise) = raised.verdict else { panic!("no raise") };
        assert_eq!((raise.severity, &*raise.text), (Severity::Major, "/dev/ttyS9: no such device"));
        assert_eq!(raise.message.arguments["value"], "unreadable");
        let cleared = read(&good.readings[0], 40_000).unwrap();
        assert!(matches!(cleared.verdict, Verdict::Clear { .. }));
    }
}
