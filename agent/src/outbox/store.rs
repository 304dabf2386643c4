//! The outbox itself: opened, written, read, opened again.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use callhome_shared::ack::{Ack, Receipt, Reject};
use callhome_shared::envelope::Lane;
use callhome_shared::id::{AgentId, new_uuid};
use callhome_shared::logging::STAGE;
use callhome_shared::time::Time;
use redb::{Database, ReadableDatabase, ReadableTable};
use uuid::Uuid;

use super::frame::{self, ENVELOPES, Meta, REJECTS, RejectRow, lane_key};
use super::inspect::{self, Checked};
use super::opened::Opened;
use super::status::Status;
use super::transaction::{self, KEPT_RECEIPTS, Pending};
use super::{Committed, Decision, Loaded, OutboxError, Page, database};
use crate::settings::OutboxSettings;

/// The collector's word for a number under which it knows another envelope.
const DUPLICATE_SEQ: &str = "duplicate-seq";

/// The outbox. Synchronous; see [`super::spawn`].
pub struct Outbox {
    path: PathBuf,
    agent: AgentId,
    settings: OutboxSettings,
    /// Absent only between a failure and a successful reopening.
    database: Option<Database>,
    /// As in the file, plus acknowledgements that the next transaction writes down.
    meta: Meta,
    /// What the next transaction writes down besides its decision.
    pending: Pending,
    /// The newest receipts by alarm id.
    receipts: BTreeMap<u128, Receipt>,
    /// When the head of each lane was made, and which entry that was.
    heads: BTreeMap<Lane, (u64, Option<Time>)>,
    commits: u64,
    commit_errors: u64,
    refused_full: u64,
    set_aside: u64,
    aside_removed: u64,
    salvaged: u64,
    renewed: u64,
    #[cfg(test)]
    lose_answer: bool,
}

impl Outbox {
    /// Opens or creates it. A file that is damaged, or another agent's, is set aside; a new one with a
    /// new epoch then declares the loss. Errors are those of the directory, the disk, or a second
    /// process on the same file.
    pub fn open(
        path: &Path,
        agent: &AgentId,
        settings: &OutboxSettings,
    ) -> Result<(Outbox, Loaded), OutboxError> {
        let opened = Opened::open_or_replace(path, agent, settings)?;
        let Opened { database, meta, mut loaded, receipts, set_aside, aside_removed, salvaged } =
            opened;
        loaded.set_aside.clone_from(&set_aside);
        loaded.salvaged = salvaged;
        let outbox = Outbox {
            path: path.to_owned(),
            agent: agent.clone(),
            settings: settings.clone(),
            database: Some(database),
            meta,
            pending: Pending::default(),
            receipts,
            heads: BTreeMap::new(),
            commits: 0,
            commit_errors: 0,
            refused_full: 0,
            set_aside: u64::from(set_aside.is_some()),
            aside_removed,
            salvaged: salvaged.unwrap_or_default().envelopes,
            renewed: 0,
            #[cfg(test)]
            lose_answer: false,
        };
        Ok((outbox, loaded))
    }

    /// Stores a decision: one fsynced transaction. After a failure of the database the file is opened
    /// anew, and the decision is looked for in it before it is tried again. If even that fails
    /// ([`OutboxError::is_doubtful`]) it may be stored or not: commit the very same decision again,
    /// until it is known. Any other error means that it is not stored.
    pub fn commit(&mut self, decision: &Decision) -> Result<Committed, OutboxError> {
        if self.database.is_none() {
            self.reopen()?;
        }
        if let Some(stored) = self.stored(decision) {
            return Ok(stored);
        }
        let first = self.write(decision);
        #[cfg(test)]
        let first = self.answer_lost(first)?;
        let error = match first {
            Err(error) if error.is_doubtful() => error,
            other => return other,
        };
        self.commit_errors += 1;
        tracing::error!(error = &error as &dyn std::error::Error, "outbox commit failed");
        self.reopen()?;
        match self.stored(decision) {
            Some(stored) => Ok(stored),
            None => self.write(decision).inspect_err(|_| self.commit_errors += 1),
        }
    }

    /// The decision, if it is the one that was stored last.
    fn stored(&self, decision: &Decision) -> Option<Committed> {
        self.meta.commit.filter(|stored| stored.id == decision.id)
    }

    /// The next unacknowledged envelopes of a lane after `after_seq`: at most `max_count`, and about
    /// `max_bytes` of them (always at least one).
    pub fn pending(
        &mut self,
        lane: Lane,
        after_seq: u64,
        max_count: usize,
        max_bytes: usize,
    ) -> Result<Page, OutboxError> {
        self.reading(|outbox, database| {
            let (place, limits) = ((lane, after_seq), (max_count, max_bytes));
            inspect::page(database, &outbox.meta, place, limits)
        })
    }

    /// Reads at most `count` stored entries of a lane after `after_seq`, acknowledged ones too, against
    /// their checksums.
    pub fn check(
        &mut self,
        lane: Lane,
        after_seq: u64,
        count: u64,
    ) -> Result<Checked, OutboxError> {
        self.reading(|outbox, database| {
            inspect::check(database, &outbox.meta, (lane, after_seq), count)
        })
    }

    /// Takes an acknowledgement: those of other lives, and of numbers never given, change nothing.
    /// Its entries leave the file with the next transaction. Says whether anything new was learnt.
    pub fn ack(&mut self, ack: &Ack, now: Time) -> bool {
        if ack.epoch != self.meta.epoch {
            tracing::debug!(epoch = %ack.epoch, "acknowledgement of another epoch ignored");
            return false;
        }
        if ack.rejects.iter().any(|r| r.reason == DUPLICATE_SEQ && self.holds(ack.lane, r)) {
            return self.renew(now);
        }
        let book = self.meta.lanes.of_mut(ack.lane);
        if ack.seq > book.last_seq {
            tracing::warn!(
                ack.seq,
                last_seq = book.last_seq,
                lane = ack.lane.as_str(),
                "acknowledgement of a number that was never given ignored"
            );
            return false;
        }
        for reject in &ack.rejects {
            if reject.seq > book.floor && reject.seq <= book.last_seq {
                self.pending.refuse(ack.lane, reject, now);
            }
        }
        self.meta.last_ack_at = Some(now);
        self.meta.store = Some(ack.store);
        self.pending.dirty = true;
        let news = ack.seq > book.acked_seq;
        book.acked_seq = book.acked_seq.max(ack.seq);
        news
    }

    /// Takes a receipt; it is written down with the next transaction.
    pub fn receipt(&mut self, receipt: &Receipt) {
        let key = receipt.alarm_id.as_u128();
        self.receipts.insert(key, receipt.clone());
        while self.receipts.len() > KEPT_RECEIPTS {
            self.receipts.pop_first();
        }
        self.pending.receipts.push(receipt.clone());
        if self.pending.receipts.len() > KEPT_RECEIPTS {
            self.pending.receipts.remove(0);
        }
        self.pending.dirty = true;
    }

    /// The receipt of an alarm life, if it came and is among the newest.
    pub fn receipt_of(&self, alarm_id: Uuid) -> Option<&Receipt> {
        self.receipts.get(&alarm_id.as_u128())
    }

    /// Refused envelopes, the newest last.
    pub fn rejects(&mut self) -> Result<Vec<RejectRow>, OutboxError> {
        self.reading(|_, database| {
            let read = database.begin_read().map_err(super::database)?;
            let table = read.open_table(REJECTS).map_err(super::database)?;
            let mut rows = Vec::new();
            for row in table.iter().map_err(super::database)? {
                let (_, value) = row.map_err(super::database)?;
                rows.push(
                    serde_json::from_slice(value.value())
                        .map_err(frame::json("refused envelope"))?,
                );
            }
            rows.sort_by_key(|row: &RejectRow| row.at);
            Ok(rows)
        })
    }

    /// Writes down what acknowledgements and receipts left to do; nothing if there is nothing.
    pub fn settle(&mut self) -> Result<(), OutboxError> {
        // One transaction removes a bounded number of entries, so that none takes long.
        while self.pending.dirty || self.meta.lanes.removable() > 0 {
            self.commit(&Decision { id: new_uuid(), time: Time::now(), ..Decision::default() })?;
        }
        Ok(())
    }

    /// This life.
    pub fn epoch(&self) -> Uuid {
        self.meta.epoch
    }

    /// A picture of it.
    pub fn status(&mut self) -> Status {
        let lanes = Lane::ALL.map(|lane| {
            let oldest_at = self.head_time(lane);
            inspect::lane_status(&self.meta, lane, oldest_at)
        });
        Status {
            epoch: self.meta.epoch,
            created_at: self.meta.created_at,
            lanes: lanes.to_vec(),
            stored_bytes: self.meta.lanes.bytes(),
            budget_bytes: self.settings.max_bytes,
            last_ack_at: self.meta.last_ack_at,
            store: self.meta.store,
            synced_store: self.meta.synced_store,
            store_changes: self.meta.store_changes,
            store_changed_at: self.meta.store_changed_at,
            commits: self.commits,
            commit_errors: self.commit_errors,
            refused_full: self.refused_full,
            set_aside: self.set_aside,
            aside_removed: self.aside_removed,
            salvaged: self.salvaged,
            renewed: self.renewed,
        }
    }

    /// Whether it is our own envelope that was refused.
    fn holds(&mut self, lane: Lane, reject: &Reject) -> bool {
        let found = self.reading(|_, opened| {
            let read = opened.begin_read().map_err(database)?;
            let table = read.open_table(ENVELOPES).map_err(database)?;
            let value = table.get((lane_key(lane), reject.seq)).map_err(database)?;
            Ok(value.and_then(|v| frame::read_id(v.value())))
        });
        found.is_ok_and(|id| id == Some(reject.id))
    }

    /// Another outbox of this agent, a copy or what this one was rolled back from, has used our
    /// numbers: acknowledgements of this epoch may be for its envelopes. A new epoch begins, in which
    /// everything in the file is sent again; the collector knows what it has by the envelopes' ids.
    fn renew(&mut self, now: Time) -> bool {
        let Some(opened) = self.database.as_ref() else { return false };
        let mut next = self.meta.clone();
        (next.epoch, next.created_at, next.last_ack_at) = (new_uuid(), now, None);
        let done = catch_unwind(AssertUnwindSafe(|| transaction::renumber(opened, &mut next)))
            .unwrap_or_else(|_| Err(self.panicked()));
        if let Err(error) = done {
            // The collector refuses again, and it is tried again.
            tracing::error!(error = &error as &dyn std::error::Error, "no new epoch was begun");
            self.commit_errors += 1;
            self.database = None;
            return false;
        }
        tracing::error!(
            old = %self.meta.epoch,
            new = %next.epoch,
            "the collector knows other envelopes under our numbers: is this agent a copy, or was it \
             rolled back? A new epoch begins and everything is sent again"
        );
        self.meta = next;
        self.pending.refused.clear();
        self.heads.clear();
        self.renewed += 1;
        true
    }

    /// One transaction.
    fn write(&mut self, decision: &Decision) -> Result<Committed, OutboxError> {
        let Some(opened) = self.database.as_ref() else { return Err(OutboxError::Closed) };
        let mut next = self.meta.clone();
        let budget = self.settings.max_bytes;
        // redb may panic on pages that were altered behind its back.
        let done = catch_unwind(AssertUnwindSafe(|| {
            transaction::write(opened, &mut next, &self.pending, decision, budget)
        }));
        match done {
            Ok(Ok(committed)) => {
                let removed = next.lanes.acked() - self.meta.lanes.acked();
                self.meta = next;
                self.pending = Pending::default();
                self.commits += 1;
                if removed > 0 {
                    tracing::trace!(target: STAGE, at = "outbox.acked", removed);
                }
                if !decision.drafts.is_empty() || !decision.positions.is_empty() {
                    let (first_seq, last_seq) = (committed.first_seq, committed.last_seq);
                    tracing::trace!(target: STAGE, at = "outbox.committed", first_seq, last_seq);
                }
                Ok(committed)
            }
            Ok(Err(error)) => {
                if matches!(error, OutboxError::Full { .. }) {
                    self.refused_full += 1;
                }
                Err(error)
            }
            Err(_) => Err(self.panicked()),
        }
    }

    /// Runs a read; after a failure of the database once more on the file opened anew.
    fn reading<T>(
        &mut self,
        read: impl Fn(&Self, &Database) -> Result<T, OutboxError>,
    ) -> Result<T, OutboxError> {
        for last in [false, true] {
            if self.database.is_none() {
                self.reopen()?;
            }
            let Some(opened) = self.database.as_ref() else { return Err(OutboxError::Closed) };
            let result = catch_unwind(AssertUnwindSafe(|| read(self, opened)))
                .unwrap_or_else(|_| Err(self.panicked()));
            match result {
                Err(error) if error.is_doubtful() && !last => {
                    tracing::error!(error = &error as &dyn std::error::Error, "outbox read failed");
                    self.reopen()?;
                }
                other => return other,
            }
        }
        Err(OutboxError::Closed)
    }

    /// When the oldest unacknowledged entry was made; read once for each head.
    fn head_time(&mut self, lane: Lane) -> Option<Time> {
        let book = self.meta.lanes.of(lane);
        let (head, last_seq) = (book.head(), book.last_seq);
        if head > last_seq {
            return None;
        }
        match self.heads.get(&lane) {
            Some((seq, at)) if *seq == head => *at,
            _ => {
                let at = self.reading(|_, opened| {
                    let read = opened.begin_read().map_err(database)?;
                    let table = read.open_table(ENVELOPES).map_err(database)?;
                    let key = lane_key(lane);
                    let mut rows = table.range((key, head)..=(key, last_seq)).map_err(database)?;
                    let first = rows.next().transpose().map_err(database)?;
                    Ok(first.and_then(|(_, value)| frame::read_time(value.value())))
                });
                let at = at.ok().flatten();
                self.heads.insert(lane, (head, at));
                at
            }
        }
    }

    /// Closes and opens the file. What is known from acknowledgements is kept where the life is the
    /// same; a damaged file is replaced.
    fn reopen(&mut self) -> Result<(), OutboxError> {
        self.database = None;
        self.heads.clear();
        let opened = Opened::open_or_replace(&self.path, &self.agent, &self.settings)?;
        let before = std::mem::replace(&mut self.meta, opened.meta);
        if before.epoch == self.meta.epoch {
            for lane in Lane::ALL {
                let book = self.meta.lanes.of_mut(lane);
                book.acked_seq = book.acked_seq.max(before.lanes.of(lane).acked_seq);
            }
            self.meta.last_ack_at = before.last_ack_at;
            self.meta.store = before.store;
        } else {
            // Whatever is known of the old life's entries says nothing of the new one's.
            self.pending.refused.clear();
        }
        self.set_aside += u64::from(opened.set_aside.is_some());
        self.aside_removed += opened.aside_removed;
        self.salvaged += opened.salvaged.unwrap_or_default().envelopes;
        self.database = Some(opened.database);
        tracing::info!(epoch = %self.meta.epoch, "outbox opened again");
        Ok(())
    }

    fn panicked(&self) -> OutboxError {
        OutboxError::Damaged { path: self.path.clone(), reason: "the database panicked".to_owned() }
    }
}

/// Faults for tests.
#[cfg(test)]
impl Outbox {
    /// As after an I/O error: the database is closed and the next call opens it anew.
    pub(super) fn break_database(&mut self) {
        self.database = None;
    }

    /// The next commit is stored, but the disk fails before it is known.
    pub(super) fn lose_answer(&mut self) {
        self.lose_answer = true;
    }

    fn answer_lost(
        &mut self,
        result: Result<Committed, OutboxError>,
    ) -> Result<Result<Committed, OutboxError>, OutboxError> {
        if !std::mem::take(&mut self.lose_answer) {
            return Ok(result);
        }
        result?;
        self.database = None;
        let source = std::io::Error::other("made up");
        Err(OutboxError::File { step: "read", path: self.path.clone(), source })
    }
}
