//! Actions that other clients announce.

use std::time::Duration;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use tinpot_core::{Action, Json};

use super::announcement::is_level;
use super::object;
use super::rule::{Topics, trigger_topic};

/// The largest announcement, in bytes.
const ANNOUNCEMENT_BYTES: usize = 64 * 1024;
/// The parameters of one action.
const PARAMETERS: usize = 100;
/// The longest time limit that an announcement may set.
const TIMEOUT_MAX: Duration = Duration::from_secs(86_400);
/// The group of an action that names none.
const GROUP: &str = "MQTT";

/// An action that another client runs.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct OfferedAction {
    pub(crate) action: Action,
    /// The topic at which the client takes triggers.
    pub(crate) trigger_topic: String,
    /// If true, the client answers when it is asked to stop.
    pub(crate) answers_cancel: bool,
}

/// The content of an announcement.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Said {
    /// A coordinator of this namespace announces its own action.
    Ours,
    OfferedAction(Box<OfferedAction>),
}

#[derive(Deserialize)]
struct Announced<'a> {
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    group: Option<String>,
    #[serde(default)]
    parameters: Option<Specs>,
    #[serde(borrow, default)]
    schema: Option<&'a RawValue>,
    #[serde(default)]
    trigger_topic: Option<String>,
    /// The time limit, in seconds.
    #[serde(default)]
    timeout: Option<f64>,
    /// If true, the client answers when it is asked to stop.
    #[serde(default)]
    answers_cancel: Option<bool>,
    #[serde(default)]
    namespace: Option<String>,
}

/// The parameters of an action, in the order of the text.
struct Specs(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Specs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Specs;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object of parameters by name")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Specs, A::Error> {
                let mut entries: Vec<(String, Value)> = Vec::new();
                while let Some((name, spec)) = map.next_entry::<String, Value>()? {
                    if entries.len() >= PARAMETERS {
                        let message = format!("more than {PARAMETERS} parameters");
                        return Err(A::Error::custom(message));
                    }
                    entries.retain(|(known, _)| *known != name);
                    entries.push((name, spec));
                }
                Ok(Specs(entries))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

/// Reads an announcement.
///
/// # Errors
/// The reason why it is none, for people.
pub(crate) fn read(
    namespace: &str,
    topics: &Topics,
    prefix: &str,
    name: &str,
    payload: &[u8],
    timeout: Duration,
) -> Result<Said, String> {
    if payload.len() > ANNOUNCEMENT_BYTES {
        let bytes = payload.len();
        return Err(format!("it must have at most {ANNOUNCEMENT_BYTES} bytes (got {bytes})"));
    }
    let said: Announced<'_> = object::read(payload).map_err(|error| {
        format!("it must be a JSON object with description, group and parameters: {error}")
    })?;
    if said.namespace.as_deref() == Some(namespace) {
        return Ok(Said::Ours);
    }
    let given = |text: Option<String>| text.filter(|text| !text.is_empty());
    let own_trigger = trigger_topic(prefix, name);
    let trigger_topic = given(said.trigger_topic).unwrap_or_else(|| own_trigger.clone());
    if trigger_topic != own_trigger {
        topics.check_answer(prefix, &trigger_topic).map_err(|why| {
            format!("trigger_topic must be {own_trigger}, or another topic that {why}")
        })?;
    }
    let schema = match (said.schema, said.parameters) {
        (Some(schema), _) if schema.get() != "null" => schema.get().to_owned(),
        (_, Some(Specs(specs))) => schema_of(specs)?,
        (_, None) => schema_of(Vec::new())?,
    };
    let schema = Json::parse(schema).map_err(|error| error.to_string())?;
    let timeout = match said.timeout {
        None => timeout,
        Some(seconds) => Some(seconds)
            .filter(|seconds| (0.1..=TIMEOUT_MAX.as_secs_f64()).contains(seconds))
            .map(Duration::from_secs_f64)
            .ok_or_else(|| format!("timeout must be from 0.1 to 86400 seconds (got {seconds})"))?,
    };
    debug_assert!(is_level(name));
    let action = Action::new(name).map_err(|error| error.to_string())?;
    let group = given(said.group).unwrap_or_else(|| GROUP.to_owned());
    tinpot_core::action::check_label("group", &group).map_err(|error| error.to_string())?;
    let action = action
        .group(group)
        .description(said.description.unwrap_or_default())
        .schema(schema)
        .timeout(timeout);
    let answers_cancel = said.answers_cancel.unwrap_or_default();
    Ok(Said::OfferedAction(Box::new(OfferedAction { action, trigger_topic, answers_cancel })))
}

/// Returns the JSON Schema of parameters. Its properties keep their order.
fn schema_of(specs: Vec<(String, Value)>) -> Result<String, String> {
    let (mut properties, mut required) = (Vec::new(), Vec::new());
    for (name, spec) in specs {
        let mut spec = match spec {
            Value::Object(spec) => spec,
            // Only the type, or nothing.
            Value::String(kind) => Map::from_iter([("type".to_owned(), Value::String(kind))]),
            Value::Null => Map::new(),
            other => {
                return Err(format!(
                    "parameter {name:?} must be an object with its type (got {other})"
                ));
            }
        };
        let is_required = match spec.remove("required") {
            Some(Value::Bool(required)) => required,
            _ => !spec.contains_key("default"),
        };
        if spec.get("default") == Some(&Value::Null) && is_required {
            spec.remove("default");
        }
        match spec.remove("type") {
            Some(Value::String(kind)) => {
                if let Some(kind) = json_type(&kind)
                    .map_err(|()| format!("parameter {name:?} has the unknown type {kind:?}"))?
                {
                    spec.insert("type".to_owned(), json!(kind));
                }
            }
            Some(other) => drop(spec.insert("type".to_owned(), other)),
            None => {}
        }
        let name = Value::String(name);
        if is_required {
            required.push(name.clone());
        }
        properties.push(format!("{name}:{}", Value::Object(spec)));
    }
    Ok(format!(
        r#"{{"type":"object","properties":{{{}}},"required":{},"additionalProperties":false}}"#,
        properties.join(","),
        Value::Array(required)
    ))
}

/// Returns the type of JSON that a type of Python or JSON means; `None` for any.
fn json_type(name: &str) -> Result<Option<&'static str>, ()> {
    Ok(Some(match name {
        "str" | "string" => "string",
        "int" | "integer" => "integer",
        "float" | "number" => "number",
        "bool" | "boolean" => "boolean",
        "list" | "array" => "array",
        "dict" | "object" => "object",
        "any" | "" => return Ok(None),
        _ => return Err(()),
    }))
}
