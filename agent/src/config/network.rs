//! Addresses as people write them.

use std::net::{IpAddr, Ipv6Addr};

use crate::settings::{Road, RoadKind};

/// The path of MQTT in a WebSocket unless the URL has one.
const WEBSOCKET_PATH: &str = "/mqtt";

/// A road without its proxy: `mqtts://host[:8883]`, `wss://host[:443][/mqtt]`, `https://host[:443]`.
/// The error says what was expected.
pub(super) fn road(text: &str) -> Result<Road, &'static str> {
    let expected = "expected mqtts://host:port, wss://host:port/mqtt or https://host:port";
    let (scheme, rest) = text.split_once("://").ok_or(expected)?;
    let (kind, usual) = match scheme {
        "mqtts" => (RoadKind::Mqtt, 8883),
        "wss" => (RoadKind::WebSocket, 443),
        "https" => (RoadKind::Post, 443),
        "mqtt" | "ws" | "http" => return Err("expected TLS: mqtts://, wss:// or https://"),
        _ => return Err(expected),
    };
    let (place, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    if place.contains('@') {
        return Err("expected no user in the URL: the agent shows its certificate");
    }
    let (host, port) = host_port(place, usual).ok_or(expected)?;
    let path = match (kind, path) {
        (RoadKind::WebSocket, "" | "/") => WEBSOCKET_PATH,
        (RoadKind::WebSocket, path) if is_path(path) => path,
        (RoadKind::WebSocket, _) => return Err("expected a path of letters, digits and -._~/"),
        (_, "" | "/") => "",
        _ => return Err("expected nothing behind host:port"),
    };
    Ok(Road { kind, host, port, path: path.to_owned(), proxy: None })
}

/// `http://host[:3128]`. The error says what was expected.
pub(super) fn proxy(text: &str) -> Result<(String, u16), &'static str> {
    let expected = "expected http://host:port";
    if text.starts_with("https://") || text.starts_with("socks") {
        return Err("expected http://host:port: what goes through the proxy is encrypted anyway");
    }
    let place = text.strip_prefix("http://").ok_or(expected)?;
    let place = place.strip_suffix('/').unwrap_or(place);
    if place.contains('@') {
        return Err("expected no user in the URL: proxy_user and proxy_password_file are for that");
    }
    host_port(place, 3128).ok_or(expected)
}

fn is_path(path: &str) -> bool {
    path.len() <= 200
        && path
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~' | b'/'))
}

/// `host`, `host:port`, `[v6]:port` or a bare address, for a datagram service with a usual port.
pub(super) fn host_port(text: &str, usual: u16) -> Option<(String, u16)> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some((address.to_string(), usual));
    }
    if let Some(v6) = text.strip_prefix('[') {
        let (host, rest) = v6.split_once(']')?;
        let port = match rest {
            "" => usual,
            rest => rest.strip_prefix(':')?.parse().ok().filter(|p| *p > 0)?,
        };
        return host.parse::<Ipv6Addr>().ok().map(|host| (host.to_string(), port));
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().ok().filter(|p| *p > 0)?),
        None => (text, usual),
    };
    is_host(host).then(|| (host.to_owned(), port))
}

/// A host name or an IPv4 address.
fn is_host(text: &str) -> bool {
    let label = |l: &str| {
        (1..=63).contains(&l.len())
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !l.starts_with('-')
            && !l.ends_with('-')
    };
    text.len() <= 253 && text.strip_suffix('.').unwrap_or(text).split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let url = |text: &str| road(text).map(|road| road.url());
        for (text, same) in [
            ("mqtts://c.example", "mqtts://c.example:8883"),
            ("mqtts://127.0.0.1:1/", "mqtts://127.0.0.1:1"),
            ("mqtts://[2001:db8::1]", "mqtts://[2001:db8::1]:8883"),
            ("wss://c.example", "wss://c.example:443/mqtt"),
            ("wss://c.example:8443/x/mqtt", "wss://c.example:8443/x/mqtt"),
            ("https://c.example/", "https://c.example:443"),
        ] {
            assert_eq!(url(text).as_deref(), Ok(same));
        }
        for bad in [
            "mqtt://c",
            "c:1",
            "mqtts://",
            "mqtts://c:0",
            "mqtts://a b:1",
            "mqtts://[::1:1",
            "https://c/path",
            "wss://c/a?b",
            "https://u:p@c",
            "ftp://c",
            "wss://c/ä",
        ] {
            assert!(road(bad).is_err(), "{bad}");
        }
        assert_eq!(proxy("http://p"), Ok(("p".into(), 3128)));
        assert_eq!(proxy("http://[::1]:8080/"), Ok(("::1".into(), 8080)));
        for bad in ["p:3128", "https://p:3128", "http://u:p@p:1", "http://p:1/x", "socks5://p:1"] {
            assert!(proxy(bad).is_err(), "{bad}");
        }
        for (text, host, port) in [
            ("192.0.2.1", "192.0.2.1", 161),
            ("192.0.2.1:1161", "192.0.2.1", 1161),
            ("[2001:db8::1]:1161", "2001:db8::1", 1161),
            ("2001:db8::1", "2001:db8::1", 161),
            ("array-1.example", "array-1.example", 161),
        ] {
            assert_eq!(host_port(text, 161), Some((host.into(), port)), "{text}");
        }
        for bad in ["", "a b", "a:b", "a:0", "a:70000", "[::1", "[x]:1"] {
            assert_eq!(host_port(bad, 161), None, "{bad}");
        }
    }
}
