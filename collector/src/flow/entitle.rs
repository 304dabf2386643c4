//! What new tickets are promised: who the site's customer is, whether a contract covers the device.
//! Sites and devices that nobody has written down appear by themselves.

use std::collections::{BTreeMap, BTreeSet};

use callhome_shared::id::new_uuid;
use callhome_shared::time::Time;
use serde_json::json;

use crate::clock::Promise;
use crate::entitlement::{self, Ask, Contract, Cover, Verdict};
use crate::masters::{Kind, Values, day, list};
use crate::store::masters::{self as rows, Master};
use crate::store::tickets::TicketRow;
use crate::store::{Result, Tx, timeline};
use crate::ticket::State;

/// A ticket that is being opened.
pub(super) struct Opening<'a> {
    /// The ticket.
    pub(super) ticket: &'a mut TicketRow,
    /// What the device says of itself; `None`: it is no device (the collector's own faults).
    pub(super) device: Option<Described>,
    /// The contract's number that the customer named.
    pub(super) contract: Option<String>,
}

/// What is said of a device.
#[derive(Clone, Debug, Default)]
pub(super) struct Described {
    pub(super) serial: Option<String>,
    pub(super) name: String,
    pub(super) vendor: Option<String>,
    pub(super) model: Option<String>,
}

fn text(one: &Master, name: &str) -> Option<String> {
    one.values.get(name).filter(|text| !text.is_empty()).cloned()
}

/// What is kept about the openings, loaded at once.
struct Kept {
    sites: BTreeMap<String, Master>,
    devices: BTreeMap<String, Master>,
    contracts: Option<Vec<Contract>>,
}

/// What follows for tickets that are opened.
#[derive(Default)]
pub(super) struct Promised {
    /// The entries that their timelines get.
    pub(super) entries: Vec<timeline::Entry>,
    /// What their clocks run by, by ticket id.
    pub(super) promises: BTreeMap<String, Promise>,
}

/// Fills in what is promised.
pub(super) async fn entitle(
    tx: &mut Tx,
    openings: &mut [Opening<'_>],
    at: Time,
) -> Result<Promised> {
    // A test tells nothing of what there is.
    let mut all: Vec<&mut Opening<'_>> = openings.iter_mut().filter(|o| !o.ticket.test).collect();
    if all.is_empty() {
        return Ok(Promised::default());
    }
    appear(tx, &all, at).await?;
    let kept = Kept::load(tx, &mut all).await?;
    let mut promised = Promised::default();
    for one in all {
        if let (Some(contracts), Some((ask, zone))) = (&kept.contracts, kept.ask(one)) {
            let verdict = entitlement::judge(&ask, zone.as_deref(), contracts, at);
            promised.entries.push(note(one.ticket, &verdict, at));
            if !verdict.is_covered() {
                promised.entries.extend(await_approval(one.ticket, at));
            }
        }
        let site = one.ticket.site.as_ref().and_then(|site| kept.sites.get(site));
        let promise = Promise {
            plan: one.ticket.service.plan.clone().unwrap_or_default(),
            calendar: site.and_then(|site| text(site, "calendar")),
            time_zone: site.and_then(|site| text(site, "time_zone")),
        };
        promised.promises.insert(one.ticket.id.clone(), promise);
    }
    Ok(promised)
}

fn note(ticket: &mut TicketRow, verdict: &Verdict, at: Time) -> timeline::Entry {
    let detail = serde_json::to_string(verdict).unwrap_or_default();
    ticket.service.plan = verdict.plan().map(str::to_owned);
    if verdict.is_covered() {
        ticket.contract = verdict.contract().map(str::to_owned);
    }
    ticket.service.entitlement = Some(detail.clone());
    entry(ticket, "entitlement", detail, at)
}

fn entry(ticket: &TicketRow, what: &str, detail: String, at: Time) -> timeline::Entry {
    timeline::Entry {
        id: new_uuid().to_string(),
        ticket_id: ticket.id.clone(),
        at,
        who: "collector".to_owned(),
        what: what.to_owned(),
        detail,
    }
}

/// A fault out of contract is there and visible; a manager decides what becomes of it.
fn await_approval(ticket: &mut TicketRow, at: Time) -> Option<timeline::Entry> {
    let over = State::parse(&ticket.state).is_none_or(State::is_over);
    if over {
        return None;
    }
    let to = State::WaitingApproval.as_str();
    let from = std::mem::replace(&mut ticket.state, to.to_owned());
    ticket.assignee = None;
    let detail = json!({ "from": from, "to": to, "reason": "not-covered" });
    Some(entry(ticket, "state", detail.to_string(), at))
}

/// Sites and devices that are not known appear, to be completed.
async fn appear(tx: &mut Tx, all: &[&mut Opening<'_>], at: Time) -> Result<()> {
    let (mut sites, mut devices) = (BTreeMap::new(), BTreeMap::new());
    for one in all {
        let (ticket, Some(device)) = (&one.ticket, &one.device) else { continue };
        // What a person wrote down on the telephone may be a slip.
        if ticket.service.opened_by.is_some() {
            continue;
        }
        let known = |text: &Option<String>| text.clone().unwrap_or_default();
        if let Some(site) = ticket.site.as_ref().filter(|site| !site.is_empty()) {
            sites.insert(site.clone(), Values::new());
        }
        let Some(serial) = device.serial.as_ref().filter(|serial| !serial.is_empty()) else {
            continue;
        };
        let values = Values::from([
            ("name", device.name.clone()),
            ("vendor", known(&device.vendor)),
            ("model", known(&device.model)),
            ("site", known(&ticket.site)),
            ("contract", known(&ticket.contract)),
        ]);
        devices.insert(serial.clone(), values);
    }
    for (kind, named) in [(Kind::Sites, sites), (Kind::Devices, devices)] {
        appeared(tx, kind, named.into_iter().collect(), at).await?;
    }
    Ok(())
}

/// [`rows::appear`], which says when there is no room.
pub(super) async fn appeared(
    tx: &mut Tx,
    kind: Kind,
    named: Vec<(String, Values)>,
    at: Time,
) -> Result<()> {
    if named.is_empty() {
        return Ok(());
    }
    let left_out = rows::appear(tx, kind, named, at).await?;
    if left_out > 0 {
        let limit = rows::MAX_TO_COMPLETE;
        tracing::warn!(kind = kind.as_str(), left_out, limit, "too many wait to be completed");
    }
    Ok(())
}

impl Kept {
    async fn load(tx: &mut Tx, all: &mut [&mut Opening<'_>]) -> Result<Self> {
        let serials = all.iter().filter_map(|o| o.device.as_ref()?.serial.clone());
        let serials: BTreeSet<String> = serials.collect();
        let devices = rows::load(tx, Kind::Devices, &Vec::from_iter(serials)).await?;
        let devices: BTreeMap<_, _> = devices.into_iter().map(|d| (d.id.clone(), d)).collect();
        for one in all.iter_mut() {
            let serial = one.device.as_ref().and_then(|d| d.serial.as_ref());
            let device = serial.and_then(|serial| devices.get(serial));
            if one.ticket.site.is_none() {
                one.ticket.site = device.and_then(|d| text(d, "site"));
            }
        }
        let sites: BTreeSet<String> = all.iter().filter_map(|o| o.ticket.site.clone()).collect();
        let sites = rows::load(tx, Kind::Sites, &Vec::from_iter(sites)).await?;
        let sites: BTreeMap<_, _> = sites.into_iter().map(|s| (s.id.clone(), s)).collect();
        for one in all.iter_mut() {
            // What the house wrote down goes before what an agent's settings say.
            let site = one.ticket.site.as_ref().and_then(|site| sites.get(site));
            let customer = site.and_then(|site| text(site, "customer"));
            one.ticket.customer = customer.or_else(|| one.ticket.customer.take());
        }
        let mut kept = Kept { sites, devices, contracts: None };
        if rows::any_contract(tx).await? {
            kept.contracts = Some(kept.candidates(tx, all).await?);
        }
        Ok(kept)
    }

    /// What is asked of a ticket, and its site's time zone; `None`: it is no device's.
    fn ask(&self, one: &Opening<'_>) -> Option<(Ask, Option<String>)> {
        let device = one.device.as_ref()?;
        let ticket = &one.ticket;
        let installed = device.serial.as_ref().and_then(|serial| self.devices.get(serial));
        let site = ticket.site.as_ref().and_then(|site| self.sites.get(site));
        let named = one.contract.clone().or_else(|| installed.and_then(|d| text(d, "contract")));
        let ask = Ask {
            contract: named.or_else(|| ticket.contract.clone()),
            serial: device.serial.clone(),
            site: ticket.site.clone(),
            customer: ticket.customer.clone(),
        };
        Some((ask, site.and_then(|site| text(site, "time_zone"))))
    }

    async fn candidates(&self, tx: &mut Tx, all: &[&mut Opening<'_>]) -> Result<Vec<Contract>> {
        let asks: Vec<Ask> = all.iter().filter_map(|o| self.ask(o)).map(|(ask, _)| ask).collect();
        let of = |get: fn(&Ask) -> &Option<String>| -> Vec<String> {
            asks.iter()
                .filter_map(|ask| get(ask).clone())
                .collect::<BTreeSet<_>>()
                .into_iter()
                .collect()
        };
        let mut numbers: BTreeSet<String> = of(|ask| &ask.contract).into_iter().collect();
        for (what, values) in [
            ("serial", of(|ask| &ask.serial)),
            ("site", of(|ask| &ask.site)),
            ("customer", of(|ask| &ask.customer)),
        ] {
            numbers.extend(rows::covering(tx, what, &values).await?);
        }
        let found = rows::load(tx, Kind::Contracts, &Vec::from_iter(numbers)).await?;
        Ok(found.iter().filter_map(contract).collect())
    }
}

/// A row as the pure room takes it; one that could not have been written is none.
fn contract(row: &Master) -> Option<Contract> {
    let of = |name: &str| row.values.get(name).map(String::as_str).unwrap_or_default();
    let all = |name: &str| list(of(name)).map(str::to_owned).collect();
    Some(Contract {
        number: row.id.clone(),
        customer: of("customer").to_owned(),
        plan: of("plan").to_owned(),
        from: day(of("valid_from"))?,
        until: day(of("valid_until"))?,
        covers: Cover::parse(of("covers"))?,
        sites: all("sites"),
        serials: all("serials"),
    })
}
