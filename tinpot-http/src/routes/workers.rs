//! `/api/workers`: the workers, and draining them.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use crate::error::ApiError;
use crate::extract::PathWorker;
use crate::model::{DrainAnswer, Workers, json_response};
use crate::router::App;

/// Lists the live workers.
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

/// Drains a worker: it receives no new attempts and exits when idle.
#[utoipa::path(
    post,
    path = "/api/workers/{id}/drain",
    tag = "workers",
    params(("id" = String, Path, description = "the id of a live worker")),
    responses((status = 202, description = "the worker is draining", body = DrainAnswer), (status = 404, description = "No live worker has this id.")),
)]
pub(crate) async fn drain(
    State(app): State<Arc<App>>,
    PathWorker(id): PathWorker,
) -> Result<Response, ApiError> {
    app.coordinator.drain_worker(&id).await?;
    let answer = DrainAnswer { worker_id: id, status: "draining" };
    Ok(json_response(StatusCode::ACCEPTED, &answer))
}
