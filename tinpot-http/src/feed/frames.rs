//! Events of a page's stream as bytes: made once, sent to everybody.

use bytes::Bytes;
use serde::Serialize;
use tinpot_core::{ExecutionId, LogChunk, LogEvent, Outcome, Progress, Status, Stream};

use crate::model::{Completion, state};
use crate::stream::{Inner, LineWriter, StatusData, kind_of};

/// A batch of lines is handed over once it is so large: a browser shows it before all of it is there.
pub(super) const BATCH_BYTES: usize = 64 * 1024;

#[derive(Serialize)]
struct About<'a, T> {
    #[serde(rename = "type")]
    kind: &'static str,
    execution_id: ExecutionId,
    event: Event<'a, T>,
}

#[derive(Serialize)]
struct Event<'a, T> {
    #[serde(rename = "type")]
    kind: &'a str,
    data: T,
}

/// `data` as one event.
pub(super) fn frame(id: &str, data: &impl Serialize) -> Bytes {
    let mut out = format!("id: {id}\ndata: ").into_bytes();
    let start = out.len();
    if let Err(error) = serde_json::to_writer(&mut out, data) {
        tracing::error!(%error, "an event has no JSON form");
    }
    // What a worker sent may have line ends between its tokens, which would end the event's line here.
    for byte in &mut out[start..] {
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
    out.extend_from_slice(b"\n\n");
    Bytes::from(out)
}

fn about(execution_id: ExecutionId, at: u64, kind: &str, data: impl Serialize) -> Bytes {
    let event = Event { kind, data };
    frame(&format!("{execution_id}:{at}"), &About { kind: "event", execution_id, event })
}

pub(super) fn status(id: ExecutionId, at: u64, status: Status) -> Bytes {
    about(id, at, "status", StatusData { status, state: state(status) })
}

pub(super) fn progress(id: ExecutionId, at: u64, progress: &Progress) -> Bytes {
    about(id, at, "progress", progress)
}

pub(super) fn complete(id: ExecutionId, at: u64, outcome: &Outcome) -> Bytes {
    about(id, at, "complete", Completion(outcome))
}

/// Writes lines, and what stands between them, as events.
pub(super) struct Batch {
    id: ExecutionId,
    out: Vec<u8>,
    /// Where the lines of the event that is being written begin; none when there is no such event.
    open: Option<u64>,
    first: Option<u64>,
    last: u64,
}

impl Batch {
    /// Nothing yet, after the line of this number.
    pub(super) fn new(id: ExecutionId, after: u64) -> Self {
        Self { id, out: Vec::new(), open: None, first: None, last: after }
    }

    pub(super) fn len(&self) -> usize {
        self.out.len()
    }

    /// The number of the last line that was taken.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// Takes the lines of a chunk that are new and not beyond `end`.
    pub(super) fn take(&mut self, chunk: &LogChunk, end: u64) {
        let new = (chunk.first_seq..).zip(&chunk.lines);
        let known = self.last;
        let mut new = new.filter(|(seq, _)| *seq > known && *seq <= end).peekable();
        let Some(first) = new.peek().map(|(seq, _)| *seq) else { return };
        self.first.get_or_insert(first);
        let mut last = first;
        if chunk.stream.is_text() {
            let writer = LineWriter::of(chunk);
            for (seq, line) in new {
                match self.open {
                    Some(_) => self.out.push(b','),
                    None => self.begin(seq),
                }
                writer.line(&mut self.out, seq, line);
                last = seq;
            }
            self.last = last;
            return;
        }
        for (seq, line) in new {
            last = seq;
            if chunk.stream == Stream::Event
                && let Ok(event) = serde_json::from_str::<LogEvent>(line)
            {
                self.last = seq;
                self.end();
                self.out.extend(about(self.id, seq, kind_of(&event), Inner(&event)));
            }
        }
        self.last = last;
    }

    /// The number of the first of an event is its id: the last is not known yet, and clients go by the lines.
    fn begin(&mut self, seq: u64) {
        let head = format!(
            "id: {0}:{seq}\ndata: {{\"type\":\"log\",\"execution_id\":\"{0}\",\"lines\":[",
            self.id
        );
        self.out.extend_from_slice(head.as_bytes());
        self.open = Some(seq);
    }

    fn end(&mut self) {
        if self.open.take().is_some() {
            self.out.extend_from_slice(b"]}\n\n");
        }
    }

    /// What was written, and the numbers of its first and last line; none when no line was taken.
    pub(super) fn finish(mut self) -> Option<(Bytes, u64, u64)> {
        self.end();
        let first = self.first?;
        Some((Bytes::from(self.out), first, self.last))
    }
}
