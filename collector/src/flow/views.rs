//! Views of the queue that people keep, for themselves or for everybody.

use callhome_shared::config_error::did_you_mean;
use callhome_shared::id::new_uuid;
use callhome_shared::time::Time;

use crate::store::views::{self, ViewRow};
use crate::store::{Db, StoreError, Tx};

/// Views of one person.
pub const MAX_OWN: i64 = 50;
/// Views that everybody sees.
pub const MAX_SHARED: i64 = 200;
/// Longest name, characters.
const MAX_NAME: usize = 60;
/// Longest query, bytes.
pub const MAX_QUERY: usize = 2000;
/// Columns of the queue beside the number.
pub const COLUMNS: [&str; 11] = [
    "severity",
    "priority",
    "what",
    "device",
    "resource",
    "site",
    "state",
    "assignee",
    "left",
    "opened",
    "recurrences",
];

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// There is none, or it is another person's own.
    #[error("there is no such view")]
    NotFound,
    /// Somebody was faster; its version now.
    #[error("it was changed by somebody else; its version is {0} now")]
    Version(i64),
    /// Its owner, or a manager, changes it.
    #[error("only its owner or a manager changes a shared view")]
    NotYours,
    /// A person has one of that name.
    #[error("there is a view of the name {0:?} already")]
    Exists(String),
    /// There is no room.
    #[error("{0}")]
    Full(String),
    /// A field is wrong.
    #[error("{0}: {1}")]
    Wrong(&'static str, String),
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] StoreError),
}

/// Who keeps it.
#[derive(Clone, Copy, Debug)]
pub struct Keeper<'a> {
    /// A user's name.
    pub user: &'a str,
    /// May change what others share.
    pub manager: bool,
    /// When.
    pub at: Time,
}

/// What is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// What people call it.
    pub name: String,
    /// Everybody sees it.
    pub shared: bool,
    /// As in the address of `GET /api/v1/tickets`: whoever calls has looked at it.
    pub query: String,
    /// Columns that are shown, in their order.
    pub columns: Vec<String>,
}

fn checked(wish: &Wish) -> Result<Wish, ViewError> {
    let name = wish.name.trim();
    if !(1..=MAX_NAME).contains(&name.chars().count()) || name.chars().any(char::is_control) {
        let text = format!("expected one line of 1 to {MAX_NAME} characters");
        return Err(ViewError::Wrong("name", text));
    }
    for (place, column) in wish.columns.iter().enumerate() {
        if !COLUMNS.contains(&column.as_str()) {
            let shown: String = column.chars().take(40).collect();
            let hint = did_you_mean(&shown, COLUMNS).map(|h| format!(": {h}")).unwrap_or_default();
            let text = format!("expected some of {}, found {shown:?}{hint}", COLUMNS.join(", "));
            return Err(ViewError::Wrong("columns", text));
        }
        if wish.columns.iter().take(place).any(|before| before == column) {
            return Err(ViewError::Wrong("columns", format!("{column} is there twice")));
        }
    }
    if wish.query.len() > MAX_QUERY {
        return Err(ViewError::Wrong("query", format!("expected at most {MAX_QUERY} bytes")));
    }
    Ok(Wish { name: name.to_owned(), ..wish.clone() })
}

/// Keeps a new one.
pub async fn keep(db: &Db, wish: &Wish, keeper: Keeper<'_>) -> Result<ViewRow, ViewError> {
    let Wish { name, shared, query, columns } = checked(wish)?;
    let mut tx = db.begin().await?;
    room(&mut tx, keeper.user, true, shared).await?;
    let row = ViewRow {
        id: new_uuid().to_string(),
        owner: keeper.user.to_owned(),
        name,
        shared,
        query,
        columns,
        version: 1,
        updated_at: keeper.at,
        updated_by: keeper.user.to_owned(),
    };
    save(tx, row).await
}

/// Changes one that the person saw at `version`.
pub async fn change(
    db: &Db,
    id: &str,
    version: i64,
    wish: &Wish,
    keeper: Keeper<'_>,
) -> Result<ViewRow, ViewError> {
    let wish = checked(wish)?;
    let mut tx = db.begin().await?;
    let mut row = load(&mut tx, id, version, keeper).await?;
    if wish.shared && !row.shared {
        room(&mut tx, &row.owner, false, true).await?;
    }
    let Wish { name, shared, query, columns } = wish;
    (row.name, row.shared, row.query, row.columns) = (name, shared, query, columns);
    row.version += 1;
    (row.updated_at, row.updated_by) = (keeper.at, keeper.user.to_owned());
    save(tx, row).await
}

/// Removes one that the person saw at `version`.
pub async fn remove(db: &Db, id: &str, version: i64, keeper: Keeper<'_>) -> Result<(), ViewError> {
    let mut tx = db.begin().await?;
    let row = load(&mut tx, id, version, keeper).await?;
    if !views::remove(&mut tx, &row.id, version).await? {
        return Err(ViewError::Version(version + 1));
    }
    Ok(tx.commit().await?)
}

async fn load(
    tx: &mut Tx,
    id: &str,
    version: i64,
    keeper: Keeper<'_>,
) -> Result<ViewRow, ViewError> {
    let row = views::get_in(tx, id).await?.ok_or(ViewError::NotFound)?;
    match (row.owner == keeper.user, row.shared) {
        (true, _) => {}
        // Of what is another person's own nobody learns that it is there.
        (false, false) => return Err(ViewError::NotFound),
        (false, true) if keeper.manager => {}
        (false, true) => return Err(ViewError::NotYours),
    }
    if row.version != version {
        return Err(ViewError::Version(row.version));
    }
    Ok(row)
}

async fn room(tx: &mut Tx, user: &str, new: bool, shared: bool) -> Result<(), ViewError> {
    let (own, all) = views::count(tx, user).await?;
    if new && own >= MAX_OWN {
        return Err(ViewError::Full(format!("you keep {MAX_OWN} views already")));
    }
    if shared && all >= MAX_SHARED {
        return Err(ViewError::Full(format!("{MAX_SHARED} views are shared already")));
    }
    Ok(())
}

async fn save(mut tx: Tx, row: ViewRow) -> Result<ViewRow, ViewError> {
    let raced = |error: StoreError, row: &ViewRow| {
        if error.is_unique_violation() { ViewError::Exists(row.name.clone()) } else { error.into() }
    };
    if !views::save(&mut tx, &row).await.map_err(|error| raced(error, &row))? {
        return Err(ViewError::Version(row.version));
    }
    tx.commit().await.map_err(|error| raced(error, &row))?;
    Ok(row)
}
