//! Durations and sizes as people write them.

use std::time::Duration;

use tinpot_core::Result;
use toml::Value;

use super::reading::{Table, invalid, shown};

/// The longest duration: a year.
const MAX_SECONDS: u64 = 365 * 86_400;

/// Reads a duration of at least a second: seconds as an integer, or text such as `"90s"`, `"1h30m"`.
pub(super) fn duration(table: &Table<'_>, name: &str) -> Result<Option<Duration>> {
    let Some(value) = table.value(name) else { return Ok(None) };
    let seconds = match value {
        Value::Integer(seconds) => u64::try_from(*seconds).ok(),
        Value::String(text) => seconds(text),
        _ => None,
    };
    match seconds {
        Some(seconds @ 1..=MAX_SECONDS) => Ok(Some(Duration::from_secs(seconds))),
        _ => Err(invalid(format!(
            "{} must be a duration from 1s to 365d, such as \"90s\", \"1h30m\" or 90 (got {})",
            table.key(name),
            shown(value),
        ))),
    }
}

fn seconds(text: &str) -> Option<u64> {
    let mut total = 0_u64;
    let mut rest = text;
    while !rest.is_empty() {
        let (number, unit) = number(rest)?;
        let mut units = unit.chars();
        let factor = match units.next()? {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            _ => return None,
        };
        total = total.checked_add(number.checked_mul(factor)?)?;
        rest = units.as_str();
    }
    (!text.is_empty()).then_some(total)
}

/// Reads a size of at least a byte: bytes as an integer, or text such as `"512M"` or `"1GiB"`.
pub(super) fn bytes(table: &Table<'_>, name: &str) -> Result<Option<u64>> {
    let Some(value) = table.value(name) else { return Ok(None) };
    let bytes = match value {
        Value::Integer(bytes) => u64::try_from(*bytes).ok(),
        Value::String(text) => size(text),
        _ => None,
    };
    match bytes.filter(|bytes| *bytes > 0 && *bytes <= i64::MAX as u64) {
        Some(bytes) => Ok(Some(bytes)),
        None => Err(invalid(format!(
            "{} must be a size such as \"512M\", \"2G\" or 65536 (got {})",
            table.key(name),
            shown(value),
        ))),
    }
}

fn size(text: &str) -> Option<u64> {
    let (number, unit) = number(text)?;
    let shift = match unit.trim_end_matches("iB").trim_end_matches('B') {
        "" => 0,
        "K" | "k" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return None,
    };
    number.checked_mul(1 << shift)
}

/// Splits text into the number at its start and the rest.
fn number(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..end].parse().ok()?, &text[end..]))
}

pub(super) mod millis {
    use std::time::Duration;

    use serde::Serializer;

    #[allow(clippy::ref_option, reason = "serde passes the field")]
    pub(in super::super) fn serialize<S: Serializer>(
        duration: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let millis = duration.map(|duration| duration.as_millis());
        match millis.and_then(|millis| u64::try_from(millis).ok()) {
            Some(millis) => serializer.serialize_u64(millis),
            None => serializer.serialize_none(),
        }
    }
}
