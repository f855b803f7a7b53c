//! The worker's lease: until when what it holds is its own.

use std::time::Duration;

use super::{WorkerEffect, WorkerMachine};
use crate::model::fence::Fence;
use crate::model::stop::StopReason;
use crate::protocol::tick::Tick;

impl WorkerMachine {
    /// Extends the lease to what the echoed beat warrants, counted from when that beat was *sent*; `false` when the beat is too old or unknown.
    pub(super) fn renew(&mut self, seq_echo: u64) -> bool {
        let Some((_, sent_at)) = self.beats.iter().find(|(seq, _)| *seq == seq_echo) else {
            return false;
        };
        self.lease_until = self.lease_until.max(*sent_at + self.config.worker_lease);
        true
    }

    /// No fence of this epoch up to `number` comes again: nothing of them has to be remembered.
    pub(super) fn settle_up_to(&mut self, number: u64) {
        if number > self.settled {
            self.settled = number;
            self.seen = self.seen.split_off(&(number + 1));
        }
    }

    /// How long before the end of the lease an attempt has to be asked to end, so that it is dead when the lease is over.
    pub(super) fn stop_margin(&self) -> Duration {
        self.config.grace.min(self.config.worker_lease / 3) + self.config.worker_lease / 20
    }

    /// A grace period for those who have had one already.
    pub(super) fn kill_grace(&self) -> Duration {
        self.config.grace.min(Duration::from_secs(2))
    }

    /// When attempts that could be retried elsewhere have to be asked to end; `None` when there is none.
    pub(super) fn fence_at(&self) -> Option<Tick> {
        let exposed =
            self.held.values().any(|held| held.dispatch.retryable && !held.is_stopping_for_lease());
        exposed.then(|| self.lease_until - self.stop_margin())
    }

    /// Ends every attempt that could be retried elsewhere: the lease is about to be over.
    pub(super) fn fence_retryable(&mut self, now: Tick, out: &mut Vec<WorkerEffect>) {
        let grace = self.config.grace.min(self.config.worker_lease / 3);
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
    /// Whether the lease has nothing more to end here.
    fn is_stopping_for_lease(&self) -> bool {
        !matches!(self.phase, super::Phase::Waiting | super::Phase::Running { .. })
    }
}
