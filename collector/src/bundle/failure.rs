//! Why a request is not done: what the agent is told, and what the log is.

use super::files::FileError;
use super::judge::Refusal;
use crate::store::{Remedy, StoreError};

/// Why a request is not done, and what the log is told.
pub(crate) enum Failure {
    Refused(Refusal),
    Store(StoreError),
    File(FileError),
    Worker(tokio::task::JoinError),
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Failure::Refused(refusal)
    }
}
impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Failure::Store(error)
    }
}
impl From<FileError> for Failure {
    fn from(error: FileError) -> Self {
        match error {
            FileError::Refused(refusal) => Failure::Refused(refusal),
            error => Failure::File(error),
        }
    }
}

impl Failure {
    /// For the agent; what is ours goes to the log.
    pub(super) fn refusal(self) -> Refusal {
        let refusal = match &self {
            Failure::Refused(refusal) => return refusal.clone(),
            Failure::Store(error) if error.remedy() != Remedy::Poison => Refusal::Busy,
            _ => Refusal::Internal,
        };
        tracing::error!(error = self.tell(), "bundle");
        refusal
    }

    /// With all causes.
    pub(crate) fn tell(&self) -> String {
        match self {
            Failure::Refused(refusal) => refusal.to_string(),
            Failure::Store(error) => chain(error),
            Failure::File(error) => chain(error),
            Failure::Worker(error) => chain(error),
        }
    }
}

/// An error with its causes, in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
