//! The options of a submission.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use tinpot_core::{Backoff, SubmitOptions, Timestamp};

use super::document::Entries;
use super::known;
use crate::error::ApiError;
use crate::params::{SECONDS, seconds};

const NAMES: [&str; 14] = [
    "backoff",
    "delay",
    "expires_in",
    "idempotency_key",
    "max_lost_attempts",
    "max_retry_delay",
    "not_before",
    "priority",
    "queue",
    "requested_by",
    "retries",
    "retry_delay",
    "retry_jitter",
    "timeout",
];

/// What is asked of the delays between attempts; what is left out is as usual.
#[derive(Default)]
struct Delays {
    fixed: Option<bool>,
    delay: Option<Duration>,
    max_delay: Option<Duration>,
    jitter: Option<f64>,
}

impl Delays {
    fn backoff(self) -> Option<Backoff> {
        let Delays { fixed, delay, max_delay, jitter } = self;
        if fixed.is_none() && delay.is_none() && max_delay.is_none() && jitter.is_none() {
            return None;
        }
        let delay = delay.unwrap_or(Duration::from_secs(1));
        let mut backoff = match fixed {
            Some(true) => Backoff::fixed(delay),
            _ => Backoff::exponential(delay),
        };
        backoff = backoff.max_delay(max_delay.unwrap_or(backoff.max_delay));
        Some(backoff.jitter(jitter.unwrap_or(backoff.jitter)))
    }
}

/// Reads the object `options`.
pub(super) fn options(value: &RawValue) -> Result<SubmitOptions, ApiError> {
    let Ok(Entries(fields)) = serde_json::from_str(value.get()) else {
        return Err(ApiError::unprocessable(format!("options: must be an object, not {value}")));
    };
    known("options.", &fields, &NAMES)?;
    let mut options = SubmitOptions::default();
    let mut delays = Delays::default();
    for (name, value) in &fields {
        let field = Field { name, text: value.get() };
        match name.as_str() {
            // As everywhere else, null is the same as leaving it out.
            _ if field.text == "null" => {}
            "backoff" => {
                let kind: String = field.read("\"exponential\" or \"fixed\"")?;
                delays.fixed = Some(match kind.as_str() {
                    "fixed" => true,
                    "exponential" => false,
                    _ => return Err(field.wrong("\"exponential\" or \"fixed\"")),
                });
            }
            "delay" => options.delay = Some(field.wait()?),
            "expires_in" => options.expires_in = Some(field.seconds()?),
            "idempotency_key" => options.idempotency_key = Some(field.read("text")?),
            "max_lost_attempts" => {
                options.max_lost_attempts = Some(field.read("a whole number, 1 or more")?);
            }
            "max_retry_delay" => delays.max_delay = Some(field.wait()?),
            "not_before" => options.not_before = Some(field.time()?),
            "priority" => {
                let expected = "a whole number from -2147483648 to 2147483647";
                options.priority = Some(field.read(expected)?);
            }
            "queue" => options.queue = Some(field.read("the name of a queue")?),
            "requested_by" => options.requested_by = Some(field.read("text")?),
            "retries" => options.retries = Some(field.read("a whole number from 0 to 1000")?),
            "retry_delay" => delays.delay = Some(field.wait()?),
            "retry_jitter" => {
                let jitter: f64 = field.read("a number from 0 to 1")?;
                if !(0.0..=1.0).contains(&jitter) {
                    return Err(field.wrong("a number from 0 to 1"));
                }
                delays.jitter = Some(jitter);
            }
            _ => options.timeout = Some(field.seconds()?),
        }
    }
    options.backoff = delays.backoff();
    Ok(options)
}

/// One option as it was given.
struct Field<'a> {
    name: &'a str,
    text: &'a str,
}

/// The longest value that an error repeats.
const SHOWN_CHARS: usize = 80;

impl Field<'_> {
    fn wrong(&self, expected: &str) -> ApiError {
        let mut shown: String = self.text.chars().take(SHOWN_CHARS).collect();
        if shown.len() < self.text.len() {
            shown.push('…');
        }
        ApiError::unprocessable(format!("options.{}: must be {expected}, not {shown}", self.name))
    }

    fn read<T: DeserializeOwned>(&self, expected: &str) -> Result<T, ApiError> {
        serde_json::from_str(self.text).map_err(|_| self.wrong(expected))
    }

    /// A time that is longer than nothing.
    fn seconds(&self) -> Result<Duration, ApiError> {
        seconds(self.read(SECONDS)?).ok_or_else(|| self.wrong(SECONDS))
    }

    /// A time that may be nothing.
    fn wait(&self) -> Result<Duration, ApiError> {
        let expected = "a number of seconds, 0 or more";
        let number: f64 = self.read(expected)?;
        Duration::try_from_secs_f64(number).map_err(|_| self.wrong(expected))
    }

    /// A time of day, in UTC or with an offset.
    fn time(&self) -> Result<Timestamp, ApiError> {
        let expected = "a time such as \"2026-12-24T18:00:00Z\", or seconds since 1970";
        let micros = match serde_json::from_str::<f64>(self.text) {
            Ok(seconds) => (seconds * 1e6) as i64,
            Err(_) => {
                let text: String = self.read(expected)?;
                let time: jiff::Timestamp = text.parse().map_err(|_| self.wrong(expected))?;
                time.as_microsecond()
            }
        };
        u64::try_from(micros).map(Timestamp).map_err(|_| self.wrong(expected))
    }
}
