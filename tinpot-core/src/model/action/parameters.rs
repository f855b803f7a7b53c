//! Reads the parameters out of an action's schema.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;

use crate::model::json::Json;

/// One parameter of an action, as its schema describes it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Parameter {
    /// The name.
    pub name: String,
    /// The schema of its value.
    pub schema: Value,
    /// The value that the callable uses if none is given.
    pub default: Option<Value>,
    /// If true, a value must be given.
    pub required: bool,
}

impl Parameter {
    /// Returns the JSON type of the value, the first that is not `null`, or `None` for any type.
    pub fn json_type(&self) -> Option<&str> {
        type_of(&self.schema)
    }
}

fn type_of(schema: &Value) -> Option<&str> {
    match schema.get("type") {
        Some(Value::String(name)) => return Some(name),
        Some(Value::Array(names)) => {
            return names.iter().filter_map(Value::as_str).find(|name| *name != "null");
        }
        _ => {}
    }
    let options = schema.get("anyOf").or_else(|| schema.get("oneOf"))?.as_array()?;
    options.iter().filter_map(type_of).find(|name| *name != "null")
}

/// Returns the parameters of a schema, in its order. Empty if it has no `properties`.
pub fn parameters(schema: &Json) -> Vec<Parameter> {
    let Ok(schema) = serde_json::from_str::<ObjectSchema>(schema.as_str()) else {
        return Vec::new();
    };
    let required = schema.required;
    let parameter = |(name, schema): (String, Value)| Parameter {
        default: schema.get("default").cloned(),
        required: required.contains(&name),
        name,
        schema,
    };
    schema.properties.0.into_iter().map(parameter).collect()
}

#[derive(Deserialize)]
struct ObjectSchema {
    #[serde(default)]
    properties: Ordered,
    #[serde(default)]
    required: Vec<String>,
}

/// A JSON object in the order of its text. `serde_json::Map` sorts by name, unless a feature is on
/// that changes it for the whole program.
#[derive(Default)]
struct Ordered(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Ordered {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Ordered;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Ordered, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Ordered(entries))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}
