//! A worker that is killed takes everything with it.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tempfile::TempDir;
use tinpot_python::{ContainmentMode, PythonPool};

use crate::containment::writable_cgroup;
use crate::leftovers::actions as leaving_actions;
use crate::support::{Actions, MODES, is_alive, start, until, within};

const DIRECTORY: &str = "TINPOT_TEST_DIRECTORY";
const ACTION: &str = "TINPOT_TEST_ACTION";
const MODE: &str = "TINPOT_TEST_MODE";

/// A worker in a process of its own that runs one action; killed with this value.
struct Worker(Child);

impl Worker {
    fn start(actions: &Actions, action: &str, mode: ContainmentMode, tmp: &TempDir) -> Self {
        let program = std::env::current_exe().expect("the test's own program");
        let mut command = Command::new(program);
        command
            .args(["--exact", "worker_death::worker_that_is_killed", "--ignored", "--nocapture"])
            .env(DIRECTORY, actions.0.path())
            // Where no other test's pool clears up.
            .env("TMPDIR", tmp.path())
            .env(ACTION, action)
            .env(MODE, mode.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        Self(command.spawn().expect("a worker"))
    }

    fn stop(&self) {
        let pid = Pid::from_raw(self.0.id() as i32).expect("a process id");
        kill_process(pid, Signal::STOP).expect("a signal");
    }

    /// SIGKILL, and waits for its end.
    fn kill(&mut self) {
        self.0.kill().expect("SIGKILL");
        self.0.wait().expect("its end");
    }

    /// The process that watches over it, if it is there.
    fn guardian(&self) -> Option<Pid> {
        let is_it = |pid: &i32| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let parent = stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(1));
            let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            parent == Some(&self.0.id().to_string())
                && String::from_utf8_lossy(&command).contains("_guardian.py")
        };
        let processes = std::fs::read_dir("/proc").expect("/proc").flatten();
        let mut pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        Pid::from_raw(pids.find(is_it)?)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Interpreters write their process ids to `pythons`, and actions write theirs to another file.
fn noted(actions: Actions) -> Actions {
    let note = actions.path("pythons");
    actions.file(
        "note.py",
        &format!(
            "import os\n\
             def note():\n    \
                 with open({note:?}, 'a') as f: f.write('%d\\n' % os.getpid())\n\
             note()\n\
             os.register_at_fork(after_in_child=note)\n"
        ),
    )
}

fn alive(pids: &[Pid]) -> usize {
    pids.iter().filter(|pid| is_alive(**pid)).count()
}

#[tokio::test]
async fn killed_worker_leaves_nothing_behind() {
    let tmp = tempfile::tempdir().expect("a directory");
    for mode in MODES {
        let actions = noted(leaving_actions());
        let mut worker = Worker::start(&actions, "stubborn", mode, &tmp);
        let mut pids = actions.pids("pids", 4).await;
        // The template, the copy that runs the action, a spare one, and what the action forked.
        let pythons = || {
            let text = std::fs::read_to_string(actions.path("pythons")).unwrap_or_default();
            let all = text.lines().filter_map(|line| Pid::from_raw(line.parse().ok()?));
            all.filter(|pid| is_alive(*pid)).collect::<Vec<_>>()
        };
        until("all interpreters", || pythons().len() >= 3).await;
        pids.extend(pythons());
        assert_eq!(alive(&pids), pids.len(), "{mode}");
        pids.extend(worker.guardian());
        assert!(pids.len() >= 8, "{pids:?}");
        worker.kill();
        let begin = Instant::now();
        until("the end of its processes", || alive(&pids) == 0).await;
        let took = begin.elapsed();
        assert!(took < Duration::from_secs(2), "it took {took:?}, {mode}");
    }
}

#[tokio::test]
async fn without_a_guardian_the_kernel_kills_and_the_next_worker_clears_up() {
    let tmp = tempfile::tempdir().expect("a directory");
    for mode in MODES {
        // The hardest case: C code holds the interpreter's lock, so that no Python thread can
        // react.
        let actions = Actions::new();
        let note = actions.path("pids");
        let actions = actions.file(
            "actions.py",
            &format!(
                r#"
import ctypes, os, subprocess
from tinpot import action
@action
def busy():
    child = subprocess.Popen(["sleep", "1000"])
    away = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    cgroup = open("/proc/self/cgroup").read().rpartition("0::")[2].split("\n")[0]
    with open({note:?} + ".cgroup", "a") as f: f.write(cgroup + "\n")
    with open({note:?}, "a") as f: f.write("%d\n%d\n%d\n" % (os.getpid(), child.pid, away.pid))
    ctypes.PyDLL(None).sleep(1000)
"#
            ),
        );
        let mut worker = Worker::start(&actions, "busy", mode, &tmp);
        let pids = actions.pids("pids", 3).await;
        let guardian = worker.guardian().expect("a guardian");
        // Before another can be started.
        worker.stop();
        kill_process(guardian, Signal::KILL).expect("a signal");
        worker.kill();
        until("the end of the process group", || alive(&pids[..2]) == 0).await;
        assert!(is_alive(pids[2]), "it was killed before the test began");

        let _next = Worker::start(&actions, "busy", mode, &tmp);
        actions.pids("pids", 6).await;
        match writable_cgroup() {
            Some(directory) if mode == ContainmentMode::Auto => {
                assert!(!is_alive(pids[2]));
                let note = std::fs::read_to_string(actions.path("pids.cgroup")).expect("a file");
                let name = note.lines().next().and_then(|first| first.rsplit('/').nth(1));
                let name = name.expect("the cgroup of the pool");
                assert!(name.starts_with("tinpot-"), "{note}");
                assert!(!directory.join(name).exists(), "{note}");
            }
            // As documented, no search finds it any more.
            _ => kill_process(pids[2], Signal::KILL).expect("it is there"),
        }
    }
}

#[tokio::test]
async fn killed_guardian_is_replaced() {
    let (actions, tmp) = (leaving_actions(), tempfile::tempdir().expect("a directory"));
    let mut worker = Worker::start(&actions, "stubborn", ContainmentMode::ProcessGroup, &tmp);
    let pids = actions.pids("pids", 4).await;
    let first = worker.guardian().expect("a guardian");
    kill_process(first, Signal::KILL).expect("a signal");
    until("another", || worker.guardian().is_some_and(|pid| pid != first)).await;
    assert_eq!(alive(&pids), 4, "nothing else happens");
    worker.kill();
    until("the end of its processes", || alive(&pids) == 0).await;
}

#[tokio::test]
#[ignore = "the worker of the tests above, in a process of its own"]
async fn worker_that_is_killed() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let action = std::env::var(ACTION).expect("an action");
    let mode = std::env::var(MODE).expect("a mode").parse().expect("a mode");
    let pool = PythonPool::builder(directory).size(1).containment(mode).start().await;
    let pool = std::sync::Arc::new(pool.expect("a pool"));
    within("being killed", start(&pool, &action, json!({})).end()).await;
}
