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

use crate::error::ApiError;
use crate::extract::PathExecution;
use crate::model::{
    ExecutionPage, ExecutionStatus, ExecutionSummary, ExecutionView, json_response,
};
use crate::params::Params;
use crate::router::App;

#[derive(Serialize)]
struct CancelAnswer {
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

pub(crate) async fn show(
    State(app): State<Arc<App>>,
    PathExecution(id): PathExecution,
) -> Result<Response, ApiError> {
    let execution = app.execution(id).await?;
    Ok(json_response(StatusCode::OK, &ExecutionView::of(&execution)))
}

pub(crate) async fn status(
    State(app): State<Arc<App>>,
    PathExecution(id): PathExecution,
) -> Result<Response, ApiError> {
    let execution = app.execution(id).await?;
    Ok(json_response(StatusCode::OK, &ExecutionStatus::of(&execution)))
}

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
