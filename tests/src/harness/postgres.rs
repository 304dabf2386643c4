//! A PostgreSQL server of the test's own: a fresh cluster on a Unix socket and a random port.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::Signal;

use super::process::{Process, run};
use super::{free_port, is_root, until};

/// A running server.
pub struct Server {
    /// `postgres://postgres@127.0.0.1:PORT/postgres`.
    pub url: String,
    process: Option<Process>,
    program: PathBuf,
    args: Vec<String>,
    log: PathBuf,
    port: u16,
}

impl Server {
    /// Whether the programs are there.
    pub fn is_installed() -> bool {
        programs().is_some()
    }

    /// Starts one below `dir`; `None` where the programs are not installed.
    pub async fn start(dir: &Path) -> Result<Option<Self>> {
        let Some(bin) = programs() else { return Ok(None) };
        let data = dir.join("pg");
        std::fs::create_dir_all(&data)?;
        // The server refuses to run as root: another user must own and reach the folder.
        if is_root() {
            run(Path::new("chown"), &["-R", "postgres", &dir.display().to_string()], None).await?;
            run(Path::new("chmod"), &["755", &dir.display().to_string()], None).await?;
        }
        let data = data.display().to_string();
        let (program, args) = as_postgres(
            &bin.join("initdb"),
            &["-D", &data, "-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-sync"],
        );
        run(&program, &args, None).await?;
        let port = free_port()?;
        let port_text = port.to_string();
        let (program, args) = as_postgres(
            &bin.join("postgres"),
            &[
                "-D",
                &data,
                "-p",
                &port_text,
                "-c",
                "listen_addresses=127.0.0.1",
                "-c",
                "unix_socket_directories=",
            ],
        );
        let url = format!("postgres://postgres@127.0.0.1:{port}/postgres");
        let log = dir.join("postgres.log");
        let mut server = Server { url, process: None, program, args, log, port };
        server.run().await?;
        Ok(Some(server))
    }

    async fn run(&mut self) -> Result<()> {
        let process = Process::start("postgres", &self.program, &self.args, &[], &self.log).await?;
        self.process = Some(process);
        let port = self.port;
        until("PostgreSQL", Duration::from_secs(20), Duration::from_millis(100), || async move {
            Ok(tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok().map(drop))
        })
        .await
        .context("PostgreSQL does not listen")?;
        tokio::time::sleep(Duration::from_millis(500)).await;
        Ok(())
    }

    /// `pg_ctl stop -m immediate`, a pause, and a start: connections break, the server recovers from
    /// its log.
    pub async fn restart_immediately(&mut self, pause: Duration) -> Result<()> {
        if let Some(process) = self.process.take() {
            process.end(Signal::QUIT, Duration::from_secs(20)).await?;
        }
        tokio::time::sleep(pause).await;
        self.run().await
    }

    /// Ends it.
    pub async fn stop(self) -> Result<()> {
        match self.process {
            Some(process) => process.kill9().await.map(drop),
            None => Ok(()),
        }
    }
}

fn programs() -> Option<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .ok()?
        .flatten()
        .map(|e| e.path().join("bin"))
        .filter(|b| b.join("initdb").is_file() && b.join("postgres").is_file())
        .collect();
    found.sort();
    found.pop()
}

fn as_postgres(program: &Path, args: &[&str]) -> (PathBuf, Vec<String>) {
    let mut all: Vec<String> = args.iter().map(|a| (*a).to_owned()).collect();
    if !is_root() {
        return (program.to_owned(), all);
    }
    // setpriv executes in place: killing it kills the server.
    let mut wrapped =
        ["--reuid=postgres", "--regid=postgres", "--init-groups"].map(String::from).to_vec();
    wrapped.push(program.display().to_string());
    wrapped.append(&mut all);
    ("/usr/bin/setpriv".into(), wrapped)
}
