//! Server-sent events for both streams: the response, the encoding, heartbeats and resume ids.
//!
//! axum's `Sse` makes one body frame per event, and hyper writes each frame on its own. A log has
//! many thousand lines per second, so here all events that are ready share one buffer, and the
//! fields that the lines of a chunk have in common are encoded once.

mod buffer;
mod event;
mod heartbeat;
mod resume;

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;

pub(crate) use self::buffer::{EventBuffer, encoded};
pub(crate) use self::event::{Connected, ExecutionEvent, Flat};
pub(crate) use self::heartbeat::Heartbeat;
pub(crate) use self::resume::{END, Resume, resume};

/// The last event of a stream whose caller may not read it any more. It has a name, so that pages
/// which do not know it ignore it.
pub(crate) const DENIED: Bytes =
    Bytes::from_static(b"event: denied\ndata: {\"type\":\"denied\"}\n\n");

/// Returns a response that streams `body` as server-sent events.
pub(crate) fn response(body: Body) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        // Without this header, nginx buffers the stream.
        (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    (headers, body).into_response()
}
