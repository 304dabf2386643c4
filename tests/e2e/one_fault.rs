//! One fault, however it is told: a port goes down, and the poll sees it, a trap says it, a syslog line
//! says it. One alarm, one ticket; whatever says that it is over ends it. And a storm of one device's
//! traps costs that device only.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use callhome_tests::harness::api::Api;
use callhome_tests::harness::world::{AGENT, Broker, Ports, World, plain_get};
use callhome_tests::harness::{free_udp_port, until};
use callhome_tests::snmp_sim::{SimValue, SnmpSim, trap_v2c};
use serde_json::Value;
use tokio::net::UdpSocket;

const IF_ENTRY: &str = "1.3.6.1.2.1.2.2.1";
const IF_NAME: &str = "1.3.6.1.2.1.31.1.1.1.1";
const LINK_DOWN: &str = "1.3.6.1.6.3.1.1.5.3";
const LINK_UP: &str = "1.3.6.1.6.3.1.1.5.4";
/// upsTrapOnBattery: nobody polls that.
const ON_BATTERY: &str = "1.3.6.1.2.1.33.2.1";
/// Traps of the storm.
const STORM: u64 = 10_000;
/// So many are sent at one go: the kernel's buffer holds them.
const AT_ONCE: u64 = 100;
const LIMIT: Duration = Duration::from_secs(60);
const EVERY: Duration = Duration::from_millis(100);

/// A polled switch that also tells: from one address of its own.
struct Switch {
    sim: SnmpSim,
    socket: UdpSocket,
    traps: SocketAddr,
    syslog: SocketAddr,
}

impl Switch {
    async fn start(host: &str, traps: SocketAddr, syslog: SocketAddr) -> Result<Self> {
        let sim = SnmpSim::start(format!("{host}:0").parse()?).await?;
        sim.set("1.3.6.1.2.1.1.2.0", SimValue::ObjectId("1.3.6.1.4.1.32473.77".into()))?;
        sim.set("1.3.6.1.2.1.1.3.0", SimValue::TimeTicks(360_000))?;
        let switch =
            Switch { sim, socket: UdpSocket::bind(format!("{host}:0")).await?, traps, syslog };
        for port in [7, 8] {
            let name = SimValue::OctetString(format!("Gi0/{port}").into_bytes());
            switch.sim.set(&format!("{IF_NAME}.{port}"), name)?;
            switch.sim.set(&format!("{IF_ENTRY}.7.{port}"), SimValue::Integer(1))?;
            switch.is(port, true)?;
        }
        Ok(switch)
    }

    /// What a poll finds from now on.
    fn is(&self, port: u32, up: bool) -> Result<()> {
        let oper = SimValue::Integer(if up { 1 } else { 2 });
        self.sim.set(&format!("{IF_ENTRY}.8.{port}"), oper)
    }

    async fn trap(&self, trap: &str, port: u32) -> Result<()> {
        let index = (format!("{IF_ENTRY}.1.{port}"), SimValue::Integer(i64::from(port)));
        self.socket.send_to(&trap_v2c("traps", trap, &[index])?, self.traps).await?;
        Ok(())
    }

    async fn line(&self, port: u32, state: &str) -> Result<()> {
        let text = format!(
            "<187>45: *Mar  1 18:46:11.1: %LINK-3-UPDOWN: Interface GigabitEthernet0/{port}, \
             changed state to {state}"
        );
        self.socket.send_to(text.as_bytes(), self.syslog).await?;
        Ok(())
    }

    /// Two whole polls from now: what they find is in the line.
    async fn polled(&self) -> Result<()> {
        let begun = self.sim.requests();
        until("two polls", LIMIT, EVERY, || async {
            // A poll of the two ports takes some four requests: three of them, so two whole ones.
            Ok((self.sim.requests() >= begun + 12).then_some(()))
        })
        .await
    }
}

fn sources(dir: &Path, switches: &[(&str, &Switch)], traps: u16, syslog: u16) -> Result<String> {
    let community = dir.join("trap-community");
    std::fs::write(&community, "traps\n")?;
    let mut toml = "[[device]]\nname = \"host-1\"\n".to_owned();
    for (name, switch) in switches {
        toml.push_str(&format!(
            "[[device]]\nname = \"{name}\"\n\n[[snmp]]\nname = \"{name}-snmp\"\ndevice = \"{name}\"\n\
             address = \"{}\"\nversion = \"2c\"\ncommunity = \"public\"\ninterval_s = 1\n\
             profiles = [\"if-mib\"]\n\n",
            switch.sim.addr()
        ));
    }
    toml.push_str(&format!(
        "[[syslog]]\nname = \"syslog\"\ndevice = \"host-1\"\nudp = [\"127.0.0.1:{syslog}\"]\n\n\
         [trap]\ndevice = \"host-1\"\nlisten = [\"127.0.0.1:{traps}\"]\n\
         community_files = [\"{}\"]\n",
        community.display()
    ));
    Ok(toml)
}

/// What a listener counted, by source and outcome.
async fn counted(world: &World) -> Result<BTreeMap<(String, String), u64>> {
    let metrics = plain_get(world.ports.agent_health, "/metrics").await?;
    let label = |line: &str, name: &str| {
        let rest = line.split_once(&format!("{name}=\""))?.1;
        Some(rest.split_once('"')?.0.to_owned())
    };
    let lines =
        metrics.lines().filter(|l| l.starts_with("callhome_agent_listener_messages_total{"));
    Ok(lines
        .filter_map(|line| {
            let number = line.rsplit(' ').next()?.parse().ok()?;
            Some(((label(line, "source")?, label(line, "outcome")?), number))
        })
        .collect())
}

async fn count(world: &World, source: &str, outcome: &str) -> Result<u64> {
    let all = counted(world).await?;
    Ok(all.get(&(source.to_owned(), outcome.to_owned())).copied().unwrap_or_default())
}

/// Waits until the listener has counted so many.
async fn heard(world: &World, source: &str, outcome: &str, number: u64) -> Result<()> {
    until(&format!("{number} {outcome} of {source}"), LIMIT, EVERY, || async {
        Ok((count(world, source, outcome).await? >= number).then_some(()))
    })
    .await
}

/// All alarms that there ever were on a resource, waited for until `enough`.
async fn alarms(
    api: &Api,
    what: &str,
    (device, resource): (&str, &str),
    enough: impl Fn(&[Value]) -> bool,
) -> Result<Vec<Value>> {
    let last = std::sync::Mutex::new(Vec::new());
    let found = until(what, LIMIT, EVERY, || async {
        let mut all = api.all("/api/v1/alarms?active=all&limit=200").await?;
        all.retain(|a| a["device_name"] == device && a["resource"] == resource);
        if let Ok(mut last) = last.lock() {
            last.clone_from(&all);
        }
        Ok(enough(&all).then_some(all))
    })
    .await;
    found.with_context(|| format!("{:?}", last.lock().map(|l| l.clone()).unwrap_or_default()))
}

fn standing(alarms: &[Value]) -> bool {
    alarms.iter().any(|alarm| alarm["active"] == true)
}

fn over(alarms: &[Value]) -> bool {
    !alarms.is_empty() && alarms.iter().all(|alarm| alarm["active"] == false)
}

/// Exactly one alarm of one life, and one ticket.
async fn exactly_one(api: &Api, fault: (&str, &str), alarms: &[Value]) -> Result<()> {
    ensure!(alarms.len() == 1, "{fault:?}: {} alarms: {alarms:#?}", alarms.len());
    ensure!(alarms[0]["type"] == "port-down", "{:#?}", alarms[0]);
    let tickets = api.tickets_by_fault().await?;
    let (device, resource) = fault;
    let of = tickets.get(&(device.to_owned(), resource.to_owned())).map_or(0, Vec::len);
    ensure!(of == 1, "{fault:?}: {of} tickets: {tickets:#?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_that_is_told_three_ways_is_one_ticket() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (traps, syslog) = (free_udp_port()?, free_udp_port()?);
    let at = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
    let one = Switch::start("127.0.0.2", at(traps), at(syslog)).await?;
    let two = Switch::start("127.0.0.3", at(traps), at(syslog)).await?;
    let mut world =
        World::create(&dir.path().join("world"), Broker::Embedded, Ports::free()?).await?;
    let switches = [("switch-1", &one), ("switch-2", &two)];
    world.enrol(&sources(dir.path(), &switches, traps, syslog)?).await?;
    world.start_agent().await?;
    world.agent_ready().await?;
    one.polled().await?;
    two.polled().await?;
    let api = world.api().await?;
    trap_and_poll(&world, &api, &one).await?;
    line_trap_and_poll(&world, &api, &one).await?;
    storm(&world, &api, &one, &two).await?;
    world.stop().await
}

/// A trap of a port that is also polled, and linkUp.
async fn trap_and_poll(world: &World, api: &Api, one: &Switch) -> Result<()> {
    let fault = ("switch-1", "port Gi0/7");
    one.is(7, false)?;
    one.trap(LINK_DOWN, 7).await?;
    alarms(api, "the port's alarm", fault, standing).await?;
    heard(world, "traps", "faults", 1).await?;
    one.polled().await?;
    let told = alarms(api, "the port's alarm still", fault, standing).await?;
    exactly_one(api, fault, &told).await?;
    one.is(7, true)?;
    one.trap(LINK_UP, 7).await?;
    alarms(api, "its end", fault, over).await?;
    heard(world, "traps", "faults", 2).await?;
    one.polled().await?;
    let told = alarms(api, "its end still", fault, over).await?;
    println!("trap and poll: 1 alarm, 1 ticket; raised by {}", told[0]["rule"]);
    exactly_one(api, fault, &told).await
}

/// A syslog line, the poll and a trap; the poll alone says that it is over.
async fn line_trap_and_poll(world: &World, api: &Api, one: &Switch) -> Result<()> {
    let fault = ("switch-1", "port Gi0/8");
    let before = count(world, "traps", "faults").await?;
    one.is(8, false)?;
    one.line(8, "down").await?;
    alarms(api, "the port's alarm", fault, standing).await?;
    one.trap(LINK_DOWN, 8).await?;
    heard(world, "traps", "faults", before + 1).await?;
    one.polled().await?;
    one.line(8, "down").await?;
    one.polled().await?;
    let lines = counted(world).await?;
    println!("counted: {lines:?}");
    let told = alarms(api, "the port's alarm still", fault, standing).await?;
    exactly_one(api, fault, &told).await?;
    one.is(8, true)?;
    let told = alarms(api, "its end by the poll", fault, over).await?;
    println!("line, trap and poll: 1 alarm, 1 ticket; raised by {}", told[0]["rule"]);
    exactly_one(api, fault, &told).await
}

/// Bytes that wait in the kernel for whoever listens at this UDP port (the receive queue in
/// `/proc/net/udp`).
fn waiting_bytes(port: u16) -> Result<u64> {
    let table = std::fs::read_to_string("/proc/net/udp")?;
    let of = |line: &str| {
        let mut fields = line.split_whitespace().skip(1);
        let (_, local) = fields.next()?.split_once(':')?;
        let queue = fields.nth(2)?.split_once(':')?.1;
        (u16::from_str_radix(local, 16).ok()? == port)
            .then(|| u64::from_str_radix(queue, 16).ok())?
    };
    table.lines().find_map(of).with_context(|| format!("nobody listens at {port}"))
}

/// Ten thousand traps of one switch, and one of the other in the middle.
async fn storm(world: &World, api: &Api, one: &Switch, two: &Switch) -> Result<()> {
    let taken = async || {
        let all = counted(world).await?;
        let of = |outcome: &str| all.get(&("traps".to_owned(), outcome.to_owned())).copied();
        Ok::<_, anyhow::Error>((of("traps").unwrap_or(0), of("rate-limited").unwrap_or(0)))
    };
    let (before, _) = taken().await?;
    one.is(7, false)?;
    let fault = ("switch-1", "port Gi0/7");
    alarms(api, "the port's alarm", fault, |all| all.len() == 2 && standing(all)).await?;
    let begun = std::time::Instant::now();
    for sent in 1..=STORM {
        one.trap(LINK_DOWN, 7).await?;
        if sent == STORM / 2 {
            two.socket.send_to(&trap_v2c("traps", ON_BATTERY, &[])?, two.traps).await?;
        }
        if sent % AT_ONCE == 0 {
            // What the kernel's buffer cannot hold would be the kernel's loss, not the limit's.
            let port = two.traps.port();
            let empty = async || Ok((waiting_bytes(port)? == 0).then_some(()));
            until("the kernel's buffer to be read", LIMIT, Duration::from_millis(2), empty).await?;
        }
    }
    let took = begun.elapsed();
    let (heard, limited) = until("all traps to be counted", LIMIT, EVERY, || async {
        let (heard, limited) = taken().await?;
        Ok((heard - before + limited > STORM).then_some((heard, limited)))
    })
    .await?;
    println!(
        "storm: {STORM} traps in {took:?}: {} taken, {limited} above the limit",
        heard - before
    );
    ensure!(heard - before + limited == STORM + 1, "all of them are accounted for");
    ensure!(limited >= STORM / 2, "the limit held: {limited}");
    let other = ("switch-2", "UPS output");
    let told = alarms(api, "the other's alarm", other, standing).await?;
    ensure!(told.len() == 1 && told[0]["type"] == "ups-on-battery", "{told:#?}");
    let tickets = api.tickets_by_fault().await?;
    let number = |(device, resource): (&str, &str)| {
        tickets.get(&(device.to_owned(), resource.to_owned())).map_or(0, Vec::len)
    };
    ensure!(number(other) == 1, "{tickets:#?}");
    let told = alarms(api, "the storm's alarm", fault, standing).await?;
    ensure!(told.len() == 2, "ten thousand traps of one fault are one alarm: {told:#?}");
    // The status names it, and the collector is told.
    let status = world.agent_cli(&["status"]).await?;
    ensure!(status.contains(&format!("rate-limited {limited}")), "{status}");
    let declared = until("the loss to be declared", LIMIT, EVERY, || async {
        let losses = api.all(&format!("/api/v1/agents/{AGENT}/losses?limit=200")).await?;
        let limited = losses.iter().filter(|loss| loss["reason"] == "rate-limited");
        let sum: u64 = limited.filter_map(|loss| loss["count"].as_u64()).sum();
        Ok((sum > 0).then_some(sum))
    })
    .await?;
    println!("storm: {declared} of {limited} declared to the collector by now");
    ensure!(declared <= limited, "{declared} of {limited}");
    Ok(())
}
