//! `/api/workers`: the workers, and draining them.

use axum::http::StatusCode;
use axum::response::Response;

use crate::error::ApiError;
use crate::extract::PathWorker;
use crate::gate::Entered;
use crate::model::{DrainAnswer, WorkerJson, Workers, json_response};

/// Lists the live workers.
#[utoipa::path(
    get,
    path = "/api/workers",
    tag = "workers",
    responses((status = 200, description = "the live workers", body = Workers)),
)]
pub(crate) async fn workers(Entered { scoped, .. }: Entered) -> Result<Response, ApiError> {
    let workers = scoped.workers().await?;
    Ok(json_response(StatusCode::OK, &Workers::of(&workers)))
}

/// Returns one live worker, with the logs of failed builds of Python environments.
#[utoipa::path(
    get,
    path = "/api/workers/{id}",
    tag = "workers",
    params(("id" = String, Path, description = "the id of a live worker")),
    responses((status = 200, description = "the worker", body = WorkerJson), (status = 404, description = "No live worker has this id.")),
)]
pub(crate) async fn worker(
    Entered { scoped, .. }: Entered,
    PathWorker(id): PathWorker,
) -> Result<Response, ApiError> {
    let worker = scoped.worker(&id).await?;
    Ok(json_response(StatusCode::OK, &WorkerJson::whole(&worker)))
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
    Entered { scoped, .. }: Entered,
    PathWorker(id): PathWorker,
) -> Result<Response, ApiError> {
    scoped.drain_worker(&id).await?;
    let answer = DrainAnswer { worker_id: id, status: "draining" };
    Ok(json_response(StatusCode::ACCEPTED, &answer))
}
