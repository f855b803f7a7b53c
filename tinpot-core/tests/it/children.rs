//! Executions that other executions call, and the steps of an execution.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::StreamExt;
use tinpot_core::store::ListOptions;
use tinpot_core::testing::{Faults, FaultyTransport};
use tinpot_core::{
    Action, Context, Coordinator, Error, Event, ExecutionHandle, FailureCode, FunctionExecutor,
    Json, LogEvent, MemoryNetwork, MemoryStore, Outcome, SpanOutcome, Status, Stream,
    SubmitOptions, Transport, Worker,
};

use crate::support::{Nothing, Number, available, in_time, outcome, submit};

fn number(number: u64) -> serde_json::Value {
    serde_json::json!({"number": number})
}

/// Returns an executor whose actions call each other.
fn executor() -> FunctionExecutor {
    let slow = |action: Action| action.queue("elsewhere");
    FunctionExecutor::builder()
        .action("double", |_, Number { number }| async move { Ok::<_, String>(number * 2) })
        .action("fail", |_, Nothing {}| async move { Err::<(), _>("no luck") })
        .action("quadruple", |context: Context, Number { number: n }| async move {
            let twice: u64 = context.call("double", number(n)).await?;
            context.call::<u64>("double", number(twice)).await
        })
        .action("down", |context: Context, Number { number: n }| async move {
            match n {
                0 => Ok(0),
                _ => context.call::<u64>("down", number(n - 1)).await.map(|depth| depth + 1),
            }
        })
        .action("relay", |context: Context, Nothing {}| async move {
            context.call::<Json>("fail", serde_json::json!({})).await
        })
        .action("wrong", |context: Context, Nothing {}| async move {
            context.call::<Json>("double", serde_json::json!({"number": "x"})).await
        })
        .action_with("wait", slow, |context: Context, Nothing {}| async move {
            context.stopped().await;
            Err::<(), _>("stopped")
        })
        .action("above", |context: Context, Nothing {}| async move {
            context.call::<Json>("wait", serde_json::json!({})).await
        })
        .action("later", |context: Context, Number { number: n }| async move {
            let options = SubmitOptions::new().idempotency_key(format!("later {n}"));
            let parameters = Json::serialize(&number(n))?;
            let id = context.submit("double", parameters.clone(), options.clone()).await?;
            let (same, outcome) = context.run("double", parameters, options).await?;
            assert_eq!(id, same);
            outcome.value().expect("a value").deserialize::<u64>()
        })
        .action("above later", |context: Context, Nothing {}| async move {
            let options = SubmitOptions::new().idempotency_key("awaited");
            let nothing = Json::serialize(&serde_json::json!({}))?;
            context.submit("wait", nothing.clone(), options.clone()).await?;
            context.run("wait", nothing, options).await.map(drop)
        })
        .action("brief", |context: Context, Nothing {}| async move {
            // Its time is over before it is submitted.
            let options = SubmitOptions::new().expires_in(Duration::from_micros(1));
            let (_, outcome) = context.run("wait", Json::empty_object(), options).await?;
            Ok::<_, Error>(
                outcome.failure().is_some_and(|failure| failure.code == FailureCode::Expired),
            )
        })
        .action("leave", |context: Context, Nothing {}| async move {
            let options = SubmitOptions::new();
            context.submit("wait", Json::empty_object(), options).await.map(|id| id.to_string())
        })
        .build()
        .expect("an executor")
}

async fn worker(transport: impl Transport, slots: u32) -> Worker {
    let worker = Worker::builder(transport).executor(executor()).slots(slots).start().await;
    worker.expect("a worker")
}

async fn cluster(slots: u32) -> (Coordinator, Worker) {
    let network = MemoryNetwork::new();
    let coordinator = Coordinator::builder(network.transport()).start().await;
    let coordinator = coordinator.expect("a coordinator");
    let worker = worker(network.transport(), slots).await;
    available(&coordinator, "double").await;
    (coordinator, worker)
}

async fn run(coordinator: &Coordinator, action: &str, parameters: serde_json::Value) -> Outcome {
    let parameters = Json::serialize(&parameters).expect("JSON");
    let handle = coordinator.submit(action, parameters).await;
    outcome(&handle.expect("accepted")).await
}

fn value(outcome: Outcome) -> u64 {
    let value = outcome.value().unwrap_or_else(|| panic!("{outcome:?}"));
    value.deserialize().expect("a number")
}

async fn events(handle: &ExecutionHandle) -> Vec<LogEvent> {
    let mut found = Vec::new();
    let mut events = handle.events(0);
    while let Some(event) = in_time("an event", events.next()).await {
        if let Event::Logs(chunk) = event
            && chunk.stream == Stream::Event
        {
            let read = |line: &String| serde_json::from_str(line).expect("an event");
            found.extend(chunk.lines.iter().map(read));
        }
    }
    found
}

#[tokio::test]
async fn an_action_calls_others_and_gets_their_results() {
    let (coordinator, _worker) = cluster(1).await;
    let handle = coordinator.submit("quadruple", Json::serialize(&number(10)).expect("JSON"));
    let handle = handle.await.expect("accepted");
    assert_eq!(value(outcome(&handle).await), 40);
    let options = of_parent(&handle);
    let children = coordinator.executions(&options).await.expect("a list");
    assert_eq!(children.len(), 2);
    for child in &children {
        let parent = child.parent.expect("a parent");
        assert_eq!((parent.execution, parent.depth, parent.waits), (handle.id(), 1, true));
        assert_eq!(child.status, Status::Succeeded);
    }
    let events = events(&handle).await;
    let asked = events.iter().filter(|event| matches!(event, LogEvent::Child { .. })).count();
    assert_eq!(asked, 2, "{events:?}");
}

#[tokio::test]
async fn a_thousand_that_wait_for_children_finish_on_one_slot() {
    let (coordinator, _worker) = cluster(1).await;
    let mut handles = Vec::new();
    for n in 0..1_000 {
        let parameters = Json::serialize(&number(n)).expect("JSON");
        let handle = coordinator.submit("quadruple", parameters).await;
        handles.push(handle.expect("accepted"));
    }
    for (n, handle) in handles.iter().enumerate() {
        assert_eq!(value(outcome(handle).await), 4 * n as u64);
    }
}

#[tokio::test]
async fn children_that_are_waited_for_later_do_not_wait_behind_their_parents() {
    let (coordinator, _worker) = cluster(1).await;
    let mut handles = Vec::new();
    for n in 0..300 {
        let parameters = Json::serialize(&number(n)).expect("JSON");
        let handle = coordinator.submit("later", parameters).await;
        handles.push(handle.expect("accepted"));
    }
    for (n, handle) in handles.iter().enumerate() {
        assert_eq!(value(outcome(handle).await), 2 * n as u64);
    }
    let mut told = events(&handles[0]).await;
    told.retain(|event| matches!(event, LogEvent::Child { .. }));
    assert_eq!(told.len(), 1, "one child is reported once: {told:?}");
    // Executions that no caller waits for can have the lowest priority.
    let page = coordinator.executions(&of_parent(&handles[0])).await.expect("a list");
    let (mut child, mut other) = ((*page[0]).clone(), (*page[0]).clone());
    other.parent = None;
    assert!(child.rank() < other.rank());
    (child.priority, other.priority) = (-1, -1);
    assert_eq!(child.rank(), other.rank());
}

#[tokio::test]
async fn the_depth_of_calls_is_bounded() {
    let (coordinator, _worker) = cluster(1).await;
    assert_eq!(value(run(&coordinator, "down", number(32)).await), 32);
    let error = run(&coordinator, "down", number(33)).await.error().expect("too deep");
    assert!(error.contains("at most 32 may be nested"), "{error}");
}

#[tokio::test]
async fn errors_of_children_arrive_with_their_words() {
    let (coordinator, _worker) = cluster(1).await;
    let error = run(&coordinator, "relay", serde_json::json!({})).await.error().expect("an error");
    assert!(error.contains("fail (execution ") && error.contains("no luck"), "{error}");
    let error = run(&coordinator, "wrong", serde_json::json!({})).await.error().expect("an error");
    assert!(error.contains("number must be an integer"), "{error}");
}

#[tokio::test]
async fn a_child_that_expires_as_it_is_submitted_ends_the_wait() {
    let (coordinator, _worker) = cluster(2).await;
    let outcome = run(&coordinator, "brief", serde_json::json!({})).await;
    assert_eq!(outcome.value().map(Json::to_string).as_deref(), Some("true"), "{outcome:?}");
}

fn of_parent(parent: &ExecutionHandle) -> ListOptions {
    let mut options = ListOptions::default();
    options.parent = Some(parent.id());
    options
}

async fn children(coordinator: &Coordinator, of: &ExecutionHandle) -> Vec<ExecutionHandle> {
    let options = of_parent(of);
    let mut handles = Vec::new();
    for child in coordinator.executions(&options).await.expect("a list") {
        handles.push(coordinator.handle(child.id).await.expect("a handle"));
    }
    handles
}

/// Waits for the only child and returns its handle.
async fn child(coordinator: &Coordinator, of: &ExecutionHandle) -> ExecutionHandle {
    let found = async {
        loop {
            if let Some(child) = children(coordinator, of).await.pop() {
                return child;
            }
            tokio::task::yield_now().await;
        }
    };
    in_time("a child", found).await
}

#[tokio::test]
async fn children_of_a_cancelled_execution_are_cancelled() {
    let (coordinator, _worker) = cluster(1).await;
    for action in ["above", "leave"] {
        let handle = submit(&coordinator, action, SubmitOptions::new()).await.expect("accepted");
        let child = child(&coordinator, &handle).await;
        match action {
            "above" => {
                handle.cancel(false).await.expect("it runs");
                assert_eq!(outcome(&handle).await, Outcome::Cancelled);
                assert_eq!(outcome(&child).await, Outcome::Cancelled);
            }
            _ => {
                // The parent has ended, and its child goes on.
                assert!(outcome(&handle).await.value().is_some());
                assert!(handle.cancel(false).await.is_err());
                assert!(!child.status().is_terminal());
                child.cancel(true).await.expect("it runs");
                assert_eq!(outcome(&child).await, Outcome::Cancelled);
            }
        }
    }
}

#[tokio::test]
async fn a_child_that_is_waited_for_ends_with_the_attempt() {
    let (coordinator, _worker) = cluster(1).await;
    for action in ["above", "above later"] {
        let options = SubmitOptions::new().timeout(Duration::from_millis(300));
        let handle = submit(&coordinator, action, options).await.expect("accepted");
        let child = child(&coordinator, &handle).await;
        assert_eq!(outcome(&handle).await, Outcome::TimedOut);
        assert_eq!(outcome(&child).await, Outcome::Cancelled);
    }
}

#[tokio::test]
async fn a_wait_continues_with_another_coordinator() {
    let network = MemoryNetwork::new();
    let store = Arc::new(MemoryStore::new());
    let start = async || {
        let builder = Coordinator::builder(network.transport()).store(store.clone());
        builder.start().await.expect("a coordinator")
    };
    let first = start().await;
    let gate = Arc::new(tokio::sync::Notify::new());
    let opened = gate.clone();
    let executor = FunctionExecutor::builder()
        .action("gate", move |_, Nothing {}| {
            let gate = opened.clone();
            async move {
                gate.notified().await;
                Ok::<_, String>(7)
            }
        })
        .action("parent", |context: Context, Nothing {}| async move {
            context.call::<u64>("gate", serde_json::json!({})).await
        })
        .build()
        .expect("an executor");
    let worker = Worker::builder(network.transport()).executor(executor).slots(1).start().await;
    let _worker = worker.expect("a worker");
    available(&first, "gate").await;
    let handle = submit(&first, "parent", SubmitOptions::new()).await.expect("accepted");
    let child = child(&first, &handle).await;
    first.shutdown().await;
    let second = start().await;
    available(&second, "gate").await;
    gate.notify_one();
    let parent = second.handle(handle.id()).await.expect("a handle");
    assert_eq!(value(outcome(&parent).await), 7);
    assert_eq!(children(&second, &parent).await.len(), 1, "it was asked for once");
    assert_eq!(
        outcome(&second.handle(child.id()).await.expect("a handle")).await,
        outcome(&parent).await
    );
}

#[tokio::test(start_paused = true)]
async fn calls_survive_a_bad_network() {
    let faults = Faults { loss: 0.2, duplicate: 0.2, delay: Duration::from_secs(2) };
    let network = MemoryNetwork::new();
    let bad = |seed| FaultyTransport::new(network.transport(), faults, seed);
    let coordinator = Coordinator::builder(bad(1)).start().await.expect("a coordinator");
    let _workers = [worker(bad(2), 2).await, worker(bad(3), 2).await];
    let patient = async {
        available(&coordinator, "double").await;
        let mut handles = Vec::new();
        for n in 0..20 {
            let parameters = Json::serialize(&number(n)).expect("JSON");
            let options = SubmitOptions::new();
            handles.push(
                coordinator.submit("quadruple", parameters).options(options).await.expect("ok"),
            );
        }
        for (n, handle) in handles.iter().enumerate() {
            assert_eq!(value(handle.outcome().await.expect("an outcome")), 4 * n as u64);
            assert_eq!(children(&coordinator, handle).await.len(), 2);
        }
    };
    let deadline = Duration::from_secs(3_600);
    tokio::time::timeout(deadline, patient).await.expect("within an hour of its own time");
}

#[tokio::test]
async fn steps_have_place_time_and_outcome() {
    let network = MemoryNetwork::new();
    let coordinator = Coordinator::builder(network.transport()).start().await;
    let coordinator = coordinator.expect("a coordinator");
    let executor = FunctionExecutor::builder()
        .action("deploy", |context: Context, Nothing {}| async move {
            let build = context.step("build", |context| async move {
                context.log(tinpot_core::Level::Info, "building").await;
                context.step("test", |_| async { Err::<(), _>("red") }).await
            });
            assert!(build.await.is_err());
            context.summary("# Done");
            Ok::<_, String>(())
        })
        .build()
        .expect("an executor");
    let worker = Worker::builder(network.transport()).executor(executor).start().await;
    let _worker = worker.expect("a worker");
    available(&coordinator, "deploy").await;
    let handle = submit(&coordinator, "deploy", SubmitOptions::new()).await.expect("accepted");
    let told = events(&handle).await;
    let [
        LogEvent::SpanStarted { span: build, parent: None, name: first, .. },
        LogEvent::SpanStarted { span: test, parent: Some(above), name: second, .. },
        LogEvent::SpanEnded {
            span: ended, outcome: SpanOutcome::Failed, error: Some(error), ..
        },
        LogEvent::SpanEnded { span: last, outcome: SpanOutcome::Failed, .. },
        LogEvent::Summary { markdown },
    ] = &told[..]
    else {
        panic!("{told:?}");
    };
    assert_eq!((first.as_str(), second.as_str(), error.as_str()), ("build", "test", "red"));
    assert_eq!((above, ended, last), (build, test, build));
    assert_eq!(markdown, "# Done");
    let chunks = coordinator.logs(handle.id(), 0, 1 << 20).await.expect("a log");
    let line = chunks.iter().find(|chunk| chunk.lines == ["building"]).expect("the line");
    assert_eq!(line.span, Some(*build));
}

#[tokio::test]
async fn actions_with_a_concurrency_of_their_own_take_no_slots() {
    const AT_ONCE: u32 = 50;
    let network = MemoryNetwork::new();
    let coordinator = Coordinator::builder(network.transport()).start().await;
    let coordinator = coordinator.expect("a coordinator");
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let all_running = Arc::new(tokio::sync::Barrier::new(AT_ONCE as usize));
    let counted = (running, most.clone());
    let executor = FunctionExecutor::builder()
        .action_with(
            "many",
            |action| action.concurrency(AT_ONCE),
            move |_, Nothing {}| {
                let ((running, most), all_running) = (counted.clone(), all_running.clone());
                async move {
                    let now = running.fetch_add(1, Ordering::SeqCst) + 1;
                    most.fetch_max(now, Ordering::SeqCst);
                    all_running.wait().await;
                    running.fetch_sub(1, Ordering::SeqCst);
                    Ok::<_, String>(())
                }
            },
        )
        .action("one", |_, Nothing {}| async move { Ok::<_, String>(()) })
        .build()
        .expect("an executor");
    let worker = Worker::builder(network.transport()).executor(executor).slots(1).start().await;
    let _worker = worker.expect("a worker");
    available(&coordinator, "many").await;
    let mut handles = Vec::new();
    for _ in 0..3 * AT_ONCE {
        handles.push(submit(&coordinator, "many", SubmitOptions::new()).await.expect("accepted"));
    }
    handles.push(submit(&coordinator, "one", SubmitOptions::new()).await.expect("accepted"));
    for handle in &handles {
        assert!(outcome(handle).await.value().is_some());
    }
    assert_eq!(most.load(Ordering::SeqCst), AT_ONCE as usize);
}

#[tokio::test]
async fn too_many_waits_for_children_of_low_priority_are_refused_and_everything_ends() {
    let network = MemoryNetwork::new();
    let coordinator = Coordinator::builder(network.transport()).start().await;
    let coordinator = coordinator.expect("a coordinator");
    let executor = FunctionExecutor::builder()
        .action("double", |_, Number { number }| async move {
            // Longer than a parent takes to call, so that the parents pile up.
            tokio::time::sleep(Duration::from_millis(20)).await;
            Ok::<_, String>(number * 2)
        })
        .action("later", |context: Context, Number { number: n }| async move {
            let options = SubmitOptions::new().idempotency_key(format!("low {n}")).priority(-1);
            let parameters = Json::serialize(&number(n))?;
            context.submit("double", parameters.clone(), options.clone()).await?;
            let (_, outcome) = context.run("double", parameters, options).await?;
            outcome.value().expect("a value").deserialize::<u64>()
        })
        .build()
        .expect("an executor");
    let worker = Worker::builder(network.transport()).executor(executor).slots(1).start().await;
    let _worker = worker.expect("a worker");
    available(&coordinator, "later").await;
    let mut handles = Vec::new();
    for n in 0..80 {
        let handle = coordinator.submit("later", number(n)).await;
        handles.push(handle.expect("accepted"));
    }
    let (mut succeeded, mut refused) = (0, 0);
    for handle in &handles {
        match outcome(handle).await {
            Outcome::Succeeded(_) => succeeded += 1,
            other => {
                let error = other.error().unwrap_or_default();
                assert!(error.contains("priority of at least 0"), "{error}");
                refused += 1;
            }
        }
    }
    assert!(succeeded >= 32 && refused > 0, "{succeeded} succeeded, {refused} were refused");
}
