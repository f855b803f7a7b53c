//! Threads that are attached to the interpreter and wait for work without its lock.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use pyo3::Python;

use super::spin::spin_until;

/// The work of a thread.
pub(super) type Work = Box<dyn FnOnce(Python<'_>) + Send>;

/// A set of threads that grows as needed. When it is dropped, each thread ends after its present
/// work.
///
/// These are not the runtime's blocking threads: a runtime waits for those when it ends, and an
/// attempt may run forever.
#[derive(Default)]
pub(super) struct Threads(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    work: Condvar,
    /// True if there is work for the thread that polls without the lock.
    ready: AtomicBool,
}

#[derive(Default)]
struct State {
    /// The waiting work. The slots of the executor bound its length.
    waiting: VecDeque<Work>,
    /// The number of threads that wait for work, including the polling one.
    idle: usize,
    /// True if one of them polls instead of sleeping.
    polling: bool,
    ended: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for work; returns `None` at the end.
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
            if !std::mem::replace(&mut state.polling, true) {
                drop(state);
                spin_until(|| self.ready.load(Ordering::Acquire));
                state = self.lock();
                state.polling = false;
                // Work that arrived meanwhile was left to this thread: no other was woken for it.
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
    /// Runs `work` on an idle thread, or on a new one if none is idle.
    pub(super) fn run(&self, work: Work) -> io::Result<()> {
        let mut state = self.0.lock();
        if state.idle <= state.waiting.len() {
            let shared = self.0.clone();
            std::thread::Builder::new().name("tinpot-python".to_owned()).spawn(move || {
                // Attached once: attaching for each attempt would create a new thread state every
                // time.
                Python::attach(|py| {
                    while let Some(work) = py.detach(|| shared.next()) {
                        work(py);
                    }
                });
            })?;
        }
        state.waiting.push_back(work);
        self.0.ready.store(true, Ordering::Release);
        let left_to_poller = state.polling && state.waiting.len() == 1;
        drop(state);
        if !left_to_poller {
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
