//! Enumerated states: each healthy, bad with a severity, or saying nothing.

use std::collections::BTreeMap;

use callhome_shared::severity::Severity;

use super::template::value_text;
use crate::source::Value;

/// What a state means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    /// A fault.
    Bad(Severity),
    /// Healthy.
    Good,
    /// Not known: neither.
    Unknown,
}

/// Looks the value up.
pub(super) fn judge(
    states: &BTreeMap<String, Option<Severity>>,
    otherwise: Option<Option<Severity>>,
    value: &Value,
) -> Judgement {
    if matches!(value, Value::Number(number) if !number.is_finite()) {
        return Judgement::Unknown;
    }
    match states.get(value_text(value).trim()).copied().or(otherwise) {
        Some(Some(severity)) => Judgement::Bad(severity),
        Some(None) => Judgement::Good,
        None => Judgement::Unknown,
    }
}
