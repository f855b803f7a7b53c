//! The events of an execution, as both streams send them.

use serde::Serialize;
use tinpot_core::{
    Artifact, Event, ExecutionId, LogChunk, LogEvent, Progress, SpanId, SpanOutcome, Status,
    Stream, Timestamp,
};
use utoipa::ToSchema;

use crate::model::{Completion, LogLine, State};
use crate::openapi::scalars;

/// One event of an execution.
#[derive(Serialize, ToSchema)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub(crate) enum ExecutionEvent<'a> {
    /// The first event of every connection.
    Connected(Connected),
    Status(StatusChange),
    Log(LogLine<'a>),
    Progress(ProgressReport<'a>),
    SpanStarted(SpanStarted),
    SpanEnded(SpanEnded),
    Child(Child),
    Artifact(KeptArtifact),
    Summary(SummaryText),
    /// The last event.
    Complete(Completion<'a>),
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Connected {
    #[schema(value_type = scalars::ExecutionId)]
    pub(crate) execution_id: ExecutionId,
    pub(crate) state: State,
    /// The lines with a number above this one follow.
    pub(crate) after: u64,
}

#[derive(Serialize, ToSchema)]
#[schema(as = StatusData)]
pub(crate) struct StatusChange {
    #[schema(value_type = scalars::Status)]
    status: Status,
    state: State,
}

/// The progress that an action reports.
#[derive(Serialize, ToSchema)]
#[schema(as = Progress)]
pub(crate) struct ProgressReport<'a> {
    done: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    total: Option<f64>,
    #[serde(skip_serializing_if = "str::is_empty")]
    #[schema(required = false)]
    message: &'a str,
}

/// The start of a step.
#[derive(Serialize, ToSchema)]
pub(crate) struct SpanStarted {
    #[schema(value_type = scalars::SpanId)]
    span: SpanId,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = scalars::SpanId, required = false)]
    parent: Option<SpanId>,
    name: String,
    #[schema(value_type = scalars::Micros)]
    at: Timestamp,
}

/// The end of a step.
#[derive(Serialize, ToSchema)]
pub(crate) struct SpanEnded {
    #[schema(value_type = scalars::SpanId)]
    span: SpanId,
    #[schema(value_type = scalars::SpanOutcome)]
    outcome: SpanOutcome,
    took_us: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    error: Option<String>,
}

/// A call of another action, which runs as an execution of its own.
#[derive(Serialize, ToSchema)]
pub(crate) struct Child {
    #[schema(value_type = scalars::ExecutionId)]
    execution: ExecutionId,
    action: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = scalars::SpanId, required = false)]
    span: Option<SpanId>,
}

/// A file that is kept. Its id is `attempt.number`.
#[derive(Serialize, ToSchema)]
#[schema(as = ArtifactData)]
pub(crate) struct KeptArtifact {
    number: u32,
    attempt: u32,
    name: String,
    size_bytes: u64,
    media_type: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = SummaryData)]
pub(crate) struct SummaryText {
    markdown: String,
}

/// An event with its fields at the top level as well: there, clients of older Tinpots expect those
/// of `connected` and `complete`.
#[derive(Serialize)]
pub(crate) struct Flat<'a, T> {
    r#type: &'static str,
    data: &'a T,
    #[serde(flatten)]
    fields: &'a T,
}

impl<'a, T> Flat<'a, T> {
    pub(crate) fn of(name: &'static str, data: &'a T) -> Self {
        Self { r#type: name, data, fields: data }
    }
}

impl<'a> ExecutionEvent<'a> {
    /// Returns the event that clients receive; `None` for log chunks, which are sent line by line,
    /// and for terminal statuses, which `complete` reports after the log.
    pub(crate) fn of(event: &'a Event) -> Option<Self> {
        match event {
            Event::Status(status) if status.is_terminal() => None,
            Event::Status(status) => {
                Some(Self::Status(StatusChange { status: *status, state: State::of(*status) }))
            }
            Event::Progress(Progress { done, total, message, .. }) => {
                Some(Self::Progress(ProgressReport { done: *done, total: *total, message }))
            }
            Event::Finished(outcome) => Some(Self::Complete(Completion::of(outcome))),
            // Lines, and events of a core that is newer than this crate.
            _ => None,
        }
    }

    /// Returns the events that an attempt wrote into its log, with the number of the line of each.
    pub(crate) fn in_chunk(
        chunk: &LogChunk,
    ) -> impl Iterator<Item = (u64, ExecutionEvent<'static>)> {
        let has_events = chunk.stream == Stream::Event;
        let lines = (chunk.first_seq..).zip(&chunk.lines).filter(move |_| has_events);
        lines.filter_map(|(seq, line)| {
            Some((seq, ExecutionEvent::in_log(serde_json::from_str(line).ok()?)?))
        })
    }

    /// Returns the name of the action that was called, if the event is a call.
    pub(crate) fn called(&self) -> Option<&str> {
        match self {
            Self::Child(child) => Some(&child.action),
            _ => None,
        }
    }

    fn in_log(event: LogEvent) -> Option<Self> {
        Some(match event {
            LogEvent::SpanStarted { span, parent, name, at } => {
                Self::SpanStarted(SpanStarted { span, parent, name, at })
            }
            LogEvent::SpanEnded { span, outcome, took_us, error } => {
                Self::SpanEnded(SpanEnded { span, outcome, took_us, error })
            }
            LogEvent::Child { execution, action, span } => {
                Self::Child(Child { execution, action, span })
            }
            LogEvent::Artifact(artifact) => {
                let Artifact { number, attempt, name, size_bytes, media_type, .. } = artifact;
                Self::Artifact(KeptArtifact { number, attempt, name, size_bytes, media_type })
            }
            LogEvent::Summary { markdown } => Self::Summary(SummaryText { markdown }),
            _ => return None,
        })
    }

    /// Returns true if no event follows.
    pub(crate) fn is_last(&self) -> bool {
        matches!(self, Self::Complete(_))
    }
}
