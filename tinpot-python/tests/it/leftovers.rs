//! Processes and threads that attempts leave behind are ended.

use std::time::Duration;

use serde_json::{Value, json};
use tinpot_core::{Outcome, StopReason};

use crate::support::{AMPLE, Actions, MODES, call, is_alive, start};

/// Actions that start something and note its process id in `pids`.
pub(crate) fn actions() -> Actions {
    let actions = Actions::new();
    let note = actions.path("pids");
    let text = format!(
        r#"
import os, subprocess, sys, threading, time, signal, multiprocessing
from tinpot import action, Cancelled
NOTE = {note:?}

def note(pid):
    with open(NOTE, "a") as f: f.write("%d\n" % pid)

def sleeper(**options):
    note(subprocess.Popen(["sleep", "1000"], **options).pid)

def daemon(environment=None):
    # Twice forked, in a session of its own, deaf to SIGTERM and with the standard streams open.
    noted, end = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            note(os.getpid())
            os.write(end, b"!")
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            if environment is not None:
                os.execve("/bin/sleep", ["sleep", "1000"], environment)
            while True: time.sleep(1)
        os._exit(0)
    os.wait()
    os.read(noted, 1)

@action
def child(): sleeper()
@action
def own_session(): sleeper(start_new_session=True)
@action
def double_fork(): daemon()
@action
def double_fork_without_environment(): daemon({{}})
@action
def forked_copy():
    if os.fork() == 0:
        note(os.getpid())
        time.sleep(1000)
@action
def returning_copy():
    return os.fork() == 0
@action
def all_of_it():
    child(); own_session(); double_fork(); double_fork_without_environment()
    while True: time.sleep(1000)
@action
def stubborn():
    child(); own_session(); double_fork(); double_fork_without_environment()
    while True:
        try: time.sleep(1000)
        except Cancelled: pass
@action
def crash():
    child(); own_session(); double_fork()
    os._exit(1)
@action
def spawned(): 
    p = multiprocessing.get_context("spawn").Process(target=print, args=("from a spawned process",))
    p.start(); p.join()
    return p.exitcode
@action
def worker_thread():
    def late():
        time.sleep(0.05)
        print("late")
    threading.Thread(target=late).start()
@action
def daemon_thread():
    def forever():
        while True:
            print("again"); time.sleep(0.001)
    threading.Thread(target=forever, daemon=True).start()
@action
def joined_thread():
    t = threading.Thread(target=print); t.start(); t.join()
@action
def move():
    os.chdir("/"); os.environ["LEAK"] = "1"; os.environ.pop("PATH", None)
@action
def look(): return [os.getcwd() == "/", "LEAK" in os.environ, "PATH" in os.environ]
@action
def own(): return os.getpid()
"#
    );
    actions.file("actions.py", &text)
}

#[tokio::test]
async fn processes_left_by_an_action_are_killed() {
    let cases =
        ["child", "own_session", "double_fork", "double_fork_without_environment", "forked_copy"];
    for mode in MODES {
        let actions = actions();
        let pool = actions.pool_in(mode).await;
        for (count, action) in cases.into_iter().enumerate() {
            // They have its standard output: the result does not wait for their end of it.
            assert_eq!(call(&pool, action).await.value(), Value::Null, "{action}, {mode}");
            for pid in actions.pids("pids", count + 1).await {
                assert!(!is_alive(pid), "{action} left {pid:?}, {mode}");
            }
        }
    }
}

#[tokio::test]
async fn copy_of_the_interpreter_does_not_answer() {
    let actions = actions();
    let pool = actions.pool().await;
    for _ in 0..3 {
        assert_eq!(call(&pool, "returning_copy").await.value(), json!(false));
    }
}

#[tokio::test]
async fn nothing_survives_a_stop() {
    let soon = Duration::from_millis(50);
    for mode in MODES {
        for (action, reason, grace) in [
            ("all_of_it", StopReason::Cancelled, AMPLE),
            ("stubborn", StopReason::Cancelled, soon),
            ("stubborn", StopReason::TimedOut, soon),
            ("stubborn", StopReason::Cancelled, Duration::ZERO),
        ] {
            let actions = actions();
            let pool = actions.pool_in(mode).await;
            let running = start(&pool, action, json!({}));
            let pids = actions.pids("pids", 4).await;
            running.ask_because(reason, grace);
            assert_eq!(running.end().await.outcome, Outcome::Cancelled);
            for pid in pids {
                assert!(!is_alive(pid), "{pid:?} survived {action} with {grace:?}, {mode}");
            }
        }
    }
}

#[tokio::test]
async fn nothing_survives_a_crash() {
    for mode in MODES {
        let actions = actions();
        let pool = actions.pool_in(mode).await;
        let ended = call(&pool, "crash").await;
        assert!(ended.failure().message.contains("exit code 1"), "{:?}", ended.failure());
        for pid in actions.pids("pids", 3).await {
            assert!(!is_alive(pid), "{pid:?} survived, {mode}");
        }
    }
}

#[tokio::test]
async fn stopped_interpreter_can_be_killed() {
    let actions = actions();
    let pool = actions.pool().await;
    let running = start(&pool, "all_of_it", json!({}));
    let pids = actions.pids("pids", 4).await;
    let parent = format!("/proc/{}/stat", pids[0].as_raw_nonzero());
    let stat = std::fs::read_to_string(parent).expect("a process");
    let parent = stat.rsplit(") ").next().and_then(|s| s.split(' ').nth(1)?.parse().ok());
    let parent = parent.and_then(rustix::process::Pid::from_raw).expect("a parent");
    let stop = rustix::process::Signal::STOP;
    rustix::process::kill_process(parent, stop).expect("a signal");
    running.ask(Duration::from_millis(50));
    assert_eq!(running.end().await.outcome, Outcome::Cancelled);
    assert!(!is_alive(parent) && pids.iter().all(|pid| !is_alive(*pid)));
}

#[tokio::test]
async fn threads_end_as_at_the_end_of_a_script() {
    let actions = actions();
    let pool = actions.pool().await;
    assert_eq!(call(&pool, "worker_thread").await.stdout(), ["late"]);
    let before = call(&pool, "own").await.value();
    call(&pool, "daemon_thread").await;
    let next = call(&pool, "look").await;
    assert_eq!(next.lines, [], "a thread of another attempt prints");
    assert_ne!(call(&pool, "own").await.value(), before);
    // A thread that was joined is no reason to replace anything.
    let before = call(&pool, "own").await.value();
    call(&pool, "joined_thread").await;
    assert_eq!(call(&pool, "own").await.value(), before);
}

#[tokio::test]
async fn directory_and_environment_are_restored() {
    let actions = actions();
    let pool = actions.pool().await;
    let before = call(&pool, "own").await.value();
    call(&pool, "move").await;
    assert_eq!(call(&pool, "look").await.value(), json!([false, false, true]));
    assert_eq!(call(&pool, "own").await.value(), before);
}

#[tokio::test]
async fn exit_handlers_of_an_attempt_run_after_it() {
    let actions = Actions::of(
        r#"
import atexit, functools, logging.handlers, tempfile
atexit.register(print, "of the file")
class Client:
    def __init__(self):
        self.closed = False
        atexit.register(self.close)
    def close(self):
        self.closed = True
        print("sent the rest")
@functools.lru_cache
def client(): return Client()
@action
def use():
    atexit.register(print, "last")
    forgotten = atexit.register(lambda: print("forgotten"))
    atexit.unregister(forgotten)
    assert not client().closed
    print("used")
    return "ok"
@action
def failing():
    @atexit.register
    def fail(): raise ValueError("of a handler")
    atexit.register(print, "first")
    raise RuntimeError("of the action")
@action
def copied():
    atexit.register(print, "once")
    return os.fork() == 0
@action
def lazily():
    import multiprocessing.util, weakref
    folder = tempfile.TemporaryDirectory()
    return os.getpid()
@action(isolation="fresh")
def fresh(): atexit.register(print, "fresh")
"#,
    );
    let pool = actions.pool().await;
    for _ in 0..2 {
        let ended = call(&pool, "use").await;
        assert_eq!(ended.value(), json!("ok"));
        assert_eq!(ended.stdout(), ["used", "sent the rest", "last"]);
    }
    let ended = call(&pool, "failing").await;
    assert_eq!(ended.failure().message, "of the action");
    assert_eq!(ended.stdout(), ["first"]);
    let words = ended.stream(tinpot_core::Stream::Stderr).join("\n");
    assert!(words.contains("atexit callback") && words.contains("of a handler"), "{words}");
    assert_eq!(call(&pool, "copied").await.stdout(), ["once"]);
    assert_eq!(call(&pool, "fresh").await.stdout(), ["fresh"]);
    // What a module registers while it is imported is no reason to replace anything.
    let own = call(&pool, "lazily").await;
    assert_eq!((own.stdout(), call(&pool, "lazily").await.value()), (vec![], own.value()));
}

#[tokio::test]
async fn multiprocessing_works() {
    let actions = actions();
    let pool = actions.pool().await;
    let ended = call(&pool, "spawned").await;
    assert_eq!(ended.value(), json!(0), "{:?}", ended.lines);
    assert_eq!(ended.stdout(), ["from a spawned process"]);
}
