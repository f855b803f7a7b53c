//! The invariants, checked against the events of a history.
//!
//! No check asks the state machines. Checks see only commits, starts, and the messages that clients
//! and workers receive.

mod calls;
mod lines;
mod machine;
mod starts;
mod transitions;

use std::collections::HashMap;
use std::sync::Arc;

use self::calls::Ending;
use super::clock::Moment;
use super::plain::PlainWorkers;
use super::store::SimulatedStore;
use super::world::{Checked, broken};
use crate::model::deployed::BundleRef;
use crate::model::execution::{AttemptRecord, Execution, Parent};
use crate::model::fence::{Epoch, Fence};
use crate::model::id::{ExecutionId, WorkerId};
use crate::model::opened::Opened;
use crate::model::outcome::Outcome;
use crate::model::retry::RetryPolicy;
use crate::model::status::Status;
use crate::model::time::Timestamp;
use crate::model::transition::Transition;
use crate::protocol::{
    BeatAck, CallId, CoordinatorEffect, Message, Recorded, ResultAck, SecretState,
};

/// The known facts about one execution.
#[derive(Debug)]
struct Track {
    id: ExecutionId,
    parent: Option<Parent>,
    /// The executions that it called.
    children: Vec<ExecutionId>,
    /// True if a cancel of it was committed.
    cancelled: bool,
    retry: RetryPolicy,
    /// The bundle to which it is pinned.
    bundle: Option<Arc<BundleRef>>,
    /// True if its submission was refused.
    refused: bool,
    /// True if its acceptance is committed and its end is not.
    unfinished: bool,
    expires: Option<Timestamp>,
    /// The time when it last entered its queue, by the wall clock of the coordinator.
    queued: Timestamp,
    /// True if a client asked to cancel it.
    cancel_asked: bool,
    /// True if a coordinator confirmed a cancel of it to a client.
    cancel_told: bool,
    /// The number of committed attempts that ended, without those that never ran.
    tries: u32,
    lost: u32,
    /// The number of times that it was started.
    starts: u32,
    /// The attempts that were started and have not ended.
    alive: Vec<Fence>,
    /// True if the store was restored since the submission: attempts may then overlap.
    put_back: bool,
}

/// The known facts about one attempt.
#[derive(Debug)]
struct Attempt {
    execution: ExecutionId,
    worker: WorkerId,
    number: u32,
    started: bool,
    /// The outcome that its worker reported, if any.
    reported: Option<Outcome>,
    /// The number of its last line, once its worker reported it.
    written: Option<u64>,
    /// The number of its lines in the store.
    stored: u64,
    /// True if a line in the store says that the rest is missing.
    marked: bool,
}

/// The state that the checks need.
#[derive(Debug, Default)]
pub(super) struct Checks {
    tracks: Vec<Track>,
    /// The attempts whose grant is committed.
    attempts: HashMap<Fence, Attempt>,
    /// The execution that each call became, according to the messages to callers.
    children_of_calls: HashMap<CallId, ExecutionId>,
    /// The children that have to end with their callers.
    ending: Vec<Ending>,
    last_grant: Option<Fence>,
    last_epoch: Option<Epoch>,
    /// The largest number of an execution that was accepted.
    last_number: u64,
    unfinished: usize,
    /// The moments at which workers died.
    deaths: HashMap<WorkerId, Moment>,
    pub(super) plain: PlainWorkers,
    /// True if clocks and pauses are such that attempts may not overlap.
    pub(super) in_bounds: bool,
    /// The greatest depth of nested calls.
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

    /// Notes an execution that a client is about to submit.
    pub(super) fn submitted(&mut self, execution: &Execution) {
        debug_assert_eq!(place(execution.id), self.tracks.len());
        self.tracks.push(Track {
            id: execution.id,
            parent: execution.parent,
            children: Vec::new(),
            cancelled: false,
            retry: execution.retry,
            bundle: execution.bundle.clone(),
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

    /// Returns the time when the execution last entered its queue.
    pub(super) fn queued(&self, id: ExecutionId) -> Timestamp {
        self.tracks.get(place(id)).map_or(Timestamp(0), |track| track.queued)
    }

    /// Checks I4: every epoch is higher than the one before.
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

    /// Checks I7: an execution that a coordinator reports to a client as accepted is in the store.
    pub(super) fn accepted(&mut self, id: ExecutionId, store: &SimulatedStore) -> Checked {
        match store.execution(id) {
            Some(_) => Ok(()),
            None => broken("I7", format!("{id} is acknowledged, and not in the store")),
        }
    }

    /// Notes a refused submission.
    pub(super) fn refused(&mut self, id: ExecutionId) -> Checked {
        self.track(id)?.refused = true;
        Ok(())
    }

    pub(super) fn cancel_asked(&mut self, id: ExecutionId) -> Checked {
        self.track(id)?.cancel_asked = true;
        Ok(())
    }

    /// Checks I9: an execution that a coordinator reports to a client as cancelled is cancelled in
    /// the store.
    pub(super) fn cancelled(&mut self, id: ExecutionId, store: &SimulatedStore) -> Checked {
        self.track(id)?.cancel_told = true;
        match store.execution(id) {
            Some(execution) if execution.status == Status::Cancelled => Ok(()),
            found => {
                broken("I9", format!("{id} is reported as cancelled, the store has {found:?}"))
            }
        }
    }

    /// Checks I9: the store records the cancel of an execution that a coordinator reports to a
    /// client as being cancelled.
    pub(super) fn cancelling(&mut self, id: ExecutionId, store: &SimulatedStore) -> Checked {
        self.track(id)?.cancel_told = true;
        match store.execution(id).map(|execution| execution.status) {
            Some(Status::Queued | Status::Running) | None => {
                broken("I9", format!("{id} is reported as cancelling, the store does not know"))
            }
            Some(_) => Ok(()),
        }
    }

    /// Checks an answer which says that there is nothing to cancel.
    pub(super) fn nothing_to_cancel(&mut self, id: ExecutionId, store: &SimulatedStore) -> Checked {
        match store.execution(id) {
            Some(execution) if !execution.status.is_terminal() => {
                let status = execution.status;
                broken("cancel", format!("{id} cannot be cancelled, and is {status:?}"))
            }
            _ => Ok(()),
        }
    }

    /// Notes the reports in a message from a worker.
    pub(super) fn reports(&mut self, message: &Message) {
        if let Message::Result(report) = message
            && let Some(attempt) = self.attempts.get_mut(&report.fence)
        {
            attempt.reported.get_or_insert_with(|| report.outcome.clone());
            attempt.written = Some(report.last_log_seq);
        }
    }

    /// Checks I6 for a message to a worker: an attempt that the worker may forget has a committed
    /// end, and an acknowledged report is the committed outcome.
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

    /// Checks I20 for a message to a worker: only the worker to which an attempt was granted gets its
    /// secrets.
    pub(super) fn given_to(&self, worker: &WorkerId, message: &Message) -> Checked {
        let Message::Secret(answer) = message else { return Ok(()) };
        let is_given = matches!(answer.state, SecretState::Given(_));
        let fence = answer.fence;
        match self.attempts.get(&fence) {
            Some(attempt) if is_given && attempt.worker != *worker => {
                broken("I20", format!("{worker} gets a secret of {fence}, which it does not hold"))
            }
            _ => Ok(()),
        }
    }

    /// Returns the committed outcome of an attempt, or `None` if the store does not have the
    /// attempt.
    fn end_of(&self, fence: Fence, store: &SimulatedStore) -> Checked<Option<Option<Outcome>>> {
        let Some(attempt) = self.attempts.get(&fence) else { return Ok(None) };
        let execution = store.execution(attempt.execution);
        let record = execution.and_then(|execution| record(execution, fence));
        // The store no longer knows what it acknowledged before it was restored.
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

/// Checks I11: a repeated message changes nothing. It may only show that its sender has free slots;
/// an execution that could use them may have expired.
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
    /// Forgets what a restored store does not have: it may happen again.
    pub(super) fn put_back(&mut self, store: &SimulatedStore) {
        self.last_grant = None;
        self.last_number = store.all().map(|execution| execution.number).max().unwrap_or(0);
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
            // Its live attempt may be one that never ran, and whose successor the store lacks.
            let attempt = execution.live_attempt().and_then(|live| self.attempts.get(&live.fence));
            if track.unfinished && attempt.is_none_or(|attempt| !attempt.started) {
                track.starts = 0;
            }
        }
        self.lines_put_back(store);
    }

    pub(super) fn died(&mut self, worker: &WorkerId, at: Moment) {
        self.deaths.entry(worker.clone()).or_insert(at);
    }

    /// Returns the moment at which a worker died, if it did.
    pub(super) fn death(&self, worker: &WorkerId) -> Option<Moment> {
        self.deaths.get(worker).copied()
    }
}
