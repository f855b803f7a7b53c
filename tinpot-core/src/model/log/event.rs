//! Log events: the steps, children, artifacts and summary of an attempt, in order with its lines.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::model::error::{Error, ErrorKind};
use crate::model::id::ExecutionId;
use crate::model::time::Timestamp;

/// The id of a step: a function that an action called, or a named part of it.
///
/// Its text is `attempt.number`.
///
/// [`LogEvent`] has an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpanId {
    /// The number of the attempt.
    pub attempt: u32,
    /// The number of the step within the attempt, from 1.
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

/// The outcome of a step.
///
/// [`LogEvent`] has an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SpanOutcome {
    /// The step returned.
    Succeeded,
    /// The step raised an error.
    Failed,
    /// The step was cancelled.
    Cancelled,
}

/// One line of [`Stream::Event`](super::Stream::Event), as JSON.
///
/// ```
/// # use futures::{StreamExt, TryStreamExt};
/// use tinpot_core::{Failure, FunctionExecutor, LogEvent, SpanOutcome, local};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> tinpot_core::Result<()> {
/// let executor = FunctionExecutor::builder()
///     .action("import", |context, ()| async move {
///         context.step("read", |_| async { Ok::<_, Failure>(()) }).await
///     })
///     .build()?;
/// let tinpot = local(executor).await?;
/// let execution = tinpot.submit("import", ()).await?;
/// # execution.events(0).collect::<Vec<_>>().await;
/// let events: Vec<_> = tinpot.log_events(execution.id()).try_collect().await?;
/// assert!(matches!(&events[0], LogEvent::SpanStarted { name, .. } if name == "read"));
/// assert!(matches!(events[1], LogEvent::SpanEnded { outcome: SpanOutcome::Succeeded, .. }));
/// # tinpot.shutdown(std::time::Duration::ZERO).await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LogEvent {
    /// The start of a step.
    SpanStarted {
        /// The step.
        span: SpanId,
        /// The enclosing step; `None` at the top.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        parent: Option<SpanId>,
        /// The name.
        name: String,
        /// The time.
        at: Timestamp,
    },
    /// The end of a step.
    SpanEnded {
        /// The step.
        span: SpanId,
        /// The outcome.
        outcome: SpanOutcome,
        /// The duration in microseconds.
        took_us: u64,
        /// The error, if it failed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
    /// A call of another action, which runs as an execution of its own.
    Child {
        /// The child execution.
        execution: ExecutionId,
        /// The action of the child.
        action: String,
        /// The step that made the call.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        span: Option<SpanId>,
    },
    /// An artifact. Its bytes precede this event on lines of [`Stream::Data`](super::Stream::Data).
    Artifact(Artifact),
    /// The summary of the execution, in Markdown. The last one counts.
    Summary {
        /// The text.
        markdown: String,
    },
}

/// A file that an attempt keeps with its execution.
///
/// [`LogEvent`] has an example.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Artifact {
    /// The number of the artifact within the attempt, from 1.
    pub number: u32,
    /// The number of the attempt.
    pub attempt: u32,
    /// The file name: one path component.
    pub name: String,
    /// The size in bytes.
    pub size_bytes: u64,
    /// The media type, derived from the name.
    pub media_type: String,
}
