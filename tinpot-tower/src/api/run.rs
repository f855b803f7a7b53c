//! A run, as an answer has it.

use std::sync::Arc;

use serde::Serialize;
use serde_json::value::RawValue;
use tinpot_core::{AttemptRecord, Execution, Outcome, Result, Status};

use crate::tower::Tower;
use crate::wire::json;
use crate::wire::times::Time;

/// The status of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RunStatus {
    Running,
    Leased,
    Cancelling,
    Queued,
    Completed,
    Failed,
    Cancelled,
    Dead,
}

impl RunStatus {
    /// All of them, in the order of lists.
    pub(crate) const ALL: [RunStatus; 8] = [
        RunStatus::Running,
        RunStatus::Leased,
        RunStatus::Cancelling,
        RunStatus::Queued,
        RunStatus::Completed,
        RunStatus::Failed,
        RunStatus::Cancelled,
        RunStatus::Dead,
    ];

    pub(crate) fn of(execution: &Execution) -> Self {
        match execution.status {
            Status::Queued if execution.live_attempt().is_some() => RunStatus::Leased,
            Status::Queued => RunStatus::Queued,
            Status::Running => RunStatus::Running,
            Status::Cancelling => RunStatus::Cancelling,
            Status::Succeeded => RunStatus::Completed,
            Status::Cancelled => RunStatus::Cancelled,
            Status::Lost => RunStatus::Dead,
            _ => RunStatus::Failed,
        }
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            RunStatus::Running => "running",
            RunStatus::Leased => "leased",
            RunStatus::Cancelling => "cancelling",
            RunStatus::Queued => "queued",
            RunStatus::Completed => "completed",
            RunStatus::Failed => "failed",
            RunStatus::Cancelled => "cancelled",
            RunStatus::Dead => "dead",
        }
    }

    /// Returns the statuses of the executions among which those of this status are.
    pub(crate) fn statuses(self) -> &'static [Status] {
        match self {
            RunStatus::Running => &[Status::Running],
            RunStatus::Leased | RunStatus::Queued => &[Status::Queued],
            RunStatus::Cancelling => &[Status::Cancelling],
            RunStatus::Completed => &[Status::Succeeded],
            RunStatus::Failed => &[Status::Failed, Status::TimedOut],
            RunStatus::Cancelled => &[Status::Cancelled],
            RunStatus::Dead => &[Status::Lost],
        }
    }
}

#[derive(Serialize)]
pub(crate) struct RunJson {
    run_id: u64,
    app_id: u64,
    app_slug: Arc<str>,
    run_no: u64,
    version_no: u32,
    status: RunStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<Box<RawValue>>,
    priority: i32,
    max_retries: u32,
    retry_count: u32,
    cancel_requested: bool,
    queued_at: Time,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finished_at: Option<Time>,
    #[serde(flatten)]
    more: Option<MoreJson>,
}

/// Fields of a run that only Tinpot has. None of it is called `status` or `token`: scripts look for those.
#[derive(Serialize)]
struct MoreJson {
    execution: String,
    /// The exit code of the program of the last attempt, if it had one.
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_code: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    attempts: Vec<AttemptJson>,
}

#[derive(Serialize)]
struct AttemptJson {
    attempt_no: u32,
    worker: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_at: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'static str>,
}

impl AttemptJson {
    fn of(attempt: &AttemptRecord) -> Self {
        Self {
            attempt_no: attempt.number,
            worker: attempt.worker.to_string(),
            started_at: attempt.started_at.map(Time),
            ended_at: attempt.ended_at.map(Time),
            outcome: attempt.outcome.as_ref().map(|outcome| outcome.status().as_str()),
        }
    }
}

/// Returns the number of attempts that others followed, or are to follow.
fn retry_count(execution: &Execution) -> u32 {
    let tries = execution.tries();
    let last = execution.attempts.iter().rev().find_map(|attempt| attempt.outcome.as_ref());
    let is_over = execution.status.is_terminal() && last == execution.outcome.as_ref();
    if is_over { tries.saturating_sub(1) } else { tries }
}

/// Returns the words for an outcome that is an error.
fn error_of(outcome: &Outcome) -> Option<String> {
    match outcome {
        Outcome::Failed(failure) => Some(failure.message.clone()),
        Outcome::TimedOut => Some("timeout".to_owned()),
        Outcome::Lost => Some("the worker went silent, so the outcome is unknown".to_owned()),
        _ => None,
    }
}

/// Returns the exit code of a program that ended by itself.
fn exit_code_of(outcome: &Outcome) -> Option<i32> {
    match outcome {
        Outcome::Succeeded(_) => Some(0),
        Outcome::Failed(failure) => failure.exit_code,
        _ => None,
    }
}

impl Tower {
    /// Returns a run as lists have it.
    pub(crate) async fn run_json(&self, execution: &Execution) -> Result<RunJson> {
        let team = execution.team_name();
        let input = execution.shown_parameters();
        // Checked when it was submitted.
        let input = json::sorted(input.as_str()).ok().filter(|input| input.get() != "{}");
        Ok(RunJson {
            run_id: execution.number,
            app_id: self.app_id(team, &execution.action).await?,
            app_slug: execution.action.clone(),
            run_no: execution.app_run,
            version_no: execution.bundle.as_ref().map_or(0, |bundle| bundle.version),
            status: RunStatus::of(execution),
            input,
            priority: execution.priority,
            max_retries: execution.retry.retries,
            retry_count: retry_count(execution),
            cancel_requested: execution.cancel_request.is_some(),
            queued_at: Time(execution.accepted_at),
            started_at: execution.started_at.map(Time),
            finished_at: execution.finished_at.map(Time),
            more: None,
        })
    }

    /// Returns a run with all that is known of it.
    pub(crate) async fn whole_run_json(&self, execution: &Execution) -> Result<RunJson> {
        let more = MoreJson {
            execution: execution.id.to_string(),
            exit_code: execution.outcome.as_ref().and_then(exit_code_of),
            error: execution.outcome.as_ref().and_then(error_of),
            attempts: execution.attempts.iter().map(AttemptJson::of).collect(),
        };
        Ok(RunJson { more: Some(more), ..self.run_json(execution).await? })
    }
}
