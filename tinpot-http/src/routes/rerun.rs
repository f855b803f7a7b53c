//! `/api/executions/{id}/rerun`: the same once more, with parameters that never leave the server.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::actions::{Submitted, submitted};
use crate::base_path::BasePath;
use crate::error::ApiError;
use crate::extract::PathExecution;
use crate::openapi::shapes;
use crate::router::App;
use crate::submission::RerunOptions;

/// Runs the same once more, with the parameters that were recorded.
#[utoipa::path(
    post,
    path = "/api/executions/{id}/rerun",
    tag = "executions",
    params(("id" = shapes::ExecutionId, Path)),
    request_body = Option<shapes::Rerun>,
    responses((status = 202, description = "it is accepted", body = Submitted), (status = 404, description = "There is no such execution, or its action is gone.")),
)]
pub(crate) async fn rerun(
    State(app): State<Arc<App>>,
    PathExecution(id): PathExecution,
    base_path: BasePath,
    RerunOptions(options): RerunOptions,
) -> Result<Response, ApiError> {
    let action = app.execution(id).await?.action.clone();
    let handle = app.coordinator.rerun(id, options).await?;
    Ok(submitted(StatusCode::ACCEPTED, handle.id(), &action, &base_path))
}
