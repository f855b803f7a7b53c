//! What an attempt is given: what to run, and the ways to talk to the world around it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::log_writer::LogWriter;
use crate::id::ExecutionId;
use crate::json::Json;
use crate::log::{Level, Progress, Stream};
use crate::protocol::Fence;

/// One try at an execution: what to run.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Attempt {
    /// The execution it belongs to.
    pub execution: ExecutionId,
    /// The right to report; pass it to resources that can check it.
    pub fence: Fence,
    /// 1 for the first try.
    pub number: u32,
    /// The name of the action.
    pub action: Arc<str>,
    /// The parameters, a JSON object that was checked against the action's schema.
    pub parameters: Json,
    /// How long it may run. The worker enforces this by a [`Stop`]; it is here for information.
    pub timeout: Option<Duration>,
}

impl Attempt {
    /// The first attempt at an execution, without a timeout.
    pub fn new(
        execution: ExecutionId,
        fence: Fence,
        action: impl Into<Arc<str>>,
        parameters: Json,
    ) -> Self {
        Self { execution, fence, number: 1, action: action.into(), parameters, timeout: None }
    }

    /// Sets the number of the attempt.
    #[must_use]
    pub fn number(mut self, number: u32) -> Self {
        self.number = number;
        self
    }

    /// Sets how long it may run.
    #[must_use]
    pub fn timeout(mut self, timeout: Option<Duration>) -> Self {
        self.timeout = timeout;
        self
    }
}

/// Why an attempt is asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StopReason {
    /// Somebody cancelled the execution.
    Cancelled,
    /// It ran longer than it may.
    TimedOut,
    /// The worker lost its lease: another attempt may start elsewhere.
    Fenced,
    /// The worker shuts down.
    ShuttingDown,
}

/// The request to end an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop {
    /// Why.
    pub reason: StopReason,
    /// How long after the request it is killed; zero means at once.
    pub grace: Duration,
}

/// The two ends of a stop request. A later, shorter stop replaces an earlier one.
pub fn stop_channel() -> (watch::Sender<Option<Stop>>, watch::Receiver<Option<Stop>>) {
    watch::channel(None)
}

/// What a [`Context`] is made of.
#[derive(Debug)]
pub struct ContextParts {
    /// Takes the attempt's log lines.
    pub logs: LogWriter,
    /// Says when the attempt has to end.
    pub stop: watch::Receiver<Option<Stop>>,
    /// Takes the attempt's progress; the last one counts.
    pub progress: watch::Sender<Option<Progress>>,
}

/// What an attempt may use while it runs; cheap to clone.
#[derive(Clone, Debug)]
pub struct Context {
    logs: LogWriter,
    stop: watch::Receiver<Option<Stop>>,
    progress: Arc<watch::Sender<Option<Progress>>>,
}

impl Context {
    /// A context of these parts: what a worker does for each attempt, and a test for the executor under test.
    pub fn new(parts: ContextParts) -> Self {
        Self { logs: parts.logs, stop: parts.stop, progress: Arc::new(parts.progress) }
    }

    /// Takes log lines, many at a time.
    pub fn logs(&self) -> &LogWriter {
        &self.logs
    }

    /// Writes one line to the log; a message with line ends becomes several.
    pub async fn log(&self, level: Level, message: impl AsRef<str>) {
        let lines = message.as_ref().lines().map(str::to_owned).collect();
        self.logs.write(Stream::Log, level, lines).await;
    }

    /// Says how far the action has come.
    pub fn progress(&self, done: f64, total: Option<f64>, message: impl Into<String>) {
        let message = self.logs.shown(message.into());
        self.progress.send_replace(Some(Progress { done, total, message }));
        self.logs.wake();
    }

    /// Keeps `text` out of what is written from now on: log lines, progress, the result and the error have `***` in its place, also where
    /// it is in JSON or base64. Parameters whose schema says `"writeOnly": true` are masked without asking.
    ///
    /// The best that can be done, and no more: what is cut, encoded in another way or shorter than 4 characters is not found.
    pub fn mask(&self, text: impl AsRef<str>) {
        self.logs.mask(text.as_ref());
    }

    /// Resolves when the attempt is asked to end; never before, and at once when it already is.
    pub async fn stopped(&self) -> Stop {
        let mut stop = self.stop.clone();
        loop {
            if let Some(stop) = *stop.borrow_and_update() {
                return stop;
            }
            if stop.changed().await.is_err() {
                // Nobody is left who could ask.
                std::future::pending::<()>().await;
            }
        }
    }

    /// The request to end, when there is one.
    pub fn stop_requested(&self) -> Option<Stop> {
        *self.stop.borrow()
    }

    /// Every request to end: the first may be followed by a shorter one.
    pub fn stop_requests(&self) -> watch::Receiver<Option<Stop>> {
        self.stop.clone()
    }
}
