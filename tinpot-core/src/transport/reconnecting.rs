//! A transport over connections that break.

mod connection;
mod lane;
mod serving;
mod subscriptions;
mod writer;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt};
use tokio::sync::{Mutex, watch};
use tokio::task::JoinSet;

pub use self::connection::{Command, Connect, Connection};
use self::lane::LaneState;
use self::serving::keep_connected;
use super::lane_links::LaneLinks;
use super::{Link, Received, Transport};
use crate::model::address::{Address, Lane};
use crate::model::error::{Error, ErrorKind, Result};
use crate::watcher::Watcher;

/// The time that `connect` waits; longer than one attempt may take.
const CONNECT_PATIENCE: Duration = Duration::from_secs(6);
const HEARTBEAT: Duration = Duration::from_secs(10);
const HEARTBEAT_MIN: Duration = Duration::from_millis(100);
const MAX_FRAME_BYTES: usize = 16 * 1024 * 1024;
/// The size that the contract of a transport asks for.
const MAX_FRAME_BYTES_MIN: usize = 4 * 1024 * 1024;
/// The bytes that large frames may take while they wait.
const MAX_FRAME_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The settings of a lane.
#[derive(Clone, Copy, Debug)]
struct Settings {
    heartbeat: Duration,
    max_frame_bytes: usize,
}

/// A [`Transport`] over anything that publishes and subscribes, given a way to [`Connect`].
///
/// It owns one connection per lane, and adds what every transport needs:
///
/// - It reconnects with growing pauses from 50 ms to 5 s, subscribes again, and is `Up` only once
///   every subscription is in effect.
/// - What breaks one connection may have cut the other: it is `Up` again only once that has
///   returned a frame, too.
/// - It detects half-open connections. Once per heartbeat it publishes a frame to itself; if
///   nothing arrives until the next heartbeat, it reconnects. So a link whose peer is gone shows as
///   `Down` within two heartbeats.
/// - Every participant may publish to every topic, so its frames come by
///   [`Channel::Unknown`](super::Channel::Unknown).
/// - It fans a topic out to any number of listeners, each with a bounded queue.
/// - It bounds what waits to be sent: 4,096 frames and 64 MiB of frames above 16 KiB per lane. A
///   full queue is `Overloaded`.
/// - [`close`](Transport::close) sends what waits and returns once the other side has processed it,
///   after at most 1 s.
///
/// Dropping it ends the connections at once.
pub struct Reconnecting<C> {
    connect: Arc<C>,
    lanes: [Arc<LaneState>; 2],
    links: Arc<LaneLinks>,
    closing: watch::Sender<bool>,
    /// The tasks that keep the lanes connected; they end with this.
    tasks: Mutex<JoinSet<()>>,
}

/// Sets up a [`Reconnecting`] transport; made by [`Reconnecting::builder`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing before `connect`"]
pub struct ReconnectingBuilder<C> {
    connect: C,
    namespace: String,
    settings: Settings,
}

impl<C: Connect> Reconnecting<C> {
    /// Returns a builder for a transport over the connections of `connect`.
    pub fn builder(connect: C) -> ReconnectingBuilder<C> {
        let settings = Settings { heartbeat: HEARTBEAT, max_frame_bytes: MAX_FRAME_BYTES };
        ReconnectingBuilder { connect, namespace: "tinpot".to_owned(), settings }
    }

    fn lane(&self, lane: Lane) -> &Arc<LaneState> {
        let [control, logs] = &self.lanes;
        match lane {
            Lane::Control => control,
            Lane::Logs => logs,
        }
    }
}

impl<C> Reconnecting<C> {
    fn end(&self) {
        self.links.close();
        for lane in &self.lanes {
            lane.close();
        }
    }
}

impl<C: Connect> ReconnectingBuilder<C> {
    /// Sets the first part of every topic; `tinpot` by default. Up to 200 of `A-Z a-z 0-9 . _ -`,
    /// in levels separated by `/`.
    ///
    /// Participants of one namespace see each other and those of no other.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// Sets the interval at which a connection is checked; 10 s by default, at least 100 ms.
    pub fn heartbeat(mut self, interval: Duration) -> Self {
        self.settings.heartbeat = interval;
        self
    }

    /// Sets the size of the largest frame, in bytes; 16 MiB by default, from 4 MiB to 64 MiB.
    pub fn max_frame_bytes(mut self, bytes: usize) -> Self {
        self.settings.max_frame_bytes = bytes;
        self
    }

    /// Starts to connect, and waits until the link is up or the first attempt has failed, for at
    /// most 6 s.
    ///
    /// A failed attempt is no error: the transport goes on trying, and its
    /// [`status`](Transport::status) says why it is down. Must be called within a Tokio runtime
    /// with time enabled.
    ///
    /// # Errors
    /// `InvalidInput` for a namespace, heartbeat or size out of bounds.
    pub async fn connect(self) -> Result<Reconnecting<C>> {
        self.check()?;
        let (connect, links) = (Arc::new(self.connect), Arc::new(LaneLinks::new()));
        let closing = watch::Sender::new(false);
        let mut tasks = JoinSet::new();
        let lanes = Lane::ALL.map(|lane| {
            Arc::new(LaneState::new(lane, &self.namespace, self.settings, links.clone()))
        });
        let [control, logs] = &lanes;
        for (lane, other) in [(control, logs), (logs, control)] {
            let (lane, other) = (lane.clone(), other.clone());
            tasks.spawn(keep_connected(connect.clone(), lane, other, closing.subscribe()));
        }
        let transport = Reconnecting { connect, lanes, links, closing, tasks: Mutex::new(tasks) };
        let mut status = transport.status();
        // Only a convenience: the first `send` of most programs then finds the link up.
        let known = |link: &Link| !matches!(link, Link::Down { reason } if reason.is_empty());
        let _ = tokio::time::timeout(CONNECT_PATIENCE, status.wait_for(known)).await;
        Ok(transport)
    }

    fn check(&self) -> Result<()> {
        let invalid = |message| Err(Error::new(ErrorKind::InvalidInput, message));
        let namespace = &self.namespace;
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/');
        let levels = namespace.split('/').all(|level| !level.is_empty());
        if !levels || namespace.len() > 200 || !namespace.chars().all(allowed) {
            return invalid(format!(
                "namespace must be up to 200 of A-Z a-z 0-9 . _ - in levels separated by / (got \
                 {namespace:?})"
            ));
        }
        let Settings { heartbeat, max_frame_bytes } = self.settings;
        if heartbeat < HEARTBEAT_MIN {
            return invalid(format!(
                "heartbeat must be at least {HEARTBEAT_MIN:?} (got {heartbeat:?})"
            ));
        }
        if !(MAX_FRAME_BYTES_MIN..=MAX_FRAME_BYTES_MAX).contains(&max_frame_bytes) {
            return invalid(format!(
                "max_frame_bytes must be from {MAX_FRAME_BYTES_MIN} to {MAX_FRAME_BYTES_MAX} (got \
                 {max_frame_bytes})"
            ));
        }
        Ok(())
    }
}

impl<C> Drop for Reconnecting<C> {
    fn drop(&mut self) {
        self.end();
    }
}

impl<C: fmt::Debug> fmt::Debug for Reconnecting<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let link = self.links.subscribe().current();
        f.debug_struct("Reconnecting")
            .field("connect", &self.connect)
            .field("link", &link)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl<C: Connect> Transport for Reconnecting<C> {
    async fn send(&self, to: &Address, lane: Lane, frame: Bytes) -> Result<()> {
        self.lane(lane).send(to, frame)
    }

    async fn listen(&self, at: &Address, lane: Lane) -> Result<BoxStream<'static, Received>> {
        Ok(self.lane(lane).listen(at).await?.boxed())
    }

    fn status(&self) -> Watcher<Link> {
        self.links.subscribe()
    }

    async fn close(&self) {
        self.end();
        self.closing.send_replace(true);
        let mut tasks = self.tasks.lock().await;
        while tasks.join_next().await.is_some() {}
    }
}
