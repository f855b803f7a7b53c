//! Log lines as clients see them.

use serde::{Deserialize, Serialize};
use tinpot_core::{Json, Level, LogChunk, SpanId, Stream};
use utoipa::ToSchema;

use super::Time;
use crate::openapi::scalars;

/// One line of a log.
#[derive(Serialize, ToSchema)]
pub(crate) struct LogLine<'a> {
    timestamp: Time,
    level: LevelName,
    message: &'a str,
    stream: StreamName,
    /// The step that wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = scalars::SpanId, required = false)]
    span: Option<SpanId>,
    /// The fields that the caller of a logging function added to the message.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = BTreeMap<String, scalars::Json>, required = false)]
    fields: Option<&'a Json>,
    seq: u64,
}

/// The severity of a line, by the names of Python's `logging`.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schema(as = Level)]
pub(crate) enum LevelName {
    Debug,
    Info,
    Warning,
    Error,
}

/// The stream that a line was written to.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = Stream)]
pub(crate) enum StreamName {
    Stdout,
    Stderr,
    Log,
    System,
}

impl StreamName {
    /// The words of all streams.
    pub(crate) const WORDS: [&str; 4] = ["stdout", "stderr", "log", "system"];
}

impl From<StreamName> for Stream {
    fn from(stream: StreamName) -> Self {
        match stream {
            StreamName::Stdout => Self::Stdout,
            StreamName::Stderr => Self::Stderr,
            StreamName::Log => Self::Log,
            StreamName::System => Self::System,
        }
    }
}

impl From<Level> for LevelName {
    fn from(level: Level) -> Self {
        // By comparison, so that a level between these has the name of the one below.
        match level {
            level if level >= Level::Error => Self::Error,
            level if level >= Level::Warning => Self::Warning,
            level if level >= Level::Info => Self::Info,
            _ => Self::Debug,
        }
    }
}

impl From<Stream> for StreamName {
    fn from(stream: Stream) -> Self {
        match stream {
            Stream::Stdout => Self::Stdout,
            Stream::Stderr => Self::Stderr,
            Stream::Log => Self::Log,
            _ => Self::System,
        }
    }
}

/// An encoder of the lines of one chunk, each as a [`LogLine`].
///
/// The lines of a chunk differ in their message and number only. Everything else is encoded once
/// per chunk: a log has many thousand lines per second.
#[derive(Debug)]
pub(crate) struct LineEncoder {
    /// The JSON before the message.
    before_message: String,
    /// The JSON between message and number.
    before_seq: String,
    /// The JSON after the number.
    after_seq: String,
}

impl LineEncoder {
    pub(crate) fn of(chunk: &LogChunk) -> Self {
        Self::enveloped(chunk, |line| line)
    }

    /// Returns an encoder that puts each line into an envelope.
    pub(crate) fn enveloped<'a, T: Serialize>(
        chunk: &'a LogChunk,
        envelope: impl FnOnce(LogLine<'a>) -> T,
    ) -> Self {
        const MESSAGE: &str = r#""message":"#;
        const SEQ: &str = r#","seq":"#;
        let line = LogLine {
            timestamp: Time(chunk.time),
            level: chunk.level.into(),
            message: "",
            stream: chunk.stream.into(),
            span: chunk.span,
            fields: chunk.fields.as_ref(),
            seq: 0,
        };
        let json = serde_json::to_string(&envelope(line)).unwrap_or_default();
        // The fields before the message are words and a time, so the first match is the message;
        // no field follows the number, so the last match is the number.
        let parts = json.split_once(MESSAGE).and_then(|(head, rest)| {
            let (middle, tail) = rest.strip_prefix(r#""""#)?.rsplit_once(SEQ)?;
            // Fields are raw JSON: a line end between their tokens would end the line of an event.
            let middle = middle.replace(['\n', '\r'], " ");
            Some(Self {
                before_message: format!("{head}{MESSAGE}"),
                before_seq: format!("{middle}{SEQ}"),
                after_seq: tail.strip_prefix('0')?.to_owned(),
            })
        });
        parts.unwrap_or_else(|| {
            tracing::error!("a log line has no JSON form");
            Self {
                before_message: format!("{{{MESSAGE}"),
                before_seq: SEQ.to_owned(),
                after_seq: "}".to_owned(),
            }
        })
    }

    pub(crate) fn to_vec(&self, seq: u64, line: &str) -> Vec<u8> {
        let shared = self.before_message.len() + self.before_seq.len() + self.after_seq.len();
        let mut out = Vec::with_capacity(shared + line.len() + 16);
        self.encode(&mut out, seq, line);
        out
    }

    /// Appends a line to `out`.
    pub(crate) fn encode(&self, out: &mut Vec<u8>, seq: u64, line: &str) {
        out.extend_from_slice(self.before_message.as_bytes());
        if serde_json::to_writer(&mut *out, line).is_err() {
            // Unreachable: a string has a JSON form, and a vector takes it.
            out.extend_from_slice(b"\"\"");
        }
        out.extend_from_slice(self.before_seq.as_bytes());
        out.extend_from_slice(itoa::Buffer::new().format(seq).as_bytes());
        out.extend_from_slice(self.after_seq.as_bytes());
    }
}
