//! Query parameters: known names, each once, with values that make sense; else 422 naming what is wrong.

use std::time::Duration;

use axum::extract::Query;
use axum::http::Uri;
use tinpot_core::Timestamp;

use crate::error::ApiError;

/// The query parameters of a request.
#[derive(Debug)]
pub(crate) struct Params(Vec<(String, String)>);

impl Params {
    /// Takes the query of `uri`. A name that is not `known` is refused: a mistyped filter must not answer everything.
    pub(crate) fn of(uri: &Uri, known: &[&str]) -> Result<Self, ApiError> {
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri)
            .map_err(|e| ApiError::unprocessable(format!("the query cannot be read: {e}")))?;
        for (at, (name, _)) in pairs.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                let known = known.join(", ");
                return Err(ApiError::unprocessable(format!(
                    "{name:?} is unknown: the query parameters are {known}"
                )));
            }
            if pairs[..at].iter().any(|(other, _)| other == name) {
                return Err(ApiError::unprocessable(format!("{name} is given twice")));
            }
        }
        Ok(Self(pairs))
    }

    /// The text of a parameter.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// The value of a parameter, when `read` makes sense of its text; `expected` says what would.
    pub(crate) fn read<T>(
        &self,
        name: &str,
        expected: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, ApiError> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let wrong = || ApiError::unprocessable(format!("{name}: must be {expected}, not {text:?}"));
        read(text).ok_or_else(wrong).map(Some)
    }

    /// A whole number from 1 to `max`.
    pub(crate) fn limit(&self, max: usize) -> Result<Option<usize>, ApiError> {
        self.read("limit", &format!("a whole number from 1 to {max}"), |text| {
            text.parse().ok().filter(|limit| (1..=max).contains(limit))
        })
    }

    /// A time of day, in UTC or with an offset.
    pub(crate) fn time(&self, name: &str) -> Result<Option<Timestamp>, ApiError> {
        self.read(name, "a time such as 2026-12-24T18:00:00Z", |text| {
            let time: jiff::Timestamp = text.parse().ok()?;
            // Nothing was done before the clock began to count.
            Some(Timestamp(u64::try_from(time.as_microsecond()).unwrap_or(0)))
        })
    }

    /// The number of a log line.
    pub(crate) fn after(&self) -> Result<Option<u64>, ApiError> {
        self.read("after", "the number of a log line", |text| text.parse().ok())
    }
}

/// What [`seconds`] expects.
pub(crate) const SECONDS: &str = "a number of seconds above 0 and below 1e19";

/// A time that is longer than nothing.
pub(crate) fn seconds(seconds: f64) -> Option<Duration> {
    let duration = Duration::try_from_secs_f64(seconds).ok().filter(|_| seconds > 0.0)?;
    // What is above 0 is not made 0 by a clock that counts in microseconds.
    Some(duration.max(Duration::from_micros(1)))
}
