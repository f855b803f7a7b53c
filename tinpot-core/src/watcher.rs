//! Values that change, as users see them.

use std::fmt;

use tokio::sync::watch;

use crate::model::error::{Error, ErrorKind, Result};

/// A value that changes over time, such as the catalogue of a coordinator.
///
/// A watcher returns values of its own, never a reference into shared state, so that a reader
/// cannot delay the writer. A slow reader misses values in between, but never the latest one.
///
/// ```
/// # use tinpot_core::{Failure, FunctionExecutor, local};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> tinpot_core::Result<()> {
/// # let executor = FunctionExecutor::builder()
/// #     .action("tick", |_, ()| async { Ok::<_, Failure>("tock") })
/// #     .build()?;
/// # let tinpot = local(executor).await?;
/// let mut catalogue = tinpot.watch_catalogue();
/// let known = catalogue.wait_for(|known| known.contains_key("tick")).await?;
/// assert!(known["tick"].available);
///
/// let mut link = tinpot.link();
/// assert!(link.next().await.is_some_and(|link| link.is_up()));
/// assert_eq!(link.try_next(), None);
/// # tinpot.shutdown(std::time::Duration::ZERO).await;
/// # Ok(())
/// # }
/// ```
pub struct Watcher<T> {
    receiver: watch::Receiver<T>,
    fresh: bool,
}

impl<T: Clone> Watcher<T> {
    /// Returns the current value.
    pub fn current(&self) -> T {
        self.receiver.borrow().clone()
    }

    /// Returns a value that this watcher has not returned yet, if there is one, without waiting.
    pub fn try_next(&mut self) -> Option<T> {
        let is_new =
            std::mem::take(&mut self.fresh) || self.receiver.has_changed().unwrap_or(false);
        is_new.then(|| self.receiver.borrow_and_update().clone())
    }

    /// Waits for a value that this watcher has not returned yet: the first call returns the current
    /// value at once. Returns `None` when the value cannot change any more.
    ///
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<T> {
        if !std::mem::take(&mut self.fresh) {
            self.receiver.changed().await.ok()?;
        }
        Some(self.receiver.borrow_and_update().clone())
    }

    /// Waits until the value meets the condition, and returns it. The current value counts.
    ///
    /// # Errors
    /// `Closed` when the value cannot change any more.
    pub async fn wait_for(&mut self, condition: impl FnMut(&T) -> bool) -> Result<T> {
        self.fresh = false;
        match self.receiver.wait_for(condition).await {
            Ok(value) => Ok(value.clone()),
            Err(_) => {
                Err(Error::new(ErrorKind::Closed, "the watched value cannot change any more"))
            }
        }
    }
}

/// Watches what a sender of tokio sends.
impl<T> From<watch::Receiver<T>> for Watcher<T> {
    fn from(receiver: watch::Receiver<T>) -> Self {
        Self { receiver, fresh: true }
    }
}

impl<T> Clone for Watcher<T> {
    fn clone(&self) -> Self {
        Self { receiver: self.receiver.clone(), fresh: self.fresh }
    }
}

impl<T: fmt::Debug> fmt::Debug for Watcher<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Watcher").field(&*self.receiver.borrow()).finish()
    }
}
