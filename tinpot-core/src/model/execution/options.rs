//! The options of a submission.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::action::Action;
use crate::model::retry::Backoff;
use crate::model::time::Timestamp;

/// The options of a submission, beyond action and parameters. `None` stands for the action's default.
///
/// ```
/// use std::time::Duration;
/// use tinpot_core::SubmitOptions;
///
/// let options = SubmitOptions::new().priority(5).retries(3).timeout(Duration::from_secs(60));
/// assert_eq!(options.retries, Some(3));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct SubmitOptions {
    /// The caller's name for this submission, 1 to 255 characters. Submitting again with the same
    /// key, action and parameters returns the same execution for as long as it is retained; with
    /// another action or other parameters it is a `Conflict`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// The priority, 0 by default. Within a queue, higher runs first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<i32>,
    /// The time for which the execution waits at least.
    #[serde(
        with = "crate::model::serde_millis::optional_millis",
        rename = "delay_ms",
        skip_serializing_if = "Option::is_none"
    )]
    pub delay: Option<Duration>,
    /// The earliest time at which the execution may start; not together with `delay`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// The time after which the execution fails if it is still queued.
    #[serde(
        with = "crate::model::serde_millis::optional_millis",
        rename = "expires_in_ms",
        skip_serializing_if = "Option::is_none"
    )]
    pub expires_in: Option<Duration>,
    /// The longest duration of an attempt.
    #[serde(
        with = "crate::model::serde_millis::optional_millis",
        rename = "timeout_ms",
        skip_serializing_if = "Option::is_none"
    )]
    pub timeout: Option<Duration>,
    /// The number of retries after an attempt that failed, timed out or was lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retries: Option<u32>,
    /// The wait before a retry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backoff: Option<Backoff>,
    /// The number of attempts lost with their workers after which the execution fails as poisoned,
    /// even if retries are left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_lost_attempts: Option<u32>,
    /// The queue, in place of the action's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<String>,
    /// The name of the requester, for people: 1 to 255 characters, not checked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requested_by: Option<String>,
    /// The trace context of the submitter, in the form of the header `traceparent` of W3C Trace
    /// Context. Attempts get it, and actions get it as the variable `TRACEPARENT`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// The version of a deployed action to run, in place of the active one. It never travels: only
    /// the program that runs the coordinator can set it.
    #[serde(skip)]
    pub definition: Option<Arc<Action>>,
}

impl SubmitOptions {
    /// Creates options that leave everything to the action.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the idempotency key.
    #[must_use]
    pub fn idempotency_key(mut self, key: impl Into<String>) -> Self {
        self.idempotency_key = Some(key.into());
        self
    }

    /// Sets the priority.
    #[must_use]
    pub fn priority(mut self, priority: i32) -> Self {
        self.priority = Some(priority);
        self
    }

    /// Sets the time for which the execution waits at least.
    #[must_use]
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = Some(delay);
        self
    }

    /// Sets the earliest time at which the execution may start.
    #[must_use]
    pub fn not_before(mut self, time: Timestamp) -> Self {
        self.not_before = Some(time);
        self
    }

    /// Sets the time after which the execution fails if it is still queued.
    #[must_use]
    pub fn expires_in(mut self, expires_in: Duration) -> Self {
        self.expires_in = Some(expires_in);
        self
    }

    /// Limits the duration of an attempt.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sets the number of retries.
    #[must_use]
    pub fn retries(mut self, retries: u32) -> Self {
        self.retries = Some(retries);
        self
    }

    /// Sets the wait before a retry.
    #[must_use]
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = Some(backoff);
        self
    }

    /// Sets the number of lost attempts after which the execution fails as poisoned.
    #[must_use]
    pub fn max_lost_attempts(mut self, attempts: u32) -> Self {
        self.max_lost_attempts = Some(attempts);
        self
    }

    /// Sets the trace context of the submitter.
    #[must_use]
    pub fn traceparent(mut self, traceparent: impl Into<String>) -> Self {
        self.traceparent = Some(traceparent.into());
        self
    }

    /// Sets the queue, in place of the action's.
    #[must_use]
    pub fn queue(mut self, queue: impl Into<String>) -> Self {
        self.queue = Some(queue.into());
        self
    }

    /// Sets the version of a deployed action to run, in place of the active one.
    #[must_use]
    pub fn definition(mut self, definition: impl Into<Arc<Action>>) -> Self {
        self.definition = Some(definition.into());
        self
    }

    /// Sets the name of the requester.
    #[must_use]
    pub fn requested_by(mut self, who: impl Into<String>) -> Self {
        self.requested_by = Some(who.into());
        self
    }
}
