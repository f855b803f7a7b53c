//! The log pipeline: from the logs lane to the store, the log sinks and live watchers.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::stream::{BoxStream, StreamExt};
use tokio::sync::mpsc;

use super::Shared;
use super::log_assembly::LogIntake;
use super::measures;
use super::watch_registry::Live;
use super::watch_registry::LogEnd;
use crate::clock::{Clock, until};
use crate::failpoint::failpoint;
use crate::inbox::refuse_message;
use crate::model::address::{Address, Lane};
use crate::model::error::ErrorKind;
use crate::model::execution::Execution;
use crate::model::fence::{Epoch, Fence};
use crate::model::id::{ExecutionId, WorkerId};
use crate::model::log::LogBatch;
use crate::model::time::Timestamp;
use crate::outbox::Outbox;
use crate::protocol::seal::WorkerGrant;
use crate::protocol::{Heard, Log, Message};
use crate::refusals::Refusal;
use crate::transport::Received;
use crate::wire::Incoming;

/// The maximum number of frames in one turn, which are stored together.
const TURN_FRAMES: usize = 16;
/// Executions whose action and queue are remembered for the log sinks. More than write at one time;
/// a forgotten one costs a read of the store.
const ORIGINS: usize = 4096;

#[derive(Debug)]
pub(super) struct LogPipeline {
    shared: Arc<Shared>,
    clock: Clock,
    intake: LogIntake,
    outbox: Outbox,
    /// Action and queue of executions that wrote lines; empty without log sinks.
    origins: HashMap<ExecutionId, (Arc<str>, Arc<str>)>,
}

impl LogPipeline {
    pub(super) fn new(shared: Arc<Shared>, clock: Clock, epoch: Epoch) -> Self {
        let intake = LogIntake::new(shared.registry.clone(), epoch);
        Self { shared, clock, intake, outbox: Outbox::default(), origins: HashMap::new() }
    }

    /// Expects the rest of a log that did not end in an earlier epoch.
    pub(super) fn expect(&mut self, execution: &Execution, live: Arc<Live>) {
        self.intake.expect(self.clock.now(), execution, live);
    }

    pub(super) async fn run(
        mut self,
        mut frames: BoxStream<'static, Received>,
        mut ends: mpsc::Receiver<LogEnd>,
    ) {
        loop {
            let deadline = self.intake.wake_at().map(|tick| self.clock.instant(tick));
            tokio::select! {
                biased;
                Some(end) = ends.recv() => self.intake.begin_end(self.clock.now(), end),
                frame = frames.next() => match frame {
                    Some(frame) => {
                        self.shared.wire.keep_current().await;
                        self.take_frame(frame).await;
                        for _ in 1..TURN_FRAMES {
                            let Some(frame) = frames.next().now_or_never().flatten() else { break };
                            self.shared.wire.keep_current().await;
                            self.take_frame(frame).await;
                        }
                    }
                    None => return,
                },
                () = until(deadline) => {}
            }
            let now = self.clock.now();
            while let Some(live) = self.intake.give_up(now, Timestamp::now()) {
                if !self.count(&live).await {
                    self.intake.not_counted(now, &live);
                }
            }
            self.store().await;
            for (worker, ack) in self.intake.acks() {
                self.outbox.push(Address::Worker(worker), Message::LogAck(ack));
            }
            if !self.outbox.is_empty() {
                self.outbox.flush(&self.shared.wire, Lane::Logs, None).await;
            }
        }
    }

    async fn take_frame(&mut self, received: Received) {
        let refusals = &self.shared.refusals;
        let read = self.shared.wire.read(refusals, Lane::Logs, received);
        // Attempts are heard by their fences and teams, whatever their worker may offer now.
        let (frame, grant) = match read {
            Some(Incoming::Frame(frame) | Incoming::Local(frame)) => (frame, None),
            Some(Incoming::Sealed(frame, sender)) => (frame, Some(sender.grant)),
            Some(Incoming::Session) | None => return,
        };
        let grant = grant.as_deref();
        let Some(from) = frame.from else {
            return refusals.note(Refusal::Sender, "unknown", &"it names no sender");
        };
        for message in frame.messages {
            match message {
                Message::Log(log) => match self.hears(&from, log.fence, grant) {
                    Heard::Holder(live) => self.take_lines(&from, live, log).await,
                    Heard::NotHolder => {}
                    Heard::Unknown => self.intake.take_unknown(&from, log.fence),
                },
                Message::Progress(report) => {
                    if let Heard::Holder(live) = self.hears(&from, report.fence, grant) {
                        live.state
                            .send_modify(|state| state.progress = Some(Arc::new(report.progress)));
                    }
                }
                other => {
                    refuse_message(&self.shared.refusals, from.as_str(), &other, Lane::Logs);
                }
            }
        }
    }

    /// Finds the execution that a worker sends something of, and counts those that are not heard.
    fn hears(
        &self,
        from: &WorkerId,
        fence: Fence,
        grant: Option<&WorkerGrant>,
    ) -> Heard<Arc<Live>> {
        let heard = self.intake.hears(from, fence, grant);
        if matches!(heard, Heard::NotHolder) {
            self.shared.refusals.note(Refusal::NotHolder, from.as_str(), &fence);
        }
        heard
    }

    async fn take_lines(&mut self, from: &WorkerId, live: Arc<Live>, log: Log) {
        if !live.is_counted() {
            self.count(&live).await;
        }
        self.intake.take(from, live, log);
    }

    /// Counts the stored lines of an execution. Returns false if the store cannot be read now.
    async fn count(&self, live: &Live) -> bool {
        match self.shared.store.execution(live.id).await {
            Ok(Some(execution)) => {
                live.counted(execution.log_lines());
                true
            }
            Ok(None) => {
                self.shared.registry.abandon_logs(live);
                true
            }
            Err(error) => {
                tracing::warn!(execution = %live.id, %error, "its log lines wait for the store");
                false
            }
        }
    }

    /// Stores the received lines, then passes them to watchers and log sinks.
    async fn store(&mut self) {
        let batches = self.intake.batches();
        if !batches.is_empty() && !self.append(batches).await {
            // One batch cannot be stored. Each is tried alone, so that it does not take the others
            // with it.
            for place in 0..self.intake.batches().len() {
                if !self.append(&self.intake.batches()[place..=place]).await {
                    self.intake.refused(place);
                }
            }
        }
        let mut batches = self.intake.stored();
        if let Some(observer) = &self.shared.observer {
            measures::stored(observer, &batches);
        }
        if batches.is_empty() || self.shared.log_sinks.is_empty() {
            return;
        }
        for batch in &mut batches {
            self.name_origin(batch).await;
        }
        self.shared.log_sinks.push(&batches);
    }

    /// Sets action and queue of a batch. Both stay empty if the store cannot be read now.
    async fn name_origin(&mut self, batch: &mut LogBatch) {
        let id = batch.execution;
        if !self.origins.contains_key(&id)
            && let Ok(Some(execution)) = self.shared.store.execution(id).await
        {
            if self.origins.len() >= ORIGINS {
                self.origins.clear();
            }
            let origin = (execution.action.clone(), execution.queue.clone());
            self.origins.insert(id, origin);
        }
        if let Some((action, queue)) = self.origins.get(&id) {
            (batch.action, batch.queue) = (action.clone(), queue.clone());
        }
    }

    /// Appends to the store, and tries again while that may help. Returns true if it succeeded.
    async fn append(&self, batches: &[LogBatch]) -> bool {
        failpoint("logs.before-append");
        let mut waiting = false;
        while let Err(error) = self.shared.session.append_logs(batches).await {
            if !error.is_retryable() {
                if batches.len() == 1 && error.kind() != ErrorKind::NotFound {
                    tracing::error!(%error, "the rest of a log cannot be stored");
                }
                return false;
            }
            // Meanwhile nothing is acknowledged, so the windows of the workers fill and their
            // actions wait: back-pressure instead of loss.
            if !std::mem::replace(&mut waiting, true) {
                tracing::warn!(%error, "log lines wait for the store");
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        failpoint("logs.after-append");
        true
    }
}
