//! `/api/executions/{id}/stream`: everything that happens to an execution, as server-sent events.
//!
//! Not axum's `Sse`: that makes one body frame per event, which hyper frames and writes one by one. Here everything that is ready now goes
//! into one buffer of some 64 KiB, and what is the same for all lines of a chunk is formatted once.

mod write;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::future::{BoxFuture, Shared};
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt};
use tinpot_core::Event;
use tokio::time::{Instant, Sleep};

use self::write::EventWriter;
pub(crate) use self::write::{Inner, LineWriter, StatusData, kind_of};
use crate::error::ApiError;
use crate::extract::PathExecution;
use crate::openapi::shapes;
use crate::params::Params;
use crate::router::App;

/// The id of the event `complete`. A client that comes back with it has seen everything.
const END: &str = "end";

/// Once a buffer holds so much it is handed over. hyper writes buffers of this size with few system calls; larger ones only cost memory,
/// since a slow client holds one.
const BUFFER_BYTES: usize = 64 * 1024;

/// Where a client wants to go on.
#[derive(Debug, PartialEq)]
pub(crate) enum Resume {
    After(u64),
    End,
}

/// What an execution writes and what becomes of it, from its start and live.
#[utoipa::path(
    get,
    path = "/api/executions/{id}/stream",
    tag = "executions",
    params(
        ("id" = shapes::ExecutionId, Path),
        ("after" = Option<u64>, Query, description = "only lines above this number"),
        ("Last-Event-ID" = Option<String>, Header, description = "likewise, and counts more: the id of the last event, or `end`"),
    ),
    responses(
        (status = 200, description = "server-sent events; each has this in its data", body = String, content_type = "text/event-stream"),
        (status = 204, description = "the client has seen the end"),
        (status = 400, description = "The id is none of this stream."),
        (status = 404, description = "There is no such execution."),
    ),
)]
pub(crate) async fn open(
    State(app): State<Arc<App>>,
    PathExecution(id): PathExecution,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, ApiError> {
    let resume = resume(&headers, &uri)?;
    let handle = app.coordinator.handle(id).await?;
    let after = match resume {
        Resume::After(after) => after,
        // 204 is how a server tells an `EventSource` not to come back.
        Resume::End if handle.status().is_terminal() => {
            return Ok(StatusCode::NO_CONTENT.into_response());
        }
        // Nobody has seen the end of this: its client mixes ids up.
        Resume::End => 0,
    };
    let mut writer = EventWriter::new(after);
    writer.connected(id, handle.status());
    let feed = Feed {
        writer,
        events: handle.events(after),
        heartbeat: Heartbeat::every(app.config.heartbeat),
        shutdown: app.config.shutdown(),
        ended: false,
    };
    let body = stream::unfold(feed, |mut feed| async move {
        let bytes = feed.next().await?;
        Some((Ok::<_, std::convert::Infallible>(bytes), feed))
    });
    Ok(event_stream(Body::from_stream(body)))
}

/// `body` as server-sent events.
pub(crate) fn event_stream(body: Body) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        // nginx would buffer the stream otherwise.
        (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    (headers, body).into_response()
}

/// The header counts: an `EventSource` that reconnects asks for the same URL again, with the old `after` in it.
pub(crate) fn resume(headers: &HeaderMap, uri: &Uri) -> Result<Resume, ApiError> {
    let params = Params::of(uri, &["after"])?;
    let header =
        headers.get("last-event-id").map(|value| String::from_utf8_lossy(value.as_bytes()));
    let (name, text) = match (&header, params.text("after")) {
        (Some(header), _) if !header.is_empty() => ("Last-Event-ID", &**header),
        (_, Some(after)) => ("after", after),
        _ => return Ok(Resume::After(0)),
    };
    if text == END {
        return Ok(Resume::End);
    }
    text.parse().map(Resume::After).map_err(|_| {
        let detail = format!("{name}: must be the id of an event of this stream, not {text:?}");
        ApiError::bad_request(detail)
    })
}

/// One client's stream. It asks for events only when the connection takes bytes, so a slow client holds up nobody and costs one buffer.
struct Feed {
    writer: EventWriter,
    events: BoxStream<'static, Event>,
    heartbeat: Heartbeat,
    shutdown: Shared<BoxFuture<'static, ()>>,
    ended: bool,
}

impl Feed {
    /// The next bytes; `None` at the end.
    async fn next(&mut self) -> Option<Bytes> {
        if self.writer.is_empty() && !self.ended {
            tokio::select! {
                biased;
                () = &mut self.shutdown => self.ended = true,
                event = self.events.next() => self.take(event),
                () = &mut self.heartbeat => self.writer.heartbeat(),
            }
        }
        while !self.ended && self.writer.len() < BUFFER_BYTES {
            let Some(event) = self.events.next().now_or_never() else { break };
            self.take(event);
        }
        self.heartbeat.reset();
        (!self.writer.is_empty()).then(|| self.writer.take())
    }

    fn take(&mut self, event: Option<Event>) {
        match event {
            // The end of a status is told by `complete`, after the log.
            Some(Event::Status(status)) if status.is_terminal() => {}
            Some(Event::Status(status)) => self.writer.status(status),
            Some(Event::Logs(chunk)) => self.writer.logs(&chunk),
            Some(Event::Progress(progress)) => self.writer.progress(&progress),
            Some(Event::Finished(outcome)) => {
                self.writer.complete(&outcome);
                self.ended = true;
            }
            // Something newer than this crate.
            Some(_) => {}
            // The coordinator has shut down.
            None => self.ended = true,
        }
    }
}

/// Resolves when the stream was silent for too long.
pub(crate) struct Heartbeat {
    interval: Duration,
    /// `None` when there are no heartbeats.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Heartbeat {
    pub(crate) fn every(interval: Duration) -> Self {
        let sleep = (!interval.is_zero()).then(|| Box::pin(tokio::time::sleep(interval)));
        Self { interval, sleep }
    }

    pub(crate) fn reset(&mut self) {
        if let Some(sleep) = &mut self.sleep {
            sleep.as_mut().reset(Instant::now() + self.interval);
        }
    }
}

impl Future for Heartbeat {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> std::task::Poll<()> {
        match &mut self.sleep {
            Some(sleep) => sleep.as_mut().poll(cx),
            None => std::task::Poll::Pending,
        }
    }
}
