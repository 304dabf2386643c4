//! `[collector]`: the ways to the collector, their proxies, who we are and how patient.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use callhome_shared::config_error::Problem;

use super::check::Checker;
use super::network;
use super::written::{self, Text};
use crate::enrol::ending::Limits;
use crate::enrol::identity::Enrolment;
use crate::settings::{LinkSettings, Proxy, ProxyLogin, Road};

/// More ways to one collector are a mistake.
const MAX_ROADS: usize = 16;

/// The written keys of one proxy; `key` is what they are called in messages.
struct WrittenProxy<'a> {
    proxy: Option<&'a Text>,
    user: Option<&'a Text>,
    password_file: Option<&'a Text>,
    key: String,
}

impl Checker<'_> {
    pub(super) fn link(
        &mut self,
        collector: &written::Collector,
        state_dir: &Path,
    ) -> LinkSettings {
        let identity = state_dir.join("identity");
        let proxy = self.proxy(&WrittenProxy {
            proxy: collector.proxy.as_ref(),
            user: collector.proxy_user.as_ref(),
            password_file: collector.proxy_password_file.as_ref(),
            key: "collector".to_owned(),
        });
        let roads = match &collector.mqtt {
            Some(text) => self.single(text, collector, proxy.as_ref()),
            None if collector.road.is_empty() => self.enrolled(&identity, proxy.as_ref()),
            None => self.listed(&collector.road, proxy.as_ref()),
        };
        let mut file = |written: &Option<Text>, key: &str, name: &str| match written {
            Some(text) => self.path(text, key),
            None => identity.join(name),
        };
        LinkSettings {
            ca_file: file(&collector.ca_file, "collector.ca_file", "ca.pem"),
            certificate_file: file(
                &collector.certificate_file,
                "collector.certificate_file",
                "agent.pem",
            ),
            key_file: file(&collector.key_file, "collector.key_file", "agent.key"),
            roads,
            proxy,
            tries: collector.tries,
            failback: Duration::from_secs(collector.failback_s),
            socket_dir: state_dir.join("link"),
            backoff: (
                Duration::from_millis(collector.backoff_first_ms),
                Duration::from_secs(collector.backoff_max_s),
            ),
            ack_timeout: Duration::from_secs(collector.ack_timeout_s),
            keep_alive: Duration::from_secs(collector.keep_alive_s),
            ending: Limits {
                warning_days: collector.certificate_warning_days,
                major_days: collector.certificate_major_days,
            },
        }
    }

    /// `collector.mqtt`.
    fn single(
        &mut self,
        text: &Text,
        collector: &written::Collector,
        proxy: Option<&Arc<Proxy>>,
    ) -> Vec<Arc<Road>> {
        if let Some(road) = collector.road.first() {
            let message = "collector.road: not together with collector.mqtt: make it a road, too";
            self.problem(road.url.span(), message);
        }
        if !text.get_ref().starts_with("mqtts://") {
            let found = text.get_ref();
            let message = format!("collector.mqtt: expected mqtts://host:port, found {found:?}");
            let other = ["wss://", "https://"].iter().any(|scheme| found.starts_with(scheme));
            let hint = other.then(|| "[[collector.road]] takes it as url".to_owned());
            self.problem_with(text.span(), message, hint);
            return Vec::new();
        }
        self.road(text, "collector.mqtt", proxy.cloned()).into_iter().collect()
    }

    /// `[[collector.road]]`.
    fn listed(
        &mut self,
        written: &[written::Road],
        default: Option<&Arc<Proxy>>,
    ) -> Vec<Arc<Road>> {
        let mut roads: Vec<Arc<Road>> = Vec::new();
        for (i, written) in written.iter().enumerate() {
            let key = format!("collector.road[{}]", i + 1);
            if i == MAX_ROADS {
                let message = format!("{key}: expected at most {MAX_ROADS} roads");
                self.problem(written.url.span(), message);
                break;
            }
            let own = WrittenProxy {
                proxy: written.proxy.as_ref().filter(|text| !text.get_ref().is_empty()),
                user: written.proxy_user.as_ref(),
                password_file: written.proxy_password_file.as_ref(),
                key: key.clone(),
            };
            let own_proxy = self.proxy(&own);
            let proxy = if written.proxy.is_some() { own_proxy } else { default.cloned() };
            let Some(road) = self.road(&written.url, &format!("{key}.url"), proxy) else {
                continue;
            };
            match roads.iter().position(|other| *other == road) {
                Some(other) => {
                    let message = format!("{key}.url: is road {} already", other + 1);
                    self.problem(written.url.span(), message);
                }
                None => roads.push(road),
            }
        }
        roads
    }

    fn road(&mut self, text: &Text, key: &str, proxy: Option<Arc<Proxy>>) -> Option<Arc<Road>> {
        match network::road(text.get_ref()) {
            Ok(road) => Some(Arc::new(Road { proxy, ..road })),
            Err(why) => {
                self.problem(text.span(), format!("{key}: {why}, found {:?}", text.get_ref()));
                None
            }
        }
    }

    fn proxy(&mut self, written: &WrittenProxy<'_>) -> Option<Arc<Proxy>> {
        let WrittenProxy { proxy, user, password_file, key } = written;
        let Some(text) = proxy else {
            for (name, stray) in [("proxy_user", user), ("proxy_password_file", password_file)] {
                if let Some(stray) = stray {
                    let message = format!("{key}.{name}: only together with {key}.proxy");
                    self.problem(stray.span(), message);
                }
            }
            return None;
        };
        let login = match (user, password_file) {
            (None, None) => None,
            (Some(user), Some(file)) => {
                if user.get_ref().is_empty()
                    || user.get_ref().contains(|c: char| c == ':' || c.is_control())
                {
                    let message =
                        format!("{key}.proxy_user: expected a name without ':' (RFC 7617)");
                    self.problem(user.span(), message);
                }
                let password = self.secret(file, &format!("{key}.proxy_password_file"));
                password.map(|password| ProxyLogin { user: user.get_ref().clone(), password })
            }
            (Some(user), None) => {
                let message = format!("{key}.proxy_user: needs {key}.proxy_password_file");
                self.problem(user.span(), message);
                None
            }
            (None, Some(file)) => {
                let message = format!("{key}.proxy_password_file: needs {key}.proxy_user");
                self.problem(file.span(), message);
                None
            }
        };
        match network::proxy(text.get_ref()) {
            Ok((host, port)) => Some(Arc::new(Proxy { host, port, login })),
            Err(why) => {
                let message = format!("{key}.proxy: {why}, found {:?}", shown(text.get_ref()));
                self.problem(text.span(), message);
                if text.get_ref().contains('@')
                    && let Some(problem) = self.problems.last_mut()
                {
                    // The line holds what looks like a password.
                    problem.excerpt.clear();
                }
                None
            }
        }
    }

    /// What the enrolment learnt; nothing where the agent is not enrolled yet. A broken file is a
    /// problem of its own.
    fn enrolled(&mut self, identity: &Path, proxy: Option<&Arc<Proxy>>) -> Vec<Arc<Road>> {
        let path = identity.join("enrolment.toml");
        let name = path.display().to_string();
        let Some(text) = self.read_file(&path) else { return Vec::new() };
        let enrolment: Enrolment = match callhome_shared::config_error::parse_toml(&name, &text) {
            Ok(enrolment) => enrolment,
            Err(problem) => {
                self.problems.push(problem);
                return Vec::new();
            }
        };
        let mut roads = Vec::new();
        for url in enrolment.roads() {
            match network::road(&url) {
                Ok(road) => roads.push(Arc::new(Road { proxy: proxy.cloned(), ..road })),
                Err(why) => {
                    let at = text.find(url.as_str()).unwrap_or_default();
                    self.problems.push(Problem::at(&name, &text, at..at, why.to_owned()));
                }
            }
        }
        roads
    }
}

/// A URL with a password in it is not repeated.
fn shown(url: &str) -> &str {
    url.rsplit_once('@').map_or(url, |(_, place)| place)
}
