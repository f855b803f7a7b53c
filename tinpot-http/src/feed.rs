//! `/api/stream`: all that a page of the UI watches, in one connection. Browsers have six for a server, and tabs share them.

mod change_feed;
mod frames;
mod log_fanout;

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream, SelectAll};
use serde::Serialize;
use tinpot_core::ExecutionId;

pub(crate) use self::change_feed::ChangeFeed;
use self::change_feed::Topic;
pub(crate) use self::log_fanout::LogFanout;
use crate::error::ApiError;
use crate::params::Params;
use crate::router::App;
use crate::stream::{Heartbeat, event_stream};

/// Executions that one page follows.
const LOGS_MAX: usize = 8;

#[derive(Serialize)]
struct Connected<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    server: Server<'a>,
}

#[derive(Serialize)]
struct Server<'a> {
    version: &'static str,
    instance: &'a str,
}

#[derive(Serialize)]
struct Missing {
    #[serde(rename = "type")]
    kind: &'static str,
    execution_id: ExecutionId,
}

/// What changes of everything, and what some executions write, in one stream.
///
/// It never ends by itself. A client that comes back says in `log` which lines it has.
#[utoipa::path(
    get,
    path = "/api/stream",
    tag = "server",
    params(
        ("executions" = Option<bool>, Query, description = "tell which executions change"),
        ("workers" = Option<bool>, Query, description = "tell when workers change"),
        ("queues" = Option<bool>, Query, description = "tell when queues change"),
        ("catalogue" = Option<bool>, Query, description = "tell when actions change"),
        ("log" = Option<String>, Query, description = "follow up to 8 executions: their ids, each with `:` and the number of the last line that the client has, with commas between them"),
    ),
    responses((status = 200, description = "server-sent events; each has a `PageEvent` in its data", body = String, content_type = "text/event-stream")),
)]
pub(crate) async fn open(State(app): State<Arc<App>>, uri: Uri) -> Result<Response, ApiError> {
    let params = Params::of(&uri, &["executions", "workers", "queues", "catalogue", "log"])?;
    let mut topics = Vec::new();
    for topic in Topic::ALL {
        let wanted = params.read(topic.name(), "true or false", |text| text.parse().ok())?;
        if wanted.unwrap_or(false) {
            topics.push(topic);
        }
    }
    let expected = format!(
        "up to {LOGS_MAX} different ids of executions, each perhaps with `:` and the number of a line, with commas between them"
    );
    let logs = params.read("log", &expected, logs)?.unwrap_or_default();
    let mut streams: SelectAll<BoxStream<'static, Option<Bytes>>> = SelectAll::new();
    // Of what changes after the client has heard that it is connected, nothing is missed.
    let listener = app.change_feed.listen(&app.coordinator, topics);
    streams.push(
        stream::unfold(Some(listener), |listener| async move {
            let mut listener = listener?;
            // The end of the coordinator is the end of all.
            match listener.next().await {
                Some(bytes) => Some((Some(bytes), Some(listener))),
                None => Some((None, None)),
            }
        })
        .boxed(),
    );
    let server = Server { version: env!("CARGO_PKG_VERSION"), instance: &app.instance };
    let mut first = vec![frames::frame("connected", &Connected { kind: "connected", server })];
    for (id, after) in logs {
        match app.log_fanout.follow(&app.coordinator, id, after).await? {
            Some(follower) => streams.push(
                stream::unfold(follower, |mut follower| async move {
                    let bytes = follower.next().await?;
                    Some((Some(bytes), follower))
                })
                .boxed(),
            ),
            None => {
                let missing = Missing { kind: "missing", execution_id: id };
                first.push(frames::frame(&format!("{id}:0"), &missing));
            }
        }
    }
    let heartbeat = Heartbeat::every(app.config.heartbeat);
    let feed = Feed { streams, heartbeat, shutdown: app.config.shutdown() };
    let first = stream::iter(first.into_iter().map(Ok::<_, Infallible>));
    let rest = stream::unfold(feed, |mut feed| async move {
        let bytes = feed.next().await?;
        Some((Ok::<_, Infallible>(bytes), feed))
    });
    Ok(event_stream(Body::from_stream(first.chain(rest))).into_response())
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

/// One client's stream. It asks for more only when the connection takes bytes.
struct Feed {
    /// `None` is the end of all of them.
    streams: SelectAll<BoxStream<'static, Option<Bytes>>>,
    heartbeat: Heartbeat,
    shutdown: futures::future::Shared<futures::future::BoxFuture<'static, ()>>,
}

impl Feed {
    async fn next(&mut self) -> Option<Bytes> {
        let bytes = tokio::select! {
            biased;
            () = &mut self.shutdown => return None,
            next = self.streams.next() => next??,
            () = &mut self.heartbeat => Bytes::from_static(b": heartbeat\n\n"),
        };
        self.heartbeat.reset();
        Some(bytes)
    }
}
