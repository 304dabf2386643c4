//! The chain: each row's hash is over the hash before it and the row.

use callhome_shared::heartbeat::hex;
use callhome_shared::time::Time;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::canonical::canonical;

/// What the first row follows.
pub const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// A row of the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// 1, 2, 3, ...
    pub seq: i64,
    /// When.
    pub at: Time,
    /// Who.
    pub who: String,
    /// [`super::Deed::as_str`].
    pub what: String,
    /// What it was done to.
    pub subject: String,
    /// Canonical JSON.
    pub detail: String,
    /// Hash of the row before.
    pub previous: String,
    /// This row's hash.
    pub hash: String,
}

/// SHA-256 (lower-case hex) over the previous hash, a line feed, and the canonical JSON of
/// `{"at","detail","seq","subject","what","who"}`; `at` in milliseconds since 1970.
pub fn hash(row: &Row) -> String {
    // A detail that is no JSON was never written by us: as a text it gives another hash.
    let detail = serde_json::from_str(&row.detail)
        .ok()
        .filter(|detail: &Value| canonical(detail) == row.detail)
        .unwrap_or_else(|| Value::from(row.detail.as_str()));
    let body = json!({
        "seq": row.seq,
        "at": row.at.millis(),
        "who": row.who,
        "what": row.what,
        "subject": row.subject,
        "detail": detail,
    });
    let mut digest = Sha256::new();
    digest.update(row.previous.as_bytes());
    digest.update(b"\n");
    digest.update(canonical(&body).as_bytes());
    hex(&digest.finalize())
}

/// Where and how the chain is broken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Break {
    /// Rows are not there.
    #[error("rows {from} to {to} are missing: they were removed")]
    Missing {
        /// The first one.
        from: i64,
        /// The last one.
        to: i64,
    },
    /// A row says something else than when it was written.
    #[error("row {seq} was altered: its content does not give its hash")]
    Altered {
        /// Which.
        seq: i64,
    },
    /// A row is whole in itself but does not follow the one before it.
    #[error("row {seq} does not follow row {before}: one of them was exchanged or written anew", before = seq - 1)]
    Unlinked {
        /// Which.
        seq: i64,
    },
    /// A number that cannot be.
    #[error("row {seq} does not belong there: numbers begin at 1 and never repeat")]
    Misnumbered {
        /// Which.
        seq: i64,
    },
    /// The table ends before (or after) what the head says.
    #[error("the record ends at row {found}, but its head says {head}: {what}", what = ends(*found, *head))]
    WrongEnd {
        /// Last row.
        found: i64,
        /// What the head says.
        head: i64,
    },
    /// The last row is another one than the head says.
    #[error(
        "the head does not name the hash of row {seq}: rows were written anew or the head was altered"
    )]
    WrongHead {
        /// The last row.
        seq: i64,
    },
    /// The row that the reader kept the hash of has another one now.
    #[error(
        "row {seq} had another hash when it was noted: the record was written anew from there or before"
    )]
    NotTheNoted {
        /// Which.
        seq: i64,
    },
}

impl Break {
    /// A stable word.
    pub fn code(&self) -> &'static str {
        match self {
            Break::Missing { .. } => "missing",
            Break::Altered { .. } => "altered",
            Break::Unlinked { .. } => "unlinked",
            Break::Misnumbered { .. } => "misnumbered",
            Break::WrongEnd { found, head } if found < head => "cut-off",
            Break::WrongEnd { .. } => "added",
            Break::WrongHead { .. } => "wrong-head",
            Break::NotTheNoted { .. } => "not-the-noted",
        }
    }

    /// The first row that is not as it should be.
    pub fn row(&self) -> i64 {
        match *self {
            Break::Missing { from, .. } => from,
            Break::Altered { seq }
            | Break::Unlinked { seq }
            | Break::Misnumbered { seq }
            | Break::WrongHead { seq }
            | Break::NotTheNoted { seq } => seq,
            Break::WrongEnd { found, head } => found.min(head).saturating_add(1),
        }
    }
}

/// A row as it is exported: everything that is needed to check its hash elsewhere.
pub fn exported(row: &Row) -> Value {
    let detail: Value =
        serde_json::from_str(&row.detail).unwrap_or_else(|_| Value::from(row.detail.as_str()));
    json!({
        "seq": row.seq, "at": row.at.millis(), "time": row.at.to_string(), "who": row.who,
        "what": row.what, "subject": row.subject, "detail": detail,
        "previous": row.previous, "hash": row.hash,
    })
}

fn ends(found: i64, head: i64) -> &'static str {
    if found < head { "rows at the end were removed" } else { "rows were added by hand" }
}

/// Goes along the rows in order and finds breaks.
#[derive(Debug)]
pub struct Chain {
    seq: i64,
    hash: String,
    /// Hashes that the reader noted earlier, by row.
    noted: Vec<(i64, String)>,
    breaks: Vec<Break>,
}

/// Breaks that are told; further ones are counted only by their being there.
const MAX_BREAKS: usize = 20;

impl Chain {
    /// Before the first row; `noted` are (row, hash) kept elsewhere.
    pub fn new(noted: Vec<(i64, String)>) -> Self {
        Chain { seq: 0, hash: GENESIS.to_owned(), noted, breaks: Vec::new() }
    }

    /// The last row that was looked at.
    pub fn seq(&self) -> i64 {
        self.seq
    }

    /// Looks at the next row.
    pub fn follow(&mut self, row: &Row) {
        if row.seq <= self.seq {
            self.found(Break::Misnumbered { seq: row.seq });
            return;
        }
        let gap = row.seq != self.seq + 1;
        if gap {
            self.found(Break::Missing { from: self.seq + 1, to: row.seq - 1 });
        }
        if hash(row) != row.hash {
            self.found(Break::Altered { seq: row.seq });
        } else if !gap && row.previous != self.hash {
            self.found(Break::Unlinked { seq: row.seq });
        }
        if self.noted.iter().any(|(seq, hash)| *seq == row.seq && *hash != row.hash) {
            self.found(Break::NotTheNoted { seq: row.seq });
        }
        self.seq = row.seq;
        self.hash.clone_from(&row.hash);
    }

    /// After the last row: compares with the head; answers all breaks, the earliest first.
    pub fn end(mut self, head: (i64, &str)) -> Vec<Break> {
        if self.seq != head.0 {
            let found = self.seq;
            self.found(Break::WrongEnd { found, head: head.0 });
        } else if self.hash != head.1 {
            let seq = self.seq;
            self.found(Break::WrongHead { seq });
        }
        let beyond = self.noted.iter().map(|(seq, _)| *seq).filter(|seq| *seq > self.seq).max();
        if let Some(noted) = beyond {
            let found = self.seq;
            self.found(Break::WrongEnd { found, head: noted });
        }
        self.breaks
    }

    fn found(&mut self, broken: Break) {
        if self.breaks.len() < MAX_BREAKS {
            self.breaks.push(broken);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rows(count: i64) -> Vec<Row> {
        let mut rows: Vec<Row> = Vec::new();
        for seq in 1..=count {
            let mut row = Row {
                seq,
                at: Time(1000 + seq),
                who: "cli:li".into(),
                what: "token-made".into(),
                subject: format!("a-{seq}"),
                detail: canonical(&json!({ "hours": seq, "site": "上海" })),
                previous: rows.last().map_or_else(|| GENESIS.to_owned(), |r| r.hash.clone()),
                hash: String::new(),
            };
            row.hash = hash(&row);
            rows.push(row);
        }
        rows
    }

    fn breaks(rows: &[Row], head: (i64, &str)) -> Vec<Break> {
        let mut chain = Chain::new(Vec::new());
        rows.iter().for_each(|row| chain.follow(row));
        chain.end(head)
    }

    #[test]
    fn says_where_and_how() {
        let good = rows(9);
        let head = good[8].hash.clone();
        let head = (9, head.as_str());
        assert_eq!(breaks(&good, head), []);
        assert_eq!(breaks(&[], (0, GENESIS)), []);

        let mut altered = good.clone();
        altered[4].subject.push('x');
        assert_eq!(breaks(&altered, head), [Break::Altered { seq: 5 }]);
        altered[4].hash = hash(&altered[4]);
        assert_eq!(breaks(&altered, head), [Break::Unlinked { seq: 6 }]);

        let removed: Vec<Row> = good.iter().filter(|r| r.seq != 3 && r.seq != 4).cloned().collect();
        let missing = breaks(&removed, head);
        assert_eq!(missing, [Break::Missing { from: 3, to: 4 }]);
        assert_eq!((missing[0].code(), missing[0].row()), ("missing", 3));
        let cut_off = breaks(&good[..7], head);
        assert_eq!(cut_off, [Break::WrongEnd { found: 7, head: 9 }]);
        assert_eq!((cut_off[0].code(), cut_off[0].row()), ("cut-off", 8));

        let mut reordered = good.clone();
        (reordered[2].seq, reordered[3].seq) = (4, 3);
        reordered.sort_by_key(|r| r.seq);
        assert_eq!(breaks(&reordered, head)[0], Break::Altered { seq: 3 });
    }

    #[test]
    fn a_record_written_anew_as_a_whole_is_found_by_a_noted_hash() {
        let good = rows(5);
        let noted = vec![(3, good[2].hash.clone())];
        let mut forged = good.clone();
        forged[1].who = "cli:nobody".into();
        for n in 1..5 {
            forged[n].previous = forged[n - 1].hash.clone();
            forged[n].hash = hash(&forged[n]);
        }
        let head = forged[4].hash.clone();
        assert_eq!(breaks(&forged, (5, &head)), [], "the chain alone cannot tell");
        let mut chain = Chain::new(noted);
        forged.iter().for_each(|row| chain.follow(row));
        assert_eq!(chain.end((5, &head)), [Break::NotTheNoted { seq: 3 }]);
    }

    proptest! {
        #[test]
        fn prop_any_change_of_any_column_is_found(at in 0_usize..8, column in 0..7, to in ".{0,8}") {
            let mut all = rows(8);
            let head = all[7].hash.clone();
            let before = all[at].clone();
            let row = &mut all[at];
            match column {
                0 => row.at = Time(row.at.millis() + 1 + i64::try_from(to.len()).unwrap()),
                1 => row.who = to,
                2 => row.what = to,
                3 => row.subject = to,
                4 => row.detail = to,
                5 => row.previous = to,
                _ => row.hash = to,
            }
            prop_assume!(*row != before);
            let found = breaks(&all, (8, &head));
            prop_assert!(!found.is_empty());
        }
    }
}
