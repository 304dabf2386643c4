//! `[service]`.

use super::check::{Checker, Text};
use super::written;
use crate::calendar::zone::zone;
use crate::clock::{Promise, is_name};

impl Checker<'_> {
    /// Names are looked for when the collector starts: plans and calendars are in the database.
    pub(super) fn service(&mut self, written: &written::Service) -> Promise {
        let plan = match &written.plan {
            Some(plan) if plan.get_ref().is_empty() => String::new(),
            plan => self.word(plan, "service.plan").unwrap_or_else(|| "carrier".to_owned()),
        };
        let calendar = self.word(&written.calendar, "service.calendar");
        let time_zone = written.time_zone.as_ref().and_then(|name| match zone(name.get_ref()) {
            Ok(zone) => Some(zone.name().to_owned()),
            Err(unknown) => {
                let message = format!(
                    "service.time_zone: expected an IANA time zone such as \"Asia/Shanghai\", found {:?}",
                    unknown.name
                );
                self.problem(name.span(), message).hint = unknown.hint;
                None
            }
        });
        Promise { plan, calendar, time_zone }
    }

    fn word(&mut self, written: &Text, key: &str) -> Option<String> {
        let name = written.as_ref()?;
        if !is_name(name.get_ref()) {
            let found = name.get_ref();
            let message =
                format!("{key}: expected 1 to 40 letters a-z, digits, _ or -, found {found:?}");
            self.problem(name.span(), message);
            return None;
        }
        Some(name.get_ref().clone())
    }
}
