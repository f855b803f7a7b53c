//! Secrets that attempts get while they run.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The longest name of a secret, in bytes.
pub const SECRET_NAME_BYTES: usize = 128;
/// The largest secret, in bytes.
pub const SECRET_BYTES: usize = 64 * 1024;

/// A secret. Its `Debug` form leaves out the value.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct GivenSecret {
    /// The number of times that the secret was set.
    pub version: u64,
    /// The value.
    pub value: Arc<str>,
}

impl GivenSecret {
    /// Creates a secret with a value.
    pub fn new(version: u64, value: impl Into<Arc<str>>) -> Self {
        Self { version, value: value.into() }
    }
}

impl fmt::Debug for GivenSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GivenSecret").field("version", &self.version).finish_non_exhaustive()
    }
}
