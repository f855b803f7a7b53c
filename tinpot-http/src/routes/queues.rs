//! `/api/queues`: what waits, and pausing that.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use crate::error::ApiError;
use crate::extract::QueueName;
use crate::model::{QueueJson, Queues, json_response};
use crate::router::App;

pub(crate) async fn list(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    let queues = app.coordinator.queues().await?;
    Ok(json_response(StatusCode::OK, &Queues::of(&queues)))
}

pub(crate) async fn pause(
    State(app): State<Arc<App>>,
    QueueName(name): QueueName,
) -> Result<Response, ApiError> {
    let queue = app.coordinator.pause_queue(&name).await?;
    Ok(json_response(StatusCode::OK, &QueueJson::of(&queue)))
}

pub(crate) async fn resume(
    State(app): State<Arc<App>>,
    QueueName(name): QueueName,
) -> Result<Response, ApiError> {
    let queue = app.coordinator.resume_queue(&name).await?;
    Ok(json_response(StatusCode::OK, &QueueJson::of(&queue)))
}
