//! Syslog listeners: where they listen, whom they know, what the messages mean.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use callhome_shared::alarm::Device;
use callhome_shared::config_error::did_you_mean;
use callhome_shared::tls::{Identity, read_certificates};
use jiff::tz::TimeZone;

use super::check::Checker;
use super::network;
use super::written::{self, Syslog, Text, Unknown};
use crate::settings::{SourceSettings, SourceSpec};
use crate::source::origins::{OriginSettings, Origins, Prefix, Sender};
use crate::source::senders::Limits;
use crate::source::syslog::{Catalogues, SyslogSettings, TlsFiles, catalogue_names, parse_zone};

/// Readings of every message.
const LINE: &str = "line";
/// The port of polled devices that name none; only their host counts here.
const SNMP_PORT: u16 = 161;

impl Checker<'_> {
    pub(super) fn syslog(
        &mut self,
        file: &written::File,
        written: &Syslog,
        at: &str,
    ) -> Option<SourceSettings> {
        let mut own = Vec::new();
        self.patterns(&written.pattern, LINE, at, &mut own);
        self.silence(&written.silence, LINE, &mut own);
        let listen = |checker: &mut Self, texts: &[Text], key: &str| -> Vec<SocketAddr> {
            let each = |(i, text)| checker.listen(text, &format!("{at}.{key}[{}]", i + 1));
            texts.iter().enumerate().filter_map(each).collect()
        };
        let (udp, tcp) = (listen(self, &written.udp, "udp"), listen(self, &written.tcp, "tcp"));
        let tls = listen(self, &written.tls, "tls");
        if written.udp.is_empty() && written.tcp.is_empty() && written.tls.is_empty() {
            let message =
                format!("{at}: expected udp, tcp or tls, for instance udp = [\"0.0.0.0:514\"]");
            self.problem(written.name.span(), message);
        }
        let identity = self.tls_files(written, at);
        let (origins, zones) = self.origins(file, written, at);
        let zone =
            written.time_zone.as_ref().and_then(|z| self.zone(z, &format!("{at}.time_zone")));
        let catalogues = self.catalogues(written, at)?;
        let (name, device) = self.name_and_device(&written.name, &written.device, at);
        let every_line = !own.is_empty();
        let rules = own.into_iter().map(Arc::new).chain(catalogues.rules().iter().cloned());
        let rules = rules.collect();
        let spec = SourceSpec::Syslog(Box::new(SyslogSettings {
            udp,
            tcp,
            tls,
            identity,
            max_line_bytes: written.max_line_bytes,
            connections: written.connections,
            limits: Limits {
                per_s: f64::from(written.rate_per_s),
                burst: f64::from(written.burst),
                table: written.senders,
            },
            origins: Origins::new(origins),
            zone,
            zones,
            unknown: written.unknown == Unknown::Listener,
            catalogues,
            every_line,
        }));
        Some(SourceSettings { name, device, rules, spec })
    }

    fn listen(&mut self, text: &Text, key: &str) -> Option<SocketAddr> {
        let address = text.get_ref().parse();
        if address.is_err() {
            let message = format!(
                "{key}: expected an IP address and port such as 0.0.0.0:514 or [::]:514, found {:?}",
                text.get_ref()
            );
            self.problem(text.span(), message);
        }
        address.ok()
    }

    fn tls_files(&mut self, written: &Syslog, at: &str) -> Option<TlsFiles> {
        let files = (&written.certificate_file, &written.key_file);
        match files {
            (None, None) => {
                if let Some(first) = written.tls.first() {
                    let message = format!("{at}.tls: needs certificate_file and key_file");
                    self.problem(first.span(), message);
                }
                if let Some(ca) = &written.client_ca_file {
                    let message =
                        format!("{at}.client_ca_file: needs certificate_file and key_file");
                    self.problem(ca.span(), message);
                }
                None
            }
            (Some(one), None) | (None, Some(one)) => {
                let message = format!("{at}: expected both certificate_file and key_file");
                self.problem(one.span(), message);
                None
            }
            (Some(certificate), Some(key)) => {
                if written.tls.is_empty() {
                    let message = format!("{at}.certificate_file: only together with tls");
                    self.problem(certificate.span(), message);
                }
                let chain = self.pem(certificate, &format!("{at}.certificate_file"));
                let key_text = self.pem(key, &format!("{at}.key_file"));
                if let (Some(chain), Some(key_text)) = (chain, key_text) {
                    match Identity::from_pem(chain.as_bytes(), key_text.as_bytes()) {
                        Ok(identity) if identity.is_pair() => {}
                        Ok(_) => {
                            let message = format!("{at}.key_file: not the key of certificate_file");
                            self.problem(key.span(), message);
                        }
                        Err(error) => {
                            let message = format!("{at}.certificate_file: {error}");
                            self.problem(certificate.span(), message);
                        }
                    }
                }
                let client_ca = written.client_ca_file.as_ref();
                if let Some(ca) = client_ca
                    && let Some(text) = self.pem(ca, &format!("{at}.client_ca_file"))
                    && let Err(error) = read_certificates(text.as_bytes())
                {
                    self.problem(ca.span(), format!("{at}.client_ca_file: {error}"));
                }
                Some(TlsFiles {
                    certificate: certificate.get_ref().into(),
                    key: key.get_ref().into(),
                    client_ca: client_ca.map(|ca| ca.get_ref().into()),
                })
            }
        }
    }

    /// The text of a PEM file.
    fn pem(&mut self, file: &Text, key: &str) -> Option<zeroize::Zeroizing<String>> {
        let path = self.path(file, key);
        let text = self.read_file(Path::new(&path));
        if text.is_none() && path.is_absolute() {
            self.problem(file.span(), format!("{key}: {:?} cannot be read", file.get_ref()));
        }
        text.map(zeroize::Zeroizing::new)
    }

    /// Whom the listener knows, and in which zones they are.
    fn origins(
        &mut self,
        file: &written::File,
        written: &Syslog,
        at: &str,
    ) -> (OriginSettings, BTreeMap<String, TimeZone>) {
        let mut zones = BTreeMap::new();
        let mut senders = Vec::new();
        for (i, sender) in written.sender.iter().enumerate() {
            let at = format!("{at}.sender[{}]", i + 1);
            let device = self.device(&sender.device, &format!("{at}.device"));
            if let Some(zone) = &sender.time_zone
                && let Some(zone) = self.zone(zone, &format!("{at}.time_zone"))
            {
                zones.insert(device.name.clone(), zone);
            }
            let addresses = self.prefixes(&sender.addresses, &format!("{at}.addresses"));
            let hosts = sender.hosts.iter().map(|host| self.word(host, &format!("{at}.hosts")));
            let hosts = hosts.collect();
            senders.push(Sender { device, addresses, hosts });
        }
        let polled = |snmp: &written::Snmp| -> Option<(Arc<Device>, String)> {
            let device = self.devices.get(snmp.device.get_ref())?.clone();
            let (host, _) = network::host_port(snmp.address.get_ref(), SNMP_PORT)?;
            Some((device, host))
        };
        let polled = file.snmp.iter().filter_map(polled).collect();
        let relays = self.prefixes(&written.relays, &format!("{at}.relays"));
        (OriginSettings { senders, polled, relays }, zones)
    }

    pub(super) fn prefixes(&mut self, texts: &[Text], key: &str) -> Vec<Prefix> {
        let mut all = Vec::new();
        for text in texts {
            match Prefix::parse(text.get_ref()) {
                Ok(prefix) => all.push(prefix),
                Err(expected) => {
                    let message = format!("{key}: {expected}, found {:?}", text.get_ref());
                    self.problem(text.span(), message);
                }
            }
        }
        all
    }

    fn zone(&mut self, text: &Text, key: &str) -> Option<TimeZone> {
        let zone = parse_zone(text.get_ref());
        if zone.is_none() {
            let message = format!(
                "{key}: expected a time zone that this host knows, such as Asia/Shanghai, or +08:00, found {:?}",
                text.get_ref()
            );
            self.problem(text.span(), message);
        }
        zone
    }

    fn catalogues(&mut self, written: &Syslog, at: &str) -> Option<Catalogues> {
        let known = catalogue_names();
        let names: Vec<String> = match &written.catalogues {
            None => known.iter().map(|name| (*name).to_owned()).collect(),
            Some(names) => {
                for name in names.iter().filter(|n| !known.contains(&n.get_ref().as_str())) {
                    let hint = did_you_mean(name.get_ref(), known.iter().copied())
                        .or_else(|| Some(format!("known: {}", known.join(", "))));
                    let message =
                        format!("{at}.catalogues: there is no catalogue {:?}", name.get_ref());
                    self.problem_with(name.span(), message, hint);
                }
                names.iter().map(|name| name.get_ref().clone()).collect()
            }
        };
        match Catalogues::load(&names) {
            Ok(catalogues) => Some(catalogues),
            Err(error) => {
                self.problem(written.name.span(), format!("{at}.catalogues: {error}"));
                None
            }
        }
    }
}
