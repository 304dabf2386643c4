//! Walks: several columns of one table at once, each with its own end.

use std::collections::{BTreeMap, BTreeSet};

use callhome_shared::time::Time;

use super::error::SnmpError;
use super::message::{Operation, VarBind};
use super::session::{Answer, Session};
use super::value::Value;
use crate::profile::oid::Oid;

/// Most rows read of one column; more are cut and reported.
pub const MAX_ROWS: usize = 10_000;
/// Columns asked for in one request.
const MAX_COLUMNS: usize = 8;
/// Bindings that one GETBULK may ask for: about what fits a UDP datagram without fragments.
const MAX_BINDINGS: usize = 60;
/// Objects in one GET.
pub const MAX_SCALARS: usize = 24;
/// `tooBig`.
const TOO_BIG: u32 = 1;
/// `authorizationError`: this user may read nothing.
const AUTHORIZATION_ERROR: u32 = 16;
/// `noSuchName`: how v1-minded agents say that a walk is over.
const NO_SUCH_NAME: u32 = 2;

/// How much to ask for at once; learned per device and kept over polls.
#[derive(Clone, Copy, Debug)]
pub struct Appetite {
    /// GETBULK, or GETNEXT only.
    pub bulk: bool,
    /// Rows at once.
    pub max_repetitions: u32,
    /// Columns at once.
    pub columns: usize,
}

impl Appetite {
    /// As configured.
    pub fn new(bulk: bool, max_repetitions: u32) -> Self {
        Appetite { bulk, max_repetitions: max_repetitions.max(1), columns: MAX_COLUMNS }
    }

    /// Asks for less; `false` = it cannot be less.
    fn halve(&mut self) -> bool {
        if self.bulk && self.max_repetitions > 1 {
            self.max_repetitions /= 2;
        } else if self.columns > 1 {
            self.columns /= 2;
        } else {
            return false;
        }
        tracing::debug!(
            max_repetitions = self.max_repetitions,
            columns = self.columns,
            "asking the device for less at once"
        );
        true
    }

    fn operation(self, columns: usize) -> Operation {
        if !self.bulk {
            return Operation::GetNext;
        }
        let fits = u32::try_from(MAX_BINDINGS / columns.max(1)).unwrap_or(1).max(1);
        Operation::GetBulk { max_repetitions: self.max_repetitions.min(fits) }
    }
}

/// Rows of one column by index.
pub type Rows = BTreeMap<Vec<u32>, Value>;

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

/// One column on its way.
struct Cursor {
    root: Oid,
    last: Oid,
    done: bool,
    column: Column,
}

impl Cursor {
    fn new(root: &Oid) -> Self {
        Cursor { root: root.clone(), last: root.clone(), done: false, column: Column::default() }
    }

    fn stop(&mut self, fault: String) {
        self.column.fault = Some(fault);
        self.done = true;
    }

    /// Takes the next binding.
    fn take(&mut self, binding: VarBind) {
        if self.done {
            return;
        }
        let Some(index) = binding.oid.after(&self.root) else {
            self.done = true;
            return;
        };
        if binding.value == Value::EndOfMibView {
            self.done = true;
            return;
        }
        if binding.oid <= self.last {
            // Going on would never end.
            self.stop(format!("the device answers {} after {}", binding.oid, self.last));
            return;
        }
        if self.column.rows.len() >= MAX_ROWS {
            self.stop(format!("{} has more than {MAX_ROWS} rows", self.root));
            return;
        }
        if let Value::Undecodable(tag) = binding.value {
            self.column.fault = Some(format!("{}: a value of type {tag:#04x}", binding.oid));
        } else {
            self.column.rows.insert(index.to_vec(), binding.value);
        }
        self.last = binding.oid;
    }
}

/// Walks `columns`, which are of one table so that their rows come together. An error is one of
/// the whole device (silence, refusal, budget); what concerns a column alone is in its `fault`.
pub async fn walk(
    session: &mut Session,
    appetite: &mut Appetite,
    columns: &[&Oid],
) -> Result<Vec<Column>, SnmpError> {
    let before = *appetite;
    let outcome = walk_on(session, appetite, columns).await;
    if outcome.is_err() {
        // A dead device is no reason to ask it for little once it is back.
        *appetite = before;
    }
    outcome
}

async fn walk_on(
    session: &mut Session,
    appetite: &mut Appetite,
    columns: &[&Oid],
) -> Result<Vec<Column>, SnmpError> {
    let mut cursors: Vec<Cursor> = columns.iter().map(|root| Cursor::new(root)).collect();
    loop {
        let active: Vec<usize> = cursors
            .iter()
            .enumerate()
            .filter(|(_, cursor)| !cursor.done)
            .map(|(i, _)| i)
            .take(appetite.columns)
            .collect();
        if active.is_empty() {
            return Ok(cursors.into_iter().map(|cursor| cursor.column).collect());
        }
        let names: Vec<Oid> =
            active.iter().filter_map(|i| cursors.get(*i)).map(|c| c.last.clone()).collect();
        let names: Vec<&Oid> = names.iter().collect();
        match session.request(appetite.operation(names.len()), &names).await {
            Ok(answer) if answer.response.error_status == TOO_BIG => {
                if !appetite.halve() {
                    stop(&mut cursors, &active, 0, "the device answers tooBig for one value");
                }
            }
            Ok(answer) => advance(&mut cursors, &active, answer),
            // A large answer may be lost where a small one is not.
            Err(error) if error.is_silence() && appetite.halve() => {}
            Err(error) => return Err(error),
        }
    }
}

fn stop(cursors: &mut [Cursor], active: &[usize], which: usize, fault: &str) {
    if let Some(cursor) = active.get(which).and_then(|i| cursors.get_mut(*i)) {
        let fault = format!("{} after {}: {fault}", cursor.root, cursor.last);
        cursor.stop(fault);
    }
}

/// Hands the bindings of one answer to their columns.
fn advance(cursors: &mut [Cursor], active: &[usize], answer: Answer) {
    let Answer { response, at } = answer;
    let which = usize::try_from(response.error_index).unwrap_or(0).saturating_sub(1);
    match response.error_status {
        0 => {}
        NO_SUCH_NAME => {
            if let Some(cursor) = active.get(which).and_then(|i| cursors.get_mut(*i)) {
                cursor.done = true;
            }
            return;
        }
        status => {
            stop(cursors, active, which, super::message::error_name(status));
            return;
        }
    }
    if response.varbinds.is_empty() {
        // Encrypted answers end at a value that the library cannot decode: this is its sign.
        stop(cursors, active, 0, "a value that cannot be decoded");
        return;
    }
    for (n, binding) in response.varbinds.into_iter().enumerate() {
        let cursor = active.get(n % active.len().max(1)).and_then(|i| cursors.get_mut(*i));
        if let Some(cursor) = cursor {
            cursor.column.at = at;
            cursor.take(binding);
        }
    }
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
    while !left.is_empty() {
        let asked: Vec<&Oid> = left.iter().take(at_once).copied().collect();
        let response = session.request(Operation::Get, &asked).await?.response;
        let which = usize::try_from(response.error_index).unwrap_or(0).saturating_sub(1);
        match response.error_status {
            0 => {}
            TOO_BIG if at_once > 1 => {
                at_once /= 2;
                continue;
            }
            // No view for this user at all: that is no matter of one object.
            status @ AUTHORIZATION_ERROR => {
                let oid = asked.first().map(|oid| (*oid).clone()).unwrap_or_default();
                return Err(SnmpError::Status { status, oid });
            }
            status => {
                // v1-minded agents refuse the whole request for one object: leave that one out.
                let which = which.min(asked.len().saturating_sub(1));
                let oid = left.remove(which);
                if status != NO_SUCH_NAME {
                    faults.push(SnmpError::Status { status, oid: oid.clone() }.to_string());
                }
                continue;
            }
        }
        let answered = response.varbinds.len().clamp(1, asked.len());
        if response.varbinds.is_empty() {
            faults.push(format!(
                "{}: a value that cannot be decoded",
                asked.first().map_or(String::new(), |o| o.to_string())
            ));
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
