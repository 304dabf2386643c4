//! `[notice]`: where notices go. The only addresses that anything is ever sent to.

use std::path::Path;

use crate::settings::Secret;
use callhome_shared::config_error::did_you_mean;
use toml::Spanned;

use super::address::host_port;
use super::check::{Checker, Text};
use super::written;
use crate::calendar::{Window, zone};
use crate::notice::{Event, Kind, Outlet, Quiet};
use crate::settings::{MailServer, MailTls, Notices, OutletAddress};

/// Receivers that the configuration may name.
const MOST: usize = 50;

impl Checker<'_> {
    pub(super) fn notices(&mut self, written: &written::Notice, base: &str) -> Notices {
        let mail = self.mail(written);
        let mut outlets: Vec<OutletAddress> = Vec::new();
        for one in &written.outlet {
            if outlets.len() >= MOST {
                let message = format!("notice.outlet: expected at most {MOST}");
                self.problem(span(&one.name), message);
                break;
            }
            let Some(outlet) = self.outlet(one) else { continue };
            if outlets.iter().any(|other| other.outlet.name == outlet.outlet.name) {
                let message =
                    format!("notice.outlet.name: {:?} is there twice", outlet.outlet.name);
                self.problem(span(&one.name), message);
            }
            outlets.push(outlet);
        }
        Notices { mail, outlets, base: base.to_owned() }
    }

    fn mail(&mut self, written: &written::Notice) -> Option<MailServer> {
        let Some(server) = &written.mail_server else {
            for (key, text) in
                [("mail_from", &written.mail_from), ("mail_user", &written.mail_user)]
            {
                if let Some(text) = text {
                    self.problem(text.span(), format!("notice.{key}: needs notice.mail_server"));
                }
            }
            return None;
        };
        let schemes = [
            ("smtps", MailTls::Wrapped),
            ("smtp", MailTls::StartTls),
            ("smtp-plain", MailTls::Plain),
        ];
        let found = schemes.into_iter().find_map(|(scheme, tls)| {
            host_port(server.get_ref(), scheme).map(|(host, port)| (host, port, tls))
        });
        let Some((host, port, tls)) = found else {
            let message = format!(
                "notice.mail_server: expected \"smtps://host:465\" (TLS), \"smtp://host:587\" (STARTTLS) or \
                 \"smtp-plain://host:25\", found {:?}",
                server.get_ref()
            );
            self.problem(server.span(), message);
            return None;
        };
        let from = written.mail_from.as_ref().filter(|from| is_address(from.get_ref()));
        let Some(from) = from else {
            let place = written.mail_from.as_ref().map_or_else(|| server.span(), Spanned::span);
            self.problem(
                place,
                "notice.mail_from: expected an address such as callhome@example.com",
            );
            return None;
        };
        let login = match (&written.mail_user, &written.mail_password_file) {
            (Some(user), Some(file)) => {
                let password = self.secret(file)?;
                Some((user.get_ref().clone(), Secret::new(password)))
            }
            (None, None) => None,
            (user, file) => {
                let place = user.as_ref().or(file.as_ref()).map(Spanned::span).unwrap_or_default();
                self.problem(place, "notice.mail_user and mail_password_file: one needs the other");
                None
            }
        };
        if let (Some(_), MailTls::Plain) = (&login, tls) {
            let message = "notice.mail_server: a password does not go over a line without TLS";
            self.problem(server.span(), message);
        }
        let ca = written.mail_ca_file.as_ref().and_then(|file| self.whole(file));
        Some(MailServer { host, port, tls, from: from.get_ref().clone(), login, ca })
    }

    fn outlet(&mut self, written: &written::NoticeOutlet) -> Option<OutletAddress> {
        let name = self.outlet_name(&written.name)?;
        let kind = self.kind(&written.kind, &written.name)?;
        let url = self.url(written)?;
        let secret = written.secret_file.as_ref().and_then(|file| self.secret(file));
        if let (Some(file), Kind::Wecom) = (&written.secret_file, kind) {
            self.problem(file.span(), "notice.outlet.secret_file: WeCom's robots are not signed: their address is the secret");
        }
        let language = match written.language.as_ref().map(|l| l.get_ref().as_str()) {
            None | Some("zh-CN") => "zh-CN",
            Some("en") => "en",
            Some(other) => {
                let message =
                    format!("notice.outlet.language: expected zh-CN or en, found {other:?}");
                self.problem(span(&written.language), message);
                "zh-CN"
            }
        };
        let events = self.events(written);
        let quiet = self.quiet(written);
        let per_minute = self.number(&written.per_minute, "notice.outlet.per_minute", 20, 1..=600);
        let outlet = Outlet { name, kind, language: language.to_owned(), events, quiet };
        Some(OutletAddress {
            outlet,
            url: Secret::new(url),
            secret: secret.map(Secret::new),
            per_minute,
        })
    }

    fn outlet_name(&mut self, written: &Text) -> Option<String> {
        let name = written.as_ref().map(|n| n.get_ref().as_str()).unwrap_or_default();
        if crate::clock::is_name(name) {
            return Some(name.to_owned());
        }
        let message = format!(
            "notice.outlet.name: expected 1 to 40 letters a-z, digits, _ or -, found {name:?}"
        );
        self.problem(span(written), message);
        None
    }

    fn kind(&mut self, written: &Text, name: &Text) -> Option<Kind> {
        let text = written.as_ref().map(|n| n.get_ref().as_str()).unwrap_or_default();
        let found = Kind::parse(text);
        if found.is_none() {
            let all = Kind::ALL.map(Kind::as_str);
            let message =
                format!("notice.outlet.kind: expected {}, found {text:?}", all.join(", "));
            let place = if written.is_some() { span(written) } else { span(name) };
            self.problem(place, message).hint = did_you_mean(text, all);
        }
        found
    }

    fn url(&mut self, written: &written::NoticeOutlet) -> Option<String> {
        let (url, place) = match (&written.url, &written.url_file) {
            (Some(url), None) => (url.get_ref().clone(), url.span()),
            (None, Some(file)) => (self.secret(file)?, file.span()),
            _ => {
                let message = "notice.outlet: expected either url or url_file";
                self.problem(span(&written.name), message);
                return None;
            }
        };
        let good = reqwest::Url::parse(&url).is_ok_and(|url| {
            matches!(url.scheme(), "https" | "http")
                && url.has_host()
                && url.username().is_empty()
                && url.password().is_none()
        });
        if good {
            return Some(url.trim().to_owned());
        }
        self.problem(
            place,
            "notice.outlet.url: expected https://host/… or http://host/… without user and password",
        );
        None
    }

    fn events(&mut self, written: &written::NoticeOutlet) -> Vec<String> {
        let usual = [
            Event::Called,
            Event::Nobody,
            Event::CallExpired,
            Event::Breach,
            Event::Approval,
            Event::Major,
        ];
        let Some(list) = &written.events else {
            return usual.map(|event| event.as_str().to_owned()).to_vec();
        };
        let all = Event::ALL.map(Event::as_str);
        for name in list {
            if !all.contains(&name.get_ref().as_str()) {
                let found = name.get_ref();
                let message =
                    format!("notice.outlet.events: expected {}, found {found:?}", all.join(", "));
                self.problem(name.span(), message).hint = did_you_mean(found, all);
            }
        }
        list.iter().map(|name| name.get_ref().clone()).collect()
    }

    fn quiet(&mut self, written: &written::NoticeOutlet) -> Option<Quiet> {
        let hours = written.quiet_hours.as_ref()?;
        if let Err(why) = Window::parse(hours.get_ref()) {
            self.problem(hours.span(), format!("notice.outlet.quiet_hours: {why}"));
        }
        let Some(name) = &written.quiet_time_zone else {
            self.problem(
                hours.span(),
                "notice.outlet.quiet_hours: needs notice.outlet.quiet_time_zone",
            );
            return None;
        };
        if let Err(unknown) = zone::zone(name.get_ref()) {
            let message = format!(
                "notice.outlet.quiet_time_zone: expected an IANA time zone, found {:?}",
                unknown.name
            );
            self.problem(name.span(), message).hint = unknown.hint;
        }
        Some(Quiet { hours: hours.get_ref().clone(), time_zone: name.get_ref().clone() })
    }

    /// All of a file.
    fn whole(&mut self, file: &Spanned<String>) -> Option<String> {
        match (self.read)(Path::new(file.get_ref())) {
            Ok(text) => Some(text),
            Err(e) => {
                self.problem(file.span(), format!("the file cannot be read: {e}"));
                None
            }
        }
    }
}

fn span(text: &Text) -> std::ops::Range<usize> {
    text.as_ref().map(Spanned::span).unwrap_or_default()
}

fn is_address(text: &str) -> bool {
    let plain = text.chars().all(|c| c.is_ascii_graphic() && !"<>()[],;:\\\"".contains(c));
    plain
        && text
            .split_once('@')
            .is_some_and(|(name, host)| !name.is_empty() && !host.is_empty() && !host.contains('@'))
}
