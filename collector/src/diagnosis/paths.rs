//! Paths that were not proven in time: when that is a fault, and what its ticket says. Pure.

use std::collections::BTreeMap;

use callhome_shared::alarm::{Alarm, Device, Identity, Message};
use callhome_shared::limits::MAX_ID_BYTES;
use callhome_shared::probe::{PATH_TYPE, PathState, overdue_ms};
use callhome_shared::severity::Severity;
use callhome_shared::time::Time;
use uuid::Uuid;

use super::own::{self, Finding, seconds};

/// A step of the clock between two looks that is longer than this, ms, beyond the usual: time in which
/// nobody listened, or a clock that was set.
const JUMP_MS: i64 = 10_000;

/// Since when each path is expected without a break. It is not missed for the time in which its agent was
/// silent (that is a ticket of its own), did not probe it, or did so at another pace, or in which this
/// collector did not run.
#[derive(Debug, Default)]
pub struct Heard {
    /// By agent and source: since when, and the interval, seconds.
    since: BTreeMap<String, BTreeMap<String, (Time, u64)>>,
    looked: Option<Time>,
}

impl Heard {
    /// A look at those that are connected, and their paths; `every_ms`: the usual time between two looks.
    pub fn look<'a>(
        &mut self,
        online: impl Iterator<Item = (&'a str, &'a [PathState])>,
        now: Time,
        every_ms: i64,
    ) {
        let step = self.looked.map_or(0, |before| now.since_ms(before));
        let mut before = std::mem::take(&mut self.since);
        if !(0..=every_ms + JUMP_MS).contains(&step) {
            before.clear();
        }
        for (agent, paths) in online {
            let known = before.get(agent);
            let since = |path: &PathState| {
                let before = known.and_then(|all| all.get(&path.source));
                before.filter(|(_, interval)| *interval == path.interval_s).map_or(now, |b| b.0)
            };
            let paths =
                paths.iter().map(|path| (path.source.clone(), (since(path), path.interval_s)));
            self.since.insert(agent.to_owned(), paths.collect());
        }
        self.looked = Some(now);
    }

    /// Whether a path was proven too long ago: `newest` is its last proof.
    pub fn misses(&self, agent: &str, source: &str, newest: Option<Time>, now: Time) -> bool {
        let path = self.since.get(agent).and_then(|all| all.get(source));
        let Some((since, interval_s)) = path else { return false };
        let base = newest.map_or(*since, |proof| proof.max(*since));
        now.since_ms(base) >= overdue_ms(*interval_s)
    }
}

/// Longest word of an agent on why a path is stuck, characters.
const MAX_DETAIL: usize = 500;

/// Whether an agent's name for a source can be told: as its configuration allows them.
pub fn is_name(source: &str) -> bool {
    (1..=MAX_ID_BYTES).contains(&source.len()) && !source.chars().any(char::is_control)
}

/// The identity of the fault: the one that the agent's own alarm of the same path has, so that both are
/// one case.
pub fn identity(agent: &str, source: &str) -> String {
    let identity = Identity {
        device: agent.to_owned(),
        resource: source.to_owned(),
        kind: PATH_TYPE.to_owned(),
        qualifier: String::new(),
    };
    super::identity(agent, &identity, false)
}

/// The alarm that says so, as of `now`: `path` is what the agent's heartbeat says of it, `newest` its last
/// proof.
pub fn alarm(
    agent: &str,
    path: &PathState,
    newest: Option<Time>,
    alarm_id: Uuid,
    now: Time,
) -> Alarm {
    let source = &path.source;
    let mut arguments = BTreeMap::from([
        ("source".to_owned(), source.clone()),
        ("interval_s".to_owned(), path.interval_s.to_string()),
    ]);
    let mut text = format!("the path of source {source} to a ticket is not proven");
    match newest {
        Some(at) => {
            let at = seconds(at);
            text.push_str(&format!("; last proof: {at}"));
            arguments.insert("last".to_owned(), at);
        }
        None => text.push_str("; it never was"),
    }
    if let Some(missing) = &path.missing {
        let hop = missing.hop.as_str();
        let detail: String = missing.detail.chars().take(MAX_DETAIL).collect();
        text.push_str(&format!("; stuck at {hop} by the agent's word: {detail}"));
        arguments.insert("hop".to_owned(), hop.to_owned());
        arguments.insert("detail".to_owned(), detail);
    }
    let finding = Finding {
        kind: PATH_TYPE,
        severity: Severity::Major,
        device: Device { id: agent.to_owned(), name: agent.to_owned(), ..Device::default() },
        resource: source.clone(),
        message: Message { key: "path.missed".to_owned(), arguments },
        text,
        since: newest,
        repair: None,
    };
    own::alarm(finding, alarm_id, now)
}

/// A fault of this kind that the collector has raised and that stands.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    /// Since when.
    pub since: Time,
    /// The path's last proof.
    pub newest: Option<Time>,
    /// The agent may not speak any more.
    pub revoked: bool,
    /// The agent is connected and does not prove this path (any more): its list, which leaves nothing out,
    /// does not name it.
    pub given_up: bool,
}

/// Why it is over, if it is: a stable word. An agent that is away changes nothing: it may come back with
/// the same fault.
pub fn over(standing: &Standing) -> Option<&'static str> {
    if standing.newest.is_some_and(|proof| proof > standing.since) {
        Some("proven")
    } else if standing.revoked {
        Some("revoked")
    } else if standing.given_up {
        Some("not-probed")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn over_is_what_was_proven_since_or_is_not_to_be_proven() {
        let at = |s: i64| Time(s * 1000);
        let standing = Standing { since: at(10), newest: None, revoked: false, given_up: false };
        assert_eq!(over(&standing), None);
        assert_eq!(over(&Standing { newest: Some(at(10)), ..standing }), None);
        assert_eq!(over(&Standing { newest: Some(at(11)), ..standing }), Some("proven"));
        assert_eq!(over(&Standing { revoked: true, ..standing }), Some("revoked"));
        assert_eq!(over(&Standing { given_up: true, ..standing }), Some("not-probed"));
    }

    fn path(source: &str, interval_s: u64) -> PathState {
        PathState {
            source: source.to_owned(),
            kind: "serial".to_owned(),
            interval_s,
            proven_at: None,
            ticket: None,
            took_ms: None,
            p50_ms: None,
            p99_ms: None,
            samples: 0,
            missing: None,
        }
    }

    fn at(s: i64) -> Time {
        Time(s * 1000)
    }

    fn look(heard: &mut Heard, from: i64, to: i64, online: &[(&str, &[PathState])]) {
        for s in from..=to {
            heard.look(online.iter().copied(), at(s), 1000);
        }
    }

    #[test]
    fn silence_restarts_and_clock_jumps_are_not_held_against_a_path() {
        let mut heard = Heard::default();
        let tty = [path("tty", 100)];
        let a: &[(&str, &[PathState])] = &[("a", &tty)];
        look(&mut heard, 0, 100, a);
        assert!(!heard.misses("a", "tty", None, at(174)), "not yet, since the start");
        assert!(heard.misses("a", "tty", None, at(175)));
        assert!(!heard.misses("a", "tty", Some(at(50)), at(224)));
        assert!(heard.misses("a", "tty", Some(at(50)), at(225)));
        assert!(
            heard.misses("a", "tty", Some(at(-5000)), at(175)),
            "before the start counts no more"
        );
        assert!(!heard.misses("b", "tty", None, at(100_000)), "never heard");
        look(&mut heard, 101, 300, &[]);
        assert!(!heard.misses("a", "tty", None, at(300)), "silent: that is another ticket");
        look(&mut heard, 301, 400, a);
        assert!(!heard.misses("a", "tty", Some(at(90)), at(475)), "back since 301");
        assert!(heard.misses("a", "tty", Some(at(90)), at(476)));
        look(&mut heard, 90_000, 90_010, a);
        assert!(!heard.misses("a", "tty", None, at(90_010)), "the clock jumped");
        look(&mut heard, 80_000, 80_010, a);
        assert!(!heard.misses("a", "tty", None, at(80_010)), "and back");
    }

    #[test]
    fn a_new_source_or_another_pace_begins_anew() {
        let mut heard = Heard::default();
        look(&mut heard, 0, 300, &[("a", &[path("tty", 100)])]);
        assert!(heard.misses("a", "tty", Some(at(100)), at(301)));
        look(&mut heard, 301, 301, &[("a", &[path("tty", 100), path("log", 100)])]);
        assert!(!heard.misses("a", "log", None, at(475)));
        assert!(heard.misses("a", "log", None, at(476)));
        look(&mut heard, 302, 310, &[("a", &[path("tty", 10), path("log", 100)])]);
        assert!(!heard.misses("a", "tty", Some(at(100)), at(319)));
        assert!(heard.misses("a", "tty", Some(at(100)), at(320)));
    }
}
