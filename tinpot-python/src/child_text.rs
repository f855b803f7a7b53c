//! Text between the worker and its interpreters: the one place where it becomes valid Unicode.
//!
//! Python's strings and paths may have lone surrogates, which stand for bytes that are not UTF-8.
//! JSON can carry them, Rust's strings cannot.

use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use tinpot_core::LoadError;

/// The maximum size of the message of a load error, which travels with every offer of a worker.
const MESSAGE_BYTES: usize = 16 * 1024;
/// The maximum size of its place.
const PLACE_BYTES: usize = 1024;

/// Reads a JSON message of an interpreter. Bytes that are not UTF-8 become U+FFFD, and lone
/// surrogates their escapes, such as `\udce9`.
pub(crate) fn read<T: DeserializeOwned>(message: &[u8]) -> serde_json::Result<T> {
    serde_json::from_slice(message).or_else(|error| match repaired(message) {
        Some(message) => serde_json::from_str(&message),
        None => Err(error),
    })
}

/// Returns the message as valid Unicode; `None` if it was that before.
fn repaired(message: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(message);
    let mut out = String::with_capacity(text.len());
    let mut rest = &*text;
    let mut has_changed = matches!(text, std::borrow::Cow::Owned(_));
    // A backslash occurs in strings only.
    while let Some(at) = memchr::memchr(b'\\', rest.as_bytes()) {
        let (before, escape) = rest.split_at(at);
        out.push_str(before);
        let length = match unit(escape) {
            Some(0xd800..=0xdbff) if is_low(escape.get(6..)) => 12,
            Some(0xd800..=0xdfff) => {
                out.push('\\');
                has_changed = true;
                6
            }
            Some(_) => 6,
            None => 1 + escape[1..].chars().next().map_or(0, char::len_utf8),
        };
        let (escape, after) = escape.split_at(length);
        out.push_str(escape);
        rest = after;
    }
    out.push_str(rest);
    has_changed.then_some(out)
}

/// Returns the UTF-16 code unit of an escape at the beginning of `text`.
fn unit(text: &str) -> Option<u16> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    u16::from_str_radix(digits, 16).ok()
}

fn is_low(text: Option<&str>) -> bool {
    text.and_then(unit).is_some_and(|unit| (0xdc00..=0xdfff).contains(&unit))
}

/// Returns a path as a JSON string from which Python gets the same path.
///
/// Bytes that are not UTF-8 are lone surrogates there, as in `os.fsdecode`.
pub(crate) fn json_path(path: &Path) -> Box<RawValue> {
    let mut text = String::from("\"");
    for chunk in path.as_os_str().as_bytes().utf8_chunks() {
        // Cannot fail: it writes a string to memory.
        let valid = serde_json::to_string(chunk.valid()).unwrap_or_default();
        text.push_str(valid.get(1..valid.len() - 1).unwrap_or_default());
        for byte in chunk.invalid() {
            let _ = write!(text, "\\udc{byte:02x}");
        }
    }
    text.push('"');
    // Cannot fail: the text is a JSON string.
    RawValue::from_string(text).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

/// Returns a path for people, on one line. Different paths have different texts.
pub(crate) fn shown(path: &Path) -> String {
    let mut text = String::new();
    for chunk in path.as_os_str().as_bytes().utf8_chunks() {
        text.push_str(&on_one_line(chunk.valid()));
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

/// Returns text with its control characters escaped.
fn on_one_line(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out
}

/// Returns a load error with bounded texts. Of a long message the end matters most: it is that of a
/// traceback.
pub(crate) fn load_error(place: &str, message: &str) -> LoadError {
    let message = message.trim_end();
    let message = if message.len() <= MESSAGE_BYTES {
        message.to_owned()
    } else {
        let (first, last) = (MESSAGE_BYTES / 4, message.len() - MESSAGE_BYTES * 3 / 4);
        let (first, last) = (boundary(message, first), boundary(message, last));
        let left_out = last - first;
        format!("{}\n… {left_out} bytes left out …\n{}", &message[..first], &message[last..])
    };
    let place = on_one_line(place);
    LoadError::new(&place[..boundary(&place, PLACE_BYTES)], message)
}

/// Returns the last boundary of a character at or before `at`.
fn boundary(text: &str, at: usize) -> usize {
    let at = at.min(text.len());
    (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::path::Path;

    use serde_json::{Value, json};

    use super::{MESSAGE_BYTES, json_path, load_error, read, shown};

    #[test]
    fn lone_surrogates_and_broken_bytes_become_valid_text() {
        for (message, expected) in [
            (&br#""caf\udce9.csv""#[..], json!("caf\\udce9.csv")),
            (
                br#"["\ud83d\ude00","\ud83d","\uD83D\ud83d\ude00"]"#,
                json!(["😀", "\\ud83d", "\\uD83D😀"]),
            ),
            (br#""\\udce9 \" \\\udce9""#, json!("\\udce9 \" \\\\udce9")),
            (b"\"caf\xe9\"", json!("caf\u{fffd}")),
            (br#""\u00e9\u0000""#, json!("é\0")),
        ] {
            assert_eq!(read::<Value>(message).expect("JSON"), expected);
        }
        for message in [&b"{"[..], br#""\ud8"#, br#""\udce9"#, b"NaN", b"\xff", b""] {
            assert!(read::<Value>(message).is_err());
        }
    }

    #[test]
    fn paths_keep_their_identity() {
        let path = |bytes| Path::new(OsStr::from_bytes(bytes));
        let json = |bytes| json_path(path(bytes)).get().to_owned();
        assert_eq!(json(b"caf\xe9/\"a\n\\"), r#""caf\udce9/\"a\n\\""#);
        assert_eq!(json("ü\"".as_bytes()), "\"ü\\\"\"");
        assert_eq!(shown(path(b"caf\xe9\n%s 'x'")), r"caf\xe9\n%s 'x'");
        assert_ne!(shown(path(b"caf\xe9")), shown(path(b"caf\xe8")));
    }

    #[test]
    fn load_errors_are_bounded() {
        let error = load_error("a\nb.py", &format!("first {} last", "é".repeat(1 << 20)));
        assert_eq!(error.place, r"a\nb.py");
        assert!(error.message.len() < MESSAGE_BYTES + 100, "{}", error.message.len());
        assert!(error.message.starts_with("first") && error.message.ends_with("last"));
        assert!(load_error(&"x".repeat(1 << 20), "").place.len() <= 1024);
    }
}
