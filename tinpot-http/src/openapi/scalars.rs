//! Schemas of the core's types, whose JSON this crate copies: each refers to one of them.

#![expect(dead_code, reason = "read by the derive")]

use std::borrow::Cow;

use serde::Serialize;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{RefOr, Schema as OpenApiSchema};
use utoipa::{PartialSchema, ToSchema};

/// The id of an execution: a UUID that sorts by the time of acceptance.
#[derive(Serialize, ToSchema)]
#[schema(value_type = String, format = "uuid")]
pub(crate) struct ExecutionId(String);

/// The id of a step or an artifact: `attempt.number`.
#[derive(Serialize, ToSchema)]
#[schema(value_type = String, pattern = r"^\d+\.\d+$", examples("1.2"))]
pub(crate) struct SpanId(String);

/// Any JSON value.
#[derive(Serialize, ToSchema)]
#[schema(value_type = Value)]
pub(crate) struct Json(serde_json::Value);

/// A JSON Schema, draft 2020-12, as the worker sent it.
#[derive(Serialize, ToSchema)]
#[schema(value_type = Value)]
pub(crate) struct Schema(serde_json::Value);

/// Microseconds since 1970.
#[derive(Serialize, ToSchema)]
#[schema(value_type = u64)]
pub(crate) struct Micros(u64);

/// The state of a Python environment.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum EnvironmentState {
    Building,
    Ready,
    Failed,
    Kept,
}

/// The outcome of a step.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SpanOutcome {
    Succeeded,
    Failed,
    Cancelled,
}

/// A reason why a file or an action could not be loaded.
#[derive(Serialize, ToSchema)]
pub(crate) struct Problem {
    /// The file, usually.
    place: String,
    message: String,
    /// If true, actions are not offered because of this, until it is over.
    #[schema(required = false)]
    blocking: bool,
    /// The digest of the bundle that cannot be loaded, if it is one of a deployed app.
    #[schema(required = false, nullable = false)]
    bundle: Option<String>,
    /// If true, this is a notice: everything was loaded, and something about it is worth knowing.
    #[schema(required = false)]
    notice: bool,
}

/// One invalid value.
#[derive(Serialize, ToSchema)]
pub(crate) struct Violation {
    /// The path of the value, as in `days` or `hosts[3]`; empty for the whole document.
    path: String,
    message: String,
}

/// The status of an execution or an attempt.
pub(crate) struct Status;

/// One or more statuses, separated by commas.
pub(crate) struct StatusList;

fn words() -> [&'static str; tinpot_core::Status::ALL.len()] {
    tinpot_core::Status::ALL.map(tinpot_core::Status::as_str)
}

/// Returns the schema of one or more of `words`, separated by commas.
pub(crate) fn list_of(words: &[&str], description: &str) -> RefOr<OpenApiSchema> {
    let word = words.join("|");
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(description))
        .pattern(Some(format!("^({word})(,({word}))*$")))
        .into()
}

impl PartialSchema for Status {
    fn schema() -> RefOr<OpenApiSchema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some("The status of an execution or an attempt."))
            .enum_values(Some(words()))
            .into()
    }
}

impl ToSchema for Status {
    fn name() -> Cow<'static, str> {
        "Status".into()
    }
}

impl PartialSchema for StatusList {
    fn schema() -> RefOr<OpenApiSchema> {
        list_of(&words(), "One or more statuses, separated by commas.")
    }
}

impl ToSchema for StatusList {
    fn name() -> Cow<'static, str> {
        "StatusList".into()
    }
}
