//! A simulated SNMP v2c device on its own: `snmp-sim <address:port> <recording.snmprec>…`.
//!
//! Each line on standard input changes one object while it is polled: `oid|tag|value` as in a
//! recording, or `oid` alone to take it away. It ends with Ctrl-C or the end of the input.

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use callhome_tests::snmp_sim::SnmpSim;
use tokio::io::{AsyncBufReadExt, BufReader};

fn main() -> ExitCode {
    let outcome = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("runtime")
        .and_then(|runtime| runtime.block_on(run()));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("snmp-sim: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((address, recordings)) =
        arguments.split_first().filter(|(_, files)| !files.is_empty())
    else {
        bail!("usage: snmp-sim <address:port> <recording.snmprec>…");
    };
    let address = address.parse().with_context(|| format!("{address:?} is no address:port"))?;
    let device =
        SnmpSim::start(address).await.with_context(|| format!("cannot listen on {address}"))?;
    for file in recordings {
        let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {file}"))?;
        let count = device.load_snmprec(&text).with_context(|| file.clone())?;
        println!("{file}: {count} objects");
    }
    println!("listening on {}", device.addr());
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    loop {
        let line = tokio::select! {
            line = lines.next_line() => line?,
            _ = tokio::signal::ctrl_c() => return Ok(()),
        };
        let Some(line) = line else { return Ok(()) };
        let outcome = if line.contains('|') {
            device.load_snmprec(&line).map(|_| ())
        } else {
            device.remove(line.trim())
        };
        match outcome {
            Ok(()) => println!("ok"),
            Err(error) => println!("error: {error:#}"),
        }
    }
}
