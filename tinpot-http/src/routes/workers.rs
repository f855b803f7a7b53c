//! `/api/workers`: who runs things, and sending them home.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use crate::error::ApiError;
use crate::extract::PathWorker;
use crate::model::{DrainAnswer, Workers, json_response};
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

/// Sends a worker home: it is given nothing new, and ends when it has nothing left.
#[utoipa::path(
    post,
    path = "/api/workers/{id}/drain",
    tag = "workers",
    params(("id" = String, Path, description = "the id of a live worker")),
    responses((status = 202, description = "it is told", body = DrainAnswer), (status = 404, description = "There is no such live worker.")),
)]
pub(crate) async fn drain(
    State(app): State<Arc<App>>,
    PathWorker(id): PathWorker,
) -> Result<Response, ApiError> {
    app.coordinator.drain_worker(&id).await?;
    let answer = DrainAnswer { worker_id: id, status: "draining" };
    Ok(json_response(StatusCode::ACCEPTED, &answer))
}
