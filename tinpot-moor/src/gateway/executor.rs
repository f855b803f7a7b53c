//! The executor of one worker of mooR.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tinpot_core::executor::{ActionSet, Attempt};
use tinpot_core::{Context, Executor, Outcome, Result, StopReason, Watcher};
use tokio::sync::{mpsc, oneshot, watch};
use uuid::Uuid;

use super::outcome::{invalid_parameters, outcome};
use super::parameters;
use crate::server::signature::Signature;
use crate::server::{Answer, NotSent};
use crate::wire::message::WorkerRequest;

/// A command of an executor to the gateway.
#[derive(Debug)]
pub(super) enum Command {
    /// Publish a request.
    Submit {
        incarnation: u64,
        request: WorkerRequest,
        answer: oneshot::Sender<Result<Answer, NotSent>>,
    },
    /// No attempt waits for this answer any more.
    GiveUp(Uuid),
    /// The worker was drained: ask it to end.
    AskToEnd { incarnation: u64, worker: Uuid },
}

/// Runs the attempts of one worker of mooR.
#[derive(Debug)]
pub(super) struct MoorExecutor {
    pub(super) worker: Uuid,
    pub(super) incarnation: u64,
    pub(super) action: String,
    pub(super) signature: Option<Signature>,
    pub(super) offer: watch::Receiver<Arc<ActionSet>>,
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) closed: watch::Sender<bool>,
}

/// Gives up a request when it is dropped.
struct Asked<'a> {
    request: Uuid,
    commands: Option<&'a mpsc::Sender<Command>>,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        let Some(commands) = self.commands else { return };
        if commands.try_send(Command::GiveUp(self.request)).is_err() {
            tracing::debug!(request = %self.request, "the gateway is closed or busy");
        }
    }
}

#[async_trait]
impl Executor for MoorExecutor {
    fn actions(&self) -> Watcher<Arc<ActionSet>> {
        self.offer.clone().into()
    }

    async fn execute(&self, attempt: Attempt, context: Context) -> Outcome {
        if *attempt.action != *self.action {
            return Outcome::failed(format!("there is no action {:?}", attempt.action));
        }
        let mut closed = self.closed.subscribe();
        if *closed.borrow() {
            return Outcome::failed("the executor is closed");
        }
        let (arguments, perms) =
            match parameters::read(&attempt.parameters, self.signature.as_ref()) {
                Ok(read) => read,
                Err(fault) => return invalid_parameters(fault.to_string()),
            };
        // Nothing to do with the id of the execution: each attempt is another request.
        let mut request = WorkerRequest::new(self.worker, Uuid::new_v4());
        (request.arguments, request.perms) = (arguments, perms);
        // 0 is no limit, so that less than a millisecond is one.
        request.timeout_ms = attempt
            .timeout
            .map_or(0, |timeout| u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX).max(1));
        let (answer, mut answered) = oneshot::channel();
        let mut asked = Asked { request: request.id, commands: Some(&self.commands) };
        let submit = Command::Submit { incarnation: self.incarnation, request, answer };
        if self.commands.send(submit).await.is_err() {
            return Outcome::not_started("the gateway is closed");
        }
        tokio::select! {
            biased;
            answer = &mut answered => {
                asked.commands = None;
                match answer {
                    Ok(answer) => outcome(answer),
                    Err(_) => Outcome::Lost,
                }
            }
            _ = closed.wait_for(|closed| *closed) => Outcome::Lost,
            () = ended(&context, attempt.timeout) => Outcome::Cancelled,
        }
    }

    async fn close(&self) -> Result<()> {
        self.closed.send_replace(true);
        Ok(())
    }
}

/// Waits until an attempt is to be given up: at its timeout, or when the grace period of the
/// worker's end is over. After a cancellation, the answer or the timeout is waited for, since
/// nothing can stop the worker.
async fn ended(context: &Context, timeout: Option<Duration>) {
    let started = Instant::now();
    let mut stops = context.stop_requests();
    let mut reason = context.stopped().await.reason;
    loop {
        match (reason, timeout) {
            (StopReason::TimedOut, _) => return,
            (StopReason::Cancelled, limit) => {
                let left = limit.map(|limit| limit.saturating_sub(started.elapsed()));
                let at_timeout = async {
                    match left {
                        Some(left) => tokio::time::sleep(left).await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    () = at_timeout => return,
                    next = stops.next() => match next {
                        Some(Some(stop)) => reason = stop.reason,
                        Some(None) => {}
                        None => return,
                    },
                }
            }
            _ => return context.grace_expired().await,
        }
    }
}
