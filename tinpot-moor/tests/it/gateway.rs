//! Workers of mooR at a gateway, over real sockets.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tinpot_core::{Coordinator, FailureCode, MemoryNetwork, Outcome, SubmitOptions};
use tinpot_moor::testing::{Deed, FakeWorker, FakeWorkerBuilder, Seen, exchange};
use tinpot_moor::{
    Dialect, FromWorkerBody, Gateway, GatewayBuilder, MoorAddress, Reply, SigningKey, Var,
    WorkerError,
};
use tokio::sync::watch;
use tokio::time::timeout;

/// Generous, for slow machines: nothing here takes a second but what waits for pings.
const DEADLINE: Duration = Duration::from_secs(60);

struct Scene {
    coordinator: Coordinator,
    gateway: Gateway,
    key: SigningKey,
    _folder: tempfile::TempDir,
}

impl Scene {
    async fn new(kind: &str) -> Self {
        Self::with(kind, |builder| builder).await
    }

    async fn with(kind: &str, set: impl FnOnce(GatewayBuilder) -> GatewayBuilder) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let address = format!("ipc://{}/m", folder.path().display()).parse().expect("an address");
        let network = MemoryNetwork::new();
        let coordinator =
            Coordinator::builder(network.transport()).start().await.expect("a coordinator");
        let key = SigningKey::generate().expect("a key");
        let builder = Gateway::builder(&network, address)
            .key(key.verifying_key())
            .allow(kind.parse().expect("a type"));
        let gateway = set(builder).bind().await.expect("a gateway");
        Self { coordinator, gateway, key, _folder: folder }
    }

    fn worker(&self) -> FakeWorkerBuilder {
        FakeWorker::builder(self.gateway.address(), "echo").key(&self.key)
    }

    async fn available(&self) {
        let available = self.coordinator.action_available("echo");
        timeout(DEADLINE, available).await.expect("in time").expect("available");
    }

    fn run(&self, parameters: Value) -> impl Future<Output = Outcome> + use<> {
        self.run_with(parameters, SubmitOptions::default())
    }

    fn run_with(
        &self,
        parameters: Value,
        options: SubmitOptions,
    ) -> impl Future<Output = Outcome> + use<> {
        let coordinator = self.coordinator.clone();
        async move {
            let submitted = coordinator.submit("echo", parameters).options(options).await;
            let handle = submitted.expect("submitted");
            timeout(DEADLINE, handle.outcome()).await.expect("in time").expect("an outcome")
        }
    }

    async fn end(self) {
        timeout(DEADLINE, self.gateway.shutdown(Duration::ZERO)).await.expect("in time");
        self.coordinator.shutdown().await;
    }
}

async fn seen<T>(worker: &mut FakeWorker, wanted: impl Fn(Seen) -> Option<T>) -> T {
    let find = async {
        loop {
            if let Some(found) = wanted(worker.seen().await.expect("the worker lives")) {
                return found;
            }
        }
    };
    timeout(DEADLINE, find).await.expect("in time")
}

fn value(outcome: &Outcome) -> &str {
    outcome.value().unwrap_or_else(|| panic!("{outcome:?}")).as_str()
}

#[tokio::test]
async fn a_worker_runs_executions_with_values_of_all_types() {
    let scene = Scene::new("echo").await;
    let mut worker = scene.worker().start();
    scene.available().await;
    let args = json!(["Hello", 123, 1.0, null, {"$obj": "#12"}, {"a": [true]}, {"$sym": "x"}]);
    let outcome = scene.run(json!({"args": args, "perms": "#2"})).await;
    assert_eq!(value(&outcome), args.to_string());
    let request = seen(&mut worker, |seen| match seen {
        Seen::Request(request) => Some(request),
        _ => None,
    });
    let request = request.await;
    assert_eq!((request.perms.to_string().as_str(), request.timeout_ms), ("#2", 0));
    let workers = scene.coordinator.workers().await.expect("workers");
    let [info] = &workers[..] else { panic!("{workers:?}") };
    assert!(info.name.starts_with("echo-") && info.version.contains("token dialect"), "{info:?}");
    assert_eq!(value(&scene.run(json!({})).await), "[]");
    scene.end().await;
}

#[tokio::test]
async fn workers_without_tokens_attach_by_tcp() {
    let key = SigningKey::generate().expect("a key");
    let scene = Scene::with("ECHO", |builder| builder.dialect(Dialect::Plain)).await;
    let address: MoorAddress = "tcp://127.0.0.1:0".parse().expect("an address");
    let network = MemoryNetwork::new();
    let coordinator = Coordinator::builder(network.transport()).start().await.expect("started");
    let gateway = Gateway::builder(&network, address)
        .dialect(Dialect::Plain)
        .allow_any()
        .bind()
        .await
        .expect("a gateway");
    let _there = FakeWorker::builder(gateway.address(), "echo").dialect(Dialect::Plain).start();
    timeout(DEADLINE, coordinator.action_available("echo")).await.expect("in time").expect("there");
    // The reply to a worker with tokens says what is wrong.
    let other = FakeWorker::builder(gateway.address(), "echo").key(&key);
    let frames = other.frames(FromWorkerBody::Detach);
    let reply = timeout(DEADLINE, exchange(gateway.address(), frames)).await.expect("in time");
    let reply = reply.expect("a reply");
    let reply = Reply::decode(&reply[0], Dialect::Plain).expect("a reply");
    assert!(matches!(&reply, Reply::Rejected(why) if why.contains("not 3")), "{reply:?}");
    gateway.shutdown(Duration::ZERO).await;
    coordinator.shutdown().await;
    scene.end().await;
}

#[tokio::test]
async fn errors_of_workers_and_of_callers_are_told_apart() {
    let scene = Scene::new("echo").await;
    let _worker = scene
        .worker()
        .does(|request| match &request.arguments[..] {
            [Var::Str(kind)] if kind == "denied" => {
                Deed::Fail(WorkerError::PermissionDenied("no".to_owned()))
            }
            [Var::Str(kind)] if kind == "late" => {
                Deed::Fail(WorkerError::TimedOut("slow".to_owned()))
            }
            _ => Deed::Fail(WorkerError::Request("404".to_owned())),
        })
        .start();
    scene.available().await;
    let failure = |outcome: Outcome| {
        let failure = outcome.failure().unwrap_or_else(|| panic!("{outcome:?}")).clone();
        (failure.kind, failure.message)
    };
    let denied = failure(scene.run(json!({"args": ["denied"]})).await);
    assert_eq!(denied, ("permission_denied".to_owned(), "no".to_owned()));
    assert_eq!(scene.run(json!({"args": ["late"]})).await, Outcome::TimedOut);
    let other = failure(scene.run(json!({"args": []})).await);
    assert_eq!(other, ("action_error".to_owned(), "404".to_owned()));
    let outcome = scene.run(json!({"args": [1, {"$sum": 1}]})).await;
    let failure = outcome.failure().expect("a failure");
    assert_eq!(failure.code, FailureCode::InvalidParameters);
    assert!(failure.message.starts_with("args[1].$sum: "), "{failure}");
    scene.end().await;
}

#[tokio::test]
async fn named_parameters_are_the_arguments_in_order() {
    let scene = Scene::new("echo(city: str, days: int, at: obj?):2").await;
    let _worker = scene.worker().start();
    scene.available().await;
    let action = scene.coordinator.catalogue()["echo"].action.clone();
    assert!(action.schema.as_str().contains(r#""required":["city","days"]"#), "{action:?}");
    let outcome = scene.run(json!({"days": 3, "at": "#12", "city": "Graz"})).await;
    assert_eq!(value(&outcome), r##"["Graz",3,{"$obj":"#12"}]"##);
    assert_eq!(value(&scene.run(json!({"days": 3, "city": "x"})).await), r#"["x",3]"#);
    let submitted = scene.coordinator.submit("echo", json!({"city": 1, "days": 1})).await;
    assert!(submitted.expect_err("refused").to_string().contains("city"));
    scene.end().await;
}

#[tokio::test]
async fn a_worker_that_is_drained_is_asked_to_end_if_the_host_says_so() {
    for ends in [true, false] {
        let scene = Scene::with("echo", |builder| builder.end_drained(ends)).await;
        let mut worker = scene.worker().start();
        scene.available().await;
        let workers = scene.coordinator.workers().await.expect("workers");
        scene.coordinator.drain_worker(&workers[0].id).await.expect("drained");
        if ends {
            while timeout(DEADLINE, worker.seen()).await.expect("in time").is_some() {}
        } else {
            // It stays, and answers the next ping.
            let pinged = seen(&mut worker, |seen| match seen {
                Seen::Ping(reply) => Some(reply),
                _ => None,
            });
            pinged.await;
        }
        scene.end().await;
    }
}

#[tokio::test]
async fn a_worker_that_subscribes_late_loses_no_request() {
    let scene = Scene::new("echo").await;
    let (subscribe, when) = watch::channel(false);
    let mut worker = scene.worker().subscribes(when).start();
    let attached = seen(&mut worker, |seen| match seen {
        Seen::Attached(reply) => Some(reply),
        _ => None,
    });
    assert_eq!(attached.await, Reply::Attached(worker_id(&worker)));
    // It is there, and not offered: the execution waits.
    assert!(scene.coordinator.workers().await.expect("workers").is_empty());
    subscribe.send_replace(true);
    scene.available().await;
    assert_eq!(value(&scene.run(json!({"args": [1]})).await), "[1]");
    scene.end().await;
}

fn worker_id(worker: &FakeWorker) -> uuid::Uuid {
    worker.id
}

#[tokio::test]
async fn an_execution_that_times_out_keeps_its_slot_until_the_worker_is_heard() {
    let scene = Scene::new("echo").await;
    let (release, until) = watch::channel(false);
    let mut worker = scene
        .worker()
        .does(move |request| match request.arguments.is_empty() {
            true => Deed::Wait(until.clone(), Var::None),
            false => Deed::Return(Var::Bool(true)),
        })
        .start();
    scene.available().await;
    let limited = SubmitOptions::default().timeout(Duration::from_millis(200));
    assert_eq!(scene.run_with(json!({}), limited).await, Outcome::TimedOut);
    // The next one waits for the worker, which is free as soon as it answers.
    let next = scene.run(json!({"args": [1]}));
    tokio::pin!(next);
    tokio::select! {
        outcome = &mut next => panic!("{outcome:?}"),
        () = stuck(&scene) => {}
    }
    release.send_replace(true);
    assert_eq!(value(&next.await), "true");
    let late = seen(&mut worker, |seen| match seen {
        Seen::Answered(reply) => Some(reply),
        _ => None,
    });
    assert!(matches!(late.await, Reply::UnknownRequest(_)));
    scene.end().await;
}

/// Waits until a worker says that it is stuck.
async fn stuck(scene: &Scene) {
    let mut changes = scene.coordinator.changes();
    let find = async {
        loop {
            let workers = scene.coordinator.workers().await.expect("workers");
            let mut errors = workers.iter().flat_map(|worker| &worker.load_errors);
            if errors.any(|error| error.message.contains("given up")) {
                return;
            }
            changes.next().await;
        }
    };
    timeout(DEADLINE, find).await.expect("in time");
}

#[tokio::test]
async fn a_worker_that_attaches_again_loses_its_attempt() {
    let scene = Scene::new("echo").await;
    let (_never, until) = watch::channel(false);
    let deaf = scene.worker().does(move |_| Deed::Wait(until.clone(), Var::None));
    let mut worker = deaf.clone().start();
    scene.available().await;
    let run = scene.run(json!({}));
    tokio::pin!(run);
    let requested = seen(&mut worker, |seen| matches!(seen, Seen::Request(_)).then_some(()));
    tokio::select! {
        outcome = &mut run => panic!("{outcome:?}"),
        () = requested => {}
    }
    let id = worker.id;
    drop(worker);
    let _again = deaf.id(id).start();
    assert_eq!(run.await, Outcome::Lost);
    scene.end().await;
}

#[tokio::test]
async fn a_worker_that_answers_for_others_is_marked_and_changes_nothing() {
    let scene = Scene::new("echo").await;
    let promiscuous = |scene: &Scene| {
        scene
            .worker()
            .promiscuous()
            .does(|request| Deed::Return(Var::from(&*request.worker.to_string())))
    };
    let (_one, _two) = (promiscuous(&scene).start(), promiscuous(&scene).start());
    scene.available().await;
    let mut changes = scene.coordinator.changes();
    let marked = async {
        loop {
            let outcome = scene.run(json!({})).await;
            assert!(value(&outcome).len() > 30);
            let workers = scene.coordinator.workers().await.expect("workers");
            let mut errors = workers.iter().flat_map(|worker| &worker.load_errors);
            if errors.any(|error| error.message.contains("happens twice")) {
                return;
            }
            changes.next().await;
        }
    };
    timeout(DEADLINE, marked).await.expect("in time");
    scene.end().await;
}

#[tokio::test]
async fn every_message_gets_one_reply_of_one_frame() {
    let scene = Scene::new("echo").await;
    let vectors = crate::vectors::vectors();
    let good = scene.worker().frames(FromWorkerBody::Detach);
    let mut cases: Vec<Vec<Bytes>> = vec![vec![Bytes::new()], good[..2].to_vec()];
    cases.push([&good[..], &good[..1]].concat());
    cases.extend(vectors.refused.iter().map(|vector| {
        let message = crate::vectors::bytes(&vector.bytes);
        vec![good[0].clone(), good[1].clone(), message.into()]
    }));
    for frames in cases {
        let reply = exchange(scene.gateway.address(), frames.clone());
        let reply = timeout(DEADLINE, reply).await.expect("in time").expect("a reply");
        assert_eq!(reply.len(), 1, "{frames:?}");
        assert!(Reply::decode(&reply[0], Dialect::Token).is_ok());
    }
    scene.end().await;
}

#[tokio::test]
async fn what_cannot_be_served_is_refused_at_the_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let network = MemoryNetwork::new();
    let key = SigningKey::generate().expect("a key").verifying_key();
    let address = |name: &str| -> MoorAddress {
        format!("ipc://{}/{name}", folder.path().display()).parse().expect("an address")
    };
    let builder = |name: &str| Gateway::builder(&network, address(name));
    let world: MoorAddress = "tcp://0.0.0.0:0".parse().expect("an address");
    std::fs::write(folder.path().join("file_workers_request.sock"), "").expect("a file");
    for (builder, why) in [
        (builder("a").allow_any(), "--moor-key"),
        (builder("a").key(key), "--moor-types"),
        (Gateway::builder(&network, world).key(key).allow_any(), "--moor-insecure"),
        (builder("file").key(key).allow_any(), "is no socket"),
        (builder("no/folder").key(key).allow_any(), "cannot listen"),
    ] {
        let error = builder.bind().await.expect_err(why).to_string();
        assert!(error.contains(why), "{error}");
    }
    let first = builder("a").key(key).allow_any().bind().await.expect("a gateway");
    let second = builder("a").key(key).allow_any().bind().await.expect_err("in use");
    assert!(second.to_string().contains("another program listens"), "{second}");
    first.shutdown(Duration::ZERO).await;
    // What is left of a gateway that was killed does not matter.
    let again = builder("a").key(key).allow_any().bind().await.expect("a gateway");
    again.shutdown(Duration::ZERO).await;
    for (text, why) in [
        (format!("ipc:///{}", "x".repeat(100)), "at most 107 bytes"),
        ("ipc://here".to_owned(), "absolute"),
        ("udp://1.2.3.4:5".to_owned(), "scheme"),
        ("tcp://127.0.0.1".to_owned(), "no port"),
        ("tcp://localhost:1".to_owned(), "host must be"),
        ("tcp://127.0.0.1:65535".to_owned(), "65534"),
    ] {
        let error = text.parse::<MoorAddress>().expect_err(&text);
        assert!(error.contains(why), "{error}");
    }
}
