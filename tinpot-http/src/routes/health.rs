//! `/health` and `/ready`: for load balancers and supervisors.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRequestParts, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use serde::Serialize;
use tinpot_core::{Link, Right, WorkerInfo};
use utoipa::ToSchema;

use crate::authenticator::{PeerAddress, Presented};
use crate::error::ApiError;
use crate::model::json_response;
use crate::router::App;

/// The time that the coordinator has to answer. It takes microseconds, unless its store hangs.
const PATIENCE: Duration = Duration::from_secs(2);

/// The part of a worker's own words that is repeated.
const REASON_CHARS: usize = 300;

/// The answer to `health` and `ready`. Callers who may not see workers get only `status` and
/// `reasons`.
#[derive(Serialize, ToSchema)]
pub(crate) struct Health {
    status: &'static str,
    /// The number of live workers.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = usize, required = false)]
    workers: Option<usize>,
    /// The kinds of the known problems.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    reasons: Vec<Reason>,
    /// The known problems of the store, and of live workers that offer less than they have.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    problems: Vec<String>,
}

/// The kind of a known problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = HealthReason)]
pub(crate) enum Reason {
    /// The coordinator does not answer, or has shut down.
    Coordinator,
    /// The transport has no connection.
    Transport,
    /// The store is full or damaged.
    Store,
    /// The audit cannot be written.
    Audit,
    /// No worker is live.
    NoWorker,
    /// The catalogue does not have the actions of all workers yet.
    Catalogue,
    /// Live workers offer less than they have.
    Worker,
    /// The certificate of the server ends soon, or has ended.
    Certificate,
}

impl Reason {
    fn name(self) -> &'static str {
        match self {
            Self::Coordinator => "coordinator",
            Self::Transport => "transport",
            Self::Store => "store",
            Self::Audit => "audit",
            Self::NoWorker => "no_worker",
            Self::Catalogue => "catalogue",
            Self::Worker => "worker",
            Self::Certificate => "certificate",
        }
    }
}

/// A known problem.
#[derive(Debug)]
struct Problem {
    reason: Reason,
    /// The problem in words, with names.
    detail: String,
}

impl Problem {
    fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }

    /// Returns the answer to a caller, who may see everything of the problem or only its kind.
    fn refuse(self, sees_all: bool) -> ApiError {
        match sees_all {
            true => ApiError::unavailable(self.detail),
            false => ApiError::unavailable(format!("server is not ready: {}", self.reason.name())),
        }
    }
}

/// Returns the answer of a server that works, in spite of these problems.
fn answer(
    status: &'static str,
    workers: usize,
    problems: Vec<Problem>,
    sees_all: bool,
) -> Response {
    let mut reasons: Vec<Reason> = problems.iter().map(|problem| problem.reason).collect();
    reasons.sort_unstable();
    reasons.dedup();
    let health = match sees_all {
        true => {
            let problems = problems.into_iter().map(|problem| problem.detail).collect();
            Health { status, workers: Some(workers), reasons, problems }
        }
        false => Health { status, workers: None, reasons, problems: Vec::new() },
    };
    json_response(StatusCode::OK, &health)
}

/// The caller of a request that is answered without one.
#[derive(Debug)]
pub(crate) struct Monitor {
    /// True if the caller may know names, counts and reasons of the whole server.
    sees_all: bool,
}

impl FromRequestParts<Arc<App>> for Monitor {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Infallible> {
        let peer = parts.extensions.get().map(|PeerAddress(peer)| *peer);
        // A monitor that asks each second does not prolong a sign-in.
        let presented = Presented::new(&parts.method, parts.uri.path(), &parts.headers)
            .peer(peer)
            .certificate(parts.extensions.get())
            .repeat();
        let sees_all = app.gate.recognize(&presented).await.is_some_and(|entered| {
            let scoped = &entered.scoped;
            scoped.has(Right::ManageServer)
                || scoped.has(Right::SeeWorker) && scoped.sight().is_everything()
        });
        Ok(Self { sees_all })
    }
}

/// Checks that the coordinator answers.
#[utoipa::path(
    get,
    path = "/health",
    tag = "server",
    responses((status = 200, description = "the coordinator answers", body = Health)),
)]
pub(crate) async fn health(
    State(app): State<Arc<App>>,
    Monitor { sees_all }: Monitor,
) -> Result<Response, ApiError> {
    let workers = app.checked().await.map_err(|problem| problem.refuse(sees_all))?.len();
    let problems = app.gate.probe().store_problems().into_iter();
    let problems = problems.map(|problem| Problem::new(Reason::Store, problem.message));
    let audit = app.gate.probe().audit_problem().map(audit_away);
    let problems = problems.chain(audit).chain(app.certificate_problem());
    Ok(answer("healthy", workers, problems.collect(), sees_all))
}

/// Checks that actions can run.
#[utoipa::path(
    get,
    path = "/ready",
    tag = "server",
    responses((status = 200, description = "executions can be stored, and a worker is live", body = Health)),
)]
pub(crate) async fn ready(
    State(app): State<Arc<App>>,
    Monitor { sees_all }: Monitor,
) -> Result<Response, ApiError> {
    match app.readiness().await {
        Ok((workers, problems)) => Ok(answer("ready", workers, problems, sees_all)),
        Err(problem) => Err(problem.refuse(sees_all)),
    }
}

fn audit_away(why: String) -> Problem {
    Problem::new(Reason::Audit, format!("the audit cannot be written: {why}"))
}

/// Returns the reason why a worker offers less than it has.
fn blocked(worker: &WorkerInfo) -> Option<Problem> {
    let error = worker.load_errors.iter().find(|error| error.blocking)?;
    let first: String = error.message.lines().next()?.chars().take(REASON_CHARS).collect();
    Some(Problem::new(Reason::Worker, format!("worker {:?}: {first}", worker.name)))
}

impl App {
    /// Returns the number of live workers and the problems in spite of which actions can run.
    async fn readiness(&self) -> Result<(usize, Vec<Problem>), Problem> {
        let workers = self.checked().await?;
        let of_store = self.gate.probe().store_problems();
        if let Some(problem) = of_store.iter().find(|problem| problem.is_blocking) {
            return Err(Problem::new(Reason::Store, &problem.message));
        }
        if let Some(why) = self.gate.probe().audit_problem() {
            return Err(audit_away(why));
        }
        if workers.is_empty() {
            return Err(Problem::new(Reason::NoWorker, "no worker is live; start one"));
        }
        // Actions can be submitted once they are in the catalogue, which is when the store has them.
        let catalogue = self.gate.probe().catalogue();
        let mut offered = workers.iter().flat_map(|worker| &worker.actions);
        if !offered.all(|name| catalogue.contains_key(name)) {
            let message = "catalogue lacks the actions of a new worker; retry in a moment";
            return Err(Problem::new(Reason::Catalogue, message));
        }
        let problems: Vec<Problem> = workers.iter().filter_map(blocked).collect();
        let none = workers.iter().all(|worker| worker.actions.is_empty());
        if none && problems.len() == workers.len() {
            let details: Vec<String> = problems.into_iter().map(|problem| problem.detail).collect();
            let message = format!("no live worker can run actions: {}", details.join("; "));
            return Err(Problem::new(Reason::Worker, message));
        }
        let of_store =
            of_store.into_iter().map(|problem| Problem::new(Reason::Store, problem.message));
        let problems = of_store.chain(problems).chain(self.certificate_problem());
        Ok((workers.len(), problems.collect()))
    }

    fn certificate_problem(&self) -> Option<Problem> {
        let why = self.config.certificate_problem.as_ref()?.current()?;
        Some(Problem::new(Reason::Certificate, why))
    }

    /// Returns the live workers, if the coordinator answers and has its link.
    async fn checked(&self) -> Result<Vec<WorkerInfo>, Problem> {
        let workers = tokio::time::timeout(PATIENCE, self.gate.probe().workers()).await;
        let workers = workers
            .map_err(|_| Problem::new(Reason::Coordinator, "coordinator does not answer"))?
            .map_err(|error| Problem::new(Reason::Coordinator, error.to_string()))?;
        let down = |detail: String| Err(Problem::new(Reason::Transport, detail));
        match self.gate.probe().link() {
            Link::Up => Ok(workers),
            Link::Down { reason } if reason.is_empty() => down("transport is not connected".into()),
            Link::Down { reason } => down(format!("transport is not connected: {reason}")),
            _ => down("transport is closed".into()),
        }
    }
}
