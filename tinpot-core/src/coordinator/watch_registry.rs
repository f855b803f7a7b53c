//! The live state of executions for watchers: status, outcome and the extent of the log.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::watch;

use crate::model::execution::Execution;
use crate::model::fence::Fence;
use crate::model::id::{ExecutionId, WorkerId};
use crate::model::log::Progress;
use crate::model::outcome::Outcome;
use crate::model::status::Status;
use crate::model::transition::Transition;
use crate::model::visible::DEFAULT_TEAM;
use crate::protocol::seal::WorkerGrant;
use crate::protocol::{Heard, LogReceiver, heard};

/// The end of an attempt whose log has not ended yet.
#[derive(Debug)]
pub(crate) struct LogEnd {
    pub(crate) live: Arc<Live>,
    pub(crate) fence: Fence,
    /// The number of the last line, if the worker reported it.
    pub(crate) last_seq: Option<u64>,
}

/// The state that watchers observe.
#[derive(Clone, Debug)]
pub(super) struct LiveState {
    pub(super) status: Status,
    pub(super) outcome: Option<Outcome>,
    /// The last line in the store, as far as this epoch knows.
    pub(super) last_seq: u64,
    pub(super) progress: Option<Arc<Progress>>,
    /// If true, no line will follow.
    pub(super) log_closed: bool,
    /// If true, the execution was never accepted, and its watchers must stop waiting.
    pub(super) refused: bool,
    /// If true, status and outcome are known; otherwise only the store knows them.
    known: bool,
}

/// The extent to which an execution's log has been received.
#[derive(Debug, Default)]
pub(super) struct LogState {
    /// The granted attempts whose log has not ended, oldest first.
    pub(super) open: Vec<OpenLog>,
    /// The number of the execution's last line in the store; `None` if the store has to be asked.
    pub(super) last_seq: Option<u64>,
}

#[derive(Debug)]
pub(super) struct OpenLog {
    pub(super) fence: Fence,
    pub(super) attempt: u32,
    pub(super) receiver: LogReceiver,
}

/// An execution that may be watched, or whose lines may arrive.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) id: ExecutionId,
    pub(super) state: watch::Sender<LiveState>,
    pub(super) log: Mutex<LogState>,
    registry: Weak<Registry>,
}

impl Drop for Live {
    fn drop(&mut self) {
        if let Some(registry) = self.registry.upgrade() {
            registry.dropped(self.id);
        }
    }
}

impl Live {
    fn new(id: ExecutionId, registry: &Arc<Registry>) -> Arc<Self> {
        let state = LiveState {
            status: Status::Queued,
            outcome: None,
            last_seq: 0,
            progress: None,
            log_closed: false,
            refused: false,
            known: false,
        };
        let registry = Arc::downgrade(registry);
        Arc::new(Self { id, state: watch::Sender::new(state), log: Mutex::default(), registry })
    }

    /// Records the number of its lines in the store.
    pub(crate) fn counted(&self, lines: u64) {
        self.lock_log().last_seq.get_or_insert(lines);
    }

    /// Returns true if the number of its lines in the store is known.
    pub(crate) fn is_counted(&self) -> bool {
        self.lock_log().last_seq.is_some()
    }

    /// Returns true if the state here is newer than the store's.
    pub(super) fn is_known(&self) -> bool {
        self.state.borrow().known
    }

    /// Takes over the state in the store, unless the state here has changed since its creation.
    pub(super) fn learn(&self, execution: &Execution) {
        let mut log = self.lock_log();
        log.last_seq.get_or_insert(execution.log_lines());
        let log_closed = log.open.is_empty();
        self.state.send_if_modified(|state| {
            let learns = !state.known;
            if learns {
                state.known = true;
                state.status = execution.status;
                state.outcome = execution.outcome.clone();
                state.log_closed = execution.outcome.is_some() && log_closed;
            }
            learns
        });
    }

    pub(super) fn lock_log(&self) -> MutexGuard<'_, LogState> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_status(&self, status: Status) {
        self.state.send_modify(|state| {
            state.status = status;
            state.known = true;
        });
    }
}

/// The watched executions, and those whose log has not ended. It does not contain waiting
/// executions that are not watched, of which there may be a million.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    executions: Mutex<HashMap<ExecutionId, Weak<Live>>>,
    /// The attempts whose log has not ended, each with its holder.
    fences: Mutex<HashMap<Fence, (LogHolder, Arc<Live>)>>,
}

/// The worker that an attempt was granted to, and the team of the attempt.
#[derive(Clone, Debug)]
pub(crate) struct LogHolder {
    pub(crate) worker: WorkerId,
    /// `None` if the execution had ended when the attempt was granted: no key serves it.
    pub(crate) team: Option<Arc<str>>,
}

impl LogHolder {
    /// Returns true if workers of a key run the actions of the team.
    fn is_served_by(&self, grant: &WorkerGrant) -> bool {
        self.team.as_deref().is_some_and(|team| match team {
            "" => grant.serves(DEFAULT_TEAM),
            team => grant.serves(team),
        })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Registry {
    /// Returns the live state of an execution, and creates it if there is none.
    pub(super) fn live(self: &Arc<Self>, id: ExecutionId) -> Arc<Live> {
        let mut executions = lock(&self.executions);
        if let Some(live) = executions.get(&id).and_then(Weak::upgrade) {
            return live;
        }
        let live = Live::new(id, self);
        executions.insert(id, Arc::downgrade(&live));
        live
    }

    /// Returns the live state of an execution that has just been submitted.
    pub(super) fn submitted(self: &Arc<Self>, id: ExecutionId) -> Arc<Live> {
        let live = self.live(id);
        live.lock_log().last_seq = Some(0);
        live.set_status(Status::Queued);
        live
    }

    /// Returns the live state of an execution that is watched, or whose lines may arrive.
    pub(crate) fn get(&self, id: ExecutionId) -> Option<Arc<Live>> {
        lock(&self.executions).get(&id).and_then(Weak::upgrade)
    }

    fn dropped(&self, id: ExecutionId) {
        let mut executions = lock(&self.executions);
        // Another caller may have requested it again meanwhile.
        if executions.get(&id).is_some_and(|live| live.strong_count() == 0) {
            executions.remove(&id);
        }
    }

    /// Notes that an execution was not accepted.
    pub(crate) fn refuse(&self, id: ExecutionId) {
        if let Some(live) = self.get(id) {
            self.abandon_logs(&live);
            live.state.send_modify(|state| state.refused = true);
        }
    }

    /// Returns the execution of an attempt whose log is open if this worker is heard on it. `grant`
    /// is that of the worker's key, if it has one.
    ///
    /// The id of a worker is no secret: the holder of another team's key could use it after a restart.
    pub(crate) fn hears(
        &self,
        from: &WorkerId,
        fence: Fence,
        grant: Option<&WorkerGrant>,
    ) -> Heard<Arc<Live>> {
        let fences = lock(&self.fences);
        let granted = fences.get(&fence);
        match heard(granted.map(|(holder, live)| (&holder.worker, (holder, live))), from) {
            Heard::Holder((holder, _))
                if grant.is_some_and(|grant| !holder.is_served_by(grant)) =>
            {
                Heard::NotHolder
            }
            Heard::Holder((_, live)) => Heard::Holder(live.clone()),
            Heard::NotHolder => Heard::NotHolder,
            Heard::Unknown => Heard::Unknown,
        }
    }

    /// Opens the log of an attempt.
    pub(crate) fn open_log(
        self: &Arc<Self>,
        id: ExecutionId,
        fence: Fence,
        attempt: u32,
        holder: LogHolder,
    ) {
        let live = self.live(id);
        let mut log = live.lock_log();
        if attempt == 1 {
            log.last_seq.get_or_insert(0);
        }
        log.open.push(OpenLog { fence, attempt, receiver: LogReceiver::default() });
        drop(log);
        if !live.is_known() {
            live.set_status(Status::Queued);
        }
        lock(&self.fences).insert(fence, (holder, live));
    }

    /// Restores an execution of an earlier epoch whose lines may still arrive: those of its live
    /// attempt, and those that an ended attempt announced.
    pub(crate) fn restore(self: &Arc<Self>, execution: &Execution) -> Arc<Live> {
        let live = self.live(execution.id);
        let mut log = live.lock_log();
        for attempt in &execution.attempts {
            let lives = execution.live_attempt().is_some_and(|live| live.fence == attempt.fence);
            if lives || attempt.log_is_open() {
                let (fence, receiver) = (attempt.fence, LogReceiver::after(attempt.log_lines));
                log.open.push(OpenLog { fence, attempt: attempt.number, receiver });
                let (worker, team) = (attempt.worker.clone(), Some(execution.team.clone()));
                lock(&self.fences).insert(fence, (LogHolder { worker, team }, live.clone()));
            }
        }
        drop(log);
        live.learn(execution);
        live
    }

    /// Returns the attempts whose log has not ended.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn open_logs(&self) -> std::collections::BTreeSet<Fence> {
        lock(&self.fences).keys().copied().collect()
    }

    /// Returns the number of missing lines of an attempt's log, given the number of its last line.
    /// `None` if the log is not open.
    pub(crate) fn missing(&self, live: &Live, fence: Fence, last_seq: u64) -> Option<u64> {
        let log = live.lock_log();
        let open = log.open.iter().find(|open| open.fence == fence)?;
        Some(last_seq.saturating_sub(open.receiver.last_seq()))
    }

    /// Closes the log of an attempt: it is complete, or will not become more complete.
    pub(crate) fn close_log(&self, live: &Live, fence: Fence) {
        self.close_logs(live, |open| open == fence);
    }

    /// Closes all logs of an execution: their lines are not wanted any more.
    pub(crate) fn abandon_logs(&self, live: &Live) {
        self.close_logs(live, |_| true);
    }

    fn close_logs(&self, live: &Live, closes: impl Fn(Fence) -> bool) {
        let mut log = live.lock_log();
        log.open.retain(|open| {
            let closed = closes(open.fence);
            if closed {
                // The caller holds the execution, so dropping this reference ends nothing.
                lock(&self.fences).remove(&open.fence);
            }
            !closed
        });
        let ended = live.state.borrow().outcome.is_some();
        if ended && log.open.is_empty() {
            live.state.send_modify(|state| state.log_closed = true);
        }
    }

    /// Publishes a committed transition to the watchers.
    pub(crate) fn committed(&self, transition: Transition) {
        let Some(live) = transition.execution().and_then(|id| self.get(id)) else { return };
        match transition {
            Transition::Start { .. } => live.set_status(Status::Running),
            Transition::Cancelling { .. } => live.set_status(Status::Cancelling),
            Transition::Requeue { .. } => live.set_status(Status::Queued),
            Transition::Finish { outcome, .. } => self.end(&live, outcome),
            _ => {}
        }
    }

    /// Begins the end of an attempt's log, and returns the end that the intake has to wait for.
    pub(crate) fn begin_end(
        &self,
        execution: ExecutionId,
        fence: Fence,
        last_seq: Option<u64>,
    ) -> Option<LogEnd> {
        let live = self.get(execution)?;
        if last_seq == Some(0) {
            self.close_log(&live, fence);
            return None;
        }
        Some(LogEnd { live, fence, last_seq })
    }

    /// Ends an execution whose log may still be in flight.
    fn end(&self, live: &Live, outcome: Outcome) {
        // Held to the end: if another thread closes the last log meanwhile, either it sees the
        // outcome, or this function sees the closed log.
        let log = live.lock_log();
        let log_closed = log.open.is_empty();
        live.state.send_modify(|state| {
            state.status = outcome.status();
            state.outcome = Some(outcome);
            state.log_closed = log_closed;
            state.known = true;
        });
    }
}
