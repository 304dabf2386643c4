//! What the kernel counts of a process.

use anyhow::{Context, Result};

/// A size in `/proc/PID/status`, MiB: `VmRSS:`, `VmHWM:`, `RssAnon:`.
pub fn status_mib(pid: u32, field: &str) -> Result<f64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let kib = text
        .lines()
        .find_map(|l| l.strip_prefix(field))
        .and_then(|rest| rest.split_whitespace().next())
        .context("no such field")?;
    Ok(kib.parse::<f64>()? / 1024.0)
}

/// Its share of the memory that it maps, what it shares with others counted in part, MiB.
pub fn pss_mib(pid: u32) -> Result<f64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let kib = text
        .lines()
        .find_map(|l| l.strip_prefix("Pss:"))
        .and_then(|rest| rest.split_whitespace().next())
        .context("no PSS")?;
    Ok(kib.parse::<f64>()? / 1024.0)
}

/// CPU time of all its threads, seconds.
pub fn cpu_s(pid: u32) -> Result<f64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let after = text.rsplit(')').next().context("stat")?;
    let fields: Vec<&str> = after.split_whitespace().collect();
    let ticks = |n: usize| -> Result<f64> { Ok(fields.get(n).context("stat field")?.parse()?) };
    // utime and stime are fields 14 and 15 of the line, 11 and 12 after the name; 100 ticks a second.
    Ok((ticks(11)? + ticks(12)?) / 100.0)
}

/// CPU time of the calling thread, seconds.
pub fn own_cpu_s() -> Result<f64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds: f64 = text.split_whitespace().next().context("schedstat")?.parse()?;
    Ok(nanoseconds / 1e9)
}
