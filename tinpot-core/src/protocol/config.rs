//! The times and bounds of the protocol.

use std::time::Duration;

use crate::model::error::{Error, ErrorKind, Result};

/// The times and bounds that both sides agree on; the defaults suit a local network and people.
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
