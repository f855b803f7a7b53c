//! The audit of what callers do.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tinpot_core::access::{AuditDecision, AuditEvent, AuditSink};
use tinpot_core::protocol::Frame;
use tinpot_core::testing::{Grant, TestPolicy};
use tinpot_core::transport::{Address, Lane};
use tinpot_core::{
    Caller, Context, Coordinator, Error, ErrorKind, FunctionExecutor, Json, MemoryNetwork, Result,
    Right, SubmitOptions, Transport, Worker, WorkerId,
};
use tokio::sync::watch;

use crate::support::{Nothing, available, outcome};

/// A sink that can be closed.
#[derive(Clone, Debug)]
struct Recorder {
    events: Arc<Mutex<Vec<AuditEvent>>>,
    is_open: watch::Sender<bool>,
}

impl Recorder {
    fn new() -> Self {
        Self { events: Arc::default(), is_open: watch::channel(true).0 }
    }

    fn events(&self) -> Vec<AuditEvent> {
        self.events.lock().expect("no panic").clone()
    }

    /// Waits for this many events.
    async fn wait(&self, number: usize) -> Vec<AuditEvent> {
        while self.events().len() < number {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.events()
    }
}

#[async_trait]
impl AuditSink for Recorder {
    async fn record(&self, events: &[AuditEvent]) -> Result<()> {
        if !*self.is_open.borrow() {
            return Err(Error::new(ErrorKind::StorageFull, "the disk is full"));
        }
        self.events.lock().expect("no panic").extend_from_slice(events);
        Ok(())
    }
}

async fn start(recorder: &Recorder, policy: TestPolicy) -> (Coordinator, Worker) {
    let network = MemoryNetwork::new();
    let builder = Coordinator::builder(network.transport()).audit(recorder.clone());
    let coordinator = builder.policy(policy).start().await.expect("it starts");
    let executor = FunctionExecutor::builder()
        .action("child", |_, Nothing {}| async { Ok::<_, String>(()) })
        .action("secret", |_, Nothing {}| async { Ok::<_, String>(()) })
        .action("parent", |context: Context, Nothing {}| async move {
            let options = SubmitOptions::new;
            context.run("child", Json::empty_object(), options()).await?;
            let refused = context.run("secret", Json::empty_object(), options()).await;
            assert!(refused.is_err());
            Ok::<_, Error>(())
        })
        .build()
        .expect("an executor");
    let worker = Worker::builder(network.transport()).executor(executor);
    let worker = worker.start().await.expect("a worker");
    available(&coordinator, "parent").await;
    (coordinator, worker)
}

const OPERATOR: &[Right] = &[
    Right::SeeAction,
    Right::Run,
    Right::Read,
    Right::Cancel,
    Right::Rerun,
    Right::SeeQueue,
    Right::PauseQueue,
];

fn ada() -> Caller {
    Caller::new("user:1").name("ada").via("token:7")
}

fn told(event: &AuditEvent) -> (&str, &str, &str) {
    (&event.what, &event.who.id, &event.target.kind)
}

#[tokio::test(start_paused = true)]
async fn what_a_caller_does_is_recorded_and_calls_are_those_of_the_root() {
    let recorder = Recorder::new();
    let grant = Grant::new("user:1", OPERATOR).actions(&["parent", "child"]);
    let (coordinator, _worker) = start(&recorder, TestPolicy::new([grant])).await;
    let scoped = coordinator.scoped(ada());
    let options = || SubmitOptions::new().idempotency_key("once");
    let run = scoped.submit("parent", Json::empty_object(), options()).await.expect("a run");
    assert!(outcome(&run).await.value().is_some());
    let again = scoped.submit("parent", Json::empty_object(), options()).await.expect("the same");
    assert_eq!(again.id(), run.id());
    let rerun = scoped.rerun(run.id(), SubmitOptions::new()).await.expect("a rerun");
    assert!(outcome(&rerun).await.value().is_some());
    assert!(scoped.cancel(run.id(), true, None).await.is_err());
    scoped.pause_queue("default").await.expect("a pause");
    coordinator.shutdown().await;
    let events = recorder.events();
    let all: Vec<_> = events.iter().map(told).collect();
    assert_eq!(
        all,
        [
            ("run", "user:1", "execution"),
            ("call", "user:1", "execution"),
            ("refused", "user:1", ""),
            ("run", "user:1", "execution"),
            ("rerun", "user:1", "execution"),
            ("call", "user:1", "execution"),
            ("cancel", "user:1", "execution"),
            ("queue.pause", "user:1", "queue"),
        ]
    );
    let [run_event, call, refused, repeated, rerun_event, _, cancel, pause] = &events[..] else {
        panic!("{events:?}")
    };
    let id = run.id();
    assert_eq!((&*run_event.target.id, &*repeated.target.id), (&*id.to_string(), &*id.to_string()));
    assert_eq!((&*run_event.who.via, &*run_event.who.kind), ("token:7", "user"));
    assert_eq!(run_event.detail, "action \"parent\" in queue \"default\"");
    assert_eq!(call.detail, format!("action \"child\" in queue \"default\", called by {id}"));
    assert!(repeated.detail.contains("same idempotency key"), "{}", repeated.detail);
    assert!(rerun_event.detail.ends_with(&format!("rerun of {id}")), "{}", rerun_event.detail);
    assert_eq!((cancel.decision, &*cancel.detail), (AuditDecision::Failed, "by force"));
    assert!(cancel.why.contains("has ended already"), "{}", cancel.why);
    assert_eq!((&*pause.target.id, pause.decision), ("default", AuditDecision::Allowed));
    assert_eq!((refused.decision, &*refused.why), (AuditDecision::Refused, "0 denied, 2 hidden"));
    assert_eq!(refused.detail, "run action \"secret\" (2 times)");
}

#[tokio::test(start_paused = true)]
async fn refusals_are_one_entry_a_minute_for_each_caller() {
    let recorder = Recorder::new();
    let see = Grant::new("user:1", &[Right::SeeAction, Right::Read, Right::SeeQueue]);
    let (coordinator, _worker) = start(&recorder, TestPolicy::new([see])).await;
    let handle = coordinator.submit("child", ()).await.expect("a run of the program");
    let (ada, eve) = (coordinator.scoped(ada()), coordinator.scoped(Caller::new("user:2")));
    for _ in 0..100 {
        let empty = Json::empty_object();
        assert!(ada.submit("child", empty.clone(), SubmitOptions::new()).await.is_err());
        assert!(eve.execution(handle.id()).await.is_err());
        // Nothing is refused that there is not.
        assert!(eve.action("no such action").is_err());
    }
    assert!(ada.cancel(handle.id(), false, None).await.is_err());
    assert!(ada.pause_queue("default").await.is_err());
    assert!(eve.action("child\n\u{1b}[2J").is_err());
    assert!(eve.action("child").is_err());
    let events = recorder.wait(2).await;
    assert_eq!(events.len(), 2);
    let of = |id: &str| events.iter().find(|event| *event.who.id == *id).expect("an event");
    let (ada, eve) = (of("user:1"), of("user:2"));
    assert_eq!(ada.why, "102 denied, 0 hidden");
    let id = handle.id();
    assert_eq!(
        ada.detail,
        format!("run action \"child\" (100 times), cancel execution {id}, pause queue \"default\"")
    );
    assert_eq!(eve.why, "0 denied, 101 hidden");
    // The next minute begins with none.
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(recorder.events().len(), 2);
    coordinator.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn forged_frames_are_counted_in_the_audit() {
    let recorder = Recorder::new();
    let network = MemoryNetwork::new();
    let transport = network.transport_of(&Address::Coordinator);
    let coordinator = Coordinator::builder(transport).audit(recorder.clone());
    let coordinator = coordinator.start().await.expect("it starts");
    let (liar, victim) = (WorkerId::generate("liar"), WorkerId::generate("victim"));
    let transport = network.transport_of(&Address::Worker(liar.clone()));
    for _ in 0..100 {
        let frame = Frame { from: Some(victim.clone()), to: None, messages: Vec::new() };
        let sent = transport.send(&Address::Coordinator, Lane::Control, frame.encode()).await;
        sent.expect("sent");
    }
    let events = recorder.wait(1).await;
    assert_eq!(told(&events[0]), ("frame", "", ""));
    assert!(events[0].detail.contains(liar.as_str()), "{events:?}");
    assert!(events[0].why.ends_with("(100 times)"), "{events:?}");
    assert_eq!(events[0].decision, AuditDecision::Refused);
    coordinator.shutdown().await;
    assert_eq!(recorder.events().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_audit_that_cannot_be_written_is_told_and_written_later() {
    let recorder = Recorder::new();
    let (coordinator, _worker) =
        start(&recorder, TestPolicy::new([Grant::new("user:1", OPERATOR)])).await;
    let scoped = coordinator.scoped(ada());
    recorder.is_open.send_replace(false);
    let run = scoped.submit("child", Json::empty_object(), SubmitOptions::new()).await;
    run.expect("there is room");
    while coordinator.audit_problem().is_none() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(coordinator.audit_problem().as_deref(), Some("the disk is full"));
    recorder.is_open.send_replace(true);
    assert_eq!(recorder.wait(1).await.len(), 1);
    coordinator.shutdown().await;
    assert_eq!(coordinator.audit_problem(), None);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_does_not_wait_is_recorded_too() {
    let recorder = Recorder::new();
    let (coordinator, _worker) =
        start(&recorder, TestPolicy::new([Grant::new("user:1", OPERATOR)])).await;
    let scoped = coordinator.scoped(ada());
    {
        let mut submitting =
            std::pin::pin!(scoped.submit("child", Json::empty_object(), SubmitOptions::new()));
        // It has asked, and is dropped before the answer.
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(submitting.as_mut().poll(&mut context).is_pending());
    }
    let events = recorder.wait(1).await;
    let id = events[0].target.id.parse().expect("an id");
    assert!(coordinator.execution(id).await.expect("a read").is_some());
    coordinator.shutdown().await;
}
