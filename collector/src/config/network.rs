//! `[mqtt]` and `[https]`: where things listen, by which addresses they are reached, and their limits.

use std::net::SocketAddr;
use std::ops::RangeInclusive;

use callhome_shared::config_error::did_you_mean;
use callhome_shared::limits::MAX_PACKET_BYTES;
use toml::Spanned;

use super::address;
use super::check::{Checker, Text, or};
use super::written;
use crate::api::pace::RequestLimits;
use crate::broker::Limits;
use crate::broker::places::PlaceLimits;
use crate::settings::{Https, Mqtt};

impl Checker<'_> {
    pub(super) fn mqtt(
        &mut self,
        written: &written::Mqtt,
        first_name: &str,
        name: &str,
    ) -> (Mqtt, String) {
        let mode = or(&written.mode, "embedded");
        if mode == "external" {
            return self.external(written, name);
        }
        if let Some(mode) = written.mode.as_ref().filter(|m| m.get_ref() != "embedded") {
            let found = mode.get_ref();
            let message =
                format!("mqtt.mode: expected \"embedded\" or \"external\", found {found:?}");
            self.problem(mode.span(), message).hint = did_you_mean(found, ["embedded", "external"]);
        } else if let Some(address) = &written.address {
            let message = "mqtt.address: only with mode = \"external\"";
            self.problem(address.span(), message);
        } else if let Some(provision) = &written.provision {
            let message = "mqtt.provision: only with mode = \"external\"";
            self.problem(provision.span(), message);
        }
        let listen = self.listen(&written.listen, "0.0.0.0:8883");
        let mqtt = Mqtt::Embedded { listen, limits: self.broker_limits(written) };
        let default = address::url("mqtts", first_name, listen.port());
        (mqtt, self.public(&written.public_address, "mqtts", default))
    }

    fn external(&mut self, written: &written::Mqtt, name: &str) -> (Mqtt, String) {
        let only_embedded = [
            ("listen", written.listen.as_ref().map(Spanned::span)),
            ("max_connections", written.max_connections.as_ref().map(Spanned::span)),
            ("max_rate_per_agent", written.max_rate_per_agent.as_ref().map(Spanned::span)),
            ("max_bytes_per_agent", written.max_bytes_per_agent.as_ref().map(Spanned::span)),
            (
                "max_connections_per_source",
                written.max_connections_per_source.as_ref().map(Spanned::span),
            ),
            (
                "max_connects_per_source",
                written.max_connects_per_source.as_ref().map(Spanned::span),
            ),
        ];
        for (key, span) in only_embedded {
            if let Some(span) = span {
                self.problem(span, format!("mqtt.{key}: only with mode = \"embedded\""));
            }
        }
        let found = written.address.as_ref().map(|a| address::host_port(a.get_ref(), "mqtts"));
        let (host, port) = match found {
            Some(Some(found)) => found,
            Some(None) => {
                let span = written.address.as_ref().map(Spanned::span).unwrap_or_default();
                self.problem(span, "mqtt.address: expected mqtts://host:port");
                (String::new(), 0)
            }
            None => {
                let span = written.mode.as_ref().map(Spanned::span).unwrap_or_default();
                self.problem(
                    span,
                    "mode = \"external\" needs mqtt.address = \"mqtts://host:port\"",
                );
                (String::new(), 0)
            }
        };
        let default = address::url("mqtts", &host, port);
        let provision = self.provision(written, name);
        let public = self.public(&written.public_address, "mqtts", default);
        (Mqtt::External { host, port, provision }, public)
    }

    fn provision(&mut self, written: &written::Mqtt, name: &str) -> bool {
        let Some(provision) = &written.provision else { return false };
        match provision.get_ref().as_str() {
            "none" => false,
            // X.520 allows 64 characters in the administrator's name, `<name>.admin`.
            "dynamic-security" if name.len() > 58 => {
                let message = "mqtt.provision: needs a collector.name of at most 58 characters";
                self.problem(provision.span(), message);
                false
            }
            "dynamic-security" => true,
            found => {
                let known = ["none", "dynamic-security"];
                let hint = did_you_mean(found, known);
                let message = format!(
                    "mqtt.provision: expected \"none\" or \"dynamic-security\", found {found:?}"
                );
                self.problem(provision.span(), message).hint = hint;
                false
            }
        }
    }

    pub(super) fn https(&mut self, written: &written::Https, first_name: &str) -> Https {
        let listen = self.listen(&written.listen, "0.0.0.0:8443");
        let default = address::url("https", first_name, listen.port());
        let numbers = [
            &written.max_connections,
            &written.max_connections_per_source,
            &written.max_connects_per_source,
        ];
        Https {
            listen,
            public_url: self.public(&written.public_url, "https", default),
            places: self.places("https", numbers, 1024),
            requests: self.requests(written),
        }
    }

    fn requests(&mut self, written: &written::Https) -> RequestLimits {
        let (range, usual) = (1..=1_000_000, RequestLimits::default());
        let (user, source) = (&written.max_requests_per_user, &written.max_requests_per_source);
        let per_user =
            self.number(user, "https.max_requests_per_user", usual.per_user, range.clone());
        let per_source =
            self.number(source, "https.max_requests_per_source", usual.per_source, range);
        RequestLimits { per_user, per_source }
    }

    fn broker_limits(&mut self, written: &written::Mqtt) -> Limits {
        let numbers = [
            &written.max_connections,
            &written.max_connections_per_source,
            &written.max_connects_per_source,
        ];
        let places = self.places("mqtt", numbers, 1000);
        let rate = &written.max_rate_per_agent;
        let bytes = &written.max_bytes_per_agent;
        Limits {
            places,
            max_rate_per_agent: self.number(rate, "mqtt.max_rate_per_agent", 200, 1..=1_000_000),
            // Less would hold a connection back for longer than its keep-alive.
            max_bytes_per_agent: self.number(
                bytes,
                "mqtt.max_bytes_per_agent",
                1024 * 1024,
                MAX_PACKET_BYTES.into()..=1_000_000_000,
            ),
        }
    }

    /// `max_connections`, `max_connections_per_source` and `max_connects_per_source` of a table.
    fn places(
        &mut self,
        table: &str,
        [in_all, per_source, pace]: [&Option<Spanned<i64>>; 3],
        default: usize,
    ) -> PlaceLimits {
        const ANY: RangeInclusive<i64> = 1..=1_000_000;
        let key = |name: &str| format!("{table}.{name}");
        let in_all = self.number(in_all, &key("max_connections"), default, ANY);
        let quarter = (in_all / 4).max(8);
        let per_source = self.number(per_source, &key("max_connections_per_source"), quarter, ANY);
        let pace = self.number(pace, &key("max_connects_per_source"), 40, ANY);
        PlaceLimits { in_all, per_source, pace_per_source: pace }
    }

    fn public(&mut self, written: &Text, scheme: &str, default: String) -> String {
        let Some(text) = written else { return default };
        match address::host_port(text.get_ref(), scheme) {
            Some((host, port)) => address::url(scheme, &host, port),
            None => {
                let found = text.get_ref();
                let message = format!("expected {scheme}://host:port, found {found:?}");
                self.problem(text.span(), message);
                default
            }
        }
    }

    pub(super) fn listen(&mut self, written: &Text, default: &str) -> SocketAddr {
        let text = or(written, default);
        match text.parse() {
            Ok(address) => address,
            Err(_) => {
                let span = written.as_ref().map(Spanned::span).unwrap_or_default();
                let message =
                    format!("expected an IP address and port such as {default}, found {text:?}");
                self.problem(span, message);
                SocketAddr::from(([127, 0, 0, 1], 0))
            }
        }
    }

    pub(super) fn different_ports(
        &mut self,
        file: &written::File,
        mqtt: &Mqtt,
        https: &Https,
        health: Option<SocketAddr>,
    ) {
        let span = |text: &Text| text.as_ref().map(Spanned::span);
        let mut taken: Vec<(&str, SocketAddr)> = vec![("https.listen", https.listen)];
        let mqtt = match mqtt {
            Mqtt::Embedded { listen, .. } => Some(*listen),
            Mqtt::External { .. } => None,
        };
        let others = [
            ("mqtt.listen", mqtt, span(&file.mqtt.listen)),
            ("collector.health_listen", health, span(&file.collector.health_listen)),
        ];
        for (key, address, span) in others {
            let Some(address) = address else { continue };
            let clash = taken.iter().find(|(_, t)| overlap(*t, address)).map(|(name, _)| *name);
            if let Some(other) = clash {
                let place = span.or_else(|| file.https.listen.as_ref().map(Spanned::span));
                self.problem(
                    place.unwrap_or_default(),
                    format!("{key} and {other} are the same address {address}"),
                );
            }
            taken.push((key, address));
        }
    }
}

/// Whether both cannot be listened on at the same time. Port 0 is any free port.
fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    a.port() == b.port()
        && a.port() != 0
        && (a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified())
}
