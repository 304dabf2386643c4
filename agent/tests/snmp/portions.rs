//! How much a device is asked for at once: less where it cannot give it, more again later; and version 1,
//! which has no GETBULK at all.

use std::net::SocketAddr;
use std::time::Duration;

use callhome_agent::profile::oid::Oid;
use callhome_agent::source::snmp::appetite::Appetite;
use callhome_agent::source::snmp::message::Version;
use callhome_agent::source::snmp::session::{Community, Patience, Security, Session};
use callhome_agent::source::snmp::walk::walk;
use callhome_agent::source::snmp::{SnmpPlain, Transport};
use callhome_shared::heartbeat::SourceState;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use crate::device::{Poll, array, plain, watch};
use crate::snmp_sim::{Manners, SimValue, SnmpSim};

const OPER: &str = "entity-state.entStateOper";

fn patient(address: SocketAddr) -> SnmpPlain {
    SnmpPlain { interval_s: 60, timeout_ms: 300, retries: 1, ..plain(address) }
}

fn assert_whole(what: &str, poll: &Poll) {
    assert_eq!(poll.reachable(), Some(1.0), "{what}");
    assert_eq!(poll.count(OPER), 21, "{what}: {:?}", poll.counts());
    assert_eq!(poll.count("entity-sensor.entPhySensorValue"), 23, "{what}");
    assert_eq!(poll.number("if-mib.ifOperStatus", "port A-p1"), Some(1.0), "{what}");
}

#[tokio::test]
async fn what_is_too_much_is_halved_until_it_is_not() {
    let too_big = Manners { too_big_over: 3, ..Manners::default() };
    let gen_err = Manners { gen_err_over: 3, ..Manners::default() };
    let lost = Manners { lost_over: 3, ..Manners::default() };
    let never = Manners { no_bulk: true, ..Manners::default() };
    for (what, manners, largest) in [
        ("tooBig", too_big, 2),
        ("genErr", gen_err, 2),
        ("what is large gets lost", lost, 2),
        ("no GETBULK", never, 0),
    ] {
        let sim = array().await;
        sim.set_manners(manners);
        let mut plain = patient(sim.addr());
        plain.interval_s = 5;
        let mut watched = watch(&plain).await;
        let poll = watched.poll().await;
        assert_whole(what, &poll);
        assert_eq!(watched.health().0, SourceState::Ok, "{what}: {:?}", watched.health());
        // The next poll begins with what was learned, and tries more only now and then.
        sim.largest_bulk();
        let before = sim.requests();
        assert_whole(what, &watched.poll().await);
        let (size, requests) = (sim.largest_bulk(), sim.requests() - before);
        println!("{what}: largest GETBULK of the second poll {size}, {requests} requests");
        // An attempt with more at most doubles it.
        assert!(size <= (2 * largest).max(1), "{what}: {size}");
    }
}

/// A session with a simulated device, and its transport's end.
async fn session(sim: &SnmpSim) -> (Session, CancellationToken) {
    let transport = Transport::bind().await.unwrap();
    let stop = CancellationToken::new();
    tokio::spawn(transport.clone().receive(stop.clone()));
    let community = Community(Zeroizing::new(b"public".to_vec()));
    let patience = Patience { timeout: Duration::from_millis(500), retries: 3 };
    let security = Security::Community(Version::V2c, community);
    (Session::new(transport, sim.addr(), security, patience), stop)
}

#[tokio::test]
async fn more_is_asked_for_again_once_the_device_can() {
    let sim = array().await;
    let (mut session, stop) = session(&sim).await;
    let mut appetite = Appetite::new(true, 20);
    let (oper, class) = (
        Oid::parse("1.3.6.1.2.1.131.1.1.1.3").unwrap(),
        Oid::parse("1.3.6.1.2.1.47.1.1.1.1.5").unwrap(),
    );
    sim.set_manners(Manners { too_big_over: 3, ..Manners::default() });
    let rows = walk(&mut session, &mut appetite, &[&oper, &class]).await.unwrap();
    assert!(rows.iter().all(|column| column.rows.len() >= 21 && column.fault.is_none()));
    assert_eq!(sim.largest_bulk(), 20);
    assert_eq!(appetite.portion().max_repetitions, 2);
    // It stays small while the device is: an attempt now and then.
    let mut attempts = 0;
    for _ in 0..100 {
        walk(&mut session, &mut appetite, &[&oper]).await.unwrap();
        attempts += u32::from(sim.largest_bulk() > 3);
    }
    println!("{attempts} attempts with more in 100 walks");
    assert!((1..=4).contains(&attempts), "{attempts}");
    sim.set_manners(Manners::default());
    let mut walks = 0;
    while appetite.portion().max_repetitions < 20 {
        walk(&mut session, &mut appetite, &[&oper]).await.unwrap();
        walks += 1;
        assert!(walks < 2000);
    }
    println!("back at 20 rows after {walks} walks");
    stop.cancel();
}

#[tokio::test]
async fn one_broken_row_ends_its_column_and_makes_nothing_smaller() {
    let sim = array().await;
    sim.set_manners(Manners { broken_column: 8, ..Manners::default() });
    let (mut session, stop) = session(&sim).await;
    let mut appetite = Appetite::new(true, 20);
    let [oper, admin] =
        ["1.3.6.1.2.1.2.2.1.8", "1.3.6.1.2.1.2.2.1.7"].map(|o| Oid::parse(o).unwrap());
    let columns = walk(&mut session, &mut appetite, &[&oper, &admin]).await.unwrap();
    assert_eq!((columns[0].rows.len(), columns[1].rows.len()), (1, 8));
    let fault = columns[0].fault.as_deref().unwrap();
    assert!(fault.contains("genErr") && fault.contains("1.3.6.1.2.1.2.2.1.8.1"), "{fault}");
    assert!(columns[1].fault.is_none(), "the other column is read to its end");
    assert_eq!(appetite.portion().max_repetitions, 20, "it was not the size");
    stop.cancel();
}

#[tokio::test]
async fn a_device_that_dies_in_the_middle_is_not_asked_for_less() {
    let sim = array().await;
    let (mut session, stop) = session(&sim).await;
    let mut appetite = Appetite::new(true, 20);
    let oper = Oid::parse("1.3.6.1.2.1.131.1.1.1.3").unwrap();
    walk(&mut session, &mut appetite, &[&oper]).await.unwrap();
    sim.set_manners(Manners { silent: true, ..Manners::default() });
    let before = sim.requests();
    let error = walk(&mut session, &mut appetite, &[&oper]).await.unwrap_err();
    assert!(error.is_silence(), "{error}");
    assert_eq!(sim.requests() - before, 8, "the question and a small one, four attempts each");
    assert_eq!(appetite.portion().max_repetitions, 20);
    stop.cancel();
}

#[tokio::test]
async fn bulk_false_never_sends_a_getbulk() {
    let sim = array().await;
    let mut plain = patient(sim.addr());
    plain.bulk = false;
    let poll = watch(&plain).await.poll().await;
    assert_whole("bulk = false", &poll);
    assert_eq!(sim.largest_bulk(), 0);
}

#[tokio::test]
async fn version_1_reads_the_same_but_64_bit_counters() {
    let (sim, other) = (array().await, array().await);
    for sim in [&sim, &other] {
        sim.set("1.3.6.1.2.1.31.1.1.1.6.1", SimValue::Counter64(1 << 40)).unwrap();
    }
    let second = watch(&patient(other.addr())).await.poll().await;
    let mut plain = patient(sim.addr());
    plain.version = "1".into();
    let mut watched = watch(&plain).await;
    let first = watched.poll().await;
    assert_whole("version 1", &first);
    assert_eq!(watched.health().0, SourceState::Ok, "{:?}", watched.health());
    assert_eq!(first.counts(), second.counts(), "the same as with version 2c");
    assert_eq!(first.device.unwrap().serial.as_deref(), Some("SIM24-000173"));
    assert_eq!(sim.largest_bulk(), 0, "there is no GETBULK in version 1");
}
