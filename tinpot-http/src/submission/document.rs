//! The fields of a JSON object as raw text, and their names.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use utoipa::PartialSchema;
use utoipa::openapi::{RefOr, Schema};

use crate::error::ApiError;

/// The largest number of unknown fields that an error names.
const UNKNOWN_MAX: usize = 10;

/// Reads an object as `T`, which has to deny unknown fields. Errors of the text itself are worded by
/// `unreadable`, those of a value by `invalid`.
pub(super) fn read<'a, T: Deserialize<'a> + PartialSchema>(
    text: &'a str,
    path: &str,
    unreadable: impl FnOnce(&serde_json::Error) -> ApiError,
    invalid: impl FnOnce(&serde_json::Error) -> ApiError,
) -> Result<T, ApiError> {
    // An array would be taken for the fields in their order.
    if text.trim_start().starts_with('{')
        && let Ok(object) = serde_json::from_str(text)
    {
        return Ok(object);
    }
    // What is wrong is looked for only now: the names of the fields are those of a document that takes
    // longer to make than most bodies to read.
    let entries: Entries<'_> = serde_json::from_str(text).map_err(|error| unreadable(&error))?;
    entries.check(path, &names_of(T::schema()))?;
    serde_json::from_str(text).map_err(|error| invalid(&error))
}

/// The fields of an object, in their order, with the raw text of each value.
struct Entries<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Entries<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Entries<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries<'de>, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Entries(fields))
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

impl Entries<'_> {
    /// Refuses fields without one of these names, since a mistyped `parameters` must not run the
    /// action with its defaults, and fields that are given twice, which parsers treat differently.
    fn check(&self, path: &str, names: &[String]) -> Result<(), ApiError> {
        let unknown: Vec<String> = self
            .0
            .iter()
            .filter(|(name, _)| !names.contains(name))
            .take(UNKNOWN_MAX)
            .map(|(name, _)| format!("{path}{name} is not a field"))
            .collect();
        if !unknown.is_empty() {
            let detail = format!("{}; use {}", unknown.join("; "), names.join(", "));
            return Err(ApiError::unprocessable(detail));
        }
        let twice = self
            .0
            .iter()
            .enumerate()
            .find(|(at, (name, _))| self.0[..*at].iter().any(|(other, _)| other == name));
        match twice {
            Some((_, (name, _))) => {
                Err(ApiError::unprocessable(format!("{path}{name} must be given at most once")))
            }
            None => Ok(()),
        }
    }
}

/// Returns the names of the fields of an object, sorted.
fn names_of(schema: RefOr<Schema>) -> Vec<String> {
    match schema {
        RefOr::T(Schema::Object(object)) => object.properties.keys().cloned().collect(),
        _ => Vec::new(),
    }
}
