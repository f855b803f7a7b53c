//! A store that forgets everything when the process ends.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use super::{ListOptions, Opened, Store, Transition};
use crate::error::{Error, ErrorKind, Result};
use crate::execution::{AttemptRecord, Execution, Status};
use crate::id::ExecutionId;
use crate::log::LogChunk;
use crate::log_sink::LogBatch;
use crate::protocol::{Epoch, Fence};
use crate::time::Timestamp;

/// What a [`MemoryStore`] keeps of executions that have ended; the oldest go first.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct MemoryStoreLimits {
    /// How many; 10,000 by default.
    pub executions: usize,
    /// How much log text of all of them together, in bytes; 256 MiB by default.
    pub log_bytes: usize,
}

impl Default for MemoryStoreLimits {
    fn default() -> Self {
        Self { executions: 10_000, log_bytes: 256 * 1024 * 1024 }
    }
}

impl MemoryStoreLimits {
    /// Sets how many ended executions are kept.
    #[must_use]
    pub fn executions(mut self, executions: usize) -> Self {
        self.executions = executions;
        self
    }

    /// Sets how much log text of ended executions is kept, in bytes.
    #[must_use]
    pub fn log_bytes(mut self, log_bytes: usize) -> Self {
        self.log_bytes = log_bytes;
        self
    }
}

#[derive(Debug)]
struct Record {
    execution: Arc<Execution>,
    live: Option<Fence>,
    chunks: Vec<Arc<LogChunk>>,
    log_bytes: usize,
}

#[derive(Debug, Default)]
struct State {
    instance: u32,
    epoch: u32,
    open: bool,
    records: BTreeMap<ExecutionId, Record>,
    ended: VecDeque<ExecutionId>,
    /// The log text of those that have ended.
    ended_log_bytes: usize,
}

/// Keeps everything in memory: for tests, for trying things, and where history need not outlive the process.
#[derive(Debug, Default)]
pub struct MemoryStore {
    limits: MemoryStoreLimits,
    state: Mutex<State>,
}

impl MemoryStore {
    /// An empty store with the default limits.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty store with these limits.
    pub fn with_limits(limits: MemoryStoreLimits) -> Self {
        Self { limits, ..Self::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a transition cannot be applied.
fn conflict(transition: &Transition, why: &str) -> Error {
    Error::new(ErrorKind::Conflict, format!("execution {}: {why}", transition.execution()))
}

/// Checks the condition of `transition` against what the batch has made of its execution so far.
fn check(
    transition: &Transition,
    now: Option<(Status, Option<Fence>)>,
) -> Result<(Status, Option<Fence>)> {
    let refuse = |why: &str| Err(conflict(transition, why));
    let Some((status, live)) = now else {
        return match transition {
            Transition::Accept(_) => Ok((Status::Queued, None)),
            _ => refuse("it is not known"),
        };
    };
    if status.is_terminal() {
        return refuse("it has ended");
    }
    match transition {
        Transition::Accept(_) => refuse("it exists already"),
        Transition::Grant { fence, .. } => match (status, live) {
            (Status::Queued, None) => Ok((Status::Queued, Some(*fence))),
            _ => refuse("an attempt lives already"),
        },
        Transition::Start { fence, .. } => match (status, live == Some(*fence)) {
            (Status::Queued, true) => Ok((Status::Running, live)),
            _ => refuse("that attempt cannot start"),
        },
        Transition::Cancelling { .. } => match (status, live) {
            (Status::Queued | Status::Running, Some(_)) => Ok((Status::Cancelling, live)),
            _ => refuse("no attempt can be cancelled"),
        },
        Transition::Requeue { fence, .. } => match (status, live == Some(*fence)) {
            (Status::Queued | Status::Running, true) => Ok((Status::Queued, None)),
            _ => refuse("that attempt does not live"),
        },
        Transition::Finish { fence, outcome, .. } if *fence == live => Ok((outcome.status(), None)),
        Transition::Finish { .. } => refuse("that attempt does not live"),
    }
}

impl State {
    fn apply(&mut self, transition: &Transition, at: Timestamp) {
        if let Transition::Accept(execution) = transition {
            let mut execution = execution.clone();
            Arc::make_mut(&mut execution).accepted_at = at;
            let record = Record { execution, live: None, chunks: Vec::new(), log_bytes: 0 };
            self.records.insert(transition.execution(), record);
            return;
        }
        let Some(record) = self.records.get_mut(&transition.execution()) else { return };
        let execution = Arc::make_mut(&mut record.execution);
        let end_attempt = |execution: &mut Execution, outcome, ran: Option<Duration>| {
            let started_at = ran.map(|ran| Timestamp(at.0.saturating_sub(ran.as_micros() as u64)));
            if let Some(attempt) = execution.attempts.last_mut() {
                attempt.started_at = attempt.started_at.or(started_at);
                execution.started_at = execution.started_at.or(attempt.started_at);
                attempt.ended_at = Some(at);
                attempt.outcome = outcome;
            }
        };
        match transition {
            Transition::Accept(_) => {}
            Transition::Grant { fence, attempt, worker, .. } => {
                record.live = Some(*fence);
                execution.attempts.push(AttemptRecord {
                    number: *attempt,
                    fence: *fence,
                    worker: worker.clone(),
                    granted_at: at,
                    started_at: None,
                    ended_at: None,
                    outcome: None,
                });
            }
            Transition::Start { .. } => {
                execution.status = Status::Running;
                execution.started_at.get_or_insert(at);
                if let Some(attempt) = execution.attempts.last_mut() {
                    attempt.started_at = Some(at);
                }
            }
            Transition::Cancelling { .. } => execution.status = Status::Cancelling,
            Transition::Requeue { outcome, ran, .. } => {
                record.live = None;
                execution.status = Status::Queued;
                end_attempt(execution, outcome.clone(), *ran);
            }
            Transition::Finish { fence, outcome, ran, .. } => {
                record.live = None;
                execution.status = outcome.status();
                execution.outcome = Some(outcome.clone());
                execution.finished_at = Some(at);
                if fence.is_some() {
                    end_attempt(execution, Some(outcome.clone()), *ran);
                }
                self.ended_log_bytes += record.log_bytes;
                self.ended.push_back(transition.execution());
            }
        }
    }

    fn forget(&mut self, limits: &MemoryStoreLimits) {
        while self.ended.len() > limits.executions
            || (self.ended_log_bytes > limits.log_bytes && !self.ended.is_empty())
        {
            if let Some(record) = self.ended.pop_front().and_then(|id| self.records.remove(&id)) {
                self.ended_log_bytes -= record.log_bytes;
            }
        }
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn open(&self) -> Result<Opened> {
        let mut state = self.lock();
        if state.open {
            return Err(Error::new(
                ErrorKind::Conflict,
                "another coordinator has this memory store open",
            ));
        }
        if state.epoch == 0 {
            state.instance = Uuid::new_v4().as_u128() as u32;
        }
        state.open = true;
        state.epoch += 1;
        let unfinished = |record: &&Record| !record.execution.status.is_terminal();
        Ok(Opened {
            epoch: Epoch { instance: state.instance, number: state.epoch },
            unfinished: state
                .records
                .values()
                .filter(unfinished)
                .map(|record| record.execution.clone())
                .collect(),
        })
    }

    async fn commit(&self, batch: &[Transition], at: Timestamp) -> Result<()> {
        let mut state = self.lock();
        if let [transition] = batch {
            let record = state.records.get(&transition.execution());
            check(transition, record.map(|record| (record.execution.status, record.live)))?;
        } else {
            let mut changed: HashMap<ExecutionId, (Status, Option<Fence>)> =
                HashMap::with_capacity(batch.len());
            for transition in batch {
                let id = transition.execution();
                let stored =
                    || state.records.get(&id).map(|record| (record.execution.status, record.live));
                let now = changed.get(&id).copied().or_else(stored);
                changed.insert(id, check(transition, now)?);
            }
        }
        for transition in batch {
            state.apply(transition, at);
        }
        state.forget(&self.limits);
        Ok(())
    }

    async fn execution(&self, id: ExecutionId) -> Result<Option<Arc<Execution>>> {
        Ok(self.lock().records.get(&id).map(|record| record.execution.clone()))
    }

    async fn executions(&self, options: &ListOptions) -> Result<Vec<Arc<Execution>>> {
        let state = self.lock();
        let wanted = |execution: &&Arc<Execution>| {
            options.status.is_none_or(|status| execution.status == status)
                && options.action.as_ref().is_none_or(|action| **action == *execution.action)
                && options.queue.as_ref().is_none_or(|queue| **queue == *execution.queue)
        };
        let end = options.before.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        let newest_first = state.records.range((std::ops::Bound::Unbounded, end)).rev();
        Ok(newest_first
            .map(|(_, record)| &record.execution)
            .filter(wanted)
            .take(options.page_size())
            .cloned()
            .collect())
    }

    async fn append_logs(&self, batches: &[LogBatch]) -> Result<()> {
        let mut state = self.lock();
        let mut next: HashMap<ExecutionId, u64> = HashMap::new();
        for batch in batches {
            let record = state.records.get(&batch.execution).ok_or_else(|| {
                Error::new(
                    ErrorKind::NotFound,
                    format!("there is no execution {}", batch.execution),
                )
            })?;
            let stored = record.chunks.last().map_or(1, |last| last.last_seq() + 1);
            let expected = next.entry(batch.execution).or_insert(stored);
            for chunk in &batch.chunks {
                if chunk.first_seq != *expected {
                    let why = format!("log line {} where {expected} is next", chunk.first_seq);
                    return Err(Error::new(
                        ErrorKind::Conflict,
                        format!("execution {}: {why}", batch.execution),
                    ));
                }
                *expected = chunk.last_seq() + 1;
            }
        }
        for batch in batches {
            let Some(record) = state.records.get_mut(&batch.execution) else { continue };
            let bytes: usize = batch.chunks.iter().map(|chunk| chunk.size_bytes()).sum();
            record.log_bytes += bytes;
            record.chunks.extend(batch.chunks.iter().cloned());
            if record.execution.status.is_terminal() {
                state.ended_log_bytes += bytes;
            }
        }
        state.forget(&self.limits);
        Ok(())
    }

    async fn logs(
        &self,
        id: ExecutionId,
        after: u64,
        max_bytes: usize,
    ) -> Result<Vec<Arc<LogChunk>>> {
        let state = self.lock();
        let Some(record) = state.records.get(&id) else { return Ok(Vec::new()) };
        let first = record.chunks.partition_point(|chunk| chunk.last_seq() <= after);
        let mut bytes = 0;
        let mut room = |chunk: &&Arc<LogChunk>| {
            let room = bytes == 0 || bytes < max_bytes;
            bytes += chunk.size_bytes();
            room
        };
        Ok(record.chunks[first..].iter().take_while(|chunk| room(chunk)).cloned().collect())
    }

    async fn close(&self) -> Result<()> {
        self.lock().open = false;
        Ok(())
    }
}
