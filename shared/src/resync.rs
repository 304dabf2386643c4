//! The payload of a `resync` envelope: a page of an agent's whole active alarm set.
//!
//! All pages of a snapshot are stored by the agent in one transaction, so that they are one consistent
//! cut; the collector applies them together when the last one is there.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::alarm::Alarm;
use crate::limits::MAX_PAYLOAD_BYTES;
use crate::time::Time;

/// Pages of one snapshot at most: 64 MiB. An agent whose set is larger leaves out the rest and says so.
pub const MAX_PAGES: u32 = 512;
/// What a page needs besides its alarms, bytes; generous.
const HEAD_BYTES: usize = 1024;

/// One page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page<A = Alarm> {
    /// The snapshot it belongs to.
    pub snapshot: Uuid,
    /// When the snapshot was taken, by the agent's clock.
    pub at: Time,
    /// Its place among the pages, from 1.
    pub page: u32,
    /// How many pages there are; an empty set is one empty page.
    pub pages: u32,
    /// Why it was taken, a stable word: the request's, or `store-changed`.
    #[serde(default)]
    pub reason: String,
    /// The alarms as last raised or changed, without evidence.
    pub alarms: Vec<A>,
}

impl<A> Page<A> {
    /// Whether page and pages make sense. The text says what does not.
    pub fn validate(&self) -> Result<(), String> {
        if !(1..=MAX_PAGES).contains(&self.pages) {
            return Err(format!("pages: expected 1 to {MAX_PAGES}, found {}", self.pages));
        }
        if !(1..=self.pages).contains(&self.page) {
            return Err(format!("page: expected 1 to {}, found {}", self.pages, self.page));
        }
        Ok(())
    }
}

/// Cuts a set into pages of at most [`MAX_PAYLOAD_BYTES`]. Answers also how many alarms had to be left
/// out: those that alone are larger than a page, and those beyond [`MAX_PAGES`].
pub fn paginate(
    snapshot: Uuid,
    at: Time,
    reason: &str,
    alarms: Vec<Box<RawValue>>,
) -> (Vec<Page<Box<RawValue>>>, usize) {
    let room = MAX_PAYLOAD_BYTES - HEAD_BYTES;
    let (sheets, left_out) = sort(alarms, room, MAX_PAGES as usize);
    let pages = u32::try_from(sheets.len()).unwrap_or(MAX_PAGES);
    let numbered = (1..).zip(sheets).map(|(page, alarms)| Page {
        snapshot,
        at,
        page,
        pages,
        reason: reason.to_owned(),
        alarms,
    });
    (numbered.collect(), left_out)
}

/// Into sheets of at most `room` bytes, at most `max` of them; and how many found no place.
fn sort(alarms: Vec<Box<RawValue>>, room: usize, max: usize) -> (Vec<Vec<Box<RawValue>>>, usize) {
    let mut left_out = 0;
    let mut sheets: Vec<Vec<Box<RawValue>>> = vec![Vec::new()];
    let mut used = 0;
    for alarm in alarms {
        let size = alarm.get().len() + 1;
        let fits = used + size <= room;
        if size > room || (!fits && sheets.len() >= max) {
            left_out += 1;
            continue;
        }
        if !fits {
            sheets.push(Vec::new());
            used = 0;
        }
        used += size;
        if let Some(sheet) = sheets.last_mut() {
            sheet.push(alarm);
        }
    }
    (sheets, left_out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn raw(bytes: usize, n: usize) -> Box<RawValue> {
        let text = format!("\"{n}{}\"", "x".repeat(bytes));
        RawValue::from_string(text).unwrap()
    }

    #[test]
    fn an_empty_set_is_one_page_and_a_giant_is_left_out() {
        let (pages, left_out) = paginate(Uuid::nil(), Time(1), "r", vec![]);
        assert_eq!((pages.len(), pages[0].pages, pages[0].alarms.len(), left_out), (1, 1, 0, 0));
        let (pages, left_out) =
            paginate(Uuid::nil(), Time(1), "r", vec![raw(MAX_PAYLOAD_BYTES, 0), raw(5, 1)]);
        assert_eq!((pages.len(), pages[0].alarms.len(), left_out), (1, 1, 1));
        let (sheets, left_out) = sort((0..9).map(|n| raw(5, n)).collect(), 10, 4);
        assert_eq!((sheets.len(), left_out), (4, 5));
    }

    proptest! {
        #[test]
        fn prop_pages_hold_everything_in_order_within_the_limit(
            sizes in prop::collection::vec(0usize..60_000, 0..12),
        ) {
            let alarms: Vec<_> = sizes.iter().enumerate().map(|(n, size)| raw(*size, n)).collect();
            let texts: Vec<String> = alarms.iter().map(|a| a.get().to_owned()).collect();
            let (pages, left_out) = paginate(Uuid::nil(), Time(1), "digest-differs", alarms);
            prop_assert_eq!(left_out, 0);
            let mut back = Vec::new();
            for (n, page) in pages.iter().enumerate() {
                prop_assert!(page.validate().is_ok());
                prop_assert_eq!(page.page as usize, n + 1);
                prop_assert_eq!(page.pages as usize, pages.len());
                prop_assert!(serde_json::to_vec(page).unwrap().len() <= MAX_PAYLOAD_BYTES);
                back.extend(page.alarms.iter().map(|a| a.get().to_owned()));
            }
            prop_assert_eq!(back, texts);
        }

        #[test]
        fn no_payload_panics(text in ".{0,200}", page: u32, pages: u32) {
            let json = format!(r#"{{"snapshot":"{text}","at":"x","page":{page},"pages":{pages},"alarms":[]}}"#);
            let _ = serde_json::from_str::<Page>(&json);
            let _ = serde_json::from_str::<Page>(&text);
            let one = Page::<Alarm> {
                snapshot: Uuid::nil(), at: Time(0), page, pages, reason: text, alarms: vec![],
            };
            prop_assert_eq!(one.validate().is_ok(), page >= 1 && page <= pages && pages <= MAX_PAGES);
        }
    }
}
