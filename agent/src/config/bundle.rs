//! `[bundle]`: limits, and where bundles go.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::check::{Checker, MIB};
use super::network;
use super::written;
use crate::bundle::{Approve, Limits, Settings};
use crate::enrol::identity::Enrolment;
use crate::settings::{LinkSettings, Road, RoadKind};

impl Checker<'_> {
    pub(super) fn bundle(
        &mut self,
        written: &written::Bundle,
        link: &LinkSettings,
        state_dir: &Path,
    ) -> Settings {
        let budget = *written.budget_mib.get_ref();
        if budget < written.max_mib {
            let max = written.max_mib;
            let message = format!(
                "bundle.budget_mib: expected at least bundle.max_mib ({max}), found {budget}"
            );
            self.problem(written.budget_mib.span(), message);
        }
        Settings {
            limits: Limits {
                max_bytes: written.max_mib * MIB,
                budget_bytes: budget * MIB,
                keep: Duration::from_secs(written.keep_days * 86_400),
            },
            approve: match written.approve {
                written::Approve::Hold => Approve::Hold,
                written::Approve::Auto => Approve::Auto,
            },
            rate: written.max_bytes_per_s,
            roads: self.bundle_roads(written, link, state_dir),
        }
    }

    /// The given address; else the roads that are HTTPS, as they are; else those whose port speaks it, too;
    /// else the address that the enrolment went to.
    fn bundle_roads(
        &mut self,
        written: &written::Bundle,
        link: &LinkSettings,
        state_dir: &Path,
    ) -> Vec<Arc<Road>> {
        if let Some(text) = &written.url {
            return match network::road(text.get_ref()) {
                Ok(road) if road.kind == RoadKind::Post => {
                    vec![Arc::new(Road { proxy: link.proxy.clone(), ..road })]
                }
                Ok(_) => {
                    let found = text.get_ref();
                    let message =
                        format!("bundle.url: expected https://host:port, found {found:?}");
                    self.problem(text.span(), message);
                    Vec::new()
                }
                Err(why) => {
                    let message = format!("bundle.url: {why}, found {:?}", text.get_ref());
                    self.problem(text.span(), message);
                    Vec::new()
                }
            };
        }
        let of = |kind: RoadKind| {
            let same = |road: &&Arc<Road>| road.kind == kind;
            let https = |road: &Arc<Road>| {
                let path = String::new();
                Arc::new(Road { kind: RoadKind::Post, path, ..Road::clone(road) })
            };
            link.roads.iter().filter(same).map(https).collect::<Vec<_>>()
        };
        let (https, secure) = (of(RoadKind::Post), of(RoadKind::WebSocket));
        if !https.is_empty() || !secure.is_empty() {
            return if https.is_empty() { secure } else { https };
        }
        // A file that cannot be read was told of with the roads.
        let text = self.read_file(&state_dir.join("identity").join("enrolment.toml"));
        let enrolment = text.and_then(|text| toml::from_str::<Enrolment>(&text).ok());
        let road = enrolment.and_then(|enrolment| network::road(&enrolment.collector).ok());
        let proxied = |road| Arc::new(Road { proxy: link.proxy.clone(), ..road });
        road.filter(|road| road.kind == RoadKind::Post).map(proxied).into_iter().collect()
    }
}
