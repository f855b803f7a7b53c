//! Pages of executions: the selection to read from a store, and its order.

use std::sync::Arc;

use super::execution::Execution;
use super::id::ExecutionId;
use super::status::Status;
use super::time::Timestamp;
use super::visible::Visible;

/// The selection and order of executions without a live attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum QueueOrder {
    /// Executions of one action in one queue that may start (no `not_before`) and need the same
    /// runtime, if any: the lowest [rank](super::execution::Execution::rank) first, then the
    /// smallest id.
    Ready {
        /// The queue.
        queue: Arc<str>,
        /// The [key](crate::Action::key) of the action.
        action: Arc<str>,
        /// The runtime of the bundles to which they are pinned; `None` for those without a bundle.
        runtime: Option<Arc<str>>,
        /// The rank and id of the last execution before the page.
        after: Option<(i64, ExecutionId)>,
    },
    /// Executions with a `not_before`, the earliest first, then the smallest id.
    Delayed {
        /// The time and id of the last execution before the page.
        after: Option<(Timestamp, ExecutionId)>,
    },
    /// Executions whose `expires_at` is at or before this time, the earliest first.
    Expired {
        /// The time.
        at: Timestamp,
    },
}

/// One page of waiting executions.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueuePage {
    /// The selection and order of the page.
    pub order: QueueOrder,
    /// The page size.
    pub limit: usize,
    /// The limit for the size of the parameters, in bytes. The page ends after the execution that
    /// exceeds it.
    pub max_bytes: usize,
}

impl QueuePage {
    /// Creates a page of at most `limit` executions and about `max_bytes` of parameters.
    pub fn new(order: QueueOrder, limit: usize, max_bytes: usize) -> Self {
        Self { order, limit, max_bytes }
    }
}

/// The filters and the page size of a list of executions, newest first.
///
/// ```
/// use tinpot_core::{ListOptions, Status};
///
/// let failures = ListOptions::new().action("backup").statuses([Status::Failed, Status::Lost]);
/// assert_eq!(failures.limit(10).page_size(), 10);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct ListOptions {
    /// The statuses to list; empty means all.
    pub statuses: Vec<Status>,
    /// The action to list.
    pub action: Option<String>,
    /// The queue to list.
    pub queue: Option<String>,
    /// The [number](Execution::number) to find.
    pub number: Option<u64>,
    /// The parent whose children to list.
    pub parent: Option<ExecutionId>,
    /// The requester to list.
    pub requested_by: Option<String>,
    /// The earliest time of acceptance.
    pub since: Option<Timestamp>,
    /// The latest time of acceptance.
    pub until: Option<Timestamp>,
    /// The words to find, as [`Search`](crate::store::Search) reads them.
    pub search: Option<String>,
    /// The executions that a caller may read: only these are listed. Its parts name no groups.
    pub visible: Option<Visible>,
    /// The idempotency key to find, for a store in its stored form. No other filter applies then.
    pub idempotency_key: Option<String>,
    /// The last execution of the page before: only older ones are listed.
    pub before: Option<ExecutionId>,
    /// The page size. 0 means 50; values above 1,000 are capped.
    pub limit: usize,
}

impl ListOptions {
    /// The most executions of a page.
    pub const LIMIT_MAX: usize = 1_000;

    /// Creates options that list every execution.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lists only executions with one of these statuses.
    #[must_use]
    pub fn statuses(mut self, statuses: impl IntoIterator<Item = Status>) -> Self {
        self.statuses = statuses.into_iter().collect();
        self
    }

    /// Lists only executions of this action.
    #[must_use]
    pub fn action(mut self, action: impl Into<String>) -> Self {
        self.action = Some(action.into());
        self
    }

    /// Lists only executions in this queue.
    #[must_use]
    pub fn queue(mut self, queue: impl Into<String>) -> Self {
        self.queue = Some(queue.into());
        self
    }

    /// Lists only the execution with this [number](Execution::number), if it passes the other
    /// filters.
    #[must_use]
    pub fn number(mut self, number: u64) -> Self {
        self.number = Some(number);
        self
    }

    /// Lists only the children of this execution.
    #[must_use]
    pub fn parent(mut self, parent: ExecutionId) -> Self {
        self.parent = Some(parent);
        self
    }

    /// Lists only executions of this requester.
    #[must_use]
    pub fn requested_by(mut self, requested_by: impl Into<String>) -> Self {
        self.requested_by = Some(requested_by.into());
        self
    }

    /// Lists only executions that were accepted at this time or later.
    #[must_use]
    pub fn since(mut self, since: Timestamp) -> Self {
        self.since = Some(since);
        self
    }

    /// Lists only executions that were accepted at this time or earlier.
    #[must_use]
    pub fn until(mut self, until: Timestamp) -> Self {
        self.until = Some(until);
        self
    }

    /// Lists only executions that have these words in their action, id, parameters, error or
    /// requester, as [`Search`](crate::store::Search) reads them.
    #[must_use]
    pub fn search(mut self, search: impl Into<String>) -> Self {
        self.search = Some(search.into());
        self
    }

    /// Lists only executions that a caller may read.
    #[must_use]
    pub fn visible(mut self, visible: Visible) -> Self {
        self.visible = Some(visible);
        self
    }

    /// Lists only the execution with this idempotency key. No other filter applies then.
    #[must_use]
    pub fn idempotency_key(mut self, idempotency_key: impl Into<String>) -> Self {
        self.idempotency_key = Some(idempotency_key.into());
        self
    }

    /// Lists only executions older than this one, the last of the page before.
    #[must_use]
    pub fn before(mut self, before: ExecutionId) -> Self {
        self.before = Some(before);
        self
    }

    /// Sets the page size. 0 means 50; values above 1,000 are capped.
    #[must_use]
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// Returns true if the status is to be listed.
    pub fn has_status(&self, status: Status) -> bool {
        self.statuses.is_empty() || self.statuses.contains(&status)
    }

    /// Returns true if an execution passes all filters but the search, the position and the
    /// idempotency key.
    pub fn filters_match(&self, execution: &Execution) -> bool {
        let is = |wanted: &Option<String>, has: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| has == Some(wanted))
        };
        self.has_status(execution.status)
            && self.since.is_none_or(|since| execution.accepted_at >= since)
            && self.until.is_none_or(|until| execution.accepted_at <= until)
            && self.number.is_none_or(|number| execution.number == number)
            && is(&self.action, Some(&execution.action))
            && is(&self.queue, Some(&execution.queue))
            && is(&self.requested_by, execution.requested_by.as_deref())
            && self.parent.is_none_or(|parent| {
                execution.parent.is_some_and(|origin| origin.execution == parent)
            })
            && self.visible.as_ref().is_none_or(|visible| visible.shows(&execution.target(None)))
    }

    /// Returns the effective page size.
    pub fn page_size(&self) -> usize {
        match self.limit {
            0 => 50,
            limit => limit.min(Self::LIMIT_MAX),
        }
    }
}
