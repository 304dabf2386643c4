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

/// The wished number of rows, or `default`.
pub fn limit(wished: Option<u32>, default: u32) -> Answer<i64> {
    match wished.unwrap_or(default) {
        n @ 1..=MAX_LIMIT => Ok(i64::from(n)),
        n => Err(Problem::Malformed(format!("limit: expected 1 to {MAX_LIMIT}, found {n}"))),
    }
}
