//! What an attempt is given: what to run, and the ways to talk to the world around it.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use super::calls::{CallSender, Child};
use super::log_writer::{LogLines, LogWriter};
use crate::model::error::{Error, ErrorKind};
use crate::model::execution::SubmitOptions;
use crate::model::fence::Fence;
use crate::model::id::ExecutionId;
use crate::model::json::Json;
use crate::model::log::{Level, LogEvent, Progress, SpanId, SpanOutcome, Stream};
use crate::model::outcome::Outcome;
use crate::model::stop::Stop;
use crate::model::time::Timestamp;

/// How many children an attempt remembers to have told of: 64 KiB. Beyond that one may be told of twice.
const TOLD_CHILDREN: usize = 4096;

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

/// The two ends of a stop request. A later, shorter stop replaces an earlier one.
pub fn stop_channel() -> (watch::Sender<Option<Stop>>, watch::Receiver<Option<Stop>>) {
    watch::channel(None)
}

/// What a [`Context`] is made of.
#[derive(Debug)]
#[non_exhaustive]
pub struct ContextParts {
    /// Takes the attempt's log lines.
    pub logs: LogWriter,
    /// Says when the attempt has to end.
    pub stop: watch::Receiver<Option<Stop>>,
    /// Takes the attempt's progress; the last one counts.
    pub progress: watch::Sender<Option<Progress>>,
    /// Takes the attempt's calls of other actions; without it they fail.
    pub calls: Option<CallSender>,
    /// The number of the attempt.
    pub attempt: u32,
}

impl ContextParts {
    /// The parts that there have to be, for a first attempt.
    pub fn new(
        logs: LogWriter,
        stop: watch::Receiver<Option<Stop>>,
        progress: watch::Sender<Option<Progress>>,
    ) -> Self {
        Self { logs, stop, progress, calls: None, attempt: 1 }
    }

    /// Sets where calls of other actions go.
    #[must_use]
    pub fn calls(mut self, calls: CallSender) -> Self {
        self.calls = Some(calls);
        self
    }

    /// Sets the number of the attempt.
    #[must_use]
    pub fn attempt(mut self, number: u32) -> Self {
        self.attempt = number;
        self
    }
}

/// What an attempt may use while it runs; cheap to clone.
#[derive(Clone, Debug)]
pub struct Context {
    logs: LogWriter,
    stop: watch::Receiver<Option<Stop>>,
    shared: Arc<SharedParts>,
    /// The step that this is the context of.
    span: Option<SpanId>,
}

#[derive(Debug)]
struct SharedParts {
    progress: watch::Sender<Option<Progress>>,
    calls: Option<CallSender>,
    attempt: u32,
    spans: AtomicU32,
    /// Children that were asked for under a key, so that asking again does not tell of them again.
    told: Mutex<HashSet<ExecutionId>>,
}

impl Context {
    /// A context of these parts: what a worker does for each attempt, and a test for the executor under test.
    pub fn new(parts: ContextParts) -> Self {
        let ContextParts { logs, stop, progress, calls, attempt } = parts;
        let spans = AtomicU32::new(0);
        let told = Mutex::default();
        let shared = Arc::new(SharedParts { progress, calls, attempt, spans, told });
        Self { logs, stop, shared, span: None }
    }

    /// Takes log lines, many at a time.
    pub fn logs(&self) -> &LogWriter {
        &self.logs
    }

    /// Writes one line to the log; a message with line ends becomes several.
    pub async fn log(&self, level: Level, message: impl AsRef<str>) {
        let lines = message.as_ref().lines().map(str::to_owned).collect();
        let lines = LogLines { span: self.span, ..LogLines::new(Stream::Log, level, lines) };
        self.logs.write_lines(lines).await;
    }

    /// Says how far the action has come.
    pub fn progress(&self, done: f64, total: Option<f64>, message: impl Into<String>) {
        let message = self.logs.shown(message.into());
        self.shared.progress.send_replace(Some(Progress { done, total, message }));
        self.logs.wake();
    }

    /// Says in Markdown what there is to say about all of it; the last text counts.
    pub fn summary(&self, markdown: impl Into<String>) {
        self.logs.event(&LogEvent::Summary { markdown: markdown.into() });
    }

    /// The number of the attempt.
    pub fn attempt(&self) -> u32 {
        self.shared.attempt
    }

    /// The step that this is the context of; none at the top.
    pub fn span_id(&self) -> Option<SpanId> {
        self.span
    }

    /// The same context within another step.
    #[must_use]
    pub fn within(&self, span: Option<SpanId>) -> Self {
        Self { span, ..self.clone() }
    }

    /// Runs a part of the action as a step with a name: what it logs and calls through the context that it is given belongs to that step.
    ///
    /// # Errors
    /// What the step returns.
    pub async fn step<T, E, Fut>(
        &self,
        name: &str,
        step: impl FnOnce(Context) -> Fut,
    ) -> Result<T, E>
    where
        E: std::fmt::Display,
        Fut: Future<Output = Result<T, E>>,
    {
        let mut open = OpenSpan::start(self, name);
        let result = step(open.context.clone()).await;
        match &result {
            Ok(_) => open.end(SpanOutcome::Succeeded, None),
            Err(error) if self.stop_requested().is_some() => {
                open.end(SpanOutcome::Cancelled, Some(error.to_string()));
            }
            Err(error) => open.end(SpanOutcome::Failed, Some(error.to_string())),
        }
        result
    }

    /// Has another action run, on whichever worker serves its queue, and waits for its end. Meanwhile this attempt takes no slot. The child
    /// is cancelled when this attempt ends, however it does.
    ///
    /// # Errors
    /// Those of [`Coordinator::submit`](crate::Coordinator::submit); `Unavailable` when there is nobody to ask; `InvalidInput` when executions
    /// are nested too deep.
    pub async fn run(
        &self,
        action: &str,
        parameters: Json,
        options: SubmitOptions,
    ) -> Result<(ExecutionId, Outcome), Error> {
        let mut child = self.ask(action, parameters, options, true).await?;
        let outcome = child.outcome().await?;
        Ok((child.execution, outcome))
    }

    /// Has another action run, and does not wait. It goes on when this attempt ends, but ends when this execution is cancelled.
    ///
    /// # Errors
    /// Those of [`run`](Self::run).
    pub async fn submit(
        &self,
        action: &str,
        parameters: Json,
        options: SubmitOptions,
    ) -> Result<ExecutionId, Error> {
        Ok(self.ask(action, parameters, options, false).await?.execution)
    }

    /// [`run`](Self::run) with typed parameters and result.
    ///
    /// # Errors
    /// Those of `run`; `Other` when the child does not succeed, with its execution and its error.
    pub async fn call<R: DeserializeOwned>(
        &self,
        action: &str,
        parameters: impl Serialize,
    ) -> Result<R, Error> {
        let parameters = Json::serialize(&parameters)?;
        let (id, outcome) = self.run(action, parameters, SubmitOptions::new()).await?;
        match outcome.value() {
            Some(value) => value.deserialize(),
            None => {
                let error = outcome.error().unwrap_or_default();
                let message = format!("{action} (execution {id}) did not succeed: {error}");
                Err(Error::new(ErrorKind::Other, message))
            }
        }
    }

    async fn ask(
        &self,
        action: &str,
        parameters: Json,
        options: SubmitOptions,
        wait: bool,
    ) -> Result<Child, Error> {
        let Some(calls) = &self.shared.calls else {
            let message = "nobody here can have other actions run";
            return Err(Error::new(ErrorKind::Unavailable, message));
        };
        let has_key = options.idempotency_key.is_some();
        let child = calls.ask(action, parameters, options, self.span, wait).await?;
        let (execution, span) = (child.execution, self.span);
        if !has_key || self.is_news(execution) {
            let action = action.to_owned();
            self.logs.event(&LogEvent::Child { execution, action, span });
        }
        Ok(child)
    }

    fn is_news(&self, child: ExecutionId) -> bool {
        let mut told = self.shared.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() >= TOLD_CHILDREN {
            told.clear();
        }
        told.insert(child)
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

    /// Resolves when the grace period of the request to end has passed; never before a request.
    ///
    /// A later request with a shorter grace period shortens the wait. An executor kills the attempt
    /// then.
    pub async fn grace_expired(&self) {
        let mut stops = self.stop.clone();
        loop {
            let stop = *stops.borrow_and_update();
            let Some(stop) = stop else {
                if stops.changed().await.is_err() {
                    // The sender is gone: no request can come.
                    std::future::pending::<()>().await;
                }
                continue;
            };
            // A later, shorter request starts this wait again.
            match tokio::time::timeout(stop.grace, stops.changed()).await {
                Err(_) => return,
                Ok(Ok(())) => {}
                Ok(Err(_)) => return tokio::time::sleep(stop.grace).await,
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

/// A step that has begun. When it is dropped without an end, the future that it was in was.
struct OpenSpan {
    context: Context,
    id: SpanId,
    begin: Instant,
    ended: bool,
}

impl OpenSpan {
    fn start(parent: &Context, name: &str) -> Self {
        let number = parent.shared.spans.fetch_add(1, Ordering::Relaxed) + 1;
        let id = SpanId { attempt: parent.shared.attempt, number };
        let (name, at) = (name.to_owned(), Timestamp::now());
        parent.logs.event(&LogEvent::SpanStarted { span: id, parent: parent.span, name, at });
        let context = Context { span: Some(id), ..parent.clone() };
        Self { context, id, begin: Instant::now(), ended: false }
    }

    fn end(&mut self, outcome: SpanOutcome, error: Option<String>) {
        if !std::mem::replace(&mut self.ended, true) {
            let took_us = self.begin.elapsed().as_micros() as u64;
            let ended = LogEvent::SpanEnded { span: self.id, outcome, took_us, error };
            self.context.logs.event(&ended);
        }
    }
}

impl Drop for OpenSpan {
    fn drop(&mut self) {
        self.end(SpanOutcome::Cancelled, None);
    }
}
