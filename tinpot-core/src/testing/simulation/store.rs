//! A store that takes its time and forgets in a crash what it has not synced.

use std::cmp::Reverse;
use std::sync::Arc;

use super::world::{Checked, broken};
use crate::error::Result;
use crate::execution::Execution;
use crate::id::ExecutionId;
use crate::store::{ListOptions, MemoryStoreLimits, Opened, QueuePage, State, Transition};
use crate::time::Timestamp;

/// What is synced. What is being written is with the process that waits for it: when that crashes, it was synced or is gone.
#[derive(Debug)]
pub(super) struct SimulatedStore {
    pub(super) synced: State,
    limits: MemoryStoreLimits,
    /// It cannot write now.
    pub(super) full: bool,
}

impl Default for SimulatedStore {
    fn default() -> Self {
        let mut synced = State::default();
        synced.instance = 1;
        // Nothing is forgotten: everything is held against it at the end.
        let limits = MemoryStoreLimits::default().executions(usize::MAX).log_bytes(usize::MAX);
        Self { synced, limits, full: false }
    }
}

impl SimulatedStore {
    /// A new life of a coordinator; the lock of the one before is gone with its process.
    pub(super) fn open(&mut self) -> Checked<Opened> {
        self.synced.close();
        match self.synced.open() {
            Ok(opened) => Ok(opened),
            Err(error) => broken("store", error.to_string()),
        }
    }

    pub(super) fn commit(&mut self, batch: &[Transition], at: Timestamp) -> Result<()> {
        self.synced.commit(batch, at, &self.limits)
    }

    pub(super) fn execution(&self, id: ExecutionId) -> Option<&Arc<Execution>> {
        self.synced.execution(id)
    }

    pub(super) fn queued(&self, page: &QueuePage) -> Vec<Arc<Execution>> {
        self.synced.queued(page)
    }

    /// What is before this one in its queue and may start.
    pub(super) fn first_waiting(&self, execution: &Execution) -> Option<ExecutionId> {
        let first = self.synced.waiting.first_like(execution)?;
        (first < (Reverse(execution.priority), execution.id)).then_some(first.1)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Execution>> {
        self.synced.all()
    }

    pub(super) fn with_key(&self, key: &str) -> Option<ExecutionId> {
        let options =
            ListOptions { idempotency_key: Some(key.to_owned()), ..ListOptions::default() };
        self.synced.executions(&options).first().map(|execution| execution.id)
    }
}
