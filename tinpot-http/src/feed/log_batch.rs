//! Events of a followed execution as bytes: encoded once, sent to all clients.

use bytes::Bytes;
use tinpot_core::{ExecutionId, LogChunk};

use super::event::FeedEvent;
use crate::model::LineEncoder;
use crate::sse::{EventBuffer, ExecutionEvent, encoded};

/// The size from which a batch is sent, in bytes: a browser shows the first lines before it has
/// all of them.
pub(super) const BATCH_BYTES: usize = 64 * 1024;

/// Returns an event of a followed execution as bytes. `at` is the number of the line before it.
pub(super) fn execution_event(id: ExecutionId, at: u64, event: ExecutionEvent<'_>) -> Bytes {
    encoded(&format!("{id}:{at}"), &FeedEvent::Event { execution_id: id, event })
}

/// An encoder of lines, and of the events between them.
pub(super) struct LogBatch {
    id: ExecutionId,
    /// If true, calls of other actions are among the events.
    calls: bool,
    buffer: EventBuffer,
    /// If true, an event with lines was begun and not ended.
    open: bool,
    first: Option<u64>,
    last: u64,
}

impl LogBatch {
    /// Returns an empty batch that begins after the line with this number, with calls of other actions
    /// among its events or without.
    pub(super) fn new(id: ExecutionId, after: u64, calls: bool) -> Self {
        Self { id, calls, buffer: EventBuffer::default(), open: false, first: None, last: after }
    }

    pub(super) fn len(&self) -> usize {
        self.buffer.len()
    }

    /// Returns the number of the last line that was appended.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// Appends the lines of a chunk that are new and not beyond `end`.
    pub(super) fn append(&mut self, chunk: &LogChunk, end: u64) {
        let known = self.last;
        let is_new = |seq: u64| seq > known && seq <= end;
        let mut new = (chunk.first_seq..=chunk.last_seq()).filter(|seq| is_new(*seq));
        let Some(first) = new.next() else { return };
        let last = new.next_back().unwrap_or(first);
        self.first.get_or_insert(first);
        if chunk.stream.is_text() {
            let encoder = LineEncoder::of(chunk);
            for (seq, line) in (chunk.first_seq..).zip(&chunk.lines) {
                if is_new(seq) {
                    if self.open {
                        self.buffer.data().push(b',');
                    } else {
                        self.begin(seq);
                    }
                    encoder.encode(self.buffer.data(), seq, line);
                }
            }
        } else {
            for (seq, event) in ExecutionEvent::in_chunk(chunk).filter(|(seq, _)| is_new(*seq)) {
                if event.called().is_some() && !self.calls {
                    continue;
                }
                self.end();
                let event = FeedEvent::Event { execution_id: self.id, event };
                self.buffer.event(&format!("{}:{seq}", self.id), &event);
            }
        }
        self.last = last;
    }

    /// Begins an event with lines. Its id has the number of its first line: the last one is not
    /// known yet, and clients resume by the numbers of the lines.
    fn begin(&mut self, seq: u64) {
        let id = self.id;
        let empty = FeedEvent::Log { execution_id: id, lines: Vec::new() };
        // The lines are appended one by one, between the brackets of the empty list.
        let json = serde_json::to_string(&empty).unwrap_or_default();
        let head = json.strip_suffix("]}").unwrap_or_default();
        self.buffer.begin(&format!("{id}:{seq}")).extend_from_slice(head.as_bytes());
        self.open = true;
    }

    fn end(&mut self) {
        if std::mem::take(&mut self.open) {
            self.buffer.data().extend_from_slice(b"]}");
            self.buffer.end();
        }
    }

    /// Returns the bytes and the numbers of the first and last line; `None` if no line was
    /// appended.
    pub(super) fn finish(mut self) -> Option<(Bytes, u64, u64)> {
        self.end();
        let first = self.first?;
        Some((self.buffer.take(), first, self.last))
    }
}
