//! Which entries of a timeline duty has to do something about.

use serde_json::Value;

use crate::roster::Post;
use crate::store::timeline::Entry;

/// What is new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// A ticket is there, or may be worked on now.
    Open,
    /// It is more urgent.
    Urgent,
    /// What was done did not hold.
    Again,
    /// A level is to look at it; `key`: the clock's step.
    Climb { level: Post, key: Option<String> },
    /// It is a major incident.
    Major,
    /// A person works on it: that is an answer.
    Taken(String),
    /// A person gave it to somebody.
    Given,
    /// Perhaps nobody needs to answer any more.
    Over,
}

pub(super) fn of(entry: &Entry) -> Option<News> {
    const HEARD: [&str; 6] = ["opened", "priority", "escalated", "major", "assigned", "state"];
    if !HEARD.contains(&entry.what.as_str()) {
        return None;
    }
    let detail: Value = serde_json::from_str(&entry.detail).ok()?;
    let text = |key: &str| detail[key].as_str().unwrap_or_default();
    match entry.what.as_str() {
        "opened" => Some(News::Open),
        "priority" => (text("to") < text("from")).then_some(News::Urgent),
        "escalated" => {
            let key = format!("clock:{}:{}@{}", text("clock"), text("to"), text("when"));
            Some(News::Climb { level: Post::parse(text("to"))?, key: Some(key) })
        }
        "major" => detail["major"].as_bool()?.then_some(News::Major),
        "assigned" => entry.who.starts_with("user:").then_some(News::Given),
        _ => state(text("from"), text("to"), text("level"), &entry.who),
    }
}

fn state(from: &str, to: &str, level: &str, who: &str) -> Option<News> {
    match (from, to) {
        ("waiting_approval", "recorded") => Some(News::Open),
        (_, "escalated") => Some(News::Climb { level: Post::parse(level)?, key: None }),
        (_, "in_diagnosis" | "dispatched" | "waiting_customer") => {
            match who.strip_prefix("user:") {
                Some(user) => Some(News::Taken(user.to_owned())),
                None => Some(News::Again),
            }
        }
        (_, "assigned") => None,
        _ => Some(News::Over),
    }
}

#[cfg(test)]
mod tests {
    use callhome_shared::time::Time;
    use serde_json::json;

    use super::*;

    fn entry(who: &str, what: &str, detail: Value) -> Entry {
        Entry {
            id: "e".into(),
            ticket_id: "t".into(),
            at: Time(0),
            who: who.into(),
            what: what.into(),
            detail: detail.to_string(),
        }
    }

    #[test]
    fn what_is_news_and_what_is_not() {
        let by = |who: &str, what: &str, detail: Value| of(&entry(who, what, detail));
        assert_eq!(by("agent:a", "opened", json!({})), Some(News::Open));
        assert_eq!(by("agent:a", "severity", json!({})), None);
        let more = json!({ "from": "p3", "to": "p1" });
        assert_eq!(by("collector", "priority", more), Some(News::Urgent));
        assert_eq!(by("user:li", "priority", json!({ "from": "p1", "to": "p2" })), None);
        let step = json!({ "clock": "restore", "to": "manager", "when": "+30min" });
        let key = Some("clock:restore:manager@+30min".to_owned());
        let climb = News::Climb { level: Post::Manager, key };
        assert_eq!(by("collector", "escalated", step), Some(climb));
        let asked = json!({ "from": "in_diagnosis", "to": "escalated", "level": "engineering" });
        let climb = News::Climb { level: Post::L3, key: None };
        assert_eq!(by("user:li", "state", asked), Some(climb));
        let back = json!({ "from": "resolved", "to": "in_diagnosis" });
        assert_eq!(by("collector", "state", back.clone()), Some(News::Again));
        assert_eq!(by("user:li", "state", back), Some(News::Taken("li".into())));
        let to = json!({ "from": null, "to": "wang" });
        assert_eq!(by("user:li", "assigned", to.clone()), Some(News::Given));
        assert_eq!(by("collector", "assigned", to), None);
        let done = json!({ "from": "in_diagnosis", "to": "resolved" });
        assert_eq!(by("user:li", "state", done), Some(News::Over));
        assert_eq!(by("user:li", "major", json!({ "major": false })), None);
        assert_eq!(by("user:li", "opened", json!({})), Some(News::Open));
    }
}
