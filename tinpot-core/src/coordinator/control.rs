//! The control loop: feeds the machine, commits what it wants persisted, then does the rest.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::stream::{BoxStream, StreamExt};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, Sleep};

use super::Shared;
use super::calls::{CallKey, Calls, Next, WeakCoordinator, cancel_children, serve};
use super::changes::Recorder;
use super::intake::LogEnd;
use super::turn::{Accepted, Answer, Step, Turn};
use crate::clock::Clock;
use crate::failpoint::failpoint;
use crate::inbox::read_frame;
use crate::model::address::{Address, Lane};
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::execution::Execution;
use crate::model::id::{ExecutionId, WorkerId};
use crate::model::time::Timestamp;
use crate::outbox::Outbox;
use crate::protocol::{
    Call, CallState, CancelOutcome, Catalogue, CoordinatorEffect, CoordinatorMachine, Message,
    QueueView, WorkerInfo,
};
use crate::transport::Link;

/// Inputs taken in one turn, and committed together: enough to amortise a commit, few enough to answer within milliseconds.
const TURN_INPUTS: usize = 256;
/// How long to wait before a commit that failed is tried again.
const COMMIT_RETRY: Duration = Duration::from_millis(500);

type SubmitReply = oneshot::Sender<Result<Accepted>>;
type CancelReply = oneshot::Sender<Result<CancelOutcome>>;
type QueueReply = oneshot::Sender<Result<()>>;

/// What handles ask of the loop.
#[derive(Debug)]
pub(super) enum Command {
    /// `commits`: how many there were when its key was looked for in the store.
    Submit {
        execution: Arc<Execution>,
        commits: u64,
        reply: SubmitReply,
    },
    Cancel {
        id: ExecutionId,
        force: bool,
        reply: CancelReply,
    },
    /// Something has become of a call.
    Called {
        key: CallKey,
        state: CallState,
    },
    SetPaused {
        queue: String,
        paused: bool,
        reply: QueueReply,
    },
    Drain {
        worker: WorkerId,
        reply: oneshot::Sender<Result<()>>,
    },
    Workers(oneshot::Sender<Vec<WorkerInfo>>),
    Queues(oneshot::Sender<Vec<QueueView>>),
    Shutdown(oneshot::Sender<()>),
}

/// What the loop lets everybody see.
#[derive(Debug)]
pub(super) struct Published {
    pub(super) catalogue: watch::Sender<Arc<Catalogue>>,
    pub(super) changes: Recorder,
}

#[derive(Debug)]
pub(super) struct Control {
    shared: Arc<Shared>,
    turn: Turn<SubmitReply, CancelReply, QueueReply>,
    clock: Clock,
    published: Published,
    version: u64,
    log_ends: mpsc::Sender<LogEnd>,
    calls: Calls,
    /// For what is done beside the loop.
    coordinator: WeakCoordinator,
    outbox: Outbox,
    /// The store could not write when it was last asked to.
    outage: bool,
}

impl Control {
    pub(super) fn new(
        shared: Arc<Shared>,
        machine: CoordinatorMachine,
        clock: Clock,
        published: Published,
        log_ends: mpsc::Sender<LogEnd>,
        calls: Calls,
        coordinator: WeakCoordinator,
    ) -> Self {
        let turn = Turn::new(machine);
        let outbox = Outbox::default();
        Self {
            shared,
            turn,
            clock,
            published,
            version: 0,
            log_ends,
            calls,
            coordinator,
            outbox,
            outage: false,
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
                        self.turn.machine.link_up(&mut self.turn.effects);
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
            self.turn.tick(self.clock.now(), Timestamp::now());
            if let Err(error) = self.turn().await {
                tracing::error!(%error, "the coordinator stops: is there another one on this store?");
                break;
            }
        }
        // Whoever still waits learns it from the closed channel.
        commands.close();
        if let Err(error) = self.shared.session.close().await {
            tracing::warn!(%error, "the store was not closed in order");
        }
        if let Some(reply) = shutdown {
            let _ = reply.send(());
        }
    }

    fn arm(&self, mut sleep: std::pin::Pin<&mut Sleep>) {
        let retry = self.turn.store_failing().then(|| Instant::now() + COMMIT_RETRY);
        let wake = self.turn.machine.wake_at().map(|tick| self.clock.instant(tick));
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
            match message {
                Message::Call(call) => self.take_call(&from, *call),
                message => {
                    self.turn.machine.receive(now, &from, message, &mut self.turn.effects);
                }
            }
        }
    }

    fn take_call(&mut self, from: &WorkerId, call: Call) {
        let caller = self.turn.machine.caller(from, call.fence).cloned();
        match self.calls.take(from, &call, caller.as_deref()) {
            Next::Answer(called) => {
                self.outbox.push(Address::Worker(from.clone()), Message::Called(called));
            }
            Next::Serve(parent) => {
                tokio::spawn(serve(self.coordinator.clone(), call, parent));
            }
            Next::Nothing => {}
        }
    }

    fn called(&mut self, key: CallKey, state: CallState) {
        let now = self.clock.now();
        let accepted = match &state {
            CallState::Accepted { execution } => Some(*execution),
            _ => None,
        };
        let told = self.calls.update(key, state);
        let runs = |worker: &WorkerId| self.turn.machine.caller(worker, key.0).is_some();
        if let Some(child) = accepted
            && told.as_ref().is_none_or(|(worker, ..)| !runs(worker))
        {
            // Whoever asked was asked to end meanwhile; if that came first, the child was not there yet to be cancelled.
            super::calls::cancel_one(&self.coordinator, child);
        }
        if let Some((worker, called, parks)) = told {
            if let Some(parks) = parks {
                self.turn.machine.park(now, &worker, key.0, parks, &mut self.turn.effects);
            }
            self.outbox.push(Address::Worker(worker), Message::Called(called));
        }
    }

    fn take_command(&mut self, command: Command) -> Option<oneshot::Sender<()>> {
        let now = self.clock.now();
        match command {
            Command::Submit { execution, commits, reply } => {
                if let Some(answer) = self.turn.submit(now, execution, commits, reply) {
                    give(&self.shared, answer);
                }
            }
            Command::Cancel { id, force, reply } => self.turn.cancel(now, id, force, reply),
            Command::SetPaused { queue, paused, reply } => {
                if let Some(answer) = self.turn.set_paused(now, &queue, paused, reply) {
                    give(&self.shared, answer);
                }
            }
            Command::Called { key, state } => self.called(key, state),
            Command::Drain { worker, reply } => {
                let effects = &mut self.turn.effects;
                let _ = reply.send(self.turn.machine.drain_worker(now, &worker, effects));
            }
            Command::Workers(reply) => {
                let _ = reply.send(self.turn.machine.workers(now));
            }
            Command::Queues(reply) => {
                let _ = reply.send(self.turn.machine.queues());
            }
            Command::Shutdown(reply) => return Some(reply),
        }
        None
    }

    /// Does what the machine wants done, and reads what it wants to know.
    async fn turn(&mut self) -> Result<()> {
        self.commit_and_send().await?;
        loop {
            match self.turn.next(self.clock.now()) {
                Step::Commit => self.commit_and_send().await?,
                Step::Find(id) => self.turn.found(self.shared.store.execution(id).await),
                Step::Load(page) => match self.shared.session.queued(&page).await {
                    Ok(executions) => self.turn.loaded(self.clock.now(), &page, executions),
                    Err(error) => {
                        tracing::warn!(%error, "what waits cannot be read");
                        self.turn.not_loaded(page);
                    }
                },
                Step::Rest => break,
            }
        }
        if let Some(epoch) = self.turn.superseded() {
            let message = format!("a later coordinator, {epoch}, is at work on this store");
            return Err(Error::new(ErrorKind::Conflict, message));
        }
        if self.version != self.turn.machine.version() {
            self.version = self.turn.machine.version();
            let catalogue = Arc::new(self.turn.machine.catalogue().clone());
            self.published.catalogue.send_replace(catalogue);
            self.published.changes.catalogue_changed();
        }
        Ok(())
    }

    /// Commits and sends: persist before send.
    async fn commit_and_send(&mut self) -> Result<()> {
        let (registry, outbox) = (&self.shared.registry, &mut self.outbox);
        // An attempt's lines may arrive as soon as it is dispatched.
        let granted = |id, fence, attempt| registry.open_log(id, fence, attempt);
        if self.turn.stage(granted, |to, message| outbox.push(to, message)) {
            failpoint("coordinator.before-commit");
            let at = Timestamp::now();
            match self.shared.session.commit(self.turn.batch(), at).await {
                Ok(()) => {
                    failpoint("coordinator.after-commit");
                    if std::mem::take(&mut self.outage) {
                        tracing::info!("the store can write again");
                    }
                    self.published.changes.committed(self.turn.batch());
                    self.shared.stats.committed(self.turn.batch(), at);
                    self.finish_turn();
                    self.shared.commits.are(self.turn.commits());
                }
                Err(error) if error.kind() == ErrorKind::Conflict => return Err(error),
                Err(error) => {
                    if !std::mem::replace(&mut self.outage, true) {
                        tracing::error!(%error, "the store cannot write: nothing new is accepted until it can");
                    }
                    let shared = &self.shared;
                    self.turn.hold(self.clock.now(), &error, |answer| give(shared, answer));
                }
            }
        } else {
            self.finish_turn();
        }
        self.outbox.flush(&*self.shared.transport, Lane::Control, None).await;
        failpoint("coordinator.after-send");
        Ok(())
    }

    /// Everything is committed: tell whoever waits, and send.
    fn finish_turn(&mut self) {
        let lazily = self.turn.machine.config().resend_interval / 2;
        let (shared, outbox, log_ends) = (&self.shared, &mut self.outbox, &self.log_ends);
        let (calls, coordinator) = (&mut self.calls, &self.coordinator);
        let effect = |effect| match effect {
            CoordinatorEffect::Send(to, message @ Message::ResultAck(_)) => {
                // Well before the worker would send its report again.
                outbox.push_lazy(to, message, lazily);
            }
            CoordinatorEffect::Send(to, message) => outbox.push(to, message),
            CoordinatorEffect::LogEnds { execution, fence, last_seq } => {
                if let Some(end) = shared.registry.begin_end(execution, fence, last_seq) {
                    hand_over(log_ends, end);
                }
            }
            CoordinatorEffect::Persist(_) | CoordinatorEffect::Superseded(_) => {}
        };
        self.turn.committed(
            |transition| {
                if let Some((execution, which)) = calls.ended(&transition) {
                    cancel_children(coordinator, execution, which, false);
                }
                shared.registry.committed(transition);
            },
            effect,
            |answer| give(shared, answer),
        );
    }
}

/// Tells whoever asked.
fn give(shared: &Shared, answer: Answer<SubmitReply, CancelReply, QueueReply>) {
    match answer {
        Answer::Submit(reply, accepted) => drop(reply.send(Ok(accepted))),
        Answer::Refused(forgotten, reply, error) => {
            if let Some(id) = forgotten {
                shared.registry.refuse(id);
            }
            let _ = reply.send(Err(error));
        }
        Answer::Cancel(reply, outcome) => drop(reply.send(outcome)),
        Answer::Queue(reply, done) => drop(reply.send(done)),
    }
}

/// The pipeline knows which lines are in the store; with it far behind, the end of a log has to wait in line too: never dropped, never
/// blocking.
fn hand_over(log_ends: &mpsc::Sender<LogEnd>, end: LogEnd) {
    if let Err(error) = log_ends.try_send(end) {
        let (mpsc::error::TrySendError::Full(end) | mpsc::error::TrySendError::Closed(end)) = error;
        let log_ends = log_ends.clone();
        tokio::spawn(async move { log_ends.send(end).await });
    }
}
