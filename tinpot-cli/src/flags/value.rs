//! The value of a flag's text, by the schema dialect of `docs/types.md`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Number, Value};
use tinpot_core::action::Parameter;
use tinpot_core::upload_reference;

use crate::input::{self, Content};

/// The form of a value on the command line.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    Boolean,
    /// Text, name and value of each.
    Choice(Vec<(String, Option<String>, Value)>),
    Text,
    /// A file, or base64.
    Bytes,
    Integer,
    Number,
    /// ISO 8601 text, or seconds.
    Duration,
    /// A flag that may be repeated, once for each item.
    List(Box<Kind>),
    /// JSON if the text is JSON, otherwise text.
    Any,
    Json,
}

impl Kind {
    pub(super) fn of(schema: &Value) -> Self {
        if let Some(choices) = choices(schema) {
            return Self::Choice(choices);
        }
        let types = types(schema);
        let format = schema.get("format").and_then(Value::as_str).unwrap_or_default();
        match types.as_slice() {
            ["boolean"] => Self::Boolean,
            ["integer"] => Self::Integer,
            ["number" | "integer", "number" | "integer"] | ["number"] => Self::Number,
            ["string"] if format == "binary" => Self::Bytes,
            ["string"] => Self::Text,
            ["string", "number"] if format == "duration" => Self::Duration,
            ["string", "number"] if format == "decimal" => Self::Text,
            ["array"] => match schema.get("items") {
                Some(items) if !schema.get("prefixItems").is_some_and(Value::is_array) => {
                    Self::List(Box::new(Self::of(items)))
                }
                _ => Self::Json,
            },
            ["object"] => Self::Json,
            _ => Self::Any,
        }
    }

    pub(super) fn value_name(&self, parameter: &Parameter) -> String {
        let format = parameter.schema.get("format").and_then(Value::as_str).unwrap_or_default();
        let name = match self {
            Self::Boolean => "true|false",
            Self::Choice(_) => "CHOICE",
            Self::Integer => "INTEGER",
            Self::Number => "NUMBER",
            Self::Duration => "DURATION",
            Self::List(item) => return item.value_name(parameter),
            Self::Any => "VALUE",
            Self::Bytes => "@FILE|BASE64",
            Self::Json => "JSON",
            Self::Text => match format {
                "date" => "DATE",
                "time" => "TIME",
                "date-time" => "DATETIME",
                "decimal" => "DECIMAL",
                "uuid" => "UUID",
                "path" => "PATH",
                "password" => "SECRET",
                _ => "TEXT",
            },
        };
        name.to_owned()
    }

    /// Returns true if the value is the path of a file.
    pub(super) fn is_path(&self, parameter: &Parameter) -> bool {
        let format = parameter.schema.get("format").and_then(Value::as_str);
        *self == Self::Text && format == Some("path")
    }

    /// Returns a note for the help text, if the name of the value does not say enough.
    pub(super) fn note(&self) -> Option<String> {
        match self {
            Self::List(_) => Some("may be repeated".to_owned()),
            Self::Duration => Some("seconds, or like PT1H30M".to_owned()),
            Self::Bytes => Some("@FILE, @- for standard input, or base64".to_owned()),
            _ => None,
        }
    }

    /// Returns the value of the texts.
    ///
    /// # Errors
    /// Fails with the expected form.
    pub(super) fn read(&self, texts: &[&str], schema: &Value) -> Result<Value, String> {
        if let Self::List(item) = self {
            let items = schema.get("items").unwrap_or(&Value::Null);
            let mut values = Vec::new();
            for text in texts {
                // A JSON array gives all items at once, and is the only form of an empty list.
                if text.trim_start().starts_with('[')
                    && !matches!(**item, Self::List(_))
                    && let Ok(Value::Array(all)) = serde_json::from_str(text)
                {
                    values.extend(all);
                } else {
                    values.push(item.read_one(text, items)?);
                }
            }
            return Ok(Value::Array(values));
        }
        match texts {
            [text] => self.read_one(text, schema),
            _ => Err("must be given only once".to_owned()),
        }
    }

    fn read_one(&self, text: &str, schema: &Value) -> Result<Value, String> {
        let nullable = types_with_null(schema).contains(&"null");
        if nullable && text == "null" && !matches!(self, Self::Text | Self::Bytes) {
            return Ok(Value::Null);
        }
        let wrong = |expected: &str| Err(format!("must be {expected} (got {text:?})"));
        match self {
            Self::Text => Ok(Value::String(text.to_owned())),
            Self::Bytes => bytes(text).map(Value::String),
            Self::Boolean => match text {
                "true" => Ok(Value::Bool(true)),
                "false" => Ok(Value::Bool(false)),
                _ => wrong("true or false"),
            },
            Self::Integer => match integer(text) {
                Some(number) => Ok(Value::Number(number)),
                None => wrong("an integer"),
            },
            Self::Number => match number(text) {
                Some(number) => Ok(Value::Number(number)),
                None => wrong("a number"),
            },
            Self::Duration => {
                Ok(number(text).map_or_else(|| Value::String(text.to_owned()), Value::Number))
            }
            Self::Choice(choices) => {
                // The value of a member first, then its name.
                let by_name = |name: &Option<String>| name.as_deref() == Some(text);
                let found = choices
                    .iter()
                    .find(|(choice, ..)| choice == text)
                    .or_else(|| choices.iter().find(|(_, name, _)| by_name(name)));
                match found {
                    Some((.., value)) => Ok(value.clone()),
                    None => {
                        let names: Vec<_> =
                            choices.iter().map(|(choice, ..)| choice.as_str()).collect();
                        wrong(&format!("one of {}", names.join(", ")))
                    }
                }
            }
            Self::Any => Ok(any(text)),
            Self::Json | Self::List(_) => {
                serde_json::from_str(text).map_err(|e| format!("must be JSON (got {text:?}): {e}"))
            }
        }
    }
}

/// Returns bytes in base64, or a reference to those that are uploaded before the submission: those of
/// a file, of standard input, or of the text after `@@` with its last `@`. Any other text is base64
/// already.
fn bytes(text: &str) -> Result<String, String> {
    let content = match text.strip_prefix('@') {
        None => return Ok(text.to_owned()),
        Some(literal) if literal.starts_with('@') => {
            return Ok(BASE64.encode(literal.as_bytes()));
        }
        Some("-") => input::content(None),
        Some("") => Err("must name a file after the @".to_owned()),
        Some(path) => input::content(Some(path)),
    };
    Ok(match content? {
        Content::Inline(bytes) => BASE64.encode(bytes),
        Content::Large(digest) => upload_reference(&digest),
    })
}

/// Returns the text as JSON, or as a string if it is not JSON.
pub(super) fn any(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}

fn integer(text: &str) -> Option<Number> {
    let text = text.strip_prefix('+').unwrap_or(text);
    text.parse::<i64>().map(Number::from).or_else(|_| text.parse::<u64>().map(Number::from)).ok()
}

fn number(text: &str) -> Option<Number> {
    // Rust also parses `inf` and `nan`, which JSON does not have.
    integer(text).or_else(|| text.parse::<f64>().ok().and_then(Number::from_f64))
}

/// Returns the types that a schema lists, without null.
fn types(schema: &Value) -> Vec<&str> {
    types_with_null(schema).into_iter().filter(|name| *name != "null").collect()
}

fn types_with_null(schema: &Value) -> Vec<&str> {
    match schema.get("type") {
        Some(Value::String(name)) => vec![name],
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

fn choices(schema: &Value) -> Option<Vec<(String, Option<String>, Value)>> {
    let values = schema.get("enum")?.as_array()?;
    let names = schema.get("x-enum-names").and_then(Value::as_array);
    let choice = |(at, value): (usize, &Value)| {
        let name = names.and_then(|names| names.get(at)?.as_str()).map(str::to_owned);
        (value.as_str().map_or_else(|| value.to_string(), str::to_owned), name, value.clone())
    };
    Some(values.iter().enumerate().map(choice).collect())
}
