//! Interpreters that are replaced, or end, although they could go on.

use std::sync::Arc;

use serde_json::json;
use tinpot_python::{PythonPool, PythonPoolBuilder};

use crate::support::{Actions, call, run};

const ACTIONS: &str = r#"
KEPT = []
@action
def pid(): return os.getpid()
@action
def keep(megabytes: int):
    KEPT.append(b"x" * (megabytes << 20))
    return os.getpid()
@action
def spend(megabytes: int):
    b"x" * (megabytes << 20)
    return os.getpid()
"#;

async fn pool(
    actions: &Actions,
    configure: impl FnOnce(PythonPoolBuilder) -> PythonPoolBuilder,
) -> Arc<PythonPool> {
    let builder = configure(PythonPool::builder(actions.0.path()).size(1));
    Arc::new(builder.start().await.expect("a pool"))
}

#[tokio::test]
async fn interpreter_is_replaced_after_a_number_of_attempts() {
    let actions = Actions::of(ACTIONS);
    let pool = pool(&actions, |builder| builder.recycle_after(2)).await;
    let mut pids = Vec::new();
    for _ in 0..6 {
        pids.push(call(&pool, "pid").await.value().as_u64());
    }
    for pair in pids.chunks(2) {
        assert_eq!(pair[0], pair[1], "{pids:?}");
    }
    pids.dedup();
    assert_eq!(pids.len(), 3);
}

#[tokio::test]
async fn interpreter_that_keeps_much_memory_is_replaced() {
    for copies in [true, false] {
        let actions = Actions::of(ACTIONS);
        let limit = |builder: PythonPoolBuilder| builder.recycle_above(64 << 20).copies(copies);
        let pool = pool(&actions, limit).await;
        let spent = run(&pool, "spend", json!({ "megabytes": 100 })).await.value();
        assert_eq!(call(&pool, "pid").await.value(), spent, "what was freed counts");
        let kept = run(&pool, "keep", json!({ "megabytes": 100 })).await.value();
        assert_eq!(kept, spent);
        assert_ne!(call(&pool, "pid").await.value(), kept, "it was not replaced");
    }
}

#[tokio::test]
async fn without_a_limit_an_interpreter_goes_on() {
    let actions = Actions::of(ACTIONS);
    let pool = pool(&actions, |builder| builder.recycle_after(0).recycle_above(0)).await;
    let first = run(&pool, "keep", json!({ "megabytes": 100 })).await.value();
    for _ in 0..3 {
        assert_eq!(call(&pool, "pid").await.value(), first);
    }
}
