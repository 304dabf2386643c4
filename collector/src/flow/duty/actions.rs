//! What people do about duty: who they are, swaps, absence. Each says who, when and why.

use callhome_shared::config_error::did_you_mean;
use callhome_shared::id::new_uuid;
use callhome_shared::time::Time;

use crate::masters::list;
use crate::roster::Post;
use crate::store::duty::{self as rows, AbsenceRow, PersonRow, ShiftRow, SwapRow};
use crate::store::{Db, Remedy, StoreError, Tx};

/// Longest reason, address, number; characters.
const MAX_TEXT: usize = 200;
/// Longest list of skills, sites or customers, characters.
const MAX_LIST: usize = 4000;
/// Longest absence: two years.
const MAX_ABSENCE_MS: i64 = 2 * 366 * 86_400_000;

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
pub enum DutyError {
    /// What is written down is wrong.
    #[error("{0}: {1}")]
    Wrong(&'static str, String),
    /// There is none.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// Somebody was faster.
    #[error("it was changed by somebody else; its version is {0} now")]
    Version(i64),
    /// Another person's.
    #[error("only the person, a dispatcher or a manager does this")]
    NotYours,
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] StoreError),
}

/// Who acts, and when.
#[derive(Clone, Copy, Debug)]
pub struct By<'a> {
    /// The user's name.
    pub user: &'a str,
    /// Whether he may do it for others: dispatcher, manager, administrator.
    pub for_others: bool,
    /// When.
    pub at: Time,
}

/// What is written down of a person.
#[derive(Clone, Debug, Default)]
pub struct Details {
    /// E-mail address.
    pub mail: String,
    /// Telephone number.
    pub phone: String,
    /// Skills.
    pub skills: Vec<String>,
    /// Sites.
    pub sites: Vec<String>,
    /// Customers.
    pub customers: Vec<String>,
}

/// Writes what is known of a person, whom somebody saw at `version`.
pub async fn put_person(
    db: &Db,
    name: &str,
    version: i64,
    details: &Details,
    by: By<'_>,
) -> Result<PersonRow, DutyError> {
    let mut tx = db.begin().await?;
    let mut row = rows::one(&mut tx, name).await?.ok_or(DutyError::NotFound("person"))?;
    if row.version != version {
        return Err(DutyError::Version(row.version));
    }
    row.mail = mail(&details.mail)?;
    row.phone = line("phone", &details.phone)?;
    row.skills = joined("skills", &details.skills)?;
    row.sites = joined("sites", &details.sites)?;
    row.customers = joined("customers", &details.customers)?;
    match rows::save_person(&mut tx, &row, by.at, &format!("user:{}", by.user)).await {
        Err(StoreError::Changed(_)) => return Err(DutyError::Version(version + 1)),
        done => done?,
    }
    row.version += 1;
    tx.commit().await?;
    Ok(row)
}

/// Reads an e-mail address; nothing is one, too.
fn mail(text: &str) -> Result<String, DutyError> {
    let text = line("mail", text)?;
    let good = text
        .split_once('@')
        .is_some_and(|(name, host)| !name.is_empty() && host.contains('.') && !host.contains('@'));
    let plain = text.chars().all(|c| c.is_ascii_graphic() && !"<>()[],;:\\\"".contains(c));
    if text.is_empty() || good && plain {
        return Ok(text);
    }
    Err(DutyError::Wrong(
        "mail",
        format!("expected an address such as li@example.com, found {text:?}"),
    ))
}

fn line(key: &'static str, text: &str) -> Result<String, DutyError> {
    let text = text.trim();
    if text.chars().count() > MAX_TEXT || text.chars().any(char::is_control) {
        let why = format!("expected one line of at most {MAX_TEXT} characters");
        return Err(DutyError::Wrong(key, why));
    }
    Ok(text.to_owned())
}

fn joined(key: &'static str, all: &[String]) -> Result<String, DutyError> {
    let text = all.iter().flat_map(|one| list(one)).collect::<Vec<_>>().join(";");
    if text.chars().count() > MAX_LIST || text.chars().any(char::is_control) {
        return Err(DutyError::Wrong(key, format!("expected at most {MAX_LIST} characters")));
    }
    Ok(text)
}

fn reason(text: &str) -> Result<String, DutyError> {
    let text = line("reason", text)?;
    if text.is_empty() {
        return Err(DutyError::Wrong("reason", "expected why, in one line".to_owned()));
    }
    Ok(text)
}

/// Gives a published shift to another person, or for another shift.
pub async fn swap(
    db: &Db,
    shift: &str,
    to: Option<&str>,
    other: Option<&str>,
    why: &str,
    by: By<'_>,
) -> Result<(), DutyError> {
    let why = reason(why)?;
    let mut attempt = 1;
    loop {
        match try_swap(db, shift, to, other, &why, by).await {
            Err(DutyError::Store(e)) if e.remedy() == Remedy::Again && attempt < 5 => attempt += 1,
            done => return done,
        }
    }
}

async fn try_swap(
    db: &Db,
    shift: &str,
    to: Option<&str>,
    other: Option<&str>,
    why: &str,
    by: By<'_>,
) -> Result<(), DutyError> {
    let mut tx = db.begin().await?;
    let given = coming(&mut tx, shift, by.at).await?;
    if !by.for_others && given.person != by.user {
        return Err(DutyError::NotYours);
    }
    match (to, other) {
        (Some(to), None) => hand_over(&mut tx, &given, to, None, why, by).await?,
        (None, Some(other)) => {
            let taken = coming(&mut tx, other, by.at).await?;
            if taken.person == given.person {
                let text = format!("{} has both shifts", given.person);
                return Err(DutyError::Wrong("other", text));
            }
            hand_over(&mut tx, &given, &taken.person, Some(&taken.id), why, by).await?;
            hand_over(&mut tx, &taken, &given.person, Some(&given.id), why, by).await?;
        }
        _ => {
            let text = "expected either a person or another shift".to_owned();
            return Err(DutyError::Wrong("to", text));
        }
    }
    tx.commit().await?;
    Ok(())
}

/// A shift that is not over.
async fn coming(tx: &mut Tx, id: &str, now: Time) -> Result<ShiftRow, DutyError> {
    let row = rows::shift_of(tx, id).await?.ok_or(DutyError::NotFound("published shift"))?;
    if row.to <= now {
        return Err(DutyError::Wrong("shift", "it is over".to_owned()));
    }
    Ok(row)
}

async fn hand_over(
    tx: &mut Tx,
    shift: &ShiftRow,
    to: &str,
    other: Option<&str>,
    why: &str,
    by: By<'_>,
) -> Result<(), DutyError> {
    let level = Post::parse(&shift.level).unwrap_or(Post::Manager);
    let people = rows::people(tx).await?;
    let Some(person) = people.iter().find(|p| p.name == to && !p.disabled) else {
        let hint = did_you_mean(to, people.iter().map(|p| p.name.as_str()));
        let hint = hint.map(|hint| format!(": {hint}")).unwrap_or_default();
        let found: String = to.chars().take(64).collect();
        return Err(DutyError::Wrong(
            "to",
            format!("expected somebody in service, found {found:?}{hint}"),
        ));
    };
    if !level.may_be(&person.role) {
        let text = format!("{to} is {}, who does not do the work of {}", person.role, shift.level);
        return Err(DutyError::Wrong("to", text));
    }
    if shift.person == to {
        return Err(DutyError::Wrong("to", format!("{to} has it already")));
    }
    if !rows::give(tx, &shift.id, &shift.person, to).await? {
        return Err(StoreError::Changed("shift").into());
    }
    let row = SwapRow {
        id: new_uuid().to_string(),
        shift_id: shift.id.clone(),
        other_id: other.map(str::to_owned),
        from_person: shift.person.clone(),
        to_person: to.to_owned(),
        reason: why.to_owned(),
        at: by.at,
        who: format!("user:{}", by.user),
    };
    Ok(rows::add_swap(tx, &row).await?)
}

/// Somebody will not be there.
pub async fn absent(
    db: &Db,
    person: &str,
    (from, to): (Time, Time),
    why: &str,
    by: By<'_>,
) -> Result<AbsenceRow, DutyError> {
    let why = reason(why)?;
    if !by.for_others && person != by.user {
        return Err(DutyError::NotYours);
    }
    if to <= from || to <= by.at || to.since_ms(from) > MAX_ABSENCE_MS {
        let text =
            "expected an end after the beginning and after now, two years later at most".to_owned();
        return Err(DutyError::Wrong("until", text));
    }
    let mut tx = db.begin().await?;
    if rows::one(&mut tx, person).await?.is_none() {
        return Err(DutyError::NotFound("person"));
    }
    let standing =
        rows::absences(&mut tx, by.at, Time(i64::MAX), super::board::MOST_ABSENCES).await?;
    if i64::try_from(standing.len()).unwrap_or(i64::MAX) >= super::board::MOST_ABSENCES {
        let text = format!("there are {} absences ahead already", standing.len());
        return Err(DutyError::Wrong("from", text));
    }
    let row = AbsenceRow {
        id: new_uuid().to_string(),
        person: person.to_owned(),
        from,
        to,
        reason: why,
        created_at: by.at,
        created_by: format!("user:{}", by.user),
    };
    rows::add_absence(&mut tx, &row).await?;
    tx.commit().await?;
    Ok(row)
}

/// Somebody will be there after all.
pub async fn present(db: &Db, id: &str, by: By<'_>) -> Result<(), DutyError> {
    let mut tx = db.begin().await?;
    let row = rows::absence_of(&mut tx, id).await?.ok_or(DutyError::NotFound("absence"))?;
    if !by.for_others && row.person != by.user {
        return Err(DutyError::NotYours);
    }
    if !rows::end_absence(&mut tx, id, by.at, &format!("user:{}", by.user)).await? {
        return Err(DutyError::NotFound("absence"));
    }
    tx.commit().await?;
    Ok(())
}
