//! `/api/actions`: the catalogue, and submissions.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use serde::Serialize;
use tinpot_core::ExecutionId;
use utoipa::ToSchema;

use crate::base_path::BasePath;
use crate::error::ApiError;
use crate::extract::ActionName;
use crate::gate::Entered;
use crate::model::{ActionView, Actions, SyncResult, json_response};
use crate::openapi::scalars;
use crate::params::{Params, SECONDS, seconds};
use crate::router::App;
use crate::submission::{Submission, SubmissionBody};

/// The answer to `execute`.
#[derive(Serialize, ToSchema)]
pub(crate) struct Submitted<'a> {
    #[schema(value_type = scalars::ExecutionId)]
    execution_id: ExecutionId,
    action_name: &'a str,
    status: &'static str,
    stream_url: String,
}

/// Returns all actions, by name.
#[utoipa::path(
    get,
    path = "/api/actions",
    tag = "actions",
    responses((status = 200, description = "all actions", body = std::collections::BTreeMap<String, ActionView>)),
)]
pub(crate) async fn list(Entered { scoped, .. }: Entered) -> Response {
    json_response(StatusCode::OK, &Actions(&scoped.catalogue()))
}

/// Returns one action.
#[utoipa::path(
    get,
    path = "/api/actions/{name}",
    tag = "actions",
    params(("name" = String, Path, description = "the name of an action")),
    responses((status = 200, description = "the action", body = ActionView), (status = 404, description = "Action not found.")),
)]
pub(crate) async fn show(
    Entered { scoped, .. }: Entered,
    ActionName(name): ActionName,
) -> Result<Response, ApiError> {
    Ok(json_response(StatusCode::OK, &ActionView::of(&scoped.action(&name)?)))
}

/// Submits an execution.
#[utoipa::path(
    post,
    path = "/api/actions/{name}/execute",
    tag = "actions",
    params(("name" = String, Path, description = "the name of an action")),
    request_body = Option<SubmissionBody<'static>>,
    responses((status = 200, description = "the execution is accepted", body = Submitted), (status = 404, description = "Action not found.")),
)]
pub(crate) async fn execute(
    Entered { scoped, .. }: Entered,
    ActionName(action): ActionName,
    base_path: BasePath,
    submission: Submission,
) -> Result<Response, ApiError> {
    let Submission { parameters, options } = submission;
    let id = scoped.submit(&action, parameters, options).await?.id();
    Ok(submitted(StatusCode::OK, id, &action, &base_path))
}

/// Returns the answer to a submission.
pub(crate) fn submitted(
    status: StatusCode,
    id: ExecutionId,
    action: &str,
    BasePath(base_path): &BasePath,
) -> Response {
    let submitted = Submitted {
        execution_id: id,
        action_name: action,
        status: "submitted",
        stream_url: format!("{base_path}/api/executions/{id}/stream"),
    };
    json_response(status, &submitted)
}

/// Submits an execution and waits for its end.
#[utoipa::path(
    post,
    path = "/api/actions/{name}/sync_execute",
    tag = "actions",
    params(("name" = String, Path, description = "the name of an action"), ("timeout" = Option<f64>, Query, description = "the longest wait, in seconds", exclusive_minimum = 0)),
    request_body = Option<SubmissionBody<'static>>,
    responses((status = 200, description = "the execution has ended", body = SyncResult), (status = 404, description = "Action not found."), (status = 504, description = "The execution has not ended within the timeout, and continues.")),
)]
pub(crate) async fn sync_execute(
    State(app): State<Arc<App>>,
    Entered { scoped, .. }: Entered,
    ActionName(action): ActionName,
    uri: Uri,
    submission: Submission,
) -> Result<Response, ApiError> {
    let timeout = Params::of(&uri, &["timeout"])?
        .read("timeout", SECONDS, |text| text.parse().ok().and_then(seconds))?;
    let Submission { parameters, options } = submission;
    let handle = scoped.submit(&action, parameters, options).await?;
    let id = handle.id();
    let outcome = tokio::select! {
        biased;
        outcome = handle.outcome() => outcome.map_err(|e| ApiError::from(e).about(id))?,
        waited = elapsed(timeout) => {
            let detail = format!(
                "execution has not ended within {} s; it continues",
                waited.as_secs_f64()
            );
            return Err(ApiError::new(StatusCode::GATEWAY_TIMEOUT, detail).about(id));
        }
        () = app.config.shutdown() => {
            let detail = "server is shutting down; the execution continues";
            return Err(ApiError::unavailable(detail).about(id));
        }
    };
    Ok(json_response(StatusCode::OK, &SyncResult::of(id, &action, &outcome)))
}

async fn elapsed(timeout: Option<Duration>) -> Duration {
    match timeout {
        Some(timeout) => {
            tokio::time::sleep(timeout).await;
            timeout
        }
        None => std::future::pending().await,
    }
}
