//! JSON bodies, read as MiniTower's server reads them: names match in any case, unknown ones are
//! ignored, `null` is nothing, and what follows the first value is ignored.

use std::collections::HashMap;
use std::fmt;

use axum::body::Body;
use axum::extract::Request;
use axum::http::header;
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use serde::Deserializer;
use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde_json::value::RawValue;
use tokio::time::timeout;

use super::error::ApiError;

/// The longest time in which no byte of a body arrives.
pub(crate) const IDLE: std::time::Duration = std::time::Duration::from_secs(30);

/// The fields of a body.
#[derive(Debug, Default)]
pub(crate) struct Fields(HashMap<String, Box<RawValue>>);

/// Reads a body with at least one value.
///
/// # Errors
/// 400 for anything but an object or `null`, 413 beyond the bound.
pub(crate) async fn fields(request: Request, max_bytes: usize) -> Result<Fields, ApiError> {
    let body = bytes(request, max_bytes).await?;
    if is_blank(&body) {
        return Err(ApiError::invalid("body must be a JSON object (got nothing)"));
    }
    Fields::parse(&body)
}

/// Reads a body that may be empty, which stands for `{}`.
///
/// # Errors
/// As [`fields`].
pub(crate) async fn optional_fields(
    request: Request,
    max_bytes: usize,
) -> Result<Fields, ApiError> {
    let body = bytes(request, max_bytes).await?;
    if is_blank(&body) { Ok(Fields::default()) } else { Fields::parse(&body) }
}

fn is_blank(body: &[u8]) -> bool {
    body.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'))
}

/// Reads a whole body.
pub(crate) async fn bytes(request: Request, max_bytes: usize) -> Result<Bytes, ApiError> {
    let length = request.headers().get(header::CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
    if length.is_some_and(|length: u64| length > max_bytes as u64) {
        return Err(ApiError::too_large(max_bytes as u64));
    }
    read(request.into_body(), max_bytes).await
}

async fn read(body: Body, max_bytes: usize) -> Result<Bytes, ApiError> {
    let mut pieces = body.into_data_stream();
    let mut all = BytesMut::new();
    loop {
        match timeout(IDLE, pieces.next()).await {
            Err(_) => return Err(ApiError::invalid("body: no byte of it arrived for 30 s")),
            Ok(None) => return Ok(all.freeze()),
            Ok(Some(Err(_))) => return Err(ApiError::invalid("body could not be read to its end")),
            Ok(Some(Ok(piece))) if all.len() + piece.len() > max_bytes => {
                return Err(ApiError::too_large(max_bytes as u64));
            }
            Ok(Some(Ok(piece))) => all.extend_from_slice(&piece),
        }
    }
}

impl Fields {
    fn parse(body: &[u8]) -> Result<Self, ApiError> {
        let invalid = |error| ApiError::invalid(format!("body must be a JSON object: {error}"));
        let mut deserializer = serde_json::Deserializer::from_slice(body);
        deserializer.deserialize_any(FieldsVisitor).map_err(invalid)
    }

    /// Returns a field that is there and not `null`.
    pub(crate) fn raw(&self, name: &str) -> Option<&RawValue> {
        self.0.get(name).map(|value| &**value)
    }

    fn read<T: DeserializeOwned>(&self, name: &str, form: &str) -> Result<Option<T>, ApiError> {
        let Some(value) = self.raw(name) else { return Ok(None) };
        let value = serde_json::from_str(value.get());
        value.map(Some).map_err(|_| ApiError::invalid(format!("{name} must be {form}")))
    }

    pub(crate) fn text(&self, name: &str) -> Result<Option<String>, ApiError> {
        self.read(name, "a string")
    }

    pub(crate) fn integer(&self, name: &str) -> Result<Option<i64>, ApiError> {
        self.read(name, "an integer")
    }
}

/// Reads `null`, or an object without looking into its values.
struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_unit<E>(self) -> Result<Fields, E> {
        Ok(Fields::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
        let mut fields = HashMap::new();
        while let Some(name) = map.next_key::<String>()? {
            let value: Box<RawValue> = map.next_value()?;
            // A later `null` changes nothing.
            if value.get() != "null" {
                fields.insert(name.to_lowercase(), value);
            }
        }
        Ok(Fields(fields))
    }
}

#[cfg(test)]
mod tests {
    use super::Fields;

    #[test]
    fn fields_match_in_any_case_and_the_last_one_counts() {
        let text = br#"{"SLUG":"a","slug":"b","other":[],"Name":null,"n":1,"f":1.0} trailing"#;
        let fields = Fields::parse(text).expect("an object");
        assert_eq!(fields.text("slug").expect("a text").as_deref(), Some("b"));
        assert_eq!(fields.text("name").expect("nothing"), None);
        assert_eq!(fields.integer("n").expect("an integer"), Some(1));
        fields.integer("f").expect_err("a fraction");
        fields.text("n").expect_err("a number");
        assert!(Fields::parse(b"null").expect("nothing").raw("slug").is_none());
        for wrong in [&b"[]"[..], b"1", b"\"a\"", b"{", b"{\"a\"}", b"x"] {
            Fields::parse(wrong).expect_err("no object");
        }
    }
}
