//! The position at which a client resumes the stream of an execution.

use axum::http::{HeaderMap, Uri};

use crate::error::ApiError;
use crate::params::Params;

/// The id of the event `complete`. A client that returns with it has seen the whole stream.
pub(crate) const END: &str = "end";

/// The position at which a client resumes.
#[derive(Debug, PartialEq)]
pub(crate) enum Resume {
    /// After the line with this number.
    After(u64),
    /// After the end.
    End,
}

/// Reads the position from the header `Last-Event-ID` or the parameter `after`.
///
/// The header takes precedence: an `EventSource` that reconnects requests the same URL again, with
/// the old `after` in it.
pub(crate) fn resume(headers: &HeaderMap, uri: &Uri) -> Result<Resume, ApiError> {
    let params = Params::of(uri, &["after"])?;
    let header =
        headers.get("last-event-id").map(|value| String::from_utf8_lossy(value.as_bytes()));
    let (name, text) = match (&header, params.text("after")) {
        (Some(header), _) if !header.is_empty() => ("Last-Event-ID", &**header),
        (_, Some(after)) => ("after", after),
        _ => return Ok(Resume::After(0)),
    };
    if text == END {
        return Ok(Resume::End);
    }
    text.parse().map(Resume::After).map_err(|_| {
        ApiError::bad_request(format!(
            "{name} must be the id of an event of this stream (got {text:?})"
        ))
    })
}
