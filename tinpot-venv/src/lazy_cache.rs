//! A cache that is opened when it is needed.

use std::path::PathBuf;
use std::sync::Arc;

use tinpot_core::observer::Observer;
use tinpot_core::{Error, ErrorKind, Result};
use tokio::sync::OnceCell;

use crate::cache::Cache;

/// A [`Cache`] that is opened when it is first used. If that fails, the next use tries again.
#[derive(Debug)]
pub struct LazyCache {
    path: Option<PathBuf>,
    max_bytes: u64,
    observer: Option<Arc<dyn Observer>>,
    opened: OnceCell<Arc<Cache>>,
}

impl LazyCache {
    /// Creates a cache in a directory, [`Cache::default_path`] without one, of at most this many
    /// bytes.
    pub fn new(path: Option<PathBuf>, max_bytes: u64) -> Self {
        Self { path, max_bytes, observer: None, opened: OnceCell::new() }
    }

    /// Sets the observer, if there is one.
    #[must_use]
    pub fn observer(mut self, observer: Option<Arc<dyn Observer>>) -> Self {
        self.observer = observer;
        self
    }

    /// Returns the directory of the cache.
    pub fn path(&self) -> PathBuf {
        self.path.clone().unwrap_or_else(Cache::default_path)
    }

    /// Returns the open cache.
    ///
    /// # Errors
    /// Those of [`Cache::open`]; `Closed` if the runtime ends.
    pub async fn get(&self) -> Result<&Arc<Cache>> {
        let open = || async {
            let path = self.path();
            let (max_bytes, observer) = (self.max_bytes, self.observer.clone());
            let open = move || {
                let cache = Cache::open(path, max_bytes)?;
                Ok(match observer {
                    Some(observer) => cache.observer(observer),
                    None => cache,
                })
            };
            let opened = tokio::task::spawn_blocking(open).await;
            let ended = |_| Err(Error::new(ErrorKind::Closed, "the runtime ends"));
            opened.unwrap_or_else(ended).map(Arc::new)
        };
        self.opened.get_or_try_init(open).await
    }
}
