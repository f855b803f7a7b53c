//! The JSON Schema of the inputs.

use serde_json::{Map, Value, json};
use tinpot_core::action::Schema;
use tinpot_core::{Json, Result};

use super::reading::invalid;
use super::{Towerfile, TowerfileParameter};

/// Returns the schema that MiniTower generates from the same parameters, plus what only Tinpot
/// knows.
pub(super) fn of(towerfile: &Towerfile) -> Result<Option<Json>> {
    let is_strict = towerfile.tinpot.strict;
    if towerfile.parameters.is_empty() && !is_strict {
        return Ok(None);
    }
    object(&towerfile.parameters, is_strict).map(Some)
}

/// Checks that the schema compiles, and that each default is a valid value.
pub(super) fn check(towerfile: &Towerfile) -> Result<()> {
    for (at, parameter) in towerfile.parameters.iter().enumerate() {
        let schema = Schema::compile(&object(std::slice::from_ref(parameter), false)?)
            .map_err(|error| invalid(format!("parameters[{at}]: {}", error.message())))?;
        let Some(default) = &parameter.default else { continue };
        let input = Json::serialize(&json!({ &*parameter.name: default }))?;
        schema.check(&input).map_err(|error| {
            let name = &parameter.name;
            invalid(format!("parameters[{at}].default of {name:?} is invalid: {}", error.message()))
        })?;
    }
    Ok(())
}

fn object(parameters: &[TowerfileParameter], is_strict: bool) -> Result<Json> {
    let properties: Map<String, Value> =
        parameters.iter().map(|parameter| (parameter.name.clone(), property(parameter))).collect();
    let required: Vec<&str> = parameters
        .iter()
        .filter(|parameter| parameter.required)
        .map(|parameter| parameter.name.as_str())
        .collect();
    let mut schema = json!({ "type": "object", "properties": properties });
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    if is_strict {
        schema["additionalProperties"] = Value::Bool(false);
    }
    Json::serialize(&schema)
}

fn property(parameter: &TowerfileParameter) -> Value {
    let mut property = json!({ "type": parameter.kind.as_str() });
    let mut set = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            property[name] = value;
        }
    };
    let text =
        |text: &Option<String>| text.clone().filter(|text| !text.is_empty()).map(Value::from);
    set("description", text(&parameter.description));
    set("default", parameter.default.clone());
    let choices = &parameter.choices;
    set("enum", (!choices.is_empty()).then(|| choices.clone().into()));
    set("minimum", parameter.minimum.clone());
    set("maximum", parameter.maximum.clone());
    set("pattern", parameter.pattern.clone().map(Value::from));
    set("writeOnly", parameter.secret.then_some(Value::Bool(true)));
    property
}
