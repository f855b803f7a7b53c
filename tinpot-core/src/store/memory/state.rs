//! The records of a memory store, and their changes.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use super::HistoryLimits;
use super::waiting::Waiting;
use crate::model::action::Action;
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::execution::Execution;
use crate::model::execution::Standing;
use crate::model::fence::Epoch;
use crate::model::id::ExecutionId;
use crate::model::log::LogBatch;
use crate::model::log::LogChunk;
use crate::model::opened::Opened;
use crate::model::page::{ListOptions, QueuePage};
use crate::model::time::Timestamp;
use crate::model::transition::Transition;
use crate::store::conditions::{LogSpan, check_batch, check_logs, key_is_taken, number_is_taken};

#[derive(Clone, Debug)]
struct Record {
    execution: Arc<Execution>,
    lease: Duration,
    chunks: Vec<Arc<LogChunk>>,
    log_bytes: usize,
}

/// The records of a [`MemoryStore`](super::MemoryStore), and of the simulator's store.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    pub(crate) instance: u32,
    epoch: u32,
    open: bool,
    records: BTreeMap<ExecutionId, Record>,
    keys: HashMap<Arc<str>, ExecutionId>,
    numbers: HashMap<u64, ExecutionId>,
    last_number: u64,
    /// Pairs of a parent and its child.
    children: BTreeSet<(ExecutionId, ExecutionId)>,
    pub(crate) waiting: Waiting,
    granted: BTreeSet<ExecutionId>,
    pub(crate) open_logs: BTreeSet<ExecutionId>,
    pub(crate) actions: BTreeMap<Arc<str>, Arc<Action>>,
    pub(crate) paused: BTreeMap<Arc<str>, Timestamp>,
    ended: VecDeque<ExecutionId>,
    /// The log text of the ended executions.
    ended_log_bytes: usize,
}

impl State {
    fn standing(&self, id: ExecutionId) -> Option<Standing> {
        self.records.get(&id).map(|record| record.execution.standing())
    }

    pub(crate) fn check(&self, batch: &[Transition]) -> Result<()> {
        check_batch(batch, |id| self.standing(id))?;
        let (mut keys, mut numbers) = (HashSet::new(), HashSet::new());
        for transition in batch {
            let Transition::Accept(execution) = transition else { continue };
            if let Some(key) = &execution.idempotency_key
                && (self.keys.contains_key(key) || !keys.insert(key))
            {
                return Err(key_is_taken(key));
            }
            let number = execution.number;
            if number != 0 && (self.numbers.contains_key(&number) || !numbers.insert(number)) {
                return Err(number_is_taken(number));
            }
        }
        Ok(())
    }

    pub(crate) fn apply(&mut self, transition: &Transition, at: Timestamp) {
        match transition {
            Transition::Offer(action) => {
                self.actions.insert(action.key(), action.clone());
                return;
            }
            Transition::Pause { queue, since } => {
                self.paused.insert(queue.clone(), *since);
                return;
            }
            Transition::Resume { queue } => {
                self.paused.remove(queue);
                return;
            }
            Transition::Accept(execution) => {
                let mut execution = execution.clone();
                let new = Arc::make_mut(&mut execution);
                new.accepted_at = at;
                if new.number == 0 {
                    new.number = self.last_number + 1;
                }
                self.last_number = self.last_number.max(new.number);
                self.numbers.insert(new.number, new.id);
                if let Some(key) = &execution.idempotency_key {
                    self.keys.insert(key.clone(), execution.id);
                }
                if let Some(parent) = &execution.parent {
                    self.children.insert((parent.execution, execution.id));
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

    fn forget(&mut self, limits: &HistoryLimits) {
        while self.ended.len() > limits.executions
            || (self.ended_log_bytes > limits.log_bytes && !self.ended.is_empty())
        {
            if let Some(record) = self.ended.pop_front().and_then(|id| self.records.remove(&id)) {
                self.ended_log_bytes -= record.log_bytes;
                self.open_logs.remove(&record.execution.id);
                self.numbers.remove(&record.execution.number);
                if let Some(key) = &record.execution.idempotency_key {
                    self.keys.remove(key);
                }
                if let Some(parent) = &record.execution.parent {
                    self.children.remove(&(parent.execution, record.execution.id));
                }
            }
        }
    }

    /// Starts a session.
    pub(crate) fn open(&mut self) -> Result<Opened> {
        if self.open {
            return Err(Error::new(
                ErrorKind::Conflict,
                "the memory store already has an open session: close or drop that one first",
            ));
        }
        self.open = true;
        self.epoch += 1;
        let mut opened = Opened::new(Epoch { instance: self.instance, number: self.epoch });
        opened.last_number = self.last_number;
        let granted = self.granted.iter().filter_map(|id| self.records.get(id));
        opened.longest_lease = granted.clone().map(|record| record.lease).max().unwrap_or_default();
        opened.granted = granted.map(|record| record.execution.clone()).collect();
        let open = self.open_logs.iter().filter_map(|id| self.records.get(id));
        let open = open.filter(|record| record.execution.live_attempt().is_none());
        opened.open_logs = open.map(|record| record.execution.clone()).collect();
        opened.waiting = self.waiting.counts();
        opened.paused = self.paused.clone().into_iter().collect();
        opened.actions = self.actions.values().cloned().collect();
        Ok(opened)
    }

    /// Applies a batch as a whole or not at all.
    pub(crate) fn commit(
        &mut self,
        batch: &[Transition],
        at: Timestamp,
        limits: &HistoryLimits,
    ) -> Result<()> {
        self.check(batch)?;
        for transition in batch {
            self.apply(transition, at);
        }
        self.forget(limits);
        Ok(())
    }

    pub(crate) fn execution(&self, id: ExecutionId) -> Option<&Arc<Execution>> {
        self.records.get(&id).map(|record| &record.execution)
    }

    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Execution>> {
        self.records.values().map(|record| &record.execution)
    }

    /// Returns up to `limit` executions, newest first, without regard to a search.
    pub(crate) fn executions(&self, options: &ListOptions, limit: usize) -> Vec<Arc<Execution>> {
        if let Some(key) = &options.idempotency_key {
            let id = self.keys.get(key.as_str());
            let record = id.and_then(|id| self.records.get(id));
            return record.map(|record| record.execution.clone()).into_iter().collect();
        }
        let wanted = |execution: &&Arc<Execution>| options.filters_match(execution);
        if let Some(number) = options.number {
            let record = self.numbers.get(&number).and_then(|id| self.records.get(id));
            let found = record.map(|record| &record.execution).filter(wanted);
            let is_before =
                |found: &&Arc<Execution>| options.before.is_none_or(|before| found.id < before);
            return found.filter(is_before).cloned().into_iter().collect();
        }
        if let Some(parent) = options.parent {
            let last = options
                .before
                .map_or(Bound::Included((parent, ExecutionId::from_u128(u128::MAX))), |before| {
                    Bound::Excluded((parent, before))
                });
            let children = self
                .children
                .range((Bound::Included((parent, ExecutionId::from_u128(0))), last))
                .rev();
            let children = children.filter_map(|(_, id)| self.records.get(id));
            let children = children.map(|record| &record.execution).filter(wanted);
            return children.take(limit).cloned().collect();
        }
        let end = options.before.map_or(Bound::Unbounded, Bound::Excluded);
        let newest_first = self.records.range((Bound::Unbounded, end)).rev();
        let executions = newest_first.map(|(_, record)| &record.execution).filter(wanted);
        executions.take(limit).cloned().collect()
    }

    pub(crate) fn queued(&self, page: &QueuePage) -> Vec<Arc<Execution>> {
        let mut bytes = 0;
        let room = |execution: &Arc<Execution>| {
            let room = bytes <= page.max_bytes;
            bytes += execution.parameters.as_str().len();
            room
        };
        let ids = self.waiting.ids(&page.order);
        let executions = ids.filter_map(|id| self.records.get(&id));
        let executions = executions.map(|record| record.execution.clone());
        executions.take(page.limit).take_while(room).collect()
    }

    pub(crate) fn append_logs(
        &mut self,
        batches: &[LogBatch],
        limits: &HistoryLimits,
    ) -> Result<()> {
        let spans = batches.iter().map(LogSpan::of).collect::<Result<Vec<_>>>()?;
        check_logs(&spans, |id| self.records.get(&id).map(|record| &*record.execution))?;
        for batch in batches {
            let Some(record) = self.records.get_mut(&batch.execution) else { continue };
            let bytes: usize = batch.chunks.iter().map(|chunk| chunk.size_bytes()).sum();
            record.log_bytes += bytes;
            record.chunks.extend(batch.chunks.iter().cloned());
            let lines: u64 = batch.chunks.iter().map(|chunk| chunk.lines.len() as u64).sum();
            let execution = Arc::make_mut(&mut record.execution);
            execution.count_log_lines(batch.attempt, lines, batch.ends);
            let (ended, log_is_open) = (execution.status.is_terminal(), execution.log_is_open());
            if ended {
                self.ended_log_bytes += bytes;
            }
            if !log_is_open {
                self.open_logs.remove(&batch.execution);
            }
        }
        self.forget(limits);
        Ok(())
    }

    pub(crate) fn logs(&self, id: ExecutionId, after: u64, max_bytes: usize) -> Vec<Arc<LogChunk>> {
        let Some(record) = self.records.get(&id) else { return Vec::new() };
        let first = record.chunks.partition_point(|chunk| chunk.last_seq() <= after);
        let mut bytes = 0;
        let mut room = |chunk: &&Arc<LogChunk>| {
            let room = bytes == 0 || bytes < max_bytes;
            bytes += chunk.size_bytes();
            room
        };
        record.chunks[first..].iter().take_while(|chunk| room(chunk)).cloned().collect()
    }

    pub(crate) fn close(&mut self) {
        self.open = false;
    }

    /// Returns the epoch of the last session.
    pub(crate) fn latest(&self) -> Epoch {
        Epoch { instance: self.instance, number: self.epoch }
    }

    /// Returns true if the session with this epoch is open.
    pub(crate) fn is_open_in(&self, epoch: u32) -> bool {
        self.open && self.epoch == epoch
    }
}
