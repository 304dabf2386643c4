//! What changed in what a device is made of: which part went, came, was replaced or updated. Pure.

use std::collections::{HashMap, VecDeque};

use callhome_shared::alarm::Device;
use callhome_shared::inventory::Module;

/// The class under which changes of the device itself are told.
pub const DEVICE: &str = "device";

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A part is there that was not.
    Appeared,
    /// A part is gone.
    Vanished,
    /// Another serial number at the same place: the part was replaced.
    Serial,
    /// The part of this serial number is at another place.
    Moved,
    /// Another model.
    Model,
    /// Another hardware revision.
    Hardware,
    /// Another firmware.
    Firmware,
    /// Another software.
    Software,
}

impl What {
    /// The stable word in the store and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            What::Appeared => "appeared",
            What::Vanished => "vanished",
            What::Serial => "serial",
            What::Moved => "moved",
            What::Model => "model",
            What::Hardware => "hardware",
            What::Firmware => "firmware",
            What::Software => "software",
        }
    }
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What.
    pub what: What,
    /// Of what class of part; [`DEVICE`] for the device itself.
    pub class: String,
    /// The part's name now (of one that is gone: as it was).
    pub name: String,
    /// As it was: the serial number of a part that is gone, the name of one that moved.
    pub was: Option<String>,
    /// As it is.
    pub is: Option<String>,
}

/// What follows from a new list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compared {
    /// In the order of the new list; parts that are gone at the end.
    pub changes: Vec<Change>,
    /// For each part of the new list its place in the old one.
    pub before: Vec<Option<usize>>,
}

/// Parts of one list by what they are told apart by, each used once.
type Places<'a> = HashMap<(&'a str, &'a str, &'a str), VecDeque<usize>>;

/// Compares two lists. `cut`: of the old one, of the new one, whether parts found no place in it: then one that is
/// missing there may only have been pushed out.
pub fn compare(old: &[Module], new: &[Module], cut: (bool, bool)) -> Compared {
    let mut before: Vec<Option<usize>> = vec![None; new.len()];
    let mut gone = vec![true; old.len()];
    // What is the same in all; what has the same serial number; what is at the same place.
    for tell in [same, by_serial, by_place] {
        let mut places: Places<'_> = HashMap::new();
        for (place, part) in
            old.iter().enumerate().filter(|(place, _)| gone.get(*place) == Some(&true))
        {
            if let Some(key) = tell(part) {
                places.entry(key).or_default().push_back(place);
            }
        }
        for (part, found) in new.iter().zip(&mut before).filter(|(_, found)| found.is_none()) {
            let place = tell(part).and_then(|key| places.get_mut(&key)?.pop_front());
            if let Some(gone) = place.and_then(|place| gone.get_mut(place)) {
                (*found, *gone) = (place, false);
            }
        }
    }
    let mut changes = Vec::new();
    for (part, place) in new.iter().zip(&before) {
        match place.and_then(|place| old.get(place)) {
            Some(was) => differences(was, part, &mut changes),
            None if cut.0 => {}
            None => changes.push(change(What::Appeared, part, None, part.serial.clone())),
        }
    }
    if !cut.1 {
        let gone = old.iter().zip(gone).filter(|(_, gone)| *gone);
        changes.extend(gone.map(|(was, _)| change(What::Vanished, was, was.serial.clone(), None)));
    }
    Compared { changes, before }
}

fn same(part: &Module) -> Option<(&str, &str, &str)> {
    Some((&part.class, &part.name, part.serial.as_deref().unwrap_or_default()))
}

fn by_serial(part: &Module) -> Option<(&str, &str, &str)> {
    Some((&part.class, "", part.serial.as_deref()?))
}

fn by_place(part: &Module) -> Option<(&str, &str, &str)> {
    Some((&part.class, &part.name, ""))
}

fn change(what: What, part: &Module, was: Option<String>, is: Option<String>) -> Change {
    Change { what, class: part.class.clone(), name: part.name.clone(), was, is }
}

fn differences(was: &Module, is: &Module, changes: &mut Vec<Change>) {
    if was.name != is.name {
        changes.push(change(What::Moved, is, Some(was.name.clone()), Some(is.name.clone())));
    }
    for (what, was, now) in [
        (What::Serial, &was.serial, &is.serial),
        (What::Model, &was.model, &is.model),
        (What::Hardware, &was.hardware, &is.hardware),
        (What::Firmware, &was.firmware, &is.firmware),
        (What::Software, &was.software, &is.software),
    ] {
        if was != now {
            changes.push(change(what, is, was.clone(), now.clone()));
        }
    }
}

/// What changed of the device itself. What is not said any more did not change, and what is said for the first
/// time neither.
pub fn compare_device(was: &Device, is: &Device) -> Vec<Change> {
    let told = [
        (What::Serial, &was.serial, &is.serial),
        (What::Model, &was.model, &is.model),
        (What::Firmware, &was.firmware, &is.firmware),
    ];
    let changed =
        told.into_iter().filter(|(_, was, is)| was.is_some() && is.is_some() && was != is);
    let change = |(what, was, is): (What, &Option<String>, &Option<String>)| Change {
        what,
        class: DEVICE.to_owned(),
        name: String::new(),
        was: was.clone(),
        is: is.clone(),
    };
    changed.map(change).collect()
}

/// What the installed base says of a device from now on: `kept` is what is written there, `before` what the agent
/// said last, `now` what it says. What a person wrote stays; what is empty, or still says what the agent said
/// before, follows the agent.
pub fn follows<'a>(kept: &str, before: Option<&str>, now: Option<&'a str>) -> Option<&'a str> {
    let free = kept.is_empty() || before.is_some_and(|before| before == kept);
    now.filter(|now| free && !now.is_empty() && *now != kept)
}

#[cfg(test)]
mod tests;
