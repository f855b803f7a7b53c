//! Runs one attempt on one interpreter.

use std::io;
use std::pin::pin;
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tinpot_core::{Context, Failure, FailureCode, Outcome, Stop};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::fleet::Fleet;
use super::interpreter::{Interpreter, describe, exited, kill};
use super::limit_enforcer::LimitEnforcer;
use super::output::Tail;
use crate::limits::Limits;
use crate::reply::Reply;

/// How long the end of a process may come after the end of its connection.
const DYING: Duration = Duration::from_secs(2);

/// How an attempt ended, and what is to become of the interpreter.
#[derive(Debug)]
pub(super) enum End {
    /// The interpreter can be used again.
    Clean(Outcome),
    /// It cannot; nothing of it is alive any more.
    Spent(Outcome),
    /// It would not begin: somebody had asked the interpreter to end before.
    NotRun,
}

/// What an exchange came to.
enum Step {
    Reply(Reply),
    /// The connection failed, or what came is not a reply.
    Broken(String),
    Died(ExitStatus),
    Overdue,
    /// It was to be ended for a limit that it exceeded.
    Exceeded,
    Closed,
}

impl Interpreter {
    /// Runs the attempt whose request was prepared in the control socket.
    pub(super) async fn run(
        &mut self,
        context: &Context,
        limits: Limits,
        fleet: &Arc<Fleet>,
    ) -> End {
        let mut closed = fleet.closed();
        // A thread that was there before the attempt may have printed since the last one.
        self.outputs.drain(&mut Tail::default());
        let enforcer = LimitEnforcer::begin(limits, &self.processes, &self.outputs.meter);
        let finishing = AtomicBool::new(false);
        let mut asked = false;
        let usable;
        let step = {
            let Self { processes, control, outputs, exit, .. } = self;
            let mut pump = pin!(outputs.pump(context, &finishing));
            let mut exchange = pin!(async { reply(control.converse(context, fleet).await) });
            let mut exceeded = pin!(enforcer.exceeded());
            let mut ending = StopRequests::of(context);
            let step = loop {
                tokio::select! {
                    biased;
                    step = &mut exchange => break step,
                    () = &mut pump => unreachable!("it goes on until it is told to finish"),
                    wish = ending.next() => match wish {
                        StopRequest::End(grace) => {
                            if !std::mem::replace(&mut asked, true) && !grace.is_zero() {
                                processes.terminate();
                            }
                        }
                        StopRequest::Kill => break Step::Overdue,
                    },
                    status = exited(exit) => break Step::Died(status),
                    () = &mut exceeded => break Step::Exceeded,
                    _ = closed.wait_for(|closed| *closed) => break Step::Closed,
                }
            };
            // A process that dies closes its connection first; how it died says more.
            let step = match step {
                Step::Broken(how) => match timeout(DYING, exited(exit)).await {
                    Ok(status) => Step::Died(status),
                    Err(_) => Step::Broken(how),
                },
                other => other,
            };
            usable = matches!(step, Step::Reply(Reply { left: false, .. })) && !asked;
            if !usable {
                kill(processes, exit).await;
            }
            // Nothing is alive, and all that was written is in the pipes. The same future goes on: it may hold lines already.
            finishing.store(true, Ordering::Relaxed);
            pump.await;
            step
        };
        let verdict = enforcer.verdict(matches!(step, Step::Exceeded)).filter(|_| !asked);
        let outcome = match step {
            Step::Reply(reply) if reply.refused && !asked => return End::NotRun,
            Step::Reply(reply) if asked && (reply.cancelled || reply.refused) => Outcome::Cancelled,
            Step::Reply(reply) => reply.outcome(),
            Step::Overdue => Outcome::Cancelled,
            // Nothing but the request to end says why it died.
            Step::Died(_) | Step::Broken(_) if asked => Outcome::Cancelled,
            Step::Died(status) => crash(status),
            Step::Broken(how) => {
                Outcome::failed(format!("the connection to the interpreter failed: {how}"))
            }
            Step::Exceeded => Outcome::Cancelled,
            Step::Closed => Outcome::failed("the executor was closed"),
        };
        let outcome = verdict.map_or(outcome, Outcome::Failed);
        if usable { End::Clean(outcome) } else { End::Spent(outcome) }
    }
}

fn reply(line: io::Result<Option<&[u8]>>) -> Step {
    match line {
        Ok(Some(line)) => match serde_json::from_slice(line) {
            Ok(reply) => Step::Reply(reply),
            Err(e) => Step::Broken(e.to_string()),
        },
        Ok(None) => Step::Broken("it was closed".to_owned()),
        Err(e) => Step::Broken(e.to_string()),
    }
}

pub(super) fn crash(status: ExitStatus) -> Outcome {
    Outcome::Failed(
        Failure::new(format!("the interpreter {}", describe(status)))
            .code(FailureCode::Crashed)
            .kind("Crashed"),
    )
}

/// What somebody wants of an attempt.
#[derive(Debug)]
pub(super) enum StopRequest {
    /// It is to end, within the grace period.
    End(Duration),
    /// It has not.
    Kill,
}

/// The requests to end one attempt; a later, shorter one replaces an earlier one.
#[derive(Debug)]
pub(super) struct StopRequests {
    stops: watch::Receiver<Option<Stop>>,
    kill_at: Option<Instant>,
}

impl StopRequests {
    pub(super) fn of(context: &Context) -> Self {
        let mut stops = context.stop_requests();
        // A request that was there before counts as well.
        stops.mark_changed();
        Self { stops, kill_at: None }
    }

    /// The next wish. Cancel safe.
    pub(super) async fn next(&mut self) -> StopRequest {
        let overdue = async {
            match self.kill_at {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            stop = next_stop(&mut self.stops) => {
                let at = Instant::now() + stop.grace;
                self.kill_at = Some(self.kill_at.map_or(at, |earlier| earlier.min(at)));
                StopRequest::End(stop.grace)
            }
            () = overdue => {
                self.kill_at = None;
                StopRequest::Kill
            }
        }
    }
}

async fn next_stop(stops: &mut watch::Receiver<Option<Stop>>) -> Stop {
    loop {
        if stops.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        if let Some(stop) = *stops.borrow_and_update() {
            return stop;
        }
    }
}
