//! Failed puts leave nothing.

use bytes::Bytes;
use futures::{FutureExt, StreamExt, stream};
use tinpot_core::{Error, ErrorKind};

use super::{Subject, is_there, put, read, refused};
use crate::{ByteRange, Hasher, PutOptions, body};

const TEXT: &[u8] = b"the whole content";

/// Content with another digest than the expected one is not stored.
pub async fn a_wrong_digest_leaves_nothing(subject: &dyn Subject) {
    let store = subject.open().await;
    let expected = Hasher::of(b"other content");
    let options = PutOptions::default().digest(expected);
    refused(store.put(body(TEXT), options).await, ErrorKind::Malformed);
    for digest in [expected, Hasher::of(TEXT)] {
        assert!(!is_there(&*store, &digest).await, "{digest}");
    }
}

/// A body that ends with an error stores nothing, wherever it ends.
pub async fn a_cut_stream_leaves_nothing(subject: &dyn Subject) {
    let store = subject.open().await;
    // With and without an expected digest, after nothing and after all of the content.
    for (sent, expected) in
        [(0, true), (5, true), (5, false), (TEXT.len(), true), (TEXT.len(), false)]
    {
        let broken = Error::new(ErrorKind::Unavailable, "the connection is lost");
        let pieces = [Ok(Bytes::from_static(&TEXT[..sent])), Err(broken)];
        let digest = expected.then(|| Hasher::of(TEXT));
        let options = PutOptions { digest, ..PutOptions::default() };
        let result = store.put(stream::iter(pieces).boxed(), options).await;
        refused(result, ErrorKind::Unavailable);
        for digest in [Hasher::of(TEXT), Hasher::of(&TEXT[..sent])] {
            assert!(!is_there(&*store, &digest).await, "{sent} bytes");
        }
    }
}

/// Content beyond the bound is refused before it is read to its end.
pub async fn too_much_content_leaves_nothing(subject: &dyn Subject) {
    let store = subject.open().await;
    let bytes = TEXT.len() as u64;
    let options = PutOptions::default().max_bytes(bytes - 1);
    refused(store.put(body(TEXT), options).await, ErrorKind::InvalidInput);
    for digest in [Hasher::of(TEXT), Hasher::of(&TEXT[..TEXT.len() - 1])] {
        assert!(!is_there(&*store, &digest).await);
    }
    // A body without an end is not read to it.
    let endless = stream::repeat_with(|| Ok(Bytes::from_static(&[0; 1_000]))).boxed();
    let options = PutOptions::default().max_bytes(100_000);
    refused(store.put(endless, options).await, ErrorKind::InvalidInput);
    let info = store.put(body(TEXT), PutOptions::default().max_bytes(bytes)).await;
    assert_eq!(info.expect("exactly the bound").bytes, bytes);
}

/// A `put` that is dropped before the end of its body stores nothing.
pub async fn a_dropped_put_leaves_nothing(subject: &dyn Subject) {
    let store = subject.open().await;
    let start = stream::iter([Ok(Bytes::from_static(TEXT))]);
    let unfinished = start.chain(stream::pending()).boxed();
    let put = store.put(unfinished, PutOptions::default());
    assert!(put.now_or_never().is_none());
    assert!(!is_there(&*store, &Hasher::of(TEXT)).await);
    // It does not prevent another try either.
    super::put(&*store, TEXT).await;
}

/// A blob appears when all of its content is there.
pub async fn nothing_is_visible_before_the_end(subject: &dyn Subject) {
    let store = subject.open().await;
    let (go, wait) = tokio::sync::oneshot::channel();
    let rest = stream::once(async move {
        wait.await.expect("a signal");
        Ok(Bytes::from_static(b" content"))
    });
    let start = stream::iter([Ok(Bytes::from_static(b"the whole"))]);
    let options = PutOptions::default().digest(Hasher::of(TEXT));
    let mut put = store.put(start.chain(rest).boxed(), options);
    assert!((&mut put).now_or_never().is_none());
    for digest in [Hasher::of(TEXT), Hasher::of(b"the whole")] {
        assert!(!is_there(&*store, &digest).await, "{digest}");
    }
    go.send(()).expect("the put waits");
    put.await.expect("a put");
    assert!(is_there(&*store, &Hasher::of(TEXT)).await);
}

/// A failed `put` does no harm to the same content of an earlier one.
pub async fn a_failed_put_keeps_what_is_there(subject: &dyn Subject) {
    let store = subject.open().await;
    let digest = put(&*store, TEXT).await.digest;
    let broken = Error::new(ErrorKind::Unavailable, "the connection is lost");
    let pieces = [Ok(Bytes::from_static(&TEXT[..4])), Err(broken)];
    let options = PutOptions::default().digest(digest);
    refused(store.put(stream::iter(pieces).boxed(), options).await, ErrorKind::Unavailable);
    refused(store.put(body(&b"wrong"[..]), options).await, ErrorKind::Malformed);
    assert_eq!(read(&*store, &digest, ByteRange::ALL).await.as_deref(), Some(TEXT));
}
