//! The control loop: feeds the machine, commits its transitions, then performs the other effects.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::stream::{BoxStream, StreamExt};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, Sleep};

use super::Shared;
use super::changes::Recorder;
use super::command::Command;
use super::core::{Core, Output, Step};
use super::life_cycle::Observed;
use super::measures;
use super::newcomers::Newcomers;
use super::reads::Reads;
use super::replies::{Replies, Reply};
use super::watch_registry::{LogEnd, LogHolder};
use crate::clock::Clock;
use crate::failpoint::failpoint;
use crate::inbox::refuse_message;
use crate::model::address::Lane;
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::names::Names;
use crate::model::time::Timestamp;
use crate::model::transition::Transition;
use crate::observer::Measure;
use crate::outbox::Outbox;
use crate::protocol::seal::keep_secrets;
use crate::protocol::{Catalogue, Message, Tally};
use crate::refusals::Refusal;
use crate::transport::{Link, Received};
use crate::wire::Incoming;

/// The maximum number of inputs in one turn, which are committed together: enough to amortise a
/// commit, few enough to answer within milliseconds.
const TURN_INPUTS: usize = 256;
/// The time before a failed commit is tried again.
const COMMIT_RETRY: Duration = Duration::from_millis(500);

/// The state that the loop publishes.
#[derive(Debug)]
pub(super) struct Published {
    pub(super) catalogue: watch::Sender<Arc<Catalogue>>,
    pub(super) changes: Recorder,
}

#[derive(Debug)]
pub(super) struct Control {
    shared: Arc<Shared>,
    core: Core,
    clock: Clock,
    published: Published,
    version: u64,
    observed: Observed,
    log_ends: mpsc::Sender<LogEnd>,
    /// The ends of logs for which the pipeline has no room yet.
    late_log_ends: VecDeque<LogEnd>,
    replies: Replies,
    reads: Reads,
    outputs: Vec<Output>,
    outbox: Outbox,
    newcomers: Newcomers,
    /// If true, the store could not write at the last attempt.
    outage: bool,
    /// The counts of the machine that were measured last.
    tally: Tally,
}

impl Control {
    pub(super) fn new(
        shared: Arc<Shared>,
        mut core: Core,
        clock: Clock,
        published: Published,
        log_ends: mpsc::Sender<LogEnd>,
    ) -> Self {
        if shared.observer.is_some() {
            core.keep_subjects();
        }
        Self {
            reads: Reads::new(shared.clone()),
            shared,
            core,
            clock,
            published,
            version: 0,
            observed: Observed::default(),
            log_ends,
            late_log_ends: VecDeque::new(),
            replies: Replies::default(),
            outputs: Vec::new(),
            outbox: Outbox::default(),
            newcomers: Newcomers::default(),
            outage: false,
            tally: Tally::default(),
        }
    }

    pub(super) async fn run(
        mut self,
        mut frames: BoxStream<'static, Received>,
        mut commands: mpsc::Receiver<Command>,
    ) {
        let mut link = self.shared.wire.transport().status();
        let mut sleep = Box::pin(tokio::time::sleep(Duration::ZERO));
        let log_ends = self.log_ends.clone();
        let mut shutdown = None;
        while shutdown.is_none() {
            self.arm(sleep.as_mut());
            tokio::select! {
                biased;
                Some(frame) = frames.next() => {
                    self.shared.wire.keep_current().await;
                    self.take_frame(frame);
                }
                command = commands.recv() => match command {
                    Some(command) => shutdown = self.take_command(command),
                    None => break,
                },
                answer = self.reads.next() => self.core.answer(self.clock.now(), answer),
                Some(link) = link.next() => {
                    if let Some(observer) = &self.shared.observer {
                        observer.observe(&Measure::Link(&link));
                    }
                    if link == Link::Up {
                        self.core.link_up();
                    }
                }
                Ok(permit) = log_ends.reserve(), if !self.late_log_ends.is_empty() => {
                    if let Some(end) = self.late_log_ends.pop_front() {
                        permit.send(end);
                    }
                }
                () = sleep.as_mut() => {}
            }
            for _ in 0..TURN_INPUTS {
                let frame = frames.next().now_or_never().flatten();
                let command = commands.try_recv().ok();
                let answer = self.reads.try_next();
                if frame.is_none() && command.is_none() && answer.is_none() {
                    break;
                }
                if let Some(answer) = answer {
                    self.core.answer(self.clock.now(), answer);
                }
                if let Some(frame) = frame {
                    self.shared.wire.keep_current().await;
                    self.take_frame(frame);
                }
                if let Some(command) = command
                    && let Some(reply) = self.take_command(command)
                {
                    shutdown = Some(reply);
                    break;
                }
            }
            self.core.tick(self.clock.now(), Timestamp::now());
            if let Err(error) = self.turn().await {
                tracing::error!(%error, "the coordinator stops: is there another one on this store?");
                break;
            }
        }
        // Callers that still wait see the closed channel.
        commands.close();
        if let Err(error) = self.shared.session.close().await {
            tracing::warn!(%error, "the store was not closed cleanly");
        }
        if let Some(reply) = shutdown {
            let _ = reply.send(());
        }
    }

    fn arm(&self, mut sleep: std::pin::Pin<&mut Sleep>) {
        let retry = self.core.store_failing().then(|| Instant::now() + COMMIT_RETRY);
        let wake = self.core.wake_at().map(|tick| self.clock.instant(tick));
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

    fn take_frame(&mut self, received: Received) {
        let refusals = &self.shared.refusals;
        if let Some(sender) = self.shared.wire.plain_sender(&received)
            && !self.core.knows(sender)
            && !self.newcomers.hear(self.clock.now(), sender)
        {
            let detail = "too many unknown workers come at once";
            return refusals.note(Refusal::Workers, sender.as_str(), &detail);
        }
        let read = self.shared.wire.read(refusals, Lane::Control, received);
        let (frame, sender, is_local) = match read {
            Some(Incoming::Frame(frame)) => (frame, None, false),
            Some(Incoming::Sealed(frame, sender)) => (frame, Some(sender), false),
            Some(Incoming::Local(frame)) => (frame, None, true),
            Some(Incoming::Session) | None => return,
        };
        let Some(from) = frame.from else {
            return refusals.note(Refusal::Sender, "unknown", &"it names no sender");
        };
        let now = self.clock.now();
        let in_clear = sender.is_none() && !is_local && !self.shared.plain_secrets;
        let plain = in_clear && self.shared.wire.is_sealed();
        if sender.as_ref().is_some_and(|sender| !sender.is_introduced) {
            self.core.expect_hello(&from);
        }
        for message in frame.messages {
            match message {
                Message::Unknown(_)
                | Message::Log(_)
                | Message::Progress(_)
                | Message::Rotate(_) => {
                    refuse_message(refusals, from.as_str(), &message, Lane::Control);
                }
                Message::SecretGet(get) if in_clear => {
                    let message = "this worker gets no secrets, since its frames are not sealed: \
                                   give the worker a key, or start the coordinator with \
                                   --insecure-plain-secrets";
                    let error = Error::new(ErrorKind::Forbidden, message);
                    self.core.refuse_secret(&from, get, &error);
                }
                mut message => {
                    let known = |name: &str| self.core.catalogue().get(name);
                    match (&mut message, &sender) {
                        (message, Some(sender))
                            if self.core.is_of_other_teams(&from, message, &sender.grant) =>
                        {
                            let why = "its key does not serve the team of the attempt";
                            refusals.note(Refusal::NotHolder, from.as_str(), &why);
                            continue;
                        }
                        (Message::Hello(hello), Some(sender)) => {
                            sender.grant.keep_known(hello, |name| Some(&*known(name)?.action));
                        }
                        (Message::Hello(hello), None) => {
                            if plain {
                                keep_secrets(hello, known);
                            }
                            if self.shared.plain_serve_all_teams {
                                hello.granted.teams = Some(Names::any());
                            }
                        }
                        _ => {}
                    }
                    self.core.receive(now, &from, plain, message);
                }
            }
        }
    }

    fn take_command(&mut self, command: Command) -> Option<oneshot::Sender<()>> {
        let now = self.clock.now();
        match command {
            Command::Submit { execution, commits, removed, reply } => {
                let ticket = self.replies.open(Reply::Submit(reply));
                self.core.submit(now, execution, commits, removed, ticket);
            }
            Command::Cancel { id, requested, reply } => {
                let ticket = self.replies.open(Reply::Cancel(reply));
                self.core.cancel(now, id, requested, ticket);
            }
            Command::SetPaused { queue, paused, reply } => {
                let ticket = self.replies.open(Reply::Done(reply));
                self.core.set_paused(now, &queue, paused, ticket);
            }
            Command::Deploy { actions, reply } => {
                let ticket = self.replies.open(Reply::Done(reply));
                self.core.deploy(now, &actions, ticket);
            }
            Command::RemoveBundles { bundles, reply } => {
                self.core.remove_bundles(bundles);
                let _ = reply.send(());
            }
            Command::Drain { worker, reply } => {
                let ticket = self.replies.open(Reply::Done(reply));
                self.core.drain_worker(now, &worker, ticket);
            }
            Command::Workers(reply) => {
                let _ = reply.send(self.core.workers(now));
            }
            Command::WaitsFor { id, reply } => {
                let _ = reply.send(self.core.waits_for(id));
            }
            Command::ExecutionOf { fence, reply } => {
                let _ = reply.send(self.core.execution_of(fence));
            }
            Command::Queues(reply) => {
                let _ = reply.send(self.core.queues());
            }
            Command::Measure(reply) => {
                if let Some(observer) = &self.shared.observer {
                    measures::state(observer, &self.core);
                }
                let _ = reply.send(());
            }
            Command::Shutdown(reply) => return Some(reply),
        }
        None
    }

    /// Performs the machine's effects and reads.
    async fn turn(&mut self) -> Result<()> {
        self.commit_and_send().await?;
        loop {
            match self.core.next(self.clock.now()) {
                Step::Commit => self.commit_and_send().await?,
                Step::Find(id) => {
                    let found = self.shared.store.execution(id).await;
                    self.core.found(self.clock.now(), found);
                }
                Step::Load(page) => match self.shared.session.queued(&page).await {
                    Ok(executions) => self.core.loaded(self.clock.now(), &page, executions),
                    Err(error) => {
                        tracing::warn!(%error, "the waiting executions cannot be read");
                        self.core.not_loaded(page);
                    }
                },
                Step::Rest => break,
            }
        }
        if let Some(epoch) = self.core.superseded() {
            let message = format!("a later coordinator, {epoch}, is at work on this store");
            return Err(Error::new(ErrorKind::Conflict, message));
        }
        if let Some(observer) = &self.shared.observer {
            measures::counted(observer, &mut self.tally, self.core.tally());
        }
        self.publish();
        Ok(())
    }

    /// Publishes workers and catalogue if they have changed.
    fn publish(&mut self) {
        if self.version != self.core.version() {
            self.version = self.core.version();
            let catalogue = Arc::new(self.core.catalogue().clone());
            self.observed.log_changes(self.core.worker_names(), &catalogue);
            self.published.catalogue.send_replace(catalogue);
            self.published.changes.catalogue_changed();
        }
    }

    /// Commits the transitions, then performs the effects that waited for them: persist before
    /// send.
    async fn commit_and_send(&mut self) -> Result<()> {
        if self.core.stage() {
            self.perform();
            failpoint("coordinator.before-commit");
            let (at, began) = (Timestamp::now(), self.shared.clock());
            match self.shared.session.commit(self.core.batch(), at).await {
                Ok(()) => {
                    failpoint("coordinator.after-commit");
                    if std::mem::take(&mut self.outage) {
                        tracing::info!("the store can write again");
                    }
                    self.published.changes.committed(self.core.batch());
                    self.shared.stats.committed(self.core.batch(), at);
                    if let (Some(observer), Some(began)) = (&self.shared.observer, began) {
                        measures::committed(observer, &self.core, at, began.elapsed());
                    }
                    self.core.committed();
                    self.shared.commits.are(self.core.commits());
                    // Before the answer to a deploy: a caller that has it submits the new version.
                    self.publish();
                }
                Err(error) if error.kind() == ErrorKind::Conflict => return Err(error),
                Err(error) => {
                    if !std::mem::replace(&mut self.outage, true) {
                        tracing::error!(%error, "the store cannot write: nothing new is accepted until it can");
                    }
                    if let Some(observer) = &self.shared.observer {
                        observer.observe(&Measure::CommitFailed);
                    }
                    self.core.hold(self.clock.now(), &error);
                }
            }
        } else {
            self.core.committed();
        }
        self.perform();
        self.outbox.flush(&self.shared.wire, Lane::Control, None).await;
        failpoint("coordinator.after-send");
        Ok(())
    }

    /// Performs the effects that may be performed now.
    fn perform(&mut self) {
        // Swapped instead of taken, so that neither list is allocated again in every turn.
        std::mem::swap(&mut self.outputs, self.core.outputs());
        let lazily = self.core.config().resend_interval / 2;
        let registry = &self.shared.registry;
        for output in self.outputs.drain(..) {
            match output {
                Output::Granted { execution, fence, attempt, worker, team } => {
                    registry.open_log(execution, fence, attempt, LogHolder { worker, team });
                }
                Output::Refused { from, reason, detail } => {
                    self.shared.refusals.note(reason, from.as_str(), &detail);
                }
                Output::Send(to, message @ Message::ResultAck(_)) => {
                    // Well before the worker would resend its report.
                    self.outbox.push_lazy(to, message, lazily);
                }
                Output::Send(to, Message::Dispatch(mut dispatch)) => {
                    dispatch.ticket =
                        self.shared.tickets.as_ref().and_then(|tickets| tickets.of(&dispatch));
                    self.outbox.push(to, Message::Dispatch(dispatch));
                }
                Output::Send(to, message) => self.outbox.push(to, message),
                Output::LogEnds { execution, fence, last_seq } => {
                    // The pipeline knows which lines are in the store. If it is far behind, the end
                    // of a log waits in line too: it is neither dropped nor waited for.
                    if let Some(end) = registry.begin_end(execution, fence, last_seq)
                        && let Err(TrySendError::Full(end)) = match self.late_log_ends.is_empty() {
                            true => self.log_ends.try_send(end),
                            false => Err(TrySendError::Full(end)),
                        }
                    {
                        self.late_log_ends.push_back(end);
                    }
                }
                Output::Committed(transition) => {
                    if let (Some(audit), Transition::Accept(execution)) =
                        (&self.shared.audit, &transition)
                    {
                        audit.called(execution);
                    }
                    registry.committed(transition);
                }
                Output::Reply(ticket, response) => self.replies.send(registry, ticket, response),
                Output::Read(read) => self.reads.start(read),
            }
        }
    }
}
