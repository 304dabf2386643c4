//! The installed base: sites with a feed, a PDU, a switch and devices behind both; customers, contracts, calendars.

use std::collections::BTreeMap;

use callhome_shared::time::Time;

use super::almanac::{MADE_UP, OFF, Zone};
use crate::calendar::{Calendar, Day, DayKind};
use crate::clock::Promise;
use crate::flow::clocks::{Wish, put_calendar, seed};
use crate::flow::tests::World;
use crate::flow::tests::agent::Agent;
use crate::masters::Kind;
use crate::store::agents;
use crate::store::masters::{self, Master};

/// Promised in turn.
const PLANS: [&str; 3] = ["carrier", "third-party-windows", "third-party-normal"];

pub(super) struct Site {
    pub(super) id: String,
    pub(super) zone: Zone,
    pub(super) plan: &'static str,
    pub(super) agent: Agent,
    /// Behind the switch.
    pub(super) devices: usize,
}

impl Site {
    pub(super) fn feed(&self) -> String {
        format!("{}-FEED", self.id)
    }

    pub(super) fn pdu(&self) -> String {
        format!("{}-PDU", self.id)
    }

    pub(super) fn switch(&self) -> String {
        format!("{}-SW", self.id)
    }

    pub(super) fn device(&self, n: usize) -> String {
        format!("{}-D{n:03}", self.id)
    }
}

fn master(kind: Kind, id: String, values: &[(&'static str, &str)]) -> Master {
    let mut all: BTreeMap<&'static str, String> =
        kind.fields().iter().map(|field| (field.name, String::new())).collect();
    all.extend(values.iter().map(|(name, value)| (*name, (*value).to_owned())));
    Master {
        id,
        values: all,
        to_complete: false,
        version: 1,
        updated_at: Time(1),
        updated_by: "cli:test".into(),
    }
}

async fn save(world: &World, kind: Kind, mut all: Vec<Master>) {
    all.sort_by(|a, b| a.id.cmp(&b.id));
    for some in all.chunks(500) {
        let mut tx = world.db.begin().await.unwrap();
        masters::save(&mut tx, kind, some).await.unwrap();
        tx.commit().await.unwrap();
    }
}

/// China's calendar of 2026, as the almanac has it.
async fn calendar(world: &World) {
    let date = |(month, day): (i64, i64)| format!("2026-{month:02}-{day:02}");
    let day = |from, to: Option<_>, kind| Day {
        from: date(from),
        to: to.map(date),
        kind,
        hours: None,
        note: String::new(),
    };
    let off = OFF.iter().map(|(from, to)| day(*from, Some(*to), DayKind::Holiday));
    let days = off.chain(MADE_UP.iter().map(|d| day(*d, None, DayKind::Working))).collect();
    let calendar = Calendar { title: "China".into(), days, ..Calendar::default() };
    let wish = Wish { name: "cn", version: 0, user: "li", at: Time(1) };
    put_calendar(&world.db, wish, &calendar).await.unwrap();
}

/// Puts all of it into the store.
pub(super) async fn build(world: &World, sites: usize, devices: usize) -> Vec<Site> {
    let promise = Promise { plan: "carrier".into(), calendar: None, time_zone: None };
    seed(&world.db, &promise, Time(1)).await.unwrap();
    calendar(world).await;
    let mut house = Vec::new();
    let mut rows: BTreeMap<&str, Vec<Master>> = BTreeMap::new();
    for n in 0..sites {
        let (id, customer) = (format!("S{n:03}"), format!("C{:03}", n / 5));
        // One in five is in Berlin.
        let zone = if n % 5 == 4 { Zone::Berlin } else { Zone::Shanghai };
        let plan = PLANS[n % PLANS.len()];
        let name = format!("a-{id}");
        agents::create_alone(&world.db, &name, Some(&id), None, Time(1)).await.unwrap();
        let site = Site { agent: Agent::new(&name), id: id.clone(), zone, plan, devices };
        if n % 5 == 0 {
            let one = master(Kind::Customers, customer.clone(), &[("name", &customer)]);
            rows.entry("customers").or_default().push(one);
        }
        let place: &[(&str, &str)] = match zone {
            Zone::Shanghai => &[("time_zone", "Asia/Shanghai"), ("calendar", "cn")],
            Zone::Berlin => &[("time_zone", "Europe/Berlin")],
        };
        let of = [&[("name", &*id), ("customer", &*customer)], place].concat();
        rows.entry("sites").or_default().push(master(Kind::Sites, id.clone(), &of));
        let contract = [
            ("customer", &*customer),
            ("plan", plan),
            ("valid_from", "2025-01-01"),
            ("valid_until", "2028-12-31"),
            ("covers", "sites"),
            ("sites", &*id),
        ];
        let contract = master(Kind::Contracts, format!("K{n:03}"), &contract);
        rows.entry("contracts").or_default().push(contract);
        let installed = rows.entry("devices").or_default();
        let (feed, pdu, switch) = (site.feed(), site.pdu(), site.switch());
        installed.push(master(Kind::Devices, pdu.clone(), &[("site", &id), ("powered_by", &feed)]));
        installed.push(master(
            Kind::Devices,
            switch.clone(),
            &[("site", &id), ("powered_by", &pdu)],
        ));
        installed.extend((0..devices).map(|d| {
            let hangs = [("site", &*id), ("hangs_on", &*switch), ("powered_by", &*pdu)];
            master(Kind::Devices, site.device(d), &hangs)
        }));
        house.push(site);
    }
    for kind in [Kind::Customers, Kind::Sites, Kind::Contracts, Kind::Devices] {
        let name = match kind {
            Kind::Customers => "customers",
            Kind::Sites => "sites",
            Kind::Contracts => "contracts",
            _ => "devices",
        };
        save(world, kind, rows.remove(name).unwrap_or_default()).await;
    }
    house
}
