//! Query parameters: known names, each at most once, with valid values. Other queries are refused
//! with 422.

use std::time::Duration;

use axum::extract::Query;
use axum::http::Uri;
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error as WordError, StrDeserializer};
use tinpot_core::Timestamp;

use crate::error::ApiError;

/// The query parameters of a request.
#[derive(Debug)]
pub(crate) struct Params(Vec<(String, String)>);

impl Params {
    /// Reads the query of `uri`. Unknown names are refused: a mistyped filter must not select
    /// everything.
    pub(crate) fn of(uri: &Uri, known: &[&str]) -> Result<Self, ApiError> {
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri)
            .map_err(|e| ApiError::unprocessable(format!("query must be URL-encoded: {e}")))?;
        for (at, (name, _)) in pairs.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                let known = match known {
                    [] => "this path has none".to_owned(),
                    known => format!("use {}", known.join(", ")),
                };
                return Err(ApiError::unprocessable(format!(
                    "{name:?} is not a query parameter; {known}"
                )));
            }
            if pairs[..at].iter().any(|(other, _)| other == name) {
                return Err(ApiError::unprocessable(format!("{name} must be given at most once")));
            }
        }
        Ok(Self(pairs))
    }

    /// Returns the text of a parameter.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// Returns the value that `read` makes of the text of a parameter. If it makes none, the error
    /// says what is `expected`.
    pub(crate) fn read<T>(
        &self,
        name: &str,
        expected: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, ApiError> {
        let Some(text) = self.text(name) else { return Ok(None) };
        read(text).ok_or_else(|| not_expected(name, expected, text)).map(Some)
    }

    /// Returns true if a flag is given and true.
    pub(crate) fn flag(&self, name: &str) -> Result<bool, ApiError> {
        Ok(self.read(name, "true or false", |text| text.parse().ok())?.unwrap_or(false))
    }

    /// Returns an integer from 1 to `max`.
    pub(crate) fn limit(&self, max: usize) -> Result<Option<usize>, ApiError> {
        self.integer("limit", max)
    }

    /// Returns an integer from 1 to `max`.
    pub(crate) fn integer(&self, name: &str, max: usize) -> Result<Option<usize>, ApiError> {
        self.read(name, &format!("an integer from 1 to {max}"), |text| {
            text.parse().ok().filter(|number| (1..=max).contains(number))
        })
    }

    /// Returns a time, given in UTC or with an offset.
    pub(crate) fn time(&self, name: &str) -> Result<Option<Timestamp>, ApiError> {
        self.read(name, "a time such as 2026-12-24T18:00:00Z", |text| {
            // A `+` that a client did not encode is a blank.
            let time: jiff::Timestamp = text.replace(' ', "+").parse().ok()?;
            // Times before 1970 select the same executions as 1970.
            Some(Timestamp(u64::try_from(time.as_microsecond()).unwrap_or(0)))
        })
    }

    /// Returns the number of a log line.
    pub(crate) fn line(&self, name: &str) -> Result<Option<u64>, ApiError> {
        self.read(name, "the number of a log line", |text| text.parse().ok())
    }
}

fn not_expected(name: &str, expected: &str, text: &str) -> ApiError {
    ApiError::unprocessable(format!("{name} must be {expected} (got {text:?})"))
}

/// Reads a word as a value of an enum, by its serde name.
pub(crate) fn word<'de, T: Deserialize<'de>>(text: &'de str) -> Option<T> {
    let deserializer: StrDeserializer<'de, WordError> = text.into_deserializer();
    T::deserialize(deserializer).ok()
}

/// The values that [`seconds`] accepts.
pub(crate) const SECONDS: &str = "a number of seconds above 0 and below 1e19";

/// Returns a duration that is longer than zero.
pub(crate) fn seconds(seconds: f64) -> Option<Duration> {
    let duration = Duration::try_from_secs_f64(seconds).ok().filter(|_| seconds > 0.0)?;
    // The clock counts microseconds, and must not round a positive duration to zero.
    Some(duration.max(Duration::from_micros(1)))
}
