//! A store that takes its time and forgets in a crash what it has not synced.

use std::sync::Arc;

use super::world::{Checked, broken};
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::execution::Execution;
use crate::model::fence::Epoch;
use crate::model::id::ExecutionId;
use crate::model::log::LogBatch;
use crate::model::log::LogChunk;
use crate::model::opened::Opened;
use crate::model::page::{ListOptions, QueuePage};
use crate::model::time::Timestamp;
use crate::model::transition::Transition;
use crate::store::{HistoryLimits, State};

/// What is synced. What is being written is with the process that waits for it: when that crashes, it was synced or is gone.
#[derive(Debug)]
pub(super) struct SimulatedStore {
    pub(super) synced: State,
    limits: HistoryLimits,
    copy: Option<State>,
    /// The life that opened it last.
    latest: Option<Epoch>,
    /// It cannot write now.
    pub(super) full: bool,
}

impl Default for SimulatedStore {
    fn default() -> Self {
        let mut synced = State::default();
        synced.instance = 1;
        // Nothing is forgotten: everything is held against it at the end.
        let limits = HistoryLimits::default().executions(usize::MAX).log_bytes(usize::MAX);
        Self { synced, limits, copy: None, latest: None, full: false }
    }
}

impl SimulatedStore {
    /// A new life of a coordinator: nothing is taken from the ones before any more.
    pub(super) fn open(&mut self) -> Checked<Opened> {
        self.synced.close();
        match self.synced.open() {
            Ok(opened) => {
                self.latest = Some(opened.epoch);
                Ok(opened)
            }
            Err(error) => broken("store", error.to_string()),
        }
    }

    /// Makes a copy of what is synced.
    pub(super) fn copy(&mut self) {
        self.copy = Some(self.synced.clone());
    }

    /// Is as it was when it was copied, but another instance.
    pub(super) fn put_back(&mut self) {
        if let Some(copy) = self.copy.take() {
            let instance = self.synced.instance + 1;
            self.synced = copy;
            self.synced.instance = instance;
        }
    }

    pub(super) fn instance(&self) -> u32 {
        self.synced.instance
    }

    pub(super) fn append(&mut self, life: Epoch, batches: &[LogBatch]) -> Result<()> {
        self.belongs_to(life)?;
        self.synced.append_logs(batches, &self.limits)
    }

    /// How many logs are known to be incomplete.
    pub(super) fn open_logs(&self) -> usize {
        self.synced.open_logs.len()
    }

    /// Whether the batch may be committed by that life of a coordinator: it has to be the latest, as a lock would see to.
    pub(super) fn check(&self, life: Epoch, batch: &[Transition]) -> Result<()> {
        self.belongs_to(life)?;
        self.synced.check(batch)
    }

    pub(super) fn is_latest(&self, life: Epoch) -> bool {
        self.latest == Some(life)
    }

    fn belongs_to(&self, life: Epoch) -> Result<()> {
        match self.latest {
            Some(latest) if latest != life => {
                Err(Error::new(ErrorKind::Conflict, format!("it belongs to {latest}")))
            }
            _ => Ok(()),
        }
    }

    /// Commits a part of a batch that was checked.
    pub(super) fn apply(&mut self, transition: &Transition, at: Timestamp) {
        self.synced.apply(transition, at);
    }

    pub(super) fn execution(&self, id: ExecutionId) -> Option<&Arc<Execution>> {
        self.synced.execution(id)
    }

    pub(super) fn queued(&self, page: &QueuePage) -> Vec<Arc<Execution>> {
        self.synced.queued(page)
    }

    pub(super) fn is_paused(&self, queue: &str) -> bool {
        self.synced.paused.contains_key(queue)
    }

    /// What is before this one in its queue and may start.
    pub(super) fn first_waiting(&self, execution: &Execution) -> Option<ExecutionId> {
        let first = self.synced.waiting.first_like(execution)?;
        (first < (execution.rank(), execution.id)).then_some(first.1)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Execution>> {
        self.synced.all()
    }

    pub(super) fn lines(&self, id: ExecutionId) -> Vec<Arc<LogChunk>> {
        self.synced.logs(id, 0, usize::MAX)
    }

    pub(super) fn with_key(&self, key: &str) -> Option<ExecutionId> {
        let options =
            ListOptions { idempotency_key: Some(key.to_owned()), ..ListOptions::default() };
        self.synced.executions(&options).first().map(|execution| execution.id)
    }
}
