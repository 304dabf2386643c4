//! Texts with tags in them: `PSU ${slot|index}`.

use super::node::{Node, Place};
use super::reader::Reader;

/// A text with names in it: `port ${ifName|ifDescr|index}`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Name {
    /// Its parts.
    pub parts: Vec<Part>,
}

/// A part of a [`Name`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// As it stands.
    Text(String),
    /// The first of these tags that is not empty.
    Tags(Vec<String>),
}

impl Name {
    /// Reads it; an error says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(start) = rest.find("${") {
            let (before, after) = rest.split_at(start);
            let inner = after.strip_prefix("${").unwrap_or_default();
            let Some(end) = inner.find('}') else {
                return Err(format!("`${{` without `}}` in {text:?}"));
            };
            let (names, tail) = inner.split_at(end);
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            parts.push(Part::Tags(names.split('|').map(|n| n.trim().to_owned()).collect()));
            rest = tail.strip_prefix('}').unwrap_or_default();
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Name { parts })
    }

    /// Fills it; `tag` gives a tag's value.
    pub fn fill<'t>(&self, tag: impl Fn(&str) -> Option<&'t str>) -> String {
        let mut text = String::with_capacity(48);
        for part in &self.parts {
            match part {
                Part::Text(words) => text.push_str(words),
                Part::Tags(names) => {
                    let found = names.iter().filter_map(|n| tag(n)).find(|v| !v.is_empty());
                    text.push_str(found.unwrap_or_default());
                }
            }
        }
        let trimmed = text.trim();
        if trimmed.len() == text.len() { text } else { trimmed.to_owned() }
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fall_back() {
        let name = Name::parse("port ${ifName|index}").unwrap();
        assert_eq!(name.fill(|n| (n == "index").then_some("7")), "port 7");
        assert_eq!(name.fill(|n| Some(if n == "index" { "7" } else { "Gi0/1" })), "port Gi0/1");
        assert!(Name::parse("port ${ifName").is_err());
    }
}
