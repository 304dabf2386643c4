//! The command line as people and scripts use it.

// A test helper that fails fails the test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

struct House {
    dir: tempfile::TempDir,
}

impl House {
    fn new() -> House {
        let house = House { dir: tempfile::tempdir().unwrap() };
        house.write("");
        house
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, more: &str) {
        let data = self.path("data");
        let text = format!("[collector]\ndata_dir = {data:?}\n{more}");
        std::fs::write(self.path("c.toml"), text).unwrap();
    }

    fn run(&self, args: &[&str], input: &str) -> Output {
        let mut child = Command::new(env!("CARGO_BIN_EXE_callhome-collector"))
            .arg("--config")
            .arg(self.path("c.toml"))
            .args(args)
            .current_dir(self.dir.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A command that does not read its input may have ended already.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap()
    }

    fn good(&self, args: &[&str]) -> String {
        let out = self.run(args, "");
        assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap()
    }

    /// Runs a command that fails; its exit code and what it says.
    fn bad(&self, args: &[&str]) -> (i32, String) {
        let out = self.run(args, "");
        (out.status.code().unwrap(), String::from_utf8(out.stderr).unwrap())
    }
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn init_makes_everything_once() {
    let house = House::new();
    let (code, says) = house.bad(&["agent", "list"]);
    assert!(code == 1 && says.contains("init"), "{says}");
    let out = house.good(&["init"]);
    let line = out.lines().find(|l| l.contains("one-time password")).unwrap();
    let password = line.split_whitespace().last().unwrap();
    assert_eq!(password.len(), 20);
    for (file, wanted) in [
        ("data", 0o700),
        ("data/ca/ca.key", 0o600),
        ("data/tls/server.key", 0o600),
        ("data/tls/collector.key", 0o600),
        ("data/callhome.db", 0o600),
        ("callhome-root", 0o700),
        ("callhome-root/root.key", 0o600),
    ] {
        assert_eq!(mode(&house.path(file)), wanted, "{file}");
    }
    assert!(
        !house.path("data/ca/root.key").exists(),
        "the root's key is not in the data directory"
    );
    let (code, says) = house.bad(&["init", "--root-out", "another"]);
    assert!(code == 1 && says.contains("never overwrites"), "{says}");
    assert!(!house.path("another").exists());
}

#[test]
fn init_takes_a_given_ca_and_refuses_a_bad_one() {
    let given = House::new();
    given.good(&["init"]);
    let ca = given.path("data/ca/ca.pem");
    let key = given.path("data/ca/ca.key");
    let leaf = given.path("data/tls/server.pem");
    let house = House::new();
    let text = |p: &Path| p.display().to_string();
    let (code, says) = house.bad(&["init", "--ca-cert", &text(&leaf), "--ca-key", &text(&key)]);
    assert!(code == 1 && says.contains("not the certificate's"), "{says}");
    assert!(!house.path("data").exists() && !house.path("callhome-root").exists());
    let (code, says) = house.bad(&["init", "--ca-cert", &text(&ca)]);
    assert!(code == 1 && says.contains("certificates.server_certificate_file"), "{says}");
    house.good(&["init", "--ca-cert", &text(&ca), "--ca-key", &text(&key)]);
    assert_eq!(std::fs::read(&ca).unwrap(), std::fs::read(house.path("data/ca/ca.pem")).unwrap());
}

#[test]
fn tokens_agents_users_and_backup() {
    let house = House::new();
    house.good(&["init"]);
    house.good(&["agent", "token", "a-1", "--site", "上海", "--out", "a.token"]);
    assert_eq!(mode(&house.path("a.token")), 0o600);
    let token = std::fs::read_to_string(house.path("a.token")).unwrap();
    for part in ["agent = \"a-1\"", "ca_fingerprint = \"sha256:", "root_fingerprint = \"sha256:"] {
        assert!(token.contains(part), "{part}");
    }
    let (code, says) = house.bad(&["agent", "token", "a-1", "--out", "a.token"]);
    assert!(code == 1 && says.contains("a.token"), "{says}");
    assert_eq!(house.bad(&["agent", "token", "a/1"]).0, 2);
    assert_eq!(house.bad(&["agent", "token", "main"]).0, 1);
    assert_eq!(house.bad(&["agent", "token", "b", "--valid-hours", "0"]).0, 2);

    let list = house.good(&["agent", "list", "--json"]);
    assert!(list.contains("\"site\": \"上海\""), "{list}");
    house.good(&["agent", "revoke", "a-1"]);
    assert!(house.good(&["agent", "list"]).contains("revoked"));
    assert_eq!(house.bad(&["agent", "token", "a-1"]).0, 1);
    assert_eq!(house.bad(&["agent", "revoke", "zz"]).0, 1);

    let add = ["user", "add", "joe", "--role", "expert"];
    assert!(!house.run(&add, "").status.success(), "no password");
    assert!(!house.run(&add, "short\n").status.success(), "too short");
    assert!(house.run(&add, "long enough it is\n").status.success());
    assert!(!house.run(&add, "long enough it is\n").status.success(), "twice");
    assert!(house.good(&["user", "passwd", "joe", "--generate"]).contains("one-time password"));
    assert_eq!(house.bad(&["user", "add", "x", "--role", "king"]).0, 2);

    assert_eq!(house.good(&["ticket", "list", "--json"]), "[]\n");
    assert_eq!(house.bad(&["ticket", "show", "T-000001"]).0, 1);

    house.good(&["backup", "b.tar"]);
    assert_eq!(mode(&house.path("b.tar")), 0o600);
    assert_eq!(house.bad(&["restore", "b.tar"]).0, 1, "over existing data");
    std::fs::rename(house.path("data"), house.path("old")).unwrap();
    house.good(&["restore", "b.tar"]);
    assert_eq!(mode(&house.path("data")), 0o700);
    assert!(house.good(&["agent", "list"]).contains("revoked"));
}

#[test]
fn a_ca_without_its_key_verifies_and_issues_nothing() {
    let given = House::new();
    given.good(&["init"]);
    let house = House::new();
    let text = |p: PathBuf| p.display().to_string();
    house.write(&format!(
        "[certificates]\nserver_certificate_file = {:?}\nserver_key_file = {:?}\n",
        given.path("data/tls/server.pem"),
        given.path("data/tls/server.key")
    ));
    house.good(&["init", "--ca-cert", &text(given.path("data/ca/ca.pem"))]);
    assert!(!house.path("data/ca/ca.key").exists() && !house.path("data/tls/server.pem").exists());
    let (code, says) = house.bad(&["agent", "token", "a-1"]);
    assert!(code == 1 && says.contains("verifies certificates and issues none"), "{says}");
    assert!(house.good(&["agent", "add", "a-1"]).contains("urn:callhome:agent:a-1"));
    assert!(house.good(&["ca", "show"]).contains("verifies only"));
}

#[test]
fn the_ca_is_exchanged_step_by_step_and_all_of_it_is_recorded() {
    let house = House::new();
    house.good(&["init"]);
    assert_eq!(house.bad(&["ca", "switch"]).0, 1);
    assert_eq!(house.bad(&["ca", "retire"]).0, 1);
    let before = std::fs::read(house.path("data/ca/ca.pem")).unwrap();
    house.good(&["ca", "rotate"]);
    assert_eq!(house.bad(&["ca", "rotate"]).0, 1, "one at a time");
    house.good(&["ca", "withdraw"]);
    house.good(&["ca", "rotate"]);
    assert_eq!(mode(&house.path("data/ca/next.key")), 0o600);
    house.good(&["ca", "switch"]);
    assert_ne!(std::fs::read(house.path("data/ca/ca.pem")).unwrap(), before);
    assert_eq!(std::fs::read(house.path("data/ca/former.pem")).unwrap(), before);
    let shown = house.good(&["ca", "show", "--json"]);
    assert!(shown.contains("\"former\"") && shown.contains("\"issuing\""), "{shown}");
    house.good(&["ca", "retire"]);
    house.good(&["agent", "token", "a-1", "--out", "t"]);
    house.good(&["agent", "revoke", "a-1"]);
    house.good(&["user", "add", "joe", "--role", "expert", "--generate"]);
    house.good(&["user", "role", "joe", "manager"]);
    house.good(&["user", "passwd", "joe", "--generate"]);
    house.good(&["backup", "b.tar"]);
    let list = house.good(&["audit", "list", "--json"]);
    let rows: serde_json::Value = serde_json::from_str(&list).unwrap();
    let what: Vec<&str> =
        rows.as_array().unwrap().iter().map(|row| row["what"].as_str().unwrap()).collect();
    assert_eq!(
        what,
        [
            "initialised",
            "ca-announced",
            "ca-withdrawn",
            "ca-announced",
            "ca-switched",
            "ca-retired",
            "token-made",
            "revoked",
            "user-added",
            "role-changed",
            "password-set",
            "backed-up"
        ]
    );
    let verified = house.good(&["audit", "verify"]);
    assert!(verified.starts_with("12 entries, the chain is whole"), "{verified}");
    let head = verified.lines().last().unwrap().strip_prefix("head ").unwrap().to_owned();
    house.good(&["audit", "verify", "--noted", &head]);
    let other = format!("12:{}", "0".repeat(64));
    let (code, says) = house.bad(&["audit", "verify", "--noted", &other]);
    assert!(code == 1 && says.contains("tampered"), "{says}");
    assert_eq!(house.bad(&["audit", "verify", "--noted", "12"]).0, 2);
    house.good(&["audit", "export", "record.jsonl"]);
    assert_eq!(mode(&house.path("record.jsonl")), 0o600);
    let exported = std::fs::read_to_string(house.path("record.jsonl")).unwrap();
    assert_eq!(exported.lines().count(), 12);
    house.good(&["audit", "export", "--agent", "a-1", "a-1.jsonl"]);
    let of_agent = std::fs::read_to_string(house.path("a-1.jsonl")).unwrap();
    assert_eq!(of_agent.lines().count(), 2, "{of_agent}");
    let made =
        house.good(&["audit", "list", "--what", "token-made", "--from", "2026-01-01T00:00:00Z"]);
    assert!(made.contains("a-1") && !made.contains("revoked"), "{made}");
    let (code, says) = house.bad(&["audit", "list", "--what", "token-mad"]);
    assert!(code == 2 && says.contains("did you mean \"token-made\"?"), "{says}");
    let (code, says) = house.bad(&["audit", "list", "--to", "yesterday"]);
    assert!(code == 2 && says.contains("yesterday"), "{says}");
    // Secrets never get there.
    assert!(!exported.contains("argon2") && !exported.contains("secret"), "{exported}");
}

#[test]
fn exit_codes_of_usage_and_configuration() {
    let house = House::new();
    assert!(house.good(&["check"]).contains("good"));
    assert!(house.good(&["--help"]).contains("backup"));
    assert_eq!(house.bad(&["no-such-command"]).0, 2);
    house.write("[mqtt]\nmode = \"embeded\"\n");
    let (code, says) = house.bad(&["check"]);
    assert_eq!(code, 78);
    assert!(says.contains("c.toml:4:8") && says.contains("did you mean \"embedded\"?"), "{says}");
    assert_eq!(house.bad(&["serve"]).0, 78);
    std::fs::remove_file(house.path("c.toml")).unwrap();
    assert_eq!(house.bad(&["check"]).0, 78);
}

#[test]
fn one_serve_at_a_time_and_a_clean_end() {
    let house = House::new();
    house.write(
        "health_listen = \"\"\n[mqtt]\nlisten = \"127.0.0.1:0\"\n[https]\nlisten = \"127.0.0.1:0\"\n",
    );
    let (code, says) = house.bad(&["serve"]);
    assert!(code == 1 && says.contains("init"), "{says}");
    house.good(&["init"]);
    let mut child = Command::new(env!("CARGO_BIN_EXE_callhome-collector"))
        .arg("--config")
        .arg(house.path("c.toml"))
        .arg("serve")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = std::io::BufReader::new(child.stderr.take().unwrap());
    let mut first = String::new();
    while !first.contains("running") {
        first.clear();
        std::io::BufRead::read_line(&mut log, &mut first).unwrap();
        assert!(!first.is_empty(), "ended before it ran");
    }
    let (code, says) = house.bad(&["serve"]);
    assert!(code == 1 && says.contains("another"), "{says}");
    let killed = Command::new("kill").arg(child.id().to_string()).status().unwrap();
    assert!(killed.success());
    assert!(child.wait().unwrap().success());
}

#[test]
fn masters_are_imported_whole_or_not_at_all() {
    let house = House::new();
    house.good(&["init"]);
    let file = |name: &str, text: &[u8]| std::fs::write(house.path(name), text).unwrap();
    file("c.csv", "id,name\nbank,某银行\n".as_bytes());
    assert_eq!(
        house.good(&["masters", "import", "customers", "c.csv", "--dry-run"]),
        "customers: would be 1 new, 0 changed, 0 unchanged\n"
    );
    assert_eq!(house.good(&["masters", "export", "customers", "--format", "json"]), "[]\n");
    house.good(&["masters", "import", "customers", "c.csv"]);
    file("s.json", br#"[{"id":"SH-01","customer":"bank","time_zone":"asia/shanghai"}]"#);
    house.good(&["masters", "import", "sites", "s.json"]);
    let exported = house.good(&["masters", "export", "sites"]);
    assert_eq!(
        exported,
        "id,name,customer,address,time_zone,calendar,note,version\r\nSH-01,,bank,,Asia/Shanghai,,,1\r\n"
    );
    file("s.csv", exported.as_bytes());
    let again = house.good(&["masters", "import", "sites", "s.csv"]);
    assert_eq!(again, "sites: 0 new, 0 changed, 1 unchanged\n");
    file("bad.csv", b"id,customer,time_zone\nA,bank,UTC\nB,bnak,UTC\nC,bank,Asia/Shangai\n");
    let (code, says) = house.bad(&["masters", "import", "sites", "bad.csv"]);
    assert_eq!(code, 78, "{says}");
    assert!(says.contains("bad.csv:4:8: time_zone: expected an IANA time zone"), "{says}");
    file("bad.csv", b"id,customer\nA,bank\nB,bnak\n");
    let (code, says) = house.bad(&["masters", "import", "sites", "bad.csv"]);
    assert_eq!(code, 78, "{says}");
    assert!(says.contains("bad.csv:3:3: customer: there is no customer \"bnak\""), "{says}");
    assert!(says.contains("did you mean \"bank\"?"), "{says}");
    assert!(!house.good(&["masters", "list", "sites"]).contains("A  "), "nothing of it");
    file("gbk.csv", b"id,name\nx,\xd6\xd0\n");
    let (_, says) = house.bad(&["masters", "import", "customers", "gbk.csv"]);
    assert!(says.contains("gbk.csv:2: expected UTF-8"), "{says}");
    assert_eq!(house.bad(&["masters", "import", "customer", "c.csv"]).0, 2);
}
