//! Files whose imports leave what copies cannot share: each interpreter imports them itself.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tinpot_core::{FailureCode, LoadError, Outcome};
use tinpot_python::PythonPool;

use crate::support::{Actions, call, freeze, is_alive, names, offer, run, start, until};

/// The text of a file with actions, which notes each import of itself.
fn file(name: &str, more: &str) -> String {
    format!(
        r#"
import asyncio, mmap, multiprocessing, os, random, signal, socket, sqlite3, subprocess, threading, time
from tinpot import action
HERE = os.path.dirname(__file__)
with open(HERE + "/imports-{name}", "a") as file: file.write("%d\n" % os.getpid())
{more}

@action
def {name}(): return [os.getpid(), os.getppid()]

@action(isolation="fresh")
def {name}_fresh(): return [os.getpid(), os.getppid()]

@action
def {name}_dies(): os.kill(os.getpid(), signal.SIGKILL)
"#
    )
}

const THREAD: &str =
    "threading.Thread(target=time.sleep, args=(1000,), daemon=True, name='ticker').start()";

/// Three files, of which `two.py` has this at its top.
fn three(two: &str) -> Actions {
    Actions::new()
        .file("one.py", &file("one", ""))
        .file("two.py", &file("two", two))
        .file("three.py", &file("three", ""))
}

async fn pool(actions: &Actions) -> Arc<PythonPool> {
    let builder = PythonPool::builder(actions.0.path()).size(1).spare(1);
    Arc::new(builder.start().await.expect("a pool"))
}

fn imports(actions: &Actions, name: &str) -> usize {
    let text = std::fs::read_to_string(actions.path(&format!("imports-{name}")));
    text.unwrap_or_default().lines().count()
}

/// Returns the notices of a pool, which has no load errors.
fn notices(pool: &Arc<PythonPool>) -> Vec<LoadError> {
    let offer = offer(pool);
    assert!(offer.load_errors.iter().all(|error| error.notice), "{:?}", offer.load_errors);
    offer.load_errors.clone()
}

fn places(pool: &Arc<PythonPool>) -> BTreeSet<String> {
    notices(pool).into_iter().map(|notice| notice.place).collect()
}

/// Kills the interpreter of an action some times, and returns its next process and its parent.
async fn survives(pool: &Arc<PythonPool>, name: &str) -> [i64; 2] {
    for _ in 0..5 {
        let Outcome::Failed(failure) = call(pool, &format!("{name}_dies")).await.outcome else {
            panic!("it lives")
        };
        assert!(failure.message.contains("signal 9"), "{failure:?}");
    }
    let value = call(pool, name).await.value();
    [0, 1].map(|at| value[at].as_i64().expect("a process id"))
}

#[tokio::test]
async fn file_that_starts_a_thread_leaves_the_others_their_copies() {
    let actions = three(THREAD);
    let pool = pool(&actions).await;
    let offer = offer(&pool);
    let wanted: BTreeSet<String> = ["one", "two", "three"]
        .iter()
        .flat_map(|name| ["", "_fresh", "_dies"].map(|end| format!("{name}{end}")))
        .collect();
    assert_eq!(names(&offer).into_iter().map(str::to_owned).collect::<BTreeSet<_>>(), wanted);
    let [notice] = &*notices(&pool) else { panic!("{:?}", offer.load_errors) };
    assert_eq!(notice.place, "two.py");
    for part in ["its import started a thread (ticker)", "in the function", "`setup()`"] {
        assert!(notice.message.contains(part), "{part}: {}", notice.message);
    }
    // Once to find out, and once in the template.
    let before = ["one", "three"].map(|name| imports(&actions, name));
    assert_eq!(before, [2, 2]);
    let own = i64::from(std::process::id());
    let mut templates = BTreeSet::new();
    for name in ["one", "two", "three"] {
        let mut fresh = BTreeSet::new();
        for _ in 0..3 {
            fresh.insert(call(&pool, &format!("{name}_fresh")).await.value()[0].as_i64());
        }
        assert_eq!(fresh.len(), 3, "{name}: a process was used twice");
        let [_, parent] = survives(&pool, name).await;
        assert_ne!(parent, own, "{name} runs in no copy");
        templates.insert(parent);
    }
    assert_eq!(templates.len(), 1, "they have several templates");
    assert_eq!(["one", "three"].map(|name| imports(&actions, name)), before);
    assert!(imports(&actions, "two") > 8, "{} imports", imports(&actions, "two"));
}

#[tokio::test]
async fn other_files_do_not_wait_for_a_late_import() {
    let hold = "while os.path.exists(HERE + '/hold'): time.sleep(0.01)";
    let actions = three(&format!("{THREAD}\n{hold}"));
    let pool = pool(&actions).await;
    std::fs::write(actions.path("hold"), "").expect("a file");
    // The interpreter that has imported it is gone.
    call(&pool, "two_dies").await;
    let waiting = start(&pool, "two", json!({}));
    std::fs::remove_file(actions.path("hold")).expect("a file");
    waiting.end().await.value();
    std::fs::write(actions.path("hold"), "").expect("a file");
    for name in ["one", "three"] {
        survives(&pool, name).await;
        call(&pool, &format!("{name}_fresh")).await.value();
    }
    std::fs::remove_file(actions.path("hold")).expect("a file");
}

#[tokio::test]
async fn late_files_are_imported_in_advance_where_an_interpreter_is_idle() {
    let actions = three(THREAD);
    let pool = pool(&actions).await;
    call(&pool, "one").await.value();
    let before = imports(&actions, "two");
    call(&pool, "two_dies").await;
    // Before any attempt needs it.
    until("an import in advance", || imports(&actions, "two") > before).await;
    call(&pool, "two").await.value();
}

#[tokio::test]
async fn another_template_leaves_out_the_same_files() {
    let actions = three(THREAD);
    let pool = pool(&actions).await;
    let [_, template] = survives(&pool, "one").await;
    let process = Pid::from_raw(template as i32).expect("a process id");
    kill_process(process, Signal::KILL).expect("a template");
    until("the end of the template", || !is_alive(process)).await;
    for name in ["one", "two", "three"] {
        let [_, parent] = survives(&pool, name).await;
        assert!(![template, i64::from(std::process::id())].contains(&parent), "{name}: {parent}");
        call(&pool, &format!("{name}_fresh")).await.value();
    }
}

#[tokio::test]
async fn file_that_is_mended_is_copied_again() {
    for reads in [false, true] {
        let actions = three(if reads { "" } else { THREAD });
        let pool = pool(&actions).await;
        assert_eq!(places(&pool).len(), usize::from(!reads));
        // And the other way around.
        let more = if reads { THREAD } else { "" };
        std::fs::write(actions.path("two.py"), file("two", more)).expect("a file");
        until("the reload", || places(&pool).len() == usize::from(reads)).await;
        let before = imports(&actions, "two");
        survives(&pool, "two").await;
        assert_eq!(imports(&actions, "two") == before, !reads, "{before} imports");
        let before = imports(&actions, "one");
        survives(&pool, "one").await;
        assert_eq!(imports(&actions, "one"), before);
    }
}

#[tokio::test]
async fn known_late_files_cost_a_reload_no_further_template() {
    let actions = three(THREAD);
    let pool = pool(&actions).await;
    let before = imports(&actions, "three");
    let more = "@action\ndef added(): return 1";
    std::fs::write(actions.path("one.py"), file("one", more)).expect("a file");
    until("the reload", || names(&offer(&pool)).contains(&"added")).await;
    assert_eq!(imports(&actions, "three"), before + 1);
    assert!(names(&offer(&pool)).contains(&"two"));
    assert_eq!(places(&pool), BTreeSet::from(["two.py".to_owned()]));
    survives(&pool, "two").await;
}

#[tokio::test]
async fn files_that_import_a_late_file_are_late_too() {
    let actions = three(THREAD)
        .file("a_first.py", &file("a_first", "import two"))
        .file("by_function.py", &file("by_function", "def later():\n    import two"))
        .file("known.py", &file("known", "from actions.two import HERE as THERE"))
        .file("_helper.py", "import socket\nkept = socket.socket()\n")
        .file("helped.py", &file("helped", "import _helper"));
    let pool = pool(&actions).await;
    let late = ["_helper.py", "a_first.py", "by_function.py", "helped.py", "known.py", "two.py"];
    assert_eq!(places(&pool), late.map(str::to_owned).into());
    for notice in notices(&pool) {
        let reason = match &*notice.place {
            "two.py" => "its import started a thread (ticker)",
            "_helper.py" => "its import left socket:",
            "helped.py" => "it imports _helper.py, whose import left socket:",
            _ => "it imports two.py, whose import started a thread (ticker)",
        };
        assert!(notice.message.contains(reason), "{notice:?}");
    }
    for name in ["one", "a_first", "by_function", "known", "helped"] {
        survives(&pool, name).await;
        call(&pool, &format!("{name}_fresh")).await.value();
    }
    assert_eq!(imports(&actions, "one"), 2);
}

#[tokio::test]
async fn packages_that_several_files_import_make_all_of_them_late() {
    let package = tempfile::tempdir().expect("a directory");
    let text =
        "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()";
    std::fs::write(package.path().join("threaded.py"), text).expect("a file");
    let imports_it = ["a", "b", "c", "d", "e"];
    let mut actions = Actions::new().file("one.py", &file("one", ""));
    for name in imports_it {
        actions = actions.file(&format!("{name}.py"), &file(name, "import threaded"));
    }
    let builder = PythonPool::builder(actions.0.path()).size(1).spare(1);
    let pool = Arc::new(builder.env("PYTHONPATH", package.path()).start().await.expect("a pool"));
    assert_eq!(places(&pool), imports_it.map(|name| format!("{name}.py")).into());
    let message = &notices(&pool)[0].message;
    assert!(message.contains("its import of threaded started a thread"), "{message}");
    survives(&pool, "one").await;
    assert_eq!(imports(&actions, "one"), 2);
}

#[tokio::test]
async fn each_kind_of_thing_that_cannot_be_shared_is_found_in_its_file() {
    let kinds = [
        (THREAD, "started a thread (ticker)"),
        // Python counts it once it runs: until then it is a thread of C code.
        ("import _thread; _thread.start_new_thread(time.sleep, (1000,))", "its import started"),
        ("kept = socket.socket()", "left socket:"),
        ("kept = asyncio.new_event_loop()", "open"),
        ("kept = subprocess.Popen(['sleep', '1000'])", "started a process"),
        ("kept = os.pipe()", "left pipe:"),
        ("kept = open(HERE + '/kept', 'w')", "/kept open"),
        (
            "kept = sqlite3.connect(HERE + '/db'); kept.execute('create table if not exists t (a)')",
            "/db open",
        ),
        ("kept = random.Random(1)", "made two.kept"),
        ("kept = multiprocessing.Lock()", "memory that processes share"),
        ("kept = mmap.mmap(-1, 4096)", "memory that processes share"),
    ];
    for (line, reason) in kinds {
        let actions = three(line);
        let pool = pool(&actions).await;
        let [notice] = &*notices(&pool) else { panic!("{line}: {:?}", notices(&pool)) };
        assert_eq!(notice.place, "two.py");
        assert!(notice.message.contains(reason), "{line}: {}", notice.message);
        call(&pool, "one_dies").await;
        call(&pool, "one").await.value();
        let before = imports(&actions, "two");
        call(&pool, "two_dies").await;
        call(&pool, "two").await.value();
        call(&pool, "two_fresh").await.value();
        assert_eq!(imports(&actions, "one"), 2, "{line}");
        assert!(imports(&actions, "two") > before, "{line} was copied");
    }
}

#[tokio::test]
async fn fresh_attempts_of_a_late_file_share_nothing_with_each_other() {
    let more = "RNG = random.Random()\n@action(isolation='fresh')\ndef draw(): return RNG.random()";
    let actions = three(more);
    let pool = pool(&actions).await;
    assert_eq!(places(&pool), BTreeSet::from(["two.py".to_owned()]));
    let mut drawn = BTreeSet::new();
    for _ in 0..4 {
        drawn.insert(call(&pool, "draw").await.value().to_string());
    }
    assert_eq!(drawn.len(), 4, "the same numbers: {drawn:?}");
}

#[tokio::test]
async fn fresh_attempts_share_nothing_where_no_template_is_made() {
    let more = "RNG = random.Random()\n@action(isolation='fresh')\ndef draw(): return [os.getpid(), RNG.random()]";
    let one = || Actions::new().file("two.py", &file("two", more));
    for (actions, copies) in [(one(), true), (one(), false), (three(more), false)] {
        let builder = PythonPool::builder(actions.0.path()).size(1).spare(1).copies(copies);
        let pool = Arc::new(builder.start().await.expect("a pool"));
        let (mut processes, mut drawn) = (BTreeSet::new(), BTreeSet::new());
        for _ in 0..4 {
            let value = call(&pool, "draw").await.value();
            processes.insert(value[0].to_string());
            drawn.insert(value[1].to_string());
        }
        assert_eq!([processes.len(), drawn.len()], [4, 4], "the same numbers: {drawn:?}");
    }
}

#[tokio::test]
async fn late_file_has_its_limits_and_its_parameters() {
    let more = "@action(memory='200 MB')\ndef eat(megabytes: int):\n    return len(bytearray(megabytes << 20))";
    let actions = three(&format!("{THREAD}\n{more}"));
    let pool = pool(&actions).await;
    let found = offer(&pool);
    let eat = found.actions.iter().find(|action| action.name.as_str() == "eat").expect("eat");
    assert!(eat.schema.as_str().contains("megabytes"), "{:?}", eat.schema);
    assert_eq!(run(&pool, "eat", json!({"megabytes": 1})).await.value(), 1 << 20);
    let ended = run(&pool, "eat", json!({"megabytes": 400})).await;
    assert_eq!(ended.failure().kind, "LimitExceeded", "{:?}", ended.outcome);
}

#[tokio::test]
async fn changes_at_the_top_of_a_late_file_hold_for_its_own_attempts() {
    let more = "os.environ['OF_TWO'] = 'yes'\n@action\ndef mine(): return os.environ.get('OF_TWO')";
    let other = "@action\ndef others(): return os.environ.get('OF_TWO')";
    let actions = three(&format!("{THREAD}\n{more}")).file("other.py", &file("other", other));
    let builder = PythonPool::builder(actions.0.path()).size(1).spare(1);
    let pool = Arc::new(builder.start().await.expect("a pool"));
    for _ in 0..3 {
        assert_eq!(call(&pool, "mine").await.value(), "yes");
        assert_eq!(call(&pool, "others").await.value(), json!(null));
    }
}

#[tokio::test]
async fn directory_is_not_copied_where_the_file_cannot_be_told() {
    // In a module that was there before, so that any file may have put it there.
    let actions = three("import tempfile; tempfile.kept = random.Random(1)");
    let pool = pool(&actions).await;
    let [notice] = &*notices(&pool) else { panic!("{:?}", notices(&pool)) };
    assert_eq!(notice.place, actions.0.path().canonicalize().expect("a path").to_string_lossy());
    assert!(notice.message.contains("made tempfile.kept"), "{}", notice.message);
    let before = imports(&actions, "one");
    assert_eq!(before, 1);
    let [_, parent] = survives(&pool, "one").await;
    assert_eq!(parent, i64::from(std::process::id()));
    assert!(imports(&actions, "one") > before);
}

#[tokio::test]
async fn directory_without_other_files_is_not_copied() {
    let actions = Actions::new().file("two.py", &file("two", THREAD));
    let pool = pool(&actions).await;
    let [notice] = &*notices(&pool) else { panic!("{:?}", notices(&pool)) };
    assert_eq!(notice.place, "two.py");
    assert!(notice.message.contains("its import started a thread (ticker)"), "{notice:?}");
    let [_, parent] = survives(&pool, "two").await;
    assert_eq!(parent, i64::from(std::process::id()));
}

#[tokio::test]
async fn copy_that_hangs_gives_its_attempt_back_and_then_none_is_made() {
    let hang = "os.register_at_fork(after_in_child=lambda: os.path.exists(HERE + '/hang') and time.sleep(1000))";
    let actions = Actions::new().file("one.py", &file("one", hang));
    let builder = PythonPool::builder(actions.0.path()).size(1).spare(1);
    let builder = builder.start_timeout(Duration::from_secs(10));
    let pool = Arc::new(builder.start().await.expect("a pool"));
    call(&pool, "one_fresh").await.value();
    std::fs::write(actions.path("hang"), "").expect("a file");
    let mut given_back = 0;
    let value = loop {
        match call(&pool, "one_fresh").await.outcome {
            Outcome::Succeeded(value) => break value.deserialize::<[i64; 2]>().expect("two ids"),
            Outcome::Failed(failure) => {
                assert_eq!(failure.code, FailureCode::NotStarted, "{failure:?}");
                given_back += 1;
                assert!(given_back < 10, "it hangs for ever");
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(given_back, 3);
    assert_eq!(value[1], i64::from(std::process::id()), "it runs in a copy");
    survives(&pool, "one").await;
}

#[tokio::test]
async fn interpreter_that_does_not_read_gives_its_attempt_back() {
    let actions = Actions::new().file("one.py", &file("one", ""));
    let builder = PythonPool::builder(actions.0.path()).size(1).spare(1);
    let builder = builder.start_timeout(Duration::from_secs(10));
    let pool = Arc::new(builder.start().await.expect("a pool"));
    let value = call(&pool, "one").await.value();
    let pid = Pid::from_raw(value[0].as_i64().expect("a process id") as i32).expect("an id");
    freeze(pid).await;
    let ended = call(&pool, "one").await;
    assert_eq!(ended.failure().code, FailureCode::NotStarted, "{:?}", ended.outcome);
    assert!(ended.failure().message.contains("did not begin the attempt within 10 s"));
    assert_ne!(call(&pool, "one").await.value()[0], value[0]);
}

#[tokio::test]
async fn late_import_that_hangs_gives_its_attempt_back() {
    let hold = "while os.path.exists(HERE + '/hold'): time.sleep(0.01)";
    let actions = three(&format!("{THREAD}\n{hold}"));
    let builder = PythonPool::builder(actions.0.path()).size(1).spare(1);
    let builder = builder.start_timeout(Duration::from_secs(10));
    let pool = Arc::new(builder.start().await.expect("a pool"));
    std::fs::write(actions.path("hold"), "").expect("a file");
    call(&pool, "two_dies").await;
    let ended = call(&pool, "two").await;
    assert_eq!(ended.failure().code, FailureCode::NotStarted, "{:?}", ended.outcome);
    call(&pool, "one").await.value();
    std::fs::remove_file(actions.path("hold")).expect("a file");
    call(&pool, "two").await.value();
}
