//! Log lines, and the chunks in which they travel and are stored.

mod batch;
mod event;

use serde::{Deserialize, Serialize};

pub use self::batch::LogBatch;
pub use self::event::{Artifact, LogEvent, SpanId, SpanOutcome};
use crate::model::json::Json;
use crate::model::time::Timestamp;

/// The origin of a log line.
///
/// [`LogChunk`] has an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Stream {
    /// File descriptor 1 of the attempt, or its equivalent.
    Stdout,
    /// File descriptor 2.
    Stderr,
    /// A logging call, such as `context.log(…)`.
    Log,
    /// Tinpot itself: truncation markers, notices.
    System,
    /// Structured events: each line is a [`LogEvent`] as JSON.
    Event,
    /// Bytes of artifacts: each line is the attempt and the number of the artifact, separated by a
    /// dot, then a space and some of its bytes in base64.
    Data,
}

impl Stream {
    /// Returns true if its lines are text for people.
    pub fn is_text(self) -> bool {
        !matches!(self, Stream::Event | Stream::Data)
    }
}

/// The severity of a log line.
///
/// ```
/// use tinpot_core::Level;
///
/// let levels = [Level::Info, Level::Error, Level::Debug, Level::Warning];
/// let problems = levels.into_iter().filter(|level| *level >= Level::Warning);
/// assert_eq!(problems.collect::<Vec<_>>(), [Level::Error, Level::Warning]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Level {
    /// Details for developers.
    Debug,
    /// The default of stdout.
    Info,
    /// A possible problem.
    Warning,
    /// The default of stderr.
    Error,
}

/// Consecutive lines of one stream and level that arrived together.
///
/// ```
/// use tinpot_core::{Level, LogChunk, Stream, Timestamp};
///
/// let lines = vec!["copying".to_owned(), "done".to_owned()];
/// let chunk = LogChunk::new(41, Timestamp::now(), Stream::Stdout, Level::Info, lines);
/// assert_eq!(chunk.last_seq(), 42);
/// // A reader that has line 41 already takes the rest.
/// assert_eq!(chunk.after(41).unwrap().lines, ["done"]);
/// assert_eq!(chunk.after(42), None);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LogChunk {
    /// The number of the first line. Lines are numbered from 1; on the wire within an attempt, on the coordinator within an execution.
    pub first_seq: u64,
    /// The time at which the worker read the lines.
    pub time: Timestamp,
    /// The origin of the lines.
    pub stream: Stream,
    /// The severity of the lines.
    pub level: Level,
    /// The step that wrote the lines; `None` outside of steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub span: Option<SpanId>,
    /// The structured fields of a logging call, a JSON object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fields: Option<Json>,
    /// The lines, without line ends. Bytes that were not UTF-8 are replaced by U+FFFD.
    pub lines: Vec<String>,
}

impl LogChunk {
    /// Creates a chunk outside of any step, without fields.
    pub fn new(
        first_seq: u64,
        time: Timestamp,
        stream: Stream,
        level: Level,
        lines: Vec<String>,
    ) -> Self {
        Self { first_seq, time, stream, level, span: None, fields: None, lines }
    }

    /// Sets the step that wrote the lines.
    #[must_use]
    pub fn span(mut self, span: Option<SpanId>) -> Self {
        self.span = span;
        self
    }

    /// Sets the structured fields, a JSON object.
    #[must_use]
    pub fn fields(mut self, fields: Option<Json>) -> Self {
        self.fields = fields;
        self
    }

    /// Returns the number of the last line, or `first_seq - 1` if the chunk is empty.
    pub fn last_seq(&self) -> u64 {
        self.first_seq.saturating_add(self.lines.len() as u64).saturating_sub(1)
    }

    /// Returns the size of the chunk in a buffer: its text and an allowance per line, in bytes.
    pub fn size_bytes(&self) -> usize {
        let fields = self.fields.as_ref().map_or(0, |fields| fields.as_str().len());
        64 + fields + self.lines.iter().map(|line| line.len() + 8).sum::<usize>()
    }

    /// Returns the same as [`after`](Self::after) for a shared chunk, without a copy if all lines
    /// are new.
    pub(crate) fn shared_after(
        self: &std::sync::Arc<Self>,
        seq: u64,
    ) -> Option<std::sync::Arc<Self>> {
        match self.first_seq > seq {
            true => Some(self.clone()),
            false => self.after(seq).map(std::sync::Arc::new),
        }
    }

    /// Returns the lines numbered above `seq`, or `None` if there are none.
    pub fn after(&self, seq: u64) -> Option<LogChunk> {
        if self.last_seq() <= seq || self.lines.is_empty() {
            return None;
        }
        let skip = seq.saturating_add(1).saturating_sub(self.first_seq) as usize;
        let lines = self.lines.get(skip..)?.to_vec();
        Some(LogChunk {
            first_seq: self.first_seq + skip as u64,
            lines,
            fields: self.fields.clone(),
            ..*self
        })
    }
}

/// The progress that an action reports.
///
/// An action reports it by [`Context::progress`](crate::Context::progress). A watcher receives it
/// as an [`Event::Progress`](crate::Event::Progress).
///
/// ```
/// use tinpot_core::Progress;
///
/// let progress = Progress::new(3.0, Some(12.0), "copying c.txt");
/// let percent = progress.total.map(|total| 100.0 * progress.done / total);
/// assert_eq!(percent, Some(25.0));
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Progress {
    /// The number of units done.
    pub done: f64,
    /// The total number of units, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<f64>,
    /// A description of the current work.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

impl Progress {
    /// Creates a report of `done` units. `message` may be empty.
    pub fn new(done: f64, total: Option<f64>, message: impl Into<String>) -> Self {
        Self { done, total, message: message.into() }
    }
}
