//! What has just been committed, for live pages.

use callhome_shared::time::Time;

/// Something changed. Receivers that fall behind miss some and load anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A ticket was opened or changed.
    Ticket {
        /// Its number.
        number: String,
        /// When.
        at: Time,
    },
    /// An alarm was raised, changed or cleared.
    Alarm {
        /// The alarm life.
        alarm_id: String,
        /// When.
        at: Time,
    },
    /// An agent was heard, or is gone.
    Agent {
        /// Its id.
        id: String,
        /// When.
        at: Time,
    },
}
