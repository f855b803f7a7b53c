//! The interpreters of a pool, and the processes that keep their number.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tinpot_core::{ErrorKind, Executor, Outcome};
use tinpot_python::PythonPool;

use crate::support::{Actions, call, is_alive, start, until};

const WHO: &str = "@action\ndef who(): return [sys.prefix, os.getpid(), os.environ.get('MARK')]\n";

fn script(actions: &Actions, name: &str, text: &str) -> std::path::PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let path = actions.path(name);
    std::fs::write(&path, format!("#!/bin/sh\n{text}")).expect("a file");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("permissions");
    path
}

async fn refused(actions: &Actions, python: &Path) -> tinpot_core::Error {
    PythonPool::builder(actions.0.path()).python(python).start().await.expect_err("no pool")
}

#[tokio::test]
async fn interpreter_that_will_not_do_is_named() {
    let actions = Actions::of(WHO);
    let old = script(
        &actions,
        "python2.7",
        r#"echo "$3"'{"version":[2,7,18],"executable":"2f78","prefix":"2f","path":[],"sites":[]}'"#,
    );
    let mute = script(&actions, "not-python", "echo hello; exit 1");
    for (python, part) in [
        (Path::new("/no/such/python"), "/no/such/python"),
        (&*mute, "not a Python interpreter"),
        (&*mute, "hello"),
        (&*old, "must be Python 3.9 or newer (got 2.7.18)"),
    ] {
        let error = refused(&actions, python).await;
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[tokio::test]
async fn virtual_environment_is_used() {
    let actions = Actions::of(WHO);
    let venv = tempfile::tempdir().expect("a directory");
    let mut make = Command::new("python3");
    make.args(["-m", "venv", "--without-pip"]).arg(venv.path());
    assert!(make.status().expect("python3").success());
    for python in [venv.path().to_owned(), venv.path().join("bin/python")] {
        let builder = PythonPool::builder(actions.0.path()).python(python).size(1).spare(0);
        let pool = Arc::new(builder.env("MARK", "here").start().await.expect("a pool"));
        let value = call(&pool, "who").await.value();
        assert_eq!(value[0], json!(venv.path()));
        assert_eq!(value[2], json!("here"));
    }
}

#[tokio::test]
async fn interpreter_that_dies_idle_is_replaced() {
    let actions = Actions::of(WHO);
    let builder = PythonPool::builder(actions.0.path()).size(1).spare(0);
    let pool = Arc::new(builder.start().await.expect("a pool"));
    let mut before = 0;
    for _ in 0..3 {
        let pid = call(&pool, "who").await.value()[1].as_i64().expect("a pid") as i32;
        assert_ne!(pid, before);
        before = pid;
        let pid = Pid::from_raw(pid).expect("a pid");
        kill_process(pid, Signal::KILL).expect("a signal");
        until("its end", || !is_alive(pid)).await;
    }
}

#[tokio::test]
async fn interpreters_that_do_not_start_fail_attempts_with_their_output() {
    let actions = Actions::of("@action\ndef leave(): os._exit(0)\n");
    let builder = PythonPool::builder(actions.0.path()).size(1).spare(0).reload(false);
    let pool = Arc::new(builder.start().await.expect("a pool"));
    let fatal = "import os\nos.write(2, b'no room')\nos._exit(9)\n";
    std::fs::write(actions.path("new.py"), fatal).expect("a file");
    call(&pool, "leave").await;
    let ended = call(&pool, "leave").await;
    assert!(ended.failure().message.contains("exit code 9"), "{:?}", ended.failure());
    assert!(ended.failure().message.contains("no room"), "{:?}", ended.failure());
    // And the pool recovers by itself once they can.
    std::fs::remove_file(actions.path("new.py")).expect("a file");
    crate::support::within("recovery", async {
        while !call(&pool, "leave").await.failure().message.contains("exit code 0") {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn close_and_drop_leave_no_process() {
    let text = format!(
        "{WHO}\n@action\ndef wait():\n    print(os.getpid())\n    open(sys.argv[0] and os.path.join(os.path.dirname(__file__), 'pids'), 'a').write('%d\\n' % os.getpid())\n    time.sleep(1000)\n"
    );
    for closed in [true, false] {
        let actions = Actions::of(&text);
        let pool = actions.pool().await;
        let idle = call(&pool, "who").await.value()[1].as_i64().expect("a pid") as i32;
        let running = start(&pool, "wait", json!({}));
        let mut pids = actions.pids("pids", 1).await;
        pids.extend(Pid::from_raw(idle));
        if closed {
            pool.close().await.expect("closed");
            assert!(pids.iter().all(|pid| !is_alive(*pid)));
            assert!(matches!(running.end().await.outcome, Outcome::Failed(_)));
        } else {
            running.task.abort();
            drop(running);
            drop(pool);
            until("their end", || pids.iter().all(|pid| !is_alive(*pid))).await;
        }
    }
}
