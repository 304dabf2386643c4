//! `status` for people.

use std::cmp::Ordering;
use std::fmt::Write as _;

use callhome_shared::heartbeat::SourceState;
use callhome_shared::probe::{Missing, PathState};
use callhome_shared::readout::{Chosen, Readout};
use callhome_shared::time::Time;

use super::report::{HeldAlarm, LaneReport, StatusReport};
use crate::enrol::trust::TrustReport;
use crate::hold::{Scope, Shown};
use crate::link::{Phase, RoadReport};

const DAY_MS: i64 = 86_400_000;

/// The report as text; `now` is the reader's clock.
pub fn text(report: &StatusReport, now: Time) -> String {
    let mut out = String::new();
    let agent = &report.agent;
    let days = agent.certificate_expires_at.since_ms(now) / DAY_MS;
    line(&mut out, "agent", &format!("{} {}", agent.id, agent.version));
    line(&mut out, "running", &format!("for {}", span(now.since_ms(agent.started_at))));
    let memory = agent.resident_bytes as f64 / (1024.0 * 1024.0);
    let cpu = agent.cpu_ms as f64 / 1000.0;
    line(&mut out, "uses", &format!("{memory:.1} MiB, {cpu:.1} s of processor time"));
    let ended = now.since_ms(agent.certificate_expires_at) > 0;
    let expiry = match days {
        _ if ended => format!(
            "EXPIRED at {}, in quarantine: only renewal and alarms are taken",
            agent.certificate_expires_at
        ),
        ..1 => format!("ends today, at {}", agent.certificate_expires_at),
        1..30 => format!("ends in {days} days, at {}", agent.certificate_expires_at),
        _ => format!("valid until {}", agent.certificate_expires_at),
    };
    line(&mut out, "certificate", &expiry);
    trust(&mut out, &agent.trust);
    link(&mut out, report, now);
    outbox(&mut out, report, now);
    sources(&mut out, report, now);
    listeners(&mut out, report, now);
    redactions(&mut out, report);
    paths(&mut out, report, now);
    ledger(&mut out, report);
    bundles(&mut out, report);
    configuration(&mut out, report, now);
    held(&mut out, report, now);
    alarms(&mut out, report, now);
    out
}

fn trust(out: &mut String, trust: &TrustReport) {
    let text = match (trust.given, &trust.renews_at) {
        (true, _) => "its files are given: not renewed here".to_owned(),
        (false, Some(at)) => format!("is renewed at {at}, {} times so far", trust.renewed),
        (false, None) => "is not renewed: no collector's HTTPS address is known".to_owned(),
    };
    line(out, "", &text);
    if let Some(why) = &trust.last_failure {
        line(out, "", &format!("RENEWAL FAILED {} times, the last time: {why}", trust.failures));
    }
    if trust.roots > 1 {
        line(out, "", &format!("trusts {} CAs: the collector's is being exchanged", trust.roots));
    }
}

fn link(out: &mut String, report: &StatusReport, now: Time) {
    let link = &report.link;
    let since = span(now.since_ms(link.since));
    line(out, "link", &format!("{} (for {since})", link.detail));
    if let Some(failure) = link.last_failure.as_ref().filter(|_| link.phase == Phase::Connected) {
        let ago = span(now.since_ms(failure.at));
        line(out, "", &format!("last failure {ago} ago: {}", failure.text));
    }
    if link.roads.len() > 1 {
        for (i, road) in link.roads.iter().enumerate() {
            line(out, if i == 0 { "roads" } else { "" }, &way(road, now));
        }
    }
    let kib = |bytes: u64| bytes.div_ceil(1024);
    let (sent, received) = (kib(link.bytes.0), kib(link.bytes.1));
    line(out, "traffic", &format!("{sent} KiB sent, {received} KiB received"));
    let ack = link.last_ack_at.map_or("never since the start".to_owned(), |at| {
        format!("{} ago, at {at}", span(now.since_ms(at)))
    });
    line(out, "last ack", &ack);
    let n = &link.counts;
    let counts = format!(
        "{} published ({} again), {} acks, {} receipts, {} rejected, {} connections, {} failures",
        n.published, n.resent, n.acks, n.receipts, n.rejects, n.connects, n.failures
    );
    line(out, "", &counts);
}

fn way(road: &RoadReport, now: Time) -> String {
    let mark = if road.in_use { "*" } else { " " };
    let ago = |at: Time| format!("{} ago", span(now.since_ms(at)));
    let stood = match (road.connects, road.last_connected_at) {
        (n @ 1.., Some(at)) => format!("{n} connections, the last {}", ago(at)),
        _ => "never connected".to_owned(),
    };
    let failed = match &road.last_failure {
        Some(f) => format!("; {} failures, the last {}: {}", road.failures, ago(f.at), f.text),
        None => String::new(),
    };
    format!("{mark} {}: {stood}{failed}", road.road)
}

fn outbox(out: &mut String, report: &StatusReport, now: Time) {
    let outbox = &report.outbox;
    let kib = |bytes: u64| bytes.div_ceil(1024);
    let used = format!("{} of {} KiB", kib(outbox.stored_bytes), kib(outbox.budget_bytes));
    line(out, "outbox", &used);
    for lane in &outbox.lanes {
        line(out, "", &balance(lane, now));
    }
    if outbox.set_aside > 0 {
        let text = format!(
            "{} DAMAGED FILES SET ASIDE since the start, {} envelopes taken over from them; {} older \
             ones removed",
            outbox.set_aside, outbox.salvaged, outbox.aside_removed
        );
        line(out, "", &text);
    }
    if let Some(at) = outbox.store_changed_at {
        let ago = span(now.since_ms(at));
        let text = format!(
            "the collector was restored or replaced {} times, last {ago} ago: what it had committed \
             since its backup is lost there; all active alarms were sent again",
            outbox.store_changes
        );
        line(out, "", &text);
    }
    if let Some(why) = &report.line.blocked_by {
        line(out, "", &format!("NOTHING CAN BE STORED: {why}"));
    }
}

fn balance(lane: &LaneReport, now: Time) -> String {
    let oldest = lane
        .oldest_at
        .map_or(String::new(), |at| format!(", the oldest for {}", span(now.since_ms(at))));
    let (made, known) = (lane.last_seq, lane.acked + lane.folded + lane.evicted + lane.depth);
    let verdict = match made.cmp(&known) {
        Ordering::Equal => "; the balance closes".to_owned(),
        Ordering::Greater => format!("; {} ARE UNACCOUNTED FOR", made - known),
        Ordering::Less => format!("; {} TOO MANY ARE ACCOUNTED FOR", known - made),
    };
    format!(
        "{}: {made} made = {} acknowledged ({} rejected) + {} folded + {} given up + {} \
         waiting{oldest}{verdict}",
        lane.lane.as_str(),
        lane.acked,
        lane.rejected,
        lane.folded,
        lane.evicted,
        lane.depth
    )
}

/// Refusals and messages that nobody understood, of each listener, at most.
const SHOWN: usize = 5;

fn listeners(out: &mut String, report: &StatusReport, now: Time) {
    for (name, listener) in &report.listeners {
        let counts: Vec<String> =
            listener.counts.iter().map(|(what, n)| format!("{what} {n}")).collect();
        let counts = if counts.is_empty() { "nothing yet".to_owned() } else { counts.join(", ") };
        line(out, "heard", &format!("{name}: {counts}"));
        for sender in listener.senders.iter().filter(|sender| sender.dropped > 0).take(SHOWN) {
            let text = format!("STORM: {} messages of {} dropped", sender.dropped, sender.address);
            line(out, "", &text);
        }
        for refused in listener.refusals.iter().rev().take(SHOWN) {
            let (address, why) = (refused.address, &refused.why);
            let text =
                format!("refused {address}: {why} ({} times): {}", refused.count, refused.detail);
            line(out, "", &text);
        }
        for recent in listener.recent.iter().take(SHOWN) {
            let ago = span(now.since_ms(recent.at));
            let text = format!(
                "unknown {} of {} ({} times, {ago} ago): {}",
                recent.name, recent.device, recent.count, recent.text
            );
            line(out, "", &text);
        }
    }
}

fn sources(out: &mut String, report: &StatusReport, now: Time) {
    line(out, "sources", &report.sources.len().to_string());
    for source in &report.sources {
        let state = match source.state {
            SourceState::Starting => "starting",
            SourceState::Ok => "ok",
            SourceState::Degraded => "DEGRADED",
            SourceState::Failed => "FAILED",
        };
        let read = source
            .last_reading_at
            .map_or("never read".to_owned(), |at| format!("read {} ago", span(now.since_ms(at))));
        let detail =
            if source.detail.is_empty() { String::new() } else { format!(": {}", source.detail) };
        let text = format!(
            "{} ({} of {}) {state} for {}, {read}{detail}",
            source.source,
            source.kind,
            source.device,
            span(now.since_ms(source.since))
        );
        line(out, "", &text);
        if let Some(readout) = &source.readout {
            line(out, "", &format!("  {}", readout_text(readout)));
        }
    }
}

/// How the last reading of a device went, and what to check.
fn readout_text(readout: &Readout) -> String {
    let mut text = format!("{} values in {} ms", readout.values, readout.took_ms);
    if readout.faults > 0 {
        text += &format!(", {} NOT read", readout.faults);
    }
    if let Some(slowest) = &readout.slowest {
        text += &format!(", slowest {} ({} ms)", slowest.oid, slowest.ms);
    }
    if !readout.profiles.is_empty() {
        let why = match (readout.chosen, &readout.sysobjectid) {
            (Some(Chosen::Configured), _) => "configured".to_owned(),
            (Some(Chosen::Device), Some(id)) => format!("made for {id}"),
            (_, Some(id)) => format!("generic: none was made for {id}"),
            (_, None) => "generic: the device does not say what it is".to_owned(),
        };
        text += &format!("; profiles {} ({why})", readout.profiles.join(", "));
    }
    match readout.hint {
        Some(hint) => text + "; " + hint.advice(),
        None => text,
    }
}

fn redactions(out: &mut String, report: &StatusReport) {
    let all: Vec<String> =
        report.redactions.iter().map(|r| format!("{} {}", r.count, r.rule)).collect();
    let text = if all.is_empty() { "nothing so far".to_owned() } else { all.join(", ") };
    line(out, "redacted", &text);
}

fn paths(out: &mut String, report: &StatusReport, now: Time) {
    let said = if report.paths.is_empty() { "not proven by probes" } else { "proven to ticket" };
    line(out, "paths", said);
    for path in &report.paths {
        line(out, "", &format!("{} ({}) {}", path.source, path.kind, proof(path, now)));
        if let Some(Missing { hop, since, detail }) = &path.missing {
            let (hop, since) = (hop.as_str(), span(now.since_ms(*since)));
            let detail: String = detail.chars().filter(|c| !c.is_control()).collect();
            line(out, "", &format!("NOT PROVEN for {since}, stuck at {hop}: {detail}"));
        }
    }
}

fn proof(path: &PathState, now: Time) -> String {
    let (Some(at), Some(ticket)) = (path.proven_at, &path.ticket) else {
        return "never yet".to_owned();
    };
    let mut text = format!("{} ago, {ticket}", span(now.since_ms(at)));
    if let Some(ms) = path.took_ms {
        let _ = write!(text, " in {ms} ms");
    }
    if let (Some(p50), Some(p99)) = (path.p50_ms, path.p99_ms) {
        let _ = write!(text, " (p50 {p50} ms, p99 {p99} ms of {})", path.samples);
    }
    text
}

fn ledger(out: &mut String, report: &StatusReport) {
    let ledger = &report.ledger;
    let missed = match ledger.missed {
        0 => String::new(),
        missed => format!(", {missed} departures COULD NOT BE NOTED"),
    };
    let kib = ledger.bytes.div_ceil(1024);
    line(
        out,
        "ledger",
        &format!("{} entries, {kib} KiB{missed}; head {}", ledger.entries, ledger.head),
    );
}

fn bundles(out: &mut String, report: &StatusReport) {
    let bundles = &report.bundles;
    let mib = |bytes: u64| bytes.div_ceil(1024 * 1024);
    let states: Vec<String> =
        bundles.states.iter().map(|(state, n)| format!("{n} {state}")).collect();
    let states = if states.is_empty() { "none".to_owned() } else { states.join(", ") };
    let (used, budget) = (mib(bundles.used_bytes), mib(bundles.budget_bytes));
    line(out, "bundles", &format!("{states}; {used} of {budget} MiB"));
    if let Some(up) = &bundles.uploading {
        let percent = up.offset.saturating_mul(100) / up.size.max(1);
        let trouble = up.trouble.as_ref().map_or(String::new(), |text| format!("; {text}"));
        let id = up.id;
        line(out, "", &format!("{id}: {} of {} bytes ({percent} %){trouble}", up.offset, up.size));
    }
    if bundles.strange > 0 {
        line(out, "", &format!("{} BUNDLES CANNOT BE READ: see the log", bundles.strange));
    }
    if bundles.road.is_none() {
        line(out, "", "no HTTPS address of the collector is known: they wait (bundle.url)");
    }
}

fn configuration(out: &mut String, report: &StatusReport, now: Time) {
    let known = &report.configuration;
    let read = format!("read {} ago", span(now.since_ms(known.read_at)));
    line(out, "configuration", &read);
    if let (Some(at), Some(why)) = (known.refused_at, &known.refused_because) {
        let ago = span(now.since_ms(at));
        line(out, "", &format!("A NEWER ONE WAS REFUSED {ago} ago; the old one goes on:"));
        why.lines().for_each(|said| line(out, "", said));
    }
}

fn held(out: &mut String, report: &StatusReport, now: Time) {
    let counts = &report.line;
    let (maintenance, parent) = (counts.held_maintenance, counts.held_parent);
    if maintenance + parent > 0 || counts.held > 0 {
        let text = format!(
            "{maintenance} for maintenance, {parent} for a device that is down; since the start {} held, \
             {} ended untold, {} raised afterwards",
            counts.held, counts.held_ended, counts.released
        );
        line(out, "held back", &text);
    }
    for HeldAlarm { alarm, hold } in &report.held {
        let why = hold.to_string();
        let text = format!(
            "{} {} {} {} ({} ago; {why})",
            alarm.severity,
            alarm.device,
            alarm.resource,
            alarm.kind,
            span(now.since_ms(alarm.observed_at)),
        );
        line(out, "", &text);
    }
    for (n, window) in report.maintenance.iter().enumerate() {
        line(out, if n == 0 { "maintenance" } else { "" }, &shown(window, now));
    }
}

/// A window of maintenance in one line.
pub fn shown(window: &Shown, now: Time) -> String {
    let Scope { devices, sites } = &window.scope;
    let names: Vec<String> =
        devices.iter().cloned().chain(sites.iter().map(|s| format!("site {s}"))).collect();
    let of = if names.is_empty() { "everything".to_owned() } else { names.join(", ") };
    let when = match window.until {
        Some(until) => format!("NOW, for another {} (until {until})", span(until.since_ms(now))),
        None => "not now".to_owned(),
    };
    let words = format!("{}: {of}, {when}; {} ({})", window.id, window.reason, window.by);
    words.chars().filter(|c| !c.is_control()).collect()
}

fn alarms(out: &mut String, report: &StatusReport, now: Time) {
    line(out, "alarms", &format!("{} active", report.line.active_alarms));
    for alarm in &report.alarms {
        let ticket = alarm.ticket.as_deref().unwrap_or("no ticket yet");
        let text = format!(
            "{} {} {} {} ({} ago, {ticket}): {}",
            alarm.severity,
            alarm.device,
            alarm.resource,
            alarm.kind,
            span(now.since_ms(alarm.observed_at)),
            alarm.text.chars().filter(|c| !c.is_control()).take(120).collect::<String>()
        );
        line(out, "", &text);
    }
}

fn line(out: &mut String, name: &str, text: &str) {
    let _ = writeln!(out, "{name:<12} {text}");
}

/// A duration in its two largest units.
fn span(ms: i64) -> String {
    let s = ms.max(0) / 1000;
    match s {
        0..60 => format!("{s} s"),
        60..3600 => format!("{} min {} s", s / 60, s % 60),
        3600..86_400 => format!("{} h {} min", s / 3600, s / 60 % 60),
        _ => format!("{} d {} h", s / 86_400, s / 3600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans() {
        for (ms, text) in [
            (-5, "0 s"),
            (59_999, "59 s"),
            (61_000, "1 min 1 s"),
            (3_660_000, "1 h 1 min"),
            (90_000_000, "1 d 1 h"),
        ] {
            assert_eq!(span(ms), text);
        }
    }
}
