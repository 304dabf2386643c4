//! The only place where MQTT topics are built and read.

use crate::id::AgentId;

/// What an agent publishes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Up {
    /// Alarm lane.
    Event,
    /// Bulk lane.
    Bulk,
    /// Heartbeats and the last will.
    Heartbeat,
}

/// What an agent subscribes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Down {
    /// Acknowledgements.
    Ack,
    /// Receipts.
    Receipt,
    /// Resync, configuration, maintenance.
    Control,
}

impl Up {
    fn name(self) -> &'static str {
        match self {
            Up::Event => "event",
            Up::Bulk => "bulk",
            Up::Heartbeat => "heartbeat",
        }
    }

    /// `callhome/v1/<agent>/up/<name>`.
    pub fn topic(self, agent: &AgentId) -> String {
        format!("callhome/v1/{agent}/up/{}", self.name())
    }

    /// Reads [`Up::topic`] back.
    pub fn parse(topic: &str) -> Option<(AgentId, Up)> {
        let (agent, rest) = topic.strip_prefix("callhome/v1/")?.split_once('/')?;
        let up = [Up::Event, Up::Bulk, Up::Heartbeat]
            .into_iter()
            .find(|u| rest.strip_prefix("up/") == Some(u.name()))?;
        Some((AgentId::new(agent).ok()?, up))
    }
}

impl Down {
    /// The topic's last part.
    pub fn name(self) -> &'static str {
        match self {
            Down::Ack => "ack",
            Down::Receipt => "receipt",
            Down::Control => "control",
        }
    }

    /// `callhome/v1/<agent>/down/<name>`.
    pub fn topic(self, agent: &AgentId) -> String {
        format!("callhome/v1/{agent}/down/{}", self.name())
    }

    /// Reads [`Down::name`] back.
    pub fn from_name(name: &str) -> Option<Down> {
        [Down::Ack, Down::Receipt, Down::Control].into_iter().find(|d| d.name() == name)
    }

    /// Which of `agent`'s own topics this is.
    pub fn parse(topic: &str, agent: &AgentId) -> Option<Down> {
        [Down::Ack, Down::Receipt, Down::Control].into_iter().find(|d| d.topic(agent) == topic)
    }
}

/// What an agent subscribes: `callhome/v1/<agent>/down/#`.
pub fn down_filter(agent: &AgentId) -> String {
    format!("callhome/v1/{agent}/down/#")
}

/// What a collector subscribes on an external broker.
pub const UP_FILTER: &str = "callhome/v1/+/up/#";

/// Whether `agent` may publish to `topic` (also as last will).
pub fn may_publish(agent: &AgentId, topic: &str) -> bool {
    Up::parse(topic).is_some_and(|(owner, _)| owner == *agent) || is_session(agent, topic, "up")
}

/// Whether `agent` may subscribe `filter`: only filters inside its own `down/`, no shared groups.
pub fn may_subscribe(agent: &AgentId, filter: &str) -> bool {
    filter.strip_prefix(&format!("callhome/v1/{agent}/down/")).is_some_and(|rest| !rest.is_empty())
}

/// What [`may_publish`] and [`may_subscribe`] allow, as topic filters: for a broker that keeps rights
/// of its own. A filter in `subscribe` also stands for every filter inside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filters {
    /// Topics that may be published to.
    pub publish: Vec<String>,
    /// Filters that may be subscribed, and from which messages are received.
    pub subscribe: Vec<String>,
}

/// An agent's rights as filters.
pub fn agent_filters(agent: &AgentId) -> Filters {
    let mut publish: Vec<String> =
        [Up::Event, Up::Bulk, Up::Heartbeat].iter().map(|up| up.topic(agent)).collect();
    publish.push(format!("callhome/v1/{agent}/up/session/+"));
    Filters { publish, subscribe: vec![down_filter(agent)] }
}

/// A collector's rights on an external broker.
pub fn collector_filters() -> Filters {
    Filters {
        publish: vec!["callhome/v1/+/down/#".to_owned()],
        subscribe: vec![UP_FILTER.to_owned()],
    }
}

fn is_session(agent: &AgentId, topic: &str, direction: &str) -> bool {
    topic
        .strip_prefix(&format!("callhome/v1/{agent}/{direction}/session/"))
        .is_some_and(|id| !id.is_empty() && !id.contains(['/', '+', '#']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_table() {
        let a = AgentId::new("a").unwrap();
        for (topic, allowed) in [
            ("callhome/v1/a/up/event", true),
            ("callhome/v1/a/up/bulk", true),
            ("callhome/v1/a/up/heartbeat", true),
            ("callhome/v1/a/up/session/7", true),
            ("callhome/v1/a/up/session/", false),
            ("callhome/v1/a/up/other", false),
            ("callhome/v1/b/up/event", false),
            ("callhome/v1/a/down/ack", false),
            ("callhome/v1/a/up/event/x", false),
            ("$SYS/x", false),
        ] {
            assert_eq!(may_publish(&a, topic), allowed, "{topic}");
        }
        for (filter, allowed) in [
            ("callhome/v1/a/down/#", true),
            ("callhome/v1/a/down/ack", true),
            ("callhome/v1/a/down/", false),
            ("callhome/v1/b/down/#", false),
            ("callhome/v1/+/down/#", false),
            ("$share/collectors/callhome/v1/+/up/#", false),
            ("$share/g/callhome/v1/a/down/#", false),
            ("#", false),
            ("+/+/a/down/#", false),
        ] {
            assert_eq!(may_subscribe(&a, filter), allowed, "{filter}");
        }
        let filters = agent_filters(&a);
        for topic in ["event", "bulk", "heartbeat", "session/7", "session/7/8", "other", "session"]
        {
            let topic = format!("callhome/v1/a/up/{topic}");
            let listed = filters.publish.iter().any(|f| match f.strip_suffix('+') {
                Some(before) => {
                    topic.strip_prefix(before).is_some_and(|r| !r.is_empty() && !r.contains('/'))
                }
                None => *f == topic,
            });
            assert_eq!(listed, may_publish(&a, &topic), "{topic}");
        }
        assert!(filters.subscribe.iter().all(|f| may_subscribe(&a, f)));
        assert_eq!(Up::parse("callhome/v1/a/up/event"), Some((a.clone(), Up::Event)));
        assert_eq!(Down::parse("callhome/v1/a/down/ack", &a), Some(Down::Ack));
        assert_eq!(Down::parse("callhome/v1/b/down/ack", &a), None);
    }

    proptest::proptest! {
        /// Whatever a topic is, it is never another agent's.
        #[test]
        fn prop_only_inside_its_own_branch(topic in "(\\$share/g/)?(callhome/v1/)?[ab+#$]{0,2}/(up|down|\\+|#)(/(event|session/.{0,3}|#|\\+))?.{0,4}") {
            let a = AgentId::new("a").unwrap();
            if may_publish(&a, &topic) {
                proptest::prop_assert!(topic.starts_with("callhome/v1/a/up/"));
                proptest::prop_assert!(!topic.contains(['+', '#']));
            }
            if may_subscribe(&a, &topic) {
                proptest::prop_assert!(topic.starts_with("callhome/v1/a/down/"));
            }
            let _ = Up::parse(&topic);
            let _ = Down::parse(&topic, &a);
        }

        #[test]
        fn no_text_panics(topic in ".{0,80}") {
            let a = AgentId::new("a").unwrap();
            let _ = (may_publish(&a, &topic), may_subscribe(&a, &topic), Up::parse(&topic));
        }
    }
}
