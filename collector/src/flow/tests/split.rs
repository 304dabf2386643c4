//! Some of a ticket's faults go to a ticket of their own.

use callhome_shared::severity::Severity;
use callhome_shared::time::Time;

use super::World;
use super::agent::Agent;
use crate::flow::tickets::split::split;
use crate::flow::tickets::{Action, ActionError, desk};
use crate::store::{alarms, links, tickets, timeline};
use crate::ticket::{Refused, State};

fn li(number: &str) -> Action<'_> {
    Action { user: "li", number, at: Time::now() }
}

pub(super) async fn what_is_another_matter_gets_a_ticket_of_its_own(world: World) {
    let mut agent = Agent::new("a-1");
    let (fan, raise_fan) = agent.raise_at("Fan 1", Severity::Minor);
    let (psu, raise_psu) = agent.raise_at("PSU 1", Severity::Critical);
    world.feed([raise_fan, raise_psu]).await;
    let (db, events) = (&world.db, &world.events);
    let (_, one) = desk::merge(db, events, li("T-000002"), 1, "T-000001").await.unwrap();
    world.check().await;
    let go = async |version: i64, alarms: &[String], reason: &str| {
        split(db, events, li("T-000001"), version, alarms, reason).await
    };
    let psu_id = vec![psu.to_string()];
    let old = go(one.version - 1, &psu_id, "another matter").await.unwrap_err();
    assert!(matches!(old, ActionError::Version { .. }), "{old}");
    let why = go(one.version, &psu_id, " ").await.unwrap_err();
    assert!(matches!(why, ActionError::Refused(Refused::CommentRequired)), "{why}");
    for bad in [vec![], vec!["nonsense".to_owned()], vec![psu.to_string(), fan.to_string()]] {
        let wrong = go(one.version, &bad, "another matter").await.unwrap_err();
        assert!(matches!(wrong, ActionError::Wrong("alarms", _)), "{bad:?}: {wrong}");
    }
    let (rest, new) = go(one.version, &psu_id, "another matter").await.unwrap();
    assert_eq!((new.number.as_str(), new.severity.as_str()), ("T-000003", "critical"));
    assert_eq!((new.priority.as_str(), new.resource.as_str()), ("p1", "PSU 1"));
    assert_eq!((rest.recurrences, new.recurrences), (0, 0));
    assert_eq!((rest.condition_cleared_at, new.condition_cleared_at), (None, None));
    world.check().await;
    for (ticket, word, other) in [(&rest, "new", "T-000003"), (&new, "old", "T-000001")] {
        let entries = timeline::of_ticket(db, &ticket.id, 99).await.unwrap();
        let said = entries.iter().find(|entry| entry.what == "split").unwrap();
        let detail: serde_json::Value = serde_json::from_str(&said.detail).unwrap();
        assert_eq!((detail[word].as_str(), said.who.as_str()), (Some(other), "user:li"));
        assert_eq!(detail["text"], "another matter");
    }
    assert_eq!(links::of(db, "T-000003").await.unwrap(), ["T-000001"]);
    // From now on each fault tells its own ticket.
    world.feed([agent.clear(psu, "PSU 1")]).await;
    let all = world.tickets().await;
    assert_eq!(all.len(), 3);
    let of = |number: &str| all.iter().find(|ticket| ticket.number == number).unwrap();
    assert!(of("T-000003").condition_cleared_at.is_some());
    assert!(of("T-000001").condition_cleared_at.is_none());
    let shown = alarms::of_ticket(db, &new.id, 9).await.unwrap();
    assert_eq!(shown.len(), 1);
    world.check().await;
    let found = tickets::get(db, "T-000001").await.unwrap().unwrap();
    world.take("T-000001", &[State::InDiagnosis, State::Resolved, State::Closed]).await;
    let over = go(found.version + 5, &[fan.to_string()], "x").await.unwrap_err();
    assert!(
        matches!(over, ActionError::Version { .. } | ActionError::Refused(Refused::Over)),
        "{over}"
    );
    world.check().await;
}
