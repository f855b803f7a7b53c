//! The rights of each route, over HTTP: all routes, with callers who have just enough and one right
//! too few, and canaries of what is hidden in every answer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use futures::StreamExt;
use serde_json::{Value, json};
use tinpot_access::{Directory, Login};
use tinpot_core::access::MemoryRecords;
use tinpot_core::store::Transition;
use tinpot_core::testing::{Grant, TestPolicy};
use tinpot_core::{
    Action, Caller, Coordinator, Error, ErrorKind, Execution, ExecutionId, Failure,
    FunctionExecutor, Json, MemoryNetwork, MemoryStore, Outcome, Result, Right, Store, Timestamp,
    Worker,
};
use tinpot_http::{Accounts, Authenticator, HttpConfig, Identity, Presented};
use tower::ServiceExt;

use crate::bundles::{Bundle, deployed, memory_apps};
use crate::cluster::{Answer, Cluster, within};
use crate::people::cheap_passwords;

/// A word of everything that is hidden from callers of one action.
const CANARY: &str = "canary";

/// Names the caller in the header `x-caller`. The caller `leaving` is refused once it has
/// gone,
/// and the identity of `ending` has an end then.
#[derive(Clone, Debug, Default)]
struct Named {
    gone: Arc<AtomicBool>,
}

#[async_trait]
impl Authenticator for Named {
    async fn authenticate(&self, request: &Presented<'_>) -> Result<Identity> {
        let mut names = request.headers.get_all("x-caller").iter();
        let (first, second) = (names.next(), names.next());
        let name = first.and_then(|name| name.to_str().ok()).unwrap_or_default();
        let known = |name: &str, valid_until| {
            let caller = match name.strip_prefix("of-team-b-") {
                Some(_) => Caller::new(name).team("b"),
                None => Caller::new(name),
            };
            Ok(Identity::Known { caller: caller.into(), valid_until, by_cookie: false })
        };
        match name {
            _ if second.is_some() => Ok(Identity::Refused("two callers".to_owned())),
            "" => Ok(Identity::Unknown),
            "leaving" if self.gone.load(Ordering::Relaxed) => {
                Ok(Identity::Refused("caller is gone".to_owned()))
            }
            // As a secret after its token was rotated.
            "ending" if self.gone.load(Ordering::Relaxed) => {
                known(name, Some(Timestamp(Timestamp::now().0 + 300_000)))
            }
            "garbage" | "revoked" => Ok(Identity::Refused("caller is unknown".to_owned())),
            "broken" => Err(Error::new(ErrorKind::Unavailable, "canary: the directory is down")),
            "expired" => known(name, Some(Timestamp(1))),
            "brief" => known(name, Some(Timestamp(Timestamp::now().0 + 1_500_000))),
            name => known(name, None),
        }
    }
}

struct Setting {
    /// A worker for hidden executions. Held so that it lives.
    _other: Worker,
    cluster: Cluster,
    policy: TestPolicy,
    callers: Named,
    /// Executions that are hidden: of a hidden action, and of another team.
    hidden: [ExecutionId; 2],
}

fn planted(team: &str, action: &str) -> Execution {
    let parameters = Json::parse(format!("{{\"{CANARY}\": \"{CANARY}\"}}")).unwrap();
    let mut execution = Execution::new(ExecutionId::generate(), action, parameters);
    execution.queue = format!("{CANARY}-queue").into();
    execution.team = team.into();
    execution.caller = format!("{CANARY}-caller").into();
    execution.requested_by = Some(format!("{CANARY}-requester").into());
    execution.idempotency_key = Some(format!("u/{team}/{CANARY}/{CANARY}-{team}").into());
    execution
}

async fn setting() -> Setting {
    let store = Arc::new(MemoryStore::new());
    let (_, session) = store.open().await.unwrap();
    let action = |name: &str| Action::new(name).unwrap().group(format!("{CANARY}-group"));
    let hidden = [planted("", "canary-action"), planted("b", "gate")];
    let mut batch = vec![Transition::Offer(action("canary-action").into())];
    for execution in &hidden {
        batch.push(Transition::Accept(execution.clone().into()));
        let outcome = Outcome::Failed(Failure::new(CANARY).kind(CANARY).traceback(CANARY));
        let (execution, fence, ran, log_end) = (execution.id, None, None, None);
        batch.push(Transition::Finish { execution, fence, outcome, ran, log_end });
    }
    session.commit(&batch, Timestamp::now()).await.unwrap();
    session.close().await.unwrap();
    let (network, policy) = (MemoryNetwork::new(), TestPolicy::new([]));
    let coordinator = Coordinator::builder(network.transport()).store(store);
    let coordinator = coordinator.policy(policy.clone()).start().await.unwrap();
    let callers = Named::default();
    let apps = memory_apps();
    // The digest in the paths of this file is that of nothing.
    let nothing = tinpot_bundle::body("");
    apps.put_blob("default", nothing, tinpot_bundle::PutOptions::default()).await.unwrap();
    deployed(&apps, "default", &Bundle::of("gate", "open")).await;
    for (team, app) in [("default", "canary-action"), ("b", "gate")] {
        deployed(&apps, team, &Bundle::of(app, CANARY)).await;
    }
    let config = HttpConfig::default().accounts(accounts().await).authenticator(callers.clone());
    let config = config.metrics(|| "up 1\n".to_owned()).apps(apps);
    let executor = FunctionExecutor::builder()
        .action_with(
            "canary-action",
            |action| action.group(format!("{CANARY}-group")),
            |_, ()| async { Ok::<_, String>(()) },
        )
        .build()
        .unwrap();
    let other = Worker::builder(network.transport()).name("canary-worker").executor(executor);
    let other = other.queues(["canary-queue"]).start().await.unwrap();
    let cluster = Cluster::on(network, coordinator, config).await;
    Setting {
        _other: other,
        cluster,
        policy,
        callers,
        hidden: hidden.map(|execution| execution.id),
    }
}

/// Users of whom the callers of this file are none.
async fn accounts() -> Accounts {
    let directory = Directory::builder(Arc::new(MemoryRecords::new())).open().await.unwrap();
    Accounts::new(Login::new(directory, cheap_passwords()))
}

impl Setting {
    fn grant(&self, grant: Grant) {
        self.policy.change(|grants| grants.push(grant));
    }

    fn of(&self, caller: &str, method: &str, path: &str, body: &str) -> Request<Body> {
        let request = Request::builder().method(method).uri(path).header("x-caller", caller);
        let request = if method == "POST" {
            request.header("content-type", "application/json")
        } else {
            request
        };
        request.body(Body::from(body.to_owned())).unwrap()
    }

    /// Answers a request. Of a stream, the answer has what is sent at once.
    async fn ask(&self, caller: &str, method: &str, path: &str, body: &str) -> Answer {
        let request = self.of(caller, method, path, body);
        let (parts, body) =
            self.cluster.router.clone().oneshot(request).await.unwrap().into_parts();
        let is_stream =
            parts.headers.get("content-type").is_some_and(|kind| kind == "text/event-stream");
        let mut frames = body.into_data_stream();
        let mut bytes = Vec::new();
        within(async {
            while let Some(frame) = frames.next().await {
                bytes.extend_from_slice(&frame.unwrap());
                if is_stream {
                    break;
                }
            }
        })
        .await;
        Answer { status: parts.status, headers: parts.headers, body: bytes.into() }
    }

    /// Submits `gate` as a caller with all rights, and returns the id.
    async fn gate(&self) -> String {
        let answer = self.ask("admin", "POST", "/api/actions/gate/execute", "").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["execution_id"].as_str().unwrap().to_owned()
    }

    async fn worker(&self) -> String {
        let workers = self.cluster.coordinator.workers().await.unwrap();
        let worker = workers.iter().find(|worker| worker.name == "tester").unwrap();
        worker.id.as_str().to_owned()
    }
}

/// The lines of `rights.toml`.
fn table() -> BTreeMap<String, Option<BTreeSet<String>>> {
    let lines = include_str!("rights.toml").lines().filter(|line| line.starts_with('"'));
    let route = |line: &str| {
        let (route, rights) = line[1..].split_once("\" = ").unwrap();
        let rights: Value = serde_json::from_str(rights).unwrap();
        let names = rights
            .as_array()
            .map(|rights| rights.iter().map(|right| right.as_str().unwrap().to_owned()).collect());
        (route.to_owned(), names)
    };
    lines.map(route).collect()
}

#[tokio::test]
async fn the_table_is_that_of_the_routes_and_of_the_document() {
    let routes = tinpot_http::testing::routes().map(|(method, path, rights)| {
        let names = |rights: &[Right]| rights.iter().map(|right| right.to_string()).collect();
        (format!("{method} {path}"), rights.map(names))
    });
    assert_eq!(routes.collect::<BTreeMap<_, _>>(), table());
    let cluster = Cluster::start().await;
    let document = cluster.get("/openapi.json").await.json();
    let mut described = BTreeMap::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let names = operation["x-rights"].as_array().map(|rights| {
                rights.iter().map(|right| right.as_str().unwrap().to_owned()).collect()
            });
            described.insert(format!("{} {path}", method.to_uppercase()), names);
        }
    }
    assert_eq!(described, table());
}

#[tokio::test]
async fn strangers_are_refused_everywhere_below_the_api() {
    let setting = setting().await;
    let unknown = ["GET /api", "GET /api/", "GET /api/none", "DELETE /api/actions", "PUT /api/x/y"];
    let known = table().into_iter().map(|(route, rights)| (route, rights.is_some()));
    for (route, needs_caller) in known.chain(unknown.map(|route| (route.to_owned(), true))) {
        let (method, path) = route.split_once(' ').unwrap();
        for caller in ["", "garbage", "revoked", "expired", "broken"] {
            let answer = setting.ask(caller, method, path, "").await;
            let expected = match (needs_caller, caller) {
                // Without a body.
                (false, _) if method == "POST" => StatusCode::BAD_REQUEST,
                // There is no identity provider.
                (false, _) if path.starts_with("/auth/oidc") => StatusCode::NOT_FOUND,
                (false, _) => StatusCode::OK,
                (true, "broken") => StatusCode::SERVICE_UNAVAILABLE,
                (true, _) => StatusCode::UNAUTHORIZED,
            };
            assert_eq!(answer.status, expected, "{route} as {caller:?}: {answer:?}");
            if needs_caller {
                assert!(!answer.detail(expected.as_u16()).contains(CANARY), "{answer:?}");
            }
        }
    }
    let mut twice = setting.of("admin", "GET", "/api/actions", "");
    twice.headers_mut().append("x-caller", "admin".parse().unwrap());
    assert_eq!(setting.cluster.request(twice).await.status, 401);
    let router = tinpot_http::router(setting.cluster.coordinator.clone(), HttpConfig::default());
    let request = Request::get("/api/version").body(Body::empty()).unwrap();
    let answer = crate::cluster::answer(router, request).await;
    assert_eq!((answer.status.as_u16(), answer.header("www-authenticate")), (401, "Bearer"));
}

/// The digest of nothing.
const NOTHING: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// Names what the routes of apps have in their paths.
fn of_apps(path: &str) -> String {
    let path = path.replace("{version}", "1").replace("{path}", "main.sh");
    path.replace("{digest}", NOTHING)
}

/// Returns the statuses of success, and what the answer has then if the route is a list.
fn success(path: &str) -> (&'static [u16], &'static str) {
    match path {
        "/api/actions" => (&[200], "\"gate\""),
        "/api/actions/{name}/uploads" => (&[201], ""),
        "/api/executions" => (&[200], "execution_id"),
        "/api/executions/cancel" | "/api/executions/rerun" => (&[200], "\"execution\""),
        "/api/workers" => (&[200], "\"tester\""),
        "/api/queues" => (&[200], "\"default\""),
        "/api/actions/{name}/sync_execute" => (&[504], ""),
        "/api/executions/{id}/rerun" | "/api/workers/{id}/drain" => (&[202], ""),
        // There is none; the caller learns that of executions that may be read.
        "/api/executions/{id}/artifacts/{artifact}" => (&[404], "artifact 1.1"),
        "/api/auth/options" | "/api/auth/me" => (&[200], ""),
        // The callers of this file have no users, and the requests no bodies.
        "/api/auth/logout" | "/api/auth/tickets" => (&[409], ""),
        "/api/auth/sign-ins/{id}"
        | "/api/auth/device/{code}"
        | "/api/tokens/{id}"
        | "/api/tokens/{id}/rotate"
        | "/api/grants/{id}"
        | "/api/groups/{name}"
        | "/api/programs/{id}"
        | "/api/users/{id}"
        | "/api/users/{id}/may" => (&[404, 400], ""),
        // This server has neither.
        "/api/secrets"
        | "/api/secrets/{name}"
        | "/api/worker-keys"
        | "/api/worker-keys/{id}"
        | "/api/worker-keys/{id}/rotate"
        | "/api/join-tokens"
        | "/api/join-tokens/{id}" => (&[404], "this server"),
        "/api/auth/password" => (&[400], ""),
        // The server of this file has one team.
        "/api/teams"
        | "/api/teams/{team}"
        | "/api/teams/{team}/members"
        | "/api/teams/{team}/members/{user}" => (&[404], ""),
        "/api/tokens" | "/api/users" | "/api/programs" | "/api/grants" => (&[200, 400], ""),
        "/api/apps" => (&[200, 201], "\"name\":"),
        "/api/blobs/{digest}" => (&[200, 201], ""),
        // Only a disabled app can be removed.
        "/api/apps/{app}" => (&[200, 409], ""),
        _ => (&[200], ""),
    }
}

#[tokio::test]
async fn each_route_needs_each_of_its_rights_and_no_others() {
    let setting = setting().await;
    setting.grant(Grant::new("admin", Right::ALL));
    let mut routes = table();
    // Last of all, since it ends the worker.
    let drain = routes.remove_entry("POST /api/workers/{id}/drain").unwrap();
    for (route, rights) in routes.into_iter().chain([drain]) {
        let Some(names) = rights else { continue };
        let (method, path) = route.split_once(' ').unwrap();
        let rights: Vec<Right> =
            Right::ALL.iter().copied().filter(|right| names.contains(right.as_str())).collect();
        let (statuses, mark) = success(path);
        // The one with all rights comes last.
        let without = rights.iter().map(|missing| Some(*missing)).chain([None]);
        for (number, missing) in without.enumerate() {
            let caller = format!("{method}{number}{}", path.replace(['{', '}'], ""));
            let granted: Vec<Right> =
                rights.iter().copied().filter(|right| Some(*right) != missing).collect();
            setting.grant(Grant::new(&caller, &granted));
            let id = setting.gate().await;
            let named = if path.starts_with("/api/queues") { "default" } else { "gate" };
            let id_of = match path.starts_with("/api/workers/") {
                true => setting.worker().await,
                false => id.clone(),
            };
            let full = path.replace("{name}", named).replace("{id}", &id_of);
            let full = full.replace("{artifact}", "1.1").replace("{app}", "gate");
            let full = of_apps(&full);
            let full = match path {
                "/api/actions/{name}/sync_execute" => format!("{full}?timeout=0.01"),
                "/api/apps/{app}/versions/{version}/diff" => format!("{full}?from=1"),
                "/api/executions/{id}/logs/search" => format!("{full}?q=x"),
                _ => full,
            };
            let is_bulk = path == "/api/executions/cancel" || path == "/api/executions/rerun";
            let body = match path {
                "/api/apps" => r#"{"name":"new-app"}"#.to_owned(),
                "/api/apps/{app}" => r#"{"enabled":true}"#.to_owned(),
                "/api/apps/{app}/versions" => {
                    let zeros = "0".repeat(64);
                    format!(r#"{{"content":"{zeros}","manifest":"{zeros}"}}"#)
                }
                "/api/bundles/files" => {
                    let towerfile = "[app]\nname = \"gate\"\nscript = \"main.sh\"\n";
                    let paths = ["Towerfile", "main.sh"];
                    json!({ "towerfile": towerfile, "paths": paths }).to_string()
                }
                _ if is_bulk => format!("{{\"ids\": [\"{id}\"]}}"),
                _ => String::new(),
            };
            let answer = setting.ask(&caller, method, &full, &body).await;
            let status = answer.status.as_u16();
            let text = String::from_utf8_lossy(&answer.body);
            let is_success = statuses.contains(&status) && text.contains(mark);
            let what = format!("{route} without {missing:?}: {status} {text}");
            match missing {
                None => assert!(is_success, "{what}"),
                Some(_) if !mark.is_empty() && status == 200 => assert!(!is_success, "{what}"),
                Some(missing) if missing.sight().is_some() => assert_eq!(status, 403, "{what}"),
                Some(_) => {
                    assert_eq!(status, 404, "{what}");
                    assert!(
                        !names.contains("manage_team") || text.contains("right manage_team"),
                        "{what}"
                    );
                }
            }
        }
        let answer = setting.ask("of-team-b-admin", method, path, "").await;
        assert!(!String::from_utf8_lossy(&answer.body).contains("\"gate\""), "{route}: {answer:?}");
    }
}

#[tokio::test]
async fn no_answer_has_anything_of_what_is_hidden() {
    let setting = setting().await;
    setting.grant(Grant::new("admin", Right::ALL));
    let limited = Grant::new("ada", Right::ALL).actions(&["gate", "add"]).queues(&["default"]);
    setting.grant(limited);
    let own = setting.gate().await;
    let unknown = ExecutionId::from_u128(7).to_string();
    let rows = table();
    for route in rows.iter().filter(|(_, rights)| rights.is_some()).map(|(route, _)| route) {
        let (method, path) = route.split_once(' ').unwrap();
        if path.contains("workers/{id}") || path == "/openapi.json" {
            continue;
        }
        let fill = |id: &str, name: &str| {
            let path = path.replace("{id}", id).replace("{artifact}", "1.1");
            let path = of_apps(&path.replace("{name}", name).replace("{app}", name));
            if path.ends_with("/search") { format!("{path}?q=canary") } else { path }
        };
        let body = |id: &str| match path {
            "/api/executions/cancel" | "/api/executions/rerun" => format!("{{\"ids\":[\"{id}\"]}}"),
            _ => String::new(),
        };
        let answer = setting.ask("ada", "GET", &fill(&own, "gate"), "").await;
        let text = String::from_utf8_lossy(&answer.body).to_lowercase();
        assert!(!text.contains(CANARY) || path.ends_with("/search"), "{route}: {text}");
        if !path.contains('{') && !path.ends_with("cancel") && !path.ends_with("rerun") {
            continue;
        }
        // What is hidden is answered like what never existed.
        let name = if path.starts_with("/api/queues") { "canary-queue" } else { "canary-action" };
        for hidden in setting.hidden.map(|id| id.to_string()) {
            let hides = setting.ask("ada", method, &fill(&hidden, name), &body(&hidden)).await;
            let never = setting.ask("ada", method, &fill(&unknown, "never"), &body(&unknown)).await;
            let never_text = String::from_utf8_lossy(&never.body);
            let never_text = never_text.replace(&unknown, &hidden).replace("never", name);
            let hidden_text = String::from_utf8_lossy(&hides.body);
            assert_eq!((hides.status, &*hidden_text), (never.status, &*never_text), "{route}");
        }
    }
    for query in ["/api/executions?q=canary", "/api/executions?requested_by=canary-requester"] {
        let answer = setting.ask("ada", "GET", query, "").await;
        assert_eq!(answer.json()["executions"], Value::Array(Vec::new()), "{query}");
    }
    let stats = setting.ask("ada", "GET", "/api/stats?minutes=5", "").await.json();
    let minutes = stats["minutes"].as_array().unwrap();
    let accepted: u64 = minutes.iter().map(|minute| minute["accepted"].as_u64().unwrap()).sum();
    assert_eq!(accepted, 1, "{stats}");

    // A stream of all changes, while hidden executions are submitted.
    let [hidden, other] = setting.hidden;
    let path = format!("/api/stream?executions=true&log={hidden},{other},{own}");
    let request = setting.of("ada", "GET", &path, "");
    let answer = setting.cluster.router.clone().oneshot(request).await.unwrap();
    let mut frames = answer.into_body().into_data_stream();
    let submitted = setting.ask("admin", "POST", "/api/actions/canary-action/execute", "").await;
    assert_eq!(submitted.status, 200, "{submitted:?}");
    let seen = setting.gate().await;
    let mut text = String::new();
    within(async {
        while !text.contains(&seen) {
            text.push_str(std::str::from_utf8(&frames.next().await.unwrap().unwrap()).unwrap());
        }
    })
    .await;
    assert!(!text.to_lowercase().contains(CANARY), "{text}");
    assert_eq!(text.matches("\"missing\"").count(), 2, "{text}");
}

#[tokio::test]
async fn streams_end_with_the_right_to_read_them_and_with_the_identity() {
    let setting = setting().await;
    setting.grant(Grant::new("admin", Right::ALL));
    let id = setting.gate().await;
    for caller in ["ada", "brief", "ending", "leaving"] {
        for path in [format!("/api/executions/{id}/stream"), format!("/api/stream?log={id}")] {
            setting.callers.gone.store(false, Ordering::Relaxed);
            setting.grant(Grant::new(caller, &[Right::Read]));
            let request = setting.of(caller, "GET", &path, "");
            let answer = setting.cluster.router.clone().oneshot(request).await.unwrap();
            assert_eq!(answer.status(), 200, "{path}");
            let mut frames = answer.into_body().into_data_stream();
            frames.next().await.unwrap().unwrap();
            // Another grant ends nothing by itself, a lost right or identity ends the stream.
            setting.callers.gone.store(matches!(caller, "ending" | "leaving"), Ordering::Relaxed);
            setting.grant(Grant::new("bob", &[Right::Read]));
            if caller == "ada" {
                setting.policy.revoke("ada");
            }
            let mut text = String::new();
            let ended = async {
                while let Some(frame) = frames.next().await {
                    text.push_str(std::str::from_utf8(&frame.unwrap()).unwrap());
                }
            };
            tokio::time::timeout(Duration::from_secs(10), ended).await.expect("an end");
            assert!(text.ends_with("event: denied\ndata: {\"type\":\"denied\"}\n\n"), "{text}");
        }
    }
    let again = setting.ask("ada", "GET", &format!("/api/executions/{id}/stream"), "").await;
    assert_eq!(again.status, 404);
}
