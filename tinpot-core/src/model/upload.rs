//! References to uploads: texts that stand in parameters for bytes that are too large for them.

use std::collections::BTreeSet;

use serde_json::Value;

use super::digest::Digest;
use super::json::Json;

/// The beginning of a reference. No base64 has a colon.
const PREFIX: &str = "upload:";

/// Returns the text that stands in parameters for content that was uploaded.
///
/// ```
/// use tinpot_core::{Digest, Json, upload_reference, upload_references};
///
/// let digest = Digest::from([7; 32]);
/// let text = upload_reference(&digest);
/// assert!(text.starts_with("upload:0707"));
/// let parameters = Json::parse(format!(r#"{{"data": "{text}"}}"#))?;
/// assert!(upload_references(&parameters).contains(&digest));
/// # Ok::<_, tinpot_core::Error>(())
/// ```
pub fn upload_reference(digest: &Digest) -> String {
    format!("{PREFIX}{digest}")
}

/// Returns the digests of the uploads to which parameters refer: those of all values, at any depth,
/// that are `upload:` and 64 lower-case hexadecimal digits.
///
/// [`upload_reference`] has an example.
pub fn upload_references(parameters: &Json) -> BTreeSet<Digest> {
    let mut found = BTreeSet::new();
    // Nearly all parameters have none, and are not read.
    if parameters.as_str().contains(PREFIX)
        && let Ok(value) = parameters.deserialize::<Value>()
    {
        collect(&value, &mut found);
    }
    found
}

fn collect(value: &Value, found: &mut BTreeSet<Digest>) {
    match value {
        Value::String(text) => found.extend(read(text)),
        Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
        Value::Object(fields) => fields.values().for_each(|field| collect(field, found)),
        _ => {}
    }
}

/// Returns true if a text is a reference.
pub(crate) fn is_reference(text: &str) -> bool {
    read(text).is_some()
}

fn read(text: &str) -> Option<Digest> {
    let digits = text.strip_prefix(PREFIX)?;
    let digest: Digest = digits.parse().ok()?;
    // One upload has one text.
    (!digits.bytes().any(|byte| byte.is_ascii_uppercase())).then_some(digest)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{upload_reference, upload_references};
    use crate::model::digest::Digest;
    use crate::model::json::Json;

    #[test]
    fn references_are_whole_values_at_any_depth() {
        let [a, b] = [1, 2].map(|byte| Digest::from([byte; 32]));
        let (one, other) = (upload_reference(&a), upload_reference(&b));
        let found = |text: String| upload_references(&Json::parse(text).expect("JSON"));
        assert_eq!(
            found(format!(r#"{{"a": "{one}", "b": [{{"c": "{other}"}}, "{one}"]}}"#)),
            BTreeSet::from([a, b])
        );
        for other in [
            r#"{"a": "upload:", "b": "upload:12"}"#.to_owned(),
            format!(r#"{{"{one}": 1}}"#),
            format!(r#"{{"a": " {one}"}}"#),
            format!(r#"{{"a": "{one}0"}}"#),
            format!(r#"{{"a": "{}"}}"#, one.replace('0', "A")),
            "{}".to_owned(),
        ] {
            assert_eq!(found(other.clone()), BTreeSet::new(), "{other}");
        }
    }
}
