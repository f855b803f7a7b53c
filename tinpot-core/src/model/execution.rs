//! Executions: requests to run an action, their attempts and their outcomes.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::options::SubmitOptions;
use crate::model::action::DEFAULT_QUEUE;
use crate::model::fence::Fence;
use crate::model::id::{ExecutionId, WorkerId};
use crate::model::json::Json;
use crate::model::log::SpanId;
use crate::model::outcome::Outcome;
use crate::model::retry::RetryPolicy;
use crate::model::serde_millis::optional_millis;
use crate::model::status::Status;
use crate::model::time::Timestamp;

mod options;

/// The standing of an execution, as conditions see it: its status and its live attempt.
pub type Standing = (Status, Option<Fence>);

/// More than any two priorities are apart.
const CHILD_RANK: i64 = 1 << 33;

/// One request to run an action.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Execution {
    /// Its id.
    pub id: ExecutionId,
    /// The name of the action.
    pub action: Arc<str>,
    /// The queue it waits in.
    pub queue: Arc<str>,
    /// The parameters, a JSON object.
    pub parameters: Json,
    /// Where the secrets among them are, as JSON pointers: decided when it was submitted, so that no later schema unmasks them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
    /// Higher runs first.
    pub priority: i32,
    /// How long an attempt may run.
    #[serde(
        default,
        with = "optional_millis",
        rename = "timeout_ms",
        skip_serializing_if = "Option::is_none"
    )]
    pub timeout: Option<Duration>,
    /// What happens after an attempt that failed, timed out or was lost.
    pub retry: RetryPolicy,
    /// While it is queued: it waits at least until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// It fails if it is queued without a live attempt then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// The execution that asked for this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Parent>,
    /// The name that its submitter gave to the submission.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<Arc<str>>,
    /// Who asked for it, as the submitter says; not checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested_by: Option<Arc<str>>,
    /// Where it stands.
    pub status: Status,
    /// How it ended, once the status is terminal.
    pub outcome: Option<Outcome>,
    /// Its attempts, oldest first.
    pub attempts: Vec<AttemptRecord>,
    /// When it was accepted.
    pub accepted_at: Timestamp,
    /// When its first attempt started.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

impl Execution {
    /// A new one that waits, in the default queue, and is tried once.
    pub fn new(id: ExecutionId, action: impl Into<Arc<str>>, parameters: Json) -> Self {
        Self {
            id,
            action: action.into(),
            queue: DEFAULT_QUEUE.into(),
            parameters,
            secrets: Vec::new(),
            priority: 0,
            timeout: None,
            retry: RetryPolicy::never(),
            not_before: None,
            expires_at: None,
            parent: None,
            idempotency_key: None,
            requested_by: None,
            status: Status::Queued,
            outcome: None,
            attempts: Vec::new(),
            accepted_at: Timestamp(0),
            started_at: None,
            finished_at: None,
        }
    }

    /// Its place among those that wait: the lowest runs first. Children come before all others, since whoever asked for them holds what it has
    /// until they have ended; that is so for those, too, that were only submitted, since their results may be waited for later. A
    /// priority below 0 says that nobody will.
    pub fn rank(&self) -> i64 {
        let urgent = self.parent.is_some_and(|parent| parent.waits || self.priority >= 0);
        -i64::from(self.priority) - if urgent { CHILD_RANK } else { 0 }
    }

    /// Whether an execution of that rank is one that another one may wait for.
    pub(crate) fn is_rank_of_waited_for(rank: i64) -> bool {
        rank < i64::from(i32::MIN)
    }

    /// The priority of an execution of that rank.
    pub fn priority_of(rank: i64) -> i32 {
        let rank = if Self::is_rank_of_waited_for(rank) { rank + CHILD_RANK } else { rank };
        i32::try_from(-rank).unwrap_or_default()
    }

    /// The parameters as they may be shown: `"***"` in place of each secret.
    pub fn shown_parameters(&self) -> Json {
        if self.secrets.is_empty() {
            return self.parameters.clone();
        }
        crate::model::json::mask::at_places(&self.parameters, &self.secrets)
    }

    /// The attempt that a worker holds.
    pub fn live_attempt(&self) -> Option<&AttemptRecord> {
        let last = self.attempts.last()?;
        (last.ended_at.is_none() && !self.status.is_terminal()).then_some(last)
    }

    /// Status and live attempt: what transitions depend on.
    pub fn standing(&self) -> Standing {
        (self.status, self.live_attempt().map(|attempt| attempt.fence))
    }

    /// How many lines its log has: the number of the last one.
    pub fn log_lines(&self) -> u64 {
        self.attempts.iter().map(|attempt| attempt.log_lines).sum()
    }

    /// Whether lines of an attempt that has ended are known to be on their way.
    pub fn log_is_open(&self) -> bool {
        self.attempts.iter().any(AttemptRecord::log_is_open)
    }

    /// Counts lines that were stored for the latest attempt with that number; `false` when there is none.
    ///
    /// `ends`: none will follow, whatever was announced.
    pub fn count_log_lines(&mut self, attempt: u32, lines: u64, ends: bool) -> bool {
        let of_number = |record: &&mut AttemptRecord| record.number == attempt;
        let Some(record) = self.attempts.iter_mut().rev().find(of_number) else { return false };
        record.log_lines += lines;
        if ends && record.log_end.is_some() {
            record.log_end = Some(record.log_lines);
        }
        true
    }

    /// Its attempts that ran, or may have.
    pub fn tries(&self) -> u32 {
        self.attempts.iter().filter(|attempt| attempt.outcome.is_some()).count() as u32
    }

    /// Those of its attempts that were lost.
    pub fn lost(&self) -> u32 {
        let lost = |attempt: &&AttemptRecord| attempt.outcome == Some(Outcome::Lost);
        self.attempts.iter().filter(lost).count() as u32
    }
}

/// Which execution asked for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    /// That execution.
    pub execution: ExecutionId,
    /// Its attempt that asked.
    pub fence: Fence,
    /// Which of its steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub span: Option<SpanId>,
    /// How many executions are above the child.
    pub depth: u32,
    /// The attempt waits for the child, which therefore ends with it.
    #[serde(default)]
    pub waits: bool,
}

/// One try at an execution.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AttemptRecord {
    /// 1 for the first.
    pub number: u32,
    /// The right to report.
    pub fence: Fence,
    /// Who was given it.
    pub worker: WorkerId,
    /// When it was given.
    pub granted_at: Timestamp,
    /// When the worker started it, as far as it said so.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// How it ended; `None` while it lives, and when it was given back without having run.
    pub outcome: Option<Outcome>,
    /// How many lines of its log are stored.
    #[serde(default)]
    pub log_lines: u64,
    /// How many its log has, once that is known; as many as are stored when the missing ones were given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_end: Option<u64>,
}

impl AttemptRecord {
    /// Whether lines of its log are known to be on their way.
    pub fn log_is_open(&self) -> bool {
        self.log_end.is_some_and(|end| self.log_lines < end)
    }
}
