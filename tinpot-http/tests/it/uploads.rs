//! Uploads for parameters over HTTP.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::http::Request;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::stream;
use serde_json::json;
use tinpot_bundle::{
    Apps, Blob, BlobInfo, BlobStore, Body as Content, ByteRange, Collection, Hasher, PutOptions,
};
use tinpot_core::access::MemoryRecords;
use tinpot_core::testing::{Grant, TestPolicy};
use tinpot_core::{Coordinator, Digest, Error, ErrorKind, MemoryNetwork, Result, Right, Timestamp};
use tinpot_http::HttpConfig;
use tower::ServiceExt;

use crate::apps::Named;
use crate::bundles::memory_apps;
use crate::cluster::{Answer, Cluster, answer};
use crate::openapi::{assert_described, document};

const PATH: &str = "/api/actions/add/uploads";
const ROUTE: &str = "/api/actions/{name}/uploads";

/// A cluster whose coordinator knows the uploads of these apps.
async fn cluster(apps: &Apps, config: HttpConfig) -> Cluster {
    let network = MemoryNetwork::new();
    let coordinator = Coordinator::builder(network.transport()).uploads(apps.uploads());
    let coordinator = coordinator.start().await.unwrap();
    Cluster::on(network, coordinator, config.apps(apps.clone())).await
}

async fn upload(cluster: &Cluster, body: impl Into<Body>) -> Answer {
    cluster.request(Request::post(PATH).body(body.into()).unwrap()).await
}

#[tokio::test]
async fn a_submission_refers_to_an_upload() {
    let apps = memory_apps();
    let cluster = cluster(&apps, HttpConfig::default()).await;
    let document = document(&cluster).await;
    let sent = upload(&cluster, "content").await;
    assert_eq!(sent.status, 201, "{sent:?}");
    assert_described(&document, "post", ROUTE, &sent);
    let digest = Hasher::of(b"content").to_string();
    let (sent, reference) = (sent.json(), format!("upload:{digest}"));
    assert_eq!((&sent["digest"], &sent["bytes"]), (&json!(digest), &json!(7)));
    assert_eq!(sent["upload"], json!(reference));
    // Two executions have the same one.
    let body = json!({ "parameters": { "blob": reference, "days": 1 } }).to_string();
    let ids = [cluster.submit("typed", &body).await, cluster.submit("typed", &body).await];
    assert_ne!(ids[0], ids[1]);
    for id in ids {
        let shown = cluster.get(&format!("/api/executions/{id}")).await.json();
        assert_eq!(shown["parameters"]["blob"], json!(reference));
        let again = cluster.post(&format!("/api/executions/{id}/rerun"), "").await;
        assert!(again.status.is_success(), "{again:?}");
    }
    let never = format!("upload:{}", "0".repeat(64));
    let body = json!({ "parameters": { "blob": never, "days": 1 } }).to_string();
    let refused = cluster.post("/api/actions/typed/execute", body).await;
    assert!(refused.detail(404).contains("not found: it was never made, has expired"));
    // Elsewhere, such a text is a text.
    let plain = json!({ "parameters": { "any": [never], "days": 1 } }).to_string();
    let id = cluster.submit("typed", &plain).await;
    let shown = cluster.get(&format!("/api/executions/{id}")).await.json();
    assert_eq!(shown["parameters"]["any"], json!([never]));
    // It is no blob to download: only an attempt may.
    let downloaded = cluster.get(&format!("/api/blobs/{digest}")).await;
    assert_eq!(downloaded.status, 404, "{downloaded:?}");
}

#[tokio::test]
async fn what_is_not_whole_or_too_large_is_refused_and_leaves_nothing() {
    let apps = memory_apps();
    let cluster = cluster(&apps, HttpConfig::default().max_upload_bytes(7)).await;
    let document = document(&cluster).await;
    let stated = Request::post(PATH).header("content-length", "8").body(Body::from("12345678"));
    let stated = cluster.request(stated.unwrap()).await;
    assert_eq!(
        stated.detail(413),
        "upload must have at most 7 bytes (got 8): the setting limit_upload of the server allows more"
    );
    assert_described(&document, "post", ROUTE, &stated);
    let pieces = |pieces: Vec<std::io::Result<Bytes>>| Body::from_stream(stream::iter(pieces));
    let piece = |text: &'static str| Ok(Bytes::from_static(text.as_bytes()));
    let unstated = upload(&cluster, pieces(vec![piece("1234"), piece("5678")])).await;
    assert!(unstated.detail(413).contains("at most 7 bytes: the setting limit_upload"));
    let cut = upload(&cluster, pieces(vec![piece("1234"), Err(std::io::Error::other("cut"))]));
    assert!(cut.await.detail(400).contains("could not be read to its end"));

    let stated = |digest: &[u8]| format!("sha-256=:{}:", STANDARD.encode(digest));
    let with = async |header: String| {
        let request = Request::post(PATH).header("content-digest", header);
        cluster.request(request.body(Body::from("content")).unwrap()).await
    };
    let wrong = with(stated(&[7; 32])).await;
    assert!(wrong.detail(422).contains("must have the digest 0707"), "{wrong:?}");
    let none = with("sha-256=:?:".to_owned()).await;
    assert!(none.detail(400).contains("header Content-Digest must be like"), "{none:?}");
    assert!(apps.blobs().list(None, 10).await.unwrap().is_empty());
    let right = with(format!("md5=:aa:, {}", stated(Hasher::of(b"content").as_bytes()))).await;
    assert_eq!(right.status, 201, "{right:?}");

    let unknown = Request::post("/api/actions/none/uploads").body(Body::from("x")).unwrap();
    assert_eq!(cluster.request(unknown).await.detail(404), "action \"none\" not found");
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_stands_still_is_given_up() {
    let apps = memory_apps();
    let cluster = cluster(&apps, HttpConfig::default()).await;
    let begin = tokio::time::Instant::now();
    let start = stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"half"))]);
    let body = Body::from_stream(futures::StreamExt::chain(start, stream::pending()));
    let late = upload(&cluster, body).await;
    assert!(late.detail(408).contains("no byte of the body arrived for 30 s"));
    assert!(begin.elapsed() >= Duration::from_secs(30));
    assert!(apps.blobs().list(None, 10).await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_is_slow_is_given_up() {
    let apps = memory_apps();
    let cluster = cluster(&apps, HttpConfig::default()).await;
    let body = |seconds: u64, bytes: usize| {
        let pieces = stream::unfold((), move |()| async move {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            Some((Ok::<_, std::io::Error>(Bytes::from(vec![0; bytes])), ()))
        });
        Body::from_stream(futures::StreamExt::take(pieces, 20))
    };
    // Longer than the deadline of other requests.
    let send = async |body: Body| {
        let request = Request::post(PATH).body(body).unwrap();
        let (parts, body) =
            Router::clone(&cluster.router).oneshot(request).await.unwrap().into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        Answer { status: parts.status, headers: parts.headers, body }
    };
    let begin = tokio::time::Instant::now();
    let slow = send(body(29, 1)).await;
    assert_eq!(slow.detail(408), "the body arrived more slowly than 32 KiB in a second");
    let took = begin.elapsed().as_secs();
    assert!((60..70).contains(&took), "{took} s");
    let fast_enough = send(body(10, 400_000)).await;
    assert_eq!(fast_enough.status, 201, "{fast_enough:?}");
}

#[tokio::test(start_paused = true)]
async fn one_caller_cannot_take_the_turns_of_all() {
    let policy = TestPolicy::new([
        Grant::new("user:ada", &[Right::SeeAction, Right::Run]),
        Grant::new("user:bob", &[Right::SeeAction, Right::Run]),
    ]);
    let apps = memory_apps();
    let network = MemoryNetwork::new();
    let coordinator = Coordinator::builder(network.transport()).policy(policy).start();
    let config = HttpConfig::default().apps(apps.clone()).authenticator(Named);
    let cluster = Cluster::on(network, coordinator.await.unwrap(), config).await;
    let send = |caller: &str, body: Body| {
        let request = Request::post(PATH).header("x-caller", caller).body(body).unwrap();
        answer(Router::clone(&cluster.router), request)
    };
    let endless = || Body::from_stream(stream::pending::<std::io::Result<Bytes>>());
    let standing = futures::future::join_all((0..4).map(|_| send("ada@default", endless())));
    let others = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let refused = send("ada@default", Body::from("content")).await;
        assert!(refused.detail(429).contains("takes 4 of one caller at one time"));
        let other = send("bob@default", Body::from("content")).await;
        assert_eq!(other.status, 201, "{other:?}");
    };
    let (standing, ()) = tokio::join!(standing, others);
    assert!(standing.iter().all(|answer| answer.status == 408));
    assert_eq!(send("ada@default", Body::from("content")).await.status, 201);
}

#[tokio::test]
async fn the_uploads_of_a_caller_are_bounded() {
    let apps = memory_apps().collection(Collection::default().unused_uploads(2 * 65_536));
    let cluster = cluster(&apps, HttpConfig::default().max_upload_bytes(65_536)).await;
    let document = document(&cluster).await;
    assert_eq!(upload(&cluster, "1").await.status, 201);
    assert_eq!(upload(&cluster, "2").await.status, 201);
    let refused = upload(&cluster, "3").await;
    assert!(refused.detail(429).contains("at most 131072 bytes (got 196608"), "{refused:?}");
    assert_described(&document, "post", ROUTE, &refused);
    let reference = format!("upload:{}", Hasher::of(b"1"));
    // One that is refused frees nothing; one that is accepted does.
    let body = |days| json!({ "parameters": { "blob": reference, "days": days } }).to_string();
    cluster.post("/api/actions/typed/execute", body(0)).await.detail(422);
    upload(&cluster, "3").await.detail(429);
    cluster.submit("typed", &body(1)).await;
    assert_eq!(upload(&cluster, "3").await.status, 201);
}

#[tokio::test]
async fn uploads_are_of_those_who_may_run_the_action() {
    let policy = TestPolicy::new([
        Grant::new("user:ada", &[Right::SeeAction, Right::Run, Right::Read]),
        Grant::new("user:bob", &[Right::SeeAction, Right::Run, Right::Read]),
        Grant::new("user:zoe", &[Right::SeeAction]),
    ]);
    let apps = memory_apps();
    let network = MemoryNetwork::new();
    let coordinator = Coordinator::builder(network.transport()).uploads(apps.uploads());
    let coordinator = coordinator.policy(policy).start().await.unwrap();
    let config = HttpConfig::default().apps(apps.clone()).authenticator(Named);
    let Cluster { router, .. } = &Cluster::on(network, coordinator, config).await;
    let ask = async |caller: &str, path: &str, body: String| {
        let request = Request::post(path).header("x-caller", caller).body(Body::from(body));
        answer(Router::clone(router), request.unwrap()).await
    };
    for (caller, status) in
        [("ada@default", 201), ("zoe@default", 403), ("max@default", 404), ("ada@b", 404)]
    {
        let sent = ask(caller, PATH, "content".to_owned()).await;
        assert_eq!(sent.status, status, "{caller}: {sent:?}");
    }
    let reference = format!("upload:{}", Hasher::of(b"content"));
    let body = json!({ "parameters": { "blob": reference, "days": 1 } }).to_string();
    let path = "/api/actions/typed/execute";
    assert_eq!(ask("ada@default", path, body.clone()).await.status, 200);
    let foreign = ask("bob@default", path, body).await;
    assert!(foreign.detail(404).contains("is that of another caller"), "{foreign:?}");
}

/// A full disk.
#[derive(Debug)]
struct Full;

#[async_trait]
impl BlobStore for Full {
    async fn put(&self, _: Content, _: PutOptions) -> Result<BlobInfo> {
        Err(Error::new(ErrorKind::StorageFull, "the disk is full"))
    }

    async fn get(&self, _: &Digest, _: ByteRange) -> Result<Option<Blob>> {
        Ok(None)
    }

    async fn info(&self, _: &Digest) -> Result<Option<BlobInfo>> {
        Ok(None)
    }

    async fn list(&self, _: Option<&Digest>, _: usize) -> Result<Vec<BlobInfo>> {
        Ok(Vec::new())
    }

    async fn delete(&self, _: &Digest, _: Timestamp) -> Result<bool> {
        Ok(false)
    }
}

#[tokio::test]
async fn a_full_disk_is_told() {
    let apps = Apps::new(Arc::new(Full), Arc::new(MemoryRecords::new()));
    let cluster = cluster(&apps, HttpConfig::default()).await;
    let refused = upload(&cluster, "content").await;
    assert!(refused.detail(507).contains("the disk is full"), "{refused:?}");
}
