//! The floor: the same number of datagrams of the same size, sent and received, and nothing else.

use std::net::UdpSocket;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use callhome_tests::snmp_sim::Traffic;

use crate::process::own_cpu_s;

/// Exchanges at most.
const MOST: u64 = 20_000;
/// The same where the processor rests between two of them.
const MOST_PACED: u64 = 400;
/// It rests so long.
const PAUSE: Duration = Duration::from_millis(20);

/// Measures a part of `exchanged` and prints what 1,000 of its varbinds cost at least: one exchange after
/// the other, and with a rest between them, as where each answer wakes a program that slept.
pub fn measure(exchanged: &Traffic) -> Result<()> {
    let busy = exchange(exchanged, MOST, Duration::ZERO)?;
    let paced = exchange(exchanged, MOST_PACED, PAUSE)?;
    println!(
        "    {:<24} {} bytes there, {} back: {busy:>6.2} ms per 1,000 varbinds, {paced:.2} ms with {} ms of rest between",
        "floor: UDP alone",
        exchanged.bytes_in / exchanged.requests.max(1),
        exchanged.bytes_out / exchanged.requests.max(1),
        PAUSE.as_millis(),
    );
    Ok(())
}

/// Milliseconds of processor time for 1,000 varbinds.
#[allow(
    clippy::disallowed_methods,
    reason = "it blocks its thread all the time, nothing else runs meanwhile"
)]
fn exchange(exchanged: &Traffic, most: u64, pause: Duration) -> Result<f64> {
    ensure!(exchanged.requests > 0 && exchanged.bindings > 0, "nothing was exchanged");
    let request = vec![b'q'; usize::try_from(exchanged.bytes_in / exchanged.requests)?];
    let answer = vec![b'a'; usize::try_from(exchanged.bytes_out / exchanged.requests)?];
    let (ours, theirs) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
    ours.connect(theirs.local_addr()?)?;
    theirs.connect(ours.local_addr()?)?;
    ours.set_read_timeout(Some(Duration::from_secs(5)))?;
    let rounds = exchanged.requests.min(most);
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
        std::thread::sleep(pause);
        ours.send(&request)?;
        ensure!(ours.recv(&mut buffer)? == answer.len(), "cut short");
    }
    let spent = own_cpu_s()? - before;
    responder.join().ok().context("the responder")??;
    let bindings = exchanged.bindings as f64 * rounds as f64 / exchanged.requests as f64;
    Ok(spent * 1000.0 / (bindings / 1000.0))
}
