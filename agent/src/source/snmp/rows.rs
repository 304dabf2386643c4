//! Values by object identifier in few pieces of memory: the rows of a column, and the bindings of an
//! answer. Most of what a poll costs would else be a piece of memory for each of their names.

use super::message::VarBind;
use super::value::Value;
use crate::profile::oid::Oid;

/// Rows of one column, in the order of their indexes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows(List);

/// The bindings of an answer, in its order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bindings(List);

/// Names with their values.
#[derive(Clone, Debug, Default, PartialEq)]
struct List {
    /// The arcs of all names, one name after the other.
    arcs: Vec<u32>,
    /// Where each name ends in them, with its value.
    cells: Vec<(usize, Value)>,
}

impl List {
    /// Where the name of a cell begins.
    fn start(&self, at: usize) -> usize {
        let before = at.checked_sub(1).and_then(|before| self.cells.get(before));
        before.map_or(0, |(end, _)| *end)
    }

    fn name(&self, at: usize) -> &[u32] {
        let end = self.cells.get(at).map_or(0, |(end, _)| *end);
        self.arcs.get(self.start(at)..end).unwrap_or_default()
    }

    fn push(&mut self, name: &[u32], value: Value) {
        self.arcs.extend_from_slice(name);
        self.cells.push((self.arcs.len(), value));
    }

    fn insert(&mut self, at: usize, name: &[u32], value: Value) {
        let start = self.start(at);
        self.arcs.splice(start..start, name.iter().copied());
        self.cells.insert(at, (start, value));
        self.cells.iter_mut().skip(at).for_each(|(end, _)| *end += name.len());
    }

    fn iter(&self) -> impl ExactSizeIterator<Item = (&[u32], &Value)> + Clone {
        self.cells.iter().enumerate().map(|(at, (_, value))| (self.name(at), value))
    }
}

impl Rows {
    /// How many.
    pub fn len(&self) -> usize {
        self.0.cells.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The row with this index.
    pub fn get(&self, index: &[u32]) -> Option<&Value> {
        self.0.cells.get(self.find(index).ok()?).map(|(_, value)| value)
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, index: &[u32]) -> Option<&mut Value> {
        let at = self.find(index).ok()?;
        self.0.cells.get_mut(at).map(|(_, value)| value)
    }

    /// Adds a row; one with this index is replaced. Cheap behind all others, where the rows of a walk come.
    pub fn insert(&mut self, index: &[u32], value: Value) {
        match self.find(index) {
            Err(at) if at == self.len() => self.0.push(index, value),
            Err(at) => self.0.insert(at, index, value),
            Ok(at) => {
                if let Some((_, old)) = self.0.cells.get_mut(at) {
                    *old = value;
                }
            }
        }
    }

    /// All of them with their indexes.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&[u32], &Value)> + Clone {
        self.0.iter()
    }

    /// Where a row is, or would be.
    fn find(&self, index: &[u32]) -> Result<usize, usize> {
        let (mut from, mut to) = (0, self.len());
        let last = to.saturating_sub(1);
        if to > 0 && self.0.name(last) < index {
            return Err(to);
        }
        while from < to {
            let middle = from.midpoint(to);
            match self.0.name(middle).cmp(index) {
                std::cmp::Ordering::Less => from = middle + 1,
                std::cmp::Ordering::Equal => return Ok(middle),
                std::cmp::Ordering::Greater => to = middle,
            }
        }
        Err(from)
    }
}

impl<'a> FromIterator<(&'a [u32], Value)> for Rows {
    fn from_iter<I: IntoIterator<Item = (&'a [u32], Value)>>(rows: I) -> Self {
        let mut all = Rows::default();
        rows.into_iter().for_each(|(index, value)| all.insert(index, value));
        all
    }
}

impl Bindings {
    /// Room for so many.
    pub(crate) fn with_capacity(bindings: usize) -> Self {
        // A name has some 12 arcs.
        let (arcs, cells) = (Vec::with_capacity(bindings * 12), Vec::with_capacity(bindings));
        Bindings(List { arcs, cells })
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.cells.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds one, named in BER contents; `false` = that is no name.
    pub(crate) fn push_ber(&mut self, name: &[u8], value: impl FnOnce() -> Value) -> bool {
        let List { arcs, cells } = &mut self.0;
        let before = arcs.len();
        if !Oid::read_ber(name, arcs) {
            arcs.truncate(before);
            return false;
        }
        let end = arcs.len();
        cells.push((end, value()));
        true
    }

    /// All of them with their names.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&[u32], &Value)> + Clone {
        self.0.iter()
    }

    /// Hands them over one after the other.
    pub fn each(self, mut take: impl FnMut(&[u32], Value)) {
        let List { arcs, cells } = self.0;
        let mut start = 0;
        for (end, value) in cells {
            take(arcs.get(start..end).unwrap_or_default(), value);
            start = end;
        }
    }
}

impl IntoIterator for Bindings {
    type Item = VarBind;
    type IntoIter = std::vec::IntoIter<VarBind>;

    fn into_iter(self) -> Self::IntoIter {
        let mut all = Vec::with_capacity(self.len());
        self.each(|name, value| all.push(VarBind { oid: Oid::new(name), value }));
        all.into_iter()
    }
}

impl FromIterator<VarBind> for Bindings {
    fn from_iter<I: IntoIterator<Item = VarBind>>(bindings: I) -> Self {
        let mut all = Bindings::default();
        bindings.into_iter().for_each(|b| all.0.push(b.oid.arcs(), b.value));
        all
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    proptest::proptest! {
        /// Whatever the order in which rows come, it is that of a map.
        #[test]
        fn prop_rows_are_a_map(
            given in proptest::collection::vec((proptest::collection::vec(0u32..4, 0..4), 0i64..9), 0..40),
        ) {
            let (mut rows, mut map) = (Rows::default(), BTreeMap::new());
            for (index, number) in given {
                rows.insert(&index, Value::Integer(number));
                map.insert(index, Value::Integer(number));
            }
            let all: Vec<_> = rows.iter().map(|(index, v)| (index.to_vec(), v.clone())).collect();
            proptest::prop_assert_eq!(all, map.clone().into_iter().collect::<Vec<_>>());
            proptest::prop_assert_eq!(rows.len(), map.len());
            for index in [vec![], vec![0], vec![1, 2], vec![3, 3, 3], vec![0, 0]] {
                proptest::prop_assert_eq!(rows.get(&index), map.get(&index));
                proptest::prop_assert_eq!(rows.get_mut(&index).cloned(), map.get(&index).cloned());
            }
        }

        /// What goes in comes out, in its order.
        #[test]
        fn prop_bindings_keep_names_and_values(
            given in proptest::collection::vec((proptest::collection::vec(0u32.., 2..9), 0i64..9), 0..20),
        ) {
            let made = |(name, number): &(Vec<u32>, i64)| {
                VarBind { oid: Oid::new(name), value: Value::Integer(*number) }
            };
            let bindings: Bindings = given.iter().map(made).collect();
            let mut seen = Vec::new();
            bindings.clone().each(|name, value| seen.push((name.to_vec(), value)));
            let wanted: Vec<_> = given.iter().map(|(n, i)| (n.clone(), Value::Integer(*i))).collect();
            proptest::prop_assert_eq!(&seen, &wanted);
            let again: Vec<VarBind> = bindings.into_iter().collect();
            proptest::prop_assert_eq!(again, given.iter().map(made).collect::<Vec<_>>());
        }
    }
}
