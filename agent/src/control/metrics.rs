//! Prometheus metrics, made anew at each scrape from one snapshot.

use std::fmt;

use callhome_shared::heartbeat::SourceState;
use callhome_shared::probe::PathState;
use callhome_shared::time::Time;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::report::StatusReport;
use crate::link::Phase;

/// The content type of [`encode`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All metrics as OpenMetrics text.
pub fn encode(report: StatusReport) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("callhome_agent");
    registry.register_collector(Box::new(Snapshot(report)));
    let mut out = String::new();
    text::encode(&mut out, &registry)?;
    Ok(out)
}

#[derive(Debug)]
struct Snapshot(StatusReport);

type Labels<'a> = Vec<(&'static str, &'a str)>;

/// Writes metrics one after the other.
struct Page<'e>(DescriptorEncoder<'e>);

impl Page<'_> {
    fn gauge(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        let gauge = ConstGauge::new(value);
        gauge.encode(self.0.encode_descriptor(name, help, None, MetricType::Gauge)?)
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let counter = ConstCounter::new(value);
        counter.encode(self.0.encode_descriptor(name, help, None, MetricType::Counter)?)
    }

    fn gauges<'l>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (Labels<'l>, f64)>,
    ) -> fmt::Result {
        let mut encoder = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, value) in values {
            ConstGauge::new(value).encode(encoder.encode_family(&labels.as_slice())?)?;
        }
        Ok(())
    }

    fn counters<'l>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (Labels<'l>, u64)>,
    ) -> fmt::Result {
        let mut encoder = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, value) in values {
            ConstCounter::new(value).encode(encoder.encode_family(&labels.as_slice())?)?;
        }
        Ok(())
    }
}

impl Collector for Snapshot {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page(encoder);
        self.agent(&mut page)?;
        self.link(&mut page)?;
        self.outbox(&mut page)?;
        self.line(&mut page)?;
        self.redactions(&mut page)?;
        self.sources(&mut page)?;
        self.listeners(&mut page)?;
        self.paths(&mut page)?;
        self.bundles(&mut page)
    }
}

impl Snapshot {
    fn agent(&self, page: &mut Page<'_>) -> fmt::Result {
        let agent = &self.0.agent;
        let version = vec![("version", agent.version.as_str())];
        page.gauges("build_info", "The agent's version", [(version, 1.0)])?;
        page.gauge("start_time_seconds", "When the agent started", seconds(agent.started_at))?;
        page.gauge(
            "certificate_expiry_timestamp_seconds",
            "When the agent's certificate ends",
            seconds(agent.certificate_expires_at),
        )?;
        page.gauge("resident_memory_bytes", "Resident memory", agent.resident_bytes as f64)?;
        page.gauge("cpu_used_seconds", "Processor time used", agent.cpu_ms as f64 / 1000.0)
    }

    fn link(&self, page: &mut Page<'_>) -> fmt::Result {
        let link = &self.0.link;
        let up = f64::from(u8::from(link.phase == Phase::Connected));
        page.gauge("link_connected", "Whether the collector is connected", up)?;
        if let Some(at) = link.last_ack_at {
            let help = "When the collector last acknowledged something";
            page.gauge("link_last_ack_timestamp_seconds", help, seconds(at))?;
        }
        let counts = &link.counts;
        for (name, help, value) in [
            ("link_connects", "Connections made", counts.connects),
            ("link_failures", "Connections and attempts that failed", counts.failures),
            ("link_stalls", "Clients rebuilt because nothing moved", counts.stalls),
            ("link_published", "Envelopes handed to the client", counts.published),
            ("link_resent", "Envelopes sent again", counts.resent),
            ("link_pubacks", "PUBACKs", counts.pubacks),
            ("link_refused", "Publishes refused by the broker", counts.refused),
            ("link_acks", "End-to-end acknowledgements", counts.acks),
            ("link_rejects", "Envelopes rejected by the collector", counts.rejects),
            ("link_receipts", "Receipts", counts.receipts),
            ("link_malformed", "Messages not understood", counts.malformed),
            ("link_heartbeats", "Heartbeats sent", counts.heartbeats),
            ("link_reconnects", "Connections after the first", counts.connects.saturating_sub(1)),
            ("link_failovers", "Changes to the next road after failures", counts.failovers),
            ("link_failbacks", "Changes back to a preferred road", counts.failbacks),
            ("link_sent_bytes", "Plaintext bytes sent, as the ledger has them", link.bytes.0),
            (
                "link_received_bytes",
                "Plaintext bytes received, as the ledger has them",
                link.bytes.1,
            ),
        ] {
            page.counter(name, help, value)?;
        }
        self.roads(page)
    }

    fn roads(&self, page: &mut Page<'_>) -> fmt::Result {
        let link = &self.0.link;
        let numbers: Vec<String> = (1..=link.roads.len()).map(|n| n.to_string()).collect();
        let each = || {
            numbers.iter().zip(&link.roads).map(|(number, road)| {
                let (kind, url) = (road.kind.as_str(), road.road.as_str());
                (vec![("number", number.as_str()), ("kind", kind), ("road", url)], road)
            })
        };
        let stands = link.phase == Phase::Connected;
        let in_use =
            each().map(|(labels, road)| (labels, f64::from(u8::from(stands && road.in_use))));
        page.gauges("link_road_in_use", "1: a connection stands on this road", in_use)?;
        let connects = each().map(|(labels, road)| (labels, road.connects));
        page.counters("link_road_connects", "Connections made on it", connects)?;
        let failures = each().map(|(labels, road)| (labels, road.failures));
        page.counters("link_road_failures", "Failures on it", failures)
    }

    fn outbox(&self, page: &mut Page<'_>) -> fmt::Result {
        let outbox = &self.0.outbox;
        page.gauge("outbox_stored_bytes", "Bytes stored", outbox.stored_bytes as f64)?;
        page.gauge("outbox_budget_bytes", "Limit of stored bytes", outbox.budget_bytes as f64)?;
        page.counter("outbox_commits", "Transactions", outbox.commits)?;
        page.counter("outbox_commit_errors", "Transactions that failed", outbox.commit_errors)?;
        page.counter("outbox_refused_full", "Transactions put off: full", outbox.refused_full)?;
        page.counter("outbox_set_aside", "Damaged files set aside", outbox.set_aside)?;
        page.counter(
            "outbox_store_changes",
            "Times the collector had another store than before",
            outbox.store_changes,
        )?;
        let help = "Envelopes taken over from damaged files";
        page.counter("outbox_salvaged", help, outbox.salvaged)?;
        let help = "Older damaged files removed";
        page.counter("outbox_set_aside_removed", help, outbox.aside_removed)?;
        let lanes = || outbox.lanes.iter().map(|l| (vec![("lane", l.lane.as_str())], l));
        let depth = lanes().map(|(labels, l)| (labels, l.depth as f64));
        page.gauges("outbox_depth", "Envelopes that wait for an acknowledgement", depth)?;
        let now = Time::now();
        let oldest = lanes().map(|(labels, l)| {
            (labels, l.oldest_at.map_or(0.0, |at| now.since_ms(at) as f64 / 1000.0))
        });
        page.gauges("outbox_oldest_seconds", "Age of the oldest of them", oldest)?;
        let help = "Envelopes made in this life of the outbox";
        page.counters("outbox_envelopes", help, lanes().map(|(labels, l)| (labels, l.last_seq)))?;
        let help = "Of them, acknowledged";
        page.counters("outbox_acked", help, lanes().map(|(labels, l)| (labels, l.acked)))?;
        let help = "Of them, given up at the budget and declared";
        page.counters("outbox_evicted", help, lanes().map(|(labels, l)| (labels, l.evicted)))?;
        let help = "Of them, folded into later ones at the budget and declared";
        page.counters("outbox_folded", help, lanes().map(|(labels, l)| (labels, l.folded)))?;
        let help = "Of them, rejected by the collector";
        page.counters("outbox_rejected", help, lanes().map(|(labels, l)| (labels, l.rejected)))
    }

    fn line(&self, page: &mut Page<'_>) -> fmt::Result {
        let line = &self.0.line;
        page.gauge("alarms_active", "Active alarms", line.active_alarms as f64)?;
        let blocked = f64::from(u8::from(line.blocked_since.is_some()));
        page.gauge("line_blocked", "Whether nothing can be stored", blocked)?;
        let transitions =
            [("raised", line.raised), ("changed", line.changed), ("cleared", line.cleared)];
        page.counters(
            "alarms",
            "Transitions of alarms",
            transitions.map(|(name, n)| (vec![("transition", name)], n)),
        )?;
        page.counter("batches", "Batches stored", line.batches)?;
        page.counter("readings", "Readings stored", line.readings)?;
        page.counter("losses", "Losses declared", line.losses)?;
        page.counter("resyncs", "Times the whole active set was sent", line.resyncs)?;
        let help = "Times it was said that of a device, or of the agent, no alarm stands any more";
        page.counter("clear_alls", help, line.clear_alls)?;
        let help = "Times it was told what a device is and is made of";
        page.counter("inventories", help, line.inventories)?;
        page.counter("refused", "Raises and readings refused at a limit", line.refused)
    }

    fn redactions(&self, page: &mut Page<'_>) -> fmt::Result {
        let redactions = &self.0.redactions;
        let counts = redactions.iter().map(|r| (vec![("rule", r.rule.as_str())], r.count));
        page.counters("redactions", "What was taken out of texts that leave", counts)?;
        let ledger = &self.0.ledger;
        page.gauge("ledger_bytes", "Size of the record of what left", ledger.bytes as f64)?;
        let help = "Departures that could not be noted in it";
        page.counter("ledger_missed", help, ledger.missed)
    }

    fn listeners(&self, page: &mut Page<'_>) -> fmt::Result {
        let counts = self.0.listeners.iter().flat_map(|(source, listener)| {
            let labels = move |what| vec![("source", source.as_str()), ("outcome", what)];
            listener.counts.iter().map(move |(what, n)| (labels(what.as_str()), *n))
        });
        page.counters("listener_messages", "Messages heard, by what became of them", counts)
    }

    fn sources(&self, page: &mut Page<'_>) -> fmt::Result {
        let sources = &self.0.sources;
        let up = sources.iter().map(|s| {
            let labels = vec![
                ("source", s.source.as_str()),
                ("device", s.device.as_str()),
                ("kind", s.kind.as_str()),
            ];
            (
                labels,
                f64::from(u8::from(matches!(s.state, SourceState::Ok | SourceState::Degraded))),
            )
        });
        page.gauges("source_up", "Whether the source reads", up)?;
        let last = sources.iter().filter_map(|s| {
            s.last_reading_at.map(|at| (vec![("source", s.source.as_str())], seconds(at)))
        });
        page.gauges("source_last_reading_timestamp_seconds", "When it last read", last)
    }
}

impl Snapshot {
    fn paths(&self, page: &mut Page<'_>) -> fmt::Result {
        let paths = || self.0.paths.iter();
        let source = |path: &'_ PathState| path.source.clone();
        let names: Vec<String> = paths().map(source).collect();
        let each =
            || paths().zip(&names).map(|(path, name)| (vec![("source", name.as_str())], path));
        let proven = each().map(|(labels, p)| (labels, f64::from(u8::from(p.missing.is_none()))));
        page.gauges("path_proven", "0: the path to a ticket was not proven in time", proven)?;
        let last = each().filter_map(|(labels, p)| Some((labels, seconds(p.proven_at?))));
        page.gauges("path_last_proven_timestamp_seconds", "When it was last proven", last)?;
        let quantiles = each().flat_map(|(labels, p)| {
            [("0.5", p.p50_ms), ("0.99", p.p99_ms)].into_iter().filter_map(move |(quantile, ms)| {
                let labels = [labels.clone(), vec![("quantile", quantile)]].concat();
                Some((labels, ms? as f64 / 1000.0))
            })
        });
        page.gauges("path_latency_seconds", "From the reader to the receipt", quantiles)
    }
}

impl Snapshot {
    fn bundles(&self, page: &mut Page<'_>) -> fmt::Result {
        let bundles = &self.0.bundles;
        let states = bundles.states.iter().map(|(state, n)| {
            let labels = vec![("state", state.as_str())];
            (labels, *n as f64)
        });
        page.gauges("bundles", "Evidence bundles that are remembered", states)?;
        page.gauge("bundle_used_bytes", "Archives on the disk", bundles.used_bytes as f64)?;
        page.gauge("bundle_budget_bytes", "Limit for them", bundles.budget_bytes as f64)?;
        let (offset, size) = bundles.uploading.as_ref().map_or((0, 0), |up| (up.offset, up.size));
        page.gauge("bundle_upload_bytes", "Size of the one that is uploaded", size as f64)?;
        page.gauge("bundle_upload_offset_bytes", "What the collector has of it", offset as f64)?;
        let help = "Bundles refused because of a limit";
        page.counter("bundle_refused", help, bundles.refused)?;
        page.counter("bundle_sent_bytes", "Content bytes handed over", bundles.sent_bytes)?;
        page.counter("bundle_chunks", "Chunks handed over", bundles.chunks)?;
        let help = "Uploads interrupted by a failure or by the collector's wish";
        page.counter("bundle_interruptions", help, bundles.interruptions)?;
        let help = "Bundles on the disk that cannot be read";
        page.gauge("bundle_unreadable", help, bundles.strange as f64)
    }
}

fn seconds(time: Time) -> f64 {
    time.millis() as f64 / 1000.0
}
