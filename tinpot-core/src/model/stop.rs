//! Requests to end an attempt.

use std::time::Duration;

/// Why an attempt is asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StopReason {
    /// Somebody cancelled the execution.
    Cancelled,
    /// It ran longer than it may.
    TimedOut,
    /// The worker lost its lease: another attempt may start elsewhere.
    Fenced,
    /// The worker shuts down.
    ShuttingDown,
}

/// The request to end an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop {
    /// Why.
    pub reason: StopReason,
    /// How long after the request it is killed; zero means at once.
    pub grace: Duration,
}
