//! Arguments and rows without the driver's types.

use sqlx::postgres::{PgArguments, PgRow};
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Arguments, Row as _};

use super::error::StoreError;

/// One argument of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Val {
    /// TEXT.
    Text(String),
    /// BIGINT.
    Int(i64),
    /// TEXT or NULL.
    OptText(Option<String>),
    /// BIGINT or NULL.
    OptInt(Option<i64>),
}

impl From<&str> for Val {
    fn from(text: &str) -> Self {
        Val::Text(text.to_owned())
    }
}
impl From<String> for Val {
    fn from(text: String) -> Self {
        Val::Text(text)
    }
}
impl From<&String> for Val {
    fn from(text: &String) -> Self {
        Val::Text(text.clone())
    }
}
impl From<i64> for Val {
    fn from(number: i64) -> Self {
        Val::Int(number)
    }
}
impl From<bool> for Val {
    fn from(yes: bool) -> Self {
        Val::Int(i64::from(yes))
    }
}
impl From<Option<String>> for Val {
    fn from(text: Option<String>) -> Self {
        Val::OptText(text)
    }
}
impl From<&Option<String>> for Val {
    fn from(text: &Option<String>) -> Self {
        Val::OptText(text.clone())
    }
}
impl From<Option<&str>> for Val {
    fn from(text: Option<&str>) -> Self {
        Val::OptText(text.map(str::to_owned))
    }
}
impl From<Option<i64>> for Val {
    fn from(number: Option<i64>) -> Self {
        Val::OptInt(number)
    }
}
impl From<callhome_shared::time::Time> for Val {
    fn from(time: callhome_shared::time::Time) -> Self {
        Val::Int(time.millis())
    }
}
impl From<Option<callhome_shared::time::Time>> for Val {
    fn from(time: Option<callhome_shared::time::Time>) -> Self {
        Val::OptInt(time.map(callhome_shared::time::Time::millis))
    }
}
impl From<uuid::Uuid> for Val {
    fn from(id: uuid::Uuid) -> Self {
        Val::Text(id.to_string())
    }
}

/// The arguments `$1`, `$2`, … of a statement.
#[macro_export]
macro_rules! args {
    ($($value:expr),* $(,)?) => { vec![$($crate::store::Val::from($value)),*] };
}

/// PostgreSQL's TEXT cannot hold NUL and some tools stop at it in SQLite: it becomes U+FFFD.
fn without_nul(text: String) -> String {
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text }
}

pub(super) fn lite(args: Vec<Val>) -> Result<SqliteArguments, sqlx::Error> {
    let mut out = SqliteArguments::default();
    for value in args {
        match value {
            Val::Text(text) => Arguments::add(&mut out, without_nul(text)),
            Val::Int(number) => Arguments::add(&mut out, number),
            Val::OptText(text) => Arguments::add(&mut out, text.map(without_nul)),
            Val::OptInt(number) => Arguments::add(&mut out, number),
        }
        .map_err(sqlx::Error::Encode)?;
    }
    Ok(out)
}

pub(super) fn postgres(args: Vec<Val>) -> Result<PgArguments, sqlx::Error> {
    let mut out = PgArguments::default();
    for value in args {
        match value {
            Val::Text(text) => Arguments::add(&mut out, without_nul(text)),
            Val::Int(number) => Arguments::add(&mut out, number),
            Val::OptText(text) => Arguments::add(&mut out, text.map(without_nul)),
            Val::OptInt(number) => Arguments::add(&mut out, number),
        }
        .map_err(sqlx::Error::Encode)?;
    }
    Ok(out)
}

/// One row of an answer.
pub enum Row {
    /// From SQLite.
    Lite(SqliteRow),
    /// From PostgreSQL.
    Pg(PgRow),
}

macro_rules! get {
    ($row:expr, $column:expr, $type:ty) => {
        match $row {
            Row::Lite(row) => row.try_get::<$type, _>($column),
            Row::Pg(row) => row.try_get::<$type, _>($column),
        }
        .map_err(|e| StoreError::Column { column: $column.to_owned(), why: e.to_string() })
    };
}

impl Row {
    /// A TEXT column.
    pub fn text(&self, column: &str) -> Result<String, StoreError> {
        get!(self, column, String)
    }

    /// A TEXT column that may be NULL.
    pub fn opt_text(&self, column: &str) -> Result<Option<String>, StoreError> {
        get!(self, column, Option<String>)
    }

    /// A BIGINT column.
    pub fn int(&self, column: &str) -> Result<i64, StoreError> {
        get!(self, column, i64)
    }

    /// A BIGINT column that may be NULL.
    pub fn opt_int(&self, column: &str) -> Result<Option<i64>, StoreError> {
        get!(self, column, Option<i64>)
    }

    /// A BIGINT column that holds 0 or 1.
    pub fn flag(&self, column: &str) -> Result<bool, StoreError> {
        Ok(self.int(column)? != 0)
    }
}
