//! The configuration is read again: sources whose settings are the same go on untouched. A console that never
//! pauses loses no line and has no deaf interval, a syslog connection stays open; what a changed rule watched
//! is over, and its ticket says why.

use std::io::Write as _;
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use callhome_tests::harness::api::Api;
use callhome_tests::harness::console::Console;
use callhome_tests::harness::world::{AGENT, Broker, Ports, World};
use callhome_tests::harness::{free_port, free_udp_port, until};
use serde_json::Value;

const RELOADS: usize = 20;
const PATIENCE: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(200);

/// A pattern of parts that fail.
fn pattern(source: &str, id: &str) -> String {
    format!(
        "[[{source}.pattern]]\nid = \"{id}\"\nmatch = '(?P<part>\\S+ \\d+) failed'\n\
         clear = '(?P<part>\\S+ \\d+) ok'\ntype = \"part-failed\"\nseverity = \"major\"\n\
         resource = \"${{part}}\"\n\n"
    )
}

/// What stays: a console and a syslog listener. What changes: a rule of the console, a polled device and
/// another one's log.
struct Plan<'a> {
    console: &'a Path,
    syslog: u16,
    polled: u16,
    log: &'a Path,
}

impl Plan<'_> {
    fn toml(&self, rule: &str, more: bool) -> String {
        let mut text = format!(
            "[[device]]\nname = \"switch-1\"\n\n[[device]]\nname = \"host-1\"\n\n[[device]]\n\
             name = \"array-1\"\n\n[[device]]\nname = \"array-2\"\n\n[[serial]]\nname = \"console\"\n\
             device = \"switch-1\"\nport = \"{}\"\n\n{}[[syslog]]\nname = \"syslog\"\ndevice = \"host-1\"\n\
             tcp = [\"127.0.0.1:{}\"]\n\n[[syslog.sender]]\ndevice = \"host-1\"\n\
             addresses = [\"127.0.0.1\"]\n\n{}",
            self.console.display(),
            pattern("serial", rule),
            self.syslog,
            pattern("syslog", "part"),
        );
        if more {
            text.push_str(&format!(
                "[[snmp]]\nname = \"poll\"\ndevice = \"array-1\"\naddress = \"127.0.0.2:{}\"\n\
                 version = \"2c\"\ncommunity = \"public\"\ninterval_s = 3600\n\n[[logfile]]\n\
                 name = \"log\"\ndevice = \"array-2\"\npath = \"{}\"\nfrom = \"start\"\n\n{}",
                self.polled,
                self.log.display(),
                pattern("logfile", "part"),
            ));
        }
        text
    }
}

async fn status(world: &World) -> Result<Value> {
    Ok(serde_json::from_str(&world.agent_cli(&["status", "--json"]).await?)?)
}

fn source<'v>(status: &'v Value, name: &str) -> Option<&'v Value> {
    status["sources"].as_array()?.iter().find(|source| source["source"] == name)
}

/// The agent's file descriptors of a file, and what the kernel knows them by.
fn open_at(pid: u32, path: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(format!("/proc/{pid}/fd"))? {
        let entry = entry?;
        if std::fs::read_link(entry.path()).is_ok_and(|to| to == path) {
            found.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    found.sort();
    Ok(found)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sources_that_stay_the_same_go_on_over_reloads() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let console = Arc::new(Console::open("switch-1> ")?);
    let log = dir.path().join("array-2.log");
    std::fs::write(&log, "hello\n")?;
    let plan =
        Plan { console: console.path(), syslog: free_port()?, polled: free_udp_port()?, log: &log };
    let mut world =
        World::create(&dir.path().join("world"), Broker::Embedded, Ports::free()?).await?;
    world.enrol(&plan.toml("part", false)).await?;
    world.start_agent().await?;
    world.agent_ready().await?;
    let pid = world.agent().and_then(|agent| agent.id()).context("no agent")?;
    let before = until("both sources", PATIENCE, PAUSE, || async {
        let status = status(&world).await?;
        let ok = |name| source(&status, name).is_some_and(|source| source["state"] == "ok");
        Ok((ok("console") && ok("syslog")).then_some(status))
    })
    .await?;
    let port = open_at(pid, console.path())?;
    ensure!(port.len() == 1, "the console is open as {port:?}");
    let mut syslog = TcpStream::connect(("127.0.0.1", plan.syslog))?;

    let (stop, told) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let writer = tokio::spawn({
        let (stop, told, console) = (stop.clone(), told.clone(), console.clone());
        async move {
            // It never pauses; one line in forty is a fault, whose ticket is counted.
            for chatter in 0_u64.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                match chatter % 40 {
                    0 => {
                        let n = told.fetch_add(1, Ordering::Relaxed);
                        console.line(&format!("DISK {n} failed"))?;
                    }
                    _ => console.line(&format!("chatter {chatter} of a console"))?,
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            anyhow::Ok(())
        }
    });
    let reloaded = reload_often(&world, &plan, &mut syslog, &told).await;
    stop.store(true, Ordering::Relaxed);
    writer.await??;
    reloaded?;
    let count = told.load(Ordering::Relaxed);
    ensure!(count > RELOADS, "only {count} faults");

    let api = world.api().await?;
    every_line_has_a_ticket(&api, count).await?;
    let after = status(&world).await?;
    for name in ["console", "syslog"] {
        let since = |status: &Value| source(status, name).map(|source| source["since"].clone());
        ensure!(since(&before) == since(&after), "{name} was started anew");
    }
    ensure!(open_at(pid, console.path())? == port, "the console was opened anew");
    nothing_was_lost(&api).await?;
    println!(
        "{RELOADS} reloads: {count} faults among the console's lines, {RELOADS} on one syslog connection, 0 lost, no deaf interval"
    );
    another_rule(&world, &plan, &console, &api, count).await?;
    nothing_was_lost(&api).await?;
    world.stop().await
}

/// A polled device and a log come and go. A line is told over the one syslog connection after each reload, and
/// the console tells at least one more fault (`told` counts them) before the next, however fast a reload is.
async fn reload_often(
    world: &World,
    plan: &Plan<'_>,
    syslog: &mut TcpStream,
    told: &AtomicUsize,
) -> Result<()> {
    for n in 0..RELOADS {
        let more = n % 2 == 0;
        std::fs::write(world.agent_config(), world.agent_toml(&plan.toml("part", more)))?;
        let said = world.agent_cli(&["reload"]).await?;
        ensure!(said.contains("in force"), "{said}");
        let present = status(world).await?;
        for name in ["poll", "log"] {
            ensure!(source(&present, name).is_some() == more, "reload {n}: {name} in {present}");
        }
        writeln!(syslog, "<11>Nov 22 10:00:00 host-1 kernel: FAN {n} failed")?;
        until("the console's next fault", PATIENCE, Duration::from_millis(10), || async {
            Ok((told.load(Ordering::Relaxed) > n + 1).then_some(()))
        })
        .await?;
    }
    Ok(())
}

async fn every_line_has_a_ticket(api: &Api, count: usize) -> Result<()> {
    let tickets = until("a ticket of every line", PATIENCE, PAUSE, || async {
        let tickets = api.tickets_by_fault().await?;
        let has = |device: &str, part: String| tickets.contains_key(&(device.to_owned(), part));
        let all = (0..count).all(|n| has("switch-1", format!("DISK {n}")))
            && (0..RELOADS).all(|n| has("host-1", format!("FAN {n}")));
        Ok(all.then_some(tickets))
    })
    .await?;
    for (fault, tickets) in &tickets {
        ensure!(tickets.len() == 1, "{} tickets of {fault:?}", tickets.len());
        ensure!(tickets[0]["recurrences"] == 0, "{fault:?} came again: {}", tickets[0]);
    }
    ensure!(tickets.len() == count + RELOADS, "{} tickets", tickets.len());
    Ok(())
}

async fn nothing_was_lost(api: &Api) -> Result<()> {
    let losses = api.all(&format!("/api/v1/agents/{AGENT}/losses?limit=200")).await?;
    ensure!(losses.is_empty(), "declared: {losses:?}");
    Ok(())
}

/// The console's rule has another name: what the old one raised is over, and the console goes on.
async fn another_rule(
    world: &World,
    plan: &Plan<'_>,
    console: &Console,
    api: &Api,
    count: usize,
) -> Result<()> {
    console.line("PSU 1 failed")?;
    let alarms = u64::try_from(count + RELOADS + 1)?;
    until("the last alarm", PATIENCE, PAUSE, || async {
        Ok((status(world).await?["line"]["active_alarms"] == alarms).then_some(()))
    })
    .await?;
    std::fs::write(world.agent_config(), world.agent_toml(&plan.toml("module", false)))?;
    world.agent_cli(&["reload"]).await?;
    console.line("PSU 2 failed")?;
    until("the end of what nothing watches", PATIENCE, PAUSE, || async {
        let left = u64::try_from(RELOADS + 1)?;
        Ok((status(world).await?["line"]["active_alarms"] == left).then_some(()))
    })
    .await?;
    let said = until("why it is over", PATIENCE, PAUSE, || async {
        let tickets = api.tickets_by_fault().await?;
        let Some(first) = tickets.get(&("switch-1".to_owned(), "PSU 1".to_owned())) else {
            return Ok(None);
        };
        let number = first[0]["number"].as_str().context("no number")?.to_owned();
        let ticket = api.get(&format!("/api/v1/tickets/{number}")).await?;
        Ok(ticket.to_string().contains("configuration").then_some(ticket))
    })
    .await?;
    ensure!(
        !said["ticket"]["condition_cleared_at"].is_null() || said.to_string().contains("cleared")
    );
    Ok(())
}
