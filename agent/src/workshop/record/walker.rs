//! A walk of a device with whatever manners: what to ask next, and when to pass over something. Pure.

use std::collections::BTreeSet;

use crate::profile::oid::Oid;
use crate::source::snmp::message::{Operation, VarBind, error_name};
use crate::source::snmp::value::Value;

/// Rows of one column; beyond it the column counts as endless.
pub const MAX_ROWS: usize = 10_000;
/// Objects that share all but the last two, or three, arcs: tables whose index has several parts.
const MAX_BELOW: [usize; 3] = [MAX_ROWS, 5 * MAX_ROWS, 10 * MAX_ROWS];
/// Answers out of order that are followed.
const MAX_DISORDER: usize = 1_000;
/// Times that something is passed over.
const MAX_JUMPS: usize = 2_000;
/// Silence at so many objects in turn ends the walk.
const MAX_SILENCE: usize = 3;
/// Remarks that are kept.
const MAX_REMARKS: usize = 20;
/// After so many good answers more is asked for at once again.
const GROW_AFTER: u32 = 25;
/// RFC 3416: the answer would not fit.
const TOO_BIG: u32 = 1;
/// How v1-minded agents say that a walk is over.
const NO_SUCH_NAME: u32 = 2;

/// What came of a request.
pub enum Heard {
    /// An error status (0 = none) and what came with it.
    Answer(u32, Vec<VarBind>),
    /// Nothing in time.
    Nothing,
}

/// A walk below one object.
pub struct Walker {
    root: Oid,
    /// Ask for what comes after this.
    at: Oid,
    /// The highest object so far.
    top: Oid,
    seen: BTreeSet<Oid>,
    /// For each of [`MAX_BELOW`]: the arcs that are shared, and how many share them.
    below: [(Vec<u32>, usize); 3],
    most: u32,
    repetitions: u32,
    good: u32,
    /// Arcs that the next jump cuts off.
    cut: usize,
    jumps: usize,
    disorder: usize,
    silence: usize,
    heard: bool,
    done: bool,
    remarks: Vec<String>,
    unsaid: usize,
}

impl Walker {
    /// Below `root`; `bulk` = values asked for at once, 0 = GETNEXT only.
    pub fn new(root: Oid, bulk: u32) -> Self {
        Walker {
            at: root.clone(),
            top: root.clone(),
            root,
            seen: BTreeSet::new(),
            below: Default::default(),
            most: bulk,
            repetitions: bulk,
            good: 0,
            cut: 1,
            jumps: 0,
            disorder: 0,
            silence: 0,
            heard: false,
            done: false,
            remarks: Vec::new(),
            unsaid: 0,
        }
    }

    /// The next request: what comes after an object. `None` = the walk is over.
    pub fn ask(&self) -> Option<(Operation, Oid)> {
        let operation = match self.repetitions {
            0 => Operation::GetNext,
            max_repetitions => Operation::GetBulk { max_repetitions },
        };
        (!self.done).then(|| (operation, self.at.clone()))
    }

    /// Whether the device has answered at all.
    pub fn has_heard(&self) -> bool {
        self.heard
    }

    /// Ends the walk.
    pub fn give_up(&mut self, why: &str) {
        self.done = true;
        self.remark(format!("the walk of {} ended after {}: {why}", self.root, self.at));
    }

    /// What went wrong.
    pub fn remarks(mut self) -> Vec<String> {
        if self.disorder > 0 {
            self.remarks.push(format!("{} answers were out of order", self.disorder));
        }
        if self.unsaid > 0 {
            self.remarks.push(format!("and {} more remarks", self.unsaid));
        }
        self.remarks
    }

    /// Takes what came; gives the new objects.
    pub fn take(&mut self, heard: Heard) -> Vec<(Oid, Value)> {
        match heard {
            Heard::Nothing => self.nothing(),
            Heard::Answer(0, bindings) if !bindings.is_empty() => return self.bindings(bindings),
            Heard::Answer(status, _) => self.refused(status),
        }
        Vec::new()
    }

    fn remark(&mut self, text: String) {
        match self.remarks.len() < MAX_REMARKS {
            true => self.remarks.push(text),
            false => self.unsaid += 1,
        }
    }

    fn nothing(&mut self) {
        if self.less() {
            return;
        }
        self.silence += 1;
        if self.silence >= MAX_SILENCE {
            self.give_up("no answer any more");
            return;
        }
        self.jump("no answer");
    }

    /// Asks for less at once; `false` = it cannot be less.
    fn less(&mut self) -> bool {
        self.good = 0;
        let was = self.repetitions;
        self.repetitions /= 2;
        was > 0
    }

    fn refused(&mut self, status: u32) {
        self.heard = true;
        match status {
            NO_SUCH_NAME => self.done = true,
            // An encrypted answer ends at a value that cannot be decoded: then nothing is left of it.
            0 | TOO_BIG if self.less() => {}
            0 => self.jump("a value that cannot be decoded"),
            // What cannot be said in one answer may be said in several.
            _ if self.repetitions > 0 => self.repetitions = 0,
            status => self.jump(&format!("the device answers {}", error_name(status))),
        }
    }

    fn bindings(&mut self, bindings: Vec<VarBind>) -> Vec<(Oid, Value)> {
        self.heard = true;
        self.silence = 0;
        self.good += 1;
        if self.good >= GROW_AFTER && self.repetitions < self.most {
            self.repetitions = (self.repetitions * 2).clamp(1, self.most);
            self.good = 0;
        }
        let mut new = Vec::new();
        for VarBind { oid, value } in bindings {
            if value == Value::EndOfMibView || oid.after(&self.root).is_none() {
                self.done = true;
                break;
            }
            if oid <= self.at {
                self.disorder += 1;
                if self.disorder >= MAX_DISORDER {
                    self.give_up("too many answers out of order");
                    break;
                }
            }
            if !self.seen.insert(oid.clone()) {
                self.jump("the device goes round in circles");
                break;
            }
            self.cut = 1;
            self.at = oid.clone();
            self.top = self.top.clone().max(oid.clone());
            match value {
                Value::Undecodable(tag) => {
                    self.remark(format!("{oid}: a value of type {tag:#04x}"))
                }
                value => new.push((oid.clone(), value)),
            }
            if let Some(cut) = self.endless(&oid) {
                self.cut = cut;
                self.jump("a table without an end");
                break;
            }
        }
        new
    }

    /// Counts what shares its first arcs; gives how many arcs to cut where there are too many.
    fn endless(&mut self, oid: &Oid) -> Option<usize> {
        for (n, (shared, count)) in self.below.iter_mut().enumerate() {
            let arcs = oid.arcs();
            let prefix = arcs.get(..arcs.len().saturating_sub(n + 1)).unwrap_or_default();
            match shared.as_slice() == prefix {
                true => *count += 1,
                false => (*shared, *count) = (prefix.to_vec(), 1),
            }
            if MAX_BELOW.get(n).is_some_and(|most| *count >= *most) {
                return Some(n + 1);
            }
        }
        None
    }

    /// Passes over what is left below the object that the highest one stands in; a second time without
    /// anything new in between, below the one around that.
    fn jump(&mut self, why: &str) {
        self.remark(format!("passed over what comes after {}: {why}", self.at));
        self.jumps += 1;
        let from = self.top.clone().max(self.at.clone());
        let arcs = from.arcs();
        let kept = arcs.len().saturating_sub(self.cut);
        self.cut += 1;
        if self.jumps > MAX_JUMPS || kept <= self.root.arcs().len() {
            self.done = true;
            return;
        }
        // Nothing can be asked for directly: what comes after the last that could be there.
        let prefix = Oid::new(arcs.get(..kept).unwrap_or_default());
        let next = prefix.with(&[u32::MAX]);
        if next > self.at {
            self.top = next.clone();
            self.cut = 2;
            self.at = next;
            return;
        }
        self.jump_further(arcs, kept);
    }

    fn jump_further(&mut self, arcs: &[u32], kept: usize) {
        let shorter = kept.saturating_sub(1);
        if shorter <= self.root.arcs().len() {
            self.done = true;
            return;
        }
        let prefix = Oid::new(arcs.get(..shorter).unwrap_or_default());
        self.at = prefix.with(&[u32::MAX]);
        self.top = self.at.clone();
        self.cut = 2;
    }
}
