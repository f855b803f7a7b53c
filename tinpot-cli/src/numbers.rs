//! Numbers on the command line, and errors about them in plain words.

use std::error::Error;
use std::num::{IntErrorKind, ParseIntError};

use clap::error::{ContextKind, ContextValue};

/// The longest idempotency key, in characters.
const KEY_CHARS: usize = 255;
/// Servers accept shorter times: their clocks end there.
const SECONDS_END: f64 = 1e19;

/// Parses a time in seconds that is longer than zero.
pub(crate) fn seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse().ok().filter(|seconds| *seconds > 0.0 && *seconds < SECONDS_END);
    seconds.ok_or_else(|| "must be a number of seconds above 0, like 90".to_owned())
}

/// Parses a time in seconds, which may be zero.
pub(crate) fn delay(text: &str) -> Result<f64, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.0..SECONDS_END).contains(seconds));
    seconds.ok_or_else(|| "must be a number of seconds, 0 or more, like 90".to_owned())
}

/// Parses an idempotency key.
pub(crate) fn key(text: &str) -> Result<String, String> {
    match text.chars().count() {
        1..=KEY_CHARS => Ok(text.to_owned()),
        chars => Err(format!("must have 1 to {KEY_CHARS} characters (got {chars})")),
    }
}

/// Returns the reason of an error of clap about a number, if it is in the words of Rust, and the
/// same in plain words.
pub(crate) fn reason(error: &clap::Error) -> Option<(String, String)> {
    let source = error.source()?;
    let reason = source.to_string();
    if let Some(number) = source.downcast_ref::<ParseIntError>() {
        let is_negative = matches!(
            error.get(ContextKind::InvalidValue),
            Some(ContextValue::String(value)) if value.starts_with('-')
        );
        let plain = match number.kind() {
            IntErrorKind::PosOverflow => "is too large",
            IntErrorKind::NegOverflow => "is too small",
            _ if is_negative => "must be a whole number, 0 or more",
            _ => "must be a whole number",
        };
        return Some((reason, plain.to_owned()));
    }
    let (_, range) = reason.split_once(" is not in ")?;
    let (first, last) = range.split_once("..=")?;
    let plain = format!("must be from {first} to {last}");
    Some((reason, plain))
}
