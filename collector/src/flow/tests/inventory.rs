//! What devices are made of, and what changed of it.

use std::collections::BTreeMap;

use callhome_shared::alarm::Device;
use callhome_shared::envelope::Kind;
use callhome_shared::inventory::{Inventory, MAX_MODULES, Module};
use callhome_shared::time::Time;

use super::World;
use super::agent::Agent;
use crate::flow::masters::{self, By};
use crate::masters::Kind as Master;
use crate::store::inventories::{self, InventoryRow, KEPT_CHANGES, ModuleRow};
use crate::store::masters as rows;

fn part(name: &str, serial: &str) -> Module {
    Module {
        index: 1,
        class: "power-supply".into(),
        name: name.into(),
        serial: Some(serial.into()),
        ..Module::default()
    }
}

fn told(at: i64, firmware: &str, modules: Option<Vec<Module>>) -> Inventory {
    let device = Device {
        id: "SN-7".into(),
        name: "array-1".into(),
        serial: Some("SN-7".into()),
        vendor: Some("Maker".into()),
        model: Some("M".into()),
        firmware: Some(firmware.into()),
        site: Some("SH-01".into()),
        ..Device::default()
    };
    let profiles = vec!["entity-sensor".into()];
    Inventory {
        at: Time(at),
        device,
        read_by: "snmp".into(),
        profiles,
        modules,
        ..Inventory::default()
    }
}

async fn kept(world: &World) -> (InventoryRow, Vec<ModuleRow>, Vec<String>) {
    let (row, modules, changes) =
        inventories::get(&world.db, "a-1", "SN-7").await.unwrap().unwrap();
    let text = |text: Option<String>| text.unwrap_or_else(|| "-".into());
    let changes = changes
        .into_iter()
        .map(|c| format!("{} {}: {} > {}", c.name, c.what, text(c.was), text(c.now)));
    (row, modules, changes.collect())
}

pub(super) async fn a_replaced_module_is_told_with_both_numbers(world: World) {
    let mut agent = Agent::new("a-1");
    let first = told(1_000, "1", Some(vec![part("PSU 1", "A"), part("PSU 2", "B")]));
    let one = agent.send(Kind::Inventory, &first);
    assert!(world.feed([one.clone()]).await.reasons().is_empty());
    let (row, modules, changes) = kept(&world).await;
    assert_eq!((row.read_by.as_str(), row.modules, row.profiles.len()), ("snmp", Some(2), 1));
    assert_eq!(modules.len(), 2);
    assert!(changes.is_empty(), "the first list is no change");

    let second = told(2_000, "1", Some(vec![part("PSU 1", "C"), part("PSU 2", "B")]));
    let two = agent.send(Kind::Inventory, &second);
    world.feed([two.clone()]).await;
    let (row, modules, changes) = kept(&world).await;
    assert_eq!(changes, ["PSU 1 serial: A > C"]);
    assert_eq!(row.changed_at, Time(2_000));
    assert_eq!(modules[0].since, Time(1_000), "the place is the same");

    // Once more, and in the other order: nothing changes.
    world.feed([two, one]).await;
    assert_eq!(kept(&world).await, (row.clone(), modules.clone(), changes.clone()));
    // The same a day later is no news, and one without a list takes nothing away.
    let same = Inventory { at: Time(3_000), ..second };
    world.feed([agent.send(Kind::Inventory, &same)]).await;
    let blind = told(4_000, "2", None);
    world.feed([agent.send(Kind::Inventory, &blind)]).await;
    let (row, again, changes) = kept(&world).await;
    assert_eq!((row.changed_at, row.read_at), (Time(4_000), Time(4_000)));
    assert_eq!(again, modules);
    assert_eq!(changes, [" firmware: 1 > 2", "PSU 1 serial: A > C"], "the latest first");
    let text = world.metrics.text();
    for line in ["inventories_total 4", "module_changes_total 2"] {
        assert!(text.contains(line), "{line} in {text}");
    }
    world.check().await;
}

pub(super) async fn what_comes_late_does_not_bring_old_modules_back(world: World) {
    let mut agent = Agent::new("a-1");
    let old = agent.send(Kind::Inventory, &told(1_000, "1", Some(vec![part("PSU 1", "A")])));
    let new = agent.send(Kind::Inventory, &told(2_000, "1", Some(vec![part("PSU 1", "B")])));
    let answers = world.feed([new, old]).await;
    assert_eq!(answers.last_seq(), 2);
    let (_, modules, changes) = kept(&world).await;
    assert_eq!(modules[0].module.serial.as_deref(), Some("B"));
    assert!(changes.is_empty(), "{changes:?}");
    world.check().await;
}

pub(super) async fn the_installed_base_follows_the_agent_but_not_over_what_people_wrote(
    world: World,
) {
    let mut agent = Agent::new("a-1");
    world.feed([agent.send(Kind::Inventory, &told(1_000, "1", None))]).await;
    let of = |one: &rows::Master, name: &str| one.values.get(name).cloned().unwrap_or_default();
    let get = async || rows::get(&world.db, Master::Devices, "SN-7").await.unwrap().unwrap();
    let one = get().await;
    let known = ["name", "vendor", "model", "firmware", "site"].map(|name| of(&one, name));
    assert_eq!(known, ["array-1", "Maker", "M", "1", "SH-01"]);
    assert!(one.to_complete, "it appeared by itself");

    let given = BTreeMap::from([("model".to_owned(), "M as sold".to_owned())]);
    let by = By { who: "user:li", at: Time::now() };
    masters::change(&world.db, Master::Devices, "SN-7", one.version, &given, by).await.unwrap();
    let mut next = told(2_000, "2", None);
    next.device.model = Some("M2".into());
    world.feed([agent.send(Kind::Inventory, &next)]).await;
    let one = get().await;
    assert_eq!((of(&one, "model").as_str(), of(&one, "firmware").as_str()), ("M as sold", "2"));
    assert_eq!(one.updated_by, "collector");
    let version = one.version;
    // The same again writes nothing.
    let same = Inventory { at: Time(3_000), ..next };
    world.feed([agent.send(Kind::Inventory, &same)]).await;
    assert_eq!(get().await.version, version);
    world.check().await;
}

pub(super) async fn an_inventory_is_bounded_and_so_is_what_is_kept_of_its_changes(world: World) {
    let mut agent = Agent::new("a-1");
    let many = |prefix: &str, n: usize| -> Vec<Module> {
        (0..n).map(|i| part(&format!("Slot {i}"), &format!("{prefix}{i}"))).collect()
    };
    let too_many = told(1_000, "1", Some(many("A", MAX_MODULES + 1)));
    let refused = world.feed([agent.send(Kind::Inventory, &too_many)]).await;
    assert_eq!(refused.reasons(), ["bad-payload"]);
    for (at, prefix) in [(2_000, "A"), (3_000, "B")] {
        let whole = told(at, "1", Some(many(prefix, MAX_MODULES)));
        assert!(world.feed([agent.send(Kind::Inventory, &whole)]).await.reasons().is_empty());
    }
    let (_, modules, changes) = kept(&world).await;
    assert_eq!((modules.len(), changes.len()), (MAX_MODULES, KEPT_CHANGES));
    let swap = told(4_000, "1", Some(many("B", MAX_MODULES - 1)));
    world.feed([agent.send(Kind::Inventory, &swap)]).await;
    let (_, _, changes) = kept(&world).await;
    assert_eq!((changes.len(), changes[0].as_str()), (KEPT_CHANGES, "Slot 511 vanished: B511 > -"));
    world.check().await;
}
