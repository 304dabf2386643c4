//! What one device is asked for: the metrics of its profiles, grouped by table.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use callhome_shared::config_error::Problems;

use crate::profile::oid::Oid;
use crate::profile::plan::{Metadatum, Metric, Source, TagSource};
use crate::profile::{Library, Profile};
use crate::rule::RuleSet;

/// The plans of all devices: one for all that are read by the same profiles, as long as there is one.
#[derive(Debug)]
pub struct Plans {
    library: Arc<Library>,
    used: Mutex<BTreeMap<Vec<String>, Weak<Plan>>>,
}

impl Plans {
    /// Plans by the profiles of a library.
    pub fn new(library: Arc<Library>) -> Arc<Self> {
        Arc::new(Plans { library, used: Mutex::default() })
    }

    /// The profiles.
    pub fn library(&self) -> &Arc<Library> {
        &self.library
    }

    /// The plan for the profiles of these names. Only a name that is none is an error.
    pub fn of(&self, names: &[String]) -> Result<Arc<Plan>, Problems> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(plan) = used.get(names).and_then(Weak::upgrade) {
            return Ok(plan);
        }
        let profiles = self.library.all(names.iter().map(String::as_str))?;
        let plan = Arc::new(Plan::new(&profiles));
        used.retain(|_, plan| plan.strong_count() > 0);
        used.insert(names.to_vec(), Arc::downgrade(&plan));
        Ok(plan)
    }
}

/// What is read of a device.
#[derive(Debug, Default)]
pub struct Plan {
    /// The profiles.
    pub profiles: Vec<Arc<Profile>>,
    /// Whether all of them are for any device.
    pub generic: bool,
    /// Single objects.
    pub scalars: BTreeSet<Oid>,
    /// Metrics on single objects.
    pub scalar_metrics: Vec<Arc<Metric>>,
    /// Metrics on columns, by table.
    pub tables: Vec<Table>,
    /// What is read once to know the device.
    pub metadata: Vec<Metadatum>,
    /// The rules on all of it.
    pub rules: RuleSet,
}

/// Metrics that share their rows' names, with all columns they need.
#[derive(Debug)]
pub struct Table {
    /// The metrics.
    pub metrics: Vec<Arc<Metric>>,
    /// The columns, by table entry: those of one entry are walked together.
    pub columns: Vec<Vec<Oid>>,
    /// Those of them that metrics with rules need.
    pub judged: Vec<Vec<Oid>>,
}

impl Table {
    /// The columns that are walked when, besides what has rules, only what is `wanted` counts.
    pub fn walked(&self, wanted: impl Fn(&Metric) -> bool) -> Cow<'_, [Vec<Oid>]> {
        let unjudged = |metric: &&Arc<Metric>| !self.has_rules(metric);
        match self.metrics.iter().filter(unjudged).any(|metric| wanted(metric)) {
            true => self.needed(|metric| self.has_rules(metric) || wanted(metric)).into(),
            false => self.judged.as_slice().into(),
        }
    }

    fn has_rules(&self, metric: &Metric) -> bool {
        self.judged.iter().any(|group| group.contains(&metric.oid))
    }

    /// The columns that some of its metrics need.
    fn needed(&self, wanted: impl Fn(&Metric) -> bool) -> Vec<Vec<Oid>> {
        let wanted = self.metrics.iter().filter(|metric| wanted(metric));
        by_entry(wanted.flat_map(|metric| columns(metric)))
    }
}

impl Plan {
    /// The plan for these profiles; where two read the same object under one name, the first wins.
    pub fn new(profiles: &[Arc<Profile>]) -> Self {
        let generic = profiles.iter().all(|profile| profile.head.fits_any());
        let mut plan = Plan { generic, ..Plan::default() };
        let mut taken = BTreeSet::new();
        for profile in profiles {
            plan.profiles.push(profile.clone());
            for datum in &profile.metadata {
                plan.metadata.push(datum.clone());
            }
            for metric in &profile.metrics {
                if taken.insert((metric.symbol.clone(), metric.oid.clone())) {
                    plan.add(metric);
                }
            }
        }
        plan.rules = RuleSet::new(profiles.iter().flat_map(|profile| &profile.rules).cloned());
        for table in &mut plan.tables {
            table.columns = table.needed(|_| true);
            table.judged = table.needed(|metric| !plan.rules.on(&metric.name).is_empty());
        }
        plan
    }

    fn add(&mut self, metric: &Arc<Metric>) {
        if metric.counted {
            self.scalars.insert(sys_uptime());
        }
        self.scalars.extend(metric.conversion.unit.object().cloned());
        if !metric.column {
            self.scalars.insert(metric.oid.clone());
            self.scalars.extend(metric.conversion.percent_of.clone());
            self.scalars.extend(metric.limits.iter().map(|limit| limit.oid.clone()));
            self.scalar_metrics.push(metric.clone());
            return;
        }
        let scalars = metric.limits.iter().filter(|limit| !limit.column);
        self.scalars.extend(scalars.map(|limit| limit.oid.clone()));
        let same = |table: &&mut Table| {
            table.metrics.first().is_some_and(|m| Arc::ptr_eq(&m.tags, &metric.tags))
        };
        match self.tables.iter_mut().find(same) {
            Some(table) => table.metrics.push(metric.clone()),
            None => {
                let metrics = vec![metric.clone()];
                self.tables.push(Table { metrics, columns: Vec::new(), judged: Vec::new() });
            }
        }
    }

    /// The profiles' names.
    pub fn names(&self) -> Vec<&str> {
        self.profiles.iter().map(|profile| profile.name.as_str()).collect()
    }

    /// What the metadata needs: single objects, and columns by table entry.
    pub fn metadata_needs(&self) -> (BTreeSet<Oid>, Vec<Vec<Oid>>) {
        let mut scalars = BTreeSet::new();
        let mut needed = Vec::new();
        for datum in &self.metadata {
            match &datum.source {
                Source::Fixed(_) => {}
                Source::Scalar { oid, .. } => {
                    scalars.insert(oid.clone());
                }
                Source::Row { column, key, .. } => needed.extend([column.clone(), key.clone()]),
            }
        }
        (scalars, by_entry(needed))
    }
}

/// How long the device has been up: counters begin at 0 with it.
pub fn sys_uptime() -> Oid {
    Oid::new(&[1, 3, 6, 1, 2, 1, 1, 3, 0])
}

/// All columns that a metric needs.
fn columns(metric: &Metric) -> Vec<Oid> {
    let mut needed = vec![metric.oid.clone()];
    needed.extend(metric.conversion.percent_of.clone());
    let limits = metric.limits.iter().filter(|limit| limit.column);
    needed.extend(limits.map(|limit| limit.oid.clone()));
    needed.extend(metric.conversion.exponents.iter().map(|e| e.column.clone()));
    needed.extend(metric.conversion.unit.column().cloned());
    for tag in metric.tags.iter() {
        match &tag.source {
            TagSource::Column { oid, .. } => needed.push(oid.clone()),
            TagSource::Reference { oid, index } => needed.extend([oid.clone(), index.clone()]),
            _ => {}
        }
    }
    needed
}

fn by_entry(columns: impl IntoIterator<Item = Oid>) -> Vec<Vec<Oid>> {
    let mut groups: Vec<Vec<Oid>> = Vec::new();
    for column in columns {
        let entry = |oid: &Oid| oid.arcs().split_last().map(|(_, entry)| entry.to_vec());
        let same = groups.iter_mut().find(|g| g.first().and_then(entry) == entry(&column));
        match same {
            Some(group) if group.contains(&column) => {}
            Some(group) => group.push(column),
            None => groups.push(vec![column]),
        }
    }
    groups
}
