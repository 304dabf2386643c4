//! All windows: those of the configuration and those that people began.

use callhome_shared::time::Time;
use serde::{Deserialize, Serialize};

use super::window::{Scope, When, Window};
use super::{Hold, Subject};

/// Windows at most that people began and that are not over.
pub const MAX_WINDOWS: usize = 64;
/// Bytes that they take in the outbox at most.
const MAX_STORED: usize = 60 * 1024;
/// They are stored as the position of a source that no configuration can name.
pub const STORED_AS: &str = "\u{1}maintenance";
/// A clock that goes back by less than this is only corrected.
pub(super) const CORRECTION_MS: i64 = 2_000;

/// Every window.
#[derive(Debug, Default)]
pub struct Book {
    configured: Vec<Window>,
    begun: Begun,
    /// When it was last looked at.
    last: Option<Time>,
}

/// Those that people began, as stored.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Begun {
    /// The number of the last one.
    #[serde(default)]
    last: u64,
    #[serde(default)]
    windows: Vec<One>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct One {
    id: String,
    scope: Scope,
    from: Time,
    until: Time,
    reason: String,
    by: String,
}

/// What is asked of the book.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// A window begins now.
    Start {
        /// Whose alarms; empty = everything.
        scope: Scope,
        /// How long, ms.
        length_ms: i64,
        /// Why.
        reason: String,
        /// Who says so.
        by: String,
    },
    /// A window that a person began ends now.
    End {
        /// Its id.
        id: String,
    },
    /// Which there are.
    List,
}

/// A window as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// Its id.
    pub id: String,
    /// Whose alarms it holds.
    pub scope: Scope,
    /// Until when, if it is now.
    #[serde(default)]
    pub until: Option<Time>,
    /// Why.
    pub reason: String,
    /// Who said so.
    pub by: String,
}

impl Book {
    /// The windows of the configuration, and what was stored.
    pub fn new(configured: Vec<Window>, stored: Option<&[u8]>, now: Time) -> Self {
        let begun = stored.and_then(|stored| serde_json::from_slice(stored).ok());
        let mut book = Book { configured, begun: begun.unwrap_or_default(), last: None };
        for one in &mut book.begun.windows {
            // The clock was set back since: it would last for longer than was said.
            one.shift(now.since_ms(one.from).min(0));
        }
        book
    }

    /// Other windows are configured.
    pub fn configure(&mut self, configured: Vec<Window>) {
        self.configured = configured;
    }

    /// As they are to be stored.
    pub fn stored(&self) -> Vec<u8> {
        // Texts and numbers only: this cannot fail.
        serde_json::to_vec(&self.begun).unwrap_or_default()
    }

    /// Time has passed. Says whether something is to be stored. A clock that is set back does not lengthen
    /// a window that a person began: it lasts as long as was said.
    pub fn advance(&mut self, now: Time) -> bool {
        let back = self.last.map_or(0, |last| now.since_ms(last));
        self.last = Some(now);
        let before = self.begun.clone();
        if back < -CORRECTION_MS {
            for one in &mut self.begun.windows {
                one.shift(back);
            }
        }
        self.begun.windows.retain(|one| now < one.until);
        self.begun != before
    }

    /// The window that holds this device's alarms now; of several the one that lasts longest.
    pub fn holds(&self, subject: &Subject, now: Time) -> Option<Hold> {
        let begun = self.begun.windows.iter().map(|one| (&one.id, &one.scope, one.when()));
        let configured = self.configured.iter().map(|w| (&w.id, &w.scope, w.when.clone()));
        begun
            .chain(configured)
            .filter(|(_, scope, _)| scope.covers(subject))
            .filter_map(|(id, _, when)| Some((when.ends(now)?, id)))
            .max()
            .map(|(_, id)| Hold::Maintenance(id.clone()))
    }

    /// Does what is asked and says what there is then. The error is for the person who asks.
    pub fn ask(&mut self, ask: Ask, now: Time) -> Result<Vec<Shown>, String> {
        match ask {
            Ask::List => {}
            Ask::End { id } => {
                let count = self.begun.windows.len();
                self.begun.windows.retain(|one| one.id != id);
                if self.begun.windows.len() == count {
                    return Err(match self.configured.iter().any(|window| window.id == id) {
                        true => format!("{id:?} is in the configuration: change it there"),
                        false => format!("there is no maintenance {id:?}"),
                    });
                }
            }
            Ask::Start { scope, length_ms, reason, by } => {
                if self.begun.windows.len() >= MAX_WINDOWS {
                    return Err(format!("at most {MAX_WINDOWS} at a time: end one first"));
                }
                let number = self.begun.last.saturating_add(1);
                let before = self.begun.clone();
                self.begun.last = number;
                let until = Time(now.millis().saturating_add(length_ms));
                let id = format!("m{number}");
                self.begun.windows.push(One { id, scope, from: now, until, reason, by });
                if self.stored().len() > MAX_STORED {
                    self.begun = before;
                    return Err("the names and reasons are too long: end one first".to_owned());
                }
            }
        }
        Ok(self.list(now))
    }

    /// All of them; those that are now first.
    pub fn list(&self, now: Time) -> Vec<Shown> {
        let begun = self.begun.windows.iter().map(|one| Shown {
            id: one.id.clone(),
            scope: one.scope.clone(),
            until: one.when().ends(now),
            reason: one.reason.clone(),
            by: one.by.clone(),
        });
        let configured = self.configured.iter().map(|window| Shown {
            id: window.id.clone(),
            scope: window.scope.clone(),
            until: window.when.ends(now),
            reason: window.reason.clone(),
            by: window.by.clone(),
        });
        let mut all: Vec<Shown> = begun.chain(configured).collect();
        all.sort_by_key(|shown| shown.until.is_none());
        all
    }
}

impl One {
    fn when(&self) -> When {
        When::Once { from: self.from, until: self.until }
    }

    fn shift(&mut self, by_ms: i64) {
        self.from = Time(self.from.millis().saturating_add(by_ms));
        self.until = Time(self.until.millis().saturating_add(by_ms));
    }
}
