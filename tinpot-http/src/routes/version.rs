//! `/api/version`: the version of the server.

use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use crate::model::json_response;

/// The version of the API. It grows when a field or path is removed or changes its meaning, and not
/// when one is added.
const API: u32 = 1;

/// The versions of the program and its API.
#[derive(Serialize, ToSchema)]
pub(crate) struct Version {
    version: &'static str,
    api: u32,
}

/// Returns the version of the server.
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
