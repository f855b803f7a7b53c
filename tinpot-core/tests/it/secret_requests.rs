//! Secrets that attempts ask for while they run.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tinpot_core::access::{SecretRequest, SecretSource};
use tinpot_core::protocol::{Frame, GivenSecret, Message, SECRET_BYTES, SecretGet};
use tinpot_core::testing::{Faults, FaultyTransport};
use tinpot_core::transport::{Address, Lane};
use tinpot_core::{
    Context, Coordinator, CoordinatorBuilder, Error, ErrorKind, FunctionExecutor, Level,
    MemoryNetwork, Refusal, Result, Transport, Worker, WorkerId,
};
use tokio::sync::Notify;

use crate::support::{available, in_time, outcome};

const CANARY: &str = "a-canary-of-a-secret";

#[derive(Clone, Debug, Default)]
struct Source {
    secrets: HashMap<&'static str, String>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Source {
    fn new() -> Self {
        let secrets = [("token", CANARY.to_owned()), ("large", "x".repeat(SECRET_BYTES + 1))];
        Self { secrets: secrets.into_iter().collect(), asked: Arc::default() }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("no panic").clone()
    }
}

#[async_trait]
impl SecretSource for Source {
    async fn secret(&self, request: &SecretRequest) -> Result<GivenSecret> {
        let SecretRequest { name, execution, group, worker, .. } = request;
        let asked =
            format!("{name} {} {} {worker}", execution.action, group.as_deref().unwrap_or(""));
        self.asked.lock().expect("no panic").push(asked);
        match self.secrets.get(&**name) {
            Some(value) => Ok(GivenSecret::new(3, value.as_str())),
            None => Err(Error::new(ErrorKind::NotFound, format!("no secret {name:?}"))),
        }
    }
}

fn builder(network: &MemoryNetwork, source: &Source) -> CoordinatorBuilder {
    Coordinator::builder(network.transport()).secrets(source.clone())
}

/// Starts a worker with an action that asks for a secret, and says what it got.
async fn worker(transport: impl Transport, go: Arc<Notify>) -> Worker {
    let executor = FunctionExecutor::builder()
        .action("ask", move |context: Context, name: Name| {
            let go = go.clone();
            async move {
                if name.wait {
                    go.notified().await;
                }
                let value = context.secret(&name.name).await?;
                context.log(Level::Info, format!("got {value}")).await;
                Ok::<_, Error>(value.len())
            }
        })
        .build()
        .expect("an executor");
    let worker = Worker::builder(transport).id(WorkerId::new("w-1").expect("an id"));
    worker.executor(executor).start().await.expect("a worker")
}

#[derive(Debug, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
struct Name {
    name: String,
    #[serde(default)]
    wait: bool,
}

fn name(name: &str) -> Name {
    Name { name: name.to_owned(), wait: false }
}

#[tokio::test(start_paused = true)]
async fn an_attempt_gets_a_secret_that_its_log_does_not_show() {
    let (network, source) = (MemoryNetwork::new(), Source::new());
    let coordinator =
        builder(&network, &source).plain_secrets(true).start().await.expect("started");
    let _worker = worker(network.transport(), Arc::default()).await;
    available(&coordinator, "ask").await;
    let run = coordinator.submit("ask", name("token")).await.expect("accepted");
    assert_eq!(run.result::<usize>().await.expect("a result"), CANARY.len());
    let log = coordinator.logs(run.id(), 0, 10_000).await.expect("a log");
    assert_eq!(log[0].lines, ["got ***"]);
    assert_eq!(source.asked(), ["token ask General w-1"]);
    for (given, kind) in [("nothing", "NotFound"), ("large", "InvalidInput"), ("", "InvalidInput")]
    {
        let run = coordinator.submit("ask", name(given)).await.expect("accepted");
        let error = outcome(&run).await.error().expect("an error");
        assert!(!error.contains(CANARY) && !error.is_empty(), "{given} {kind}: {error}");
    }
    coordinator.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn plain_frames_carry_no_secrets_unless_that_is_accepted() {
    let (network, source) = (MemoryNetwork::new(), Source::new());
    let coordinator = builder(&network, &source).start().await.expect("started");
    let _worker = worker(network.transport(), Arc::default()).await;
    available(&coordinator, "ask").await;
    let run = coordinator.submit("ask", name("token")).await.expect("accepted");
    let error = outcome(&run).await.error().expect("an error");
    assert!(error.contains("its frames are not sealed"), "{error}");
    assert_eq!(source.asked(), [""; 0]);
    coordinator.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn only_the_holder_of_an_attempt_gets_its_secrets() {
    let (network, source) = (MemoryNetwork::new(), Source::new());
    let coordinator =
        builder(&network, &source).plain_secrets(true).start().await.expect("started");
    let go = Arc::new(Notify::new());
    let _worker = worker(network.transport(), go.clone()).await;
    available(&coordinator, "ask").await;
    let parameters = Name { name: "token".to_owned(), wait: true };
    let run = coordinator.submit("ask", parameters).await.expect("accepted");
    let fence = loop {
        let record = run.execution().await.expect("a record");
        match record.attempts.first() {
            Some(attempt) if attempt.started_at.is_some() => break attempt.fence,
            _ => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
        }
    };
    // Another worker asks with the fence of the attempt, and listens where answers could go.
    let thief = WorkerId::new("w-2").expect("an id");
    let transport = network.transport();
    let mut heard =
        transport.listen(&Address::Worker(thief.clone()), Lane::Control).await.expect("ears");
    let get = Message::SecretGet(SecretGet { fence, name: "token".into() });
    let frame = Frame { from: Some(thief.clone()), to: None, messages: vec![get] };
    let before = coordinator.refused(Refusal::NotHolder);
    transport.send(&Address::Coordinator, Lane::Control, frame.encode()).await.expect("sent");
    while coordinator.refused(Refusal::NotHolder) == before {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(source.asked(), [""; 0]);
    go.notify_one();
    assert_eq!(run.result::<usize>().await.expect("a result"), CANARY.len());
    // After the end, the holder gets nothing either.
    let holder = WorkerId::new("w-1").expect("an id");
    let get = Message::SecretGet(SecretGet { fence, name: "token".into() });
    let frame = Frame { from: Some(holder), to: None, messages: vec![get] };
    transport.send(&Address::Coordinator, Lane::Control, frame.encode()).await.expect("sent");
    let next = name("token");
    let run = coordinator.submit("ask", next).await.expect("accepted");
    assert_eq!(run.result::<usize>().await.expect("a result"), CANARY.len());
    assert_eq!(source.asked().len(), 2);
    let stolen = futures::FutureExt::now_or_never(futures::StreamExt::next(&mut heard));
    if let Some(Some(frame)) = stolen {
        assert!(!String::from_utf8_lossy(&frame.bytes).contains(CANARY));
    }
    coordinator.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn secrets_arrive_on_a_bad_network() {
    let (network, source) = (MemoryNetwork::new(), Source::new());
    let coordinator =
        builder(&network, &source).plain_secrets(true).start().await.expect("started");
    let delay = std::time::Duration::from_millis(50);
    let faults = Faults { loss: 0.3, duplicate: 0.3, delay };
    let transport = FaultyTransport::new(network.transport(), faults, 7);
    let _worker = worker(transport, Arc::default()).await;
    available(&coordinator, "ask").await;
    for _ in 0..20 {
        let run = coordinator.submit("ask", name("token")).await.expect("accepted");
        in_time("a result", async {
            assert_eq!(run.result::<usize>().await.expect("a result"), CANARY.len());
        })
        .await;
    }
    coordinator.shutdown().await;
}
