//! A PKI that is not ours: the CA, every certificate and the revocation list are made by openssl; the
//! collector only verifies, the agents get their files from outside.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use callhome_tests::harness::process::{Process, run};
use callhome_tests::harness::world::{AGENT, Broker, Ports, Setup, World};
use callhome_tests::harness::{free_port, program, until};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(500);
const OTHER: &str = "site-2";

/// A CA as openssl keeps it.
struct Pki {
    dir: PathBuf,
}

impl Pki {
    async fn make(dir: &Path) -> Result<Option<Self>> {
        if !Path::new("/usr/bin/openssl").exists() {
            println!("SKIPPED: no openssl");
            return Ok(None);
        }
        std::fs::create_dir_all(dir)?;
        let pki = Pki { dir: dir.to_owned() };
        std::fs::write(dir.join("index.txt"), "")?;
        std::fs::write(dir.join("crlnumber"), "01\n")?;
        let config = format!(
            "[ca]\ndefault_ca = bank\n[bank]\ndatabase = {0}/index.txt\ncrlnumber = {0}/crlnumber\n\
             new_certs_dir = {0}\nrand_serial = yes\ndefault_md = sha256\ndefault_crl_days = 30\n\
             policy = any\ncertificate = {0}/ca.pem\nprivate_key = {0}/ca.key\nunique_subject = no\n\
             [any]\ncommonName = supplied\n[req]\ndistinguished_name = none\n[none]\n",
            dir.display()
        );
        std::fs::write(pki.at("openssl.cnf"), config)?;
        let made = [
            ["-x509", "-days", "3650", "-subj", "/CN=Bank Root"].as_slice(),
            &["-addext", "basicConstraints=critical,CA:TRUE"],
            &["-addext", "keyUsage=critical,keyCertSign,cRLSign"],
            &["-addext", "subjectKeyIdentifier=hash"],
        ];
        pki.request("ca", "ca.pem", &made.concat()).await?;
        pki.list().await?;
        Ok(Some(pki))
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn text(&self, name: &str) -> String {
        self.at(name).display().to_string()
    }

    async fn openssl(&self, args: &[&str]) -> Result<String> {
        run(Path::new("/usr/bin/openssl"), args, None).await
    }

    async fn request(&self, name: &str, out: &str, more: &[&str]) -> Result<()> {
        let (config, key) = (self.text("openssl.cnf"), self.text(&format!("{name}.key")));
        let out = self.text(out);
        let key_kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
        let mut args = vec!["req", "-config", &config, "-keyout", &key, "-out", &out];
        args.extend(key_kind);
        args.extend(more);
        self.openssl(&args).await.map(drop)
    }

    /// A certificate and key, `<name>.pem` and `<name>.key`, good from and to these, as `date` understands
    /// them.
    async fn issue(
        &self,
        (name, cn): (&str, &str),
        extensions: &str,
        from: &str,
        to: &str,
    ) -> Result<()> {
        let subject = format!("/CN={cn}");
        self.request(name, &format!("{name}.csr"), &["-subj", &subject]).await?;
        let file = self.text(&format!("{name}.ext"));
        std::fs::write(&file, extensions)?;
        let date = async |when: &str| -> Result<String> {
            let args = ["-u", "-d", when, "+%y%m%d%H%M%SZ"];
            Ok(run(Path::new("/bin/date"), &args, None).await?.trim().to_owned())
        };
        let (from, to) = (date(from).await?, date(to).await?);
        let (config, csr) = (self.text("openssl.cnf"), self.text(&format!("{name}.csr")));
        let out = self.text(&format!("{name}.pem"));
        let mut args = vec!["ca", "-config", &config, "-batch", "-notext", "-extfile", &file];
        args.extend(["-startdate", &from, "-enddate", &to, "-in", &csr, "-out", &out]);
        self.openssl(&args).await.map(drop)
    }

    async fn agent(&self, name: &str, id: &str) -> Result<()> {
        let extensions =
            format!("subjectAltName=URI:urn:callhome:agent:{id}\nextendedKeyUsage=clientAuth\n");
        self.issue((name, id), &extensions, "-1 day", "+300 days").await
    }

    async fn server(&self, name: &str, from: &str, to: &str) -> Result<()> {
        let extensions = "subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n";
        self.issue((name, "localhost"), extensions, from, to).await
    }

    /// Writes the revocation list anew, as a whole.
    async fn list(&self) -> Result<()> {
        let (config, new) = (self.text("openssl.cnf"), self.text("crl.new"));
        self.openssl(&["ca", "-config", &config, "-gencrl", "-out", &new]).await?;
        Ok(std::fs::rename(new, self.at("crl.pem"))?)
    }

    async fn revoke(&self, name: &str) -> Result<()> {
        let (config, certificate) = (self.text("openssl.cnf"), self.text(&format!("{name}.pem")));
        self.openssl(&["ca", "-config", &config, "-revoke", &certificate]).await?;
        self.list().await
    }

    /// Puts a pair where a program looks for it.
    fn give(&self, name: &str, place: &str) -> Result<()> {
        for end in ["key", "pem"] {
            let new = self.at("giving");
            std::fs::copy(self.at(&format!("{name}.{end}")), &new)?;
            std::fs::rename(new, self.at(&format!("{place}.{end}")))?;
        }
        Ok(())
    }
}

/// An agent beside the world's.
struct Other {
    config: String,
    process: Process,
}

impl Other {
    async fn start(world: &World, pki: &Pki) -> Result<Self> {
        let at = |name: &str| world.dir.join(name).display().to_string();
        let text = world
            .agent_toml("")
            .replace(&world.state_dir().display().to_string(), &at("other"))
            .replace(&world.control_socket().display().to_string(), &at("other.sock"))
            .replace(&format!(":{}\"", world.ports.agent_health), &format!(":{}\"", free_port()?))
            .replace(&pki.text("one."), &pki.text("two."));
        let (config, log) = (at("other.toml"), world.dir.join("other.log"));
        std::fs::write(&config, text)?;
        let program = program("callhome-agent")?;
        let args = ["--config", &config, "run"];
        let process = Process::start("other agent", &program, &args, &[], &log).await?;
        Ok(Other { config, process })
    }

    async fn cli(&self, args: &[&str]) -> Result<String> {
        let mut all = vec!["--config", self.config.as_str()];
        all.extend(args);
        run(&program("callhome-agent")?, &all, None).await
    }

    async fn status(&self) -> Result<Value> {
        Ok(serde_json::from_str(&self.cli(&["status", "--json"]).await?)?)
    }
}

async fn status(world: &World) -> Result<Value> {
    Ok(serde_json::from_str(&world.agent_cli(&["status", "--json"]).await?)?)
}

fn connected(status: &Value) -> bool {
    status["link"]["phase"] == "connected"
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn given_certificates_and_a_given_revocation_list_are_enough() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let Some(pki) = Pki::make(&dir.path().join("pki")).await? else { return Ok(()) };
    pki.server("server-1", "-355 days", "+5 days").await?;
    pki.agent("agent-1", AGENT).await?;
    pki.agent("agent-2", OTHER).await?;
    for (name, place) in [("server-1", "server"), ("agent-1", "one"), ("agent-2", "two")] {
        pki.give(name, place)?;
    }
    let ports = Ports::free()?;
    let certificates = format!(
        "[certificates]\nserver_certificate_file = \"{}\"\nserver_key_file = \"{}\"\ncrl_file = \"{}\"\n",
        pki.text("server.pem"),
        pki.text("server.key"),
        pki.text("crl.pem")
    );
    let setup = Setup {
        database: certificates,
        init: vec!["--ca-cert".to_owned(), pki.text("ca.pem")],
        agent_roads: vec![format!("mqtts://localhost:{}", ports.mqtt)],
        agent_collector: format!(
            "certificate_file = \"{}\"\nkey_file = \"{}\"\nca_file = \"{}\"\n",
            pki.text("one.pem"),
            pki.text("one.key"),
            pki.text("ca.pem")
        ),
        ..Setup::default()
    };
    let mut world =
        World::create_unusual(&dir.path().join("world"), Broker::Embedded, ports, setup).await?;
    for id in [AGENT, OTHER] {
        world.collector_cli(&["agent", "add", id]).await?;
    }
    let none = world.collector_cli(&["agent", "token", AGENT]).await;
    let none = format!("{:#}", none.err().context("it makes a token although it issues nothing")?);
    println!("a token: {}", none.lines().last().unwrap_or_default());
    std::fs::write(world.agent_config(), world.agent_toml(""))?;
    world.start_agent().await?;
    world.agent_ready().await?;
    let other = Other::start(&world, &pki).await?;
    until("the other one connected", PATIENCE, PAUSE, || async {
        Ok(other.status().await.ok().filter(connected).map(drop))
    })
    .await?;
    println!("{}{}", world.agent_cli(&["test"]).await?, other.cli(&["test"]).await?);

    servers_end(&world, &pki).await?;
    revoked_by_the_list(&world, &pki, &other).await?;
    other.process.stop(Duration::from_secs(20)).await?;
    world.stop().await
}

/// The server's certificate, which ends in five days, is a ticket until another one is there.
async fn servers_end(world: &World, pki: &Pki) -> Result<()> {
    let api = world.api().await?;
    let ticket = async |stands: bool| {
        until("the ticket", PATIENCE, PAUSE, || async {
            let all = api.all_tickets().await?;
            let found = all.into_iter().find(|t| t["type"] == "certificate-ending");
            Ok(found.filter(|t| t["condition_cleared_at"].is_null() == stands))
        })
        .await
    };
    let standing = ticket(true).await?;
    println!("{}: {}", standing["number"], standing["text"]);
    ensure!(standing["severity"] == "major" && standing["resource"] == "server", "{standing}");
    ensure!(standing["agent"] == "", "{standing}");
    pki.server("server-2", "-1 day", "+300 days").await?;
    pki.give("server-2", "server")?;
    let began = Instant::now();
    ticket(false).await?;
    println!("over {:?} after another one was there", began.elapsed());
    Ok(())
}

/// Who is on the list is cut off within a minute; the other one notices nothing; a new certificate mends it.
async fn revoked_by_the_list(world: &World, pki: &Pki, other: &Other) -> Result<()> {
    ensure!(connected(&status(world).await?), "cut off before");
    pki.revoke("agent-1").await?;
    let began = Instant::now();
    until("the revoked one cut", PATIENCE, PAUSE, || async {
        Ok((!connected(&status(world).await?)).then_some(()))
    })
    .await?;
    let took = began.elapsed();
    until("it stays out", PATIENCE, PAUSE, || async {
        let status = status(world).await?;
        ensure!(!connected(&status), "it came back: {status}");
        let failures = status["link"]["counts"]["failures"].as_u64().unwrap_or_default();
        Ok((failures >= 4).then_some(()))
    })
    .await?;
    let peace = other.status().await?;
    let counts = &peace["link"]["counts"];
    println!(
        "on the list: out after {took:.1?}; the other: {} connection, {} failures, {}",
        counts["connects"],
        counts["failures"],
        other.cli(&["test"]).await?.trim()
    );
    ensure!(took < Duration::from_secs(60), "took {took:?}");
    ensure!(counts["connects"] == 1 && counts["failures"] == 0, "{peace}");
    pki.agent("agent-3", AGENT).await?;
    pki.give("agent-3", "one")?;
    until("back with another certificate", PATIENCE, PAUSE, || async {
        Ok(connected(&status(world).await?).then_some(()))
    })
    .await
}
