//! `/api/executions/{id}/rerun`: re-running a recorded execution. Its parameters never leave the
//! server.

use axum::http::StatusCode;
use axum::response::Response;

use super::actions::{Submitted, submitted};
use crate::base_path::BasePath;
use crate::error::ApiError;
use crate::extract::PathExecution;
use crate::gate::Entered;
use crate::openapi::scalars;
use crate::submission::{RerunBody, RerunOptions};

/// Submits a recorded execution again, with its parameters.
#[utoipa::path(
    post,
    path = "/api/executions/{id}/rerun",
    tag = "executions",
    params(("id" = scalars::ExecutionId, Path)),
    request_body = Option<RerunBody<'static>>,
    responses((status = 202, description = "the execution is accepted", body = Submitted), (status = 404, description = "Execution or action not found.")),
)]
pub(crate) async fn rerun(
    Entered { scoped, .. }: Entered,
    PathExecution(id): PathExecution,
    base_path: BasePath,
    RerunOptions(options): RerunOptions,
) -> Result<Response, ApiError> {
    let action = scoped.execution(id).await?.execution.action.clone();
    let handle = scoped.rerun(id, options).await?;
    Ok(submitted(StatusCode::ACCEPTED, handle.id(), &action, &base_path))
}
