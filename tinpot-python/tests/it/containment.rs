//! The containment in force, and the processes that only cgroups can kill.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;
use tinpot_core::{ErrorKind, Executor, Outcome};
use tinpot_python::{Containment, ContainmentMode, PythonPool};

use crate::support::{Actions, call, is_alive, start, until};

const WHERE: &str = r#"
@action
def where():
    return open("/proc/self/cgroup").read().rpartition("0::")[2].split("\n")[0]

def runner(note):
    # Always another process: a search for it followed by a kill comes too late.
    if os.fork() == 0:
        os.setsid()
        with open(note, "w") as f: f.write("%d\n" % os.getpid())
        while True:
            if os.fork(): os._exit(0)

@action
def run_away(note: str):
    runner(note)
    return where()

@action
def run_away_and_wait(note: str):
    runner(note)
    with open(note + ".cgroup", "w") as f: f.write(where() + "\n")
    time.sleep(1000)
"#;

/// Returns the cgroup2 directory in which this process can create another, found without the pool.
pub(crate) fn writable_cgroup() -> Option<PathBuf> {
    let membership = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = membership.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let mounts = std::fs::read_to_string("/proc/self/mounts").ok()?;
    let points = mounts.lines().filter_map(|line| {
        let fields: Vec<_> = line.split(' ').collect();
        (fields.get(2) == Some(&"cgroup2")).then(|| Path::new(fields[1]).join(own))
    });
    let usable = |directory: &PathBuf| {
        let probe = directory.join(format!("test-{}", std::process::id()));
        let made = std::fs::create_dir(&probe).is_ok();
        let can_kill = probe.join("cgroup.kill").exists();
        let _ = std::fs::remove_dir(&probe);
        let procs = std::fs::File::options().write(true).open(directory.join("cgroup.procs"));
        made && can_kill && procs.is_ok()
    };
    points.into_iter().find(usable)
}

/// The pool's cgroup; `None` after it was asserted that there can be none, and that this is said.
async fn cgroup_or_fallback(actions: &Actions, pool: &PythonPool) -> Option<PathBuf> {
    match (pool.containment(), writable_cgroup()) {
        (Containment::Cgroup { path }, Some(below)) => {
            assert_eq!(path.parent(), Some(&*below));
            Some(path.clone())
        }
        (Containment::ProcessGroup { reason }, None) => {
            assert!(!reason.is_empty());
            let builder = PythonPool::builder(actions.0.path());
            let forced = builder.containment(ContainmentMode::Cgroup).start().await;
            let error = forced.expect_err("no pool");
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(error.to_string().contains(&**reason), "{error}");
            None
        }
        (other, writable) => panic!("{other:?}, where {writable:?} is writable"),
    }
}

#[tokio::test]
async fn cgroups_are_used_where_they_can_be() {
    let actions = Actions::of(WHERE);
    let pool = actions.pool().await;
    let Some(path) = cgroup_or_fallback(&actions, &pool).await else { return };
    let cgroup = call(&pool, "where").await.value();
    let cgroup = Path::new(cgroup.as_str().expect("a path"));
    assert!(path.ends_with(cgroup.parent().and_then(Path::file_name).expect("a name")), "{path:?}");
    let own = path.join(cgroup.file_name().expect("a name"));
    assert!(own.is_dir(), "{own:?}");
    pool.close().await.expect("closed");
    assert!(!path.exists(), "{path:?} is left");
}

#[tokio::test]
async fn process_groups_can_be_asked_for() {
    let actions = Actions::of(WHERE);
    let here = std::fs::read_to_string("/proc/self/cgroup").expect("cgroups");
    let pool = actions.pool_in(ContainmentMode::ProcessGroup).await;
    let Containment::ProcessGroup { reason } = pool.containment() else {
        panic!("{:?}", pool.containment())
    };
    assert!(reason.contains("the configuration selects"), "{reason}");
    let cgroup = call(&pool, "where").await.value();
    let own = here.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or_default();
    assert_eq!(cgroup, json!(own));
}

#[tokio::test]
async fn fast_forking_process_is_killed_with_its_cgroup() {
    let actions = Actions::of(WHERE);
    let pool = actions.pool().await;
    let Some(path) = cgroup_or_fallback(&actions, &pool).await else { return };
    // A cgroup in which anything is alive cannot be removed.
    let is_gone = |cgroup: &str| {
        let name = Path::new(cgroup.trim()).file_name().expect("a name");
        !path.join(name).exists()
    };
    let note = actions.path("pids");
    let ended = start(&pool, "run_away", json!({ "note": note })).end().await;
    assert!(is_gone(ended.value().as_str().expect("a path")));

    let running = start(&pool, "run_away_and_wait", json!({ "note": note }));
    let file = actions.path("pids.cgroup");
    let read = || std::fs::read_to_string(&file).unwrap_or_default();
    until("the runner", || read().ends_with('\n')).await;
    running.ask(Duration::ZERO);
    assert_eq!(running.end().await.outcome, Outcome::Cancelled);
    assert!(is_gone(&read()));
}

#[tokio::test]
async fn process_started_by_an_import_ends_with_its_interpreter() {
    let actions = Actions::of("");
    let note = actions.path("pids");
    let text = format!(
        r#"
import os, subprocess
from tinpot import action
PIDS = [os.getpid(), subprocess.Popen(["sleep", "1000"], start_new_session=True).pid]
with open({note:?}, "a") as f: f.write("%d\n%d\n" % tuple(PIDS))
@action
def pids(): return PIDS
"#
    );
    let actions = actions.file("server.py", &text);
    let pool = actions.pool().await;
    let mut pids = actions.pids("pids", 4).await;
    // It is no attempt's: attempts come and go.
    for _ in 0..2 {
        call(&pool, "pids").await;
    }
    assert!(pids.iter().all(|pid| is_alive(*pid)));
    let kill = rustix::process::Signal::KILL;
    rustix::process::kill_process(pids[0], kill).expect("a signal");
    until("the end of what it had started", || !is_alive(pids[1])).await;
    pids.extend(actions.pids("pids", 6).await.split_off(4));
    pool.close().await.expect("closed");
    assert!(pids.iter().all(|pid| !is_alive(*pid)));
}
