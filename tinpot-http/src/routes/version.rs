//! `/api/version`: what a client talks to.

use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use crate::model::json_response;

/// Grows when something is taken away or means something else; what is added does not count.
const API: u32 = 1;

/// A program and its API.
#[derive(Serialize, ToSchema)]
pub(crate) struct Version {
    version: &'static str,
    api: u32,
}

/// What a client talks to.
#[utoipa::path(
    get,
    path = "/api/version",
    tag = "server",
    responses((status = 200, description = "the version", body = Version)),
)]
pub(crate) async fn version() -> Response {
    let version = Version { version: env!("CARGO_PKG_VERSION"), api: API };
    json_response(StatusCode::OK, &version)
}
