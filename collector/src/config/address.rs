//! Addresses as people write them.

/// `host` and `port` of `<scheme>://host:port`; IPv6 hosts in brackets, given back without them.
pub(super) fn host_port(text: &str, scheme: &str) -> Option<(String, u16)> {
    let rest = text.strip_prefix(scheme)?.strip_prefix("://")?;
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let (host, port) = rest.rsplit_once(':')?;
    let port = port.parse().ok().filter(|p| *p > 0)?;
    let host = match host.strip_prefix('[') {
        Some(v6) => v6.strip_suffix(']').filter(|h| h.parse::<std::net::Ipv6Addr>().is_ok())?,
        None => Some(host).filter(|h| is_name(h))?,
    };
    Some((host.to_owned(), port))
}

/// A host name or an IP address.
pub(super) fn is_host(text: &str) -> bool {
    text.parse::<std::net::IpAddr>().is_ok() || is_name(text)
}

/// `<scheme>://host:port`, IPv6 in brackets.
pub(super) fn url(scheme: &str, host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("{scheme}://[{host}]:{port}")
    } else {
        format!("{scheme}://{host}:{port}")
    }
}

fn is_name(text: &str) -> bool {
    let label = |l: &str| {
        (1..=63).contains(&l.len())
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !l.starts_with('-')
            && !l.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(label)
}

/// PostgreSQL's URL with the password filled in. `None`: it is no such URL.
pub(super) fn postgres_url(url: &str, password: Option<&str>) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    if scheme != "postgres" && scheme != "postgresql" || rest.is_empty() {
        return None;
    }
    let Some(password) = password else { return Some(url.to_owned()) };
    let (user, host) = rest.split_once('@')?;
    Some(format!("{scheme}://{user}:{}@{host}", percent(password)))
}

/// Whether a PostgreSQL URL carries a password itself.
pub(super) fn has_password(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'))
}

fn percent(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for b in text.bytes() {
        if b.is_ascii_alphanumeric() || b"-._~".contains(&b) {
            out.push(char::from(b));
        } else {
            out.push_str(&format!("%{b:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        assert_eq!(host_port("mqtts://a.b:1", "mqtts"), Some(("a.b".into(), 1)));
        assert_eq!(host_port("mqtts://[::1]:88", "mqtts"), Some(("::1".into(), 88)));
        assert_eq!(url("mqtts", "::1", 88), "mqtts://[::1]:88");
        for bad in ["mqtt://a:1", "mqtts://a", "mqtts://a:0", "mqtts://a_:1", "mqtts://:1", "x"] {
            assert_eq!(host_port(bad, "mqtts"), None, "{bad}");
        }
        assert_eq!(
            postgres_url("postgres://u@h/d", Some("p@/ü")).as_deref(),
            Some("postgres://u:p%40%2F%C3%BC@h/d")
        );
        assert_eq!(postgres_url("mysql://x", None), None);
        assert_eq!(postgres_url("postgres:///d?host=/run", Some("x")), None);
        assert!(has_password("postgres://u:p@h/d") && !has_password("postgres://u@h:5432/d"));
    }
}
