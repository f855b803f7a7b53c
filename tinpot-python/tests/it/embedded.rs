//! The executor in the worker's own process.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::StreamExt;
use serde_json::json;
use tinpot_core::{Backoff, ErrorKind, Outcome, RetryPolicy};
use tinpot_python::PythonExecutor;

use crate::support::{
    AMPLE, Actions, SWALLOWING, call, is_alive, names, offer, requests_are_not_lost, start, until,
    within,
};

async fn executor(actions: &Actions) -> Arc<PythonExecutor> {
    Arc::new(PythonExecutor::builder(actions.0.path()).start().await.expect("an executor"))
}

/// The variable with the virtual environment for a test that needs a process of its own.
const VENV: &str = "TINPOT_TEST_VENV";
/// The interpreter that belongs to the embedded one.
const EMBEDDED: Option<&str> = option_env!("TINPOT_EMBED_PYTHON");

#[test]
fn interpreter_starts_in_the_environment_that_is_named() {
    let Some(python) = EMBEDDED else { return };
    let venv = tempfile::tempdir().expect("a directory");
    let venv = venv.path().canonicalize().expect("a directory");
    let mut make = Command::new(python);
    make.args(["-m", "venv", "--without-pip"]).arg(&venv);
    assert!(make.status().expect("python").success());
    let lib = std::fs::read_dir(venv.join("lib")).expect("a directory").flatten().next();
    let packages = lib.expect("a version").path().join("site-packages");
    std::fs::create_dir(venv.join("more")).expect("a directory");
    std::fs::write(venv.join("more/of_path.py"), "").expect("a file");
    let count = "import sys; sys.runs = getattr(sys, 'runs', 0) + 1";
    let text = format!("{}/more\n{count}\n", venv.display());
    std::fs::write(packages.join("more.pth"), text).expect("a file");
    let mut own = Command::new(std::env::current_exe().expect("a path"));
    own.args(["--exact", "embedded::in_a_process_of_its_own", "--nocapture"]).env(VENV, &venv);
    let output = own.output().expect("a process");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

/// Runs in a process that [`interpreter_starts_in_the_environment_that_is_named`] starts.
#[tokio::test]
#[allow(unsafe_code, reason = "the handler of a program in C")]
async fn in_a_process_of_its_own() {
    let Some(venv) = std::env::var_os(VENV) else { return };
    // Python would take SIGINT, which has no handler here, and the file the others.
    let taken = 1 << (libc::SIGINT - 1) | 1 << (libc::SIGTERM - 1) | 1 << (libc::SIGHUP - 1);
    let caught = || {
        let status = std::fs::read_to_string("/proc/self/status").expect("a status");
        let line = status.lines().find(|line| line.starts_with("SigCgt:")).map(str::to_owned);
        let all = u64::from_str_radix(line.expect("a line")[7..].trim(), 16);
        all.expect("a number") & taken
    };
    static TERMINATED: AtomicBool = AtomicBool::new(false);
    extern "C" fn note(_: libc::c_int) {
        TERMINATED.store(true, Ordering::Release);
    }
    let note = note as extern "C" fn(libc::c_int);
    // SAFETY: The handler only writes to memory.
    unsafe { libc::signal(libc::SIGTERM, note as libc::sighandler_t) };
    let before = caught();
    let actions = Actions::of(
        r#"
import multiprocessing, signal, subprocess, of_path
signal.signal(signal.SIGTERM, lambda *_: None)
signal.signal(signal.SIGHUP, lambda *_: None)
@action
def where():
    code = "import sys; print(sys.prefix, sys.runs)"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    prefix, runs = other.stdout.split()
    # CPython runs such a file twice in an environment.
    return [sys.prefix, sys.executable, prefix, of_path.__file__, sys.runs - int(runs)]
@action
def spawned():
    spawn = multiprocessing.get_context("spawn")
    with spawn.Pool(1) as pool: return pool.map(abs, [-3])
"#,
    );
    let builder = PythonExecutor::builder(actions.0.path()).python(&venv);
    let executor = Arc::new(builder.start().await.expect("an executor"));
    let venv = std::path::Path::new(&venv);
    let expected = json!([venv, venv.join("bin/python"), venv, venv.join("more/of_path.py"), 0]);
    assert_eq!(call(&executor, "where").await.value(), expected);
    assert_eq!(call(&executor, "spawned").await.value(), json!([3]));
    assert_eq!(caught(), before, "the handlers of the program stay");
    let own = rustix::process::getpid();
    rustix::process::kill_process(own, rustix::process::Signal::TERM).expect("a signal");
    until("the program's own handler", || TERMINATED.load(Ordering::Acquire)).await;
}

#[tokio::test]
async fn interpreter_of_another_version_is_refused_before_the_start() {
    let actions = Actions::of("@action\ndef job(): return 1\n");
    let fake = |name: &str, version: &str, abi: &str| {
        let hex = |text: &str| text.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
        let path = actions.path(name);
        let says = format!(
            r#"{{"version":[{version}],"executable":"{}","abi":"{}","prefix":"2f","path":[],"sites":[]}}"#,
            hex(path.to_str().expect("a path")),
            hex(abi)
        );
        std::fs::write(&path, format!("#!/bin/sh\necho \"$3\"'{says}'\n")).expect("a file");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&path, mode).expect("permissions");
        path
    };
    let mut own = "import sys; print('%d.%d' % sys.version_info[:2])".to_owned();
    if let Some(python) = EMBEDDED {
        let output = Command::new(python).args(["-c", &own]).output().expect("python");
        own = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    }
    let other_abi = fake(
        "other_abi",
        &format!("{}, 0", own.replace('.', ",")),
        "cpython-311td-x86_64-linux-gnu",
    );
    let newer = fake("newer", "3, 99, 0", "cpython-399-x86_64-linux-gnu");
    for (python, parts) in [
        (&newer, &["is Python 3.99 (cpython-399-x86_64-linux-gnu); this program embeds 3."][..]),
        (&other_abi, &["(cpython-311td-x86_64-linux-gnu); this program embeds"]),
    ] {
        if python == &other_abi && EMBEDDED.is_none() {
            continue;
        }
        let refused = PythonExecutor::builder(actions.0.path()).python(python).start().await;
        let error = refused.expect_err("no executor");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        let build = format!("or build with PYO3_PYTHON={}", python.display());
        for part in parts.iter().chain(&["without --in-process", build.as_str()]) {
            assert!(error.to_string().contains(part), "{part}: {error}");
        }
    }
    // Another one may be used afterwards.
    assert_eq!(call(&executor(&actions).await, "job").await.value(), json!(1));
}

#[tokio::test]
async fn prints_of_threads_and_coroutines_belong_to_the_attempt() {
    let actions = Actions::of(
        r#"
import asyncio
@action
def in_a_thread():
    t = threading.Thread(target=lambda: print("from a thread")); t.start(); t.join()
    sys.stdout.buffer.write(b"bytes\n")
    print("no end", end="")
@action
async def coroutine():
    async def part(i): print("part", i)
    await asyncio.gather(part(1), part(2))
    print("error", file=sys.stderr)
"#,
    );
    let executor = executor(&actions).await;
    assert_eq!(call(&executor, "in_a_thread").await.stdout(), ["from a thread", "bytes", "no end"]);
    let ended = call(&executor, "coroutine").await;
    assert_eq!(ended.stdout(), ["part 1", "part 2"]);
    assert_eq!(ended.stream(tinpot_core::Stream::Stderr), ["error"]);
}

#[tokio::test]
async fn unfinished_line_is_shown_in_process_too() {
    let actions = Actions::of(
        r#"
GO = os.path.join(os.path.dirname(__file__), "go")
@action
def meter():
    print("\r10%\r20%", end="", flush=True)
    while not os.path.exists(GO): time.sleep(0.005)
    print("\r100%")
"#,
    );
    let executor = executor(&actions).await;
    let running = start(&executor, "meter", json!({}));
    running.until_progress((0.0, None, "20%")).await;
    std::fs::write(actions.path("go"), "").expect("a file");
    let ended = running.end().await;
    assert_eq!(ended.stdout(), ["100%"]);
    assert_eq!(ended.progress.expect("progress").message, "");
}

#[tokio::test]
async fn coroutine_and_command_can_be_stopped() {
    let actions = Actions::of(
        r#"
import asyncio
HERE = os.path.dirname(__file__)
@action
async def coroutine():
    open(os.path.join(HERE, "coroutine"), "w")
    try: await asyncio.sleep(1000)
    finally: print("cleaned")
@action
def command():
    open(os.path.join(HERE, "command"), "w")
    run_command("sh -c 'echo $$ > %s/pid; exec sleep 1000'" % HERE)
"#,
    );
    let executor = executor(&actions).await;
    // The command notes its process id: it has to be gone, even when it was just being started.
    for (action, last) in [("coroutine", "cleaned"), ("command", "$ sh")] {
        let running = start(&executor, action, json!({}));
        until("its start", || actions.path(action).exists()).await;
        running.ask(AMPLE);
        let ended = running.end().await;
        assert_eq!(ended.outcome, Outcome::Cancelled);
        // The command may be stopped before it is printed; the coroutine can always clean up.
        let first = ended.stdout().first().is_none_or(|line| line.starts_with(last));
        assert!(first && (action == "command" || !ended.lines.is_empty()), "{:?}", ended.lines);
    }
    let pid = std::fs::read_to_string(actions.path("pid")).unwrap_or_default();
    let pid = pid.trim().parse().ok().and_then(rustix::process::Pid::from_raw);
    until("its end", || !pid.is_some_and(is_alive)).await;
}

#[tokio::test]
async fn request_to_end_is_not_lost_in_a_destructor() {
    let actions = Actions::of(SWALLOWING);
    requests_are_not_lost(&executor(&actions).await).await;
}

#[tokio::test]
async fn request_to_end_never_reaches_the_next_attempt() {
    let actions = Actions::of("@action\ndef short(): return 1\n");
    let builder = PythonExecutor::builder(actions.0.path()).size(1);
    let executor = Arc::new(builder.start().await.expect("an executor"));
    for _ in 0..300 {
        let running = start(&executor, "short", json!({}));
        tokio::task::yield_now().await;
        running.ask(Duration::ZERO);
        let outcome = running.end().await.outcome;
        assert!(matches!(outcome, Outcome::Cancelled | Outcome::Succeeded(_)), "{outcome:?}");
        assert_eq!(call(&executor, "short").await.value(), json!(1));
    }
}

#[tokio::test]
async fn directories_do_not_meet() {
    let text = "from tinpot import action\n@action\ndef job(): return 'NAME'\n";
    let first = Actions::new().file("same.py", &text.replace("NAME", "first"));
    let second = Actions::new().file("same.py", &text.replace("NAME", "second"));
    let (first, second) = (executor(&first).await, executor(&second).await);
    assert_eq!((names(&offer(&first)), names(&offer(&second))), (vec!["job"], vec!["job"]));
    assert_eq!(call(&first, "job").await.value(), json!("first"));
    assert_eq!(call(&second, "job").await.value(), json!("second"));
}

#[tokio::test]
async fn import_that_hangs_is_bounded_and_named() {
    let actions = Actions::new().file("hangs.py", "import time\ntime.sleep(3)\n");
    let builder = PythonExecutor::builder(actions.0.path());
    let error = builder.import_timeout(Duration::from_millis(300)).start().await;
    let error = error.expect_err("no executor");
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert!(error.to_string().contains("hangs.py"), "{error}");
}

#[tokio::test]
async fn options_of_the_decorator_are_offered_and_wrong_ones_named() {
    let actions = Actions::of(
        "@action(priority=7, delay=1.5, expires_in=60, retries=2, retry_delay=3, max_lost_attempts=2)\ndef eager(): return 1\n",
    )
    .file("wrong.py", "from tinpot import action\n@action(delay=-1)\ndef wrong(): pass\n");
    let executor = executor(&actions).await;
    let offer = offer(&executor);
    let [eager] = &offer.actions[..] else { panic!("{:?}", names(&offer)) };
    assert_eq!((eager.priority, eager.delay), (7, Some(Duration::from_millis(1500))));
    assert_eq!(eager.expires_in, Some(Duration::from_secs(60)));
    let backoff = Backoff::exponential(Duration::from_secs(3));
    assert_eq!(eager.retry, RetryPolicy::new(2, backoff).max_lost_attempts(2));
    let [problem] = &offer.load_errors[..] else { panic!("{:?}", offer.load_errors) };
    assert_eq!(problem.place, "wrong.py");
    assert!(problem.message.contains("wrong.py\", line 2"), "{}", problem.message);
    assert!(
        problem.message.contains("delay must be 0 seconds or more, not -1"),
        "{}",
        problem.message
    );
    assert_eq!(call(&executor, "eager").await.value(), json!(1));
}

#[tokio::test]
async fn steps_levels_and_calls_work_in_process_on_one_slot() {
    let actions = Actions::of(
        r#"
import logging
@action
def double(number: int): return number * 2
@action
def parent(ctx: Context, number: int):
    with ctx.step("think"):
        print("thinking")
        ctx.warning("hard", number=number)
    assert double(2) == 4
    try:
        ctx.call("nothing")
    except ActionError as error:
        print(error.kind)
    return ctx.call("double", number=number) + double.submit(number=1).result()
"#,
    );
    let executor = PythonExecutor::builder(actions.0.path()).size(1).start().await;
    let network = tinpot_core::MemoryNetwork::new();
    let coordinator = tinpot_core::Coordinator::builder(network.transport()).start().await;
    let coordinator = coordinator.expect("a coordinator");
    let worker = tinpot_core::Worker::builder(network.transport());
    let worker = worker.executor(executor.expect("an executor")).slots(1).start().await;
    let _worker = worker.expect("a worker");
    let mut catalogue = coordinator.watch_catalogue();
    let there =
        catalogue.wait_for(|known| known.get("parent").is_some_and(|entry| entry.available));
    within("the actions", there).await.expect("a catalogue");
    let parameters = tinpot_core::Json::serialize(&json!({"number": 20})).expect("JSON");
    let handle = coordinator.submit("parent", parameters).options(Default::default()).await;
    let handle = handle.expect("accepted");
    let outcome = within("an outcome", handle.outcome()).await.expect("an outcome");
    assert_eq!(outcome.value().map(tinpot_core::Json::as_str), Some("42"), "{outcome:?}");
    let events = handle.events(0).collect::<Vec<_>>();
    let mut told = Vec::new();
    for event in within("the log", events).await {
        if let tinpot_core::Event::Logs(chunk) = event {
            let span = chunk.span.map_or(0, |span| span.number);
            let level = chunk.level;
            let lines = chunk.lines.iter().filter(|_| chunk.stream.is_text());
            told.extend(lines.map(|line| format!("{level:?} {span} {line}")));
        }
    }
    assert_eq!(told, ["Info 1 thinking", "Warning 1 hard", "Info 0 NotFound"]);
}
