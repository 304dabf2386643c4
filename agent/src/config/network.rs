//! Addresses as people write them.

use std::net::{IpAddr, Ipv6Addr};

/// `mqtts://host:port`; without a port, 8883. The error says what is wrong.
pub(super) fn mqtt(text: &str) -> Result<(String, u16), &'static str> {
    let expected = "expected mqtts://host:port";
    let rest = text.strip_prefix("mqtts://").ok_or(expected)?;
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.starts_with('[') || rest.parse::<Ipv6Addr>().is_ok() {
        return Err(
            "an IPv6 address cannot be used here: give it a name, for instance in /etc/hosts",
        );
    }
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().ok().filter(|p| *p > 0).ok_or(expected)?),
        None => (rest, 8883),
    };
    if is_host(host) { Ok((host.to_owned(), port)) } else { Err(expected) }
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
        assert_eq!(mqtt("mqtts://c.example"), Ok(("c.example".into(), 8883)));
        assert_eq!(mqtt("mqtts://127.0.0.1:1/"), Ok(("127.0.0.1".into(), 1)));
        for bad in
            ["mqtt://c", "c:1", "mqtts://", "mqtts://c:0", "mqtts://a b:1", "mqtts://[::1]:1"]
        {
            assert!(mqtt(bad).is_err(), "{bad}");
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
