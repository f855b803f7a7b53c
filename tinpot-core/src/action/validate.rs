//! Checks parameters against an action's schema: presence, names and JSON types.
//!
//! Understood: `type`, `properties`, `required`, `additionalProperties`, `items`, `anyOf`/`oneOf`, `enum`, `const`. Other keywords are
//! left to whoever runs the action.

use std::fmt;

use serde_json::{Map, Value};

use crate::error::{Error, ErrorKind, Result};
use crate::json::Json;

/// One thing that is wrong with a set of parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which value: `days`, `hosts[3]`, `options.force`; empty for the whole document.
    pub path: String,
    /// What is wrong with it, and what would be right.
    pub message: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "{}: {}", self.path, self.message)
        }
    }
}

/// Checks `parameters` (a JSON object) against `schema`, and says everything that is wrong at once.
///
/// # Errors
/// [`ErrorKind::InvalidParameters`], whose message names each violation.
pub fn validate(schema: &Value, parameters: &Json) -> Result<()> {
    let invalid = |message: String| Error::new(ErrorKind::InvalidParameters, message);
    let value: Value = serde_json::from_str(parameters.get())
        .map_err(|e| invalid(format!("the parameters are not valid: {e}")))?;
    if !value.is_object() {
        return Err(invalid(format!("the parameters must be an object, not {}", kind_of(&value))));
    }
    let mut found = Vec::new();
    check(schema, &value, "", &mut found);
    if found.is_empty() {
        return Ok(());
    }
    let all: Vec<String> = found.iter().map(Violation::to_string).collect();
    Err(invalid(all.join("; ")))
}

fn check(schema: &Value, value: &Value, path: &str, found: &mut Vec<Violation>) {
    let Value::Object(schema) = schema else { return };
    let mut report = |message: String| found.push(Violation { path: path.to_owned(), message });
    if let Some(options) =
        schema.get("anyOf").or_else(|| schema.get("oneOf")).and_then(Value::as_array)
    {
        if !options.iter().any(|option| fits(option, value)) {
            let names: Vec<String> = options.iter().map(describe).collect();
            report(format!("must be {}, not {}", names.join(" or "), kind_of(value)));
        }
        return;
    }
    if let Some(allowed) = schema.get("enum").and_then(Value::as_array)
        && !allowed.contains(value)
    {
        let names: Vec<String> = allowed.iter().map(Value::to_string).collect();
        return report(format!("must be one of {}, not {value}", names.join(", ")));
    }
    if let Some(constant) = schema.get("const")
        && constant != value
    {
        return report(format!("must be {constant}, not {value}"));
    }
    if !has_type(schema, value) {
        return report(format!("must be {}, not {}", describe_type(schema), kind_of(value)));
    }
    match value {
        Value::Object(map) => check_object(schema, map, path, found),
        Value::Array(values) => {
            if let Some(items) = schema.get("items") {
                for (index, value) in values.iter().enumerate() {
                    check(items, value, &format!("{path}[{index}]"), found);
                }
            }
        }
        _ => {}
    }
}

fn check_object(
    schema: &Map<String, Value>,
    map: &Map<String, Value>,
    path: &str,
    found: &mut Vec<Violation>,
) {
    let below =
        |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    let properties = schema.get("properties").and_then(Value::as_object);
    for name in schema
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
    {
        if !map.contains_key(name) {
            found.push(Violation {
                path: below(name),
                message: "is required and missing".to_owned(),
            });
        }
    }
    let additional = schema.get("additionalProperties");
    for (name, value) in map {
        match (properties.and_then(|known| known.get(name)), additional) {
            (Some(property), _) => check(property, value, &below(name), found),
            (None, Some(Value::Bool(false))) => {
                let mut known: Vec<&str> =
                    properties.into_iter().flatten().map(|(name, _)| name.as_str()).collect();
                known.sort_unstable();
                let message = if known.is_empty() {
                    "is unknown: there are no parameters".to_owned()
                } else {
                    format!("is unknown: the parameters are {}", known.join(", "))
                };
                found.push(Violation { path: below(name), message });
            }
            (None, Some(schema)) => check(schema, value, &below(name), found),
            (None, None) => {}
        }
    }
}

fn fits(schema: &Value, value: &Value) -> bool {
    let mut found = Vec::new();
    check(schema, value, "", &mut found);
    found.is_empty()
}

fn has_type(schema: &Map<String, Value>, value: &Value) -> bool {
    match schema.get("type") {
        Some(Value::String(name)) => is_of(name, value),
        Some(Value::Array(names)) => {
            names.iter().filter_map(Value::as_str).any(|name| is_of(name, value))
        }
        _ => true,
    }
}

fn is_of(name: &str, value: &Value) -> bool {
    match name {
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "null" => value.is_null(),
        _ => true,
    }
}

fn describe(schema: &Value) -> String {
    schema.as_object().map_or_else(|| "anything".to_owned(), describe_type)
}

fn describe_type(schema: &Map<String, Value>) -> String {
    let name = |name: &str| match name {
        "string" => "a string",
        "integer" => "an integer",
        "number" => "a number",
        "boolean" => "true or false",
        "array" => "a list",
        "object" => "an object",
        "null" => "null",
        _ => "something else",
    };
    match schema.get("type") {
        Some(Value::String(one)) => name(one).to_owned(),
        Some(Value::Array(many)) => {
            many.iter().filter_map(Value::as_str).map(name).collect::<Vec<_>>().join(" or ")
        }
        _ => "something else".to_owned(),
    }
}

fn kind_of(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "a boolean".to_owned(),
        Value::Number(number) if number.is_f64() => format!("the number {number}"),
        Value::Number(number) => format!("the integer {number}"),
        Value::String(_) => "a string".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::validate;
    use crate::json::Json;

    const SCHEMA: &str = r#"{"type":"object","additionalProperties":false,"required":["host"],"properties":{
        "host":{"type":"string"},"days":{"type":"integer","default":7},"ratio":{"type":"number"},
        "tags":{"type":"array","items":{"type":"string"}},"note":{"anyOf":[{"type":"string"},{"type":"null"}]}}}"#;

    fn message(parameters: &str) -> String {
        let schema = serde_json::from_str(SCHEMA).expect("a schema");
        let parameters = Json::parse(parameters).expect("parameters");
        validate(&schema, &parameters).err().map(|e| e.to_string()).unwrap_or_default()
    }

    #[test]
    fn what_fits_passes() {
        assert_eq!(message(r#"{"host":"a","days":3,"ratio":1,"tags":["x"],"note":null}"#), "");
    }

    #[test]
    fn everything_wrong_is_named_at_once() {
        let message = message(r#"{"days":true,"dayz":1,"ratio":"x","tags":["a",2],"note":5}"#);
        for part in [
            "host: is required and missing",
            "days: must be an integer, not a boolean",
            "dayz: is unknown: the parameters are days, host, note, ratio, tags",
            "ratio: must be a number, not a string",
            "tags[1]: must be a string, not the integer 2",
            "note: must be a string or null, not the integer 5",
        ] {
            assert!(message.contains(part), "{part:?} in {message:?}");
        }
    }

    #[test]
    fn a_document_that_is_no_object_is_refused() {
        assert_eq!(message("[1]"), "the parameters must be an object, not a list");
    }
}
