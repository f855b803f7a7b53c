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
use super::live::Live;
use super::logs::LogEnd;
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::execution::{Execution, Status};
use crate::id::ExecutionId;
use crate::inbox::read_frame;
use crate::outbox::Outbox;
use crate::protocol::{
    CancelOutcome, Catalogue, CoordinatorEffect, CoordinatorMachine, Message, QueueView, WorkerInfo,
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
    Submit { execution: Arc<Execution>, live: Arc<Live>, reply: oneshot::Sender<Result<()>> },
    Cancel { id: ExecutionId, force: bool, reply: oneshot::Sender<Result<CancelOutcome>> },
    Workers(oneshot::Sender<Vec<WorkerInfo>>),
    Queues(oneshot::Sender<Vec<QueueView>>),
    Shutdown(oneshot::Sender<()>),
}

/// Answers that wait for the commit of what they tell.
#[derive(Debug)]
enum Reply {
    Submitted(ExecutionId, oneshot::Sender<Result<()>>),
    Cancelled(Result<CancelOutcome>, oneshot::Sender<Result<CancelOutcome>>),
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
    store_failing: bool,
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
            store_failing: false,
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
            self.machine.tick(self.clock.now(), &mut self.effects);
            if let Err(error) = self.turn().await {
                tracing::error!(%error, "the store contradicts the coordinator, which stops: is there another one on this store?");
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
            Command::Submit { execution, live, reply } => {
                let id = execution.id;
                match self.machine.submit(now, execution, &mut self.effects) {
                    Ok(()) => {
                        self.shared.registry.insert(live);
                        self.replies.push(Reply::Submitted(id, reply));
                    }
                    Err(error) => {
                        let _ = reply.send(Err(error));
                    }
                }
            }
            Command::Cancel { id, force, reply } => {
                let outcome = self.machine.cancel(now, id, force, &mut self.effects);
                self.replies.push(Reply::Cancelled(outcome, reply));
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

    /// Does what the machine wants done: persist before send.
    async fn turn(&mut self) -> Result<()> {
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
                CoordinatorEffect::Send(
                    to,
                    message @ (Message::BeatAck(_) | Message::WhoIsThere(_)),
                ) => {
                    self.outbox.push(to, message);
                }
                effect => self.after.push(effect),
            }
        }
        if self.batch.is_empty() {
            self.finish_turn();
        } else {
            match self.shared.store.commit(&self.batch, Timestamp::now()).await {
                Ok(()) => {
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
        if self.published != self.machine.version() {
            self.published = self.machine.version();
            self.catalogue.send_replace(Arc::new(self.machine.catalogue().clone()));
        }
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
                CoordinatorEffect::Persist(_) => {}
            }
        }
        for transition in self.batch.drain(..) {
            let Some(live) = registry.get(transition.execution()) else { continue };
            match transition {
                Transition::Start { .. } => live.set_status(Status::Running),
                Transition::Cancelling { .. } => live.set_status(Status::Cancelling),
                Transition::Requeue { .. } => live.set_status(Status::Queued),
                Transition::Finish { outcome, .. } => registry.end(&live, outcome),
                Transition::Accept(_) | Transition::Grant { .. } => {}
            }
        }
        for reply in self.replies.drain(..) {
            match reply {
                Reply::Submitted(_, reply) => drop(reply.send(Ok(()))),
                Reply::Cancelled(outcome, reply) => drop(reply.send(outcome)),
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
                Reply::Submitted(id, reply) => {
                    self.machine.forget(now, id, &mut self.effects);
                    self.batch.retain(|transition| transition.execution() != id);
                    self.after.retain(|effect| !concerns(effect, id));
                    self.shared.registry.refuse(id);
                    let _ = reply.send(Err(refused(error)));
                }
                Reply::Cancelled(_, reply) => {
                    let _ = reply
                        .send(Err(refused(error).with_context("the cancel is not recorded yet")));
                }
            }
        }
    }
}

fn concerns(effect: &CoordinatorEffect, id: ExecutionId) -> bool {
    match effect {
        CoordinatorEffect::Send(_, Message::Dispatch(dispatch)) => dispatch.execution == id,
        CoordinatorEffect::LogEnds { execution, .. } => *execution == id,
        _ => false,
    }
}
