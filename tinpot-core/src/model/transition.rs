//! Transitions: the changes of execution records, with their conditions and effects.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::action::Action;
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::execution::{AttemptRecord, Execution, Standing};
use crate::model::fence::Fence;
use crate::model::id::{ExecutionId, WorkerId};
use crate::model::outcome::Outcome;
use crate::model::status::Status;
use crate::model::time::Timestamp;

/// The largest number of an execution: databases have signed numbers.
const NUMBER_MAX: u64 = i64::MAX as u64;

/// One change of an execution, or of the record of an action or a queue. Each depends on the
/// execution, on the fence if it names one, and on the status.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Transition {
    /// Records an action that is new or has changed, in place of the one with its name.
    Offer(Arc<Action>),
    /// Records that a queue is paused. Executions in it stay queued.
    Pause {
        /// The queue.
        queue: Arc<str>,
        /// The time at which it was paused.
        since: Timestamp,
    },
    /// Records that a queue is no longer paused.
    Resume {
        /// The queue.
        queue: Arc<str>,
    },
    /// Records a new execution with status `queued`. Its id, its number and its idempotency key must
    /// be new. An execution without a number (0) gets the one after the largest.
    Accept(Arc<Execution>),
    /// Clears `not_before` of a queued execution, because that time has come. Requires that no
    /// attempt lives.
    Ready {
        /// The execution.
        execution: ExecutionId,
    },
    /// Grants an attempt to a worker. Requires status `queued` without a live attempt. The status
    /// stays; `not_before` is cleared.
    Grant {
        /// The execution.
        execution: ExecutionId,
        /// The fence, larger than every earlier one.
        fence: Fence,
        /// The number of the attempt, from 1.
        attempt: u32,
        /// The worker that receives it.
        worker: WorkerId,
        /// The time after which the coordinator gives up an attempt on a silent worker.
        lease: Duration,
    },
    /// Records that the attempt runs: `queued` with this live attempt becomes `running`.
    Start {
        /// The execution.
        execution: ExecutionId,
        /// The live attempt.
        fence: Fence,
    },
    /// Records the request to cancel an execution that has not ended. Its status stays: another
    /// transition cancels it.
    CancelRequested {
        /// The execution.
        execution: ExecutionId,
        /// The name of the requester, if it is known.
        by: Option<Arc<str>>,
        /// If true, the attempt gets no grace period.
        force: bool,
    },
    /// Records a cancel: `queued` or `running` with a live attempt becomes `cancelling`.
    Cancelling {
        /// The execution.
        execution: ExecutionId,
    },
    /// Records that the live attempt did not end within its grace period, and was killed. Another
    /// transition ends it.
    Killed {
        /// The execution.
        execution: ExecutionId,
        /// The live attempt.
        fence: Fence,
    },
    /// Ends the live attempt and puts the execution back to `queued`. Requires status `queued` or
    /// `running`.
    Requeue {
        /// The execution.
        execution: ExecutionId,
        /// The live attempt.
        fence: Fence,
        /// The outcome of the attempt; `None` if it never ran.
        outcome: Option<Outcome>,
        /// The run time that the worker reported. It dates the start of an attempt without a
        /// recorded `Start`.
        ran: Option<Duration>,
        /// The length of its log in lines, if the worker reported it.
        log_end: Option<u64>,
        /// The earliest start of the next attempt.
        not_before: Option<Timestamp>,
    },
    /// Ends the execution, and erases its secrets if it [forgets](Execution::forgets_secrets) them.
    /// With a fence, that attempt must be live; without one, the execution must
    /// be `queued` without a live attempt.
    Finish {
        /// The execution.
        execution: ExecutionId,
        /// The live attempt, if there is one.
        fence: Option<Fence>,
        /// The outcome.
        outcome: Outcome,
        /// The run time of the attempt, as for `Requeue`.
        ran: Option<Duration>,
        /// The length of its log in lines, as for `Requeue`.
        log_end: Option<u64>,
    },
}

impl Transition {
    /// Returns the execution that it changes; `None` if it concerns an action or a queue.
    pub fn execution(&self) -> Option<ExecutionId> {
        match self {
            Transition::Offer(_) | Transition::Pause { .. } | Transition::Resume { .. } => None,
            Transition::Accept(execution) => Some(execution.id),
            Transition::Ready { execution }
            | Transition::Grant { execution, .. }
            | Transition::Start { execution, .. }
            | Transition::CancelRequested { execution, .. }
            | Transition::Cancelling { execution }
            | Transition::Killed { execution, .. }
            | Transition::Requeue { execution, .. }
            | Transition::Finish { execution, .. } => Some(*execution),
        }
    }

    /// Checks the transition against the standing of its execution (`None` if that is unknown), and
    /// returns the standing afterwards.
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
                Transition::Accept(new) if new.number > NUMBER_MAX => {
                    refuse("its number is too large")
                }
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
            Transition::CancelRequested { .. } => Ok((status, live)),
            Transition::Killed { fence, .. } => match live == Some(*fence) {
                true => Ok((status, live)),
                false => refuse("that attempt does not live"),
            },
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

    /// Applies the change to an execution record, dated `at`. Call [`check`](Self::check) first.
    /// `Accept` and the transitions of actions and queues change no existing execution.
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
                    killed: false,
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
            Transition::CancelRequested { by, force, .. } => {
                let request = execution.cancel_request.get_or_insert_default();
                request.by = request.by.take().or_else(|| by.clone());
                request.force |= *force;
            }
            Transition::Cancelling { .. } => execution.status = Status::Cancelling,
            Transition::Killed { .. } => {
                if let Some(attempt) = execution.attempts.last_mut() {
                    attempt.killed = true;
                }
            }
            Transition::Requeue { outcome, ran, log_end, not_before, .. } => {
                execution.status = Status::Queued;
                execution.not_before = *not_before;
                end_attempt(execution, at, outcome.clone(), *ran, *log_end);
            }
            Transition::Finish { fence, outcome, ran, log_end, .. } => {
                execution.status = outcome.status();
                execution.outcome = Some(outcome.clone());
                execution.finished_at = Some(at);
                if execution.has_forgotten_secrets() {
                    execution.parameters = execution.shown_parameters();
                }
                if fence.is_some() {
                    // The attempt that poisons an execution is a lost one.
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
