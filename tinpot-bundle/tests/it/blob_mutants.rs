//! Broken blob stores, each of which the conformance suite must catch.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use tinpot_bundle::testing::blob_store::{self as suite, Subject};
use tinpot_bundle::{
    Blob, BlobInfo, BlobStore, Body, ByteRange, Digest, Hasher, MemoryBlobStore, PutOptions, body,
};
use tinpot_core::{Result, Timestamp};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    IgnoresTheDigest,
    KeepsACutStream,
    IgnoresTheBound,
    ReadsToTheEndFirst,
    ShowsUnfinished,
    IgnoresRanges,
    StartsRangesLate,
    TakesAnyRange,
    KeepsTheTime,
    ReadsRenew,
    SkipsKnownContent,
    ListsBackwards,
    ListsFromTheDigest,
    ListsTooMuch,
    DeletesUsed,
    DeletesNothing,
    KeepsNothing,
    ForgetsOthers,
}

use Fault::*;

#[derive(Clone, Debug)]
struct Faulty {
    fault: Fault,
    store: Arc<MemoryBlobStore>,
}

impl Faulty {
    fn new(fault: Fault) -> Self {
        Self { fault, store: Arc::default() }
    }

    fn is(&self, fault: Fault) -> bool {
        self.fault == fault
    }
}

#[async_trait]
impl Subject for Faulty {
    async fn open(&self) -> Arc<dyn BlobStore> {
        let mut opened = self.clone();
        if self.is(KeepsNothing) || self.is(ForgetsOthers) {
            opened.store = Arc::default();
        }
        Arc::new(opened)
    }
}

/// Ends a body at its first error.
fn without_error(body: Body) -> Body {
    body.take_while(|piece| std::future::ready(piece.is_ok())).boxed()
}

#[async_trait]
impl BlobStore for Faulty {
    async fn put(&self, mut content: Body, mut options: PutOptions) -> Result<BlobInfo> {
        match self.fault {
            IgnoresTheDigest => options.digest = None,
            KeepsACutStream => {
                content = without_error(content);
                options.digest = None;
            }
            IgnoresTheBound => options = options.max_bytes(200_000_000),
            ReadsToTheEndFirst => {
                let all: Vec<Bytes> = content.try_collect().await?;
                content = stream::iter(all.into_iter().map(Ok)).boxed();
            }
            ShowsUnfinished => {
                if let Some(Ok(first)) = content.next().await {
                    self.store.put(body(first.clone()), PutOptions::default()).await?;
                    content = stream::iter([Ok(first)]).chain(content).boxed();
                }
            }
            SkipsKnownContent | KeepsTheTime => {
                let all: Vec<Bytes> = content.try_collect().await?;
                let all = all.concat();
                let known = self.store.info(&Hasher::of(&all)).await?;
                if let (Some(info), KeepsTheTime) = (known, self.fault) {
                    return Ok(info);
                }
                if let Some(info) = known {
                    // Looks renewed, but is not there if a delete came first.
                    for _ in 0..1_000 {
                        tokio::task::yield_now().await;
                    }
                    if self.store.info(&info.digest).await?.is_none() {
                        return Ok(BlobInfo::new(info.digest, info.bytes, Timestamp::now()));
                    }
                }
                content = body(all);
            }
            _ => {}
        }
        self.store.put(content, options).await
    }

    async fn get(&self, digest: &Digest, mut range: ByteRange) -> Result<Option<Blob>> {
        let Some(info) = self.store.info(digest).await? else { return Ok(None) };
        match self.fault {
            IgnoresRanges => {
                range = ByteRange { start: 0, end: range.end.filter(|_| range.start > info.bytes) }
            }
            StartsRangesLate if range.start > 0 => range.start = (range.start + 1).min(info.bytes),
            TakesAnyRange => {
                range.start = range.start.min(info.bytes);
                range.end = range.end.map(|end| end.max(range.start));
            }
            ReadsRenew => {
                let blob = self.store.get(digest, ByteRange::ALL).await?.expect("a blob");
                self.store.put(blob.body, PutOptions::default()).await?;
            }
            _ => {}
        }
        self.store.get(digest, range).await
    }

    async fn info(&self, digest: &Digest) -> Result<Option<BlobInfo>> {
        self.store.info(digest).await
    }

    async fn list(&self, after: Option<&Digest>, limit: usize) -> Result<Vec<BlobInfo>> {
        let mut list = self.store.list(after, limit + usize::from(self.is(ListsTooMuch))).await?;
        if self.is(ListsBackwards) {
            list.reverse();
        }
        if let (true, Some(after)) = (self.is(ListsFromTheDigest), after)
            && let Some(info) = self.store.info(after).await?
        {
            list.insert(0, info);
            list.truncate(limit);
        }
        Ok(list)
    }

    async fn delete(&self, digest: &Digest, mut before: Timestamp) -> Result<bool> {
        match self.fault {
            DeletesUsed => before = Timestamp(u64::MAX),
            DeletesNothing => {
                return Ok(self
                    .store
                    .info(digest)
                    .await?
                    .is_some_and(|info| info.used_at < before));
            }
            _ => {}
        }
        self.store.delete(digest, before).await
    }
}

macro_rules! caught {
    ($($name:ident($fault:expr) by $($case:ident)+;)+) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            $(
                let subject = Faulty::new($fault);
                let case = suite::$case(&subject);
                let ran = suite::run(stringify!($case), Duration::from_secs(3), case).await;
                assert!(ran.is_err(), "the case {} did not catch it", stringify!($case));
            )+
        }
    )+};
}

caught! {
    ignores_the_digest(IgnoresTheDigest) by a_wrong_digest_leaves_nothing;
    keeps_a_cut_stream(KeepsACutStream) by a_cut_stream_leaves_nothing;
    ignores_the_bound(IgnoresTheBound) by too_much_content_leaves_nothing;
    reads_to_the_end_first(ReadsToTheEndFirst) by large_content_passes_through_little_memory;
    shows_unfinished(ShowsUnfinished) by
        nothing_is_visible_before_the_end a_dropped_put_leaves_nothing;
    ignores_ranges(IgnoresRanges) by ranges_are_returned;
    starts_ranges_late(StartsRangesLate) by ranges_are_returned;
    takes_any_range(TakesAnyRange) by ranges_after_the_end_are_refused;
    keeps_the_time(KeepsTheTime) by a_repeat_renews_the_time;
    reads_renew(ReadsRenew) by a_repeat_renews_the_time;
    skips_known_content(SkipsKnownContent) by a_put_against_a_delete_leaves_the_blob;
    lists_backwards(ListsBackwards) by blobs_are_listed_in_pages;
    lists_from_the_digest(ListsFromTheDigest) by blobs_are_listed_in_pages;
    lists_too_much(ListsTooMuch) by blobs_are_listed_in_pages;
    deletes_used(DeletesUsed) by only_unused_blobs_are_deleted;
    deletes_nothing(DeletesNothing) by only_unused_blobs_are_deleted;
    keeps_nothing(KeepsNothing) by blobs_are_there_after_a_reopening;
    forgets_others(ForgetsOthers) by blobs_of_other_processes_are_found;
}
