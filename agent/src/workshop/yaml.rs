//! Texts as YAML.

/// A scalar, in quotes where it needs them.
pub fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
    let begins = text.chars().next().is_some_and(|c| c.is_ascii_alphabetic() || c == '/');
    let word = ["true", "false", "yes", "no", "on", "off", "null", "y", "n"];
    let special = word.contains(&text.to_ascii_lowercase().as_str());
    if begins && !special && text.chars().all(plain) && !text.ends_with('.') {
        return text.to_owned();
    }
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::node::{Kind, parse};

    proptest::proptest! {
        #[test]
        fn prop_a_quoted_text_is_read_back(text in "\\PC{0,40}|[a-z:#\"'\\\\ \n\t-]{0,20}|(yes|NO|null|1e3|~|0x1f|1.5)") {
            let node = parse("a.yaml", &format!("k: {}\n", quoted(&text))).unwrap();
            let Kind::Map(entries) = node.kind else { panic!() };
            let Kind::Text(read) = &entries[0].1.kind else { panic!("{entries:?}") };
            proptest::prop_assert_eq!(read, &text);
        }
    }
}
