//! Runs one attempt on one interpreter.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::pin::pin;
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::Signal;
use tinpot_contain::{StopRequest, StopRequests};
use tinpot_core::{Context, Failure, FailureCode, Outcome};
use tokio::time::timeout;

use super::control::ExchangeReply;
use super::fleet::Fleet;
use super::interpreter::{Interpreter, describe, exited, kill};
use super::limit_enforcer::LimitEnforcer;
use super::output::{AttemptLog, Tail};
use crate::child_text;
use crate::error::PythonError;
use crate::limits::Limits;
use crate::reply::Reply;

/// The time between the end of a connection and the end of its process.
const DYING: Duration = Duration::from_secs(2);

/// The end of an attempt, and the state of its interpreter.
#[derive(Debug)]
pub(super) enum End {
    /// The interpreter can be used again.
    Clean(Outcome),
    /// The interpreter is gone, with all its processes.
    Spent(Outcome),
    /// The interpreter refused the attempt, because a signal had asked it to end before, or it ended
    /// before it read the request.
    NotRun,
}

/// The end of an exchange with the interpreter.
enum Step {
    Reply(Reply),
    /// The connection failed, or sent a message that is not a reply.
    Broken(String),
    Died(ExitStatus),
    /// The interpreter did not begin the attempt in time.
    Hung,
    /// The interpreter did not read the request in time.
    Unread,
    GraceOver,
    /// The attempt exceeded a limit and has to be killed.
    Exceeded,
    Closed,
}

impl Interpreter {
    /// Runs the attempt whose request the control socket has prepared.
    pub(super) async fn run(
        &mut self,
        context: &Context,
        limits: Limits,
        fleet: &Arc<Fleet>,
    ) -> End {
        let mut closed = fleet.closed();
        // A thread of an earlier attempt may have printed since.
        Tail::default().take(self.outputs.last_parts());
        let enforcer = LimitEnforcer::begin(limits, &self.processes, self.outputs.meter());
        let mut log = AttemptLog::new(context);
        let finishing = AtomicBool::new(false);
        let mut stopped = false;
        let is_reusable;
        let step = {
            let Self { processes, control, outputs, exit, start_timeout, .. } = self;
            let mut pump = pin!(outputs.pump(&mut log, &finishing));
            let mut exchange =
                pin!(async { reply(control.exchange(context, fleet, *start_timeout).await) });
            let mut exceeded = pin!(enforcer.exceeded());
            let mut stops = StopRequests::of(context);
            let step = loop {
                tokio::select! {
                    biased;
                    step = &mut exchange => break step,
                    () = &mut pump => unreachable!("pump returns only after `finishing` was set"),
                    request = stops.next() => match request {
                        StopRequest::Terminate(grace) => {
                            if !std::mem::replace(&mut stopped, true) && !grace.is_zero() {
                                processes.terminate();
                            }
                        }
                        StopRequest::Kill => break Step::GraceOver,
                    },
                    status = exited(exit) => break Step::Died(status),
                    () = &mut exceeded => break Step::Exceeded,
                    _ = closed.wait_for(|closed| *closed) => break Step::Closed,
                }
            };
            // A dying process closes its connection first, but its exit status explains more.
            let step = match step {
                Step::Broken(how) => match timeout(DYING, exited(exit)).await {
                    Ok(status) => Step::Died(status),
                    Err(_) => Step::Broken(how),
                },
                other => other,
            };
            is_reusable = matches!(step, Step::Reply(Reply { left: false, .. })) && !stopped;
            if !is_reusable {
                kill(processes, exit).await;
            }
            // No process is alive any more, and all output is in the pipes. This future has to go
            // on, because it may hold lines already.
            finishing.store(true, Ordering::Relaxed);
            pump.await;
            step
        };
        log.finish().await;
        if matches!(step, Step::Died(_) | Step::Broken(_))
            && !stopped
            && self.control.was_never_read()
        {
            return End::NotRun;
        }
        let step = match step {
            // It read the request before it was killed, and may have begun.
            Step::Unread if !self.control.was_never_read() => {
                let killed = || ExitStatus::from_raw(Signal::KILL.as_raw());
                Step::Died(self.exit_status().unwrap_or_else(killed))
            }
            Step::Unread => Step::Hung,
            other => other,
        };
        let verdict = enforcer.verdict(matches!(step, Step::Exceeded)).filter(|_| !stopped);
        let outcome = match step {
            Step::Reply(reply) if reply.refused && !stopped => return End::NotRun,
            Step::Reply(reply) if stopped => reply.outcome_after_stop(),
            Step::Reply(Reply { died: Some(status), .. }) => crash(ExitStatus::from_raw(status)),
            Step::Reply(reply) => reply.outcome(),
            Step::GraceOver => Outcome::Cancelled,
            // The stop caused the death.
            Step::Died(_) | Step::Broken(_) if stopped => Outcome::Cancelled,
            Step::Died(status) => crash(status),
            Step::Broken(how) => {
                Outcome::failed(format!("the connection to the interpreter failed: {how}"))
            }
            Step::Exceeded => Outcome::Cancelled,
            Step::Hung | Step::Unread if stopped => Outcome::Cancelled,
            Step::Hung | Step::Unread => {
                let error = PythonError::Hung { after: self.start_timeout };
                fleet.hung(&error);
                Outcome::not_started(error.to_string())
            }
            Step::Closed => Outcome::failed("the executor was closed"),
        };
        let outcome = verdict.map_or(outcome, Outcome::Failed);
        if is_reusable { End::Clean(outcome) } else { End::Spent(outcome) }
    }
}

fn reply(reply: io::Result<Option<ExchangeReply<'_>>>) -> Step {
    match reply {
        Ok(Some(ExchangeReply { line, has_foreign })) => match child_text::read::<Reply>(line) {
            Ok(Reply { hung: true, .. }) => Step::Hung,
            Ok(reply) => Step::Reply(Reply { left: reply.left || has_foreign, ..reply }),
            Err(e) => Step::Broken(e.to_string()),
        },
        Ok(None) => Step::Broken("the interpreter closed it".to_owned()),
        Err(e) if e.kind() == io::ErrorKind::TimedOut => Step::Unread,
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
