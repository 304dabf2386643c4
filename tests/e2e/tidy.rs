//! The rules of the house as a test: arrows that must never exist, sizes, languages, names.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use callhome_tests::harness::workspace_root;

/// A room (path prefix below the workspace) and what its code may not name.
struct Rule {
    room: &'static str,
    not: &'static [&'static str],
    why: &'static str,
}

const RULES: &[Rule] = &[
    Rule {
        room: "shared/src",
        not: &["callhome_agent", "callhome_collector"],
        why: "shared knows neither side",
    },
    Rule {
        room: "agent/src",
        not: &["callhome_collector"],
        why: "the agent knows no collector code",
    },
    Rule {
        room: "collector/src",
        not: &["callhome_agent"],
        why: "the collector knows no agent code",
    },
    Rule {
        room: "agent/src/rule",
        not: &[
            "tokio",
            "std::fs",
            "std::net",
            "rumqttc",
            "SystemTime",
            "Time::now",
            "Instant::now",
        ],
        why: "rules are pure",
    },
    Rule {
        room: "agent/src/alarm",
        not: &[
            "tokio",
            "std::fs",
            "std::net",
            "rumqttc",
            "SystemTime",
            "Time::now",
            "Instant::now",
        ],
        why: "alarms are pure",
    },
    Rule {
        room: "agent/src/redact",
        not: &[
            "tokio",
            "std::fs",
            "std::net::TcpStream",
            "rumqttc",
            "SystemTime",
            "Time::now",
            "Instant::now",
            "crate::outbox",
            "crate::link",
            "crate::rule",
        ],
        why: "redaction is pure",
    },
    Rule {
        room: "agent/src/workshop/explain",
        not: &["tokio", "std::fs", "std::net", "SystemTime", "Time::now", "Instant::now"],
        why: "explaining is pure",
    },
    Rule {
        room: "agent/src/workshop/record/walker",
        not: &["tokio", "std::fs", "std::net", "SystemTime", "Time::now", "Instant::now"],
        why: "what a walk asks next is pure",
    },
    Rule {
        room: "agent/src/workshop/record/scrub",
        not: &["tokio", "std::fs", "std::net", "SystemTime", "Time::now", "Instant::now"],
        why: "redaction is pure",
    },
    Rule {
        room: "agent/src/workshop/import/exporter",
        not: &["tokio", "std::fs", "std::net"],
        why: "import is pure",
    },
    Rule {
        room: "agent/src/workshop/import/zabbix",
        not: &["tokio", "std::fs", "std::net"],
        why: "import is pure",
    },
    Rule {
        room: "agent/src/hold",
        not: &[
            "tokio",
            "std::fs",
            "std::net",
            "SystemTime",
            "Time::now",
            "Instant::now",
            "crate::alarm",
        ],
        why: "what is held back is decided purely",
    },
    Rule {
        room: "agent/src/probe/book",
        not: &["tokio", "std::fs", "std::net", "SystemTime", "Time::now", "Instant::now"],
        why: "the book is pure",
    },
    Rule {
        room: "agent/src/probe",
        not: &["crate::outbox", "crate::link", "crate::line", "crate::alarm"],
        why: "the book knows sources and rules only",
    },
    Rule {
        room: "agent/src/source",
        not: &["crate::alarm", "crate::outbox", "crate::link", "crate::line"],
        why: "sources only read",
    },
    Rule {
        room: "agent/src/source/syslog/message",
        not: &["tokio", "std::fs", "Time::now", "Instant::now"],
        why: "reading a message is pure",
    },
    Rule {
        room: "agent/src/source/syslog/framing",
        not: &["tokio", "std::fs", "Time::now", "Instant::now"],
        why: "framing is pure",
    },
    Rule {
        room: "agent/src/source/syslog/queue",
        not: &["tokio", "std::fs", "Time::now", "Instant::now"],
        why: "who gets a turn is pure",
    },
    Rule {
        room: "agent/src/bundle",
        not: &["crate::outbox", "crate::line", "crate::source", "crate::rule", "crate::ledger"],
        why: "bundles go beside the line; run.rs tells ledger and line of them",
    },
    Rule {
        room: "agent/src/bundle/scrub",
        not: &["tokio", "std::fs", "std::net", "SystemTime", "Time::now", "Instant::now"],
        why: "redaction is pure",
    },
    Rule {
        room: "agent/src/bundle/book",
        not: &["tokio", "std::fs", "std::net", "SystemTime", "Time::now", "Instant::now"],
        why: "the upload's book is pure",
    },
    Rule {
        room: "agent/src/bundle/record",
        not: &["tokio", "std::fs", "std::net", "SystemTime", "Time::now", "Instant::now"],
        why: "what becomes of a bundle is pure",
    },
    Rule { room: "agent/src/outbox", not: &["crate::link"], why: "run.rs bridges outbox and link" },
    Rule {
        room: "agent/src/link",
        not: &["crate::outbox", "crate::source", "crate::rule", "crate::session", "crate::ledger"],
        why: "the link only carries",
    },
    Rule {
        room: "agent/src/ledger",
        not: &["crate::link", "crate::outbox", "crate::line", "crate::source", "tokio"],
        why: "the ledger only writes down",
    },
    Rule {
        room: "collector/src/inbox",
        not: PURE,
        why: "deciding what an envelope changes is pure",
    },
    Rule {
        room: "collector/src/link/dynsec/wanted",
        not: PURE,
        why: "what a broker's rights should be is pure",
    },
    Rule { room: "collector/src/access", not: PURE, why: "what a token opens is pure" },
    Rule { room: "collector/src/alertmanager", not: PURE, why: "what an alert means is pure" },
    Rule { room: "collector/src/diagnosis", not: PURE, why: "diagnosis is pure" },
    Rule { room: "collector/src/bundle/judge", not: PURE, why: "what is accepted is pure" },
    Rule { room: "collector/src/audit", not: PURE, why: "the record's chain is pure" },
    Rule { room: "collector/src/ticket", not: PURE, why: "the state machine is pure" },
    Rule { room: "collector/src/entitlement", not: PURE, why: "what is promised is pure" },
    Rule { room: "collector/src/knowledge", not: PURE, why: "words of articles are pure" },
    Rule { room: "collector/src/inventory", not: PURE, why: "what changed of a device is pure" },
    Rule { room: "collector/src/masters", not: PURE, why: "what is wrong with a file is pure" },
    Rule { room: "collector/src/calendar", not: PURE, why: "which time counts is pure" },
    Rule { room: "collector/src/roster", not: PURE, why: "who is on duty is pure" },
    Rule { room: "collector/src/report", not: PURE, why: "what a report says is pure" },
    Rule { room: "collector/src/notice", not: PURE, why: "who is told what is pure" },
    Rule { room: "collector/src/clock", not: PURE, why: "what a clock shows is pure" },
    Rule {
        room: "collector/src/store",
        not: &["crate::flow", "crate::api"],
        why: "the store only stores",
    },
];

const PURE: &[&str] = &[
    "crate::store",
    "crate::flow",
    "crate::api",
    "crate::notify",
    "crate::link::external",
    "sqlx",
    "axum",
    "hyper",
    "tokio",
    "Time::now",
];

/// Code lines of a Rust file that are not tests: comments and everything after `#[cfg(test)]` are out.
fn code(path: &Path) -> Vec<(usize, String)> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines()
        .enumerate()
        .take_while(|(_, line)| line.trim() != "#[cfg(test)]")
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
        .map(|(n, line)| (n + 1, line.to_owned()))
        .collect()
}

fn files(dir: &Path, ending: &str, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        if path.is_dir() {
            if !["target", "node_modules", "dist", ".git", "artifacts", "tests"]
                .contains(&name.as_str())
            {
                files(&path, ending, found);
            }
        } else if name.ends_with(ending) {
            found.push(path);
        }
    }
}

/// `tests.rs`, `x_tests.rs` or anything in a folder `tests`.
fn is_test(file: &Path) -> bool {
    file.components().any(|c| c.as_os_str() == "tests")
        || file.file_stem().is_some_and(|s| s.to_string_lossy().ends_with("tests"))
}

fn below(room: &str, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let place = workspace_root().join(room);
    if place.is_dir() {
        files(&place, ending, &mut found);
    }
    let single = workspace_root().join(format!("{room}.rs"));
    if single.is_file() {
        found.push(single);
    }
    found.sort();
    found
}

/// Whether `line` names `path` as a whole word (`tokio` is not in `tokio_util`).
fn names(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let word = |c: char| c.is_alphanumeric() || c == '_';
        let before = line[..at].chars().next_back();
        let after = line[at + path.len()..].chars().next();
        !before.is_some_and(word) && !after.is_some_and(word)
    })
}

/// `use crate::{a, b::c}` lines name their parts only after the brace: spread them out.
fn spread(line: &str) -> String {
    match (line.find("crate::{"), line.contains("use ")) {
        (Some(at), true) => {
            let inside = line[at + "crate::{".len()..].trim_end_matches(['}', ';', ' ']);
            inside.split(',').map(|part| format!(" crate::{}", part.trim())).collect()
        }
        _ => line.to_owned(),
    }
}

#[test]
fn no_forbidden_arrows() {
    let mut broken = Vec::new();
    let mut seen = 0;
    for rule in RULES {
        for file in below(rule.room, ".rs") {
            seen += 1;
            for (n, line) in code(&file) {
                let line = spread(&line);
                for not in rule.not {
                    if names(&line, not) {
                        let file = file.display();
                        broken.push(format!("{file}:{n}: names {not}, but {}: {line}", rule.why));
                    }
                }
            }
        }
    }
    assert!(seen > 20, "only {seen} files were looked at: have the rooms moved?");
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// `make fuzz` finds a property test by its name.
#[test]
fn every_property_test_is_one_that_make_fuzz_runs() {
    let makefile = fs::read_to_string(workspace_root().join("Makefile")).unwrap_or_default();
    let words = ["test(/panics|fuzz/)", "test(/prop/)"];
    assert!(words.iter().all(|word| makefile.contains(word)), "the words are other ones now");
    let (mut seen, mut unheard) = (0, Vec::new());
    for crate_ in ["shared", "agent", "collector"] {
        for file in every_file(&workspace_root().join(crate_)) {
            let text = fs::read_to_string(&file).unwrap_or_default();
            // From `proptest!` to its closing brace, which stands under the beginning of its line.
            let mut inside: Option<&str> = None;
            for line in text.lines() {
                let indent = &line[..line.len() - line.trim_start().len()];
                if line.trim_start().ends_with("proptest! {") {
                    inside = Some(indent);
                } else if inside.is_some_and(|i| line == format!("{i}}}")) {
                    inside = None;
                }
                let name = line.trim_start().strip_prefix("fn ").and_then(|l| l.split('(').next());
                let (Some(name), Some(outer)) = (name, inside) else { continue };
                if indent.len() != outer.len() + 4 {
                    continue;
                }
                seen += 1;
                if !["panics", "fuzz", "prop"].iter().any(|word| name.contains(word)) {
                    unheard.push(format!("{}: {name}", file.display()));
                }
            }
        }
    }
    assert!(seen > 40, "only {seen} property tests were seen: are they written otherwise now?");
    assert!(unheard.is_empty(), "name these with panics, fuzz or prop:\n{}", unheard.join("\n"));
}

/// Every Rust file, tests among them.
fn every_file(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(every_file(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
    found
}

#[test]
fn nothing_depends_on_the_wiring() {
    let mut broken = Vec::new();
    for side in ["agent/src", "collector/src"] {
        for file in below(side, ".rs") {
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name == "main.rs"
                || name == "run.rs"
                || file.components().any(|c| c.as_os_str() == "run")
            {
                continue;
            }
            for (n, line) in code(&file) {
                if names(&spread(&line), "crate::run") {
                    broken.push(format!("{}:{n}: {line}", file.display()));
                }
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn the_forbidden_is_found() {
    assert!(names("use tokio::sync::mpsc;", "tokio"));
    assert!(!names("use tokio_util::sync::CancellationToken;", "tokio"));
    assert!(names(&spread("use crate::{alarm::Set, outbox};"), "crate::outbox"));
    assert!(names("    let now = Time::now();", "Time::now"));
}

#[test]
fn files_stay_rooms() {
    let mut large = Vec::new();
    for side in ["shared/src", "agent/src", "collector/src", "tests/src", "tests/e2e"] {
        for file in below(side, ".rs") {
            let lines = fs::read_to_string(&file).unwrap_or_default().lines().count();
            if lines > 600 {
                large.push(format!("{} has {lines} lines", file.display()));
            }
        }
    }
    assert!(large.is_empty(), "split these:\n{}", large.join("\n"));
}

#[test]
fn the_two_readmes_are_equal_in_structure() {
    let root = workspace_root();
    let shape = |name: &str| {
        let text = fs::read_to_string(root.join(name)).unwrap_or_default();
        let mut code = Vec::new();
        let mut headings = 0;
        let mut inside = false;
        for line in text.lines() {
            if line.starts_with("```") {
                inside = !inside;
            } else if inside {
                // Comments in commands are translated, commands are not.
                code.push(line.split("  #").next().unwrap_or_default().trim_end().to_owned());
            } else if line.starts_with('#') {
                headings += 1;
            }
        }
        (headings, code)
    };
    let (en, zh) = (shape("README.md"), shape("README.zh-CN.md"));
    assert!(en.0 > 3, "README.md has {} headings", en.0);
    assert_eq!(en.0, zh.0, "number of headings");
    assert_eq!(en.1, zh.1, "code blocks");
}

#[test]
fn code_is_english_and_names_no_machine() {
    // Chinese belongs to the console, the Chinese README and the data of tests.
    let mut broken = Vec::new();
    for side in ["shared/src", "agent/src", "collector/src"] {
        for file in below(side, ".rs").iter().filter(|f| !is_test(f)) {
            for (n, line) in code(file) {
                if line.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c)) {
                    broken.push(format!("{}:{n}: {line}", file.display()));
                }
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn top_level_holds_only_what_was_agreed() {
    let allowed: BTreeSet<&str> = [
        "Cargo.toml",
        "Cargo.lock",
        "agent",
        "collector",
        "shared",
        "systemd",
        "tests",
        "README.md",
        "Makefile",
        "LICENSE",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "README.zh-CN.md",
        "docs",
        "target",
    ]
    .into();
    let mut extra = Vec::new();
    for entry in fs::read_dir(workspace_root()).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') && !allowed.contains(name.as_str()) {
            extra.push(name);
        }
    }
    assert!(extra.is_empty(), "unexpected at the top level: {extra:?}");
}
