//! Attempts that take their interpreter with them.

use serde_json::json;

use crate::support::{Actions, SWALLOWING, call, requests_are_not_lost};

#[tokio::test]
async fn crash_fails_one_attempt_and_says_how() {
    let actions = Actions::of(
        r#"
@action
def segfault():
    print("before")
    ctypes.string_at(0)
@action
def leave(): os._exit(3)
@action
def shoot(): os.kill(os.getpid(), signal.SIGKILL)
@action
def abort(): os.abort()
@action
def cut():
    os.closerange(3, 100)
@action
def fine(): return 1
"#,
    );
    let pool = actions.pool().await;
    for (action, how) in [
        ("segfault", "signal 11 (SIGSEGV)"),
        ("leave", "exit code 3"),
        ("shoot", "signal 9 (SIGKILL)"),
        ("abort", "signal 6 (SIGABRT)"),
        ("cut", "the"),
    ] {
        let ended = call(&pool, action).await;
        assert!(ended.failure().message.contains(how), "{:?}", ended.failure());
        assert_eq!(call(&pool, "fine").await.value(), json!(1), "after {action}");
    }
    let ended = call(&pool, "segfault").await;
    assert_eq!(ended.stdout(), ["before"]);
}

#[tokio::test]
async fn leaving_python_is_a_failure_unless_the_exit_code_is_0() {
    let actions = Actions::of(
        r#"
@action
def zero(): sys.exit(0)
@action
def nothing(): sys.exit()
@action
def three(): sys.exit(3)
@action
def words(): sys.exit("no way")
@action
def interrupt(): raise KeyboardInterrupt
"#,
    );
    let pool = actions.pool().await;
    for action in ["zero", "nothing"] {
        assert_eq!(call(&pool, action).await.value(), json!(null), "{action}");
    }
    for (action, kind, message) in [
        ("three", "SystemExit", "called sys.exit(3)"),
        ("words", "SystemExit", "called sys.exit('no way')"),
        ("interrupt", "KeyboardInterrupt", ""),
    ] {
        let ended = call(&pool, action).await;
        assert_eq!((ended.failure().kind.as_str(), &*ended.failure().message), (kind, message));
    }
}

#[tokio::test]
async fn external_sigterm_is_not_a_cancellation() {
    let actions = Actions::of(
        r#"
@action
def terminated():
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)
@action
def own(): return os.getpid()
"#,
    );
    let pool = actions.pool().await;
    assert_eq!(call(&pool, "terminated").await.failure().kind, "Cancelled");
    // An idle interpreter that gets a signal runs no further attempt, and no attempt is lost.
    let first = call(&pool, "own").await.value();
    let pid = rustix::process::Pid::from_raw(first.as_i64().expect("a pid") as i32);
    let term = rustix::process::Signal::TERM;
    rustix::process::kill_process(pid.expect("a pid"), term).expect("a signal");
    let mut next = call(&pool, "own").await.value();
    if next == first {
        // It was quicker than the signal.
        next = call(&pool, "own").await.value();
    }
    assert_ne!(next, first);
}

#[tokio::test]
async fn request_to_end_is_not_lost_in_a_destructor() {
    let actions = Actions::of(SWALLOWING);
    requests_are_not_lost(&actions.pool().await).await;
}
