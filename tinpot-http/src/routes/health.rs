//! `/health` and `/ready`: for load balancers and supervisors.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use tinpot_core::{Link, WorkerInfo};
use utoipa::ToSchema;

use crate::error::ApiError;
use crate::model::json_response;
use crate::router::App;

/// How long the coordinator may take to answer; it takes microseconds, unless its store hangs.
const PATIENCE: Duration = Duration::from_secs(2);

/// The answer to `health` and `ready`.
#[derive(Serialize, ToSchema)]
pub(crate) struct Health {
    status: &'static str,
    workers: usize,
}

/// Whether the coordinator answers.
#[utoipa::path(
    get,
    path = "/health",
    tag = "server",
    responses((status = 200, description = "it does", body = Health)),
)]
pub(crate) async fn health(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    let workers = app.checked().await?.len();
    Ok(json_response(StatusCode::OK, &Health { status: "ok", workers }))
}

/// Whether actions can be run.
#[utoipa::path(
    get,
    path = "/ready",
    tag = "server",
    responses((status = 200, description = "there is a live worker", body = Health)),
)]
pub(crate) async fn ready(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    let workers = app.checked().await?;
    if workers.is_empty() {
        return Err(ApiError::unavailable("there is no live worker"));
    }
    // Actions can be submitted once they are in the catalogue, which is when the store has them.
    let catalogue = app.coordinator.catalogue();
    if !workers.iter().flat_map(|worker| &worker.actions).all(|name| catalogue.contains_key(name)) {
        return Err(ApiError::unavailable("the actions of a worker are not in the catalogue yet"));
    }
    let workers = workers.len();
    Ok(json_response(StatusCode::OK, &Health { status: "ready", workers }))
}

impl App {
    /// The live workers of a coordinator that answers and has its link, or what is wrong.
    async fn checked(&self) -> Result<Vec<WorkerInfo>, ApiError> {
        let workers = tokio::time::timeout(PATIENCE, self.coordinator.workers())
            .await
            .map_err(|_| ApiError::unavailable("the coordinator does not answer"))??;
        match &*self.coordinator.link().borrow() {
            Link::Up => Ok(workers),
            Link::Down { reason } if reason.is_empty() => {
                Err(ApiError::unavailable("the transport is not connected"))
            }
            Link::Down { reason } => {
                Err(ApiError::unavailable(format!("the transport is not connected: {reason}")))
            }
            _ => Err(ApiError::unavailable("the transport is closed")),
        }
    }
}
