//! Log lines, and the chunks in which they travel and are stored.

mod batch;
mod event;

use serde::{Deserialize, Serialize};

pub use self::batch::LogBatch;
pub use self::event::{Artifact, LogEvent, SpanId, SpanOutcome};
use crate::model::json::Json;
use crate::model::time::Timestamp;

/// Where a line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Stream {
    /// File descriptor 1 of the attempt, or what stands for it.
    Stdout,
    /// File descriptor 2.
    Stderr,
    /// A logging call: `context.log(…)`.
    Log,
    /// Tinpot itself: truncation markers, notices.
    System,
    /// Not text for people: each line is a [`LogEvent`] as JSON.
    Event,
    /// Not text for people: each line is attempt and number of an artifact, with a dot between them, a blank, and some of its bytes in base64.
    Data,
}

impl Stream {
    /// Whether its lines are text for people.
    pub fn is_text(self) -> bool {
        !matches!(self, Stream::Event | Stream::Data)
    }
}

/// How important a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// For developers.
    Debug,
    /// The default of stdout.
    Info,
    /// Something to look at.
    Warning,
    /// The default of stderr.
    Error,
}

/// Consecutive lines of one stream and level that arrived together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogChunk {
    /// The number of the first line. Lines are numbered from 1; on the wire within an attempt, on the coordinator within an execution.
    pub first_seq: u64,
    /// When the worker read them.
    pub time: Timestamp,
    /// Where they came from.
    pub stream: Stream,
    /// How important they are.
    pub level: Level,
    /// The step that wrote them; none outside of steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub span: Option<SpanId>,
    /// What the caller of a logging function gave beside the message, a JSON object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fields: Option<Json>,
    /// The lines, without line ends. Bytes that were not UTF-8 are replaced by U+FFFD.
    pub lines: Vec<String>,
}

impl LogChunk {
    /// Lines outside of any step, without fields.
    pub fn new(
        first_seq: u64,
        time: Timestamp,
        stream: Stream,
        level: Level,
        lines: Vec<String>,
    ) -> Self {
        Self { first_seq, time, stream, level, span: None, fields: None, lines }
    }

    /// The number of the last line, or `first_seq - 1` when there is none.
    pub fn last_seq(&self) -> u64 {
        (self.first_seq + self.lines.len() as u64).saturating_sub(1)
    }

    /// What the chunk weighs in a buffer: its text and an allowance per line.
    pub fn size_bytes(&self) -> usize {
        let fields = self.fields.as_ref().map_or(0, |fields| fields.get().len());
        64 + fields + self.lines.iter().map(|line| line.len() + 8).sum::<usize>()
    }

    /// The same as [`after`](Self::after) for a chunk that is shared, which is not copied when all of it is new.
    pub(crate) fn shared_after(
        self: &std::sync::Arc<Self>,
        seq: u64,
    ) -> Option<std::sync::Arc<Self>> {
        match self.first_seq > seq {
            true => Some(self.clone()),
            false => self.after(seq).map(std::sync::Arc::new),
        }
    }

    /// The lines with a number above `seq`, or `None` when there are none.
    pub fn after(&self, seq: u64) -> Option<LogChunk> {
        if self.last_seq() <= seq || self.lines.is_empty() {
            return None;
        }
        let skip = (seq + 1).saturating_sub(self.first_seq) as usize;
        Some(LogChunk {
            first_seq: self.first_seq + skip as u64,
            lines: self.lines[skip..].to_vec(),
            fields: self.fields.clone(),
            ..*self
        })
    }
}

/// How far an action says it has come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Units done.
    pub done: f64,
    /// Units in all, when known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<f64>,
    /// What it is doing.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}
