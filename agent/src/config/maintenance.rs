//! `[[maintenance]]`.

use std::collections::BTreeSet;

use callhome_shared::config_error::did_you_mean;
use callhome_shared::time::Time;
use jiff::civil::{self, Weekday};
use jiff::tz::TimeZone;

use super::check::Checker;
use super::written::{Day, Maintenance, Text};
use crate::hold::{Scope, When, Window};

impl Checker<'_> {
    /// The windows of maintenance.
    pub(super) fn maintenance(&mut self, written: &[Maintenance]) -> Vec<Window> {
        let mut windows: Vec<Window> = Vec::new();
        for (i, one) in written.iter().enumerate() {
            let at = format!("maintenance[{}]", i + 1);
            let id = self.id(&one.name, &format!("{at}.name"));
            let number = id.strip_prefix('m').unwrap_or_default();
            if !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) {
                let message = format!("{at}.name: {id:?} is for one that a person begins");
                self.problem(one.name.span(), message);
            }
            if windows.iter().any(|window| window.id == id) {
                self.problem(one.name.span(), format!("{at}.name: {id:?} is taken already"));
            }
            let scope = self.scope(one, &at);
            let reason = self.word(&one.reason, &format!("{at}.reason"));
            let by = "configuration".to_owned();
            if let Some(when) = self.when(one, &at) {
                windows.push(Window { id, scope, when, reason, by });
            }
        }
        windows
    }

    fn scope(&mut self, one: &Maintenance, at: &str) -> Scope {
        for name in &one.devices {
            self.device(name, &format!("{at}.devices"));
        }
        let sites: BTreeSet<String> =
            self.devices.values().filter_map(|device| device.site.clone()).collect();
        for site in one.sites.iter().filter(|site| !sites.contains(site.get_ref())) {
            let known = sites.iter().map(String::as_str);
            let hint = did_you_mean(site.get_ref(), known);
            let message = format!("{at}.sites: no device is at the site {:?}", site.get_ref());
            self.problem_with(site.span(), message, hint);
        }
        let names = |texts: &[Text]| texts.iter().map(|text| text.get_ref().clone()).collect();
        Scope { devices: names(&one.devices), sites: names(&one.sites) }
    }

    fn when(&mut self, one: &Maintenance, at: &str) -> Option<When> {
        let weekly = !one.days.is_empty() || one.at.is_some() || one.for_s.is_some();
        match (&one.from, &one.until, weekly) {
            (Some(from), Some(until), false) => {
                let begins = self.moment(from, &format!("{at}.from"));
                let ends = self.moment(until, &format!("{at}.until"));
                let (begins, ends) = (begins?, ends?);
                if ends <= begins {
                    self.problem(until.span(), format!("{at}.until: expected a time after from"));
                }
                if let Some(zone) = &one.timezone {
                    let message = format!("{at}.timezone: from and until have their own");
                    self.problem(zone.span(), message);
                }
                Some(When::Once { from: begins, until: ends })
            }
            (None, None, true) => self.weekly(one, at),
            _ => {
                let message =
                    format!("{at}: expected either from and until, or days, at and for_s");
                self.problem(one.name.span(), message);
                None
            }
        }
    }

    fn weekly(&mut self, one: &Maintenance, at: &str) -> Option<When> {
        let (Some(time), Some(for_s), false) = (&one.at, &one.for_s, one.days.is_empty()) else {
            let message = format!("{at}: every week needs days, at and for_s");
            self.problem(one.name.span(), message);
            return None;
        };
        let begins = civil::Time::strptime("%H:%M", time.get_ref());
        if begins.is_err() {
            let found = time.get_ref();
            let message = format!("{at}.at: expected a time such as 02:30, found {found:?}");
            self.problem(time.span(), message);
        }
        let zone = match &one.timezone {
            None => TimeZone::system(),
            Some(name) => match TimeZone::get(name.get_ref()) {
                Ok(zone) => zone,
                Err(error) => {
                    let found = name.get_ref();
                    let message = format!("{at}.timezone: {found:?} is not known here: {error}");
                    let hint = Some("expected a name such as Asia/Shanghai".to_owned());
                    self.problem_with(name.span(), message, hint);
                    return None;
                }
            },
        };
        let length_ms = i64::try_from(for_s.get_ref().saturating_mul(1000)).unwrap_or(i64::MAX);
        let days = one.days.iter().map(|day| weekday(*day)).collect();
        Some(When::Weekly { days, at: begins.ok()?, length_ms, zone })
    }

    fn moment(&mut self, text: &Text, key: &str) -> Option<Time> {
        let time = Time::parse(text.get_ref());
        if time.is_err() {
            let found = text.get_ref();
            let message = format!(
                "{key}: expected a time such as 2026-12-01T02:00:00+08:00, found {found:?}"
            );
            self.problem(text.span(), message);
        }
        time.ok()
    }
}

fn weekday(day: Day) -> Weekday {
    match day {
        Day::Monday => Weekday::Monday,
        Day::Tuesday => Weekday::Tuesday,
        Day::Wednesday => Weekday::Wednesday,
        Day::Thursday => Weekday::Thursday,
        Day::Friday => Weekday::Friday,
        Day::Saturday => Weekday::Saturday,
        Day::Sunday => Weekday::Sunday,
    }
}
