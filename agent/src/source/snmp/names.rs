//! What the rows of polled tables are called, for those who hear of a row otherwise: a trap says
//! `ifIndex 7`, the alarm of the poll `port Gi0/7`, and both mean one fault.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use crate::profile::oid::Oid;

/// Rows of one device that are kept; further ones are called by their index.
const MAX_ROWS: usize = 4096;

/// The names of all devices' rows. Cheap to clone. Nothing is kept of columns that nobody asks for.
#[derive(Clone, Debug, Default)]
pub struct Names(Arc<Inner>);

type Rows = HashMap<Oid, Vec<(Box<[u32]>, Box<str>)>>;

#[derive(Debug, Default)]
struct Inner {
    wanted: RwLock<BTreeSet<Oid>>,
    devices: Mutex<HashMap<Box<str>, Rows>>,
}

impl Names {
    /// For these columns.
    pub fn of(wanted: BTreeSet<Oid>) -> Self {
        Names(Arc::new(Inner { wanted: RwLock::new(wanted), devices: Mutex::default() }))
    }

    /// From now on for these columns.
    pub fn want(&self, wanted: BTreeSet<Oid>) {
        *self.0.wanted.write().unwrap_or_else(PoisonError::into_inner) = wanted;
    }

    /// Whether anybody asks for this column.
    pub fn wants(&self, column: &Oid) -> bool {
        self.0.wanted.read().unwrap_or_else(PoisonError::into_inner).contains(column)
    }

    /// What the rows of a column are called now. `device`: its configured name.
    pub fn tell(&self, device: &str, column: &Oid, rows: impl Iterator<Item = (Vec<u32>, String)>) {
        let rows = rows.map(|(index, name)| (index.into_boxed_slice(), name.into_boxed_str()));
        let mut rows: Vec<_> = rows.take(MAX_ROWS).collect();
        rows.sort_unstable();
        rows.shrink_to_fit();
        let mut devices = self.0.devices.lock().unwrap_or_else(PoisonError::into_inner);
        devices.entry(device.into()).or_default().insert(column.clone(), rows);
    }

    /// What a row is called.
    pub fn row(&self, device: &str, column: &Oid, index: &[u32]) -> Option<String> {
        let devices = self.0.devices.lock().unwrap_or_else(PoisonError::into_inner);
        let rows = devices.get(device)?.get(column)?;
        let at = rows.binary_search_by(|(known, _)| (**known).cmp(index)).ok()?;
        rows.get(at).map(|(_, name)| name.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_have_the_names_of_the_last_poll() {
        let column = Oid::parse("1.3.6.1.2.1.2.2.1.8").unwrap();
        let names = Names::of([column.clone()].into());
        assert!(names.wants(&column) && !Names::default().wants(&column));
        let rows = [(vec![10], "port b".to_owned()), (vec![2], "port a".to_owned())];
        names.tell("switch", &column, rows.into_iter());
        assert_eq!(names.row("switch", &column, &[2]).as_deref(), Some("port a"));
        assert_eq!(names.row("switch", &column, &[3]), None);
        assert_eq!(names.row("other", &column, &[2]), None);
        names.tell("switch", &column, [(vec![2], "port c".to_owned())].into_iter());
        assert_eq!(names.row("switch", &column, &[2]).as_deref(), Some("port c"));
        assert_eq!(names.row("switch", &column, &[10]), None, "that row is gone");
    }
}
