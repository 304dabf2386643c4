//! What devices are made of, and how each of them is read: through the built programs to the collector's API.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use callhome_tests::harness::api::Api;
use callhome_tests::harness::world::{AGENT, Broker, Ports, World};
use callhome_tests::harness::{free_udp_port, until};
use callhome_tests::snmp_sim::{Manners, SimValue, SnmpSim};
use serde_json::Value;

const LIMIT: Duration = Duration::from_secs(90);
const EVERY: Duration = Duration::from_millis(200);
/// entPhysicalSerialNum and entPhysicalSoftwareRev.
const SERIAL: &str = "1.3.6.1.2.1.47.1.1.1.1.11";
const SOFTWARE: &str = "1.3.6.1.2.1.47.1.1.1.1.10";
/// entLastChangeTime.
const LAST_CHANGE: &str = "1.3.6.1.2.1.47.1.4.1.0";
const SYS_UP_TIME: &str = "1.3.6.1.2.1.1.3.0";
const SYS_OBJECT_ID: &str = "1.3.6.1.2.1.1.2.0";
/// The simulated array's own serial number.
const ARRAY: &str = "SIM24-000173";

async fn array() -> Result<SnmpSim> {
    let sim = SnmpSim::start("127.0.0.1:0".parse()?).await?;
    sim.load_snmprec(include_str!("../data/sim-array.snmprec"))?;
    Ok(sim)
}

fn snmp(name: &str, address: &str, more: &str) -> String {
    format!(
        "[[device]]\nname = \"{name}\"\n\n[[snmp]]\nname = \"{name}-snmp\"\ndevice = \"{name}\"\n\
         address = \"{address}\"\nversion = \"2c\"\ncommunity = \"public\"\ninterval_s = 1\n\
         timeout_ms = 300\nretries = 1\n{more}\n"
    )
}

/// The page of a device by its name, waited for until it is `enough`.
async fn page(api: &Api, what: &str, name: &str, enough: impl Fn(&Value) -> bool) -> Result<Value> {
    let last = std::sync::Mutex::new(Value::Null);
    let found = until(what, LIMIT, EVERY, || async {
        let devices = api.get("/api/v1/devices").await?;
        let device = devices.as_array().into_iter().flatten().find(|d| d["name"] == name);
        let Some(id) = device.and_then(|d| d["id"].as_str()) else { return Ok(None) };
        let page = api.get(&format!("/api/v1/devices/{AGENT}/{id}")).await?;
        if let Ok(mut last) = last.lock() {
            last.clone_from(&page);
        }
        Ok(enough(&page).then_some(page))
    })
    .await;
    found.with_context(|| format!("{:#}", last.lock().map(|l| l.clone()).unwrap_or_default()))
}

fn module<'p>(page: &'p Value, name: &str) -> Option<&'p Value> {
    page["modules"].as_array()?.iter().find(|module| module["name"] == name)
}

fn change<'p>(page: &'p Value, what: &str, name: &str) -> Option<&'p Value> {
    let mut changes = page["changes"].as_array()?.iter();
    changes.find(|change| change["what"] == what && change["name"] == name)
}

fn text(text: &str) -> SimValue {
    SimValue::OctetString(text.as_bytes().to_vec())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replaced_module_is_told_with_its_old_and_its_new_number() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let sim = array().await?;
    sim.set(LAST_CHANGE, SimValue::TimeTicks(100))?;
    let mut world =
        World::create(&dir.path().join("world"), Broker::Embedded, Ports::free()?).await?;
    let console = "[[device]]\nname = \"console-1\"\nvendor = \"Maker\"\nmodel = \"C-9\"\n\n";
    let sources = snmp("array-1", &sim.addr().to_string(), "");
    world.enrol(&(console.to_owned() + &sources)).await?;
    world.start_agent().await?;
    world.agent_ready().await?;
    let api = world.api().await?;
    let first = page(&api, "its modules", "array-1", |p| p["modules"].is_array()).await?;
    let count = first["modules"].as_array().map_or(0, Vec::len);
    let supply = module(&first, "PSU 1").context("no PSU 1")?;
    ensure!(supply["serial"] == "SIMP-001" && supply["class"] == "power-supply", "{supply:#}");
    ensure!(first["changes"] == serde_json::json!([]), "{:#}", first["changes"]);
    ensure!(first["inventory"]["read_by"] == "snmp", "{:#}", first["inventory"]);
    ensure!(first["inventory"]["profiles"].as_array().is_some_and(|all| !all.is_empty()));
    ensure!(first["device"]["id"] == ARRAY, "{:#}", first["device"]);
    // What no poll reads is told as configured.
    let other = page(&api, "the other device", "console-1", |p| p["inventory"].is_object()).await?;
    ensure!(other["inventory"]["read_by"] == "configuration", "{other:#}");
    ensure!(other["device"]["model"] == "C-9" && other["modules"].is_null(), "{other:#}");

    // A whole poll has seen when the parts changed last; then one is replaced, and the device says so.
    let begun = sim.requests();
    until("some polls", LIMIT, EVERY, || async {
        Ok((sim.requests() >= begun + 80).then_some(()))
    })
    .await?;
    sim.set(&format!("{SERIAL}.20"), text("SIMP-777"))?;
    sim.set(LAST_CHANGE, SimValue::TimeTicks(9_000))?;
    let said = |p: &Value| change(p, "serial", "PSU 1").is_some();
    let second = page(&api, "the replaced module", "array-1", said).await?;
    let told = change(&second, "serial", "PSU 1").context("no change")?;
    ensure!(told["was"] == "SIMP-001" && told["now"] == "SIMP-777", "{told:#}");
    ensure!(module(&second, "PSU 1").is_some_and(|m| m["serial"] == "SIMP-777"));
    println!("{count} modules; PSU 1: {} > {}", told["was"], told["now"]);

    // The firmware was updated; it was restarted for that.
    sim.set(&format!("{SOFTWARE}.1"), text("3.3.0"))?;
    sim.set(SYS_UP_TIME, SimValue::TimeTicks(500))?;
    let said = |p: &Value| change(p, "firmware", "").is_some();
    let third = page(&api, "the new firmware", "array-1", said).await?;
    let told = change(&third, "firmware", "").context("no change")?;
    ensure!(told["was"] == "3.2.1" && told["now"] == "3.3.0", "{told:#}");
    let base = api.get(&format!("/api/v1/masters/devices/{ARRAY}")).await?;
    ensure!(base["values"]["firmware"] == "3.3.0", "{base:#}");
    left_as_written_down(&world, &api).await?;
    world.stop().await
}

/// Nothing was refused, the lane's balance closes, and the ledger has what left.
async fn left_as_written_down(world: &World, api: &Api) -> Result<()> {
    let ledger = world.agent_cli(&["ledger", "list"]).await?;
    let told = ledger.lines().filter(|line| line.contains("inventory")).count();
    ensure!(told >= 4, "{told} inventories in the ledger:\n{ledger}");
    let agent = api.get(&format!("/api/v1/agents/{AGENT}")).await?;
    ensure!(agent["rejects"] == serde_json::json!([]), "{:#}", agent["rejects"]);
    until("a balance that closes", LIMIT, EVERY, || async {
        let agent = api.get(&format!("/api/v1/agents/{AGENT}")).await?;
        let lanes = agent["balance"].as_array().cloned().unwrap_or_default();
        let closes = |lane: &Value| lane["verdict"] == "closes" && lane["committed"] != 0;
        Ok(lanes.iter().any(|l| l["lane"] == "bulk" && closes(l)).then_some(()))
    })
    .await
}

/// What is to be seen of a device: its state, the hint, why its profiles, and whether it was ever read.
struct Expected {
    name: &'static str,
    state: &'static str,
    hint: Option<&'static str>,
    chosen: Option<&'static str>,
    /// Words of the advice in `status`.
    advice: &'static str,
}

const EXPECTED: [Expected; 6] = [
    Expected {
        name: "good",
        state: "ok",
        hint: None,
        chosen: Some("configured"),
        advice: "(configured)",
    },
    Expected {
        name: "partly",
        state: "degraded",
        hint: Some("partly"),
        chosen: Some("configured"),
        advice: "see which objects",
    },
    Expected {
        name: "silent",
        state: "failed",
        hint: Some("silent"),
        chosen: None,
        advice: "list of permitted managers, and the community",
    },
    Expected {
        name: "closed",
        state: "failed",
        hint: Some("port-closed"),
        chosen: None,
        advice: "switch SNMP on at the device",
    },
    Expected {
        name: "plain",
        state: "ok",
        hint: Some("no-profile"),
        chosen: Some("generic"),
        advice: "no profile was made for it",
    },
    Expected {
        name: "other",
        state: "ok",
        hint: Some("nothing-read"),
        chosen: Some("device"),
        advice: "whether the profiles fit the device",
    },
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_each_device_it_is_seen_how_it_is_read_and_what_to_check() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let [good, partly, silent, plain, other] =
        [array().await?, array().await?, array().await?, array().await?, array().await?];
    partly.set_manners(Manners { broken_column: 8, ..Manners::default() });
    silent.set_manners(Manners { silent: true, ..Manners::default() });
    // It says that it is a UPS, and has nothing of one.
    other.set(SYS_OBJECT_ID, SimValue::ObjectId("1.3.6.1.4.1.318.1.3.2.7".into()))?;
    let closed = format!("127.0.0.1:{}", free_udp_port()?);
    let at = |sim: &SnmpSim| sim.addr().to_string();
    let named = "profiles = [\"if-mib\"]";
    let sources = [
        snmp("good", &at(&good), named),
        snmp("partly", &at(&partly), named)
            .replace("name = \"partly\"\n\n", "name = \"partly\"\nserial = \"P-1\"\n\n"),
        snmp("silent", &at(&silent), ""),
        snmp("closed", &closed, ""),
        snmp("plain", &at(&plain), "")
            .replace("name = \"plain\"\n\n", "name = \"plain\"\nserial = \"P-2\"\n\n"),
        snmp("other", &at(&other), "")
            .replace("name = \"other\"\n\n", "name = \"other\"\nserial = \"P-3\"\n\n"),
    ];
    let mut world =
        World::create(&dir.path().join("world"), Broker::Embedded, Ports::free()?).await?;
    world.enrol(&sources.concat()).await?;
    world.start_agent().await?;
    let api = world.api().await?;
    for expected in &EXPECTED {
        seen_in_status(&world, expected).await.context(expected.name)?;
        seen_at_the_centre(&api, expected).await.context(expected.name)?;
    }
    world.stop().await
}

fn is_as(source: &Value, expected: &Expected) -> bool {
    let readout = &source["readout"];
    source["state"] == expected.state
        && readout["hint"].as_str() == expected.hint
        && readout["chosen"].as_str() == expected.chosen
        && readout["at"].is_string()
        && readout["took_ms"].is_u64()
        && readout["values"]
            .as_u64()
            .is_some_and(|n| (n > 0) == (expected.state != "failed" && expected.name != "other"))
        && readout["profiles"].is_array() == expected.chosen.is_some()
}

/// `status`, as data and as text.
async fn seen_in_status(world: &World, expected: &Expected) -> Result<()> {
    let source_name = format!("{}-snmp", expected.name);
    until("status --json", LIMIT, EVERY, || async {
        let status: Value = serde_json::from_str(&world.agent_cli(&["status", "--json"]).await?)?;
        let sources = status["sources"].as_array().cloned().unwrap_or_default();
        let source = sources.iter().find(|s| s["source"] == *source_name);
        Ok(source.is_some_and(|s| is_as(s, expected)).then_some(()))
    })
    .await?;
    let status = world.agent_cli(&["status"]).await?;
    let mut lines = status.lines().skip_while(|line| !line.contains(&source_name));
    let (about, readout) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let state = if expected.state == "ok" { "ok" } else { &expected.state.to_uppercase() };
    ensure!(about.contains(state), "{about}");
    ensure!(readout.contains(" values in ") && readout.contains(expected.advice), "{readout}");
    println!("{}\n{}", about.trim(), readout.trim());
    Ok(())
}

/// The same on the device's page of the API, and the alarm of one that cannot be read.
async fn seen_at_the_centre(api: &Api, expected: &Expected) -> Result<()> {
    let said = |page: &Value| {
        let sources = page["sources"].as_array().cloned().unwrap_or_default();
        sources.len() == 1 && is_as(&sources[0], expected)
    };
    let page = page(api, "its page", expected.name, said).await?;
    let alarms = page["device"]["active_alarms"].as_i64().unwrap_or_default();
    ensure!(expected.state != "failed" || alarms >= 1, "{page:#}");
    Ok(())
}
