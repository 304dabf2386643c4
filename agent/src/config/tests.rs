use std::io;
use std::path::Path;

use callhome_shared::severity::Severity;

use super::*;
use crate::rule::Condition;
use crate::settings::SourceSpec;

fn parsed(text: &str) -> Result<Settings, Problems> {
    parse("/etc/agent.toml", text, &|path: &Path| match path.to_str() {
        Some("/secret" | "/etc/beside") => Ok("long enough\nmore\n".into()),
        Some("/short") => Ok("short\n".into()),
        Some("/empty") => Ok("\n".into()),
        Some("/enrolled/identity/enrolment.toml") => {
            Ok("agent = \"a\"\ncollector = \"https://c:8443\"\n\
            mqtt = \"mqtts://c.example:1883\"\nroot_fingerprint = \"sha256:00\"\n\
            enrolled_at = \"2026-01-01T00:00:00Z\"\n"
                .into())
        }
        Some("/roads/identity/enrolment.toml") => {
            Ok("agent = \"a\"\ncollector = \"https://c:8443\"\n\
            mqtt = \"mqtts://c:8883\"\n\
            roads = [\"mqtts://c:8883\", \"wss://c:8443/mqtt\", \"https://c:8443\"]\n\
            root_fingerprint = \"sha256:00\"\nenrolled_at = \"2026-01-01T00:00:00Z\"\n"
                .into())
        }
        _ => Err(io::Error::from(io::ErrorKind::NotFound)),
    })
}

/// Each problem as `line:column message [hint]`.
fn told(text: &str) -> Vec<String> {
    let Err(problems) = parsed(text) else { return vec!["accepted".into()] };
    let one = |p: &Problem| {
        let hint = p.hint.as_ref().map(|h| format!(" [{h}]")).unwrap_or_default();
        format!("{}:{} {}{hint}", p.line, p.column, p.message)
    };
    problems.0.iter().map(one).collect()
}

const DEVICE: &str = "[[device]]\nname = \"d\"\n";

/// Input → exactly what is told. Cases that need a device start with one, so lines count from 3.
#[test]
fn each_mistake_is_told_with_its_place() {
    for (text, expected) in include!("cases.rs") {
        let text = text.replace("DEVICE;", DEVICE);
        assert_eq!(told(&text), expected, "for\n{text}");
    }
}

#[test]
fn empty_means_defaults() {
    let settings = parsed("").unwrap();
    assert_eq!(settings.state_dir, Path::new("/var/lib/callhome-agent"));
    assert!(settings.link.roads.is_empty() && settings.link.proxy.is_none());
    assert_eq!(settings.link.key_file, Path::new("/var/lib/callhome-agent/identity/agent.key"));
    assert_eq!(settings.health_listen, Some("127.0.0.1:9465".parse().unwrap()));
    assert_eq!(settings.outbox.max_bytes, 64 << 20);
    assert!(settings.sources.is_empty());
    assert_eq!(parsed("[agent]\nhealth_listen = ''").unwrap().health_listen, None);
}

#[test]
fn the_enrolment_says_where_the_collector_is() {
    let roads = |text: &str| -> Vec<String> {
        parsed(text).unwrap().link.roads.iter().map(ToString::to_string).collect()
    };
    let enrolled = "[agent]\nstate_dir = '/enrolled'\n";
    assert_eq!(roads(enrolled), ["mqtts://c.example:1883"]);
    assert_eq!(
        roads(&enrolled.replace("enrolled", "roads")),
        ["mqtts://c:8883", "wss://c:8443/mqtt", "https://c:8443"]
    );
    let proxy = format!("{enrolled}[collector]\nproxy = 'http://p:8080'\n");
    assert_eq!(roads(&proxy), ["mqtts://c.example:1883 via http://p:8080"]);
    let single = format!("{enrolled}[collector]\nmqtt = 'mqtts://[2001:db8::1]'\n");
    assert_eq!(roads(&single), ["mqtts://[2001:db8::1]:8883"]);
}

#[test]
fn roads_have_their_own_proxy_or_that_of_all() {
    let text = "[collector]\nproxy = 'http://p'\nproxy_user = 'u'\nproxy_password_file = '/short'\n\
                [[collector.road]]\nurl = 'mqtts://c'\n[[collector.road]]\nurl = 'wss://c'\nproxy = ''\n\
                [[collector.road]]\nurl = 'https://c:8443'\nproxy = 'http://[::1]:1'\n";
    let link = parsed(text).unwrap().link;
    let roads: Vec<String> = link.roads.iter().map(ToString::to_string).collect();
    assert_eq!(
        roads,
        [
            "mqtts://c:8883 via http://p:3128",
            "wss://c:443/mqtt",
            "https://c:8443 via http://[::1]:1"
        ]
    );
    let login = link.roads[0].proxy.as_ref().unwrap().login.clone().unwrap();
    assert_eq!((login.user.as_str(), login.password.as_str()), ("u", "short"));
    assert!(!format!("{link:?}").contains("short"));
    assert_eq!(link.roads[2].proxy.as_ref().unwrap().login, None);
}

#[test]
fn devices_inherit_place_and_contract() {
    let text = "[agent]\nsite = 'S'\ncontract = 'K'\n[[device]]\nname = 'd'\nserial = '77'\nsite = 'T'\n\
                [[logfile]]\nname = 'l'\ndevice = 'd'\npath = '/var/log/x'\n";
    let settings = parsed(text).unwrap();
    let device = &settings.sources[0].device;
    assert_eq!((device.id.as_str(), device.name.as_str()), ("77", "d"));
    assert_eq!(device.site.as_deref(), Some("T"));
    assert_eq!(device.contract.as_deref(), Some("K"));
}

#[test]
fn patterns_become_rules() {
    let text = "[[device]]\nname = 'd'\n[[serial]]\nname = 's'\ndevice = 'd'\nport = '/dev/ttyS0'\n\
        [[serial.pattern]]\nid = 'psu'\nmatch = 'PSU (?P<psu>\\d+) failed'\nclear = 'PSU (?P<psu>\\d+) ok'\n\
        type = 'psu-failed'\nseverity = 'major'\nresource = 'PSU ${psu}'\nrepair = 'Replace it.'\n\
        [[serial.command]]\nid = 'env'\nsend = \"show env\\r\"\nevery_s = 300\nuntil = '^\\S+#'\n\
        [[serial.command.pattern]]\nid = 'fan'\nmatch = 'fan fail'\ntype = 'fan-failed'\nseverity = 'minor'\n\
        [serial.silence]\nafter_s = 60\n";
    let settings = parsed(text).unwrap();
    let source = &settings.sources[0];
    let rules: Vec<(&str, &str, &str)> = source
        .rules
        .iter()
        .map(|r| (r.id.as_str(), r.metric.as_str(), r.template.kind.as_str()))
        .collect();
    assert_eq!(
        rules,
        [
            ("psu", "line", "psu-failed"),
            ("fan", "answer:env", "fan-failed"),
            ("silence", "line", "source-silent")
        ]
    );
    let silence = &source.rules[2].condition;
    assert!(matches!(
        silence,
        Condition::Silence { after_ms: 60_000, severity: Severity::Warning }
    ));
    let SourceSpec::Serial(serial) = &source.spec else { panic!("{:?}", source.spec) };
    assert_eq!(serial.commands[0].send, "show env\r");
}

fn repository(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

#[test]
fn published_schema_is_the_present_one() {
    let wanted = "write it again: callhome-agent schema > docs/agent.schema.json";
    assert_eq!(repository("docs/agent.schema.json"), schema(), "{wanted}");
}

#[test]
fn example_is_accepted() {
    let read = |path: &Path| match path.to_string_lossy().ends_with(".secret") {
        true => Ok("long enough\n".into()),
        false => Err(io::Error::from(io::ErrorKind::NotFound)),
    };
    let settings = parse("agent.toml", &repository("docs/examples/agent.toml"), &read)
        .unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(settings.sources.len(), 7);

    let smallest = parse("agent.toml", &repository("docs/examples/agent-first.toml"), &read)
        .unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(smallest.sources.len(), 1);
}

#[test]
fn privacy_is_checked() {
    for (text, wanted) in [
        ("pseudonyms = [\"ipv5\"]", "3:15 privacy.pseudonyms[1]: expected one of"),
        ("disable = [\"pasword\"]", "did you mean \"password\"?"),
        ("domains = [\"corp.example\"]", "3:12 privacy.domains: has no effect"),
        (
            "pseudonyms = [\"host\"]\ndomains = [\"corp\"]",
            "4:12 privacy.domains: expected a domain",
        ),
        (
            "[[privacy.rule]]\nname = \"x\"\nmatch = '('",
            "5:9 privacy.rule[1].match: no regular expression",
        ),
        (
            "[[privacy.rule]]\nname = \"x\"\nmatch = 'a*'",
            "5:9 privacy.rule[1].match: must not match the empty",
        ),
        (
            "[[privacy.rule]]\nname = \"token\"\nmatch = 'a'",
            "4:8 privacy.rule[1].name: \"token\" is taken",
        ),
        (
            "[[privacy.rule]]\nname = \"x\"\nmatch = '(?P<num>a)'\nreplacement = '${nun}'",
            "did you mean \"num\"?",
        ),
        (
            "[[privacy.rule]]\nname = \"x\"\nmatch = 'a'\nreplacement = 'aa'",
            "must not match `match` itself",
        ),
        ("[[privacy.rule]]\nmatch = 'a'", "privacy.rule[1].name: missing"),
    ] {
        let all = told(&format!("\n[privacy]\n{text}\n")).join("\n");
        assert!(all.contains(wanted), "{text}: wanted {wanted:?} in\n{all}");
    }
    let text = "[privacy]\npseudonyms = [\"host\", \"ipv4\"]\ndomains = [\".Corp.Example\"]\n\
                disable = [\"ssh-key\"]\n[[privacy.rule]]\nname = \"x\"\nmatch = 'b(?P<secret>.)'\n";
    let privacy = parsed(text).unwrap().privacy;
    assert_eq!(privacy.domains, ["corp.example"]);
    assert_eq!((privacy.pseudonyms.len(), privacy.rules.len()), (2, 1));
}

/// Every key of the schema as `table.key`, tables inside tables as `serial.command.id`.
fn schema_keys() -> Vec<String> {
    fn walk(
        root: &serde_json::Value,
        node: &serde_json::Value,
        path: &str,
        keys: &mut Vec<String>,
    ) {
        let node = node.get("items").unwrap_or(node);
        let pointer = node.get("$ref").and_then(|r| r.as_str());
        let node = pointer.map_or(node, |p| root.pointer(&p[1..]).unwrap());
        let Some(properties) = node.get("properties").and_then(|p| p.as_object()) else {
            return keys.push(path.to_owned());
        };
        for (key, child) in properties {
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            walk(root, child, &path, keys);
        }
    }
    let schema: serde_json::Value = serde_json::from_str(&schema()).unwrap();
    let mut keys = Vec::new();
    walk(&schema, &schema, "", &mut keys);
    assert!(keys.len() > 80, "{keys:?}");
    keys
}

#[test]
fn every_key_is_documented() {
    let doc = repository("docs/agent-config.md");
    for key in schema_keys() {
        // Patterns, silences, dampings and limits have the same keys wherever they are, documented once.
        let key = match key.rsplit_once('.') {
            Some((path, name)) if path.ends_with(".pattern") => format!("pattern.{name}"),
            Some((path, name)) if path.ends_with(".silence") => format!("silence.{name}"),
            Some((path, name)) if path.ends_with(".count") => format!("count.{name}"),
            Some((path, name)) if path.ends_with(".flapping") => format!("flapping.{name}"),
            Some((path, name))
                if [".threshold", ".rate", ".delta"].iter().any(|of| path.ends_with(of)) =>
            {
                format!("limit.{name}")
            }
            _ => key,
        };
        assert!(doc.contains(&format!("| `{key}` |")), "{key} is not in docs/agent-config.md");
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]
    #[test]
    fn no_input_panics(junk in "[\\[\\]a-z_=\"'0-9\n. ${}]{0,200}", at in 0usize..2000, insert in ".{0,4}") {
        let _ = told(&junk);
        let mut text = repository("docs/examples/agent.toml");
        let mut at = at.min(text.len());
        while !text.is_char_boundary(at) { at -= 1; }
        text.insert_str(at, &insert);
        let _ = told(&text);
    }
}

#[test]
fn a_device_may_hang_on_another_one_or_on_a_part_of_it() {
    let with = |parent: &str| format!("[[device]]\nname = \"array\"\nparent = {parent}\n");
    let parent = |text: &str| {
        let text = format!("{}\n[host]\ndevice = \"array\"\n", with(text));
        let settings = parsed(&text).unwrap();
        let device = settings.sources[0].device.clone();
        (device.parent.clone(), device.parent_resource.clone())
    };
    assert_eq!(parent("\"sw\""), (Some("sw".to_owned()), None));
    let part = parent("{ device = \"sw\", resource = \"Gi1/0/7\" }");
    assert_eq!(part, (Some("sw".to_owned()), Some("Gi1/0/7".to_owned())));
    for (text, wanted) in [
        ("5", "device[1].parent: expected a text in quotes or a table, found a whole number"),
        ("{ device = \"sw\" }", "device[1].parent.resource: missing"),
        ("{ device = \"sw\", resorce = \"x\" }", "did you mean \"resource\"?"),
        ("{ device = \"sw\", resource = \"\" }", "device[1].parent.resource: expected 1 to"),
        ("{ device = 1, resource = \"x\" }", "device[1].parent.device: expected a text"),
    ] {
        let all = told(&with(text)).join("\n");
        assert!(all.contains(wanted), "{text}: wanted {wanted:?} in\n{all}");
    }
}

#[test]
fn whatever_is_read_counts_as_said() {
    let dir = tempfile::tempdir().unwrap();
    let (own, config) = (dir.path().join("traps"), dir.path().join("agent.toml"));
    std::fs::create_dir(&own).unwrap();
    let community = dir.path().join("community");
    std::fs::write(&community, "traps\n").unwrap();
    let text = format!(
        "[[device]]\nname = \"host-1\"\n\n[trap]\ndevice = \"host-1\"\ncommunity_files = [{community:?}]\ndir = {own:?}\n"
    );
    std::fs::write(&config, text).unwrap();
    let said = || load(&config).unwrap().read_from;
    let trap = |severity: &str| {
        let text = format!(
            "traps:\n  1.3.6.1.4.1.32473.0.1: {{ name: bad, severity: {severity}, type: t }}\n"
        );
        std::fs::write(own.join("own.yaml"), text).unwrap();
        said()
    };
    let none = said();
    assert_eq!(none, said());
    let (minor, major) = (trap("minor"), trap("major"));
    assert!(none != minor && minor != major && major == trap("major"));
    std::fs::write(&community, "others\n").unwrap();
    assert_ne!(said(), major);
}
