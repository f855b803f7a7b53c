//! Callers: idempotency keys of their own, and what executions record of them.

use std::sync::Arc;

use tinpot_core::protocol::CallId;
use tinpot_core::store::Transition;
use tinpot_core::testing::{Grant, TestPolicy};
use tinpot_core::{
    Action, Caller, Context, Coordinator, Decision, ErrorKind, Execution, ExecutionId,
    FunctionExecutor, Json, ListOptions, MemoryNetwork, MemoryStore, Policy, Right, Scoped, Store,
    SubmitOptions, Target, Timestamp, Visible, Watcher, Worker, WorkerId,
};
use tokio::sync::Notify;

use crate::support::{Nothing, available, in_time, outcome, submit};

#[tokio::test]
async fn the_key_of_a_call_can_be_submitted_and_is_another_one() {
    let network = MemoryNetwork::new();
    let coordinator = Coordinator::builder(network.transport()).start().await.expect("it starts");
    let (started, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (starts, goes) = (started.clone(), go.clone());
    let executor = FunctionExecutor::builder()
        .action("child", |_, Nothing {}| async { Ok::<_, String>("of the call") })
        .action("parent", move |context: Context, Nothing {}| {
            let (starts, goes) = (starts.clone(), goes.clone());
            async move {
                starts.notify_one();
                goes.notified().await;
                let (id, outcome) =
                    context.run("child", Json::empty_object(), SubmitOptions::new()).await?;
                assert!(outcome.value().is_some());
                Ok::<_, tinpot_core::Error>(id.to_string())
            }
        })
        .build()
        .expect("an executor");
    let worker = Worker::builder(network.transport()).executor(executor);
    let _worker = worker.start().await.expect("a worker");
    available(&coordinator, "parent").await;

    let parent = submit(&coordinator, "parent", SubmitOptions::new()).await.expect("accepted");
    in_time("the parent", started.notified()).await;
    let fence = parent.execution().await.expect("a record").attempts[0].fence;
    let present = CallId { fence, number: 1 }.to_string();
    let mut submitted = Vec::new();
    // In the present form, and in that of earlier versions.
    for key in [present, format!("call {fence} 1")] {
        let options = || SubmitOptions::new().idempotency_key(&*key);
        let first = submit(&coordinator, "child", options()).await.expect("accepted");
        let again = submit(&coordinator, "child", options()).await.expect("accepted");
        assert_eq!(first.id(), again.id(), "{key}");
        let record = first.execution().await.expect("a record");
        assert_eq!(record.given_idempotency_key(), Some(&*key));
        let found = coordinator.executions(&ListOptions::new().idempotency_key(&*key)).await;
        assert_eq!(found.expect("a list"), [record]);
        submitted.push(first.id().to_string());
    }
    go.notify_one();
    let outcome = outcome(&parent).await;
    let child: String = outcome.value().expect("a result").deserialize().expect("an id");
    assert!(!submitted.contains(&child), "{child} was submitted by a user");
    let child = coordinator.execution(child.parse().expect("an id")).await.expect("a read");
    assert_eq!(child.expect("a record").given_idempotency_key(), None);
}

#[tokio::test]
async fn keys_of_earlier_versions_work_on() {
    let store = Arc::new(MemoryStore::new());
    let (_, session) = store.open().await.expect("a session");
    let action = Arc::new(Action::new("act").expect("a name"));
    let mut batch = vec![Transition::Offer(action)];
    let mut earlier = Vec::new();
    // As they were stored, or moved by an upgrade.
    for (given, key) in
        [("nightly", "nightly"), ("u/x", "u///u/x"), ("c/x", "u///c/x"), ("u///u/x", "u///u///u/x")]
    {
        let mut execution = Execution::new(ExecutionId::generate(), "act", Json::empty_object());
        execution.idempotency_key = Some(key.into());
        earlier.push((given, execution.id));
        batch.push(Transition::Accept(Arc::new(execution)));
    }
    session.commit(&batch, Timestamp::now()).await.expect("a commit");
    session.close().await.expect("closed");

    let network = MemoryNetwork::new();
    let coordinator = Coordinator::builder(network.transport()).store(store);
    let coordinator = coordinator.start().await.expect("it starts");
    let anonymous = coordinator.scoped(Caller::anonymous());
    for (given, id) in earlier {
        let options = || SubmitOptions::new().idempotency_key(given);
        let again = submit(&coordinator, "act", options()).await.expect("accepted");
        assert_eq!(again.id(), id, "{given}");
        let again = anonymous.submit("act", Json::empty_object(), options()).await;
        assert_eq!(again.expect("accepted").id(), id, "{given}, over HTTP");
        let found = coordinator.executions(&ListOptions::new().idempotency_key(given)).await;
        assert_eq!(found.expect("a list")[0].given_idempotency_key(), Some(given));
    }
    coordinator.shutdown().await;
}

const OPERATOR: &[Right] = &[Right::SeeAction, Right::Read, Right::Run, Right::Cancel];

/// A coordinator with a worker that offers `child`, `parent`, which calls it in a queue if one is
/// named, and `secret`.
async fn cluster(policy: TestPolicy) -> (Coordinator, Worker) {
    #[derive(serde::Deserialize, schemars::JsonSchema)]
    struct Call {
        action: String,
        queue: Option<String>,
    }
    let network = MemoryNetwork::new();
    let coordinator = Coordinator::builder(network.transport()).policy(policy);
    let coordinator = coordinator.start().await.expect("it starts");
    let executor = FunctionExecutor::builder()
        .action("child", |_, Nothing {}| async { Ok::<_, String>(()) })
        .action("secret", |_, Nothing {}| async { Ok::<_, String>(()) })
        .action("parent", |context: Context, Call { action, queue }| async move {
            let mut options = SubmitOptions::new().requested_by("the mayor");
            options.queue = queue;
            let called = context.submit(&action, Json::empty_object(), options).await;
            Ok::<_, String>(called.map_or_else(|error| error.to_string(), |id| id.to_string()))
        })
        .build()
        .expect("an executor");
    let worker = Worker::builder(network.transport()).executor(executor);
    let worker = worker.start().await.expect("a worker");
    available(&coordinator, "parent").await;
    (coordinator, worker)
}

#[tokio::test]
async fn a_call_has_the_owner_of_its_root_and_needs_the_rights_of_today() {
    let policy = TestPolicy::new([Grant::new("ada", OPERATOR).actions(&["child", "parent"])]);
    let (coordinator, _worker) = cluster(policy.clone()).await;
    let ada = coordinator.scoped(Caller::new("ada").name("Ada"));
    let call = async |parameters: &str| -> String {
        let parameters = Json::parse(parameters).expect("JSON");
        let options = SubmitOptions::new().requested_by("Anna");
        let parent = ada.submit("parent", parameters, options).await.expect("accepted");
        outcome(&parent).await.value().expect("a result").deserialize().expect("a text")
    };
    let child = call(r#"{"action": "child"}"#).await.parse().expect("an id");
    let child = coordinator.execution(child).await.expect("a read").expect("a record");
    assert_eq!((&*child.caller, child.team_name()), ("ada", "default"));
    let who = (child.requested_by.as_deref(), child.on_behalf_of.as_deref());
    assert_eq!(who, (Some("Ada"), Some("Anna")));
    let never = call(r#"{"action": "never was"}"#).await;
    assert_eq!(call(r#"{"action": "secret"}"#).await, never.replace("never was", "secret"));
    let queue = call(r#"{"action": "child", "queue": "fast"}"#).await;
    assert!(queue.contains("may not use queue \"fast\""), "{queue}");
    policy.revoke("ada");
    policy.change(|grants| grants.push(Grant::new("ada", OPERATOR).actions(&["parent"])));
    assert_eq!(call(r#"{"action": "child"}"#).await, never.replace("never was", "child"));
}

#[tokio::test]
async fn what_is_granted_to_an_action_counts_for_its_calls_only() {
    let caller = OPERATOR.iter().copied().chain([Right::SeeQueue, Right::UseQueue]);
    let rights: Vec<Right> = caller.collect();
    let policy = TestPolicy::new([
        Grant::new("ada", OPERATOR).actions(&["parent", "child"]),
        Grant::new("action:parent", OPERATOR).actions(&["secret"]),
    ]);
    let (coordinator, _worker) = cluster(policy.clone()).await;
    let ada = coordinator.scoped(Caller::new("ada"));
    let call = async |parameters: &str| -> String {
        let parameters = Json::parse(parameters).expect("JSON");
        let parent = ada.submit("parent", parameters, SubmitOptions::new()).await;
        let outcome = outcome(&parent.expect("accepted")).await;
        outcome.value().expect("a result").deserialize().expect("a text")
    };
    let secret = call(r#"{"action": "secret"}"#).await;
    let secret = coordinator.execution(secret.parse().expect("an id")).await.expect("a read");
    assert_eq!(&*secret.as_ref().expect("a record").caller, "ada", "the root is the owner");
    // The caller has no right to it, neither to run it nor to read what was called.
    let own = ada.submit("secret", Json::empty_object(), SubmitOptions::new()).await;
    assert_eq!(own.map(drop).expect_err("hidden").kind(), ErrorKind::NotFound);
    assert!(ada.execution(secret.expect("a record").id).await.is_err());
    // A queue needs a right of its own.
    let queue = call(r#"{"action": "secret", "queue": "fast"}"#).await;
    assert!(queue.contains("may not use queue \"fast\""), "{queue}");
    policy.change(|grants| grants.push(Grant::new("action:parent", &rights).queues(&["fast"])));
    assert!(call(r#"{"action": "secret", "queue": "fast"}"#).await.parse::<ExecutionId>().is_ok());
    // Another action of that name in another team is another one, and rights end at once.
    policy.change(|grants| {
        grants.retain(|_| false);
        grants.push(Grant::new("ada", OPERATOR).actions(&["parent"]));
        grants.push(Grant::new("action:parent", OPERATOR).team("other"));
        grants.push(Grant::new("action:child", OPERATOR));
    });
    assert!(call(r#"{"action": "secret"}"#).await.contains("secret"));
}

#[tokio::test]
async fn keys_of_callers_never_meet() {
    let policy = TestPolicy::new(["ada", "bob"].map(|who| Grant::new(who, OPERATOR)));
    let (coordinator, _worker) = cluster(policy).await;
    let submit = async |who: &str| {
        let options = SubmitOptions::new().idempotency_key("nightly");
        let scoped = coordinator.scoped(Caller::new(who));
        scoped.submit("child", Json::empty_object(), options).await.expect("accepted").id()
    };
    let (ada, bob) = (submit("ada").await, submit("bob").await);
    assert!(ada != bob);
    assert_eq!((submit("ada").await, submit("bob").await), (ada, bob));
}

#[tokio::test]
async fn what_is_hidden_looks_like_what_never_was() {
    let policy = TestPolicy::new([
        Grant::new("ada", OPERATOR).actions(&["child"]),
        Grant::new("bob", OPERATOR),
        Grant::new("eve", OPERATOR).own_only(),
    ]);
    let (coordinator, worker) = cluster(policy.clone()).await;
    let scoped = |who: &str| coordinator.scoped(Caller::new(who));
    let (ada, bob, eve) = (scoped("ada"), scoped("bob"), scoped("eve"));
    let empty = Json::empty_object;
    let secret = bob.submit("secret", empty(), SubmitOptions::new()).await.expect("accepted").id();
    let own = eve.submit("child", empty(), SubmitOptions::new()).await.expect("accepted").id();
    let unknown = ExecutionId::from_u128(7);
    let big = || Json::parse(format!("\"{}\"", "x".repeat(2 << 20))).expect("JSON");
    let error = |result: tinpot_core::Result<()>| {
        let error = result.expect_err("hidden");
        (error.kind(), error.message().replace("never was", "secret"))
    };
    for parameters in [empty, big] {
        let hidden = ada.submit("secret", parameters(), SubmitOptions::new()).await.map(drop);
        let never = ada.submit("never was", parameters(), SubmitOptions::new()).await.map(drop);
        assert_eq!(error(hidden), error(never));
    }
    assert_eq!(error(ada.action("secret").map(drop)), error(ada.action("never was").map(drop)));
    let named = |(kind, message): (ErrorKind, String)| {
        (kind, message.replace(&unknown.to_string(), &secret.to_string()))
    };
    for who in [&ada, &eve] {
        let (id, options) = (secret, SubmitOptions::new);
        let hidden = error(who.execution(id).await.map(drop));
        assert_eq!(hidden, named(error(who.execution(unknown).await.map(drop))));
        let hidden = error(who.cancel(id, false, None).await.map(drop));
        assert_eq!(hidden, named(error(who.cancel(unknown, false, None).await.map(drop))));
        let hidden = error(who.rerun(id, options()).await.map(drop));
        assert_eq!(hidden, named(error(who.rerun(unknown, options()).await.map(drop))));
    }
    assert!(ada.catalogue().keys().map(|name| &**name).eq(["child"]));
    let list = async |scoped: &Scoped| -> Vec<ExecutionId> {
        let page = scoped.executions(&ListOptions::new()).await.expect("a page");
        page.iter().map(|execution| execution.id).collect()
    };
    assert_eq!((list(&bob).await, list(&ada).await), (vec![own, secret], vec![own]));
    assert_eq!(list(&eve).await, [own]);
    let counts = async |scoped: &Scoped| -> u64 {
        scoped.stats(2).await.minutes.iter().map(|minute| minute.accepted).sum()
    };
    assert_eq!((counts(&bob).await, counts(&ada).await), (2, 1));
    // A right that is missing where the target is seen.
    let denied = ada.rerun(own, SubmitOptions::new()).await.expect_err("not granted");
    assert_eq!(denied.kind(), ErrorKind::Forbidden);
    assert!(ada.workers().await.expect("a list").is_empty());
    let id = bob.workers().await.map(|workers| workers.len());
    assert_eq!(id.expect("a list"), 0);
    drop(worker);
}

#[tokio::test]
async fn an_open_execution_is_lost_with_the_right_to_read_it() {
    let policy = TestPolicy::new([Grant::new("ada", OPERATOR)]);
    let (coordinator, _worker) = cluster(policy.clone()).await;
    let ada = coordinator.scoped(Caller::new("ada"));
    let submitted = ada.submit("child", Json::empty_object(), SubmitOptions::new()).await;
    let id = submitted.expect("accepted").id();
    let opened = ada.execution(id).await.expect("a record");
    opened.logs(0, 1_000).await.expect("a log");
    let lost = opened.sight().lost(&opened.execution);
    policy.change(|grants| grants.push(Grant::new("bob", OPERATOR)));
    assert!(opened.sight().shows(&opened.execution), "another grant took the right away");
    policy.revoke("ada");
    in_time("the loss", lost).await;
    let error = opened.logs(0, 1_000).await.expect_err("lost");
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_rerun_needs_the_right_to_run_of_today() {
    let policy = TestPolicy::new([Grant::new("ada", Right::ALL)]);
    let (coordinator, _worker) = cluster(policy.clone()).await;
    let ada = coordinator.scoped(Caller::new("ada"));
    let submitted = ada.submit("child", Json::empty_object(), SubmitOptions::new()).await;
    let id = submitted.expect("accepted").id();
    ada.rerun(id, SubmitOptions::new()).await.expect("it is hers");
    // All rights but the one to run the action now.
    const WITHOUT_RUN: &[Right] = &[Right::SeeAction, Right::Read, Right::Cancel, Right::Rerun];
    policy.change(|grants| *grants = vec![Grant::new("ada", WITHOUT_RUN)]);
    let denied = ada.rerun(id, SubmitOptions::new()).await.expect_err("she may not run it now");
    assert_eq!(denied.kind(), ErrorKind::Forbidden);
    assert_eq!(ada.executions(&ListOptions::new()).await.expect("a page").len(), 2);
}

#[tokio::test]
async fn what_is_hidden_is_neither_counted_in_queues_nor_drained() {
    const RIGHTS: &[Right] = &[
        Right::SeeAction,
        Right::Read,
        Right::Run,
        Right::SeeQueue,
        Right::PauseQueue,
        Right::SeeWorker,
        Right::DrainWorker,
    ];
    let policy = TestPolicy::new([
        Grant::new("ada", RIGHTS).actions(&["child"]).queues(&["default"]),
        Grant::new("bob", Right::ALL),
        Grant::new("eve", &[Right::SeeWorker]),
    ]);
    let network = MemoryNetwork::new();
    let coordinator = Coordinator::builder(network.transport()).policy(policy);
    let coordinator = coordinator.start().await.expect("it starts");
    let worker = async |queue: &str| {
        let executor = FunctionExecutor::builder()
            .action("child", |_, Nothing {}| async { Ok::<_, String>(()) })
            .action("secret", |_, Nothing {}| async { Ok::<_, String>(()) })
            .build()
            .expect("an executor");
        let worker = Worker::builder(network.transport()).executor(executor).queues([queue]);
        worker.start().await.expect("a worker")
    };
    let (open, hidden) = (worker("default").await, worker("hidden").await);
    available(&coordinator, "secret").await;
    let scoped = |who: &str| coordinator.scoped(Caller::new(who));
    let (ada, bob, eve) = (scoped("ada"), scoped("bob"), scoped("eve"));
    coordinator.pause_queue("default").await.expect("paused");
    for action in ["secret", "child", "secret"] {
        let submitted = bob.submit(action, Json::empty_object(), SubmitOptions::new()).await;
        submitted.expect("accepted");
    }
    let later = SubmitOptions::new().delay(std::time::Duration::from_secs(60));
    ada.submit("child", Json::empty_object(), later).await.expect("accepted");
    let counts = async |who: &Scoped| {
        let queues = who.queues().await.expect("a list");
        let queue = queues.into_iter().find(|queue| &*queue.name == "default");
        queue.map(|queue| (queue.waiting, queue.delayed, queue.granted, queue.workers))
    };
    assert_eq!(counts(&bob).await, Some((3, 1, 0, 1)));
    assert_eq!(counts(&ada).await, Some((1, 1, 0, 1)));
    let paused = ada.pause_queue("default").await.expect("paused");
    assert_eq!((paused.waiting, paused.reason), (1, None));

    let never = WorkerId::new("never").expect("an id");
    let refused = async |who: &Scoped, id: &WorkerId| {
        let error = who.drain_worker(id).await.expect_err("refused");
        (error.kind(), error.message().replace(id.as_str(), "never"))
    };
    assert_eq!(refused(&ada, hidden.id()).await, refused(&ada, &never).await);
    assert_eq!(refused(&ada, &never).await.0, ErrorKind::NotFound);
    assert_eq!(refused(&eve, &never).await.0, ErrorKind::NotFound);
    bob.drain_worker(hidden.id()).await.expect("it lives");
    ada.drain_worker(open.id()).await.expect("it lives");
}

/// Reports each question about the right to run, and answers after a signal.
#[derive(Debug)]
struct Slow {
    asked: tokio::sync::mpsc::UnboundedSender<()>,
    go: std::sync::Mutex<std::sync::mpsc::Receiver<()>>,
}

impl Policy for Slow {
    fn decide(&self, _: &Caller, right: Right, _: &Target<'_>) -> Decision {
        if right == Right::Run {
            self.asked.send(()).expect("a test");
            self.go.lock().expect("a lock").recv().expect("an answer");
        }
        match right {
            Right::UseQueue => Decision::Hide,
            _ => Decision::Allow,
        }
    }

    fn visible(&self, caller: &Caller) -> Visible {
        Visible::nothing(caller.team.clone(), caller.id.clone())
    }

    fn revision(&self) -> Watcher<u64> {
        tokio::sync::watch::channel(1).1.into()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_submission_is_made_with_the_queue_that_was_checked() {
    let (asked, mut asks) = tokio::sync::mpsc::unbounded_channel();
    let (answer, go) = std::sync::mpsc::channel();
    let network = MemoryNetwork::new();
    let policy = Slow { asked, go: std::sync::Mutex::new(go) };
    let coordinator = Coordinator::builder(network.transport()).policy(policy);
    let coordinator = coordinator.start().await.expect("it starts");
    let worker = async |queue: &'static str| {
        let executor = FunctionExecutor::builder()
            .action_with(
                "act",
                |action| action.queue(queue),
                |_, Nothing {}| async { Ok::<_, String>(()) },
            )
            .build()
            .expect("an executor");
        let worker = Worker::builder(network.transport()).executor(executor);
        worker.start().await.expect("a worker")
    };
    let _first = worker("open").await;
    available(&coordinator, "act").await;
    let ada = coordinator.scoped(Caller::new("ada"));
    let submitting = tokio::spawn(async move {
        ada.submit("act", Json::empty_object(), SubmitOptions::new()).await.map(|made| made.id())
    });
    in_time("the question", asks.recv()).await;
    let _second = worker("secret").await;
    let moved = async {
        while coordinator.catalogue()["act"].action.queue != "secret" {
            tokio::task::yield_now().await;
        }
    };
    in_time("the other queue", moved).await;
    answer.send(()).expect("a policy");
    let id = submitting.await.expect("no panic").expect("accepted");
    let execution = coordinator.execution(id).await.expect("a read").expect("a record");
    assert_eq!(&*execution.queue, "open");
}
