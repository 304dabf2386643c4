//! The floor: what the same payload costs at least on this machine, part by part: one synced write, one
//! TLS round trip on loopback with both certificates, one durable commit.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use callhome_shared::tls::{self, ClientAuth, Identity};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// About the size of an alarm with its evidence.
const PAYLOAD: usize = 1400;

/// Measures and prints.
pub async fn measure(dir: &Path, rounds: usize) -> Result<()> {
    let payload = vec![b'x'; PAYLOAD];
    let mut file = File::create(dir.join("floor.log"))?;
    let mut written = Vec::with_capacity(rounds);
    let mut trips = Vec::with_capacity(rounds);
    let mut commits = Vec::with_capacity(rounds);
    let mut totals = Vec::with_capacity(rounds);
    let (mut reader, mut writer) = connection().await?;
    let database = database(dir).await?;
    let mut answer = vec![0_u8; PAYLOAD];
    for n in 0..rounds {
        let start = Instant::now();
        file.write_all(&payload)?;
        file.sync_data()?;
        written.push(ms(start));
        let trip = Instant::now();
        writer.write_all(&payload).await?;
        writer.flush().await?;
        reader.read_exact(&mut answer).await?;
        trips.push(ms(trip));
        let commit = Instant::now();
        insert(&database, n, &answer).await?;
        commits.push(ms(commit));
        totals.push(ms(start));
    }
    println!("floor, {PAYLOAD} bytes:");
    println!("  {}", super::row("write + fdatasync", written));
    println!("  {}", super::row("TLS round trip, both certificates", trips));
    println!("  {}", super::row("SQLite commit, synchronous=FULL", commits));
    println!("  {}", super::row("all three", totals));
    Ok(())
}

fn ms(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1000.0
}

type Stream = tokio_rustls::client::TlsStream<tokio::net::TcpStream>;

/// A mutual-TLS connection to an echo server in this process.
async fn connection() -> Result<(tokio::io::ReadHalf<Stream>, tokio::io::WriteHalf<Stream>)> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    let leaf = |name: &str| -> Result<Identity> {
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new([name.to_owned()])?.signed_by(&key, &ca)?;
        Identity::from_pem(certificate.pem().as_bytes(), key.serialize_pem().as_bytes())
            .map_err(Into::into)
    };
    let roots = tls::read_certificates(ca.pem().as_bytes())?;
    let clients = ClientAuth::Required(roots.clone(), Vec::new());
    let server = Arc::new(tls::server_config(leaf("localhost")?, clients)?);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let addr = listener.local_addr()?;
    tokio::spawn(async move {
        let (tcp, _) = listener.accept().await?;
        tcp.set_nodelay(true)?;
        let stream = tokio_rustls::TlsAcceptor::from(server).accept(tcp).await?;
        let (mut from, mut to) = tokio::io::split(stream);
        tokio::io::copy(&mut from, &mut to).await
    });
    let client = Arc::new(tls::client_config(&roots, Some(leaf("client")?))?);
    let tcp = tokio::net::TcpStream::connect(addr).await?;
    tcp.set_nodelay(true)?;
    let stream =
        tokio_rustls::TlsConnector::from(client).connect("localhost".try_into()?, tcp).await?;
    Ok(tokio::io::split(stream))
}

async fn database(dir: &Path) -> Result<sqlx::SqlitePool> {
    use sqlx::sqlite::{
        SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
    };
    let options = SqliteConnectOptions::new()
        .filename(dir.join("floor.db"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full);
    let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await?;
    sqlx::query("CREATE TABLE t (id INTEGER PRIMARY KEY, body BLOB)").execute(&pool).await?;
    Ok(pool)
}

async fn insert(pool: &sqlx::SqlitePool, n: usize, body: &[u8]) -> Result<()> {
    sqlx::query("INSERT INTO t (id, body) VALUES ($1, $2)")
        .bind(i64::try_from(n)?)
        .bind(body)
        .execute(pool)
        .await
        .context("insert")?;
    Ok(())
}
