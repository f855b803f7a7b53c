//! Coordinators and workers whose frames are sealed.

use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use serde_json::json;
use tinpot_core::executor::{ActionSet, ScopedExecutor};
use tinpot_core::protocol::seal::{HEADER_BYTES, WorkerFrame, WorkerSessions};
use tinpot_core::protocol::{Frame, Goodbye, Log, Message, ProgressReport, Tick};
use tinpot_core::seal::{CoordinatorOptions, EnrolledKeys, Pins, PlainFrames, Suite, WorkerGrant};
use tinpot_core::testing::ToySuite;
use tinpot_core::transport::{Address, Lane};
use tinpot_core::{
    Action, Coordinator, ErrorKind, Failure, FunctionExecutor, Json, Level, LogChunk,
    MemoryNetwork, MemoryStore, Outcome, Progress, Refusal, Status, Store, Stream, Timestamp,
    Transport, Worker, WorkerId,
};

use crate::deployed::version;
use crate::session_probe::{SessionProbe, released};
use crate::support::{Nothing, available, in_time};

const CANARY: &str = "canary-in-every-place";

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Text {
    text: String,
}

/// A network with its keys.
struct Deployment {
    network: MemoryNetwork,
    suite: ToySuite,
    enrolled: Arc<EnrolledKeys>,
}

impl Deployment {
    fn new() -> Self {
        let network = MemoryNetwork::new();
        Self { network, suite: ToySuite::new(1_000, 1), enrolled: Arc::default() }
    }

    async fn coordinator(&self, store: impl Store, plain: PlainFrames) -> Coordinator {
        let options = CoordinatorOptions::new("tinpot", self.enrolled.clone()).plain(plain);
        let transport = self.network.transport_of(&Address::Coordinator);
        let builder = Coordinator::builder(transport).store(store);
        builder.sealed(self.suite.clone(), options).start().await.expect("a coordinator")
    }

    fn enrol(&self, identity: u64, names: &str) -> ToySuite {
        let suite = self.suite.owned_by(identity);
        self.enrolled.enrol(&suite, WorkerGrant::new(suite.public(), names));
        suite
    }

    /// Starts a worker with a key. Its action writes its text, and returns it.
    async fn worker(&self, id: &WorkerId, suite: ToySuite, action: &str) -> Worker {
        let pins = Pins::new("tinpot", [self.suite.public()]);
        let transport = self.network.transport_of(&Address::Worker(id.clone()));
        let builder = Worker::builder(transport).id(id.clone()).name(id.name());
        builder.executor(echo(action)).sealed(suite, pins).start().await.expect("a worker")
    }
}

fn echo(action: &str) -> FunctionExecutor {
    FunctionExecutor::builder()
        .action(action, |context, Text { text }| async move {
            context.logs().write(Stream::Stdout, Level::Info, vec![text.clone()]).await;
            Ok::<_, Failure>(text)
        })
        .build()
        .expect("an action")
}

async fn runs(coordinator: &Coordinator, action: &str) {
    available(coordinator, action).await;
    let called = coordinator.call::<String>(action, json!({ "text": CANARY }));
    assert_eq!(in_time("a result", called).await.expect("a result"), CANARY);
}

#[tokio::test]
async fn an_execution_runs_and_those_who_listen_see_nothing_of_it() {
    let deployment = Deployment::new();
    let web = WorkerId::generate("web");
    let spy = deployment.network.transport();
    let mut heard = Vec::new();
    for address in [Address::Coordinator, Address::Worker(web.clone()), Address::AllWorkers] {
        for lane in Lane::ALL {
            heard.push(spy.listen(&address, lane).await.expect("frames"));
        }
    }
    let coordinator = deployment.coordinator(MemoryStore::new(), PlainFrames::Refuse).await;
    let suite = deployment.enrol(1, "web");
    let worker = deployment.worker(&web, suite, "echo").await;
    runs(&coordinator, "echo").await;
    worker.shutdown(Duration::from_secs(5)).await;
    coordinator.shutdown().await;
    let mut frames = 0;
    for mut stream in heard {
        while let Some(Some(frame)) = stream.next().now_or_never() {
            frames += 1;
            assert!(frame.bytes.starts_with(b"TPF1"), "{frame:?}");
            let text = String::from_utf8_lossy(&frame.bytes);
            assert!(!text.contains(CANARY) && !text.contains("echo"), "{text}");
        }
    }
    assert!(frames >= 8, "only {frames} frames");
    assert!(!deployment.suite.has_reused_a_nonce());
}

#[tokio::test]
async fn plain_frames_of_others_have_no_effect() {
    let deployment = Deployment::new();
    let coordinator = deployment.coordinator(MemoryStore::new(), PlainFrames::Refuse).await;
    let web = WorkerId::generate("web");
    let suite = deployment.enrol(1, "web");
    let worker = deployment.worker(&web, suite, "echo").await;
    runs(&coordinator, "echo").await;
    let messages = vec![Message::Goodbye(Goodbye { held: Vec::new() })];
    let forged = Frame { from: Some(web.clone()), to: None, messages }.encode();
    let other = deployment.network.transport();
    let (to, lane) = (Address::Coordinator, Lane::Control);
    other.send(&to, lane, forged).await.expect("it is sent");
    runs(&coordinator, "echo").await;
    assert_eq!(coordinator.refused(Refusal::Plain), 1);
    // A worker with plain frames is not even seen.
    let legacy = Worker::builder(deployment.network.transport()).executor(echo("legacy"));
    let legacy = legacy.start().await.expect("a worker");
    while coordinator.refused(Refusal::Plain) < 3 {
        in_time("a hello", tokio::task::yield_now()).await;
    }
    let error = coordinator.submit("legacy", json!({ "text": "" })).await.expect_err("unknown");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    legacy.shutdown(Duration::ZERO).await;
    worker.shutdown(Duration::from_secs(5)).await;
    coordinator.shutdown().await;
}

#[tokio::test]
async fn a_worker_whose_key_is_not_enrolled_is_not_heard() {
    let deployment = Deployment::new();
    let coordinator = deployment.coordinator(MemoryStore::new(), PlainFrames::Refuse).await;
    let stranger = deployment.suite.owned_by(9);
    let stranger = deployment.worker(&WorkerId::generate("web"), stranger, "echo").await;
    while coordinator.refused(Refusal::Handshake) == 0 {
        in_time("an init", tokio::task::yield_now()).await;
    }
    let error = coordinator.submit("echo", json!({ "text": "" })).await.expect_err("unknown");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    stranger.shutdown(Duration::ZERO).await;
    coordinator.shutdown().await;
}

#[tokio::test]
async fn a_worker_neither_offers_nor_moves_an_action_outside_its_grant() {
    let deployment = Deployment::new();
    let coordinator = deployment.coordinator(MemoryStore::new(), PlainFrames::Refuse).await;
    let action = |name: &str, group: &str, queue: &str| {
        Action::new(name).expect("a name").group(group).queue(queue)
    };
    let start = async |identity, name: &str, actions: Vec<Action>| {
        let mut executor = FunctionExecutor::builder();
        for action in actions {
            executor =
                executor.raw_action(action, |_, _| async { Outcome::Succeeded(Json::null()) });
        }
        let id = WorkerId::generate(name);
        let pins = Pins::new("tinpot", [deployment.suite.public()]);
        let transport = deployment.network.transport_of(&Address::Worker(id.clone()));
        let builder = Worker::builder(transport).id(id).name(name);
        let builder = builder.executor(executor.build().expect("actions"));
        let suite = deployment.suite.owned_by(identity);
        builder.sealed(suite, pins).start().await.expect("a worker")
    };
    deployment.enrol(1, "web");
    let web = start(1, "web", vec![action("pay", "money", "web")]).await;
    available(&coordinator, "pay").await;
    let suite = deployment.suite.owned_by(2);
    let mut grant = WorkerGrant::new(suite.public(), "lab");
    grant.queues = Some(vec!["lab".to_owned()]);
    grant.groups = Some(vec!["lab".to_owned()]);
    deployment.enrolled.enrol(&suite, grant);
    let offers = [("pay", "lab", "lab"), ("far", "lab", "web"), ("strange", "money", "lab")];
    let offers = offers.map(|(name, group, queue)| action(name, group, queue));
    let lab = start(2, "lab", [&offers[..], &[action("own", "lab", "lab")]].concat()).await;
    available(&coordinator, "own").await;
    assert_eq!(coordinator.catalogue()["pay"].action.group, "money");
    let workers = coordinator.workers().await.expect("workers");
    let lab_info = workers.iter().find(|worker| worker.name == "lab").expect("the worker");
    assert_eq!(lab_info.actions.iter().map(|name| &**name).collect::<Vec<_>>(), ["own"]);
    let problems = lab_info.load_errors.iter();
    let mut problems: Vec<_> =
        problems.map(|problem| (&*problem.place, &*problem.message)).collect();
    problems.sort_unstable();
    let not_granted = "it is not offered: the worker's key is not granted";
    let known = "it is not offered: it is known with group \"money\" and queue \"web\", and the \
                 worker's key is not granted both";
    assert_eq!(
        problems,
        [
            ("far", &*format!("{not_granted} queue \"web\"")),
            ("pay", known),
            ("strange", &*format!("{not_granted} group \"money\"")),
        ]
    );
    for worker in [web, lab] {
        worker.shutdown(Duration::ZERO).await;
    }
    coordinator.shutdown().await;
}

/// Sends messages on the logs lane as a worker, with a key of its own.
async fn send_logs(deployment: &Deployment, id: &WorkerId, identity: u64, messages: Vec<Message>) {
    let suite = Arc::new(deployment.suite.owned_by(identity));
    let pins = Pins::new("tinpot", [deployment.suite.public()]);
    let mut sessions = WorkerSessions::new(suite.clone(), id.clone(), pins);
    let transport = deployment.network.transport_of(&Address::Worker(id.clone()));
    let own = Address::Worker(id.clone());
    let mut heard = transport.listen(&own, Lane::Control).await.expect("frames");
    let coordinator = Address::Coordinator;
    let init = sessions.tick(Tick(1)).expect("an init");
    transport.send(&coordinator, Lane::Control, init.into()).await.expect("it is sent");
    while !sessions.is_open() {
        let frame = in_time("an accept", heard.next()).await.expect("a frame").bytes;
        if matches!(sessions.look(Lane::Control, &frame), Ok(WorkerFrame::Accept)) {
            sessions.accepted(Tick(2), &frame).expect("a session");
        }
    }
    let mut frame = vec![0; HEADER_BYTES];
    frame.extend_from_slice(&Frame { from: Some(id.clone()), to: None, messages }.encode());
    let sealing = sessions.sealings(Lane::Logs).last().expect("a session");
    sealing.seal(&*suite, &mut frame);
    transport.send(&coordinator, Lane::Logs, frame.into()).await.expect("it is sent");
}

#[tokio::test(start_paused = true)]
async fn the_key_of_another_team_feeds_no_log_under_the_id_of_a_worker() {
    let deployment = Deployment::new();
    let store = Arc::new(SessionProbe::default());
    let coordinator = deployment.coordinator(store.clone(), PlainFrames::Refuse).await;
    let (web, own) = (WorkerId::generate("web"), deployment.enrol(1, "web"));
    let pins = Pins::new("tinpot", [deployment.suite.public()]);
    let executor = FunctionExecutor::builder()
        .action("hold", |_, Nothing {}| std::future::pending::<Result<(), Failure>>())
        .build()
        .expect("an action");
    let transport = deployment.network.transport_of(&Address::Worker(web.clone()));
    let builder = Worker::builder(transport).id(web.clone()).name("web").executor(executor);
    let worker = builder.sealed(own, pins).start().await.expect("a worker");
    available(&coordinator, "hold").await;
    let held = coordinator.submit("hold", json!({})).await.expect("accepted").id();
    let mut changes = coordinator.changes();
    let running = async |coordinator: &Coordinator| {
        coordinator.execution(held).await.expect("a record").expect("it is there")
    };
    while running(&coordinator).await.status != Status::Running {
        in_time("its start", changes.next()).await.expect("changes");
    }
    let fence = running(&coordinator).await.attempts[0].fence;
    drop(worker);
    drop(coordinator);
    released(&store).await;
    let coordinator = deployment.coordinator(store, PlainFrames::Refuse).await;

    let other = deployment.suite.owned_by(2);
    let mut grant = WorkerGrant::new(other.public(), "web");
    grant.teams = Some(vec!["red".to_owned()]);
    deployment.enrolled.enrol(&other, grant);
    let line = |text: &str| {
        let lines = vec![text.to_owned()];
        let chunk = LogChunk::new(1, Timestamp(1), Stream::Stdout, Level::Info, lines);
        Message::Log(Log { fence, chunk: Arc::new(chunk) })
    };
    let progress = ProgressReport { fence, progress: Progress::new(1.0, None, "") };
    let forged = vec![line("forged"), Message::Progress(progress)];
    send_logs(&deployment, &web, 2, forged).await;
    while coordinator.refused(Refusal::NotHolder) < 2 {
        in_time("the frame", tokio::task::yield_now()).await;
    }
    assert!(coordinator.logs(held, 0, 1_000).await.expect("a log").is_empty());
    coordinator.shutdown().await;
}

#[tokio::test]
async fn during_a_migration_plain_workers_run_under_names_that_no_key_has() {
    let deployment = Deployment::new();
    let coordinator = deployment.coordinator(MemoryStore::new(), PlainFrames::Allow).await;
    let suite = deployment.enrol(1, "web");
    let worker = deployment.worker(&WorkerId::generate("web"), suite, "sealed").await;
    let plain = |name: &str, action: &str| {
        let builder = Worker::builder(deployment.network.transport()).name(name);
        builder.executor(echo(action)).start()
    };
    let legacy = plain("legacy", "plain").await.expect("a worker");
    let thief = plain("web", "stolen").await.expect("a worker");
    runs(&coordinator, "sealed").await;
    runs(&coordinator, "plain").await;
    while coordinator.refused(Refusal::Plain) < 1 {
        in_time("a hello", tokio::task::yield_now()).await;
    }
    let error = coordinator.submit("stolen", json!({ "text": "" })).await.expect_err("unknown");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    for worker in [worker, legacy, thief] {
        worker.shutdown(Duration::ZERO).await;
    }
    coordinator.shutdown().await;
}

const SECRET_TEXT: &str =
    r#"{"type":"object","properties":{"text":{"type":"string","writeOnly":true}}}"#;

fn with_secrets() -> FunctionExecutor {
    let schema = Json::parse(SECRET_TEXT).expect("JSON");
    FunctionExecutor::builder()
        .action_with(
            "login",
            |action| action.schema(schema),
            |_, Text { text }| async move { Ok::<_, Failure>(text.len()) },
        )
        .action("open", |_, Text { text }| async move { Ok::<_, Failure>(text) })
        .build()
        .expect("actions")
}

#[tokio::test(start_paused = true)]
async fn secret_parameters_wait_for_a_worker_that_has_joined() {
    let deployment = Deployment::new();
    let spy = deployment.network.transport();
    let mut heard = spy.listen(&Address::AllWorkers, Lane::Control).await.expect("frames");
    let coordinator = deployment.coordinator(MemoryStore::new(), PlainFrames::Allow).await;
    let legacy = Worker::builder(deployment.network.transport()).name("legacy");
    let legacy = legacy.executor(with_secrets()).start().await.expect("a worker");
    available(&coordinator, "login").await;
    let text = json!({ "text": CANARY });
    let secret = coordinator.submit("login", text.clone()).await.expect("accepted");
    // What is not secret goes on, also behind it.
    let empty = coordinator.submit("login", json!({})).await.expect("accepted");
    assert!(matches!(in_time("an end", empty.outcome()).await, Ok(Outcome::Failed(_))));
    runs(&coordinator, "open").await;
    let why = coordinator.waits_for(secret.id()).await.expect("a reason").expect("it waits");
    assert!(why.starts_with("it has secret parameters: the frames of all"), "{why}");
    let queues = coordinator.queues().await.expect("queues");
    let reason = queues[0].reason.as_deref().unwrap_or_default();
    assert!(reason.starts_with("an execution of \"login\" has secret parameters"), "{reason}");

    let (id, suite) = (WorkerId::generate("web"), deployment.enrol(1, "web"));
    let transport = deployment.network.transport_of(&Address::Worker(id.clone()));
    let pins = Pins::new("tinpot", [deployment.suite.public()]);
    let web = Worker::builder(transport).id(id).name("web").sealed(suite, pins);
    let web = web.executor(with_secrets()).start().await.expect("a worker");
    let outcome = in_time("an end", secret.outcome()).await.expect("an end");
    assert_eq!(outcome.value().map(Json::as_str), Some(&*CANARY.len().to_string()));
    assert_eq!(coordinator.waits_for(secret.id()).await.expect("an answer"), None);
    for worker in [legacy, web] {
        worker.shutdown(Duration::ZERO).await;
    }
    coordinator.shutdown().await;
    while let Some(Some(frame)) = heard.next().now_or_never() {
        assert!(!String::from_utf8_lossy(&frame.bytes).contains(CANARY), "{frame:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_worker_of_the_hosts_own_process_needs_no_key() {
    let deployment = Deployment::new();
    let coordinator = deployment.coordinator(MemoryStore::new(), PlainFrames::Refuse).await;
    let id = WorkerId::generate("gateway");
    let transport = deployment.network.transport_of_local(&id);
    let offer = ActionSet::default().runtime("script");
    let script =
        ScopedExecutor::new(
            offer,
            |attempt, _| async move { Outcome::Succeeded(attempt.parameters) },
        );
    let builder = Worker::builder(transport).id(id).executor(with_secrets()).executor(script);
    let local = builder.start().await.expect("a worker");
    available(&coordinator, "login").await;
    let called = coordinator.call::<usize>("login", json!({ "text": CANARY }));
    assert_eq!(in_time("a result", called).await.expect("a result"), CANARY.len());
    // Of another team.
    let mut action = version("report", "script", 1);
    action.team = "sales".to_owned();
    coordinator.deploy(vec![action]).await.expect("deployed");
    assert!(coordinator.catalogue()["sales/report"].available);
    local.shutdown(Duration::ZERO).await;
    coordinator.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_with_plain_frames_cannot_make_secret_parameters_public() {
    let deployment = Deployment::new();
    let coordinator = deployment.coordinator(MemoryStore::new(), PlainFrames::Allow).await;
    let start = |name: &str, executor: FunctionExecutor| {
        let builder = Worker::builder(deployment.network.transport()).name(name);
        builder.executor(executor).start()
    };
    let legacy = start("legacy", with_secrets()).await.expect("a worker");
    available(&coordinator, "login").await;
    let thief = start("thief", echo("login")).await.expect("a worker");
    let problems = async || {
        let workers = coordinator.workers().await.expect("workers");
        let thief = workers.into_iter().find(|worker| worker.name == "thief");
        thief.map(|worker| worker.load_errors)
    };
    let problems = loop {
        match problems().await {
            Some(problems) => break problems,
            None => in_time("a hello", tokio::time::sleep(Duration::from_millis(1))).await,
        }
    };
    assert!(problems[0].message.contains("known with secret parameters"), "{problems:?}");
    let secret = coordinator.submit("login", json!({ "text": CANARY })).await.expect("accepted");
    let execution = secret.execution().await.expect("it is there");
    assert_eq!(execution.secrets, ["/text"]);
    assert!(coordinator.waits_for(secret.id()).await.expect("an answer").is_some());
    for worker in [legacy, thief] {
        worker.shutdown(Duration::ZERO).await;
    }
    coordinator.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn secret_parameters_go_to_plain_workers_if_the_operator_accepts_that() {
    let deployment = Deployment::new();
    let options = CoordinatorOptions::new("tinpot", deployment.enrolled.clone());
    let transport = deployment.network.transport_of(&Address::Coordinator);
    let builder = Coordinator::builder(transport).store(MemoryStore::new()).plain_secrets(true);
    let builder = builder.sealed(deployment.suite.clone(), options.plain(PlainFrames::Allow));
    let coordinator = builder.start().await.expect("a coordinator");
    let legacy = Worker::builder(deployment.network.transport()).name("legacy");
    let legacy = legacy.executor(with_secrets()).start().await.expect("a worker");
    available(&coordinator, "login").await;
    let called = coordinator.call::<usize>("login", json!({ "text": CANARY }));
    assert_eq!(in_time("a result", called).await.expect("a result"), CANARY.len());
    legacy.shutdown(Duration::ZERO).await;
    coordinator.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_follows_a_coordinator_that_starts_again() {
    let deployment = Deployment::new();
    let store = Arc::new(MemoryStore::new());
    let first = deployment.coordinator(store.clone(), PlainFrames::Refuse).await;
    let suite = deployment.enrol(1, "web");
    let worker = deployment.worker(&WorkerId::generate("web"), suite, "echo").await;
    runs(&first, "echo").await;
    first.shutdown().await;
    let second = deployment.coordinator(store, PlainFrames::Refuse).await;
    runs(&second, "echo").await;
    // Another store in the same namespace, with the same keys.
    second.shutdown().await;
    let other = deployment.coordinator(MemoryStore::new(), PlainFrames::Refuse).await;
    runs(&other, "echo").await;
    worker.shutdown(Duration::from_secs(5)).await;
    other.shutdown().await;
}
