//! Keeps interpreters ready: one per slot, and spares to replace those that are stopped or crash.

mod late;

use std::collections::VecDeque;
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, SemaphorePermit, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

pub(super) use self::late::First;
use super::interpreter::{Interpreter, describe};
use super::launch::{End, Launch};
use super::template::Template;
use crate::discovered::Discovered;
use crate::error::PythonError;
use crate::isolation::{Isolation, IsolationByAction};

/// The number of interpreters that start at the same time: each keeps one core busy.
const MAX_STARTS: usize = 2;
/// After this number of failures in a row, attempts are given back instead of waiting for an
/// interpreter, and no others are accepted.
const MAX_FAILURES: u32 = 3;
/// The number of copies in a row that hang before no more are made.
const MAX_HUNG: u32 = 3;
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(10);

/// All interpreters of a pool.
#[derive(Debug)]
pub(super) struct Fleet {
    /// The number of interpreters that should run.
    target: usize,
    /// If it is set, interpreters are started only when attempts need them, apart from one, and end
    /// when none has needed them for this time.
    idle_timeout: Option<Duration>,
    /// One permit per attempt that can run.
    slots: Semaphore,
    state: Mutex<State>,
    /// Notified when an interpreter may be available.
    available: Notify,
    /// Notified when an interpreter may have to be started.
    wanted: Notify,
    /// The number of processes that have not been reaped.
    alive: watch::Sender<usize>,
    /// True once the pool is closed.
    closed: watch::Sender<bool>,
    /// The reason why no attempt can be started, while that is so.
    unable: watch::Sender<Option<String>>,
}

#[derive(Debug, Default)]
struct State {
    /// The way in which interpreters are started; `None` before the first one has started.
    launch: Option<Arc<Launch>>,
    /// The process of which interpreters are copies, if that is possible.
    template: Option<Arc<Template>>,
    /// The isolation of the actions that declare one.
    isolation: Arc<IsolationByAction>,
    idle: VecDeque<Interpreter>,
    /// The number of idle, busy and starting interpreters of all generations.
    live: usize,
    /// The number of starting interpreters.
    starting: usize,
    /// The number of those that import late files. No attempt waits for them.
    importing_late: usize,
    /// The number of failures to start, or to stay alive while idle, since the last attempt that
    /// ended well.
    failures: u32,
    reason: String,
    /// The number of interpreters that hung, or died while they imported late files, since the last
    /// attempt that ended well.
    hung: u32,
    closed: bool,
    /// The number of attempts that wait for children, each of which needs an extra interpreter.
    parked: usize,
    /// The number of extra interpreters to keep afterwards: attempts that wait for children tend to
    /// come again.
    extra_kept: usize,
    /// The number of attempts that wait for an interpreter.
    waiting: usize,
    /// The number of slots to remove as soon as they are free.
    slots_to_remove: usize,
}

/// The result of starting an interpreter of a generation.
type Started = (u64, Result<Interpreter, PythonError>);

impl State {
    /// Returns the reason why no attempt can be started.
    fn unable(&self) -> Option<String> {
        let is_unable = self.failures >= MAX_FAILURES && self.idle.is_empty() && !self.closed;
        is_unable.then(|| format!("no Python interpreter starts: {}", self.reason))
    }

    /// Returns true if no attempt needs another interpreter now, and the next one finds one.
    fn has_enough(&self) -> bool {
        match self.waiting {
            0 => !self.idle.is_empty() || self.starting > 0,
            // None of the idle ones will do.
            waiting => self.starting - self.importing_late >= waiting,
        }
    }

    fn is_current(&self, generation: u64) -> bool {
        self.launch.as_ref().is_some_and(|launch| launch.generation == generation)
    }

    /// Takes the suitable idle interpreter that was used last, whose memory is in the caches.
    ///
    /// Attempts that can share a process prefer used interpreters, and leave unused ones to
    /// attempts that cannot. Attempts that need late files prefer interpreters that have imported
    /// them; others prefer those that have not.
    fn take_idle(&mut self, isolation: Isolation, is_late: bool) -> Option<Interpreter> {
        let wants_used = isolation == Isolation::Reuse;
        let suits = |one: &Interpreter| wants_used || one.attempts == 0;
        let found = self.idle.iter().enumerate().filter(|(_, one)| suits(one));
        let (at, _) = found.max_by_key(|(at, one)| {
            (one.has_late == is_late, (one.attempts > 0) == wants_used, *at)
        })?;
        self.idle.remove(at)
    }
}

/// An interpreter in use. Dropping this kills it, and another one replaces it, unless it was put
/// back.
#[derive(Debug)]
pub(super) struct Busy<'a> {
    fleet: &'a Fleet,
    interpreter: Option<Interpreter>,
    slot: Option<SemaphorePermit<'a>>,
}

impl Fleet {
    pub(super) fn new(size: usize, spare: usize, idle_timeout: Option<Duration>) -> Arc<Self> {
        Arc::new(Self {
            target: size + spare,
            idle_timeout,
            slots: Semaphore::new(size),
            state: Mutex::default(),
            available: Notify::new(),
            wanted: Notify::new(),
            alive: watch::Sender::new(0),
            closed: watch::Sender::new(false),
            unable: watch::Sender::new(None),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns an interpreter for one attempt; waits for a slot and for an interpreter.
    pub(super) async fn take(
        &self,
        isolation: Isolation,
        is_late: bool,
    ) -> Result<Busy<'_>, String> {
        let slot = match self.slots.try_acquire() {
            Ok(slot) => slot,
            Err(_) => self.slots.acquire().await.map_err(|_| PythonError::Closed.to_string())?,
        };
        let mut has_retired = false;
        let interpreter = match self.try_take(isolation, is_late, &mut has_retired) {
            Some(result) => result?,
            None => {
                let _waiting = Waiting::new(self);
                loop {
                    let mut available = std::pin::pin!(self.available.notified());
                    // Registered before the check, so that no change is missed.
                    available.as_mut().enable();
                    if let Some(result) = self.try_take(isolation, is_late, &mut has_retired) {
                        break result?;
                    }
                    available.await;
                }
            }
        };
        if self.idle_timeout.is_some() {
            self.wanted.notify_one();
        }
        Ok(Busy { fleet: self, interpreter: Some(interpreter), slot: Some(slot) })
    }

    /// Returns an idle interpreter. If there are only used ones and the attempt needs another, one
    /// of them makes room for that, once per attempt.
    fn try_take(
        &self,
        isolation: Isolation,
        is_late: bool,
        has_retired: &mut bool,
    ) -> Option<Result<Interpreter, String>> {
        let mut state = self.lock();
        if state.closed {
            return Some(Err(PythonError::Closed.to_string()));
        }
        while let Some(interpreter) = state.take_idle(isolation, is_late) {
            match interpreter.exit_status() {
                None if interpreter.has_directory() => return Some(Ok(interpreter)),
                None => {
                    state.live -= 1;
                    self.wanted.notify_one();
                    drop(interpreter);
                }
                Some(status) => self.lost(&mut state, status),
            }
        }
        self.tell(&state);
        if let Some(reason) = state.unable() {
            return Some(Err(reason));
        }
        if !*has_retired
            && state.starting == state.importing_late
            && state.live >= self.target + state.parked
            && let Some(used) = state.idle.pop_front()
        {
            *has_retired = true;
            state.live -= 1;
            drop(state);
            drop(used);
            self.wanted.notify_one();
        }
        None
    }

    /// Tells the pool whether attempts can be started.
    fn tell(&self, state: &State) {
        let unable = state.unable();
        self.unable.send_if_modified(|told| {
            let is_new = *told != unable;
            *told = unable;
            is_new
        });
    }

    /// Returns a watch of the reason why no attempt can be started; `None` while one can be.
    pub(super) fn unable(&self) -> watch::Receiver<Option<String>> {
        self.unable.subscribe()
    }

    fn lost(&self, state: &mut State, status: ExitStatus) {
        state.live -= 1;
        state.failures += 1;
        state.reason = format!("the last one {} while idle", describe(status));
        self.wanted.notify_one();
    }

    /// Returns a watch of the pool's end, for running attempts.
    pub(super) fn closed(&self) -> watch::Receiver<bool> {
        self.closed.subscribe()
    }

    /// Returns the way in which interpreters are started.
    pub(super) fn launch(&self) -> Option<Arc<Launch>> {
        self.lock().launch.clone()
    }

    /// Returns the isolation of attempts at an action.
    pub(super) fn isolation_of(&self, action: &str) -> Isolation {
        let state = self.lock();
        let default = state.launch.as_ref().map(|launch| launch.isolation).unwrap_or_default();
        state.isolation.get(action).copied().unwrap_or(default)
    }

    /// Starts one interpreter.
    pub(super) async fn start(
        self: &Arc<Self>,
        launch: &Launch,
    ) -> Result<(Interpreter, Discovered), PythonError> {
        launch.start(|end, report| reap(self, end, report)).await
    }

    /// Copies the template, or starts another interpreter.
    async fn start_without_late(
        self: &Arc<Self>,
        launch: &Launch,
        template: Option<Arc<Template>>,
    ) -> Result<Interpreter, PythonError> {
        if let Some(template) = template.as_ref().filter(|template| template.is_usable()) {
            match self.copy(launch, template).await {
                Ok(interpreter) => return Ok(interpreter),
                Err(error) => template.failed(&error),
            }
        }
        let was_killed = template.is_some_and(|template| template.was_killed());
        let renew = was_killed && !self.copies_hang();
        let alone = launch.alone || !launch.late.is_empty();
        let launch = Launch { copies: renew, alone: alone && !renew, ..launch.clone() };
        let (mut interpreter, _) = self.start(&launch).await?;
        let Some(socket) = interpreter.template.take() else { return Ok(interpreter) };
        let template = Arc::new(Template::new(interpreter, socket));
        match self.copy(&launch, &template).await {
            Ok(interpreter) => {
                let mut state = self.lock();
                let is_wanted = !state.closed && state.hung < MAX_HUNG;
                if is_wanted && state.is_current(launch.generation) {
                    state.template = Some(template);
                }
                Ok(interpreter)
            }
            Err(error) => {
                template.failed(&error);
                let launch = Launch { copies: false, alone, ..launch };
                self.start(&launch).await.map(|(interpreter, _)| interpreter)
            }
        }
    }

    async fn copy(
        self: &Arc<Self>,
        launch: &Launch,
        template: &Arc<Template>,
    ) -> Result<Interpreter, PythonError> {
        launch.copy(template, |end, report| reap(self, end, report)).await
    }

    /// Runs new attempts on interpreters of this launch, of which `first` has started. Running
    /// attempts end on the others.
    pub(super) fn adopt(&self, launch: Arc<Launch>, first: First) {
        let First { template, interpreter: first, isolation } = first;
        let idle = {
            let mut state = self.lock();
            state.live -= state.idle.len();
            // The cause of earlier failures may be gone.
            (state.failures, state.hung) = (0, 0);
            state.launch = Some(launch);
            state.isolation = isolation;
            state.live += usize::from(first.is_some());
            let old = std::mem::replace(&mut state.template, template);
            (std::mem::take(&mut state.idle), old)
        };
        if let Some(first) = first {
            self.make_idle(first);
        }
        drop(idle);
        self.wanted.notify_one();
    }

    /// Starts interpreters as needed, until it is aborted.
    pub(super) async fn maintain(self: Arc<Self>) {
        let mut starting = JoinSet::new();
        let mut not_before: Option<Instant> = None;
        loop {
            while starting.len() < MAX_STARTS
                && not_before.is_none()
                && let Some(delay) = self.reserve_start()
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
            let unused = async {
                match self.unused_at() {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.wanted.notified() => {}
                () = unused => self.drop_unused(),
                Some(started) = starting.join_next() => self.started(started.ok()),
                () = backed_off => {
                    not_before = None;
                    self.lock().live += 1;
                    self.spawn_start(&mut starting);
                }
            }
        }
    }

    /// Returns the time at which the idle interpreter that was used first ends.
    fn unused_at(&self) -> Option<Instant> {
        let (timeout, state) = (self.idle_timeout?, self.lock());
        (state.idle.len() > 1)
            .then(|| state.idle.front().map(|first| first.idle_since + timeout))?
    }

    fn drop_unused(&self) {
        let unused = {
            let mut state = self.lock();
            let unused = state.idle.pop_front();
            state.live -= usize::from(unused.is_some());
            unused
        };
        // Without the lock: it kills the process.
        drop(unused);
    }

    fn spawn_start(self: &Arc<Self>, starting: &mut JoinSet<Started>) {
        let fleet = self.clone();
        let (launch, template) = {
            let mut state = self.lock();
            state.starting += 1;
            (state.launch.clone(), state.template.clone())
        };
        starting.spawn(async move {
            let Some(launch) = launch else { return (0, Err(PythonError::Closed)) };
            (launch.generation, fleet.start_another(&launch, template).await)
        });
    }

    /// Returns the delay before the start of another interpreter; `None` if none is needed.
    ///
    /// The interpreter counts as running from now on.
    fn reserve_start(&self) -> Option<Duration> {
        let mut state = self.lock();
        if state.closed || state.launch.is_none() || state.live >= self.target + state.parked {
            return None;
        }
        if self.idle_timeout.is_some() && state.has_enough() {
            return None;
        }
        state.live += 1;
        Some(match state.failures {
            0 => Duration::ZERO,
            failures => BACKOFF_MIN.saturating_mul(1 << (failures - 1).min(10)).min(BACKOFF_MAX),
        })
    }

    fn started(&self, result: Option<Started>) {
        self.lock().starting -= 1;
        match result {
            Some((_, Ok(interpreter))) => self.make_idle(interpreter),
            // A failure of an old generation says nothing about the present one.
            Some((generation, Err(_))) if !self.lock().is_current(generation) => {
                self.lock().live -= 1;
            }
            Some((_, Err(e))) => {
                let reason = e.with_cause();
                tracing::warn!("an interpreter did not start: {reason}");
                let mut state = self.lock();
                state.live -= 1;
                state.failures += 1;
                state.reason = reason;
                self.tell(&state);
            }
            // The start was aborted or panicked, which killed the process.
            None => self.lock().live -= 1,
        }
        self.available.notify_waiters();
    }

    fn make_idle(&self, interpreter: Interpreter) {
        let mut state = self.lock();
        if state.closed || !state.is_current(interpreter.generation) {
            state.live -= 1;
            drop(state);
            drop(interpreter);
            self.wanted.notify_one();
        } else {
            state.idle.push_back(interpreter);
            self.tell(&state);
            drop(state);
        }
        self.available.notify_waiters();
    }

    /// Removes idle interpreters that have ended, so that they are replaced before an attempt needs
    /// them.
    fn remove_dead(&self) {
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
        self.tell(&state);
        drop(state);
        self.available.notify_waiters();
    }

    /// Adds a slot while an attempt waits for a child.
    pub(super) fn add_slot(&self) {
        let mut state = self.lock();
        state.parked += 1;
        state.extra_kept = state.extra_kept.max(state.parked).min(self.target);
        match state.slots_to_remove {
            0 => self.slots.add_permits(1),
            _ => state.slots_to_remove -= 1,
        }
        drop(state);
        self.wanted.notify_one();
    }

    /// Removes a slot, as soon as one is free.
    pub(super) fn remove_slot(&self) {
        let mut state = self.lock();
        state.parked -= 1;
        match self.slots.try_acquire() {
            Ok(slot) => slot.forget(),
            Err(_) => state.slots_to_remove += 1,
        }
    }

    /// Kills all interpreters and waits until no process is left.
    pub(super) async fn close(&self) {
        let idle = {
            let mut state = self.lock();
            state.closed = true;
            state.live -= state.idle.len();
            (std::mem::take(&mut state.idle), state.template.take())
        };
        self.closed.send_replace(true);
        self.slots.close();
        self.available.notify_waiters();
        drop(idle);
        let mut alive = self.alive.subscribe();
        // Cannot fail: the sender is a field of this value.
        let _ = alive.wait_for(|alive| *alive == 0).await;
    }
}

/// Waits for the end of a process in the background, and reports it.
fn reap(fleet: &Arc<Fleet>, end: End, report: watch::Sender<Option<ExitStatus>>) {
    fleet.alive.send_modify(|alive| *alive += 1);
    let fleet: Weak<Fleet> = Arc::downgrade(fleet);
    tokio::spawn(async move {
        if let Some(status) = end.await {
            report.send_replace(Some(status));
        }
        if let Some(fleet) = fleet.upgrade() {
            fleet.alive.send_modify(|alive| *alive -= 1);
            fleet.remove_dead();
        }
    });
}

/// An attempt that waits for an interpreter.
#[derive(Debug)]
struct Waiting<'a>(&'a Fleet);

impl<'a> Waiting<'a> {
    fn new(fleet: &'a Fleet) -> Self {
        fleet.lock().waiting += 1;
        fleet.wanted.notify_one();
        Self(fleet)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.lock().waiting -= 1;
    }
}

impl<'a> Busy<'a> {
    /// Returns the interpreter.
    pub(super) fn interpreter(&mut self) -> &mut Interpreter {
        match &mut self.interpreter {
            Some(interpreter) => interpreter,
            None => unreachable!("only methods that consume self take it"),
        }
    }

    /// Returns the interpreter to the fleet, for the next attempt.
    pub(super) fn put_back(mut self) {
        let Some(mut interpreter) = self.interpreter.take() else { return };
        let is_due = interpreter.is_due();
        let mut state = self.fleet.lock();
        if state.closed || is_due || !state.is_current(interpreter.generation) {
            state.live -= 1;
            if is_due {
                // The attempt has ended well.
                state.failures = 0;
            }
            drop(state);
            drop(interpreter);
            self.fleet.wanted.notify_one();
            return;
        }
        state.failures = 0;
        if state.hung < MAX_HUNG {
            state.hung = 0;
        }
        interpreter.idle_since = Instant::now();
        if state.live > self.fleet.target + state.parked.max(state.extra_kept) {
            // It replaced one whose attempt waited for a child.
            state.live -= 1;
            return;
        }
        state.idle.push_back(interpreter);
        self.fleet.tell(&state);
        drop(state);
        self.fleet.available.notify_waiters();
        if self.fleet.idle_timeout.is_some() {
            self.fleet.wanted.notify_one();
        }
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        if let Some(interpreter) = self.interpreter.take() {
            // First: otherwise the kernel delays the removal of its cgroup until another
            // interpreter has moved into its own (20 ms, 2026-11).
            drop(interpreter);
            self.fleet.lock().live -= 1;
            self.fleet.wanted.notify_one();
        }
        let mut state = self.fleet.lock();
        if state.slots_to_remove > 0
            && let Some(slot) = self.slot.take()
        {
            state.slots_to_remove -= 1;
            slot.forget();
        }
    }
}
