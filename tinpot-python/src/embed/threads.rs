//! Threads that are attached to the interpreter, and wait for work without holding its lock.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use pyo3::Python;

use super::spin::spin_until;

/// What a thread is given to do.
pub(super) type Work = Box<dyn FnOnce(Python<'_>) + Send>;

/// A set of threads that grows as needed; dropping it lets each end when it has finished what it does.
///
/// They are not the runtime's blocking threads: a runtime waits for those at its end, and an attempt may go on for ever.
#[derive(Default)]
pub(super) struct Threads(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    work: Condvar,
    /// Whether there is something for a thread that looks without the lock.
    ready: AtomicBool,
}

#[derive(Default)]
struct State {
    /// At most as long as the executor has places.
    waiting: VecDeque<Work>,
    /// Threads that wait for work, the one that looks for it included.
    idle: usize,
    /// One of them does not sleep yet.
    looking: bool,
    ended: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for something to do; `None` at the end.
    fn next(&self) -> Option<Work> {
        let mut state = self.lock();
        loop {
            if let Some(work) = state.waiting.pop_front() {
                self.ready.store(!state.waiting.is_empty(), Ordering::Release);
                return Some(work);
            }
            if state.ended {
                return None;
            }
            state.idle += 1;
            if !std::mem::replace(&mut state.looking, true) {
                drop(state);
                spin_until(|| self.ready.load(Ordering::Acquire));
                state = self.lock();
                state.looking = false;
                // What came meanwhile was left to this thread, and nobody was woken for it.
                if state.waiting.is_empty() && !state.ended {
                    state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
            } else {
                state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            state.idle -= 1;
        }
    }
}

impl Threads {
    /// Has a thread do `work`, a new one when none is idle.
    pub(super) fn run(&self, work: Work) -> io::Result<()> {
        let mut state = self.0.lock();
        if state.idle <= state.waiting.len() {
            let shared = self.0.clone();
            std::thread::Builder::new().name("tinpot-python".to_owned()).spawn(move || {
                // Attached once: a thread that attaches for each attempt has a new thread state made for it every time.
                Python::attach(|py| {
                    while let Some(work) = py.detach(|| shared.next()) {
                        work(py);
                    }
                });
            })?;
        }
        state.waiting.push_back(work);
        self.0.ready.store(true, Ordering::Release);
        let left_to_one = state.looking && state.waiting.len() == 1;
        drop(state);
        if !left_to_one {
            self.0.work.notify_one();
        }
        Ok(())
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.0.lock().ended = true;
        self.0.ready.store(true, Ordering::Release);
        self.0.work.notify_all();
    }
}

impl fmt::Debug for Threads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Threads").field("idle", &self.0.lock().idle).finish_non_exhaustive()
    }
}
