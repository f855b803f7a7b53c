//! What an attempt says about itself between its lines: steps, children, artifacts, a summary.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::model::error::{Error, ErrorKind};
use crate::model::id::ExecutionId;
use crate::model::time::Timestamp;

/// One step of an execution: a function that an action called, or a part of it with a name.
///
/// As text: `attempt.number`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpanId {
    /// The number of the attempt.
    pub attempt: u32,
    /// Counts the steps of the attempt, from 1.
    pub number: u32,
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.attempt, self.number)
    }
}

impl FromStr for SpanId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let parts = text.split_once('.');
        let read = |(attempt, number): (&str, &str)| {
            Some(Self { attempt: attempt.parse().ok()?, number: number.parse().ok()? })
        };
        parts.and_then(read).ok_or_else(|| {
            let message = format!("{text:?} is not the id of a step: attempt.number");
            Error::new(ErrorKind::InvalidInput, message)
        })
    }
}

impl Serialize for SpanId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SpanId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SpanOutcome {
    /// It returned.
    Succeeded,
    /// It raised an error.
    Failed,
    /// It was asked to end.
    Cancelled,
}

/// One line of [`Stream::Event`](super::Stream::Event), as JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LogEvent {
    /// A step began.
    SpanStarted {
        /// Which.
        span: SpanId,
        /// The step that it is part of; none at the top.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        parent: Option<SpanId>,
        /// What it is called.
        name: String,
        /// When.
        at: Timestamp,
    },
    /// A step ended.
    SpanEnded {
        /// Which.
        span: SpanId,
        /// How.
        outcome: SpanOutcome,
        /// How long it took, in microseconds.
        took_us: u64,
        /// Why, when it failed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
    /// It had another action run, as an execution of its own.
    Child {
        /// That execution.
        execution: ExecutionId,
        /// Its action.
        action: String,
        /// The step that asked for it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        span: Option<SpanId>,
    },
    /// A file is kept. Its bytes stand before this, on lines of [`Stream::Data`](super::Stream::Data).
    Artifact(Artifact),
    /// What there is to say about all of it, in Markdown; the last one counts.
    Summary {
        /// The text.
        markdown: String,
    },
}

/// A file that an attempt has left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// Counts the artifacts of the attempt, from 1.
    pub number: u32,
    /// The number of the attempt.
    pub attempt: u32,
    /// What it is called: one path component.
    pub name: String,
    /// How long it is.
    pub size_bytes: u64,
    /// What it is, as far as its name says.
    pub media_type: String,
}
