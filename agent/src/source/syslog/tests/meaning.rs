//! What messages mean: from the bytes to the fault.

use std::net::SocketAddr;

use callhome_shared::time::Time;

use super::*;
use crate::redact::Redactor;
use crate::rule::{Condition, Context, Engine, Finding, Verdict, Watched};
use crate::source::syslog::desk::Desk;
use crate::source::syslog::framing::Frame;

/// Desk and rules, without sockets.
struct Room {
    desk: Desk,
    engine: Engine,
    source: Arc<str>,
    redactor: Redactor,
}

impl Room {
    fn new() -> Room {
        Room::with(settings())
    }

    fn with(settings: SyslogSettings) -> Room {
        let source: Arc<str> = "sl".into();
        let board = HealthBoard::default();
        let health = board.register(source.clone(), "host", SourceKind::Syslog);
        let rules = settings.catalogues.rules().to_vec();
        let kind = SourceKind::Syslog;
        let watched = Watched { source: source.clone(), kind, device: device("host"), rules };
        let slot = health.probe().clone();
        Room {
            desk: Desk::new(device("host"), Arc::new(settings), Known::default(), slot),
            engine: Engine::new([watched], Time(0)),
            source,
            redactor: Redactor::default(),
        }
    }

    fn says(&mut self, message: &str, at: Time) -> Vec<Finding> {
        let from: SocketAddr = "127.0.0.1:5514".parse().unwrap();
        let frame = Frame { bytes: message.as_bytes().to_vec(), truncated: false };
        self.desk.message(from, &frame, at);
        let mut findings = Vec::new();
        while let Some((device, readings)) = self.desk.take(at) {
            for reading in readings {
                let context = Context {
                    source: &self.source,
                    kind: SourceKind::Syslog,
                    device: &device,
                    redactor: &self.redactor,
                };
                self.engine.read(context, &reading, &mut findings);
            }
        }
        findings
    }

    /// `+` or `-`, type and resource of each finding.
    fn told(&mut self, message: &str) -> Vec<String> {
        let sign = |finding: &Finding| match &finding.verdict {
            Verdict::Raise(_) => "+",
            Verdict::Clear { .. } => "-",
        };
        let findings = self.says(message, Time(1_000_000));
        findings
            .iter()
            .map(|f| format!("{} {}: {}", sign(f), f.identity.kind, f.identity.resource))
            .collect()
    }
}

/// Raising message, clearing message, what is told.
const PAIRS: &[(&str, &str, &str)] = &[
    (
        "<187>45: *Mar  1 18:46:11.1: %LINK-3-UPDOWN: Interface GigabitEthernet1/0/1, changed state to down",
        "<187>46: *Mar  1 18:46:12.1: %LINK-3-UPDOWN: Interface GigabitEthernet1/0/1, changed state to up",
        "port-down: port Gi1/0/1",
    ),
    (
        "<187>%LINK-3-UPDOWN: Interface TwentyFiveGigE1/0/1, changed state to down",
        "<189>%LINK-5-CHANGED: Interface TwentyFiveGigE1/0/1, changed state to administratively down",
        "port-down: port Twe1/0/1",
    ),
    (
        "<187>%LINK-3-UPDOWN: Interface Port-channel12, changed state to down",
        "<187>%LINK-3-UPDOWN: Interface Port-channel12, changed state to up",
        "port-down: port Po12",
    ),
    (
        "<187>139: RP/0/RSP0/CPU0:Jan  9 10:00:00.123 : ifmgr[1]: %PKT_INFRA-LINK-3-UPDOWN : Interface HundredGigE0/0/0/1, changed state to Down",
        "<187>140: RP/0/RSP0/CPU0:Jan  9 10:00:00.123 : ifmgr[1]: %PKT_INFRA-LINK-3-UPDOWN : Interface HundredGigE0/0/0/1, changed state to Up",
        "port-down: port HundredGigE0/0/0/1",
    ),
    (
        "<189>: 2026 Jan  9 10:00:00 UTC: %ETHPORT-5-IF_DOWN_LINK_FAILURE: Interface Ethernet1/1 is down (Link failure)",
        "<189>: 2026 Jan  9 10:00:00 UTC: %ETHPORT-5-IF_UP: Interface Ethernet1/1 is up in mode access",
        "port-down: port Ethernet1/1",
    ),
    (
        "<188>%PM-4-ERR_DISABLE: bpduguard error detected on Gi1/0/1, putting Gi1/0/1 in err-disable state",
        "<188>%PM-4-ERR_RECOVER: Attempting to recover from bpduguard err-disable state on Gi1/0/1",
        "port-err-disabled: port Gi1/0/1",
    ),
    (
        "<188>%C6KPWR-SP-4-PSFAIL: power supply 2 output failed.",
        "<188>%C6KPWR-SP-4-PSOK: power supply 2 turned on.",
        "psu-failed: PSU 2",
    ),
    (
        "<185>%PLATFORM_FEP-1-FRU_PS_SIGNAL_FAULTY: Switch 1: signal on power supply B is faulty",
        "<190>%PLATFORM_FEP-6-FRU_PS_SIGNAL_OK: Switch 1: signal on power supply B is restored",
        "psu-failed: Switch 1 - Power Supply B",
    ),
    (
        "<186>%PLATFORM-2-PS_FAIL: Power supply 1 failed or shut down (Serial number X)",
        "<186>%PLATFORM-2-PS_OK: Power supply 1 ok (Serial number X)",
        "psu-failed: PowerSupply-1",
    ),
    (
        "<189>%PLATFORM-5-FAN_STATUS: Fan module 3 (Serial number X) Fan1(sys_fan1) current-status is FAN_FAIL",
        "<189>%PLATFORM-5-FAN_STATUS: Fan module 3 (Serial number X) Fan1(sys_fan1) current-status is FAN_OK",
        "fan-failed: Fan Module-3",
    ),
    (
        "<186>%PLATFORM-2-MOD_TEMPMAJALRM: Module-1 reported major temperature alarm. Sensor=3",
        "<186>%PLATFORM-4-MOD_TEMPOK: Module-1 recovered from major temperature alarm",
        "temperature-high: Module-1",
    ),
    (
        "<188>%C6KENV-SP-4-FANTRAYFAILED: fan tray failed",
        "<188>%C6KENV-SP-4-FANTRAYOK: fan tray OK",
        "fan-failed: fan tray",
    ),
    (
        "<188>%STACKMGR-4-SWITCH_REMOVED: Switch 2 has been REMOVED from the stack",
        "<188>%STACKMGR-4-SWITCH_ADDED: Switch 2 has been ADDED to the stack",
        "stack-member-failed: Switch 2",
    ),
    (
        "<189>%BGP-5-ADJCHANGE: neighbor 192.0.2.9 Down Peer closed the session",
        "<189>%BGP-5-ADJCHANGE: neighbor 192.0.2.9 Up",
        "routing-neighbour-down: BGP 192.0.2.9",
    ),
    (
        "<164>Jan 09 2026 12:00:00 fw1 : %ASA-4-411002: Line protocol on Interface GigabitEthernet0/1, changed state to down",
        "<164>%ASA-4-411001: Line protocol on Interface GigabitEthernet0/1, changed state to up",
        "port-down: port GigabitEthernet0/1",
    ),
    (
        "<161>%ASA-1-735002: IPMI: Cooling Fan 1: Failure Detected",
        "<161>%ASA-1-735001: IPMI: Cooling Fan 1: OK",
        "fan-failed: fan 1",
    ),
    (
        "<161>%ASA-1-735004: IPMI: Power Supply 1: Failure Detected",
        "<161>%ASA-1-735003: IPMI: Power Supply 1: OK",
        "psu-failed: PSU 1",
    ),
    (
        "<188>2026-1-9 12:00:00 HW %%01IFNET/4/IF_STATE(l)[12]:Interface GigabitEthernet0/0/1 has turned into DOWN state.",
        "<188>2026-1-9 12:00:01 HW %%01IFNET/4/IF_STATE(l)[13]:Interface GigabitEthernet0/0/1 has turned into UP state.",
        "port-down: port GigabitEthernet0/0/1",
    ),
    (
        "<185>2026-1-9 12:00:00 HW %%01PHY/1/PHY(l)[9]:    GigabitEthernet0/0/1: change status to down",
        "<185>2026-1-9 12:00:00 HW %%01PHY/1/PHY(l)[9]:    GigabitEthernet0/0/1: change status to up",
        "port-down: port GigabitEthernet0/0/1",
    ),
    (
        "<186>Jan  9 2026 12:00:00+08:00 CE %%01IFNET/2/linkDown_active(l):CID=0x807a0404-alarmID=0x08520003;The interface status changes. (ifName=10GE1/0/1, AdminStatus=UP, OperStatus=DOWN)",
        "<186>Jan  9 2026 12:00:00+08:00 CE %%01IFNET/2/linkDown_clear(l):CID=0x807a0404-alarmID=0x08520003;The interface status changes. (ifName=10GE1/0/1, AdminStatus=UP, OperStatus=UP)",
        "port-down: port 10GE1/0/1",
    ),
    (
        "<186>Jan  9 2026 12:00:00+08:00 CE %%01DEVM/2/hwFanInvalid_active(l):CID=1;A fan is invalid. (EntityPhysicalIndex=1, EntityPhysicalName=FAN 1/2, Reason=x)",
        "<186>Jan  9 2026 12:00:00+08:00 CE %%01DEVM/2/hwFanInvalid_clear(l):CID=1;A fan is back. (EntityPhysicalIndex=1, EntityPhysicalName=FAN 1/2)",
        "fan-failed: FAN 1/2",
    ),
    (
        "<187>Jan  9 12:00:00 2026 H3C %%10IFNET/3/PHY_UPDOWN: Physical state on the interface GigabitEthernet1/0/1 changed to down.",
        "<187>Jan  9 12:00:00 2026 H3C %%10IFNET/3/PHY_UPDOWN: Physical state on the interface GigabitEthernet1/0/1 changed to up.",
        "port-down: port GigabitEthernet1/0/1",
    ),
    (
        "<187>Jan  9 12:00:00 2026 H3C %%10IFNET/3/LINK_UPDOWN: GigabitEthernet1/0/1 link status is DOWN.",
        "<187>Jan  9 12:00:00 2026 H3C %%10IFNET/3/LINK_UPDOWN: GigabitEthernet1/0/1 link status is UP.",
        "port-down: port GigabitEthernet1/0/1",
    ),
    (
        "<186>Jan  9 12:00:00 2026 H3C %%10DEV/2/FAN_FAILED: Fan 1 failed.",
        "<189>Jan  9 12:00:00 2026 H3C %%10DEV/5/FAN_RECOVERED: Fan 1 recovered.",
        "fan-failed: fan 1",
    ),
    (
        "<28>Jan  9 12:00:00 mx1 mib2d[77]: SNMP_TRAP_LINK_DOWN: ifIndex 531, ifAdminStatus up(1), ifOperStatus down(2), ifName ge-0/0/1",
        "<28>Jan  9 12:00:00 mx1 mib2d[77]: SNMP_TRAP_LINK_UP: ifIndex 531, ifAdminStatus up(1), ifOperStatus up(1), ifName ge-0/0/1",
        "port-down: port ge-0/0/1",
    ),
    (
        "<28>1 2026-01-09T12:00:00.1Z mx1 mib2d 77 SNMP_TRAP_LINK_DOWN [junos@2636.1.1.1.2.18 snmp-interface-index=\"531\" admin-status=\"up(1)\" operational-status=\"down(2)\" interface-name=\"ge-0/0/1\"]",
        "<28>1 2026-01-09T12:00:00.1Z mx1 mib2d 77 SNMP_TRAP_LINK_DOWN [junos@2636.1.1.1.2.18 snmp-interface-index=\"531\" admin-status=\"down(2)\" operational-status=\"down(2)\" interface-name=\"ge-0/0/1\"]",
        "port-down: port ge-0/0/1",
    ),
    (
        "<25>Jan  9 12:00:00 mx1 alarmd[1]: Alarm set: Pwr supply color=RED, class=CHASSIS, reason=Power Supply B Failed",
        "<25>Jan  9 12:00:00 mx1 alarmd[1]: Alarm cleared: Pwr supply color=RED, class=CHASSIS, reason=Power Supply B Failed",
        "system-degraded: alarm Power Supply B Failed",
    ),
    (
        "<188>Jan  9 12:00:00 leaf1 Ebra: %LINEPROTO-5-UPDOWN: Line protocol on Interface Ethernet1, changed state to down",
        "<188>Jan  9 12:00:00 leaf1 Ebra: %LINEPROTO-5-UPDOWN: Line protocol on Interface Ethernet1, changed state to up",
        "port-down: port Ethernet1",
    ),
    (
        "<190>1 2026-01-09T12:00:00Z cx intfd 1 - - Event|404|LOG_INFO|AMM|1/1|Link status for interface 1/1/1 is down",
        "<190>1 2026-01-09T12:00:00Z cx intfd 1 - - Event|403|LOG_INFO|AMM|1/1|Link status for interface 1/1/1 is up at 1 Gbps",
        "port-down: port 1/1/1",
    ),
    (
        "<12> Jan  9 12:00:00 10.0.0.1 00077 ports:  port 1 is now off-line",
        "<12> Jan  9 12:00:00 10.0.0.1 00076 ports:  port 1 is now on-line",
        "port-down: port 1",
    ),
    (
        "<12> Jan  9 12:00:00 10.0.0.1 00070 chassis:  Fan failure:  Fan: 1, Failures: 1",
        "<12> Jan  9 12:00:00 10.0.0.1 00069 chassis:  Fan OK:  Fan: 1, Failures: 1",
        "fan-failed: fan 1",
    ),
    (
        "<188>Jan  9 12:00:00 fc1 raslogd: 2026/01/09-12:00:00, [FW-1424], 12, FID 128, WARNING, fc1, Switch status changed from HEALTHY to MARGINAL",
        "<188>Jan  9 12:00:00 fc1 raslogd: 2026/01/09-12:00:00, [FW-1425], 13, FID 128, INFO, fc1, Switch status changed from MARGINAL to HEALTHY",
        "system-degraded: switch",
    ),
    (
        "<28>Jan  9 12:00:00 idrac-1 Severity: Critical, Category: System Health, MessageID: PSU0003, Message: The power input for power supply 1 is lost.",
        "<28>Jan  9 12:00:00 idrac-1 Severity: Informational, Category: System Health, MessageID: PSU0017, Message: Power supply 1 is operating normally.",
        "psu-failed: PSU PS1 Status",
    ),
    (
        "<28>Jan  9 12:00:00 idrac-1 Severity: Critical, Category: System Health, MessageID: FAN0001, Message: Fan 3A RPM is less than the lower critical threshold.",
        "<28>Jan  9 12:00:00 idrac-1 Severity: Informational, Category: System Health, MessageID: FAN0003, Message: Fan 3A RPM is within range.",
        "fan-failed: fan System Board Fan3A",
    ),
    (
        "<28>Jan  9 12:00:00 ilo-1 #ILO 5: 01/09/2026 12:00 Fan Failure (Fan 3, Location System)",
        "<28>Jan  9 12:00:00 ilo-1 #ILO 5: 01/09/2026 12:00 Fan Repaired (Fan 3, Location System)",
        "fan-failed: fan 3",
    ),
    (
        "<131>Jan  9 01:02:03 [filer1: netif.linkDown:info]: Ethernet e0a: Link down, check cable.",
        "<131>Jan  9 01:02:03 [filer1:netif.linkUp:info]: Ethernet e0a: Link up.",
        "port-down: port e0a",
    ),
    (
        "<131>Jan  9 01:02:03 [filer1:monitor.chassisPowerSupply.degraded:error]: Chassis power supply 1 is degraded: x",
        "<131>Jan  9 01:02:03 [filer1:monitor.chassisPowerSupply.ok:info]: Chassis power supply 1 is OK.",
        "psu-failed: PSU 1",
    ),
];

#[test]
fn what_raises_is_cleared_by_its_counterpart() {
    let mut room = Room::new();
    for (raise, clear, what) in PAIRS {
        assert_eq!(room.told(raise), [format!("+ {what}")], "{raise}");
        assert_eq!(room.told(clear), [format!("- {what}")], "{clear}");
    }
}

#[test]
fn what_is_no_fault_is_none() {
    let mut room = Room::new();
    for message in [
        "<189>%SYS-5-CONFIG_I: Configured from console by admin",
        "<189>%LINEPROTO-5-UPDOWN: Line protocol on Interface GigabitEthernet1/0/1, changed state to down",
        "<28>mib2d[1]: SNMP_TRAP_LINK_DOWN: no more words",
        "<164>%ASA-6-302013: Built inbound TCP connection 1 for outside",
        "<13>somebody said Alarm set: of his clock",
        "<13>the Power Supply is a nice one",
        "",
    ] {
        assert!(!room.told(message).iter().any(|t| t.starts_with('+')), "{message}");
    }
}

/// Every expression of every catalogue is one; what names the resource is in both of them.
#[test]
fn the_catalogues_are_whole() {
    let mut folder: Vec<String> =
        std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/catalogues"))
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap().replace(".yaml", ""))
            .collect();
    folder.sort();
    assert_eq!(catalogue_names(), folder);
    let all = all_catalogues();
    let mut seen = std::collections::BTreeSet::new();
    for rule in all.rules() {
        let name = format!("{}/{}", rule.pack, rule.id);
        assert!(seen.insert(name.clone()), "{name} is there twice");
        let Condition::Pattern { raise, clear, .. } = &rule.condition else { panic!("{name}") };
        let groups = |expression: &crate::rule::Expression| -> Vec<String> {
            let regex = expression.get().unwrap_or_else(|| panic!("{name}: no expression"));
            regex.capture_names().flatten().map(str::to_owned).collect()
        };
        for groups in [Some(groups(raise)), clear.as_ref().map(groups)].into_iter().flatten() {
            for text in [&rule.template.resource, &rule.template.qualifier] {
                for part in text.split("${").skip(1) {
                    let wanted = part.split('}').next().unwrap();
                    assert!(groups.iter().any(|g| g == wanted), "{name}: {wanted} in {groups:?}");
                }
            }
        }
    }
    assert!(seen.len() > 45, "{}", seen.len());
}

#[test]
fn the_alarm_says_when_and_how_wrong_the_clock_is() {
    let mut room = Room::new();
    let now = Time::parse("2026-01-09T12:10:00Z").unwrap();
    let message = "<188>Jan  9 2026 12:00:00 fc1 : %ASA-4-411002: Line protocol on Interface x, changed state to down";
    let finding = room.says(message, now).remove(0);
    assert_eq!(finding.occurred_at.unwrap().to_string(), "2026-01-09T12:00:00.000Z");
    assert_eq!((finding.observed_at, finding.clock_skew_s), (now, Some(-600)));
    assert_eq!(finding.evidence.unwrap().kind, "syslog");
    assert_eq!((finding.device.name.as_str(), finding.identity.device.as_str()), ("sw-1", "sw-1"));
}

#[test]
fn unknown_senders_are_counted_and_count_as_the_listeners_where_wanted() {
    let message = PAIRS[0].0;
    let stranger: SocketAddr = "192.0.2.1:514".parse().unwrap();
    let frame = Frame { bytes: message.as_bytes().to_vec(), truncated: false };
    let mut room = Room::new();
    room.desk.message(stranger, &frame, Time(1));
    assert!(room.desk.take(Time(1)).is_none());
    assert_eq!((room.desk.counts.messages, room.desk.counts.unknown), (1, 1));
    let told = room.desk.told();
    assert_eq!((told.counts["messages"], told.counts["unknown-sender"]), (1, 1));
    assert!(!told.counts.contains_key("overflow"), "{told:?}");
    // By the host name that it says.
    let named = Frame { bytes: message.replace("45:", "CORE-1:").into_bytes(), truncated: false };
    room.desk.message(stranger, &named, Time(1));
    assert_eq!(room.desk.take(Time(1)).unwrap().0.name, "sw-1");
    let mut room = Room::with(SyslogSettings { unknown: true, ..settings() });
    room.desk.message(stranger, &frame, Time(1));
    assert_eq!(room.desk.take(Time(1)).unwrap().0.name, "host");
}

/// Real consoles' `show logging`, as if a switch had sent it: every message is read, and of what is told
/// every port that went down and came up again is over.
#[test]
fn real_messages_are_read() {
    let root = std::env::var_os("CALLHOME_DATA").map(std::path::PathBuf::from);
    let Some(folder) =
        root.map(|r| r.join("console/cisco_ios/show_logging")).filter(|f| f.is_dir())
    else {
        eprintln!("skipped: no recordings (CALLHOME_DATA)");
        return;
    };
    let code = regex::Regex::new(r"%[A-Z0-9_]+-\d-[A-Z0-9_]+: ").unwrap();
    let (mut messages, mut stamped, mut raised, mut cleared) = (0, 0, 0, 0);
    let mut room = Room::new();
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|e| e != "raw") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        // The buffer's first line is what is left of an overwritten one.
        for line in text.lines().filter(|l| code.is_match(l)) {
            let message = crate::source::syslog::message::parse(format!("<189>{line}").as_bytes());
            messages += 1;
            stamped += usize::from(message.stamp.is_some());
            if message.stamp.is_some() {
                assert!(message.text.starts_with('%'), "{line}: {message:?}");
            }
            for told in room.told(&format!("<189>{line}")) {
                raised += usize::from(told.starts_with('+'));
                cleared += usize::from(told.starts_with('-'));
            }
        }
    }
    println!("{messages} messages, {stamped} with a time, {raised} raise, {cleared} clear");
    assert!(messages >= 15 && stamped * 10 >= messages * 9);
    assert!(raised > 0 && cleared > 0);
}

/// A part that a line is about has the name that the poll of a real device gives it, and the same type
/// of alarm: one fault, one alarm.
#[test]
fn a_line_and_a_poll_of_a_recorded_device_call_a_part_alike() {
    use crate::workshop::read::{Extent, Line, lines};
    use crate::workshop::{Recording, Survey};
    let root = std::env::var_os("CALLHOME_DATA").map(std::path::PathBuf::from);
    let Some(folder) = root.map(|r| r.join("snmp")).filter(|f| f.is_dir()) else {
        eprintln!("skipped: no recordings (CALLHOME_DATA)");
        return;
    };
    let library = std::sync::Arc::new(crate::profile::Library::built_in().unwrap());
    let mut room = Room::new();
    let nxos = "nxos_n9k-c93180yc-fx3";
    let idrac = "<28>x idrac-1 Severity: Critical, Category: System Health, MessageID: ";
    for (recording, metric, message, more) in [
        (nxos, "cefcFRUPowerOperStatus", "<186>%PLATFORM-2-PS_FAIL: Power supply 1 failed".to_owned(), ""),
        (
            nxos,
            "cefcFanTrayOperStatus",
            "<189>%PLATFORM-5-FAN_STATUS: Fan module 3 (Serial number X) current-status is FAN_FAIL".to_owned(),
            "",
        ),
        (
            "iosxe_c9200l",
            "cefcFRUPowerOperStatus",
            "<185>%PLATFORM_FEP-1-FRU_PS_SIGNAL_FAULTY: Switch 1: signal on power supply A is faulty".to_owned(),
            "",
        ),
        // The names are recorded, the states are not.
        (
            "drac_r640",
            "powerSupplyStatus",
            format!("{idrac}PSU0001, Message: Power supply 2 failed."),
            "1.3.6.1.4.1.674.10892.5.4.600.12.1.5.1.2|2|3\n",
        ),
        (
            "drac_r640",
            "coolingDeviceStatus",
            format!("{idrac}FAN0001, Message: Fan 3A RPM is less than the lower critical threshold."),
            "1.3.6.1.4.1.674.10892.5.4.700.12.1.5.1.3|2|3\n",
        ),
    ] {
        let text = std::fs::read_to_string(folder.join(format!("{recording}.snmprec"))).unwrap();
        let text = format!("{}\n{more}", text.trim_end());
        let device = Recording::parse(recording, &text).unwrap();
        let survey = Survey::of_recording(&device, &library).unwrap();
        let polled: Vec<String> = lines(&survey, Extent::default())
            .into_iter()
            .filter_map(|line| match line {
                Line::Reading(line) if line.name == metric => Some(line.resource),
                _ => None,
            })
            .collect();
        let told = room.told(&message);
        assert_eq!(told.len(), 1, "{message}: {told:?}");
        let resource = told[0].split_once(": ").unwrap().1;
        assert!(polled.iter().any(|p| p == resource), "{resource:?} is none of {polled:?}");
    }
}
