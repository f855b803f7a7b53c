//! The bounded buffer between an attempt that writes lines and the worker that sends them.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::event_limits::{self, DATA_BYTES_MAX, EVENT_BYTES_MIN, EVENTS_MAX};
use super::masks::Masks;
use crate::model::json::Json;
use crate::model::log::{Level, LogChunk, LogEvent, SpanId, Stream};
use crate::model::outcome::Outcome;
use crate::model::time::Timestamp;

/// Text that waits to be sent, per attempt. Enough to keep a connection busy for some milliseconds,
/// and little enough for hundreds of attempts.
const BUFFER_BYTES: usize = 256 * 1024;
/// The longest line. The rest is cut off and counted in a marker.
const LINE_BYTES: usize = 64 * 1024;
/// The time, in microseconds, within which lines share a chunk and its time stamp.
const SAME_TIME_MICROS: u64 = 1_000;
/// The most text in one chunk.
const CHUNK_BYTES: usize = 64 * 1024;

#[derive(Default)]
struct State {
    chunks: VecDeque<LogChunk>,
    bytes: usize,
    last_seq: u64,
    written_bytes: u64,
    dropped_lines: u64,
    events: u32,
    event_bytes: u64,
    data_bytes: u64,
    abandoned: bool,
}

struct Shared {
    state: Mutex<State>,
    space: Notify,
    ready: Arc<Notify>,
    limit_bytes: u64,
    masks: Masks,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lines of one stream and level, written by one step.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct LogLines {
    /// The source of the lines.
    pub stream: Stream,
    /// The importance of the lines.
    pub level: Level,
    /// The step that wrote the lines.
    pub span: Option<SpanId>,
    /// The fields that were logged with the message, a JSON object.
    pub fields: Option<Json>,
    /// The lines, without line ends.
    pub lines: Vec<String>,
}

impl LogLines {
    /// Returns lines outside of any step, without fields.
    pub fn new(stream: Stream, level: Level, lines: Vec<String>) -> Self {
        Self { stream, level, span: None, fields: None, lines }
    }

    /// Sets the step that wrote the lines.
    #[must_use]
    pub fn span(mut self, span: Option<SpanId>) -> Self {
        self.span = span;
        self
    }

    /// Sets the fields that were logged with the message, a JSON object.
    #[must_use]
    pub fn fields(mut self, fields: Option<Json>) -> Self {
        self.fields = fields;
        self
    }
}

/// The writing end of an attempt's log: numbers lines, and waits while the buffer is full; cheap to
/// clone.
///
/// ```
/// use tinpot_core::{Level, LogWriter, Stream};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// // An executor has the writer from `Context::logs`.
/// let (logs, buffer) = LogWriter::channel(Default::default(), 1024 * 1024);
/// // Any pipe will do, such as the standard output of a child process.
/// let pipe = Some(&b"one\ntwo\n"[..]);
/// logs.copy(Stream::Stdout, Level::Info, pipe).await?;
///
/// let chunks = buffer.take(1024);
/// assert_eq!(chunks[0].lines, ["one", "two"]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct LogWriter {
    shared: Arc<Shared>,
}

/// The reading end of a [`LogWriter`], from which a worker sends.
pub struct LogBuffer {
    shared: Arc<Shared>,
}

impl LogWriter {
    /// Returns a writer and its buffer. `ready` is notified when there are lines to take. After
    /// `limit_bytes` of text with fields, a marker replaces all further lines, and after as many of
    /// events all further events.
    pub fn channel(ready: Arc<Notify>, limit_bytes: u64) -> (LogWriter, LogBuffer) {
        let (state, space, masks) = Default::default();
        let shared = Arc::new(Shared { state, space, ready, limit_bytes, masks });
        (LogWriter { shared: shared.clone() }, LogBuffer { shared })
    }

    /// Appends lines without line ends, and waits while the buffer is full.
    ///
    /// A line longer than 64 KiB is cut and marked. Once the attempt has written more than its
    /// limit, one marker line says so, and later lines are dropped.
    pub async fn write(&self, stream: Stream, level: Level, lines: Vec<String>) {
        self.write_lines(LogLines::new(stream, level, lines)).await;
    }

    /// Appends lines with their step and fields, like [`write`](Self::write).
    pub async fn write_lines(&self, lines: LogLines) {
        let mut lines = lines;
        // The bytes of an artifact must not change.
        if lines.stream != Stream::Data {
            lines.lines.iter_mut().for_each(|line| self.shared.masks.apply(line));
        }
        lines.fields = lines.fields.map(|fields| self.shared.masks.json(&fields));
        lines.lines.iter_mut().for_each(cut);
        if let Some(fields) = lines.fields.take_if(|fields| fields.as_str().len() > LINE_BYTES)
            && let Some(line) = lines.lines.last_mut()
        {
            let bytes = fields.as_str().len();
            line.push_str(&format!(" … [tinpot] {bytes} bytes of fields are not kept"));
        }
        loop {
            let space = self.shared.space.notified();
            tokio::pin!(space);
            space.as_mut().enable();
            if self.append(&mut lines) {
                return;
            }
            space.await;
        }
    }

    /// Writes an event without waiting; the number of events is bounded.
    pub fn event(&self, event: &LogEvent) {
        let mut event = self.shared.masks.event(event);
        let checked = event_limits::check(&mut event);
        let Ok(line) = serde_json::to_string(&event) else { return };
        let is_artifact = matches!(event, LogEvent::Artifact(_));
        let mut state = self.shared.lock();
        if state.abandoned || state.events > EVENTS_MAX {
            return;
        }
        state.events += 1;
        let bytes = line.len() + 8;
        let limit_bytes = self.shared.limit_bytes.max(EVENT_BYTES_MIN);
        state.event_bytes += bytes as u64;
        if state.events > EVENTS_MAX || state.event_bytes > limit_bytes {
            state.events = EVENTS_MAX + 1;
            state.mark(format!(
                "[tinpot] steps must be at most {EVENTS_MAX} with {limit_bytes} bytes: the rest \
                 is not kept"
            ));
        } else if let Err(why) = checked {
            state.mark(format!("[tinpot] {why}"));
        } else if is_artifact && state.data_bytes > DATA_BYTES_MAX {
            // Some of its bytes are missing, which a line has said.
            return;
        } else {
            state.push(LogLines::new(Stream::Event, Level::Info, vec![line]), bytes);
        }
        drop(state);
        self.shared.ready.notify_one();
    }

    /// Moves `lines` into the buffer if there is room. Returns true if nothing is left to write.
    fn append(&self, lines: &mut LogLines) -> bool {
        let mut state = self.shared.lock();
        let count = lines.lines.len() as u64;
        if count == 0 || state.abandoned {
            return true;
        }
        if state.bytes >= BUFFER_BYTES {
            return false;
        }
        let fields = lines.fields.as_ref().map_or(0, |fields| fields.as_str().len());
        let bytes = fields + lines.lines.iter().map(|line| line.len() + 8).sum::<usize>();
        if lines.stream == Stream::Data {
            let before = state.data_bytes;
            state.data_bytes += bytes as u64;
            if state.data_bytes > DATA_BYTES_MAX {
                if before <= DATA_BYTES_MAX {
                    state.mark(format!(
                        "[tinpot] artifacts have more than {DATA_BYTES_MAX} bytes in base64: the \
                         rest is not kept"
                    ));
                    drop(state);
                    self.shared.ready.notify_one();
                }
                return true;
            }
        }
        // Artifacts have a bound of their own.
        let is_counted = lines.stream.is_text();
        if is_counted && state.dropped_lines > 0 {
            state.dropped_lines += count;
            return true;
        }
        if is_counted && state.written_bytes + bytes as u64 > self.shared.limit_bytes {
            state.dropped_lines = count;
            state.mark(format!(
                "[tinpot] the log is longer than {} bytes: the rest is not kept",
                self.shared.limit_bytes
            ));
        } else {
            if is_counted {
                state.written_bytes += bytes as u64;
            }
            let taken = LogLines::new(lines.stream, lines.level, Vec::new());
            state.push(std::mem::replace(lines, taken), bytes);
        }
        drop(state);
        self.shared.ready.notify_one();
        true
    }

    /// Returns true if lines were dropped because the log has reached its limit.
    pub(crate) fn is_cut(&self) -> bool {
        self.shared.lock().dropped_lines > 0
    }

    /// Returns the number of the last line written; 0 if there is none.
    pub fn last_seq(&self) -> u64 {
        self.shared.lock().last_seq
    }

    /// Writes `***` in place of `text` from now on; see [`Context::mask`](super::Context::mask).
    pub fn mask(&self, text: &str) {
        self.shared.masks.add(text);
    }

    /// Returns a text with its secrets masked.
    pub(crate) fn shown(&self, mut text: String) -> String {
        self.shared.masks.apply(&mut text);
        text
    }

    /// Returns an outcome with its secrets masked.
    pub(crate) fn shown_outcome(&self, outcome: Outcome) -> Outcome {
        self.shared.masks.outcome(outcome)
    }

    /// Wakes the reader of the buffer: there is something else to send.
    pub(crate) fn wake(&self) {
        self.shared.ready.notify_one();
    }
}

impl State {
    /// Writes a line that says what is not kept.
    fn mark(&mut self, marker: String) {
        self.push(LogLines::new(Stream::System, Level::Warning, vec![marker]), 64);
    }

    fn push(&mut self, lines: LogLines, bytes: usize) {
        let LogLines { stream, level, span, fields, lines } = lines;
        let now = Timestamp::now();
        let first_seq = self.last_seq + 1;
        self.last_seq += lines.len() as u64;
        self.bytes += bytes;
        if let Some(last) = self.chunks.back_mut()
            && (last.stream, last.level, last.span) == (stream, level, span)
            && last.fields.is_none()
            && fields.is_none()
            && now.0.saturating_sub(last.time.0) < SAME_TIME_MICROS
            && last.size_bytes_hint() + bytes <= CHUNK_BYTES
        {
            last.lines.extend(lines);
            return;
        }
        self.chunks.push_back(LogChunk {
            first_seq,
            time: now,
            stream,
            level,
            span,
            fields,
            lines,
        });
    }
}

impl LogChunk {
    /// Returns a cheap upper bound of the chunk's size while it is small: merging pays off for few,
    /// short lines only.
    fn size_bytes_hint(&self) -> usize {
        if self.lines.len() > 512 { usize::MAX / 2 } else { self.size_bytes() }
    }
}

impl LogBuffer {
    /// Takes chunks, oldest first, until they have `max_bytes` or more or none is left; then wakes
    /// waiting writers.
    pub fn take(&self, max_bytes: usize) -> Vec<LogChunk> {
        let mut taken = Vec::new();
        let mut state = self.shared.lock();
        let (mut bytes, mut size) = (0, 0);
        while size < max_bytes
            && let Some(chunk) = state.chunks.pop_front()
        {
            size += chunk.size_bytes();
            let fields = chunk.fields.as_ref().map_or(0, |fields| fields.as_str().len());
            bytes += fields + chunk.lines.iter().map(|line| line.len() + 8).sum::<usize>();
            taken.push(chunk);
        }
        state.bytes = if state.chunks.is_empty() { 0 } else { state.bytes.saturating_sub(bytes) };
        drop(state);
        if !taken.is_empty() {
            self.shared.space.notify_waiters();
        }
        taken
    }

    /// Returns true if there is nothing to take.
    pub fn is_empty(&self) -> bool {
        self.shared.lock().chunks.is_empty()
    }

    /// Returns the number of the last line written.
    pub fn last_seq(&self) -> u64 {
        self.shared.lock().last_seq
    }

    /// Drops all lines from now on, so that no writer waits.
    pub fn abandon(&self) {
        let mut state = self.shared.lock();
        state.abandoned = true;
        state.chunks.clear();
        state.bytes = 0;
        drop(state);
        self.shared.space.notify_waiters();
    }
}

impl Drop for LogBuffer {
    /// Abandons the log: without a reader, a writer would wait for ever.
    fn drop(&mut self) {
        self.abandon();
    }
}

fn cut(line: &mut String) {
    if line.len() > LINE_BYTES {
        let mut end = LINE_BYTES;
        while !line.is_char_boundary(end) {
            end -= 1;
        }
        let dropped = line.len() - end;
        line.truncate(end);
        line.push_str(&format!(" … [tinpot] {dropped} bytes of this line are not kept"));
    }
}

impl fmt::Debug for LogWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogWriter").field("last_seq", &self.last_seq()).finish_non_exhaustive()
    }
}

impl fmt::Debug for LogBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogBuffer").field("last_seq", &self.last_seq()).finish_non_exhaustive()
    }
}
