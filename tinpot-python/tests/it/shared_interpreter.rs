//! Coroutines of which many run at once in one interpreter.

use std::time::Duration;

use serde_json::{Value, json};
use tinpot_core::{LogEvent, Outcome, Stream};

use crate::support::{AMPLE, Actions, start};

const ACTIONS: &str = r#"
import asyncio

gathered = []

@action(concurrency=100)
async def meet(number: int, count: int):
    gathered.append(number)
    print("here is", number)
    while len(gathered) < count:
        await asyncio.sleep(0.001)
    with current().step("step %d" % number) as step:
        print("still", number, file=sys.stderr)
        step.info("inside")
    return [number, os.getpid()]

@action(concurrency=100)
async def wait():
    print("waiting")
    try:
        await asyncio.sleep(3600)
    finally:
        print("cleaned up")

@action(concurrency=100)
async def stubborn(file: str):
    while True:
        try:
            open(file, "w").close()
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            pass

@action(concurrency=100)
async def leave():
    os._exit(3)

@action(concurrency=100)
async def fail():
    raise ValueError("no luck")

@action(concurrency=100)
async def no_call(ctx: Context):
    return ctx.call("fail")
"#;

#[tokio::test]
async fn many_share_an_interpreter_and_each_has_its_own_log() {
    const COUNT: i64 = 40;
    let actions = Actions::of(ACTIONS);
    let pool = actions.pool().await;
    let begun =
        (0..COUNT).map(|number| start(&pool, "meet", json!({"number": number, "count": COUNT})));
    let begun: Vec<_> = begun.collect();
    let mut pids = Vec::new();
    for (number, running) in begun.into_iter().enumerate() {
        let ended = running.end().await;
        let (same, pid): (usize, u32) = ended
            .outcome
            .value()
            .unwrap_or_else(|| panic!("{:?}", ended.outcome))
            .deserialize()
            .expect("two");
        assert_eq!(same, number);
        pids.push(pid);
        assert_eq!(ended.stdout(), [format!("here is {number}")]);
        assert_eq!(ended.stream(Stream::Stderr), [format!("still {number}")]);
        assert_eq!(ended.stream(Stream::Log), ["inside"]);
        let spans = ended.chunks.iter().filter_map(|chunk| chunk.span);
        assert!(spans.map(|span| span.number).eq([1, 1]), "both lines are the step's");
        let event = serde_json::from_str(ended.stream(Stream::Event)[0]).expect("an event");
        let LogEvent::SpanStarted { name, .. } = event else { panic!("{event:?}") };
        assert_eq!(name, format!("step {number}"));
    }
    pids.dedup();
    assert_eq!(pids.len(), 1, "all of them in one");
}

#[tokio::test]
async fn cancelling_one_attempt_leaves_the_others_running() {
    let actions = Actions::of(ACTIONS);
    let pool = actions.pool().await;
    let (one, other) = (start(&pool, "wait", json!({})), start(&pool, "wait", json!({})));
    one.until_line("waiting").await;
    other.until_line("waiting").await;
    one.ask(AMPLE);
    let ended = one.end().await;
    assert_eq!(ended.outcome, Outcome::Cancelled);
    assert!(ended.stdout().ends_with(&["cleaned up"]));
    let failed = start(&pool, "fail", json!({})).end().await;
    assert_eq!(failed.failure().to_string(), "ValueError: no luck");
    let refused = start(&pool, "no_call", json!({})).end().await;
    assert!(refused.failure().message.contains("await ctx.call_async"), "{:?}", refused.outcome);
    other.ask(AMPLE);
    assert_eq!(other.end().await.outcome, Outcome::Cancelled);
}

#[tokio::test]
async fn attempt_that_does_not_end_is_killed_with_its_interpreter() {
    let actions = Actions::of(ACTIONS);
    let pool = actions.pool().await;
    let file = actions.path("alive");
    let stubborn = start(&pool, "stubborn", json!({"file": file}));
    let bystander = start(&pool, "wait", json!({}));
    bystander.until_line("waiting").await;
    crate::support::until("the stubborn one", || file.exists()).await;
    stubborn.ask(Duration::from_millis(200));
    assert_eq!(stubborn.end().await.outcome, Outcome::Cancelled);
    let failure = bystander.end().await;
    assert!(failure.failure().message.contains("did not end in time"), "{:?}", failure.outcome);
    let value: Value = {
        let ended = start(&pool, "meet", json!({"number": 1, "count": 1})).end().await;
        ended.outcome.value().expect("a new one runs").deserialize().expect("JSON")
    };
    assert_eq!(value[0], 1);
    let crashed = start(&pool, "leave", json!({})).end().await;
    assert!(crashed.failure().message.contains("exit code 3"), "{:?}", crashed.outcome);
}

#[tokio::test]
async fn attempt_without_a_waiting_future_is_asked_to_end() {
    let source = r#"
import asyncio

@action(concurrency=2)
async def wait(file: str):
    print("waiting")
    try:
        await asyncio.sleep(3600)
    finally:
        open(file, "w").close()
"#;
    let actions = Actions::of(source);
    let pool = actions.pool().await;
    let file = actions.path("cleaned");
    let running = start(&pool, "wait", json!({"file": file}));
    running.until_line("waiting").await;
    running.task.abort();
    crate::support::until("its cleanup", || file.exists()).await;
}

#[tokio::test]
async fn request_to_a_dying_interpreter_runs_in_another() {
    let source = r#"
@action(concurrency=1000)
async def leave():
    os._exit(3)

@action(concurrency=1000)
async def stay():
    return "here"
"#;
    let actions = Actions::of(source);
    let pool = actions.pool().await;
    for _ in 0..10 {
        let leaver = start(&pool, "leave", json!({}));
        let begun: Vec<_> = (0..50).map(|_| start(&pool, "stay", json!({}))).collect();
        assert!(leaver.end().await.failure().message.contains("exit code 3"));
        for running in begun {
            let ended = running.end().await;
            // It ran and ended, or was in the interpreter when that died.
            let crashed = || ended.failure().message.contains("exit code 3");
            assert!(ended.outcome.value().is_some() || crashed(), "{:?}", ended.outcome);
        }
    }
}

#[tokio::test]
async fn a_thousand_are_there_at_once() {
    let source = r#"
import asyncio

there = 0
all_there = None

@action(concurrency=1000)
async def come():
    global there, all_there
    if all_there is None:
        all_there = asyncio.Event()
    there += 1
    if there == 1000:
        all_there.set()
    await all_there.wait()
"#;
    let actions = Actions::of(source);
    let pool = actions.pool().await;
    let begun: Vec<_> = (0..1_000).map(|_| start(&pool, "come", json!({}))).collect();
    for running in begun {
        assert!(running.end().await.outcome.value().is_some());
    }
}
