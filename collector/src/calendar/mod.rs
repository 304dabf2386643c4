//! Business calendars: which moments count at a site. Pure.
//!
//! [`Hours`] of a week (5×8, 7×24, own ones) in a [`zone`] with the days of a [`Calendar`] (public holidays,
//! make-up working days, exceptions) make a [`Schedule`], which answers how much time counts between
//! two moments and when a limit is over. [`icalendar`] reads the days from a file.

mod days;
pub mod icalendar;
mod schedule;
mod week;
pub mod zone;

pub use days::{Calendar, Day, DayKind, Days, MAX_DAYS, day_number};
pub use schedule::{Schedule, Span, Why};
pub use week::{Fault, Hours, STANDARD, Week, Window, standard};
pub use zone::{UnknownZone, Zone};
