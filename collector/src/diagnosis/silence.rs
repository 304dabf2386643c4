//! An agent that is no longer heard: when that is a fault, and what its ticket says. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use callhome_shared::alarm::{Alarm, Device, Message};
use callhome_shared::severity::Severity;
use callhome_shared::time::Time;
use uuid::Uuid;

use super::own::{self, Finding, seconds};

/// So many heartbeats missed are a fault.
pub const MISSED: i64 = 5;
/// Its alarm type.
pub const KIND: &str = "agent-silent";
/// Other agents of the site count as silent after so many: they may have fallen silent moments later.
pub const QUIET: i64 = 2;
/// Longest step of the wall clock between two looks that is not a jump.
const JUMP: Duration = Duration::from_secs(2);

/// What is known about a silent agent.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// Its id.
    pub agent: &'a str,
    /// When it was heard last.
    pub since: Time,
    /// Between its heartbeats, seconds.
    pub interval_s: i64,
    /// How it left: `stopped`, `lost`, or without a word.
    pub departed: Option<&'a str>,
    /// Active alarms by its last heartbeat.
    pub alarms: Option<u64>,
    /// Envelopes that waited in its outbox then.
    pub waiting: Option<u64>,
    /// Customer.
    pub customer: Option<&'a str>,
    /// Its site.
    pub site: Option<&'a str>,
    /// The other agents of the site, and how many of them are silent too.
    pub others: (i64, i64),
}

/// What the site's other agents say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Site {
    /// There are none, or the site is not known.
    Nobody,
    /// All others are silent too: the site's line or power.
    All,
    /// Some are.
    Some,
    /// None is: it is this agent.
    Heard,
}

/// Judges the site.
pub fn site((others, silent): (i64, i64)) -> Site {
    match (others, silent) {
        (..=0, _) => Site::Nobody,
        (_, ..=0) => Site::Heard,
        (others, silent) if silent >= others => Site::All,
        _ => Site::Some,
    }
}

/// The alarm that says so, as of `now`.
pub fn alarm(facts: &Facts<'_>, alarm_id: Uuid, now: Time) -> Alarm {
    let (message, text) = words(facts);
    let owned = |text: Option<&str>| text.map(str::to_owned);
    let device = Device {
        id: facts.agent.to_owned(),
        name: facts.agent.to_owned(),
        site: owned(facts.site),
        customer: owned(facts.customer),
        ..Device::default()
    };
    let finding = Finding {
        kind: KIND,
        severity: Severity::Major,
        device,
        resource: String::new(),
        message,
        text,
        since: Some(facts.since),
        repair: None,
    };
    own::alarm(finding, alarm_id, now)
}

/// The catalogue's key with its arguments, and the same in plain English.
fn words(facts: &Facts<'_>) -> (Message, String) {
    let (word, left) = match facts.departed {
        Some("stopped") => ("stopped", "it was stopped on purpose"),
        Some("lost") => ("lost", "its connection was lost"),
        _ => ("quiet", "it went without a word"),
    };
    let since = seconds(facts.since);
    let mut text = format!("agent {} has been silent since {since}: {left}", facts.agent);
    let mut arguments = BTreeMap::from([
        ("agent".to_owned(), facts.agent.to_owned()),
        ("since".to_owned(), since),
        ("interval_s".to_owned(), facts.interval_s.to_string()),
    ]);
    if let (Some(alarms), Some(waiting)) = (facts.alarms, facts.waiting) {
        arguments.insert("last_alarms".to_owned(), alarms.to_string());
        arguments.insert("last_waiting".to_owned(), waiting.to_string());
        text.push_str(&format!("; last known: {alarms} active alarms, {waiting} messages waiting"));
    }
    let (others, silent) = facts.others;
    let name = facts.site.unwrap_or_default();
    let mut said = |argument: &str, value: String, words: String| {
        arguments.insert("site".to_owned(), name.to_owned());
        arguments.insert("others".to_owned(), others.to_string());
        arguments.insert(argument.to_owned(), value);
        text.push_str("; ");
        text.push_str(&words);
    };
    match site(facts.others) {
        Site::Nobody => {}
        Site::All => said(
            "all_silent",
            silent.to_string(),
            format!(
                "all {others} other agents of site {name} are silent too: likely the site's line or power"
            ),
        ),
        Site::Some => said(
            "some_silent",
            silent.to_string(),
            format!("{silent} of {others} other agents of site {name} are silent too"),
        ),
        Site::Heard => said(
            "all_heard",
            others.to_string(),
            format!("the other {others} agents of site {name} are heard"),
        ),
    }
    (Message { key: format!("agent.silent.{word}"), arguments }, text)
}

/// For how long this collector has been able to hear agents, without a break. Silence is only judged
/// by who has listened: after a start, a stall, a jump of the clock, or while nothing could be heard or
/// stored, agents get the time to be heard anew.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ear {
    /// On both clocks: since when, and at the last look.
    since: Option<Duration>,
    last: Option<(Duration, Time)>,
}

impl Ear {
    /// A look: `steady` is a clock that nobody sets, `wall` the one that times are written by, `every`
    /// what should be between two looks. Answers for how long it has listened.
    pub fn listen(
        &mut self,
        hears: bool,
        steady: Duration,
        wall: Time,
        every: Duration,
    ) -> Duration {
        let broken = self.last.is_none_or(|(before, at)| {
            let passed = steady.saturating_sub(before);
            let by_wall = Duration::from_millis(wall.since_ms(at).unsigned_abs());
            let back = wall < at;
            passed > every * 4 || back || by_wall.abs_diff(passed) > JUMP
        });
        self.last = Some((steady, wall));
        if broken || !hears {
            self.since = None;
        }
        match (hears, self.since) {
            (false, _) => Duration::ZERO,
            (true, since) => steady.saturating_sub(*self.since.insert(since.unwrap_or(steady))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts<'static> {
        Facts {
            agent: "a-1",
            since: Time(1_769_846_400_123),
            interval_s: 30,
            departed: Some("lost"),
            alarms: Some(3),
            waiting: Some(0),
            customer: None,
            site: Some("SH-01"),
            others: (4, 4),
        }
    }

    #[test]
    fn the_words_tell_how_it_left_and_whether_the_site_is_gone() {
        let one = alarm(&facts(), Uuid::nil(), Time(5));
        one.validate().unwrap();
        assert_eq!(one.message.key, "agent.silent.lost");
        assert_eq!(
            one.text,
            "agent a-1 has been silent since 2026-01-31 08:00:00 UTC: its connection was lost; last \
             known: 3 active alarms, 0 messages waiting; all 4 other agents of site SH-01 are silent \
             too: likely the site's line or power"
        );
        let key = |departed| words(&Facts { departed, ..facts() }).0.key;
        assert_eq!(key(Some("stopped")), "agent.silent.stopped");
        assert_eq!(key(None), "agent.silent.quiet");
        for (others, judged, argument) in [
            ((0, 0), Site::Nobody, None),
            ((4, 4), Site::All, Some("all_silent")),
            ((4, 5), Site::All, Some("all_silent")),
            ((4, 1), Site::Some, Some("some_silent")),
            ((4, 0), Site::Heard, Some("all_heard")),
        ] {
            assert_eq!(site(others), judged);
            let arguments = words(&Facts { others, ..facts() }).0.arguments;
            for name in ["all_silent", "some_silent", "all_heard"] {
                assert_eq!(arguments.contains_key(name), argument == Some(name), "{others:?}");
            }
        }
    }

    #[test]
    fn only_who_has_listened_judges() {
        let every = Duration::from_secs(5);
        let mut ear = Ear::default();
        let mut look = |hears, steady: u64, wall: i64| {
            ear.listen(hears, Duration::from_secs(steady), Time(wall * 1000), every).as_secs()
        };
        assert_eq!(look(true, 100, 1000), 0, "it has just started");
        assert_eq!(look(true, 105, 1005), 5);
        assert_eq!(look(true, 110, 1010), 10);
        assert_eq!(look(true, 115, 87_415), 0, "the clock jumped a day ahead");
        assert_eq!(look(true, 120, 87_420), 5);
        assert_eq!(look(true, 125, 1025), 0, "and back");
        assert_eq!(look(true, 130, 1030), 5);
        assert_eq!(look(true, 230, 1130), 0, "it was stopped for a while");
        assert_eq!(look(true, 235, 1135), 5);
        assert_eq!(look(false, 240, 1140), 0, "its broker is gone");
        assert_eq!(look(false, 245, 1145), 0);
        assert_eq!(look(true, 250, 1150), 0);
        assert_eq!(look(true, 255, 1155), 5);
    }
}
