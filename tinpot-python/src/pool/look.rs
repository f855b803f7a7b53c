//! The view of a pool on a directory whose files ask for environments.

use std::path::PathBuf;

use super::sources::Origins;

/// A look at the files. There is another after each change of a file that asks, and every few
/// seconds.
#[derive(Clone, Debug)]
pub(crate) struct Look {
    pub(crate) root: PathBuf,
    /// The files that ask for environments.
    pub(crate) origins: Origins,
}
