//! Uploads to which the parameters of attempts refer, fetched before the attempts start.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tinpot_bundle::worker::{Fetch, FetchBlob};
use tinpot_core::executor::{ActionSet, Attempt};
use tinpot_core::{Context, Error, ErrorKind, Executor, Failure, Outcome, Result, Watcher};

use crate::package::OwnDirectory;

/// The longest time without a further byte of an upload.
const FETCH_PATIENCE: Duration = Duration::from_secs(60);
/// The largest upload to fetch, whatever the server admits.
const MAX_BYTES: u64 = 1 << 30;
/// The largest size of all uploads of an attempt, if they are several.
const TOGETHER: u64 = 256 << 20;

/// Fetches the uploads to which the parameters of an attempt refer, before it passes the attempt on to
/// another executor. They are files in a directory that is removed with the attempt.
///
/// An attempt that needs them on a worker without a source fails; one whose fetch fails is not started,
/// and may start elsewhere.
///
/// # Examples
/// ```no_run
/// use std::sync::Arc;
///
/// use tinpot_bundle::worker::FetchBlob;
/// use tinpot_python::{FetchUploads, PythonPool};
///
/// # async fn example(source: Arc<dyn FetchBlob>) -> tinpot_core::Result<()> {
/// let executor = FetchUploads::new(PythonPool::builder(".").start().await?, Some(source));
/// // Add it to a worker with `WorkerBuilder::executor`.
/// # let _ = executor;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct FetchUploads<E> {
    executor: E,
    source: Option<Arc<dyn FetchBlob>>,
    patience: Duration,
    together: u64,
}

impl<E: Executor> FetchUploads<E> {
    /// Fetches uploads from `source` for the attempts of an executor.
    pub fn new(executor: E, source: Option<Arc<dyn FetchBlob>>) -> Self {
        Self { executor, source, patience: FETCH_PATIENCE, together: TOGETHER }
    }

    /// Sets how long a fetch may go without a further byte before the attempt is not started; 60 s
    /// by default.
    #[must_use]
    pub fn fetch_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Fetches the uploads of an attempt into a new directory; `None` if it has none.
    async fn fetch(&self, attempt: &Attempt) -> std::result::Result<Option<OwnDirectory>, Outcome> {
        let uploads = &attempt.upload_digests;
        if uploads.is_empty() {
            return Ok(None);
        }
        let Some(source) = self.source.as_deref() else {
            let message = "parameters refer to an upload, and this worker does not know where to fetch \
                           it: name the URL of the coordinator's HTTP server with --bundle-server \
                           (TINPOT_BUNDLE_SERVER)";
            return Err(Outcome::Failed(Failure::new(message).kind("UploadUnavailable")));
        };
        let made = tokio::task::spawn_blocking(OwnDirectory::create).await;
        let made = made.map_err(std::io::Error::other).and_then(|made| made);
        let directory = made.map_err(|error| {
            Outcome::not_started(format!("cannot create a directory for uploads: {error}"))
        })?;
        let fetch = Fetch { source, ticket: attempt.ticket.as_ref(), patience: self.patience };
        // A server may admit more than this worker has room for.
        let mut left = if uploads.len() == 1 { MAX_BYTES } else { self.together };
        for digest in uploads {
            let path = directory.path().join(digest.to_string());
            fetch.save(digest, left, &path).await.map_err(|error| refused(&error))?;
            let saved = std::fs::metadata(&path).map_or(0, |saved| saved.len());
            left = left.saturating_sub(saved);
        }
        Ok(Some(directory))
    }
}

/// Returns the outcome of an attempt whose upload was not fetched.
fn refused(error: &Error) -> Outcome {
    match error.kind() {
        ErrorKind::Unavailable | ErrorKind::Forbidden => Outcome::not_started(error.message()),
        ErrorKind::NotFound => {
            let message = "an upload that the parameters refer to is gone: upload it again, and submit \
                           again";
            Outcome::Failed(Failure::new(message).kind("UploadGone"))
        }
        _ => Outcome::Failed(Failure::new(error.message()).kind("UploadUnavailable")),
    }
}

#[async_trait]
impl<E: Executor> Executor for FetchUploads<E> {
    fn actions(&self) -> Watcher<Arc<ActionSet>> {
        self.executor.actions()
    }

    async fn execute(&self, mut attempt: Attempt, context: Context) -> Outcome {
        let fetched = tokio::select! {
            biased;
            _ = context.stopped() => return Outcome::Cancelled,
            fetched = self.fetch(&attempt) => fetched,
        };
        let directory = match fetched {
            Ok(None) => return self.executor.execute(attempt, context).await,
            Ok(Some(directory)) => directory,
            Err(outcome) => return outcome,
        };
        attempt.uploads = Some(directory.path().into());
        let outcome = self.executor.execute(attempt, context).await;
        drop(directory);
        outcome
    }

    async fn close(&self) -> Result<()> {
        self.executor.close().await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tinpot_bundle::worker::StoredBlobs;
    use tinpot_bundle::{BlobStore, MemoryBlobStore, PutOptions, body};
    use tinpot_core::executor::{ActionSet, Attempt, ScopedExecutor};
    use tinpot_core::{Epoch, Error, ErrorKind, ExecutionId, Fence, Json, Outcome};

    use super::{FetchUploads, refused};

    #[tokio::test]
    async fn the_uploads_of_an_attempt_are_bounded_together() {
        let store = MemoryBlobStore::new();
        let mut digests = Vec::new();
        for content in ["0123456789", "abcdefghij", "ABCDEFGHIJ"] {
            let put = store.put(body(content), PutOptions::default()).await.expect("a blob");
            digests.push(put.digest);
        }
        let source = Arc::new(StoredBlobs::new(Arc::new(store)));
        let executor =
            ScopedExecutor::new(ActionSet::default(), |_, _| async { Outcome::Cancelled });
        let mut uploads = FetchUploads::new(executor, Some(source));
        let fence = Fence { epoch: Epoch { instance: 1, number: 1 }, number: 1 };
        let attempt = Attempt::new(ExecutionId::generate(), fence, "read", Json::empty_object());
        let attempt = attempt.upload_digests(digests.clone());
        uploads.together = 30;
        let fetched = uploads.fetch(&attempt).await.expect("they fit").expect("a directory");
        for digest in &digests {
            assert!(fetched.path().join(digest.to_string()).exists());
        }
        uploads.together = 29;
        let outcome = uploads.fetch(&attempt).await.expect_err("too many bytes");
        assert_eq!(kind(outcome), "UploadUnavailable");
    }

    #[test]
    fn a_full_disk_fails_an_attempt() {
        let full = Error::new(ErrorKind::StorageFull, "the disk is full");
        assert_eq!(kind(refused(&full)), "UploadUnavailable");
    }

    fn kind(outcome: Outcome) -> String {
        match outcome {
            Outcome::Failed(failure) => failure.kind,
            other => panic!("{other:?}"),
        }
    }
}
