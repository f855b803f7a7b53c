//! What a submission may ask for.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::retry::Backoff;
use crate::model::time::Timestamp;

/// What a caller may ask for beyond action and parameters. `None` means what the action says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct SubmitOptions {
    /// A name that the caller gives to this submission, 1 to 255 characters: submitting it again, with the same action and parameters,
    /// answers with the same execution for as long as that is in the history; with others it is a `Conflict`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// Higher runs first within a queue; 0 by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<i32>,
    /// How long it has to wait at least.
    #[serde(
        with = "crate::model::serde_millis::optional_millis",
        rename = "delay_ms",
        skip_serializing_if = "Option::is_none"
    )]
    pub delay: Option<Duration>,
    /// Until when it has to wait at least; not together with `delay`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// It fails when it still waits for a worker after that long.
    #[serde(
        with = "crate::model::serde_millis::optional_millis",
        rename = "expires_in_ms",
        skip_serializing_if = "Option::is_none"
    )]
    pub expires_in: Option<Duration>,
    /// How long an attempt may run.
    #[serde(
        with = "crate::model::serde_millis::optional_millis",
        rename = "timeout_ms",
        skip_serializing_if = "Option::is_none"
    )]
    pub timeout: Option<Duration>,
    /// How often it is tried again after an attempt that failed, timed out or was lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retries: Option<u32>,
    /// How long it waits before it is tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backoff: Option<Backoff>,
    /// It fails as poisoned when so many of its attempts were lost with their workers, even if retries are left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_lost_attempts: Option<u32>,
    /// Another queue than the action's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<String>,
    /// Who asks, for people: 1 to 255 characters, not checked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requested_by: Option<String>,
}

impl SubmitOptions {
    /// What the action says.
    pub fn new() -> Self {
        Self::default()
    }

    /// Names the submission.
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

    /// Lets it wait at least so long.
    #[must_use]
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = Some(delay);
        self
    }

    /// Lets it wait at least until then.
    #[must_use]
    pub fn not_before(mut self, time: Timestamp) -> Self {
        self.not_before = Some(time);
        self
    }

    /// Lets it fail if it still waits after that long.
    #[must_use]
    pub fn expires_in(mut self, expires_in: Duration) -> Self {
        self.expires_in = Some(expires_in);
        self
    }

    /// Bounds how long an attempt may run.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sets how often it is tried again.
    #[must_use]
    pub fn retries(mut self, retries: u32) -> Self {
        self.retries = Some(retries);
        self
    }

    /// Sets how long it waits before it is tried again.
    #[must_use]
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = Some(backoff);
        self
    }

    /// Sets after how many lost attempts it fails as poisoned.
    #[must_use]
    pub fn max_lost_attempts(mut self, attempts: u32) -> Self {
        self.max_lost_attempts = Some(attempts);
        self
    }

    /// Sends it to another queue than the action's.
    #[must_use]
    pub fn queue(mut self, queue: impl Into<String>) -> Self {
        self.queue = Some(queue.into());
        self
    }

    /// Says who asks.
    #[must_use]
    pub fn requested_by(mut self, who: impl Into<String>) -> Self {
        self.requested_by = Some(who.into());
        self
    }
}
