//! The floor: the same number of datagrams of the same size, sent and received, and nothing else.

use std::net::UdpSocket;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use callhome_tests::snmp_sim::Traffic;

use crate::process::own_cpu_s;

/// Exchanges at most.
const MOST: u64 = 20_000;

/// Measures a part of `exchanged` and prints what 1,000 of its varbinds cost at least.
pub fn measure(exchanged: &Traffic) -> Result<()> {
    ensure!(exchanged.requests > 0 && exchanged.bindings > 0, "nothing was exchanged");
    let request = vec![b'q'; usize::try_from(exchanged.bytes_in / exchanged.requests)?];
    let answer = vec![b'a'; usize::try_from(exchanged.bytes_out / exchanged.requests)?];
    let (ours, theirs) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
    ours.connect(theirs.local_addr()?)?;
    theirs.connect(ours.local_addr()?)?;
    ours.set_read_timeout(Some(Duration::from_secs(5)))?;
    let rounds = exchanged.requests.min(MOST);
    let said = answer.clone();
    let responder = std::thread::spawn(move || -> std::io::Result<()> {
        let mut buffer = vec![0; 65_536];
        for _ in 0..rounds {
            theirs.recv(&mut buffer)?;
            theirs.send(&said)?;
        }
        Ok(())
    });
    let mut buffer = vec![0; 65_536];
    let before = own_cpu_s()?;
    for _ in 0..rounds {
        ours.send(&request)?;
        ensure!(ours.recv(&mut buffer)? == answer.len(), "cut short");
    }
    let spent = own_cpu_s()? - before;
    responder.join().ok().context("the responder")??;
    let bindings = exchanged.bindings as f64 * rounds as f64 / exchanged.requests as f64;
    println!(
        "    {:<24} {} bytes there, {} back: {:>6.2} ms per 1,000 varbinds",
        "floor: UDP alone",
        request.len(),
        answer.len(),
        spent * 1000.0 / (bindings / 1000.0)
    );
    Ok(())
}
