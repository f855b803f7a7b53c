//! Attempts in a process that no other attempt has used.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tinpot_core::Outcome;
use tinpot_python::{Isolation, PythonPool};

use crate::support::{AMPLE, Actions, MODES, call, is_alive, run, start};

const ACTIONS: &str = r#"
COUNT = 0
@action(isolation="fresh")
def fresh():
    global COUNT
    COUNT += 1
    return [COUNT, os.getpid()]
@action
def default():
    global COUNT
    COUNT += 1
    return [COUNT, os.getpid()]
@action(isolation="reuse")
def reuse():
    global COUNT
    COUNT += 1
    return COUNT
@action(isolation="fresh")
def large(size: int): return "x" * size
@action(isolation="fresh")
def leave(code: int): os._exit(code)
@action(isolation="fresh")
def segfault():
    print("before")
    ctypes.string_at(0)
@action(isolation="fresh")
def forked(): return os.fork() == 0
@action(isolation="fresh")
def left(note: str):
    open(note, "w").write("%d\n%d\n" % (subprocess.Popen(["sleep", "1000"]).pid, os.getpid()))
@action(isolation="fresh")
def nap():
    try:
        print("ready")
        time.sleep(1000)
    finally:
        print("cleaned up")
@action(isolation="fresh")
def stubborn(note: str):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    open(note, "w").write("%d\n" % os.getpid())
    print("ready")
    while True: time.sleep(1)
"#;

#[tokio::test]
async fn fresh_attempt_finds_no_trace_of_another() {
    let actions = Actions::of(ACTIONS);
    let pool = actions.pool().await;
    let mut pids = Vec::new();
    for _ in 0..3 {
        let value = call(&pool, "fresh").await.value();
        assert_eq!(value[0], 1);
        pids.push(value[1].as_i64());
        call(&pool, "default").await;
    }
    pids.sort_unstable();
    pids.dedup();
    assert_eq!(pids.len(), 3, "a process was used twice");
    assert_eq!(call(&pool, "reuse").await.value(), 4);
}

#[tokio::test]
async fn default_of_the_pool_holds_for_actions_that_declare_nothing() {
    let actions = Actions::of(ACTIONS);
    let builder = PythonPool::builder(actions.0.path()).size(1).isolation(Isolation::Fresh);
    let pool = Arc::new(builder.start().await.expect("a pool"));
    for count in 1..3 {
        assert_eq!(call(&pool, "default").await.value()[0], 1);
        assert_eq!(call(&pool, "reuse").await.value(), count);
    }
}

#[tokio::test]
async fn without_spares_a_used_interpreter_makes_room() {
    let actions = Actions::of(ACTIONS);
    let builder = PythonPool::builder(actions.0.path()).size(1).spare(0);
    let pool = Arc::new(builder.start().await.expect("a pool"));
    for _ in 0..2 {
        call(&pool, "default").await;
        assert_eq!(call(&pool, "fresh").await.value()[0], 1);
    }
}

#[tokio::test]
async fn imports_that_start_threads_are_no_obstacle() {
    let actions = Actions::of(&format!(
        "{ACTIONS}\nthreading.Thread(target=time.sleep, args=(1000,), daemon=True).start()\n"
    ));
    let pool = actions.pool().await;
    for _ in 0..2 {
        call(&pool, "default").await;
        assert_eq!(call(&pool, "fresh").await.value()[0], 1);
    }
}

#[tokio::test]
async fn results_failures_and_crashes_of_fresh_attempts_arrive() {
    let actions = Actions::of(ACTIONS);
    let pool = actions.pool().await;
    let size = 3_000_000;
    let value = run(&pool, "large", json!({ "size": size })).await.value();
    assert_eq!(value.as_str().map(str::len), Some(size));
    for (code, how) in [(0, "ended with exit code 0"), (3, "ended with exit code 3")] {
        let ended = run(&pool, "leave", json!({ "code": code })).await;
        assert_eq!(ended.failure().kind, "Crashed");
        assert!(ended.failure().message.contains(how), "{:?}", ended.failure());
    }
    let ended = call(&pool, "segfault").await;
    assert!(ended.failure().message.contains("SIGSEGV"), "{:?}", ended.failure());
    assert_eq!(ended.stdout(), ["before"]);
    assert_eq!(call(&pool, "forked").await.value(), json!(false));
}

#[tokio::test]
async fn stop_and_leftovers_of_fresh_attempts_are_as_of_others() {
    for mode in MODES {
        let actions = Actions::of(ACTIONS);
        let pool = actions.pool_in(mode).await;
        let running = start(&pool, "nap", json!({}));
        running.until_line("ready").await;
        running.ask(AMPLE);
        let ended = running.end().await;
        assert_eq!(
            (&ended.outcome, ended.stdout().last()),
            (&Outcome::Cancelled, Some(&"cleaned up"))
        );
        let note = json!({ "note": actions.path("left") });
        run(&pool, "left", note).await.value();
        let note = json!({ "note": actions.path("stubborn") });
        let running = start(&pool, "stubborn", note);
        running.until_line("ready").await;
        running.ask(Duration::from_millis(20));
        assert_eq!(running.end().await.outcome, Outcome::Cancelled);
        for (file, count) in [("left", 2), ("stubborn", 1)] {
            for pid in actions.pids(file, count).await {
                assert!(!is_alive(pid), "{file} left {pid:?}, {mode}");
            }
        }
    }
}
