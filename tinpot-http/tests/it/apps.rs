//! Apps, versions and blobs over HTTP.

use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::Request;
use futures::{StreamExt, stream};
use serde_json::{Value, json};
use tinpot_bundle::{Apps, Hasher, Limits};
use tinpot_core::testing::{Grant, TestPolicy};
use tinpot_core::{Action, Caller, Coordinator, Deployed, MemoryNetwork, Result, Right};
use tinpot_http::{Anonymous, Authenticator, HttpConfig, Identity, Presented};
use tokio::sync::mpsc;

use crate::bundles::{Bundle, deployed, memory_apps};
use crate::cluster::{Answer, Cluster, answer, within};
use crate::openapi::{assert_described, document};

/// A coordinator without workers, and the router in front of it.
struct Setting {
    router: Router,
    coordinator: Coordinator,
}

impl Setting {
    async fn new(apps: Apps) -> Self {
        let coordinator = Coordinator::builder(MemoryNetwork::new().transport()).start();
        Self::of(coordinator.await.unwrap(), HttpConfig::default().apps(apps))
    }

    fn of(coordinator: Coordinator, config: HttpConfig) -> Self {
        let config = match config.authenticator {
            Some(_) => config,
            None => config.authenticator(Anonymous::default()),
        };
        Self { router: tinpot_http::router(coordinator.clone(), config), coordinator }
    }

    async fn ask(&self, method: &str, path: &str, body: impl Into<Body>) -> Answer {
        self.ask_as("", method, path, body).await
    }

    async fn ask_as(
        &self,
        caller: &str,
        method: &str,
        path: &str,
        body: impl Into<Body>,
    ) -> Answer {
        let request = Request::builder().method(method).uri(path).header("x-caller", caller);
        answer(self.router.clone(), request.body(body.into()).unwrap()).await
    }

    async fn create(&self, name: &str) {
        let body = json!({ "name": name }).to_string();
        let answer = self.ask("POST", "/api/apps", body).await;
        assert_eq!(answer.status, 201, "{answer:?}");
    }

    async fn upload(&self, bundle: &Bundle) {
        for (digest, content) in bundle.blobs() {
            let answer = self.ask("PUT", &format!("/api/blobs/{digest}"), content).await;
            assert_eq!(answer.status, 201, "{answer:?}");
        }
    }

    async fn deploy(&self, bundle: &Bundle) -> Answer {
        let path = format!("/api/apps/{}/versions", bundle.name());
        self.ask("POST", &path, bundle.body().to_string()).await
    }
}

#[tokio::test]
async fn an_app_is_created_deployed_rolled_back_and_disabled() {
    let setting = Setting::new(memory_apps()).await;
    let document = document(&Cluster::start().await).await;
    let create = json!({ "name": "hello", "description": "Greets." }).to_string();
    let created = setting.ask("POST", "/api/apps", create.clone()).await;
    assert_eq!(created.status, 201);
    assert_described(&document, "post", "/api/apps", &created);
    assert_eq!(created.json()["active_version"], Value::Null);
    let again = setting.ask("POST", "/api/apps", create).await;
    assert_described(&document, "post", "/api/apps", &again);
    assert_eq!(again.detail(409), "there is an app \"hello\" already");

    let (first, second) = (Bundle::of("hello", "one"), Bundle::of("hello", "two"));
    let missing = setting.deploy(&first).await;
    assert_described(&document, "post", "/api/apps/{app}/versions", &missing);
    let digests: Vec<String> = first.blobs().into_iter().map(|(digest, _)| digest).collect();
    assert_eq!(missing.json()["result"], "missing");
    assert_eq!(missing.json()["missing"], json!(digests));
    setting.upload(&first).await;
    let created = setting.deploy(&first).await;
    assert_eq!(created.status, 201, "{created:?}");
    assert_described(&document, "post", "/api/apps/{app}/versions", &created);
    assert_eq!(created.json()["version"]["active"], true);
    let unchanged = setting.deploy(&first).await;
    assert_eq!(
        (unchanged.status.as_u16(), &unchanged.json()["result"]),
        (200, &json!("unchanged"))
    );
    setting.upload(&second).await;
    assert_eq!(setting.deploy(&second).await.json()["version"]["version"], 2);

    let back = setting.ask("PATCH", "/api/apps/hello", r#"{"active_version":1}"#).await;
    assert_described(&document, "patch", "/api/apps/{app}", &back);
    assert_eq!((back.status.as_u16(), &back.json()["active_version"]), (200, &json!(1)));
    let again = setting.deploy(&second).await;
    assert_eq!((again.status.as_u16(), &again.json()["result"]), (200, &json!("activated")));
    let off = setting.ask("PATCH", "/api/apps/hello", r#"{"enabled":false}"#).await;
    assert_eq!(off.json()["enabled"], false);
    assert_eq!(setting.deploy(&second).await.json()["enabled"], false);

    for (path, described) in [
        ("/api/apps", "/api/apps"),
        ("/api/apps/hello", "/api/apps/{app}"),
        ("/api/apps/none", "/api/apps/{app}"),
        ("/api/apps/hello/versions", "/api/apps/{app}/versions"),
        ("/api/apps/hello/versions?limit=1", "/api/apps/{app}/versions"),
        ("/api/apps/hello/versions/2", "/api/apps/{app}/versions/{version}"),
        ("/api/apps/hello/versions/3", "/api/apps/{app}/versions/{version}"),
        ("/api/apps/hello/versions/2/diff?from=1", "/api/apps/{app}/versions/{version}/diff"),
        ("/api/apps/hello/versions/2/diff?from=9", "/api/apps/{app}/versions/{version}/diff"),
    ] {
        let answer = setting.ask("GET", path, "").await;
        assert_described(&document, "get", described, &answer);
    }
    let diff = setting.ask("GET", "/api/apps/hello/versions/2/diff?from=1", "").await.json();
    assert_eq!(diff["files"][0]["text"], "@@ -1 +1 @@\n-echo one\n+echo two\n", "{diff}");
    let diff = setting.ask("GET", "/api/apps/hello/versions/2/diff", "").await;
    assert!(diff.detail(422).contains("from must be the number"));
    let page = setting.ask("GET", "/api/apps/hello/versions?limit=1", "").await.json();
    assert_eq!((&page["versions"][0]["version"], &page["next"]), (&json!(2), &json!(2)));
    let page = setting.ask("GET", "/api/apps/hello/versions?limit=1&before=2", "").await.json();
    assert_eq!((&page["versions"][0]["version"], &page["next"]), (&json!(1), &Value::Null));
    let version = setting.ask("GET", "/api/apps/hello/versions/2", "").await.json();
    assert_eq!(version["files"][0]["path"], "Towerfile");
    assert_eq!(version["files"][1]["bytes"], 9);
    let file = setting.ask("GET", "/api/apps/hello/versions/2/files/main.sh", "").await;
    assert_eq!((file.text(), file.header("content-disposition")), ("echo two\n", "attachment"));
    let path = "/api/apps/{app}/versions/{version}/files/{path}";
    assert_described(&document, "get", path, &file);
}

#[tokio::test]
async fn what_is_refused_leaves_no_app_and_an_app_is_removed() {
    let coordinator = Coordinator::builder(MemoryNetwork::new().transport()).start();
    let coordinator = coordinator.await.unwrap();
    let apps = memory_apps().attach(coordinator.clone()).await.unwrap();
    let setting = Setting::of(coordinator, HttpConfig::default().apps(apps));
    let document = document(&Cluster::start().await).await;
    let versions = "/api/apps/hello/versions";
    let create =
        |digest: &str| json!({ "archive": digest, "create": true, "activate": true }).to_string();
    let garbage = Hasher::of(b"no archive").to_string();
    let missing = setting.ask("POST", versions, create(&garbage)).await;
    assert_described(&document, "post", "/api/apps/{app}/versions", &missing);
    assert_eq!(missing.json()["missing"], json!([garbage]));
    setting.ask("PUT", &format!("/api/blobs/{garbage}"), "no archive").await;
    assert!(setting.ask("POST", versions, create(&garbage)).await.detail(422).contains("tar.gz"));
    let bundle = Bundle::of("hello", "one");
    setting.upload(&bundle).await;
    assert_eq!(setting.deploy(&bundle).await.detail(404), "app \"hello\" not found");
    assert_eq!(setting.ask("GET", "/api/apps", "").await.json()["apps"], json!([]));

    let [_, (archive, _)] = bundle.blobs();
    for _ in 0..2 {
        let created = setting.ask("POST", versions, create(&archive)).await;
        assert_described(&document, "post", "/api/apps/{app}/versions", &created);
        let answer = created.json();
        assert_eq!((&answer["app_created"], &answer["enabled"]), (&json!(true), &json!(true)));
        assert_eq!(answer["version"]["version"], 1);
        assert_eq!(
            setting.ask("GET", "/api/apps/hello", "").await.json()["actions"],
            json!(["hello"])
        );
        let action = setting.ask("GET", "/api/actions/hello", "").await.json();
        assert_eq!((&action["version"], &action["app"]), (&json!(1), &json!("hello")));
        let refused = setting.ask("DELETE", "/api/apps/hello", "").await;
        assert_described(&document, "delete", "/api/apps/{app}", &refused);
        assert!(refused.detail(409).contains("disable it first"));
        setting.ask("PATCH", "/api/apps/hello", r#"{"enabled":false}"#).await;
        let removed = setting.ask("DELETE", "/api/apps/hello", "").await;
        assert_eq!(removed.status, 204);
        assert_eq!(setting.ask("GET", versions, "").await.status, 404);
        assert_eq!(setting.ask("DELETE", "/api/apps/hello", "").await.status, 404);
        assert!(!setting.coordinator.catalogue()["hello"].available);
    }
}

#[tokio::test]
async fn an_archive_alone_is_a_version_and_is_uploaded_only_if_it_is_new() {
    let setting = Setting::new(memory_apps()).await;
    setting.create("hello").await;
    let bundle = Bundle::of("hello", "one");
    let (archive, content) = (bundle.manifest.artifact.digest, bundle.manifest.content);
    let path = "/api/apps/hello/versions";
    let deploy = async |body: Value| setting.ask("POST", path, body.to_string()).await;
    let missing = deploy(json!({ "archive": archive, "content": content })).await.json();
    assert_eq!((&missing["result"], &missing["missing"]), (&json!("missing"), &json!([archive])));
    let put = format!("/api/blobs/{archive}");
    assert_eq!(setting.ask("PUT", &put, bundle.archive.clone()).await.status, 201);
    let created = deploy(json!({ "archive": archive })).await;
    assert_eq!(created.status, 201, "{created:?}");
    let version = created.json()["version"].clone();
    // The manifest is that of a client that makes one itself.
    assert_eq!(version["bundle"], json!(bundle.manifest.digest().unwrap()));
    assert_eq!(version["content"], json!(content));
    let other = "0".repeat(64);
    let again = deploy(json!({ "archive": other, "content": content })).await.json();
    assert_eq!(again["result"], "unchanged");
    let inactive = Bundle::of("hello", "two");
    let digest = inactive.manifest.artifact.digest;
    setting.ask("PUT", &format!("/api/blobs/{digest}"), inactive.archive.clone()).await;
    let body = json!({ "archive": digest, "activate": false });
    assert_eq!(deploy(body).await.json()["version"]["active"], false);

    let wrong = deploy(json!({ "archive": digest, "content": other })).await.detail(422);
    assert!(wrong.contains("content must be that of the files in the archive"), "{wrong}");
    let neither = deploy(json!({ "content": content })).await.detail(422);
    assert_eq!(neither, "body must have content and manifest, or archive");
    let text = "no archive";
    let digest = Hasher::of(text.as_bytes());
    setting.ask("PUT", &format!("/api/blobs/{digest}"), text).await;
    let broken = deploy(json!({ "archive": digest })).await.detail(422);
    assert!(broken.starts_with("bundle: "), "{broken}");
}

#[tokio::test]
async fn the_server_selects_the_files_of_a_folder_as_packing_does() {
    let setting = Setting::new(memory_apps()).await;
    let document = document(&Cluster::start().await).await;
    let towerfile = "[app]\nname = \"hello\"\nsource = [\"bin/*\", \"*.py\"]\ncolour = 1\n\
        [tinpot]\nexec = [\"./bin/tool\"]\n";
    let ask = async |towerfile: &str, paths: Value| {
        let body = json!({ "towerfile": towerfile, "ignore": "*.log\n", "paths": paths });
        setting.ask("POST", "/api/bundles/files", body.to_string()).await
    };
    let paths = json!(["main.py", "bin/tool", "bin/a.log", ".git/config", "Towerfile", "x/y.py"]);
    let answer = ask(towerfile, paths).await;
    assert_described(&document, "post", "/api/bundles/files", &answer);
    let selected = answer.json();
    let expected = json!([
        { "path": "Towerfile", "executable": false },
        { "path": "bin/tool", "executable": true },
        { "path": "main.py", "executable": false },
    ]);
    assert_eq!((&selected["app"], &selected["files"]), (&json!("hello"), &expected));
    assert!(selected["warnings"][0].as_str().unwrap().contains("app.colour"), "{selected}");
    for (towerfile, paths, expected) in [
        ("x", json!([]), "Towerfile: is not TOML"),
        (towerfile, json!(["bin/tool"]), "Towerfile must be a file in the folder"),
        (towerfile, json!(["Towerfile", "bin/\u{7}"]), "must not have control characters"),
        (towerfile, json!(["Towerfile", "main.py", "main.py"]), "must be there once"),
    ] {
        let detail = ask(towerfile, paths).await.detail(422);
        assert!(detail.contains(expected), "{detail}");
    }
}

#[tokio::test]
async fn the_server_selects_the_files_of_a_folder_of_actions() {
    let setting = Setting::new(memory_apps()).await;
    let ask = async |body: Value| setting.ask("POST", "/api/bundles/files", body.to_string()).await;
    let paths = json!(["tools.py", "lib/a.py", "__pycache__/tools.pyc", "notes.txt"]);
    let selected = ask(json!({ "app": "tools", "paths": paths })).await.json();
    // As `tinpot deploy` writes it: the files have the same content with both.
    let towerfile = "[app]\nname = \"tools\"\n\n[tinpot]\nkind = \"actions\"\n";
    assert_eq!((&selected["towerfile"], &selected["app"]), (&json!(towerfile), &json!("tools")));
    let files = selected["files"].as_array().unwrap().iter();
    let files: Vec<_> = files.map(|file| file["path"].as_str().unwrap()).collect();
    assert_eq!(files, ["Towerfile", "lib/a.py", "notes.txt", "tools.py"]);
    for (body, expected) in [
        (json!({ "app": "tools", "paths": ["notes.txt", "a/b/c.py"] }), "no Python file"),
        (json!({ "app": "Tools", "paths": ["a.py"] }), "must have 3 to 32 lower-case letters"),
        (json!({ "paths": ["a.py"] }), "app must be the name of the app"),
        (json!({ "app": "tools", "paths": ["a.py", "Towerfile"] }), "the text of the Towerfile"),
        (json!({ "app": "tools", "towerfile": towerfile, "paths": [] }), "does not go with"),
    ] {
        let detail = ask(body).await.detail(422);
        assert!(detail.contains(expected), "{detail}");
    }
}

#[tokio::test]
async fn executions_of_a_deployed_action_name_its_version() {
    let setting = Setting::new(memory_apps()).await;
    let deployed = Deployed::new("script", 3, Hasher::of(b"bundle"));
    let action = Action::new("hello").unwrap().deployed(deployed);
    setting.coordinator.deploy(vec![action]).await.unwrap();
    let accepted = setting.ask("POST", "/api/actions/hello/execute", "{}").await;
    let id = accepted.json()["execution_id"].as_str().unwrap().to_owned();
    for path in ["/api/actions/hello".to_owned(), format!("/api/executions/{id}")] {
        assert_eq!(setting.ask("GET", &path, "").await.json()["version"], 3, "{path}");
    }
    let page = setting.ask("GET", "/api/executions", "").await.json();
    assert_eq!(page["executions"][0]["version"], 3);
}

#[tokio::test]
async fn what_is_wrong_is_refused_with_a_reason() {
    let setting = Setting::new(memory_apps()).await;
    setting.create("hello").await;
    let zeros = "0".repeat(64);
    for (method, path, body, status, expected) in [
        ("POST", "/api/apps", r#"{"name":"Hello"}"#, 422, "the name of an app must have 3 to 32"),
        ("POST", "/api/apps", r#"{"name":"api"}"#, 422, "reserved name \"api\""),
        ("POST", "/api/apps", r#"{"nam":"x"}"#, 422, "nam"),
        ("POST", "/api/apps", "", 400, "JSON"),
        ("GET", "/api/apps?q=x", "", 422, "\"q\" is not a query parameter"),
        ("GET", "/api/apps/none", "", 404, "app \"none\" not found"),
        ("PATCH", "/api/apps/none", "{}", 404, "app \"none\" not found"),
        ("PATCH", "/api/apps/hello", "{}", 422, "enabled or active_version"),
        ("PATCH", "/api/apps/hello", r#"{"active_version":7}"#, 404, "has no version 7"),
        ("GET", "/api/apps/hello/versions/1", "", 404, "has no version 1; it has none yet"),
        ("GET", "/api/apps/hello/versions/x", "", 404, "versions have numbers"),
        ("GET", "/api/apps/hello/versions/-1", "", 404, "versions have numbers"),
        ("GET", "/api/apps/hello/versions?before=x", "", 422, "before must be the number"),
        ("GET", "/api/apps/hello/versions?limit=0", "", 422, "limit must be"),
        ("POST", "/api/apps/hello/versions", r#"{"content":"x","manifest":"y"}"#, 422, "64 hexa"),
        ("POST", "/api/apps/hello/versions", r#"{"manifest":"y"}"#, 422, ""),
        ("GET", "/api/blobs/x", "", 404, "64 hexadecimal digits"),
        ("GET", &format!("/api/blobs/{zeros}"), "", 404, "not found"),
        ("PUT", &format!("/api/blobs/{zeros}"), "other", 422, "must have the digest"),
    ] {
        let answer = setting.ask(method, path, body).await;
        let detail = answer.detail(status);
        assert!(detail.contains(expected), "{method} {path}: {detail}");
    }
    // Nothing is left of the wrong blob.
    let digest = "d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa";
    assert_eq!(setting.ask("GET", &format!("/api/blobs/{digest}"), "").await.status, 404);
    let other = Bundle::of("other", "hi");
    setting.upload(&other).await;
    let answer = setting.ask("POST", "/api/apps/hello/versions", other.body().to_string()).await;
    assert!(answer.detail(422).contains("app.name must be \"hello\""));
    // Without apps, there are no such routes.
    let cluster = Cluster::start().await;
    for path in ["/api/apps", "/api/apps/hello", "/api/blobs/x"] {
        assert_eq!(cluster.get(path).await.detail(404), "this server keeps no apps");
    }
}

#[tokio::test]
async fn a_blob_is_returned_whole_in_ranges_and_without_its_body() {
    let setting = Setting::new(memory_apps()).await;
    let bundle = Bundle::of("hello", "hi");
    setting.upload(&bundle).await;
    let (digest, content) = bundle.blobs().into_iter().next().unwrap();
    let path = format!("/api/blobs/{digest}");
    let whole = setting.ask("GET", &path, "").await;
    assert_eq!((whole.status.as_u16(), &whole.body[..]), (200, &content[..]));
    let size = content.len();
    assert_eq!(whole.header("content-length"), size.to_string());
    let head = setting.ask("HEAD", &path, "").await;
    assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
    assert_eq!(head.header("content-length"), size.to_string());
    for (range, from, to) in [
        ("bytes=0-9", 0, 10),
        ("bytes=5-", 5, size),
        ("bytes=-7", size - 7, size),
        ("bytes=10-99999999", 10, size),
    ] {
        let request = Request::get(&path).header("range", range).body(Body::empty()).unwrap();
        let part = answer(setting.router.clone(), request).await;
        assert_eq!((part.status.as_u16(), &part.body[..]), (206, &content[from..to]), "{range}");
        let expected = format!("bytes {from}-{}/{size}", to - 1);
        assert_eq!(part.header("content-range"), expected);
    }
    for (range, status) in [("bytes=99999999-", 416), ("bytes=9-1", 200), ("bytes=0-1,4-5", 200)] {
        let request = Request::get(&path).header("range", range).body(Body::empty()).unwrap();
        assert_eq!(answer(setting.router.clone(), request).await.status, status, "{range}");
    }
}

/// A body whose pieces come from a channel.
fn slow() -> (mpsc::Sender<&'static str>, Body) {
    let (sender, receiver) = mpsc::channel::<&'static str>(1);
    let pieces = stream::unfold(receiver, |mut receiver| async move {
        let piece = receiver.recv().await?;
        Some((Ok::<_, std::io::Error>(Bytes::from_static(piece.as_bytes())), receiver))
    });
    (sender, Body::from_stream(pieces))
}

/// The digest of "ab".
const AB: &str = "fb8e20fc2e4c3f248c60c39bd652f3c1347298bb977b8b4d5903b85055620603";

#[tokio::test]
async fn four_uploads_are_taken_at_one_time() {
    let setting = Setting::new(memory_apps()).await;
    let put = |body: Body| {
        let router = setting.router.clone();
        let request = Request::put(format!("/api/blobs/{AB}")).body(body).unwrap();
        tokio::spawn(async move { answer(router, request).await })
    };
    let mut uploads = Vec::new();
    for _ in 0..4 {
        let (sender, body) = slow();
        let upload = put(body);
        // Once there is room for another piece, the server has taken the first one.
        sender.send("a").await.unwrap();
        within(sender.reserve()).await.unwrap().send("b");
        uploads.push((sender, upload));
    }
    let refused = within(put(Body::from("ab"))).await.unwrap();
    assert!(refused.detail(503).contains("takes 4 at one time"));
    assert_eq!(refused.header("retry-after"), "1");
    for (sender, upload) in uploads {
        drop(sender);
        assert_eq!(within(upload).await.unwrap().status, 201);
    }
    assert_eq!(within(put(Body::from("ab"))).await.unwrap().status, 201);
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_stands_still_or_breaks_leaves_nothing() {
    let setting = Setting::new(memory_apps()).await;
    let path = format!("/api/blobs/{AB}");
    let (sender, body) = slow();
    sender.send("a").await.unwrap();
    let begin = tokio::time::Instant::now();
    let late = setting.ask("PUT", &path, body).await;
    assert!(late.detail(408).contains("no byte of the body arrived for 30 s"));
    assert!(begin.elapsed() >= Duration::from_secs(30));
    drop(sender);
    let broken = stream::iter([Ok(Bytes::from_static(b"ab")), Err(std::io::Error::other("cut"))]);
    let broken = setting.ask("PUT", &path, Body::from_stream(broken)).await;
    assert!(broken.detail(400).contains("could not be read to its end"));
    assert_eq!(setting.ask("GET", &path, "").await.status, 404);
}

#[tokio::test]
async fn an_upload_is_bounded() {
    let mut limits = Limits::default();
    limits.packed_bytes = 1;
    let setting = Setting::new(memory_apps().limits(limits)).await;
    let path = format!("/api/blobs/{AB}");
    let stated = Request::put(&path).header("content-length", "2").body(Body::from("ab")).unwrap();
    let refused = answer(setting.router.clone(), stated).await;
    assert_eq!(refused.detail(413), "body must have at most 1 bytes");
    let pieces = stream::iter(["a", "b"]).map(|piece| Ok::<_, std::io::Error>(Bytes::from(piece)));
    let unstated = setting.ask("PUT", &path, Body::from_stream(pieces)).await;
    assert_eq!(unstated.detail(413), "body must have at most 1 bytes");
    assert_eq!(setting.ask("GET", &path, "").await.status, 404);
}

/// Names the caller in the header `x-caller`, as `name@team`.
#[derive(Debug)]
pub(crate) struct Named;

#[async_trait]
impl Authenticator for Named {
    async fn authenticate(&self, request: &Presented<'_>) -> Result<Identity> {
        let name = request.headers.get("x-caller").and_then(|name| name.to_str().ok());
        let (name, team) = name.unwrap_or_default().split_once('@').unwrap_or(("", ""));
        let caller = Caller::new(format!("user:{name}")).name(name).team(team).into();
        Ok(Identity::Known { caller, valid_until: None, by_cookie: false })
    }
}

#[tokio::test]
async fn a_caller_sees_and_deploys_what_the_grants_name() {
    const ALL: &[Right] = &[Right::SeeAction, Right::Deploy];
    let policy = TestPolicy::new([
        Grant::new("user:ada", ALL),
        Grant::new("user:eve", ALL).actions(&["hello"]).queues(&["default"]),
        Grant::new("user:bob", ALL).team("b"),
        Grant::new("user:zoe", &[Right::SeeAction]),
    ]);
    let network = MemoryNetwork::new();
    let coordinator = Coordinator::builder(network.transport()).policy(policy).start();
    let apps = memory_apps();
    let config = HttpConfig::default().apps(apps.clone()).authenticator(Named);
    let setting = Setting::of(coordinator.await.unwrap(), config);
    let bundle = Bundle::of("secret-app", "canary");
    deployed(&apps, "default", &bundle).await;
    deployed(&apps, "default", &Bundle::of("hello", "one")).await;

    let listed = async |caller: &str| {
        let answer = setting.ask_as(caller, "GET", "/api/apps", "").await.json();
        let names = answer["apps"].as_array().unwrap().iter();
        names.map(|app| app["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(listed("ada@default").await, ["hello", "secret-app"]);
    assert_eq!(listed("eve@default").await, ["hello"]);
    assert_eq!(listed("zoe@default").await, ["hello", "secret-app"]);
    assert!(listed("bob@b").await.is_empty());
    assert!(listed("ada@b").await.is_empty());
    let rest = ["", "/versions", "/versions/1", "/versions/1/files/main.sh"];
    for caller in ["eve@default", "bob@b", "max@default"] {
        for rest in rest {
            let path = format!("/api/apps/secret-app{rest}");
            let answer = setting.ask_as(caller, "GET", &path, "").await;
            assert_eq!(answer.detail(404), "app \"secret-app\" not found", "{caller} {path}");
        }
        let change = r#"{"enabled":false}"#;
        let answer = setting.ask_as(caller, "PATCH", "/api/apps/secret-app", change).await;
        assert_eq!(answer.status, 404);
    }
    // Only to look at, without the source.
    for (rest, status) in rest.into_iter().zip([200, 200, 200, 403]) {
        let path = format!("/api/apps/secret-app{rest}");
        assert_eq!(setting.ask_as("zoe@default", "GET", &path, "").await.status, status, "{path}");
    }
    let diff = "/api/apps/secret-app/versions/1/diff?from=1";
    assert_eq!(setting.ask_as("zoe@default", "GET", diff, "").await.status, 200);
    let change = r#"{"enabled":false}"#;
    let answer = setting.ask_as("zoe@default", "PATCH", "/api/apps/secret-app", change).await;
    assert!(answer.detail(403).contains("caller \"zoe\" may not deploy app"));
    let blob = format!("/api/blobs/{}", bundle.manifest.artifact.digest);
    for (caller, status) in
        [("ada@default", 200), ("bob@b", 404), ("zoe@default", 403), ("max@default", 404)]
    {
        assert_eq!(setting.ask_as(caller, "GET", &blob, "").await.status, status, "{caller}");
    }
    // A name beyond the grant, and a queue beyond it.
    let other = r#"{"name":"other"}"#;
    assert_eq!(setting.ask_as("eve@default", "POST", "/api/apps", other).await.status, 404);
    let towerfile = "[app]\nname = \"hello\"\nscript = \"main.sh\"\n[tinpot]\nqueue = \"night\"\n";
    let night = Bundle::with(towerfile, "night");
    for (digest, content) in night.blobs() {
        let path = format!("/api/blobs/{digest}");
        let answer = setting.ask_as("eve@default", "PUT", &path, content).await;
        assert_eq!(answer.status, 201);
    }
    let path = "/api/apps/hello/versions";
    let deploy = night.body().to_string();
    let refused = setting.ask_as("eve@default", "POST", path, deploy.clone()).await;
    assert!(refused.detail(403).contains("queue \"night\""));
    assert_eq!(setting.ask_as("ada@default", "POST", path, deploy).await.status, 201);
    let by = setting.ask_as("ada@default", "GET", "/api/apps/hello/versions/2", "").await.json();
    assert_eq!(by["created_by"], "ada");
}
