//! The changes of executions, and the one place that says when they may be made and what they make.

use std::sync::Arc;
use std::time::Duration;

use crate::model::action::Action;
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::execution::{AttemptRecord, Execution, Standing};
use crate::model::fence::Fence;
use crate::model::id::{ExecutionId, WorkerId};
use crate::model::outcome::Outcome;
use crate::model::status::Status;
use crate::model::time::Timestamp;

/// One change of one execution (or of what is known of an action or a queue). Each is conditional: on the execution, on the fence where it names one,
/// and on the status.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Transition {
    /// An action is offered for the first time, or differently from before: remember it in place of what has its name.
    Offer(Arc<Action>),
    /// A queue is paused: remember it, and since when. Nothing else changes; what waits there waits.
    Pause {
        /// The queue.
        queue: Arc<str>,
        /// Since when.
        since: Timestamp,
    },
    /// A queue is not paused any more.
    Resume {
        /// The queue.
        queue: Arc<str>,
    },
    /// A new execution; its status is `queued`. The id must be new, and so must its idempotency key.
    Accept(Arc<Execution>),
    /// The time that a queued execution waited for has come: its `not_before` is cleared. Only without a live attempt.
    Ready {
        /// The execution.
        execution: ExecutionId,
    },
    /// An attempt is given to a worker. Only while `queued` without a live attempt; the status stays, `not_before` is cleared.
    Grant {
        /// The execution.
        execution: ExecutionId,
        /// The right to report, larger than every one before.
        fence: Fence,
        /// 1 for the first.
        attempt: u32,
        /// Who gets it.
        worker: WorkerId,
        /// How long the coordinator waits for a silent worker before it gives the attempt up.
        lease: Duration,
    },
    /// The worker says that the attempt runs. `queued` with that live attempt becomes `running`.
    Start {
        /// The execution.
        execution: ExecutionId,
        /// Its live attempt.
        fence: Fence,
    },
    /// A cancel was accepted. `queued` or `running` with a live attempt becomes `cancelling`.
    Cancelling {
        /// The execution.
        execution: ExecutionId,
    },
    /// The live attempt is over and the execution is not: back to `queued`. Only while `queued` or `running`.
    Requeue {
        /// The execution.
        execution: ExecutionId,
        /// Its live attempt.
        fence: Fence,
        /// How the attempt ended; `None` when it never ran.
        outcome: Option<Outcome>,
        /// How long the attempt ran, as far as its worker said so: an attempt that never was `Start`ed then counts as started so long ago.
        ran: Option<Duration>,
        /// How many lines its log has, as far as its worker said so.
        log_end: Option<u64>,
        /// The next attempt has to wait until then.
        not_before: Option<Timestamp>,
    },
    /// The end. With a fence: only while that attempt lives; without: only while `queued` without a live attempt.
    Finish {
        /// The execution.
        execution: ExecutionId,
        /// Its live attempt, or none.
        fence: Option<Fence>,
        /// How it ended.
        outcome: Outcome,
        /// How long the attempt ran, as for `Requeue`.
        ran: Option<Duration>,
        /// How many lines its log has, as for `Requeue`.
        log_end: Option<u64>,
    },
}

impl Transition {
    /// The execution that it changes; `None` when it is about an action or a queue.
    pub fn execution(&self) -> Option<ExecutionId> {
        match self {
            Transition::Offer(_) | Transition::Pause { .. } | Transition::Resume { .. } => None,
            Transition::Accept(execution) => Some(execution.id),
            Transition::Ready { execution }
            | Transition::Grant { execution, .. }
            | Transition::Start { execution, .. }
            | Transition::Cancelling { execution }
            | Transition::Requeue { execution, .. }
            | Transition::Finish { execution, .. } => Some(*execution),
        }
    }

    /// Whether it may be applied to an execution that stands so (`None`: unknown), and how it stands afterwards.
    ///
    /// # Errors
    /// `Conflict`, naming execution and condition.
    pub fn check(&self, now: Option<Standing>) -> Result<Standing> {
        let refuse = |why: &str| {
            let id = self.execution().unwrap_or(ExecutionId::from_u128(0));
            Err(Error::new(ErrorKind::Conflict, format!("execution {id}: {why}")))
        };
        let Some((status, live)) = now else {
            return match self {
                Transition::Accept(_) => Ok((Status::Queued, None)),
                _ => refuse("it is not known"),
            };
        };
        if status.is_terminal() {
            return refuse("it has ended");
        }
        match self {
            Transition::Offer(_) | Transition::Pause { .. } | Transition::Resume { .. } => {
                Ok((status, live))
            }
            Transition::Accept(_) => refuse("it exists already"),
            Transition::Ready { .. } => match (status, live) {
                (Status::Queued, None) => Ok((Status::Queued, None)),
                _ => refuse("it does not wait"),
            },
            Transition::Grant { fence, .. } => match (status, live) {
                (Status::Queued, None) => Ok((Status::Queued, Some(*fence))),
                _ => refuse("an attempt lives already"),
            },
            Transition::Start { fence, .. } => match (status, live == Some(*fence)) {
                (Status::Queued, true) => Ok((Status::Running, live)),
                _ => refuse("that attempt cannot start"),
            },
            Transition::Cancelling { .. } => match (status, live) {
                (Status::Queued | Status::Running, Some(_)) => Ok((Status::Cancelling, live)),
                _ => refuse("no attempt can be cancelled"),
            },
            Transition::Requeue { fence, .. } => match (status, live == Some(*fence)) {
                (Status::Queued | Status::Running, true) => Ok((Status::Queued, None)),
                _ => refuse("that attempt does not live"),
            },
            Transition::Finish { fence, outcome, .. } if *fence == live => {
                Ok((outcome.status(), None))
            }
            Transition::Finish { .. } => refuse("that attempt does not live"),
        }
    }

    /// Makes the change, at the time `at`. Only after [`check`](Self::check); `Accept` and what is about no execution change none that exists.
    pub fn apply(&self, execution: &mut Execution, at: Timestamp) {
        match self {
            Transition::Offer(_)
            | Transition::Pause { .. }
            | Transition::Resume { .. }
            | Transition::Accept(_) => {}
            Transition::Ready { .. } => execution.not_before = None,
            Transition::Grant { fence, attempt, worker, .. } => {
                execution.not_before = None;
                execution.attempts.push(AttemptRecord {
                    number: *attempt,
                    fence: *fence,
                    worker: worker.clone(),
                    granted_at: at,
                    started_at: None,
                    ended_at: None,
                    outcome: None,
                    log_lines: 0,
                    log_end: None,
                });
            }
            Transition::Start { .. } => {
                execution.status = Status::Running;
                execution.started_at.get_or_insert(at);
                if let Some(attempt) = execution.attempts.last_mut() {
                    attempt.started_at = Some(at);
                }
            }
            Transition::Cancelling { .. } => execution.status = Status::Cancelling,
            Transition::Requeue { outcome, ran, log_end, not_before, .. } => {
                execution.status = Status::Queued;
                execution.not_before = *not_before;
                end_attempt(execution, at, outcome.clone(), *ran, *log_end);
            }
            Transition::Finish { fence, outcome, ran, log_end, .. } => {
                execution.status = outcome.status();
                execution.outcome = Some(outcome.clone());
                execution.finished_at = Some(at);
                if fence.is_some() {
                    // What is poisoned was lost once more.
                    let of_attempt = if outcome.is_poisoned() { &Outcome::Lost } else { outcome };
                    end_attempt(execution, at, Some(of_attempt.clone()), *ran, *log_end);
                }
            }
        }
    }
}

fn end_attempt(
    execution: &mut Execution,
    at: Timestamp,
    outcome: Option<Outcome>,
    ran: Option<Duration>,
    log_end: Option<u64>,
) {
    let started_at = ran.map(|ran| Timestamp(at.0.saturating_sub(ran.as_micros() as u64)));
    if let Some(attempt) = execution.attempts.last_mut() {
        attempt.started_at = attempt.started_at.or(started_at);
        execution.started_at = execution.started_at.or(attempt.started_at);
        attempt.ended_at = Some(at);
        attempt.outcome = outcome;
        attempt.log_end = log_end;
    }
}
