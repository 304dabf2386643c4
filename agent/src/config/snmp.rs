//! SNMP sources: how to reach a device, who we are to it, and the profiles it is read by.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use callhome_shared::config_error::did_you_mean;
use toml::Spanned;
use zeroize::Zeroizing;

use super::check::Checker;
use super::network;
use super::written::{self, Snmp, SnmpAuth, SnmpPriv, SnmpV3, SnmpVersion, Text};
use crate::profile::Library;
use crate::settings::{SourceSettings, SourceSpec};
use crate::source::snmp::{Plans, SnmpConfigError, SnmpPlain, SnmpSettings, V3Plain};

/// RFC 3414: a shorter password is not accepted by any engine.
const MIN_PASSWORD_BYTES: usize = 8;
const USUAL_PORT: u16 = 161;

impl Checker<'_> {
    /// The profiles; only where something is to be read by them. A profile's problems are told like the
    /// configuration's own.
    pub(super) fn library(
        &mut self,
        file: &written::File,
        dir: Option<&Path>,
    ) -> Option<Arc<Library>> {
        if file.snmp.is_empty() && dir.is_none() {
            return None;
        }
        match Library::load(dir) {
            Ok(library) => Some(Arc::new(library)),
            Err(problems) => {
                self.problems.extend(problems.0);
                None
            }
        }
    }

    pub(super) fn snmp(
        &mut self,
        written: &Snmp,
        at: &str,
        plans: Option<&Arc<Plans>>,
    ) -> Option<SourceSettings> {
        let before = self.problems.len();
        if network::host_port(written.address.get_ref(), USUAL_PORT).is_none() {
            let message = format!(
                "{at}.address: expected host:port such as 192.0.2.1:161, found {:?}",
                written.address.get_ref()
            );
            self.problem(written.address.span(), message);
        }
        if let Some(plans) = plans {
            self.profiles(written, at, &plans.library().names());
        }
        let plain = SnmpPlain {
            address: written.address.get_ref().clone(),
            version: version_name(*written.version.get_ref()).to_owned(),
            community: self.community(written, at),
            v3: self.user(written, at),
            interval_s: written.interval_s,
            timeout_ms: written.timeout_ms,
            retries: written.retries,
            max_repetitions: written.max_repetitions,
            bulk: written.bulk,
            restart_alarm: written.restart_alarm,
            profiles: written
                .profiles
                .as_ref()
                .map(|names| names.iter().map(|name| name.get_ref().clone()).collect()),
        };
        let (name, device) = self.name_and_device(&written.name, &written.device, at);
        match SnmpSettings::from_plain(&plain, plans?) {
            Ok(settings) => {
                let rules = settings.rules();
                return Some(SourceSettings {
                    name,
                    device,
                    rules,
                    spec: SourceSpec::Snmp(settings),
                });
            }
            Err(error) if self.problems.len() == before => self.refused(written, at, &error),
            // Told already, with a better place.
            Err(_) => {}
        }
        None
    }

    fn refused(&mut self, written: &Snmp, at: &str, error: &SnmpConfigError) {
        let span = match error.key {
            "address" => written.address.span(),
            "version" => written.version.span(),
            key if key.starts_with("v3") => {
                written.v3.as_ref().map_or(written.version.span(), Spanned::span)
            }
            _ => written.name.span(),
        };
        self.problem_with(span, format!("{at}.{error}"), error.hint.clone());
    }

    fn community(&mut self, written: &Snmp, at: &str) -> Option<Zeroizing<String>> {
        let both = [("community_file", &written.community_file), ("community", &written.community)];
        if *written.version.get_ref() == SnmpVersion::V3 {
            for (key, text) in both {
                if let Some(text) = text {
                    let message = format!("{at}.{key}: only with version = \"1\" or \"2c\"");
                    self.problem(text.span(), message);
                }
            }
            return None;
        }
        match (&written.community_file, &written.community) {
            (Some(file), None) => self.secret(file, &format!("{at}.community_file")),
            (None, Some(text)) => {
                if text.get_ref().is_empty() {
                    self.problem(text.span(), format!("{at}.community: expected a text"));
                }
                Some(Zeroizing::new(text.get_ref().clone()))
            }
            (Some(_), Some(text)) => {
                let message = format!("{at}: community or community_file, not both");
                self.problem(text.span(), message);
                None
            }
            (None, None) => {
                let version = version_name(*written.version.get_ref());
                let message = format!("{at}: version = \"{version}\" needs community_file");
                self.problem(written.version.span(), message);
                None
            }
        }
    }

    fn user(&mut self, written: &Snmp, at: &str) -> Option<V3Plain> {
        match (written.version.get_ref(), &written.v3) {
            (SnmpVersion::V1 | SnmpVersion::V2c, None) => None,
            (SnmpVersion::V1 | SnmpVersion::V2c, Some(v3)) => {
                self.problem(v3.span(), format!("{at}.v3: only with version = \"3\""));
                None
            }
            (SnmpVersion::V3, None) => {
                let message = format!("{at}: version = \"3\" needs a table [snmp.v3]");
                self.problem(written.version.span(), message);
                None
            }
            (SnmpVersion::V3, Some(v3)) => {
                Some(self.credentials(v3.get_ref(), &format!("{at}.v3")))
            }
        }
    }

    pub(super) fn credentials(&mut self, v3: &SnmpV3, at: &str) -> V3Plain {
        let user = &v3.user;
        if !(1..=32).contains(&user.get_ref().len()) {
            self.problem(user.span(), format!("{at}.user: expected 1 to 32 bytes"));
        }
        if let (Some(privacy), None) = (&v3.privacy, &v3.auth) {
            let message = format!("{at}.priv: privacy needs authentication: set auth");
            self.problem(privacy.span(), message);
        }
        let auth = v3.auth.as_ref().map(Spanned::span);
        let privacy = v3.privacy.as_ref().map(Spanned::span);
        V3Plain {
            user: user.get_ref().clone(),
            auth: v3.auth.as_ref().map(|auth| auth_name(*auth.get_ref()).to_owned()),
            auth_password: self.password(auth, &v3.auth_password_file, at, "auth"),
            privacy: v3.privacy.as_ref().map(|p| priv_name(*p.get_ref()).to_owned()),
            priv_password: self.password(privacy, &v3.priv_password_file, at, "priv"),
            context: v3.context.clone(),
        }
    }

    /// The password that belongs to `auth` or `priv`; both or neither are written.
    fn password(
        &mut self,
        protocol: Option<Range<usize>>,
        file: &Option<Text>,
        at: &str,
        what: &str,
    ) -> Option<Zeroizing<String>> {
        match (protocol, file) {
            (None, None) => None,
            (None, Some(file)) => {
                let message = format!("{at}.{what}_password_file: set {what} too");
                self.problem(file.span(), message);
                None
            }
            (Some(span), None) => {
                self.problem(span, format!("{at}.{what}: needs {what}_password_file"));
                None
            }
            (Some(_), Some(file)) => {
                let key = format!("{at}.{what}_password_file");
                let password = self.secret(file, &key)?;
                if password.len() < MIN_PASSWORD_BYTES {
                    let message = format!(
                        "{key}: expected a password of at least {MIN_PASSWORD_BYTES} bytes (RFC 3414)"
                    );
                    self.problem(file.span(), message);
                }
                Some(password)
            }
        }
    }

    /// Names of profiles that are there.
    fn profiles(&mut self, written: &Snmp, at: &str, known: &[&str]) {
        for name in written.profiles.iter().flatten() {
            if !known.contains(&name.get_ref().as_str()) {
                let hint = did_you_mean(name.get_ref(), known.iter().copied())
                    .or_else(|| Some(format!("known: {}", known.join(", "))));
                let message = format!("{at}.profiles: there is no profile {:?}", name.get_ref());
                self.problem_with(name.span(), message, hint);
            }
        }
    }
}

fn version_name(version: SnmpVersion) -> &'static str {
    match version {
        SnmpVersion::V1 => "1",
        SnmpVersion::V2c => "2c",
        SnmpVersion::V3 => "3",
    }
}

fn auth_name(auth: SnmpAuth) -> &'static str {
    match auth {
        SnmpAuth::Md5 => "md5",
        SnmpAuth::Sha1 => "sha1",
        SnmpAuth::Sha224 => "sha224",
        SnmpAuth::Sha256 => "sha256",
        SnmpAuth::Sha384 => "sha384",
        SnmpAuth::Sha512 => "sha512",
    }
}

fn priv_name(privacy: SnmpPriv) -> &'static str {
    match privacy {
        SnmpPriv::Des => "des",
        SnmpPriv::Aes128 => "aes128",
        SnmpPriv::Aes192 => "aes192",
        SnmpPriv::Aes256 => "aes256",
        SnmpPriv::Aes192c => "aes192c",
        SnmpPriv::Aes256c => "aes256c",
    }
}
