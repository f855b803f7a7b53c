//! A coordinator, a worker and the router in front of them.

use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use std::sync::Arc;
use tinpot_core::executor::{ActionSet, Attempt};
use tinpot_core::{
    Action, Context, Coordinator, Executor, Failure, FunctionExecutor, Json, Level, LoadError,
    MemoryNetwork, Outcome, Stream, Watcher, Worker,
};
use tinpot_http::{Anonymous, HttpConfig};
use tokio::sync::watch;
use tower::ServiceExt;

/// Longer than anything here takes, on a busy machine too.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

pub(crate) const ORDERED: &str = r#"{"type":"object","additionalProperties":false,"required":["zone","count"],"properties":{
 "zone":{"type":"string"},"count":{"type":"integer"},"alpha":{"type":"number","default":0.5},"flag":{"type":"boolean","default":false},
 "hosts":{"type":"array","items":{"type":"string"},"default":[]},"labels":{"type":"object"},
 "note":{"anyOf":[{"type":"string"},{"type":"null"}],"default":null},"whatever":{}}}"#;

pub(crate) const TYPED: &str = r#"{"type":"object","additionalProperties":false,"required":["days"],"properties":{
 "days":{"type":"integer","minimum":1,"maximum":30},"name":{"type":"string","maxLength":20},"mode":{"type":"string","enum":["fast","slow"]},
 "when":{"type":"string","format":"date"},"ratio":{"type":"number"},"any":{},"blob":{"type":"string","format":"binary"},"hosts":{"type":"array","items":{"type":"string"}},
 "options":{"type":"object","additionalProperties":false,"properties":{"force":{"type":"boolean"}}},
 "password":{"type":"string","format":"password","writeOnly":true}}}"#;

pub(crate) const RESULT: &str = r#"{"type":"object","title":"What it was given"}"#;

#[derive(Deserialize, JsonSchema)]
struct Sum {
    a: i64,
    b: i64,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Nothing {}

#[derive(Deserialize, JsonSchema)]
struct Count {
    count: usize,
}

/// A coordinator, a worker and the router.
pub(crate) struct Cluster {
    pub(crate) coordinator: Coordinator,
    pub(crate) router: Router,
    /// Held so that it lives.
    pub(crate) worker: Option<Worker>,
    gate: watch::Sender<bool>,
}

/// An answer of the router.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Cluster {
    pub(crate) async fn start() -> Self {
        Self::with(HttpConfig::default()).await
    }

    pub(crate) async fn with(config: HttpConfig) -> Self {
        let network = MemoryNetwork::new();
        let coordinator = Coordinator::builder(network.transport()).start().await.unwrap();
        Self::on(network, coordinator, config).await
    }

    pub(crate) async fn on(
        network: MemoryNetwork,
        coordinator: Coordinator,
        config: HttpConfig,
    ) -> Self {
        let gate = watch::channel(false).0;
        let worker = Worker::builder(network.transport())
            .name("tester")
            .executor(functions(&gate))
            .executor(Special(watch::channel(Arc::new(special_offer())).0))
            .slots(4)
            .start()
            .await
            .unwrap();
        let mut catalogue = coordinator.watch_catalogue();
        let available = catalogue.wait_for(|known| known.get("gate").is_some_and(|e| e.available));
        within(available).await.unwrap();
        let config = match config.authenticator {
            Some(_) => config,
            None => config.authenticator(Anonymous::default()),
        };
        let router = tinpot_http::router(coordinator.clone(), config);
        Self { coordinator, router, worker: Some(worker), gate }
    }

    /// Lets every execution of `gate` go on.
    pub(crate) fn open_gate(&self) {
        self.gate.send_replace(true);
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.request(Request::get(path).body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn post(&self, path: &str, body: impl Into<Body>) -> Answer {
        self.request(json_post(path, body)).await
    }

    pub(crate) async fn request(&self, request: Request<Body>) -> Answer {
        answer(self.router.clone(), request).await
    }

    /// Submits, and gives the id.
    pub(crate) async fn submit(&self, action: &str, body: &str) -> String {
        let answer = self.post(&format!("/api/actions/{action}/execute"), body.to_owned()).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        answer.json()["execution_id"].as_str().unwrap().to_owned()
    }

    /// Runs to the end, and gives the id.
    pub(crate) async fn run(&self, action: &str, body: &str) -> String {
        let answer =
            self.post(&format!("/api/actions/{action}/sync_execute"), body.to_owned()).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        answer.json()["execution_id"].as_str().unwrap().to_owned()
    }

    /// Waits until the execution has written `lines` lines.
    pub(crate) async fn wrote(&self, id: &str, lines: u64) {
        use futures::StreamExt;
        let handle = self.coordinator.handle(id.parse().unwrap()).await.unwrap();
        let mut events = handle.events(0);
        within(async {
            while let Some(event) = events.next().await {
                match event {
                    tinpot_core::Event::Logs(chunk) if chunk.last_seq() >= lines => return,
                    _ => {}
                }
            }
            panic!("the execution ended before");
        })
        .await;
    }
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.header("content-type"), "application/json", "{self:?}");
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The `detail` of an error, which is all that an error without an execution has, but for `errors` one by one.
    pub(crate) fn detail(&self, status: u16) -> String {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        let json = self.json();
        let fields = json.as_object().unwrap().len();
        assert_eq!(fields, if json["errors"].is_array() { 2 } else { 1 }, "{json}");
        json["detail"].as_str().filter(|detail| !detail.is_empty()).unwrap().to_owned()
    }
}

impl Answer {
    /// The `errors` of a 422, as "path: message"; `detail` has the same words.
    pub(crate) fn errors(&self) -> Vec<String> {
        let detail = self.detail(422);
        let json = self.json();
        let errors = json["errors"].as_array().unwrap_or_else(|| panic!("{json}"));
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let all: Vec<String> = errors
            .iter()
            .map(|error| match text(&error["path"]) {
                path if path.is_empty() => format!("parameters {}", text(&error["message"])),
                path => format!("{path} {}", text(&error["message"])),
            })
            .collect();
        if detail.len() < 4_000 {
            assert_eq!(detail, all.join("; "));
        }
        all
    }
}

pub(crate) fn json_post(path: &str, body: impl Into<Body>) -> Request<Body> {
    Request::builder()
        .method(Method::POST)
        .uri(path)
        .header("content-type", "application/json")
        .body(body.into())
        .unwrap()
}

/// One request, answered to the end of its body.
pub(crate) async fn answer(router: Router, request: Request<Body>) -> Answer {
    within(async {
        let (parts, body) = router.oneshot(request).await.unwrap().into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        Answer { status: parts.status, headers: parts.headers, body }
    })
    .await
}

pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.expect("in time")
}

fn functions(gate: &watch::Sender<bool>) -> FunctionExecutor {
    let (gate, kept) = (gate.clone(), gate.clone());
    FunctionExecutor::builder()
        .action_with(
            "add",
            |action| action.group("Sums").description("Adds two numbers."),
            |_, Sum { a, b }| async move { Ok::<_, String>(a + b) },
        )
        .action("refuse", |_, Nothing {}| async move { Err::<(), _>("not today") })
        .action("write", |context: Context, Count { count }| async move {
            let numbers: Vec<usize> = (1..=count).collect();
            for portion in numbers.chunks(500) {
                let lines = portion.iter().map(|number| format!("line {number}")).collect();
                context.logs().write(Stream::Stdout, Level::Info, lines).await;
            }
            Ok::<_, String>(count)
        })
        .action("mixed", |context: Context, Count { count }| async move {
            for number in 1..=count {
                let (stream, level, line) = match number % 100 {
                    0 => (
                        Stream::Stderr,
                        Level::Error,
                        format!("line {number} \u{1b}[31mreally\u{1b}[0m bad"),
                    ),
                    1 => (Stream::Log, Level::Debug, format!("line {number}")),
                    _ => (Stream::Stdout, Level::Info, format!("line {number}")),
                };
                context.logs().write(stream, level, vec![line]).await;
            }
            Ok::<_, String>(count)
        })
        .action("gate", move |context: Context, Nothing {}| {
            let mut gate = gate.subscribe();
            async move {
                context.logs().write(Stream::Stderr, Level::Error, vec!["waiting".into()]).await;
                context.progress(1.0, Some(2.0), "half");
                let _ = gate.wait_for(|open| *open).await;
                context.log(Level::Debug, "gone on").await;
                Ok::<_, String>("through")
            }
        })
        .action("keep", move |context: Context, Nothing {}| {
            let mut gate = kept.subscribe();
            async move {
                for part in ["AAAA", "BBBB"] {
                    context.logs().write(Stream::Data, Level::Info, vec![part.into()]).await;
                }
                let _ = gate.wait_for(|open| *open).await;
                context.log(Level::Info, "kept").await;
                Ok::<_, String>("through")
            }
        })
        .action_with(
            "ordered",
            |action| action.queue("special").schema(Json::parse(ORDERED).unwrap()),
            |_, parameters: Parameters| async move { Ok::<_, String>(parameters.0) },
        )
        .build()
        .unwrap()
}

/// Any parameters.
#[derive(Deserialize)]
struct Parameters(Value);

impl JsonSchema for Parameters {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Parameters".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        true.into()
    }
}

/// Outcomes that closures cannot have: a traceback, a result with line ends, an end by cancellation.
#[derive(Debug)]
struct Special(watch::Sender<Arc<ActionSet>>);

fn special_offer() -> ActionSet {
    let names = ["explode", "laid_out", "until_stopped", "odd name ü%?"];
    let schema = |text: &str| Json::parse(text).unwrap();
    let actions = names.map(|name| Action::new(name).unwrap()).into_iter().chain([
        Action::new("typed").unwrap().schema(schema(TYPED)).result_schema(schema(RESULT)),
        Action::new("not_a_schema").unwrap().schema(schema(r#"{"type":"strnig"}"#)),
    ]);
    ActionSet::new(actions).load_error(LoadError::new("broken.py", "SyntaxError: no"))
}

#[async_trait]
impl Executor for Special {
    fn actions(&self) -> Watcher<Arc<ActionSet>> {
        self.0.subscribe().into()
    }

    async fn execute(&self, attempt: Attempt, context: Context) -> Outcome {
        context.logs().write(Stream::System, Level::Info, vec!["\"\n\u{1b}[1m\r".into()]).await;
        match &*attempt.action {
            "explode" => Outcome::Failed(
                Failure::new("bad \"host\"").kind("ValueError").traceback("Traceback:\n  line 1\n"),
            ),
            "laid_out" => Outcome::Succeeded(
                Json::parse("{\n  \"a\": [1.0,\r\n 2],\"b\":\"x\\ny\"\n}").unwrap(),
            ),
            "until_stopped" => {
                context.stopped().await;
                Outcome::Cancelled
            }
            _ => Outcome::Succeeded(attempt.parameters),
        }
    }

    async fn close(&self) -> tinpot_core::Result<()> {
        Ok(())
    }
}
