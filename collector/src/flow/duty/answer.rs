//! Somebody answers: one click.

use callhome_shared::time::Time;
use serde_json::json;
use tokio::sync::broadcast;

use crate::flow::Event;
use crate::flow::tickets::{self as actions, Action, ActionError};
use crate::roster::Post;
use crate::store::calls::{self, CallRow};
use crate::store::tickets::TicketRow;
use crate::store::{Db, StoreError, Tx, duty, tickets};
use crate::ticket::{self, Entry, Refused, State};

/// Answers the calls of a ticket: those to this person, and those to nobody above his post. `take`: who answers
/// works on it from then on; without it he only knows of it.
pub async fn acknowledge(
    db: &Db,
    events: &broadcast::Sender<Event>,
    action: Action<'_>,
    take: bool,
) -> Result<TicketRow, ActionError> {
    let mut attempt = 1;
    loop {
        match once(db, action, take).await {
            Err(ActionError::Store(e)) if actions::again(&e, attempt) => attempt += 1,
            Ok(row) => return Ok(actions::tell(events, row)),
            Err(e) => return Err(e),
        }
    }
}

async fn once(db: &Db, action: Action<'_>, take: bool) -> Result<TicketRow, ActionError> {
    let mut tx = db.begin().await?;
    let found = tickets::get_in(&mut tx, action.number).await?;
    let mut row = found.ok_or_else(|| ActionError::NotFound(action.number.to_owned()))?;
    let mut standing = actions::standing_of(&row)?;
    if standing.state.is_over() {
        return Err(Refused::Over.into());
    }
    let post = post_of(&mut tx, action.user).await?;
    let answered = answer(&mut tx, &row.id, action.user, post, action.at).await?;
    let waits = take && standing.state == State::Recorded;
    if answered.is_empty() && !waits {
        let why = "nobody was called for it, or somebody has answered".to_owned();
        return Err(ActionError::NotNow(why));
    }
    let steps: Vec<&str> = answered.iter().map(|call| super::word_of(&call.step)).collect();
    let detail =
        json!({ "steps": steps, "level": answered.first().map(|call| call.level.clone()) });
    let mut entries = vec![Entry { what: "acknowledged", detail }];
    if take && standing.state != State::WaitingApproval {
        let mine = row.assignee.as_deref() == Some(action.user);
        let said = ticket::assign(&mut standing, row.assignee.as_deref(), action.user, action.at)?;
        // It is his already: only that he takes it up is new.
        entries.extend(said.into_iter().filter(|entry| !(mine && entry.what == "assigned")));
        row.assignee = Some(action.user.to_owned());
    }
    actions::put_standing(&mut row, &standing);
    let who = format!("user:{}", action.user);
    actions::write(&mut tx, &mut row, &who, action.at, entries).await?;
    tx.commit().await?;
    Ok(row)
}

/// Where a person stands by his role.
pub(super) async fn post_of(tx: &mut Tx, user: &str) -> Result<Option<Post>, StoreError> {
    let person = duty::one(tx, user).await?;
    Ok(person.and_then(|person| Post::of_role(&person.role)))
}

/// Ends the calls that this person's answer is enough for.
pub(super) async fn answer(
    tx: &mut Tx,
    ticket: &str,
    user: &str,
    post: Option<Post>,
    at: Time,
) -> Result<Vec<CallRow>, StoreError> {
    let all = calls::of_ticket(tx, ticket).await?;
    let may = |call: &CallRow| {
        let level = Post::parse(&call.level).unwrap_or(Post::Manager);
        call.ended_at.is_none() && (call.person == user || post.is_some_and(|post| level <= post))
    };
    let answered: Vec<CallRow> = all.into_iter().filter(may).collect();
    for call in &answered {
        calls::end(tx, &call.id, "answered", &format!("user:{user}"), at).await?;
    }
    Ok(answered)
}
