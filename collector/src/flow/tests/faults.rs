//! What alarms make of tickets.

use callhome_shared::alarm::{Alarm, Transition};
use callhome_shared::id::new_uuid;
use callhome_shared::severity::Severity;

use super::World;
use super::agent::{Agent, alarm};
use crate::ticket::State;

pub(super) async fn recurrence_attaches_and_clears_the_mark(world: World) {
    let mut agent = Agent::new("a-1");
    let (first, raise) = agent.raise("PSU 1");
    world.feed([raise, agent.clear(first, "PSU 1")]).await;
    assert!(world.ticket().await.condition_cleared_at.is_some());
    let (_, again) = agent.raise("PSU 1");
    let answers = world.feed([again]).await;
    assert_eq!(answers.receipts[0].ticket, "T-000001");
    let ticket = world.ticket().await;
    assert_eq!((ticket.recurrences, ticket.condition_cleared_at), (1, None));
    assert_eq!(world.timeline(&ticket).await, ["opened", "cleared", "recurred"]);
    world.check().await;
}

pub(super) async fn severity_rises_and_never_falls(world: World) {
    let mut agent = Agent::new("a-1");
    let (id, raise) = agent.raise("PSU 1");
    world.feed([raise]).await;
    world.feed([agent.change(id, "PSU 1", Severity::Critical)]).await;
    world.feed([agent.change(id, "PSU 1", Severity::Warning)]).await;
    let ticket = world.ticket().await;
    assert_eq!((ticket.severity.as_str(), ticket.priority.as_str()), ("critical", "p1"));
    assert_eq!(world.timeline(&ticket).await, ["opened", "severity", "priority"]);
    let shown = crate::store::alarms::get(&world.db, &id.to_string()).await.unwrap().unwrap();
    assert_eq!(shown.alarm.severity, "warning", "the alarm itself shows its present severity");
    assert_eq!(shown.ticket.as_deref(), Some("T-000001"));
    assert_eq!(ticket.version, 2);
    world.check().await;
}

pub(super) async fn clearing_does_not_close(world: World) {
    let mut agent = Agent::new("a-1");
    let (one, raise_one) = agent.raise("PSU 1");
    let (two, raise_two) = agent.raise("PSU 1");
    world.feed([raise_one, raise_two]).await;
    world.feed([agent.clear(one, "PSU 1")]).await;
    assert_eq!(world.ticket().await.condition_cleared_at, None, "the other one stands");
    world.feed([agent.clear(two, "PSU 1")]).await;
    let ticket = world.ticket().await;
    assert!(ticket.condition_cleared_at.is_some());
    assert_eq!(ticket.state, "recorded");
    assert_eq!(world.timeline(&ticket).await, ["opened", "recurred", "cleared"]);
    world.check().await;
}

pub(super) async fn a_fault_after_closing_opens_another_ticket(world: World) {
    let mut agent = Agent::new("a-1");
    let (id, raise) = agent.raise("PSU 1");
    world.feed([raise, agent.clear(id, "PSU 1")]).await;
    world.take("T-000001", &[State::InDiagnosis, State::Resolved, State::Closed]).await;
    let answers = world.feed([agent.raise("PSU 1").1]).await;
    assert_eq!(answers.receipts[0].ticket, "T-000002");
    let all = world.tickets().await;
    assert_eq!((all[0].state.as_str(), all[1].state.as_str()), ("closed", "recorded"));
    world.check().await;
}

pub(super) async fn a_resolved_ticket_is_opened_again_by_the_fault(world: World) {
    let mut agent = Agent::new("a-1");
    let (id, raise) = agent.raise("PSU 1");
    world.feed([raise, agent.clear(id, "PSU 1")]).await;
    world.take("T-000001", &[State::InDiagnosis, State::Resolved]).await;
    world.feed([agent.raise("PSU 1").1]).await;
    let ticket = world.ticket().await;
    assert_eq!((ticket.state.as_str(), ticket.resolved_at), ("in_diagnosis", None));
    let timeline = world.timeline(&ticket).await;
    assert_eq!(timeline, ["opened", "cleared", "state", "state", "recurred", "state"]);
    world.check().await;
}

pub(super) async fn a_clear_without_its_raise_is_a_ticket_too(world: World) {
    let mut agent = Agent::new("a-1");
    let (id, raise) = agent.raise("PSU 1");
    let clear = agent.clear(id, "PSU 1");
    world.feed([clear]).await;
    let ticket = world.ticket().await;
    assert!(ticket.condition_cleared_at.is_some());
    assert_eq!(world.timeline(&ticket).await, ["opened", "cleared"]);
    world.feed([raise]).await;
    let ticket = world.ticket().await;
    assert!(ticket.condition_cleared_at.is_some(), "the late raise does not bring it back");
    assert_eq!(ticket.recurrences, 0);
    // A change without its raise is a raise.
    world.feed([agent.change(new_uuid(), "PSU 2", Severity::Major)]).await;
    let all = world.tickets().await;
    assert_eq!((all.len(), all[1].condition_cleared_at), (2, None));
    world.check().await;
}

pub(super) async fn getting_worse_opens_a_closed_ticket_again(world: World) {
    let mut agent = Agent::new("a-1");
    let way = [State::InDiagnosis, State::Resolved, State::Closed];
    let (id, raise) = agent.raise("PSU 1");
    world.feed([raise]).await;
    world.take("T-000001", &way).await;
    world.feed([agent.change(id, "PSU 1", Severity::Critical)]).await;
    let ticket = world.ticket().await;
    assert_eq!((ticket.state.as_str(), ticket.closed_at), ("in_diagnosis", None));
    world.check().await;
    // Not when the fault has a newer ticket: there it is seen.
    let (other, raise) = agent.raise("PSU 2");
    world.feed([raise]).await;
    world.take("T-000002", &way).await;
    world.feed([agent.raise("PSU 2").1]).await;
    world.feed([agent.change(other, "PSU 2", Severity::Critical)]).await;
    let states: Vec<String> = world.tickets().await.into_iter().map(|t| t.state).collect();
    assert_eq!(states, ["in_diagnosis", "closed", "recorded"]);
    world.check().await;
}

pub(super) async fn tests_are_apart(world: World) {
    let mut agent = Agent::new("a-1");
    world.feed([agent.raise("PSU 1").1]).await;
    let test = Alarm { test: true, ..alarm(new_uuid(), "PSU 1", Transition::Raised) };
    let answers = world.feed([agent.alarm(&test)]).await;
    assert_eq!(answers.receipts[0].ticket, "T-000002");
    let all = world.tickets().await;
    assert_eq!((all[0].test, all[1].test), (false, true));
    world.check().await;
}
