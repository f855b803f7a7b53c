//! Deployed folders of actions: a pool for each bundle in use.

use std::collections::HashMap;
use std::io::Read;
use std::path::Path;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tinpot_bundle::worker::{FetchBlob, FetchOptions};
use tinpot_bundle::{Body, Digest, IMPORT_ACTION, PackOptions, body, pack};
use tinpot_core::executor::{Attempt, ContextParts, stop_channel};
use tinpot_core::{
    Action, BundleRef, Context, Epoch, Error, ErrorKind, ExecutionId, Executor, Fence, Json,
    LogWriter, Outcome, Result,
};
use tinpot_python::{BundlePools, PythonPool};
use tokio::sync::watch;

use crate::support::Actions;

#[derive(Debug, Default)]
struct Blobs(Mutex<HashMap<Digest, Vec<u8>>>);

impl Blobs {
    /// Packs a folder whose action `who` returns the id of its process and this text.
    fn pack(&self, text: &str) -> Digest {
        self.pack_actions(&format!(
            "@action\ndef who():\n    return [os.getpid(), {text:?}, os.environ[\"A\"], __file__]\n"
        ))
    }

    /// Packs a folder with this file.
    fn pack_actions(&self, actions: &str) -> Digest {
        let towerfile =
            "[app]\nname = \"tools\"\n[tinpot]\nkind = \"actions\"\nenv = { A = \"b\" }\n";
        let actions = Actions::of(actions).file("Towerfile", towerfile);
        let mut packed = pack(actions.0.path(), &PackOptions::default()).expect("a bundle");
        let mut archive = Vec::new();
        packed.archive.read_to_end(&mut archive).expect("an archive");
        let manifest = packed.manifest;
        let digest = manifest.digest().expect("a digest");
        let mut blobs = self.0.lock().expect("a lock");
        blobs.insert(manifest.artifact.digest, archive);
        blobs.insert(digest, manifest.to_bytes().expect("a manifest"));
        digest
    }
}

#[async_trait]
impl FetchBlob for Blobs {
    async fn fetch(&self, digest: &Digest, _options: FetchOptions) -> Result<Body> {
        let found = self.0.lock().expect("a lock").get(digest).cloned();
        found.map(body).ok_or_else(|| Error::new(ErrorKind::NotFound, "there is no such blob"))
    }
}

async fn run(pools: &BundlePools, bundle: &Digest, action: &str) -> Outcome {
    let (logs, _buffer) = LogWriter::channel(Default::default(), u64::MAX);
    let (_stop, stops) = stop_channel();
    let context = Context::new(ContextParts::new(logs, stops, watch::channel(None).0));
    let fence = Fence { epoch: Epoch { instance: 1, number: 1 }, number: 1 };
    let attempt = Attempt::new(ExecutionId::generate(), fence, action, Json::empty_object());
    let bundle = Arc::new(BundleRef::new(1, *bundle, "python"));
    pools.execute(attempt.bundle(Some(bundle)), context).await
}

async fn who(pools: &BundlePools, bundle: &Digest) -> (u32, String, String, String) {
    let outcome = run(pools, bundle, "who").await;
    outcome.value().unwrap_or_else(|| panic!("{outcome:?}")).deserialize().expect("who it is")
}

#[tokio::test]
async fn a_bundle_has_a_warm_pool_until_others_are_used() {
    let blobs = Arc::new(Blobs::default());
    let (one, two) = (blobs.pack("one"), blobs.pack("two"));
    let cache = tempfile::tempdir().expect("a directory");
    let template = PythonPool::builder(".").size(1).spare(0);
    let pools = BundlePools::builder(template, blobs.clone()).cache(cache.path().join("cache"));
    let pools = pools.pools(1).build();
    let offered = pools.actions().current();
    assert_eq!(offered.runtimes.iter().map(|name| &**name).collect::<Vec<_>>(), ["python"]);

    let (first, text, variable, file) = who(&pools, &one).await;
    assert_eq!((&*text, &*variable), ("one", "b"));
    assert!(file.ends_with("/actions/actions.py"), "{file}");
    assert!(!Path::new(&file).starts_with(cache.path()), "a copy, not the cache: {file}");
    assert_eq!(who(&pools, &one).await.0, first, "its pool is warm");
    assert_eq!(who(&pools, &two).await.1, "two");
    assert_ne!(who(&pools, &one).await.0, first, "its pool was closed for the other");

    let imported = run(&pools, &one, IMPORT_ACTION).await;
    let imported: Vec<Action> = imported.value().expect("actions").deserialize().expect("actions");
    assert_eq!(imported.iter().map(|action| &*action.name).collect::<Vec<_>>(), ["who"]);
    let notice = blobs.pack_actions(
        "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()\n\
         @action\ndef quiet(): pass\n",
    );
    let imported = run(&pools, &notice, IMPORT_ACTION).await;
    assert!(imported.value().is_some(), "{imported:?}");
    let mismatch = run(&pools, &one, "missing").await;
    assert_eq!(mismatch.failure().map(|failure| &*failure.kind), Some("BundleMismatch"));
    let gone = run(&pools, &Digest::from([7; 32]), "who").await;
    assert_eq!(gone.failure().map(|failure| &*failure.kind), Some("BundleGone"));
    pools.close().await.expect("closed");
    assert!(run(&pools, &one, "who").await.failure().is_some());
}
