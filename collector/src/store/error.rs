//! What can go wrong with the store, and what it means for the caller.

/// A failure of the data store. The variant names the step; the cause is chained.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database could not be opened.
    #[error("cannot open the database {what}")]
    Open {
        /// File or server (without password).
        what: String,
        /// The driver's words.
        #[source]
        source: sqlx::Error,
    },
    /// The database's file could not be prepared.
    #[error("cannot prepare the database file {path}")]
    File {
        /// The file.
        path: String,
        /// The system's words.
        #[source]
        source: std::io::Error,
    },
    /// The schema does not fit this program.
    #[error("schema: {0}")]
    Schema(String),
    /// A statement failed.
    #[error("statement failed: {step}")]
    Statement {
        /// The statement's beginning (never its arguments).
        step: String,
        /// The driver's words.
        #[source]
        source: sqlx::Error,
    },
    /// A row does not look as expected.
    #[error("column {column}: {why}")]
    Column {
        /// The column.
        column: String,
        /// What is wrong with it.
        why: String,
    },
    /// Somebody else changed the row since it was read.
    #[error("{0} was changed by somebody else in the meantime")]
    Changed(&'static str),
}

/// What to do about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Two transactions met: load, decide and write again at once.
    Again,
    /// This very content cannot be stored; anything else can.
    Poison,
    /// The database is not well (down, full, busy for long): wait and try again.
    Wait,
}

impl StoreError {
    pub(super) fn statement(sql: &str, source: sqlx::Error) -> Self {
        let step = sql.split_whitespace().take(6).collect::<Vec<_>>().join(" ");
        StoreError::Statement { step, source }
    }

    /// What to do about it.
    pub fn remedy(&self) -> Remedy {
        match self {
            StoreError::Changed(_) => Remedy::Again,
            StoreError::Column { .. } => Remedy::Poison,
            StoreError::Statement { source, .. } => remedy_of(source),
            StoreError::Open { .. } | StoreError::File { .. } | StoreError::Schema(_) => {
                Remedy::Wait
            }
        }
    }

    /// Whether the disk under the database is full.
    pub fn is_disk_full(&self) -> bool {
        let (StoreError::Statement { source, .. } | StoreError::Open { source, .. }) = self else {
            return false;
        };
        let sqlx::Error::Database(e) = source else { return false };
        // SQLITE_FULL, SQLITE_IOERR_SHMSIZE (the index of the log cannot grow); SQLSTATE disk_full.
        matches!(e.code().as_deref(), Some("13" | "4874" | "53100"))
    }

    /// Whether a unique row is there already.
    pub fn is_unique_violation(&self) -> bool {
        matches!(self, StoreError::Statement { source: sqlx::Error::Database(e), .. } if e.is_unique_violation())
    }
}

fn remedy_of(error: &sqlx::Error) -> Remedy {
    match error {
        sqlx::Error::Database(e) if e.is_unique_violation() => Remedy::Again,
        sqlx::Error::Database(e) => {
            let code = e.code().unwrap_or_default();
            // SQLSTATE has five characters, SQLite's extended result codes are numbers.
            match code.parse::<u32>() {
                Ok(number) if code.len() < 5 => remedy_of_sqlite(number & 0xff),
                _ => remedy_of_postgres(&code),
            }
        }
        sqlx::Error::Encode(_) | sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } => {
            Remedy::Poison
        }
        _ => Remedy::Wait,
    }
}

/// BUSY and LOCKED; TOOBIG, CONSTRAINT, MISMATCH and RANGE.
fn remedy_of_sqlite(primary: u32) -> Remedy {
    match primary {
        5 | 6 => Remedy::Again,
        18 | 19 | 20 | 25 => Remedy::Poison,
        _ => Remedy::Wait,
    }
}

/// Serialisation failure and deadlock; data exceptions, constraints, limits of the program.
fn remedy_of_postgres(state: &str) -> Remedy {
    match state {
        "40001" | "40P01" => Remedy::Again,
        _ if ["22", "23", "54"].iter().any(|class| state.starts_with(class)) => Remedy::Poison,
        _ => Remedy::Wait,
    }
}
