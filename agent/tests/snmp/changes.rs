//! What changes at a device while it is polled: numbers of ports, restarts, firmware.

use callhome_agent::source::Value;
use callhome_shared::heartbeat::SourceState;
use callhome_shared::inventory::Inventory;

use crate::device::{array, plain, watch};
use crate::snmp_sim::{SimValue, SnmpSim};

const IF_ENTRY: &str = "1.3.6.1.2.1.2.2.1";
const IF_X_ENTRY: &str = "1.3.6.1.2.1.31.1.1.1";
const SYS_UP_TIME: &str = "1.3.6.1.2.1.1.3.0";
/// entPhysicalSoftwareRev of the chassis.
const FIRMWARE: &str = "1.3.6.1.2.1.47.1.1.1.1.10.1";

fn text(text: &str) -> SimValue {
    SimValue::OctetString(text.as_bytes().to_vec())
}

/// The port in this row from now on; `None` = the row is gone.
fn port(sim: &SnmpSim, row: u32, what: Option<(&str, i64)>) {
    let put = |column: String, value: Option<SimValue>| match value {
        Some(value) => sim.set(&format!("{column}.{row}"), value).unwrap(),
        None => sim.remove(&format!("{column}.{row}")).unwrap(),
    };
    put(format!("{IF_ENTRY}.2"), what.map(|(name, _)| text(name)));
    put(format!("{IF_ENTRY}.7"), what.map(|_| SimValue::Integer(1)));
    put(format!("{IF_ENTRY}.8"), what.map(|(_, oper)| SimValue::Integer(oper)));
    put(format!("{IF_X_ENTRY}.1"), what.map(|(name, _)| text(name)));
    put(format!("{IF_X_ENTRY}.18"), what.map(|_| text("")));
}

#[tokio::test]
async fn a_port_keeps_its_name_when_its_number_changes() {
    let sim = array().await;
    port(&sim, 20, Some(("Gi1/1", 1)));
    port(&sim, 21, Some(("Gi1/2", 1)));
    let mut watched = watch(&plain(sim.addr())).await;
    let oper = "if-mib.ifOperStatus";
    let up = Some(1.0);
    watched
        .until(|p| p.number(oper, "port Gi1/1") == up && p.number(oper, "port Gi1/2") == up)
        .await;
    // Gi1/1 goes down; a module is put in before it, and every row moves by one.
    port(&sim, 20, Some(("Gi0/9", 1)));
    port(&sim, 21, Some(("Gi1/1", 2)));
    port(&sim, 22, Some(("Gi1/2", 1)));
    let poll = watched.until(|p| p.number(oper, "port Gi1/1") == Some(2.0)).await;
    let reading = poll.find(oper, "port Gi1/1").unwrap();
    assert_eq!(reading.origin.to_string(), format!("SNMP {IF_ENTRY}.8.21"), "the row of now");
    // And back, with the fault standing: the alarm's identity neither moves nor ends.
    port(&sim, 20, Some(("Gi1/1", 2)));
    port(&sim, 21, Some(("Gi1/2", 1)));
    port(&sim, 22, None);
    for _ in 0..4 {
        let poll = watched.poll().await;
        let absent = Value::Text("absent".into());
        assert_ne!(poll.value(oper, "port Gi1/1"), Some(&absent));
        assert_eq!(poll.number(oper, "port Gi1/1"), Some(2.0), "{:?}", poll.counts());
        assert_eq!(poll.number(oper, "port Gi1/2"), up);
    }
}

#[tokio::test]
async fn a_restart_is_noticed_told_and_followed_by_a_new_look_at_the_device() {
    let sim = array().await;
    let mut plain = plain(sim.addr());
    plain.restart_alarm = true;
    let mut watched = watch(&plain).await;
    let poll = watched.poll().await;
    assert_eq!(poll.number("snmp.restarted", ""), Some(0.0));
    assert_eq!(poll.device.unwrap().firmware.as_deref(), Some("3.2.1"));
    sim.set(SYS_UP_TIME, SimValue::TimeTicks(500)).unwrap();
    sim.set(FIRMWARE, text("3.3.0")).unwrap();
    let poll = watched.until(|p| p.number("snmp.restarted", "") == Some(1.0)).await;
    let detail = poll.find("snmp.restarted", "").unwrap().labels[0].1.clone();
    assert_eq!(detail, "sysUpTime was 34 hours and is 5 s");
    assert_eq!(poll.device.unwrap().firmware.as_deref(), Some("3.3.0"), "it was updated");
    let (state, told) = watched.health();
    assert_eq!(state, SourceState::Ok);
    assert!(told.contains("restarted within the last hour"), "{told}");
    // Later polls of a clock that goes on are no further restarts.
    sim.set(SYS_UP_TIME, SimValue::TimeTicks(700)).unwrap();
    let poll = watched.poll().await;
    assert_eq!(poll.find("snmp.restarted", "").unwrap().labels[0].1, detail);
}

/// entPhysicalSerialNum of the first power supply.
const PSU_SERIAL: &str = "1.3.6.1.2.1.47.1.1.1.1.11.20";
/// entLastChangeTime.
const LAST_CHANGE: &str = "1.3.6.1.2.1.47.1.4.1.0";

fn serial(inventory: &Inventory, name: &str) -> Option<String> {
    let modules = inventory.modules.as_deref().unwrap_or_default();
    modules.iter().find(|module| module.name == name)?.serial.clone()
}

#[tokio::test]
async fn what_a_device_is_made_of_is_read_between_the_polls() {
    let sim = array().await;
    sim.set(LAST_CHANGE, SimValue::TimeTicks(100)).unwrap();
    let mut watched = watch(&plain(sim.addr())).await;
    let first = watched.until(|p| p.inventory.is_some()).await.inventory.unwrap();
    assert_eq!(first.device.serial.as_deref(), Some("SIM24-000173"));
    assert_eq!((first.read_by.as_str(), first.left_out), ("snmp", 0));
    assert_eq!(first.sysobjectid.as_deref(), Some("1.3.6.1.4.1.32473.24"));
    assert_eq!(serial(&first, "PSU 1").as_deref(), Some("SIMP-001"));
    // The next poll sees when the parts changed last.
    for _ in 0..2 {
        assert_eq!(watched.poll().await.inventory, None, "nothing has changed");
    }
    // A module is replaced, and the device says that its parts changed.
    sim.set(PSU_SERIAL, text("SIMP-777")).unwrap();
    sim.set(LAST_CHANGE, SimValue::TimeTicks(200)).unwrap();
    let second = watched.until(|p| p.inventory.is_some()).await.inventory.unwrap();
    assert_eq!(serial(&second, "PSU 1").as_deref(), Some("SIMP-777"));
    assert_ne!(first.digest(), second.digest());
    // One that does not say so was restarted.
    sim.remove(LAST_CHANGE).unwrap();
    sim.set(PSU_SERIAL, text("SIMP-888")).unwrap();
    sim.set(SYS_UP_TIME, SimValue::TimeTicks(500)).unwrap();
    let third = watched.until(|p| p.inventory.is_some()).await.inventory.unwrap();
    assert_eq!(serial(&third, "PSU 1").as_deref(), Some("SIMP-888"));
}
