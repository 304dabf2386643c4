//! SNMP sources: how to reach a device and who we are to it.

use callhome_shared::config_error::did_you_mean;
use zeroize::Zeroizing;

use super::check::Checker;
use super::network;
use super::written::{Snmp, SnmpV3, SnmpVersion, Text};
use crate::settings::{SourceSettings, SourceSpec};
use crate::source::snmp::SnmpSettings;

/// RFC 3414: a shorter password is not accepted by any engine.
const MIN_PASSWORD_CHARS: usize = 8;
const USUAL_PORT: u16 = 161;

impl Checker<'_> {
    pub(super) fn snmp(&mut self, written: &Snmp, at: &str) -> Option<SourceSettings> {
        let address = network::host_port(written.address.get_ref(), USUAL_PORT);
        if address.is_none() {
            let message =
                format!("{at}.address: expected host:port, found {:?}", written.address.get_ref());
            self.problem(written.address.span(), message);
        }
        let community = self.community(written, at);
        let user = self.user(written, at);
        let _ = (address, community, user);
        let spec = SourceSpec::Snmp(SnmpSettings {});
        Some(self.source(&written.name, &written.device, at, Vec::new(), spec))
    }

    fn community(&mut self, written: &Snmp, at: &str) -> Option<Zeroizing<String>> {
        let both = [("community_file", &written.community_file), ("community", &written.community)];
        if *written.version.get_ref() == SnmpVersion::V3 {
            for (key, text) in both {
                if let Some(text) = text {
                    let message = format!("{at}.{key}: only with version = \"2c\"");
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
                let message = format!("{at}: version = \"2c\" needs community_file");
                self.problem(written.version.span(), message);
                None
            }
        }
    }

    fn user(&mut self, written: &Snmp, at: &str) -> Option<()> {
        match (written.version.get_ref(), &written.v3) {
            (SnmpVersion::V2c, None) => None,
            (SnmpVersion::V2c, Some(v3)) => {
                self.problem(v3.span(), format!("{at}.v3: only with version = \"3\""));
                None
            }
            (SnmpVersion::V3, None) => {
                let message = format!("{at}: version = \"3\" needs a table [snmp.v3]");
                self.problem(written.version.span(), message);
                None
            }
            (SnmpVersion::V3, Some(v3)) => self.credentials(v3.get_ref(), &format!("{at}.v3")),
        }
    }

    fn credentials(&mut self, v3: &SnmpV3, at: &str) -> Option<()> {
        let user = &v3.user;
        if !(1..=32).contains(&user.get_ref().len()) {
            self.problem(user.span(), format!("{at}.user: expected 1 to 32 bytes"));
        }
        if let (Some(privacy), None) = (&v3.privacy, &v3.auth) {
            let message = format!("{at}.priv: privacy needs authentication: set auth");
            self.problem(privacy.span(), message);
        }
        let auth = v3.auth.as_ref().map(toml::Spanned::span);
        let privacy = v3.privacy.as_ref().map(toml::Spanned::span);
        self.password(auth, &v3.auth_password_file, at, "auth");
        self.password(privacy, &v3.priv_password_file, at, "priv");
        Some(())
    }

    /// The password that belongs to `auth` or `priv`; both or neither are written.
    fn password(
        &mut self,
        protocol: Option<std::ops::Range<usize>>,
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
                if password.chars().count() < MIN_PASSWORD_CHARS {
                    let message = format!(
                        "{key}: the password has less than {MIN_PASSWORD_CHARS} characters"
                    );
                    self.problem(file.span(), message);
                }
                Some(password)
            }
        }
    }

    /// Names of profiles that are there.
    #[allow(dead_code)]
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
