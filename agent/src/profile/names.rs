//! Names with tags in them: `PSU ${slot|index}`.

use super::node::{Node, Place};
use super::plan::{Name, Part};
use super::reader::Reader;

/// Reads how a resource is called. `tags` are those of its rows.
pub(super) fn resource(reader: &Reader<'_>, node: &Node, tags: &[String]) -> Option<Name> {
    let text = reader.text(node)?;
    match Name::parse(&text) {
        Ok(name) => {
            for part in &name.parts {
                if let Part::Tags(names) = part {
                    for name in names {
                        check_name(reader, node.at, name, tags, &["index"]);
                    }
                }
            }
            Some(name)
        }
        Err(message) => {
            reader.error(node.at, message);
            None
        }
    }
}

/// Whether a name is a tag or one of `built_in`.
pub(super) fn check_name(
    reader: &Reader<'_>,
    at: Place,
    name: &str,
    tags: &[String],
    built_in: &[&str],
) {
    if tags.iter().any(|t| t == name) || built_in.contains(&name) {
        return;
    }
    let valid = tags.iter().map(String::as_str).chain(built_in.iter().copied());
    reader.error_near(at, format!("`${{{name}}}` is no tag of this metric"), name, valid);
}
