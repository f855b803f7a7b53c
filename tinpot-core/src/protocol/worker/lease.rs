//! The worker's lease: the time for which it may keep its attempts.

use std::time::Duration;

use super::{WorkerEffect, WorkerMachine};
use crate::model::fence::{Epoch, Fence};
use crate::model::stop::StopReason;
use crate::protocol::tick::Tick;

/// The terms of the lease, from the coordinator of an epoch.
#[derive(Debug)]
pub(super) struct LeaseTerms {
    epoch: Epoch,
    lease: Duration,
    beat_interval: Duration,
}

impl WorkerMachine {
    /// Sets the lease and the beat interval that a coordinator of this epoch sent. A coordinator of
    /// an earlier version sends none: then this worker's own configuration applies.
    pub(super) fn set_lease(
        &mut self,
        epoch: Epoch,
        lease: Option<Duration>,
        beat_interval: Option<Duration>,
    ) {
        let lease = lease.unwrap_or(self.config.worker_lease);
        // A lease shorter than three beats would end between two of them.
        let beat_interval = beat_interval.unwrap_or(self.config.beat_interval).min(lease / 3);
        self.lease = Some(LeaseTerms { epoch, lease, beat_interval });
    }

    /// Returns the lease of the present coordinator, or the configured one if it has not sent any
    /// yet.
    pub(super) fn lease(&self) -> Duration {
        self.lease.as_ref().map_or(self.config.worker_lease, |terms| terms.lease)
    }

    pub(super) fn beat_interval(&self) -> Duration {
        self.lease.as_ref().map_or(self.config.beat_interval, |terms| terms.beat_interval)
    }

    /// Extends the lease from the moment at which the echoed beat was *sent*. Returns true if that
    /// beat is known and not too old.
    ///
    /// A coordinator that has not sent its lease yet extends nothing: its lease may be shorter than
    /// the one before.
    pub(super) fn renew(&mut self, seq_echo: u64) -> bool {
        let Some((_, sent_at)) = self.beats.iter().find(|(seq, _)| *seq == seq_echo) else {
            return false;
        };
        if let Some(terms) = self.lease.as_ref().filter(|terms| Some(terms.epoch) == self.epoch) {
            self.lease_until = self.lease_until.max(*sent_at + terms.lease);
        }
        true
    }

    /// Forgets the fences of this epoch up to `number`: they will not be dispatched again.
    pub(super) fn settle_up_to(&mut self, number: u64) {
        if number > self.settled {
            self.settled = number;
            self.seen = self.seen.split_off(&(number + 1));
        }
    }

    /// Returns the time before the end of the lease at which an attempt must be asked to end, so
    /// that it is dead by the end of the lease.
    pub(super) fn stop_margin(&self) -> Duration {
        self.config.grace.min(self.lease() / 3) + self.lease() / 20
    }

    /// Returns the grace period for attempts that have had one already.
    pub(super) fn kill_grace(&self) -> Duration {
        self.config.grace.min(Duration::from_secs(2))
    }

    /// Returns when retryable attempts must be asked to end; `None` if there are none.
    pub(super) fn fence_at(&self) -> Option<Tick> {
        let exposed =
            self.held.values().any(|held| held.dispatch.retryable && !held.is_stopping_for_lease());
        exposed.then(|| self.lease_until - self.stop_margin())
    }

    /// Ends every retryable attempt: the lease is about to end.
    pub(super) fn fence_retryable(&mut self, now: Tick, out: &mut Vec<WorkerEffect>) {
        let grace = self.config.grace.min(self.lease() / 3);
        let exposed = |held: &super::Held| held.dispatch.retryable && held.report().is_none();
        let fences: Vec<Fence> =
            self.held.iter().filter(|(_, held)| exposed(held)).map(|(fence, _)| *fence).collect();
        for fence in fences {
            if self.held.get(&fence).is_some_and(super::Held::runs) {
                self.stop(fence, StopReason::Fenced, grace, out);
            } else {
                self.waiting.retain(|waiting| *waiting != fence);
                self.release(now, fence, super::ReleasedHow::NeverRan, out);
            }
        }
    }
}

impl super::Held {
    /// Returns true if the lease has nothing more to end.
    fn is_stopping_for_lease(&self) -> bool {
        !matches!(self.phase, super::Phase::Waiting | super::Phase::Running { .. })
    }
}
