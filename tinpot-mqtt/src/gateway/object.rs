//! JSON objects of clients.

use serde::Deserialize;

/// Reads a JSON object. The library would take a list for one, too.
///
/// # Errors
/// The reason, for people.
pub(crate) fn read<'a, T: Deserialize<'a>>(payload: &'a [u8]) -> Result<T, String> {
    let text = std::str::from_utf8(payload).map_err(|error| error.to_string())?;
    let first = text.trim_start().chars().next();
    match first {
        Some('{') => serde_json::from_str(text).map_err(|error| error.to_string()),
        Some(other) => Err(format!("it begins with {other:?}")),
        None => Err("it is empty".to_owned()),
    }
}
