//! Checks a TOML file against the JSON Schema of the configuration types, so that every unknown key,
//! wrong type, number out of range and unknown word is told at once, each with its place. (serde
//! stops at the first one.)

use callhome_shared::config_error::{Problem, did_you_mean};
use serde_json::{Map, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// What is wrong with `text`, in file order. Syntax errors hide everything else.
pub(super) fn problems(file: &str, text: &str, schema: &Value) -> Vec<Problem> {
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        let place = |e: &toml::de::Error| e.span().unwrap_or(0..0);
        return errors.iter().map(|e| Problem::at(file, text, place(e), e.message())).collect();
    }
    let mut shape = Shape { file, text, schema, problems: Vec::new() };
    shape.table(schema, table.get_ref(), table.span(), "");
    shape.problems
}

struct Shape<'a> {
    file: &'a str,
    text: &'a str,
    schema: &'a Value,
    problems: Vec<Problem>,
}

impl<'a> Shape<'a> {
    fn problem(&mut self, span: std::ops::Range<usize>, message: String, hint: Option<String>) {
        self.problems.push(Problem::at(self.file, self.text, span, message).hint(hint));
    }

    /// Follows `$ref` into `$defs`.
    fn resolve(&self, node: &'a Value) -> &'a Value {
        let pointer = node.get("$ref").and_then(Value::as_str).and_then(|r| r.strip_prefix('#'));
        pointer.and_then(|p| self.schema.pointer(p)).unwrap_or(node)
    }

    fn table(
        &mut self,
        node: &'a Value,
        table: &DeTable<'_>,
        span: std::ops::Range<usize>,
        path: &str,
    ) {
        let none = Map::new();
        let keys = node.get("properties").and_then(Value::as_object);
        for (key, value) in table {
            let name: &str = key.get_ref();
            match keys.and_then(|keys| keys.get(name)) {
                Some(child) => self.value(child, value, &join(path, name)),
                None => {
                    let names: Vec<&str> =
                        keys.unwrap_or(&none).keys().map(String::as_str).collect();
                    let hint = did_you_mean(name, names.iter().copied())
                        .or_else(|| Some(format!("known here: {}", names.join(", "))));
                    self.problem(key.span(), format!("{}: unknown key", join(path, name)), hint);
                }
            }
        }
        let required = node.get("required").and_then(Value::as_array);
        for name in required.into_iter().flatten().filter_map(Value::as_str) {
            if !table.contains_key(name) {
                let message = format!("{}: missing", join(path, name));
                let says = keys.and_then(|k| k.get(name)?.get("description")?.as_str());
                self.problem(span.clone(), message, says.map(str::to_owned));
            }
        }
    }

    fn value(&mut self, node: &'a Value, value: &Spanned<DeValue<'_>>, path: &str) {
        let node = self.resolve(node);
        if let Some(choices) = node.get("anyOf").and_then(Value::as_array) {
            return self.one_of(choices, value, path);
        }
        if let Some(words) = words(node) {
            return self.word(&words, value, path);
        }
        let expected = node.get("type").and_then(Value::as_str).unwrap_or_default();
        match (expected, value.get_ref()) {
            ("object", DeValue::Table(table)) => self.table(node, table, value.span(), path),
            ("array", DeValue::Array(items)) => {
                for (i, item) in items.iter().enumerate() {
                    if let Some(child) = node.get("items") {
                        self.value(child, item, &format!("{path}[{}]", i + 1));
                    }
                }
            }
            ("string", DeValue::String(_)) | ("boolean", DeValue::Boolean(_)) => {}
            ("integer" | "number", DeValue::Integer(n)) => {
                self.number(node, n.as_str(), n.radix(), value, path);
            }
            ("number", DeValue::Float(n)) => self.number(node, n.as_str(), 10, value, path),
            (_, found) => {
                let message =
                    format!("{path}: expected {}, found {}", article(expected), name(found));
                self.problem(value.span(), message, None);
            }
        }
    }

    /// The choice of the value's own type.
    fn one_of(&mut self, choices: &'a [Value], value: &Spanned<DeValue<'_>>, path: &str) {
        let found = match value.get_ref() {
            DeValue::Table(_) => "object",
            DeValue::Array(_) => "array",
            DeValue::String(_) => "string",
            _ => "",
        };
        let kind = |choice: &'a Value| {
            self.resolve(choice).get("type").and_then(Value::as_str).unwrap_or_default()
        };
        let fitting = choices.iter().find(|choice| kind(choice) == found);
        match fitting {
            Some(choice) => self.value(choice, value, path),
            None => {
                let all: Vec<&str> = choices.iter().map(|choice| article(kind(choice))).collect();
                let (all, found) = (all.join(" or "), name(value.get_ref()));
                self.problem(value.span(), format!("{path}: expected {all}, found {found}"), None);
            }
        }
    }

    fn word(&mut self, words: &[&str], value: &Spanned<DeValue<'_>>, path: &str) {
        let all = words.iter().map(|w| format!("{w:?}")).collect::<Vec<_>>().join(", ");
        match value.get_ref() {
            DeValue::String(found) if words.contains(&found.as_ref()) => {}
            DeValue::String(found) => {
                let message = format!("{path}: expected one of {all}, found {found:?}");
                self.problem(value.span(), message, did_you_mean(found, words.iter().copied()));
            }
            other => {
                let message = format!("{path}: expected one of {all}, found {}", name(other));
                self.problem(value.span(), message, None);
            }
        }
    }

    fn number(
        &mut self,
        node: &Value,
        digits: &str,
        radix: u32,
        value: &Spanned<DeValue<'_>>,
        path: &str,
    ) {
        let number = match radix {
            10 => digits.replace('_', "").parse::<f64>().ok(),
            _ => i64::from_str_radix(digits, radix).ok().map(|n| n as f64),
        };
        let limit =
            |key: &str, otherwise: f64| node.get(key).and_then(Value::as_f64).unwrap_or(otherwise);
        let (min, max) = (limit("minimum", f64::MIN), limit("maximum", f64::MAX));
        if !number.is_some_and(|n| n >= min && n <= max) {
            let message = format!("{path}: expected {min} to {max}, found {digits}");
            self.problem(value.span(), message, None);
        }
    }
}

/// The allowed words of an enumeration, written as `enum` or as `oneOf` of constants.
fn words(node: &Value) -> Option<Vec<&str>> {
    if let Some(words) = node.get("enum").and_then(Value::as_array) {
        return Some(words.iter().filter_map(Value::as_str).collect());
    }
    let choices = node.get("oneOf").and_then(Value::as_array)?;
    Some(choices.iter().filter_map(|choice| choice.get("const")?.as_str()).collect())
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

fn article(expected: &str) -> &str {
    match expected {
        "object" => "a table",
        "array" => "a list",
        "string" => "a text in quotes",
        "boolean" => "true or false",
        "integer" => "a whole number",
        "number" => "a number",
        _ => "something else",
    }
}

fn name(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
