//! Bundles by digest.

use std::collections::{HashMap, VecDeque};
use std::io::Read;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::{StreamExt, stream};
use tinpot_bundle::{Body, Digest, PackOptions, body, pack};
use tinpot_core::executor::{Attempt, ContextParts, stop_channel};
use tinpot_core::{
    BundleRef, BundleTicket, Context, Epoch, Error, ErrorKind, ExecutionId, Executor, Fence, Json,
    LogWriter, Outcome, Result,
};
use tinpot_process::{FetchBlob, FetchOptions, ProcessExecutor};
use tokio::sync::watch;

use crate::support::Apps;

/// An answer that does not break off.
const WHOLE: usize = usize::MAX;
/// Longer than the first two pauses before a fetch goes on, of 0.1 s and 0.2 s, on a slow machine, too.
const PATIENCE: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
struct Blobs {
    blobs: Mutex<HashMap<Digest, Vec<u8>>>,
    fetched: AtomicU32,
    /// The next answers: after this number of bytes, this error.
    breaks: Mutex<VecDeque<(usize, ErrorKind)>>,
    /// The first bytes that were asked for, and the texts of the tickets.
    asked: Mutex<Vec<(u64, Option<String>)>>,
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
    async fn fetch(&self, digest: &Digest, options: FetchOptions) -> Result<Body> {
        self.fetched.fetch_add(1, Ordering::Relaxed);
        let ticket = options.ticket.map(|ticket| ticket.expose().to_owned());
        self.asked.lock().expect("a lock").push((options.start, ticket));
        let found = self.blobs.lock().expect("a lock").get(digest).cloned();
        let content =
            found.ok_or_else(|| Error::new(ErrorKind::Unavailable, "there is no such blob"))?;
        let rest = content[options.start as usize..].to_vec();
        let Some((bytes, kind)) = self.breaks.lock().expect("a lock").pop_front() else {
            return Ok(body(rest));
        };
        let error = Error::new(kind, "it breaks off");
        match bytes {
            0 => return Err(error),
            WHOLE => return Ok(body(rest)),
            _ => {}
        }
        let sent = body(rest[..bytes.min(rest.len())].to_vec());
        Ok(sent.chain(stream::iter([Err(error)])).boxed())
    }
}

async fn run(executor: &ProcessExecutor, bundle: &Digest) -> Outcome {
    let (logs, _buffer) = LogWriter::channel(Default::default(), u64::MAX);
    let (_stop, stops) = stop_channel();
    let context = Context::new(ContextParts::new(logs, stops, watch::channel(None).0));
    let fence = Fence { epoch: Epoch { instance: 1, number: 1 }, number: 1 };
    let attempt = Attempt::new(ExecutionId::generate(), fence, "any", Json::empty_object());
    let bundle = BundleRef::new(1, *bundle, "script");
    let attempt =
        attempt.bundle(Some(Arc::new(bundle))).ticket(Some(BundleTicket::new("a ticket")));
    executor.execute(attempt, context).await
}

/// Starts an executor that gives a source up soon.
async fn start(apps: &Apps, blobs: &Arc<Blobs>, cache: &Path) -> ProcessExecutor {
    let builder = apps.builder().cache(cache.join("cache")).bundles(blobs.clone());
    builder.fetch_patience(PATIENCE).start().await.expect("an executor")
}

#[tokio::test]
async fn a_bundle_is_fetched_once_checked_and_run() {
    let apps = Apps::shell("deployed", "echo 7 > $TINPOT_RESULT; echo x >> data\n")
        .file("deployed/data", "1\n");
    let blobs = Arc::new(Blobs::default());
    let (bundle, artifact) = blobs.pack(&apps, "deployed");
    let (cache, empty) = (tempfile::tempdir().expect("a directory"), Apps::new());
    let start = async |cache: &Path| start(&empty, &blobs, cache).await;
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
async fn a_fetch_goes_on_where_it_broke_off_and_ends_if_nothing_comes() {
    let apps = Apps::shell("deployed", "echo 7 > $TINPOT_RESULT\n");
    let blobs = Arc::new(Blobs::default());
    let (bundle, artifact) = blobs.pack(&apps, "deployed");
    let (cache, empty) = (tempfile::tempdir().expect("a directory"), Apps::new());
    let executor = start(&empty, &blobs, cache.path()).await;
    let breaks = |breaks: &[(usize, ErrorKind)]| {
        *blobs.breaks.lock().expect("a lock") = breaks.iter().copied().collect();
        blobs.asked.lock().expect("a lock").clear();
    };
    let reason = async || {
        let outcome = run(&executor, &bundle).await;
        let failure = outcome.failure().map(|failure| failure.message.clone());
        let reason = outcome.reason_not_started().map(str::to_owned);
        reason.or(failure).expect("a reason")
    };
    let unavailable = |bytes| (bytes, ErrorKind::Unavailable);
    breaks(&[unavailable(0); 9]);
    assert!(reason().await.contains("it breaks off"));
    breaks(&[(0, ErrorKind::Forbidden)]);
    assert_eq!(reason().await, "it breaks off");
    breaks(&[(0, ErrorKind::NotFound)]);
    let gone = run(&executor, &bundle).await;
    assert_eq!(gone.failure().map(|failure| &*failure.kind), Some("BundleGone"), "{gone:?}");

    // What was resumed and has another digest is fetched from its start again.
    let right = blobs.put(artifact, vec![b'x'; 40]).expect("an archive");
    breaks(&[unavailable(WHOLE), unavailable(9)]);
    assert!(reason().await.contains("has the digest"));
    let starts = || blobs.asked.lock().expect("a lock").iter().map(|(start, _)| *start).collect();
    let seen: Vec<u64> = starts();
    assert_eq!(seen, [0, 0, 9, 0]);
    blobs.put(artifact, right);
    breaks(&[unavailable(9), unavailable(0), unavailable(1)]);
    let outcome = run(&executor, &bundle).await;
    assert_eq!(outcome.value().map(|value| value.as_str()), Some("7"), "{outcome:?}");
    let seen: Vec<u64> = starts();
    assert_eq!(seen, [0, 9, 9, 10, 0]);
    let asked = blobs.asked.lock().expect("a lock").clone();
    assert!(asked.iter().all(|(_, ticket)| ticket.as_deref() == Some("a ticket")), "{asked:?}");
}

#[tokio::test]
async fn a_bundle_that_is_damaged_in_the_cache_is_fetched_again() {
    let apps = Apps::shell("deployed", "cat data > $TINPOT_RESULT\n").file("deployed/data", "7");
    let blobs = Arc::new(Blobs::default());
    let (bundle, _) = blobs.pack(&apps, "deployed");
    let (cache, empty) = (tempfile::tempdir().expect("a directory"), Apps::new());
    let tree = cache.path().join("cache/trees").join(bundle.to_string());
    let runs = async |fetches: u32| {
        // Each stands for another process.
        let executor = start(&empty, &blobs, cache.path()).await;
        let outcome = run(&executor, &bundle).await;
        assert_eq!(outcome.value().map(|value| value.as_str()), Some("7"), "{outcome:?}");
        assert_eq!(blobs.fetched.load(Ordering::Relaxed), fetches);
    };
    runs(2).await;
    runs(2).await;
    std::fs::write(tree.join("data"), "8").expect("a file");
    runs(4).await;
    std::fs::remove_file(tree.join("main.sh")).expect("a file");
    runs(6).await;
    std::fs::write(tree.join("more"), "").expect("a file");
    runs(8).await;
    std::fs::remove_dir_all(&tree).expect("a folder");
    runs(10).await;
    runs(10).await;
}

#[tokio::test]
async fn two_attempts_at_one_time_fetch_a_bundle_once() {
    let apps = Apps::shell("deployed", "echo 7 > $TINPOT_RESULT\n");
    let blobs = Arc::new(Blobs::default());
    let (bundle, _) = blobs.pack(&apps, "deployed");
    let (cache, empty) = (tempfile::tempdir().expect("a directory"), Apps::new());
    let one = start(&empty, &blobs, cache.path()).await;
    let two = start(&empty, &blobs, cache.path()).await;
    let (first, second) = tokio::join!(run(&one, &bundle), run(&two, &bundle));
    for outcome in [first, second] {
        assert_eq!(outcome.value().map(|value| value.as_str()), Some("7"), "{outcome:?}");
    }
    assert_eq!(blobs.fetched.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn without_a_source_no_runtime_is_offered_and_no_bundle_started() {
    let executor = Apps::new().builder().start().await.expect("an executor");
    assert!(executor.actions().current().runtimes.is_empty());
    let outcome = run(&executor, &Digest::from([7; 32])).await;
    assert!(outcome.reason_not_started().is_some(), "{outcome:?}");
}
