//! Values whose schema says `writeOnly` are never shown.

use std::time::Duration;

use tinpot_core::executor::{ActionSet, Attempt};
use tinpot_core::{
    Action, Context, Executor, Failure, Json, Level, Outcome, Stream, Watcher, Worker,
};
use tinpot_core::{Coordinator, MemoryNetwork};
use tinpot_http::HttpConfig;
use tokio::sync::watch;

use crate::cluster::{Cluster, within};

const SECRET: &str = "correct horse battery staple";
/// base64 of `user:` and the secret.
const BASIC: &str = "dXNlcjpjb3JyZWN0IGhvcnNlIGJhdHRlcnkgc3RhcGxl";

const SCHEMA: &str = r#"{"type":"object","properties":{"user":{"type":"string"},"password":{"type":"string","writeOnly":true},
 "keys":{"type":"array","items":{"type":"object","properties":{"name":{"type":"string"},"key":{"type":["string","null"],"writeOnly":true}}}}}}"#;

/// Says and returns all that it is given.
#[derive(Debug)]
struct Chatterbox(watch::Sender<std::sync::Arc<ActionSet>>);

impl Chatterbox {
    fn with(schema: &str) -> Self {
        let actions = ["chat", "fail"];
        let actions =
            actions.map(|name| Action::new(name).unwrap().schema(Json::parse(schema).unwrap()));
        Self(watch::channel(std::sync::Arc::new(ActionSet::new(actions))).0)
    }
}

#[async_trait::async_trait]
impl Executor for Chatterbox {
    fn actions(&self) -> Watcher<std::sync::Arc<ActionSet>> {
        self.0.subscribe().into()
    }

    async fn execute(&self, attempt: Attempt, context: Context) -> Outcome {
        let text = attempt.parameters.as_str().to_owned();
        context
            .logs()
            .write(Stream::Stdout, Level::Info, vec![text.clone(), format!("Basic {BASIC}")])
            .await;
        context.progress(1.0, None, format!("with {SECRET}"));
        context.mask("derived token");
        context.log(Level::Info, "a derived token").await;
        if &*attempt.action == "fail" {
            return Outcome::Failed(
                Failure::new(format!("bad {SECRET}")).traceback(format!("x = {SECRET:?}\n")),
            );
        }
        Outcome::Succeeded(
            Json::serialize(&serde_json::json!({"given": text, "n": 5, "token": "derived token"}))
                .unwrap(),
        )
    }

    async fn close(&self) -> tinpot_core::Result<()> {
        Ok(())
    }
}

async fn worker(network: &MemoryNetwork, schema: &str) -> Worker {
    Worker::builder(network.transport()).executor(Chatterbox::with(schema)).start().await.unwrap()
}

async fn cluster() -> (Cluster, MemoryNetwork, Worker) {
    let network = MemoryNetwork::new();
    let coordinator = Coordinator::builder(network.transport()).start().await.unwrap();
    let chatterbox = worker(&network, SCHEMA).await;
    let mut catalogue = coordinator.watch_catalogue();
    within(catalogue.wait_for(|known| known.contains_key("chat"))).await.unwrap();
    let cluster = Cluster::on(network.clone(), coordinator, HttpConfig::default()).await;
    (cluster, network, chatterbox)
}

fn body() -> String {
    format!(
        r#"{{"parameters":{{"user":"me","password":"{SECRET}","keys":[{{"name":"a","key":"{SECRET}"}},{{"name":"b","key":null}}]}},"options":{{"idempotency_key":"k"}}}}"#
    )
}

#[tokio::test]
async fn no_answer_of_the_api_has_a_secret_in_it() {
    let (cluster, _network, _worker) = cluster().await;
    for action in ["chat", "fail"] {
        let body = body().replace("\"k\"", &format!("{action:?}"));
        let answer =
            cluster.post(&format!("/api/actions/{action}/sync_execute"), body.clone()).await;
        let id = answer.json()["execution_id"].as_str().unwrap().to_owned();
        let mut texts = vec![answer.text().to_owned()];
        for path in ["", "/status", "/logs", "/logs?format=text", "/stream"] {
            texts.push(cluster.get(&format!("/api/executions/{id}{path}")).await.text().to_owned());
        }
        texts.push(cluster.get("/api/executions").await.text().to_owned());
        for text in &texts {
            for secret in
                [SECRET, "correct horse", "Y29ycmVjd", "2cnJlY3QgaG9yc2U", "derived token"]
            {
                assert!(!text.contains(secret), "{secret:?} in {text}");
            }
        }
        let execution = cluster.get(&format!("/api/executions/{id}")).await;
        let shown = r#""parameters":{"user":"me","password":"***","keys":[{"name":"a","key":"***"},{"name":"b","key":null}]}"#;
        assert!(execution.text().contains(shown), "{}", execution.text());
        let log = cluster.get(&format!("/api/executions/{id}/logs?format=text")).await;
        assert!(log.text().contains(r#""password":"***""#), "{}", log.text());
        assert!(log.text().contains("Basic ") && log.text().contains("***"), "{}", log.text());
        // The values themselves are what a repetition is compared with.
        let path = format!("/api/actions/{action}/execute");
        assert_eq!(cluster.post(&path, body.clone()).await.json()["execution_id"], *id);
        let other = cluster.post(&path, body.replace("staple", "stable")).await.detail(409);
        assert!(!other.contains("horse"), "{other}");
    }
}

#[tokio::test]
async fn the_result_keeps_its_form() {
    let (cluster, _network, _worker) = cluster().await;
    let body = format!(r#"{{"parameters":{{"password":"{SECRET}"}}}}"#);
    let result = &cluster.post("/api/actions/chat/sync_execute", body).await.json()["result"];
    assert_eq!(
        result,
        &serde_json::json!({"given": r#"{"password":"***"}"#, "n": 5, "token": "***"})
    );
}

#[tokio::test]
async fn a_later_schema_does_not_unmask() {
    let (cluster, network, first) = cluster().await;
    let id = cluster.run("chat", &body()).await;
    first.shutdown(Duration::ZERO).await;
    let open = SCHEMA.replace(",\"writeOnly\":true", "");
    let _second = worker(&network, &open).await;
    let mut catalogue = cluster.coordinator.watch_catalogue();
    within(catalogue.wait_for(|known| known["chat"].action.schema.as_str() == open)).await.unwrap();
    let execution = cluster.get(&format!("/api/executions/{id}")).await;
    assert_eq!(execution.json()["parameters"]["password"], "***");
    assert!(!execution.text().contains(SECRET));
}

#[tokio::test]
async fn an_error_does_not_repeat_a_secret() {
    let (cluster, _network, _worker) = cluster().await;
    let body = r#"{"parameters":{"password":20481024,"keys":[{"key":31415926}]}}"#;
    let errors = cluster.post("/api/actions/chat/execute", body).await.errors();
    let expected = [
        "keys[0].key must be a string or null (got a number)",
        "password must be a string (got a number)",
    ];
    assert_eq!(errors, expected);
}
