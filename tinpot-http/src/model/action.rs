//! The JSON of actions.

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::Value;
use tinpot_core::Json;
use tinpot_core::action::{Parameter, parameters};
use tinpot_core::{Catalogue, CatalogueEntry};
use utoipa::ToSchema;

use crate::openapi::scalars;

/// All actions, as an object by name.
pub(crate) struct Actions<'a>(pub(crate) &'a Catalogue);

/// One action.
#[derive(Serialize, ToSchema)]
pub(crate) struct ActionView<'a> {
    name: &'a str,
    group: &'a str,
    description: &'a str,
    queue: &'a str,
    #[schema(value_type = std::collections::BTreeMap<String, ParameterView>)]
    parameters: Parameters,
    /// The JSON Schema of the parameters, as the worker sent it.
    #[schema(value_type = scalars::Schema)]
    schema: &'a Json,
    /// The JSON Schema of the result; null if the action declares none.
    #[schema(value_type = Option<scalars::Schema>)]
    result_schema: Option<&'a Json>,
    available: bool,
    /// The reason why no worker can run it; null if it is available.
    unavailable: Option<&'a str>,
    priority: i32,
    /// The maximum run time in seconds; null if unlimited.
    timeout: Option<f64>,
    retries: u32,
    /// The number of attempts that a worker runs at once outside of its slots; null if they take
    /// slots.
    concurrency: Option<u32>,
    /// The active version of the app; absent unless the action was deployed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    version: Option<u32>,
    /// The name of the app; absent unless the action was deployed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    app: Option<&'a str>,
}

/// Parameters, as an object by name in the order of the signature.
struct Parameters(Vec<Parameter>);

#[derive(Serialize, ToSchema)]
pub(crate) struct ParameterView<'a> {
    #[serde(rename = "type")]
    kind: ParameterType,
    #[schema(value_type = Option<scalars::Json>)]
    default: Option<&'a Value>,
    required: bool,
}

/// The name of a JSON type in Python.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ParameterType {
    Str,
    Int,
    Float,
    Bool,
    List,
    Dict,
    Any,
}

impl Serialize for Actions<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, entry)| (name, ActionView::of(entry))))
    }
}

impl<'a> ActionView<'a> {
    pub(crate) fn of(entry: &'a CatalogueEntry) -> Self {
        let action = &entry.action;
        let deployed = action.deployed.as_ref();
        Self {
            name: &action.name,
            group: &action.group,
            description: &action.description,
            queue: &action.queue,
            parameters: Parameters(parameters(&action.schema)),
            schema: &action.schema,
            result_schema: action.result_schema.as_ref(),
            available: entry.available,
            unavailable: entry.unavailable,
            priority: action.priority,
            timeout: action.timeout.map(|timeout| timeout.as_secs_f64()),
            retries: action.retry.retries,
            concurrency: action.concurrency,
            version: deployed.map(|deployed| deployed.version),
            app: deployed.map(|deployed| deployed.app.as_deref().unwrap_or(&action.name)),
        }
    }
}

impl Serialize for Parameters {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for parameter in &self.0 {
            let view = ParameterView {
                kind: ParameterType::of(parameter.json_type()),
                default: parameter.default.as_ref(),
                required: parameter.required,
            };
            map.serialize_entry(&parameter.name, &view)?;
        }
        map.end()
    }
}

impl ParameterType {
    fn of(json_type: Option<&str>) -> Self {
        match json_type {
            Some("string") => Self::Str,
            Some("integer") => Self::Int,
            Some("number") => Self::Float,
            Some("boolean") => Self::Bool,
            Some("array") => Self::List,
            Some("object") => Self::Dict,
            _ => Self::Any,
        }
    }
}
