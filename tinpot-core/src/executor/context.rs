//! The input of an attempt: what to run, and the means to communicate while it runs.

use std::collections::HashSet;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use super::calls::{CallSender, Child};
use super::log_writer::{LogLines, LogWriter};
use super::secrets::SecretSender;
use crate::model::deployed::{BundleRef, BundleTicket};
use crate::model::digest::Digest;
use crate::model::error::{Error, ErrorKind};
use crate::model::execution::SubmitOptions;
use crate::model::fence::Fence;
use crate::model::id::ExecutionId;
use crate::model::json::Json;
use crate::model::log::{Level, LogEvent, Progress, SpanId, SpanOutcome, Stream};
use crate::model::outcome::Outcome;
use crate::model::stop::Stop;
use crate::model::time::Timestamp;
use crate::watcher::Watcher;

/// Children with a key that an attempt remembers to have logged: 64 KiB. Beyond that, a child may
/// be logged twice.
const LOGGED_CHILDREN: usize = 4096;

/// One attempt at an execution: the action to run, and its parameters.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Attempt {
    /// The execution it belongs to.
    pub execution: ExecutionId,
    /// The [number](crate::Execution::number) of the execution; 0 if it is not known.
    pub execution_number: u64,
    /// The right to report; pass it to resources that can check it.
    pub fence: Fence,
    /// 1 for the first try.
    pub number: u32,
    /// The name of the action.
    pub action: Arc<str>,
    /// The parameters, a JSON object that was checked against the action's schema.
    pub parameters: Json,
    /// The longest time that it may run, for information. The worker enforces it by a [`Stop`].
    pub timeout: Option<Duration>,
    /// The bundle to run, if the action is deployed. It needs one of the runtimes that the executor
    /// offers, and has what else there is to know of the action.
    pub bundle: Option<Arc<BundleRef>>,
    /// The right to fetch the bundle and the uploads from the server that keeps them, while the attempt
    /// lives.
    pub ticket: Option<BundleTicket>,
    /// The digests of the uploads to which the parameters refer.
    pub upload_digests: Vec<Digest>,
    /// The directory with the uploads to which the parameters refer: each is a file with its digest
    /// as its name. `None` until they are fetched.
    pub uploads: Option<Arc<Path>>,
    /// The trace context of the execution, in the form of the header `traceparent` of W3C Trace
    /// Context.
    pub traceparent: Option<Arc<str>>,
}

impl Attempt {
    /// Returns the first attempt at an execution, without a timeout.
    pub fn new(
        execution: ExecutionId,
        fence: Fence,
        action: impl Into<Arc<str>>,
        parameters: Json,
    ) -> Self {
        Self {
            execution,
            execution_number: 0,
            fence,
            number: 1,
            action: action.into(),
            parameters,
            timeout: None,
            bundle: None,
            ticket: None,
            upload_digests: Vec::new(),
            uploads: None,
            traceparent: None,
        }
    }

    /// Sets the number of the execution.
    #[must_use]
    pub fn execution_number(mut self, number: u64) -> Self {
        self.execution_number = number;
        self
    }

    /// Sets the number of the attempt.
    #[must_use]
    pub fn number(mut self, number: u32) -> Self {
        self.number = number;
        self
    }

    /// Sets the longest time that it may run.
    #[must_use]
    pub fn timeout(mut self, timeout: Option<Duration>) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets the bundle to run, if the action is deployed.
    #[must_use]
    pub fn bundle(mut self, bundle: Option<Arc<BundleRef>>) -> Self {
        self.bundle = bundle;
        self
    }

    /// Sets the uploads to which the parameters refer.
    #[must_use]
    pub fn upload_digests(mut self, digests: Vec<Digest>) -> Self {
        self.upload_digests = digests;
        self
    }

    /// Sets the directory with the uploads to which the parameters refer.
    #[must_use]
    pub fn uploads(mut self, directory: Option<Arc<Path>>) -> Self {
        self.uploads = directory;
        self
    }

    /// Sets the right to fetch the bundle and the uploads.
    #[must_use]
    pub fn ticket(mut self, ticket: Option<BundleTicket>) -> Self {
        self.ticket = ticket;
        self
    }

    /// Sets the trace context of the execution.
    #[must_use]
    pub fn traceparent(mut self, traceparent: Option<Arc<str>>) -> Self {
        self.traceparent = traceparent;
        self
    }
}

/// Returns the two ends of a stop request. A later, shorter stop replaces an earlier one.
pub fn stop_channel() -> (watch::Sender<Option<Stop>>, watch::Receiver<Option<Stop>>) {
    watch::channel(None)
}

/// Waits until the grace period of a request to end is over.
pub(crate) async fn grace_expired(mut stops: Watcher<Option<Stop>>) {
    let mut stop = requested(&mut stops).await;
    loop {
        // A later, shorter request starts this wait again.
        match tokio::time::timeout(stop.grace, stops.next()).await {
            Err(_) => return,
            Ok(Some(Some(shorter))) => stop = shorter,
            Ok(Some(None)) => {}
            Ok(None) => return tokio::time::sleep(stop.grace).await,
        }
    }
}

/// Waits for a request to end.
async fn requested(stops: &mut Watcher<Option<Stop>>) -> Stop {
    loop {
        match stops.next().await {
            Some(Some(stop)) => return stop,
            Some(None) => {}
            // The sender is gone: no request can come.
            None => std::future::pending().await,
        }
    }
}

/// The parts of a [`Context`].
#[derive(Debug)]
#[non_exhaustive]
pub struct ContextParts {
    /// The writer of the attempt's log.
    pub logs: LogWriter,
    /// The requests to end the attempt.
    pub stop: Watcher<Option<Stop>>,
    /// The sender of the attempt's progress; the last report counts.
    pub progress: watch::Sender<Option<Progress>>,
    /// The sender of the attempt's calls of other actions; without it, calls fail.
    pub calls: Option<CallSender>,
    /// The sender of the attempt's requests for secrets; without it, there are none.
    pub secrets: Option<SecretSender>,
    /// The number of the attempt.
    pub attempt: u32,
    /// The trace context of the execution.
    pub traceparent: Option<Arc<str>>,
}

impl ContextParts {
    /// Returns the required parts, for a first attempt.
    pub fn new(
        logs: LogWriter,
        stop: impl Into<Watcher<Option<Stop>>>,
        progress: watch::Sender<Option<Progress>>,
    ) -> Self {
        Self {
            logs,
            stop: stop.into(),
            progress,
            calls: None,
            secrets: None,
            attempt: 1,
            traceparent: None,
        }
    }

    /// Sets the sender of calls of other actions.
    #[must_use]
    pub fn calls(mut self, calls: CallSender) -> Self {
        self.calls = Some(calls);
        self
    }

    /// Sets the sender of requests for secrets.
    #[must_use]
    pub fn secrets(mut self, secrets: SecretSender) -> Self {
        self.secrets = Some(secrets);
        self
    }

    /// Sets the number of the attempt.
    #[must_use]
    pub fn attempt(mut self, number: u32) -> Self {
        self.attempt = number;
        self
    }

    /// Sets the trace context of the execution.
    #[must_use]
    pub fn traceparent(mut self, traceparent: Option<Arc<str>>) -> Self {
        self.traceparent = traceparent;
        self
    }
}

/// The interface of a running attempt to its worker: log, progress, steps, calls of other actions,
/// secrets, and requests to stop. Cheap to clone.
///
/// ```
/// use tinpot_core::{Context, Failure, FunctionExecutor, Level, local};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> tinpot_core::Result<()> {
/// let executor = FunctionExecutor::builder()
///     .action("import", |context: Context, ()| async move {
///         context.progress(0.0, Some(2.0), "reading");
///         let read = |context: Context| async move {
///             context.log(Level::Info, "found 2 rows").await;
///             Ok::<_, Failure>(2)
///         };
///         let rows = context.step("read", read).await?;
///         context.progress(2.0, Some(2.0), "done");
///         context.summary(format!("Imported **{rows} rows**."));
///         Ok::<_, Failure>(rows)
///     })
///     .build()?;
/// let tinpot = local(executor).await?;
/// assert_eq!(tinpot.call::<u32>("import", ()).await?, 2);
/// # tinpot.shutdown(std::time::Duration::ZERO).await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Context {
    logs: LogWriter,
    stop: Watcher<Option<Stop>>,
    shared: Arc<SharedParts>,
    /// The step of this context.
    span: Option<SpanId>,
}

#[derive(Debug)]
struct SharedParts {
    progress: watch::Sender<Option<Progress>>,
    calls: Option<CallSender>,
    secrets: Option<SecretSender>,
    attempt: u32,
    traceparent: Option<Arc<str>>,
    spans: AtomicU32,
    /// Children that were called with a key, so that calling them again does not log them again.
    logged: Mutex<HashSet<ExecutionId>>,
}

impl Context {
    /// Creates a context from these parts. Workers create one for each attempt, as do tests of
    /// executors.
    pub fn new(parts: ContextParts) -> Self {
        let ContextParts { logs, stop, progress, calls, secrets, attempt, traceparent } = parts;
        let spans = AtomicU32::new(0);
        let logged = Mutex::default();
        let shared =
            Arc::new(SharedParts { progress, calls, secrets, attempt, traceparent, spans, logged });
        Self { logs, stop, shared, span: None }
    }

    /// Returns the writer of the log, for many lines at a time.
    pub fn logs(&self) -> &LogWriter {
        &self.logs
    }

    /// Writes a message to the log; each of its lines becomes a line.
    pub async fn log(&self, level: Level, message: impl AsRef<str>) {
        let lines = message.as_ref().lines().map(str::to_owned).collect();
        let lines = LogLines { span: self.span, ..LogLines::new(Stream::Log, level, lines) };
        self.logs.write_lines(lines).await;
    }

    /// Reports the progress of the action.
    pub fn progress(&self, done: f64, total: Option<f64>, message: impl Into<String>) {
        let message = self.logs.shown(message.into());
        self.shared.progress.send_replace(Some(Progress { done, total, message }));
        self.logs.wake();
    }

    /// Sets the summary of the attempt, in Markdown; the last one counts.
    pub fn summary(&self, markdown: impl Into<String>) {
        self.logs.event(&LogEvent::Summary { markdown: markdown.into() });
    }

    /// Returns the number of the attempt.
    pub fn attempt(&self) -> u32 {
        self.shared.attempt
    }

    /// Returns the trace context that the submitter gave, in the form of the header `traceparent` of
    /// W3C Trace Context.
    pub fn traceparent(&self) -> Option<&str> {
        self.shared.traceparent.as_deref()
    }

    /// Returns the step of this context; `None` outside of steps.
    pub fn span_id(&self) -> Option<SpanId> {
        self.span
    }

    /// Returns this context within another step.
    #[must_use]
    pub fn within(&self, span: Option<SpanId>) -> Self {
        Self { span, ..self.clone() }
    }

    /// Runs a part of the action as a named step. Log lines and calls through the context that the
    /// step receives belong to it.
    ///
    /// # Errors
    /// The error of the step.
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

    /// Calls another action, on any worker that serves its queue, and waits for its outcome.
    /// Meanwhile this attempt takes no slot. When this attempt ends in any way, the child is
    /// cancelled.
    ///
    /// # Errors
    /// Those of [`Coordinator::submit`](crate::Coordinator::submit); `Unavailable` outside of a
    /// worker; `InvalidInput` if executions are nested too deeply; `Closed` if the attempt has
    /// ended.
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

    /// Calls another action without waiting. The child goes on when this attempt ends, and is
    /// cancelled with this execution.
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

    /// Calls another action with typed parameters, and returns its typed result.
    ///
    /// # Errors
    /// Those of [`run`](Self::run); `Other` if the child does not succeed, with its execution and
    /// its failure.
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
            let message = "cannot call other actions: this attempt runs outside of a worker";
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
        let mut logged = self.shared.logged.lock().unwrap_or_else(PoisonError::into_inner);
        if logged.len() >= LOGGED_CHILDREN {
            logged.clear();
        }
        logged.insert(child)
    }

    /// Returns a secret that the coordinator keeps for the action's team, and masks it from now on.
    ///
    /// # Errors
    /// `NotFound` if there is no such secret, or the action may not have it; `Forbidden` if the
    /// coordinator sends no secrets to this worker; `Unavailable` outside of a worker; `Closed` if
    /// the attempt has ended.
    pub async fn secret(&self, name: &str) -> Result<Arc<str>, Error> {
        let Some(secrets) = &self.shared.secrets else {
            let message = "there are no secrets here: this attempt runs outside of a worker";
            return Err(Error::new(ErrorKind::Unavailable, message));
        };
        let value = secrets.ask(name).await?.value;
        // Before the action has it.
        self.mask(&*value);
        Ok(value)
    }

    /// Masks `text` from now on: log lines, fields, progress, the summary, the result and the
    /// failure show `***` instead. Each line of the text is masked too. Parameters with
    /// `"writeOnly": true` in their schema are always masked.
    ///
    /// The text is also found as JSON and as a literal of Python and similar languages, in URLs, in
    /// XML and HTML, quoted for a shell, in base64 and as hexadecimal digits. Masking is best
    /// effort: a text that is cut, split over lines, encoded otherwise or shorter than 4 characters
    /// is not found.
    pub fn mask(&self, text: impl AsRef<str>) {
        self.logs.mask(text.as_ref());
    }

    /// Resolves when the attempt is asked to end, at once if it already was.
    pub async fn stopped(&self) -> Stop {
        requested(&mut self.stop.clone()).await
    }

    /// Resolves when the grace period of the request to end has passed; never before a request.
    ///
    /// A later request with a shorter grace period shortens the wait. An executor kills the attempt
    /// then.
    pub async fn grace_expired(&self) {
        grace_expired(self.stop.clone()).await;
    }

    /// Returns the request to end, if there is one.
    pub fn stop_requested(&self) -> Option<Stop> {
        self.stop.current()
    }

    /// Returns all requests to end: a shorter one may follow the first.
    pub fn stop_requests(&self) -> Watcher<Option<Stop>> {
        self.stop.clone()
    }
}

/// An open step. It is dropped without an end if the future of the step is.
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
