//! Name, TCP connection, and the proxy's tunnel.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use super::proxy;
use crate::link::Failure;
use crate::settings::Road;

/// For the name server.
const DNS_TIMEOUT: Duration = Duration::from_secs(10);
/// For one address; the next one is tried after it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(8);
/// Addresses of one name that are tried.
const MAX_ADDRESSES: usize = 4;

/// A TCP connection to the collector, and the address it goes to (the proxy's, where there is one).
pub(super) async fn open(road: &Road) -> Result<(TcpStream, SocketAddr), Failure> {
    let Some(proxy) = &road.proxy else {
        return connect(&road.host, road.port).await;
    };
    let (stream, address) =
        connect(&proxy.host, proxy.port).await.map_err(|failure| match failure {
            Failure::Dns { host, why } => Failure::Dns { host: format!("proxy {host}"), why },
            Failure::Timeout(_) => Failure::Timeout("no answer of the proxy"),
            other => Failure::Proxy(format!("{proxy}: {other}")),
        })?;
    Ok((proxy::tunnel(stream, proxy, road).await?, address))
}

/// The name's addresses, in the resolver's order, until one answers.
async fn connect(host: &str, port: u16) -> Result<(TcpStream, SocketAddr), Failure> {
    let dns = |why: String| Failure::Dns { host: host.to_owned(), why };
    // The name is resolved apart: only so can a DNS failure be told from a refused connection.
    let found = timeout(DNS_TIMEOUT, tokio::net::lookup_host((host, port)))
        .await
        .map_err(|_| dns("no answer in time".into()))?
        .map_err(|e| dns(e.to_string()))?;
    let mut last = dns("no address".into());
    for address in found.take(MAX_ADDRESSES) {
        match timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // Else the next publish waits up to 40 ms for the delayed TCP acknowledgement of
                // the one before.
                let _ = stream.set_nodelay(true);
                return Ok((stream, address));
            }
            Ok(Err(e)) => last = Failure::Connect(format!("{address}: {e}")),
            Err(_) => last = Failure::Timeout("no answer to the TCP connection"),
        }
    }
    Err(last)
}
