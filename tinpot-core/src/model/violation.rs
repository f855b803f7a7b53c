//! Violations: the values that do not fit, and why.

use std::fmt;

use serde::Serialize;

/// The maximum number of violations that are named. Further ones are only counted.
pub(crate) const VIOLATIONS_MAX: usize = 50;
/// The maximum length of a path in bytes: the names in it come from the submitter.
const PATH_BYTES: usize = 256;

/// One invalid value among the parameters of a submission.
///
/// As text, it is path and message, joined by a space: `days must be at most 30 (got 31)`. A
/// message starts with a verb, gives the bound and the value, and has no period at its end.
///
/// ```
/// use tinpot_core::{Json, action::Schema};
///
/// let schema = Json::parse(r#"{"properties": {"days": {"type": "integer", "maximum": 30}}}"#)?;
/// let error = Schema::compile(&schema)?.check(&Json::parse(r#"{"days": 31}"#)?).unwrap_err();
/// let violation = &error.violations()[0];
/// assert_eq!(violation.path, "days");
/// assert_eq!(violation.to_string(), "days must be at most 30 (got 31)");
/// # Ok::<_, tinpot_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Violation {
    /// The path of the value: `days`, `hosts[3]`, `options.force`; empty for the whole document.
    pub path: String,
    /// The fault and its remedy.
    pub message: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "{} {}", self.path, self.message)
        }
    }
}

/// A bounded collection of violations.
#[derive(Debug, Default)]
pub(crate) struct Violations {
    named: Vec<Violation>,
    more: usize,
}

impl Violations {
    pub(crate) fn push(&mut self, path: &str, message: impl Into<String>) {
        if self.named.len() < VIOLATIONS_MAX {
            let (path, message) = (clipped(path, PATH_BYTES).into_owned(), message.into());
            self.named.push(Violation { path, message });
        } else {
            self.more += 1;
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.named.is_empty()
    }

    /// Returns the number of violations that are named.
    pub(crate) fn len(&self) -> usize {
        self.named.len()
    }

    /// Keeps only the first `len` violations.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.named.truncate(len);
        self.more = 0;
    }

    /// Returns true if the value at this path has a violation.
    #[cfg(feature = "validation")]
    pub(crate) fn has(&self, path: &str) -> bool {
        let path = clipped(path, PATH_BYTES);
        self.named.iter().any(|violation| violation.path == path)
    }

    /// Returns one line of text, in which `document` names the whole document, and the violations
    /// themselves.
    pub(super) fn into_parts(self, document: &str) -> (String, Vec<Violation>) {
        let line = |violation: &Violation| match violation.path.as_str() {
            "" => format!("{document} {}", violation.message),
            _ => violation.to_string(),
        };
        let mut all: Vec<String> = self.named.iter().map(line).collect();
        if self.more > 0 {
            all.push(format!("and {} more", self.more));
        }
        (all.join("; "), self.named)
    }
}

/// Returns `text` cut to `max_bytes`, with an ellipsis if it was longer.
pub(crate) fn clipped(text: &str, max_bytes: usize) -> std::borrow::Cow<'_, str> {
    if text.len() <= max_bytes {
        return text.into();
    }
    let end = (0..=max_bytes).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    format!("{}…", &text[..end]).into()
}

/// Appends a name to a path: `options` and `force` are `options.force`.
pub(crate) fn push_name(path: &mut String, name: &str) {
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(&clipped(name, PATH_BYTES));
}
