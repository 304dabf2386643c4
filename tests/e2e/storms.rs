//! Seeded storms with an oracle: network, processes, disks, clocks and database are disturbed while
//! faults come and go in every kind of source. The short form is part of `make test`; `make soak
//! SEED=… RUNS=… FAULTS=…` runs series of it.

use std::io::Write as _;

use anyhow::{Context, Result, ensure};
use callhome_tests::harness::storm::plan::{Means, Plan};
use callhome_tests::harness::storm::report::Report;
use callhome_tests::harness::storm::sum::Sum;
use callhome_tests::harness::storm::{means, run};

/// Seeds of the short form: between them both brokers and both databases.
const SHORT: [u64; 2] = [3, 14];
/// Faults of each.
const SHORT_FAULTS: usize = 300;

struct Series {
    seeds: Vec<u64>,
    faults: usize,
    out: Option<String>,
}

impl Series {
    fn wanted() -> Result<Self> {
        let number = |name: &str| -> Result<Option<u64>> {
            match std::env::var(name) {
                Ok(text) if !text.is_empty() => {
                    let number = text.parse().with_context(|| format!("{name} is no number"))?;
                    Ok(Some(number))
                }
                _ => Ok(None),
            }
        };
        let out = std::env::var("CALLHOME_STORM_OUT").ok().filter(|path| !path.is_empty());
        let (seed, runs) = (number("CALLHOME_STORM_SEED")?, number("CALLHOME_STORM_RUNS")?);
        let faults = number("CALLHOME_STORM_FAULTS")?;
        let (seeds, usual) = match (seed, runs) {
            (None, None) => (SHORT.to_vec(), SHORT_FAULTS),
            (seed, runs) => {
                let first = seed.unwrap_or_else(rand::random);
                let seeds = (0..runs.unwrap_or(1)).map(|n| first.wrapping_add(n)).collect();
                (seeds, 2000)
            }
        };
        Ok(Series { seeds, faults: faults.map_or(Ok(usual), usize::try_from)?, out })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn storms() -> Result<()> {
    let series = Series::wanted()?;
    let mut bad = Vec::new();
    let mut sum = Sum::default();
    for seed in series.seeds {
        let dir = tempfile::Builder::new().prefix("storm-").tempdir()?;
        let means = means(dir.path()).await?;
        if !means.clocks {
            println!("SKIPPED in this storm: clock jumps (the package faketime is not installed)");
        }
        if !means.mounts {
            println!("SKIPPED in this storm: full disks (mounting is not allowed here)");
        }
        let plan = Plan::new(seed, means);
        let report = run(dir.path(), &plan, series.faults).await?;
        println!("{}", report.line());
        print!("{}", report.tables());
        sum.add(&report);
        if let Some(out) = &series.out {
            append(out, &report)?;
        }
        if !report.faults_found().is_empty() {
            let kept = dir.keep();
            println!("{}logs: {}", report.story(), kept.join("world").display());
            bad.push(seed);
        }
    }
    println!("\nTHE SUM OF THE SERIES\n{}", sum.tables());
    ensure!(bad.is_empty(), "storms that went wrong, by seed: {bad:?}");
    Ok(())
}

#[test]
fn the_short_storms_meet_both_brokers_and_both_databases() {
    let all = Means { mosquitto: true, postgres: true, clocks: true, mounts: true };
    let plans = SHORT.map(|seed| Plan::new(seed, all));
    assert_ne!(plans[0].broker, plans[1].broker);
    assert_ne!(plans[0].postgres, plans[1].postgres);
}

/// One line a storm: what a series is added up from.
fn append(path: &str, report: &Report) -> Result<()> {
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path)?;
    let sorts: Vec<String> = report.troubles.iter().map(|(s, n)| format!("{s}={n}")).collect();
    writeln!(file, "{} | {}", report.line(), sorts.join(" "))?;
    Ok(())
}
