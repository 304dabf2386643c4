//! Who is on duty. Pure.
//!
//! A [`Roster`] says which shifts there are and who has them in turn; on the [`Ground`] of a time zone and a
//! business calendar it makes [`Shift`]s. [`who`] asks a [`Board`] (shifts, absences, people) who is to be called
//! for something, and says of everybody else why not.

mod ask;
mod check;
mod plan;
mod shifts;

pub use ask::{Absence, Ask, Board, Found, Person, Reason, Rules, Why, fits, who};
pub use check::check;
pub use plan::{DayClass, Pattern, Roster, Turn};
pub use shifts::{Ground, Shift, shifts};

/// Where somebody stands on duty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Post {
    /// The service desk.
    Desk,
    /// On site.
    L1,
    /// Remote diagnosis.
    L2,
    /// Experts and engineering.
    L3,
    /// Picks engineer and part.
    Dispatcher,
    /// Decides.
    Manager,
}

impl Post {
    /// All of them.
    pub const ALL: [Post; 6] =
        [Post::Desk, Post::L1, Post::L2, Post::L3, Post::Dispatcher, Post::Manager];

    /// The name in rows and on the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Post::Desk => "desk",
            Post::L1 => "l1",
            Post::L2 => "l2",
            Post::L3 => "l3",
            Post::Dispatcher => "dispatcher",
            Post::Manager => "manager",
        }
    }

    /// Reads [`Post::as_str`] back; `engineering` is L3.
    pub fn parse(text: &str) -> Option<Self> {
        if text == "engineering" {
            return Some(Post::L3);
        }
        Post::ALL.into_iter().find(|post| post.as_str() == text)
    }

    /// Who is called when nobody here answers.
    pub fn next(self) -> Option<Post> {
        match self {
            Post::Desk => Some(Post::L1),
            Post::L1 => Some(Post::L2),
            Post::L2 => Some(Post::L3),
            Post::L3 | Post::Dispatcher => Some(Post::Manager),
            Post::Manager => None,
        }
    }

    /// The post that goes with a user's role; `None`: the role has none.
    pub fn of_role(role: &str) -> Option<Post> {
        match role {
            "service_desk" => Some(Post::Desk),
            "field_engineer" => Some(Post::L1),
            "support_engineer" => Some(Post::L2),
            "expert" => Some(Post::L3),
            "dispatcher" => Some(Post::Dispatcher),
            "manager" | "administrator" => Some(Post::Manager),
            _ => None,
        }
    }

    /// Whether somebody of that role may stand here: a higher level does a lower one's work, not the other way.
    pub fn may_be(self, role: &str) -> bool {
        match Post::of_role(role) {
            Some(Post::Manager) => true,
            Some(Post::Dispatcher) => matches!(self, Post::Dispatcher | Post::Desk),
            Some(of) => self <= of,
            None => false,
        }
    }
}

#[cfg(test)]
mod tests;
