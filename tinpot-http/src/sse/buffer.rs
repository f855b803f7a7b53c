//! The encoding of events.

use bytes::Bytes;
use serde::Serialize;

/// Encoded events that the connection has not taken yet.
#[derive(Debug, Default)]
pub(crate) struct EventBuffer(Vec<u8>);

impl EventBuffer {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn reserve(&mut self, bytes: usize) {
        self.0.reserve(bytes);
    }

    /// Returns the encoded events and leaves the buffer empty.
    pub(crate) fn take(&mut self) -> Bytes {
        Bytes::from(std::mem::take(&mut self.0))
    }

    /// Appends an event with `data` as JSON.
    pub(crate) fn event(&mut self, id: &str, data: &impl Serialize) {
        self.begin(id);
        let start = self.0.len();
        if let Err(error) = serde_json::to_writer(&mut self.0, data) {
            tracing::error!(%error, id, "an event has no JSON form");
        }
        remove_line_ends(&mut self.0[start..]);
        self.end();
    }

    /// Starts an event. The caller appends its data, on one line, and calls [`end`](Self::end).
    pub(crate) fn begin(&mut self, id: &str) -> &mut Vec<u8> {
        self.0.extend_from_slice(b"id: ");
        self.0.extend_from_slice(id.as_bytes());
        self.0.extend_from_slice(b"\ndata: ");
        &mut self.0
    }

    /// Returns the data of the event that was begun last.
    pub(crate) fn data(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }

    pub(crate) fn end(&mut self) {
        self.0.extend_from_slice(b"\n\n");
    }

    /// Appends a comment. Clients ignore it; proxies see that the connection is in use.
    pub(crate) fn heartbeat(&mut self) {
        self.0.extend_from_slice(b": heartbeat\n\n");
    }
}

/// Returns one event with `data` as JSON.
pub(crate) fn encoded(id: &str, data: &impl Serialize) -> Bytes {
    let mut buffer = EventBuffer::default();
    buffer.event(id, data);
    buffer.take()
}

/// Replaces line ends by blanks.
///
/// A result is raw JSON as the worker sent it and may have line ends between its tokens. Each of
/// them would end the line of the event. Inside strings, JSON escapes them.
fn remove_line_ends(json: &mut [u8]) {
    for byte in json {
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
}
