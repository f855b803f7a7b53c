//! Random work on a store and on the memory store: both must give the same answers.

use std::sync::Arc;
use std::time::Duration;

use super::{OpenStore, Reopen, open};
use crate::model::action::Action;
use crate::model::deployed::BundleRef;
use crate::model::digest::Digest;
use crate::model::error::Result;
use crate::model::execution::Execution;
use crate::model::failure::Failure;
use crate::model::fence::{Epoch, Fence};
use crate::model::id::{ExecutionId, WorkerId};
use crate::model::json::Json;
use crate::model::log::{Level, LogBatch, LogChunk, Stream};
use crate::model::names::Names;
use crate::model::opened::Opened;
use crate::model::outcome::Outcome;
use crate::model::page::{ListOptions, QueueOrder, QueuePage};
use crate::model::status::Status;
use crate::model::time::Timestamp;
use crate::model::transition::Transition;
use crate::model::visible::{DEFAULT_TEAM, Visible, VisiblePart};
use crate::store::{MemoryStore, Session, Store};
use crate::testing::Random;

/// The number of executions that the work is about at a time: few, so that changes meet. After each
/// number of steps, the oldest of them is left alone.
const EXECUTIONS: u64 = 24;
const STEPS_PER_EXECUTION: u64 = 40;

struct Pair<R> {
    memory: OpenStore<MemoryStore>,
    store: OpenStore<R>,
    random: Random,
    fence: u64,
    number: u64,
    step: u64,
}

/// The same, or the same kind of error.
fn assert_same<T: PartialEq + std::fmt::Debug>(
    what: &str,
    memory: Result<T>,
    store: Result<T>,
) -> Option<T> {
    match (memory, store) {
        (Ok(memory), Ok(store)) => {
            assert_eq!(store, memory, "{what}");
            Some(memory)
        }
        (Err(memory), Err(store)) => {
            assert_eq!(store.kind(), memory.kind(), "{what}: {store} and {memory}");
            None
        }
        (memory, store) => panic!("{what}: memory {memory:?}, store {store:?}"),
    }
}

impl<R: Reopen> Pair<R> {
    fn below(&mut self, end: u64) -> u64 {
        self.random.number() % end
    }

    fn id(&mut self) -> ExecutionId {
        let number = self.step / STEPS_PER_EXECUTION + self.below(EXECUTIONS);
        ExecutionId::from_u128(u128::from(number))
    }

    fn time(&mut self) -> Option<Timestamp> {
        self.random.chance(0.5).then(|| Timestamp(self.random.number() % 50))
    }

    fn new_execution(&mut self) -> Execution {
        let action = format!("act {}", self.below(3));
        let text = "x".repeat(self.below(2_500) as usize);
        let mut new = Execution::new(self.id(), action, Json::serialize(&[text]).expect("JSON"));
        self.number += 1;
        new.number = self.number;
        if self.random.chance(0.3) {
            new.secrets = vec!["/0".to_owned(), format!("/{}", self.random.number() % 9)];
        }
        new.queue = format!("queue {}", self.below(2)).into();
        new.priority = self.below(3) as i32 - 1;
        new.bundle = self.random.chance(0.3).then(|| {
            let version = 1 + self.below(2) as u32;
            let runtime = format!("runtime {}", self.random.number() % 2);
            Arc::new(BundleRef::new(version, Digest::from([version as u8; 32]), runtime))
        });
        new.app_run = if new.bundle.is_some() { 1 + self.random.number() % 9 } else { 0 };
        new.not_before = self.time();
        new.expires_at = self.time();
        new.idempotency_key =
            self.random.chance(0.3).then(|| format!("key {}", self.random.number() % 9).into());
        new.requested_by =
            self.random.chance(0.3).then(|| format!("who {}", self.random.number() % 3).into());
        new.on_behalf_of = self.random.chance(0.1).then(|| "another".into());
        new.traceparent = self.random.chance(0.1).then(|| "00-trace".into());
        new.team = if self.random.chance(0.2) { "team 1" } else { "" }.into();
        new.caller = ["", "caller 1", "caller 2"][self.below(3) as usize].into();
        new
    }

    fn visible(&mut self) -> Visible {
        let team = if self.random.chance(0.2) { "team 1" } else { DEFAULT_TEAM };
        let caller = format!("caller {}", 1 + self.random.number() % 2);
        let mut visible = Visible::nothing(team, caller);
        for _ in 0..self.below(3) {
            let mut part = VisiblePart::all();
            if self.random.chance(0.5) {
                part = part
                    .actions(Names::of([format!("act {}", self.random.number() % 3), "*0".into()]));
            }
            if self.random.chance(0.3) {
                part = part.queues(Names::exactly([format!("queue {}", self.random.number() % 3)]));
            }
            visible = visible.part(if self.random.chance(0.4) { part.own_only() } else { part });
        }
        visible
    }

    /// The live attempt, most often; else any.
    fn live_fence(&mut self, execution: Option<&Execution>) -> Fence {
        let live =
            execution.and_then(|execution| execution.live_attempt()).map(|attempt| attempt.fence);
        let any =
            Fence { epoch: Epoch { instance: 1, number: 1 }, number: self.below(self.fence + 1) };
        live.filter(|_| self.random.chance(0.9)).unwrap_or(any)
    }

    fn outcome(&mut self) -> Outcome {
        match self.below(5) {
            0 => Outcome::Succeeded(
                Json::serialize(&"y".repeat(self.below(3_000) as usize)).expect("JSON"),
            ),
            1 => Outcome::Failed(Failure::new("no").kind("Error")),
            2 => Outcome::Cancelled,
            3 => Outcome::TimedOut,
            _ => Outcome::Lost,
        }
    }

    async fn transition(&mut self) -> Transition {
        let id = self.id();
        let now = self.memory.execution(id).await.expect("a read");
        let fence = self.live_fence(now.as_deref());
        let ran = self.random.chance(0.5).then_some(Duration::from_micros(3));
        let log_end = self.random.chance(0.5).then(|| self.below(20));
        let is_live = now.as_ref().is_some_and(|execution| execution.live_attempt().is_some());
        let kind = match &now {
            // Anything, whether it holds or not.
            _ if self.random.chance(0.25) => self.below(11),
            None => 1,
            Some(_) if is_live => 7 + self.below(4),
            Some(_) => [0, 4, 5, 5, 5, 10][self.below(6) as usize],
        };
        match kind {
            0 => {
                let action = Action::new(format!("act {}", self.below(3))).expect("a name");
                Transition::Offer(Arc::new(action.priority(self.below(9) as i32)))
            }
            1..=3 => Transition::Accept(Arc::new(self.new_execution())),
            4 => Transition::Ready { execution: id },
            5..=6 => {
                self.fence += 1;
                let attempts = now.map_or(0, |execution| execution.attempts.len() as u32);
                Transition::Grant {
                    execution: id,
                    fence: Fence { epoch: Epoch { instance: 1, number: 1 }, number: self.fence },
                    attempt: attempts + 1,
                    worker: WorkerId::new("w-1").expect("an id"),
                    lease: Duration::from_millis(self.below(100)),
                }
            }
            7 => Transition::Start { execution: id, fence },
            8 => Transition::Cancelling { execution: id },
            9 => {
                let (outcome, not_before) = (Some(self.outcome()), self.time());
                Transition::Requeue { execution: id, fence, outcome, ran, log_end, not_before }
            }
            _ => {
                let fence = (is_live != self.random.chance(0.1)).then_some(fence);
                let outcome = self.outcome();
                Transition::Finish { execution: id, fence, outcome, ran, log_end }
            }
        }
    }

    async fn commit(&mut self) {
        let mut batch = Vec::new();
        // Long batches hardly ever hold.
        for _ in 0..=self.below(3) {
            batch.push(self.transition().await);
        }
        let at = Timestamp(self.step);
        let (memory, store) =
            (self.memory.commit(&batch, at).await, self.store.commit(&batch, at).await);
        assert_same(&format!("{batch:?}"), memory, store);
    }

    async fn append(&mut self) {
        let mut batches = Vec::new();
        for _ in 0..=self.below(2) {
            let execution = self.id();
            let now = self.memory.execution(execution).await.expect("a read");
            let stored = now.as_ref().map_or(0, |execution| execution.log_lines());
            let first_seq = stored + 1 + u64::from(self.random.chance(0.05));
            let count = if self.random.chance(0.05) { 2_000 } else { self.below(4) };
            let lines = (0..count).map(|line| format!("line {line} of {execution}")).collect();
            let chunk =
                LogChunk::new(first_seq, Timestamp(count), Stream::Stderr, Level::Warning, lines);
            let attempts = now.map_or(0, |execution| execution.attempts.len() as u32);
            let attempt = attempts - u32::from(attempts > 0 && self.random.chance(0.2));
            let ends = self.random.chance(0.2);
            let batch = LogBatch::new(execution, attempt, vec![Arc::new(chunk)]).ends(ends);
            batches.push(batch);
        }
        let (memory, store) =
            (self.memory.append_logs(&batches).await, self.store.append_logs(&batches).await);
        assert_same("an append", memory, store);
    }

    async fn read(&mut self) {
        let id = self.id();
        let read =
            assert_same("one", self.memory.execution(id).await, self.store.execution(id).await);
        let lines = read.flatten().map_or(0, |execution| execution.log_lines());
        let status = ["queued", "running", "succeeded", "failed", "lost"][self.below(5) as usize];
        let mut options = ListOptions::default();
        options
            .statuses
            .extend(self.random.chance(0.5).then(|| status.parse::<Status>().expect("a status")));
        options.statuses.extend(self.random.chance(0.2).then_some(Status::Running));
        options.requested_by =
            self.random.chance(0.1).then(|| format!("who {}", self.random.number() % 3));
        options.since = self.random.chance(0.2).then(|| Timestamp(self.random.number() % 50));
        options.until = self.random.chance(0.2).then(|| Timestamp(self.random.number() % 50));
        options.action =
            self.random.chance(0.3).then(|| format!("act {}", self.random.number() % 3));
        options.queue =
            self.random.chance(0.3).then(|| format!("queue {}", self.random.number() % 3));
        options.before = self.random.chance(0.3).then(|| self.id());
        let number = self.number.saturating_sub(self.below(99));
        options.number = self.random.chance(0.1).then_some(number);
        options.visible = self.random.chance(0.4).then(|| self.visible());
        options.limit = self.below(6) as usize;
        let (memory, store) =
            (self.memory.executions(&options).await, self.store.executions(&options).await);
        assert_same(&format!("{options:?}"), memory, store);
        let after = self.random.chance(0.5).then(|| self.id());
        let order = match self.below(3) {
            0 => QueueOrder::Ready {
                queue: format!("queue {}", self.below(2)).into(),
                action: {
                    let team = if self.random.chance(0.2) { "team 1/" } else { "" };
                    format!("{team}act {}", self.below(3)).into()
                },
                runtime: match self.below(3) {
                    2 => None,
                    runtime => Some(format!("runtime {runtime}").into()),
                },
                after: after.map(|id| (self.below(3) as i64 - 1, id)),
            },
            1 => QueueOrder::Delayed { after: after.map(|id| (Timestamp(self.below(50)), id)) },
            _ => QueueOrder::Expired { at: Timestamp(self.below(50)) },
        };
        let page = QueuePage {
            order,
            limit: self.below(8) as usize,
            max_bytes: self.below(4_000) as usize,
        };
        let (mut memory, store) = (self.memory.queued(&page).await, self.store.queued(&page).await);
        if let (Ok(memory), Ok(store)) = (&mut memory, &store)
            && store.iter().any(|execution| !execution.secrets.is_empty())
        {
            // Secrets may be longer in the store, and count as they are stored.
            memory.truncate(store.len());
        }
        assert_same(&format!("{page:?}"), memory, store);
        // Stores may portion lines differently.
        let after = self.below(lines + 2);
        let whole = |chunks: Vec<Arc<LogChunk>>| -> Vec<(u64, Timestamp, String)> {
            let after = chunks.iter().filter_map(|chunk| chunk.after(after));
            after
                .flat_map(|chunk| {
                    let numbers = chunk.first_seq..;
                    let time = chunk.time;
                    numbers
                        .zip(chunk.lines)
                        .map(move |(seq, line)| (seq, time, line))
                        .collect::<Vec<_>>()
                })
                .collect()
        };
        let all = usize::MAX;
        let (memory, store) =
            (self.memory.logs(id, after, all).await, self.store.logs(id, after, all).await);
        assert_same("a log", memory.map(whole), store.map(whole));
    }

    /// Ends the sessions, and opens the next ones.
    async fn reopen(mut self) -> Self {
        self.memory = self.memory.reopened().await;
        self.store = self.store.next().await.0;
        let described = |opened: &Opened| {
            let mut opened = opened.clone();
            opened.open_logs.sort_unstable_by_key(|execution| execution.id);
            opened.granted.sort_unstable_by_key(|execution| execution.id);
            opened.waiting.sort_unstable();
            let Opened { epoch, last_number, granted, open_logs, waiting, longest_lease, .. } =
                opened;
            (epoch.number, last_number, granted, open_logs, waiting, longest_lease, opened.actions)
        };
        assert_eq!(described(&self.store.opened), described(&self.memory.opened), "opening");
        self
    }
}

/// Random work has the same results as on the memory store. The environment variable `SEED` repeats
/// a run.
pub async fn random_work_agrees_with_the_memory_store<R: Reopen>(store: OpenStore<R>) {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| Timestamp::now().0);
    println!("to repeat this run, set SEED={seed}");
    let memory = open(MemoryStore::new()).await;
    let mut pair = Pair { memory, store, random: Random::new(seed), fence: 0, number: 0, step: 0 };
    for step in 0..2_000 {
        pair.step = step;
        match pair.below(100) {
            0 => pair = pair.reopen().await,
            1..=50 => pair.commit().await,
            51..=65 => pair.append().await,
            _ => pair.read().await,
        }
    }
    // The work was worth something.
    let options = ListOptions::default().limit(ListOptions::LIMIT_MAX);
    let all = pair.memory.executions(&options).await.expect("a list");
    let ended = all.iter().filter(|execution| execution.status.is_terminal()).count();
    let lines: u64 = all.iter().map(|execution| execution.log_lines()).sum();
    assert!(ended > 25 && lines > 60 && pair.fence > 60, "{ended} ended, {lines} lines");
}
