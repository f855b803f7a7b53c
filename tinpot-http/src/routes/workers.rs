//! `/api/workers`: who runs things, and sending them home.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use crate::error::ApiError;
use crate::extract::PathWorker;
use crate::model::{DrainAnswer, Workers, json_response};
use crate::router::App;

pub(crate) async fn workers(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    let workers = app.coordinator.workers().await?;
    Ok(json_response(StatusCode::OK, &Workers::of(&workers)))
}

pub(crate) async fn drain(
    State(app): State<Arc<App>>,
    PathWorker(id): PathWorker,
) -> Result<Response, ApiError> {
    app.coordinator.drain_worker(&id).await?;
    let answer = DrainAnswer { worker_id: id, status: "draining" };
    Ok(json_response(StatusCode::ACCEPTED, &answer))
}
