//! The interpreter that runs many attempts at once: coroutines of actions with `concurrency`.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Deserialize;
use tinpot_contain::{Part, StopRequest, StopRequests};
use tinpot_core::executor::Attempt;
use tinpot_core::{Context, Failure, FailureCode, Outcome};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::attempt::crash;
use super::fleet::Fleet;
use super::interpreter::{Interpreter, exited, kill};
use super::launch::Launch;
use super::output::Tail;
use crate::calls::CallRequest;
use crate::child_text;
use crate::error::PythonError;
use crate::markup_lines::{self, MarkupReader};
use crate::reply::Reply;

/// The requests that wait for the interpreter's loop. Further ones wait in their attempts.
const MAX_REQUESTS: usize = 1024;
/// The number of interpreters that an attempt tries, if each ends just before it would start.
const MAX_TRIES: usize = 3;

/// The interpreter for new attempts.
#[derive(Debug, Default)]
pub(super) struct SharedInterpreter {
    host: tokio::sync::Mutex<Option<Host>>,
    last: AtomicU64,
}

/// A handle of an interpreter. When the last one is dropped, the loop ends, and the interpreter
/// with it.
#[derive(Clone, Debug)]
struct Host {
    generation: u64,
    requests: mpsc::Sender<Request>,
}

#[derive(Debug)]
enum Request {
    Run {
        number: u64,
        line: Vec<u8>,
        context: Context,
        ended: Waiter,
    },
    /// Ends an attempt.
    Cancel(u64),
    /// Kills the interpreter, because an attempt did not end in time.
    Kill,
}

/// The interpreter ended before it received the attempt.
#[derive(Debug)]
struct NeverRan;

/// The attempt that a reply belongs to. Parsed separately: raw JSON does not survive `flatten`.
#[derive(Deserialize)]
struct Ended {
    id: u64,
}

/// The attempt that a call belongs to.
#[derive(Deserialize)]
struct Caller {
    call: CallerId,
}

#[derive(Deserialize)]
struct CallerId {
    id: u64,
}

impl SharedInterpreter {
    /// Runs an attempt in the same interpreter as all others.
    pub(super) async fn run(
        &self,
        fleet: &Arc<Fleet>,
        attempt: &Attempt,
        context: &Context,
    ) -> Outcome {
        for _ in 0..MAX_TRIES {
            let host = match self.host(fleet).await {
                Ok(host) => host,
                Err(message) => return Outcome::not_started(message),
            };
            let number = self.last.fetch_add(1, Ordering::Relaxed) + 1;
            let (ended, mut end) = oneshot::channel();
            let mut line = format!("{{\"id\":{number},").into_bytes();
            super::control::describe(attempt, &mut line);
            let request = Request::Run { number, line, context: context.clone(), ended };
            if host.requests.send(request).await.is_err() {
                continue;
            }
            let mut underway = Underway { host: &host, number, has_ended: false };
            let mut stops = StopRequests::of(context);
            let mut stopped = false;
            loop {
                tokio::select! {
                    biased;
                    outcome = &mut end => {
                        underway.has_ended = true;
                        return match outcome {
                            // The stop caused its end, whichever way it ended.
                            Ok(Err(NeverRan) | Ok(Outcome::Failed(_))) | Err(_) if stopped => {
                                Outcome::Cancelled
                            }
                            Ok(Err(NeverRan)) => break,
                            Ok(Ok(outcome)) => outcome,
                            Err(_) => Outcome::failed(PythonError::Closed.to_string()),
                        };
                    }
                    request = stops.next() => {
                        let request = match request {
                            StopRequest::Terminate(_) if stopped => continue,
                            StopRequest::Terminate(_) => {
                                stopped = true;
                                Request::Cancel(number)
                            }
                            StopRequest::Kill => Request::Kill,
                        };
                        let _ = host.requests.send(request).await;
                    }
                }
            }
        }
        Outcome::not_started(format!(
            "gave up after {MAX_TRIES} interpreters were terminated externally \
             before the attempt started"
        ))
    }

    /// Runs new attempts in another interpreter. Those that run end in the present one.
    pub(super) async fn retire(&self) {
        *self.host.lock().await = None;
    }

    /// Returns the interpreter for new attempts: a living one of the present generation.
    async fn host(&self, fleet: &Arc<Fleet>) -> Result<Host, String> {
        let mut present = self.host.lock().await;
        if *fleet.closed().borrow() {
            return Err(PythonError::Closed.to_string());
        }
        let launch = fleet.launch().ok_or("no Python interpreter has started yet")?;
        if let Some(host) = present.as_ref()
            && host.generation == launch.generation
            && !host.requests.is_closed()
        {
            return Ok(host.clone());
        }
        let launch = Launch { shared: true, copies: false, ..Launch::clone(&launch) };
        let started = fleet.start(&launch).await;
        let (interpreter, _) = started.map_err(|e| format!("cannot start an interpreter: {e}"))?;
        let (requests, inbox) = mpsc::channel(MAX_REQUESTS);
        let (generation, closed) = (launch.generation, fleet.closed());
        tokio::spawn(async move {
            let mut closed = closed;
            tokio::select! {
                () = Running::new(interpreter).drive(inbox) => {}
                // Dropping `Running` kills the interpreter.
                _ = closed.wait_for(|closed| *closed) => {}
            }
        });
        let host = Host { generation, requests };
        *present = Some(host.clone());
        Ok(host)
    }
}

/// An attempt whose future exists. Dropping this asks the attempt to end.
struct Underway<'a> {
    host: &'a Host,
    number: u64,
    has_ended: bool,
}

impl Drop for Underway<'_> {
    fn drop(&mut self) {
        if !self.has_ended {
            // If the queue is full, the attempt goes on, and ends with the pool.
            let _ = self.host.requests.try_send(Request::Cancel(self.number));
        }
    }
}

/// An interpreter and the attempts that run in it.
struct Running {
    interpreter: Interpreter,
    attempts: Attempts,
    calls: JoinSet<Vec<u8>>,
}

/// The attempts that run in an interpreter, by number.
#[derive(Default)]
struct Attempts {
    running: HashMap<u64, RunningAttempt>,
    /// The time at which the first unfinished line is to be shown.
    due: Option<Instant>,
}

struct RunningAttempt {
    context: Context,
    ended: Waiter,
    output: MarkupReader,
}

/// The waiting future of an attempt.
type Waiter = oneshot::Sender<Result<Outcome, NeverRan>>;

impl Attempts {
    fn insert(&mut self, number: u64, context: Context, ended: Waiter) {
        let output = MarkupReader::new();
        self.running.insert(number, RunningAttempt { context, ended, output });
    }

    fn context(&self, number: u64) -> Option<Context> {
        self.running.get(&number).map(|attempt| attempt.context.clone())
    }

    /// Removes an attempt that has ended, whose output is complete.
    async fn remove(&mut self, number: u64) -> Option<Waiter> {
        let RunningAttempt { context, ended, mut output } = self.running.remove(&number)?;
        output.finish(&context).await;
        Some(ended)
    }

    /// Writes output to the logs of the attempts. Output that names no attempt goes to the worker's
    /// own log.
    async fn write(&mut self, parts: Vec<Part>) {
        let mut others = Vec::new();
        for part in parts {
            let Part::Mark(mark) = part else {
                others.push(part);
                continue;
            };
            let Some(found) = markup_lines::read(&mark) else { continue };
            let attempt = found.attempt().and_then(|number| self.running.get_mut(&number));
            let Some(RunningAttempt { context, output, .. }) = attempt else {
                others.push(Part::Mark(mark));
                continue;
            };
            output.apply(context, found).await;
            output.wrote(context, &[]);
            self.due = self.due.into_iter().chain(output.due_at()).min();
        }
        Tail::default().take(others);
    }

    /// Resolves when an unfinished line is to be shown.
    async fn due(&self) {
        match self.due {
            Some(due) => tokio::time::sleep_until(due).await,
            None => std::future::pending().await,
        }
    }

    /// Shows the unfinished lines.
    fn show(&mut self) {
        for RunningAttempt { context, output, .. } in self.running.values_mut() {
            output.show(context, &[]);
        }
        self.due = self.running.values().filter_map(|attempt| attempt.output.due_at()).min();
    }
}

impl Running {
    fn new(interpreter: Interpreter) -> Self {
        Self { interpreter, attempts: Attempts::default(), calls: JoinSet::new() }
    }

    /// Runs until all handles are dropped or the interpreter has ended.
    async fn drive(mut self, mut inbox: mpsc::Receiver<Request>) {
        let why = loop {
            let Interpreter { control, outputs, exit, .. } = &mut self.interpreter;
            tokio::select! {
                biased;
                status = exited(exit) => break Some(crash(status)),
                request = inbox.recv() => match request {
                    Some(Request::Run { number, line, context, ended }) => {
                        self.attempts.insert(number, context, ended);
                        let _ = control.send(&line).await;
                    }
                    Some(Request::Cancel(number)) => {
                        let _ = control.send(format!("{{\"cancel\":{number}}}\n").as_bytes()).await;
                    }
                    Some(Request::Kill) => {
                        let message = "another attempt of this interpreter did not end in time \
                                       and was killed with the interpreter";
                        let failure = Failure::new(message).code(FailureCode::Crashed);
                        break Some(Outcome::Failed(failure.kind("Crashed")));
                    }
                    None => break None,
                },
                Some(answer) = self.calls.join_next() => {
                    if let Ok(answer) = answer {
                        let _ = control.send(&answer).await;
                    }
                }
                () = self.attempts.due() => self.attempts.show(),
                parts = outputs.parts() => self.attempts.write(parts).await,
                line = control.line() => {
                    let line = match line {
                        Ok(Some(line)) => line.to_vec(),
                        // The exit status explains more.
                        Ok(None) | Err(_) => break Some(crash(exited(exit).await)),
                    };
                    control.consume();
                    if CallRequest::is_in(&line) {
                        self.call(&line);
                    } else {
                        // All output of the attempt is in the pipes.
                        let parts = outputs.available_parts();
                        self.attempts.write(parts).await;
                        self.ended(&line).await;
                    }
                }
            }
        };
        let Interpreter { processes, exit, outputs, .. } = &mut self.interpreter;
        kill(processes, exit).await;
        let parts = outputs.available_parts();
        self.attempts.write(parts).await;
        for mut attempt in std::mem::take(&mut self.attempts).running.into_values() {
            attempt.output.finish(&attempt.context).await;
            let _ = attempt.ended.send(Ok(why.clone().unwrap_or(Outcome::Cancelled)));
        }
        // From here on no request can be sent, and those in the queue never reached the
        // interpreter.
        inbox.close();
        while let Ok(request) = inbox.try_recv() {
            if let Request::Run { ended, .. } = request {
                let _ = ended.send(Err(NeverRan));
            }
        }
    }

    fn call(&mut self, line: &[u8]) {
        let request = child_text::read::<Caller>(line)
            .and_then(|caller| Ok((caller.call.id, CallRequest::read(line)?)));
        if let Ok((number, call)) = request
            && let Some(context) = self.attempts.context(number)
        {
            self.calls.spawn(async move { call.answer(&context).await });
        }
    }

    async fn ended(&mut self, line: &[u8]) {
        let ended = match child_text::read::<Ended>(line) {
            Ok(Ended { id }) => self.attempts.remove(id).await,
            Err(_) => None,
        };
        let Some(ended) = ended else {
            return tracing::warn!("the shared interpreter sent a reply for an unknown attempt");
        };
        let outcome = match child_text::read::<Reply>(line) {
            Ok(reply) if reply.cancelled => Outcome::Cancelled,
            Ok(reply) => reply.outcome(),
            Err(e) => Outcome::failed(format!("cannot read the reply of the interpreter: {e}")),
        };
        let _ = ended.send(Ok(outcome));
    }
}
