//! The drain of a worker: it accepts nothing new, and its attempts end.

use std::time::Duration;

use super::attempt::KILL_GRACE;
use super::{WorkerEffect, WorkerMachine};
use crate::model::fence::Fence;
use crate::model::stop::StopReason;
use crate::protocol::message::{Goodbye, Message, ReleasedHow};
use crate::protocol::tick::Tick;

/// The deadline while running attempts are not asked to end, or not again.
const NOT_BY_US: Tick = Tick(u64::MAX);

impl WorkerMachine {
    /// Drains the worker: waiting attempts are released at once. Running attempts may continue for
    /// `patience`, and are then asked to end.
    pub fn drain(&mut self, now: Tick, patience: Duration, out: &mut Vec<WorkerEffect>) {
        self.take_nothing_new(now, out);
        if self.draining == Some(NOT_BY_US) {
            self.draining = Some(now + patience);
        }
    }

    /// Handles the coordinator's request to drain. The host decides how long attempts may continue,
    /// and calls [`drain`](Self::drain).
    pub(super) fn asked_to_drain(&mut self, now: Tick, out: &mut Vec<WorkerEffect>) {
        if self.draining.is_none() {
            self.take_nothing_new(now, out);
            out.push(WorkerEffect::DrainRequested);
        } else if self.said_hello {
            // The coordinator repeats its request until the hello arrives.
            self.hello(now, out);
        }
    }

    fn take_nothing_new(&mut self, now: Tick, out: &mut Vec<WorkerEffect>) {
        if self.draining.is_some() {
            return;
        }
        self.draining = Some(NOT_BY_US);
        for fence in std::mem::take(&mut self.waiting) {
            self.release(now, fence, ReleasedHow::NeverRan, out);
        }
        if self.said_hello {
            self.hello(now, out);
        }
    }

    /// Asks the running attempts to end: the patience is over.
    pub(super) fn end_what_runs(&mut self, now: Tick, out: &mut Vec<WorkerEffect>) {
        if self.draining.is_some_and(|at| at <= now) {
            self.draining = Some(NOT_BY_US);
            let running: Vec<Fence> =
                self.held.iter().filter(|(_, held)| held.runs()).map(|(fence, _)| *fence).collect();
            for fence in running {
                self.stop(now, fence, StopReason::ShuttingDown, KILL_GRACE, out);
            }
        }
    }

    /// Returns the last message of a worker: nothing is alive here any more.
    pub fn goodbye(&self) -> Message {
        Message::Goodbye(Goodbye { held: self.held.keys().copied().collect() })
    }
}
