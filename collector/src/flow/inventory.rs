//! What devices are and what they are made of: kept, compared with what was told before, and written into the
//! installed base where nobody wrote something else.

use std::collections::{BTreeMap, BTreeSet};

use callhome_shared::alarm::Device;
use callhome_shared::heartbeat::hex;
use callhome_shared::inventory::Inventory;
use callhome_shared::time::Time;

use super::batch::{Batch, Entry};
use super::entitle;
use super::fault::Origin;
use super::ledger::Ledger;
use crate::inbox::Content;
use crate::inventory::{Change, compare, compare_device, follows};
use crate::masters::{self, Kind, Values};
use crate::store::inventories::{self, InventoryRow, ModuleRow};
use crate::store::{Result, Tx, devices, masters as rows, topology};

/// What is known of a device, and what the batch makes of it.
#[derive(Default)]
pub(super) struct Stock {
    row: Option<InventoryRow>,
    modules: Vec<ModuleRow>,
    /// The device before this batch, as any message described it.
    described: Option<Device>,
    /// The device as the batch tells it, and when that came in.
    now: Option<(Device, Time)>,
    /// What the agent said of it before.
    before: Option<Device>,
    /// Its modules are to be written.
    listed: bool,
    /// What changed, and when.
    pub(super) changes: Vec<(Time, Change)>,
    /// How often it was told.
    pub(super) told: u64,
}

impl Ledger {
    /// What is known of the devices that the batch tells of.
    pub(super) async fn load_inventories(&mut self, tx: &mut Tx, batch: &Batch) -> Result<()> {
        let told = batch.entries.iter().filter_map(|entry| match &entry.numbered.content {
            Ok(Content::Inventory(said)) => Some((entry.agent.clone(), said.device.id.clone())),
            _ => None,
        });
        let told: BTreeSet<(String, String)> = told.collect();
        for (agent, device) in told {
            let mut stock = Stock::default();
            if let Some((row, modules)) = inventories::load(tx, &agent, &device).await? {
                stock.before = Some(row.device.clone());
                (stock.row, stock.modules) = (Some(row), modules);
            }
            stock.described = devices::one(tx, &agent, &device).await?;
            self.inventories.insert((agent, device), stock);
        }
        Ok(())
    }

    /// Takes one. An older one than that which is known changes nothing.
    pub(super) fn take_inventory(&mut self, entry: &Entry, said: &Inventory) {
        let order = Origin::of(entry).order;
        let place = (entry.agent.clone(), said.device.id.clone());
        let stock = self.inventories.entry(place).or_default();
        stock.told += 1;
        if stock.row.as_ref().is_some_and(|row| !order.is_after(&row.order)) {
            return;
        }
        let digest = hex(&said.digest());
        let mut row = stock.row.take().unwrap_or_else(|| InventoryRow {
            digest: String::new(),
            read_by: String::new(),
            device: Device::default(),
            sysobjectid: None,
            profiles: Vec::new(),
            modules: None,
            left_out: 0,
            read_at: said.at,
            told_at: entry.received_at,
            changed_at: said.at,
            order: order.clone(),
        });
        if row.digest != digest {
            let changed = compare_device(&row.device, &said.device);
            stock.changes.extend(changed.into_iter().map(|change| (said.at, change)));
            stock.list(&mut row, said);
            row.changed_at = said.at;
        }
        let known = |now: &Option<String>, before: Option<String>| now.clone().or(before);
        row.device = Device {
            serial: known(&said.device.serial, row.device.serial),
            vendor: known(&said.device.vendor, row.device.vendor),
            model: known(&said.device.model, row.device.model),
            firmware: known(&said.device.firmware, row.device.firmware),
            ..Device::default()
        };
        (row.digest, row.order) = (digest, order);
        row.read_by.clone_from(&said.read_by);
        row.sysobjectid.clone_from(&said.sysobjectid);
        row.profiles.clone_from(&said.profiles);
        (row.read_at, row.told_at) = (said.at, entry.received_at);
        stock.now = Some((said.device.clone(), entry.received_at));
        stock.row = Some(row);
    }
}

impl Stock {
    /// Takes the list of modules, if there is one; the first one is no change.
    fn list(&mut self, row: &mut InventoryRow, said: &Inventory) {
        let Some(new) = &said.modules else { return };
        let left_out = i64::try_from(said.left_out).unwrap_or(i64::MAX);
        let old: Vec<_> = self.modules.iter().map(|row| row.module.clone()).collect();
        let compared = compare(&old, new, (row.left_out > 0, left_out > 0));
        let since = |before: &Option<usize>| {
            before.and_then(|place| self.modules.get(place)).map_or(said.at, |row| row.since)
        };
        let listed = new.iter().zip(&compared.before);
        let listed = listed
            .map(|(module, before)| ModuleRow { module: module.clone(), since: since(before) });
        self.modules = listed.collect();
        if row.modules.is_some() {
            self.changes.extend(compared.changes.into_iter().map(|change| (said.at, change)));
        }
        row.modules = Some(i64::try_from(new.len()).unwrap_or(i64::MAX));
        row.left_out = left_out;
        self.listed = true;
    }

    /// Whether it is described otherwise than before in what others find it by.
    fn moves_topology(&self, now: &Device) -> bool {
        let Some(before) = &self.described else { return false };
        let told = |now: &Option<String>, before: &Option<String>| now.is_some() && now != before;
        now.name != before.name
            || told(&now.serial, &before.serial)
            || told(&now.parent, &before.parent)
            || (now.parent.is_some() && now.parent_resource != before.parent_resource)
    }
}

/// Writes what the batch told.
pub(super) async fn save(tx: &mut Tx, ledger: &Ledger) -> Result<()> {
    let (mut seen, mut new, mut moved) = (Vec::new(), Vec::new(), false);
    for ((agent, id), stock) in &ledger.inventories {
        let (Some(row), Some((device, at))) = (&stock.row, &stock.now) else { continue };
        inventories::save(tx, agent, id, row).await?;
        if stock.listed {
            inventories::put_modules(tx, agent, id, &stock.modules).await?;
        }
        inventories::add_changes(tx, agent, id, &stock.changes).await?;
        for (_, change) in stock.changes.iter().take(inventories::KEPT_CHANGES) {
            let (what, part) = (change.what.as_str(), &change.name);
            tracing::info!(
                agent,
                device = id,
                part,
                what,
                was = change.was,
                now = change.is,
                "flow.inventory.changed"
            );
        }
        moved |= stock.moves_topology(device);
        if stock.described.is_none() {
            new.push((agent.clone(), id.clone()));
        }
        seen.push((agent.clone(), device.clone(), *at));
    }
    if seen.is_empty() {
        return Ok(());
    }
    devices::note(tx, &seen).await?;
    if moved {
        topology::changed(tx).await?;
    } else if !new.is_empty() {
        topology::appeared(tx, &new).await?;
    }
    install(tx, ledger).await
}

/// The installed base: devices that are not in it appear; what is empty there, or still says what the agent said
/// before, follows the agent.
async fn install(tx: &mut Tx, ledger: &Ledger) -> Result<()> {
    let (mut sites, mut new, mut told) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for stock in ledger.inventories.values() {
        let Some((device, _)) = &stock.now else { continue };
        if let Some(site) = device.site.as_ref().filter(|site| !site.is_empty()) {
            sites.insert(site.clone(), Values::new());
        }
        // A serial number that cannot be written by hand is none to go by.
        let Some(Ok(serial)) = device.serial.as_deref().map(masters::id) else { continue };
        let known = [
            ("name", Some(&device.name)),
            ("vendor", device.vendor.as_ref()),
            ("model", device.model.as_ref()),
            ("firmware", device.firmware.as_ref()),
            ("site", device.site.as_ref()),
            ("contract", device.contract.as_ref()),
        ];
        let known = known.into_iter().filter_map(|(name, text)| Some((name, text?.clone())));
        new.insert(serial.clone(), known.collect::<Values>());
        told.insert(serial, (device, stock.before.as_ref()));
    }
    entitle::appeared(tx, Kind::Sites, sites.into_iter().collect(), ledger.now).await?;
    entitle::appeared(tx, Kind::Devices, new.into_iter().collect(), ledger.now).await?;
    let serials: Vec<String> = told.keys().cloned().collect();
    let mut changed = rows::load(tx, Kind::Devices, &serials).await?;
    changed.retain_mut(|kept| {
        let Some((device, before)) = told.get(&kept.id) else { return false };
        let before = |get: fn(&Device) -> &Option<String>| before.and_then(|b| get(b).as_deref());
        let mut any = false;
        for (name, was, now) in [
            ("vendor", before(|d| &d.vendor), device.vendor.as_deref()),
            ("model", before(|d| &d.model), device.model.as_deref()),
            ("firmware", before(|d| &d.firmware), device.firmware.as_deref()),
        ] {
            let value = kept.values.entry(name).or_default();
            if let Some(now) = follows(value, was, now) {
                (*value, any) = (now.to_owned(), true);
            }
        }
        kept.version += i64::from(any);
        (kept.updated_at, kept.updated_by) = (ledger.now, "collector".to_owned());
        any
    });
    changed.sort_unstable_by(|a, b| a.id.cmp(&b.id));
    changed.dedup_by(|a, b| a.id == b.id);
    if changed.is_empty() {
        return Ok(());
    }
    rows::save(tx, Kind::Devices, &changed).await
}
