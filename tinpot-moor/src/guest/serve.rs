//! The task of a guest.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use tinpot_core::{Coordinator, Error, ErrorKind, ExecutionHandle, Result};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use uuid::Uuid;

use super::answer::{answer, refused};
use super::arguments::parameters;
use crate::address::MoorAddress;
use crate::client::{Act, Client};
use crate::sockets::client::{Subscription, exchange};
use crate::var::Var;
use crate::wire::Dialect;
use crate::wire::message::{Reply, WorkerError, WorkerRequest};

/// The time that executions have to end after they are cancelled, and the daemon to take the
/// answers: more than the usual grace period.
const LAST: Duration = Duration::from_secs(15);
/// The pause before a subscription that is broken is opened again.
const AGAIN: Duration = Duration::from_secs(1);
/// The name of the requester of executions.
const REQUESTER: &str = "mooR";

/// The parts of a guest that its executions need.
#[derive(Clone, Debug)]
pub(super) struct Running {
    pub(super) coordinator: Coordinator,
    pub(super) action: String,
    pub(super) timeout: Duration,
    /// True when executions are to be cancelled.
    pub(super) cancel: watch::Receiver<bool>,
}

/// The sockets, the machine, and the executions.
pub(super) struct Serving {
    pub(super) client: Client,
    pub(super) address: MoorAddress,
    pub(super) dialect: Dialect,
    pub(super) started: Instant,
    pub(super) running: Running,
    pub(super) cancel: watch::Sender<bool>,
    pub(super) patience: Duration,
}

/// The tasks of a guest.
#[derive(Default)]
struct Tasks {
    exchanges: JoinSet<Option<Vec<Bytes>>>,
    /// The numbers of the exchanges.
    numbers: HashMap<tokio::task::Id, u64>,
    requests: JoinSet<Result<Var, WorkerError>>,
    ids: HashMap<tokio::task::Id, Uuid>,
}

impl Serving {
    /// Serves until the daemon refuses the worker, or until the host or the daemon ends it.
    pub(super) async fn run(mut self, stop: watch::Receiver<Option<Duration>>) -> Result<()> {
        let mut tasks = Tasks::default();
        let ended = self.serve(&mut tasks, stop).await;
        // The answers of those that are left have no receiver.
        self.cancel.send_replace(true);
        let requests = async { while tasks.requests.join_next().await.is_some() {} };
        if tokio::time::timeout(LAST, requests).await.is_err() {
            tracing::warn!("a worker at a daemon of mooR ends before its requests");
        }
        ended
    }

    async fn serve(
        &mut self,
        tasks: &mut Tasks,
        mut stop: watch::Receiver<Option<Duration>>,
    ) -> Result<()> {
        let mut subscription = None;
        let mut ends: Option<Instant> = None;
        let mut cancels: Option<Instant> = None;
        let mut is_stopping = false;
        loop {
            for act in self.client.take_acts() {
                match act {
                    Act::Exchange { number, frames } => {
                        let sent = exchange(self.address.responses(), frames);
                        let task = tasks.exchanges.spawn(sent);
                        tasks.numbers.insert(task.id(), number);
                    }
                    Act::Subscribe => {
                        subscription = Some(Subscription::open(&self.address.requests()).await?);
                    }
                    Act::Start(request) => {
                        let id = request.id;
                        let task = tasks.requests.spawn(self.running.clone().run(request));
                        tasks.ids.insert(task.id(), id);
                    }
                    Act::AskedToEnd => {
                        tracing::info!("the daemon of mooR asks the worker to end");
                        cancels.get_or_insert_with(|| Instant::now() + self.patience);
                    }
                    Act::Ended(Ok(())) => return Ok(()),
                    Act::Ended(Err(why)) => return Err(Error::new(ErrorKind::Forbidden, why)),
                }
            }
            let wake = self.started.checked_add(self.client.wake_at());
            let now = || self.started.elapsed();
            tokio::select! {
                published = next(subscription.as_ref()) => match published {
                    Ok(frames) => self.client.published(now(), &frames),
                    Err(error) => {
                        tracing::warn!(%error, "the subscription to a daemon of mooR is broken");
                        tokio::time::sleep(AGAIN).await;
                        subscription = Some(Subscription::open(&self.address.requests()).await?);
                    }
                },
                Some(ended) = tasks.exchanges.join_next_with_id() => {
                    let (task, reply) = ended.unwrap_or_else(|error| {
                        tracing::error!(%error, "an exchange with a daemon of mooR has failed");
                        (error.id(), None)
                    });
                    let reply = reply.and_then(|frames| self.read(&frames));
                    if let Some(number) = tasks.numbers.remove(&task) {
                        let now = self.started.elapsed();
                        self.client.replied(now, number, reply);
                    }
                }
                Some(ended) = tasks.requests.join_next_with_id() => {
                    let (task, result) = match ended {
                        Ok(ended) => ended,
                        Err(error) => {
                            let why = WorkerError::Internal("the request panicked".to_owned());
                            (error.id(), Err(why))
                        }
                    };
                    if let Some(request) = tasks.ids.remove(&task) {
                        self.client.finished(request, result);
                    }
                }
                () = at(wake) => self.client.tick(now()),
                () = at(cancels), if ends.is_none() => {
                    self.cancel.send_replace(true);
                    ends = Some(Instant::now() + LAST);
                }
                () = at(ends) => {
                    tracing::warn!("a worker at a daemon of mooR ends before its requests");
                    // They have had their time.
                    tasks.requests.abort_all();
                    return Ok(());
                }
                patience = stopped(&mut stop), if !is_stopping => {
                    is_stopping = true;
                    self.client.leave();
                    let last = Instant::now().checked_add(patience);
                    cancels = cancels.into_iter().chain(last).min();
                }
            }
        }
    }

    fn read(&self, frames: &[Bytes]) -> Option<Reply> {
        let [reply] = frames else {
            tracing::warn!(frames = frames.len(), "a reply must have 1 frame");
            return None;
        };
        Reply::decode(reply, self.dialect)
            .inspect_err(|fault| tracing::warn!(%fault, "a reply cannot be read"))
            .ok()
    }
}

impl Running {
    /// Runs a request as an execution.
    async fn run(mut self, request: WorkerRequest) -> Result<Var, WorkerError> {
        let handle = self.submit(&request).await?;
        let cancel = async { drop(self.cancel.wait_for(|cancel| *cancel).await) };
        let outcome = tokio::select! {
            outcome = handle.outcome() => outcome,
            () = cancel => {
                handle.cancel(false).await.map_err(|error| refused(&error))?;
                handle.outcome().await
            }
        };
        answer(outcome.map_err(|error| refused(&error))?)
    }

    async fn submit(&self, request: &WorkerRequest) -> Result<ExecutionHandle, WorkerError> {
        let schema = match self.coordinator.catalogue().get(&*self.action) {
            Some(entry) => entry.action.schema.clone(),
            None => {
                let why = format!("there is no action {:?} yet", self.action);
                return Err(WorkerError::InvalidRequest(why));
            }
        };
        let parameters = parameters(request, &schema)
            .map_err(|fault| WorkerError::InvalidRequest(fault.to_string()))?;
        let limit = match request.timeout_ms {
            0 => self.timeout,
            limit => self.timeout.min(Duration::from_millis(limit)),
        };
        let submission = self.coordinator.submit(&self.action, parameters);
        let submission = submission.timeout(limit).expires_in(limit).requested_by(REQUESTER);
        submission.await.map_err(|error| refused(&error))
    }
}

async fn next(subscription: Option<&Subscription>) -> Result<Vec<Bytes>> {
    match subscription {
        Some(subscription) => subscription.next().await,
        None => std::future::pending().await,
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// Waits until the host ends the guest; the patience is that of the host.
async fn stopped(stop: &mut watch::Receiver<Option<Duration>>) -> Duration {
    match stop.wait_for(Option::is_some).await {
        Ok(patience) => patience.unwrap_or_default(),
        Err(_) => Duration::ZERO,
    }
}
