//! The inputs of a Towerfile: `[[parameters]]`.

use serde::Serialize;
use serde_json::Value as JsonValue;
use tinpot_core::Result;
use toml::Value;

use super::reading::{Table, invalid, shown, suggestion};

/// The keys of a parameter. MiniTower knows the first four.
pub(super) const KEYS: &[&str] = &[
    "name",
    "description",
    "type",
    "default",
    "required",
    "enum",
    "minimum",
    "maximum",
    "pattern",
    "secret",
];

/// The type of an input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ParameterType {
    /// Text.
    #[default]
    String,
    /// A number, with or without a fraction.
    Number,
    /// A number without a fraction.
    Integer,
    /// True or false.
    Boolean,
}

const TYPES: [&str; 4] = ["string", "number", "integer", "boolean"];

impl ParameterType {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "string" => Self::String,
            "number" => Self::Number,
            "integer" => Self::Integer,
            "boolean" => Self::Boolean,
            _ => return None,
        })
    }

    /// Returns the name of the type in JSON Schema.
    pub fn as_str(self) -> &'static str {
        TYPES[self as usize]
    }

    fn article(self) -> &'static str {
        if self == Self::Integer { "an" } else { "a" }
    }

    /// Returns a value of this type as JSON.
    fn json(self, value: &Value) -> Option<JsonValue> {
        Some(match (self, value) {
            (Self::String, Value::String(text)) => text.clone().into(),
            (Self::Boolean, Value::Boolean(value)) => (*value).into(),
            (Self::Integer | Self::Number, Value::Integer(value)) => (*value).into(),
            (Self::Number, Value::Float(value)) => serde_json::Number::from_f64(*value)?.into(),
            _ => return None,
        })
    }
}

/// An input that a Towerfile declares.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct TowerfileParameter {
    /// The name, unique in the file.
    pub name: String,
    /// The type.
    #[serde(rename = "type")]
    pub kind: ParameterType,
    /// The description, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The value that a form proposes. It is never merged into the input.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<JsonValue>,
    /// If true, every input must have it.
    #[serde(skip_serializing_if = "is_false")]
    pub required: bool,
    /// The allowed values, if they are restricted.
    #[serde(rename = "enum", skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<JsonValue>,
    /// The smallest allowed number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minimum: Option<JsonValue>,
    /// The largest allowed number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maximum: Option<JsonValue>,
    /// A regular expression that text must contain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// If true, the value is hidden in logs, lists and the history.
    #[serde(skip_serializing_if = "is_false")]
    pub secret: bool,
}

fn is_false(value: &bool) -> bool {
    !value
}

pub(super) fn read(tables: &[Table<'_>]) -> Result<Vec<TowerfileParameter>> {
    let mut parameters: Vec<TowerfileParameter> = Vec::new();
    for table in tables {
        let parameter = read_one(table)?;
        if parameters.iter().any(|other| other.name == parameter.name) {
            let (key, name) = (table.key("name"), &parameter.name);
            return Err(invalid(format!("{key} must be unique ({name:?} is declared twice)")));
        }
        parameters.push(parameter);
    }
    Ok(parameters)
}

fn read_one(table: &Table<'_>) -> Result<TowerfileParameter> {
    let name = table.string("name")?.unwrap_or_default();
    if name.is_empty() {
        return Err(invalid(format!("{} is missing", table.key("name"))));
    }
    let description = table.string("description")?;
    let kind = match table.string("type")?.filter(|kind| !kind.is_empty()) {
        None => ParameterType::default(),
        Some(text) => ParameterType::parse(&text).ok_or_else(|| {
            let (key, types) = (table.key("type"), TYPES.join(", "));
            invalid(format!("{key} must be one of {types} (got {text:?})"))
        })?,
    };
    let default = table.value("default").map(|value| of_type(&table.key("default"), kind, value));
    let parameter = TowerfileParameter {
        default: default.transpose()?,
        required: table.boolean("required")?.unwrap_or_default(),
        choices: choices(table, kind)?,
        minimum: bound(table, "minimum", kind)?,
        maximum: bound(table, "maximum", kind)?,
        pattern: table.string("pattern")?,
        secret: table.boolean("secret")?.unwrap_or_default(),
        name,
        kind,
        description,
    };
    check(table, &parameter)?;
    Ok(parameter)
}

fn of_type(key: &str, kind: ParameterType, value: &Value) -> Result<JsonValue> {
    if let Value::Float(number) = value
        && !number.is_finite()
    {
        return Err(invalid(format!("{key} must be a finite number (got {number})")));
    }
    kind.json(value).ok_or_else(|| {
        let (article, kind) = (kind.article(), kind.as_str());
        invalid(format!("{key} must be {article} {kind} (got {})", shown(value)))
    })
}

fn choices(table: &Table<'_>, kind: ParameterType) -> Result<Vec<JsonValue>> {
    let key = table.key("enum");
    let Some(value) = table.value("enum") else { return Ok(Vec::new()) };
    let Some(items) = value.as_array().filter(|items| !items.is_empty()) else {
        return Err(invalid(format!("{key} must be an array of at least one value")));
    };
    let items = items.iter().enumerate();
    items.map(|(at, item)| of_type(&format!("{key}[{at}]"), kind, item)).collect()
}

fn bound(table: &Table<'_>, name: &str, kind: ParameterType) -> Result<Option<JsonValue>> {
    let Some(value) = table.value(name) else { return Ok(None) };
    let key = table.key(name);
    if !matches!(kind, ParameterType::Number | ParameterType::Integer) {
        let kind = kind.as_str();
        return Err(invalid(format!(
            "{key} is for type number and integer only (this one is {kind})"
        )));
    }
    of_type(&key, kind, value).map(Some)
}

/// Checks the rules between the keys of a parameter.
fn check(table: &Table<'_>, parameter: &TowerfileParameter) -> Result<()> {
    let refuse = |name: &str, rule: &str| Err(invalid(format!("{} {rule}", table.key(name))));
    let number = |bound: &Option<JsonValue>| bound.as_ref().and_then(JsonValue::as_f64);
    if let (Some(least), Some(most)) = (number(&parameter.minimum), number(&parameter.maximum))
        && least > most
    {
        return refuse(
            "minimum",
            &format!("must be at most maximum ({least} is more than {most})"),
        );
    }
    if parameter.pattern.is_some() && parameter.kind != ParameterType::String {
        return refuse("pattern", "is for type string only");
    }
    if parameter.secret && parameter.default.is_some() {
        return refuse("default", "must be left out: the parameter is a secret");
    }
    if parameter.required && parameter.default.is_some() {
        return refuse("default", "must be left out: the parameter is required");
    }
    Ok(())
}

/// Returns the end of a message about an unknown choice.
pub(super) fn one_of(key: &str, text: &str, known: &[&str]) -> tinpot_core::Error {
    let choices = known.iter().map(|known| format!("{known:?}")).collect::<Vec<_>>().join(" or ");
    let hint = suggestion(text, known);
    let hint = if hint.starts_with("did") { format!("; {hint}") } else { String::new() };
    invalid(format!("{key} must be {choices} (got {text:?}){hint}"))
}
