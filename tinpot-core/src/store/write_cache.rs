//! A write cache for stores that keep executions in a database.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::Transition;
use super::conditions::{LogSpan, check_batch, check_logs};
use crate::model::error::{Error, Result};
use crate::model::execution::{Execution, Standing};
use crate::model::id::ExecutionId;
use crate::model::time::Timestamp;

/// Executions kept between writes, and the bytes of their records; beyond that all are dropped,
/// which costs one read for each that changes again. Far more than workers hold at a time.
const ENTRIES_MAX: usize = 16_384;
const ENTRIES_MAX_BYTES: usize = 32 * 1024 * 1024;

/// An execution in a [`WriteCache`].
#[derive(Debug)]
#[non_exhaustive]
pub struct CachedExecution<T> {
    /// The execution, as the last transition left it.
    pub execution: Execution,
    /// The lease of its last attempt. None before the first.
    pub lease: Option<Duration>,
    /// Data of the store, such as the row in its table.
    pub row: T,
    changed: bool,
    bytes: usize,
}

/// The executions that a store is changing: a write cache in front of its database.
///
/// A session is the only writer of its store, so it need not read again what it has read or written
/// before. The cache checks and applies transitions in memory and writes each changed record once
/// per transaction, however many transitions changed it. It does no I/O of its own. One
/// transaction:
///
/// 1. [`missing`](Self::missing): load these executions and [`insert`](Self::insert) them.
/// 2. [`apply`](Self::apply) and [`append`](Self::append), as often as needed.
/// 3. [`write`](Self::write): store the changed records.
/// 4. [`commit`](Self::commit) once the database has confirmed the transaction, or
///    [`rollback`](Self::rollback) if it failed.
#[derive(Debug)]
pub struct WriteCache<T> {
    entries: HashMap<ExecutionId, CachedExecution<T>>,
    bytes: usize,
    /// Executions whose records are to be written, in the order of their first change.
    changed: Vec<ExecutionId>,
    last_number: u64,
}

impl<T> Default for WriteCache<T> {
    fn default() -> Self {
        Self { entries: HashMap::new(), bytes: 0, changed: Vec::new(), last_number: 0 }
    }
}

impl<T> WriteCache<T> {
    /// Creates an empty cache for a store in which no execution was ever accepted.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the largest number that an execution of the store ever had.
    #[must_use]
    pub fn last_number(mut self, last_number: u64) -> Self {
        self.last_number = last_number;
        self
    }

    /// Returns the executions that must be loaded before the batch can be [applied](Self::apply):
    /// those that it changes, that are not in the cache, and that it does not accept itself.
    pub fn missing(&self, batch: &[Transition]) -> Vec<ExecutionId> {
        let is_accept = |transition: &Transition| matches!(transition, Transition::Accept(_));
        let changes = batch.iter().filter(|transition| !is_accept(transition));
        let ids = changes.filter_map(Transition::execution);
        let mut missing: Vec<_> = ids.filter(|id| !self.entries.contains_key(id)).collect();
        if !missing.is_empty() {
            missing.sort_unstable();
            missing.dedup();
            let accepts = batch.iter().filter(|transition| is_accept(transition));
            let accepted: HashSet<_> = accepts.filter_map(Transition::execution).collect();
            missing.retain(|id| !accepted.contains(id));
        }
        missing
    }

    /// Inserts an execution that was read from the database; its record has `bytes` bytes.
    pub fn insert(
        &mut self,
        execution: Execution,
        lease: Option<Duration>,
        row: T,
        bytes: usize,
    ) -> &mut CachedExecution<T> {
        let id = execution.id;
        self.remove(id);
        self.bytes += bytes;
        let entry = CachedExecution { execution, lease, row, changed: false, bytes };
        self.entries.entry(id).or_insert(entry)
    }

    /// Returns an execution.
    pub fn get(&self, id: ExecutionId) -> Option<&CachedExecution<T>> {
        self.entries.get(&id)
    }

    /// Returns an execution, to change the store's own data of it.
    pub fn get_mut(&mut self, id: ExecutionId) -> Option<&mut CachedExecution<T>> {
        self.entries.get_mut(&id)
    }

    fn standing(&self, id: ExecutionId) -> Option<Standing> {
        self.entries.get(&id).map(|entry| entry.execution.standing())
    }

    /// Applies a batch, or nothing of it.
    ///
    /// Everything that the batch changes must be in the cache; an execution that is not counts as
    /// unknown. `row` returns the store's data of an accepted execution, which has its number by
    /// then. Transitions that are not about an execution are left to the store, as is the check that
    /// numbers and idempotency keys are new.
    ///
    /// # Errors
    /// `Conflict` if the condition of a transition does not hold, and errors of `row`. After an
    /// error of `row` the transaction must be rolled back.
    pub fn apply<E: From<Error>>(
        &mut self,
        batch: &[Transition],
        at: Timestamp,
        mut row: impl FnMut(&Execution) -> Result<T, E>,
    ) -> Result<(), E> {
        check_batch(batch, |id| self.standing(id))?;
        for transition in batch {
            if let Transition::Accept(execution) = transition {
                let mut execution = (**execution).clone();
                execution.accepted_at = at;
                if execution.number == 0 {
                    execution.number = self.last_number.saturating_add(1);
                }
                self.last_number = self.last_number.max(execution.number);
                let (id, row) = (execution.id, row(&execution)?);
                self.insert(execution, None, row, 0);
                self.change(id);
            } else if let Some(entry) = transition.execution().and_then(|id| self.change(id)) {
                if let Transition::Grant { lease, .. } = transition {
                    entry.lease = Some(*lease);
                }
                transition.apply(&mut entry.execution, at);
            }
        }
        Ok(())
    }

    /// Counts log lines that are being appended, or none of them.
    ///
    /// # Errors
    /// `Conflict` for a gap or a repeat, `NotFound` for an execution that is not in the cache and
    /// for an unknown attempt.
    pub fn append(&mut self, spans: &[LogSpan]) -> Result<()> {
        check_logs(spans, |id| self.entries.get(&id).map(|entry| &entry.execution))?;
        for span in spans {
            if let Some(entry) = self.change(span.execution) {
                entry.execution.count_log_lines(span.attempt, span.lines, span.ends);
            }
        }
        Ok(())
    }

    fn change(&mut self, id: ExecutionId) -> Option<&mut CachedExecution<T>> {
        let entry = self.entries.get_mut(&id)?;
        if !std::mem::replace(&mut entry.changed, true) {
            self.changed.push(id);
        }
        Some(entry)
    }

    /// Passes every changed execution to `write`, which returns the size of its record in bytes.
    ///
    /// # Errors
    /// Errors of `write`. Then the transaction must be rolled back.
    pub fn write<E>(
        &mut self,
        mut write: impl FnMut(&mut CachedExecution<T>) -> Result<usize, E>,
    ) -> Result<(), E> {
        for id in &self.changed {
            let Some(entry) = self.entries.get_mut(id) else { continue };
            let bytes = write(entry)?;
            self.bytes = self.bytes.saturating_sub(entry.bytes) + bytes;
            entry.bytes = bytes;
            entry.changed = false;
        }
        Ok(())
    }

    /// Forgets an execution: its record was removed from the database.
    pub fn remove(&mut self, id: ExecutionId) {
        if let Some(entry) = self.entries.remove(&id) {
            self.bytes = self.bytes.saturating_sub(entry.bytes);
        }
    }

    /// Ends the transaction after the database has confirmed it. Executions that will not change
    /// any more leave the cache and are passed to `done`.
    pub fn commit(&mut self, mut done: impl FnMut(CachedExecution<T>)) {
        for id in std::mem::take(&mut self.changed) {
            let is_done = |entry: &CachedExecution<T>| {
                entry.execution.status.is_terminal() && !entry.execution.log_is_open()
            };
            if self.entries.get(&id).is_some_and(is_done)
                && let Some(entry) = self.entries.remove(&id)
            {
                self.bytes = self.bytes.saturating_sub(entry.bytes);
                done(entry);
            }
        }
        if self.entries.len() > ENTRIES_MAX || self.bytes > ENTRIES_MAX_BYTES {
            self.entries.clear();
            self.bytes = 0;
        }
    }

    /// Ends the transaction after it failed: what it has changed is read again.
    pub fn rollback(&mut self) {
        for id in std::mem::take(&mut self.changed) {
            self.remove(id);
        }
    }
}
