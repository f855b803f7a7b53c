//! What is wrong with a set of parameters, value by value.

use std::fmt;

use serde::Serialize;

/// The most violations that are named; how many more there are is only counted.
pub(crate) const VIOLATIONS_MAX: usize = 50;
/// The longest path, in bytes: names in it come from whoever submits.
const PATH_BYTES: usize = 256;

/// One thing that is wrong with a set of parameters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// Which value: `days`, `hosts[3]`, `options.force`; empty for the whole document.
    pub path: String,
    /// What is wrong with it, and what would be right.
    pub message: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "{}: {}", self.path, self.message)
        }
    }
}

/// The violations that were found, the first of them in full.
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

    /// How many are named.
    pub(crate) fn len(&self) -> usize {
        self.named.len()
    }

    /// Forgets all but the first `len`.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.named.truncate(len);
        self.more = 0;
    }

    /// Whether something is known to be wrong with the value at that path.
    #[cfg(feature = "validation")]
    pub(crate) fn has(&self, path: &str) -> bool {
        let path = clipped(path, PATH_BYTES);
        self.named.iter().any(|violation| violation.path == path)
    }

    /// Returns what was recorded: one line of text and the violations themselves.
    pub(super) fn into_parts(self) -> (String, Vec<Violation>) {
        let mut all: Vec<String> = self.named.iter().map(Violation::to_string).collect();
        if self.more > 0 {
            all.push(format!("and {} more", self.more));
        }
        (all.join("; "), self.named)
    }
}

/// A text that is not longer than `max_bytes`, with a mark where it was cut.
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
