//! JSON answers: compact, and with one line break at the end, since scripts search them as texts.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::value::RawValue;

/// The type of JSON, as MiniTower has it.
pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The largest number up to which a float has all integers: 2^53.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Answers with a value.
pub(crate) fn answer(status: StatusCode, value: &impl Serialize) -> Response {
    let mut text = match serde_json::to_vec(value) {
        Ok(text) => text,
        Err(error) => {
            tracing::error!(%error, "an answer cannot be written");
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
    };
    text.push(b'\n');
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, JSON);
    response
}

/// Returns JSON without blanks, and with the keys of all objects in order. Of repeated keys, the last
/// one counts. Numbers keep all their digits, but `3.0` is `3`, which is an integer for MiniTower.
///
/// # Errors
/// That of the text, if it is no JSON.
pub(crate) fn sorted(text: &str) -> serde_json::Result<Box<RawValue>> {
    let mut out = String::with_capacity(text.len());
    write(text, &mut out)?;
    RawValue::from_string(out)
}

fn write(text: &str, out: &mut String) -> serde_json::Result<()> {
    let text = text.trim_matches([' ', '\t', '\r', '\n']);
    match text.as_bytes().first() {
        Some(b'{') => {
            let fields: BTreeMap<String, &RawValue> = serde_json::from_str(text)?;
            out.push('{');
            for (at, (name, value)) in fields.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                out.push_str(&serde_json::to_string(name)?);
                out.push(':');
                write(value.get(), out)?;
            }
            out.push('}');
        }
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(text)?;
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write(item.get(), out)?;
            }
            out.push(']');
        }
        Some(b'-' | b'0'..=b'9') => out.push_str(&whole(text).unwrap_or_else(|| text.to_owned())),
        _ => out.push_str(text),
    }
    Ok(())
}

/// Returns a number that has no fraction, but is written as if it had one, as an integer.
fn whole(number: &str) -> Option<String> {
    let value: f64 = number.parse().ok()?;
    let is_written_so = number.contains(['.', 'e', 'E']);
    (is_written_so && value.fract() == 0.0 && value.abs() <= EXACT)
        .then(|| format!("{}", value as i64))
}

#[cfg(test)]
mod tests {
    use super::sorted;

    #[test]
    fn objects_are_sorted_and_numbers_stay() {
        let text =
            r#" { "b" : [ 1 , {"y":2,"x": 9007199254740993} ], "a" : 3.0, "b":{} , "a":1e400 }"#;
        assert_eq!(sorted(text).expect("JSON").get(), r#"{"a":1e400,"b":{}}"#);
        let text = r#"[{"z":"\u00e9 ","a":[ ]}, null]"#;
        assert_eq!(sorted(text).expect("JSON").get(), r#"[{"a":[],"z":"\u00e9 "},null]"#);
        let numbers = "[3.0,-1e2,0.5,1e21,9007199254740993,-0.0]";
        assert_eq!(sorted(numbers).expect("JSON").get(), "[3,-100,0.5,1e21,9007199254740993,0]");
        sorted("{").expect_err("no JSON");
    }
}
