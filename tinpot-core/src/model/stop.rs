//! Requests to end an attempt.

use std::time::Duration;

/// The reason for which an attempt must end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StopReason {
    /// The execution was cancelled.
    Cancelled,
    /// The attempt exceeded its timeout.
    TimedOut,
    /// The lease of the worker expired, so another attempt may start elsewhere.
    Fenced,
    /// The worker is shutting down.
    ShuttingDown,
}

/// A request to end an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stop {
    /// The reason.
    pub reason: StopReason,
    /// The grace period, after which the attempt is killed. Zero means immediately.
    pub grace: Duration,
}

impl Stop {
    /// Creates a request to end within `grace`.
    pub fn new(reason: StopReason, grace: Duration) -> Self {
        Self { reason, grace }
    }
}
