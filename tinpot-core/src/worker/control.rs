//! The control loop: feeds the machine, starts and stops attempts, and sends messages.

use std::collections::{BTreeMap, HashMap};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::stream::{BoxStream, StreamExt};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::Instrument;

use super::logs::{LogEntries, LogEntry};
use super::offers::Offers;
use crate::clock::Clock;
use crate::executor::{
    Attempt, CallReceiver, CallRequest, CallSender, CallUpdate, Context, ContextParts, LogWriter,
    SecretAsk, SecretReceiver, SecretSender, grace_expired, stop_channel,
};
use crate::inbox::{is_for, refuse_message};
use crate::model::address::{Address, Lane};
use crate::model::error::{Error, Result};
use crate::model::failure::{Failure, FailureCode};
use crate::model::fence::Fence;
use crate::model::outcome::Outcome;
use crate::model::stop::Stop;
use crate::model::text::cut;
use crate::model::trace::Sampling;
use crate::observer::{LogCut, Measure, Observer, TracedRun, hook};
use crate::outbox::Outbox;
use crate::protocol::seal::Suite;
use crate::protocol::{
    Call, CallId, CallState, Dispatch, GivenSecret, Message, SecretState, WorkerEffect,
    WorkerMachine,
};
use crate::refusals::Refusals;
use crate::transport::{Link, Received};
use crate::wire::{Incoming, Wire};

/// The most of a failure's message, and of its traceback, that travels. Each parent that passes on the
/// failure of its child repeats both, so that without a bound the texts double at every level.
const FAILURE_TEXT_BYTES: usize = 256 * 1024;
/// The maximum number of inputs in one turn, which are answered in one frame.
const TURN_INPUTS: usize = 256;
/// The number of ended attempts that wait for the loop; more of them wait in their tasks.
const FINISHED: usize = 1024;
/// The time for which a shutdown waits for kills, and for acknowledgements, after its patience is
/// over.
const LAST_REPORTS: Duration = Duration::from_secs(5);
/// The longest patience: one without an end must not overflow the clock.
const MAX_PATIENCE: Duration = Duration::from_secs(365 * 24 * 3600);

#[derive(Debug)]
pub(super) enum Command {
    Shutdown { patience: Duration, reply: oneshot::Sender<()> },
    ReplaceKey(Arc<dyn Suite>),
}

struct Finished {
    fence: Fence,
    outcome: Outcome,
    /// True if its grace period was over before it ended.
    killed: bool,
}

/// The sender of a secret to the attempt that has asked for it.
type SecretWaiter = oneshot::Sender<Result<GivenSecret>>;

/// A call of an attempt that awaits further answers.
#[derive(Debug)]
struct OpenCall {
    wait: bool,
    updates: mpsc::Sender<CallUpdate>,
}

/// The limits of an attempt's log and result.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) log_bytes: u64,
    pub(super) result_bytes: usize,
}

#[derive(Debug)]
pub(super) struct Control {
    wire: Wire,
    machine: WorkerMachine,
    clock: Clock,
    offers: Offers,
    logs: LogEntries,
    /// The sender that each attempt gets for its calls.
    call_sender: CallSender,
    call_requests: CallReceiver,
    /// The attempts that wait for an answer to a call.
    open_calls: BTreeMap<CallId, OpenCall>,
    secret_sender: SecretSender,
    secret_requests: SecretReceiver,
    /// The attempts that wait for a secret.
    open_secrets: BTreeMap<(Fence, Arc<str>), Vec<SecretWaiter>>,
    limits: Limits,
    stops: HashMap<Fence, watch::Sender<Option<Stop>>>,
    attempts: JoinSet<()>,
    effects: Vec<WorkerEffect>,
    outbox: Outbox,
    drain_requested: watch::Sender<bool>,
    refusals: Refusals,
    /// The observer, and the number of slots that it sees.
    observer: Option<(Arc<dyn Observer>, u32)>,
    /// The choice of traces, if spans are recorded.
    sampling: Option<Sampling>,
}

impl Control {
    pub(super) fn new(
        wire: Wire,
        machine: WorkerMachine,
        clock: Clock,
        offers: Offers,
        logs: LogEntries,
        limits: Limits,
        drain_requested: watch::Sender<bool>,
    ) -> Self {
        let (call_sender, call_requests) = CallSender::channel();
        let (secret_sender, secret_requests) = SecretSender::channel();
        Self {
            wire,
            machine,
            clock,
            offers,
            logs,
            call_sender,
            call_requests,
            open_calls: BTreeMap::new(),
            secret_sender,
            secret_requests,
            open_secrets: BTreeMap::new(),
            limits,
            stops: HashMap::new(),
            attempts: JoinSet::new(),
            effects: Vec::new(),
            outbox: Outbox::default(),
            drain_requested,
            refusals: Refusals::default(),
            observer: None,
            sampling: None,
        }
    }

    /// Measures by this observer.
    pub(super) fn observed(self, observer: Option<Arc<dyn Observer>>, slots: u32) -> Self {
        let refusals = Refusals::new(observer.clone().map(hook));
        let control =
            Self { refusals, observer: observer.map(|observer| (observer, slots)), ..self };
        control.measure_held();
        control
    }

    /// Gives attempts their own places in traces.
    pub(super) fn traced(self, sampling: Option<Sampling>) -> Self {
        Self { sampling, ..self }
    }

    fn measure_held(&self) {
        if let Some((observer, slots)) = &self.observer {
            observer.observe(&Measure::Held { attempts: self.stops.len(), slots: *slots });
        }
    }

    pub(super) async fn run(
        mut self,
        mut frames: BoxStream<'static, Received>,
        mut commands: mpsc::Receiver<Command>,
    ) {
        let (finished_sender, mut finished) = mpsc::channel::<Finished>(FINISHED);
        let mut link = self.wire.transport().status();
        let mut sleep = Box::pin(tokio::time::sleep(Duration::ZERO));
        let mut ending: Option<(Instant, oneshot::Sender<()>)> = None;
        loop {
            let wake = self.machine.wake_at().map(|tick| self.clock.instant(tick));
            let handshake = self.wire.wake_at();
            let deadline = ending.as_ref().map(|(deadline, _)| *deadline);
            let at = wake
                .into_iter()
                .chain(handshake)
                .chain(deadline)
                .min()
                .unwrap_or_else(|| Instant::now() + Duration::from_secs(3600));
            if sleep.is_elapsed() || at < sleep.deadline() {
                sleep.as_mut().reset(at);
            }
            tokio::select! {
                biased;
                Some(frame) = frames.next() => self.take_frame(frame),
                Some(end) = finished.recv() => self.take_end(end),
                Some(request) = self.call_requests.recv() => self.take_call(request),
                Some(request) = self.secret_requests.recv() => self.take_secret_ask(request),
                Some(link) = link.next() => {
                    if let Some((observer, _)) = &self.observer {
                        observer.observe(&Measure::Link(&link));
                    }
                    if link == Link::Up {
                        self.wire.link_up();
                        self.machine.link_up(self.clock.now(), &mut self.effects);
                    }
                }
                () = self.offers.changed() => {
                    self.machine.offer_changed(self.clock.now(), self.offers.current(), &mut self.effects);
                }
                command = commands.recv(), if ending.is_none() => {
                    match command {
                        Some(Command::Shutdown { patience, reply }) => {
                            let patience = patience.min(MAX_PATIENCE);
                            self.machine.drain(self.clock.now(), patience, &mut self.effects);
                            ending = Some((Instant::now() + patience + LAST_REPORTS, reply));
                        }
                        Some(Command::ReplaceKey(suite)) => self.wire.replace_key(suite),
                        None => return,
                    }
                }
                () = sleep.as_mut() => {}
            }
            for _ in 0..TURN_INPUTS {
                let frame = frames.next().now_or_never().flatten();
                let end = finished.try_recv().ok();
                if frame.is_none() && end.is_none() {
                    break;
                }
                if let Some(frame) = frame {
                    self.take_frame(frame);
                }
                if let Some(end) = end {
                    self.take_end(end);
                }
            }
            self.machine.tick(self.clock.now(), &mut self.effects);
            self.wire.tick(self.machine.id()).await;
            self.turn(&finished_sender).await;
            while self.attempts.try_join_next().is_some() {}
            let over = |(deadline, _): &(Instant, _)| {
                Instant::now() >= *deadline || self.machine.is_empty()
            };
            if ending.as_ref().is_some_and(over) {
                return self.end(ending.map(|(_, reply)| reply)).await;
            }
        }
    }

    fn take_frame(&mut self, received: Received) {
        let now = self.clock.now();
        let frame = match self.wire.read(&self.refusals, Lane::Control, received) {
            Some(Incoming::Frame(frame)) => frame,
            // The coordinator seals with it only once it has opened a frame in it.
            Some(Incoming::Session) => return self.machine.link_up(now, &mut self.effects),
            Some(Incoming::Sealed(..) | Incoming::Local(_)) | None => return,
        };
        if !is_for(&self.refusals, &frame, self.machine.id()) {
            return;
        }
        for message in frame.messages {
            match message {
                Message::Unknown(_)
                | Message::LogAck(_)
                | Message::ReplaceKey(_)
                | Message::Rotated(_) => {
                    refuse_message(&self.refusals, "coordinator", &message, Lane::Control);
                }
                message => self.machine.receive(now, message, &mut self.effects),
            }
        }
    }

    fn take_call(&mut self, request: CallRequest) {
        let CallRequest { fence, action, parameters, options, span, wait, updates } = request;
        let number = 0;
        let call = Call { fence, number, action, parameters, options, span, wait };
        // Dropping the sender tells an attempt that ended meanwhile that its call is over.
        if let Some(id) = self.machine.call(self.clock.now(), call, &mut self.effects) {
            self.open_calls.insert(id, OpenCall { wait, updates });
        }
    }

    fn take_secret_ask(&mut self, request: SecretAsk) {
        let SecretAsk { fence, name, answer, .. } = request;
        // Dropping the sender tells an attempt that ended meanwhile that nothing will come.
        if self.machine.ask_secret(self.clock.now(), fence, name.clone(), &mut self.effects) {
            self.open_secrets.entry((fence, name)).or_default().push(answer);
        }
    }

    fn update_secret(&mut self, fence: Fence, name: Arc<str>, state: SecretState) {
        for answer in self.open_secrets.remove(&(fence, name)).unwrap_or_default() {
            let state = match &state {
                SecretState::Given(given) => Ok(given.clone()),
                SecretState::Refused { kind, message } => Err(Error::new(*kind, message.clone())),
            };
            // The attempt may not wait any more.
            let _ = answer.send(state);
        }
    }

    fn update_call(&mut self, id: CallId, state: CallState) {
        let Some(OpenCall { wait, updates }) = self.open_calls.get(&id) else { return };
        let update = match state {
            CallState::Accepted { execution } => CallUpdate::Accepted(execution),
            CallState::Ended { outcome, .. } => CallUpdate::Ended(outcome),
            CallState::Refused { kind, message } => CallUpdate::Refused(Error::new(kind, message)),
        };
        let is_last = !(*wait && matches!(update, CallUpdate::Accepted(_)));
        // There is room for both updates, so this fails only if the attempt does not wait any more,
        // and then it does not matter.
        let _ = updates.try_send(update);
        if is_last {
            self.open_calls.remove(&id);
        }
    }

    fn take_end(&mut self, end: Finished) {
        let Finished { fence, outcome, killed } = end;
        self.stops.remove(&fence);
        self.measure_held();
        let calls = CallId { fence, number: 0 }..=CallId { fence, number: u64::MAX };
        for id in self.open_calls.range(calls).map(|(id, _)| *id).collect::<Vec<_>>() {
            self.open_calls.remove(&id);
        }
        self.open_secrets.retain(|(of, _), _| *of != fence);
        let last_seq = self.logs.finish(fence);
        let outcome = within(outcome, self.limits.result_bytes);
        if outcome.reason_not_started().is_some() && self.offers.refresh() {
            // The executor may have withdrawn its offer before it gave the attempt back.
            let offer = self.offers.current();
            self.machine.offer_changed(self.clock.now(), offer, &mut self.effects);
        }
        let now = self.clock.now();
        self.machine.finished(now, fence, outcome, last_seq, killed, &mut self.effects);
    }

    async fn turn(&mut self, finished: &mpsc::Sender<Finished>) {
        for effect in std::mem::take(&mut self.effects) {
            match effect {
                WorkerEffect::Send(message) => self.outbox.push(Address::Coordinator, message),
                WorkerEffect::Start(dispatch) => self.start(*dispatch, finished.clone()),
                WorkerEffect::Stop(fence, stop) => {
                    if let Some(sender) = self.stops.get(&fence) {
                        sender.send_replace(Some(stop));
                    }
                }
                WorkerEffect::CallUpdate(id, state) => self.update_call(id, state),
                WorkerEffect::SecretUpdate(fence, name, state) => {
                    self.update_secret(fence, name, state);
                }
                WorkerEffect::Forget(fence) => self.logs.forget(fence),
                WorkerEffect::DrainRequested => {
                    tracing::info!("the coordinator asks this worker to drain");
                    self.drain_requested.send_replace(true);
                }
            }
        }
        if !self.outbox.is_empty() {
            self.outbox.flush(&self.wire, Lane::Control, Some(self.machine.id())).await;
        }
    }

    fn start(&mut self, dispatch: Dispatch, finished: mpsc::Sender<Finished>) {
        let fence = dispatch.fence;
        let (logs, buffer) = LogWriter::channel(self.logs.ready(), self.limits.log_bytes);
        for secret in self.offers.secrets(&dispatch) {
            logs.mask(&secret);
        }
        let reported = logs.clone();
        let (stop, stop_receiver) = stop_channel();
        let (progress, progress_receiver) = watch::channel(None);
        self.stops.insert(fence, stop);
        self.measure_held();
        self.logs.insert(fence, LogEntry::new(buffer, progress_receiver));
        // It becomes a variable of a program.
        let given = dispatch.traceparent.as_deref().and_then(|text| text.parse().ok());
        let span = self.sampling.map(|sampling| sampling.of_run(given, dispatch.execution, fence));
        let traceparent = span.map(|span| span.context).or(given);
        let traceparent: Option<Arc<str>> = traceparent.map(|trace| trace.to_string().into());
        let calls = match span {
            // The coordinator knows only the span of the attempt.
            Some(_) => self.call_sender.for_attempt(fence).traceparent(traceparent.clone()),
            None => self.call_sender.for_attempt(fence),
        };
        let context = Context::new(
            ContextParts::new(logs, stop_receiver, progress)
                .calls(calls)
                .secrets(self.secret_sender.for_attempt(fence))
                .attempt(dispatch.attempt)
                .traceparent(traceparent.clone()),
        );
        let stops = context.stop_requests();
        let executor = self.offers.executor(&dispatch);
        let measured = self.observer.as_ref();
        let measured = measured
            .map(|(observer, _)| (observer.clone(), dispatch.action.clone(), Instant::now()));
        let (execution, number) = (dispatch.execution, dispatch.attempt);
        let attempt = Attempt::new(dispatch.execution, fence, dispatch.action, dispatch.parameters)
            .execution_number(dispatch.number)
            .number(dispatch.attempt)
            .timeout(dispatch.timeout)
            .bundle(dispatch.bundle)
            .ticket(dispatch.ticket)
            .upload_digests(dispatch.uploads)
            .traceparent(traceparent);
        let logged = tracing::info_span!(
            "attempt",
            execution = %attempt.execution,
            action = &*attempt.action,
            attempt = dispatch.attempt,
        );
        let running = async move {
            let mut killed = false;
            let outcome = match executor {
                Some(executor) => {
                    let running =
                        AssertUnwindSafe(executor.execute(attempt, context)).catch_unwind();
                    let mut running = std::pin::pin!(running);
                    let ended = tokio::select! {
                        biased;
                        // From now on, the executor kills it.
                        () = grace_expired(stops) => {
                            killed = true;
                            running.await
                        }
                        ended = &mut running => ended,
                    };
                    ended.unwrap_or_else(|_| {
                        Outcome::Failed(
                            Failure::new("the executor panicked")
                                .code(FailureCode::Panicked)
                                .kind("panic"),
                        )
                    })
                }
                None => Outcome::Failed(
                    Failure::new(format!(
                        "the worker no longer offers {}",
                        match &attempt.bundle {
                            Some(bundle) => format!("runtime {:?}", bundle.runtime),
                            None => format!("action {:?}", attempt.action),
                        }
                    ))
                    .code(FailureCode::ActionUnavailable),
                ),
            };
            let outcome = reported.shown_outcome(outcome);
            if let Some((observer, action, began)) = measured {
                let (status, took) = (outcome.status(), began.elapsed());
                let outcome = &outcome;
                let traced =
                    span.map(|span| TracedRun { execution, attempt: number, outcome, span });
                observer.observe(&Measure::Ran { action: &action, status, took, traced });
                if reported.is_cut() {
                    observer.observe(&Measure::LogCut(LogCut::Limit));
                }
            }
            let _ = finished.send(Finished { fence, outcome, killed }).await;
        };
        self.attempts.spawn(running.instrument(logged));
    }

    /// Says goodbye and closes everything.
    async fn end(mut self, reply: Option<oneshot::Sender<()>>) {
        self.outbox.push(Address::Coordinator, self.machine.goodbye());
        self.outbox.flush(&self.wire, Lane::Control, Some(self.machine.id())).await;
        self.attempts.shutdown().await;
        for executor in self.offers.executors() {
            if let Err(error) = executor.close().await {
                tracing::warn!(?executor, %error, "an executor was not closed cleanly");
            }
        }
        self.logs.drained(LAST_REPORTS).await;
        self.wire.transport().close().await;
        if let Some(reply) = reply {
            let _ = reply.send(());
        }
    }
}

/// Returns an outcome that fits a frame: a larger result becomes a failure, and a longer text is
/// cut.
fn within(outcome: Outcome, max_bytes: usize) -> Outcome {
    match outcome {
        Outcome::Succeeded(value) if value.as_str().len() > max_bytes => {
            let message = format!(
                "the result has {} bytes; at most {max_bytes} are taken",
                value.as_str().len()
            );
            Outcome::Failed(
                Failure::new(message).code(FailureCode::ResultTooLarge).kind("ResultTooLarge"),
            )
        }
        Outcome::Failed(mut failure) => {
            let max = FAILURE_TEXT_BYTES.min(max_bytes / 4);
            cut(&mut failure.message, max);
            if let Some(traceback) = &mut failure.traceback {
                cut(traceback, max);
            }
            Outcome::Failed(failure)
        }
        outcome => outcome,
    }
}
