//! What changes at a device while it is polled: numbers of ports, restarts, firmware.

use callhome_agent::source::Value;
use callhome_shared::heartbeat::SourceState;

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
