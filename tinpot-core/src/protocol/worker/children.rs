//! The calls of attempts: sent until the coordinator answers, and the slots of the attempts that
//! wait.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{WorkerEffect, WorkerMachine};
use crate::model::fence::Fence;
use crate::protocol::call::{Call, CallId, CallState, Called};
use crate::protocol::message::Message;
use crate::protocol::tick::Tick;

/// The maximum number of resend intervals between two sends of a call. The wait doubles from one
/// interval up to this. An answer may be minutes away, so the repeats must stay cheap.
const INTERVALS_MAX: u32 = 10;

#[derive(Debug)]
struct OpenCall {
    call: Call,
    accepted: bool,
    send_at: Tick,
    interval: Duration,
}

/// The open calls of the attempts that run.
#[derive(Debug, Default)]
pub(super) struct Children {
    open: BTreeMap<CallId, OpenCall>,
    due: BTreeSet<(Tick, CallId)>,
    /// The number of the last call, and the number of awaited calls, of each attempt.
    attempts: BTreeMap<Fence, (u64, usize)>,
}

impl Children {
    /// Returns when a call must be resent.
    pub(super) fn wake_at(&self) -> Option<Tick> {
        self.due.first().map(|due| due.0)
    }

    fn of_attempt(&self, fence: Fence) -> Vec<CallId> {
        let (first, last) = (CallId { fence, number: 0 }, CallId { fence, number: u64::MAX });
        self.open.range(first..=last).map(|(id, _)| *id).collect()
    }
}

impl WorkerMachine {
    /// Sends a call of an attempt that runs here, and returns its identity. The number of the call
    /// is assigned here. `None` if the attempt does not run.
    ///
    /// The answers are [`WorkerEffect::CallUpdate`]s. An attempt that waits for a child frees its
    /// slot until the wait ends.
    pub fn call(
        &mut self,
        now: Tick,
        mut call: Call,
        out: &mut Vec<WorkerEffect>,
    ) -> Option<CallId> {
        let fence = call.fence;
        self.held.get(&fence).filter(|held| held.runs())?;
        let (number, waits) = self.children.attempts.entry(fence).or_default();
        *number += 1;
        call.number = *number;
        let parks = call.wait && *waits == 0;
        *waits += usize::from(call.wait);
        let id = call.id();
        let interval = self.config.resend_interval;
        let send_at = now + interval;
        out.push(WorkerEffect::Send(Message::Call(Box::new(call.clone()))));
        self.children.open.insert(id, OpenCall { call, accepted: false, send_at, interval });
        self.children.due.insert((send_at, id));
        if parks {
            self.park(now, fence, out);
        }
        Some(id)
    }

    /// Handles the coordinator's answer to a call.
    pub(super) fn call_answered(&mut self, called: Called, out: &mut Vec<WorkerEffect>) {
        let id = called.id();
        let Some(open) = self.children.open.get_mut(&id) else { return };
        if let CallState::Accepted { execution } | CallState::Ended { execution, .. } =
            &called.state
            && !std::mem::replace(&mut open.accepted, true)
        {
            let execution = *execution;
            out.push(WorkerEffect::CallUpdate(id, CallState::Accepted { execution }));
        }
        match called.state {
            CallState::Accepted { .. } if open.call.wait => return,
            CallState::Accepted { .. } => {}
            state => out.push(WorkerEffect::CallUpdate(id, state)),
        }
        self.close_call(id);
    }

    fn close_call(&mut self, id: CallId) {
        let Some(open) = self.children.open.remove(&id) else { return };
        self.children.due.remove(&(open.send_at, id));
        if let Some((_, waits)) = self.children.attempts.get_mut(&id.fence)
            && open.call.wait
        {
            *waits -= 1;
            if *waits == 0 {
                self.unpark(id.fence);
            }
        }
    }

    /// Drops the calls of an attempt that has ended.
    pub(super) fn forget_calls(&mut self, fence: Fence) {
        if self.children.attempts.remove(&fence).is_none() {
            return;
        }
        for id in self.children.of_attempt(fence) {
            self.close_call(id);
        }
    }

    /// Resends the calls whose answers are overdue.
    pub(super) fn resend_calls(&mut self, now: Tick, out: &mut Vec<WorkerEffect>) {
        let longest = self.config.resend_interval * INTERVALS_MAX;
        while let Some((at, id)) = self.children.due.first().copied()
            && at <= now
        {
            self.children.due.pop_first();
            let Some(open) = self.children.open.get_mut(&id) else { continue };
            open.interval = (open.interval * 2).min(longest);
            open.send_at = now + open.interval;
            self.children.due.insert((open.send_at, id));
            out.push(WorkerEffect::Send(Message::Call(Box::new(open.call.clone()))));
        }
    }
}
