//! The control loop: feeds the machine, commits what it wants persisted, then does the rest.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::stream::{BoxStream, StreamExt};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, Sleep};

use super::Shared;
use super::idempotency::RecentKeys;
use super::logs::LogEnd;
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::execution::{Execution, Status};
use crate::failpoint::failpoint;
use crate::id::ExecutionId;
use crate::inbox::read_frame;
use crate::outbox::Outbox;
use crate::protocol::{
    CancelOutcome, Catalogue, CoordinatorEffect, CoordinatorMachine, Epoch, Message, QueueView,
    WorkerInfo,
};
use crate::store::Transition;
use crate::time::Timestamp;
use crate::transport::{Lane, Link};

/// Inputs taken in one turn, and committed together: enough to amortise a commit, few enough to answer within milliseconds.
const TURN_INPUTS: usize = 256;
/// How long to wait before a commit that failed is tried again.
const COMMIT_RETRY: Duration = Duration::from_millis(500);

/// What handles ask of the loop.
#[derive(Debug)]
pub(super) enum Command {
    /// `commits`: how many there were when its key was looked for in the store.
    Submit {
        execution: Arc<Execution>,
        commits: u64,
        reply: oneshot::Sender<Result<Accepted>>,
    },
    Cancel {
        id: ExecutionId,
        force: bool,
        reply: oneshot::Sender<Result<CancelOutcome>>,
    },
    Workers(oneshot::Sender<Vec<WorkerInfo>>),
    Queues(oneshot::Sender<Vec<QueueView>>),
    Shutdown(oneshot::Sender<()>),
}

/// What became of a submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Accepted {
    New,
    /// Its key is that of an execution that was accepted just before.
    Before(ExecutionId),
    /// Its key may have been accepted since it was looked for.
    LookAgain,
}

/// Answers that wait for the commit of what they tell.
#[derive(Debug)]
enum Reply {
    Submitted(Arc<Execution>, oneshot::Sender<Result<Accepted>>),
    Repeated(ExecutionId, oneshot::Sender<Result<Accepted>>),
    Cancelled(Result<CancelOutcome>, oneshot::Sender<Result<CancelOutcome>>),
    /// Not in memory: perhaps it waits in the store.
    CancelStored(ExecutionId, oneshot::Sender<Result<CancelOutcome>>),
}

#[derive(Debug)]
pub(super) struct Control {
    shared: Arc<Shared>,
    machine: CoordinatorMachine,
    clock: Clock,
    catalogue: watch::Sender<Arc<Catalogue>>,
    published: u64,
    log_ends: mpsc::Sender<LogEnd>,
    effects: Vec<CoordinatorEffect>,
    /// To be committed, and what waits for it. More than one turn's worth only while the store cannot write.
    batch: Vec<Transition>,
    after: Vec<CoordinatorEffect>,
    replies: Vec<Reply>,
    /// Cancels of what is not in memory.
    stored_cancels: Vec<(ExecutionId, oneshot::Sender<Result<CancelOutcome>>)>,
    recent_keys: RecentKeys,
    store_failing: bool,
    superseded: Option<Epoch>,
    outbox: Outbox,
}

impl Control {
    pub(super) fn new(
        shared: Arc<Shared>,
        machine: CoordinatorMachine,
        clock: Clock,
        catalogue: watch::Sender<Arc<Catalogue>>,
        log_ends: mpsc::Sender<LogEnd>,
    ) -> Self {
        Self {
            shared,
            machine,
            clock,
            catalogue,
            published: 0,
            log_ends,
            effects: Vec::new(),
            batch: Vec::new(),
            after: Vec::new(),
            replies: Vec::new(),
            stored_cancels: Vec::new(),
            recent_keys: RecentKeys::default(),
            store_failing: false,
            superseded: None,
            outbox: Outbox::default(),
        }
    }

    pub(super) async fn run(
        mut self,
        mut frames: BoxStream<'static, Bytes>,
        mut commands: mpsc::Receiver<Command>,
    ) {
        let mut link = self.shared.transport.status();
        link.mark_changed();
        let mut sleep = Box::pin(tokio::time::sleep(Duration::ZERO));
        let mut shutdown = None;
        while shutdown.is_none() {
            self.arm(sleep.as_mut());
            tokio::select! {
                biased;
                Some(frame) = frames.next() => self.take_frame(&frame),
                command = commands.recv() => match command {
                    Some(command) => shutdown = self.take_command(command),
                    None => break,
                },
                Ok(()) = link.changed() => {
                    if *link.borrow_and_update() == Link::Up {
                        self.machine.link_up(&mut self.effects);
                    }
                }
                () = sleep.as_mut() => {}
            }
            for _ in 0..TURN_INPUTS {
                let frame = frames.next().now_or_never().flatten();
                let command = commands.try_recv().ok();
                if frame.is_none() && command.is_none() {
                    break;
                }
                if let Some(frame) = frame {
                    self.take_frame(&frame);
                }
                if let Some(command) = command
                    && let Some(reply) = self.take_command(command)
                {
                    shutdown = Some(reply);
                    break;
                }
            }
            let now = self.clock.now();
            self.machine.set_time(now, Timestamp::now());
            self.machine.tick(now, &mut self.effects);
            if let Err(error) = self.turn().await {
                tracing::error!(%error, "the coordinator stops: is there another one on this store?");
                break;
            }
        }
        // Whoever still waits learns it from the closed channel.
        commands.close();
        if let Err(error) = self.shared.store.close().await {
            tracing::warn!(%error, "the store was not closed in order");
        }
        if let Some(reply) = shutdown {
            let _ = reply.send(());
        }
    }

    fn arm(&self, mut sleep: std::pin::Pin<&mut Sleep>) {
        let retry = self.store_failing.then(|| Instant::now() + COMMIT_RETRY);
        let wake = self.machine.wake_at().map(|tick| self.clock.instant(tick));
        let at = retry
            .into_iter()
            .chain(wake)
            .chain(self.outbox.wake_at())
            .min()
            .unwrap_or_else(|| Instant::now() + Duration::from_secs(3600));
        // A timer that fires too early costs one idle turn; moving it at every turn costs more.
        if sleep.is_elapsed() || at < sleep.deadline() {
            sleep.as_mut().reset(at);
        }
    }

    fn take_frame(&mut self, bytes: &[u8]) {
        let Some(frame) = read_frame(Lane::Control, bytes) else { return };
        let Some(from) = frame.from else {
            return tracing::warn!("a frame without a sender is dropped");
        };
        let now = self.clock.now();
        for message in frame.messages {
            if let Message::Unknown(key) = &message {
                tracing::warn!(%from, "a message of unknown type {key:?} is ignored");
            }
            self.machine.receive(now, &from, message, &mut self.effects);
        }
    }

    fn take_command(&mut self, command: Command) -> Option<oneshot::Sender<()>> {
        let now = self.clock.now();
        match command {
            Command::Submit { reply, .. } if self.store_failing => {
                let _ = reply
                    .send(Err(Error::new(ErrorKind::StorageFull, "the store cannot write now")));
            }
            Command::Submit { execution, commits, reply } => self.submit(execution, commits, reply),
            Command::Cancel { id, force, reply } => {
                let outcome = self.machine.cancel(now, id, force, &mut self.effects);
                self.replies.push(match outcome {
                    Err(_) => Reply::CancelStored(id, reply),
                    outcome => Reply::Cancelled(outcome, reply),
                });
            }
            Command::Workers(reply) => {
                let _ = reply.send(self.machine.workers(now));
            }
            Command::Queues(reply) => {
                let _ = reply.send(self.machine.queues());
            }
            Command::Shutdown(reply) => return Some(reply),
        }
        None
    }

    fn submit(
        &mut self,
        execution: Arc<Execution>,
        commits: u64,
        reply: oneshot::Sender<Result<Accepted>>,
    ) {
        if let Some(key) = &execution.idempotency_key {
            if let Some(earlier) = self.recent_keys.find(key) {
                return self.replies.push(Reply::Repeated(earlier, reply));
            }
            if self.recent_keys.may_have_missed(commits) {
                return drop(reply.send(Ok(Accepted::LookAgain)));
            }
        }
        let now = self.clock.now();
        match self.machine.submit(now, execution.clone(), &mut self.effects) {
            Ok(()) => {
                if let Some(key) = &execution.idempotency_key {
                    let commit = self.shared.commits.count() + 1;
                    self.recent_keys.insert(commit, key.clone(), execution.id);
                }
                self.replies.push(Reply::Submitted(execution, reply));
            }
            Err(error) => drop(reply.send(Err(error))),
        }
    }

    /// Does what the machine wants done, and reads what it wants to know.
    async fn turn(&mut self) -> Result<()> {
        self.commit_and_send().await?;
        while !self.store_failing {
            self.cancel_stored().await;
            self.load().await;
            if self.effects.is_empty() && self.replies.is_empty() {
                break;
            }
            self.commit_and_send().await?;
        }
        if let Some(epoch) = self.superseded {
            let message = format!("a later coordinator, {epoch}, is at work on this store");
            return Err(Error::new(ErrorKind::Conflict, message));
        }
        if self.published != self.machine.version() {
            self.published = self.machine.version();
            self.catalogue.send_replace(Arc::new(self.machine.catalogue().clone()));
        }
        Ok(())
    }

    /// Reads the heads of queues that run dry.
    async fn load(&mut self) {
        for page in self.machine.pages_wanted(self.clock.now()) {
            match self.shared.store.queued(&page).await {
                Ok(executions) => {
                    let now = self.clock.now();
                    self.machine.loaded(now, &page, executions, &mut self.effects);
                }
                Err(error) => {
                    tracing::warn!(%error, "what waits cannot be read");
                    self.machine.not_loaded(page);
                    return;
                }
            }
        }
    }

    /// Cancels what waits in the store only; everything is committed, so that the store knows it as it is.
    async fn cancel_stored(&mut self) {
        for (id, reply) in std::mem::take(&mut self.stored_cancels) {
            let not_found = || {
                Error::new(
                    ErrorKind::NotFound,
                    format!("execution {id} has ended or does not exist"),
                )
            };
            let outcome = match self.shared.store.execution(id).await {
                Ok(Some(execution)) => {
                    let cancelled = self.machine.cancel_stored(&execution, &mut self.effects);
                    if cancelled { Ok(CancelOutcome::Cancelled) } else { Err(not_found()) }
                }
                Ok(None) => Err(not_found()),
                Err(error) => Err(error),
            };
            self.replies.push(Reply::Cancelled(outcome, reply));
        }
    }

    /// Commits and sends: persist before send.
    async fn commit_and_send(&mut self) -> Result<()> {
        for effect in self.effects.drain(..) {
            match effect {
                CoordinatorEffect::Persist(transition) => {
                    // An attempt's lines may arrive as soon as it is dispatched.
                    if let Transition::Grant { execution, fence, attempt, .. } = &transition {
                        self.shared.registry.open_log(*execution, *fence, *attempt);
                    }
                    self.batch.push(transition);
                }
                // What keeps leases alive waits for nothing.
                CoordinatorEffect::Send(to, message) if keeps_alive(&message) => {
                    self.outbox.push(to, message);
                }
                CoordinatorEffect::Superseded(epoch) => self.superseded = Some(epoch),
                effect => self.after.push(effect),
            }
        }
        if self.batch.is_empty() {
            self.finish_turn();
        } else {
            failpoint("coordinator.before-commit");
            match self.shared.store.commit(&self.batch, Timestamp::now()).await {
                Ok(()) => {
                    failpoint("coordinator.after-commit");
                    self.shared.commits.one_more();
                    if std::mem::take(&mut self.store_failing) {
                        tracing::info!("the store can write again");
                    }
                    self.finish_turn();
                }
                Err(error) if error.kind() == ErrorKind::Conflict => return Err(error),
                Err(error) => self.hold_turn(&error),
            }
        }
        self.outbox.flush(&*self.shared.transport, Lane::Control, None).await;
        failpoint("coordinator.after-send");
        Ok(())
    }

    /// Everything is committed: tell whoever waits, and send.
    fn finish_turn(&mut self) {
        let registry = &self.shared.registry;
        for effect in self.after.drain(..) {
            match effect {
                CoordinatorEffect::Send(to, message @ Message::ResultAck(_)) => {
                    // Well before the worker would send its report again.
                    self.outbox.push_lazy(to, message, self.machine.config().resend_interval / 2);
                }
                CoordinatorEffect::Send(to, message) => self.outbox.push(to, message),
                CoordinatorEffect::LogEnds { execution, fence, last_seq } => {
                    let Some(live) = registry.get(execution) else { continue };
                    if last_seq == Some(0) {
                        registry.close_log(&live, fence);
                        continue;
                    }
                    // The pipeline knows which lines are in the store; with it far behind, the end has to wait in line too: never dropped,
                    // never blocking.
                    if let Err(error) = self.log_ends.try_send(LogEnd { live, fence, last_seq }) {
                        let (mpsc::error::TrySendError::Full(end)
                        | mpsc::error::TrySendError::Closed(end)) = error;
                        let log_ends = self.log_ends.clone();
                        tokio::spawn(async move { log_ends.send(end).await });
                    }
                }
                CoordinatorEffect::Persist(_) | CoordinatorEffect::Superseded(_) => {}
            }
        }
        for transition in self.batch.drain(..) {
            let live = transition.execution().and_then(|id| registry.get(id));
            let Some(live) = live else { continue };
            match transition {
                Transition::Start { .. } => live.set_status(Status::Running),
                Transition::Cancelling { .. } => live.set_status(Status::Cancelling),
                Transition::Requeue { .. } => live.set_status(Status::Queued),
                Transition::Finish { outcome, .. } => registry.end(&live, outcome),
                _ => {}
            }
        }
        for reply in self.replies.drain(..) {
            match reply {
                Reply::Submitted(_, reply) => drop(reply.send(Ok(Accepted::New))),
                Reply::Repeated(id, reply) => drop(reply.send(Ok(Accepted::Before(id)))),
                Reply::Cancelled(outcome, reply) => drop(reply.send(outcome)),
                Reply::CancelStored(id, reply) => self.stored_cancels.push((id, reply)),
            }
        }
    }

    /// Nothing was committed: new executions are refused, and the rest is held until the store can write. That is bounded by what the
    /// workers hold, since nothing new is accepted or dispatched meanwhile.
    fn hold_turn(&mut self, error: &Error) {
        if !std::mem::replace(&mut self.store_failing, true) {
            tracing::error!(%error, "the store cannot write: nothing new is accepted until it can");
        }
        let now = self.clock.now();
        // Reports are repeated, and so are the answers that wait here: one for each is enough.
        let mut acknowledged = HashSet::new();
        self.after.retain(|effect| match effect {
            CoordinatorEffect::Send(_, Message::ResultAck(ack)) => acknowledged.insert(ack.fence),
            _ => true,
        });
        let refused = |error: &Error| Error::new(error.kind(), error.message().to_owned());
        for reply in self.replies.drain(..) {
            match reply {
                Reply::Submitted(execution, reply) => {
                    let id = execution.id;
                    self.machine.forget(now, &execution, &mut self.effects);
                    self.batch.retain(|transition| transition.execution() != Some(id));
                    self.after.retain(|effect| !concerns(effect, id));
                    self.shared.registry.refuse(id);
                    if let Some(key) = &execution.idempotency_key {
                        self.recent_keys.remove(key);
                    }
                    let _ = reply.send(Err(refused(error)));
                }
                Reply::Repeated(_, reply) => drop(reply.send(Err(refused(error)))),
                Reply::Cancelled(_, reply) | Reply::CancelStored(_, reply) => {
                    let _ = reply
                        .send(Err(refused(error).with_context("the cancel is not recorded yet")));
                }
            }
        }
    }
}

/// Whether a message waits for no commit: what keeps leases alive. A list of attempts to drop does wait.
fn keeps_alive(message: &Message) -> bool {
    match message {
        Message::BeatAck(ack) => ack.drop.is_empty(),
        Message::WhoIsThere(_) => true,
        _ => false,
    }
}

fn concerns(effect: &CoordinatorEffect, id: ExecutionId) -> bool {
    match effect {
        CoordinatorEffect::Send(_, Message::Dispatch(dispatch)) => dispatch.execution == id,
        CoordinatorEffect::LogEnds { execution, .. } => *execution == id,
        _ => false,
    }
}
