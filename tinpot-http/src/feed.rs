//! `/api/stream`: one connection with everything that a browser shows.
//!
//! Browsers allow six HTTP/1.1 connections per server, which all tabs share.

mod change_feed;
mod changed_teams;
mod event;
mod log_batch;
mod log_fanout;

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use bytes::Bytes;
use futures::future::{BoxFuture, Shared};
use futures::stream::{self, BoxStream, SelectAll};
use futures::{FutureExt, StreamExt};
use tinpot_core::{ErrorKind, ExecutionId};

pub(crate) use self::change_feed::ChangeFeed;
use self::change_feed::Topic;
pub(crate) use self::event::FeedEvent;
use self::event::Server;
pub(crate) use self::log_fanout::LogFanout;
use crate::error::ApiError;
use crate::gate::{Entered, Watch};
use crate::measured::OpenStream;
use crate::params::Params;
use crate::router::App;
use crate::sse::{self, Heartbeat, encoded};

/// The largest number of executions that one client follows.
const LOGS_MAX: usize = 32;

/// Streams the changes of all lists, and the logs of some executions.
///
/// The stream has no end of its own. A client that reconnects names in `log` the lines that it has.
#[utoipa::path(
    get,
    path = "/api/stream",
    tag = "server",
    params(
        ("executions" = Option<bool>, Query, description = "send the executions that change"),
        ("workers" = Option<bool>, Query, description = "send an event when workers change"),
        ("queues" = Option<bool>, Query, description = "send an event when queues change"),
        ("catalogue" = Option<bool>, Query, description = "send an event when actions change"),
        ("log" = Option<String>, Query, description = "follow up to 32 executions: ids, separated by commas, each optionally with `:` and the number of the last line that the client has"),
    ),
    responses((status = 200, description = "server-sent events; the data of each is a `PageEvent`", body = String, content_type = "text/event-stream")),
)]
pub(crate) async fn open(
    State(app): State<Arc<App>>,
    Entered { scoped, .. }: Entered,
    watch: Watch,
    uri: Uri,
) -> Result<Response, ApiError> {
    let params = Params::of(&uri, &["executions", "workers", "queues", "catalogue", "log"])?;
    let mut topics = Vec::new();
    for topic in Topic::ALL {
        if params.flag(topic.name())? {
            topics.push(topic);
        }
    }
    let expected = format!(
        "up to {LOGS_MAX} different execution ids, separated by commas, each optionally with `:` and a line number"
    );
    let logs = params.read("log", &expected, logs)?.unwrap_or_default();
    let mut streams: SelectAll<BoxStream<'static, Option<Bytes>>> = SelectAll::new();
    // Subscribe before `connected` is sent: the client misses no change after it.
    let changes = app.change_feed.subscribe(scoped.clone(), topics);
    streams.push(
        stream::unfold(Some(changes), |changes| async move {
            let mut changes = changes?;
            match changes.next().await {
                Some(bytes) => Some((Some(bytes), Some(changes))),
                // The coordinator has shut down: `None` as an item ends the whole feed.
                None => Some((None, None)),
            }
        })
        .boxed(),
    );
    let server = Server { version: env!("CARGO_PKG_VERSION"), instance: &app.instance };
    let mut first = vec![encoded("connected", &FeedEvent::Connected { server })];
    let mut followed = Vec::new();
    for (id, after) in logs {
        match scoped.execution(id).await {
            Ok(readable) => {
                followed.push(readable.execution.clone());
                let follower = app.log_fanout.follow(readable, after);
                streams.push(
                    stream::unfold(follower, |mut follower| async move {
                        let bytes = follower.next().await?;
                        Some((Some(bytes), follower))
                    })
                    .boxed(),
                );
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                first.push(encoded(&format!("{id}:0"), &FeedEvent::Missing { execution_id: id }));
            }
            Err(error) => return Err(error.into()),
        }
    }
    let denied = watch.denied(followed).boxed();
    let heartbeat = Heartbeat::every(app.config.heartbeat);
    let shutdown = app.config.shutdown();
    let open = OpenStream::new(app.config.observer.clone());
    let feed = Feed { streams, heartbeat, shutdown, denied: Some(denied), _open: open };
    let first = stream::iter(first.into_iter().map(Ok::<_, Infallible>));
    let rest = stream::unfold(feed, |mut feed| async move {
        let bytes = feed.next().await?;
        Some((Ok::<_, Infallible>(bytes), feed))
    });
    Ok(sse::response(Body::from_stream(first.chain(rest))))
}

fn logs(text: &str) -> Option<Vec<(ExecutionId, u64)>> {
    let log = |log: &str| match log.split_once(':') {
        Some((id, after)) => Some((id.parse().ok()?, after.parse().ok()?)),
        None => Some((log.parse().ok()?, 0)),
    };
    let logs: Vec<(ExecutionId, u64)> = text.split(',').map(log).collect::<Option<_>>()?;
    let twice =
        logs.iter().enumerate().any(|(at, (id, _))| logs[..at].iter().any(|log| log.0 == *id));
    (logs.len() <= LOGS_MAX && !twice).then_some(logs)
}

/// The feed of one client. It polls its streams only when the connection takes bytes.
struct Feed {
    /// The changes and the followed logs. An item `None` ends the feed.
    streams: SelectAll<BoxStream<'static, Option<Bytes>>>,
    heartbeat: Heartbeat,
    shutdown: Shared<BoxFuture<'static, ()>>,
    /// Resolves when the caller may not read it any more; `None` after that.
    denied: Option<BoxFuture<'static, ()>>,
    _open: OpenStream,
}

impl Feed {
    async fn next(&mut self) -> Option<Bytes> {
        let denied = self.denied.as_mut()?;
        let bytes = tokio::select! {
            biased;
            () = &mut self.shutdown => return None,
            () = denied => {
                self.denied = None;
                return Some(sse::DENIED);
            }
            next = self.streams.next() => next??,
            () = &mut self.heartbeat => Bytes::from_static(b": heartbeat\n\n"),
        };
        self.heartbeat.reset();
        Some(bytes)
    }
}
