//! The times and bounds of the protocol.

use std::time::Duration;

use crate::model::error::{Error, ErrorKind, Result};

/// The times and bounds of the protocol. The defaults suit a local network and interactive use.
///
/// Workers learn the heartbeat and the leases from their coordinator.
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
    /// The interval between two beats of a worker; 5 s.
    pub beat_interval: Duration,
    /// The time after an acknowledged beat for which a worker may continue retryable attempts; 60
    /// s.
    pub worker_lease: Duration,
    /// The time after a beat at which the coordinator gives up a silent worker; 90 s. Its ratio to
    /// `worker_lease` is the tolerated difference of clock rates; their difference is the tolerated
    /// pause.
    pub coordinator_lease: Duration,
    /// The time after which an unanswered message is resent; 1 s.
    pub resend_interval: Duration,
    /// The time between the request to end and the kill; 10 s.
    pub grace: Duration,
    /// The time for which a worker may hold back an acceptance, so that short attempts need none; 5
    /// ms.
    pub accept_delay: Duration,
    /// The maximum number of attempts that wait at a worker per slot, if the action is known to be
    /// short; 16.
    pub prefetch: u32,
    /// The longest time that an attempt should wait at a worker; 10 ms.
    pub prefetch_horizon: Duration,
    /// The maximum number of unfinished executions; further ones are refused as `Overloaded`.
    /// 10,000,000, for a durable store. Lower it for a store in memory.
    pub max_unfinished: usize,
    /// The maximum number of unfinished executions of each known caller; further ones are refused as
    /// `StorageFull`. 1,000,000.
    pub max_unfinished_of_caller: usize,
    /// The maximum size of the parameters of those executions together, in bytes. 4 GiB.
    pub max_unfinished_bytes_of_caller: u64,
    /// The number of waiting executions in memory, per queue and action; the others are in the
    /// store. 2,048.
    pub queue_window: usize,
    /// The maximum depth of nested calls; 32. A deeper call is refused.
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
            max_unfinished_of_caller: 1_000_000,
            max_unfinished_bytes_of_caller: 4 << 30,
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

    /// Sets the time after which an unanswered message is resent.
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

    /// Sets the longest time that an attempt should wait at a worker.
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

    /// Sets the number of unfinished executions of each known caller.
    #[must_use]
    pub fn max_unfinished_of_caller(mut self, executions: usize) -> Self {
        self.max_unfinished_of_caller = executions;
        self
    }

    /// Sets the size of the parameters of the unfinished executions of each known caller, in bytes.
    #[must_use]
    pub fn max_unfinished_bytes_of_caller(mut self, bytes: u64) -> Self {
        self.max_unfinished_bytes_of_caller = bytes;
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

    /// Checks that the times are consistent.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`], naming the times that are not.
    pub fn check(&self) -> Result<()> {
        let invalid = |message: &str| Err(Error::new(ErrorKind::InvalidInput, message));
        if self.beat_interval.is_zero() || self.resend_interval.is_zero() {
            return invalid("beat_interval and resend_interval must be greater than zero");
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
