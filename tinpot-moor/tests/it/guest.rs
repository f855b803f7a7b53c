//! Executors at a daemon of mooR that the tests play, over real sockets.

use std::sync::Arc;
use std::time::Duration;

use tinpot_core::{Action, ErrorKind, Failure, FunctionExecutor, Local, Outcome, local};
use tinpot_moor::testing::FakeDaemon;
use tinpot_moor::{
    Dialect, FromWorkerBody, Guest, GuestBuilder, MoorAddress, Reply, SigningKey, ToWorker, Var,
    WorkerError, WorkerRequest,
};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use uuid::Uuid;

const DEADLINE: Duration = Duration::from_secs(60);

struct Scene {
    local: Local,
    key: SigningKey,
    dialect: Dialect,
    address: MoorAddress,
    /// Lets the action `wait` end.
    gate: Arc<Semaphore>,
    _folder: tempfile::TempDir,
}

impl Scene {
    async fn new(dialect: Dialect) -> Self {
        let gate = Arc::new(Semaphore::new(0));
        let opened = gate.clone();
        let weather = r#"{"type":"object","required":["city"],
            "properties":{"city":{"type":"string"},"days":{"type":"integer"}}}"#;
        let schema = tinpot_core::Json::parse(weather).expect("a schema");
        let executor = FunctionExecutor::builder()
            .raw_action(
                Action::new("weather").expect("an action").schema(schema),
                |_, given| async move { Outcome::Succeeded(given) },
            )
            .action("fail", |_, ()| async { Err::<(), _>(Failure::new("no disk")) })
            .action("wait", move |_, ()| {
                let opened = opened.clone();
                async move {
                    opened.acquire().await.map_err(Failure::from_error)?.forget();
                    Ok::<_, Failure>("done")
                }
            })
            .build()
            .expect("an executor");
        let folder = tempfile::tempdir().expect("a folder");
        let address = format!("ipc://{}/m", folder.path().display()).parse().expect("an address");
        let key = SigningKey::generate().expect("a key");
        let local = local(executor).await.expect("a deployment");
        Self { local, key, dialect, address, gate, _folder: folder }
    }

    async fn daemon(&self) -> FakeDaemon {
        let key = (self.dialect == Dialect::Token).then(|| self.key.verifying_key());
        FakeDaemon::bind(self.address.clone(), key).await
    }

    fn guest(&self, worker_type: &str) -> GuestBuilder {
        Guest::builder(self.local.coordinator(), self.address.clone(), worker_type)
            .dialect(self.dialect)
            .key(&self.key)
    }

    async fn end(self) {
        self.local.shutdown(Duration::ZERO).await;
    }
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(DEADLINE, what).await.expect("in time")
}

fn value(answer: FromWorkerBody, request: Uuid) -> String {
    match answer {
        FromWorkerBody::Result(id, Ok(value)) if id == request => value.to_json().expect("JSON"),
        other => panic!("{other:?}"),
    }
}

fn error(answer: FromWorkerBody, request: Uuid) -> WorkerError {
    match answer {
        FromWorkerBody::Error(id, error) if id == request => error,
        other => panic!("{other:?}"),
    }
}

async fn requests_run_actions(dialect: Dialect) {
    let scene = Scene::new(dialect).await;
    let daemon = scene.daemon().await;
    let guest = scene.guest("weather").start().expect("a guest");
    let worker = soon(daemon.worker()).await;
    assert_eq!(worker, guest.id());
    let asked = daemon.ask(worker, vec![Var::from("Graz"), Var::Int(3)]).await;
    assert_eq!(value(soon(daemon.answer()).await, asked), r#"{"city":"Graz","days":3}"#);
    let map = Var::Map(vec![(Var::from("city"), Var::from("Wien"))]);
    let asked = daemon.ask(worker, vec![map]).await;
    assert_eq!(value(soon(daemon.answer()).await, asked), r#"{"city":"Wien"}"#);
    // A request to another worker is not obeyed; wrong arguments are explained.
    daemon.ask(Uuid::from_u128(5), vec![]).await;
    let asked = daemon.ask(worker, vec![Var::from("Graz"), Var::from("three")]).await;
    match error(soon(daemon.answer()).await, asked) {
        WorkerError::InvalidRequest(why) => assert!(why.contains("days"), "{why}"),
        other => panic!("{other:?}"),
    }
    let asked = daemon.ask(worker, vec![Var::None; 3]).await;
    match error(soon(daemon.answer()).await, asked) {
        WorkerError::InvalidRequest(why) => assert!(why.contains("at most 2 arguments"), "{why}"),
        other => panic!("{other:?}"),
    }
    let ended = guest.shutdown(Duration::ZERO);
    let (ended, body) = soon(async { tokio::join!(ended, daemon.answer()) }).await;
    ended.expect("the end");
    assert_eq!(body, FromWorkerBody::Detach);
    daemon.leave().await;
    scene.end().await;
}

#[tokio::test]
async fn requests_run_actions_with_tokens() {
    requests_run_actions(Dialect::Token).await;
}

#[tokio::test]
async fn requests_run_actions_without_tokens() {
    requests_run_actions(Dialect::Plain).await;
}

#[tokio::test]
async fn failures_and_limits_of_time_are_answered() {
    let scene = Scene::new(Dialect::Plain).await;
    let daemon = scene.daemon().await;
    let failing = scene.guest("fail").start().expect("a guest");
    let worker = soon(daemon.worker()).await;
    let asked = daemon.ask(worker, vec![]).await;
    match error(soon(daemon.answer()).await, asked) {
        WorkerError::Request(why) => assert!(why.contains("no disk"), "{why}"),
        other => panic!("{other:?}"),
    }
    let _waiting = scene.guest("slow").action("wait").max_requests(1).start().expect("a guest");
    let mut worker = worker;
    while worker == failing.id() {
        worker = soon(daemon.worker()).await;
    }
    let mut limited = WorkerRequest::new(worker, Uuid::from_u128(1));
    limited.timeout_ms = 300;
    daemon.publish(&ToWorker::Request(limited)).await;
    let late = daemon.ask(worker, vec![]).await;
    match error(soon(daemon.answer()).await, late) {
        WorkerError::Internal(why) => assert!(why.contains("busy"), "{why}"),
        other => panic!("{other:?}"),
    }
    let end = error(soon(daemon.answer()).await, Uuid::from_u128(1));
    assert!(matches!(end, WorkerError::TimedOut(_)), "{end:?}");
    daemon.leave().await;
    scene.end().await;
}

#[tokio::test]
async fn an_answer_waits_for_a_daemon_that_is_away() {
    let scene = Scene::new(Dialect::Token).await;
    // The guest is there before its daemon.
    let mut guest = scene.guest("wait").start().expect("a guest");
    let daemon = scene.daemon().await;
    let worker = soon(daemon.worker()).await;
    let asked = daemon.ask(worker, vec![]).await;
    while scene.local.executions(&Default::default()).await.expect("executions").is_empty() {
        tokio::task::yield_now().await;
    }
    daemon.leave().await;
    scene.gate.add_permits(1);
    let daemon = scene.daemon().await;
    // It registers by itself, and has kept the answer.
    let answer = async {
        loop {
            tokio::select! {
                heard = daemon.heard() => match &heard.body {
                    FromWorkerBody::Result(id, result) => {
                        daemon.reply(&heard, &Reply::Ack);
                        return (*id, result.clone());
                    }
                    _ => daemon.reply(&heard, &Reply::Attached(heard.worker)),
                },
                () = tokio::time::sleep(Duration::from_millis(50)) => {
                    daemon.publish(&ToWorker::Ping).await;
                }
            }
        }
    };
    assert_eq!(soon(answer).await, (asked, Ok(Var::from("done"))));
    // It hears the new daemon as well.
    assert_eq!(soon(daemon.worker()).await, worker);
    // Then it is asked to end: what runs has time to.
    let asked = daemon.ask(worker, vec![]).await;
    daemon.publish(&ToWorker::PleaseDie(worker)).await;
    scene.gate.add_permits(1);
    assert_eq!(value(soon(daemon.answer()).await, asked), r#""done""#);
    assert_eq!(soon(daemon.answer()).await, FromWorkerBody::Detach);
    soon(guest.ended()).await.expect("the end");
    daemon.leave().await;
    scene.end().await;
}

#[tokio::test]
async fn a_guest_that_ends_cancels_what_does_not() {
    let scene = Scene::new(Dialect::Plain).await;
    let daemon = scene.daemon().await;
    let guest = scene.guest("wait").start().expect("a guest");
    let worker = soon(daemon.worker()).await;
    let asked = daemon.ask(worker, vec![]).await;
    while scene.local.executions(&Default::default()).await.expect("executions").is_empty() {
        tokio::task::yield_now().await;
    }
    let ended = guest.shutdown(Duration::ZERO);
    let answers = async { (daemon.answer().await, daemon.answer().await) };
    let (ended, (first, second)) = soon(async { tokio::join!(ended, answers) }).await;
    ended.expect("the end");
    let why = error(first, asked);
    assert_eq!(why, WorkerError::Request("the execution was cancelled".to_owned()));
    assert_eq!(second, FromWorkerBody::Detach);
    daemon.leave().await;
    scene.end().await;
}

#[tokio::test]
async fn a_daemon_that_refuses_the_worker_ends_the_guest() {
    let scene = Scene::new(Dialect::Plain).await;
    let daemon = scene.daemon().await;
    let mut guest = scene.guest("wait").start().expect("a guest");
    let heard = soon(daemon.heard()).await;
    assert_eq!(heard.body, FromWorkerBody::Attach("wait".to_owned()));
    daemon.reply(&heard, &Reply::Rejected("there must be 3 frames".to_owned()));
    let error = soon(guest.ended()).await.expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Forbidden);
    assert!(error.message().contains("there must be 3 frames"), "{error}");
    let token = Guest::builder(scene.local.coordinator(), scene.address.clone(), "wait");
    let error = token.start().expect_err("no key");
    assert!(error.message().contains("no key to sign"), "{error}");
    daemon.leave().await;
    scene.end().await;
}
