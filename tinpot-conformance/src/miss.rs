//! Differences between a worker and the specification.

use std::fmt;

/// A difference between what a worker did and what the specification says.
#[derive(Clone, Debug)]
pub(crate) struct Miss {
    pub(crate) expected: String,
    pub(crate) came: String,
    /// The section of the specification, if it is not that of the scene.
    pub(crate) section: Option<&'static str>,
}

/// The end of a scene, or of a part of it.
pub(crate) type Play<T = ()> = Result<T, Miss>;

impl Miss {
    pub(crate) fn new(expected: impl Into<String>, came: impl Into<String>) -> Self {
        Self { expected: expected.into(), came: came.into(), section: None }
    }

    /// Names the section of the specification.
    pub(crate) fn of(mut self, section: &'static str) -> Self {
        self.section = Some(section);
        self
    }

    /// The suite itself cannot go on.
    pub(crate) fn broken(what: &str, why: impl fmt::Display) -> Self {
        Self::new(format!("{what} works"), why.to_string())
    }
}

/// Returns a miss unless the condition holds.
pub(crate) fn ensure(
    holds: bool,
    expected: impl Into<String>,
    came: impl FnOnce() -> String,
) -> Play {
    if holds { Ok(()) } else { Err(Miss::new(expected, came())) }
}
