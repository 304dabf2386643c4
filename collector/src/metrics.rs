//! What the collector counts: Prometheus names `callhome_collector_…`.
//!
//! One value, shared by everyone who counts; `/metrics` writes it out. Labels come from closed
//! lists or from the router, never from input, so that the number of series is bounded.

use std::fmt::Write as _;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// One label: its name and its value.
type Label = [(&'static str, &'static str); 1];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    method: &'static str,
    route: String,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Refused {
    listener: &'static str,
    reason: &'static str,
}

/// What became of an envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Committed.
    Applied,
    /// Seen before: acknowledged again, nothing changed.
    Duplicate,
    /// Refused with a reason; kept.
    Rejected,
}

impl Outcome {
    fn as_str(self) -> &'static str {
        match self {
            Outcome::Applied => "applied",
            Outcome::Duplicate => "duplicate",
            Outcome::Rejected => "rejected",
        }
    }
}

/// All counters and gauges.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    envelopes: Family<Label, Counter>,
    rejects: Family<Label, Counter>,
    tickets_opened: Counter,
    test_tickets_opened: Counter,
    probes_proven: Counter,
    paths_not_proven: Gauge,
    tickets_open: Gauge,
    clock_steps: Counter,
    expired_calls: Counter,
    notices: Family<[(&'static str, &'static str); 1], Counter>,
    agents_online: Gauge,
    commit_seconds: Histogram,
    requests: Family<Request, Counter>,
    connections: Family<Label, Gauge>,
    connections_refused: Family<Refused, Counter>,
    event_streams: Gauge,
    logins_refused: Family<Label, Counter>,
    alertmanager_alerts: Family<Label, Counter>,
    requests_refused: Family<Label, Counter>,
    queue_depth: Family<Label, Gauge>,
    resyncs: Family<Label, Counter>,
    resync_alarms: Family<Label, Counter>,
    clear_alls: Counter,
    clear_all_alarms: Counter,
    inventories: Counter,
    module_changes: Counter,
    agents_silent: Gauge,
    broker_events: Family<Label, Counter>,
    post_events: Family<Label, Counter>,
    bundle_events: Family<Label, Counter>,
    bundle_bytes: Counter,
    bundles: Family<Label, Gauge>,
    bundle_room_taken: Gauge,
    record_good: Gauge,
    record_breaks: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        Metrics::new()
    }
}

impl Metrics {
    /// Everything at zero.
    pub fn new() -> Self {
        let mut all = Metrics {
            registry: Registry::with_prefix("callhome_collector"),
            envelopes: Family::default(),
            rejects: Family::default(),
            tickets_opened: Counter::default(),
            test_tickets_opened: Counter::default(),
            probes_proven: Counter::default(),
            paths_not_proven: Gauge::default(),
            tickets_open: Gauge::default(),
            clock_steps: Counter::default(),
            expired_calls: Counter::default(),
            notices: Family::default(),
            agents_online: Gauge::default(),
            commit_seconds: Histogram::new([
                0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0,
            ]),
            requests: Family::default(),
            connections: Family::default(),
            connections_refused: Family::default(),
            event_streams: Gauge::default(),
            logins_refused: Family::default(),
            alertmanager_alerts: Family::default(),
            requests_refused: Family::default(),
            queue_depth: Family::default(),
            resyncs: Family::default(),
            resync_alarms: Family::default(),
            clear_alls: Counter::default(),
            clear_all_alarms: Counter::default(),
            inventories: Counter::default(),
            module_changes: Counter::default(),
            agents_silent: Gauge::default(),
            broker_events: Family::default(),
            post_events: Family::default(),
            bundle_events: Family::default(),
            bundle_bytes: Counter::default(),
            bundles: Family::default(),
            bundle_room_taken: Gauge::default(),
            record_good: Gauge::default(),
            record_breaks: Gauge::default(),
        };
        all.register();
        all.register_bundles();
        all.register_inventories();
        all.register_record();
        all
    }

    fn register(&mut self) {
        let r = &mut self.registry;
        r.register("envelopes", "Envelopes by outcome", self.envelopes.clone());
        r.register("rejects", "Rejected envelopes by reason", self.rejects.clone());
        r.register("tickets_opened", "Tickets opened by alarms", self.tickets_opened.clone());
        r.register(
            "test_tickets_opened",
            "Of them, opened by test alarms",
            self.test_tickets_opened.clone(),
        );
        r.register(
            "probes_proven",
            "Probes that became shadow tickets",
            self.probes_proven.clone(),
        );
        r.register(
            "paths_not_proven",
            "Paths (agent and source) that were not proven in time",
            self.paths_not_proven.clone(),
        );
        r.register("tickets_open", "Tickets that are not closed", self.tickets_open.clone());
        r.register("agents_online", "Agents connected at present", self.agents_online.clone());
        r.register(
            "commit_seconds",
            "Time from the start of a write transaction to its commit",
            self.commit_seconds.clone(),
        );
        r.register("http_requests", "HTTP requests by route and status", self.requests.clone());
        r.register("connections", "Open connections by listener", self.connections.clone());
        r.register(
            "connections_refused",
            "Connections closed by a listener before they got anywhere, by reason",
            self.connections_refused.clone(),
        );
        r.register("event_streams", "Open live-event streams", self.event_streams.clone());
        let alerts = self.alertmanager_alerts.clone();
        r.register("alertmanager_alerts", "Alerts of Alertmanager by outcome", alerts);
        r.register("logins_refused", "Refused log-ins by reason", self.logins_refused.clone());
        r.register(
            "requests_refused",
            "API requests refused because they came too fast, by limit",
            self.requests_refused.clone(),
        );
        r.register("queue_depth", "Entries waiting, by queue", self.queue_depth.clone());
        r.register("resyncs", "Whole alarm sets asked for and applied", self.resyncs.clone());
        r.register(
            "resync_alarms",
            "Alarms that a whole set raised, changed, cleared or left as they were",
            self.resync_alarms.clone(),
        );
        r.register(
            "clear_alls",
            "Envelopes that said of an agent or a device that no alarm stands any more",
            self.clear_alls.clone(),
        );
        r.register("clear_all_alarms", "Alarms that they ended", self.clear_all_alarms.clone());
        r.register(
            "agents_silent",
            "Agents that have missed five heartbeats and have a ticket for it",
            self.agents_silent.clone(),
        );
        r.register(
            "broker_events",
            "What the embedded broker refused, slowed down or dropped",
            self.broker_events.clone(),
        );
        r.register(
            "post_events",
            "Delivery over HTTPS: requests answered, events taken, refusals by reason",
            self.post_events.clone(),
        );
    }

    fn register_inventories(&mut self) {
        let r = &mut self.registry;
        let help = "Envelopes that said what a device is and is made of";
        r.register("inventories", help, self.inventories.clone());
        let help = "Parts of devices that came, went, moved or became others";
        r.register("module_changes", help, self.module_changes.clone());
    }

    fn register_bundles(&mut self) {
        let r = &mut self.registry;
        r.register(
            "bundle_events",
            "Uploads of evidence bundles: taken, refused, let go, by reason",
            self.bundle_events.clone(),
        );
        r.register("bundle_bytes", "Bytes of bundles that were kept", self.bundle_bytes.clone());
        r.register(
            "bundles",
            "Bundles: open uploads, complete ones, of them those whose file is missing",
            self.bundles.clone(),
        );
        r.register(
            "bundle_room_taken_bytes",
            "Room that bundles take, as the quotas count it",
            self.bundle_room_taken.clone(),
        );
    }

    fn register_record(&mut self) {
        let r = &mut self.registry;
        r.register(
            "clock_steps",
            "Warnings, ends of limits and escalations that clocks told",
            self.clock_steps.clone(),
        );
        r.register(
            "expired_calls",
            "Calls for tickets that nobody answered in time",
            self.expired_calls.clone(),
        );
        r.register(
            "notices",
            "Notices by what became of an attempt: sent, again, failed",
            self.notices.clone(),
        );
        r.register(
            "record_good_rows",
            "Up to this row the trust record is as it was written, by the last look along its chain",
            self.record_good.clone(),
        );
        r.register(
            "record_breaks",
            "Broken places that the last look along the trust record's chain found",
            self.record_breaks.clone(),
        );
    }

    /// A look along the trust record's chain: up to which row it is good, and its broken places.
    pub fn set_record(&self, good_up_to: i64, breaks: usize) {
        self.record_good.set(good_up_to);
        self.record_breaks.set(i64::try_from(breaks).unwrap_or(i64::MAX));
    }

    /// An envelope has been dealt with.
    pub fn envelope(&self, outcome: Outcome) {
        self.envelopes.get_or_create(&[("outcome", outcome.as_str())]).inc();
    }

    /// Why an envelope was rejected; `reason` is one of the protocol's.
    pub fn reject(&self, reason: &'static str) {
        self.rejects.get_or_create(&[("reason", reason)]).inc();
    }

    /// Probes became shadow tickets.
    pub fn probes_proven(&self, count: usize) {
        self.probes_proven.inc_by(count as u64);
    }

    /// How many paths were not proven in time.
    pub fn set_paths_not_proven(&self, count: usize) {
        self.paths_not_proven.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Agents were asked for their whole alarm set.
    pub fn resyncs_asked(&self, count: usize) {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.resyncs.get_or_create(&[("step", "asked")]).inc_by(count);
    }

    /// A whole alarm set was applied; how many alarms it raised, changed, cleared and left as they were.
    pub fn resync_applied(&self, [raised, changed, cleared, unchanged]: [i64; 4]) {
        self.resyncs.get_or_create(&[("step", "applied")]).inc();
        let changes = [
            ("raised", raised),
            ("changed", changed),
            ("cleared", cleared),
            ("unchanged", unchanged),
        ];
        for (word, count) in changes {
            let count = u64::try_from(count).unwrap_or(0);
            self.resync_alarms.get_or_create(&[("change", word)]).inc_by(count);
        }
    }

    /// An agent said of itself or of a device that no alarm stands any more; it ended so many.
    pub fn cleared_all(&self, alarms: usize) {
        self.clear_alls.inc();
        self.clear_all_alarms.inc_by(alarms as u64);
    }

    /// It was said so often what devices are made of, and so much of that had changed.
    pub fn inventoried(&self, told: u64, changes: usize) {
        self.inventories.inc_by(told);
        self.module_changes.inc_by(changes as u64);
    }

    /// How many agents are silent and have a ticket for it.
    pub fn set_agents_silent(&self, count: i64) {
        self.agents_silent.set(count);
    }

    /// A ticket was opened by an alarm.
    pub fn ticket_opened(&self, test: bool) {
        self.tickets_opened.inc();
        if test {
            self.test_tickets_opened.inc();
        }
    }

    /// A write transaction was committed.
    pub fn committed(&self, took: Duration) {
        self.commit_seconds.observe(took.as_secs_f64());
    }

    /// What became of an attempt to deliver so many notices.
    pub fn count_notices(&self, result: &'static str, count: usize) {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.notices.get_or_create(&[("result", result)]).inc_by(count);
    }

    /// So many calls were not answered in time.
    pub fn count_expired_calls(&self, count: usize) {
        self.expired_calls.inc_by(u64::try_from(count).unwrap_or(u64::MAX));
    }

    /// Clocks told so many things.
    pub fn count_clock_steps(&self, count: usize) {
        self.clock_steps.inc_by(u64::try_from(count).unwrap_or(u64::MAX));
    }

    /// How many tickets are not closed.
    pub fn set_tickets_open(&self, count: i64) {
        self.tickets_open.set(count);
    }

    /// How many agents are connected.
    pub fn set_agents_online(&self, count: i64) {
        self.agents_online.set(count);
    }

    /// An HTTP request was answered; `route` is the router's pattern.
    pub fn request(&self, method: &'static str, route: &str, status: u16) {
        self.requests.get_or_create(&Request { method, route: route.to_owned(), status }).inc();
    }

    /// A connection was accepted by `listener` (`https`, `mqtt`, …).
    pub fn connected(&self, listener: &'static str) {
        self.connections.get_or_create(&[("listener", listener)]).inc();
    }

    /// It has ended.
    pub fn disconnected(&self, listener: &'static str) {
        self.connections.get_or_create(&[("listener", listener)]).dec();
    }

    /// A connection was closed before it got anywhere: because of a limit (`in-all`, `source`,
    /// `pace`, `agent`, `agent-pace`) or because its client did not do its part (`handshake`,
    /// `silent`).
    pub fn connection_refused(&self, listener: &'static str, reason: &'static str) {
        self.connections_refused.get_or_create(&Refused { listener, reason }).inc();
    }

    /// How many live-event streams are open.
    pub fn set_event_streams(&self, count: usize) {
        self.event_streams.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// A log-in was refused.
    pub fn login_refused(&self, reason: &'static str) {
        self.logins_refused.get_or_create(&[("reason", reason)]).inc();
    }

    /// So many alerts of Alertmanager were `taken`, `known`, `late` or `refused`.
    pub fn alerts(&self, outcome: &'static str, count: u64) {
        if count > 0 {
            self.alertmanager_alerts.get_or_create(&[("outcome", outcome)]).inc_by(count);
        }
    }

    /// A request came too fast for `limit` (`user`, `source`).
    pub fn request_refused(&self, limit: &'static str) {
        self.requests_refused.get_or_create(&[("limit", limit)]).inc();
    }

    /// How many entries wait in `queue`.
    pub fn set_queue_depth(&self, queue: &'static str, depth: usize) {
        let depth = i64::try_from(depth).unwrap_or(i64::MAX);
        self.queue_depth.get_or_create(&[("queue", queue)]).set(depth);
    }

    /// The embedded broker refused, slowed down or dropped something; `event` says what.
    pub fn broker_event(&self, event: &'static str) {
        self.broker_events.get_or_create(&[("event", event)]).inc();
    }

    /// Delivery over HTTPS took, refused, slowed down or dropped something; `event` says what.
    pub fn post_event(&self, event: &'static str) {
        self.post_events.get_or_create(&[("event", event)]).inc();
    }

    /// Something about a bundle was taken, refused or let go; `event` says what.
    pub fn bundle_event(&self, event: &'static str) {
        self.bundle_events.get_or_create(&[("event", event)]).inc();
    }

    /// Bytes of a bundle were kept.
    pub fn bundle_bytes(&self, count: u64) {
        self.bundle_bytes.inc_by(count);
    }

    /// How many bundles there are and how much room they take.
    pub fn set_bundles(&self, census: crate::store::bundles::Census) {
        let states =
            [("open", census.open), ("complete", census.complete), ("missing", census.missing)];
        for (state, count) in states {
            self.bundles.get_or_create(&[("state", state)]).set(count);
        }
        self.bundle_room_taken.set(census.taken);
    }

    /// All of it in OpenMetrics text.
    pub fn text(&self) -> String {
        let mut out = String::new();
        if encode(&mut out, &self.registry).is_err() {
            // Writing to a String cannot fail; a broken encoder must still not break the scrape.
            let _ = writeln!(out, "# EOF");
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_published_ones() {
        let metrics = Metrics::new();
        metrics.envelope(Outcome::Duplicate);
        metrics.reject("malformed");
        metrics.ticket_opened(true);
        metrics.committed(Duration::from_millis(3));
        metrics.request("GET", "/api/v1/tickets", 200);
        metrics.connected("https");
        metrics.set_queue_depth("flow", 7);
        let text = metrics.text();
        for line in [
            "callhome_collector_envelopes_total{outcome=\"duplicate\"} 1",
            "callhome_collector_rejects_total{reason=\"malformed\"} 1",
            "callhome_collector_tickets_opened_total 1",
            "callhome_collector_test_tickets_opened_total 1",
            "callhome_collector_commit_seconds_bucket{le=\"0.005\"} 1",
            "callhome_collector_http_requests_total{method=\"GET\",route=\"/api/v1/tickets\",status=\"200\"} 1",
            "callhome_collector_connections{listener=\"https\"} 1",
            "callhome_collector_queue_depth{queue=\"flow\"} 7",
            "# EOF",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}
