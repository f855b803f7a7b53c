//! Which lines are wanted.

use tinpot_core::{Level, LogChunk, Stream};

use crate::error::ApiError;
use crate::params::Params;

/// Lines of some levels and streams. All lines of a chunk have the same, so it is asked once for each chunk.
#[derive(Clone, Debug, Default)]
pub(super) struct Filter {
    level: Option<Level>,
    /// Empty means all.
    streams: Vec<Stream>,
}

impl Filter {
    pub(super) fn of(params: &Params) -> Result<Self, ApiError> {
        let level = params.read("level", "debug, info, warning or error", level)?;
        let expected = "some of stdout, stderr, log and system, with commas between them";
        let streams = params.read("stream", expected, |text| {
            text.split(',').map(stream).collect::<Option<Vec<_>>>()
        })?;
        Ok(Self { level, streams: streams.unwrap_or_default() })
    }

    pub(super) fn wants(&self, chunk: &LogChunk) -> bool {
        chunk.stream.is_text()
            && self.level.is_none_or(|level| chunk.level >= level)
            && (self.streams.is_empty() || self.streams.contains(&chunk.stream))
    }
}

fn level(text: &str) -> Option<Level> {
    match text {
        "debug" => Some(Level::Debug),
        "info" => Some(Level::Info),
        "warning" => Some(Level::Warning),
        "error" => Some(Level::Error),
        _ => None,
    }
}

fn stream(text: &str) -> Option<Stream> {
    match text {
        "stdout" => Some(Stream::Stdout),
        "stderr" => Some(Stream::Stderr),
        "log" => Some(Stream::Log),
        "system" => Some(Stream::System),
        _ => None,
    }
}
