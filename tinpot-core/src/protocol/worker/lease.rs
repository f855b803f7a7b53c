//! The worker's lease: the time for which it may keep its attempts.

use std::time::Duration;

use super::attempt::{Held, Phase};
use super::{WorkerEffect, WorkerMachine};
use crate::model::fence::{Epoch, Fence};
use crate::model::stop::{Stop, StopReason};
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

    /// Returns when retryable attempts must be dead, if their executors need a while to kill them.
    fn kill_all_at(&self) -> Tick {
        self.lease_until - self.lease() / 20
    }

    /// Returns when an attempt with this grace period must be asked to end, so that it is dead by
    /// the end of the lease.
    pub(super) fn stop_at(&self, grace: Duration) -> Tick {
        self.kill_all_at() - grace.min(self.lease() / 3)
    }

    /// Returns when the first retryable attempt must be asked to end; `None` if there is none.
    pub(super) fn fence_at(&self) -> Option<Tick> {
        let kill_at = self.kill_all_at();
        let exposed = self.held.values().filter(|held| held.is_exposed(kill_at));
        exposed.map(|held| held.dispatch.grace).max().map(|grace| self.stop_at(grace))
    }

    /// Ends the retryable attempts that might otherwise outlive the lease.
    pub(super) fn fence_retryable(&mut self, now: Tick, out: &mut Vec<WorkerEffect>) {
        let kill_at = self.kill_all_at();
        let exposed = |held: &Held| held.is_exposed(kill_at);
        let due = |held: &Held| exposed(held) && self.stop_at(held.dispatch.grace) <= now;
        let fences: Vec<Fence> =
            self.held.iter().filter(|(_, held)| due(held)).map(|(fence, _)| *fence).collect();
        let longest = self.lease() / 3;
        for fence in fences {
            match self.held.get_mut(&fence).map(|held| &mut held.phase) {
                Some(Phase::Stopping { reason, kill_at, .. }) => {
                    // Its grace period began before the lease was about to end, and is too long now.
                    let left = Duration::from_micros(kill_at.0.saturating_sub(now.0));
                    let stop = Stop { reason: *reason, grace: left.min(longest) };
                    *kill_at = Tick(0);
                    out.push(WorkerEffect::Stop(fence, stop));
                }
                Some(Phase::Running { .. }) => {
                    self.stop(now, fence, StopReason::Fenced, longest, out);
                }
                _ => {
                    self.waiting.retain(|waiting| *waiting != fence);
                    self.release(now, fence, super::ReleasedHow::NeverRan, out);
                }
            }
        }
    }
}

impl Held {
    /// Returns true if another worker may run the execution once the lease is over, and the attempt
    /// might live longer than `kill_at`.
    fn is_exposed(&self, kill_at: Tick) -> bool {
        self.dispatch.retryable
            && match self.phase {
                Phase::Waiting | Phase::Running { .. } => true,
                Phase::Stopping { kill_at: killed, .. } => killed > kill_at,
                Phase::Ended(_) => false,
            }
    }
}
