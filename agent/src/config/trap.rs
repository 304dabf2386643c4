//! Traps: where to listen, whose an address is, and who may say something.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::check::Checker;
use super::network;
use super::written::{self, SnmpV3, Text, Trap, UnknownTrap};
use crate::settings::{SourceSettings, SourceSpec};
use crate::source::origins::{OriginSettings, Origins, Sender};
use crate::source::senders::Limits;
use crate::source::snmp::settings::credentials;
use crate::source::trap::db::Db;
use crate::source::trap::{Community, TrapSettings, TrapUser, rule};

/// Senders that are told apart.
const TABLE: usize = 4096;
/// The port that devices are polled at unless the configuration says otherwise.
const POLLED_PORT: u16 = 161;

impl Checker<'_> {
    pub(super) fn trap(&mut self, file: &written::File, written: &Trap) -> SourceSettings {
        let at = "trap";
        let listen = written.listen.iter().filter_map(|text| self.trap_listen(text)).collect();
        let communities = written.community_files.iter().filter_map(|file| {
            let secret = self.secret(file, "trap.community_files")?;
            Some(Community(zeroize::Zeroizing::new(secret.as_bytes().to_vec())))
        });
        let communities = communities.collect();
        let engine_id = written.engine_id.as_ref().and_then(|t| self.engine(t, "trap.engine_id"));
        let origins = self.trap_origins(file, written);
        let mut users = Vec::new();
        for (i, user) in written.user.iter().enumerate() {
            users.extend(self.trap_user(user, &format!("trap.user[{}]", i + 1)));
        }
        let dir = written.dir.as_ref().map(|dir| self.path(dir, "trap.dir"));
        let db = self.trap_db(dir.as_deref());
        let (name, device) = self.name_and_device(&written.name, &written.device, at);
        let spec = SourceSpec::Trap(Box::new(TrapSettings {
            listen,
            communities,
            users,
            engine_id,
            origins: Origins::new(origins),
            limits: Limits {
                per_s: f64::from(written.rate),
                burst: f64::from(written.burst),
                table: TABLE,
            },
            unknown_is_alarm: written.unknown == UnknownTrap::Alarm,
            clear_after: Duration::from_secs(written.clear_after_s),
            db,
            dir,
        }));
        SourceSettings { name, device, rules: vec![rule()], spec }
    }

    fn trap_listen(&mut self, text: &Text) -> Option<SocketAddr> {
        let found = text.get_ref().parse().ok();
        if found.is_none() {
            let message = format!(
                "trap.listen: expected address:port such as 0.0.0.0:162 or [::]:1162, found {:?}",
                text.get_ref()
            );
            self.problem(text.span(), message);
        }
        found
    }

    /// RFC 3411: 5 to 32 octets.
    fn engine(&mut self, text: &Text, key: &str) -> Option<Vec<u8>> {
        let digits = text.get_ref().trim_start_matches("0x").replace(':', "");
        let octets: Option<Vec<u8>> = match digits.len() % 2 {
            0 => (0..digits.len())
                .step_by(2)
                .map(|i| u8::from_str_radix(digits.get(i..i + 2)?, 16).ok())
                .collect(),
            _ => None,
        };
        let found = octets.filter(|octets| (5..=32).contains(&octets.len()));
        if found.is_none() {
            let message = format!(
                "{key}: expected 5 to 32 octets in hexadecimal such as 80001f8804616263, found {:?}",
                text.get_ref()
            );
            self.problem(text.span(), message);
        }
        found
    }

    fn trap_origins(&mut self, file: &written::File, written: &Trap) -> OriginSettings {
        let mut settings = OriginSettings::default();
        for (i, sender) in written.sender.iter().enumerate() {
            let at = format!("trap.sender[{}]", i + 1);
            let addresses = self.prefixes(&sender.addresses, &format!("{at}.addresses"));
            let device = self.device(&sender.device, &format!("{at}.device"));
            settings.senders.push(Sender { device, addresses, hosts: Vec::new() });
        }
        settings.relays = self.prefixes(&written.relays, "trap.relays");
        for snmp in &file.snmp {
            // What is wrong with it is told where it is written.
            let device = self.devices.get(snmp.device.get_ref()).cloned();
            let host = network::host_port(snmp.address.get_ref(), POLLED_PORT);
            settings.polled.extend(device.zip(host.map(|(host, _)| host)));
        }
        settings
    }

    fn trap_user(&mut self, user: &written::TrapUser, at: &str) -> Option<TrapUser> {
        let before = self.problems.len();
        let v3 = SnmpV3 {
            user: user.user.clone(),
            auth: user.auth.clone(),
            auth_password_file: user.auth_password_file.clone(),
            privacy: user.privacy.clone(),
            priv_password_file: user.priv_password_file.clone(),
            context: String::new(),
        };
        let plain = self.credentials(&v3, at);
        let engine = user.engine_id.as_ref().map(|id| self.engine(id, &format!("{at}.engine_id")));
        match credentials(&plain) {
            Ok(credentials) => Some(TrapUser { credentials, engine: engine.flatten() }),
            Err(error) => {
                if self.problems.len() == before {
                    self.problem(user.user.span(), format!("{at}: {error}"));
                }
                None
            }
        }
    }

    fn trap_db(&mut self, dir: Option<&Path>) -> Arc<Db> {
        let loaded = match dir {
            Some(_) => Db::load(dir).map(Arc::new),
            None => Db::shipped(),
        };
        match loaded {
            Ok(db) => db,
            Err(problems) => {
                self.problems.extend(problems.0);
                Arc::default()
            }
        }
    }
}
