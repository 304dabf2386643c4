//! What a device hangs on: another device, or a part of one.

use super::{Hold, Subject};

/// The types of alarms by which a part counts as out of service for those that hang on it.
pub const DOWN_PARTS: [&str; 6] = [
    "port-down",
    "stack-port-down",
    "stack-power-port-down",
    "outlet-failed",
    "outlet-off",
    "module-power-off",
];

/// Whether a resource of an alarm (`port Gi1/0/7`) is the part that a configuration names (`Gi1/0/7`, or the whole
/// of it), whatever its capitals.
pub fn is_part(resource: &str, named: &str) -> bool {
    let (resource, named) =
        (resource.trim().to_ascii_lowercase(), named.trim().to_ascii_lowercase());
    !named.is_empty()
        && resource
            .strip_suffix(&named)
            .is_some_and(|kind| kind.is_empty() || kind.ends_with(char::is_whitespace))
}

/// For what a device's alarm is held back, by what it hangs on. A device that is down holds all of them; a part
/// that is down only the device's silence: what it can still say is no consequence.
pub fn behind(
    subject: &Subject,
    is_down: impl Fn(&str) -> bool,
    is_part_down: impl Fn(&str, &str) -> bool,
) -> Option<Hold> {
    let parent = subject.parent.as_deref()?;
    if is_down(parent) {
        return Some(Hold::Parent(parent.to_owned()));
    }
    let part = subject.parent_resource.as_deref().filter(|_| subject.is_silence)?;
    is_part_down(parent, part)
        .then(|| Hold::Part { device: parent.to_owned(), resource: part.to_owned() })
}
