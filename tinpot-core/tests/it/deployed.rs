//! Deployed actions: the coordinator holds their definitions, and workers run them by runtime.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tinpot_core::executor::{ActionSet, ScopedExecutor};
use tinpot_core::{
    Action, Caller, Coordinator, Deployed, Digest, Error, ErrorKind, ExecutionHandle, Failure,
    Json, Level, MemoryNetwork, MemoryStore, Outcome, RetryOn, RetryPolicy, Status, SubmitOptions,
    Worker,
};
use tokio::sync::Barrier;

use crate::support::{available, in_time, outcome, submit};

/// Returns a version of an action, with a bundle of its own.
pub(crate) fn version(name: &str, runtime: &str, number: u32) -> Action {
    let bundle = Digest::from([number as u8; 32]);
    let action = Action::new(name).expect("a name");
    action.deployed(Deployed::new(runtime, number, bundle))
}

fn disabled(name: &str, runtime: &str, number: u32) -> Action {
    let action = version(name, runtime, number);
    let deployed = action.deployed.clone().expect("a version").enabled(false);
    action.deployed(deployed)
}

/// Starts a worker that returns the version of each attempt, or the name of an action of its own.
async fn worker(network: &MemoryNetwork, name: &str, offer: ActionSet) -> Worker {
    let executor = ScopedExecutor::new(offer, |attempt, _| async move {
        let result = match &attempt.bundle {
            Some(bundle) => Json::serialize(&(bundle.version, bundle.bundle)),
            None => Json::serialize(&attempt.action),
        };
        Outcome::Succeeded(result.expect("JSON"))
    });
    let worker = Worker::builder(network.transport()).name(name).slots(2).executor(executor);
    worker.start().await.expect("a worker")
}

pub(crate) fn runtime(name: &str) -> ActionSet {
    ActionSet::default().runtime(name)
}

async fn coordinator(network: &MemoryNetwork) -> Coordinator {
    Coordinator::builder(network.transport()).start().await.expect("it starts")
}

async fn deploy(coordinator: &Coordinator, actions: impl IntoIterator<Item = Action>) {
    coordinator.deploy(actions.into_iter().collect()).await.expect("deployed");
}

async fn accepted(coordinator: &Coordinator, action: &str) -> ExecutionHandle {
    submit(coordinator, action, SubmitOptions::new()).await.expect("accepted")
}

/// Returns the version that an execution ran, by the bundle of its attempt.
async fn ran(handle: &ExecutionHandle) -> u32 {
    let outcome = outcome(handle).await;
    let Outcome::Succeeded(result) = outcome else { panic!("{outcome:?}") };
    let (version, bundle): (u32, Digest) = result.deserialize().expect("a version");
    assert_eq!(bundle, Digest::from([version as u8; 32]));
    let recorded = handle.execution().await.expect("a record").bundle.clone().expect("a bundle");
    assert_eq!((recorded.version, recorded.bundle), (version, bundle));
    version
}

async fn refused(coordinator: &Coordinator, actions: Vec<Action>) -> Error {
    coordinator.deploy(actions).await.expect_err("refused")
}

/// Waits until a queue waits for a reason with this text.
async fn waits_because(coordinator: &Coordinator, text: &str) {
    let mut changes = coordinator.changes();
    in_time(text, async {
        loop {
            let queues = coordinator.queues().await.expect("it lives");
            if queues.iter().any(|queue| queue.reason.as_ref().is_some_and(|r| r.contains(text))) {
                return;
            }
            changes.next().await.expect("it lives");
        }
    })
    .await;
}

#[tokio::test]
async fn executions_stay_pinned_to_the_version_with_which_they_were_accepted() {
    let network = MemoryNetwork::new();
    let coordinator = coordinator(&network).await;
    deploy(&coordinator, [version("report", "script", 1)]).await;
    let entry = &coordinator.catalogue()["report"];
    assert_eq!(entry.unavailable, Some("no live worker offers its runtime"));
    let first = accepted(&coordinator, "report").await;
    deploy(&coordinator, [version("report", "script", 2)]).await;
    let second = accepted(&coordinator, "report").await;
    // Back to the first version.
    deploy(&coordinator, [version("report", "script", 1)]).await;
    let third = accepted(&coordinator, "report").await;
    let _other = worker(&network, "other", runtime("process")).await;
    waits_because(&coordinator, "runtime \"script\" may run \"report\"").await;
    let reason = coordinator.waits_for(first.id()).await.expect("it lives").expect("a reason");
    assert!(reason.contains("runtime \"script\""), "{reason}");
    let _worker = worker(&network, "w", runtime("script")).await;
    available(&coordinator, "report").await;
    for (handle, number) in [(first, 1), (second, 2), (third, 1)] {
        assert_eq!(ran(&handle).await, number);
    }
}

#[tokio::test]
async fn attempts_with_a_concurrency_take_no_slots_and_have_its_limit() {
    let network = MemoryNetwork::new();
    let coordinator = coordinator(&network).await;
    let meet = version("meet", "script", 1).concurrency(3);
    deploy(&coordinator, [meet, version("alone", "script", 2)]).await;
    let (meeting, running) = (Arc::new(Barrier::new(3)), Arc::new(AtomicU32::new(0)));
    let executor = ScopedExecutor::new(runtime("script"), move |attempt, _| {
        let (meeting, running) = (meeting.clone(), running.clone());
        async move {
            if &*attempt.action == "alone" {
                return std::future::pending().await;
            }
            let now = running.fetch_add(1, Ordering::SeqCst) + 1;
            // It returns only if three are here at once.
            meeting.wait().await;
            running.fetch_sub(1, Ordering::SeqCst);
            Outcome::Succeeded(Json::serialize(&now).expect("JSON"))
        }
    });
    let builder = Worker::builder(network.transport()).slots(1).executor(executor);
    let _worker = builder.start().await.expect("a worker");
    available(&coordinator, "meet").await;
    // The only slot is taken.
    let slot = accepted(&coordinator, "alone").await;
    let status = async |handle: &ExecutionHandle| handle.execution().await.expect("it is").status;
    let mut changes = coordinator.changes();
    in_time("it runs", async {
        while status(&slot).await != Status::Running {
            changes.next().await.expect("it lives");
        }
    })
    .await;
    let waiting = accepted(&coordinator, "alone").await;
    let mut handles = Vec::new();
    for _ in 0..9 {
        handles.push(accepted(&coordinator, "meet").await);
    }
    for handle in &handles {
        let Outcome::Succeeded(now) = outcome(handle).await else { panic!("it fails") };
        assert!((1..=3).contains(&now.deserialize::<u32>().expect("a number")));
    }
    assert_eq!(status(&waiting).await, Status::Queued);
}

#[tokio::test]
async fn actions_of_one_name_have_a_concurrency_each() {
    let network = MemoryNetwork::new();
    let builder = Coordinator::builder(network.transport()).teams(true);
    let builder = builder.plain_workers_serve_all_teams(true);
    let coordinator = builder.start().await.expect("it starts");
    let mut theirs = version("meet", "script", 1).concurrency(1);
    theirs.team = "sales".to_owned();
    deploy(&coordinator, [theirs, version("meet", "script", 2).concurrency(1)]).await;
    let meeting = Arc::new(Barrier::new(2));
    let executor = ScopedExecutor::new(runtime("script"), move |_, _| {
        let meeting = meeting.clone();
        async move {
            // It returns only if both are here at once.
            meeting.wait().await;
            Outcome::Succeeded(Json::empty_object())
        }
    });
    let builder = Worker::builder(network.transport()).slots(1).executor(executor);
    let _worker = builder.start().await.expect("a worker");
    available(&coordinator, "meet").await;
    let sales = coordinator.scoped(Caller::new("user:1").team("sales"));
    let theirs = sales.submit("meet", Json::empty_object(), SubmitOptions::new()).await;
    let ours = accepted(&coordinator, "meet").await;
    for handle in [&ours, &theirs.expect("accepted")] {
        let ended = outcome(handle).await;
        assert!(matches!(ended, Outcome::Succeeded(_)), "{ended:?}");
    }
}

#[tokio::test]
async fn workers_of_the_host_run_the_deployed_actions_of_all_teams() {
    for serves_all in [true, false] {
        let network = MemoryNetwork::new();
        let builder = Coordinator::builder(network.transport()).teams(true);
        let builder = builder.plain_workers_serve_all_teams(serves_all);
        let coordinator = builder.start().await.expect("it starts");
        let mut action = version("report", "script", 1);
        action.team = "sales".to_owned();
        deploy(&coordinator, [action, version("backup", "script", 2)]).await;
        let _worker = worker(&network, "w", runtime("script")).await;
        available(&coordinator, "backup").await;
        let entry = coordinator.catalogue()["sales/report"].clone();
        assert_eq!(entry.available, serves_all);
        let caller = Caller::new("user:1").team("sales");
        let scoped = coordinator.scoped(caller);
        let handle = scoped.submit("report", Json::empty_object(), SubmitOptions::new()).await;
        if serves_all {
            assert_eq!(ran(&handle.expect("accepted")).await, 1);
        }
    }
}

#[tokio::test]
async fn the_executions_of_each_app_are_counted_also_after_a_restart() {
    let store = Arc::new(MemoryStore::new());
    let network = MemoryNetwork::new();
    let start = || Coordinator::builder(network.transport()).store(store.clone()).start();
    let numbers = async |coordinator: &Coordinator, action: &str| {
        let handle = accepted(coordinator, action).await;
        let execution = handle.execution().await.expect("a record");
        (execution.number, execution.app_run)
    };
    let before = start().await.expect("it starts");
    deploy(&before, [version("report", "script", 1), version("backup", "script", 2)]).await;
    assert_eq!(numbers(&before, "report").await, (1, 1));
    assert_eq!(numbers(&before, "backup").await, (2, 1));
    assert_eq!(numbers(&before, "report").await, (3, 2));
    before.shutdown().await;
    let after = start().await.expect("it starts");
    // Several at once are as good as one after the other.
    let both = [numbers(&after, "report"), numbers(&after, "report")];
    let both = futures::future::join_all(both).await;
    let mut both = [both[0].1, both[1].1];
    both.sort_unstable();
    assert_eq!(both, [3, 4]);
    assert_eq!(numbers(&after, "backup").await, (6, 2));
    assert_eq!(numbers(&after, "report").await, (7, 5));
}

#[tokio::test]
async fn deployed_actions_outlive_the_coordinator() {
    let store = Arc::new(MemoryStore::new());
    let network = MemoryNetwork::new();
    let start = || Coordinator::builder(network.transport()).store(store.clone()).start();
    let before = start().await.expect("it starts");
    deploy(&before, [version("report", "script", 2), disabled("old", "process", 1)]).await;
    let waits = accepted(&before, "report").await.id();
    before.shutdown().await;
    let after = start().await.expect("it starts");
    let catalogue = after.catalogue();
    assert_eq!(*catalogue["report"].action, version("report", "script", 2));
    assert_eq!(catalogue["old"].unavailable, Some("it is disabled"));
    deploy(&after, [version("report", "script", 3)]).await;
    let _worker = worker(&network, "w", runtime("script")).await;
    let waits = after.handle(waits).await.expect("it is there");
    assert_eq!(ran(&waits).await, 2);
    assert_eq!(ran(&accepted(&after, "report").await).await, 3);
}

#[tokio::test]
async fn an_action_whose_app_was_removed_is_unknown_and_runs_what_it_has_accepted() {
    let network = MemoryNetwork::new();
    let coordinator = coordinator(&network).await;
    deploy(&coordinator, [version("report", "script", 1)]).await;
    let waits = accepted(&coordinator, "report").await;
    deploy(&coordinator, [disabled("report", "script", Deployed::REMOVED)]).await;
    let error = submit(&coordinator, "report", SubmitOptions::new()).await.expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    let scoped = coordinator.scoped(Caller::anonymous());
    assert!(!scoped.catalogue().contains_key("report"));
    assert_eq!(scoped.action("report").expect_err("unknown").kind(), ErrorKind::NotFound);
    let _worker = worker(&network, "w", runtime("script")).await;
    assert_eq!(ran(&waits).await, 1);
    deploy(&coordinator, [version("report", "script", 2)]).await;
    assert_eq!(ran(&accepted(&coordinator, "report").await).await, 2);
}

#[tokio::test]
async fn a_disabled_action_refuses_submissions_and_runs_what_it_has_accepted() {
    let network = MemoryNetwork::new();
    let coordinator = coordinator(&network).await;
    deploy(&coordinator, [version("report", "script", 1)]).await;
    let waits = accepted(&coordinator, "report").await;
    deploy(&coordinator, [disabled("report", "script", 1)]).await;
    let options =
        [SubmitOptions::new(), SubmitOptions::new().definition(version("report", "script", 1))];
    for options in options {
        let error = submit(&coordinator, "report", options).await.expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert_eq!(error.message(), "action \"report\" is disabled: enable it to run it");
    }
    let _worker = worker(&network, "w", runtime("script")).await;
    assert_eq!(ran(&waits).await, 1);
    assert!(!coordinator.catalogue()["report"].available);
    deploy(&coordinator, [version("report", "script", 1)]).await;
    assert_eq!(ran(&accepted(&coordinator, "report").await).await, 1);
}

#[tokio::test]
async fn an_older_version_runs_by_its_definition() {
    let network = MemoryNetwork::new();
    let coordinator = coordinator(&network).await;
    let schema = |name: &str| {
        let text = format!(r#"{{"type": "object", "required": ["{name}"]}}"#);
        Json::parse(text).expect("JSON")
    };
    let old = version("report", "script", 1).schema(schema("day")).queue("slow");
    deploy(&coordinator, [version("report", "script", 2).schema(schema("week"))]).await;
    let _worker = worker(&network, "w", runtime("script")).await;
    let submit = |parameters: &str, options: SubmitOptions| {
        let parameters = Json::parse(parameters).expect("JSON");
        let coordinator = coordinator.clone();
        async move { coordinator.submit("report", parameters).options(options).await }
    };
    let of_old = || SubmitOptions::new().definition(old.clone());
    let error = submit(r#"{"week": 1}"#, of_old()).await.expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::InvalidParameters);
    let handle = submit(r#"{"day": 1}"#, of_old()).await.expect("accepted");
    assert_eq!(&*handle.execution().await.expect("a record").queue, "slow");
    assert_eq!(ran(&handle).await, 1);
    let handle = submit(r#"{"week": 1}"#, SubmitOptions::new()).await.expect("accepted");
    assert_eq!(ran(&handle).await, 2);
    for wrong in [version("other", "script", 1), Action::new("report").expect("a name")] {
        let options = SubmitOptions::new().definition(wrong);
        let error = submit("{}", options).await.expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    }
    // It never travels.
    let text = serde_json::to_string(&of_old()).expect("JSON");
    assert_eq!(text, "{}");
}

#[tokio::test]
async fn versions_of_two_runtimes_do_not_wait_for_each_other() {
    let network = MemoryNetwork::new();
    let coordinator = coordinator(&network).await;
    deploy(&coordinator, [version("report", "process", 1)]).await;
    let mut first = Vec::new();
    for _ in 0..3 {
        first.push(accepted(&coordinator, "report").await);
    }
    deploy(&coordinator, [version("report", "script", 2)]).await;
    let second = accepted(&coordinator, "report").await;
    let _script = worker(&network, "script", runtime("script")).await;
    assert_eq!(ran(&second).await, 2);
    let _process = worker(&network, "process", runtime("process")).await;
    for handle in first {
        assert_eq!(ran(&handle).await, 1);
    }
    let workers = coordinator.workers().await.expect("it lives");
    let runtimes = workers.iter().map(|worker| (&*worker.name, worker.runtimes.concat()));
    assert_eq!(
        runtimes.collect::<Vec<_>>(),
        [("process", "process".to_owned()), ("script", "script".to_owned())]
    );
}

#[tokio::test]
async fn a_worker_cannot_take_the_name_of_a_deployed_action() {
    let network = MemoryNetwork::new();
    let coordinator = coordinator(&network).await;
    deploy(&coordinator, [version("report", "script", 1)]).await;
    let names = ["report", "own"].map(|name| Action::new(name).expect("a name"));
    // Whatever it says of versions.
    let lie = version("lie", "script", 9);
    let offer = ActionSet::new(names.into_iter().chain([lie]));
    let _taker = worker(&network, "taker", offer).await;
    available(&coordinator, "own").await;
    let catalogue = coordinator.catalogue();
    assert!(catalogue["report"].action.deployed.is_some() && !catalogue["report"].available);
    assert_eq!(catalogue["lie"].action.deployed, None);
    let workers = coordinator.workers().await.expect("it lives");
    let [problem] = &workers[0].load_errors[..] else { panic!("{workers:?}") };
    assert_eq!(problem.place, "report");
    assert!(problem.message.contains("a deployed action has this name"), "{problem:?}");
    let waits = accepted(&coordinator, "report").await;
    assert_eq!(coordinator.call::<String>("own", ()).await.expect("a result"), "own");
    let _runner = worker(&network, "runner", runtime("script")).await;
    assert_eq!(ran(&waits).await, 1);
}

#[tokio::test]
async fn bad_deploys_are_refused_as_a_whole() {
    let network = MemoryNetwork::new();
    let coordinator = coordinator(&network).await;
    let own = Action::new("own").expect("a name");
    let busy = worker(&network, "busy", ActionSet::new([own.clone()])).await;
    available(&coordinator, "own").await;
    let good = || version("good", "script", 1);
    let not_a_schema = Json::parse(r#"{"type": 7}"#).expect("JSON");
    for (wrong, kind, message) in [
        (Action::new("plain").expect("a name"), ErrorKind::InvalidInput, "has no version"),
        (version("x", "a/b", 1), ErrorKind::InvalidInput, "runtime must not have '/'"),
        (version("x", "s", 1).team("default"), ErrorKind::InvalidInput, "the team must be empty"),
        (version("x", "s", 1).team("a/b"), ErrorKind::InvalidInput, "team must not have '/'"),
        (version("x", "s", 1).queue(""), ErrorKind::InvalidInput, "queue must have 1 to 128"),
        (version("x", "s", 1).schema(not_a_schema), ErrorKind::InvalidInput, "type"),
        (good(), ErrorKind::InvalidInput, "given twice"),
        (version("own", "script", 1), ErrorKind::Conflict, "worker \"busy\" offers an action"),
    ] {
        let error = refused(&coordinator, vec![good(), wrong]).await;
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.message().contains(message), "{error} has no {message:?}");
        assert!(!coordinator.catalogue().contains_key("good"), "{message}");
    }
    // The name becomes free once no worker offers it and nothing waits for one that does.
    coordinator.pause_queue("default").await.expect("paused");
    let waits = accepted(&coordinator, "own").await;
    busy.shutdown(Duration::ZERO).await;
    let error = refused(&coordinator, vec![version("own", "script", 1)]).await;
    assert!(error.message().contains("have not ended"), "{error}");
    waits.cancel(false).await.expect("cancelled");
    deploy(&coordinator, [version("own", "script", 1)]).await;
    coordinator.resume_queue("default").await.expect("resumed");
    let _worker = worker(&network, "w", runtime("script")).await;
    assert_eq!(ran(&accepted(&coordinator, "own").await).await, 1);
}

#[tokio::test]
async fn teams_deploy_actions_of_the_same_name() {
    let network = MemoryNetwork::new();
    let coordinator = coordinator(&network).await;
    let _worker = worker(&network, "w", runtime("script")).await;
    deploy(&coordinator, [version("report", "script", 1)]).await;
    deploy(&coordinator, [version("report", "script", 2).team("team")]).await;
    assert_eq!(ran(&accepted(&coordinator, "report").await).await, 1);
    // The worker's key, of which there is none, serves the default team only.
    let catalogue = coordinator.catalogue();
    assert_eq!(catalogue["team/report"].unavailable, Some("no live worker offers its runtime"));
}

#[tokio::test]
async fn a_worker_limited_to_groups_runs_deployed_actions_of_these_only() {
    let network = MemoryNetwork::new();
    let coordinator = coordinator(&network).await;
    let executor =
        ScopedExecutor::new(runtime("script"), |_, _| async { Outcome::Succeeded(Json::null()) });
    let limited = Worker::builder(network.transport()).name("limited").groups(["Reports"]);
    let _limited = limited.executor(executor).start().await.expect("a worker");
    let report = version("report", "script", 1);
    let actions = [report.clone().group("Reports"), version("backup", "script", 1)];
    deploy(&coordinator, actions).await;
    available(&coordinator, "report").await;
    assert!(!coordinator.catalogue()["backup"].available);
    let backup = accepted(&coordinator, "backup").await;
    let handle = accepted(&coordinator, "report").await;
    assert!(matches!(outcome(&handle).await, Outcome::Succeeded(_)));
    waits_because(&coordinator, "may run \"backup\"").await;
    // The next version is in its group.
    deploy(&coordinator, [version("backup", "script", 2).group("Reports")]).await;
    assert!(matches!(outcome(&backup).await, Outcome::Succeeded(_)));
}

#[tokio::test]
async fn a_runtime_that_cannot_start_is_held_back_with_the_reason() {
    let network = MemoryNetwork::new();
    let coordinator = coordinator(&network).await;
    let works = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let switch = works.clone();
    let executor = ScopedExecutor::new(runtime("script"), move |_, _| {
        let works = switch.load(std::sync::atomic::Ordering::Relaxed);
        async move {
            match works {
                true => Outcome::Succeeded(Json::null()),
                false => Outcome::not_started("no space is left"),
            }
        }
    });
    let builder = Worker::builder(network.transport()).name("full").executor(executor);
    let _worker = builder.start().await.expect("a worker");
    deploy(&coordinator, [version("report", "script", 1), version("backup", "script", 1)]).await;
    available(&coordinator, "report").await;
    let (report, backup) =
        (accepted(&coordinator, "report").await, accepted(&coordinator, "backup").await);
    waits_because(&coordinator, "worker \"full\" cannot start").await;
    waits_because(&coordinator, "no space is left").await;
    let workers = coordinator.workers().await.expect("it lives");
    assert!(workers[0].load_errors.iter().all(|error| error.blocking), "{workers:?}");
    works.store(true, std::sync::atomic::Ordering::Relaxed);
    for handle in [report, backup] {
        assert!(matches!(outcome(&handle).await, Outcome::Succeeded(_)));
        assert_eq!(handle.execution().await.expect("a record").tries(), 1);
    }
}

#[tokio::test]
async fn secrets_of_deployed_actions_are_masked_in_logs() {
    let network = MemoryNetwork::new();
    let coordinator = coordinator(&network).await;
    let executor = ScopedExecutor::new(runtime("script"), |attempt, context| async move {
        let line = vec![format!("got {}", attempt.parameters)];
        context.logs().write(tinpot_core::Stream::Stdout, Level::Info, line).await;
        Outcome::Succeeded(Json::null())
    });
    let _worker = Worker::builder(network.transport()).executor(executor).start().await;
    let schema =
        r#"{"type": "object", "properties": {"key": {"type": "string", "writeOnly": true}}}"#;
    let schema = Json::parse(schema).expect("JSON");
    deploy(&coordinator, [version("report", "script", 1).schema(schema)]).await;
    let parameters = Json::parse(r#"{"key": "hunter2-hunter2", "day": "monday"}"#).expect("JSON");
    let handle = coordinator.submit("report", parameters).await.expect("accepted");
    outcome(&handle).await;
    let execution = handle.execution().await.expect("a record");
    assert_eq!(execution.secrets, ["/key"]);
    let mut events = handle.events(0);
    let mut lines = Vec::new();
    in_time("the log", async {
        while let Some(event) = futures::StreamExt::next(&mut events).await {
            if let tinpot_core::Event::Logs(chunk) = event {
                lines.extend(chunk.lines.clone());
            }
        }
    })
    .await;
    let text = lines.join("\n");
    assert!(text.contains("monday") && !text.contains("hunter2"), "{text}");
}

#[tokio::test]
async fn a_policy_for_losses_makes_failures_final() {
    let network = MemoryNetwork::new();
    let coordinator = coordinator(&network).await;
    let executor = ScopedExecutor::new(runtime("script"), |_, _| async {
        Outcome::Failed(Failure::new("it broke"))
    });
    let _worker = Worker::builder(network.transport()).executor(executor).start().await;
    let retry = RetryPolicy::fixed(3, Duration::ZERO);
    let actions = [
        version("lost", "script", 1).retry(retry.on(RetryOn::Lost)),
        version("any", "script", 1).retry(retry),
    ];
    deploy(&coordinator, actions).await;
    for (action, tries) in [("lost", 1), ("any", 4)] {
        let handle = accepted(&coordinator, action).await;
        assert!(matches!(outcome(&handle).await, Outcome::Failed(_)));
        let execution = handle.execution().await.expect("a record");
        assert_eq!(execution.tries(), tries, "{action}");
    }
}
