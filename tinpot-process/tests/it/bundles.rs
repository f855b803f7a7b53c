//! Bundles by digest.

use std::collections::HashMap;
use std::io::Read;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tinpot_bundle::{Body, Digest, PackOptions, body, pack};
use tinpot_core::executor::{Attempt, ContextParts, stop_channel};
use tinpot_core::{
    BundleRef, Context, Epoch, Error, ErrorKind, ExecutionId, Executor, Fence, Json, LogWriter,
    Outcome, Result,
};
use tinpot_process::{FetchBlob, ProcessExecutor};
use tokio::sync::watch;

use crate::support::Apps;

#[derive(Debug, Default)]
struct Blobs {
    blobs: Mutex<HashMap<Digest, Vec<u8>>>,
    fetched: AtomicU32,
}

impl Blobs {
    /// Packs an app; returns the digest of the bundle.
    fn pack(&self, apps: &Apps, name: &str) -> (Digest, Digest) {
        let mut packed = pack(&apps.path(name), &PackOptions::default()).expect("a bundle");
        let mut archive = Vec::new();
        packed.archive.read_to_end(&mut archive).expect("an archive");
        let digest = packed.manifest.digest().expect("a digest");
        let artifact = packed.manifest.artifact.digest;
        self.put(digest, packed.manifest.to_bytes().expect("a manifest"));
        self.put(artifact, archive);
        (digest, artifact)
    }

    fn put(&self, digest: Digest, content: Vec<u8>) -> Option<Vec<u8>> {
        self.blobs.lock().expect("a lock").insert(digest, content)
    }
}

#[async_trait]
impl FetchBlob for Blobs {
    async fn fetch(&self, digest: &Digest) -> Result<Body> {
        self.fetched.fetch_add(1, Ordering::Relaxed);
        let found = self.blobs.lock().expect("a lock").get(digest).cloned();
        found.map(body).ok_or_else(|| Error::new(ErrorKind::Unavailable, "there is no such blob"))
    }
}

async fn run(executor: &ProcessExecutor, bundle: &Digest) -> Outcome {
    let (logs, _buffer) = LogWriter::channel(Default::default(), u64::MAX);
    let (_stop, stops) = stop_channel();
    let context = Context::new(ContextParts::new(logs, stops, watch::channel(None).0));
    let fence = Fence { epoch: Epoch { instance: 1, number: 1 }, number: 1 };
    let attempt = Attempt::new(ExecutionId::generate(), fence, "any", Json::empty_object());
    let bundle = BundleRef::new(1, *bundle, "script");
    executor.execute(attempt.bundle(Some(Arc::new(bundle))), context).await
}

#[tokio::test]
async fn a_bundle_is_fetched_once_checked_and_run() {
    let apps = Apps::shell("deployed", "echo 7 > $TINPOT_RESULT; echo x >> data\n")
        .file("deployed/data", "1\n");
    let blobs = Arc::new(Blobs::default());
    let (bundle, artifact) = blobs.pack(&apps, "deployed");
    let (cache, empty) = (tempfile::tempdir().expect("a directory"), Apps::new());
    let start = async |cache: &Path| {
        let builder = empty.builder().cache(cache.join("cache")).bundles(blobs.clone());
        builder.start().await.expect("an executor")
    };
    let executor = start(cache.path()).await;
    let offered = executor.actions().current();
    assert_eq!(
        offered.runtimes.iter().map(|name| &**name).collect::<Vec<_>>(),
        ["script", "process"]
    );
    for _ in 0..2 {
        let outcome = run(&executor, &bundle).await;
        assert_eq!(outcome.value().map(|value| value.as_str()), Some("7"), "{outcome:?}");
    }
    assert_eq!(blobs.fetched.load(Ordering::Relaxed), 2, "the manifest and the archive, once");
    let tree = cache.path().join("cache/trees").join(bundle.to_string());
    assert_eq!(std::fs::read_to_string(tree.join("data")).expect("a file"), "1\n");

    // A source that sends something else.
    let other = tempfile::tempdir().expect("a directory");
    let executor = start(other.path()).await;
    let archive = blobs.put(artifact, b"nonsense".to_vec()).expect("an archive");
    let failure = run(&executor, &bundle).await;
    let failure = failure.failure().expect("a failure").clone();
    assert!(failure.message.contains("has the digest"), "{failure:?}");
    let manifest = blobs.blobs.lock().expect("a lock").remove(&bundle).expect("a manifest");
    assert!(run(&executor, &bundle).await.reason_not_started().is_some());

    // The failures left nothing behind.
    blobs.put(artifact, archive);
    blobs.put(bundle, manifest);
    let outcome = run(&executor, &bundle).await;
    assert_eq!(outcome.value().map(|value| value.as_str()), Some("7"), "{outcome:?}");
}

#[tokio::test]
async fn without_a_source_no_runtime_is_offered_and_no_bundle_started() {
    let executor = Apps::new().builder().start().await.expect("an executor");
    assert!(executor.actions().current().runtimes.is_empty());
    let outcome = run(&executor, &Digest::from([7; 32])).await;
    assert!(outcome.reason_not_started().is_some(), "{outcome:?}");
}
