//! Pages of executions: what to read from a store, and in which order.

use std::sync::Arc;

use super::id::ExecutionId;
use super::status::Status;
use super::time::Timestamp;

/// Which executions without a live attempt to read, in which order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueueOrder {
    /// Those of one action in one queue that may start (no `not_before`): the lowest [rank](super::execution::Execution::rank) first, then the smallest id.
    Ready {
        /// The queue.
        queue: Arc<str>,
        /// The action.
        action: Arc<str>,
        /// Rank and id of the one before the page.
        after: Option<(i64, ExecutionId)>,
    },
    /// Those with a `not_before`, the earliest first, then the smallest id.
    Delayed {
        /// Time and id of the one before the page.
        after: Option<(Timestamp, ExecutionId)>,
    },
    /// Those whose `expires_at` is not after this, the earliest first.
    Expired {
        /// The time.
        at: Timestamp,
    },
}

/// One page of executions that wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueuePage {
    /// Which, and in which order.
    pub order: QueueOrder,
    /// At most so many.
    pub limit: usize,
    /// The page ends after the execution with which its parameters have more bytes than this.
    pub max_bytes: usize,
}

/// Which executions to list, newest first.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct ListOptions {
    /// Only those of these statuses; empty means all.
    pub statuses: Vec<Status>,
    /// Only those of this action.
    pub action: Option<String>,
    /// Only those of this queue.
    pub queue: Option<String>,
    /// Only those that this execution asked for.
    pub parent: Option<ExecutionId>,
    /// Only those that this submitter asked for.
    pub requested_by: Option<String>,
    /// Only those that were accepted then or later.
    pub since: Option<Timestamp>,
    /// Only those that were accepted then or earlier.
    pub until: Option<Timestamp>,
    /// Only the one that was submitted with this key; nothing else counts then.
    pub idempotency_key: Option<String>,
    /// Only those older than this one: the last of the page before.
    pub before: Option<ExecutionId>,
    /// At most so many; 0 means 50, and 1,000 is the most.
    pub limit: usize,
}

impl ListOptions {
    /// The most executions of a page.
    pub const LIMIT_MAX: usize = 1_000;

    /// Whether an execution is of one of the statuses.
    pub fn has_status(&self, status: Status) -> bool {
        self.statuses.is_empty() || self.statuses.contains(&status)
    }

    /// How many executions a page has at most.
    pub fn page_size(&self) -> usize {
        match self.limit {
            0 => 50,
            limit => limit.min(Self::LIMIT_MAX),
        }
    }
}
