//! Versions that are pruned, blobs that are deleted, and those that stay.

use std::sync::Arc;
use std::time::Duration;

use tinpot_bundle::{
    Apps, BlobStore, Collected, Collection, Deployment, MemoryBlobStore, PutOptions, Version, body,
};
use tinpot_core::access::records::{MemoryRecords, Records};
use tinpot_core::executor::{ActionSet, ScopedExecutor};
use tinpot_core::{Coordinator, ErrorKind, Json, MemoryNetwork, Outcome, Timestamp, Worker};

use crate::apps::{Bundle, TEAM, any, by};

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

/// Returns the time this number of seconds from the start.
fn after(seconds: u64) -> Timestamp {
    Timestamp(Timestamp::now().0 + Duration::from_secs(seconds).as_micros() as u64)
}

/// Apps that keep two versions, as actions of a coordinator that notes their uses.
async fn setting() -> (Apps, Coordinator) {
    let apps = Apps::new(Arc::new(MemoryBlobStore::new()), Arc::new(MemoryRecords::new()));
    let apps = apps.collection(Collection::default().keep_versions(Some(2)));
    let builder = Coordinator::builder(MemoryNetwork::new().transport()).observer(apps.uses());
    let coordinator = builder.start().await.expect("a coordinator");
    let apps = apps.attach(coordinator.clone()).await.expect("apps");
    apps.create(&by("ada"), TEAM, "hello", "").await.expect("an app");
    (apps, coordinator)
}

async fn deployed(apps: &Apps, says: &str) -> Version {
    let bundle = Bundle::of("hello", says);
    bundle.upload(apps, TEAM).await;
    let (ada, deploy) = (by("ada"), bundle.deploy());
    match apps.deploy(&ada, TEAM, "hello", &deploy, &any).await.expect("a deploy") {
        Deployment::Created(version) => version,
        other => panic!("{other:?}"),
    }
}

async fn pruned(apps: &Apps) -> Vec<u32> {
    let versions = apps.versions(TEAM, "hello", None, 100).await.expect("versions");
    let pruned = versions.iter().rev().filter(|version| version.pruned_at.is_some());
    pruned.map(|version| version.number).collect()
}

#[tokio::test]
async fn versions_that_are_old_and_unused_are_pruned() {
    let (apps, coordinator) = setting().await;
    let first = deployed(&apps, "1").await;
    deployed(&apps, "2").await;
    coordinator.submit("hello", ()).await.expect("an execution");
    deployed(&apps, "3").await;
    deployed(&apps, "4").await;
    apps.activate(&by("ada"), TEAM, "hello", 3).await.expect("a rollback");

    // The first is neither among the newest two, nor active, nor was it used.
    let collected = apps.collect(after(25 * HOUR)).await.expect("a collection");
    assert_eq!((collected.versions, collected.blobs), (1, 1), "its archive goes with it");
    assert_eq!(collected.bytes, first.artifact.bytes);
    assert_eq!(pruned(&apps).await, [1]);
    let again = apps.collect(after(25 * HOUR)).await.expect("a collection");
    assert_eq!(again, Collected::default());

    // It is in lists and can be looked at, and does not run.
    let first = apps.version(TEAM, "hello", 1).await.expect("a version");
    assert!(apps.manifest(&first).await.expect("a manifest").files.contains_key("main.sh"));
    assert!(apps.towerfile_text(&first).await.expect("a text").contains("hello"));
    let file = apps.file(&first, "main.sh", 1_000).await.expect_err("no file");
    assert_eq!(file.kind(), ErrorKind::NotFound);
    assert!(file.message().contains("was pruned"), "{file}");
    let refused = apps.activate(&by("ada"), TEAM, "hello", 1).await.expect_err("no rollback");
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    assert!(refused.message().contains("deploy its files again"), "{refused}");

    // Its files make a new version.
    let bundle = Bundle::of("hello", "1");
    let missing = apps.deploy(&by("ada"), TEAM, "hello", &bundle.deploy(), &any).await;
    let artifact = bundle.manifest.artifact.digest;
    assert_eq!(missing.expect("an answer"), Deployment::Missing(vec![artifact]));
    assert_eq!(deployed(&apps, "1").await.number, 5);
    let stays = apps.collect(after(25 * HOUR)).await.expect("a collection");
    assert_eq!(stays.versions, 1, "the third is not active any more");
    assert_eq!(pruned(&apps).await, [1, 3]);

    // A month later, the use of the second counts no more.
    apps.collect(after(29 * DAY)).await.expect("a collection");
    assert_eq!(pruned(&apps).await, [1, 3]);
    apps.collect(after(31 * DAY)).await.expect("a collection");
    assert_eq!(pruned(&apps).await, [1, 2, 3]);
    let last = apps.version(TEAM, "hello", 5).await.expect("a version");
    let file = apps.file(&last, "main.sh", 1_000).await.expect("a file");
    assert_eq!(&*file, b"echo 1\n");
}

#[tokio::test]
async fn what_waits_for_a_pruned_version_does_not_run_it_from_a_cache() {
    let network = MemoryNetwork::new();
    let apps = Apps::new(Arc::new(MemoryBlobStore::new()), Arc::new(MemoryRecords::new()));
    let apps = apps.collection(Collection::default().keep_versions(Some(1)));
    let coordinator = Coordinator::builder(network.transport()).start().await.expect("it starts");
    let apps = apps.attach(coordinator.clone()).await.expect("apps");
    apps.create(&by("ada"), TEAM, "hello", "").await.expect("an app");
    deployed(&apps, "1").await;
    let waits = coordinator.submit("hello", ()).await.expect("an execution");
    deployed(&apps, "2").await;
    apps.collect(after(31 * DAY)).await.expect("a collection");
    assert_eq!(pruned(&apps).await, [1]);

    // This worker has all bundles.
    let offer = ActionSet::default().runtime("script");
    let executor = ScopedExecutor::new(offer, |attempt, _| async move {
        let version = attempt.bundle.map(|bundle| bundle.version);
        Outcome::Succeeded(Json::serialize(&version).expect("JSON"))
    });
    let worker = Worker::builder(network.transport()).executor(executor).start();
    let _worker = worker.await.expect("a worker");
    let ran = async || {
        let run = coordinator.call::<u32>("hello", ());
        tokio::time::timeout(Duration::from_secs(60), run).await.expect("in time")
    };
    assert_eq!(ran().await.expect("a version"), 2);
    let ended = tokio::time::timeout(Duration::from_secs(60), waits.outcome());
    let ended = ended.await.expect("in time").expect("an end");
    assert_eq!(ended.failure().map(|failure| &*failure.kind), Some("BundleGone"), "{ended:?}");
    // The same files are a version again, with the same bundle.
    assert_eq!(deployed(&apps, "1").await.number, 3);
    assert_eq!(ran().await.expect("a version"), 3);
}

/// A collection that ends between the deletion of a blob and that of its record leaves the record.
#[tokio::test]
async fn the_record_of_an_upload_goes_with_its_blob_also_later() {
    let (blobs, records) = (Arc::new(MemoryBlobStore::new()), Arc::new(MemoryRecords::new()));
    let apps = Apps::new(blobs.clone(), records.clone());
    let put = async |text: &'static str| {
        let stored = apps.put_blob(TEAM, body(text), PutOptions::default()).await;
        stored.expect("a blob").digest
    };
    let (gone, stays) = (put("gone").await, put("stays").await);
    assert!(blobs.delete(&gone, after(HOUR)).await.expect("a deletion"));
    let uploads = async || {
        let page = records.list("app.blob", "", 10).await.expect("records");
        page.iter().map(|record| record.id.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(uploads().await.len(), 2);
    apps.collect(after(HOUR)).await.expect("a collection");
    assert_eq!(uploads().await, [format!("{TEAM}/{stays}")]);
}

#[tokio::test]
async fn the_active_version_stays_however_old_it_is() {
    let (apps, _coordinator) = setting().await;
    for says in ["1", "2", "3", "4", "5"] {
        deployed(&apps, says).await;
    }
    apps.activate(&by("ada"), TEAM, "hello", 2).await.expect("a rollback");
    apps.collect(after(365 * DAY)).await.expect("a collection");
    assert_eq!(pruned(&apps).await, [1, 3]);
}

#[tokio::test]
async fn uploads_without_a_version_are_deleted_after_a_day() {
    let (apps, _coordinator) = setting().await;
    let version = deployed(&apps, "1").await;
    let upload = body("this is not deployed");
    let info = apps.put_blob(TEAM, upload, PutOptions::default()).await.expect("a blob");
    let early = apps.collect(after(23 * HOUR)).await.expect("a collection");
    assert_eq!(early, Collected::default());
    let late = apps.collect(after(25 * HOUR)).await.expect("a collection");
    assert_eq!((late.blobs, late.bytes), (1, info.bytes));
    assert!(apps.blob_info(TEAM, &info.digest).await.expect("an answer").is_none());
    // What a version needs stays for ever.
    apps.collect(after(999 * DAY)).await.expect("a collection");
    assert!(apps.file(&version, "main.sh", 1_000).await.is_ok());
    // The record of the upload went with the blob: another team's upload gives no access.
    let again = body("this is not deployed");
    apps.put_blob("b", again, PutOptions::default()).await.expect("a blob");
    assert!(apps.blob_info(TEAM, &info.digest).await.expect("an answer").is_none());
}
