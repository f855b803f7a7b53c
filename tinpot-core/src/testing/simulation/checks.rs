//! The promises, held against what happens.
//!
//! Nothing here asks the machines what they think: it goes by what is committed, what is started, and what clients and workers are told.

mod starts;
mod transitions;

use std::collections::HashMap;

use super::store::SimulatedStore;
use super::world::{Checked, World, broken};
use crate::execution::{AttemptRecord, Execution, Outcome, RetryPolicy, Status};
use crate::id::{ExecutionId, WorkerId};
use crate::protocol::{BeatAck, Epoch, Fence, Message, Recorded, ResultAck};
use crate::store::Opened;

/// What is known of one execution.
#[derive(Debug)]
struct Track {
    retry: RetryPolicy,
    /// Its submission was refused.
    refused: bool,
    /// Its acceptance is committed, and its end is not.
    unfinished: bool,
    /// A cancel was asked for.
    cancel_asked: bool,
    /// A client was told that it is cancelled, or is being cancelled.
    cancel_told: bool,
    /// Attempts that ended otherwise than by never having run, as committed.
    tries: u32,
    lost: u32,
    /// How often it was started.
    starts: u32,
    /// The attempts that are alive: they have been started and have not ended.
    alive: Vec<Fence>,
}

/// What is known of one attempt.
#[derive(Debug)]
struct Attempt {
    execution: ExecutionId,
    worker: WorkerId,
    number: u32,
    started: bool,
    /// What its worker reported, once it did.
    reported: Option<Outcome>,
}

/// Everything that is held against the promises.
#[derive(Debug, Default)]
pub(super) struct Checks {
    tracks: Vec<Track>,
    /// Those whose grant is committed.
    attempts: HashMap<Fence, Attempt>,
    last_grant: Option<Fence>,
    last_epoch: Option<Epoch>,
    unfinished: usize,
}

fn place(id: ExecutionId) -> usize {
    ((id.as_u128() >> 64) as usize).wrapping_sub(1)
}

fn record(execution: &Execution, fence: Fence) -> Option<&AttemptRecord> {
    execution.attempts.iter().rev().find(|attempt| attempt.fence == fence)
}

impl Checks {
    fn track(&mut self, id: ExecutionId) -> Checked<&mut Track> {
        match self.tracks.get_mut(place(id)) {
            Some(track) => Ok(track),
            None => broken("I7", format!("{id} was never submitted")),
        }
    }

    /// A client is about to submit it.
    pub(super) fn submitted(&mut self, execution: &Execution) {
        debug_assert_eq!(place(execution.id), self.tracks.len());
        self.tracks.push(Track {
            retry: execution.retry,
            refused: false,
            unfinished: false,
            cancel_asked: false,
            cancel_told: false,
            tries: 0,
            lost: 0,
            starts: 0,
            alive: Vec::new(),
        });
    }

    /// I4: every life of a coordinator has a higher epoch than the one before.
    pub(super) fn opened(&mut self, opened: &Opened) -> Checked {
        let epoch = opened.epoch;
        match self.last_epoch.replace(epoch) {
            Some(before) if before.instance == epoch.instance && before >= epoch => {
                broken("I4", format!("epoch {epoch} follows {before}"))
            }
            _ => Ok(()),
        }
    }

    /// I7: what a client is told to be accepted is in the store.
    pub(super) fn accepted(&mut self, id: ExecutionId, store: &SimulatedStore) -> Checked {
        match store.execution(id) {
            Some(_) => Ok(()),
            None => broken("I7", format!("{id} is acknowledged, and not in the store")),
        }
    }

    /// A client was told that it is not accepted.
    pub(super) fn refused(&mut self, id: ExecutionId) -> Checked {
        self.track(id)?.refused = true;
        Ok(())
    }

    pub(super) fn cancel_asked(&mut self, id: ExecutionId) -> Checked {
        self.track(id)?.cancel_asked = true;
        Ok(())
    }

    /// I9: a client was told that it is cancelled.
    pub(super) fn cancelled(&mut self, id: ExecutionId, store: &SimulatedStore) -> Checked {
        self.track(id)?.cancel_told = true;
        match store.execution(id) {
            Some(execution) if execution.status == Status::Cancelled => Ok(()),
            found => broken("I9", format!("{id} is told to be cancelled, the store has {found:?}")),
        }
    }

    /// I9: a client was told that its attempt is asked to end.
    pub(super) fn cancelling(&mut self, id: ExecutionId, store: &SimulatedStore) -> Checked {
        self.track(id)?.cancel_told = true;
        match store.execution(id).map(|execution| execution.status) {
            Some(Status::Queued | Status::Running) | None => {
                broken("I9", format!("{id} is told to be cancelling, the store does not know"))
            }
            Some(_) => Ok(()),
        }
    }

    /// A client was told that there is nothing to cancel.
    pub(super) fn nothing_to_cancel(&mut self, id: ExecutionId, store: &SimulatedStore) -> Checked {
        match store.execution(id) {
            Some(execution) if !execution.status.is_terminal() => {
                let status = execution.status;
                broken("cancel", format!("{id} cannot be cancelled, and is {status:?}"))
            }
            _ => Ok(()),
        }
    }

    /// A worker sends this.
    pub(super) fn reports(&mut self, message: &Message) {
        if let Message::Result(report) = message
            && let Some(attempt) = self.attempts.get_mut(&report.fence)
        {
            attempt.reported.get_or_insert_with(|| report.outcome.clone());
        }
    }

    /// A worker gets this: I6, what it is told to forget has a committed end, and the one that it reported if it is told so.
    pub(super) fn told_worker(&self, message: &Message, store: &SimulatedStore) -> Checked {
        match message {
            Message::ResultAck(ResultAck { fence, recorded }) => {
                let Some(outcome) = self.end_of(*fence, store)? else { return Ok(()) };
                let reported = self.attempts.get(fence).and_then(|a| a.reported.as_ref());
                match (recorded, reported) {
                    (Recorded::Recorded | Recorded::Duplicate, Some(reported))
                        if outcome.as_ref() != Some(reported) =>
                    {
                        let what = format!(
                            "{fence}: {reported:?} is acknowledged, the store has {outcome:?}"
                        );
                        broken("I6", what)
                    }
                    _ => Ok(()),
                }
            }
            Message::BeatAck(BeatAck { drop, .. }) => {
                drop.iter().try_for_each(|fence| self.end_of(*fence, store).map(|_| ()))
            }
            _ => Ok(()),
        }
    }

    /// How an attempt ended, as committed; `None` when it is not in the store (any more).
    fn end_of(&self, fence: Fence, store: &SimulatedStore) -> Checked<Option<Option<Outcome>>> {
        let Some(attempt) = self.attempts.get(&fence) else { return Ok(None) };
        let execution = store.execution(attempt.execution);
        let Some(record) = execution.and_then(|execution| record(execution, fence)) else {
            return Ok(None);
        };
        if record.ended_at.is_none() {
            let what = format!("{fence} is to be forgotten, and its end is not in the store");
            return broken("I6", what);
        }
        Ok(Some(record.outcome.clone()))
    }
}

impl World {
    pub(super) fn everything_has_ended(&self) -> bool {
        self.checks.unfinished == 0 && self.client.open == 0
    }

    /// What can be said only at the end.
    pub(super) fn last_checks(&mut self) -> Checked {
        for id in self.client.accepted.clone() {
            let Some(execution) = self.store.execution(id) else {
                return broken("I7", format!("{id} was accepted, and is gone"));
            };
            if !execution.status.is_terminal() {
                let what = format!("{} is {:?} long after", execution.id, execution.status);
                return broken("I12", what);
            }
        }
        if self.client.open > 0 || self.checks.unfinished > 0 {
            let (open, unfinished) = (self.client.open, self.checks.unfinished);
            let what = format!("{open} submissions and {unfinished} executions do not end");
            return broken("I12", what);
        }
        for execution in self.store.all() {
            *self.report.ended.entry(execution.status.as_str()).or_default() += 1;
        }
        self.machine_is_empty(0)
    }
}
