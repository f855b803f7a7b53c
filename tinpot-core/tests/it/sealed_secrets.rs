//! Secrets that a store has sealed.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tinpot_core::access::SecretSealer;
use tinpot_core::store::{SealingStore, Session, Store, Transition, reseal_secrets};
use tinpot_core::testing::secret_sealer::{Subject, ToySealer};
use tinpot_core::{
    Action, Backoff, Coordinator, ErrorKind, Execution, ExecutionId, FailureCode, FunctionExecutor,
    Json, MemoryNetwork, MemoryStore, Outcome, RetryPolicy, SubmitOptions, Timestamp, Worker,
};

use crate::support::{available, outcome};

mod store_suite_of_the_wrapper {
    use tinpot_core::MemoryStore;
    use tinpot_core::store::SealingStore;
    use tinpot_core::testing::secret_sealer::ToySealer;

    fn store() -> std::future::Ready<SealingStore<MemoryStore>> {
        std::future::ready(SealingStore::new(MemoryStore::new(), ToySealer::new(1, &[])))
    }

    tinpot_core::store_conformance!(store);
}

#[derive(Debug)]
struct Toys;

impl Subject for Toys {
    fn sealer(&self) -> Arc<dyn SecretSealer> {
        Arc::new(ToySealer::new(1, &[]))
    }

    fn stranger(&self) -> Arc<dyn SecretSealer> {
        Arc::new(ToySealer::new(2, &[]))
    }

    fn rotated(&self) -> Arc<dyn SecretSealer> {
        Arc::new(ToySealer::new(3, &[1]))
    }
}

fn toys() -> Toys {
    Toys
}

tinpot_core::secret_sealer_conformance!(toys);

/// The schema of an action with secrets.
const SCHEMA: &str = r#"{"type":"object","properties":{"user":{"type":"string"},
    "password":{"type":"string","writeOnly":true},
    "keys":{"type":"array","items":{"type":"object","properties":{"key":{"writeOnly":true}}}}}}"#;

const PARAMETERS: &str =
    r#"{"user":"ada","password":"hunter2","keys":[{"key":{"a":1.50}},{"key":[17]}]}"#;

#[derive(Clone, Debug, Default)]
struct Got(Arc<Mutex<Vec<Value>>>);

async fn start(store: Arc<MemoryStore>, sealer: ToySealer) -> Coordinator {
    let network = MemoryNetwork::new();
    let builder = Coordinator::builder(network.transport()).store(SealingStore::new(store, sealer));
    builder.start().await.expect("it starts")
}

async fn run(store: Arc<MemoryStore>, sealer: ToySealer, got: &Got) -> (Coordinator, Worker) {
    let network = MemoryNetwork::new();
    let builder = Coordinator::builder(network.transport()).store(SealingStore::new(store, sealer));
    let coordinator = builder.start().await.expect("it starts");
    let got = got.clone();
    let executor = FunctionExecutor::builder()
        .action_with(
            "login",
            |action| action.schema(Json::parse(SCHEMA).expect("JSON")),
            move |_, parameters: Value| {
                got.0.lock().expect("no panic").push(parameters);
                async { Ok::<_, String>(()) }
            },
        )
        .build()
        .expect("an executor");
    let worker = Worker::builder(network.transport()).executor(executor);
    let worker = worker.start().await.expect("a worker");
    available(&coordinator, "login").await;
    (coordinator, worker)
}

async fn stored(store: &MemoryStore, id: ExecutionId) -> Execution {
    (*store.execution(id).await.expect("a read").expect("a record")).clone()
}

#[tokio::test(start_paused = true)]
async fn secrets_are_sealed_in_the_store_and_open_at_workers() {
    let (store, got) = (Arc::new(MemoryStore::new()), Got::default());
    let (coordinator, worker) = run(store.clone(), ToySealer::new(1, &[]), &got).await;
    let parameters = Json::parse(PARAMETERS).expect("JSON");
    let options = || SubmitOptions::new().idempotency_key("once");
    let handle =
        coordinator.submit("login", parameters.clone()).options(options()).await.expect("a run");
    assert!(outcome(&handle).await.value().is_some());
    let given: Value = serde_json::from_str(PARAMETERS).expect("JSON");
    assert_eq!(*got.0.lock().expect("no panic"), [given]);
    let text = stored(&store, handle.id()).await.parameters.as_str().to_owned();
    assert!(text.starts_with(r#"{"user":"ada","password":{"$sealed":"#), "{text}");
    assert_eq!(text.matches("$sealed").count(), 3);
    for canary in ["hunter2", "1.50", "17]"] {
        assert!(!text.contains(canary), "{text}");
    }
    // The same submission is the same execution, and one with another secret is not.
    let again = coordinator.submit("login", parameters).options(options()).await.expect("the same");
    assert_eq!(again.id(), handle.id());
    let other = Json::parse(PARAMETERS.replace("hunter2", "hunter3")).expect("JSON");
    let other = coordinator.submit("login", other).options(options()).await.expect_err("another");
    assert_eq!(other.kind(), ErrorKind::Conflict);
    // A rerun has the secrets, sealed for itself.
    let rerun = coordinator.rerun(handle.id(), SubmitOptions::new()).await.expect("a rerun");
    assert!(outcome(&rerun).await.value().is_some());
    assert_eq!(got.0.lock().expect("no panic").len(), 2);
    let again = stored(&store, rerun.id()).await.parameters;
    assert!(!again.as_str().contains("hunter2") && again.as_str() != text);
    drop(worker);
    coordinator.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn secrets_are_forgotten_at_the_end_and_a_rerun_says_so() {
    let (store, network) = (Arc::new(MemoryStore::new()), MemoryNetwork::new());
    let sealing = SealingStore::new(store.clone(), ToySealer::new(1, &[]));
    let builder = Coordinator::builder(network.transport()).store(sealing).forget_secrets(true);
    let coordinator = builder.start().await.expect("it starts");
    let got = Got::default();
    let seen = got.clone();
    let executor = FunctionExecutor::builder()
        .action_with(
            "login",
            |action| {
                action
                    .schema(Json::parse(SCHEMA).expect("JSON"))
                    .retry(RetryPolicy::new(1, Backoff::fixed(Duration::ZERO)))
            },
            move |_, parameters: Value| {
                let mut seen = seen.0.lock().expect("no panic");
                seen.push(parameters);
                let is_first = seen.len() == 1;
                async move { if is_first { Err("the first attempt") } else { Ok(()) } }
            },
        )
        .build()
        .expect("an executor");
    let worker = Worker::builder(network.transport()).executor(executor);
    let _worker = worker.start().await.expect("a worker");
    available(&coordinator, "login").await;
    let submit = async |text: &str| {
        let parameters = Json::parse(text).expect("JSON");
        coordinator.submit("login", parameters).idempotency_key("once").await
    };
    let handle = submit(PARAMETERS).await.expect("a run");
    assert!(outcome(&handle).await.value().is_some());
    // The second attempt had them, too.
    let given: Value = serde_json::from_str(PARAMETERS).expect("JSON");
    assert_eq!(*got.0.lock().expect("no panic"), [given.clone(), given]);
    let shown = r#"{"user":"ada","password":"***","keys":[{"key":"***"},{"key":"***"}]}"#;
    assert_eq!(stored(&store, handle.id()).await.parameters.as_str(), shown);
    let error = coordinator.rerun(handle.id(), SubmitOptions::new()).await.expect_err("no secrets");
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.message().contains("were erased when it ended: submit it again"), "{error}");
    // The same submission is the same execution, as far as can be known; another one is not.
    assert_eq!(submit(PARAMETERS).await.expect("the same").id(), handle.id());
    submit(&PARAMETERS.replace("ada", "eve")).await.expect_err("another user");
    coordinator.shutdown().await;
}

/// The digest of erased secrets tells a repetition from another submission, and without the key it
/// does not tell the secrets.
#[tokio::test(start_paused = true)]
async fn erased_secrets_are_compared_by_a_digest_that_reveals_none() {
    let store = Arc::new(MemoryStore::new());
    let start = async |key: u64| {
        let network = MemoryNetwork::new();
        let sealing = SealingStore::new(store.clone(), ToySealer::new(key, &[]));
        let builder = Coordinator::builder(network.transport()).store(sealing);
        let builder = builder.forget_secrets(true).secret_digests(ToySealer::new(key, &[]));
        let coordinator = builder.start().await.expect("it starts");
        let schema = |action: Action| action.schema(Json::parse(SCHEMA).expect("JSON"));
        let executor = FunctionExecutor::builder()
            .action_with("login", schema, |_, _: Value| async { Ok::<_, String>(()) })
            .build()
            .expect("an executor");
        let worker = Worker::builder(network.transport()).executor(executor).start().await;
        available(&coordinator, "login").await;
        (coordinator, worker.expect("a worker"))
    };
    let submit = async |coordinator: &Coordinator, text: &str, key: &str| {
        let parameters = Json::parse(text).expect("JSON");
        let handle = coordinator.submit("login", parameters).idempotency_key(key).await?;
        assert!(outcome(&handle).await.value().is_some());
        Ok::<_, tinpot_core::Error>(handle.id())
    };
    let (coordinator, worker) = start(1).await;
    let id = submit(&coordinator, PARAMETERS, "once").await.expect("a run");
    let other = submit(&coordinator, PARAMETERS, "other").await.expect("a run");
    let again = PARAMETERS.replace("1.50", " 1.5");
    assert_eq!(submit(&coordinator, &again, "once").await.expect("the same"), id);
    let guess = PARAMETERS.replace("hunter2", "hunter3");
    let refused = submit(&coordinator, &guess, "once").await.expect_err("another secret");
    assert_eq!(refused.kind(), ErrorKind::Conflict);

    // The record has neither the secret nor a digest that a reader could compute.
    let kept = async |id| stored(&store, id).await.secrets_digest.clone().expect("a digest");
    let (mine, its) = (kept(id).await, kept(other).await);
    assert_ne!(mine.split_once('.').expect("a digest").1, its.split_once('.').expect("one").1);
    worker.shutdown(Duration::from_secs(1)).await;
    coordinator.shutdown().await;

    // Under another key, the same secrets have another digest, and are compared with none before.
    let (coordinator, worker) = start(2).await;
    let later = submit(&coordinator, PARAMETERS, "later").await.expect("a run");
    assert_ne!(
        kept(later).await.split_once('.').expect("a digest").0,
        mine.split_once('.').expect("one").0
    );
    assert_eq!(submit(&coordinator, &guess, "once").await.expect("not compared"), id);
    worker.shutdown(Duration::from_secs(1)).await;
    coordinator.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn without_the_key_executions_are_readable_and_do_not_run() {
    let (store, got) = (Arc::new(MemoryStore::new()), Got::default());
    let (coordinator, worker) = run(store.clone(), ToySealer::new(1, &[]), &got).await;
    let parameters = || Json::parse(PARAMETERS).expect("JSON");
    let ended = coordinator.submit("login", parameters()).await.expect("a run");
    outcome(&ended).await;
    worker.shutdown(std::time::Duration::from_secs(1)).await;
    coordinator.shutdown().await;
    // Queued while there is no worker.
    let coordinator = start(store.clone(), ToySealer::new(1, &[])).await;
    let queued = coordinator.submit("login", parameters()).await.expect("a run").id();
    coordinator.shutdown().await;

    let (coordinator, _worker) = run(store.clone(), ToySealer::new(2, &[]), &got).await;
    let record = coordinator.execution(ended.id()).await.expect("a read").expect("a record");
    assert!(record.has_lost_secrets);
    let shown = r#"{"user":"ada","password":"***","keys":[{"key":"***"},{"key":"***"}]}"#;
    assert_eq!(record.shown_parameters().as_str(), shown);
    let error = coordinator.rerun(ended.id(), SubmitOptions::new()).await.expect_err("no secrets");
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.message().contains("the key of the store is lost"), "{error}");
    let handle = coordinator.handle(queued).await.expect("a handle");
    let Outcome::Failed(failure) = outcome(&handle).await else { panic!("it ran") };
    assert_eq!(failure.code, FailureCode::SecretsLost);
    assert_eq!(got.0.lock().expect("no panic").len(), 1);
    let problems = coordinator.store_problems();
    assert!(problems[0].message.contains("the key of the store is lost"), "{problems:?}");
    // What is submitted now has the new key.
    let later = coordinator.submit("login", parameters()).await.expect("a run");
    assert!(outcome(&later).await.value().is_some());
    coordinator.shutdown().await;
}

#[tokio::test]
async fn secrets_are_sealed_again_under_a_new_key_and_those_of_old_stores_for_the_first_time() {
    let store = MemoryStore::new();
    let mut plain = Execution::new(
        ExecutionId::generate(),
        "login",
        Json::parse(r#"{"password":"hunter2"}"#).expect("JSON"),
    );
    plain.secrets = vec!["/password".to_owned(), "/nowhere".to_owned()];
    let (first, second) = (ToySealer::new(1, &[]), ToySealer::new(2, &[1]));
    let sealed = reseal_secrets(&first, &plain).expect("sealed").expect("a change");
    assert!(!sealed.as_str().contains("hunter2"));
    let mut execution = plain.clone();
    execution.parameters = sealed;
    assert_eq!(reseal_secrets(&first, &execution).expect("a look"), None);
    execution.parameters = reseal_secrets(&second, &execution).expect("sealed").expect("a change");
    assert_eq!(reseal_secrets(&second, &execution).expect("a look"), None);
    // Without the key it stays as it is.
    assert_eq!(reseal_secrets(&first, &execution).expect("a look"), None);
    let (_, session) = store.open().await.expect("a session");
    let batch = [
        Transition::Offer(Arc::new(Action::new("login").expect("a name"))),
        Transition::Accept(Arc::new(execution.clone())),
    ];
    session.commit(&batch, Timestamp::now()).await.expect("a commit");
    let store = SealingStore::new(store, second);
    let read = store.execution(plain.id).await.expect("a read").expect("a record");
    assert_eq!(read.parameters, plain.parameters);
}
