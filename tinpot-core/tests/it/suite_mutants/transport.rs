//! Mutants of a transport over a hub in memory.

use std::future::{Ready, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use tinpot_core::testing::transport::{Faults, Network};
use tinpot_core::transport::{Address, Channel, Lane, Link, Received, Reconnecting};
use tinpot_core::{Error, ErrorKind, Result, Transport, Watcher, WorkerId};
use tokio::sync::{Mutex, mpsc, watch};

use super::caught;
use crate::hub::{HubConnect, HubNetwork};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    QueuesOfListenersHaveNoBound,
    UnboundedQueueBehindASenderThatRefuses,
    CloseDoesNotFlush,
    SendWaitsForListeners,
    LanesShareAQueue,
    LanesAreMixed,
    DropsEmptyFrames,
    CutsLargeFrames,
    ReplacesInvalidUtf8,
    ReordersFrames,
    RepeatsFrames,
    MixesNamespaces,
    DeliversToAllWorkers,
    SecondListenerReplacesFirst,
    KeepsFramesForLaterListeners,
    ListenReturnsBeforeItsEffect,
    HidesTheReason,
    HidesTheCut,
    AcceptsFramesWhileDown,
    StreamsEndAtACut,
    CloseKeepsStreams,
    SendsAfterClose,
    SecondCloseHangs,
    ErrorsArePermanent,
    TakesTheChannelFromTheFrame,
    TakesWorkersForTheCoordinator,
    SwapsWorkers,
}

#[derive(Debug)]
struct MutantNetwork {
    inner: HubNetwork,
    fault: Fault,
}

fn network(fault: Fault) -> Ready<MutantNetwork> {
    ready(MutantNetwork { inner: HubNetwork::default(), fault })
}

#[async_trait]
impl Network for MutantNetwork {
    async fn join(&self, _participant: &Address) -> Arc<dyn Transport> {
        Arc::new(Mutant::new(self.inner.transport("tinpot").await, self.fault))
    }

    async fn join_elsewhere(&self, participant: &Address) -> Arc<dyn Transport> {
        match self.fault {
            Fault::MixesNamespaces => self.join(participant).await,
            _ => self.inner.join_elsewhere(participant).await,
        }
    }

    fn faults(&self) -> Option<&dyn Faults> {
        self.inner.faults()
    }
}

struct Mutant {
    inner: Arc<Reconnecting<HubConnect>>,
    fault: Fault,
    sent: AtomicU64,
    /// Frames that a task sends later.
    later: mpsc::Sender<(Address, Lane, Bytes)>,
    /// The stream of the first listener, for the next one.
    kept: Mutex<Option<BoxStream<'static, Received>>>,
    link: watch::Sender<Link>,
    closed: AtomicU64,
}

impl std::fmt::Debug for Mutant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mutant").field("fault", &self.fault).finish_non_exhaustive()
    }
}

impl Mutant {
    fn new(inner: Reconnecting<HubConnect>, fault: Fault) -> Self {
        let inner = Arc::new(inner);
        let (later, mut queue) = mpsc::channel(1_000);
        tokio::spawn({
            let inner = inner.clone();
            async move {
                while let Some((to, lane, frame)) = queue.recv().await {
                    let _ = inner.send(&to, lane, frame).await;
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
        });
        let link = watch::Sender::new(Link::Down { reason: String::new() });
        tokio::spawn({
            let (mut status, link) = (inner.status(), link.clone());
            async move {
                while let Some(now) = status.next().await {
                    link.send_replace(match now {
                        Link::Down { .. } if fault == Fault::HidesTheCut => Link::Up,
                        Link::Down { .. } => Link::Down { reason: String::new() },
                        link => link,
                    });
                }
            }
        });
        let (kept, closed) = (Mutex::new(None), AtomicU64::new(0));
        Self { inner, fault, sent: AtomicU64::new(0), later, kept, link, closed }
    }

    fn queue(&self, to: &Address, lane: Lane, frame: Bytes) -> Result<()> {
        let full = |_| Error::new(ErrorKind::Overloaded, "the queue is full");
        self.later.try_send((to.clone(), lane, frame)).map_err(full)
    }
}

fn guessed(fault: Fault, frame: &[u8]) -> Channel {
    let frame = String::from_utf8_lossy(frame);
    let says = |name: &str| frame.contains(name);
    match fault {
        Fault::TakesTheChannelFromTheFrame if says("db-1") => Channel::of(&worker("db-1")),
        Fault::TakesTheChannelFromTheFrame if says("web-1") => Channel::of(&worker("web-1")),
        Fault::TakesWorkersForTheCoordinator => Channel::Coordinator,
        Fault::SwapsWorkers => Channel::of(&worker("db-1")),
        _ => Channel::Unknown,
    }
}

fn worker(id: &str) -> Address {
    Address::Worker(WorkerId::new(id).expect("an id"))
}

/// Reads a stream into a queue without a bound.
fn unbounded(mut frames: BoxStream<'static, Received>) -> BoxStream<'static, Received> {
    let (sender, mut receiver) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(frame) = frames.next().await {
            let _ = sender.send(frame);
        }
    });
    stream::poll_fn(move |context| receiver.poll_recv(context)).boxed()
}

#[async_trait]
impl Transport for Mutant {
    async fn send(&self, to: &Address, lane: Lane, frame: Bytes) -> Result<()> {
        let number = self.sent.fetch_add(1, Ordering::Relaxed);
        match self.fault {
            Fault::UnboundedQueueBehindASenderThatRefuses if !number.is_multiple_of(3) => {
                tokio::task::yield_now().await;
                Err(Error::new(ErrorKind::Overloaded, "not now"))
            }
            Fault::CloseDoesNotFlush | Fault::LanesShareAQueue => self.queue(to, lane, frame),
            Fault::SendWaitsForListeners => loop {
                match self.inner.send(to, lane, frame.clone()).await {
                    // It gets no signal when a listener reads, so it waits forever.
                    Ok(()) if number > 5_000 => std::future::pending().await,
                    sent => break sent,
                }
            },
            Fault::LanesAreMixed => self.inner.send(to, Lane::Control, frame).await,
            Fault::DropsEmptyFrames if frame.is_empty() => Ok(()),
            Fault::CutsLargeFrames => {
                self.inner.send(to, lane, frame.slice(..frame.len().min(1 << 20))).await
            }
            Fault::ReplacesInvalidUtf8 => {
                let text = String::from_utf8_lossy(&frame).into_owned();
                self.inner.send(to, lane, text.into()).await
            }
            Fault::ReordersFrames => {
                let (inner, to) = (self.inner.clone(), to.clone());
                tokio::spawn(async move {
                    let delay = Duration::from_millis(number * 7 % 5);
                    tokio::time::sleep(delay).await;
                    inner.send(&to, lane, frame).await
                });
                Ok(())
            }
            Fault::RepeatsFrames => {
                self.inner.send(to, lane, frame.clone()).await?;
                self.inner.send(to, lane, frame).await
            }
            Fault::DeliversToAllWorkers if matches!(to, Address::Worker(_)) => {
                self.inner.send(&Address::AllWorkers, lane, frame).await
            }
            Fault::AcceptsFramesWhileDown | Fault::ErrorsArePermanent => {
                match self.inner.send(to, lane, frame).await {
                    Err(error) if error.kind() == ErrorKind::Unavailable => match self.fault {
                        Fault::AcceptsFramesWhileDown => Ok(()),
                        _ => Err(Error::new(ErrorKind::Other, "the link is down")),
                    },
                    sent => sent,
                }
            }
            Fault::SendsAfterClose => match self.inner.send(to, lane, frame).await {
                Err(error) if error.kind() == ErrorKind::Closed => Ok(()),
                sent => sent,
            },
            _ => self.inner.send(to, lane, frame).await,
        }
    }

    async fn listen(&self, at: &Address, lane: Lane) -> Result<BoxStream<'static, Received>> {
        let at = match (self.fault, at) {
            (Fault::DeliversToAllWorkers, Address::Worker(_)) => &Address::AllWorkers,
            _ => at,
        };
        let lane = if self.fault == Fault::LanesAreMixed { Lane::Control } else { lane };
        if self.fault == Fault::ListenReturnsBeforeItsEffect {
            let (inner, at) = (self.inner.clone(), at.clone());
            let later = async move {
                tokio::time::sleep(Duration::from_millis(20)).await;
                inner.listen(&at, lane).await.expect("it listens")
            };
            let listening = tokio::spawn(later);
            let frames = async move { listening.await.expect("it listens") };
            return Ok(stream::once(frames).flatten().boxed());
        }
        let frames = self.inner.listen(at, lane).await?;
        Ok(match self.fault {
            Fault::QueuesOfListenersHaveNoBound | Fault::UnboundedQueueBehindASenderThatRefuses => {
                unbounded(frames)
            }
            Fault::SecondListenerReplacesFirst => {
                let before = self.kept.lock().await.replace(frames);
                match before {
                    Some(frames) => frames,
                    None => stream::pending().boxed(),
                }
            }
            Fault::KeepsFramesForLaterListeners => {
                let hidden = unbounded(self.inner.listen(at, lane).await?);
                let mut kept = self.kept.lock().await;
                let earlier = kept.replace(hidden);
                match earlier {
                    Some(earlier) if lane == Lane::Control => {
                        stream::select(earlier, frames).boxed()
                    }
                    _ => frames,
                }
            }
            Fault::StreamsEndAtACut => {
                let mut status = self.inner.status();
                // A task of its own sees every cut: the stream may not be polled during one.
                let cut = tokio::spawn(async move {
                    let _ = status.wait_for(|link| !link.is_up()).await;
                });
                frames.take_until(cut).boxed()
            }
            Fault::TakesTheChannelFromTheFrame
            | Fault::TakesWorkersForTheCoordinator
            | Fault::SwapsWorkers => {
                let fault = self.fault;
                let guess =
                    move |Received { bytes, .. }| Received::new(guessed(fault, &bytes), bytes);
                frames.map(guess).boxed()
            }
            Fault::CloseKeepsStreams => frames.chain(stream::pending()).boxed(),
            _ => frames,
        })
    }

    fn status(&self) -> Watcher<Link> {
        match self.fault {
            Fault::HidesTheReason | Fault::HidesTheCut => self.link.subscribe().into(),
            _ => self.inner.status(),
        }
    }

    async fn close(&self) {
        if self.closed.fetch_add(1, Ordering::SeqCst) > 0 && self.fault == Fault::SecondCloseHangs {
            std::future::pending::<()>().await;
        }
        self.inner.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_wrapper_itself_is_correct() {
    // This case does not touch the fault: it shows that the wrapper alone breaks nothing.
    let network = network(Fault::MixesNamespaces).await;
    tinpot_core::testing::transport::order_is_kept(&network).await;
}

caught! {
    transport, network:
    listener_queues_without_bound(Fault::QueuesOfListenersHaveNoBound) by send_never_blocks;
    listener_queues_without_bound_behind_refusals(Fault::UnboundedQueueBehindASenderThatRefuses)
        by send_never_blocks;
    close_without_a_flush(Fault::CloseDoesNotFlush) by close_sends_what_was_handed_over;
    send_that_waits(Fault::SendWaitsForListeners) by send_never_blocks;
    shared_queue_of_the_lanes(Fault::LanesShareAQueue) by logs_flood_leaves_control_alone;
    mixed_lanes(Fault::LanesAreMixed) by lanes_are_separate;
    dropped_empty_frames(Fault::DropsEmptyFrames) by empty_frame_arrives;
    cut_frames(Fault::CutsLargeFrames) by large_frame_arrives;
    text_only(Fault::ReplacesInvalidUtf8) by bytes_are_unchanged;
    reordered_frames(Fault::ReordersFrames) by order_is_kept concurrent_senders_keep_their_order;
    repeated_frames(Fault::RepeatsFrames) by order_is_kept;
    mixed_namespaces(Fault::MixesNamespaces) by namespaces_are_isolated;
    frames_for_every_worker(Fault::DeliversToAllWorkers)
        by frames_for_a_worker_reach_only_that_worker;
    replaced_listener(Fault::SecondListenerReplacesFirst) by every_listener_gets_every_frame;
    kept_frames(Fault::KeepsFramesForLaterListeners) by dropped_stream_unsubscribes;
    early_listen(Fault::ListenReturnsBeforeItsEffect) by frame_sent_after_listen_arrives;
    hidden_reason(Fault::HidesTheReason) by link_says_why_it_is_down;
    hidden_cut(Fault::HidesTheCut) by link_says_why_it_is_down;
    frames_accepted_while_down(Fault::AcceptsFramesWhileDown) by send_while_down_is_unavailable;
    streams_that_end_at_a_cut(Fault::StreamsEndAtACut) by listeners_survive_a_cut;
    streams_that_survive_close(Fault::CloseKeepsStreams) by close_ends_streams;
    frames_accepted_after_close(Fault::SendsAfterClose) by closed_answers_closed;
    second_close_that_hangs(Fault::SecondCloseHangs) by close_is_idempotent;
    channels_read_from_frames(Fault::TakesTheChannelFromTheFrame)
        by frames_come_by_the_channel_of_their_sender;
    workers_taken_for_the_coordinator(Fault::TakesWorkersForTheCoordinator)
        by frames_come_by_the_channel_of_their_sender;
    swapped_workers(Fault::SwapsWorkers) by frames_come_by_the_channel_of_their_sender;
    permanent_errors(Fault::ErrorsArePermanent) by send_while_down_is_unavailable;
}
