//! Pools whose interpreters cannot start any more: they say so, take nothing, and recover.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tinpot_core::Outcome;
use tinpot_python::PythonPool;

use crate::support::{Actions, call, freeze, names, offer, start, until};

const ACTIONS: &str = "import tinpot
from helper import VALUE
@action
def crash(): os._exit(1)
@action
def hello(): return VALUE
@action
def pid(): return os.getpid()
@action
def length(text: str): return len(text)
@action
def where(): return os.getcwd()
@action
def package(): return os.path.dirname(os.path.dirname(tinpot.__file__))
@action
def written(): return open(os.path.join(current().tmpdir, 'x'), 'w').write('x')
@action(concurrency=5)
async def together(): return VALUE
";

fn actions() -> Actions {
    Actions::of(ACTIONS).file("helper.py", "VALUE = 'hello'\n")
}

async fn pool(actions: &Actions, python: Option<&Path>) -> Arc<PythonPool> {
    let mut builder = PythonPool::builder(actions.0.path()).size(1).spare(0);
    if let Some(python) = python {
        builder = builder.python(python);
    }
    Arc::new(builder.start().await.expect("a pool"))
}

/// A virtual environment that uses the interpreter of the tests.
fn environment(place: &Path) -> PathBuf {
    let path = place.join("environment");
    let mut command = Command::new("python3");
    let status = command.args(["-m", "venv", "--without-pip"]).arg(&path).status();
    assert!(status.expect("python3").success());
    path
}

#[tokio::test]
async fn deleted_working_directory_does_not_keep_interpreters_from_starting() {
    // The working directory is one per process: the program of the test is started once more.
    const VARIABLE: &str = "TINPOT_TEST_DELETED";
    if std::env::var_os(VARIABLE).is_some() {
        let actions = actions();
        // A path through the directory that will be deleted.
        let path = Path::new("..").join(actions.0.path().file_name().expect("a name"));
        let pool = PythonPool::builder(path).size(1).spare(0).start().await.expect("a pool");
        let pool = Arc::new(pool);
        std::fs::remove_dir(std::env::current_dir().expect("a directory")).expect("removed");
        // Also with the interpreter that is there.
        assert_eq!(call(&pool, "where").await.value(), json!(actions.0.path()));
        for _ in 0..2 {
            assert!(call(&pool, "crash").await.failure().message.contains("exit code 1"));
        }
        assert_eq!(call(&pool, "hello").await.value(), json!("hello"));
        assert_eq!(call(&pool, "where").await.value(), json!(actions.0.path()));
        assert_eq!(call(&pool, "together").await.value(), json!("hello"));
        let more = "from tinpot import action\n@action\ndef more(): pass\n";
        std::fs::write(actions.path("more.py"), more).expect("a file");
        until("the new file", || names(&offer(&pool)).contains(&"more")).await;
        assert_eq!(offer(&pool).load_errors, []);
        return;
    }
    let release = tempfile::tempdir().expect("a directory");
    let program = std::env::current_exe().expect("this program");
    let test = "healing::deleted_working_directory_does_not_keep_interpreters_from_starting";
    let mut command = Command::new(program);
    command.args([test, "--exact"]).current_dir(release.path()).env(VARIABLE, "1");
    let output = command.output().expect("the program of the test");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[tokio::test]
async fn attempt_that_a_dying_interpreter_did_not_read_runs_on_another() {
    let actions = actions();
    let pool = pool(&actions, None).await;
    for size in [10, 10_000_000] {
        let pid = call(&pool, "pid").await.value().as_i64().expect("a process id");
        let pid = Pid::from_raw(pid as i32).expect("a process id");
        freeze(pid).await;
        let running = start(&pool, "length", json!({"text": "x".repeat(size)}));
        // The request is sent as soon as the attempt has its turn.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        kill_process(pid, Signal::KILL).expect("a signal");
        assert_eq!(running.end().await.value(), json!(size));
    }
}

#[tokio::test]
async fn files_that_were_cleaned_away_are_unpacked_again() {
    let actions = actions();
    let pool = pool(&actions, None).await;
    let package = call(&pool, "package").await.value();
    let package = PathBuf::from(package.as_str().expect("a path"));
    for _ in 0..2 {
        std::fs::remove_dir_all(&package).expect("removed");
        call(&pool, "crash").await;
        assert_eq!(call(&pool, "hello").await.value(), json!("hello"));
        assert_eq!(call(&pool, "written").await.value(), json!(1));
        assert_eq!(call(&pool, "package").await.value(), json!(package));
    }
    // Changes are still followed.
    std::fs::write(actions.path("helper.py"), "VALUE = 'changed'\n").expect("a file");
    let changed = async {
        while call(&pool, "hello").await.value() != json!("changed") {
            tokio::task::yield_now().await;
        }
    };
    crate::support::within("the change", changed).await;
    // A single file is missed too.
    std::fs::remove_file(package.join("tinpot/_run.py")).expect("removed");
    call(&pool, "crash").await;
    assert_eq!(call(&pool, "hello").await.value(), json!("changed"));
}

#[tokio::test]
async fn attempts_are_given_back_while_the_interpreter_is_gone() {
    let actions = actions();
    let environment = environment(actions.0.path());
    let python = environment.join("bin/python");
    let target = std::fs::read_link(&python).expect("a link");
    let pool = pool(&actions, Some(&environment)).await;
    std::fs::remove_file(&python).expect("removed");
    assert!(call(&pool, "crash").await.failure().message.contains("exit code 1"));
    // This one waits for an interpreter, and does not start.
    for action in ["hello", "together"] {
        let ended = call(&pool, action).await;
        let reason = ended.outcome.reason_not_started();
        let reason = reason.unwrap_or_else(|| panic!("{action}: {:?}", ended.outcome));
        assert!(reason.contains("environment/bin/python"), "{reason}");
    }
    until("an offer of nothing", || offer(&pool).actions.is_empty()).await;
    let blocked = offer(&pool).load_errors[0].clone();
    assert!(blocked.blocking && blocked.message.contains("no Python interpreter starts"));
    assert!(blocked.message.contains("environment/bin/python"), "{}", blocked.message);
    symlink(target, &python).expect("a link");
    until("the offer", || names(&offer(&pool)).contains(&"hello")).await;
    assert_eq!(offer(&pool).load_errors, []);
    assert_eq!(call(&pool, "hello").await.value(), json!("hello"));
    assert_eq!(call(&pool, "together").await.value(), json!("hello"));
}

#[tokio::test]
async fn interpreter_that_was_moved_is_found_again() {
    // A shim leads to an interpreter, and to another one later, as after an upgrade.
    let actions = actions();
    let place = tempfile::tempdir().expect("a directory");
    let (first, second) = (place.path().join("1"), place.path().join("2"));
    for one in [&first, &second] {
        std::fs::create_dir(one).expect("a directory");
    }
    let (first, second) = (environment(&first), environment(&second));
    let shim = place.path().join("python");
    let lead_to = |environment: &Path| {
        let text = format!("#!/bin/sh\nexec {}/bin/python \"$@\"\n", environment.display());
        std::fs::write(&shim, text).expect("a file");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&shim, mode).expect("permissions");
    };
    lead_to(&first);
    let pool = pool(&actions, Some(&shim)).await;
    std::fs::remove_dir_all(&first).expect("removed");
    lead_to(&second);
    call(&pool, "crash").await;
    let ended = call(&pool, "hello").await;
    assert!(matches!(ended.outcome, Outcome::Succeeded(_)), "{:?}", ended.outcome);
}

#[tokio::test]
async fn attempts_are_given_back_while_a_library_is_gone() {
    let library = Actions::new().file("corp.py", "VALUE = 'hello'\n");
    let actions = Actions::of("@action\ndef crash(): os._exit(1)\n").file(
        "uses.py",
        "import corp\nfrom tinpot import action\n@action\ndef uses(): return corp.VALUE\n\
         @action(concurrency=5)\nasync def together(): return corp.VALUE\n",
    );
    let builder = PythonPool::builder(actions.0.path()).size(1).spare(0);
    let builder = builder.env("PYTHONPATH", library.0.path());
    let pool = Arc::new(builder.start().await.expect("a pool"));
    std::fs::rename(library.path("corp.py"), library.path("corp.txt")).expect("renamed");
    for action in ["crash", "uses", "together", "uses", "together"] {
        let ended = call(&pool, action).await;
        let reason = ended.outcome.reason_not_started();
        assert_eq!(reason.is_none(), action == "crash", "{action}: {:?}", ended.outcome);
        assert!(reason.is_none_or(|reason| reason.contains("No module named 'corp'")));
    }
    std::fs::rename(library.path("corp.txt"), library.path("corp.py")).expect("renamed");
    for action in ["uses", "together"] {
        let value = async {
            loop {
                // An interpreter may have been started before.
                let ended = call(&pool, action).await;
                if ended.outcome.reason_not_started().is_none() {
                    break ended.value();
                }
            }
        };
        assert_eq!(crate::support::within(action, value).await, json!("hello"));
    }
}
