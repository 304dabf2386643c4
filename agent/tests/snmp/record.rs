//! Devices walked into recordings: the simulator with bad manners, and the real `snmpd`.

use std::sync::Arc;
use std::time::Duration;

use callhome_agent::profile::Library;
use callhome_agent::workshop::Recording;
use callhome_agent::workshop::device::Access;
use callhome_agent::workshop::record::{self, Walked};
use clap::Parser;

use crate::device::array;
use crate::snmp_sim::{Manners, SimValue};

#[derive(Parser)]
struct Given {
    #[command(flatten)]
    access: Access,
}

pub fn access(words: &[&str]) -> Access {
    Given::parse_from(["record"].iter().chain(words)).access
}

pub async fn walked(
    address: std::net::SocketAddr,
    access: &Access,
    library: &Arc<Library>,
) -> Walked {
    let walked = record::walk(&address.to_string(), access, library, &[]).await;
    walked.unwrap_or_else(|error| panic!("{error:#}"))
}

#[tokio::test]
async fn a_recording_says_what_the_device_says_whatever_its_manners() {
    let sim = array().await;
    sim.set("1.3.6.1.2.1.1.5.0", SimValue::OctetString(b"lab-array-7".to_vec())).unwrap();
    sim.set("1.3.6.1.4.1.32473.1.0", SimValue::IpAddress([192, 0, 2, 9])).unwrap();
    sim.set("1.3.6.1.4.1.32473.2.0", SimValue::OctetString(b"seen as lab-array-7".to_vec()))
        .unwrap();
    sim.set("1.3.6.1.6.3.18.1.1.1.2.1", SimValue::OctetString(b"very-secret".to_vec())).unwrap();
    let library = Arc::new(Library::built_in().unwrap());
    let access = access(&[]);
    let whole = walked(sim.addr(), &access, &library).await;
    assert!(whole.objects.len() > 100 && whole.remarks.is_empty(), "{:?}", whole.remarks);
    let bad = Manners {
        drop_every: 40,
        duplicate: true,
        too_big_over: 3,
        delay: Duration::from_millis(1),
        ..Manners::default()
    };
    sim.set_manners(bad);
    let again = walked(sim.addr(), &access, &library).await;
    assert_eq!(again.objects.keys().collect::<Vec<_>>(), whole.objects.keys().collect::<Vec<_>>());
    let scrubbed = record::scrubbed(&whole, &access, &library, true).unwrap();
    println!(
        "simulator: {} objects in {} requests, with bad manners {}; {:?}",
        whole.objects.len(),
        whole.requests,
        again.requests,
        scrubbed.counts
    );
    for gone in ["lab-array-7", "192.0.2.9", "very-secret", "SIM24-000173"] {
        assert!(!scrubbed.text.contains(gone), "{gone}");
    }
    let recording = Recording::parse("array", &scrubbed.text).unwrap();
    assert_eq!(recording.len(), whole.objects.len() - 1, "one community is left out");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("array.snmprec");
    record::write(&path, &scrubbed.text).unwrap();
    assert_eq!(Recording::load(&path).unwrap().len(), recording.len());
    assert!(record::write(&path, "").is_err(), "a file that is there is not overwritten");
}
