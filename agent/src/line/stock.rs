//! What devices are and what they are made of: told when it says something new, and once a day.

use std::collections::BTreeSet;
use std::sync::Arc;

use callhome_shared::alarm::Device;
use callhome_shared::envelope::Kind;
use callhome_shared::id::new_uuid;
use callhome_shared::inventory::Inventory;
use callhome_shared::time::Time;

use super::decide::{Desk, json, set};
use crate::outbox::{Decision, Draft};
use crate::rule::Watched;
use crate::source::Position;

/// What is told again after so long, ms: a little less than a day, so that a daily reading is always told.
const AGAIN_MS: i64 = 23 * 3600 * 1000;
/// Between two looks at what the configuration says of devices that no poll identifies.
const LOOK_MS: i64 = 60_000;
/// How such a device is known.
const CONFIGURED: &str = "configuration";
/// Octets of a digest that are kept.
const KEPT: usize = 16;
/// Before the names of sources, and of devices that none of them identifies, in the table of positions: as
/// they are told, since the outbox holds nothing else. No source can be called so.
const OF_SOURCE: &str = "\u{1}inventory/";
const OF_DEVICE: &str = "\u{1}inventory:";

/// The devices that no source identifies.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    devices: Vec<Arc<Device>>,
    looked: Option<Time>,
}

impl Shelf {
    /// These.
    pub(super) fn new(devices: Vec<Arc<Device>>) -> Self {
        Shelf { devices, looked: None }
    }

    /// Whether it is time to look at them again.
    fn is_due(&self, now: Time) -> bool {
        self.looked.is_none_or(|at| !(0..LOOK_MS).contains(&now.since_ms(at)))
    }
}

/// The configured devices that no source identifies.
pub(super) fn unread(devices: &[Arc<Device>], watched: &[Watched]) -> Vec<Arc<Device>> {
    let telling = watched.iter().filter(|w| w.kind.tells_inventory());
    let read: BTreeSet<&str> = telling.map(|w| w.device.name.as_str()).collect();
    devices.iter().filter(|device| !read.contains(device.name.as_str())).cloned().collect()
}

/// What was told last: the beginning of its digest, and when.
struct Mark([u8; KEPT], Time);

impl Mark {
    fn of(inventory: &Inventory, now: Time) -> Self {
        let mut digest = [0; KEPT];
        digest.iter_mut().zip(inventory.digest()).for_each(|(kept, octet)| *kept = octet);
        Mark(digest, now)
    }

    fn read(position: &Position) -> Option<Self> {
        let (time, digest) = position.0.split_first_chunk()?;
        Some(Mark(digest.try_into().ok()?, Time(i64::from_le_bytes(*time))))
    }

    fn position(&self) -> Position {
        Position([self.1.0.to_le_bytes().as_slice(), self.0.as_slice()].concat())
    }

    /// Whether it is to be told now, when `before` was told last.
    fn is_news(&self, before: &Mark) -> bool {
        self.0 != before.0 || !(0..AGAIN_MS).contains(&self.1.since_ms(before.1))
    }
}

impl Desk {
    /// What a source has read of its device.
    pub(super) fn take_stock(&mut self, source: &str, read: &Inventory, decision: &mut Decision) {
        let place = format!("{OF_SOURCE}{}", self.redactor.id(source));
        self.tell_stock(place.into(), read, decision);
    }

    /// What the configuration says of the others.
    pub(super) fn look_at_shelf(&mut self, now: Time, decision: &mut Decision) {
        if !self.shelf.is_due(now) {
            return;
        }
        self.shelf.looked = Some(now);
        for device in self.shelf.devices.clone() {
            let said = Inventory {
                at: now,
                device: (*device).clone(),
                read_by: CONFIGURED.to_owned(),
                ..Inventory::default()
            };
            let place = format!("{OF_DEVICE}{}", self.redactor.id(&device.name));
            self.tell_stock(place.into(), &said, decision);
        }
    }

    fn tell_stock(&mut self, place: Arc<str>, raw: &Inventory, decision: &mut Decision) {
        let told = self.redactor.inventory(raw);
        let mark = Mark::of(&told, decision.time);
        let staged = decision.positions.iter().find(|(name, _)| *name == place).map(|(_, p)| p);
        let before = staged.or_else(|| self.positions.get(&place)).and_then(Mark::read);
        if before.is_some_and(|before| !mark.is_news(&before)) {
            return;
        }
        let modules = told.modules.as_ref().map(Vec::len);
        tracing::info!(
            device = told.device.name,
            modules,
            left_out = told.left_out,
            "inventory told"
        );
        self.staged.counts.inventories += 1;
        let (kind, data) = (Kind::Inventory, json(&told));
        decision.drafts.push(Draft { id: new_uuid(), kind, time: decision.time, data });
        set(&mut decision.positions, &place, mark.position());
    }
}
