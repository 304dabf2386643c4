//! A PostgreSQL server of our own: a temporary directory, a Unix socket, no port, no user's data.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::{AssertSqlSafe, Connection, PgConnection};

pub(super) struct Server {
    dir: PathBuf,
    bin: PathBuf,
    databases: AtomicU32,
}

/// PostgreSQL refuses to run as root: then its own user runs it.
fn command(program: &Path) -> Command {
    let root = std::fs::metadata("/proc/self").is_ok_and(|m| {
        use std::os::unix::fs::MetadataExt;
        m.uid() == 0
    });
    let mut command = if root { Command::new("runuser") } else { Command::new(program) };
    if root {
        command.args(["-u", "postgres", "--"]).arg(program);
    }
    command.current_dir("/");
    command
}

fn say(mut command: Command) -> String {
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

fn newest_bin() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let bins = versions.flatten().map(|v| v.path().join("bin"));
    bins.filter(|bin| bin.join("initdb").exists()).max()
}

impl Server {
    /// `None`, saying so, where PostgreSQL is not installed.
    pub(super) fn start() -> Option<Self> {
        let Some(bin) = newest_bin() else {
            println!("SKIPPED: no PostgreSQL under /usr/lib/postgresql");
            return None;
        };
        let mut mktemp = command(Path::new("mktemp"));
        mktemp.args(["-d", "-t", "callhome-pg-XXXXXX"]);
        let dir = PathBuf::from(say(mktemp).trim());
        let server = Server { dir, bin, databases: AtomicU32::new(0) };
        let mut initdb = command(&server.bin.join("initdb"));
        initdb.args(["-A", "trust", "-U", "callhome", "-N", "-E", "UTF8", "--locale=C", "-D"]);
        initdb.arg(server.dir.join("data"));
        say(initdb);
        let options = format!("-k {} -c listen_addresses= -c fsync=off", server.dir.display());
        let mut start = server.pg_ctl();
        start.args(["-w", "-o", &options, "-l"]).arg(server.dir.join("log")).arg("start");
        let done = start.stdout(std::process::Stdio::null()).status().unwrap();
        assert!(done.success(), "pg_ctl start");
        Some(server)
    }

    fn pg_ctl(&self) -> Command {
        let mut command = command(&self.bin.join("pg_ctl"));
        command.arg("-D").arg(self.dir.join("data"));
        command
    }

    fn url(&self, database: &str) -> String {
        let host = self.dir.display().to_string().replace('/', "%2F");
        format!("postgres://callhome@{host}/{database}")
    }

    /// The URL of an empty database.
    pub(super) async fn new_database(&self) -> String {
        let name = format!("t{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let mut connection = PgConnection::connect(&self.url("postgres")).await.unwrap();
        let sql = format!("CREATE DATABASE {name}");
        sqlx::query(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        self.url(&name)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let mut stop = self.pg_ctl();
        stop.args(["-m", "immediate", "stop"]).stdout(std::process::Stdio::null());
        let _ = stop.status();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}
