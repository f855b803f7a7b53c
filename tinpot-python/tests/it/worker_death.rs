//! A worker that is killed takes everything with it.

use std::process::{Command, Stdio};

use serde_json::json;

use crate::support::{Actions, is_alive, start, until, within};

const DIRECTORY: &str = "TINPOT_TEST_DIRECTORY";

#[tokio::test]
async fn killed_worker_leaves_nothing_behind() {
    let actions = Actions::new();
    let note = actions.path("pids");
    // The busiest case: C code that holds the interpreter's lock, so that no Python thread could notice anything.
    let actions = actions.file(
        "actions.py",
        &format!(
            r#"
import ctypes, os, subprocess
from tinpot import action
@action
def busy():
    child = subprocess.Popen(["sleep", "1000"])
    with open({note:?}, "a") as f: f.write("%d\n%d\n" % (os.getpid(), child.pid))
    ctypes.PyDLL(None).sleep(1000)
"#
        ),
    );
    let program = std::env::current_exe().expect("the test's own program");
    let mut worker = Command::new(program)
        .args(["--exact", "worker_death::worker_that_is_killed", "--ignored", "--nocapture"])
        .env(DIRECTORY, actions.0.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("a worker");
    let pids = actions.pids("pids", 2).await;
    assert!(pids.iter().all(|pid| is_alive(*pid)));
    worker.kill().expect("SIGKILL");
    worker.wait().expect("its end");
    until("the end of its processes", || pids.iter().all(|pid| !is_alive(*pid))).await;
}

#[tokio::test]
#[ignore = "the worker of the test above, in a process of its own"]
async fn worker_that_is_killed() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let pool = tinpot_python::PythonPool::builder(directory).size(1).start().await;
    let pool = std::sync::Arc::new(pool.expect("a pool"));
    within("being killed", start(&pool, "busy", json!({})).end()).await;
}
