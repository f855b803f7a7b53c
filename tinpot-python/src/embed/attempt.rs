//! One attempt: the side that runs it on a thread, and the side that waits for it.

use std::sync::{Arc, Mutex, PoisonError};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};
use tinpot_core::protocol::Fence;
use tinpot_core::{Attempt, Context, ExecutionId, Json, Outcome, Stop};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot, watch};

use super::interpreter::Interpreter;
use super::sink::Sink;
use super::spin::spin_until;
use crate::reply::Reply;

/// What a thread runs.
pub(super) struct Job {
    interpreter: &'static Interpreter,
    entry: Arc<Py<PyAny>>,
    parameters: Json,
    sink: Arc<Sink>,
    limit: usize,
    place: Arc<Place>,
    done: oneshot::Sender<Option<Vec<u8>>>,
    execution: ExecutionId,
    fence: Fence,
    number: u32,
}

/// The other side.
pub(super) struct JobHandle {
    interpreter: &'static Interpreter,
    place: Arc<Place>,
    done: oneshot::Receiver<Option<Vec<u8>>>,
    give_up: watch::Sender<bool>,
    finished: bool,
}

/// Where an attempt can be asked to end. The lock is taken by whoever holds the interpreter's, never the other way round.
struct Place(Mutex<Phase>);

enum Phase {
    Waiting,
    /// CallRequest to end before it began.
    CallRequest,
    Running(Py<PyAny>),
    Over,
}

impl Place {
    fn enter(&self, phase: Phase) -> Phase {
        std::mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), phase)
    }

    /// The attempt, when it runs; otherwise the request is remembered.
    fn ask(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        let mut phase = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*phase {
            Phase::Running(attempt) => Some(attempt.clone_ref(py)),
            Phase::Waiting => {
                *phase = Phase::CallRequest;
                None
            }
            Phase::CallRequest | Phase::Over => None,
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
        let place = Arc::new(Place(Mutex::new(Phase::Waiting)));
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
            place: place.clone(),
            done,
            execution,
            fence,
            number,
        };
        let handle = JobHandle { interpreter, place, done: is_done, give_up, finished: false };
        (job, handle)
    }

    /// Runs the attempt and hands over its reply; the log is complete by then.
    pub(super) fn run(self, py: Python<'_>) {
        let reply = self.reply(py);
        self.sink.finish(py);
        self.place.enter(Phase::Over);
        // Nobody waits any more when this fails.
        let _ = self.done.send(reply.ok());
    }

    fn reply(&self, py: Python<'_>) -> PyResult<Vec<u8>> {
        let interpreter = self.interpreter;
        let (execution, fence) = (self.execution.to_string(), self.fence.to_string());
        let about = (Output(self.sink.clone()), execution, fence, self.number);
        let attempt = interpreter.attempt.bind(py).call1(about)?;
        if let Phase::CallRequest = self.place.enter(Phase::Running(attempt.clone().unbind())) {
            let _ = interpreter.stop.bind(py).call1((&attempt,));
        }
        let parameters = PyString::new(py, self.parameters.as_str());
        // A request to end may arrive on the last lines, where nobody catches it: the reply is kept in the attempt all the same.
        let _ = interpreter.run.bind(py).call1((&attempt, &*self.entry, parameters, self.limit));
        let settled = interpreter.settle.bind(py).call1((&attempt,));
        // At most one such exception is ever on its way, so that the second call is undisturbed.
        let reply = settled.or_else(|_| interpreter.settle.bind(py).call1((&attempt,)))?;
        Ok(reply.cast::<PyBytes>()?.as_bytes().to_vec())
    }
}

/// Where an attempt's lines and calls go, for Python.
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
    /// Waits for the end of the attempt, and passes requests to end on to it. `alone`: nothing else runs in the interpreter.
    pub(super) async fn follow(
        mut self,
        context: &Context,
        mut closed: watch::Receiver<bool>,
        alone: bool,
    ) -> Outcome {
        let mut stops = context.stop_requests();
        stops.mark_changed();
        let (mut asked, mut closing) = (false, false);
        // A short attempt has ended before this thread would be asleep; with others under way, it has other things to do.
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
        let reply = reply.and_then(|reply| serde_json::from_slice::<Reply>(&reply).ok());
        match reply {
            Some(Reply { cancelled: true, .. }) | None if asked => Outcome::Cancelled,
            Some(Reply { cancelled: true, .. }) if closing => {
                Outcome::failed("the executor was closed")
            }
            Some(reply) => reply.outcome(),
            None => Outcome::failed("the embedded interpreter gave no reply"),
        }
    }

    /// Has `Cancelled` raised in the attempt. On a thread of its own: the interpreter's lock may be held for long.
    fn ask(&self) {
        let (interpreter, place) = (self.interpreter, self.place.clone());
        // Aborted with the runtime at worst: then the process ends.
        tokio::task::spawn_blocking(move || {
            Python::attach(|py| {
                if let Some(attempt) = place.ask(py) {
                    // A hook that fails belongs to an event loop that has just ended.
                    let _ = interpreter.stop.bind(py).call1((attempt,));
                }
            });
        });
    }
}

impl Drop for JobHandle {
    /// The future was dropped: the attempt is asked to end, and nobody waits for what it prints.
    fn drop(&mut self) {
        if !self.finished {
            self.give_up.send_replace(true);
            if Handle::try_current().is_ok() {
                self.ask();
            }
        }
    }
}

async fn next_stop(stops: &mut watch::Receiver<Option<Stop>>) {
    if stops.wait_for(Option::is_some).await.is_err() {
        std::future::pending::<()>().await;
    }
}
