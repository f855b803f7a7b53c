//! Spans that have ended.

use std::time::Duration;

use tinpot_core::{Outcome, Timestamp, TraceSpan};

/// The most of a failure's message that a span has, in bytes.
const MESSAGE_BYTES: usize = 1024;

/// A span that has ended.
#[derive(Debug)]
pub(crate) struct Span {
    pub(crate) place: TraceSpan,
    pub(crate) kind: Kind,
    pub(crate) name: String,
    pub(crate) start: Timestamp,
    pub(crate) end: Timestamp,
    pub(crate) attributes: Vec<(&'static str, Value)>,
    /// The message of an error; `None` for a span that is none.
    pub(crate) error: Option<String>,
}

/// The kind of a span, as OTLP numbers it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Internal = 1,
    Server = 2,
    Client = 3,
}

/// The value of an attribute.
#[derive(Debug)]
pub(crate) enum Value {
    Text(String),
    Number(i64),
}

impl Span {
    pub(crate) fn new(place: TraceSpan, kind: Kind, name: String) -> Self {
        let now = Timestamp::now();
        let attributes = Vec::with_capacity(8);
        Self { place, kind, name, start: now, end: now, attributes, error: None }
    }

    pub(crate) fn times(mut self, start: Timestamp, end: Timestamp) -> Self {
        // The wall clock may have been set back.
        (self.start, self.end) = (start, end.max(start));
        self
    }

    /// Sets the duration of a span that ends now.
    pub(crate) fn took(self, took: Duration) -> Self {
        let (now, took) = (Timestamp::now(), u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        self.times(Timestamp(now.0.saturating_sub(took)), now)
    }

    pub(crate) fn text(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.attributes.push((name, Value::Text(value.into())));
        self
    }

    pub(crate) fn number(mut self, name: &'static str, value: i64) -> Self {
        self.attributes.push((name, Value::Number(value)));
        self
    }

    /// Sets the status of an outcome. A cancel is no error.
    pub(crate) fn outcome(mut self, outcome: &Outcome) -> Self {
        self = self.text("tinpot.status", outcome.status().as_str());
        let (kind, message) = match outcome {
            Outcome::Failed(failure) => (cut(&failure.kind), cut(&failure.message)),
            Outcome::TimedOut => ("timed_out".to_owned(), "timed out".to_owned()),
            Outcome::Lost => ("lost".to_owned(), "the worker went silent".to_owned()),
            _ => return self,
        };
        self.error = Some(message);
        if kind.is_empty() { self } else { self.text("error.type", kind) }
    }
}

/// Returns the beginning of a text that is long.
fn cut(text: &str) -> String {
    if text.len() <= MESSAGE_BYTES {
        return text.to_owned();
    }
    let end = (0..=MESSAGE_BYTES).rev().find(|end| text.is_char_boundary(*end));
    format!("{}…", &text[..end.unwrap_or_default()])
}
