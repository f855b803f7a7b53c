//! Callers: idempotency keys of their own, and what executions record of them.

use std::sync::Arc;

use tinpot_core::protocol::CallId;
use tinpot_core::store::Transition;
use tinpot_core::{
    Action, Context, Coordinator, Execution, ExecutionId, FunctionExecutor, Json, ListOptions,
    MemoryNetwork, MemoryStore, Store, SubmitOptions, Timestamp, Worker,
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
    let mut earlier = Execution::new(ExecutionId::generate(), "act", Json::empty_object());
    earlier.idempotency_key = Some("nightly".into());
    let action = Arc::new(Action::new("act").expect("a name"));
    let batch = [Transition::Offer(action), Transition::Accept(Arc::new(earlier.clone()))];
    session.commit(&batch, Timestamp::now()).await.expect("a commit");
    session.close().await.expect("closed");

    let network = MemoryNetwork::new();
    let coordinator = Coordinator::builder(network.transport()).store(store);
    let coordinator = coordinator.start().await.expect("it starts");
    let nightly = || SubmitOptions::new().idempotency_key("nightly");
    let again = submit(&coordinator, "act", nightly()).await.expect("accepted");
    assert_eq!(again.id(), earlier.id);
    let found = coordinator.executions(&ListOptions::new().idempotency_key("nightly")).await;
    assert_eq!(found.expect("a list")[0].given_idempotency_key(), Some("nightly"));
    coordinator.shutdown().await;
}
