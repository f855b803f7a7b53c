//! The promises, held against what happens.
//!
//! Nothing here asks the machines what they think: it goes by what is committed, what is started, and what clients and workers are told.

mod calls;
mod lines;
mod machine;
mod starts;
mod transitions;

use std::collections::HashMap;

use self::calls::Ending;
use super::clock::Moment;
use super::store::SimulatedStore;
use super::world::{Checked, broken};
use crate::model::execution::{AttemptRecord, Execution, Parent};
use crate::model::fence::{Epoch, Fence};
use crate::model::id::{ExecutionId, WorkerId};
use crate::model::opened::Opened;
use crate::model::outcome::Outcome;
use crate::model::retry::RetryPolicy;
use crate::model::status::Status;
use crate::model::time::Timestamp;
use crate::model::transition::Transition;
use crate::protocol::{BeatAck, CallId, CoordinatorEffect, Message, Recorded, ResultAck};

/// What is known of one execution.
#[derive(Debug)]
struct Track {
    id: ExecutionId,
    parent: Option<Parent>,
    /// The executions that it called.
    children: Vec<ExecutionId>,
    /// A cancel of it was committed.
    cancelled: bool,
    retry: RetryPolicy,
    /// Its submission was refused.
    refused: bool,
    /// Its acceptance is committed, and its end is not.
    unfinished: bool,
    expires: Option<Timestamp>,
    /// When it was put into its queue last, by the wall clock of the coordinator.
    queued: Timestamp,
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
    /// The store was put back since it was submitted: its attempts may overlap.
    put_back: bool,
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
    /// The number of its last line, once its worker reported it.
    written: Option<u64>,
    /// Lines of it that are in the store.
    stored: u64,
    /// A line in the store says that the rest is missing.
    marked: bool,
}

/// Everything that is held against the promises.
#[derive(Debug, Default)]
pub(super) struct Checks {
    tracks: Vec<Track>,
    /// Those whose grant is committed.
    attempts: HashMap<Fence, Attempt>,
    /// The execution that each call has become, as callers were told.
    children_of_calls: HashMap<CallId, ExecutionId>,
    /// Children that have to end with their callers.
    ending: Vec<Ending>,
    last_grant: Option<Fence>,
    last_epoch: Option<Epoch>,
    unfinished: usize,
    /// When workers died.
    deaths: HashMap<WorkerId, Moment>,
    /// Clocks and pauses are such that attempts may not overlap.
    pub(super) in_bounds: bool,
    /// How deep calls may be nested.
    pub(super) max_depth: u32,
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
            id: execution.id,
            parent: execution.parent,
            children: Vec::new(),
            cancelled: false,
            retry: execution.retry,
            refused: false,
            unfinished: false,
            expires: execution.expires_at,
            queued: Timestamp(0),
            cancel_asked: false,
            cancel_told: false,
            tries: 0,
            lost: 0,
            starts: 0,
            alive: Vec::new(),
            put_back: false,
        });
    }

    /// When it was put into its queue last.
    pub(super) fn queued(&self, id: ExecutionId) -> Timestamp {
        self.tracks.get(place(id)).map_or(Timestamp(0), |track| track.queued)
    }

    /// I4: every life of a coordinator has a higher epoch than the one before.
    pub(super) fn opened(&mut self, opened: &Opened) -> Checked {
        let epoch = opened.epoch;
        self.forget_cascades();
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
            attempt.written = Some(report.last_log_seq);
        }
    }

    /// A worker gets this: I6, what it is told to forget has a committed end, and the one that it reported if it is told so.
    pub(super) fn told_worker(&mut self, message: &Message, store: &SimulatedStore) -> Checked {
        match message {
            Message::ResultAck(ResultAck { fence, recorded, .. }) => {
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
            Message::Called(called) => self.told_caller(called, store),
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
        let record = execution.and_then(|execution| record(execution, fence));
        // Of what was acknowledged before it was put back the store knows nothing.
        let Some(record) = record.filter(|_| fence.epoch.instance == store.instance()) else {
            return Ok(None);
        };
        if record.ended_at.is_none() {
            let what = format!("{fence} is to be forgotten, and its end is not in the store");
            return broken("I6", what);
        }
        Ok(Some(record.outcome.clone()))
    }
}

/// I11: what has come before changes nothing. It may at most show that its sender has room; what could go there may have expired.
pub(super) fn changes_nothing(effects: &[CoordinatorEffect]) -> Checked {
    for effect in effects {
        if let CoordinatorEffect::Persist(transition) = effect
            && !matches!(
                transition,
                Transition::Grant { .. }
                    | Transition::Offer(_)
                    | Transition::Finish { fence: None, .. }
            )
        {
            return broken("I11", format!("a repeated message makes {transition:?}"));
        }
    }
    Ok(())
}

impl Checks {
    /// The store was put back: what is not there any more never was, and may be done again.
    pub(super) fn put_back(&mut self, store: &SimulatedStore) {
        self.last_grant = None;
        self.children_of_calls.clear();
        self.ending.clear();
        self.unfinished = 0;
        for track in &mut self.tracks {
            track.put_back = true;
            track.cancel_told = false;
            track.unfinished = false;
            track.alive.clear();
            let Some(execution) = store.execution(track.id) else { continue };
            (track.tries, track.lost) = (execution.tries(), execution.lost());
            track.unfinished = !execution.status.is_terminal();
            self.unfinished += usize::from(track.unfinished);
            if track.unfinished && execution.live_attempt().is_none() {
                track.starts = 0;
            }
        }
        self.lines_put_back(store);
    }

    pub(super) fn died(&mut self, worker: &WorkerId, at: Moment) {
        self.deaths.entry(worker.clone()).or_insert(at);
    }

    /// When a worker died, if it did.
    pub(super) fn death(&self, worker: &WorkerId) -> Option<Moment> {
        self.deaths.get(worker).copied()
    }
}
