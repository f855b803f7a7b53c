//! Changed files are reloaded without harm to attempts.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tinpot_core::Executor;
use tinpot_core::executor::ActionSet;
use tinpot_python::PythonPool;

use crate::support::{Actions, call, is_alive, names, offer, run, start, until, within};

/// A file with one action that returns what `value` says.
fn one(name: &str, value: &str) -> String {
    format!("import os, time\nfrom tinpot import action\n@action\ndef {name}(): return {value}\n")
}

async fn pool(actions: &Actions) -> Arc<PythonPool> {
    let builder = PythonPool::builder(actions.0.path()).size(1).spare(1);
    Arc::new(builder.start().await.expect("a pool"))
}

/// The offer, once it is so.
async fn offered(
    pool: &Arc<PythonPool>,
    what: &str,
    so: impl FnMut(&Arc<ActionSet>) -> bool,
) -> Arc<ActionSet> {
    let mut actions = pool.actions();
    within(what, actions.wait_for(so)).await.expect("an offer")
}

/// Waits for a problem at `place` whose message has all parts.
async fn problem(pool: &Arc<PythonPool>, place: &str, parts: &[&str]) -> Arc<ActionSet> {
    offered(pool, &format!("a problem at {place} with {parts:?}"), |offer| {
        let fits = |message: &str| parts.iter().all(|part| message.contains(part));
        offer.load_errors.iter().any(|p| p.place == place && fits(&p.message))
    })
    .await
}

/// Calls until the value is there; every call has to succeed.
async fn returns(pool: &Arc<PythonPool>, action: &str, value: Value) {
    within(&format!("{action} returning {value}"), async {
        while call(pool, action).await.value() != value {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// Writes like an editor: renames a new file over the old one.
fn replace(path: &Path, text: &str) {
    let temporary = path.with_extension("py~tmp");
    fs::write(&temporary, text).expect("a file");
    fs::rename(temporary, path).expect("renamed");
}

#[tokio::test]
async fn new_attempts_run_the_new_code_and_running_ones_end_on_the_old() {
    let slow = "
@action
def slow():
    open(os.path.join(os.path.dirname(__file__), 'pids'), 'a').write('%d\\n' % os.getpid())
    while not os.path.exists(os.path.join(os.path.dirname(__file__), 'go')): time.sleep(0.002)
    return version()
def version(): return VERSION
";
    let text =
        |version: &str| format!("{}{}", one("which", version), slow.replace("VERSION", version));
    let actions = Actions::new().file("a.py", &text("1"));
    let builder = PythonPool::builder(actions.0.path()).size(2).spare(0);
    let pool = Arc::new(builder.start().await.expect("a pool"));
    let old = start(&pool, "slow", json!({}));
    let old_pid = actions.pids("pids", 1).await[0];
    fs::write(actions.path("a.py"), text("2")).expect("a file");
    returns(&pool, "which", json!(2)).await;
    fs::write(actions.path("go"), "").expect("a file");
    assert_eq!(old.end().await.value(), json!(1));
    until("the end of the old interpreter", || !is_alive(old_pid)).await;
    assert_eq!(call(&pool, "slow").await.value(), json!(2));
}

#[tokio::test]
async fn no_attempt_is_lost_while_files_change() {
    let actions = Actions::new().file("a.py", &one("which", "0")).file("b.py", &one("other", "0"));
    let builder = PythonPool::builder(actions.0.path()).size(2).spare(1);
    let pool = Arc::new(builder.start().await.expect("a pool"));
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let pool = pool.clone();
            tokio::spawn(async move {
                let (mut last, mut calls) = (0, 0);
                while last < 5 {
                    let now = call(&pool, "which").await.value().as_i64().expect("a number");
                    assert!(now >= 0, "{now}");
                    (last, calls) = (now, calls + 1);
                }
                calls
            })
        })
        .collect();
    for version in 1..=5 {
        replace(&actions.path("a.py"), &one("which", &version.to_string()));
        fs::write(actions.path("b.py"), one(&format!("other_{version}"), "0")).expect("a file");
        let both = format!("other_{version}");
        let now = offered(&pool, &both, |offer| names(offer).contains(&&*both)).await;
        // All at once: never both the old and the new one.
        assert_eq!(names(&now), ["which", &*both]);
    }
    for caller in callers {
        assert!(within("the callers", caller).await.expect("no failed call") > 0);
    }
}

#[tokio::test]
async fn broken_file_keeps_its_last_good_version_and_others_reload() {
    let actions = Actions::new()
        .file("a.py", &one("a", "[1, os.getpid()]"))
        .file("b.py", &one("b", "1"))
        .file("never.py", "def (:\n");
    let pool = pool(&actions).await;
    problem(&pool, "never.py", &["SyntaxError"]).await;
    fs::write(actions.path("b.py"), one("b", "2")).expect("a file");
    replace(&actions.path("a.py"), "def broken(:\n");
    let now = problem(
        &pool,
        "a.py",
        &["line 1", "SyntaxError", "last good version of a.py stays in use"],
    )
    .await;
    assert_eq!(names(&now), ["a", "b"]);
    assert_eq!(call(&pool, "b").await.value(), json!(2));
    let value = call(&pool, "a").await.value();
    assert_eq!(value[0], json!(1));
    // An interpreter that starts later has the same versions.
    for _ in 0..3 {
        let value = call(&pool, "a").await.value();
        assert_eq!(value[0], json!(1));
        let pid = Pid::from_raw(value[1].as_i64().expect("a pid") as i32).expect("a pid");
        kill_process(pid, Signal::KILL).expect("a signal");
        until("its end", || !is_alive(pid)).await;
    }
    // One that still does not work, for another reason.
    fs::write(actions.path("a.py"), "import no_such_module\n").expect("a file");
    let now = problem(&pool, "a.py", &["No module named", "stays in use"]).await;
    assert_eq!((names(&now), now.load_errors.len()), (vec!["a", "b"], 2));
    fs::write(actions.path("a.py"), one("a", "3")).expect("a file");
    fs::write(actions.path("never.py"), one("at_last", "4")).expect("a file");
    let now = offered(&pool, "no problem", |offer| offer.load_errors.is_empty()).await;
    assert_eq!(names(&now), ["a", "b", "at_last"]);
    assert_eq!(call(&pool, "a").await.value(), json!(3));
    assert_eq!(call(&pool, "at_last").await.value(), json!(4));
}

#[tokio::test]
async fn broken_module_keeps_its_last_good_version_for_all_importers() {
    let user = "import os, time\nfrom _lib.helper import VALUE, twice\nfrom tinpot import action\n";
    let user = |name: &str, version: u32| {
        format!("{user}@action\ndef {name}(): return [twice(VALUE), {version}]\n")
    };
    let helper = |value: &str| format!("VALUE = {value}\ndef twice(x): return 2 * x\n");
    let actions = Actions::new()
        .file("a.py", &user("a", 1))
        .file("b.py", &user("b", 1))
        .file("_lib/helper.py", &helper("1"));
    let pool = pool(&actions).await;
    returns(&pool, "a", json!([2, 1])).await;
    fs::write(actions.path("_lib/helper.py"), helper("2")).expect("a file");
    returns(&pool, "a", json!([4, 1])).await;
    // It fails by itself, and who uses it goes on to a new version.
    fs::write(actions.path("_lib/helper.py"), helper("1 / 0")).expect("a file");
    fs::write(actions.path("b.py"), user("b", 2)).expect("a file");
    let now = problem(&pool, "_lib/helper.py", &["ZeroDivisionError", "stays in use"]).await;
    assert_eq!((names(&now), now.load_errors.len()), (vec!["a", "b"], 1));
    returns(&pool, "b", json!([4, 2])).await;
    assert_eq!(call(&pool, "a").await.value(), json!([4, 1]));
    // It works, and lacks what others need; also when it is gone.
    fs::write(actions.path("_lib/helper.py"), "VALUE = 5\n").expect("a file");
    problem(&pool, "_lib/helper.py", &["cannot import name 'twice'", "stays in use"]).await;
    fs::remove_file(actions.path("_lib/helper.py")).expect("removed");
    let now = problem(&pool, "_lib/helper.py", &["No module named", "stays in use"]).await;
    assert_eq!((names(&now), now.load_errors.len()), (vec!["a", "b"], 1));
    assert_eq!(call(&pool, "b").await.value(), json!([4, 2]));
    fs::write(actions.path("_lib/helper.py"), helper("6")).expect("a file");
    returns(&pool, "b", json!([12, 2])).await;
    assert_eq!(offer(&pool).load_errors, []);
}

#[tokio::test]
async fn files_and_folders_that_come_move_and_go_are_seen() {
    let mut actions = Actions::new().file("a.py", &one("a", "1"));
    let pool = pool(&actions).await;
    let expected = async |what: &str, wanted: &[&str]| {
        let now = offered(&pool, what, |offer| names(offer) == wanted).await;
        assert_eq!(now.load_errors, [], "{what}");
        for action in wanted {
            assert_eq!(call(&pool, action).await.value(), json!(1), "{what}: {action}");
        }
    };
    actions = actions.file("new/deep/b.py", &one("b", "1"));
    expected("a new folder", &["a", "b"]).await;
    actions = actions.file("new/deep/c.py", &one("c", "1"));
    expected("a file in it", &["a", "b", "c"]).await;
    fs::rename(actions.path("new"), actions.path("renamed")).expect("renamed");
    actions = actions.file("renamed/deep/d.py", &one("d", "1"));
    expected("a renamed folder", &["a", "b", "c", "d"]).await;
    fs::rename(actions.path("renamed/deep/d.py"), actions.path("d.txt")).expect("renamed");
    expected("a file that is none any more", &["a", "b", "c"]).await;
    fs::remove_dir_all(actions.path("renamed")).expect("removed");
    expected("a deleted folder", &["a"]).await;
    // A package, with a module that has its own.
    actions = actions
        .file("pack/_inner.py", "ONE = 1\n")
        .file("pack/__init__.py", "from ._inner import ONE\n")
        .file(
            "pack/b.py",
            "from . import ONE\nfrom tinpot import action\n@action\ndef b(): return ONE\n",
        );
    expected("a package", &["a", "b"]).await;
    fs::remove_file(actions.path("a.py")).expect("removed");
    expected("a deleted file", &["b"]).await;
}

#[tokio::test]
async fn file_that_hangs_leaves_or_dies_takes_nothing_down() {
    let actions = Actions::new().file("a.py", &one("a", "1")).file("b.py", &one("b", "1"));
    let builder = PythonPool::builder(actions.0.path()).size(1).spare(0);
    let pool = builder.start_timeout(Duration::from_millis(1500)).start().await.expect("a pool");
    let pool = Arc::new(pool);
    let hangs = "import os, time\nopen(os.path.dirname(__file__) + '/tries', 'a').write('x')\ntime.sleep(1000)\n";
    for (text, part) in [
        ("import sys\nsys.exit(3)\n", "sys.exit(3)"),
        ("import os\nos.write(2, b'last words')\nos._exit(7)\n", "last words"),
        (hangs, "1.5 s"),
    ] {
        fs::write(actions.path("a.py"), text).expect("a file");
        fs::write(actions.path("new.py"), text).expect("a file");
        let now = problem(&pool, "a.py", &[part, "stays in use"]).await;
        assert_eq!(names(&now), ["a", "b"]);
        // A new file has no good version.
        let said =
            &now.load_errors.iter().find(|p| p.place == "new.py").expect("a problem").message;
        assert!(said.contains(part) && !said.contains("stays in use"), "{said}");
        assert_eq!(call(&pool, "a").await.value(), json!(1));
    }
    // What hangs does not hold up later changes.
    let tries = || fs::read(actions.path("tries")).expect("a file").len();
    let before = tries();
    fs::write(actions.path("b.py"), one("b", "2")).expect("a file");
    returns(&pool, "b", json!(2)).await;
    assert_eq!((tries(), offer(&pool).load_errors.len()), (before, 2));
    fs::remove_file(actions.path("new.py")).expect("removed");
    fs::write(actions.path("a.py"), one("a", "2")).expect("a file");
    offered(&pool, "no problem", |offer| offer.load_errors.is_empty()).await;
    assert_eq!(call(&pool, "a").await.value(), json!(2));
}

#[tokio::test]
async fn change_during_a_reload_is_not_lost() {
    let actions = Actions::new().file("a.py", &one("a", "1")).file("b.py", &one("b", "1"));
    let builder = PythonPool::builder(actions.0.path()).size(1).spare(0);
    // This test does not wait for that.
    let builder = builder.start_timeout(Duration::from_secs(3600));
    let pool = Arc::new(builder.start().await.expect("a pool"));
    let begins = "import os, time\nopen(os.path.dirname(__file__) + '/pids', 'w').write('%d\\n' % os.getpid())\n";
    fs::write(actions.path("a.py"), format!("{begins}time.sleep(10000)\n")).expect("a file");
    actions.pids("pids", 1).await;
    assert_eq!(call(&pool, "a").await.value(), json!(1));
    fs::write(actions.path("b.py"), one("b", "2")).expect("a file");
    fs::write(actions.path("a.py"), one("a", "2")).expect("a file");
    offered(&pool, "an offer", |offer| names(offer) == ["a", "b"]).await;
    returns(&pool, "a", json!(2)).await;
    assert_eq!(call(&pool, "b").await.value(), json!(2));
    pool.close().await.expect("closed");
}

#[tokio::test]
async fn failure_without_a_changed_file_keeps_all_versions() {
    let needs = "import os\nopen(os.path.join(os.path.dirname(__file__), 'needed.txt'))\n";
    let actions = Actions::new()
        .file("a.py", &format!("{needs}{}", one("a", "1")))
        .file("b.py", &one("b", "1"))
        .file("needed.txt", "");
    // No interpreter starts meanwhile.
    let builder = PythonPool::builder(actions.0.path()).size(1).spare(0);
    let pool = Arc::new(builder.start().await.expect("a pool"));
    fs::remove_file(actions.path("needed.txt")).expect("removed");
    fs::write(actions.path("b.py"), one("b", "2")).expect("a file");
    let now = problem(&pool, "a.py", &["needed.txt", "last good version of all files"]).await;
    assert_eq!(names(&now), ["a", "b"]);
    assert_eq!(call(&pool, "a").await.value(), json!(1));
    assert_eq!(call(&pool, "b").await.value(), json!(1));
    // It is tried again with the next change.
    fs::write(actions.path("needed.txt"), "").expect("a file");
    fs::write(actions.path("b.py"), one("b", "3")).expect("a file");
    returns(&pool, "b", json!(3)).await;
    assert_eq!(offer(&pool).load_errors, []);
}

#[tokio::test]
async fn interpreters_stay_when_nothing_has_changed() {
    let actions =
        Actions::new().file("a.py", &one("a", "os.getpid()")).file("b.py", &one("b", "1"));
    let builder = PythonPool::builder(actions.0.path()).size(1).spare(0);
    let pool = Arc::new(builder.start().await.expect("a pool"));
    let pid = call(&pool, "a").await.value();
    let mut offers = pool.actions();
    offers.try_next();
    fs::create_dir(actions.path("__pycache__")).expect("a directory");
    for file in ["__pycache__/a.py", "a.pyc", ".hidden.py", ".#a.py", "a.py~", "#a.py#", "a.txt"] {
        fs::write(actions.path(file), one("x", "1")).expect("a file");
    }
    fs::write(actions.path("a.py"), one("a", "os.getpid()")).expect("a file");
    // Scans happen at intervals, and each scan sees all earlier changes.
    assert_eq!(call(&pool, "a").await.value(), pid);
    assert!(offers.try_next().is_none());
    fs::write(actions.path("b.py"), one("b", "2")).expect("a file");
    returns(&pool, "b", json!(2)).await;
    assert_eq!(names(&offer(&pool)), ["a", "b"]);
    assert_ne!(call(&pool, "a").await.value(), pid);
}

#[tokio::test]
async fn without_reload_changes_wait_for_the_next_start() {
    let actions = Actions::new().file("a.py", &one("a", "1"));
    let builder = PythonPool::builder(actions.0.path()).size(1).spare(0).reload(false);
    let pool = Arc::new(builder.start().await.expect("a pool"));
    fs::write(actions.path("b.py"), one("b", "1")).expect("a file");
    assert!(run(&pool, "b", json!({})).await.failure().message.contains("no action 'b'"));
    assert_eq!(names(&offer(&pool)), ["a"]);
}

/// Mounts files like the configuration of a container: links through a folder that is replaced as a
/// whole.
#[tokio::test]
async fn changed_targets_of_links_are_noticed() {
    let actions =
        Actions::new().file("..one/a.py", &one("a", "1")).file("..two/a.py", &one("a", "2"));
    let link = |to: &str| {
        std::os::unix::fs::symlink(to, actions.path("..new")).expect("a link");
        fs::rename(actions.path("..new"), actions.path("..data")).expect("renamed");
    };
    link("..one");
    std::os::unix::fs::symlink("..data/a.py", actions.path("a.py")).expect("a link");
    let pool = pool(&actions).await;
    assert_eq!(call(&pool, "a").await.value(), json!(1));
    link("..two");
    returns(&pool, "a", json!(2)).await;
    assert_eq!(offer(&pool).load_errors, []);
}
