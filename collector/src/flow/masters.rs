//! What people do to customers, sites, contacts, contracts and the installed base: each in one transaction,
//! and nobody's change is lost to another's.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use callhome_shared::config_error::{Problems, did_you_mean};
use callhome_shared::id::new_uuid;
use callhome_shared::time::Time;

use crate::masters::{self, Given, Kind, Read, Refusal, Shape, Values};
use crate::store::masters::{self as rows, Master};
use crate::store::plans::{self, Shelf};
use crate::store::{Db, Remedy, StoreError, Tx};

/// How often a transaction that met another one is tried again.
const ATTEMPTS: u32 = 5;

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
pub enum MasterError {
    /// There is none of that id.
    #[error("there is no {0} {1:?}")]
    NotFound(&'static str, String),
    /// There is one of that id already.
    #[error("there is a {0} {1:?} already")]
    Exists(&'static str, String),
    /// Somebody was faster; as it is now.
    #[error("it was changed by somebody else; its version is {} now", .0.version)]
    Version(Box<Master>),
    /// Something refers to it.
    #[error("the {0} {1:?} refers to it")]
    InUse(&'static str, String),
    /// A value is wrong.
    #[error("{0}: {1}")]
    Refused(String, Refusal),
    /// A file is wrong.
    #[error("{0}")]
    File(Problems),
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] StoreError),
}

/// Who acts, and when.
#[derive(Clone, Copy, Debug)]
pub struct By<'a> {
    /// `user:<name>` or `cli:<name>`.
    pub who: &'a str,
    /// When.
    pub at: Time,
}

/// What a file changes, or would change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Rows that are new.
    pub new: usize,
    /// Rows that differ from what is kept.
    pub changed: usize,
    /// Rows that say what is kept already.
    pub unchanged: usize,
}

/// Adds one. A contact may come without an id: it gets one.
pub async fn create(
    db: &Db,
    kind: Kind,
    id: &str,
    given: &BTreeMap<String, String>,
    by: By<'_>,
) -> Result<Master, MasterError> {
    let id = match (kind, id.trim()) {
        (Kind::Contacts, "") => new_uuid().to_string(),
        (_, id) => masters::id(id).map_err(|e| MasterError::Refused("id".to_owned(), e))?,
    };
    let mut values = checked(kind, given)?;
    fill(kind, &mut values);
    let new = Master {
        id,
        values,
        to_complete: false,
        version: 1,
        updated_at: by.at,
        updated_by: by.who.to_owned(),
    };
    let mut tx = db.begin().await?;
    if !rows::load(&mut tx, kind, std::slice::from_ref(&new.id)).await?.is_empty() {
        return Err(MasterError::Exists(kind.one(), new.id));
    }
    write(&mut tx, kind, &new).await?;
    match tx.commit().await {
        Err(e) if e.is_unique_violation() => Err(MasterError::Exists(kind.one(), new.id)),
        done => Ok(done.map(|()| new)?),
    }
}

/// Changes one that the person saw at `version`. What is not given stays as it is.
pub async fn change(
    db: &Db,
    kind: Kind,
    id: &str,
    version: i64,
    given: &BTreeMap<String, String>,
    by: By<'_>,
) -> Result<Master, MasterError> {
    let values = checked(kind, given)?;
    let mut attempt = 1;
    loop {
        match try_change(db, kind, id, version, &values, by).await {
            Err(MasterError::Store(e)) if e.remedy() == Remedy::Again && attempt < ATTEMPTS => {
                attempt += 1;
            }
            done => return done,
        }
    }
}

async fn try_change(
    db: &Db,
    kind: Kind,
    id: &str,
    version: i64,
    values: &Values,
    by: By<'_>,
) -> Result<Master, MasterError> {
    let mut tx = db.begin().await?;
    let mut one = at_version(&mut tx, kind, id, version).await?;
    for (name, value) in values {
        one.values.insert(name, value.clone());
    }
    touch(&mut one, by);
    write(&mut tx, kind, &one).await?;
    tx.commit().await?;
    Ok(one)
}

/// Removes one that the person saw at `version` and that nothing refers to.
pub async fn remove(db: &Db, kind: Kind, id: &str, version: i64) -> Result<(), MasterError> {
    let mut tx = db.begin().await?;
    at_version(&mut tx, kind, id, version).await?;
    if let Some((from, id)) = rows::referrer(&mut tx, kind, id).await? {
        return Err(MasterError::InUse(from.one(), id));
    }
    if !rows::remove(&mut tx, kind, id, version).await? {
        return Err(StoreError::Changed("master record").into());
    }
    Ok(tx.commit().await?)
}

/// Takes a file: all of it or, when anything is wrong with it, nothing. `dry`: says what it would do.
pub async fn import(
    db: &Db,
    kind: Kind,
    (name, text): (&str, &str),
    read: Read,
    dry: bool,
    by: By<'_>,
) -> Result<Imported, MasterError> {
    let mut tx = db.begin().await?;
    let ids: Vec<String> = read.rows.iter().map(|row| row.id.clone()).collect();
    let known = rows::load(&mut tx, kind, &ids).await?;
    let known: BTreeMap<&str, &Master> = known.iter().map(|m| (m.id.as_str(), m)).collect();
    let mut faults = masters::faults(name, text);
    let (mut done, mut changed) = (Imported::default(), Vec::new());
    let mut missing = Missing::default();
    for given in &read.rows {
        let before = known.get(given.id.as_str()).copied();
        let one = merged(kind, given, before, by);
        if let Some(before) = before
            && given.version.is_some_and(|version| version != before.version)
        {
            let why = format!(
                "it was changed since this file was written: its version is {} now",
                before.version
            );
            faults.add(given.place_of("version"), why, None);
        }
        if let Err((field, refusal)) = masters::across(kind, &one.values) {
            faults.add(given.place_of(field), format!("{field}: {}", refusal.text), refusal.hint);
        }
        for (field, text, hint) in missing.of(&mut tx, kind, &given.values).await? {
            faults.add(given.place_of(field), text, hint);
        }
        match before {
            None => done.new += 1,
            Some(before) if before.values == one.values && !before.to_complete => {
                done.unchanged += 1;
                continue;
            }
            Some(_) => done.changed += 1,
        }
        changed.push(one);
    }
    faults.end().map_err(MasterError::File)?;
    changed.sort_unstable_by(|a, b| a.id.cmp(&b.id));
    if dry {
        tx.rollback().await?;
        return Ok(done);
    }
    rows::save(&mut tx, kind, &changed).await?;
    tx.commit().await?;
    Ok(done)
}

fn merged(kind: Kind, given: &Given, before: Option<&Master>, by: By<'_>) -> Master {
    let mut one = before.cloned().unwrap_or_else(|| Master {
        id: given.id.clone(),
        values: Values::new(),
        to_complete: false,
        version: 0,
        updated_at: by.at,
        updated_by: String::new(),
    });
    one.values.extend(given.values.iter().map(|(name, value)| (*name, value.clone())));
    fill(kind, &mut one.values);
    touch(&mut one, by);
    one
}

fn touch(one: &mut Master, by: By<'_>) {
    one.version += 1;
    (one.to_complete, one.updated_at) = (false, by.at);
    by.who.clone_into(&mut one.updated_by);
}

fn fill(kind: Kind, values: &mut Values) {
    for field in kind.fields() {
        values.entry(field.name).or_default();
    }
}

fn checked(kind: Kind, given: &BTreeMap<String, String>) -> Result<Values, MasterError> {
    let mut values = Values::new();
    for (name, text) in given {
        let Some(field) = kind.field(name) else {
            let all: Vec<&str> = kind.fields().iter().map(|f| f.name).collect();
            let text = format!("a {} has no such field; expected {}", kind.one(), all.join(", "));
            let name: String = name.chars().take(60).collect();
            let hint = did_you_mean(&name, all);
            return Err(MasterError::Refused(format!("values.{name}"), Refusal { text, hint }));
        };
        let value = masters::value(field, text).map_err(|e| refused(field.name, e))?;
        values.insert(field.name, value);
    }
    Ok(values)
}

fn refused(field: &str, refusal: Refusal) -> MasterError {
    MasterError::Refused(format!("values.{field}"), refusal)
}

async fn at_version(
    tx: &mut Tx,
    kind: Kind,
    id: &str,
    version: i64,
) -> Result<Master, MasterError> {
    let found = rows::load(tx, kind, &[id.to_owned()]).await?.into_iter().next();
    let one = found.ok_or_else(|| MasterError::NotFound(kind.one(), id.to_owned()))?;
    if one.version == version { Ok(one) } else { Err(MasterError::Version(Box::new(one))) }
}

async fn write(tx: &mut Tx, kind: Kind, one: &Master) -> Result<(), MasterError> {
    masters::across(kind, &one.values).map_err(|(field, e)| refused(field, e))?;
    let missing = Missing::default().of(tx, kind, &one.values).await?;
    if let Some((field, text, hint)) = missing.into_iter().next() {
        return Err(refused(field, Refusal { text, hint }));
    }
    Ok(rows::save(tx, kind, std::slice::from_ref(one)).await?)
}

/// References to what is not there; what was looked up is remembered.
#[derive(Default)]
struct Missing {
    known: BTreeSet<(Kind, String)>,
    ids: BTreeMap<Kind, Vec<String>>,
    /// Names of calendars and plans that may be chosen, once they were asked for.
    shelves: [Option<Vec<String>>; 2],
}

impl Missing {
    async fn of(
        &mut self,
        tx: &mut Tx,
        kind: Kind,
        values: &Values,
    ) -> Result<Vec<(&'static str, String, Option<String>)>, StoreError> {
        let mut wanted: BTreeMap<Kind, Vec<String>> = BTreeMap::new();
        let refers = masters::refers(kind, values);
        for (_, to, id) in &refers {
            if !self.known.contains(&(*to, (*id).to_owned())) {
                wanted.entry(*to).or_default().push((*id).to_owned());
            }
        }
        for (to, ids) in wanted {
            let found = rows::load(tx, to, &ids).await?;
            self.known.extend(found.into_iter().map(|one| (to, one.id)));
        }
        let mut missing = Vec::new();
        for (field, to, id) in refers {
            if self.known.contains(&(to, id.to_owned())) {
                continue;
            }
            let near = match self.ids.entry(to) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(place) => place.insert(rows::ids(tx, to).await?),
            };
            let near = near.iter().map(String::as_str);
            let text = format!("{}: there is no {} {id:?}", field.name, to.one());
            missing.push((field.name, text, did_you_mean(id, near)));
        }
        missing.extend(self.of_shelves(tx, kind, values).await?);
        Ok(missing)
    }

    async fn of_shelves(
        &mut self,
        tx: &mut Tx,
        kind: Kind,
        values: &Values,
    ) -> Result<Vec<(&'static str, String, Option<String>)>, StoreError> {
        let mut missing = Vec::new();
        for field in kind.fields() {
            let (place, shelf, one) = match field.shape {
                Shape::Calendar => (0, Shelf::Calendars, "calendar"),
                Shape::Plan => (1, Shelf::Plans, "service plan"),
                _ => continue,
            };
            let Some(name) = values.get(field.name).filter(|name| !name.is_empty()) else {
                continue;
            };
            let names = match &mut self.shelves[place] {
                Some(names) => names,
                none => none.insert(plans::names(tx, shelf).await?),
            };
            if !names.contains(name) {
                let near = did_you_mean(name, names.iter().map(String::as_str));
                missing.push((
                    field.name,
                    format!("{}: there is no {one} {name:?}", field.name),
                    near,
                ));
            }
        }
        Ok(missing)
    }
}
