//! Counts for a shell that measures, and the executions behind transitions that are on their way to
//! the store.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::{Active, CoordinatorMachine};
use crate::model::execution::Execution;
use crate::model::fence::Fence;
use crate::model::id::{ExecutionId, WorkerId};
use crate::model::time::Timestamp;
use crate::model::trace::Sampling;

/// Counts since the start of the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tally {
    /// The number of workers whose lease has expired.
    pub leases_expired: u64,
    /// The number of dispatches that were sent again.
    pub dispatches_resent: u64,
}

/// An execution whose attempt was granted or has ended, or that has ended itself.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    pub(crate) execution: Arc<Execution>,
    /// The time from which on it could have run.
    pub(crate) queued_at: Timestamp,
}

/// The subjects of transitions, while a shell wants them.
#[derive(Debug, Default)]
pub(super) struct Subjects(Option<HashMap<ExecutionId, Subject>>);

impl Subjects {
    /// Remembers an execution that is in memory.
    pub(super) fn note(&mut self, active: &Active) {
        if let Some(subjects) = &mut self.0 {
            let (execution, queued_at) = (active.execution.clone(), active.queued_at);
            subjects.insert(execution.id, Subject { execution, queued_at });
        }
    }

    /// Remembers an execution that is only in the store.
    pub(super) fn note_stored(&mut self, execution: &Execution) {
        if let Some(subjects) = &mut self.0 {
            let queued_at = queued_at(execution);
            let execution = Arc::new(execution.clone());
            subjects.insert(execution.id, Subject { execution, queued_at });
        }
    }
}

/// Returns the time from which on a waiting execution can run, as it is recorded.
pub(super) fn queued_at(execution: &Execution) -> Timestamp {
    let ended_at = execution.attempts.last().and_then(|attempt| attempt.ended_at);
    let times = [execution.not_before, ended_at];
    times.into_iter().flatten().fold(execution.accepted_at, Timestamp::max)
}

/// The load of a worker.
///
/// [`Observer`](crate::observer::Observer) has an example of measures.
#[derive(Debug)]
#[non_exhaustive]
pub struct WorkerLoad<'a> {
    /// The id.
    pub id: &'a WorkerId,
    /// The queues that it serves; empty for all.
    pub queues: &'a BTreeSet<String>,
    /// The number of slots.
    pub slots: u32,
    /// The number of attempts that were granted to it and take slots.
    pub in_slots: usize,
    /// If true, the worker is granted nothing any more.
    pub draining: bool,
    /// If true, the worker has missed heartbeats.
    pub silent: bool,
}

impl WorkerLoad<'_> {
    /// Returns true if the worker serves the queue.
    pub fn serves(&self, queue: &str) -> bool {
        self.queues.is_empty() || self.queues.contains(queue)
    }
}

impl CoordinatorMachine {
    /// Returns the counts since the start.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// Returns the load of every live worker.
    pub fn loads(&self) -> Vec<WorkerLoad<'_>> {
        let workers = self.workers.iter().filter(|(_, worker)| worker.introduced);
        workers
            .map(|(id, worker)| WorkerLoad {
                id,
                queues: &worker.queues,
                slots: worker.slots,
                in_slots: worker.load.in_slots(),
                draining: worker.draining || worker.slots == 0,
                silent: worker.silent,
            })
            .collect()
    }

    /// Sends attempts their own places in traces from now on, in place of those of their submitters.
    pub fn set_sampling(&mut self, sampling: Sampling) {
        self.sampling = Some(sampling);
    }

    /// Returns the trace context for an attempt.
    pub(super) fn trace_of(&self, execution: &Execution, fence: Fence) -> Option<Arc<str>> {
        match self.sampling {
            Some(sampling) => {
                Some(sampling.of_attempt(execution, fence).context.to_string().into())
            }
            None => execution.traceparent.clone(),
        }
    }

    /// Remembers the executions behind transitions from now on, until
    /// [`forget_subjects`](Self::forget_subjects).
    pub(crate) fn keep_subjects(&mut self) {
        self.subjects.0.get_or_insert_default();
    }

    /// Returns the execution behind a transition that was decided since subjects were forgotten.
    pub(crate) fn subject(&self, id: ExecutionId) -> Option<&Subject> {
        self.subjects.0.as_ref()?.get(&id)
    }

    /// Forgets the executions behind transitions, because these are committed.
    pub(crate) fn forget_subjects(&mut self) {
        if let Some(subjects) = &mut self.subjects.0 {
            subjects.clear();
        }
    }
}
