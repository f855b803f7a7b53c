//! Actions as clients see them.

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::Value;
use tinpot_core::Json;
use tinpot_core::action::{Parameter, parameters};
use tinpot_core::protocol::{Catalogue, CatalogueEntry};
use utoipa::ToSchema;

use crate::openapi::shapes;

/// All actions, an object by name.
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
    /// As the worker sent it.
    #[schema(value_type = shapes::Schema)]
    schema: &'a Json,
    /// Likewise; null when it is not known what the action returns.
    #[schema(value_type = Option<shapes::Schema>)]
    result_schema: Option<&'a Json>,
    available: bool,
    /// Why it is not available, in words.
    unavailable: Option<&'a str>,
    priority: i32,
    /// Seconds; null when it may take as long as it likes.
    timeout: Option<f64>,
    retries: u32,
    /// How many attempts of it a worker runs at once beside its slots; null when they take slots.
    concurrency: Option<u32>,
}

/// An object by name, in the order of the signature.
struct Parameters(Vec<Parameter>);

#[derive(Serialize, ToSchema)]
pub(crate) struct ParameterView<'a> {
    #[serde(rename = "type")]
    #[schema(value_type = shapes::ParameterType)]
    kind: &'static str,
    #[schema(value_type = Option<shapes::Json>)]
    default: Option<&'a Value>,
    required: bool,
}

impl Serialize for Actions<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, entry)| (name, ActionView::of(entry))))
    }
}

impl<'a> ActionView<'a> {
    pub(crate) fn of(entry: &'a CatalogueEntry) -> Self {
        let action = &entry.action;
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
        }
    }
}

impl Serialize for Parameters {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for parameter in &self.0 {
            let view = ParameterView {
                kind: python_type(parameter.json_type()),
                default: parameter.default.as_ref(),
                required: parameter.required,
            };
            map.serialize_entry(&parameter.name, &view)?;
        }
        map.end()
    }
}

/// The name that clients know a JSON type by.
fn python_type(json_type: Option<&str>) -> &'static str {
    match json_type {
        Some("string") => "str",
        Some("integer") => "int",
        Some("number") => "float",
        Some("boolean") => "bool",
        Some("array") => "list",
        Some("object") => "dict",
        _ => "any",
    }
}
