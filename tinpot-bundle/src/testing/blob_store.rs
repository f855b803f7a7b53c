//! The cases of the suite of [`BlobStore`](crate::BlobStore).

mod content;
mod lifetime;
mod refused;
mod source;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tinpot_core::testing::case;
use tinpot_core::{ErrorKind, Result};

pub use self::content::*;
pub use self::lifetime::*;
pub use self::refused::*;
use crate::{BlobInfo, BlobStore, ByteRange, Digest, PutOptions, body};

/// An empty store, which can be opened any number of times.
#[async_trait]
pub trait Subject: fmt::Debug + Send + Sync {
    /// Opens the store as another process does. The suite also drops what it has opened, and opens
    /// the store again.
    async fn open(&self) -> Arc<dyn BlobStore>;
}

/// Emits one test per case of the suite of blob stores, in a module `blob_store_suite`.
///
/// Takes the path of a function that returns a future of a
/// [`Subject`](crate::testing::blob_store::Subject).
#[macro_export]
macro_rules! blob_store {
    ($factory:path) => {
        $crate::blob_store! {
            @cases $factory:
            content_is_returned_as_it_was_put
            pieces_are_joined
            unknown_blobs_are_none
            ranges_are_returned
            ranges_after_the_end_are_refused
            large_content_passes_through_little_memory
            a_wrong_digest_leaves_nothing
            a_cut_stream_leaves_nothing
            too_much_content_leaves_nothing
            a_dropped_put_leaves_nothing
            nothing_is_visible_before_the_end
            a_failed_put_keeps_what_is_there
            the_same_content_is_put_many_times_at_once
            a_repeat_renews_the_time
            blobs_are_listed_in_pages
            only_unused_blobs_are_deleted
            a_put_against_a_delete_leaves_the_blob
            a_body_outlives_a_delete
            blobs_are_there_after_a_reopening
            blobs_of_other_processes_are_found
        }
    };
    (@cases $factory:path: $($case:ident)*) => {
        mod blob_store_suite {
            #[allow(unused_imports, reason = "the factory may have an absolute path")]
            use super::*;
            $(
                #[::tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    use $crate::testing::blob_store as suite;
                    let subject = $factory().await;
                    let case = suite::$case(&subject);
                    if let Err(failure) = suite::run(stringify!($case), suite::PATIENCE, case).await {
                        panic!("{failure}");
                    }
                }
            )*
        }
    };
}

/// The time that a case may take.
pub const PATIENCE: Duration = case::PATIENCE;

/// Runs one case, and returns its panic message as an error.
///
/// # Errors
/// The name of the case, and the message of its panic, or that it took longer than `patience`.
pub async fn run(
    name: &str,
    patience: Duration,
    case: impl Future<Output = ()>,
) -> Result<(), String> {
    let ran = tokio::time::timeout(patience, case::run(name, patience, case));
    ran.await.unwrap_or_else(|_| Err(format!("the case `{name}` took longer than {patience:?}")))
}

async fn put(store: &dyn BlobStore, content: &[u8]) -> BlobInfo {
    let content = Bytes::copy_from_slice(content);
    store.put(body(content), PutOptions::default()).await.expect("a put")
}

async fn read(store: &dyn BlobStore, digest: &Digest, range: ByteRange) -> Option<Bytes> {
    let blob = store.get(digest, range).await.expect("a get")?;
    Some(blob.read(64 << 20).await.expect("a body"))
}

async fn is_there(store: &dyn BlobStore, digest: &Digest) -> bool {
    let info = store.info(digest).await.expect("an info").is_some();
    let blob = store.get(digest, ByteRange::ALL).await.expect("a get").is_some();
    let listed = store.list(None, 1_000).await.expect("a list");
    let listed = listed.iter().any(|info| info.digest == *digest);
    assert!(info == blob && info == listed, "info {info}, get {blob}, list {listed}");
    info
}

fn refused<T: fmt::Debug>(result: Result<T>, kind: ErrorKind) {
    let error = result.expect_err("it must be refused");
    assert_eq!(error.kind(), kind, "{error}");
}
