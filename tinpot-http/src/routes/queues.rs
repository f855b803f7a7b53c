//! `/api/queues`: the queues, and pausing them.

use axum::http::StatusCode;
use axum::response::Response;

use crate::error::ApiError;
use crate::extract::QueueName;
use crate::gate::Entered;
use crate::model::{QueueJson, Queues, json_response};

/// Lists the queues, with the number of waiting executions.
#[utoipa::path(
    get,
    path = "/api/queues",
    tag = "queues",
    responses((status = 200, description = "the queues", body = Queues)),
)]
pub(crate) async fn list(Entered { scoped, .. }: Entered) -> Result<Response, ApiError> {
    let queues = scoped.queues().await?;
    Ok(json_response(StatusCode::OK, &Queues::of(&queues)))
}

/// Pauses a queue: its executions wait until it is resumed.
#[utoipa::path(
    post,
    path = "/api/queues/{name}/pause",
    tag = "queues",
    params(("name" = String, Path, description = "the name of a queue")),
    responses((status = 200, description = "the queue", body = QueueJson), (status = 404, description = "Queue not found."), (status = 507, description = "The store is full.")),
)]
pub(crate) async fn pause(
    Entered { scoped, .. }: Entered,
    QueueName(name): QueueName,
) -> Result<Response, ApiError> {
    let queue = scoped.pause_queue(&name).await?;
    Ok(json_response(StatusCode::OK, &QueueJson::of(&queue)))
}

/// Resumes a paused queue.
#[utoipa::path(
    post,
    path = "/api/queues/{name}/resume",
    tag = "queues",
    params(("name" = String, Path, description = "the name of a queue")),
    responses((status = 200, description = "the queue", body = QueueJson), (status = 404, description = "Queue not found."), (status = 507, description = "The store is full.")),
)]
pub(crate) async fn resume(
    Entered { scoped, .. }: Entered,
    QueueName(name): QueueName,
) -> Result<Response, ApiError> {
    let queue = scoped.resume_queue(&name).await?;
    Ok(json_response(StatusCode::OK, &QueueJson::of(&queue)))
}
