//! What `check` prints when nothing is wrong.

use std::fmt::Write as _;

use crate::bundle::Approve;
use crate::settings::{Settings, SourceSpec};
use crate::source::trap::TrapSettings;

/// One line per fact.
pub fn summary(settings: &Settings) -> String {
    let mut out = String::from("configuration is fine\n");
    line(&mut out, "state", &settings.state_dir.display().to_string());
    for (i, road) in settings.link.roads.iter().enumerate() {
        line(&mut out, if i == 0 { "collector" } else { "" }, &road.to_string());
    }
    if settings.link.roads.is_empty() {
        line(&mut out, "collector", "none yet: run callhome-agent enroll");
    }
    let bundles = match (settings.bundle.roads.first(), settings.bundle.approve) {
        (None, _) => "wait: no HTTPS address of the collector is known (bundle.url)".to_owned(),
        (Some(road), Approve::Hold) => format!("each is held until a person approves it; {road}"),
        (Some(road), Approve::Auto) => format!("leave WITHOUT BEING ASKED FOR; {road}"),
    };
    line(&mut out, "bundles", &bundles);
    for source in &settings.sources {
        let (kind, what) = match &source.spec {
            SourceSpec::Snmp(snmp) => ("snmp", snmp.address.to_string()),
            SourceSpec::Serial(serial) => ("serial", serial.port.display().to_string()),
            SourceSpec::Logfile(file) => ("logfile", file.path.display().to_string()),
            SourceSpec::Host(_) => ("host", "this host".to_owned()),
            SourceSpec::Syslog(syslog) => {
                let all = [("udp", &syslog.udp), ("tcp", &syslog.tcp), ("tls", &syslog.tls)];
                let each = |(name, at): (&str, &Vec<std::net::SocketAddr>)| {
                    at.iter().map(|at| format!("{name} {at}")).collect::<Vec<_>>()
                };
                ("syslog", all.into_iter().flat_map(each).collect::<Vec<_>>().join(", "))
            }
            SourceSpec::Trap(trap) => ("trap", listening(trap)),
        };
        let rules = match &source.spec {
            SourceSpec::Snmp(snmp) => match &snmp.chosen {
                Some(profiles) => format!("profiles {}", profiles.join(", ")),
                None => "profiles by what the device says it is".to_owned(),
            },
            _ => format!("{} rules", source.rules.len()),
        };
        let text = format!("{} of {}: {kind} {what}, {rules}", source.name, source.device.name);
        line(&mut out, "source", &text);
    }
    if settings.sources.is_empty() {
        line(&mut out, "source", "none: nothing is watched");
    }
    if let Some(library) = &settings.profiles {
        line(&mut out, "profiles", &library.names().join(", "));
        for note in library.notes() {
            let _ = writeln!(out, "note: {note}");
        }
    }
    out
}

fn listening(trap: &TrapSettings) -> String {
    let listen: Vec<String> = trap.listen.iter().map(ToString::to_string).collect();
    let (traps, faults) = trap.db.len();
    let mut text = format!(
        "{} ({traps} traps known, {faults} of them faults; {} users of version 3)",
        listen.join(", "),
        trap.users.len()
    );
    if trap.communities.is_empty() {
        text.push_str("; versions 1 and 2c are NOT taken: no community_files");
    }
    text
}

fn line(out: &mut String, name: &str, text: &str) {
    let _ = writeln!(out, "{name:<12} {text}");
}
