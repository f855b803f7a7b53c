//! Runs: one at a time.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::Response;
use tinpot_core::{
    Action, Backoff, Deployed, ErrorKind, Execution, Json, ListOptions, RequestTrace, RetryOn,
    RetryPolicy, SubmitOptions, TraceContext,
};

use crate::caller::Member;
use crate::tower::Tower;
use crate::wire::body::{self, Fields};
use crate::wire::error::ApiError;
use crate::wire::json;
use crate::wire::numbers::run_id;

/// The header with the caller's name for a submission.
const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// The header with the trace context of a submission.
const TRACEPARENT: &str = "traceparent";
/// The records of one app that may have the same name as a run of another: none.
const ONE: usize = 1;

impl Member {
    /// Returns a run of an app that the caller may read.
    ///
    /// # Errors
    /// 400 for a text that is no id, 404.
    pub(crate) async fn run(&self, id: &str) -> Result<Arc<Execution>, ApiError> {
        let Some(number) = run_id(id) else {
            return Err(ApiError::invalid(format!(
                "run id must be an integer from 1 on (got {id:?})"
            )));
        };
        let options = ListOptions::new().number(number).limit(ONE);
        let found = self.scoped.executions(&options).await?.pop();
        // Executions of other actions are no runs.
        let run = found.filter(|execution| execution.bundle.is_some());
        run.ok_or_else(|| ApiError::not_found(format!("run {number} not found")))
    }
}

pub(crate) async fn show(
    tower: &Arc<Tower>,
    member: &Member,
    id: &str,
) -> Result<Response, ApiError> {
    let run = member.run(id).await?;
    Ok(json::answer(StatusCode::OK, &tower.whole_run_json(&run).await?))
}

pub(crate) async fn cancel(
    tower: &Arc<Tower>,
    member: &Member,
    id: &str,
) -> Result<Response, ApiError> {
    let run = member.run(id).await?;
    match member.scoped.cancel(run.id, false, None).await {
        // It has ended already, and stays as it is.
        Err(error) if error.kind() == ErrorKind::Conflict => {}
        cancelled => drop(cancelled?),
    }
    let run = member.scoped.execution(run.id).await?.execution;
    Ok(json::answer(StatusCode::OK, &tower.run_json(&run).await?))
}

/// The body of a new run.
#[derive(Debug)]
struct NewRun {
    input: Json,
    version: Option<i64>,
    priority: Option<i32>,
    max_retries: Option<u32>,
}

impl NewRun {
    fn of(fields: &Fields) -> Result<Self, ApiError> {
        let input = match fields.raw("input") {
            None => Json::empty_object(),
            Some(input) if !input.get().starts_with('{') => {
                return Err(ApiError::invalid("input must be an object"));
            }
            Some(input) => {
                let sorted = json::sorted(input.get());
                let sorted = sorted.map_err(|error| ApiError::invalid(error.to_string()))?;
                Json::parse(sorted.get())
                    .map_err(|error| ApiError::invalid(format!("input: {}", error.message())))?
            }
        };
        let within = |name: &str| -> Result<Option<i32>, ApiError> {
            let Some(number) = fields.integer(name)? else { return Ok(None) };
            i32::try_from(number).map(Some).map_err(|_| {
                let (least, most) = (i32::MIN, i32::MAX);
                ApiError::invalid(format!("{name} must be from {least} to {most} (got {number})"))
            })
        };
        let max_retries = within("max_retries")?.map(u32::try_from).transpose();
        let max_retries =
            max_retries.map_err(|_| ApiError::invalid("max_retries must be at least 0"))?;
        let version = fields.integer("version_no")?;
        Ok(Self { input, version, priority: within("priority")?, max_retries })
    }
}

pub(crate) async fn create(
    tower: &Arc<Tower>,
    member: &Member,
    slug: &str,
    request: Request,
) -> Result<Response, ApiError> {
    let app = tower.app(member, slug).await?;
    let key = request.headers().get(IDEMPOTENCY_KEY).map(|key| key.to_str().map(str::to_owned));
    let key = key.transpose().map_err(|_| ApiError::invalid("Idempotency-Key must be text"))?;
    // By the standard, a trace context that cannot be read is as good as none.
    let trace = request.headers().get(TRACEPARENT).and_then(|trace| trace.to_str().ok());
    let given = trace.and_then(|trace| trace.parse::<TraceContext>().ok());
    let trace = request.extensions().get::<RequestTrace>().cloned();
    let fields = body::optional_fields(request, tower.config.max_body_bytes).await?;
    let new = NewRun::of(&fields)?;
    let number = match (new.version, app.active) {
        (_, None) => {
            return Err(ApiError::bad("no_version", format!("app {slug:?} has no version yet")));
        }
        (None, Some(active)) => active,
        (Some(number), _) => u32::try_from(number)
            .ok()
            .filter(|number| *number > 0)
            .ok_or_else(|| ApiError::not_found(format!("app {slug:?} has no version {number}")))?,
    };
    if !app.enabled {
        return Err(ApiError::conflict("app_disabled", format!("app {slug:?} is disabled")));
    }
    let version = tower.apps.version(&app.team, &app.name, number).await?;
    let deployed = Deployed::new(version.runtime.as_str(), version.number, version.bundle);
    let mut action: Action = tower.apps.action(&version).await?.deployed(deployed);
    if let Some(retries) = new.max_retries {
        action.retry = after_losses(retries);
    }
    let mut options = SubmitOptions::new().definition(action);
    options.priority = new.priority;
    options.idempotency_key = key;
    let trace = trace.map_or(given, |trace| Some(trace.enter(given)));
    options.traceparent = trace.map(|trace| trace.to_string());
    let submitted = member.scoped.submit(slug, new.input, options).await;
    let handle = submitted.map_err(|error| match error.kind() {
        ErrorKind::InvalidParameters => {
            ApiError::invalid(format!("input does not match the schema: {}", error.message()))
        }
        _ => error.into(),
    })?;
    let run = handle.execution().await?;
    Ok(json::answer(StatusCode::CREATED, &tower.run_json(&run).await?))
}

/// Returns the policy of MiniTower: an attempt whose worker was lost is tried again at once, and a
/// failure is final.
pub(crate) fn after_losses(retries: u32) -> RetryPolicy {
    // One more than there can be: none of the losses ends it as poisoned.
    let most = retries.saturating_add(2);
    RetryPolicy::new(retries, Backoff::fixed(Duration::ZERO))
        .on(RetryOn::Lost)
        .max_lost_attempts(most)
}
