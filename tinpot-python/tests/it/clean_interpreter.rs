//! Changes that an attempt makes in its process do not reach the next one.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Value, json};
use tinpot_core::{Executor, Outcome, Stream};
use tinpot_python::PythonPool;

use crate::support::{AMPLE, Actions, Ended, call, offer, start};

/// Actions that change what a process has once, and for each the action that would notice.
const PAIRS: &[(&str, &str)] = &[
    ("close_loop", "use_loop"),
    ("coroutine", "use_loop"),
    ("running_loop", "use_loop"),
    ("policy", "use_loop"),
    ("alarm", "nap"),
    ("interval", "nap"),
    ("interval_with_handler", "nap"),
    ("profile_timer", "burn"),
    ("dump_later", "nap"),
    ("utf8", "plain"),
    ("open_again", "plain"),
    ("silence", "plain"),
    ("closed", "report"),
    ("closed_stderr", "plain"),
    ("detached", "plain"),
    ("configured", "lines"),
    ("tee", "plain"),
    ("nonblocking", "lines"),
    ("closed_stdin", "read"),
    ("stdin_descriptor", "read"),
    ("handler", "log_once"),
    ("configure_logging", "log_once"),
    ("disable_logging", "log_once"),
    ("levels", "log_once"),
    ("no_propagation", "log_once"),
    ("level_of_root", "log_debug"),
    ("errors", "warn"),
    ("warn", "warn"),
    ("own_showwarning", "warn"),
    ("umask", "mode"),
    ("zone", "hour"),
    ("decimals", "invoice"),
    ("other_decimals", "invoice"),
    ("context_variable", "variable"),
    ("timeout", "limits"),
    ("recursion", "limits"),
    ("rlimits", "limits"),
    ("be_nice", "limits"),
    ("one_processor", "limits"),
    ("profile", "hooks"),
    ("hooked", "hooks"),
    ("handlers", "signals"),
    ("masked", "signals"),
    ("arguments", "arguments_are"),
    ("paths", "arguments_are"),
    ("built", "shout"),
    ("patch", "shout"),
    ("forget", "shout"),
    ("replace_modules", "shout"),
    ("collect", "collector"),
    ("locales", "locale_is"),
    ("move_away", "folder"),
    ("gone", "folder"),
    ("environment", "variables"),
    ("start_method", "start_method"),
    ("temporary", "temporary_is"),
    ("import_again", "modules_are"),
    ("stop_clock", "clock"),
    ("default_decimals", "invoice"),
    ("debug", "debugged"),
    ("put_variables", "variables_of_c"),
    ("real_time_signal", "real_time_signal_is"),
    ("hoard", "open_many"),
];

fn actions() -> Actions {
    Actions::new().file("actions.py", include_str!("clean_interpreter.py"))
}

/// The outside of an attempt: its result, its error and its log.
fn seen(ended: &Ended) -> (Option<Value>, String, Vec<String>) {
    let mut lines: Vec<_> =
        ended.lines.iter().map(|(stream, line)| format!("{stream:?}: {line}")).collect();
    // The order between two streams is a matter of chance.
    lines.sort_by_key(|line| line.find(':').map(|end| line[..end].to_owned()));
    match &ended.outcome {
        Outcome::Succeeded(value) => (value.deserialize().ok(), String::new(), lines),
        other => (None, format!("{other:?}"), lines),
    }
}

#[tokio::test]
async fn innocent_action_after_a_hostile_one_shows_what_it_shows_alone() {
    let actions = actions();
    let pool = actions.pool().await;
    let mut alone = HashMap::new();
    for (hostile, innocent) in PAIRS {
        call(&pool, hostile).await;
        let after = seen(&call(&pool, innocent).await);
        if !alone.contains_key(innocent) {
            // In an interpreter that ran nothing before.
            alone.insert(innocent, seen(&call(&actions.pool().await, innocent).await));
        }
        assert_eq!(&after, &alone[innocent], "{innocent} after {hostile}");
    }
}

/// Runs two hostile actions by chance before each innocent one. A failure prints the seed: set it
/// as `TINPOT_SEED` to run the same again.
#[tokio::test]
async fn innocent_action_after_hostile_ones_by_chance_shows_what_it_shows_alone() {
    let seed = std::env::var("TINPOT_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| uuid::Uuid::new_v4().as_u64_pair().0);
    println!("TINPOT_SEED={seed}");
    let mut state = seed;
    let mut pick = || {
        // Knuth's linear congruential generator, whose high bits are good enough here.
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        PAIRS[(state >> 33) as usize % PAIRS.len()]
    };
    let actions = actions();
    let pool = actions.pool().await;
    let mut alone = HashMap::new();
    for _ in 0..60 {
        let ((first, _), (second, _), (_, innocent)) = (pick(), pick(), pick());
        for hostile in [first, second] {
            call(&pool, hostile).await;
        }
        let after = seen(&call(&pool, innocent).await);
        if !alone.contains_key(innocent) {
            alone.insert(innocent, seen(&call(&actions.pool().await, innocent).await));
        }
        let how = format!("{innocent} after {first} and {second}, TINPOT_SEED={seed}");
        assert_eq!(after, alone[innocent], "{how}");
    }
}

#[tokio::test]
async fn interpreter_whose_changes_are_put_back_is_used_again() {
    let actions = actions();
    let pool = actions.pool().await;
    let before = call(&pool, "own").await.value();
    // These are replaced.
    let spent = ["interval_with_handler", "hoard"];
    for (hostile, _) in PAIRS.iter().filter(|(hostile, _)| !spent.contains(hostile)) {
        call(&pool, hostile).await;
        assert_eq!(call(&pool, "own").await.value(), before, "after {hostile}");
    }
}

#[tokio::test]
async fn interpreter_whose_changes_cannot_be_put_back_is_replaced() {
    let actions = Actions::of(
        r#"
@action
def give_up_rights():
    if os.geteuid() == 0: os.setegid(65534)
    else: os.nice(1)
@action
def close_loop():
    import asyncio
    asyncio.get_event_loop_policy().get_event_loop().close()
@action
def look():
    return [os.getegid(), os.nice(0)]
@action
def own(): return os.getpid()
import asyncio
asyncio.set_event_loop(asyncio.new_event_loop())
"#,
    );
    let pool = actions.pool().await;
    let first = call(&pool, "look").await.value();
    for hostile in ["give_up_rights", "close_loop"] {
        let before = call(&pool, "own").await.value();
        call(&pool, hostile).await.value();
        assert_eq!(call(&pool, "look").await.value(), first, "after {hostile}");
        assert_ne!(call(&pool, "own").await.value(), before, "after {hostile}");
    }
}

#[tokio::test]
async fn file_sees_its_own_changes_and_those_that_it_imports_but_no_others() {
    let actions = Actions::new()
        .file(
            "a.py",
            r#"
import locale, logging, os, signal, socket, sys, time, warnings
from tinpot import action
os.chdir("/")
os.environ["DATABASE"] = "a"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ["TZ"] = "Asia/Tokyo"
time.tzset()
logging.basicConfig(level=logging.DEBUG, format="a: %(message)s")
warnings.simplefilter("ignore")
socket.setdefaulttimeout(7)
sys.setrecursionlimit(2000)
os.umask(0o77)
sys.argv = ["a"]
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
@action
def of_a():
    import _view
    logging.debug("from a")
    return _view.now()
"#,
        )
        .file(
            "_view.py",
            r#"
import os, socket, sys, time, warnings, logging
def now():
    mask = os.umask(0); os.umask(mask)
    return [os.getcwd() == "/", os.environ.get("DATABASE"), os.environ.get("TOKENIZERS_PARALLELISM"),
        time.localtime(0).tm_hour, logging.root.level, bool(warnings.filters[0][2] is Warning),
        socket.getdefaulttimeout(), sys.getrecursionlimit(), mask, sys.argv == ["a"]]
"#,
        )
        .file(
            "b.py",
            r#"
import logging, os
from tinpot import action
AT_TOP = [os.getcwd() == "/", os.environ.get("DATABASE")]
@action
def of_b():
    import _view
    logging.debug("not shown")
    logging.info("from b")
    return [AT_TOP, _view.now()]
@action
def nap():
    import time
    print("ready")
    time.sleep(1000)
"#,
        )
        .file("_common.py", "import logging, os\nos.environ['DATABASE'] = 'common'\n")
        .file(
            "c.py",
            r#"
import os
from tinpot import action
import _common
@action
def of_c(): return os.environ.get("DATABASE")
"#,
        )
        .file(
            "d.py",
            r#"
import os
from tinpot import action
from _common import os
AT_TOP = os.environ.get("DATABASE")
@action
def of_d(): return [AT_TOP, os.environ.get("DATABASE")]
"#,
        )
        .file("settings.py", "import os\nos.environ['SETTINGS'] = 'set'\n")
        .file(
            "e.py",
            r#"
import os
from tinpot import action
os.environ["DATABASE"] = "e"
@action
def of_e():
    import settings
    return [os.environ.get("DATABASE"), os.environ.get("SETTINGS")]
"#,
        );
    for reload in [true, false] {
        let builder = PythonPool::builder(actions.0.path()).size(1).spare(0).reload(reload);
        let pool = Arc::new(builder.env("TZ", "UTC").start().await.expect("a pool"));
        assert_eq!(offer(&pool).load_errors, []);
        let of_a = json!([true, "a", "false", 9, 10, true, 7.0, 2000, 0o77, true]);
        let of_b =
            json!([[false, null], [false, null, null, 0, 20, false, null, 1000, 0o22, false]]);
        for _ in 0..2 {
            let a = call(&pool, "of_a").await;
            assert_eq!((a.value(), a.stream(Stream::Stderr)), (of_a.clone(), vec![]));
            assert_eq!(a.lines.iter().map(|(_, line)| &**line).collect::<Vec<_>>(), ["a: from a"]);
            let b = call(&pool, "of_b").await;
            assert_eq!(b.value(), of_b);
            assert_eq!(b.lines.iter().map(|(_, line)| &**line).collect::<Vec<_>>(), ["from b"]);
            assert_eq!(call(&pool, "of_c").await.value(), json!("common"));
            assert_eq!(call(&pool, "of_e").await.value(), json!(["e", "set"]));
            assert_eq!(call(&pool, "of_d").await.value(), json!(["common", "common"]));
        }
        // The first file has a handler of SIGTERM, which is not that of this attempt.
        let running = start(&pool, "nap", json!({}));
        running.until_line("ready").await;
        running.ask(AMPLE);
        assert_eq!(running.end().await.outcome, Outcome::Cancelled);
        pool.close().await.expect("an end");
    }
}

#[tokio::test]
async fn stop_ends_as_cancelled_whatever_exception_came() {
    let actions = Actions::of(
        r#"
def wait():
    print("ready")
    time.sleep(1000)
@action
def exits(code: int):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(code))
    wait()
@action
def fails():
    try: wait()
    except Cancelled: raise ValueError("while cleaning up") from None
@action
def ends():
    try: wait()
    except Cancelled: return "done after all"
@action
def killed(): 
    signal.signal(signal.SIGTERM, lambda *_: os.abort())
    wait()
"#,
    );
    let pool = actions.pool().await;
    let cases = [
        ("exits", json!({"code": 0}), Outcome::Cancelled),
        ("exits", json!({"code": 3}), Outcome::Cancelled),
        ("fails", json!({}), Outcome::Cancelled),
        ("killed", json!({}), Outcome::Cancelled),
    ];
    for (action, parameters, outcome) in cases {
        let running = start(&pool, action, parameters);
        running.until_line("ready").await;
        running.ask(AMPLE);
        assert_eq!(running.end().await.outcome, outcome, "{action}");
    }
    let running = start(&pool, "ends", json!({}));
    running.until_line("ready").await;
    running.ask(AMPLE);
    assert_eq!(running.end().await.value(), json!("done after all"));
}

#[tokio::test]
async fn crash_by_an_own_timer_names_it() {
    let actions = Actions::of(
        r#"
@action
def ring():
    signal.setitimer(signal.ITIMER_REAL, 0.001)
    time.sleep(1000)
"#,
    );
    let ended = call(&actions.pool().await, "ring").await;
    let message = &ended.failure().message;
    assert!(message.contains("SIGALRM") && message.contains("set a timer"), "{message}");
}
