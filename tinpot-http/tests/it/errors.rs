//! Every way in which a request fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use async_trait::async_trait;
use axum::body::Body;
use axum::http::{Method, Request};
use tinpot_core::ProtocolConfig;
use tinpot_core::log_sink::LogBatch;
use tinpot_core::store::{ListOptions, Opened, QueuePage, Session, StoreProblem, Transition};
use tinpot_core::{
    Coordinator, Error, ErrorKind, Execution, ExecutionId, LogChunk, MemoryNetwork, MemoryStore,
    Result, Store, Timestamp,
};
use tinpot_http::HttpConfig;

use crate::cluster::Cluster;

#[tokio::test]
async fn unknown_resources_are_not_found() {
    let cluster = Cluster::start().await;
    let unknown = ExecutionId::generate();
    for id in [unknown.to_string().as_str(), "x", "..", "%00", "%ff%fe", "0", "%2e%2e%2fetc"] {
        for path in ["", "/status", "/logs", "/stream", "/logs?format=text"] {
            let detail = cluster.get(&format!("/api/executions/{id}{path}")).await.detail(404);
            assert!(detail.starts_with("execution ") && detail.ends_with(" not found"), "{detail}");
        }
        cluster.post(&format!("/api/executions/{id}/cancel"), "").await.detail(404);
    }
    for path in
        ["/nothing", "/api", "/api/", "/api/actions/", "/api/actions/nothing", "/metrics", "/%ff"]
    {
        cluster.get(path).await.detail(404);
    }
}

#[tokio::test]
async fn an_action_of_a_hostile_name_is_not_found() {
    let cluster = Cluster::start().await;
    let long = "x".repeat(10_000);
    let names = [
        "nothing",
        "%3Cscript%3Ealert(1)%3C%2Fscript%3E",
        "..%2F..%2Fetc%2Fpasswd",
        "%00",
        "%0d%0aset-cookie:%20a=b",
        "%22%7D%5D",
        "%ff%fe",
        "add%20",
        "ADD",
        &long,
    ];
    for name in names {
        for verb in ["execute", "sync_execute"] {
            let answer = cluster.post(&format!("/api/actions/{name}/{verb}"), "{}").await;
            let detail = answer.detail(404);
            assert!(detail.starts_with("action ") && detail.contains(" not found"), "{detail}");
            assert!(!detail.contains(['\r', '\n', '\0']), "{detail:?}");
            assert_eq!(answer.header("x-content-type-options"), "nosniff");
        }
    }
}

#[tokio::test]
async fn a_method_that_is_not_allowed_says_which_are() {
    let cluster = Cluster::start().await;
    let id = ExecutionId::generate();
    let rows = [
        (Method::POST, "/api/actions".to_owned(), "GET,HEAD"),
        (Method::GET, "/api/actions/add/execute".to_owned(), "POST"),
        (Method::DELETE, format!("/api/executions/{id}"), "GET,HEAD"),
        (Method::GET, format!("/api/executions/{id}/cancel"), "POST"),
        (Method::POST, "/health".to_owned(), "GET,HEAD"),
    ];
    for (method, path, allow) in rows {
        let request = Request::builder().method(method.clone()).uri(&path);
        let answer = cluster.request(request.body(Body::empty()).unwrap()).await;
        let detail = answer.detail(405);
        assert!(detail.contains(method.as_str()), "{detail}");
        assert!(detail.contains("the header Allow"), "{detail}");
        assert_eq!(answer.header("allow"), allow, "{path}");
    }
    let head = Request::head("/api/actions").body(Body::empty()).unwrap();
    let head = cluster.request(head).await;
    assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
}

#[tokio::test]
async fn with_too_many_waiting_a_client_is_asked_to_come_again() {
    let network = MemoryNetwork::new();
    let mut config = ProtocolConfig::default();
    config.max_unfinished = 1;
    let coordinator =
        Coordinator::builder(network.transport()).config(config).start().await.unwrap();
    let cluster = Cluster::on(network, coordinator, HttpConfig::default()).await;
    cluster.submit("gate", "").await;
    let answer = cluster.post("/api/actions/gate/execute", "").await;
    assert!(answer.detail(503).contains("no more are accepted"));
    assert_eq!(answer.header("retry-after"), "1");
}

#[tokio::test]
async fn after_the_shutdown_nothing_is_accepted() {
    let cluster = Cluster::start().await;
    let id = cluster.submit("gate", "").await;
    cluster.coordinator.shutdown().await;
    for path in ["/api/actions/gate/execute", "/api/actions/gate/sync_execute"] {
        let answer = cluster.post(path, "").await;
        assert!(answer.detail(503).contains("shut down"));
        assert_eq!(answer.header("retry-after"), "1");
    }
    cluster.post(&format!("/api/executions/{id}/cancel"), "").await.detail(503);
    cluster.get("/api/workers").await.detail(503);
    cluster.get("/api/queues").await.detail(503);
}

#[tokio::test]
async fn a_full_store_answers_507_and_a_broken_one_fails_only_the_request() {
    let network = MemoryNetwork::new();
    let store = Arc::new(Faulty::default());
    let coordinator =
        Coordinator::builder(network.transport()).store(store.clone()).start().await.unwrap();
    let cluster = Cluster::on(network, coordinator, HttpConfig::default()).await;
    let id = cluster.run("add", r#"{"parameters":{"a":1,"b":2}}"#).await;

    store.fault.store(FULL, Ordering::SeqCst);
    let full = cluster.post("/api/actions/gate/execute", "").await;
    assert!(full.detail(507).contains("disk"));
    assert_eq!(cluster.get("/ready").await.detail(503), "store is full");
    let health = cluster.get("/health").await;
    assert_eq!(
        (health.status.as_u16(), &health.json()["problems"][0]),
        (200, &"store is full".into())
    );

    store.fault.store(BROKEN, Ordering::SeqCst);
    for path in [format!("/api/executions/{id}"), "/api/executions".to_owned()] {
        let detail = cluster.get(&path).await.detail(500);
        assert!(detail.contains("logged") && !detail.contains("a bad page"), "{detail}");
    }

    store.fault.store(PANICS, Ordering::SeqCst);
    for path in ["/status", ""] {
        let detail = cluster.get(&format!("/api/executions/{id}{path}")).await.detail(500);
        assert!(detail.contains("internal error") && !detail.contains("secret"), "{detail}");
    }

    store.fault.store(FINE, Ordering::SeqCst);
    assert_eq!(cluster.get(&format!("/api/executions/{id}")).await.status, 200);
}

const FINE: u8 = 0;
const FULL: u8 = 1;
const BROKEN: u8 = 2;
const PANICS: u8 = 3;

/// A store with a fault that can be chosen.
#[derive(Debug, Default)]
struct Faulty {
    inner: MemoryStore,
    fault: Arc<AtomicU8>,
}

impl Faulty {
    fn read(&self) -> Result<()> {
        match self.fault.load(Ordering::SeqCst) {
            BROKEN => Err(Error::new(ErrorKind::Malformed, "a bad page")),
            PANICS => panic!("a secret"),
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl Store for Faulty {
    async fn open(&self) -> Result<(Opened, Arc<dyn Session>)> {
        let (opened, session) = self.inner.open().await?;
        Ok((opened, Arc::new(FaultySession { inner: session, fault: self.fault.clone() })))
    }

    async fn execution(&self, id: ExecutionId) -> Result<Option<Arc<Execution>>> {
        self.read()?;
        self.inner.execution(id).await
    }

    async fn executions(&self, options: &ListOptions) -> Result<Vec<Arc<Execution>>> {
        self.read()?;
        self.inner.executions(options).await
    }

    async fn logs(
        &self,
        id: ExecutionId,
        after: u64,
        max_bytes: usize,
    ) -> Result<Vec<Arc<LogChunk>>> {
        self.inner.logs(id, after, max_bytes).await
    }

    fn problems(&self) -> Vec<StoreProblem> {
        match self.fault.load(Ordering::SeqCst) {
            FULL => vec![StoreProblem::new("store is full").blocking()],
            _ => Vec::new(),
        }
    }
}

#[derive(Debug)]
struct FaultySession {
    inner: Arc<dyn Session>,
    fault: Arc<AtomicU8>,
}

#[async_trait]
impl Session for FaultySession {
    async fn commit(&self, batch: &[Transition], at: Timestamp) -> Result<()> {
        if self.fault.load(Ordering::SeqCst) == FULL {
            return Err(Error::new(ErrorKind::StorageFull, "no space on the disk"));
        }
        self.inner.commit(batch, at).await
    }

    async fn append_logs(&self, batches: &[LogBatch]) -> Result<()> {
        self.inner.append_logs(batches).await
    }

    async fn queued(&self, page: &QueuePage) -> Result<Vec<Arc<Execution>>> {
        self.inner.queued(page).await
    }

    async fn current(&self) -> Result<tinpot_core::Epoch> {
        self.inner.current().await
    }

    async fn close(&self) -> Result<()> {
        self.inner.close().await
    }
}

#[tokio::test]
async fn pages_of_other_sites_change_nothing() {
    let config = HttpConfig::default()
        .allow_origins(["https://wiki.example.org"])
        .hosts(["tinpot.example.org".parse().unwrap()]);
    let cluster = Cluster::with(config).await;
    let ask = async |path: &str, headers: &[(&str, &str)]| {
        let mut request = Request::post(path).header("host", "tinpot.example.org:8000");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        cluster.request(request.body(Body::empty()).unwrap()).await
    };
    let foreign: [&[(&str, &str)]; 6] = [
        &[("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")],
        &[("sec-fetch-site", "same-site"), ("origin", "http://tinpot.example.org:3000")],
        &[("origin", "https://evil.example")],
        &[("origin", "http://tinpot.example.org:3000")],
        &[("origin", "null")],
        &[("origin", "https://evil.example"), ("x-forwarded-host", "evil.example, x")],
    ];
    for path in ["/api/queues/default/pause", "/api/actions/add/execute"] {
        for headers in foreign {
            let detail = ask(path, headers).await.detail(403);
            assert!(
                detail.starts_with("origin ") && detail.contains("must be that of this server"),
                "{detail}"
            );
        }
    }
    let ours: [&[(&str, &str)]; 6] = [
        &[],
        &[("sec-fetch-site", "same-origin"), ("origin", "http://tinpot.example.org:8000")],
        &[("sec-fetch-site", "none")],
        &[("origin", "http://TINPOT.example.org:8000")],
        &[("origin", "https://outside.example"), ("x-forwarded-host", "outside.example")],
        &[("sec-fetch-site", "cross-site"), ("origin", "https://wiki.example.org")],
    ];
    for headers in ours {
        assert_eq!(ask("/api/queues/default/resume", headers).await.status, 200, "{headers:?}");
    }
    let read = Request::get("/api/queues").header("sec-fetch-site", "cross-site");
    assert_eq!(cluster.request(read.body(Body::empty()).unwrap()).await.status, 200);
}
