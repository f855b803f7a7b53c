//! Actions of which many attempts run at once: coroutines, all of them in one interpreter of their own.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Deserialize;
use tinpot_core::{Attempt, Context, Failure, FailureCode, Outcome};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::attempt::{StopRequest, StopRequests, crash};
use super::fleet::Fleet;
use super::interpreter::{Interpreter, Launch, exited, kill};
use super::output::Tail;
use crate::calls::CallRequest;
use crate::error::PythonError;
use crate::markup_lines::MarkupReader;
use crate::reply::Reply;

/// What waits for the interpreter's loop; more waits in the attempts.
const REQUESTS: usize = 1024;
/// An attempt that meets an interpreter that has just ended tries so many others.
const TRIES: usize = 3;

/// The interpreter that is used for new attempts.
#[derive(Debug, Default)]
pub(super) struct SharedInterpreter {
    host: tokio::sync::Mutex<Option<Host>>,
    last: AtomicU64,
}

/// One interpreter; its loop ends, and it with it, when the last of these is dropped.
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
    /// Somebody wants that attempt to end.
    Cancel(u64),
    /// It has not ended in time: nothing less than the end of the interpreter ends it.
    Kill,
}

/// The interpreter ended before it was given the attempt.
#[derive(Debug)]
struct NeverRan;

/// Whose reply it is. Read apart from the reply: raw JSON does not survive `flatten`.
#[derive(Deserialize)]
struct Ended {
    id: u64,
}

/// Whose call it is.
#[derive(Deserialize)]
struct Caller {
    call: CallerId,
}

#[derive(Deserialize)]
struct CallerId {
    id: u64,
}

impl SharedInterpreter {
    /// Runs an attempt beside all others.
    pub(super) async fn run(
        &self,
        fleet: &Arc<Fleet>,
        attempt: &Attempt,
        context: &Context,
    ) -> Outcome {
        for _ in 0..TRIES {
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
            let mut underway = Underway { host: &host, number, ended: false };
            let mut ending = StopRequests::of(context);
            let mut asked = false;
            loop {
                tokio::select! {
                    biased;
                    outcome = &mut end => {
                        underway.ended = true;
                        return match outcome {
                            // Whoever ended it, it was this request.
                            Ok(Err(NeverRan) | Ok(Outcome::Failed(_))) | Err(_) if asked => {
                                Outcome::Cancelled
                            }
                            Ok(Err(NeverRan)) => break,
                            Ok(Ok(outcome)) => outcome,
                            Err(_) => Outcome::failed(PythonError::Closed.to_string()),
                        };
                    }
                    wish = ending.next() => {
                        let request = match wish {
                            StopRequest::End(_) if std::mem::replace(&mut asked, true) => continue,
                            StopRequest::End(_) => Request::Cancel(number),
                            StopRequest::Kill => Request::Kill,
                        };
                        let _ = host.requests.send(request).await;
                    }
                }
            }
        }
        Outcome::failed("no interpreter stayed long enough to begin")
    }

    /// The interpreter for new attempts: of the present generation, and alive.
    async fn host(&self, fleet: &Arc<Fleet>) -> Result<Host, String> {
        let mut present = self.host.lock().await;
        if *fleet.closed().borrow() {
            return Err(PythonError::Closed.to_string());
        }
        let launch = fleet.launch().ok_or("there is no Python interpreter yet")?;
        if let Some(host) = present.as_ref()
            && host.generation == launch.generation
            && !host.requests.is_closed()
        {
            return Ok(host.clone());
        }
        let launch = Launch { shared: true, ..Launch::clone(&launch) };
        let started = fleet.start(&launch).await;
        let (interpreter, _) = started.map_err(|e| format!("there is no interpreter: {e}"))?;
        let (requests, inbox) = mpsc::channel(REQUESTS);
        let (generation, closed) = (launch.generation, fleet.closed());
        tokio::spawn(async move {
            let mut closed = closed;
            tokio::select! {
                () = Running::new(interpreter).drive(inbox) => {}
                // Dropped with its interpreter.
                _ = closed.wait_for(|closed| *closed) => {}
            }
        });
        let host = Host { generation, requests };
        *present = Some(host.clone());
        Ok(host)
    }
}

/// An attempt that somebody waits for. When nobody does any more it is asked to end.
struct Underway<'a> {
    host: &'a Host,
    number: u64,
    ended: bool,
}

impl Drop for Underway<'_> {
    fn drop(&mut self) {
        if !self.ended {
            // Full: it stays, and ends with the pool.
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

/// Whoever waits for an attempt.
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

    /// Goes on until nobody needs the interpreter any more, or it has ended.
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
                        let message = "another attempt in the same interpreter would not end, and had to be killed with it";
                        break Some(Outcome::Failed(Failure::new(message).code(FailureCode::Crashed).kind("Crashed")));
                    }
                    None => break None,
                },
                Some(answer) = self.calls.join_next() => {
                    if let Ok(answer) = answer {
                        let _ = control.send(&answer).await;
                    }
                }
                lines = outputs.some() => hand_on(&self.attempts, outputs.marks(), lines).await,
                line = control.line() => {
                    let line = match line {
                        Ok(Some(line)) => line.to_vec(),
                        // How it died says more.
                        Ok(None) | Err(_) => break Some(crash(exited(exit).await)),
                    };
                    control.consume();
                    if CallRequest::is_in(&line) {
                        self.call(&line);
                    } else {
                        // All that it has printed is in the pipes.
                        let lines = outputs.rest();
                        hand_on(&self.attempts, outputs.marks(), lines).await;
                        self.ended(&line);
                    }
                }
            }
        };
        let Interpreter { processes, exit, outputs, .. } = &mut self.interpreter;
        kill(processes, exit).await;
        let lines = outputs.rest();
        hand_on(&self.attempts, outputs.marks(), lines).await;
        let attempts = std::mem::take(&mut self.attempts).0.into_inner();
        for (_, ended) in attempts.unwrap_or_else(PoisonError::into_inner).into_values() {
            let _ = ended.send(Ok(why.clone().unwrap_or(Outcome::Cancelled)));
        }
        // Nothing is sent from here on, and what was sent never reached the interpreter.
        inbox.close();
        while let Ok(request) = inbox.try_recv() {
            if let Request::Run { ended, .. } = request {
                let _ = ended.send(Err(NeverRan));
            }
        }
    }

    fn call(&mut self, line: &[u8]) {
        let asked = serde_json::from_slice::<Caller>(line).and_then(|caller| {
            let asked = CallRequest::read(line)?;
            Ok((caller.call.id, asked))
        });
        if let Ok((number, asked)) = asked
            && let Some(context) = self.attempts.context(number)
        {
            self.calls.spawn(async move { asked.answer(&context).await });
        }
    }

    fn ended(&mut self, line: &[u8]) {
        let ended = serde_json::from_slice::<Ended>(line).ok();
        let Some(ended) = ended.and_then(|Ended { id }| self.attempts.remove(id)) else {
            return tracing::warn!("a reply is nobody's");
        };
        let outcome = match serde_json::from_slice::<Reply>(line) {
            Ok(reply) if reply.cancelled => Outcome::Cancelled,
            Ok(reply) => reply.outcome(),
            Err(e) => Outcome::failed(format!("the interpreter's reply cannot be read: {e}")),
        };
        let _ = ended.send(Ok(outcome));
    }
}

/// Hands lines to the attempts that they belong to; what belongs to none is for developers.
async fn hand_on(attempts: &Attempts, marks: &MarkupReader, lines: Vec<String>) {
    let mut others = Vec::new();
    for line in lines {
        let Some(mark) = marks.read(&line) else {
            others.push(line);
            continue;
        };
        if let Some(context) = mark.attempt().and_then(|number| attempts.context(number)) {
            mark.tell(&context).await;
        }
    }
    Tail::default().take(&mut others);
}
