//! Results and failures in words.

use serde_json::json;
use std::sync::Arc;
use tinpot_core::{Executor, FailureCode};
use tinpot_python::PythonPool;

use crate::support::{Actions, call, run};

const RESULTS: &str = r#"
import datetime
@action
def a_number(): return 1j
@action
def deep_inside(): return {"items": [1, {"when": datetime.timezone.utc}]}
@action
def not_a_number(): return [1.0, float("nan")]
@action
def infinite(): return {"x": float("-inf")}
@action
def keys(): return {(1, 2): 3}
@action
def circle():
    x = []
    x.append(x)
    return x
@action
def deep():
    x = []
    for _ in range(200000): x = [x]
    return x
@action
def surrogate(): return "\ud800"
@action
def large(): return "x" * 3000
@action
def fine(): return (1, None, {"a": True, 2: "ü"})
"#;

async fn check(pool: &Arc<impl Executor>) {
    for (action, part) in [
        ("a_number", "result is of type complex"),
        ("deep_inside", "result['items'][1]['when'] is of type datetime.timezone"),
        ("not_a_number", "result[1] is nan"),
        ("infinite", "result['x'] is -inf"),
        ("keys", "a key of type tuple"),
        ("circle", "ircular"),
        ("deep", "nested too deep"),
        ("surrogate", "lone surrogate"),
        ("large", "too large"),
    ] {
        let ended = call(pool, action).await;
        assert!(ended.failure().message.contains(part), "{action}: {:?}", ended.failure());
        let kind = if action == "large" { "LimitExceeded" } else { "ResultError" };
        assert_eq!(ended.failure().kind, kind);
        // The code has succeeded: to run it again would do its work twice.
        assert!(ended.failure().permanent, "{action}");
    }
    assert_eq!(call(pool, "fine").await.value(), json!([1, null, { "a": true, "2": "ü" }]));
}

const CODES: &str = r#"
import datetime
class Poisoned(Exception): pass
class LimitExceeded(Exception): pass
@action
def poisoned(): raise Poisoned("a bad batch")
@action
def limited(): raise LimitExceeded("my own limit")
@action
def large(): return "x" * 3000
@action
def dated(day: datetime.date): pass
@action(open_files=3)
def too_many_files(): return [open("/dev/null") for _ in range(10)]
"#;

#[tokio::test]
async fn name_of_an_exception_is_no_failure_code() {
    let actions = Actions::of(CODES);
    let pool = PythonPool::builder(actions.0.path()).size(1).result_limit_bytes(1000);
    let pool = Arc::new(pool.start().await.expect("a pool"));
    for (action, kind, code) in [
        ("poisoned", "Poisoned", FailureCode::ActionError),
        ("limited", "LimitExceeded", FailureCode::ActionError),
        ("large", "LimitExceeded", FailureCode::ResultTooLarge),
        ("too_many_files", "LimitExceeded", FailureCode::LimitExceeded),
    ] {
        let ended = call(&pool, action).await;
        assert_eq!((&*ended.failure().kind, ended.failure().code), (kind, code), "{action}");
        assert!(!ended.outcome.is_poisoned(), "{action}");
    }
    let ended = run(&pool, "dated", json!({ "day": "tomorrow" })).await;
    assert_eq!(ended.failure().code, FailureCode::InvalidParameters);
}

#[tokio::test]
async fn result_that_is_not_json_is_named() {
    let actions = Actions::of(RESULTS);
    let builder = PythonPool::builder(actions.0.path()).size(1).spare(0).result_limit_bytes(2000);
    check(&Arc::new(builder.start().await.expect("a pool"))).await;
}

#[cfg(feature = "embed")]
#[tokio::test]
async fn result_that_is_not_json_is_named_in_process() {
    let actions = Actions::of(RESULTS);
    let builder = tinpot_python::PythonExecutor::builder(actions.0.path()).result_limit_bytes(2000);
    check(&Arc::new(builder.start().await.expect("an executor"))).await;
}

const EXITS: &str = r#"
import argparse
@action
def plain(): sys.exit()
@action
def zero(): sys.exit(0)
@action
def no(): sys.exit(False)
@action
def usage(): argparse.ArgumentParser(prog="x").parse_args(["--help"])
@action
async def later(): sys.exit(0)
@action
def generated():
    yield "text"
    sys.exit(0)
@action
def step():
    plain()
@action
def three(): sys.exit(3)
@action
def words(): sys.exit("no disk")
"#;

async fn check_exits(pool: &Arc<impl Executor>) {
    for action in ["plain", "zero", "no", "usage", "later", "generated", "step"] {
        assert_eq!(call(pool, action).await.value(), json!(null), "{action}");
    }
    for (action, message) in
        [("three", "called sys.exit(3)"), ("words", "called sys.exit('no disk')")]
    {
        let ended = call(pool, action).await;
        assert_eq!(ended.failure().message, message);
        assert!(!ended.failure().permanent);
    }
}

#[tokio::test]
async fn exit_code_of_zero_is_a_success() {
    let actions = Actions::of(EXITS);
    check_exits(&actions.pool().await).await;
}

#[cfg(feature = "embed")]
#[tokio::test]
async fn exit_code_of_zero_is_a_success_in_process() {
    let actions = Actions::of(EXITS);
    let builder = tinpot_python::PythonExecutor::builder(actions.0.path());
    check_exits(&Arc::new(builder.start().await.expect("an executor"))).await;
}

#[tokio::test]
async fn failure_has_kind_message_and_the_users_frames() {
    let actions = Actions::of(
        r#"
class Odd(Exception): pass
def inner(): raise Odd("broken \udc80")
@action
def fails():
    try:
        inner()
    except Odd as e:
        raise ValueError("outer") from e
@action
def odd(): inner()
"#,
    );
    let pool = actions.pool().await;
    let ended = call(&pool, "fails").await;
    let failure = ended.failure();
    assert_eq!((&*failure.kind, &*failure.message), ("ValueError", "outer"));
    let traceback = failure.traceback.as_deref().expect("a traceback");
    for part in ["actions.py\", line 5, in inner", "direct cause", "ValueError: outer"] {
        assert!(traceback.contains(part), "{traceback}");
    }
    assert!(!traceback.contains("_run.py") && !traceback.contains("_child.py"), "{traceback}");
    assert_eq!(call(&pool, "odd").await.failure().kind, "Odd");
}

#[tokio::test]
async fn parameters_that_do_not_fit_fail_with_their_names() {
    let actions = Actions::of("@action\ndef one(a: int): pass\n");
    let pool = actions.pool().await;
    let ended = run(&pool, "one", json!({ "b": 1 })).await;
    assert_eq!(ended.failure().kind, "TypeError");
    assert!(ended.failure().message.contains("'b'"), "{:?}", ended.failure());
}

#[tokio::test]
async fn coroutines_and_positional_parameters_work() {
    let actions = Actions::of(
        r#"
import asyncio
@action
async def slowly(x: int) -> int:
    await asyncio.sleep(0)
    return x + 1
@action
def positional(a, b=2, /, *rest, c=3, **more): return [a, b, c, more]
"#,
    );
    let pool = actions.pool().await;
    assert_eq!(run(&pool, "slowly", json!({ "x": 1 })).await.value(), json!(2));
    let given = json!({ "a": 1, "c": 4, "d": 5 });
    assert_eq!(run(&pool, "positional", given).await.value(), json!([1, 2, 4, { "d": 5 }]));
}

#[tokio::test]
async fn coroutine_of_a_decorator_without_a_trace_of_it_is_run() {
    let actions = Actions::of(
        r#"
import asyncio
def hide(function):
    def wrapper(): return function()
    wrapper.__name__ = function.__name__
    return wrapper
@action
@hide
async def coroutine():
    await asyncio.sleep(0)
    return "ok"
@action
@hide
async def generator():
    yield "a line"
"#,
    );
    let pool = actions.pool().await;
    assert_eq!(call(&pool, "coroutine").await.value(), json!("ok"));
    let generator = call(&pool, "generator").await;
    assert_eq!((generator.value(), &*generator.lines[0].1), (json!(null), "a line"));
}
