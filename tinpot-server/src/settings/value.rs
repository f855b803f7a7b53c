//! Values of flags and variables as text.

use std::time::Duration;

use super::RESULT_BYTES;

/// Parses a time in seconds, fractions allowed, from a millisecond to a year.
///
/// # Errors
/// Fails if the text is not a number in that range.
pub fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.001..=31_536_000.0).contains(seconds));
    seconds
        .map(Duration::from_secs_f64)
        .ok_or_else(|| "must be a number of seconds from 0.001 to 31536000".to_owned())
}

/// Parses a size in bytes, with an optional unit of 1024 each: K, M, G or T.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let units = [("K", 10), ("M", 20), ("G", 30), ("T", 40)];
    let unit = units.iter().find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, *shift)));
    let (number, shift) = unit.unwrap_or((text, 0));
    let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(1 << shift));
    // Python takes sizes up to 2^62.
    bytes
        .filter(|bytes| (1..=1 << 62).contains(bytes))
        .ok_or_else(|| "must be a number of bytes, or one with K, M, G or T, like 256M".to_owned())
}

/// Parses the size of a result.
pub(super) fn result_size(text: &str) -> Result<u64, String> {
    size(text).and_then(|bytes| match bytes > RESULT_BYTES as u64 {
        true => Err("must be at most 15M, the size that one message carries".to_owned()),
        false => Ok(bytes),
    })
}
