//! The interpreter that runs many attempts at once: coroutines of actions with `concurrency`.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Deserialize;
use tinpot_core::executor::Attempt;
use tinpot_core::{Context, Failure, FailureCode, Outcome};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::attempt::{StopRequest, StopRequests, crash};
use super::fleet::Fleet;
use super::interpreter::{Interpreter, Launch, exited, kill};
use super::output::Tail;
use crate::calls::CallRequest;
use crate::child_text;
use crate::error::PythonError;
use crate::markup_lines::MarkupReader;
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
                Err(message) => return Outcome::failed(message),
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
        Outcome::failed(format!(
            "gave up after {MAX_TRIES} interpreters were terminated externally \
             before the attempt started"
        ))
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
        let launch = Launch { shared: true, ..Launch::clone(&launch) };
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

#[derive(Default)]
struct Attempts(Mutex<HashMap<u64, (Context, Waiter)>>);

/// The waiting future of an attempt.
type Waiter = oneshot::Sender<Result<Outcome, NeverRan>>;

impl Attempts {
    fn insert(&self, number: u64, context: Context, ended: Waiter) {
        let mut attempts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        attempts.insert(number, (context, ended));
    }

    fn context(&self, number: u64) -> Option<Context> {
        let attempts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        attempts.get(&number).map(|(context, _)| context.clone())
    }

    fn remove(&self, number: u64) -> Option<Waiter> {
        let mut attempts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        attempts.remove(&number).map(|(_, ended)| ended)
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
                lines = outputs.lines() => write_lines(&self.attempts, outputs.markup(), lines).await,
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
                        let lines = outputs.available_lines();
                        write_lines(&self.attempts, outputs.markup(), lines).await;
                        self.ended(&line);
                    }
                }
            }
        };
        let Interpreter { processes, exit, outputs, .. } = &mut self.interpreter;
        kill(processes, exit).await;
        let lines = outputs.available_lines();
        write_lines(&self.attempts, outputs.markup(), lines).await;
        let attempts = std::mem::take(&mut self.attempts).0.into_inner();
        for (_, ended) in attempts.unwrap_or_else(PoisonError::into_inner).into_values() {
            let _ = ended.send(Ok(why.clone().unwrap_or(Outcome::Cancelled)));
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

    fn ended(&mut self, line: &[u8]) {
        let ended = child_text::read::<Ended>(line).ok();
        let Some(ended) = ended.and_then(|Ended { id }| self.attempts.remove(id)) else {
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

/// Writes lines to the logs of their attempts. Lines that belong to no attempt go to the debug log.
async fn write_lines(attempts: &Attempts, markup: &MarkupReader, lines: Vec<String>) {
    let mut others = Vec::new();
    for line in lines {
        let Some(found) = markup.read(&line) else {
            others.push(line);
            continue;
        };
        if let Some(context) = found.attempt().and_then(|number| attempts.context(number)) {
            found.apply(&context).await;
        }
    }
    Tail::default().take(&mut others);
}
