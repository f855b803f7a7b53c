//! References to uploads: texts that stand in parameters for bytes that are too large for them.

use super::digest::Digest;
use super::json::Json;

/// The beginning of a reference. No base64 has a colon.
const PREFIX: &str = "upload:";

/// Returns the text that stands in parameters for content that was uploaded, at a place of the type
/// bytes.
///
/// ```
/// use tinpot_core::{Digest, upload_reference};
///
/// let digest = Digest::from([7; 32]);
/// assert!(upload_reference(&digest).starts_with("upload:0707"));
/// ```
pub fn upload_reference(digest: &Digest) -> String {
    format!("{PREFIX}{digest}")
}

/// Returns true if parameters can have references. It only scans the text, which is cheap.
pub(crate) fn may_have(parameters: &Json) -> bool {
    // JSON may write the text with escapes.
    parameters.as_str().contains(PREFIX) || parameters.as_str().contains("\\u")
}

/// Returns true if a text is a reference.
#[cfg(feature = "validation")]
pub(crate) fn is_reference(text: &str) -> bool {
    read(text).is_some()
}

/// Returns the upload to which a text refers.
pub(crate) fn read(text: &str) -> Option<Digest> {
    let digits = text.strip_prefix(PREFIX)?;
    let digest: Digest = digits.parse().ok()?;
    // One upload has one text.
    (!digits.bytes().any(|byte| byte.is_ascii_uppercase())).then_some(digest)
}
