//! The options of a submission.

use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use tinpot_core::{Backoff, SubmitOptions, Timestamp};
use utoipa::ToSchema;

use super::document;
use crate::error::ApiError;
use crate::model::Time;
use crate::params::{SECONDS, seconds};

/// The options of a submission. The action decides about options that are omitted or null.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Options)]
pub(crate) struct OptionsBody<'a> {
    /// A key: submissions with the same key and parameters are the same execution.
    #[serde(borrow)]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 255)]
    idempotency_key: Option<&'a RawValue>,
    /// The priority. Executions with a higher one start first.
    #[serde(borrow)]
    #[schema(value_type = Option<i32>)]
    priority: Option<&'a RawValue>,
    /// The seconds before it may start.
    #[serde(borrow)]
    #[schema(value_type = Option<f64>, minimum = 0, maximum = 3162240000u64)]
    delay: Option<&'a RawValue>,
    /// The time before which it does not start: a time in RFC 3339, or seconds since 1970.
    #[serde(borrow)]
    #[schema(value_type = Option<NotBefore>)]
    not_before: Option<&'a RawValue>,
    /// The seconds after which it no longer starts.
    #[serde(borrow)]
    #[schema(value_type = Option<f64>, exclusive_minimum = 0, maximum = 3162240000u64)]
    expires_in: Option<&'a RawValue>,
    /// The maximum run time of an attempt, in seconds.
    #[serde(borrow)]
    #[schema(value_type = Option<f64>, exclusive_minimum = 0, maximum = 3162240000u64)]
    timeout: Option<&'a RawValue>,
    /// The number of attempts after a failed one.
    #[serde(borrow)]
    #[schema(value_type = Option<u32>, minimum = 0, maximum = 1000)]
    retries: Option<&'a RawValue>,
    /// The number of attempts that may be lost with their workers.
    #[serde(borrow)]
    #[schema(value_type = Option<u32>, minimum = 1)]
    max_lost_attempts: Option<&'a RawValue>,
    #[serde(borrow)]
    #[schema(value_type = Option<BackoffKind>)]
    backoff: Option<&'a RawValue>,
    /// The seconds before the second attempt.
    #[serde(borrow)]
    #[schema(value_type = Option<f64>, minimum = 0, maximum = 3162240000u64)]
    retry_delay: Option<&'a RawValue>,
    /// The longest delay between attempts, in seconds.
    #[serde(borrow)]
    #[schema(value_type = Option<f64>, minimum = 0, maximum = 3162240000u64)]
    max_retry_delay: Option<&'a RawValue>,
    /// The part of a delay that is random.
    #[serde(borrow)]
    #[schema(value_type = Option<f64>, minimum = 0, maximum = 1)]
    retry_jitter: Option<&'a RawValue>,
    /// The queue to wait in.
    #[serde(borrow)]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 128)]
    queue: Option<&'a RawValue>,
    /// The requester, as the client states it. The header `X-Requested-By` states it as well.
    #[serde(borrow)]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 255)]
    requested_by: Option<&'a RawValue>,
    /// The trace context of the submitter, as W3C Trace Context has it. The header `traceparent` states
    /// it as well.
    #[serde(borrow)]
    #[schema(value_type = Option<String>, min_length = 55, max_length = 55)]
    traceparent: Option<&'a RawValue>,
}

/// The growth of the delay between attempts.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum BackoffKind {
    Exponential,
    Fixed,
}

/// A time in RFC 3339, or seconds since 1970.
#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum NotBefore<'a> {
    #[schema(value_type = Time)]
    Text(std::borrow::Cow<'a, str>),
    Seconds(f64),
}

/// Reads the object `options`.
pub(super) fn options(value: &RawValue) -> Result<SubmitOptions, ApiError> {
    let invalid = || ApiError::unprocessable(format!("options must be an object (got {value})"));
    let body: OptionsBody<'_> =
        document::read(value.get(), "options.", |_| invalid(), |_| invalid())?;
    body.submit_options()
}

impl OptionsBody<'_> {
    fn submit_options(&self) -> Result<SubmitOptions, ApiError> {
        let mut options = SubmitOptions::default();
        options.idempotency_key = read("idempotency_key", self.idempotency_key, Field::text)?;
        options.priority = read("priority", self.priority, |field| {
            field.read("an integer from -2147483648 to 2147483647")
        })?;
        options.delay = read("delay", self.delay, Field::delay)?;
        options.not_before = read("not_before", self.not_before, Field::time)?;
        options.expires_in = read("expires_in", self.expires_in, Field::seconds)?;
        options.timeout = read("timeout", self.timeout, Field::seconds)?;
        options.retries =
            read("retries", self.retries, |field| field.read("an integer from 0 to 1000"))?;
        options.max_lost_attempts = read("max_lost_attempts", self.max_lost_attempts, |field| {
            field.read("an integer of at least 1")
        })?;
        options.backoff = self.backoff()?;
        options.queue = read("queue", self.queue, |field| field.read("the name of a queue"))?;
        options.requested_by = read("requested_by", self.requested_by, Field::text)?;
        options.traceparent = read("traceparent", self.traceparent, Field::text)?;
        Ok(options)
    }

    /// Returns the delays between attempts, if any option about them is given.
    fn backoff(&self) -> Result<Option<Backoff>, ApiError> {
        let kind =
            read("backoff", self.backoff, |field| field.read("\"exponential\" or \"fixed\""))?;
        let delay = read("retry_delay", self.retry_delay, Field::delay)?;
        let max_delay = read("max_retry_delay", self.max_retry_delay, Field::delay)?;
        let jitter = read("retry_jitter", self.retry_jitter, Field::fraction)?;
        if kind.is_none() && delay.is_none() && max_delay.is_none() && jitter.is_none() {
            return Ok(None);
        }
        let delay = delay.unwrap_or(Duration::from_secs(1));
        let mut backoff = match kind {
            Some(BackoffKind::Fixed) => Backoff::fixed(delay),
            _ => Backoff::exponential(delay),
        };
        backoff = backoff.max_delay(max_delay.unwrap_or(backoff.max_delay));
        Ok(Some(backoff.jitter(jitter.unwrap_or(backoff.jitter))))
    }
}

/// Reads an option that is given.
fn read<'a, T>(
    name: &'a str,
    value: Option<&'a RawValue>,
    read: impl FnOnce(&Field<'a>) -> Result<T, ApiError>,
) -> Result<Option<T>, ApiError> {
    value.map(|value| read(&Field { name, text: value.get() })).transpose()
}

/// One option, as the client gave it.
struct Field<'a> {
    name: &'a str,
    text: &'a str,
}

/// The longest value that an error repeats, in characters.
const SHOWN_CHARS: usize = 80;

impl Field<'_> {
    fn invalid(&self, expected: &str) -> ApiError {
        let mut shown: String = self.text.chars().take(SHOWN_CHARS).collect();
        if shown.len() < self.text.len() {
            shown.push('…');
        }
        ApiError::unprocessable(format!("options.{} must be {expected} (got {shown})", self.name))
    }

    fn read<T: DeserializeOwned>(&self, expected: &str) -> Result<T, ApiError> {
        serde_json::from_str(self.text).map_err(|_| self.invalid(expected))
    }

    fn text(&self) -> Result<String, ApiError> {
        self.read("text")
    }

    fn fraction(&self) -> Result<f64, ApiError> {
        let expected = "a number from 0 to 1";
        let fraction = self.read(expected)?;
        if (0.0..=1.0).contains(&fraction) { Ok(fraction) } else { Err(self.invalid(expected)) }
    }

    /// Reads a duration that is longer than zero.
    fn seconds(&self) -> Result<Duration, ApiError> {
        seconds(self.read(SECONDS)?).ok_or_else(|| self.invalid(SECONDS))
    }

    /// Reads a duration that may be zero.
    fn delay(&self) -> Result<Duration, ApiError> {
        let expected = "a number of seconds of at least 0";
        Duration::try_from_secs_f64(self.read(expected)?).map_err(|_| self.invalid(expected))
    }

    /// Reads a time, in UTC or with an offset.
    fn time(&self) -> Result<Timestamp, ApiError> {
        let expected = "a time such as \"2026-12-24T18:00:00Z\", or seconds since 1970";
        let micros = match serde_json::from_str(self.text).map_err(|_| self.invalid(expected))? {
            NotBefore::Seconds(seconds) => (seconds * 1e6) as i64,
            NotBefore::Text(text) => {
                let time: jiff::Timestamp = text.parse().map_err(|_| self.invalid(expected))?;
                time.as_microsecond()
            }
        };
        u64::try_from(micros).map(Timestamp).map_err(|_| self.invalid(expected))
    }
}
