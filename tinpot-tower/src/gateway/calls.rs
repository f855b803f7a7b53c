//! The calls of a runner that are about one run.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use serde::Deserialize;
use tinpot_bundle::{ByteRange, Towerfile, Version};
use tinpot_core::protocol::{Dispatch, Tick};
use tinpot_core::{
    AttemptRecord, Error, ErrorKind, Event, Execution, Failure, FailureCode, Fence, ListOptions,
    Outcome, Status, Stream, Timestamp,
};

use super::Gateway;
use super::answers::{AttemptJson, LeaseJson, OkJson, lease_end};
use super::lines::{Line, LineNumbers, offset_after};
use super::link::Clock;
use super::peer::{Adopted, Answer, Call, completed};
use super::runners::Runner;
use crate::api::versions::entrypoint;
use crate::tower::Tower;
use crate::wire::body;
use crate::wire::error::ApiError;
use crate::wire::json;
use crate::wire::numbers::run_id;

/// The header with the token of a lease.
const LEASE_TOKEN: HeaderName = HeaderName::from_static("x-lease-token");
/// The bounds of one batch of lines.
const LINES: usize = 100;
const LINE_BYTES: usize = 8_192;
/// The longest body: 100 lines in which each byte is escaped.
const BODY_BYTES: usize = 6 * LINES * LINE_BYTES + 64 * 1024;
/// The longest wait until a start is recorded.
const RECORDING: Duration = Duration::from_secs(10);
/// The log text that is read at one time.
const PART_BYTES: usize = 256 * 1024;

/// An attempt whose lease token a request has.
pub(super) struct Found {
    execution: Arc<Execution>,
    place: usize,
}

impl Found {
    fn attempt(&self) -> &AttemptRecord {
        &self.execution.attempts[self.place]
    }

    fn fence(&self) -> Fence {
        self.attempt().fence
    }

    fn is_live(&self) -> bool {
        self.execution.live_attempt().is_some_and(|live| live.fence == self.fence())
    }
}

pub(super) fn gone() -> ApiError {
    let message = "the lease has ended: this attempt is over, or is another runner's";
    ApiError::new(StatusCode::GONE, "gone", message)
}

/// Finds the attempt that a request is about.
///
/// # Errors
/// 400 for a path without the id of a run and for a missing header, 410 for a token of no attempt.
pub(super) async fn find(
    tower: &Tower,
    gateway: &Gateway,
    runner: &Runner,
    id: &str,
    headers: &HeaderMap,
) -> Result<Found, ApiError> {
    let Some(number) = run_id(id) else {
        return Err(ApiError::invalid(format!("run id must be an integer from 1 on (got {id:?})")));
    };
    let token = headers.get(LEASE_TOKEN).and_then(|token| token.to_str().ok()).map(str::trim);
    let Some(token) = token.filter(|token| !token.is_empty()) else {
        return Err(ApiError::invalid("the header X-Lease-Token is missing"));
    };
    let options = ListOptions::new().number(number);
    let Some(execution) = tower.coordinator.executions(&options).await?.pop() else {
        return Err(gone());
    };
    let is_it = |attempt: &AttemptRecord| {
        attempt.worker == runner.worker && gateway.key.is_of(token, attempt.fence, &runner.worker)
    };
    let place = execution.attempts.iter().rposition(is_it).ok_or_else(gone)?;
    Ok(Found { execution, place })
}

/// Passes a call about a live attempt to the runner's peer.
async fn call(
    tower: &Tower,
    gateway: &Gateway,
    runner: &Runner,
    found: &Found,
    call: Call,
) -> Result<(Answer, Clock), ApiError> {
    let link = runner.link(&gateway.network, gateway.times).await?;
    let fence = found.fence();
    if !link.holds(fence).await? {
        // It began before this process.
        let numbers = numbers(tower, &found.execution, found.place).await?;
        let started = found.attempt().started_at.is_some();
        link.adopt(Adopted { fence, started, numbers })?;
    }
    Ok(link.call(call).await?)
}

/// Returns the numbers of the lines of an attempt that are stored.
async fn numbers(
    tower: &Tower,
    execution: &Execution,
    place: usize,
) -> Result<LineNumbers, ApiError> {
    let before: u64 = execution.attempts[..place].iter().map(|attempt| attempt.log_lines).sum();
    let end = before + execution.attempts[place].log_lines;
    let (mut after, mut offset) = (before, 0);
    while after < end {
        let chunks = tower.coordinator.logs(execution.id, after, PART_BYTES).await?;
        let Some(last) = chunks.last() else { break };
        after = last.last_seq();
        let of_attempt = chunks.iter().filter(|chunk| chunk.first_seq > before);
        offset = of_attempt.filter_map(|chunk| offset_after(chunk)).next_back().unwrap_or(offset);
    }
    Ok(LineNumbers::stored(end - before, offset))
}

/// Gives the runner a run, if there is one.
pub(super) async fn lease(
    tower: &Tower,
    gateway: &Gateway,
    runner: &Runner,
) -> Result<Response, ApiError> {
    let link = runner.link(&gateway.network, gateway.times).await?;
    match link.call(Call::Lease).await? {
        (Answer::Leased(dispatch, until), clock) => {
            runner.runs();
            let lease = leased(tower, gateway, runner, &dispatch, clock.time(until)).await?;
            Ok(json::answer(StatusCode::OK, &lease))
        }
        (Answer::Busy, _) => {
            let message = "this runner has an attempt that has not ended";
            Err(ApiError::conflict("conflict", message))
        }
        _ => {
            let mut response = StatusCode::NO_CONTENT.into_response();
            response.headers_mut().insert(header::CONTENT_TYPE, json::JSON);
            Ok(response)
        }
    }
}

async fn leased(
    tower: &Tower,
    gateway: &Gateway,
    runner: &Runner,
    dispatch: &Dispatch,
    until: Timestamp,
) -> Result<LeaseJson, ApiError> {
    let missing = || Error::new(ErrorKind::NotFound, "the run was removed");
    let execution = tower.coordinator.execution(dispatch.execution).await?.ok_or_else(missing)?;
    let (version, towerfile) = version(tower, &execution).await?;
    let timeout = dispatch.timeout.or(towerfile.timeout);
    let input = json::sorted(dispatch.parameters.as_str());
    let input = input.ok().filter(|input| input.get() != "{}");
    let number = execution.number;
    Ok(LeaseJson {
        run_id: number,
        run_no: execution.app_run,
        app_id: tower.app_id(execution.team_name(), &execution.action).await?,
        app_slug: execution.action.clone(),
        version_no: version.number,
        entrypoint: entrypoint(&towerfile),
        timeout_seconds: timeout.map(|timeout| timeout.as_secs().max(1)),
        input,
        attempt_id: super::answers::attempt_id(number, dispatch.attempt),
        attempt_no: dispatch.attempt,
        lease_token: gateway.key.token(dispatch.fence, &runner.worker),
        lease_expires_at: lease_end(until),
    })
}

/// Returns the version to which a run is pinned.
async fn version(tower: &Tower, execution: &Execution) -> Result<(Version, Towerfile), ApiError> {
    let Some(bundle) = &execution.bundle else { return Err(gone()) };
    let (team, app) = (execution.team_name(), &*execution.action);
    let version = tower.apps.version(team, app, bundle.version).await?;
    let towerfile = tower.apps.towerfile(&version).await?;
    Ok((version, towerfile))
}

/// Records that the program of a run starts.
pub(super) async fn start(
    tower: &Tower,
    gateway: &Gateway,
    runner: &Runner,
    found: Found,
) -> Result<Response, ApiError> {
    if !found.is_live() {
        return Err(gone());
    }
    let fence = found.fence();
    let answer = call(tower, gateway, runner, &found, Call::Start(fence)).await?;
    let (Answer::Goes { until, cancel }, clock) = answer else { return Err(gone()) };
    // The program starts once this is answered, so that has to be recorded first.
    let execution = recorded(tower, &found.execution, fence).await?;
    going(&execution, fence, cancel, until, clock)
}

/// Waits until the start of an attempt is recorded, or is seen not to be.
async fn recorded(
    tower: &Tower,
    execution: &Execution,
    fence: Fence,
) -> Result<Arc<Execution>, ApiError> {
    let handle = tower.coordinator.handle(execution.id).await?;
    // Without its lines.
    let mut events = handle.events(u64::MAX >> 1);
    let started = async {
        while let Some(event) = events.next().await {
            if !matches!(event, Event::Status(Status::Queued)) {
                break;
            }
        }
    };
    let in_time = tokio::time::timeout(RECORDING, started).await.is_ok();
    let execution = handle.execution().await?;
    let is_live = execution.live_attempt().is_some_and(|live| live.fence == fence);
    match (is_live, execution.status) {
        (true, Status::Running | Status::Cancelling) => Ok(execution),
        (true, _) if !in_time => {
            Err(ApiError::unavailable("the start cannot be recorded now: try again"))
        }
        _ => Err(gone()),
    }
}

/// Answers with the state of an attempt.
fn going(
    execution: &Execution,
    fence: Fence,
    cancel: bool,
    until: Tick,
    clock: Clock,
) -> Result<Response, ApiError> {
    let Some(live) = execution.live_attempt().filter(|live| live.fence == fence) else {
        return Err(gone());
    };
    let cancel = cancel || execution.status == Status::Cancelling;
    let until = clock.time(until);
    Ok(json::answer(StatusCode::OK, &AttemptJson::of(execution, live, cancel, until)))
}

/// Renews a lease.
pub(super) async fn heartbeat(
    tower: &Tower,
    gateway: &Gateway,
    runner: &Runner,
    found: Found,
) -> Result<Response, ApiError> {
    if !found.is_live() {
        return Err(gone());
    }
    let fence = found.fence();
    match call(tower, gateway, runner, &found, Call::Heartbeat(fence)).await? {
        (Answer::Goes { until, cancel }, clock) => {
            going(&found.execution, fence, cancel, until, clock)
        }
        _ => Err(gone()),
    }
}

#[derive(Deserialize)]
struct LineIn {
    seq: i64,
    stream: StreamIn,
    line: String,
    #[serde(default)]
    logged_at: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum StreamIn {
    Stdout,
    Stderr,
}

impl LineIn {
    /// Returns the line; `None` for a number that no reader would ask for.
    fn line(self, now: Timestamp) -> Option<Line> {
        let stream = match self.stream {
            StreamIn::Stdout => Stream::Stdout,
            StreamIn::Stderr => Stream::Stderr,
        };
        let time = self.logged_at.and_then(|text| text.parse::<jiff::Timestamp>().ok());
        let time = time.and_then(|time| u64::try_from(time.as_microsecond()).ok());
        let seq = u64::try_from(self.seq).ok().filter(|seq| *seq > 0)?;
        Some(Line { seq, stream, text: self.line, time: time.map_or(now, Timestamp) })
    }
}

/// Stores lines.
pub(super) async fn logs(
    tower: &Tower,
    gateway: &Gateway,
    runner: &Runner,
    found: Found,
    request: Request,
) -> Result<Response, ApiError> {
    if !found.is_live() {
        return Err(gone());
    }
    let fields = body::fields(request, BODY_BYTES).await?;
    let lines: Vec<LineIn> = match fields.raw("logs") {
        None => Vec::new(),
        Some(raw) => serde_json::from_str(raw.get())
            .map_err(|error| ApiError::invalid(format!("logs: {error}")))?,
    };
    if lines.len() > LINES {
        let message = format!("logs must have at most {LINES} lines (got {})", lines.len());
        return Err(ApiError::invalid(message));
    }
    if let Some(long) = lines.iter().find(|line| line.line.len() > LINE_BYTES) {
        let (seq, bytes) = (long.seq, long.line.len());
        let message = format!("line {seq} must have at most {LINE_BYTES} bytes (got {bytes})");
        return Err(ApiError::invalid(message));
    }
    let now = Timestamp::now();
    let lines = lines.into_iter().filter_map(|line| line.line(now)).collect();
    match call(tower, gateway, runner, &found, Call::Logs(found.fence(), lines)).await?.0 {
        Answer::Done => Ok(json::answer(StatusCode::OK, &OkJson::OK)),
        Answer::Full => Err(ApiError::unavailable("too many lines of this run wait: try again")),
        _ => Err(gone()),
    }
}

/// The end of a run, as a runner reports it.
struct End {
    status: EndStatus,
    outcome: Outcome,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum EndStatus {
    Completed,
    Failed,
    Cancelled,
}

async fn end(request: Request) -> Result<End, ApiError> {
    let fields = body::fields(request, BODY_BYTES).await?;
    let status = fields.text("status")?.unwrap_or_default();
    let exit_code = fields.integer("exit_code")?;
    let message = fields.text("error_message")?.unwrap_or_default();
    let (status, outcome) = match status.as_str() {
        "completed" => (EndStatus::Completed, completed()),
        "cancelled" => (EndStatus::Cancelled, Outcome::Cancelled),
        "failed" => (EndStatus::Failed, failed(exit_code, message)),
        _ => {
            return Err(ApiError::invalid(format!(
                "status must be completed, failed or cancelled (got {status:?})"
            )));
        }
    };
    Ok(End { status, outcome })
}

/// Returns the outcome of a run that a runner calls failed.
pub(crate) fn failed(exit_code: Option<i64>, message: String) -> Outcome {
    match exit_code {
        None if message == "timeout" => Outcome::TimedOut,
        None => Outcome::Failed(Failure::new(message).kind("SetupFailed")),
        // How Go counts a program that a signal has killed.
        Some(code) if code < 0 => {
            Outcome::Failed(Failure::new(message).code(FailureCode::Crashed).kind("Signal"))
        }
        Some(code) => {
            let message = if message.is_empty() { format!("exit status {code}") } else { message };
            let failure = Failure::new(message).kind("Exit");
            Outcome::Failed(
                i32::try_from(code).map_or(failure.clone(), |code| failure.exit_code(code)),
            )
        }
    }
}

/// Returns true if an attempt has ended as a runner says.
fn is_same(status: EndStatus, attempt: &AttemptRecord) -> bool {
    matches!(
        (status, &attempt.outcome),
        (EndStatus::Completed, Some(Outcome::Succeeded(_)))
            | (EndStatus::Failed, Some(Outcome::Failed(_) | Outcome::TimedOut))
            | (EndStatus::Cancelled, Some(Outcome::Cancelled))
    )
}

/// Records the end of an attempt. What is recorded already is answered in the same way.
pub(super) async fn result(
    tower: &Tower,
    gateway: &Gateway,
    runner: &Runner,
    found: Found,
    request: Request,
) -> Result<Response, ApiError> {
    if !found.is_live() && found.attempt().outcome.is_none() {
        return Err(gone());
    }
    let End { status, outcome } = end(request).await?;
    if !found.is_live() {
        return match is_same(status, found.attempt()) {
            true => Ok(json::answer(StatusCode::OK, &OkJson::OK)),
            false => Err(gone()),
        };
    }
    let report = Call::Result(found.fence(), outcome);
    match call(tower, gateway, runner, &found, report).await?.0 {
        Answer::Done => Ok(json::answer(StatusCode::OK, &OkJson::OK)),
        _ => Err(gone()),
    }
}

/// Answers with the archive of a run.
pub(super) async fn artifact(tower: &Tower, found: Found) -> Result<Response, ApiError> {
    if !found.is_live() {
        return Err(gone());
    }
    let (version, towerfile) = version(tower, &found.execution).await?;
    let digest = version.artifact.digest;
    let team = found.execution.team_name();
    let blob = tower.apps.blob(team, &digest, ByteRange::ALL).await?;
    let missing = || Error::new(ErrorKind::Malformed, "the archive of a version is gone");
    let blob = blob.ok_or_else(missing)?;
    let mut response = Response::new(Body::from_stream(blob.body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/gzip"));
    let mut set = |name: &'static str, value: String| {
        // What no header can carry, the runner reads in the Towerfile.
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    };
    set("x-artifact-sha256", digest.to_string());
    set("x-entrypoint", entrypoint(&towerfile));
    let timeout = found.execution.timeout.or(towerfile.timeout);
    if let Some(timeout) = timeout {
        set("x-timeout-seconds", timeout.as_secs().max(1).to_string());
    }
    if !towerfile.import_paths.is_empty() {
        set("x-import-paths", serde_json::to_string(&towerfile.import_paths).unwrap_or_default());
    }
    Ok(response)
}
