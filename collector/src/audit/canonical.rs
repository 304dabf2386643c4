//! One spelling for one JSON value: keys sorted by their bytes, no white space. After RFC 8785, for
//! texts, whole numbers, truth values, lists and objects; the record holds nothing else.

use serde_json::Value;

/// The canonical spelling.
pub fn canonical(value: &Value) -> String {
    let mut out = String::new();
    write(value, &mut out);
    out
}

fn write(value: &Value, out: &mut String) {
    match value {
        Value::Array(items) => {
            out.push('[');
            for (n, item) in items.iter().enumerate() {
                if n > 0 {
                    out.push(',');
                }
                write(item, out);
            }
            out.push(']');
        }
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by(|a, b| a.0.as_bytes().cmp(b.0.as_bytes()));
            out.push('{');
            for (n, (key, member)) in members.into_iter().enumerate() {
                if n > 0 {
                    out.push(',');
                }
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push(':');
                write(member, out);
            }
            out.push('}');
        }
        plain => out.push_str(&plain.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn one_spelling() {
        let one: Value =
            serde_json::from_str(r#"{ "b": [1, {"z": true, "a": null}], "a": "ä\n" }"#).unwrap();
        let other = json!({ "a": "ä\n", "b": [1, { "a": null, "z": true }] });
        assert_eq!(canonical(&one), r#"{"a":"ä\n","b":[1,{"a":null,"z":true}]}"#);
        assert_eq!(canonical(&one), canonical(&other));
    }
}
