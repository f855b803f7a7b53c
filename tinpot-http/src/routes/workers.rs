//! `/api/workers` and `/api/queues`: who runs things, and what waits.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use crate::error::ApiError;
use crate::model::{Queues, Workers, json_response};
use crate::router::App;

/// The live workers.
#[utoipa::path(
    get,
    path = "/api/workers",
    tag = "workers",
    responses((status = 200, description = "the live workers", body = Workers)),
)]
pub(crate) async fn workers(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    let workers = app.coordinator.workers().await?;
    Ok(json_response(StatusCode::OK, &Workers::of(&workers)))
}

/// The queues, and what waits in them.
#[utoipa::path(
    get,
    path = "/api/queues",
    tag = "queues",
    responses((status = 200, description = "the queues", body = Queues)),
)]
pub(crate) async fn queues(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    let queues = app.coordinator.queues().await?;
    Ok(json_response(StatusCode::OK, &Queues::of(&queues)))
}
