//! Query parameters that several lists share.

use serde::Deserialize;
use utoipa::ToSchema;

use super::error::{Answer, Problem};

/// Rows of one answer at most.
const MAX_LIMIT: u32 = 200;

/// Yes or no in a query.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
pub enum Flag {
    /// Yes.
    #[serde(rename = "1")]
    Yes,
    /// No.
    #[serde(rename = "0")]
    No,
}

impl From<Flag> for bool {
    fn from(flag: Flag) -> Self {
        matches!(flag, Flag::Yes)
    }
}

/// The rows of one page, of which one more was asked for than it holds, and the cursor of the next
/// page: the `name` of the last row, if there is a next page.
pub fn page<T>(rows: Vec<T>, limit: i64, name: impl Fn(&T) -> String) -> (Vec<T>, Option<String>) {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = rows.len() > limit;
    let mut rows = rows;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).map(name);
    (rows, next)
}

/// The wished number of rows, or `default`.
pub fn limit(wished: Option<u32>, default: u32) -> Answer<i64> {
    match wished.unwrap_or(default) {
        n @ 1..=MAX_LIMIT => Ok(i64::from(n)),
        n => Err(Problem::Malformed(format!("limit: expected 1 to {MAX_LIMIT}, found {n}"))),
    }
}
