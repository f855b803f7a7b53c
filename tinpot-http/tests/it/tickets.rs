//! Tickets: an attempt reads its bundle, and nothing else.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use tinpot_bundle::Apps;
use tinpot_core::executor::{ActionSet, ScopedExecutor};
use tinpot_core::testing::secret_sealer::ToySealer;
use tinpot_core::{
    Action, BundleTicket, Coordinator, ExecutionHandle, Json, MemoryNetwork, Outcome, Timestamp,
    Worker, upload_reference,
};
use tinpot_http::HttpConfig;
use tokio::sync::{Mutex, Semaphore, mpsc};

use crate::bundles::{Bundle, deployed, memory_apps};
use crate::cluster::{Answer, answer, within};

/// A server without authentication, and a worker whose attempts wait.
struct Setting {
    router: Router,
    apps: Apps,
    coordinator: Coordinator,
    tickets: Mutex<mpsc::Receiver<Option<BundleTicket>>>,
    gate: Arc<Semaphore>,
    _worker: Worker,
}

impl Setting {
    async fn new(key: Option<u64>) -> Self {
        let network = MemoryNetwork::new();
        let apps = memory_apps();
        let mut builder = Coordinator::builder(network.transport()).uploads(apps.uploads());
        if let Some(key) = key {
            builder = builder.bundle_tickets(ToySealer::new(key, &[]));
        }
        let coordinator = builder.start().await.unwrap();
        let apps = apps.attach(coordinator.clone()).await.unwrap();
        let (sender, tickets) = mpsc::channel(8);
        let gate = Arc::new(Semaphore::new(0));
        let opens = gate.clone();
        let schema = r#"{"properties":{"blob":{"items":{"type":"string","format":"binary"}}}}"#;
        let action = Action::new("read").unwrap().schema(Json::parse(schema).unwrap());
        let offer = ActionSet::new([action]).runtime("script");
        let executor = ScopedExecutor::new(offer, move |attempt, _| {
            let (sender, opens) = (sender.clone(), opens.clone());
            async move {
                sender.send(attempt.ticket).await.unwrap();
                opens.acquire().await.unwrap().forget();
                Outcome::Succeeded(Json::null())
            }
        });
        let worker = Worker::builder(network.transport()).slots(8).executor(executor);
        let worker = worker.start().await.unwrap();
        let router =
            tinpot_http::router(coordinator.clone(), HttpConfig::default().apps(apps.clone()));
        Self { router, apps, coordinator, tickets: Mutex::new(tickets), gate, _worker: worker }
    }

    /// Deploys an app and starts it; returns the bundle, the execution and the ticket.
    async fn started(&self, name: &str) -> (Bundle, ExecutionHandle, Option<BundleTicket>) {
        let bundle = Bundle::of(name, name);
        deployed(&self.apps, "default", &bundle).await;
        let execution = self.coordinator.submit(name, ()).await.unwrap();
        let ticket = within(async { self.tickets.lock().await.recv().await }).await.unwrap();
        (bundle, execution, ticket)
    }

    async fn ask(&self, method: &str, path: &str, ticket: &str, range: &str) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        request = request.header("tinpot-ticket", ticket);
        if !range.is_empty() {
            request = request.header("range", range);
        }
        answer(self.router.clone(), request.body(Body::empty()).unwrap()).await
    }

    async fn get(&self, digest: &str, ticket: &str) -> Answer {
        self.ask("GET", &format!("/api/blobs/{digest}"), ticket, "").await
    }
}

#[tokio::test]
async fn an_attempt_reads_the_blobs_of_its_bundle_while_it_lives() {
    let setting = Setting::new(Some(1)).await;
    let (bundle, execution, ticket) = setting.started("first").await;
    let (other, _other, others) = setting.started("second").await;
    let (ticket, others) = (ticket.unwrap(), others.unwrap());
    let (ticket, others) = (ticket.expose(), others.expose());
    for (digest, content) in bundle.blobs() {
        let whole = setting.get(&digest, ticket).await;
        assert_eq!((whole.status.as_u16(), &whole.body[..]), (200, &content[..]));
        let path = format!("/api/blobs/{digest}");
        let part = setting.ask("GET", &path, ticket, "bytes=10-").await;
        assert_eq!((part.status.as_u16(), &part.body[..]), (206, &content[10..]));
        assert_eq!(setting.ask("HEAD", &path, ticket, "").await.status, 200);
        // Not to write, and nothing of another.
        assert_eq!(setting.ask("PUT", &path, ticket, "").await.status, 401);
        assert_eq!(setting.get(&digest, others).await.status, 404);
    }
    for (digest, _) in other.blobs() {
        assert_eq!(setting.get(&digest, ticket).await.status, 404);
    }
    for path in ["/api/apps", "/api/blobs", "/api/executions", "/api/blobsx/1"] {
        assert_eq!(setting.ask("GET", path, ticket, "").await.status, 401, "{path}");
    }
    let (digest, _) = &bundle.blobs()[0];
    for forged in ["", "x", &ticket[1..], &format!("{ticket}0"), &others.replace('1', "2")] {
        let refused = setting.get(digest, forged).await;
        assert_eq!(refused.detail(401), "the ticket is not one of this server");
    }
    setting.gate.add_permits(1);
    let ended = within(execution.outcome()).await.unwrap();
    assert!(matches!(ended, Outcome::Succeeded(_)), "{ended:?}");
    let late = setting.get(digest, ticket).await;
    assert_eq!(late.detail(401), "the attempt of the ticket has ended");
}

#[tokio::test]
async fn an_attempt_reads_the_uploads_of_its_parameters_while_it_lives() {
    let setting = Setting::new(Some(1)).await;
    let mut catalogue = setting.coordinator.watch_catalogue();
    within(catalogue.wait_for(|known| known.contains_key("read"))).await.unwrap();
    let (mut started, mut before) = (Vec::new(), None);
    for content in ["one", "two"] {
        let content = tinpot_bundle::body(content);
        // The caller of the trusted handle has no id.
        let uploads = setting.apps.uploads();
        let digest = uploads.put("default", "", content, 100, None).await.unwrap().digest;
        // A text elsewhere admits to nothing, whatever it says.
        let named = before.replace(digest);
        let text = named.as_ref().map(upload_reference);
        let parameters = serde_json::json!({ "blob": [upload_reference(&digest)], "text": text });
        let execution = setting.coordinator.submit("read", parameters).await.unwrap();
        let ticket = within(async { setting.tickets.lock().await.recv().await }).await.unwrap();
        started.push((digest.to_string(), execution, ticket.unwrap()));
    }
    let [(one, execution, ticket), (two, _other, others)] = &started[..] else { panic!() };
    let whole = setting.get(one, ticket.expose()).await;
    assert_eq!((whole.status.as_u16(), &whole.body[..]), (200, &b"one"[..]));
    let part = setting.ask("GET", &format!("/api/blobs/{one}"), ticket.expose(), "bytes=1-").await;
    assert_eq!((part.status.as_u16(), &part.body[..]), (206, &b"ne"[..]));
    assert_eq!(setting.get(two, ticket.expose()).await.status, 404);
    assert_eq!(setting.get(one, others.expose()).await.status, 404);
    let forged = ticket.expose().replace(one, two);
    assert_eq!(setting.get(two, &forged).await.status, 401);
    setting.gate.add_permits(2);
    within(execution.outcome()).await.unwrap();
    let late = setting.get(one, ticket.expose()).await;
    assert_eq!(late.detail(401), "the attempt of the ticket has ended");

    // An execution without either has no ticket.
    setting.coordinator.submit("read", ()).await.unwrap();
    let none = within(async { setting.tickets.lock().await.recv().await }).await.unwrap();
    assert_eq!(none, None);
}

#[tokio::test]
async fn a_server_takes_no_ticket_of_another_and_without_a_key_none() {
    let (one, two, none) =
        (Setting::new(Some(1)).await, Setting::new(Some(2)).await, Setting::new(None).await);
    let (bundle, _first, ticket) = one.started("hello").await;
    let (_, _second, _) = two.started("hello").await;
    let (_, _third, missing) = none.started("hello").await;
    assert_eq!(missing, None);
    let (digest, _) = &bundle.blobs()[0];
    let ticket = ticket.unwrap();
    assert_eq!(one.get(digest, ticket.expose()).await.status, 200);
    for stranger in [&two, &none] {
        let refused = stranger.get(digest, ticket.expose()).await;
        assert_eq!(refused.detail(401), "the ticket is not one of this server");
    }
}

#[tokio::test]
async fn a_bundle_that_was_removed_is_gone_and_not_unknown() {
    let setting = Setting::new(Some(1)).await;
    let (bundle, _execution, ticket) = setting.started("hello").await;
    let ticket = ticket.unwrap();
    let [(manifest, _), (archive, _)] = bundle.blobs();
    assert_eq!(setting.get(&archive, ticket.expose()).await.status, 200);
    for (digest, _) in bundle.blobs() {
        let digest = digest.parse().unwrap();
        assert!(setting.apps.blobs().delete(&digest, Timestamp(u64::MAX)).await.unwrap());
    }
    for digest in [manifest, archive] {
        let gone = setting.get(&digest, ticket.expose()).await;
        assert!(gone.detail(410).contains("its version was pruned"), "{gone:?}");
    }
}
