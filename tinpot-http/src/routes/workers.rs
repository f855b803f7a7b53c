//! `/api/workers` and `/api/queues`: who runs things, and what waits.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use crate::error::ApiError;
use crate::model::{Queues, Workers, json_response};
use crate::router::App;

pub(crate) async fn workers(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    let workers = app.coordinator.workers().await?;
    Ok(json_response(StatusCode::OK, &Workers::of(&workers)))
}

pub(crate) async fn queues(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    let queues = app.coordinator.queues().await?;
    Ok(json_response(StatusCode::OK, &Queues::of(&queues)))
}
