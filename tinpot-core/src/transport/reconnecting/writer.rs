//! The writing side of one connection.

use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use futures::SinkExt;
use futures::sink::Sink;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until, timeout};

use super::Command;
use super::lane::{CONNECT_PATIENCE, LaneState, Pulse, Queued, closed_by};
use crate::model::error::Error;

/// The time that `close` gives frames that wait.
const DRAIN: Duration = Duration::from_secs(1);
/// Frames that are written before the sink is flushed, if that many wait.
const FLUSH_FRAMES: usize = 64;

/// The end of a connection.
pub(super) enum Ending {
    /// The transport was closed.
    Closed,
    Failed {
        reason: String,
        was_up: bool,
    },
}

impl Ending {
    pub(super) fn failed(reason: String) -> Self {
        Self::Failed { reason, was_up: false }
    }
}

type Commands = Pin<Box<dyn Sink<Command, Error = Error> + Send>>;
/// `Err` says why the connection is of no more use.
type Written = Result<(), String>;

/// Writes subscriptions, heartbeats and frames.
pub(super) struct Writer<'a> {
    lane: &'a LaneState,
    commands: Commands,
    echo_topic: &'a str,
    pulse: &'a Pulse,
    echoed: watch::Receiver<u64>,
    /// The number of the last echo that was requested.
    echo: u64,
    /// The number of the echo that proves that the lane works, while that is in doubt.
    proof: Option<u64>,
    /// There once the lane is up.
    queue: Option<mpsc::Receiver<Queued>>,
}

impl<'a> Writer<'a> {
    pub(super) fn new(
        lane: &'a LaneState,
        commands: Commands,
        echo_topic: &'a str,
        pulse: &'a Pulse,
    ) -> Self {
        let echoed = pulse.echoed.subscribe();
        Self { lane, commands, echo_topic, pulse, echoed, echo: 0, proof: None, queue: None }
    }

    /// Returns true if the lane was up on this connection.
    pub(super) fn was_up(&self) -> bool {
        self.queue.is_some()
    }

    pub(super) async fn run(&mut self, closing: &mut watch::Receiver<bool>) -> Ending {
        match self.write(closing).await {
            Ok(()) => Ending::Closed,
            Err(reason) => Ending::failed(reason),
        }
    }

    /// Writes until the transport closes.
    async fn write(&mut self, closing: &mut watch::Receiver<bool>) -> Written {
        self.feed(Command::Subscribe { topic: self.echo_topic.to_owned() }).await?;
        self.subscribe(true).await?;
        let settled_by = Instant::now() + CONNECT_PATIENCE;
        let period = self.lane.settings.heartbeat;
        let mut heartbeat = interval_at(Instant::now() + period, period);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut received = 0;
        loop {
            let is_up = self.queue.is_some();
            tokio::select! {
                biased;
                () = closed_by(closing) => {
                    // Without an answer within the bound, the frames are lost.
                    let _ = timeout(DRAIN, self.drain()).await;
                    return Ok(());
                }
                () = self.lane.changed.notified() => self.subscribe(false).await?,
                () = self.lane.doubted.notified() => {
                    self.request_echo().await?;
                    self.proof = Some(self.echo);
                }
                _ = self.echoed.changed(), if !is_up || self.proof.is_some() => {
                    if self.proof.is_some_and(|proof| *self.echoed.borrow() < proof) {
                        continue;
                    }
                    self.proof = None;
                    if is_up {
                        self.lane.proved();
                    } else if self.lane.subscriptions().is_settled() {
                        self.queue = Some(self.lane.up());
                    }
                }
                () = sleep_until(settled_by), if !is_up => {
                    return Err(format!("no subscription took effect within {CONNECT_PATIENCE:?}"));
                }
                _ = heartbeat.tick() => {
                    let now = self.pulse.received.load(Ordering::Relaxed);
                    if now == received {
                        return Err(format!("nothing was received for {period:?}"));
                    }
                    received = now;
                    self.request_echo().await?;
                }
                Some(queued) = next(&mut self.queue) => self.publish(queued).await?,
            }
        }
    }

    /// Brings the subscriptions of the other side up to date, with an echo to confirm them.
    async fn subscribe(&mut self, always: bool) -> Written {
        let changes = self.lane.subscriptions().take_changes(self.echo + 1);
        if changes.is_empty() && !always {
            return Ok(());
        }
        for change in changes {
            self.feed(change).await?;
        }
        self.request_echo().await
    }

    /// Publishes a frame to this connection itself.
    async fn request_echo(&mut self) -> Written {
        self.echo += 1;
        let frame = Bytes::copy_from_slice(&self.echo.to_be_bytes());
        self.feed(Command::Publish { topic: self.echo_topic.to_owned(), frame }).await?;
        self.flush().await
    }

    /// Writes a frame, and those that wait behind it.
    async fn publish(&mut self, first: Queued) -> Written {
        let mut next = Some(first);
        for _ in 0..FLUSH_FRAMES {
            let Some(Queued { topic, frame, _share }) = next else { break };
            self.feed(Command::Publish { topic, frame }).await?;
            next = self.queue.as_mut().and_then(|queue| queue.try_recv().ok());
        }
        if let Some(Queued { topic, frame, _share }) = next {
            self.feed(Command::Publish { topic, frame }).await?;
        }
        self.flush().await
    }

    /// Writes what waits, and waits until the other side has processed it.
    async fn drain(&mut self) -> Written {
        let Some(mut queue) = self.queue.take() else { return Ok(()) };
        while let Ok(Queued { topic, frame, _share }) = queue.try_recv() {
            self.feed(Command::Publish { topic, frame }).await?;
        }
        self.request_echo().await?;
        let echo = self.echo;
        let _ = self.echoed.wait_for(|echoed| *echoed >= echo).await;
        self.commands.close().await.map_err(|error| error.to_string())
    }

    async fn feed(&mut self, command: Command) -> Written {
        let fed = timeout(self.lane.settings.heartbeat, self.commands.feed(command)).await;
        self.written(fed)
    }

    async fn flush(&mut self) -> Written {
        let flushed = timeout(self.lane.settings.heartbeat, self.commands.flush()).await;
        self.written(flushed)
    }

    fn written(&self, result: Result<Result<(), Error>, tokio::time::error::Elapsed>) -> Written {
        match result {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(format!("the connection broke: {error}")),
            Err(_) => {
                Err(format!("nothing could be written for {:?}", self.lane.settings.heartbeat))
            }
        }
    }
}

/// Resolves with the next frame; never while the lane is not up.
async fn next(queue: &mut Option<mpsc::Receiver<Queued>>) -> Option<Queued> {
    match queue {
        Some(queue) => queue.recv().await,
        None => std::future::pending().await,
    }
}
