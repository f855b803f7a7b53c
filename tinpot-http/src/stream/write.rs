//! Writes events into a buffer.

use bytes::Bytes;
use serde::{Serialize, Serializer};
use tinpot_core::{ExecutionId, LogChunk, LogEvent, Outcome, Progress, Status, Stream};

use super::END;
use crate::model::{Completion, level_name, state, stream_name};

/// What one event needs beside its line: id, field names, time. 155 bytes, and room for long numbers.
const EVENT_OVERHEAD_BYTES: usize = 176;

/// The events that are written and not handed over yet.
pub(super) struct EventWriter {
    out: Vec<u8>,
    /// The number of the last line that was written, which is where a client would resume.
    position: u64,
}

#[derive(Serialize)]
struct Envelope<'a, T> {
    #[serde(rename = "type")]
    kind: &'a str,
    data: T,
}

#[derive(Serialize)]
struct Connected {
    execution_id: ExecutionId,
    state: &'static str,
    /// Lines with a number above this follow.
    after: u64,
}

#[derive(Serialize)]
pub(crate) struct StatusData {
    pub(crate) status: Status,
    pub(crate) state: &'static str,
}

impl EventWriter {
    pub(super) fn new(position: u64) -> Self {
        Self { out: Vec::new(), position }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.out.len()
    }

    /// Hands over what is written.
    pub(super) fn take(&mut self) -> Bytes {
        Bytes::from(std::mem::take(&mut self.out))
    }

    pub(super) fn connected(&mut self, execution_id: ExecutionId, status: Status) {
        let after = self.position;
        self.event(None, "connected", Connected { execution_id, state: state(status), after });
    }

    pub(super) fn status(&mut self, status: Status) {
        self.event(None, "status", StatusData { status, state: state(status) });
    }

    pub(super) fn progress(&mut self, progress: &Progress) {
        self.event(None, "progress", progress);
    }

    pub(super) fn complete(&mut self, outcome: &Outcome) {
        self.event(Some(END), "complete", Completion(outcome));
    }

    /// A comment: clients ignore it, but proxies and dead connections do not.
    pub(super) fn heartbeat(&mut self) {
        self.out.extend_from_slice(b": heartbeat\n\n");
    }

    /// One event per line. What an attempt says beside its lines is an event of its own kind, and bytes of artifacts are none.
    pub(super) fn logs(&mut self, chunk: &LogChunk) {
        if !chunk.stream.is_text() {
            return self.others(chunk);
        }
        let writer = LineWriter::of(chunk);
        let text: usize = chunk.lines.iter().map(String::len).sum();
        self.out.reserve(text + chunk.lines.len() * EVENT_OVERHEAD_BYTES);
        let mut digits = itoa::Buffer::new();
        for (seq, line) in (chunk.first_seq..).zip(&chunk.lines) {
            self.out.extend_from_slice(b"id: ");
            self.out.extend_from_slice(digits.format(seq).as_bytes());
            self.out.extend_from_slice(b"\ndata: {\"type\":\"log\",\"data\":");
            writer.line(&mut self.out, seq, line);
            self.out.extend_from_slice(b"}\n\n");
        }
        self.position = self.position.max(chunk.last_seq());
    }

    fn others(&mut self, chunk: &LogChunk) {
        for (seq, line) in (chunk.first_seq..).zip(&chunk.lines) {
            self.position = self.position.max(seq);
            if chunk.stream == Stream::Event
                && let Ok(event) = serde_json::from_str::<LogEvent>(line)
            {
                self.event(None, kind_of(&event), Inner(&event));
            }
        }
    }

    fn event(&mut self, id: Option<&str>, kind: &str, data: impl Serialize) {
        let mut digits = itoa::Buffer::new();
        let id = id.unwrap_or_else(|| digits.format(self.position));
        self.out.extend_from_slice(b"id: ");
        self.out.extend_from_slice(id.as_bytes());
        self.out.extend_from_slice(b"\ndata: ");
        let start = self.out.len();
        if let Err(error) = serde_json::to_writer(&mut self.out, &Envelope { kind, data }) {
            tracing::error!(%error, kind, "an event has no JSON form");
        }
        // A result is the text that the worker sent. Line ends can only stand between its tokens, and would end the event's line here.
        for byte in &mut self.out[start..] {
            if matches!(byte, b'\n' | b'\r') {
                *byte = b' ';
            }
        }
        self.out.extend_from_slice(b"\n\n");
    }
}

/// What an event of an attempt is called in the stream.
pub(crate) fn kind_of(event: &LogEvent) -> &'static str {
    match event {
        LogEvent::SpanStarted { .. } => "span_started",
        LogEvent::SpanEnded { .. } => "span_ended",
        LogEvent::Child { .. } => "child",
        LogEvent::Artifact(_) => "artifact",
        LogEvent::Summary { .. } => "summary",
        _ => "event",
    }
}

/// An event without its kind, which the envelope has.
pub(crate) struct Inner<'a>(pub(crate) &'a LogEvent);

impl Serialize for Inner<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let value = serde_json::to_value(self.0).map_err(serde::ser::Error::custom)?;
        let inner = value.as_object().and_then(|object| object.values().next());
        inner.unwrap_or(&value).serialize(serializer)
    }
}

/// Writes the lines of one chunk as JSON objects: `{timestamp, level, message, stream, span, fields, seq}`.
///
/// Everything but message and number is the same for all of them, so it is formatted once.
pub(crate) struct LineWriter {
    head: String,
    tail: String,
}

impl LineWriter {
    pub(crate) fn of(chunk: &LogChunk) -> Self {
        let level = level_name(chunk.level);
        let span = chunk.span.map_or(String::new(), |span| format!(r#","span":"{span}""#));
        // Line ends between the tokens would end the line of an event.
        let fields = chunk.fields.as_ref().map_or(String::new(), |fields| {
            format!(r#","fields":{}"#, fields.as_str().replace(['\n', '\r'], " "))
        });
        Self {
            head: format!(r#"{{"timestamp":"{}","level":"{level}","message":"#, chunk.time),
            tail: format!(r#","stream":"{}"{span}{fields},"seq":"#, stream_name(chunk.stream)),
        }
    }

    pub(crate) fn to_vec(&self, seq: u64, line: &str) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.head.len() + line.len() + self.tail.len() + 16);
        self.line(&mut out, seq, line);
        out
    }

    pub(crate) fn line(&self, out: &mut Vec<u8>, seq: u64, line: &str) {
        out.extend_from_slice(self.head.as_bytes());
        if serde_json::to_writer(&mut *out, line).is_err() {
            // A string always has a JSON form, and a vector always takes it.
            out.extend_from_slice(b"\"\"");
        }
        out.extend_from_slice(self.tail.as_bytes());
        out.extend_from_slice(itoa::Buffer::new().format(seq).as_bytes());
        out.push(b'}');
    }
}
