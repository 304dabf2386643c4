//! `[oidc]`: log-in by an OpenID provider.

use std::collections::BTreeMap;
use std::path::Path;

use callhome_shared::config_error::did_you_mean;
use callhome_shared::tls;
use toml::Spanned;

use super::check::Checker;
use super::written;
use crate::access::oidc::may_be_asked;
use crate::api::rights::Role;
use crate::settings::{Oidc, Secret};

/// Values that are mapped to roles, at most.
const MOST_ROLES: usize = 200;
/// Scopes that are asked for, at most.
const MOST_SCOPES: usize = 20;

impl Checker<'_> {
    pub(super) fn oidc(&mut self, written: &written::Oidc, base: &str) -> Option<Oidc> {
        let administrators_only = self.password_login(written);
        let Some(issuer) = &written.issuer else {
            let alone = [&written.client_id, &written.client_secret_file, &written.password_login];
            if let Some(one) = alone.into_iter().flatten().next() {
                self.problem(one.span(), "[oidc]: needs oidc.issuer");
            }
            return None;
        };
        let text = issuer.get_ref();
        if !may_be_asked(text) || text.contains(['?', '#']) {
            let message = format!(
                "oidc.issuer: expected https://host/… as the provider calls itself (http:// on this machine only), found {text:?}"
            );
            self.problem(issuer.span(), message);
        }
        let client_id = written.client_id.as_ref().map(|id| id.get_ref().clone());
        let Some(client_id) = client_id.filter(|id| (1..=200).contains(&id.len())) else {
            let place = written.client_id.as_ref().map_or_else(|| issuer.span(), Spanned::span);
            self.problem(place, "oidc.client_id: expected this collector's id at the provider");
            return None;
        };
        let secret = written.client_secret_file.as_ref().and_then(|file| self.secret(file));
        let label = written.label.as_ref().map(|label| {
            if !(1..=40).contains(&label.get_ref().trim().chars().count()) {
                self.problem(label.span(), "oidc.label: expected 1 to 40 characters");
            }
            label.get_ref().trim().to_owned()
        });
        let claim = written.role_claim.as_ref().map(|claim| {
            if claim.get_ref().is_empty() {
                self.problem(claim.span(), "oidc.role_claim: expected a claim's name");
            }
            claim.get_ref().clone()
        });
        Some(Oidc {
            issuer: text.clone(),
            client_id,
            secret: secret.map(Secret::new),
            label,
            role_claim: claim.unwrap_or_else(|| "groups".to_owned()),
            roles: self.roles(written),
            scopes: self.scopes(written),
            ca: written.ca_file.as_ref().and_then(|file| self.authority(file)),
            administrators_only,
            redirect: format!("{}/api/v1/oidc/callback", base.trim_end_matches('/')),
        })
    }

    fn password_login(&mut self, written: &written::Oidc) -> bool {
        let Some(word) = &written.password_login else { return false };
        let words = ["all", "administrators"];
        let found = word.get_ref().as_str();
        if !words.contains(&found) {
            let message =
                format!("oidc.password_login: expected all or administrators, found {found:?}");
            self.problem(word.span(), message).hint = did_you_mean(found, words);
        }
        found == "administrators"
    }

    fn roles(&mut self, written: &written::Oidc) -> BTreeMap<String, String> {
        let mut roles = BTreeMap::new();
        for (n, (value, role)) in written.roles.iter().enumerate() {
            if n == MOST_ROLES {
                let message = format!("oidc.roles: expected at most {MOST_ROLES} values");
                self.problem(role.span(), message);
                break;
            }
            let word = role.get_ref();
            if Role::parse(word).is_none() {
                let all = Role::ALL.map(Role::as_str);
                let message = format!("oidc.roles: expected {}, found {word:?}", all.join(", "));
                self.problem(role.span(), message).hint = did_you_mean(word, all);
            }
            roles.insert(value.clone(), word.clone());
        }
        roles
    }

    fn scopes(&mut self, written: &written::Oidc) -> Vec<String> {
        let Some(list) = &written.scopes else {
            return ["openid", "profile"].map(str::to_owned).to_vec();
        };
        let mut scopes = vec!["openid".to_owned()];
        for (n, scope) in list.iter().enumerate() {
            let text = scope.get_ref();
            // RFC 6749, 3.3.
            let fits = text.bytes().all(|b| b.is_ascii_graphic() && !b"\"\\".contains(&b));
            if text.is_empty() || !fits || n >= MOST_SCOPES {
                let message = format!(
                    "oidc.scopes: expected at most {MOST_SCOPES} words such as \"profile\", found {text:?}"
                );
                self.problem(scope.span(), message);
            } else if !scopes.contains(text) {
                scopes.push(text.clone());
            }
        }
        scopes
    }

    fn authority(&mut self, file: &Spanned<String>) -> Option<String> {
        let read = (self.read)(Path::new(file.get_ref())).map_err(|e| e.to_string());
        let good = read.and_then(|pem| {
            tls::read_certificates(pem.as_bytes()).map(|_| pem).map_err(|e| e.to_string())
        });
        match good {
            Ok(pem) => Some(pem),
            Err(why) => {
                self.problem(file.span(), format!("oidc.ca_file: {why}"));
                None
            }
        }
    }
}
