//! Writes what a batch changed, everything sorted, so that two collectors on one server meet in
//! the same order.

use std::collections::BTreeSet;

use callhome_shared::alarm::Device;

use super::entitle::{self, Described, Opening};
use super::ledger::{HeldTicket, Ledger};
use super::{clocks, duty, inventory, resync, search};
use crate::masters::{Kind, Values};
use crate::store::tickets::{self, TicketRow};
use crate::store::{
    Result, Tx, agents, alarms, bundles, cases, decisions, devices, envelopes, evidence, losses,
    presence, probes, rejects, streams, timeline, topology,
};

/// Writes it. Tickets that were opened get their numbers.
pub(super) async fn save(tx: &mut Tx, ledger: &mut Ledger) -> Result<()> {
    save_alarms(tx, ledger).await?;
    save_tickets(tx, ledger).await?;
    ledger.number_probes();
    let added = &mut ledger.added;
    for (case, closed_at) in &ledger.overs {
        // Those that this batch opens are written as they are.
        if !added.cases.iter().any(|new| new.id == *case) {
            cases::set_over(tx, case, *closed_at).await?;
        }
    }
    for case in &mut added.cases {
        if let Some(closed_at) = ledger.overs.get(&case.id) {
            case.closed_at = *closed_at;
        }
    }
    added.cases.sort_unstable_by(|a, b| a.identity.cmp(&b.identity));
    added.attached.sort_unstable();
    added.evidence.sort_unstable_by(|a, b| a.id.cmp(&b.id));
    added.losses.sort_unstable_by(|a, b| a.id.cmp(&b.id));
    added.envelopes.sort_unstable_by(|a, b| (&a.stream, a.seq).cmp(&(&b.stream, b.seq)));
    added.passed.sort_unstable_by(|a, b| (&a.key, a.first).cmp(&(&b.key, b.first)));
    added.passed.dedup_by(|a, b| (&a.key, a.first) == (&b.key, b.first));
    cases::insert_all(tx, &added.cases).await?;
    cases::attach(tx, &added.attached).await?;
    let decided = ledger.decisions.values().filter(|held| held.changed);
    let decided: Vec<_> = decided.map(|held| held.row.clone()).collect();
    decisions::save(tx, &decided).await?;
    added.probes.sort_unstable_by(|a, b| a.alarm_id.cmp(&b.alarm_id));
    probes::insert_all(tx, &added.probes).await?;
    timeline::insert_all(tx, &added.timeline).await?;
    duty::told(tx, &added.timeline, ledger.now).await?;
    evidence::insert_all(tx, &added.evidence).await?;
    added.bundles_told.sort_unstable();
    bundles::note_told(tx, &added.bundles_told).await?;
    losses::insert_all(tx, &added.losses).await?;
    rejects::insert_all(tx, &added.rejects).await?;
    envelopes::insert_all(tx, &added.envelopes).await?;
    streams::pass(tx, &added.passed).await?;
    let now = ledger.now;
    let changed = ledger.streams.values_mut().filter(|held| held.changed);
    let marks: Vec<_> = changed
        .map(|held| {
            held.row.updated_at = now;
            held.row.clone()
        })
        .collect();
    streams::save(tx, &marks).await?;
    resync::save(tx, ledger).await?;
    let presence = ledger.presence.values().filter(|held| held.changed);
    let rows: Vec<_> = presence.map(|held| held.row.clone()).collect();
    presence::save(tx, &rows).await?;
    save_sites(tx, ledger).await?;
    inventory::save(tx, ledger).await?;
    for sign in std::mem::take(&mut ledger.signs).into_values() {
        agents::note_sign(tx, sign).await?;
    }
    Ok(())
}

async fn save_alarms(tx: &mut Tx, ledger: &Ledger) -> Result<()> {
    let seen: Vec<_> = ledger
        .devices
        .iter()
        .map(|((agent, _), (device, at))| (agent.clone(), device.clone(), *at))
        .collect();
    devices::note(tx, &seen).await?;
    match ledger.topology_news() {
        Some(new) if new.is_empty() => {}
        Some(new) => topology::appeared(tx, &new).await?,
        None => topology::changed(tx).await?,
    }
    let changed = ledger.alarms.values().filter(|held| held.changed);
    let rows: Vec<_> = changed.map(|held| held.row.clone()).collect();
    alarms::save(tx, &rows).await
}

fn describe(device: &Device) -> Described {
    Described {
        serial: device.serial.clone(),
        name: device.name.clone(),
        vendor: device.vendor.clone(),
        model: device.model.clone(),
    }
}

/// Sites that heartbeats name and that the agents had not named before.
async fn save_sites(tx: &mut Tx, ledger: &Ledger) -> Result<()> {
    let new = ledger.signs.values().filter(|sign| {
        let before = ledger.agents.get(&sign.id).and_then(|agent| agent.site.as_ref());
        sign.site.is_some() && sign.site.as_ref() != before
    });
    let sites: BTreeSet<String> = new.filter_map(|sign| sign.site.clone()).collect();
    let sites = sites.into_iter().filter(|site| !site.is_empty()).map(|s| (s, Values::new()));
    entitle::appeared(tx, Kind::Sites, sites.collect(), ledger.now).await
}

async fn save_tickets(tx: &mut Tx, ledger: &mut Ledger) -> Result<()> {
    // Ids are UUIDs in the order of time: sorted by id is sorted by opening.
    let new = ledger.tickets.values_mut().filter(|t| t.new);
    let (mut shadows, mut new): (Vec<&mut HeldTicket>, Vec<_>) = new.partition(|t| t.row.shadow);
    if !shadows.is_empty() {
        let count = i64::try_from(shadows.len()).unwrap_or(i64::MAX);
        let first = tickets::take_shadow_numbers(tx, count).await?;
        for (number, held) in (first..).zip(&mut shadows) {
            held.row.ordinal = -number;
            held.row.number = tickets::shadow_number(-number);
        }
    }
    if !new.is_empty() {
        let count = i64::try_from(new.len()).unwrap_or(i64::MAX);
        let first = tickets::take_ordinals(tx, count).await?;
        for (ordinal, held) in (first..).zip(&mut new) {
            held.row.ordinal = ordinal;
            held.row.number = tickets::number(ordinal);
        }
    }
    let devices = &ledger.devices;
    let mut openings: Vec<Opening<'_>> = new
        .into_iter()
        .map(|held| {
            let place = (held.row.agent_id.clone(), held.row.device_id.clone());
            let device = devices.get(&place).map(|(device, _)| describe(device));
            Opening { ticket: &mut held.row, device, contract: None }
        })
        .collect();
    let promised = entitle::entitle(tx, &mut openings, ledger.now).await?;
    ledger.added.timeline.extend(promised.entries);
    let changed = ledger.tickets.values().filter(|t| t.changed);
    let rows: Vec<TicketRow> = changed.map(|t| t.row.clone()).collect();
    tickets::save(tx, &rows).await?;
    let opened: Vec<&TicketRow> =
        ledger.tickets.values().filter(|t| t.new).map(|t| &t.row).collect();
    search::opened(tx, &opened).await?;
    let now = ledger.now;
    let (new, old): (Vec<&HeldTicket>, Vec<_>) =
        ledger.tickets.values().filter(|t| t.changed).partition(|t| t.new);
    let mut promises = promised.promises;
    let new: Vec<_> = new.into_iter().map(|t| (&t.row, promises.remove(&t.row.id))).collect();
    clocks::opened(tx, &new, now).await?;
    let old: Vec<&TicketRow> = old.into_iter().map(|t| &t.row).collect();
    clocks::follow(tx, &old, "collector", now).await?;
    for held in ledger.tickets.values().filter(|t| t.reopened) {
        cases::set_closed(tx, &held.row.id, None).await?;
    }
    Ok(())
}
