//! The device's id, and what of the source outlives a restart.

use callhome_agent::source::Value;
use callhome_agent::source::snmp::SnmpPlain;

use crate::device::{array, plain, watch, watch_from};
use crate::snmp_sim::{Manners, SimValue};

#[tokio::test]
async fn an_unreachable_device_gets_its_name_after_three_polls() {
    let sim = array().await;
    sim.set_manners(Manners { silent: true, ..Manners::default() });
    let mut watched = watch(&plain(sim.addr())).await;
    let poll = watched.poll().await;
    assert_eq!(poll.reachable(), Some(0.0));
    let id = |poll: &crate::device::Poll| poll.device.as_ref().unwrap().id.clone();
    assert_eq!(id(&poll), "dev");
    let detail = &poll.find("snmp.reachable", "").unwrap().labels[0].1;
    assert!(detail.contains("no answer"), "{detail}");
    sim.set_manners(Manners::default());
    let poll = watched.until(|p| p.reachable() == Some(1.0)).await;
    assert_eq!(id(&poll), "dev", "alarms may stand under it");
    assert_eq!(poll.device.unwrap().serial.as_deref(), Some("SIM24-000173"));
}

#[tokio::test]
async fn id_and_ports_seen_up_outlive_a_restart() {
    let sim = array().await;
    let patient = SnmpPlain { timeout_ms: 5_000, interval_s: 20, ..plain(sim.addr()) };
    let mut watched = watch(&patient).await;
    let position = watched.poll().await.position;
    assert!(position.is_some());
    drop(watched);
    // Down while nobody watched.
    sim.set("1.3.6.1.2.1.2.2.1.8.1", SimValue::Integer(2)).unwrap();
    let mut forgetful = watch(&patient).await;
    assert_eq!(forgetful.poll().await.value("if-mib.ifOperStatus", "port A-p1"), None);
    let mut again = watch_from(&patient, position.clone(), &[]).await;
    let poll = again.poll().await;
    assert_eq!(poll.value("if-mib.ifOperStatus", "port A-p1"), Some(&Value::Number(2.0)));
    sim.set_manners(Manners { silent: true, ..Manners::default() });
    let mut unreachable = watch_from(&plain(sim.addr()), position, &[]).await;
    let poll = unreachable.poll().await;
    assert_eq!(poll.reachable(), Some(0.0), "told at the first poll: the id is known");
    assert_eq!(poll.device.unwrap().id, "SIM24-000173");
}

#[tokio::test]
async fn a_profile_made_for_the_device_is_chosen() {
    let profile = "
sysobjectid: 1.3.6.1.4.1.32473.*
extends: _device.yaml
metadata: { device: { fields: { vendor: { value: Example } } } }
metrics:
  - symbol: { OID: 1.3.6.1.2.1.1.7.0, name: services, scale_factor: 0.5 }
  - symbol: { OID: 1.3.6.1.2.1.1.1.0, name: release, extract_value: 'firmware (\\d+)' }
";
    let sim = array().await;
    let mut watched = watch_from(&plain(sim.addr()), None, &[("example", profile)]).await;
    let poll = watched.poll().await;
    assert_eq!(poll.number("example.services", ""), Some(36.0));
    assert_eq!(poll.number("example.release", ""), Some(3.0));
    assert_eq!(poll.readings.len(), 3, "{:?}", poll.counts());
    assert_eq!(poll.device.unwrap().vendor.as_deref(), Some("Example"));
}
