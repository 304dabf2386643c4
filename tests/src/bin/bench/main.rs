//! `make bench`: from fault to ticket, beside a floor measured in the same run; memory, CPU and size of
//! both programs; polling, traps and syslog beside other programs.

mod desk;
mod floor;
mod footprint;
mod hearing;
mod latency;
mod polling;
mod process;

use anyhow::{Context, Result, bail};

#[tokio::main]
async fn main() -> Result<()> {
    let mut faults = 1000;
    let mut minutes = 10;
    let mut seconds = None;
    let (mut tickets, mut people) = (1_000_000, 200);
    let (mut targets, mut rates) = (Vec::new(), Vec::new());
    let mut only = None;
    let args: Vec<String> = std::env::args().skip(1).collect();
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        let mut number = || -> Result<usize> {
            Ok(rest.next().with_context(|| format!("{arg} needs a number"))?.parse()?)
        };
        match arg.as_str() {
            "--faults" => faults = number()?,
            "--minutes" => minutes = number()?,
            "--seconds" => seconds = Some(number()? as u64),
            "--targets" => targets.push(number()?),
            "--rate" => rates.push(number()?),
            "--tickets" => tickets = number()?,
            "--people" => people = number()?,
            "--only" => only = rest.next().map(String::as_str),
            other => bail!(
                "unknown argument {other}; known: --faults N, --minutes M, --seconds S, --targets N, --rate N, --tickets N, --people N, --only PART"
            ),
        }
    }
    let dir = tempfile::tempdir()?;
    let wanted = |part: &str| only.is_none_or(|o| o == part);
    if wanted("latency") {
        // The floor belongs to it: both in one run, on the same machine in the same minute.
        floor::measure(dir.path(), faults).await?;
        latency::measure(dir.path(), faults).await?;
    }
    if wanted("footprint") {
        footprint::measure(dir.path(), minutes).await?;
    }
    if wanted("polling") {
        let targets = if targets.is_empty() { vec![1, 100, 1000] } else { targets };
        polling::measure(dir.path(), &targets, seconds.unwrap_or(60)).await?;
    }
    let desk_seconds = seconds.unwrap_or(120);
    // 0: as fast as it goes.
    let rates = if rates.is_empty() { vec![1000, 5000, 20_000, 0] } else { rates };
    let seconds = seconds.unwrap_or(5);
    if wanted("traps") {
        hearing::measure(dir.path(), &[hearing::Kind::Traps], &rates, seconds).await?;
    }
    if wanted("syslog") {
        let kinds = [hearing::Kind::Datagrams, hearing::Kind::Connection];
        hearing::measure(dir.path(), &kinds, &rates, seconds).await?;
    }
    if wanted("desk") {
        desk::measure(dir.path(), tickets, people, desk_seconds).await?;
    }
    Ok(())
}

/// p50 and p99 of milliseconds, as a row.
pub fn row(name: &str, mut ms: Vec<f64>) -> String {
    if ms.is_empty() {
        return format!("{name:<34} no samples");
    }
    ms.sort_by(f64::total_cmp);
    let at = |q: f64| ms[((ms.len() - 1) as f64 * q).round() as usize];
    format!(
        "{name:<34} n {:>5}   p50 {:>8.2} ms   p99 {:>8.2} ms   max {:>8.2} ms",
        ms.len(),
        at(0.5),
        at(0.99),
        at(1.0)
    )
}
