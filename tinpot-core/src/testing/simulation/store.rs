//! A store that is slow, and that loses in a crash what it has not synced.

use std::sync::Arc;

use super::world::{Checked, broken};
use crate::model::action::Action;
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

/// The synced state. The process that waits for a write holds its data: a crash either loses the
/// write or finds it synced.
#[derive(Debug)]
pub(super) struct SimulatedStore {
    pub(super) synced: State,
    limits: HistoryLimits,
    copy: Option<State>,
    /// The epoch that opened it last.
    latest: Option<Epoch>,
    /// True if it cannot write now.
    pub(super) full: bool,
}

impl Default for SimulatedStore {
    fn default() -> Self {
        let mut synced = State::default();
        synced.instance = 1;
        // Retention removes nothing: the checks at the end need every record.
        let limits = HistoryLimits::default().executions(usize::MAX).log_bytes(usize::MAX);
        Self { synced, limits, copy: None, latest: None, full: false }
    }
}

impl SimulatedStore {
    /// Opens a new epoch. The store refuses the writes of earlier ones from now on.
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

    /// Copies the synced state.
    pub(super) fn copy(&mut self) {
        self.copy = Some(self.synced.clone());
    }

    /// Restores the copied state, as another instance.
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

    /// Returns the number of incomplete logs.
    pub(super) fn open_logs(&self) -> usize {
        self.synced.open_logs.len()
    }

    /// Checks that the batch may be committed in that epoch: it has to be the latest, as a lock
    /// would ensure.
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

    /// Commits a part of a checked batch.
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

    /// Returns the deployed actions.
    pub(super) fn deployed(&self) -> impl Iterator<Item = &Arc<Action>> {
        self.synced.actions.values().filter(|action| action.deployed.is_some())
    }

    pub(super) fn is_deployed(&self, name: &str) -> bool {
        self.synced.actions.get(name).is_some_and(|action| action.deployed.is_some())
    }

    /// Returns the first execution that is ahead of this one in its queue and may start. If
    /// `without_secrets` is true, those with secret parameters are left out.
    pub(super) fn first_waiting(
        &self,
        execution: &Execution,
        without_secrets: bool,
    ) -> Option<ExecutionId> {
        let has_secrets = |id| self.execution(id).is_some_and(|found| !found.secrets.is_empty());
        let mut ahead = self.synced.waiting.ahead_of(execution);
        ahead.find(|id| !(without_secrets && has_secrets(*id)))
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
        self.synced.executions(&options, options.page_size()).first().map(|execution| execution.id)
    }
}
