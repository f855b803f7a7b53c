//! Secrets, from the submission to the log and the outcome.

use std::sync::{Arc, Mutex};

use futures::StreamExt;
use tinpot_core::{
    Context, Coordinator, Event, ExecutionHandle, FunctionExecutor, Json, Level, MemoryNetwork,
    Outcome, Progress, Stream, Worker,
};

use crate::support::{available, in_time, outcome};

const SCHEMA: &str = r#"{"type":"object","properties":{"token":{"type":"string","writeOnly":true},"pin":{"type":"integer","writeOnly":true},
    "short":{"type":"string","writeOnly":true},"open":{"type":"string"}}}"#;

type Seen = Arc<Mutex<Vec<String>>>;

async fn cluster() -> (Coordinator, Worker, Seen) {
    let network = MemoryNetwork::new();
    let coordinator = Coordinator::builder(network.transport()).start().await.expect("started");
    let seen = Seen::default();
    let given = seen.clone();
    let executor = FunctionExecutor::builder()
        .action_with(
            "say",
            |action| action.schema(Json::parse(SCHEMA).expect("JSON")),
            move |context: Context, parameters: std::collections::BTreeMap<String, Parameter>| {
                let given = given.clone();
                async move {
                    let all: Vec<String> = parameters.values().map(Parameter::text).collect();
                    given.lock().expect("a lock").extend(all.iter().cloned());
                    context.logs().write(Stream::Stdout, Level::Info, all.clone()).await;
                    context.progress(1.0, None, all.join(" "));
                    context.mask("made up later");
                    context.log(Level::Info, "made up later").await;
                    match all.contains(&"fail".to_owned()) {
                        true => Err(format!("not with {}", all.join(" "))),
                        false => Ok(all),
                    }
                }
            },
        )
        .build()
        .expect("an executor");
    let worker = Worker::builder(network.transport()).executor(executor);
    let worker = worker.start().await.expect("a worker");
    available(&coordinator, "say").await;
    (coordinator, worker, seen)
}

#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Parameter {
    Text(String),
    Number(u64),
}

impl schemars::JsonSchema for Parameter {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Parameter".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        true.into()
    }
}

impl Parameter {
    fn text(&self) -> String {
        match self {
            Parameter::Text(text) => text.clone(),
            Parameter::Number(number) => number.to_string(),
        }
    }
}

async fn say(coordinator: &Coordinator, parameters: &str) -> ExecutionHandle {
    let parameters = Json::parse(parameters).expect("JSON");
    coordinator.submit("say", parameters).await.expect("accepted")
}

/// Returns the lines and the last progress of an execution that has ended.
async fn written(handle: &ExecutionHandle) -> (Vec<String>, Option<Progress>) {
    let (mut lines, mut last) = (Vec::new(), None);
    let mut events = handle.events(0);
    while let Some(event) = in_time("an event", events.next()).await {
        match event {
            Event::Logs(chunk) => lines.extend(chunk.lines.iter().cloned()),
            Event::Progress(progress) => last = Some(progress),
            _ => {}
        }
    }
    (lines, last)
}

#[tokio::test]
async fn secrets_reach_only_the_action() {
    let (coordinator, _worker, seen) = cluster().await;
    let parameters = r#"{"token":"to\"ken-12345","pin":271828,"short":"abc","open":"hello"}"#;
    let handle = say(&coordinator, parameters).await;
    let outcome = outcome(&handle).await;
    assert_eq!(
        outcome,
        Outcome::Succeeded(Json::parse(r#"["hello","***","abc","***"]"#).expect("JSON"))
    );
    let (lines, progress) = written(&handle).await;
    assert_eq!(lines, ["hello", "***", "abc", "***", "***"], "shorter than 4 characters is shown");
    if let Some(progress) = progress {
        assert_eq!(progress.message, "hello *** abc ***");
    }
    assert_eq!(*seen.lock().expect("a lock"), ["hello", "271828", "abc", "to\"ken-12345"]);
    let execution = handle.execution().await.expect("recorded");
    assert_eq!(execution.parameters.as_str(), parameters);
    assert_eq!(execution.secrets, ["/pin", "/short", "/token"]);
    let shown = r#"{"token":"***","pin":"***","short":"***","open":"hello"}"#;
    assert_eq!(execution.shown_parameters().as_str(), shown);
}

#[tokio::test]
async fn an_error_is_masked_too() {
    let (coordinator, _worker, _seen) = cluster().await;
    let handle = say(&coordinator, r#"{"token":"token-12345","open":"fail"}"#).await;
    let error = outcome(&handle).await.error().expect("a failure");
    assert_eq!(error, "not with fail ***");
}

#[tokio::test]
async fn without_secrets_everything_is_shown_as_it_is() {
    let (coordinator, _worker, _seen) = cluster().await;
    let handle = say(&coordinator, r#"{"open":"token-12345"}"#).await;
    let (lines, _) = written(&handle).await;
    assert_eq!(lines, ["token-12345", "***"], "only what was masked on the way");
    let execution = handle.execution().await.expect("recorded");
    assert!(execution.secrets.is_empty());
    assert_eq!(execution.shown_parameters(), execution.parameters);
}
