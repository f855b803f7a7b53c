//! User payloads as raw JSON: checked once, never parsed and written again on the way.

pub(crate) mod mask;
pub(crate) mod strict;

use std::fmt;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::model::error::{Error, ErrorKind, Result};

/// One JSON document, kept as the text in which it arrived. Cloning is cheap.
///
/// ```
/// use tinpot_core::Json;
///
/// #[derive(serde::Deserialize)]
/// struct Target {
///     host: String,
/// }
///
/// let parameters = Json::parse(r#"{"host": "db1", "price": 1.10}"#)?;
/// assert_eq!(parameters.deserialize::<Target>()?.host, "db1");
/// // The text stays as it is: no number changes on its way.
/// assert!(parameters.as_str().contains("1.10"));
/// # Ok::<_, tinpot_core::Error>(())
/// ```
#[derive(Clone)]
pub struct Json(Arc<RawValue>);

impl Json {
    /// Serialises `value`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if the value has no JSON form, such as a map whose keys are not
    /// strings.
    pub fn serialize<T: Serialize + ?Sized>(value: &T) -> Result<Self> {
        serde_json::value::to_raw_value(value).map(Self::from).map_err(|e| {
            Error::new(ErrorKind::InvalidInput, "the value has no JSON form").with_source(e)
        })
    }

    /// Checks that `text` is one JSON document, and keeps it unchanged.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] if it is not. Numbers that JSON does not have (`NaN`, `Infinity`)
    /// are the [`violations`](Error::violations) of the error.
    pub fn parse(text: impl Into<String>) -> Result<Self> {
        let text = text.into();
        match serde_json::from_str::<&RawValue>(&text) {
            Ok(raw) => Ok(Self::from(raw.to_owned())),
            Err(error) => {
                let faults = strict::read(&text).faults;
                let kind = ErrorKind::Malformed;
                Err(if faults.is_empty() {
                    Error::new(kind, format!("document must be JSON: {error}"))
                } else {
                    Error::of_violations(kind, "", "document", faults)
                })
            }
        }
    }

    /// Returns the document `{}`.
    pub fn empty_object() -> Self {
        Self::constant("{}")
    }

    /// Returns the document `null`.
    pub fn null() -> Self {
        Self::constant("null")
    }

    fn constant(text: &'static str) -> Self {
        match RawValue::from_string(text.to_owned()) {
            Ok(raw) => Self::from(raw),
            Err(_) => unreachable!("a constant document is valid"),
        }
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        self.0.get()
    }

    /// Deserialises the document.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if it is not a `T`.
    pub fn deserialize<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_str(self.as_str())
            .map_err(|e| Error::new(ErrorKind::InvalidInput, e.to_string()))
    }
}

impl From<Box<RawValue>> for Json {
    fn from(raw: Box<RawValue>) -> Self {
        Self(raw.into())
    }
}

impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Json {}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Box::<RawValue>::deserialize(deserializer).map(Self::from)
    }
}
