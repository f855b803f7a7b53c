//! `/api/executions/cancel` and `/api/executions/rerun`: many executions in one request.

use std::future::Future;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use futures::{StreamExt, stream};
use serde::{Deserialize, Serialize};
use tinpot_core::{Execution, ExecutionId};
use utoipa::ToSchema;

use crate::error::{ApiError, ErrorBody};
use crate::gate::Entered;
use crate::model::{ExecutionSummary, json_response};
use crate::openapi::scalars;
use crate::router::App;
use crate::submission::{json_body, requester};

/// The largest number of executions in one request.
const IDS_MAX: usize = 1_000;
/// The executions that are worked on at once: what is decided in one turn is committed together.
const AT_ONCE: usize = 32;

/// The executions to cancel.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BulkCancel {
    /// The executions, at most 1,000.
    #[schema(value_type = Vec<scalars::ExecutionId>, min_items = 1, max_items = 1000)]
    ids: Vec<String>,
    /// If true, the attempts get no grace period.
    #[serde(default)]
    #[schema(required = false)]
    force: bool,
}

/// The executions to run again.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BulkRerun {
    /// The executions, at most 1,000.
    #[schema(value_type = Vec<scalars::ExecutionId>, min_items = 1, max_items = 1000)]
    ids: Vec<String>,
}

/// The results, in the order of the request.
#[derive(Serialize, ToSchema)]
pub(crate) struct BulkResults<'a> {
    results: Vec<BulkResult<'a>>,
}

/// The result of one execution: an execution or an error.
#[derive(Serialize, ToSchema)]
pub(crate) struct BulkResult<'a> {
    /// The execution of the request.
    #[schema(value_type = scalars::ExecutionId)]
    execution_id: ExecutionId,
    /// The cancelled execution, or the new one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    execution: Option<ExecutionSummary<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    error: Option<ErrorBody<'a>>,
}

/// Cancels several executions.
#[utoipa::path(
    post,
    path = "/api/executions/cancel",
    tag = "executions",
    operation_id = "cancel_many",
    request_body = BulkCancel,
    responses((status = 200, description = "the result of each", body = BulkResults)),
)]
pub(crate) async fn cancel(
    State(app): State<Arc<App>>,
    Entered { scoped, .. }: Entered,
    request: Request,
) -> Result<Response, ApiError> {
    let by = requester(request.headers())?;
    let BulkCancel { ids, force } = json_body(request, &app).await?;
    let (scoped, by) = (&scoped, by.as_deref());
    each(&ids, |id| async move {
        scoped.cancel(id, force, by).await?;
        Ok(scoped.execution(id).await?.execution)
    })
    .await
}

/// Submits several recorded executions again, each with its parameters and options.
#[utoipa::path(
    post,
    path = "/api/executions/rerun",
    tag = "executions",
    operation_id = "rerun_many",
    request_body = BulkRerun,
    responses((status = 200, description = "the result of each", body = BulkResults)),
)]
pub(crate) async fn rerun(
    State(app): State<Arc<App>>,
    Entered { scoped, .. }: Entered,
    request: Request,
) -> Result<Response, ApiError> {
    let by = requester(request.headers())?;
    let BulkRerun { ids } = json_body(request, &app).await?;
    let (scoped, by) = (&scoped, &by);
    each(&ids, |id| async move {
        let mut options = tinpot_core::SubmitOptions::default();
        options.requested_by.clone_from(by);
        let copy = scoped.rerun(id, options).await?.id();
        Ok(scoped.execution(copy).await?.execution)
    })
    .await
}

/// Changes each of the executions, and returns the results.
async fn each<F>(ids: &[String], change: impl Fn(ExecutionId) -> F) -> Result<Response, ApiError>
where
    F: Future<Output = Result<Arc<Execution>, ApiError>>,
{
    if ids.is_empty() || ids.len() > IDS_MAX {
        let detail = format!("ids must have 1 to {IDS_MAX} items (got {})", ids.len());
        return Err(ApiError::unprocessable(detail));
    }
    let ids = ids.iter().enumerate().map(|(at, id)| {
        let detail = || format!("ids[{at}] must be the id of an execution (got {id:?})");
        id.parse().map_err(|_| ApiError::unprocessable(detail()))
    });
    let ids: Vec<ExecutionId> = ids.collect::<Result<_, _>>()?;
    if let Some((_, id)) = ids.iter().enumerate().find(|(at, id)| ids[..*at].contains(id)) {
        return Err(ApiError::unprocessable(format!(
            "ids must have no duplicates (got {id} twice)"
        )));
    }
    let work = ids.into_iter().map(|id| {
        let changed = change(id);
        async move { (id, changed.await) }
    });
    let done: Vec<_> = stream::iter(work).buffered(AT_ONCE).collect().await;
    let results = done.iter().map(|(id, done)| BulkResult {
        execution_id: *id,
        execution: done.as_ref().ok().map(|execution| ExecutionSummary::of(execution)),
        error: done.as_ref().err().map(ApiError::body),
    });
    Ok(json_response(StatusCode::OK, &BulkResults { results: results.collect() }))
}
