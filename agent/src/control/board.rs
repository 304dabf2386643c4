//! Everything that can be told about the running agent, gathered from those who know.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use callhome_shared::control::{Control, MAINTENANCE, RESYNC};
use callhome_shared::envelope::Lane;
use callhome_shared::heartbeat::{
    Heartbeat, Held, HeldWindow, MAX_HELD_NAMES, MAX_HELD_WINDOWS, SourceHealth,
};
use callhome_shared::id::AgentId;
use callhome_shared::probe::{Missing, PathState};
use callhome_shared::time::Time;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use super::reload::{Asked, Asker};
use super::report::{
    ActiveAlarm, AgentReport, HeldAlarm, LineReport, MAX_ALARMS, OutboxReport, StatusReport,
    TestReport,
};
use super::told;
use crate::bundle::Bundles;
use crate::enrol::trust::TrustStatus;
use crate::hold::{Ask, Hold, Shown};
use crate::ledger::Ledger;
use crate::link::LinkStatus;
use crate::probe::{Facts, Probes};
use crate::redact::Redactor;
use crate::source::HealthBoard;
use crate::{line, outbox};

/// The line answers a question within this, or it is stuck.
const ANSWER: Duration = Duration::from_secs(10);
/// No answer of the line for so long: it does not move. A slow disk may take its time.
const LINE_PATIENCE: Duration = Duration::from_secs(40);
/// One attempt to connect takes less than this.
const LINK_PATIENCE: Duration = Duration::from_secs(60);

/// When the line was last seen to answer.
#[derive(Clone)]
pub struct Liveness(Arc<Mutex<Instant>>);

impl Default for Liveness {
    fn default() -> Self {
        Liveness(Arc::new(Mutex::new(Instant::now())))
    }
}

impl Liveness {
    fn seen(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn idle(&self) -> Duration {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }
}

/// Those who know.
#[derive(Clone)]
pub struct Parts {
    /// Our id.
    pub agent: AgentId,
    /// Where we stand.
    pub site: Option<String>,
    /// Whose we are.
    pub customer: Option<String>,
    /// Between two heartbeats; longest wait between two attempts to connect.
    pub pace: (Duration, Duration),
    /// How our certificate is.
    pub trust: Arc<TrustStatus>,
    /// The outbox.
    pub outbox: outbox::Handle,
    /// Questions to the line.
    pub line: mpsc::Sender<line::Command>,
    /// How the line is doing.
    pub line_status: watch::Receiver<line::Status>,
    /// How the link is doing.
    pub link: Arc<LinkStatus>,
    /// How the sources are doing.
    pub sources: HealthBoard,
    /// What every text goes through that leaves.
    pub redactor: Arc<Redactor>,
    /// Which paths are proven.
    pub probes: Probes,
    /// The record of what left.
    pub ledger: Ledger,
    /// Evidence bundles.
    pub bundles: Bundles,
    /// Reads the configuration again.
    pub reload: Asker,
}

/// The board. Cheap to clone.
#[derive(Clone)]
pub struct Board {
    parts: Arc<Parts>,
    started_at: Time,
    started: Instant,
    line_seen: Liveness,
}

impl Board {
    /// A board that starts counting now.
    pub fn new(parts: Parts) -> Self {
        Board {
            parts: Arc::new(parts),
            started_at: Time::now(),
            started: Instant::now(),
            line_seen: Liveness::default(),
        }
    }

    /// Asks the line for a sign of life; to be called every few seconds.
    pub async fn feel_pulse(&self) {
        if self.active(0).await.is_ok() {
            self.line_seen.seen();
        }
    }

    /// The outbox.
    pub(super) fn outbox(&self) -> &outbox::Handle {
        &self.parts.outbox
    }

    /// Our id.
    pub(super) fn agent_id(&self) -> &AgentId {
        &self.parts.agent
    }

    /// Whether the main tasks move. The error says which one does not.
    pub fn healthy(&self) -> Result<(), String> {
        let (line, link) = (self.line_seen.idle(), self.parts.link.idle());
        if line > LINE_PATIENCE {
            return Err(format!("the line has not answered for {} s", line.as_secs()));
        }
        if link > LINK_PATIENCE {
            return Err(format!("the link has not moved for {} s", link.as_secs()));
        }
        Ok(())
    }

    /// Whether faults reach the collector now. The error says what is in the way.
    pub fn ready(&self) -> Result<(), String> {
        self.healthy()?;
        if let Some(why) = &self.parts.line_status.borrow().blocked_by {
            return Err(format!("nothing can be stored: {why}"));
        }
        if !self.parts.link.is_connected() {
            return Err(format!("not connected: {}", self.parts.link.report().detail));
        }
        let paths = self.parts.probes.report();
        if let Some((path, missing)) =
            paths.iter().find_map(|path| path.missing.as_ref().map(|missing| (path, missing)))
        {
            let hop = missing.hop.as_str();
            return Err(format!("path not proven: {} at {hop}: {}", path.source, missing.detail));
        }
        Ok(())
    }

    /// `status`.
    pub async fn report(&self) -> StatusReport {
        let parts = &self.parts;
        let alarms = self.active(MAX_ALARMS).await.unwrap_or_default();
        let held = self.held(MAX_ALARMS).await.unwrap_or_default();
        let held = held
            .into_iter()
            .map(|(alarm, hold)| HeldAlarm { alarm: listed_alarm(alarm, None), hold });
        let mut listed = Vec::with_capacity(alarms.len());
        for alarm in alarms {
            let receipt = parts.outbox.receipt_of(alarm.alarm_id).await.ok().flatten();
            listed.push(listed_alarm(alarm, receipt.map(|receipt| receipt.ticket)));
        }
        StatusReport {
            agent: self.agent(),
            link: parts.link.report(),
            outbox: outbox_report(&parts.outbox.status().borrow()),
            line: line_report(&parts.line_status.borrow()),
            sources: parts.sources.snapshot(),
            listeners: parts.sources.listeners(),
            ledger: parts.ledger.status(),
            redactions: parts.redactor.counts(),
            paths: parts.probes.report(),
            bundles: parts.bundles.report(),
            configuration: parts.reload.report(),
            maintenance: parts.line_status.borrow().windows.to_vec(),
            held: held.collect(),
            alarms: listed,
        }
    }

    /// Everything but the alarms' list; for metrics.
    pub fn snapshot(&self) -> StatusReport {
        let parts = &self.parts;
        StatusReport {
            agent: self.agent(),
            link: parts.link.report(),
            outbox: outbox_report(&parts.outbox.status().borrow()),
            line: line_report(&parts.line_status.borrow()),
            sources: parts.sources.snapshot(),
            listeners: parts.sources.listeners(),
            ledger: parts.ledger.status(),
            redactions: parts.redactor.counts(),
            paths: parts.probes.report(),
            bundles: parts.bundles.report(),
            configuration: parts.reload.report(),
            maintenance: parts.line_status.borrow().windows.to_vec(),
            held: Vec::new(),
            alarms: Vec::new(),
        }
    }

    /// The heartbeat.
    pub fn heartbeat(&self) -> Heartbeat {
        let (parts, now) = (&self.parts, Time::now());
        let outbox = parts.outbox.status();
        let outbox = outbox.borrow();
        let line = parts.line_status.borrow();
        let sources = parts.sources.snapshot().into_iter().map(|s| self.told(s)).collect();
        told::fit(Heartbeat {
            online: true,
            stopped: false,
            at: now,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            interval_s: parts.pace.0.as_secs().max(1),
            reconnect_s: parts.pace.1.as_secs().max(1),
            uptime_s: self.started.elapsed().as_secs(),
            epoch: Some(outbox.epoch),
            lanes: outbox.lane_states(now),
            last_ack_at: outbox.last_ack_at,
            store: outbox.store,
            sources,
            sources_left_out: 0,
            certificate_expires_at: Some(parts.trust.expires_at()),
            active_alarms: line.active_alarms,
            active_digest: line.active_digest.to_string(),
            paths: parts.probes.report().into_iter().map(|p| self.told_path(p)).collect(),
            paths_left_out: 0,
            active_as_of: line.active_as_of,
            held: self.told_held(&line),
            maintenance: Some(line.centre.to_string()),
            site: parts.site.clone(),
            customer: parts.customer.clone(),
            road: None,
            connection: None,
        })
    }

    /// The paths' book.
    pub fn probes(&self) -> &Probes {
        &self.parts.probes
    }

    /// Evidence bundles.
    pub(super) fn bundles(&self) -> &Bundles {
        &self.parts.bundles
    }

    /// The sources.
    pub fn sources(&self) -> &HealthBoard {
        &self.parts.sources
    }

    /// What the paths' book must know of the others.
    pub fn facts(&self) -> Facts {
        let parts = &self.parts;
        let outbox = parts.outbox.status();
        let outbox = outbox.borrow();
        let lane = outbox.lanes.iter().find(|l| l.lane == Lane::Alarm);
        Facts {
            blocked_by: parts.line_status.borrow().blocked_by.clone(),
            connected: parts.link.is_connected(),
            link: parts.link.report().detail,
            epoch: outbox.epoch,
            acked_seq: lane.map_or(0, |lane| lane.acked_seq),
        }
    }

    /// Hands on what the collector asks for. When the line is too busy to take it, it is asked again.
    pub fn control(&self, control: Control) {
        let command = match (control.kind.as_str(), control.maintenance) {
            (RESYNC, _) => line::Command::Resync { reason: control.reason },
            // What becomes of it the next heartbeat says.
            (MAINTENANCE, Some(set)) => {
                line::Command::Maintenance { ask: Ask::Centre(set), reply: oneshot::channel().0 }
            }
            _ => return,
        };
        if self.parts.line.try_send(command).is_err() {
            tracing::warn!(control.id = %control.id, "the line takes no command now");
        }
    }

    /// `test`: raises a test alarm and waits for its ticket.
    pub async fn test(&self, patience: Duration) -> Result<TestReport, String> {
        let started = Instant::now();
        let (reply, answer) = oneshot::channel();
        let raised = async {
            self.parts.line.send(line::Command::TestAlarm { reply }).await.ok()?;
            answer.await.ok()
        };
        let raised = timeout(patience.min(ANSWER), raised)
            .await
            .map_err(|_| "the line does not answer".to_owned())?
            .ok_or_else(|| "the line is gone".to_owned())??;
        let left = patience.saturating_sub(started.elapsed());
        let receipt = self.parts.outbox.wait_receipt(raised.alarm_id, left).await;
        let took_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        match receipt {
            Some(receipt) => Ok(TestReport {
                ticket: receipt.ticket,
                alarm_id: raised.alarm_id,
                took_ms,
                committed_at: receipt.committed_at,
            }),
            None => Err(format!(
                "no ticket within {} s; the test alarm {} stays in the outbox; link: {}",
                patience.as_secs(),
                raised.alarm_id,
                self.parts.link.report().detail
            )),
        }
    }

    /// A source's health as it leaves.
    fn told(&self, health: SourceHealth) -> SourceHealth {
        let redactor = &self.parts.redactor;
        SourceHealth {
            source: redactor.id(&health.source).into_owned(),
            device: redactor.id(&health.device).into_owned(),
            detail: redactor.text(&health.detail).into_owned(),
            ..health
        }
    }

    /// A source's path as it leaves.
    fn told_path(&self, path: PathState) -> PathState {
        let redactor = &self.parts.redactor;
        let told = |missing: Missing| Missing {
            detail: redactor.text(&missing.detail).into_owned(),
            ..missing
        };
        PathState {
            source: redactor.id(&path.source).into_owned(),
            missing: path.missing.map(told),
            ..path
        }
    }

    /// What is held back, as it leaves. Scopes and reasons were redacted when they were taken.
    fn told_held(&self, line: &line::Status) -> Held {
        let redactor = &self.parts.redactor;
        let now = line.windows.iter().filter_map(|window| Some((window, window.until?)));
        let windows = now.take(MAX_HELD_WINDOWS).map(|(window, until)| HeldWindow {
            id: redactor.id(&window.id).into_owned(),
            devices: window.scope.devices.iter().take(MAX_HELD_NAMES).cloned().collect(),
            sites: window.scope.sites.iter().take(MAX_HELD_NAMES).cloned().collect(),
            until,
            reason: redactor.text(&window.reason).into_owned(),
            by: redactor.text(&window.by).into_owned(),
        });
        Held {
            maintenance: line.held.maintenance,
            parent: line.held.parent,
            windows: windows.collect(),
        }
    }

    /// The configuration is read again.
    pub(super) async fn reload(&self) -> Asked {
        self.parts.reload.ask().await
    }

    /// Asks the line for windows of maintenance, or for a change of them.
    pub(super) async fn maintain(&self, ask: Ask) -> Result<Vec<Shown>, String> {
        let (reply, answer) = oneshot::channel();
        let asked = async {
            self.parts.line.send(line::Command::Maintenance { ask, reply }).await.ok()?;
            answer.await.ok()
        };
        match timeout(ANSWER, asked).await {
            Ok(Some(answer)) => answer,
            _ => Err("the line does not answer".to_owned()),
        }
    }

    async fn held(&self, limit: usize) -> Result<Vec<(callhome_shared::alarm::Alarm, Hold)>, ()> {
        let (reply, answer) = oneshot::channel();
        let asked = async {
            self.parts.line.send(line::Command::Held { limit, reply }).await.map_err(|_| ())?;
            answer.await.map_err(|_| ())
        };
        timeout(ANSWER, asked).await.map_err(|_| ())?
    }

    async fn active(&self, limit: usize) -> Result<Vec<callhome_shared::alarm::Alarm>, ()> {
        let (reply, answer) = oneshot::channel();
        let asked = async {
            self.parts.line.send(line::Command::Active { limit, reply }).await.map_err(|_| ())?;
            answer.await.map_err(|_| ())
        };
        timeout(ANSWER, asked).await.map_err(|_| ())?
    }

    fn agent(&self) -> AgentReport {
        let (resident_bytes, cpu_ms) = process();
        AgentReport {
            id: self.parts.agent.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at: self.started_at,
            certificate_expires_at: self.parts.trust.expires_at(),
            trust: self.parts.trust.report(),
            resident_bytes,
            cpu_ms,
        }
    }
}

fn listed_alarm(alarm: callhome_shared::alarm::Alarm, ticket: Option<String>) -> ActiveAlarm {
    ActiveAlarm {
        alarm_id: alarm.alarm_id,
        severity: alarm.severity,
        device: alarm.device.name,
        resource: alarm.resource,
        kind: alarm.kind,
        text: alarm.text,
        observed_at: alarm.observed_at,
        ticket,
    }
}

fn outbox_report(status: &outbox::Status) -> OutboxReport {
    OutboxReport {
        epoch: status.epoch,
        created_at: status.created_at,
        stored_bytes: status.stored_bytes,
        budget_bytes: status.budget_bytes,
        commits: status.commits,
        commit_errors: status.commit_errors,
        refused_full: status.refused_full,
        set_aside: status.set_aside,
        store_changes: status.store_changes,
        store_changed_at: status.store_changed_at,
        salvaged: status.salvaged,
        aside_removed: status.aside_removed,
        lanes: status.lanes.iter().map(Into::into).collect(),
    }
}

fn line_report(status: &line::Status) -> LineReport {
    LineReport {
        active_alarms: status.active_alarms,
        blocked_since: status.blocked_since,
        blocked_by: status.blocked_by.as_ref().map(ToString::to_string),
        batches: status.counts.batches,
        readings: status.counts.readings,
        raised: status.counts.raised,
        changed: status.counts.changed,
        cleared: status.counts.cleared,
        losses: status.counts.losses,
        resyncs: status.counts.resyncs,
        clear_alls: status.counts.clear_alls,
        inventories: status.counts.inventories,
        held_maintenance: status.held.maintenance,
        held_parent: status.held.parent,
        held: status.counts.held,
        held_ended: status.counts.held_ended,
        released: status.counts.released,
        refused: status.counts.alarms_refused + status.counts.states_refused,
    }
}

/// Resident bytes and processor milliseconds of this process; 0 where /proc does not say.
fn process() -> (u64, u64) {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = statm.split(' ').nth(1).and_then(|n| n.parse().ok()).unwrap_or_default();
    let page = rustix::param::page_size() as u64;
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let ms = used.tv_sec.saturating_mul(1000).saturating_add(used.tv_nsec / 1_000_000);
    (pages * page, u64::try_from(ms).unwrap_or_default())
}
