//! The filter of log lines.

use std::borrow::Cow;

use serde::Deserialize;
use tinpot_core::{Level, LogChunk, Stream};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::error::ApiError;
use crate::model::StreamName;
use crate::openapi::scalars;
use crate::params::{Params, word};

/// A filter by level and stream. Both are the same for all lines of a chunk, so it is applied once
/// per chunk.
#[derive(Clone, Debug, Default)]
pub(super) struct Filter {
    level: Option<Level>,
    /// The selected streams. Empty means all.
    streams: Vec<Stream>,
}

/// The lowest level of lines.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum MinimumLevel {
    Debug,
    Info,
    Warning,
    Error,
}

impl From<MinimumLevel> for Level {
    fn from(level: MinimumLevel) -> Self {
        match level {
            MinimumLevel::Debug => Self::Debug,
            MinimumLevel::Info => Self::Info,
            MinimumLevel::Warning => Self::Warning,
            MinimumLevel::Error => Self::Error,
        }
    }
}

/// One or more streams, separated by commas.
pub(crate) struct StreamList;

impl PartialSchema for StreamList {
    fn schema() -> RefOr<Schema> {
        scalars::list_of(&StreamName::WORDS, "One or more streams, separated by commas.")
    }
}

impl ToSchema for StreamList {
    fn name() -> Cow<'static, str> {
        "StreamList".into()
    }
}

impl Filter {
    pub(super) fn of(params: &Params) -> Result<Self, ApiError> {
        let expected = "debug, info, warning or error";
        let level = params.read("level", expected, |text| word::<MinimumLevel>(text))?;
        let expected =
            format!("one or more of {}, separated by commas", StreamName::WORDS.join(", "));
        let streams = params.read("stream", &expected, |text| {
            text.split(',').map(|text| word::<StreamName>(text).map(Stream::from)).collect()
        })?;
        Ok(Self { level: level.map(Level::from), streams: streams.unwrap_or_default() })
    }

    /// Returns true if the lines of a chunk pass the filter.
    pub(super) fn passes(&self, chunk: &LogChunk) -> bool {
        chunk.stream.is_text()
            && self.level.is_none_or(|level| chunk.level >= level)
            && (self.streams.is_empty() || self.streams.contains(&chunk.stream))
    }
}
