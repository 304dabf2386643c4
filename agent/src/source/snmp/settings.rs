//! What is polled, resolved and checked.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use callhome_shared::config_error::did_you_mean;
use snmp2::v3::{AuthProtocol, Cipher, KeyExtension};
use zeroize::Zeroizing;

use super::message::Version;
use super::plan::Plans;
use super::session::{Community, Patience, Security};
use super::usm::{Credentials, Privacy};
use super::{reachable, restart};
use crate::profile::Library;
use crate::rule::Rule;

/// The port where the configuration names none.
const DEFAULT_PORT: u16 = 161;

/// One device to poll.
#[derive(Clone, Debug)]
pub struct SnmpSettings {
    /// Where it is.
    pub address: Address,
    /// How it is spoken to.
    pub security: Security,
    /// From the start of one poll to the next, and what a poll may take.
    pub interval: Duration,
    /// Time-out and retries.
    pub patience: Patience,
    /// GETBULK, or GETNEXT only; version 1 has no GETBULK.
    pub bulk: bool,
    /// Rows that one GETBULK asks for.
    pub max_repetitions: u32,
    /// Whether a restart of the device is an alarm; it is logged and shown in any case.
    pub restart_alarm: bool,
    /// Profiles by name; `None` = by sysObjectID, else all generic ones.
    pub chosen: Option<Vec<String>>,
    /// What is read by which profiles, for all devices.
    pub plans: Arc<Plans>,
    /// Hands on values that no rule looks at, too: for who wants to see all that is read.
    pub unjudged: bool,
}

/// Host and port. The name is resolved anew at every poll.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Name or IP address.
    pub host: String,
    /// UDP port.
    pub port: u16,
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Plain values as the configuration gives them; secrets already read from their files.
#[derive(Clone)]
pub struct SnmpPlain {
    /// `host`, `host:port`, `[v6]:port`.
    pub address: String,
    /// `1`, `2c` or `3`.
    pub version: String,
    /// For 1 and 2c.
    pub community: Option<Zeroizing<String>>,
    /// For 3.
    pub v3: Option<V3Plain>,
    /// Seconds.
    pub interval_s: u64,
    /// Milliseconds.
    pub timeout_ms: u64,
    /// After the first attempt.
    pub retries: u32,
    /// Rows in one GETBULK.
    pub max_repetitions: u32,
    /// `false` = GETNEXT only.
    pub bulk: bool,
    /// Whether a restart of the device is an alarm.
    pub restart_alarm: bool,
    /// Names; `None` = chosen by sysObjectID.
    pub profiles: Option<Vec<String>>,
}

/// `[snmp.v3]`.
#[derive(Clone, Default)]
pub struct V3Plain {
    /// User name.
    pub user: String,
    /// `md5`, `sha1`, `sha224`, `sha256`, `sha384`, `sha512`; `None` = noAuthNoPriv.
    pub auth: Option<String>,
    /// Its password.
    pub auth_password: Option<Zeroizing<String>>,
    /// `des`, `aes128`, `aes192`, `aes256`, `aes192c`, `aes256c`; `None` = no encryption.
    pub privacy: Option<String>,
    /// Its password.
    pub priv_password: Option<Zeroizing<String>>,
    /// Context name.
    pub context: String,
}

/// One thing that is wrong, by the key in `[[snmp]]` that holds it (`v3.auth` for `[snmp.v3]`).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {message}")]
pub struct SnmpConfigError {
    /// The key.
    pub key: &'static str,
    /// What is wrong and what was expected.
    pub message: String,
    /// The nearest valid name.
    pub hint: Option<String>,
}

fn wrong(key: &'static str, message: impl Into<String>) -> SnmpConfigError {
    SnmpConfigError { key, message: message.into(), hint: None }
}

impl SnmpSettings {
    /// Checks plain values; the first thing that is wrong comes back.
    pub fn from_plain(plain: &SnmpPlain, plans: &Arc<Plans>) -> Result<Self, SnmpConfigError> {
        let within = |key, value: u64, least: u64, most: u64| {
            if (least..=most).contains(&value) {
                return Ok(value);
            }
            Err(wrong(key, format!("expected {least} to {most}, found {value}")))
        };
        let interval = within("interval_s", plain.interval_s, 1, 86_400)?;
        let timeout = within("timeout_ms", plain.timeout_ms, 10, 60_000)?;
        within("retries", u64::from(plain.retries), 0, 10)?;
        within("max_repetitions", u64::from(plain.max_repetitions), 1, 500)?;
        Ok(SnmpSettings {
            address: parse_address(&plain.address)?,
            security: security(plain)?,
            interval: Duration::from_secs(interval),
            patience: Patience { timeout: Duration::from_millis(timeout), retries: plain.retries },
            bulk: plain.bulk && !matches!(plain.version.as_str(), "1" | "v1"),
            max_repetitions: plain.max_repetitions,
            restart_alarm: plain.restart_alarm,
            chosen: chosen(plain.profiles.as_deref(), plans.library())?,
            plans: plans.clone(),
            unjudged: false,
        })
    }

    /// Whether one that polls by these polls as `next` wants.
    pub fn is_like(&self, next: &Self) -> bool {
        // Taken apart, so that no new field is forgotten here.
        let SnmpSettings {
            address,
            security,
            interval,
            patience,
            bulk,
            max_repetitions,
            restart_alarm,
            chosen,
            plans,
            unjudged,
        } = self;
        *address == next.address
            && *security == next.security
            && *interval == next.interval
            && *patience == next.patience
            && *bulk == next.bulk
            && *max_repetitions == next.max_repetitions
            && *restart_alarm == next.restart_alarm
            && *unjudged == next.unjudged
            && *chosen == next.chosen
            && plans.library().says_as(next.plans.library())
    }

    /// The rules that look at this source whatever its device is; those of its profiles come with its
    /// plan.
    pub fn rules(&self) -> Vec<Arc<Rule>> {
        let restart = self.restart_alarm.then(restart::builtin_rule);
        reachable::builtin_rules(self.interval).into_iter().chain(restart).collect()
    }
}

fn parse_address(text: &str) -> Result<Address, SnmpConfigError> {
    let text = text.trim();
    let bad =
        || wrong("address", format!("expected host:port such as 192.0.2.1:161, found {text:?}"));
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Ok(Address { host: ip.to_string(), port: DEFAULT_PORT });
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().map_err(|_| bad())?),
        None => (text, DEFAULT_PORT),
    };
    let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    let is_ip = host.parse::<IpAddr>().is_ok();
    let is_name = !host.is_empty()
        && host.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '.' | '_'));
    if port == 0 || !(is_ip || is_name) {
        return Err(bad());
    }
    Ok(Address { host: host.to_owned(), port })
}

fn chosen(
    names: Option<&[String]>,
    library: &Library,
) -> Result<Option<Vec<String>>, SnmpConfigError> {
    let known = library.names();
    for name in names.unwrap_or_default() {
        if !known.contains(&name.as_str()) {
            let known = known.join(", ");
            let message = format!("no profile is called {name:?}, expected one of {known}");
            return Err(SnmpConfigError { hint: library.near(name), ..wrong("profiles", message) });
        }
    }
    Ok(names.map(<[String]>::to_vec))
}

fn security(plain: &SnmpPlain) -> Result<Security, SnmpConfigError> {
    match plain.version.as_str() {
        "1" | "v1" => Ok(Security::Community(Version::V1, community(plain)?)),
        "2c" | "2" | "v2c" => Ok(Security::Community(Version::V2c, community(plain)?)),
        "3" | "v3" => {
            let v3 = plain.v3.as_ref();
            let v3 = v3.ok_or_else(|| wrong("v3", "version 3 needs a table [snmp.v3]"))?;
            Ok(Security::User(credentials(v3)?))
        }
        other => Err(wrong("version", format!("expected \"1\", \"2c\" or \"3\", found {other:?}"))),
    }
}

fn community(plain: &SnmpPlain) -> Result<Community, SnmpConfigError> {
    let community = plain.community.as_deref().filter(|c| !c.is_empty()).ok_or_else(|| {
        wrong("community_file", "versions 1 and 2c need a community that is not empty")
    })?;
    Ok(Community(Zeroizing::new(community.as_bytes().to_vec())))
}

/// Checks a user's name, protocols and passwords.
pub fn credentials(v3: &V3Plain) -> Result<Credentials, SnmpConfigError> {
    if v3.user.is_empty() || v3.user.len() > 32 {
        return Err(wrong("v3.user", "expected a user name of 1 to 32 bytes"));
    }
    let auth = match &v3.auth {
        None => None,
        Some(name) => Some((
            auth_protocol(name)?,
            password("v3.auth_password_file", v3.auth_password.as_deref())?,
        )),
    };
    let privacy = match &v3.privacy {
        None => None,
        Some(_) if auth.is_none() => {
            return Err(wrong("v3.priv", "encryption needs authentication: give `auth` too"));
        }
        Some(name) => {
            let (cipher, extension) = privacy_protocol(name)?;
            let password = password("v3.priv_password_file", v3.priv_password.as_deref())?;
            Some(Privacy { cipher, extension, password })
        }
    };
    Ok(Credentials { user: v3.user.clone(), auth, privacy, context: v3.context.clone() })
}

/// An empty password would make the library panic; and none of RFC 3414's is below 8 octets.
fn password(
    key: &'static str,
    password: Option<&String>,
) -> Result<Zeroizing<Vec<u8>>, SnmpConfigError> {
    let password = password.map(String::as_bytes).unwrap_or_default();
    if password.len() < 8 {
        return Err(wrong(key, "expected a password of at least 8 bytes (RFC 3414)"));
    }
    Ok(Zeroizing::new(password.to_vec()))
}

fn named<T: Copy>(
    key: &'static str,
    name: &str,
    valid: &[(&str, T)],
) -> Result<T, SnmpConfigError> {
    if let Some((_, value)) = valid.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)) {
        return Ok(*value);
    }
    let names: Vec<&str> = valid.iter().map(|(n, _)| *n).collect();
    let message = format!("expected one of {}, found {name:?}", names.join(", "));
    Err(SnmpConfigError { hint: did_you_mean(name, names), ..wrong(key, message) })
}

fn auth_protocol(name: &str) -> Result<AuthProtocol, SnmpConfigError> {
    named(
        "v3.auth",
        name,
        &[
            ("md5", AuthProtocol::Md5),
            ("sha1", AuthProtocol::Sha1),
            ("sha224", AuthProtocol::Sha224),
            ("sha256", AuthProtocol::Sha256),
            ("sha384", AuthProtocol::Sha384),
            ("sha512", AuthProtocol::Sha512),
        ],
    )
}

fn privacy_protocol(name: &str) -> Result<(Cipher, KeyExtension), SnmpConfigError> {
    use KeyExtension::{Blumenthal, Reeder};
    named(
        "v3.priv",
        name,
        &[
            ("des", (Cipher::Des, Blumenthal)),
            ("aes128", (Cipher::Aes128, Blumenthal)),
            ("aes192", (Cipher::Aes192, Blumenthal)),
            ("aes256", (Cipher::Aes256, Blumenthal)),
            // As Cisco and others make short keys longer.
            ("aes192c", (Cipher::Aes192, Reeder)),
            ("aes256c", (Cipher::Aes256, Reeder)),
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain() -> SnmpPlain {
        SnmpPlain {
            address: "192.0.2.1:161".into(),
            version: "2c".into(),
            community: Some(Zeroizing::new("public".into())),
            v3: None,
            interval_s: 60,
            timeout_ms: 2000,
            retries: 2,
            max_repetitions: 20,
            bulk: true,
            restart_alarm: false,
            profiles: None,
        }
    }

    fn check(change: impl FnOnce(&mut SnmpPlain)) -> Result<SnmpSettings, String> {
        let mut plain = plain();
        change(&mut plain);
        let plans = Plans::new(Arc::new(Library::built_in().unwrap()));
        SnmpSettings::from_plain(&plain, &plans)
            .map_err(|e| format!("{e} {}", e.hint.clone().unwrap_or_default()))
    }

    #[test]
    fn what_is_wrong_is_told() {
        let v3 = |auth: &str, auth_password: &str, privacy: Option<&str>| {
            Some(V3Plain {
                user: "u".into(),
                auth: Some(auth.into()),
                auth_password: Some(Zeroizing::new(auth_password.into())),
                privacy: privacy.map(str::to_owned),
                priv_password: Some(Zeroizing::new(String::new())),
                context: String::new(),
            })
        };
        type Change = Box<dyn FnOnce(&mut SnmpPlain)>;
        let cases: [(&str, Change); 9] = [
            ("address: expected host:port", Box::new(|p| p.address = "a b:1".into())),
            ("version: expected", Box::new(|p| p.version = "4".into())),
            ("community_file: ", Box::new(|p| p.community = None)),
            ("did you mean \"if-mib\"?", Box::new(|p| p.profiles = Some(vec!["if-mb".into()]))),
            ("timeout_ms: expected 10 to", Box::new(|p| p.timeout_ms = 0)),
            ("v3: version 3 needs", Box::new(|p| p.version = "3".into())),
            (
                "did you mean \"sha256\"?",
                Box::new(move |p| {
                    p.version = "3".into();
                    p.v3 = v3("sha-256", "longenough", None);
                }),
            ),
            (
                "v3.auth_password_file: expected",
                Box::new(move |p| {
                    p.version = "3".into();
                    p.v3 = v3("sha256", "", None);
                }),
            ),
            (
                "v3.priv_password_file: expected",
                Box::new(move |p| {
                    p.version = "3".into();
                    p.v3 = v3("sha256", "longenough", Some("aes128"));
                }),
            ),
        ];
        for (expected, change) in cases {
            let error = check(change).unwrap_err();
            assert!(error.contains(expected), "{error} should contain {expected}");
        }
    }

    #[test]
    fn secrets_are_not_shown_and_addresses_are_read() {
        let settings = check(|_| {}).unwrap();
        assert!(!format!("{:?}", settings.security).contains("public"));
        for (text, shown) in [
            ("192.0.2.1", "192.0.2.1:161"),
            ("[2001:db8::1]:1161", "[2001:db8::1]:1161"),
            ("2001:db8::1", "[2001:db8::1]:161"),
            ("switch.example:200", "switch.example:200"),
        ] {
            assert_eq!(parse_address(text).unwrap().to_string(), shown);
        }
    }
}
