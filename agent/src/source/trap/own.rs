//! What outlives a restart: our engine's id and how often it was started (RFC 3414, 2.2).

use serde::{Deserialize, Serialize};

use crate::source::Position;

/// No enterprise number of our own: the reserved one, format 5 (octets).
const PREFIX: [u8; 5] = [0x80, 0, 0, 0, 5];

/// Stored as the source's position.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    /// The engine's id.
    pub(super) engine: Vec<u8>,
    /// Starts, this one included.
    pub(super) boots: u32,
}

impl Kept {
    /// Of this start. `configured` goes before what was kept, and another id begins at one.
    pub(super) fn next(position: Option<&Position>, configured: Option<&[u8]>) -> Self {
        let kept: Option<Kept> = position.and_then(|p| serde_json::from_slice(&p.0).ok());
        let kept = kept.filter(|kept| configured.is_none_or(|id| id == kept.engine));
        match kept {
            Some(Kept { engine, boots }) => {
                // RFC 3414: an engine whose boots are used up must get another id.
                let boots = if boots >= i32::MAX as u32 { boots } else { boots + 1 };
                Kept { engine, boots }
            }
            None => {
                let engine = configured.map_or_else(random, <[u8]>::to_vec);
                Kept { engine, boots: 1 }
            }
        }
    }

    pub(super) fn position(&self) -> Option<Position> {
        serde_json::to_vec(self).ok().map(Position)
    }
}

fn random() -> Vec<u8> {
    let octets: [u8; 12] = rand::random();
    [PREFIX.as_slice(), &octets].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_stays_and_the_starts_are_counted() {
        let first = Kept::next(None, None);
        assert_eq!((first.engine.len(), first.boots), (17, 1));
        assert!(first.engine.starts_with(&PREFIX));
        let second = Kept::next(first.position().as_ref(), None);
        assert_eq!((second.engine.clone(), second.boots), (first.engine, 2));
        let given = Kept::next(second.position().as_ref(), Some(&[0x80, 1, 2, 3, 4]));
        assert_eq!((given.engine.as_slice(), given.boots), (&[0x80, 1, 2, 3, 4][..], 1));
        let again = Kept::next(given.position().as_ref(), Some(&[0x80, 1, 2, 3, 4]));
        assert_eq!(again.boots, 2);
        assert_eq!(Kept::next(Some(&Position(b"{".to_vec())), None).boots, 1);
    }
}
