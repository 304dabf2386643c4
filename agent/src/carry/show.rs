//! `outbox list` and `outbox show`.

use std::fmt::Write as _;

use callhome_shared::alarm::Alarm;
use callhome_shared::clear_all::ClearAll;
use callhome_shared::envelope::{Envelope, Kind, Lane, Loss};

use super::{Access, Which, each};
use crate::control::outbox::MAX_COUNT;

/// Characters of a payload's summary.
const SUMMARY: usize = 100;

/// One envelope, as it travels.
pub struct Found(pub Envelope);

/// What waits, one line each, at most `limit`; and how much more there is.
pub async fn list(access: &Access, lane: Option<Lane>, limit: usize) -> anyhow::Result<String> {
    let mut out = String::new();
    let mut left = limit;
    let mut more = 0;
    for lane in Lane::ALL.into_iter().filter(|l| lane.is_none_or(|wanted| wanted == *l)) {
        let mut after = 0;
        let mut told = 0;
        loop {
            let page = access.contents(lane, after, left.min(MAX_COUNT)).await?;
            let depth = page.lanes.iter().find(|l| l.lane == lane).map_or(0, |l| l.depth);
            if left == 0 || page.envelopes.is_empty() {
                more += depth.saturating_sub(told);
                break;
            }
            for envelope in page.envelopes.iter().take(left) {
                let envelope = Envelope::from_structured(envelope.get().as_bytes())?;
                let _ = writeln!(out, "{}", line(&envelope));
                (after, told, left) = (envelope.seq, told + 1, left - 1);
            }
        }
    }
    if more > 0 {
        let _ = writeln!(out, "… and {more} more");
    }
    if out.is_empty() {
        out.push_str("nothing waits\n");
    }
    Ok(out)
}

fn line(envelope: &Envelope) -> String {
    format!(
        "{}/{:<8} {} {} {:<9} {:>6} B  {}",
        envelope.lane.as_str(),
        envelope.seq,
        envelope.time,
        envelope.id,
        envelope.kind.as_str(),
        envelope.data.len(),
        summary(envelope)
    )
}

fn summary(envelope: &Envelope) -> String {
    let text = match envelope.kind {
        Kind::Alarm => serde_json::from_slice::<Alarm>(&envelope.data).ok().map(|alarm| {
            format!(
                "{} {} {} {} {}: {}",
                alarm.transition.as_str(),
                alarm.severity,
                alarm.device.name,
                alarm.resource,
                alarm.kind,
                alarm.text
            )
        }),
        Kind::Loss => serde_json::from_slice::<Loss>(&envelope.data).ok().map(|loss| {
            let count = loss.count.map(|n| format!(", {n}")).unwrap_or_default();
            format!("{} {}{count}", loss.source, loss.reason)
        }),
        Kind::ClearAll => serde_json::from_slice::<ClearAll>(&envelope.data).ok().map(|said| {
            let of = said.device.as_deref().unwrap_or("the agent");
            format!("{of}: no alarm stands, {} did ({})", said.count, said.reason)
        }),
        _ => None,
    };
    let text = text.unwrap_or_default();
    text.chars().filter(|c| !c.is_control()).take(SUMMARY).collect()
}

/// One envelope that waits.
pub async fn show(access: &Access, which: Which) -> anyhow::Result<Found> {
    let mut found = None;
    match which {
        Which::Place(lane, seq) => {
            let page = access.contents(lane, seq - 1, 1).await?;
            let first = page.envelopes.first();
            let first = first.map(|e| Envelope::from_structured(e.get().as_bytes())).transpose()?;
            found = first.filter(|envelope| envelope.seq == seq);
        }
        Which::Id(id) => {
            let wanted = id.to_string();
            each(access, |_, text| {
                if found.is_none() && text.contains(&wanted) {
                    let envelope = Envelope::from_structured(text.as_bytes())?;
                    found = Some(envelope).filter(|envelope| envelope.id == id);
                }
                Ok(())
            })
            .await?;
        }
    }
    found.map(Found).ok_or_else(|| {
        anyhow::anyhow!("it does not wait: acknowledged already, folded, given up, or never made")
    })
}

impl Found {
    /// Its attributes and its payload, for people.
    pub fn text(&self) -> String {
        let mut out = String::new();
        for (name, value) in self.0.user_properties() {
            let _ = writeln!(out, "{name:<12} {value}");
        }
        let data: serde_json::Value = serde_json::from_slice(&self.0.data).unwrap_or_default();
        let _ = writeln!(out, "{}", serde_json::to_string_pretty(&data).unwrap_or_default());
        out
    }
}
