//! Notices: who is told what, when, in which words and shapes. Pure.
//!
//! [`Choices`] are a person's, [`Outlet`]s are the configuration's; [`text`](words::text) makes words of
//! [`Facts`], [`shapes`] what each kind of receiver takes, [`pace`](pace::pace) what may go at once.

mod choices;
pub mod pace;
pub mod shapes;
mod words;

pub use choices::{Choices, Quiet, held_until};
pub use words::{Language, summary, text};

use serde::{Deserialize, Serialize};

/// What is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Event {
    /// A ticket is there.
    Opened,
    /// It is somebody's.
    Assigned,
    /// Somebody is asked to answer.
    Called,
    /// Nobody is there to be asked.
    Nobody,
    /// Somebody did not answer.
    CallExpired,
    /// A level is to look at it.
    Escalated,
    /// A limit nears its end.
    Warning,
    /// A limit was missed.
    Breach,
    /// A manager has to decide.
    Approval,
    /// It is a major incident.
    Major,
    /// It is resolved.
    Resolved,
    /// A person tries the way.
    Test,
}

impl Event {
    /// All that can be chosen.
    pub const ALL: [Event; 11] = [
        Event::Opened,
        Event::Assigned,
        Event::Called,
        Event::Nobody,
        Event::CallExpired,
        Event::Escalated,
        Event::Warning,
        Event::Breach,
        Event::Approval,
        Event::Major,
        Event::Resolved,
    ];

    /// The name in rows, in the configuration and on the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Event::Opened => "opened",
            Event::Assigned => "assigned",
            Event::Called => "called",
            Event::Nobody => "nobody",
            Event::CallExpired => "call_expired",
            Event::Escalated => "escalated",
            Event::Warning => "warning",
            Event::Breach => "breach",
            Event::Approval => "approval",
            Event::Major => "major",
            Event::Resolved => "resolved",
            Event::Test => "test",
        }
    }

    /// Reads [`Event::as_str`] back.
    pub fn parse(text: &str) -> Option<Self> {
        Event::ALL.into_iter().chain([Event::Test]).find(|event| event.as_str() == text)
    }
}

/// How a receiver is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// JSON of our own, signed.
    Webhook,
    /// JSON as Prometheus' Alertmanager sends it (version 4), signed.
    Alertmanager,
    /// A group robot of WeCom.
    Wecom,
    /// A group robot of DingTalk.
    Dingtalk,
    /// A group robot of Feishu.
    Feishu,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 5] =
        [Kind::Webhook, Kind::Alertmanager, Kind::Wecom, Kind::Dingtalk, Kind::Feishu];

    /// The name in rows and in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Webhook => "webhook",
            Kind::Alertmanager => "alertmanager",
            Kind::Wecom => "wecom",
            Kind::Dingtalk => "dingtalk",
            Kind::Feishu => "feishu",
        }
    }

    /// Reads [`Kind::as_str`] back.
    pub fn parse(text: &str) -> Option<Self> {
        Kind::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// A receiver that the configuration names, as far as it decides what is written: no address, no secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outlet {
    /// Its name.
    pub name: String,
    /// How it is spoken to.
    pub kind: Kind,
    /// `zh-CN` or `en`.
    pub language: String,
    /// What it is told.
    pub events: Vec<String>,
    /// When it is not told what is not urgent.
    pub quiet: Option<Quiet>,
}

/// What the configuration says of notices.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Whether mail can be sent.
    pub mail: bool,
    /// The receivers.
    pub outlets: Vec<Outlet>,
}

/// What a notice says, as it was when it was written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// See [`Event`].
    pub event: String,
    /// When it happened, RFC 3339.
    pub at: String,
    /// The ticket's number.
    pub number: String,
    /// Where it stands.
    pub state: String,
    /// `p1` … `p4`.
    pub priority: String,
    /// The worst severity of its alarms.
    pub severity: String,
    /// Whether it is a major incident.
    pub major: bool,
    /// The device's name.
    pub device: String,
    /// Its part.
    pub resource: String,
    /// The kind of fault.
    pub kind: String,
    /// The site.
    pub site: String,
    /// The customer.
    pub customer: String,
    /// The first line of what the device says.
    pub text: String,
    /// When the ticket was opened, RFC 3339.
    pub opened_at: String,
    /// Whom it is about: his name.
    pub person: String,
    /// His telephone number, for robots that can call people.
    pub phone: String,
    /// The level.
    pub level: String,
    /// Which limit.
    pub clock: String,
    /// Until when, RFC 3339.
    pub until: String,
}

#[cfg(test)]
mod tests;
