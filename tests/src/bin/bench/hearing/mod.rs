//! What is heard unasked: traps beside net-snmp's snmptrapd, syslog beside rsyslogd, from the same sender in the
//! same run, at rates that rise until something is lost; what each took, what it lost, what it cost.
//!
//! The other two write each message to a file. The agent decides what each means and commits what that changed
//! to its outbox, on the same disk; its collector is away meanwhile.

mod ears;
mod offer;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;

use ears::{AgentEar, Ear, Heard, Rival, RivalEar};
use offer::Offer;

/// What is sent, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// SNMP traps of version 2c.
    Traps,
    /// Syslog datagrams.
    Datagrams,
    /// Syslog over TCP, with octet counting.
    Connection,
}

/// What the messages say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mix {
    /// Nothing that is a fault.
    Chatter,
    /// Each that a port of 48 went down, or is up again.
    Changes,
}

impl Kind {
    /// Its name.
    fn name(self) -> &'static str {
        match self {
            Kind::Traps => "traps",
            Kind::Datagrams => "syslog by UDP",
            Kind::Connection => "syslog by TCP",
        }
    }
}

/// Nothing moves any more when nothing has for so long: the agent tells its counters every five seconds.
const STILL: Duration = Duration::from_secs(12);
/// All is dealt with, and what it led to is stored, when nothing moved for so long.
const SETTLED: Duration = Duration::from_secs(3);
/// Whatever happens a run is over then.
const PATIENCE: Duration = Duration::from_secs(180);

/// Measures these and prints; rates are messages a second, 0 = as fast as it goes.
pub async fn measure(dir: &Path, kinds: &[Kind], rates: &[usize], seconds: u64) -> Result<()> {
    for kind in kinds {
        let folder = dir.join(format!("{kind:?}"));
        std::fs::create_dir_all(&folder)?;
        let mut agent = AgentEar::start(&folder.join("agent"), *kind).await?;
        let mut rival = RivalEar::start(&folder, *kind).await?;
        for mix in [Mix::Chatter, Mix::Changes] {
            println!("{}, {}, {seconds} s each:", kind.name(), said(mix));
            for rate in rates {
                let offer = Offer { kind: *kind, mix, rate: *rate, seconds };
                run("callhome-agent", &mut agent, offer).await?;
                match &mut rival {
                    Some(rival) => run(Rival::of(*kind).name(), rival, offer).await?,
                    None => println!("    {:<14} not installed: left out", Rival::of(*kind).name()),
                }
            }
        }
        agent.stop().await?;
        if let Some(rival) = rival {
            rival.stop().await?;
        }
    }
    Ok(())
}

fn said(mix: Mix) -> &'static str {
    match mix {
        Mix::Chatter => "none of them a fault",
        Mix::Changes => "each a port that goes down or is up again",
    }
}

/// One offer to one program.
async fn run(name: &str, ear: &mut impl Ear, offer: Offer) -> Result<()> {
    let before = ear.heard().await?;
    let begun = Instant::now();
    let to = ear.address();
    let sent = tokio::task::spawn_blocking(move || offer.send(to)).await??;
    let sending = begun.elapsed();
    let (mut last, mut moved) = (before, Instant::now());
    while begun.elapsed() < PATIENCE {
        let now = ear.heard().await?;
        if now.progress() != last.progress() {
            moved = Instant::now();
        }
        last = now;
        let all = now.since(&before);
        if all.taken + all.told_lost >= sent && moved.elapsed() > SETTLED {
            break;
        }
        if moved.elapsed() > STILL {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let heard = last.since(&before);
    println!("    {name:<14} {}", row(offer, sent, sending, &heard, moved - begun));
    Ok(())
}

fn row(offer: Offer, sent: u64, sending: Duration, heard: &Heard, whole: Duration) -> String {
    let wanted = match offer.rate {
        0 => "as fast as it goes".to_owned(),
        rate => format!("{rate}/s"),
    };
    let lost = sent.saturating_sub(heard.taken);
    let told =
        if heard.tells { format!(", declared {:>7}", heard.told_lost) } else { String::new() };
    let stored =
        if heard.stored > 0 { format!("   envelopes {:>7}", heard.stored) } else { String::new() };
    format!(
        "{wanted:>18}: sent {sent:>8} ({:>6.0}/s)   taken {:>8} within {:>5.1} s   lost {lost:>8}{told}   CPU {:>7.2} ms per 1,000 taken{stored}",
        sent as f64 / sending.as_secs_f64(),
        heard.taken,
        whole.max(sending).as_secs_f64(),
        heard.cpu_s * 1000.0 / (heard.taken.max(1) as f64 / 1000.0),
    )
}
