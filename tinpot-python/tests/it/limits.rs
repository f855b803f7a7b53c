//! The limits of one attempt.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tinpot_python::{Limits, PythonPool};

use crate::support::{Actions, Ended, call, names, offer, run, start};

/// Every action says which interpreter it ran on.
const ACTIONS: &str = r#"
import collections, itertools, asyncio
@action
def who(): return os.getpid()
@action(memory="96M")
def hungry(size: int): return len(bytearray(size))
@action(memory=10**12)
def allowed(size: int): return len(bytearray(size))
@action(cpu_seconds=1)
def spins():
    print(os.getpid())
    while True: pass
@action(cpu_seconds=1)
async def spins_in_a_coroutine():
    while True: pass
@action(cpu_seconds=1)
def swallows():
    while True:
        try:
            while True: pass
        except BaseException: pass
@action(cpu_seconds=1)
def spins_in_c(): collections.deque(itertools.repeat(0), maxlen=0)
@action(cpu_seconds=1)
def waits(): time.sleep(1.5); return os.getpid()
@action(open_files=20)
def opens(count: int):
    files = [open(os.devnull) for _ in range(count)]
    return len(files)
@action(max_output=1000)
def writes(lines: int):
    for _ in range(lines): print("x" * 99)
    return os.getpid()
@action(max_output=1000)
def floods():
    while True: os.write(1, b"x" * 99 + b"\n")
@action(max_result="1K")
def returns(size: int): return "x" * size
"#;

async fn pool(actions: &Actions, limits: Limits) -> Arc<PythonPool> {
    let builder = PythonPool::builder(actions.0.path()).size(1).spare(0).limits(limits);
    Arc::new(builder.start().await.expect("a pool"))
}

fn is_exceeded(ended: &Ended, limit: &str) {
    let failure = ended.failure();
    assert_eq!(failure.kind, "LimitExceeded", "{failure:?}");
    let expected = format!("the limit {limit} was exceeded");
    assert!(failure.message.starts_with(&expected), "{expected}: {failure:?}");
}

#[tokio::test]
async fn memory_of_an_attempt_is_limited() {
    let actions = Actions::of(ACTIONS);
    let pool = pool(&actions, Limits::default()).await;
    let first = call(&pool, "who").await.value();
    assert_eq!(run(&pool, "hungry", json!({ "size": 1000 })).await.value(), json!(1000));
    assert_eq!(call(&pool, "who").await.value(), first);
    let ended = run(&pool, "hungry", json!({ "size": 200 << 20 })).await;
    is_exceeded(&ended, "memory of 100663296 bytes");
    // Its output belongs to no attempt.
    assert_ne!(call(&pool, "who").await.value(), first);
    // The limit was the attempt's alone.
    let size = 200 << 20;
    assert_eq!(run(&pool, "allowed", json!({ "size": size })).await.value(), json!(size));
}

#[tokio::test]
async fn processor_time_is_limited_even_if_the_attempt_ignores_it() {
    let actions = Actions::of(ACTIONS);
    let pool = pool(&actions, Limits::default()).await;
    for action in ["spins", "spins_in_a_coroutine", "swallows", "spins_in_c"] {
        let before = call(&pool, "who").await.value();
        is_exceeded(&call(&pool, action).await, "cpu_seconds of 1");
        assert_ne!(call(&pool, "who").await.value(), before, "{action}");
    }
    // Time that passes is not processor time, and what others have used is not an attempt's.
    let pid = call(&pool, "waits").await.value();
    assert_eq!(call(&pool, "waits").await.value(), pid);
}

#[tokio::test]
async fn open_files_of_an_attempt_are_limited() {
    let actions = Actions::of(ACTIONS);
    let pool = pool(&actions, Limits::default()).await;
    for _ in 0..2 {
        assert_eq!(run(&pool, "opens", json!({ "count": 20 })).await.value(), json!(20));
        let ended = run(&pool, "opens", json!({ "count": 21 })).await;
        is_exceeded(&ended, "open_files of 20");
        let traceback = ended.failure().traceback.as_deref().expect("a traceback");
        assert!(
            traceback.contains("actions.py") && !traceback.contains("_limits.py"),
            "{traceback}"
        );
    }
}

#[tokio::test]
async fn output_of_an_attempt_is_limited() {
    let actions = Actions::of(ACTIONS);
    let pool = pool(&actions, Limits::default()).await;
    let ended = run(&pool, "writes", json!({ "lines": 10 })).await;
    let pid = ended.value();
    assert_eq!(ended.stdout().len(), 10);
    for lines in [11, 100_000] {
        let ended = run(&pool, "writes", json!({ "lines": lines })).await;
        is_exceeded(&ended, "max_output of 1000 bytes");
        // What was within the limit is there.
        assert_eq!(ended.stdout().len(), 10, "{lines}");
    }
    is_exceeded(&call(&pool, "floods").await, "max_output of 1000 bytes");
    let ended = run(&pool, "writes", json!({ "lines": 10 })).await;
    assert_ne!(ended.value(), pid);
    assert_eq!(ended.stdout().len(), 10);
}

#[tokio::test]
async fn result_of_an_attempt_is_limited() {
    let actions = Actions::of(ACTIONS);
    let pool = pool(&actions, Limits::default()).await;
    assert_eq!(
        run(&pool, "returns", json!({ "size": 1000 })).await.value(),
        json!("x".repeat(1000))
    );
    let ended = run(&pool, "returns", json!({ "size": 1100 })).await;
    is_exceeded(&ended, "max_result of 1024 bytes");
    assert!(ended.failure().message.contains("1102 bytes"), "{:?}", ended.failure());
}

#[tokio::test]
async fn limits_of_the_pool_hold_where_an_action_says_nothing() {
    let actions = Actions::of(
        r#"
@action
def memory(size: int): return len(bytearray(size))
@action(memory="1G")
def more_memory(size: int): return len(bytearray(size))
@action
def cpu():
    while True: pass
@action
def files(): return len([open(os.devnull) for _ in range(9)])
@action
def output(): print("x" * 5000)
@action
def result(): return "x" * 5000
"#,
    );
    let limits = Limits::default().memory_bytes(96 << 20).cpu(Duration::from_millis(500));
    let limits = limits.open_files(8).output_bytes(4000).result_bytes(4000);
    let pool = pool(&actions, limits).await;
    let size = json!({ "size": 200 << 20 });
    is_exceeded(&run(&pool, "memory", size.clone()).await, "memory of 100663296 bytes");
    assert_eq!(run(&pool, "more_memory", size).await.value(), json!(200 << 20));
    is_exceeded(&call(&pool, "cpu").await, "cpu_seconds of 0.5");
    is_exceeded(&call(&pool, "files").await, "open_files of 8");
    is_exceeded(&call(&pool, "output").await, "max_output of 4000 bytes");
    is_exceeded(&call(&pool, "result").await, "max_result of 4000 bytes");
}

#[tokio::test]
async fn an_attempt_that_exceeds_a_limit_harms_no_other() {
    let actions = Actions::of(ACTIONS);
    let builder = PythonPool::builder(actions.0.path()).size(2).spare(0);
    let pool = Arc::new(builder.start().await.expect("a pool"));
    let bystander = start(&pool, "waits", json!({}));
    let size = json!({ "size": 200 << 20 });
    is_exceeded(&run(&pool, "hungry", size).await, "memory of 100663296 bytes");
    is_exceeded(&call(&pool, "floods").await, "max_output of 1000 bytes");
    assert!(bystander.end().await.value().is_number());
}

#[tokio::test]
async fn limits_that_make_no_sense_are_named() {
    let mut actions = Actions::new();
    let wrong = [
        "memory='12X'",
        "memory=0",
        "cpu_seconds=0",
        "open_files=-1",
        "max_output=1.5",
        "max_result=''",
    ];
    for (number, option) in wrong.iter().enumerate() {
        let text = format!("from tinpot import action\n@action({option})\ndef wrong(): pass\n");
        actions = actions.file(&format!("wrong_{number}.py"), &text);
    }
    let pool = pool(&actions, Limits::default()).await;
    let offer = offer(&pool);
    assert!(names(&offer).is_empty());
    assert_eq!(offer.load_errors.len(), wrong.len());
    for (number, option) in wrong.iter().enumerate() {
        let place = format!("wrong_{number}.py");
        let problem = offer.load_errors.iter().find(|p| p.place == place).expect("a problem");
        let name = option.split('=').next().expect("a name");
        assert!(problem.message.contains(&format!("@action: {name} must")), "{}", problem.message);
    }
}
