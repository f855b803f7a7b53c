//! The Python environments of bundles.

use std::fmt;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use tinpot_core::{Context, Outcome};
use tinpot_venv::CacheEntry;

use crate::towerfile::Towerfile;

/// Makes the Python environments that bundles need.
#[async_trait]
pub trait BundleEnvironments: fmt::Debug + Send + Sync + 'static {
    /// Returns the environment of an unpacked bundle: from the cache, or built. `None` if the bundle
    /// needs none. Writes what a tool prints to the log of the attempt. Cancel safe.
    ///
    /// # Errors
    /// The outcome of the attempt if there is no environment.
    async fn prepare(
        &self,
        folder: &Path,
        towerfile: &Towerfile,
        context: &Context,
    ) -> Result<Option<BundleEnvironment>, Outcome>;
}

/// A Python environment in the cache, which stays there while this exists.
#[derive(Debug)]
pub struct BundleEnvironment(CacheEntry);

impl BundleEnvironment {
    /// Creates the environment in a folder of the cache.
    pub fn new(entry: CacheEntry) -> Self {
        Self(entry)
    }

    /// Returns the interpreter.
    pub fn python(&self) -> PathBuf {
        self.0.path.join("bin/python")
    }
}
