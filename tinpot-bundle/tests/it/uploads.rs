//! Uploads: who may refer to them, and how long they stay.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use tinpot_bundle::{Apps, Collection, MemoryBlobStore, Uploads, body};
use tinpot_core::access::records::{Change, Records};
use tinpot_core::access::{MemoryRecords, UploadClaim, UploadKeeper};
use tinpot_core::executor::{ActionSet, ScopedExecutor};
use tinpot_core::{
    Action, Coordinator, Digest, ErrorKind, ExecutionId, Json, MemoryNetwork, Outcome, Timestamp,
    Worker, upload_reference,
};

const TEAM: &str = "default";
const DAY: u64 = 24 * 3600;

fn after(seconds: u64) -> Timestamp {
    Timestamp(Timestamp::now().0 + Duration::from_secs(seconds).as_micros() as u64)
}

fn memory() -> Apps {
    Apps::new(Arc::new(MemoryBlobStore::new()), Arc::new(MemoryRecords::new()))
}

async fn uploaded(uploads: &Uploads, caller: &str, content: &str) -> Digest {
    let content = body(content.to_owned());
    uploads.put(TEAM, caller, content, 1_000, None).await.expect("an upload").digest
}

fn claim(caller: &str, digest: Digest) -> UploadClaim {
    UploadClaim::new(ExecutionId::generate(), TEAM, caller, [digest].into())
}

#[tokio::test]
async fn a_caller_refers_to_own_uploads_only() {
    let uploads = memory().uploads();
    let digest = uploaded(&uploads, "user:ada", "content").await;
    let first = claim("user:ada", digest);
    uploads.claim(&first).await.expect("own");
    uploads.claim(&claim("user:ada", digest)).await.expect("twice");

    let mut foreign = claim("user:ada", digest);
    foreign.team = "b".into();
    let never = claim("user:ada", Digest::from([7; 32]));
    for wrong in [claim("user:bob", digest), claim("user", digest), foreign, never] {
        let error = uploads.claim(&wrong).await.expect_err("hidden");
        assert_eq!(error.kind(), ErrorKind::NotFound, "{wrong:?}");
        let shown = wrong.uploads.first().expect("one").to_string();
        let same = error.message().replace(&shown, "DIGEST");
        assert!(same.starts_with("upload DIGEST not found"), "{error}");
    }
    // Who may rerun an execution needs no upload of their own, and only for what it refers to.
    uploads.claim(&claim("user:bob", digest).rerun_of(Some(first.execution))).await.expect("rerun");
    let other = uploaded(&uploads, "user:ada", "other").await;
    let wrong = claim("user:bob", other).rerun_of(Some(first.execution));
    uploads.claim(&wrong).await.expect_err("another upload");

    let many = (0..=u8::MAX).map(|byte| Digest::from([byte; 32])).chain([digest]).collect();
    let many = UploadClaim::new(ExecutionId::generate(), TEAM, "user:ada", many);
    let error = uploads.claim(&many).await.expect_err("too many");
    assert!(error.message().contains("at most 256 uploads (got 257)"), "{error}");
}

#[tokio::test]
async fn a_failed_upload_leaves_nothing() {
    let (apps, wrong) = (memory(), Digest::from([7; 32]));
    let uploads = apps.uploads();
    let put = uploads.put(TEAM, "user:ada", body("content"), 1_000, Some(wrong)).await;
    assert_eq!(put.expect_err("another digest").kind(), ErrorKind::Malformed);
    let put = uploads.put(TEAM, "user:ada", body("content"), 6, None).await;
    assert_eq!(put.expect_err("too large").kind(), ErrorKind::InvalidInput);
    assert!(apps.blobs().list(None, 10).await.expect("blobs").is_empty());
}

#[tokio::test]
async fn the_uploads_of_a_caller_that_are_not_used_are_bounded() {
    // Small ones count as 64 KiB.
    let rules = Collection::default().unused_uploads(4 * 65_536);
    let uploads = memory().collection(rules).uploads();
    let put = async |caller: &str, content: &'static str| {
        uploads.put(TEAM, caller, body(content), 1_000, None).await
    };
    let first = put("user:ada", "1").await.expect("one");
    put("user:ada", "2").await.expect("two");
    let (sender, receiver) = tokio::sync::oneshot::channel::<()>();
    let waiting = futures::stream::once(async move {
        receiver.await.expect("the end of the wait");
        Ok::<_, tinpot_core::Error>(bytes::Bytes::from_static(b"3"))
    });
    let arrives = uploads.put(TEAM, "user:ada", waiting.boxed(), 1_000, None);
    let others = async {
        // Those that arrive count as well.
        put("user:ada", "4").await.expect("four");
        let refused = put("user:ada", "5").await.expect_err("too many");
        assert_eq!(refused.kind(), ErrorKind::Overloaded, "{refused}");
        assert!(refused.message().contains("at most 262144 bytes (got 327680"), "{refused}");
        put("user:bob", "5").await.expect("another caller");
        sender.send(()).expect("the upload waits");
    };
    let (third, ()) = tokio::join!(biased; arrives, others);
    third.expect("three");
    // A claim frees nothing: its execution may not be accepted.
    let claim = claim("user:ada", first.digest);
    uploads.claim(&claim).await.expect("a claim");
    put("user:ada", "5").await.expect_err("too many");
    uploads.accepted(&claim).await.expect("noted");
    put("user:ada", "5").await.expect("five");
}

#[tokio::test]
async fn what_cannot_be_read_stays_and_holds_up_no_collection() {
    let records = Arc::new(MemoryRecords::new());
    let apps = Apps::new(Arc::new(MemoryBlobStore::new()), records.clone());
    let kept = uploaded(&apps.uploads(), "user:ada", "kept").await;
    let gone = uploaded(&apps.uploads(), "user:ada", "gone").await;
    let id = format!("{TEAM}/user:ada/{kept}");
    let record = records.get("upload", &id).await.expect("records").expect("an upload");
    let broken = Change::replace("upload", record.id, record.version, b"?".to_vec());
    records.change(&[broken]).await.expect("a change");
    apps.collect(after(2 * DAY)).await.expect("a collection");
    assert!(apps.blobs().info(&kept).await.expect("info").is_some());
    assert!(apps.blobs().info(&gone).await.expect("info").is_none());
}

#[tokio::test]
async fn a_rerun_renews_the_note_on_which_it_rests() {
    let records = Arc::new(MemoryRecords::new());
    let apps = Apps::new(Arc::new(MemoryBlobStore::new()), records.clone());
    let uploads = apps.uploads();
    let digest = uploaded(&uploads, "user:ada", "content").await;
    let first = claim("user:ada", digest);
    uploads.claim(&first).await.expect("own");
    let id = format!("{digest}/{}", first.execution);
    let version =
        async || records.get("upload.use", &id).await.expect("records").expect("a note").version;
    let before = version().await;
    uploads.claim(&claim("user:bob", digest).rerun_of(Some(first.execution))).await.expect("rerun");
    assert!(version().await > before, "a removal that was decided before has a conflict");
}

/// A coordinator with an action that takes uploads, and a worker that runs it.
async fn setting() -> (Apps, Coordinator, Worker) {
    let (apps, network) = (memory(), MemoryNetwork::new());
    let coordinator = Coordinator::builder(network.transport()).uploads(apps.uploads());
    let coordinator = coordinator.start().await.expect("a coordinator");
    let apps = apps.attach(coordinator.clone()).await.expect("apps");
    let schema = r#"{"type":"object","properties":{"blob":{"type":"string","format":"binary"}}}"#;
    let schema = Json::parse(schema).expect("JSON");
    let offer = ActionSet::new([Action::new("read").expect("an action").schema(schema)]);
    let executor = ScopedExecutor::new(offer, |_, _| async { Outcome::Succeeded(Json::null()) });
    let worker = Worker::builder(network.transport()).executor(executor).start();
    let worker = worker.await.expect("a worker");
    let mut catalogue = coordinator.watch_catalogue();
    catalogue.wait_for(|known| known.contains_key("read")).await.expect("the action");
    (apps, coordinator, worker)
}

#[tokio::test]
async fn an_upload_stays_while_an_execution_refers_to_it() {
    let (apps, coordinator, worker) = setting().await;
    // The caller of the trusted handle has no id.
    let used = uploaded(&apps.uploads(), "", "used").await;
    let unused = uploaded(&apps.uploads(), "", "unused").await;
    let unknown = Digest::from([7; 32]);
    let given = |digest: &Digest| serde_json::json!({ "blob": upload_reference(digest) });
    let execution = coordinator.submit("read", given(&used)).await.expect("an execution");
    let refused = coordinator.submit("read", given(&unknown)).await.expect_err("refused");
    assert_eq!(refused.kind(), ErrorKind::NotFound, "{refused}");
    execution.outcome().await.expect("its end");

    let kept = async |digest: &Digest| apps.blobs().info(digest).await.expect("info").is_some();
    apps.collect(after(DAY / 2)).await.expect("a collection");
    assert!(kept(&unused).await, "a submission may follow");
    let collected = apps.collect(after(2 * DAY)).await.expect("a collection");
    assert_eq!((collected.blobs, collected.bytes), (1, 6));
    assert!(kept(&used).await && !kept(&unused).await);
    // It can be submitted again, by rerun and by its owner.
    coordinator.rerun(execution.id(), Default::default()).await.expect("a rerun");
    coordinator.submit("read", given(&used)).await.expect("an execution");
    worker.shutdown(Duration::ZERO).await;
    coordinator.shutdown().await;
}

#[tokio::test]
async fn an_upload_of_a_submission_that_was_never_accepted_expires() {
    let (apps, coordinator, worker) = setting().await;
    let uploads = apps.uploads();
    let digest = uploaded(&uploads, "user:ada", "content").await;
    uploads.claim(&claim("user:ada", digest)).await.expect("a claim");
    apps.collect(after(DAY / 2)).await.expect("a collection");
    assert!(apps.blobs().info(&digest).await.expect("info").is_some());
    apps.collect(after(2 * DAY)).await.expect("a collection");
    assert!(apps.blobs().info(&digest).await.expect("info").is_none());
    worker.shutdown(Duration::ZERO).await;
    coordinator.shutdown().await;
}
