//! What is watched of executions while they live: status, outcome, how far the log is.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::execution::{Execution, Outcome, Status};
use crate::id::ExecutionId;
use crate::log::Progress;
use crate::protocol::{Fence, LogReceiver};

/// What watchers see change.
#[derive(Clone, Debug)]
pub(super) struct LiveState {
    pub(super) status: Status,
    pub(super) outcome: Option<Outcome>,
    /// The last line in the store, as far as this life of the coordinator knows.
    pub(super) last_seq: u64,
    pub(super) progress: Option<Arc<Progress>>,
    /// No line will follow.
    pub(super) log_closed: bool,
    /// It was never accepted: whoever waits must stop waiting.
    pub(super) refused: bool,
}

/// How far an execution's log has been received.
#[derive(Debug, Default)]
pub(super) struct LogState {
    /// The attempts that were granted and whose log has not ended, oldest first.
    pub(super) open: Vec<OpenLog>,
    /// The number of the execution's last line in the store.
    pub(super) last_seq: u64,
}

#[derive(Debug)]
pub(super) struct OpenLog {
    pub(super) fence: Fence,
    pub(super) attempt: u32,
    pub(super) receiver: LogReceiver,
}

/// An execution that somebody may watch.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) id: ExecutionId,
    pub(super) state: watch::Sender<LiveState>,
    pub(super) log: Mutex<LogState>,
}

impl Live {
    /// One that has just been submitted.
    pub(super) fn queued(id: ExecutionId) -> Arc<Self> {
        Self::new(id, Status::Queued, None)
    }

    fn new(id: ExecutionId, status: Status, outcome: Option<Outcome>) -> Arc<Self> {
        let log_closed = outcome.is_some();
        let state =
            LiveState { status, outcome, last_seq: 0, progress: None, log_closed, refused: false };
        Arc::new(Self { id, state: watch::Sender::new(state), log: Mutex::default() })
    }

    /// One that nothing changes any more.
    pub(super) fn of(execution: &Execution) -> Arc<Self> {
        Self::new(execution.id, execution.status, execution.outcome.clone())
    }

    pub(super) fn lock_log(&self) -> MutexGuard<'_, LogState> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_status(&self, status: Status) {
        self.state.send_modify(|state| state.status = status);
    }
}

/// The executions that have not ended, and those whose log has not.
#[derive(Debug, Default)]
pub(super) struct Registry {
    executions: Mutex<HashMap<ExecutionId, Arc<Live>>>,
    fences: Mutex<HashMap<Fence, Arc<Live>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Registry {
    /// Makes an execution known to watchers.
    pub(super) fn insert(&self, live: Arc<Live>) {
        lock(&self.executions).insert(live.id, live);
    }

    pub(super) fn get(&self, id: ExecutionId) -> Option<Arc<Live>> {
        lock(&self.executions).get(&id).cloned()
    }

    /// Forgets an execution that was not accepted.
    pub(super) fn refuse(&self, id: ExecutionId) {
        if let Some(live) = lock(&self.executions).remove(&id) {
            self.abandon_logs(&live);
            live.state.send_modify(|state| state.refused = true);
        }
    }

    pub(super) fn by_fence(&self, fence: Fence) -> Option<Arc<Live>> {
        lock(&self.fences).get(&fence).cloned()
    }

    /// An attempt may write log lines from now on.
    pub(super) fn open_log(&self, id: ExecutionId, fence: Fence, attempt: u32) {
        if let Some(live) = self.get(id) {
            live.lock_log().open.push(OpenLog { fence, attempt, receiver: LogReceiver::default() });
            lock(&self.fences).insert(fence, live);
        }
    }

    /// How many lines of the attempt's log are missing, given the number of its last one; `None` when the log is not open.
    pub(super) fn missing(&self, live: &Live, fence: Fence, last_seq: u64) -> Option<u64> {
        let log = live.lock_log();
        let open = log.open.iter().find(|open| open.fence == fence)?;
        Some(last_seq.saturating_sub(open.receiver.last_seq()))
    }

    /// The attempt's log is complete, or as complete as it gets.
    pub(super) fn close_log(&self, live: &Live, fence: Fence) {
        self.close_logs(live, |open| open == fence);
    }

    /// Nobody wants the lines of its attempts any more.
    pub(super) fn abandon_logs(&self, live: &Live) {
        self.close_logs(live, |_| true);
    }

    fn close_logs(&self, live: &Live, closes: impl Fn(Fence) -> bool) {
        let mut log = live.lock_log();
        log.open.retain(|open| {
            let closed = closes(open.fence);
            if closed {
                lock(&self.fences).remove(&open.fence);
            }
            !closed
        });
        let ended = live.state.borrow().outcome.is_some();
        if ended && log.open.is_empty() {
            live.state.send_modify(|state| state.log_closed = true);
            lock(&self.executions).remove(&live.id);
        }
    }

    /// The execution has ended; its log may still be on its way.
    pub(super) fn end(&self, live: &Live, outcome: Outcome) {
        // Held to the end: whoever closes the last log meanwhile must see the outcome, or be seen here.
        let log = live.lock_log();
        let log_closed = log.open.is_empty();
        live.state.send_modify(|state| {
            state.status = outcome.status();
            state.outcome = Some(outcome);
            state.log_closed = log_closed;
        });
        if log_closed {
            lock(&self.executions).remove(&live.id);
        }
    }
}
