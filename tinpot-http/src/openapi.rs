//! `/openapi.json`: the API as OpenAPI 3.1, derived from the routes and the types that they send.

mod common;
pub(crate) mod scalars;

use std::sync::LazyLock;

use axum::http::StatusCode;
use axum::response::Response;
use utoipa::OpenApi;

use crate::error::ErrorBody;
use crate::feed::FeedEvent;
use crate::model::json_bytes;
use crate::router::api;
use crate::routes::logs::{Format, MinimumLevel, StreamList};
use crate::routes::stats::Window;
use crate::sse::ExecutionEvent;

/// The document without its paths, which [`api`] adds along with the routes.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Tinpot",
        description = "Runs actions on workers, with live logs.",
        license(name = "MIT OR Apache-2.0")
    ),
    servers((url = ".", description = "the server of this document")),
    // Schemas that no body refers to: those of parameters, of errors and of events.
    components(schemas(
        ErrorBody<'static>,
        Format,
        MinimumLevel,
        StreamList,
        Window,
        scalars::StatusList,
        ExecutionEvent<'static>,
        FeedEvent<'static>,
    ))
)]
pub(crate) struct Document;

static DOCUMENT: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let document = serde_json::to_value(api().into_openapi()).map(common::completed);
    let text = document.and_then(|document| serde_json::to_vec_pretty(&document));
    text.unwrap_or_else(|error| {
        tracing::error!(%error, "the OpenAPI document has no JSON form");
        b"{}".to_vec()
    })
});

/// Returns this document.
#[utoipa::path(get, path = "/openapi.json", tag = "server", responses((status = 200, body = Object)))]
pub(crate) async fn show() -> Response {
    json_bytes(StatusCode::OK, DOCUMENT.clone())
}
