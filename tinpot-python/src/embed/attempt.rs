//! One attempt: the job that runs on a thread, and the handle that waits for it.

use std::sync::{Arc, Mutex, PoisonError};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};
use tinpot_core::Fence;
use tinpot_core::executor::Attempt;
use tinpot_core::{Context, ExecutionId, Json, Outcome, Stop, Watcher};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot, watch};

use super::interpreter::Interpreter;
use super::sink::Sink;
use super::spin::spin_until;
use crate::child_text;
use crate::reply::Reply;

/// The job of a thread.
pub(super) struct Job {
    interpreter: &'static Interpreter,
    entry: Arc<Py<PyAny>>,
    parameters: Json,
    sink: Arc<Sink>,
    limit: usize,
    stop_state: Arc<StopState>,
    done: oneshot::Sender<Option<Vec<u8>>>,
    execution: ExecutionId,
    fence: Fence,
    number: u32,
}

/// The handle of a job.
pub(super) struct JobHandle {
    interpreter: &'static Interpreter,
    stop_state: Arc<StopState>,
    done: oneshot::Receiver<Option<Vec<u8>>>,
    give_up: watch::Sender<bool>,
    finished: bool,
}

/// The state through which an attempt is stopped.
///
/// A thread that holds the interpreter's lock may take this lock, never the other way round: the
/// opposite order would deadlock.
struct StopState(Mutex<Phase>);

enum Phase {
    Waiting,
    /// Stopped before it began.
    Stopped,
    Running(Py<PyAny>),
    Ended,
}

impl StopState {
    fn enter(&self, phase: Phase) -> Phase {
        std::mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), phase)
    }

    /// Returns the attempt if it runs; otherwise remembers the request.
    fn request(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        let mut phase = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*phase {
            Phase::Running(attempt) => Some(attempt.clone_ref(py)),
            Phase::Waiting => {
                *phase = Phase::Stopped;
                None
            }
            Phase::Stopped | Phase::Ended => None,
        }
    }
}

impl Job {
    pub(super) fn new(
        interpreter: &'static Interpreter,
        entry: Arc<Py<PyAny>>,
        attempt: Attempt,
        context: &Context,
        slots: Arc<Semaphore>,
        limit: usize,
    ) -> (Self, JobHandle) {
        let Attempt { parameters, fence, execution, .. } = attempt;
        let stop_state = Arc::new(StopState(Mutex::new(Phase::Waiting)));
        let (done, is_done) = oneshot::channel();
        let (give_up, given_up) = watch::channel(false);
        let sink = Arc::new(Sink::new(context.clone(), slots, given_up, &interpreter.mark));
        let number = context.attempt();
        let job = Self {
            interpreter,
            entry,
            parameters,
            sink,
            limit,
            stop_state: stop_state.clone(),
            done,
            execution,
            fence,
            number,
        };
        let handle = JobHandle { interpreter, stop_state, done: is_done, give_up, finished: false };
        (job, handle)
    }

    /// Runs the attempt and sends its reply. The log is complete by then.
    pub(super) fn run(self, py: Python<'_>) {
        let reply = self.reply(py);
        self.sink.finish(py);
        self.stop_state.enter(Phase::Ended);
        // Fails if the future of the attempt was dropped.
        let _ = self.done.send(reply.ok());
    }

    fn reply(&self, py: Python<'_>) -> PyResult<Vec<u8>> {
        let interpreter = self.interpreter;
        let (execution, fence) = (self.execution.to_string(), self.fence.to_string());
        let about = (Output(self.sink.clone()), execution, fence, self.number);
        let attempt = interpreter.attempt.bind(py).call1(about)?;
        if let Phase::Stopped = self.stop_state.enter(Phase::Running(attempt.clone().unbind())) {
            let _ = interpreter.stop.bind(py).call1((&attempt,));
        }
        let parameters = PyString::new(py, self.parameters.as_str());
        // A stop may be raised in the last lines of `run`, after the reply was stored in the
        // attempt.
        let _ = interpreter.run.bind(py).call1((&attempt, &*self.entry, parameters, self.limit));
        let settled = interpreter.finish.bind(py).call1((&attempt,));
        // The exception may be raised in `finish` too. There is at most one, so the second call
        // succeeds.
        let reply = settled.or_else(|_| interpreter.finish.bind(py).call1((&attempt,)))?;
        Ok(reply.cast::<PyBytes>()?.as_bytes().to_vec())
    }
}

/// The sink of an attempt's lines and calls, for Python.
#[pyclass(frozen)]
struct Output(Arc<Sink>);

#[pymethods]
impl Output {
    fn emit(&self, py: Python<'_>, stream: usize, data: &[u8]) {
        self.0.write(py, stream, data);
    }

    fn ask<'py>(&self, py: Python<'py>, line: &[u8]) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let answer = self.0.call(py, line).map_err(|e| PyValueError::new_err(e.to_string()))?;
        Ok(answer.map(|answer| PyBytes::new(py, &answer)))
    }
}

impl JobHandle {
    /// Waits for the end of the attempt, and passes requests to stop on to it.
    ///
    /// `alone` is true if no other attempt runs in the interpreter.
    pub(super) async fn follow(
        mut self,
        context: &Context,
        mut closed: watch::Receiver<bool>,
        alone: bool,
    ) -> Outcome {
        let mut stops = context.stop_requests();
        let (mut asked, mut closing) = (false, false);
        // A short attempt ends before this thread would be asleep. With other attempts, this thread
        // has other work.
        if alone {
            spin_until(|| !self.done.is_empty() || self.done.is_terminated());
        }
        let reply = loop {
            tokio::select! {
                biased;
                reply = &mut self.done => break reply.ok().flatten(),
                _stop = next_stop(&mut stops), if !asked => {
                    asked = true;
                    self.ask();
                }
                _ = closed.wait_for(|closed| *closed), if !closing => {
                    closing = true;
                    self.ask();
                }
            }
        };
        self.finished = true;
        let reply = reply.and_then(|reply| child_text::read::<Reply>(&reply).ok());
        match reply {
            Some(Reply { cancelled: true, .. }) | None if asked => Outcome::Cancelled,
            Some(Reply { cancelled: true, .. }) if closing => {
                Outcome::failed("the executor was closed")
            }
            Some(reply) => reply.outcome(),
            None => Outcome::failed("the embedded interpreter sent no reply"),
        }
    }

    /// Raises `Cancelled` in the attempt.
    ///
    /// On another thread: the interpreter's lock may be held for long.
    fn ask(&self) {
        let (interpreter, stop_state) = (self.interpreter, self.stop_state.clone());
        // Lost if the runtime ends first: then the process ends.
        tokio::task::spawn_blocking(move || {
            Python::attach(|py| {
                if let Some(attempt) = stop_state.request(py) {
                    // A hook fails if its event loop has just ended.
                    let _ = interpreter.stop.bind(py).call1((attempt,));
                }
            });
        });
    }
}

impl Drop for JobHandle {
    /// Stops the attempt and discards its output: the future was dropped.
    fn drop(&mut self) {
        if !self.finished {
            self.give_up.send_replace(true);
            if Handle::try_current().is_ok() {
                self.ask();
            }
        }
    }
}

async fn next_stop(stops: &mut Watcher<Option<Stop>>) {
    if stops.wait_for(Option::is_some).await.is_err() {
        std::future::pending::<()>().await;
    }
}
