//! What `[certificates]` means.

use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Spanned;

use super::check::{Checker, Text};
use super::written;
use crate::enrol::authority::Lives;
use crate::settings::Certificates;

impl Checker<'_> {
    pub(super) fn certificates(&mut self, written: &written::Certificates) -> Certificates {
        let default = Certificates::default();
        let mut file = |text: &Text, key: &str| -> Option<PathBuf> {
            let text = text.as_ref()?;
            if !Path::new(text.get_ref()).is_absolute() {
                let found = text.get_ref();
                let message =
                    format!("certificates.{key}: expected an absolute path, found {found:?}");
                self.problem(text.span(), message);
            }
            Some(PathBuf::from(text.get_ref()))
        };
        let chain = file(&written.server_certificate_file, "server_certificate_file");
        let key = file(&written.server_key_file, "server_key_file");
        let crl_file = file(&written.crl_file, "crl_file");
        let server = match (chain, key) {
            (Some(chain), Some(key)) => Some((chain, key)),
            (None, None) => None,
            _ => {
                let place =
                    written.server_certificate_file.as_ref().or(written.server_key_file.as_ref());
                let message =
                    "certificates.server_certificate_file and server_key_file: one needs the other";
                self.problem(place.map(Spanned::span).unwrap_or_default(), message);
                None
            }
        };
        let lives = Lives {
            agent: self.seconds(&written.agent_life_s, "agent_life_s", 30, default.lives.agent),
            server: self.seconds(&written.server_life_s, "server_life_s", 30, default.lives.server),
        };
        let grace = &written.expired_grace_s;
        let expired_grace = self.seconds(grace, "expired_grace_s", 0, default.expired_grace);
        let grace = &written.superseded_grace_s;
        let superseded_grace =
            self.seconds(grace, "superseded_grace_s", 0, default.superseded_grace);
        Certificates { lives, expired_grace, superseded_grace, server, crl_file }
    }

    /// A time in seconds of `[certificates]`, at most ten years.
    fn seconds(
        &mut self,
        written: &Option<Spanned<i64>>,
        key: &str,
        least: i64,
        default: Duration,
    ) -> Duration {
        const LONGEST: i64 = 315_360_000;
        let Some(number) = written else { return default };
        let found = *number.get_ref();
        if (least..=LONGEST).contains(&found) {
            return Duration::from_secs(u64::try_from(found).unwrap_or_default());
        }
        let message =
            format!("certificates.{key}: expected {least} to {LONGEST} seconds, found {found}");
        self.problem(number.span(), message);
        default
    }
}
