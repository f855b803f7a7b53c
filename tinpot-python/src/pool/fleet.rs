//! Keeps interpreters ready: as many as there are places, and spares for those that are lost to a stop or a crash.

use std::collections::VecDeque;
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::process::Child;
use tokio::sync::{Notify, Semaphore, SemaphorePermit, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::interpreter::{Interpreter, Launch, describe};
use crate::discovered::Discovered;
use crate::error::PythonError;

/// So many interpreters start at the same time: each keeps one core busy.
const STARTS_AT_ONCE: usize = 2;
/// After so many failures in a row, attempts fail instead of waiting for an interpreter.
const FAILURES_MAX: u32 = 3;
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(10);

/// All interpreters of a pool.
#[derive(Debug)]
pub(super) struct Fleet {
    /// How many interpreters there should be.
    target: usize,
    /// One permit per attempt that may run.
    slots: Semaphore,
    state: Mutex<State>,
    /// Something changed for those who wait for an interpreter.
    changed: Notify,
    /// Something changed for the keeper.
    wanted: Notify,
    /// How many processes have not been reaped.
    alive: watch::Sender<usize>,
    /// Whether the pool is closed.
    closed: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct State {
    /// How interpreters are started now; none before the first one has.
    launch: Option<Arc<Launch>>,
    idle: VecDeque<Interpreter>,
    /// Idle, busy and starting ones, of all generations.
    live: usize,
    /// Since the last attempt that went well.
    failures: u32,
    reason: String,
    closed: bool,
    /// Attempts that wait for children: so many interpreters more are needed.
    parked: usize,
    /// So many of those are kept afterwards: where attempts wait for children, the next one will soon.
    kept: usize,
    /// Places that have to go when they are free.
    debt: usize,
}

/// How the start of an interpreter of some generation went.
type Started = (u64, Result<(Interpreter, Discovered), PythonError>);

impl State {
    fn is_current(&self, generation: u64) -> bool {
        self.launch.as_ref().is_some_and(|launch| launch.generation == generation)
    }
}

/// An interpreter in use. Unless it is put back, it is killed when this is dropped, and another takes its place.
#[derive(Debug)]
pub(super) struct Busy<'a> {
    fleet: &'a Fleet,
    interpreter: Option<Interpreter>,
    slot: Option<SemaphorePermit<'a>>,
}

impl Fleet {
    pub(super) fn new(size: usize, spare: usize) -> Arc<Self> {
        Arc::new(Self {
            target: size + spare,
            slots: Semaphore::new(size),
            state: Mutex::default(),
            changed: Notify::new(),
            wanted: Notify::new(),
            alive: watch::Sender::new(0),
            closed: watch::Sender::new(false),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An interpreter for one attempt; waits for a place and for an interpreter.
    pub(super) async fn take(&self) -> Result<Busy<'_>, String> {
        let slot = match self.slots.try_acquire() {
            Ok(slot) => slot,
            Err(_) => self.slots.acquire().await.map_err(|_| PythonError::Closed.to_string())?,
        };
        let interpreter = match self.try_take() {
            Some(result) => result?,
            None => loop {
                let mut changed = std::pin::pin!(self.changed.notified());
                // Registered before the look: no change can be missed.
                changed.as_mut().enable();
                if let Some(result) = self.try_take() {
                    break result?;
                }
                changed.await;
            },
        };
        Ok(Busy { fleet: self, interpreter: Some(interpreter), slot: Some(slot) })
    }

    fn try_take(&self) -> Option<Result<Interpreter, String>> {
        let mut state = self.lock();
        if state.closed {
            return Some(Err(PythonError::Closed.to_string()));
        }
        // The one that was used last: what it needs is in the caches.
        while let Some(interpreter) = state.idle.pop_back() {
            match interpreter.exit_status() {
                None => return Some(Ok(interpreter)),
                Some(status) => self.lost(&mut state, status),
            }
        }
        if state.failures >= FAILURES_MAX {
            return Some(Err(format!(
                "there is no Python interpreter to run it: {}",
                state.reason
            )));
        }
        None
    }

    fn lost(&self, state: &mut State, status: ExitStatus) {
        state.live -= 1;
        state.failures += 1;
        state.reason = format!("the last one {} while it was idle", describe(status));
        self.wanted.notify_one();
    }

    /// Whether the pool is closed, for attempts that run.
    pub(super) fn closed(&self) -> watch::Receiver<bool> {
        self.closed.subscribe()
    }

    /// How interpreters are started now.
    pub(super) fn launch(&self) -> Option<Arc<Launch>> {
        self.lock().launch.clone()
    }

    /// Starts one interpreter.
    pub(super) async fn start(
        self: &Arc<Self>,
        launch: &Launch,
    ) -> Result<(Interpreter, Discovered), PythonError> {
        launch.start(|child, report| reap(self, child, report)).await
    }

    /// From now on attempts run on interpreters of this launch, of which the first is here. Those that run end on the others.
    pub(super) fn adopt(&self, launch: Arc<Launch>, first: Interpreter) {
        let idle = {
            let mut state = self.lock();
            state.live -= state.idle.len();
            // Whatever kept earlier ones from starting.
            state.failures = 0;
            state.launch = Some(launch);
            state.live += 1;
            std::mem::take(&mut state.idle)
        };
        self.welcome(first);
        drop(idle);
        self.wanted.notify_one();
    }

    /// Keeps interpreters coming until it is aborted.
    pub(super) async fn keep(self: Arc<Self>) {
        let mut starting = JoinSet::new();
        let mut not_before: Option<Instant> = None;
        loop {
            while starting.len() < STARTS_AT_ONCE
                && not_before.is_none()
                && let Some(delay) = self.next_start()
            {
                if delay.is_zero() {
                    self.spawn_start(&mut starting);
                } else {
                    self.lock().live -= 1;
                    not_before = Some(Instant::now() + delay);
                }
            }
            let backed_off = async {
                match not_before {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.wanted.notified() => {}
                Some(started) = starting.join_next() => self.started(started.ok()),
                () = backed_off => {
                    not_before = None;
                    self.lock().live += 1;
                    self.spawn_start(&mut starting);
                }
            }
        }
    }

    fn spawn_start(self: &Arc<Self>, starting: &mut JoinSet<Started>) {
        let (fleet, launch) = (self.clone(), self.lock().launch.clone());
        starting.spawn(async move {
            let Some(launch) = launch else { return (0, Err(PythonError::Closed)) };
            (launch.generation, fleet.start(&launch).await)
        });
    }

    /// Whether one more is to be started, and after which delay; it counts as living from now on.
    fn next_start(&self) -> Option<Duration> {
        let mut state = self.lock();
        if state.closed || state.launch.is_none() || state.live >= self.target + state.parked {
            return None;
        }
        state.live += 1;
        Some(match state.failures {
            0 => Duration::ZERO,
            failures => BACKOFF_MIN.saturating_mul(1 << (failures - 1).min(10)).min(BACKOFF_MAX),
        })
    }

    fn started(&self, result: Option<Started>) {
        match result {
            Some((_, Ok((interpreter, _)))) => self.welcome(interpreter),
            // Meanwhile others are wanted, which may well start.
            Some((generation, Err(_))) if !self.lock().is_current(generation) => {
                self.lock().live -= 1;
            }
            Some((_, Err(e))) => {
                let source = std::error::Error::source(&e).map(|source| format!(": {source}"));
                let reason = format!("{e}{}", source.unwrap_or_default());
                tracing::warn!("an interpreter did not start: {reason}");
                let mut state = self.lock();
                state.live -= 1;
                state.failures += 1;
                state.reason = reason;
            }
            // The start was aborted or panicked; the process went with it.
            None => self.lock().live -= 1,
        }
        self.changed.notify_waiters();
    }

    fn welcome(&self, interpreter: Interpreter) {
        let mut state = self.lock();
        if state.closed || !state.is_current(interpreter.generation) {
            state.live -= 1;
            drop(state);
            drop(interpreter);
            self.wanted.notify_one();
        } else {
            state.idle.push_back(interpreter);
            drop(state);
        }
        self.changed.notify_waiters();
    }

    /// An idle interpreter may be the one that has ended: it is replaced before anybody needs it.
    fn sift(&self) {
        let mut state = self.lock();
        let idle = std::mem::take(&mut state.idle);
        for interpreter in idle {
            match interpreter.exit_status() {
                None => state.idle.push_back(interpreter),
                Some(status) => {
                    tracing::warn!("an idle interpreter {}", describe(status));
                    self.lost(&mut state, status);
                }
            }
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// One more attempt may run.
    pub(super) fn add_slot(&self) {
        let mut state = self.lock();
        state.parked += 1;
        state.kept = state.kept.max(state.parked).min(self.target);
        match state.debt {
            0 => self.slots.add_permits(1),
            _ => state.debt -= 1,
        }
        drop(state);
        self.wanted.notify_one();
    }

    /// One less may, as soon as a place is free.
    pub(super) fn remove_slot(&self) {
        let mut state = self.lock();
        state.parked -= 1;
        match self.slots.try_acquire() {
            Ok(slot) => slot.forget(),
            Err(_) => state.debt += 1,
        }
    }

    /// Kills all and waits until no process is left.
    pub(super) async fn close(&self) {
        let idle = {
            let mut state = self.lock();
            state.closed = true;
            state.live -= state.idle.len();
            std::mem::take(&mut state.idle)
        };
        self.closed.send_replace(true);
        self.slots.close();
        self.changed.notify_waiters();
        drop(idle);
        let mut alive = self.alive.subscribe();
        // The sender is a field of this value: it cannot be gone.
        let _ = alive.wait_for(|alive| *alive == 0).await;
    }
}

/// Waits for the end of `child` in the background, and reports it.
fn reap(fleet: &Arc<Fleet>, mut child: Child, report: watch::Sender<Option<ExitStatus>>) {
    fleet.alive.send_modify(|alive| *alive += 1);
    let fleet: Weak<Fleet> = Arc::downgrade(fleet);
    tokio::spawn(async move {
        if let Ok(status) = child.wait().await {
            report.send_replace(Some(status));
        }
        if let Some(fleet) = fleet.upgrade() {
            fleet.alive.send_modify(|alive| *alive -= 1);
            fleet.sift();
        }
    });
}

impl<'a> Busy<'a> {
    /// The interpreter.
    pub(super) fn interpreter(&mut self) -> &mut Interpreter {
        match &mut self.interpreter {
            Some(interpreter) => interpreter,
            None => unreachable!("it is taken out only by methods that consume self"),
        }
    }

    /// Gives it back for the next attempt.
    pub(super) fn put_back(mut self) {
        let Some(interpreter) = self.interpreter.take() else { return };
        let mut state = self.fleet.lock();
        if state.closed || !state.is_current(interpreter.generation) {
            state.live -= 1;
            drop(state);
            drop(interpreter);
            self.fleet.wanted.notify_one();
            return;
        }
        state.failures = 0;
        if state.live > self.fleet.target + state.parked.max(state.kept) {
            // One that had to be there while another one waited.
            state.live -= 1;
            return;
        }
        state.idle.push_back(interpreter);
        drop(state);
        self.fleet.changed.notify_waiters();
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        if let Some(interpreter) = self.interpreter.take() {
            // First: the kernel would let the removal of its cgroup wait until another interpreter has moved to its own (20 ms, 2026-11).
            drop(interpreter);
            self.fleet.lock().live -= 1;
            self.fleet.wanted.notify_one();
        }
        let mut state = self.fleet.lock();
        if state.debt > 0
            && let Some(slot) = self.slot.take()
        {
            state.debt -= 1;
            slot.forget();
        }
    }
}
