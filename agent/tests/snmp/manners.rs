//! What a device may do to its answers, and that it harms nobody but itself.

use std::time::{Duration, Instant};

use callhome_agent::source::Value;
use callhome_agent::source::snmp::{SnmpPlain, Transport};
use callhome_shared::heartbeat::SourceState;
use tokio::net::UdpSocket;
use tokio_util::sync::CancellationToken;

use crate::device::{array, plain, watch, watch_from, watch_judged, watch_on};
use crate::snmp_sim::{Manners, SimValue, SnmpSim};

#[tokio::test]
async fn the_whole_array_is_read() {
    let sim = array().await;
    let mut watched = watch(&plain(sim.addr())).await;
    let poll = watched.poll().await;
    assert_eq!(poll.number("entity-state.entStateOper", "Disk 0_7"), Some(3.0));
    assert_eq!(poll.count("entity-state.entStateOper"), 21);
    assert_eq!(
        poll.value("entity-state.entStateAlarm", "PSU 2"),
        Some(&Value::Text("none".into()))
    );
    assert_eq!(poll.number("entity-sensor.entPhySensorValue", "Inlet temperature"), Some(23.5));
    let voltage = poll.find("entity-sensor.entPhySensorValue", "PSU 1 output voltage").unwrap();
    assert_eq!((&voltage.value, &*voltage.unit), (&Value::Number(12.05), "V"));
    let used = poll.number("host-resources.hrStorageUsedPercent", "Pool 1").unwrap();
    assert!((used - 60.0).abs() < 0.001, "{used}");
    assert_eq!(poll.number("if-mib.ifOperStatus", "port A-p1"), Some(1.0));
    assert_eq!(poll.value("if-mib.ifOperStatus", "port A-p3"), None, "never seen up");
    assert_eq!(
        poll.value("if-mib.ifOperStatus", "port A-p4"),
        Some(&Value::Text("skipped".into())),
        "switched off"
    );
    let device = poll.device.unwrap();
    assert_eq!(
        (device.id.as_str(), device.serial.as_deref()),
        ("SIM24-000173", Some("SIM24-000173"))
    );
    assert_eq!(device.model.as_deref(), Some("SA-2400"));
    assert_eq!(device.firmware.as_deref(), Some("3.2.1"));
    assert_eq!(watched.health().0, SourceState::Ok);
}

/// Nobody reads what no rule looks at.
#[tokio::test]
async fn what_no_rule_looks_at_is_not_handed_on() {
    let profile = "metrics:\n  - MIB: IF-MIB\n    table: { OID: 1.3.6.1.2.1.2.2, name: ifTable }\n    \
        symbols:\n      - { OID: 1.3.6.1.2.1.2.2.1.8, name: ifOperStatus }\n      \
        - { OID: 1.3.6.1.2.1.2.2.1.3, name: ifType }\n    metric_tags:\n      \
        - { tag: port, symbol: { OID: 1.3.6.1.2.1.2.2.1.2, name: ifDescr } }\n\
        alarms:\n  - metric: ifOperStatus\n    type: port-down\n    resource: \"port ${port}\"\n    \
        states: { 1: ok, 2: major }\n";
    let sim = array().await;
    let plain = SnmpPlain { profiles: Some(vec!["ports".to_owned()]), ..plain(sim.addr()) };
    let mut all = watch_from(&plain, None, &[("ports", profile)]).await;
    let mut judged = watch_judged(&plain, &[("ports", profile)]).await;
    let (whole, part) = (all.poll().await, judged.poll().await);
    assert_eq!((whole.count("ports.ifOperStatus"), whole.count("ports.ifType")), (8, 8));
    assert_eq!((part.count("ports.ifOperStatus"), part.count("ports.ifType")), (8, 0));
    assert_eq!((all.values(), judged.values()), (16, 8), "not asked for, so not counted");
    // Where there is nothing that a rule looks at, it counts that there is something else.
    let nothing = profile.replace("1.2.2.1.8", "1.2.2.1.98");
    assert_ne!(nothing, profile);
    let mut other = watch_judged(&plain, &[("ports", &nothing)]).await;
    assert_eq!(other.poll().await.count("ports.ifOperStatus"), 0);
    assert_eq!(other.values(), 8);
}

/// Seven columns of values, one of which a rule looks at: two columns are asked for.
#[tokio::test]
async fn only_what_rules_look_at_is_asked_for() {
    let (seven, one) = (sim().await, sim().await);
    let mut symbols = String::new();
    for column in 2..=9 {
        for sim in [&seven, &one] {
            let name = format!("1.3.6.1.4.1.32473.7.1.{column}.1");
            sim.set(&name, SimValue::Integer(1)).unwrap();
            sim.set("1.3.6.1.2.1.1.3.0", SimValue::TimeTicks(100)).unwrap();
        }
        if column > 2 {
            symbols +=
                &format!("      - {{ OID: 1.3.6.1.4.1.32473.7.1.{column}, name: c{column} }}\n");
        }
    }
    let profile = format!(
        "metrics:\n  - table: {{ OID: 1.3.6.1.4.1.32473.7, name: t }}\n    symbols:\n{symbols}    metric_tags:\n      \
         - {{ tag: name, symbol: {{ OID: 1.3.6.1.4.1.32473.7.1.2, name: c2 }} }}\nalarms:\n  - metric: c5\n    \
         type: bad\n    resource: \"row ${{name}}\"\n    states: {{ 1: ok, 2: major }}\n"
    );
    let asked = |sim: &SnmpSim| {
        let plain = plain(sim.addr());
        SnmpPlain { profiles: Some(vec!["t".to_owned()]), bulk: false, interval_s: 60, ..plain }
    };
    let mut whole = watch_from(&asked(&seven), None, &[("t", &profile)]).await;
    let mut part = watch_judged(&asked(&one), &[("t", &profile)]).await;
    assert_eq!((whole.poll().await.count("t.c5"), part.poll().await.count("t.c5")), (1, 1));
    // After the poll: whether the device tells what it is made of, two columns.
    assert!(whole.inventory().await.modules.is_none() && part.inventory().await.modules.is_none());
    // sysObjectID and sysUpTime; then each row of each column, and what is behind it.
    let traffic = [seven.traffic().bindings, one.traffic().bindings];
    println!("{traffic:?} bindings in one poll");
    assert_eq!(traffic, [2 + 2 * 8 + 2, 2 + 2 * 2 + 2]);
}

#[tokio::test]
async fn faults_show_and_go() {
    let sim = array().await;
    let mut watched = watch(&plain(sim.addr())).await;
    watched.poll().await;
    sim.set("1.3.6.1.2.1.131.1.1.1.3.20", SimValue::Integer(2)).unwrap();
    sim.set("1.3.6.1.2.1.131.1.1.1.5.30", SimValue::OctetString(vec![0b0011_0000])).unwrap();
    sim.set("1.3.6.1.2.1.2.2.1.8.1", SimValue::Integer(2)).unwrap();
    let poll = watched.until(|p| p.number("if-mib.ifOperStatus", "port A-p1") == Some(2.0)).await;
    let psu = poll.find("entity-state.entStateOper", "PSU 1").unwrap();
    assert_eq!(psu.value, Value::Number(2.0));
    let label = |name: &str| psu.labels.iter().find(|(n, _)| &**n == name).map(|(_, v)| v.as_str());
    assert_eq!((label("state"), label("standby")), (Some("disabled"), Some("providingService")));
    assert_eq!(psu.origin.to_string(), "SNMP 1.3.6.1.2.1.131.1.1.1.3.20");
    let alarm = |resource| poll.value("entity-state.entStateAlarm", resource).cloned();
    assert_eq!(alarm("PSU 1"), Some(Value::Text("skipped".into())), "one fault, one alarm");
    assert_eq!(alarm("Fan 1"), Some(Value::Text("critical".into())));
    // A part that is taken out is gone after two polls, and says so once.
    for column in 2..=6 {
        sim.remove(&format!("1.3.6.1.2.1.131.1.1.1.{column}.20")).unwrap();
    }
    let absent = Value::Text("absent".into());
    let poll =
        watched.until(|p| p.value("entity-state.entStateOper", "PSU 1") == Some(&absent)).await;
    assert_eq!(poll.count("entity-state.entStateOper"), 21);
    assert_eq!(watched.poll().await.count("entity-state.entStateOper"), 20);
}

#[tokio::test]
async fn bad_manners_are_survived() {
    let duplicate = Manners { duplicate: true, ..Manners::default() };
    let lossy = Manners { drop_every: 4, ..Manners::default() };
    let slow = Manners { delay: Duration::from_millis(250), ..Manners::default() };
    let small = Manners { too_big_over: 3, ..Manners::default() };
    for (what, manners) in
        [("duplicates", duplicate), ("loses", lossy), ("is slow", slow), ("is small", small)]
    {
        let sim = array().await;
        sim.set_manners(manners);
        let mut plain = plain(sim.addr());
        plain.interval_s = 20;
        plain.retries = 2;
        let mut watched = watch(&plain).await;
        let poll = watched.poll().await;
        assert_eq!(poll.reachable(), Some(1.0), "{what}");
        assert_eq!(poll.count("entity-state.entStateOper"), 21, "{what}: {:?}", watched.health());
        assert_eq!(poll.count("entity-sensor.entPhySensorValue"), 23, "{what}");
        assert_eq!(watched.health().0, SourceState::Ok, "{what}: {:?}", watched.health());
        let counts = watched.transport.counts();
        if what == "duplicates" {
            assert!(counts.received > counts.sent, "{counts:?}");
        }
    }
}

#[tokio::test]
async fn without_getbulk_the_same_is_read() {
    let sim = array().await;
    let mut plain = plain(sim.addr());
    plain.bulk = false;
    plain.interval_s = 20;
    let poll = watch(&plain).await.poll().await;
    assert_eq!(poll.count("entity-state.entStateOper"), 21);
    assert_eq!(poll.count("entity-sensor.entPhySensorValue"), 23);
}

#[tokio::test]
async fn cut_off_answers_are_told_from_silence() {
    let sim = array().await;
    sim.set_manners(Manners { truncate: 3, ..Manners::default() });
    let watched = watch(&plain(sim.addr())).await;
    let (state, detail) = watched.first_health().await;
    assert_eq!(state, SourceState::Failed);
    assert!(detail.contains("cut off"), "{detail}");
    assert!(watched.transport.counts().malformed > 0);
}

#[tokio::test]
async fn silence_and_a_closed_port_are_told_apart() {
    let sim = array().await;
    sim.set_manners(Manners { silent: true, ..Manners::default() });
    let silent = watch(&plain(sim.addr())).await;
    let free = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let closed = watch(&plain(free)).await;
    let (state, detail) = silent.first_health().await;
    assert_eq!(state, SourceState::Failed);
    assert!(detail.contains("no answer to 2 requests"), "{detail}");
    let (_, detail) = closed.first_health().await;
    assert!(detail.contains("port closed"), "{detail}");
}

#[tokio::test]
async fn a_dead_device_delays_nobody() {
    let transport = Transport::bind().await.unwrap();
    let stop = CancellationToken::new();
    tokio::spawn(transport.clone().receive(stop.clone()));
    let dead = array().await;
    dead.set_manners(Manners { silent: true, ..Manners::default() });
    let mut patient = plain(dead.addr());
    patient.timeout_ms = 5_000;
    let _dead: Vec<_> =
        (0..20).map(|_| watch_on(&patient, None, &[], transport.clone(), stop.clone())).collect();
    let sim = array().await;
    let mut watched = watch_on(&plain(sim.addr()), None, &[], transport.clone(), stop.clone());
    watched.poll().await;
    let began = Instant::now();
    for _ in 0..3 {
        assert_eq!(watched.poll().await.reachable(), Some(1.0));
    }
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
}

#[tokio::test]
async fn foreign_datagrams_are_not_taken_for_answers() {
    // A device that never answers, and somebody else who floods our socket with answers to every
    // id: wrong address, so none may count.
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let watched = watch(&plain(silent.local_addr().unwrap())).await;
    let mut request = [0u8; 2048];
    let (len, ours) = silent.recv_from(&mut request).await.unwrap();
    let mut answer = request[..len].to_vec();
    // GET (a0) becomes a response (a2): the right id, from the wrong address.
    let pdu = answer.iter().position(|b| *b == 0xa0).unwrap();
    answer[pdu] = 0xa2;
    let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for _ in 0..3 {
        stranger.send_to(&answer, ours).await.unwrap();
    }
    // Noise from the right address does not count either, whatever it is.
    for noise in [&b"\x30\x03\x02\x01\x01"[..], b"", b"\xff\xff\xff", &[0u8; 1400]] {
        silent.send_to(noise, ours).await.unwrap();
    }
    let (state, _) = watched.first_health().await;
    assert_eq!(state, SourceState::Failed);
    let counts = watched.transport.counts();
    assert!(counts.unmatched >= 3 && counts.malformed >= 3, "{counts:?}");
}

#[tokio::test]
async fn a_walk_that_goes_round_ends() {
    // Always the same row after the sysObjectID: a device that would be walked for ever.
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0u8; 2048];
        loop {
            let (len, from) = socket.recv_from(&mut buffer).await.unwrap();
            let mut answer = buffer[..len].to_vec();
            let pdu = answer.iter().position(|b| (0xa0..=0xa5).contains(b)).unwrap();
            let bulk = answer[pdu] == 0xa5;
            answer[pdu] = 0xa2;
            if bulk {
                // max-repetitions becomes the error index 0: the names come back as they are.
                let at = answer.windows(3).position(|w| w == [2, 1, 7]).unwrap();
                answer[at + 2] = 0;
            }
            socket.send_to(&answer, from).await.unwrap();
        }
    });
    let mut plain = plain(address);
    plain.max_repetitions = 7;
    let watched = watch(&plain).await;
    let (state, detail) = watched.first_health().await;
    assert_eq!(state, SourceState::Degraded, "{detail}");
    assert!(detail.contains(" after "), "{detail}");
}

async fn sim() -> SnmpSim {
    SnmpSim::start(([127, 0, 0, 1], 0).into()).await.unwrap()
}
