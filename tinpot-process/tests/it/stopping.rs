//! Attempts that are asked to end, in every state.

use std::time::Duration;

use serde_json::json;
use tinpot_core::{Executor, Outcome};

use crate::support::{AMPLE, Apps, MODES, call, is_alive, start};

/// Starts processes that do not want to die, and notes all of them in the file `pids`.
const STUBBORN: &str = r#"
import os, signal, subprocess, sys, time
note = os.environ["note"]
def begin(name):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with open(note, "a") as f:
        f.write("%d\n" % os.getpid())
def live():
    while True:
        time.sleep(0.05)
def daemon():
    # A double fork into a session of its own, without the environment.
    if os.fork():
        os.wait()
        return
    os.setsid()
    if os.fork():
        os._exit(0)
    os.execve(sys.executable, [sys.executable, "-S", "-c",
        "import os, signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "open(%r, 'a').write('%%d\\n' %% os.getpid())\nwhile True: time.sleep(0.05)" % note], {})
def child():
    if os.fork() == 0:
        begin("child")
        live()
"#;

fn stubborn(end: &str) -> Apps {
    Apps::python("stubborn", &format!("{STUBBORN}\nbegin('main')\nchild()\ndaemon()\n{end}\n"))
}

#[tokio::test]
async fn nothing_survives_a_stop() {
    for mode in MODES {
        let apps = stubborn("print('ready', flush=True)\nlive()");
        let executor = apps.start_in(mode).await;
        let running = start(&executor, "stubborn", json!({ "note": apps.path("pids") }));
        running.until_line("ready").await;
        let pids = apps.pids("pids", 3).await;
        running.ask(Duration::from_millis(200));
        let ended = running.end().await;
        assert_eq!(ended.outcome, Outcome::Cancelled, "{mode}");
        assert!(!pids.iter().any(|pid| is_alive(*pid)), "{mode}");
    }
}

#[tokio::test]
async fn nothing_survives_the_end_of_the_program() {
    for mode in MODES {
        // The daemon has noted its id before the program ends.
        let wait = "while len(open(note).readlines()) < 3: time.sleep(0.01)";
        let apps = stubborn(wait);
        let executor = apps.start_in(mode).await;
        let ended = start(&executor, "stubborn", json!({ "note": apps.path("pids") })).end().await;
        assert_eq!(ended.value(), json!(null), "{mode}");
        let pids = apps.pids("pids", 3).await;
        assert!(!pids.iter().any(|pid| is_alive(*pid)), "{mode}");
    }
}

#[tokio::test]
async fn the_death_of_the_supervisor_does_not_free_the_program() {
    for mode in MODES {
        let apps = Apps::shell(
            "killer",
            "echo $$ >> $note; sleep 600 & echo $! >> $note; kill -9 $PPID; sleep 600\n",
        );
        let executor = apps.start_in(mode).await;
        let ended = start(&executor, "killer", json!({ "note": apps.path("pids") })).end().await;
        assert!(ended.failure().message.contains("supervisor"), "{mode}: {:?}", ended.failure());
        let pids = apps.pids("pids", 2).await;
        assert!(!pids.iter().any(|pid| is_alive(*pid)), "{mode}");
    }
}

#[tokio::test]
async fn a_stop_at_any_moment_ends_the_attempt() {
    let apps = Apps::python("sleeper", "import time\ntime.sleep(600)\n");
    let executor = apps.start().await;
    // The set-up of the environment, its end, and the program are hit at different moments.
    for pause in [0, 1, 2, 5, 10, 20, 40, 80, 160, 320] {
        let running = start(&executor, "sleeper", json!({}));
        tokio::time::sleep(Duration::from_millis(pause)).await;
        running.ask(AMPLE);
        assert_eq!(running.end().await.outcome, Outcome::Cancelled, "after {pause} ms");
    }
}

#[tokio::test]
async fn a_program_that_goes_on_after_a_stop_counts_by_its_result() {
    let script = "trap ':' TERM; echo ready; sleep 0.3; sleep 0.3; $MORE exit 0\n";
    let apps = Apps::new()
        .app("with-result", "main.sh", "", &script.replace("$MORE", "echo 7 > $TINPOT_RESULT;"))
        .app("without", "main.sh", "", &script.replace("$MORE", ""));
    let executor = apps.start().await;
    for (action, expected) in [("with-result", Some("7")), ("without", None)] {
        let running = start(&executor, action, json!({}));
        running.until_line("ready").await;
        running.ask(AMPLE);
        let outcome = running.end().await.outcome;
        assert_eq!(outcome.value().map(|value| value.as_str()), expected, "{action}: {outcome:?}");
    }
}

#[tokio::test]
async fn close_ends_everything() {
    let apps = stubborn("print('ready', flush=True)\nlive()");
    let executor = apps.start().await;
    let running = start(&executor, "stubborn", json!({ "note": apps.path("pids") }));
    running.until_line("ready").await;
    let pids = apps.pids("pids", 3).await;
    executor.close().await.expect("closed");
    assert!(!pids.iter().any(|pid| is_alive(*pid)));
    assert!(running.end().await.failure().message.contains("closed"));
    assert!(call(&executor, "stubborn").await.failure().message.contains("closed"));
}

#[tokio::test]
async fn a_fork_bomb_ends_with_its_attempt() {
    let apps = Apps::shell("bomb", "f() { sleep 0.01; f & f & wait; }\necho ready\nf\n");
    let executor = apps.start().await;
    let running = start(&executor, "bomb", json!({}));
    running.until_line("ready").await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    running.ask(Duration::ZERO);
    assert_eq!(running.end().await.outcome, Outcome::Cancelled);
}
