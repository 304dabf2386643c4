//! A strict reader of the document's schemas: what they do not describe is wrong.

use callhome_shared::time::Time;
use serde_json::{Map, Value};

/// Says where `value` is not what `schema` describes.
pub(super) fn check(
    document: &Value,
    schema: &Value,
    value: &Value,
    at: &str,
) -> Result<(), String> {
    let keywords = schema.as_object().ok_or(format!("{at}: the schema is no object"))?;
    for (keyword, rule) in keywords {
        let fits = match keyword.as_str() {
            "$ref" => check(document, resolve(document, rule)?, value, at),
            "type" => check_type(rule, value, at),
            "enum" => one_of_values(rule, value, at),
            "format" => check_format(rule, value, at),
            "oneOf" => check_one_of(document, rule, value, at),
            "items" => check_items(document, rule, value, at),
            "minimum" => match (rule.as_f64(), value.as_f64()) {
                (Some(least), Some(value)) if value < least => Err(format!("{at}: below {least}")),
                _ => Ok(()),
            },
            "minLength" => match (rule.as_u64(), value.as_str()) {
                (Some(least), Some(text)) if (text.chars().count() as u64) < least => {
                    Err(format!("{at}: shorter than {least}"))
                }
                _ => Ok(()),
            },
            "properties" | "required" | "allOf" | "additionalProperties" | "propertyNames" => {
                Ok(())
            }
            "description" | "example" | "title" => Ok(()),
            other => Err(format!("{at}: this check does not know the keyword {other:?}")),
        };
        fits?;
    }
    match value.as_object() {
        Some(object) if describes_object(keywords) => check_object(document, schema, object, at),
        _ => Ok(()),
    }
}

fn describes_object(keywords: &Map<String, Value>) -> bool {
    ["properties", "allOf", "additionalProperties"].iter().any(|k| keywords.contains_key(*k))
}

fn resolve<'a>(document: &'a Value, reference: &Value) -> Result<&'a Value, String> {
    let reference = reference.as_str().unwrap_or_default();
    let pointer = reference.strip_prefix('#').ok_or(format!("{reference} is elsewhere"))?;
    document.pointer(pointer).ok_or(format!("{reference} is not in the document"))
}

fn check_type(rule: &Value, value: &Value, at: &str) -> Result<(), String> {
    let found = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(n) if n.is_i64() || n.is_u64() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let fits = match rule {
        Value::Array(types) => types.iter().any(|t| t == found),
        one => one == found,
    };
    if fits { Ok(()) } else { Err(format!("{at}: expected {rule}, found {found}")) }
}

fn one_of_values(rule: &Value, value: &Value, at: &str) -> Result<(), String> {
    match rule.as_array() {
        Some(all) if all.contains(value) => Ok(()),
        _ => Err(format!("{at}: {value} is not one of {rule}")),
    }
}

fn check_format(rule: &Value, value: &Value, at: &str) -> Result<(), String> {
    match (rule.as_str(), value.as_str()) {
        (Some("date-time"), Some(text)) => {
            Time::parse(text).map(drop).map_err(|e| format!("{at}: {e}"))
        }
        _ => Ok(()),
    }
}

fn check_one_of(document: &Value, rule: &Value, value: &Value, at: &str) -> Result<(), String> {
    let all = rule.as_array().map(Vec::as_slice).unwrap_or_default();
    let fitting = all.iter().filter(|s| check(document, s, value, at).is_ok()).count();
    if fitting == 1 { Ok(()) } else { Err(format!("{at}: fits {fitting} of {rule}")) }
}

fn check_items(document: &Value, rule: &Value, value: &Value, at: &str) -> Result<(), String> {
    for (n, item) in value.as_array().into_iter().flatten().enumerate() {
        check(document, rule, item, &format!("{at}[{n}]"))?;
    }
    Ok(())
}

fn check_object(
    document: &Value,
    schema: &Value,
    object: &Map<String, Value>,
    at: &str,
) -> Result<(), String> {
    let mut known = Map::new();
    let mut required = Vec::new();
    let mut others = None;
    gather(document, schema, &mut known, &mut required, &mut others)?;
    for name in required {
        if !object.contains_key(&name) {
            return Err(format!("{at}: {name} is missing"));
        }
    }
    for (name, value) in object {
        let at = format!("{at}.{name}");
        match (known.get(name), &others) {
            (Some(schema), _) => check(document, schema, value, &at)?,
            (None, Some(schema)) => check(document, schema, value, &at)?,
            (None, None) => return Err(format!("{at}: is not described")),
        }
    }
    Ok(())
}

/// The properties of a schema and of all that it is made of.
fn gather(
    document: &Value,
    schema: &Value,
    known: &mut Map<String, Value>,
    required: &mut Vec<String>,
    others: &mut Option<Value>,
) -> Result<(), String> {
    if let Some(reference) = schema.get("$ref") {
        gather(document, resolve(document, reference)?, known, required, others)?;
    }
    for part in schema.get("allOf").and_then(Value::as_array).into_iter().flatten() {
        gather(document, part, known, required, others)?;
    }
    for (name, schema) in schema.get("properties").and_then(Value::as_object).into_iter().flatten()
    {
        known.insert(name.clone(), schema.clone());
    }
    let names = schema.get("required").and_then(Value::as_array).into_iter().flatten();
    required.extend(names.filter_map(Value::as_str).map(str::to_owned));
    if let Some(schema @ Value::Object(_)) = schema.get("additionalProperties") {
        *others = Some(schema.clone());
    }
    Ok(())
}

#[test]
fn finds_what_is_wrong() {
    let document = serde_json::json!({ "components": { "schemas": {
        "Inner": { "type": "object", "required": ["n"], "properties": { "n": { "type": "integer" } } },
        "Outer": { "allOf": [
            { "$ref": "#/components/schemas/Inner" },
            { "type": "object", "properties": { "t": { "type": ["string", "null"], "format": "date-time" } } },
        ] },
    } } });
    let schema = serde_json::json!({ "$ref": "#/components/schemas/Outer" });
    let told = |value: Value| check(&document, &schema, &value, "it").unwrap_err();
    let good = serde_json::json!({ "n": 1, "t": "2026-01-31T08:00:00Z" });
    check(&document, &schema, &good, "it").unwrap();
    assert_eq!(told(serde_json::json!({})), "it: n is missing");
    assert_eq!(told(serde_json::json!({ "n": 1, "x": 2 })), "it.x: is not described");
    assert!(told(serde_json::json!({ "n": "1" })).starts_with("it.n: expected"));
    assert!(told(serde_json::json!({ "n": 1, "t": "today" })).starts_with("it.t: expected"));
}
