//! `/openapi.json`: the API as OpenAPI 3.1, from the annotations of routes and shapes.

mod events;
mod patch;
pub(crate) mod shapes;

use std::sync::LazyLock;

use axum::http::StatusCode;
use axum::response::Response;
use utoipa::OpenApi;

use crate::model::json_bytes;
use crate::routes::{
    actions, details, executions, health, logs, queues, rerun, stats, version, workers,
};
use crate::{feed, stream};

/// Everything that there is. What is not listed here is not in the document, and a test holds it against the router.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Tinpot",
        description = "Runs actions on workers and lets people watch them live.",
        license(name = "MIT OR Apache-2.0")
    ),
    servers((url = ".", description = "where this document is")),
    paths(
        actions::list,
        actions::show,
        actions::execute,
        actions::sync_execute,
        executions::list,
        executions::show,
        executions::status,
        executions::cancel,
        rerun::rerun,
        logs::show,
        logs::search,
        details::spans,
        details::summary,
        details::artifacts,
        details::artifact,
        stream::open,
        feed::open,
        workers::workers,
        workers::drain,
        queues::list,
        queues::pause,
        queues::resume,
        stats::stats,
        version::version,
        health::health,
        health::ready,
        show,
    ),
    // What only parameters refer to is not found by itself.
    components(schemas(shapes::Error, shapes::Format, shapes::MinimumLevel, events::ExecutionEvent, events::PageEvent))
)]
struct Document;

static DOCUMENT: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let document = serde_json::to_value(Document::openapi()).map(patch::completed);
    let text = document.and_then(|document| serde_json::to_vec_pretty(&document));
    text.unwrap_or_else(|error| {
        tracing::error!(%error, "the OpenAPI document has no JSON form");
        b"{}".to_vec()
    })
});

/// This document.
#[utoipa::path(get, path = "/openapi.json", tag = "server", responses((status = 200, body = Object)))]
pub(crate) async fn show() -> Response {
    json_bytes(StatusCode::OK, DOCUMENT.clone())
}
