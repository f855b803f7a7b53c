//! One attempt on the worker, and the ways in which it ends.

use std::time::Duration;

use super::{WorkerEffect, WorkerMachine};
use crate::model::fence::Fence;
use crate::model::stop::{Stop, StopReason};
use crate::protocol::message::{Dispatch, Message, Released, ReleasedHow};
use crate::protocol::tick::Tick;

/// The longest grace period of attempts that are dropped, or have outlived the patience of a drain.
pub(super) const KILL_GRACE: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(super) struct Held {
    pub(super) dispatch: Dispatch,
    pub(super) phase: Phase,
    /// The value of `running` in the last `accept`.
    pub(super) said: Option<bool>,
    /// If true, the attempt takes no slot because of its action.
    pub(super) unslotted: bool,
    /// The time at which the report was sent last. For a waiting attempt, the start of the wait.
    pub(super) sent_at: Tick,
}

#[derive(Debug)]
pub(super) enum Phase {
    /// The attempt waits for a slot.
    Waiting,
    Running {
        since: Tick,
    },
    /// The attempt was asked to end.
    Stopping {
        since: Tick,
        reason: StopReason,
        /// The end of the grace period.
        kill_at: Tick,
        /// If true, no report is wanted any more.
        dropped: bool,
    },
    /// The attempt has ended. The message is resent until it is acknowledged.
    Ended(Box<Message>),
}

impl Held {
    pub(super) fn new(dispatch: Dispatch, now: Tick) -> Self {
        Self { dispatch, phase: Phase::Waiting, said: None, unslotted: false, sent_at: now }
    }

    pub(super) fn report(&self) -> Option<&Message> {
        match &self.phase {
            Phase::Ended(report) => Some(report),
            _ => None,
        }
    }

    pub(super) fn runs(&self) -> bool {
        matches!(self.phase, Phase::Running { .. } | Phase::Stopping { .. })
    }

    /// Returns the value of `running` that an `accept` would have; `None` if the attempt has ended.
    pub(super) fn accepted_as(&self) -> Option<bool> {
        match self.phase {
            Phase::Waiting => Some(false),
            Phase::Ended(_) => None,
            _ => Some(true),
        }
    }
}

impl WorkerMachine {
    pub(super) fn cancelled(
        &mut self,
        now: Tick,
        fence: Fence,
        force: bool,
        out: &mut Vec<WorkerEffect>,
    ) {
        let longest = if force { Duration::ZERO } else { Duration::MAX };
        let Some(held) = self.held.get(&fence) else {
            if self.epoch == Some(fence.epoch) && fence.number > self.settled {
                self.seen.entry(fence.number).or_insert(None);
            }
            return self.not_here(fence, out);
        };
        match held.phase {
            Phase::Waiting => {
                self.waiting.retain(|waiting| *waiting != fence);
                self.release(now, fence, ReleasedHow::NeverRan, out);
            }
            Phase::Running { .. } | Phase::Stopping { .. } => {
                self.stop(now, fence, StopReason::Cancelled, longest, out);
            }
            Phase::Ended(_) => self.send_report(now, fence, out),
        }
    }

    /// Answers a probe for an attempt that an earlier epoch of the coordinator granted.
    pub(super) fn probed(&mut self, now: Tick, fence: Fence, out: &mut Vec<WorkerEffect>) {
        match self.held.get(&fence) {
            Some(held) if held.report().is_some() => self.send_report(now, fence, out),
            Some(_) => self.send_accept(fence, true, out),
            None => self.not_here(fence, out),
        }
    }

    /// Reports that an attempt is not held and never will be: the worker ignores dispatches of
    /// earlier epochs.
    ///
    /// A worker holds an attempt until its end is acknowledged, and the coordinator acknowledges
    /// only what is committed. So the coordinator can ask only for an attempt that never arrived,
    /// unless its store was restored to an earlier state. Then it is another instance.
    fn not_here(&mut self, fence: Fence, out: &mut Vec<WorkerEffect>) {
        let same_store = self.epoch.is_none_or(|epoch| epoch.instance == fence.epoch.instance);
        let how = if same_store { ReleasedHow::NeverRan } else { ReleasedHow::Unknown };
        out.push(WorkerEffect::Send(Message::Released(Released { fence, how })));
    }

    /// Asks an attempt to end, within the grace period that its coordinator sent or within
    /// `longest`, whichever is shorter. The first reason counts; no grace period replaces one.
    pub(super) fn stop(
        &mut self,
        now: Tick,
        fence: Fence,
        reason: StopReason,
        longest: Duration,
        out: &mut Vec<WorkerEffect>,
    ) {
        let Some(held) = self.held.get_mut(&fence) else { return };
        let grace = held.dispatch.grace.min(longest);
        match held.phase {
            Phase::Running { since } => {
                let kill_at = now + grace;
                held.phase = Phase::Stopping { since, reason, kill_at, dropped: false };
                out.push(WorkerEffect::Stop(fence, Stop { reason, grace }));
            }
            Phase::Stopping { reason, .. } if grace.is_zero() => {
                out.push(WorkerEffect::Stop(fence, Stop { reason, grace }));
            }
            _ => {}
        }
    }

    /// Drops an attempt that does not belong to this worker any more: it is killed and not
    /// reported.
    pub(super) fn dropped(&mut self, fence: Fence, out: &mut Vec<WorkerEffect>) {
        let Some(held) = self.held.get_mut(&fence) else { return };
        match held.phase {
            Phase::Running { since } | Phase::Stopping { since, .. } => {
                let reason = StopReason::Fenced;
                let grace = held.dispatch.grace.min(KILL_GRACE);
                // The coordinator has given it up already: no lease can end it earlier.
                held.phase = Phase::Stopping { since, reason, kill_at: Tick(0), dropped: true };
                out.push(WorkerEffect::Stop(fence, Stop { reason, grace }));
            }
            Phase::Waiting => {
                self.waiting.retain(|waiting| *waiting != fence);
                self.held.remove(&fence);
                out.push(WorkerEffect::Forget(fence));
            }
            // Its last lines may still be in flight; lane Logs reports when they are not wanted any
            // more.
            Phase::Ended(_) => {
                self.held.remove(&fence);
            }
        }
    }

    pub(super) fn acknowledged(&mut self, fence: Fence) {
        if self.held.get(&fence).is_some_and(|held| held.report().is_some()) {
            self.held.remove(&fence);
        }
    }
}
