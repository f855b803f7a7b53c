//! Messages for faults: a path, the rule, and the value that breaks it.

use serde_json::{Number, Value};

use super::super::kind_of;
use super::fault::{Fault, FaultKind};
use super::{formats, names_of, union};
use crate::model::violation::{Violations, clipped, push_name};

/// The longest value, option or pattern that a message repeats, in bytes.
const QUOTED_BYTES: usize = 80;
/// The largest number of options that a message lists.
const OPTIONS: usize = 20;

/// A value and the schema that it was checked against.
pub(super) struct Reporter<'a> {
    pub(super) schema: &'a Value,
    pub(super) value: &'a Value,
    /// JSON pointers to the secrets, which no message repeats.
    pub(super) secrets: Vec<String>,
}

impl Reporter<'_> {
    /// Adds the violations, one per value: a wrong type hides the other faults of a value.
    pub(super) fn report(&self, faults: &[Fault<'_>], found: &mut Violations) {
        let mut ordered: Vec<&Fault<'_>> = faults.iter().collect();
        ordered.sort_by_key(|fault| rank(fault));
        for fault in ordered {
            self.report_one(fault, found);
        }
    }

    fn report_one(&self, fault: &Fault<'_>, found: &mut Violations) {
        let path = self.path(&fault.instance_path);
        // An object can have several wrong names; every other fault is reported once.
        match &fault.kind {
            FaultKind::Required(name) => {
                self.push(found, &below(&path, name), "is required".to_owned());
            }
            FaultKind::UnknownProperties(names) => {
                let message = self.unknown(fault, &path);
                for name in names {
                    self.push(found, &below(&path, name), message.clone());
                }
            }
            FaultKind::PropertyName(name, broken) => {
                let value = Value::String((*name).to_owned());
                let sentence = self.sentence(fault, broken, &value);
                let message = format!("is not a valid name: it {sentence}");
                self.push(found, &below(&path, name), message);
            }
            FaultKind::NoAlternative(alternatives) => {
                match union::closest(alternatives, &fault.instance_path) {
                    Some(faults) => self.report(faults, found),
                    None => {
                        self.push(found, &path, self.sentence(fault, &fault.kind, fault.instance));
                    }
                }
            }
            // Further items of a list that is too long: the list is reported already.
            FaultKind::FalseSchema
                if found.has(path.rsplit_once('[').map_or(&path, |(list, _)| list)) => {}
            kind => self.push(found, &path, self.sentence(fault, kind, fault.instance)),
        }
    }

    fn push(&self, found: &mut Violations, path: &str, message: String) {
        if !found.has(path) {
            found.push(path, message);
        }
    }

    /// Returns a JSON pointer as a path: `/hosts/3` as `hosts[3]`.
    fn path(&self, pointer: &str) -> String {
        let (mut path, mut value) = (String::new(), Some(self.value));
        for segment in pointer.split('/').skip(1) {
            let name = segment.replace("~1", "/").replace("~0", "~");
            match value {
                Some(Value::Array(values)) => {
                    path.push_str(&format!("[{name}]"));
                    value = name.parse().ok().and_then(|index: usize| values.get(index));
                }
                _ => {
                    push_name(&mut path, &name);
                    value = value.and_then(|value| value.get(&name));
                }
            }
        }
        path
    }

    /// Returns the part of the schema that the value breaks.
    fn part(&self, fault: &Fault<'_>) -> Option<&Value> {
        self.schema.pointer(fault.part_path)
    }

    fn unknown(&self, fault: &Fault<'_>, path: &str) -> String {
        let what = if path.is_empty() { "parameter" } else { "field" };
        let properties = self.part(fault).and_then(|part| part.get("properties"));
        let names = names_of(properties.and_then(Value::as_object));
        if names.is_empty() {
            format!("is not a {what}; omit it")
        } else {
            format!("is not a {what}; use {names}")
        }
    }

    /// Returns the type of a value, or the value itself if it is a number and no secret.
    fn kind(&self, fault: &Fault<'_>, value: &Value) -> String {
        match value {
            Value::Number(_) if self.is_secret(fault) => "a number".to_owned(),
            value => kind_of(value),
        }
    }

    /// Returns the value itself, if it is short and no secret; otherwise its type.
    fn shown(&self, fault: &Fault<'_>, value: &Value) -> String {
        match value {
            Value::String(_) if !self.is_secret(fault) => quoted(value),
            _ => self.kind(fault, value),
        }
    }

    fn is_secret(&self, fault: &Fault<'_>) -> bool {
        let place = fault.instance_path.as_str();
        self.secrets.iter().any(|secret| {
            place
                .strip_prefix(secret.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }

    fn sentence(&self, fault: &Fault<'_>, kind: &FaultKind<'_>, value: &Value) -> String {
        let number = |limit: &Number| clipped(&limit.to_string(), QUOTED_BYTES).into_owned();
        match kind {
            FaultKind::Type | FaultKind::NoAlternative(_) => {
                let wanted = self.part(fault).map_or_else(|| "something else".to_owned(), wanted);
                format!("must be {wanted} (got {})", self.kind(fault, value))
            }
            FaultKind::Whole => {
                let wanted = self.part(fault).map_or_else(|| "an integer".to_owned(), wanted);
                format!("must be {wanted} (got {})", self.kind(fault, value))
            }
            FaultKind::DateBound(bound) => {
                format!(
                    "must be {} {} (got {})",
                    bound.words,
                    bound.limit,
                    self.shown(fault, value)
                )
            }
            FaultKind::Enum(options) => {
                format!("must be {} (got {})", one_of(options), self.shown(fault, value))
            }
            FaultKind::Constant(expected) => {
                format!("must be {} (got {})", quoted(expected), self.shown(fault, value))
            }
            FaultKind::Format(format) => {
                format!("must be {} (got {})", formats::wanted(format), self.shown(fault, value))
            }
            FaultKind::Minimum(limit) => {
                format!("must be at least {} (got {})", number(limit), self.kind(fault, value))
            }
            FaultKind::Maximum(limit) => {
                format!("must be at most {} (got {})", number(limit), self.kind(fault, value))
            }
            FaultKind::ExclusiveMinimum(limit) => {
                format!("must be greater than {} (got {})", number(limit), self.kind(fault, value))
            }
            FaultKind::ExclusiveMaximum(limit) => {
                format!("must be less than {} (got {})", number(limit), self.kind(fault, value))
            }
            FaultKind::MultipleOf(divisor) => {
                format!("must be a multiple of {divisor} (got {})", self.kind(fault, value))
            }
            FaultKind::MinLength(limit) => too_few(*limit, "character", length(value)),
            FaultKind::MaxLength(limit) => too_many(*limit, "character", length(value)),
            FaultKind::MinItems(limit) => too_few(*limit, "item", length(value)),
            FaultKind::MaxItems(limit) => too_many(*limit, "item", length(value)),
            FaultKind::MinProperties(limit) => too_few(*limit, "field", length(value)),
            FaultKind::MaxProperties(limit) => too_many(*limit, "field", length(value)),
            FaultKind::Pattern(pattern) => {
                format!("must match the pattern {}", clipped(pattern, QUOTED_BYTES))
            }
            FaultKind::UniqueItems => "must not repeat an item".to_owned(),
            FaultKind::Contains => "must contain an item of the required form".to_owned(),
            FaultKind::SeveralAlternatives => {
                "must match exactly one alternative (matches several)".to_owned()
            }
            FaultKind::FalseSchema => "is not allowed".to_owned(),
            FaultKind::Not => "must not have this value".to_owned(),
            FaultKind::UnevaluatedItems => "has items that are not allowed".to_owned(),
            FaultKind::Required(_) => "is required".to_owned(),
            FaultKind::UnknownProperties(_) => "has unknown fields".to_owned(),
            FaultKind::PropertyName(..) => "has an invalid name".to_owned(),
        }
    }
}

/// Returns the rank of a fault: the first one of a value is reported.
fn rank(fault: &Fault<'_>) -> u8 {
    match fault.kind {
        FaultKind::Type | FaultKind::Whole => 0,
        FaultKind::Constant(_) | FaultKind::Enum(_) => 1,
        FaultKind::FalseSchema => 3,
        _ => 2,
    }
}

fn below(path: &str, name: &str) -> String {
    let mut path = path.to_owned();
    push_name(&mut path, name);
    path
}

fn quoted(value: &Value) -> String {
    match value {
        Value::String(text) if text.len() > QUOTED_BYTES => {
            format!("{:?} …", &*clipped(text, QUOTED_BYTES))
        }
        value => clipped(&value.to_string(), QUOTED_BYTES).into_owned(),
    }
}

fn one_of(options: &Value) -> String {
    let options = options.as_array().map(Vec::as_slice).unwrap_or_default();
    let shown: Vec<String> = options.iter().take(OPTIONS).map(quoted).collect();
    match options.len().saturating_sub(OPTIONS) {
        0 => format!("one of {}", shown.join(", ")),
        more => format!("one of {} or one of {more} more", shown.join(", ")),
    }
}

/// Returns the number of characters of a text, of items of a list or of fields of an object.
fn length(value: &Value) -> usize {
    match value {
        Value::String(text) => text.chars().count(),
        Value::Array(values) => values.len(),
        Value::Object(map) => map.len(),
        _ => 0,
    }
}

fn too_few(limit: u64, what: &str, is: usize) -> String {
    format!("must have at least {limit} {what}{} (got {is})", plural(limit))
}

fn too_many(limit: u64, what: &str, is: usize) -> String {
    format!("must have at most {limit} {what}{} (got {is})", plural(limit))
}

fn plural(count: u64) -> &'static str {
    if count == 1 { "" } else { "s" }
}

/// Returns the description of the values that a part of a schema accepts: "an integer", "a string
/// or null", "one of 1, 2".
pub(super) fn wanted(part: &Value) -> String {
    let mut all: Vec<String> = Vec::new();
    for name in types(part) {
        let name = match name {
            "string" => match part.get("format").and_then(Value::as_str) {
                Some(format) => formats::wanted(format),
                None => "a string",
            },
            "integer" => "an integer",
            "number" => "a number",
            "boolean" => "true or false",
            "array" => "a list",
            "object" => "an object",
            "null" => "null",
            _ => continue,
        };
        if !all.iter().any(|known| known == name) {
            all.push(name.to_owned());
        }
    }
    for keyword in ["anyOf", "oneOf"] {
        for part in part.get(keyword).and_then(Value::as_array).into_iter().flatten() {
            let wanted = wanted(part);
            if !all.contains(&wanted) && all.len() < OPTIONS {
                all.push(wanted);
            }
        }
    }
    if let Some(options) = part.get("enum").filter(|_| all.is_empty()) {
        all.push(one_of(options));
    }
    if let Some(value) = part.get("const").filter(|_| all.is_empty()) {
        all.push(quoted(value));
    }
    if let Some(parts) = part.get("allOf").and_then(Value::as_array).filter(|_| all.is_empty()) {
        all.extend(parts.iter().map(wanted).take(OPTIONS));
    }
    if all.is_empty() { "something else".to_owned() } else { all.join(" or ") }
}

fn types(part: &Value) -> Vec<&str> {
    match part.get("type") {
        Some(Value::String(name)) => vec![name],
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}
