//! `/api/executions`: what was run, and ending it.

use std::str::FromStr;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use serde::Serialize;
use tinpot_core::protocol::CancelOutcome;
use tinpot_core::store::ListOptions;
use tinpot_core::{Execution, ExecutionId, Status};
use utoipa::ToSchema;

use crate::error::ApiError;
use crate::extract::PathExecution;
use crate::model::{
    ExecutionPage, ExecutionStatus, ExecutionSummary, ExecutionView, json_response,
};
use crate::openapi::shapes;
use crate::params::Params;
use crate::router::App;

/// The answer to `cancel`.
#[derive(Serialize, ToSchema)]
pub(crate) struct CancelAnswer {
    #[schema(value_type = shapes::ExecutionId)]
    execution_id: ExecutionId,
    status: &'static str,
}

impl App {
    /// The execution, or 404.
    pub(crate) async fn execution(&self, id: ExecutionId) -> Result<Arc<Execution>, ApiError> {
        let execution = self.coordinator.execution(id).await?;
        execution.ok_or_else(|| {
            ApiError::new(StatusCode::NOT_FOUND, format!("there is no execution {id}"))
        })
    }
}

/// Executions, newest first.
#[utoipa::path(
    get,
    path = "/api/executions",
    tag = "executions",
    params(("status" = Option<String>, Query, description = "only those that stand so: one or more of `Status`, with commas between them", pattern = r"^(queued|running|cancelling|succeeded|failed|cancelled|timed_out|lost)(,(queued|running|cancelling|succeeded|failed|cancelled|timed_out|lost))*$"), ("action" = Option<String>, Query, description = "only those of this action"), ("queue" = Option<String>, Query, description = "only those of this queue"), ("requested_by" = Option<String>, Query, description = "only what this one asked for"),
        ("since" = Option<String>, Query, description = "only what was accepted then or later", format = DateTime),
        ("until" = Option<String>, Query, description = "only what was accepted then or earlier", format = DateTime),
        ("parent" = Option<shapes::ExecutionId>, Query, description = "only those that this one asked for"), ("before" = Option<shapes::ExecutionId>, Query, description = "only older ones: the `next` of the page before"), ("limit" = Option<u32>, Query, description = "the most of one page", minimum = 1, maximum = 1000)),
    responses((status = 200, description = "one page", body = ExecutionPage)),
)]
pub(crate) async fn list(State(app): State<Arc<App>>, uri: Uri) -> Result<Response, ApiError> {
    let known = [
        "status",
        "action",
        "queue",
        "requested_by",
        "since",
        "until",
        "parent",
        "before",
        "limit",
    ];
    let params = Params::of(&uri, &known)?;
    let mut options = ListOptions::default();
    if let Some(text) = params.text("status") {
        let wrong = |e: tinpot_core::Error| ApiError::unprocessable(format!("status: {e}"));
        let statuses = text.split(',').map(|status| Status::from_str(status.trim()));
        options.statuses = statuses.collect::<Result<_, _>>().map_err(wrong)?;
    }
    options.requested_by = params.text("requested_by").map(str::to_owned);
    options.since = params.time("since")?;
    options.until = params.time("until")?;
    options.action = params.text("action").map(str::to_owned);
    options.queue = params.text("queue").map(str::to_owned);
    options.parent = params.read("parent", "the id of an execution", |text| text.parse().ok())?;
    options.before = params.read("before", "the id of an execution", |text| text.parse().ok())?;
    options.limit = params.limit(ListOptions::LIMIT_MAX)?.unwrap_or_default();
    let executions = app.coordinator.executions(&options).await?;
    let full = executions.len() >= options.page_size();
    let page = ExecutionPage {
        executions: executions.iter().map(|execution| ExecutionSummary::of(execution)).collect(),
        next: executions.last().filter(|_| full).map(|last| last.id),
    };
    Ok(json_response(StatusCode::OK, &page))
}

/// Everything that is recorded of an execution.
#[utoipa::path(
    get,
    path = "/api/executions/{id}",
    tag = "executions",
    params(("id" = shapes::ExecutionId, Path)),
    responses((status = 200, description = "the execution", body = ExecutionView), (status = 404, description = "There is no such execution.")),
)]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    PathExecution(id): PathExecution,
) -> Result<Response, ApiError> {
    let execution = app.execution(id).await?;
    Ok(json_response(StatusCode::OK, &ExecutionView::of(&execution)))
}

/// Where an execution stands, and how it ended.
#[utoipa::path(
    get,
    path = "/api/executions/{id}/status",
    tag = "executions",
    params(("id" = shapes::ExecutionId, Path)),
    responses((status = 200, description = "where it stands", body = ExecutionStatus), (status = 404, description = "There is no such execution.")),
)]
pub(crate) async fn status(
    State(app): State<Arc<App>>,
    PathExecution(id): PathExecution,
) -> Result<Response, ApiError> {
    let execution = app.execution(id).await?;
    Ok(json_response(StatusCode::OK, &ExecutionStatus::of(&execution)))
}

/// Ends an execution: asks its attempt to end, or ends it at once.
#[utoipa::path(
    post,
    path = "/api/executions/{id}/cancel",
    tag = "executions",
    params(("id" = shapes::ExecutionId, Path), ("force" = Option<bool>, Query, description = "without asking it")),
    responses((status = 200, description = "it is cancelled, or asked to end", body = CancelAnswer), (status = 404, description = "There is no such execution."), (status = 409, description = "It has ended.")),
)]
pub(crate) async fn cancel(
    State(app): State<Arc<App>>,
    PathExecution(id): PathExecution,
    uri: Uri,
) -> Result<Response, ApiError> {
    let params = Params::of(&uri, &["force"])?;
    let force = params.read("force", "true or false", |text| text.parse().ok())?;
    let status = match app.coordinator.cancel(id, force.unwrap_or(false)).await? {
        CancelOutcome::Cancelled => "cancelled",
        CancelOutcome::Requested => "cancelling",
    };
    Ok(json_response(StatusCode::OK, &CancelAnswer { execution_id: id, status }))
}
