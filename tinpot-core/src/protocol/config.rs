//! The times and bounds of the protocol.

use std::time::Duration;

use crate::model::error::{Error, ErrorKind, Result};

/// The times and bounds that both sides agree on. The defaults suit a local network and people.
///
/// ```
/// use std::time::Duration;
/// use tinpot_core::ProtocolConfig;
///
/// let config = ProtocolConfig::new().grace(Duration::from_secs(30)).prefetch(1);
/// assert!(config.check().is_ok());
/// assert!(config.queue_window(3).check().is_err());
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ProtocolConfig {
    /// How often a worker says that it lives; 5 s.
    pub beat_interval: Duration,
    /// How long after a heard beat a worker may go on with attempts that could be retried elsewhere; 60 s.
    pub worker_lease: Duration,
    /// How long after a beat the coordinator gives a silent worker up; 90 s. Its ratio to `worker_lease` is the difference of clock rates
    /// that is tolerated, the difference of the two is the pause that is.
    pub coordinator_lease: Duration,
    /// When an unanswered message is sent again; 1 s.
    pub resend_interval: Duration,
    /// From the request to end to the kill; 10 s.
    pub grace: Duration,
    /// How long a worker may keep an acceptance to itself, so that short attempts need none; 5 ms.
    pub accept_delay: Duration,
    /// At most so many attempts wait at a worker per slot, when the action is known to be short; 16.
    pub prefetch: u32,
    /// Attempts that wait at a worker should not wait longer than this; 10 ms.
    pub prefetch_horizon: Duration,
    /// The most executions that have not ended; further ones are refused as `Overloaded`. 10,000,000: a durable store holds them. Lower it
    /// where the store is memory.
    pub max_unfinished: usize,
    /// How many executions the coordinator keeps in memory of those that wait, per queue and action; the rest is in the store. 2,048.
    pub queue_window: usize,
    /// The most executions that may be nested by calls; 32. A deeper call is refused.
    pub max_depth: u32,
}

impl Default for ProtocolConfig {
    fn default() -> Self {
        Self {
            beat_interval: Duration::from_secs(5),
            worker_lease: Duration::from_secs(60),
            coordinator_lease: Duration::from_secs(90),
            resend_interval: Duration::from_secs(1),
            grace: Duration::from_secs(10),
            accept_delay: Duration::from_millis(5),
            prefetch: 16,
            prefetch_horizon: Duration::from_millis(10),
            max_unfinished: 10_000_000,
            queue_window: 2_048,
            max_depth: 32,
        }
    }
}

impl ProtocolConfig {
    /// Creates a configuration with the defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the interval between two heartbeats of a worker.
    #[must_use]
    pub fn beat_interval(mut self, beat_interval: Duration) -> Self {
        self.beat_interval = beat_interval;
        self
    }

    /// Sets the time for which a worker may run retryable attempts without hearing from the
    /// coordinator.
    #[must_use]
    pub fn worker_lease(mut self, worker_lease: Duration) -> Self {
        self.worker_lease = worker_lease;
        self
    }

    /// Sets the time after which the coordinator gives up a silent worker.
    #[must_use]
    pub fn coordinator_lease(mut self, coordinator_lease: Duration) -> Self {
        self.coordinator_lease = coordinator_lease;
        self
    }

    /// Sets the time after which an unanswered message is sent again.
    #[must_use]
    pub fn resend_interval(mut self, resend_interval: Duration) -> Self {
        self.resend_interval = resend_interval;
        self
    }

    /// Sets the grace period between the request to end and the kill.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Sets the time for which a worker may hold back an acceptance.
    #[must_use]
    pub fn accept_delay(mut self, accept_delay: Duration) -> Self {
        self.accept_delay = accept_delay;
        self
    }

    /// Sets the number of short attempts that may wait at a worker, per slot.
    #[must_use]
    pub fn prefetch(mut self, prefetch: u32) -> Self {
        self.prefetch = prefetch;
        self
    }

    /// Sets the time that an attempt should wait at a worker at most.
    #[must_use]
    pub fn prefetch_horizon(mut self, prefetch_horizon: Duration) -> Self {
        self.prefetch_horizon = prefetch_horizon;
        self
    }

    /// Sets the number of unfinished executions above which submissions are refused.
    #[must_use]
    pub fn max_unfinished(mut self, max_unfinished: usize) -> Self {
        self.max_unfinished = max_unfinished;
        self
    }

    /// Sets the number of queued executions in memory, per queue and action.
    #[must_use]
    pub fn queue_window(mut self, queue_window: usize) -> Self {
        self.queue_window = queue_window;
        self
    }

    /// Sets the depth to which executions may be nested by calls.
    #[must_use]
    pub fn max_depth(mut self, max_depth: u32) -> Self {
        self.max_depth = max_depth;
        self
    }

    /// Checks that the times fit each other.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`], naming the times that do not.
    pub fn check(&self) -> Result<()> {
        let invalid = |message: &str| Err(Error::new(ErrorKind::InvalidInput, message));
        if self.beat_interval.is_zero() || self.resend_interval.is_zero() {
            return invalid("beat_interval and resend_interval must be longer than nothing");
        }
        if self.worker_lease < self.beat_interval * 3 {
            return invalid(
                "worker_lease must be at least three beat intervals: a lost beat or two are normal",
            );
        }
        if self.coordinator_lease < self.worker_lease * 5 / 4 {
            return invalid(
                "coordinator_lease must be at least 1.25 times worker_lease: clocks differ",
            );
        }
        if self.max_unfinished == 0 {
            return invalid("max_unfinished must be at least 1");
        }
        if self.queue_window < 4 {
            return invalid("queue_window must be at least 4");
        }
        Ok(())
    }
}
