//! The door to outside: is told of everything before it is handed over to be sent.

use std::fmt;
use std::sync::Arc;

use callhome_shared::envelope::{Envelope, Lane};
use uuid::Uuid;

/// Something about to leave.
#[derive(Clone, Copy, Debug)]
pub struct Departure<'a> {
    /// The envelope's type, `heartbeat` or `will`.
    pub kind: &'a str,
    /// Id, lane and number of an envelope.
    pub envelope: Option<(Uuid, Lane, u64)>,
    /// The road.
    pub road: &'a str,
    /// What it says.
    pub payload: &'a [u8],
}

impl<'a> Departure<'a> {
    /// An envelope's.
    pub fn of(envelope: &'a Envelope, road: &'a str) -> Self {
        Departure {
            kind: envelope.kind.as_str(),
            envelope: Some((envelope.id, envelope.lane, envelope.seq)),
            road,
            payload: &envelope.data,
        }
    }
}

/// Notes a departure.
type Notes = dyn Fn(Departure<'_>) + Send + Sync;
/// Makes a text fit to leave.
type Words = dyn Fn(&str) -> String + Send + Sync;

/// Who is told, and how the link's own words leave. The default tells nobody and changes nothing.
#[derive(Clone, Default)]
pub struct Exit {
    notes: Option<Arc<Notes>>,
    words: Option<Arc<Words>>,
}

impl fmt::Debug for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Exit(…)")
    }
}

impl Exit {
    /// `notes` is told of each departure and must not wait; `words` redacts.
    pub fn new(
        notes: impl Fn(Departure<'_>) + Send + Sync + 'static,
        words: impl Fn(&str) -> String + Send + Sync + 'static,
    ) -> Self {
        Exit { notes: Some(Arc::new(notes)), words: Some(Arc::new(words)) }
    }

    /// Notes it.
    pub fn passes(&self, departure: Departure<'_>) {
        if let Some(notes) = &self.notes {
            notes(departure);
        }
    }

    /// A text as it may leave.
    pub(super) fn told(&self, text: &str) -> String {
        self.words.as_ref().map_or_else(|| text.to_owned(), |words| words(text))
    }
}
