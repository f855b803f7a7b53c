//! Content comes back as it was put.

use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, stream};
use tinpot_core::ErrorKind;

use super::source::{Held, counted, piece};
use super::{Subject, put, read, refused};
use crate::{ByteRange, Hasher, PutOptions};

/// The maximum part of a body that a store may hold, in bytes.
const MEMORY: usize = 4 << 20;
const PIECE: usize = 256 << 10;
/// Six times that.
const PIECES: usize = 6 * MEMORY / PIECE;

/// Content of any size comes back byte for byte, with its digest and size.
pub async fn content_is_returned_as_it_was_put(subject: &dyn Subject) {
    let store = subject.open().await;
    for content in [&b""[..], b"x", &[0, 1, 2, 255, 0], &vec![7; 300_000]] {
        let info = put(&*store, content).await;
        assert_eq!(info.digest, Hasher::of(content));
        assert_eq!(info.bytes, content.len() as u64);
        assert_eq!(store.info(&info.digest).await.expect("an info"), Some(info));
        let blob = store.get(&info.digest, ByteRange::ALL).await.expect("a get").expect("a blob");
        assert_eq!(blob.info, info);
        assert!(blob.read(1 << 20).await.expect("a body") == content);
    }
}

/// The pieces of a body are one content, and empty pieces do not count.
pub async fn pieces_are_joined(subject: &dyn Subject) {
    let store = subject.open().await;
    let pieces = ["to", "", "get", "her"].map(|piece| Ok(Bytes::from_static(piece.as_bytes())));
    let options = PutOptions::default().digest(Hasher::of(b"together"));
    let info = store.put(stream::iter(pieces).boxed(), options).await.expect("a put");
    assert_eq!(
        read(&*store, &info.digest, ByteRange::ALL).await.as_deref(),
        Some(&b"together"[..])
    );
}

/// A digest without content is no error.
pub async fn unknown_blobs_are_none(subject: &dyn Subject) {
    let store = subject.open().await;
    put(&*store, b"another").await;
    let digest = Hasher::of(b"unknown");
    assert_eq!(store.info(&digest).await.expect("an info"), None);
    assert!(store.get(&digest, ByteRange::from_start(9)).await.expect("a get").is_none());
    let later = tinpot_core::Timestamp(u64::MAX / 2);
    assert!(!store.delete(&digest, later).await.expect("a delete"));
}

/// A range has exactly its bytes, and ends with the blob at the latest.
pub async fn ranges_are_returned(subject: &dyn Subject) {
    let store = subject.open().await;
    let content: Vec<u8> = (0..700_000_u32).map(|number| (number / 7) as u8).collect();
    let digest = put(&*store, &content).await.digest;
    let end = content.len();
    let cuts =
        [0..1, 0..0, 5..9, 299_990..300_010, 0..end, 262_144..524_288, end - 1..end, end..end];
    for range in cuts {
        let asked = ByteRange::from(range.start as u64..range.end as u64);
        let got = read(&*store, &digest, asked).await.expect("a blob");
        assert!(got == content[range.clone()], "{range:?}");
        let got = read(&*store, &digest, ByteRange::from_start(range.start as u64)).await;
        assert!(got.expect("a blob") == content[range.start..], "from {}", range.start);
    }
    let beyond = ByteRange::from(end as u64 - 3..end as u64 + 100);
    assert_eq!(read(&*store, &digest, beyond).await.expect("a blob").len(), 3);
    let blob = store.get(&digest, ByteRange::from(5..9)).await.expect("a get").expect("a blob");
    assert_eq!(blob.info.bytes, end as u64, "the info is of the whole blob");
}

/// A range that starts after the end, or after its own end, is refused.
pub async fn ranges_after_the_end_are_refused(subject: &dyn Subject) {
    let store = subject.open().await;
    let digest = put(&*store, b"123").await.digest;
    refused(store.get(&digest, ByteRange::from_start(4)).await, ErrorKind::InvalidInput);
    let backwards = ByteRange { start: 2, end: Some(1) };
    refused(store.get(&digest, backwards).await, ErrorKind::InvalidInput);
}

/// A `put` and a `get` of 24 MiB hold at most 4 MiB.
pub async fn large_content_passes_through_little_memory(subject: &dyn Subject) {
    let store = subject.open().await;
    let held = Arc::new(Held::default());
    let body = counted(&held, PIECES, PIECE);
    let info = store.put(body, PutOptions::default()).await.expect("a put");
    assert_eq!(info.bytes, (PIECES * PIECE) as u64);
    assert!(held.most() <= MEMORY, "it held {} bytes", held.most());

    let mut hasher = Hasher::new();
    (0..PIECES).for_each(|number| hasher.update(&piece(number, PIECE)));
    assert_eq!(hasher.finish(), info.digest);
    let mut hasher = Hasher::new();
    let blob = store.get(&info.digest, ByteRange::ALL).await.expect("a get").expect("a blob");
    let mut body = blob.body;
    while let Some(piece) = body.next().await {
        let piece = piece.expect("a piece");
        assert!(piece.len() <= MEMORY, "a piece of {} bytes", piece.len());
        hasher.update(&piece);
    }
    assert_eq!(hasher.finish(), info.digest);
}
