//! `/api/executions/{id}/stream`: the log and the events of one execution.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::future::{BoxFuture, Shared};
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt};
use tinpot_core::{Event, LogChunk, Readable};

use crate::error::ApiError;
use crate::extract::PathExecution;
use crate::gate::{Entered, Watch};
use crate::measured::OpenStream;
use crate::model::{LineEncoder, State as ExecutionState};
use crate::openapi::scalars;
use crate::router::App;
use crate::sse::{self, Connected, END, EventBuffer, ExecutionEvent, Flat, Heartbeat, Resume};

/// The size from which a buffer is sent, in bytes. hyper writes buffers of this size with few
/// system calls; larger ones only cost memory, since a slow client holds one.
const BUFFER_BYTES: usize = 64 * 1024;

/// The bytes of an event without its line: id, field names and time. 155, and room for long
/// numbers.
const EVENT_OVERHEAD_BYTES: usize = 176;

/// Streams the log and the events of an execution, from its start and live.
#[utoipa::path(
    get,
    path = "/api/executions/{id}/stream",
    tag = "executions",
    params(
        ("id" = scalars::ExecutionId, Path),
        ("after" = Option<u64>, Query, description = "only lines above this number"),
        ("Last-Event-ID" = Option<String>, Header, description = "the id of the last event, or `end`; takes precedence over `after`"),
    ),
    responses(
        (status = 200, description = "server-sent events; the data of each is an `ExecutionEvent`; `connected` and `complete` have the fields of their `data` at the top level, too", body = String, content_type = "text/event-stream"),
        (status = 204, description = "the client has seen the end"),
        (status = 400, description = "The id is not an id of this stream."),
        (status = 404, description = "Execution not found."),
    ),
)]
pub(crate) async fn open(
    State(app): State<Arc<App>>,
    Entered { scoped, .. }: Entered,
    watch: Watch,
    PathExecution(id): PathExecution,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, ApiError> {
    let resume = sse::resume(&headers, &uri)?;
    let readable = scoped.execution(id).await?;
    let status = readable.execution.status;
    let after = match resume {
        Resume::After(after) => after,
        // The status 204 tells an `EventSource` not to reconnect.
        Resume::End if status.is_terminal() => {
            return Ok(StatusCode::NO_CONTENT.into_response());
        }
        // The execution has no end yet: the client sent the id of another stream.
        Resume::End => 0,
    };
    let mut stream = ExecutionStream {
        buffer: EventBuffer::default(),
        position: after,
        events: readable.events(after).await?,
        denied: watch.denied(vec![readable.execution.clone()]).boxed(),
        readable,
        heartbeat: Heartbeat::every(app.config.heartbeat),
        shutdown: app.config.shutdown(),
        ended: false,
        _open: OpenStream::new(app.config.observer.clone()),
    };
    let state = ExecutionState::of(status);
    stream.append(&ExecutionEvent::Connected(Connected { execution_id: id, state, after }));
    let body = stream::unfold(stream, |mut stream| async move {
        let bytes = stream.next().await?;
        Some((Ok::<_, Infallible>(bytes), stream))
    });
    Ok(sse::response(Body::from_stream(body)))
}

/// The stream of one client. It polls events only when the connection takes bytes, so a slow
/// client delays nothing else and costs one buffer.
struct ExecutionStream {
    buffer: EventBuffer,
    /// The number of the last encoded line: the position at which the client would resume.
    position: u64,
    events: BoxStream<'static, Event>,
    readable: Readable,
    /// Resolves when the caller may not read it any more.
    denied: BoxFuture<'static, ()>,
    heartbeat: Heartbeat,
    shutdown: Shared<BoxFuture<'static, ()>>,
    ended: bool,
    _open: OpenStream,
}

impl ExecutionStream {
    /// Returns the next bytes; `None` at the end.
    async fn next(&mut self) -> Option<Bytes> {
        // Some events have nothing to show, such as the bytes of an artifact. An empty buffer would
        // end the response.
        while self.buffer.is_empty() && !self.ended {
            tokio::select! {
                biased;
                () = &mut self.shutdown => self.ended = true,
                () = &mut self.denied => {
                    self.ended = true;
                    return Some(sse::DENIED);
                }
                event = self.events.next() => self.take(event),
                () = &mut self.heartbeat => self.buffer.heartbeat(),
            }
        }
        // Coalesce all events that are ready now into one buffer.
        while !self.ended && self.buffer.len() < BUFFER_BYTES {
            let Some(event) = self.events.next().now_or_never() else { break };
            self.take(event);
        }
        self.heartbeat.reset();
        (!self.buffer.is_empty()).then(|| self.buffer.take())
    }

    fn take(&mut self, event: Option<Event>) {
        if !self.readable.sight().shows(&self.readable.execution) {
            // The event `denied` follows in its time.
            return;
        }
        match event {
            // The coordinator has shut down.
            None => self.ended = true,
            Some(Event::Logs(chunk)) => self.append_chunk(&chunk),
            Some(event) => {
                if let Some(event) = ExecutionEvent::of(&event) {
                    self.append(&event);
                    self.ended = event.is_last();
                }
            }
        }
    }

    fn append(&mut self, event: &ExecutionEvent<'_>) {
        let mut digits = itoa::Buffer::new();
        let id = if event.is_last() { END } else { digits.format(self.position) };
        match event {
            ExecutionEvent::Connected(data) => self.buffer.event(id, &Flat::of("connected", data)),
            ExecutionEvent::Complete(data) => self.buffer.event(id, &Flat::of("complete", data)),
            event => self.buffer.event(id, event),
        }
    }

    /// Appends one event per line. The events in a log are events of their own kinds.
    fn append_chunk(&mut self, chunk: &LogChunk) {
        if !chunk.stream.is_text() {
            for (seq, event) in ExecutionEvent::in_chunk(chunk) {
                self.position = self.position.max(seq);
                let is_hidden =
                    |action| !self.readable.sight().shows_call(&self.readable.execution, action);
                if event.called().is_some_and(is_hidden) {
                    continue;
                }
                self.append(&event);
            }
            self.position = self.position.max(chunk.last_seq());
            return;
        }
        let encoder = LineEncoder::enveloped(chunk, ExecutionEvent::Log);
        let text: usize = chunk.lines.iter().map(String::len).sum();
        self.buffer.reserve(text + chunk.lines.len() * EVENT_OVERHEAD_BYTES);
        let mut digits = itoa::Buffer::new();
        for (seq, line) in (chunk.first_seq..).zip(&chunk.lines) {
            encoder.encode(self.buffer.begin(digits.format(seq)), seq, line);
            self.buffer.end();
        }
        self.position = self.position.max(chunk.last_seq());
    }
}
