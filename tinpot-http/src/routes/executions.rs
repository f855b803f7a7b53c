//! `/api/executions`: the executions, and cancelling them.

use std::str::FromStr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use tinpot_core::store::{ListOptions, Search};
use tinpot_core::{ExecutionId, Status};
use utoipa::ToSchema;

use crate::error::ApiError;
use crate::extract::PathExecution;
use crate::gate::Entered;
use crate::model::{
    ExecutionPage, ExecutionStatus, ExecutionSummary, ExecutionView, json_response,
};
use crate::openapi::scalars;
use crate::params::Params;
use crate::router::App;
use crate::submission::{optional_json_body, requester};

/// The answer to `cancel`.
#[derive(Serialize, ToSchema)]
pub(crate) struct CancelAnswer {
    #[schema(value_type = scalars::ExecutionId)]
    execution_id: ExecutionId,
    status: &'static str,
}

/// The longest search, in characters.
const SEARCH_CHARS_MAX: usize = 200;

fn words_expected() -> String {
    format!("at most {} words with at most {SEARCH_CHARS_MAX} characters", Search::PARTS_MAX)
}

fn words(text: &str) -> Option<String> {
    let fits = text.chars().nth(SEARCH_CHARS_MAX).is_none()
        && text.split_whitespace().nth(Search::PARTS_MAX).is_none();
    fits.then(|| text.to_owned())
}

/// Lists executions, newest first.
#[utoipa::path(
    get,
    path = "/api/executions",
    tag = "executions",
    params(
        ("status" = Option<scalars::StatusList>, Query, description = "only executions with one of these statuses"),
        ("action" = Option<String>, Query, description = "only executions of this action"),
        ("queue" = Option<String>, Query, description = "only executions in this queue"),
        ("requested_by" = Option<String>, Query, description = "only executions of this requester"),
        ("q" = Option<String>, Query, description = "only executions whose action, id, parameters, error or requester contain these words; each may be the beginning of a longer one. At most 8 words", max_length = 200),
        ("since" = Option<String>, Query, description = "only executions accepted at this time or later", format = DateTime),
        ("until" = Option<String>, Query, description = "only executions accepted at this time or earlier", format = DateTime),
        ("number" = Option<u64>, Query, description = "only the execution with this number"),
        ("parent" = Option<scalars::ExecutionId>, Query, description = "only executions that this one called"),
        ("before" = Option<scalars::ExecutionId>, Query, description = "only older executions: the `next` of the page before"),
        ("limit" = Option<u32>, Query, description = "the page size", minimum = 1, maximum = 1000),
    ),
    responses((status = 200, description = "one page", body = ExecutionPage)),
)]
pub(crate) async fn list(Entered { scoped, .. }: Entered, uri: Uri) -> Result<Response, ApiError> {
    let known = [
        "status",
        "action",
        "queue",
        "requested_by",
        "q",
        "since",
        "until",
        "number",
        "parent",
        "before",
        "limit",
    ];
    let params = Params::of(&uri, &known)?;
    let mut options = ListOptions::default();
    if let Some(text) = params.text("status") {
        let statuses = text.split(',').map(|status| Status::from_str(status.trim()));
        let invalid = |e: tinpot_core::Error| ApiError::unprocessable(e.to_string());
        options.statuses = statuses.collect::<Result<_, _>>().map_err(invalid)?;
    }
    options.requested_by = params.text("requested_by").map(str::to_owned);
    options.search = params.read("q", &words_expected(), words)?;
    options.since = params.time("since")?;
    options.until = params.time("until")?;
    options.action = params.text("action").map(str::to_owned);
    options.queue = params.text("queue").map(str::to_owned);
    options.number = params.read("number", "a whole number", |text| text.parse().ok())?;
    options.parent = params.read("parent", "the id of an execution", |text| text.parse().ok())?;
    options.before = params.read("before", "the id of an execution", |text| text.parse().ok())?;
    options.limit = params.limit(ListOptions::LIMIT_MAX)?.unwrap_or_default();
    let executions = scoped.executions(&options).await?;
    let full = executions.len() >= options.page_size();
    let page = ExecutionPage {
        executions: executions.iter().map(|execution| ExecutionSummary::of(execution)).collect(),
        next: executions.last().filter(|_| full).map(|last| last.id),
    };
    Ok(json_response(StatusCode::OK, &page))
}

/// Returns the whole record of an execution.
#[utoipa::path(
    get,
    path = "/api/executions/{id}",
    tag = "executions",
    params(("id" = scalars::ExecutionId, Path)),
    responses((status = 200, description = "the execution", body = ExecutionView), (status = 404, description = "Execution not found.")),
)]
pub(crate) async fn show(
    Entered { scoped, .. }: Entered,
    PathExecution(id): PathExecution,
) -> Result<Response, ApiError> {
    let readable = scoped.execution(id).await?;
    let waiting_for = readable.waits_for().await?;
    let view = ExecutionView::of(&readable.execution).waiting_for(waiting_for);
    Ok(json_response(StatusCode::OK, &view))
}

/// Returns the state of an execution, and its result or error.
#[utoipa::path(
    get,
    path = "/api/executions/{id}/status",
    tag = "executions",
    params(("id" = scalars::ExecutionId, Path)),
    responses((status = 200, description = "its state", body = ExecutionStatus), (status = 404, description = "Execution not found.")),
)]
pub(crate) async fn status(
    Entered { scoped, .. }: Entered,
    PathExecution(id): PathExecution,
) -> Result<Response, ApiError> {
    let execution = scoped.execution(id).await?.execution;
    Ok(json_response(StatusCode::OK, &ExecutionStatus::of(&execution)))
}

/// The way to cancel an execution.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Cancel)]
pub(crate) struct CancelBody {
    /// If true, the attempt gets no grace period.
    #[serde(default)]
    #[schema(required = false)]
    force: bool,
}

/// Cancels an execution. Its attempt may end in its own time, unless `force` is true.
#[utoipa::path(
    post,
    path = "/api/executions/{id}/cancel",
    tag = "executions",
    params(
        ("id" = scalars::ExecutionId, Path),
        ("force" = Option<bool>, Query, description = "end the attempt without a grace period"),
        ("X-Requested-By" = Option<String>, Header, description = "the requester, as the client states it"),
    ),
    request_body(content = Option<CancelBody>, description = "the same as the query"),
    responses((status = 200, description = "it is cancelled, or is being cancelled", body = CancelAnswer), (status = 404, description = "Execution not found."), (status = 409, description = "It has ended already.")),
)]
pub(crate) async fn cancel(
    State(app): State<Arc<App>>,
    Entered { scoped, .. }: Entered,
    PathExecution(id): PathExecution,
    request: Request,
) -> Result<Response, ApiError> {
    let by_query = Params::of(request.uri(), &["force"])?.flag("force")?;
    let by = requester(request.headers())?;
    let body = optional_json_body::<CancelBody>(request, &app).await?;
    let force = by_query || body.is_some_and(|body| body.force);
    let status = scoped.cancel(id, force, by.as_deref()).await?.status().as_str();
    Ok(json_response(StatusCode::OK, &CancelAnswer { execution_id: id, status }))
}
