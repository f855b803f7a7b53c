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

/// The time that the coordinator has to answer. It takes microseconds, unless its store hangs.
const PATIENCE: Duration = Duration::from_secs(2);

/// The part of a worker's own words that is repeated.
const REASON_CHARS: usize = 300;

/// The answer to `health` and `ready`.
#[derive(Serialize, ToSchema)]
pub(crate) struct Health {
    status: &'static str,
    workers: usize,
    /// The known problems of the store, and of live workers that offer less than they have.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    problems: Vec<String>,
}

/// Checks that the coordinator answers.
#[utoipa::path(
    get,
    path = "/health",
    tag = "server",
    responses((status = 200, description = "the coordinator answers", body = Health)),
)]
pub(crate) async fn health(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    let workers = app.checked().await?.len();
    let problems = app.gate.probe().store_problems();
    let audit = app.gate.probe().audit_problem().map(audit_away);
    let problems = problems.into_iter().map(|problem| problem.message).chain(audit).collect();
    let health = Health { status: "healthy", workers, problems };
    Ok(json_response(StatusCode::OK, &health))
}

/// Checks that actions can run.
#[utoipa::path(
    get,
    path = "/ready",
    tag = "server",
    responses((status = 200, description = "executions can be stored, and a worker is live", body = Health)),
)]
pub(crate) async fn ready(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    let workers = app.checked().await?;
    let of_store = app.gate.probe().store_problems();
    if let Some(problem) = of_store.iter().find(|problem| problem.is_blocking) {
        return Err(ApiError::unavailable(&problem.message));
    }
    if let Some(why) = app.gate.probe().audit_problem() {
        return Err(ApiError::unavailable(audit_away(why)));
    }
    if workers.is_empty() {
        return Err(ApiError::unavailable("no worker is live; start one"));
    }
    // Actions can be submitted once they are in the catalogue, which is when the store has them.
    let catalogue = app.gate.probe().catalogue();
    if !workers.iter().flat_map(|worker| &worker.actions).all(|name| catalogue.contains_key(name)) {
        return Err(ApiError::unavailable(
            "catalogue lacks the actions of a new worker; retry in a moment",
        ));
    }
    let hides_names = app.config.has_teams();
    let problems: Vec<String> =
        workers.iter().filter_map(|worker| blocked(worker, hides_names)).collect();
    let none = workers.iter().all(|worker| worker.actions.is_empty());
    if none && problems.len() == workers.len() {
        let message = format!("no live worker can run actions: {}", problems.join("; "));
        return Err(ApiError::unavailable(message));
    }
    let workers = workers.len();
    let of_store = of_store.into_iter().map(|problem| problem.message);
    let problems = of_store.chain(problems).collect();
    Ok(json_response(StatusCode::OK, &Health { status: "ready", workers, problems }))
}

fn audit_away(why: String) -> String {
    format!("the audit cannot be written: {why}")
}

/// Returns the reason why a worker offers less than it has. With several teams, names and reasons
/// are hidden from other teams.
fn blocked(worker: &WorkerInfo, hides_names: bool) -> Option<String> {
    let error = worker.load_errors.iter().find(|error| error.blocking)?;
    if hides_names {
        return Some("a worker cannot start its actions".to_owned());
    }
    let first: String = error.message.lines().next()?.chars().take(REASON_CHARS).collect();
    Some(format!("worker {:?}: {first}", worker.name))
}

impl App {
    /// Returns the live workers, if the coordinator answers and has its link.
    async fn checked(&self) -> Result<Vec<WorkerInfo>, ApiError> {
        let workers = tokio::time::timeout(PATIENCE, self.gate.probe().workers())
            .await
            .map_err(|_| ApiError::unavailable("coordinator does not answer"))??;
        match self.gate.probe().link() {
            Link::Up => Ok(workers),
            Link::Down { reason } if reason.is_empty() => {
                Err(ApiError::unavailable("transport is not connected"))
            }
            Link::Down { reason } => {
                Err(ApiError::unavailable(format!("transport is not connected: {reason}")))
            }
            _ => Err(ApiError::unavailable("transport is closed")),
        }
    }
}
