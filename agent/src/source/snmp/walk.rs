//! Walks: several columns of one table at once, each with its own end.

use std::collections::{BTreeMap, BTreeSet};

use callhome_shared::time::Time;

use super::appetite::Appetite;
use super::error::SnmpError;
use super::message::{Operation, error_name};
use super::rows::Rows;
use super::session::{Answer, Session};
use super::value::Value;
use crate::profile::oid::{Oid, dotted};

/// Most rows read of one column; more are cut and reported.
pub const MAX_ROWS: usize = 10_000;
/// Objects in one GET.
pub const MAX_SCALARS: usize = 24;
/// A question for so few objects is small.
const FEW: usize = 2;
/// `tooBig`.
const TOO_BIG: u32 = 1;
/// `authorizationError`: this user may read nothing.
const AUTHORIZATION_ERROR: u32 = 16;
/// `noSuchName`: how v1-minded agents say that a walk is over.
const NO_SUCH_NAME: u32 = 2;
/// `genErr`: some agents say so where they mean too big.
const GEN_ERR: u32 = 5;
const SYS_UP_TIME: &[u32] = &[1, 3, 6, 1, 2, 1, 1, 3, 0];

/// What a column's walk brought.
#[derive(Clone, Debug, Default)]
pub struct Column {
    /// The rows.
    pub rows: Rows,
    /// When the last of them came.
    pub at: Time,
    /// Why it is not complete.
    pub fault: Option<String>,
}

impl Column {
    /// Whether it has no row.
    pub fn is_empty(&self) -> bool {
        self.rows.len() == 0
    }
}

/// One column on its way.
struct Cursor {
    root: Oid,
    /// The last name that was answered.
    last: Vec<u32>,
    done: bool,
    column: Column,
}

impl Cursor {
    fn new(root: &Oid) -> Self {
        let last = root.arcs().to_vec();
        Cursor { root: root.clone(), last, done: false, column: Column::default() }
    }

    fn stop(&mut self, fault: String) {
        self.column.fault = Some(fault);
        self.done = true;
    }

    /// Takes the next binding.
    fn take(&mut self, name: &[u32], value: Value) {
        if self.done {
            return;
        }
        let Some(index) = name.strip_prefix(self.root.arcs()) else {
            self.done = true;
            return;
        };
        if value == Value::EndOfMibView {
            self.done = true;
            return;
        }
        if name <= self.last.as_slice() {
            // Going on would never end.
            let (name, last) = (dotted(name), dotted(&self.last));
            self.stop(format!("the device answers {name} after {last}"));
            return;
        }
        if self.column.rows.len() >= MAX_ROWS {
            self.stop(format!("{} has more than {MAX_ROWS} rows", self.root));
            return;
        }
        if let Value::Undecodable(tag) = value {
            self.column.fault = Some(format!("{}: a value of type {tag:#04x}", dotted(name)));
        } else {
            self.column.rows.insert(index, value);
        }
        self.last.clear();
        self.last.extend_from_slice(name);
    }
}

/// Walks `columns`, which are of one table so that their rows come together. An error is one of
/// the whole device (silence, refusal, budget); what concerns a column alone is in its `fault`.
pub async fn walk(
    session: &mut Session,
    appetite: &mut Appetite,
    columns: &[&Oid],
) -> Result<Vec<Column>, SnmpError> {
    let cursors = columns.iter().map(|root| Cursor::new(root)).collect();
    let mut walk = Walk { cursors, appetite: *appetite, singly: false, smaller: false, bad: false };
    let outcome = walk.on(session).await;
    // A row that is an error of its own is no reason to ask for less: nothing was gained by it.
    if !walk.bad {
        *appetite = walk.appetite;
        if outcome.is_ok() && !walk.smaller {
            appetite.calm();
        }
    }
    outcome.map(|()| walk.cursors.into_iter().map(|cursor| cursor.column).collect())
}

/// A walk on its way.
struct Walk {
    cursors: Vec<Cursor>,
    appetite: Appetite,
    /// One column at a time for the rest: the device says that something is wrong, but not with which.
    singly: bool,
    /// Whether less is asked for than at its beginning.
    smaller: bool,
    /// Whether a column was given up for an error that smaller requests had, too.
    bad: bool,
}

impl Walk {
    async fn on(&mut self, session: &mut Session) -> Result<(), SnmpError> {
        loop {
            let at_once = if self.singly { 1 } else { self.appetite.portion().columns };
            let wanted = self.cursors.iter().enumerate().filter(|(_, cursor)| !cursor.done);
            let (active, names): (Vec<usize>, Vec<Oid>) =
                wanted.map(|(i, cursor)| (i, Oid::new(&cursor.last))).take(at_once).unzip();
            if active.is_empty() {
                return Ok(());
            }
            let names: Vec<&Oid> = names.iter().collect();
            match session.request(self.appetite.operation(names.len()), &names).await {
                Ok(answer) => self.take(&active, answer),
                Err(error) if error.is_silence() => {
                    // A large answer may be lost where a small one is not; but one that is gone
                    // answers nothing, and asking it for less would only take time.
                    is_there(session).await?;
                    if !self.less() {
                        self.stop(&active, 0, "no answer, though the device is there");
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn less(&mut self) -> bool {
        let less = self.appetite.halve();
        self.smaller |= less;
        less
    }

    fn stop(&mut self, active: &[usize], which: usize, fault: &str) {
        if let Some(cursor) = active.get(which).and_then(|i| self.cursors.get_mut(*i)) {
            let fault = format!("{} after {}: {fault}", cursor.root, dotted(&cursor.last));
            cursor.stop(fault);
        }
    }

    /// Hands the bindings of one answer to their columns.
    fn take(&mut self, active: &[usize], answer: Answer) {
        let Answer { response, at, octets } = answer;
        self.appetite.fed(response.varbinds.len(), octets);
        match response.error_status {
            0 if response.varbinds.is_empty() => self.stop(active, 0, "an empty answer"),
            0 => {
                let mut turn = active.iter().cycle();
                response.varbinds.each(|name, value| {
                    if let Some(cursor) = turn.next().and_then(|i| self.cursors.get_mut(*i)) {
                        cursor.column.at = at;
                        cursor.take(name, value);
                    }
                });
            }
            status => self.refused(active, status, response.error_index),
        }
    }

    fn refused(&mut self, active: &[usize], status: u32, index: u32) {
        if status == TOO_BIG {
            if !self.less() {
                self.stop(active, 0, "the device answers tooBig for one value");
            }
            return;
        }
        let portion = self.appetite.portion();
        if status == GEN_ERR && portion.bulk && portion.max_repetitions > 1 {
            self.less();
            return;
        }
        match culprit(index, active.len()) {
            Some(which) if status == NO_SUCH_NAME => {
                if let Some(cursor) = active.get(which).and_then(|i| self.cursors.get_mut(*i)) {
                    cursor.done = true;
                }
            }
            Some(which) => {
                self.bad |= status == GEN_ERR;
                self.stop(active, which, error_name(status));
            }
            None => self.singly = true,
        }
    }
}

/// Which of so many bindings an error index means, from 0; `None` = it means none of several.
fn culprit(index: u32, of: usize) -> Option<usize> {
    match usize::try_from(index).ok()?.checked_sub(1) {
        Some(which) if which < of => Some(which),
        _ => (of == 1).then_some(0),
    }
}

/// Whether the device answers a small question; else the error that it does not.
async fn is_there(session: &mut Session) -> Result<(), SnmpError> {
    session.request(Operation::Get, &[&Oid::new(SYS_UP_TIME)]).await.map(|_| ())
}

/// Gets single objects; what is missing or cannot be decoded is left out. The second part says
/// what could not be read.
pub async fn get(
    session: &mut Session,
    oids: &[&Oid],
) -> Result<(BTreeMap<Oid, Value>, Vec<String>), SnmpError> {
    let mut found = BTreeMap::new();
    let mut faults = Vec::new();
    let mut left: Vec<&Oid> = oids.to_vec();
    let mut at_once = MAX_SCALARS;
    while let Some(first) = left.first().copied() {
        let asked: Vec<&Oid> = left.iter().take(at_once).copied().collect();
        let response = match session.request(Operation::Get, &asked).await {
            Ok(answer) => answer.response,
            Err(error) if error.is_silence() && asked.len() > FEW => {
                is_there(session).await?;
                at_once = asked.len() / 2;
                continue;
            }
            Err(error) => return Err(error),
        };
        match response.error_status {
            0 => {}
            TOO_BIG if asked.len() > 1 => {
                at_once = asked.len() / 2;
                continue;
            }
            // No view for this user at all: that is no matter of one object.
            status @ AUTHORIZATION_ERROR => {
                return Err(SnmpError::Status { status, oid: first.clone() });
            }
            status => {
                // v1-minded agents refuse the whole request for one object: leave that one out.
                let Some(which) = culprit(response.error_index, asked.len()) else {
                    at_once = 1;
                    continue;
                };
                let oid = left.remove(which);
                if status != NO_SUCH_NAME {
                    faults.push(SnmpError::Status { status, oid: oid.clone() }.to_string());
                }
                continue;
            }
        }
        let answered = response.varbinds.len().clamp(1, asked.len());
        if response.varbinds.is_empty() {
            faults.push(format!("{first}: an empty answer"));
        }
        for binding in response.varbinds {
            match binding.value {
                Value::Undecodable(tag) => {
                    faults.push(format!("{}: a value of type {tag:#04x}", binding.oid));
                }
                value if value.is_present() => {
                    found.insert(binding.oid, value);
                }
                _ => {}
            }
        }
        left.drain(..answered);
    }
    Ok((found, faults))
}

/// What the device has at or below each of these objects; what it has nothing of is left out.
pub async fn next(
    session: &mut Session,
    oids: &BTreeSet<Oid>,
) -> Result<BTreeMap<Oid, Value>, SnmpError> {
    // An object itself comes first; only those that are none are looked below.
    let all: Vec<&Oid> = oids.iter().collect();
    let (mut found, _) = get(session, &all).await?;
    for root in all {
        if found.contains_key(root) {
            continue;
        }
        let response = session.request(Operation::GetNext, &[root]).await?.response;
        let below = response.varbinds.into_iter().next();
        let below = below.filter(|b| b.oid.after(root).is_some() && b.value.is_present());
        if let Some(binding) = below.filter(|_| response.error_status == 0) {
            found.insert(root.clone(), binding.value);
        }
    }
    Ok(found)
}
