//! Named points at which a test can kill the process.

#[cfg(feature = "testing")]
pub(crate) use tinpot_core::testing::failpoint;

/// Does nothing: the feature `testing` is off.
#[cfg(not(feature = "testing"))]
pub(crate) fn failpoint(_: &str) {}
