//! All windows: those of the configuration and those that people began.

use callhome_shared::maintenance::{Set, Window as CentreWindow};
use callhome_shared::time::Time;
use serde::{Deserialize, Serialize};

use super::window::{Scope, When, Window};
use super::{Hold, Subject};

/// Windows at most that people began and that are not over.
pub const MAX_WINDOWS: usize = 64;
/// Bytes that those that people began take in the outbox at most.
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
    /// Those that the centre set, as it told them last.
    #[serde(default)]
    centre: Set,
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
    /// These are all windows that the centre set, instead of those before.
    Centre(Set),
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
        let local = begun
            .chain(configured)
            .filter(|(_, scope, _)| scope.covers(subject))
            .filter_map(|(id, _, when)| Some((when.ends(now)?, id)));
        let centre = self.begun.centre.windows.iter().filter(|window| covers(window, subject));
        let centre = centre.filter_map(|window| Some((of_centre(window).ends(now)?, &window.id)));
        local.chain(centre).max().map(|(_, id)| Hold::Maintenance(id.clone()))
    }

    /// Does what is asked and says what there is then. The error is for the person who asks.
    pub fn ask(&mut self, ask: Ask, now: Time) -> Result<Vec<Shown>, String> {
        match ask {
            Ask::List => {}
            Ask::Centre(set) => {
                set.validate()?;
                self.begun.centre = set;
            }
            Ask::End { id } => {
                let count = self.begun.windows.len();
                self.begun.windows.retain(|one| one.id != id);
                if self.begun.windows.len() == count {
                    let configured = self.configured.iter().any(|window| window.id == id);
                    let centre = self.begun.centre.windows.iter().any(|window| window.id == id);
                    return Err(match (configured, centre) {
                        (true, _) => format!("{id:?} is in the configuration: change it there"),
                        (_, true) => format!("{id:?} was set by the support centre: end it there"),
                        _ => format!("there is no maintenance {id:?}"),
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
                let own = serde_json::to_vec(&self.begun.windows).map_or(0, |stored| stored.len());
                if own > MAX_STORED {
                    self.begun = before;
                    return Err("the names and reasons are too long: end one first".to_owned());
                }
            }
        }
        Ok(self.list(now))
    }

    /// The revision of what the centre told last; empty: nothing.
    pub fn revision(&self) -> &str {
        &self.begun.centre.revision
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
        let centre = self.begun.centre.windows.iter().filter(|window| now < window.until);
        let centre = centre.map(|window| Shown {
            id: window.id.clone(),
            scope: Scope { devices: window.devices.clone(), sites: window.sites.clone() },
            until: of_centre(window).ends(now),
            reason: window.reason.clone(),
            by: format!("centre: {}", window.by),
        });
        let mut all: Vec<Shown> = begun.chain(configured).chain(centre).collect();
        all.sort_by_key(|shown| shown.until.is_none());
        all
    }
}

/// A window of the centre is from and until a moment: it tells when another one holds.
fn of_centre(window: &CentreWindow) -> When {
    When::Once { from: window.from, until: window.until }
}

fn covers(window: &CentreWindow, subject: &Subject) -> bool {
    let everything = window.devices.is_empty() && window.sites.is_empty();
    everything
        || window.devices.contains(&subject.device)
        || subject.site.as_ref().is_some_and(|site| window.sites.contains(site))
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
