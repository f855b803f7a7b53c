//! Use, lists, deletion and reopening.

use std::sync::Arc;

use futures::StreamExt;
use futures::future::join_all;
use tinpot_core::Timestamp;

use super::{Subject, is_there, put, read};
use crate::{BlobStore, ByteRange, Digest, Hasher, PutOptions, body};

const TEXT: &[u8] = b"some content";

/// Waits until the clock shows a later time.
async fn after(time: Timestamp) {
    while Timestamp::now() <= time {
        tokio::task::yield_now().await;
    }
}

/// All `put`s of the same content succeed, and there is one blob.
pub async fn the_same_content_is_put_many_times_at_once(subject: &dyn Subject) {
    let content = vec![3; 600_000];
    let digest = Hasher::of(&content);
    let stores = [subject.open().await, subject.open().await];
    let puts = (0..16).map(|number| {
        let (store, content) = (Arc::clone(&stores[number % 2]), content.clone());
        let options = PutOptions::default().digest(digest);
        tokio::spawn(async move { store.put(body(content), options).await })
    });
    for put in join_all(puts).await {
        assert_eq!(put.expect("no panic").expect("a put").digest, digest);
    }
    for store in stores {
        assert!(read(&*store, &digest, ByteRange::ALL).await.expect("a blob") == content);
        assert_eq!(store.list(None, 10).await.expect("a list").len(), 1);
    }
}

/// A `put` of known content renews its time, and a `get` does not.
pub async fn a_repeat_renews_the_time(subject: &dyn Subject) {
    let store = subject.open().await;
    let start = Timestamp::now();
    let first = put(&*store, TEXT).await;
    assert!(first.used_at >= start && first.used_at <= Timestamp::now(), "{first:?}");
    after(first.used_at).await;
    read(&*store, &first.digest, ByteRange::ALL).await.expect("a blob");
    assert_eq!(store.info(&first.digest).await.expect("an info"), Some(first));
    let second = put(&*store, TEXT).await;
    assert!(second.used_at > first.used_at, "{second:?} after {first:?}");
    assert_eq!(store.info(&first.digest).await.expect("an info"), Some(second));
}

/// Lists have the order of the digests, and pages neither overlap nor leave out a blob.
pub async fn blobs_are_listed_in_pages(subject: &dyn Subject) {
    let store = subject.open().await;
    assert_eq!(store.list(None, 10).await.expect("a list"), []);
    let mut all = Vec::new();
    for number in 0..23 {
        all.push(put(&*store, format!("number {number}").as_bytes()).await);
    }
    all.sort_by_key(|info| info.digest);
    assert_eq!(store.list(None, 1_000).await.expect("a list"), all);
    assert_eq!(store.list(None, 0).await.expect("a list"), []);
    for limit in [1, 5, 22, 23] {
        let mut listed = Vec::new();
        loop {
            let last = listed.last().map(|info: &crate::BlobInfo| info.digest);
            let page = store.list(last.as_ref(), limit).await.expect("a list");
            assert!(page.len() <= limit, "{} of {limit}", page.len());
            if page.is_empty() {
                break;
            }
            listed.extend(page);
            assert!(listed.len() <= all.len(), "pages of {limit} overlap");
        }
        assert_eq!(listed, all, "pages of {limit}");
    }
    // The digest need not be that of a blob.
    let mut between = *all[3].digest.as_bytes();
    between[31] ^= 1;
    let between = Digest::from(between);
    let expected: Vec<_> = all.iter().filter(|info| info.digest > between).copied().collect();
    assert_eq!(store.list(Some(&between), 1_000).await.expect("a list"), expected);
}

/// A blob that was used since the given time stays.
pub async fn only_unused_blobs_are_deleted(subject: &dyn Subject) {
    let store = subject.open().await;
    let kept = put(&*store, b"kept").await.digest;
    let first = put(&*store, TEXT).await;
    assert!(!store.delete(&first.digest, first.used_at).await.expect("a delete"));
    after(first.used_at).await;
    let second = put(&*store, TEXT).await;
    let before = Timestamp(first.used_at.as_micros() + 1).min(second.used_at);
    assert!(!store.delete(&first.digest, before).await.expect("a delete"), "it was used since");
    assert!(is_there(&*store, &first.digest).await);
    let before = Timestamp(second.used_at.as_micros() + 1);
    assert!(store.delete(&first.digest, before).await.expect("a delete"));
    assert!(!is_there(&*store, &first.digest).await);
    assert!(!store.delete(&first.digest, before).await.expect("a delete"), "it is gone");
    assert!(is_there(&*store, &kept).await);
    put(&*store, TEXT).await;
    assert!(is_there(&*store, &first.digest).await);
}

/// A `delete` never takes what a `put` at the same time has returned.
pub async fn a_put_against_a_delete_leaves_the_blob(subject: &dyn Subject) {
    let stores = [subject.open().await, subject.open().await];
    for round in 0..60 {
        let first = put(&*stores[0], TEXT).await;
        after(first.used_at).await;
        // Only what the first put left may be deleted.
        let before = Timestamp(first.used_at.as_micros() + 1);
        let [putting, deleting] = stores.clone();
        let putting = tokio::spawn(async move {
            let body = body(TEXT).then(|piece| async {
                tokio::task::yield_now().await;
                piece
            });
            putting.put(body.boxed(), PutOptions::default()).await
        });
        let digest = first.digest;
        let deleting = tokio::spawn(async move { deleting.delete(&digest, before).await });
        putting.await.expect("no panic").expect("a put");
        deleting.await.expect("no panic").expect("a delete");
        let found = read(&*stores[0], &digest, ByteRange::ALL).await;
        assert_eq!(found.as_deref(), Some(TEXT), "round {round}");
    }
}

/// A body that was opened before a `delete` is read to its end.
pub async fn a_body_outlives_a_delete(subject: &dyn Subject) {
    let store = subject.open().await;
    let content = vec![9; 2_000_000];
    let info = put(&*store, &content).await;
    let blob = store.get(&info.digest, ByteRange::ALL).await.expect("a get").expect("a blob");
    let before = Timestamp(info.used_at.as_micros() + 1);
    assert!(store.delete(&info.digest, before).await.expect("a delete"));
    assert!(blob.read(content.len()).await.expect("a body") == content);
}

/// Blobs and their times outlive the store that put them.
pub async fn blobs_are_there_after_a_reopening(subject: &dyn Subject) {
    let store = subject.open().await;
    let info = put(&*store, TEXT).await;
    drop(store);
    let store = subject.open().await;
    assert_eq!(store.info(&info.digest).await.expect("an info"), Some(info));
    assert_eq!(store.list(None, 10).await.expect("a list"), [info]);
    assert_eq!(read(&*store, &info.digest, ByteRange::ALL).await.as_deref(), Some(TEXT));
}

/// Two stores of the same place see the same blobs.
pub async fn blobs_of_other_processes_are_found(subject: &dyn Subject) {
    let stores: [Arc<dyn BlobStore>; 2] = [subject.open().await, subject.open().await];
    let info = put(&*stores[0], TEXT).await;
    assert!(is_there(&*stores[1], &info.digest).await);
    let before = Timestamp(info.used_at.as_micros() + 1);
    assert!(stores[1].delete(&info.digest, before).await.expect("a delete"));
    assert!(!is_there(&*stores[0], &info.digest).await);
}
