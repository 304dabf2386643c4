//! What a person wants to be told, and when not.

use callhome_shared::time::Time;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Event;
use crate::calendar::{Fault, Window, Zone, zone};

/// What a person wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Choices {
    /// Whether by mail.
    pub mail: bool,
    /// What is not wanted: `assigned`, `warning`, …
    #[serde(default)]
    pub without: Vec<String>,
    /// When what is not urgent waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub quiet: Option<Quiet>,
}

impl Default for Choices {
    fn default() -> Self {
        Choices { mail: true, without: Vec::new(), quiet: None }
    }
}

/// Hours of every day in which what is not urgent waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Quiet {
    /// `"22:00-07:00"`.
    pub hours: String,
    /// By whose clocks, `Asia/Shanghai`.
    pub time_zone: String,
}

impl Quiet {
    /// Says what is wrong with it.
    pub fn check(&self) -> Result<(), Fault> {
        Window::parse(&self.hours).map_err(|why| Fault::new("hours", why))?;
        zone::zone(&self.time_zone).map_err(|e| Fault::new("time_zone", e.to_string()))?;
        Ok(())
    }
}

impl Choices {
    /// Says what is wrong with them.
    pub fn check(&self) -> Result<(), Fault> {
        if self.without.len() > Event::ALL.len() {
            return Err(Fault::new("without", format!("expected at most {}", Event::ALL.len())));
        }
        for (n, name) in self.without.iter().enumerate() {
            super::words::known_event(name)
                .map_err(|why| Fault::new(format!("without[{n}]"), why))?;
        }
        self.quiet.as_ref().map_or(Ok(()), |quiet| quiet.check().map_err(|f| f.within("quiet")))
    }

    /// Whether this is wanted by mail.
    pub fn wants(&self, event: Event) -> bool {
        self.mail && !self.without.iter().any(|name| name == event.as_str())
    }
}

/// Until when a notice waits; `urgent`: of a P1 or a major incident, which never does.
pub fn held_until(quiet: Option<&Quiet>, urgent: bool, now: Time) -> Option<Time> {
    let quiet = quiet.filter(|_| !urgent)?;
    let window = Window::parse(&quiet.hours).ok()?;
    let zone = zone::zone(&quiet.time_zone).unwrap_or_else(|_| Zone::utc());
    let (from, to) = window.minutes();
    let today = zone.day(now);
    (today - 1..=today).find_map(|day| {
        let (from, to) = (zone.moment(day, from), zone.moment(day, to));
        (from <= now && now < to).then_some(to)
    })
}
