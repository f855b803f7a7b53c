//! A store that forgets everything when the process ends.

mod waiting;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use self::waiting::Waiting;
use super::{ListOptions, Opened, QueuePage, Standing, Store, Transition};
use crate::action::Action;
use crate::error::{Error, ErrorKind, Result};
use crate::execution::{AttemptRecord, Execution};
use crate::id::ExecutionId;
use crate::log::LogChunk;
use crate::log_sink::LogBatch;
use crate::protocol::Epoch;
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
    lease: Duration,
    chunks: Vec<Arc<LogChunk>>,
    log_bytes: usize,
}

#[derive(Debug, Default)]
struct State {
    instance: u32,
    epoch: u32,
    open: bool,
    records: BTreeMap<ExecutionId, Record>,
    keys: HashMap<Arc<str>, ExecutionId>,
    waiting: Waiting,
    granted: BTreeSet<ExecutionId>,
    open_logs: BTreeSet<ExecutionId>,
    actions: BTreeMap<String, Arc<Action>>,
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

fn key_is_taken(key: &str) -> Error {
    let message = format!("the idempotency key {key:?} belongs to another execution");
    Error::new(ErrorKind::Conflict, message)
}

impl State {
    fn standing(&self, id: ExecutionId) -> Option<Standing> {
        self.records.get(&id).map(|record| record.execution.standing())
    }

    fn check(&self, batch: &[Transition]) -> Result<()> {
        if let [transition] = batch {
            let standing = transition.execution().and_then(|id| self.standing(id));
            return match transition {
                Transition::Offer(_) => Ok(()),
                _ => self.check_one(transition, standing).map(drop),
            };
        }
        let mut changed: HashMap<ExecutionId, Standing> = HashMap::with_capacity(batch.len());
        let mut keys = HashSet::new();
        for transition in batch {
            let Some(id) = transition.execution() else { continue };
            let now = changed.get(&id).copied().or_else(|| self.standing(id));
            changed.insert(id, self.check_one(transition, now)?);
            if let Transition::Accept(execution) = transition
                && let Some(key) = &execution.idempotency_key
                && !keys.insert(key)
            {
                return Err(key_is_taken(key));
            }
        }
        Ok(())
    }

    fn check_one(&self, transition: &Transition, now: Option<Standing>) -> Result<Standing> {
        if let Transition::Accept(execution) = transition
            && let Some(key) = &execution.idempotency_key
            && self.keys.contains_key(key)
        {
            return Err(key_is_taken(key));
        }
        transition.check(now)
    }

    fn apply(&mut self, transition: &Transition, at: Timestamp) {
        match transition {
            Transition::Offer(action) => {
                self.actions.insert(action.name.clone(), action.clone());
                return;
            }
            Transition::Accept(execution) => {
                let mut execution = execution.clone();
                Arc::make_mut(&mut execution).accepted_at = at;
                if let Some(key) = &execution.idempotency_key {
                    self.keys.insert(key.clone(), execution.id);
                }
                self.waiting.insert(&execution);
                let id = execution.id;
                let lease = Duration::ZERO;
                self.records
                    .insert(id, Record { execution, lease, chunks: Vec::new(), log_bytes: 0 });
                return;
            }
            _ => {}
        }
        let Some(id) = transition.execution() else { return };
        let Some(record) = self.records.get_mut(&id) else { return };
        match transition {
            Transition::Ready { .. } | Transition::Finish { fence: None, .. } => {
                self.waiting.remove(&record.execution);
            }
            Transition::Grant { lease, .. } => {
                self.waiting.remove(&record.execution);
                self.granted.insert(id);
                record.lease = *lease;
            }
            Transition::Requeue { .. } | Transition::Finish { .. } => {
                self.granted.remove(&id);
            }
            _ => {}
        }
        transition.apply(Arc::make_mut(&mut record.execution), at);
        match transition {
            Transition::Ready { .. } | Transition::Requeue { .. } => {
                if record.execution.log_is_open() {
                    self.open_logs.insert(id);
                }
                self.waiting.insert(&record.execution);
            }
            Transition::Finish { .. } => {
                if record.execution.log_is_open() {
                    self.open_logs.insert(id);
                }
                self.ended_log_bytes += record.log_bytes;
                self.ended.push_back(id);
            }
            _ => {}
        }
    }

    fn forget(&mut self, limits: &MemoryStoreLimits) {
        while self.ended.len() > limits.executions
            || (self.ended_log_bytes > limits.log_bytes && !self.ended.is_empty())
        {
            if let Some(record) = self.ended.pop_front().and_then(|id| self.records.remove(&id)) {
                self.ended_log_bytes -= record.log_bytes;
                self.open_logs.remove(&record.execution.id);
                if let Some(key) = &record.execution.idempotency_key {
                    self.keys.remove(key);
                }
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
        let mut opened = Opened::new(Epoch { instance: state.instance, number: state.epoch });
        let granted = state.granted.iter().filter_map(|id| state.records.get(id));
        opened.longest_lease = granted.clone().map(|record| record.lease).max().unwrap_or_default();
        opened.granted = granted.map(|record| record.execution.clone()).collect();
        let open = state.open_logs.iter().filter_map(|id| state.records.get(id));
        let open = open.filter(|record| record.execution.live_attempt().is_none());
        opened.open_logs = open.map(|record| record.execution.clone()).collect();
        opened.waiting = state.waiting.counts();
        opened.actions = state.actions.values().cloned().collect();
        Ok(opened)
    }

    async fn commit(&self, batch: &[Transition], at: Timestamp) -> Result<()> {
        let mut state = self.lock();
        state.check(batch)?;
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
        if let Some(key) = &options.idempotency_key {
            let id = state.keys.get(key.as_str());
            let record = id.and_then(|id| state.records.get(id));
            return Ok(record.map(|record| record.execution.clone()).into_iter().collect());
        }
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

    async fn queued(&self, page: &QueuePage) -> Result<Vec<Arc<Execution>>> {
        let state = self.lock();
        let mut bytes = 0;
        let room = |execution: &Arc<Execution>| {
            let room = bytes <= page.max_bytes;
            bytes += execution.parameters.get().len();
            room
        };
        let ids = state.waiting.ids(&page.order);
        let executions = ids.filter_map(|id| state.records.get(&id));
        Ok(executions
            .map(|record| record.execution.clone())
            .take(page.limit)
            .take_while(room)
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
            let of_batch = |attempt: &AttemptRecord| attempt.number == batch.attempt;
            if !record.execution.attempts.iter().any(of_batch) {
                let message =
                    format!("execution {} has no attempt {}", batch.execution, batch.attempt);
                return Err(Error::new(ErrorKind::NotFound, message));
            }
            let stored = record.execution.log_lines() + 1;
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
            let lines: u64 = batch.chunks.iter().map(|chunk| chunk.lines.len() as u64).sum();
            let execution = Arc::make_mut(&mut record.execution);
            execution.count_log_lines(batch.attempt, lines, batch.ends);
            let (ended, log_is_open) = (execution.status.is_terminal(), execution.log_is_open());
            if ended {
                state.ended_log_bytes += bytes;
            }
            if !log_is_open {
                state.open_logs.remove(&batch.execution);
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
