//! Runs one attempt on one interpreter.

use std::io;
use std::pin::pin;
use std::process::ExitStatus;
use std::sync::atomic::{AtomicBool, Ordering};

use tinpot_core::{Context, Failure, Json, Outcome, Stop};
use tokio::sync::watch;
use tokio::time::Instant;

use super::control::Reply;
use super::interpreter::{Interpreter, describe, exited};
use super::output::Tail;
use super::sweep;

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
    Closed,
}

impl Interpreter {
    /// Runs the attempt whose request was prepared in the control socket.
    pub(super) async fn run(
        &mut self,
        context: &Context,
        mut closed: watch::Receiver<bool>,
    ) -> End {
        // A thread that was there before the attempt may have printed since the last one.
        self.outputs.drain(&mut Tail::default());
        let finishing = AtomicBool::new(false);
        let mut asked = false;
        let step = {
            let Self { pid, control, outputs, exit, .. } = self;
            let mut pump = pin!(outputs.pump(context.logs(), &finishing));
            let mut exchange = pin!(async { reply(control.exchange().await) });
            let mut stops = context.stop_requests();
            // A request that was there before counts as well.
            stops.mark_changed();
            let mut kill_at: Option<Instant> = None;
            let step = loop {
                let overdue = async {
                    match kill_at {
                        Some(at) => tokio::time::sleep_until(at).await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    biased;
                    step = &mut exchange => break step,
                    () = &mut pump => unreachable!("it goes on until it is told to finish"),
                    stop = next_stop(&mut stops) => {
                        let at = Instant::now() + stop.grace;
                        kill_at = Some(kill_at.map_or(at, |earlier| earlier.min(at)));
                        if !std::mem::replace(&mut asked, true) && !stop.grace.is_zero() {
                            sweep::terminate(*pid);
                        }
                    }
                    status = exited(exit) => break Step::Died(status),
                    () = overdue => break Step::Overdue,
                    _ = closed.wait_for(|closed| *closed) => break Step::Closed,
                }
            };
            if let Step::Reply(Reply { left: false, .. }) = step
                && !asked
            {
                // The usual way, without leaving this block: nothing is alive, and all it wrote is in the pipes.
                finishing.store(true, Ordering::Relaxed);
                pump.await;
            }
            step
        };
        self.end(step, asked, context, &finishing).await
    }

    async fn end(
        &mut self,
        step: Step,
        asked: bool,
        context: &Context,
        finishing: &AtomicBool,
    ) -> End {
        let usable = matches!(step, Step::Reply(Reply { left: false, .. })) && !asked;
        if !usable {
            self.kill().await;
            finishing.store(true, Ordering::Relaxed);
            self.outputs.pump(context.logs(), finishing).await;
        }
        let outcome = match step {
            Step::Reply(reply) if reply.refused && !asked => return End::NotRun,
            Step::Reply(reply) => outcome(reply, asked),
            Step::Overdue => Outcome::Cancelled,
            // Nothing but the request to end says why it died.
            Step::Died(_) | Step::Broken(_) if asked => Outcome::Cancelled,
            Step::Died(status) => crash(status),
            Step::Broken(how) => match self.exit_status() {
                Some(status) if !killed_by_us(status) => crash(status),
                _ => Outcome::failed(format!("the interpreter's connection failed: {how}")),
            },
            Step::Closed => Outcome::failed("the executor was closed"),
        };
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

fn outcome(reply: Reply, asked: bool) -> Outcome {
    match reply {
        Reply { ok: Some(value), .. } => Outcome::Succeeded(Json::from(value)),
        Reply { failed: Some(failure), .. } => Outcome::Failed(failure),
        Reply { cancelled, refused, .. } if (cancelled || refused) && asked => Outcome::Cancelled,
        Reply { cancelled: true, .. } => Outcome::Failed(
            Failure::new("somebody else asked the interpreter to end (SIGTERM)").kind("Cancelled"),
        ),
        _ => Outcome::failed("the interpreter's reply says nothing"),
    }
}

fn crash(status: ExitStatus) -> Outcome {
    Outcome::Failed(Failure::new(format!("the interpreter {}", describe(status))).kind("Crashed"))
}

/// Whether a process died of what [`Interpreter::kill`] sends.
fn killed_by_us(status: ExitStatus) -> bool {
    std::os::unix::process::ExitStatusExt::signal(&status) == Some(9)
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
