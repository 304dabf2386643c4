//! What a ticket's way does to its clocks.

use super::life::{Life, Rest, State, What};
use super::plan::Plan;

/// States in which a ticket's fault is thought to be mended: leaving them for another one, a clock that they
/// stopped goes on.
const DONE: [&str; 5] = ["resolved", "verified", "confirmed", "closed", "reviewed"];

/// What follows for one clock from the state that the ticket is in now.
pub fn follow(plan: &Plan, name: &str, life: &Life, state: &str) -> Option<What> {
    let stops =
        |word: &str| plan.stops.get(name).is_some_and(|words| words.iter().any(|w| w == word));
    match (life.state(), life.rest()) {
        (State::Dropped, _) => None,
        (_, _) if state == "merged" => Some(What::Merged),
        (_, _) if state == "rejected" => Some(What::Dropped { why: state.to_owned() }),
        (State::Stopped, Some(Rest::Done(by))) => {
            let undone = DONE.contains(&by.as_str()) && !DONE.contains(&state) && !stops(state);
            undone.then_some(What::Continued)
        }
        (State::Running | State::Paused, _) if stops(state) => {
            Some(What::Stopped { by: state.to_owned() })
        }
        (State::Running, _) if plan.pauses.iter().any(|pause| pause == state) => {
            Some(What::Paused { reason: state.to_owned() })
        }
        (State::Paused, Some(Rest::Paused(reason)))
            if !plan.pauses.iter().any(|pause| pause == state) =>
        {
            // What a person paused, a person lets run on.
            plan.pauses.contains(reason).then_some(What::Resumed)
        }
        _ => None,
    }
}

/// What follows for one clock from something that a person did (`comment`).
pub fn deed(plan: &Plan, name: &str, life: &Life, deed: &str) -> Option<What> {
    let going = matches!(life.state(), State::Running | State::Paused);
    let stops = plan.stops.get(name).is_some_and(|words| words.iter().any(|word| word == deed));
    (going && stops).then(|| What::Stopped { by: deed.to_owned() })
}
