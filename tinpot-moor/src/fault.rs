//! Faults in bytes or documents, with their places.

/// A fault in a message, a value or a document, with its place.
///
/// ```
/// use tinpot_moor::Var;
///
/// let fault = Var::from_json(r#"{"city": {"$sum": 1}}"#).unwrap_err();
/// assert_eq!(fault.path(), "city.$sum");
/// assert!(fault.to_string().contains("$map"), "{fault}");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    path: String,
    problem: String,
}

impl Fault {
    pub(crate) fn new(problem: impl Into<String>) -> Self {
        Self { path: String::new(), problem: problem.into() }
    }

    /// Returns the fault with `place` before its path.
    pub(crate) fn within(mut self, place: &str) -> Self {
        let joint = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        self.path = format!("{place}{joint}{}", self.path);
        self
    }

    /// Returns the fault of the element with this index.
    pub(crate) fn within_element(self, index: usize) -> Self {
        self.within(&format!("[{index}]"))
    }

    /// Returns the place: fields, keys and indices; empty if it is the whole.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns the problem, without its place.
    pub fn problem(&self) -> &str {
        &self.problem
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.path.is_empty() {
            return f.write_str(&self.problem);
        }
        write!(f, "{}: {}", self.path, self.problem)
    }
}

impl std::error::Error for Fault {}
