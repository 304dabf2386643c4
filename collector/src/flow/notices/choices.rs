//! What people want to be told.

use callhome_shared::id::new_uuid;
use callhome_shared::time::Time;

use super::{MAIL, PLAN, write};
use crate::calendar::Fault;
use crate::notice::{Choices, Event, Facts, Plan};
use crate::store::notices::NoticeRow;
use crate::store::{Db, Remedy, StoreError, duty, meta};

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
pub enum ChoiceError {
    /// Something in it is wrong.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// There is nowhere to send it.
    #[error(
        "no e-mail address of yours is known: a dispatcher, manager or administrator writes it down"
    )]
    NoAddress,
    /// There is nothing to send it with.
    #[error("no mail server is configured")]
    NoMail,
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] StoreError),
}

/// A person's address and choices.
pub async fn of(db: &Db, name: &str) -> Result<(String, Choices), ChoiceError> {
    let mut tx = db.begin().await?;
    let row = duty::one(&mut tx, name).await?;
    tx.rollback().await?;
    let Some(row) = row else { return Ok(Default::default()) };
    Ok((row.mail, serde_json::from_str(&row.choices).unwrap_or_default()))
}

/// A person chooses; answers his address.
pub async fn choose(
    db: &Db,
    name: &str,
    wanted: &Choices,
    at: Time,
) -> Result<String, ChoiceError> {
    wanted.check()?;
    let text = serde_json::to_string(wanted).unwrap_or_default();
    let mut attempt = 1;
    loop {
        let mut tx = db.begin().await?;
        let Some(mut row) = duty::one(&mut tx, name).await? else { return Ok(String::new()) };
        row.choices.clone_from(&text);
        match duty::save_person(&mut tx, &row, at, &format!("user:{name}")).await {
            Err(e) if e.remedy() == Remedy::Again && attempt < 5 => attempt += 1,
            Err(e) => return Err(e.into()),
            Ok(()) => {
                tx.commit().await?;
                return Ok(row.mail);
            }
        }
    }
}

/// Sends a person a notice.
pub async fn try_out(db: &Db, name: &str, at: Time) -> Result<(), ChoiceError> {
    let mut tx = db.begin().await?;
    let plan = meta::get_in(&mut tx, PLAN).await?;
    let plan: Plan = plan.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    if !plan.mail {
        return Err(ChoiceError::NoMail);
    }
    let row = duty::one(&mut tx, name).await?.filter(|row| !row.mail.is_empty());
    let person = row.ok_or(ChoiceError::NoAddress)?;
    let (event, at_text) = (Event::Test.as_str().to_owned(), at.to_string());
    let facts = Facts { event, at: at_text, person: person.display_name, ..Facts::default() };
    let row = NoticeRow {
        id: new_uuid().to_string(),
        ticket_id: String::new(),
        entry_id: new_uuid().to_string(),
        event: facts.event.clone(),
        urgent: true,
        lane: MAIL.to_owned(),
        recipient: person.name,
        language: person.language,
        facts: serde_json::to_string(&facts).unwrap_or_default(),
        state: "waiting".to_owned(),
        created_at: at,
        next_at: at,
        attempts: 0,
        done_at: None,
        result: String::new(),
    };
    write(&mut tx, vec![row]).await?;
    tx.commit().await?;
    Ok(())
}
