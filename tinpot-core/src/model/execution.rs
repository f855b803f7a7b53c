//! Executions: requests to run an action, and the record of their attempts.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::options::SubmitOptions;
pub(crate) use self::owner::ANONYMOUS;
pub use self::owner::Owner;
use crate::model::action::{DEFAULT_QUEUE, IMPORT_ACTION};
use crate::model::deployed::BundleRef;
use crate::model::digest::Digest;
use crate::model::fence::Fence;
use crate::model::id::{ExecutionId, WorkerId};
use crate::model::json::Json;
use crate::model::log::SpanId;
use crate::model::outcome::Outcome;
use crate::model::retry::RetryPolicy;
use crate::model::serde_millis::optional_millis;
use crate::model::status::Status;
use crate::model::time::Timestamp;
use crate::model::visible::{DEFAULT_TEAM, Target, action_key};

mod options;
mod owner;

/// The standing of an execution, as conditions see it: its status and its live attempt.
pub type Standing = (Status, Option<Fence>);

/// Exceeds the distance between any two priorities.
const CHILD_RANK: i64 = 1 << 33;

/// One request to run an action.
///
/// ```
/// # use tinpot_core::{Failure, FunctionExecutor, Status, local};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> tinpot_core::Result<()> {
/// # let executor = FunctionExecutor::builder()
/// #     .action("tick", |_, ()| async { Ok::<_, Failure>("tock") })
/// #     .build()?;
/// # let tinpot = local(executor).await?;
/// let handle = tinpot.submit("tick", ()).priority(5).requested_by("Ada").await?;
/// handle.outcome().await?;
///
/// let execution = handle.execution().await?;
/// assert_eq!((execution.status, execution.priority), (Status::Succeeded, 5));
/// assert_eq!(execution.requested_by.as_deref(), Some("Ada"));
/// let attempt = &execution.attempts[0];
/// assert_eq!((attempt.number, &attempt.outcome), (1, &execution.outcome));
/// # tinpot.shutdown(std::time::Duration::ZERO).await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Execution {
    /// The id.
    pub id: ExecutionId,
    /// The number, a short id for people: 1 for the first execution that the store accepted, and
    /// larger for each later one. It is never used again. 0 before the execution is accepted.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub number: u64,
    /// The number among the executions of its deployed action: 1 for the first one, without gaps as
    /// long as the store has the latest one. 0 if the action is not deployed, and before the execution
    /// is accepted.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub app_run: u64,
    /// The name of the action.
    pub action: Arc<str>,
    /// The queue in which it waits.
    pub queue: Arc<str>,
    /// The parameters, a JSON object.
    pub parameters: Json,
    /// JSON pointers to the secrets among the parameters. They are recorded at submission, so that
    /// no later schema reveals them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
    /// If true, the store has the secrets sealed under a key that is lost: sealed texts stand in
    /// their place, and the execution cannot run.
    #[serde(skip)]
    pub has_lost_secrets: bool,
    /// If true, the secrets are erased when the execution ends: `"***"` takes their place.
    #[serde(default, skip_serializing_if = "is_false")]
    pub forgets_secrets: bool,
    /// A digest of the secrets under a key that is not in the store, if they are erased and there is
    /// an idempotency key: a repetition of the submission is compared with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secrets_digest: Option<Arc<str>>,
    /// The uploads to which the parameters refer, each once. They are recorded at submission: the schema
    /// tells at which places a text refers to one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub uploads: Vec<Digest>,
    /// The bundle that every attempt runs, if the action was deployed. It is pinned when the
    /// execution is accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle: Option<Arc<BundleRef>>,
    /// The priority: higher runs first.
    pub priority: i32,
    /// The maximum run time of an attempt.
    #[serde(
        default,
        with = "optional_millis",
        rename = "timeout_ms",
        skip_serializing_if = "Option::is_none"
    )]
    pub timeout: Option<Duration>,
    /// The policy after an attempt that failed, timed out or was lost.
    pub retry: RetryPolicy,
    /// The earliest start of the next attempt, while the execution is queued.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// The deadline at which it fails if it is still queued without a live attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// The execution that called this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Parent>,
    /// The team that it belongs to; empty for the default team. [`team_name`](Self::team_name) has
    /// the name.
    #[serde(default, skip_serializing_if = "is_empty")]
    pub team: Arc<str>,
    /// The id of the caller who submitted it or, for a called execution, the one at the root of the
    /// calls. Empty if it is not known.
    #[serde(default, skip_serializing_if = "is_empty")]
    pub caller: Arc<str>,
    /// The key under which it was submitted, in the form of
    /// [`Owner::idempotency_key`]: a second submission with this key is this execution.
    /// [`given_idempotency_key`](Self::given_idempotency_key) has the submitter's text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<Arc<str>>,
    /// The name of the caller. If it is not known, the name of the requester, as given by the
    /// submitter; not verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested_by: Option<Arc<str>>,
    /// The name of the requester that a known caller has given; not verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_behalf_of: Option<Arc<str>>,
    /// The trace context that the submitter gave, in the form of the header `traceparent` of W3C Trace
    /// Context. A called execution has that of its parent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<Arc<str>>,
    /// The request to cancel it, if there was one. The execution may still have ended otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel_request: Option<CancelRequest>,
    /// The current status.
    pub status: Status,
    /// The outcome, once the status is terminal.
    pub outcome: Option<Outcome>,
    /// The attempts, oldest first.
    pub attempts: Vec<AttemptRecord>,
    /// The time of acceptance.
    pub accepted_at: Timestamp,
    /// The start of the first attempt.
    pub started_at: Option<Timestamp>,
    /// The end of the execution.
    pub finished_at: Option<Timestamp>,
}

impl Execution {
    /// Returns true if this is a run of an app, and not the import of one.
    pub fn is_run_of_app(&self) -> bool {
        self.bundle.is_some() && *self.action != *IMPORT_ACTION
    }

    /// Creates a queued execution in the default queue that is tried once.
    pub fn new(id: ExecutionId, action: impl Into<Arc<str>>, parameters: Json) -> Self {
        Self {
            id,
            number: 0,
            app_run: 0,
            action: action.into(),
            queue: DEFAULT_QUEUE.into(),
            parameters,
            secrets: Vec::new(),
            has_lost_secrets: false,
            forgets_secrets: false,
            secrets_digest: None,
            uploads: Vec::new(),
            bundle: None,
            priority: 0,
            timeout: None,
            retry: RetryPolicy::never(),
            not_before: None,
            expires_at: None,
            parent: None,
            team: "".into(),
            caller: "".into(),
            idempotency_key: None,
            requested_by: None,
            on_behalf_of: None,
            traceparent: None,
            cancel_request: None,
            status: Status::Queued,
            outcome: None,
            attempts: Vec::new(),
            accepted_at: Timestamp(0),
            started_at: None,
            finished_at: None,
        }
    }

    /// Returns the rank among queued executions: the lowest runs first.
    ///
    /// Children rank before all others, because their parents keep resources until they end. This
    /// holds for children that were only submitted, too, since a parent may wait for their results
    /// later. A priority below 0 states that no parent will.
    pub fn rank(&self) -> i64 {
        let urgent = self.parent.is_some_and(|parent| parent.waits || self.priority >= 0);
        -i64::from(self.priority) - if urgent { CHILD_RANK } else { 0 }
    }

    /// Returns true if a parent may wait for an execution of this rank.
    pub(crate) fn is_rank_of_waited_for(rank: i64) -> bool {
        rank < i64::from(i32::MIN)
    }

    /// Returns the priority of an execution of this rank.
    pub fn priority_of(rank: i64) -> i32 {
        let rank = if Self::is_rank_of_waited_for(rank) { rank + CHILD_RANK } else { rank };
        i32::try_from(-rank).unwrap_or_default()
    }

    /// Returns the parameters with `"***"` in place of each secret.
    pub fn shown_parameters(&self) -> Json {
        if self.secrets.is_empty() {
            return self.parameters.clone();
        }
        crate::model::json::mask::at_places(&self.parameters, &self.secrets)
    }

    /// Returns true if its secrets were erased when it ended. It cannot be run again then.
    pub fn has_forgotten_secrets(&self) -> bool {
        self.forgets_secrets && self.status.is_terminal() && !self.secrets.is_empty()
    }

    /// Returns the name of the team that it belongs to.
    pub fn team_name(&self) -> &str {
        if self.team.is_empty() { DEFAULT_TEAM } else { &self.team }
    }

    /// Returns the [key](crate::Action::key) of its action.
    pub fn action_key(&self) -> Arc<str> {
        if self.team.is_empty() {
            self.action.clone()
        } else {
            action_key(&self.team, &self.action)
        }
    }

    /// Returns the runtime that a worker needs to run it; `None` if a worker has to offer its
    /// action.
    pub fn runtime(&self) -> Option<&Arc<str>> {
        self.bundle.as_ref().map(|bundle| &bundle.runtime)
    }

    /// Returns the idempotency key as the submitter gave it. A call without a key of its own has
    /// none.
    pub fn given_idempotency_key(&self) -> Option<&str> {
        Owner::given_key(self.idempotency_key.as_deref()?)
    }

    /// Returns the target of rights that it is, given the group of its action if that is known.
    pub fn target<'a>(&'a self, group: Option<&'a str>) -> Target<'a> {
        let target = Target::team(self.team_name()).action(&self.action).queue(&self.queue);
        let target = target.group(group);
        if self.caller.is_empty() { target } else { target.owner(&self.caller) }
    }

    /// Returns the attempt that a worker holds.
    pub fn live_attempt(&self) -> Option<&AttemptRecord> {
        let last = self.attempts.last()?;
        (last.ended_at.is_none() && !self.status.is_terminal()).then_some(last)
    }

    /// Returns the status and the live attempt, on which transitions depend.
    pub fn standing(&self) -> Standing {
        (self.status, self.live_attempt().map(|attempt| attempt.fence))
    }

    /// Returns the number of lines in the log, which is the number of the last line.
    pub fn log_lines(&self) -> u64 {
        self.attempts.iter().map(|attempt| attempt.log_lines).sum()
    }

    /// Returns true if lines of an ended attempt are known to be missing still.
    pub fn log_is_open(&self) -> bool {
        self.attempts.iter().any(AttemptRecord::log_is_open)
    }

    /// Counts lines that were stored for the latest attempt with this number. Returns false if
    /// there is no such attempt.
    ///
    /// If `ends` is true, no further lines follow, even if more were announced.
    pub fn count_log_lines(&mut self, attempt: u32, lines: u64, ends: bool) -> bool {
        let of_number = |record: &&mut AttemptRecord| record.number == attempt;
        let Some(record) = self.attempts.iter_mut().rev().find(of_number) else { return false };
        record.log_lines += lines;
        if ends && record.log_end.is_some() {
            record.log_end = Some(record.log_lines);
        }
        true
    }

    /// Returns the number of attempts that ran or may have run.
    pub fn tries(&self) -> u32 {
        self.attempts.iter().filter(|attempt| attempt.outcome.is_some()).count() as u32
    }

    /// Returns the number of lost attempts.
    pub fn lost(&self) -> u32 {
        let lost = |attempt: &&AttemptRecord| attempt.outcome == Some(Outcome::Lost);
        self.attempts.iter().filter(lost).count() as u32
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_false(value: &bool) -> bool {
    !*value
}

fn is_empty(text: &Arc<str>) -> bool {
    text.is_empty()
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// The request to cancel an execution.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CancelRequest {
    /// The name of the first requester who gave one; not verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Arc<str>>,
    /// If true, the attempt got no grace period.
    #[serde(default)]
    pub force: bool,
}

/// The origin of a child: the execution and attempt that called it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Parent {
    /// The parent execution.
    pub execution: ExecutionId,
    /// The attempt that made the call.
    pub fence: Fence,
    /// The step that made the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub span: Option<SpanId>,
    /// The number of ancestors of the child.
    pub depth: u32,
    /// If true, the attempt waits for the child, which therefore ends with it.
    #[serde(default)]
    pub waits: bool,
}

impl Parent {
    /// Creates the origin of a child that the attempt with this fence called outside of any step:
    /// a child of depth 1, for which the attempt does not wait.
    pub fn new(execution: ExecutionId, fence: Fence) -> Self {
        Self { execution, fence, span: None, depth: 1, waits: false }
    }

    /// Sets the step that made the call.
    #[must_use]
    pub fn span(mut self, span: Option<SpanId>) -> Self {
        self.span = span;
        self
    }

    /// Sets the number of ancestors of the child.
    #[must_use]
    pub fn depth(mut self, depth: u32) -> Self {
        self.depth = depth;
        self
    }

    /// Sets whether the attempt waits for the child, which then ends with it.
    #[must_use]
    pub fn waits(mut self, waits: bool) -> Self {
        self.waits = waits;
        self
    }
}

/// The record of one attempt.
///
/// [`Execution`] has an example.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AttemptRecord {
    /// The number of the attempt, from 1.
    pub number: u32,
    /// The fence: the right to report.
    pub fence: Fence,
    /// The worker to which it was granted.
    pub worker: WorkerId,
    /// The time of the grant.
    pub granted_at: Timestamp,
    /// The start, if the worker has reported it.
    pub started_at: Option<Timestamp>,
    /// The end of the attempt.
    pub ended_at: Option<Timestamp>,
    /// The outcome. `None` while it lives, and if it was released without having run.
    pub outcome: Option<Outcome>,
    /// If true, it did not end within its grace period, and was killed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub killed: bool,
    /// The number of log lines that are stored.
    #[serde(default)]
    pub log_lines: u64,
    /// The length of the complete log in lines, once it is known. Equals `log_lines` once missing
    /// lines were given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_end: Option<u64>,
}

impl AttemptRecord {
    /// Returns true if lines of the log are known to be missing still.
    pub fn log_is_open(&self) -> bool {
        self.log_end.is_some_and(|end| self.log_lines < end)
    }
}
