//! The stores of this crate.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, stream};
use tempfile::TempDir;
use tinpot_bundle::testing::blob_store::Subject;
use tinpot_bundle::{
    BlobStore, ByteRange, Digest, FileBlobStore, Hasher, MemoryBlobStore, PutOptions, body,
};

mod memory {
    use super::*;

    #[derive(Debug, Default)]
    struct Memory(Arc<MemoryBlobStore>);

    #[async_trait]
    impl Subject for Memory {
        async fn open(&self) -> Arc<dyn BlobStore> {
            self.0.clone()
        }
    }

    fn memory() -> std::future::Ready<Memory> {
        std::future::ready(Memory::default())
    }

    tinpot_bundle::blob_store!(memory);
}

mod files {
    use super::*;

    #[derive(Debug)]
    struct Files(TempDir);

    #[async_trait]
    impl Subject for Files {
        async fn open(&self) -> Arc<dyn BlobStore> {
            Arc::new(FileBlobStore::open(self.0.path().join("blobs")).await.expect("a store"))
        }
    }

    fn files() -> std::future::Ready<Files> {
        std::future::ready(Files(tempfile::tempdir().expect("a folder")))
    }

    tinpot_bundle::blob_store!(files);
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("metadata").permissions().mode() & 0o7777
}

#[tokio::test]
async fn files_are_named_by_their_digests_and_private() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("deep/blobs");
    let store = FileBlobStore::open(&root).await.expect("a store");
    let info = store.put(body("abc"), PutOptions::default()).await.expect("a put");
    let file = root.join("ba/7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_eq!(info.digest.to_string()[..2], *"ba");
    assert_eq!(fs::read(&file).expect("the file"), b"abc");
    assert_eq!(mode(&file), 0o600);
    for folder in [&root, &root.join("ba"), &root.join("tmp")] {
        assert_eq!(mode(folder), 0o700, "{}", folder.display());
    }
    assert_eq!(fs::read_dir(root.join("tmp")).expect("drafts").count(), 0);
}

#[tokio::test]
async fn drafts_of_a_crash_are_removed_and_those_in_use_are_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = FileBlobStore::open(folder.path()).await.expect("a store");
    let drafts = folder.path().join("tmp");
    let (go, wait) = tokio::sync::oneshot::channel::<()>();
    let rest = stream::once(async move {
        wait.await.expect("a signal");
        Ok(Bytes::from_static(b"b"))
    });
    let pieces = stream::iter([Ok(Bytes::from_static(b"a"))]).chain(rest).boxed();
    let putting = tokio::spawn(async move { store.put(pieces, PutOptions::default()).await });
    while fs::read_dir(&drafts).expect("drafts").count() == 0 {
        tokio::task::yield_now().await;
    }
    fs::write(drafts.join("left"), "half").expect("a draft");
    let other = FileBlobStore::open(folder.path()).await.expect("a store");
    assert!(!drafts.join("left").exists());
    go.send(()).expect("the put waits");
    let info = putting.await.expect("no panic").expect("a put");
    assert_eq!(info.digest, Hasher::of(b"ab"));
    assert_eq!(other.info(&info.digest).await.expect("an info"), Some(info));
}

#[tokio::test]
async fn a_damaged_blob_is_reported_and_healed_by_the_next_put() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = FileBlobStore::open(folder.path()).await.expect("a store");
    let info = store.put(body("abc"), PutOptions::default()).await.expect("a put");
    let digits = info.digest.to_string();
    let file = folder.path().join(&digits[..2]).join(&digits[2..]);
    let blob = store.get(&info.digest, ByteRange::ALL).await.expect("a get").expect("a blob");
    fs::OpenOptions::new().write(true).open(&file).expect("the file").set_len(1).expect("a cut");
    let error = blob.read(10).await.expect_err("it is too short");
    assert_eq!(error.kind(), tinpot_core::ErrorKind::Malformed, "{error}");
    store.put(body("abc"), PutOptions::default()).await.expect("a put");
    let blob = store.get(&info.digest, ByteRange::ALL).await.expect("a get").expect("a blob");
    assert_eq!(&blob.read(10).await.expect("a body")[..], b"abc");
}

#[test]
fn digests_are_read_and_written() {
    let digest = Hasher::of(b"abc");
    let text = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(digest.to_string(), text);
    assert_eq!(text.parse::<Digest>().expect("a digest"), digest);
    assert_eq!(text.to_uppercase().parse::<Digest>().expect("a digest"), digest);
    for wrong in
        ["", "ba", &text[1..], &format!("{text}0"), &text.replace('b', "g"), &"é".repeat(32)]
    {
        let error = wrong.parse::<Digest>().expect_err("no digest").to_string();
        assert!(error.contains("64 hexadecimal digits"), "{error}");
    }
}
