//! Interpreters that are copies of one that has imported the actions.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tinpot_core::Outcome;
use tinpot_python::PythonPool;

use crate::support::{Actions, MODES, call, exists, is_alive, run, start, until};

const ACTIONS: &str = r#"
import random
HERE = os.path.dirname(__file__)
with open(HERE + "/imports", "a") as file: file.write("%d\n" % os.getpid())

def cookie(text):
    return [one.partition("=")[2] for one in text if one.startswith("TINPOT_INTERPRETER=")]

@action
def meet(name: str, others: int):
    open(f"{HERE}/{name}", "w").close()
    while len([one for one in os.listdir(HERE) if one.startswith("met-")]) < others: time.sleep(0.01)
    with open("/proc/self/environ") as file: shown = cookie(file.read().split("\0"))
    inherited = cookie(subprocess.check_output(["env"], text=True).splitlines())
    return [os.getpid(), os.getsid(0), random.random(), shown, inherited]

@action
def die(): os.kill(os.getpid(), signal.SIGKILL)

@action
def parents(note: str):
    with open(note, "w") as file: file.write("%d\n%d\n" % (os.getppid(), os.getpid()))
    print("ready", flush=True)
    while not os.path.exists(HERE + "/go"): time.sleep(0.01)
    return "went on"

@action
def pid(): return os.getpid()

@action
def parent(): return os.getppid()

@action
def write(text: str):
    print(text)
    print(text, file=sys.stderr)
    os.system("echo " + text)
"#;

async fn pool(actions: &Actions, size: usize) -> Arc<PythonPool> {
    let builder = PythonPool::builder(actions.0.path()).size(size).spare(1);
    Arc::new(builder.start().await.expect("a pool"))
}

fn imports(actions: &Actions) -> usize {
    std::fs::read_to_string(actions.path("imports")).expect("the imports").lines().count()
}

#[tokio::test]
async fn copies_import_nothing_and_have_nothing_in_common() {
    for mode in MODES {
        let actions = Actions::of(ACTIONS);
        let builder = PythonPool::builder(actions.0.path()).size(3).containment(mode);
        let pool = Arc::new(builder.start().await.expect("a pool"));
        let name = |at| json!({"name": format!("met-{at}"), "others": 3});
        let attempts: Vec<_> = (0..3).map(|at| start(&pool, "meet", name(at))).collect();
        let mut seen = Vec::new();
        for attempt in attempts {
            seen.push(attempt.end().await.value());
        }
        for at in 0..5 {
            let values: BTreeSet<_> = seen.iter().map(|value| value[at].to_string()).collect();
            assert_eq!(values.len(), 3, "value {at} of {seen:?}");
        }
        for value in &seen {
            assert_eq!(value[0], value[1], "the copy leads no session");
            assert_eq!(value[3], value[4], "its processes have another mark");
            assert_eq!(value[3].as_array().map(Vec::len), Some(1));
        }
        assert_eq!(imports(&actions), 1);
    }
}

#[tokio::test]
async fn killed_copies_are_replaced_without_another_import() {
    let actions = Actions::of(ACTIONS);
    let pool = pool(&actions, 1).await;
    for _ in 0..20 {
        let Outcome::Failed(failure) = call(&pool, "die").await.outcome else { panic!("it lives") };
        assert!(failure.message.contains("signal 9"), "{failure:?}");
    }
    call(&pool, "pid").await.value();
    assert_eq!(imports(&actions), 1);
}

#[tokio::test]
async fn output_of_copies_belongs_to_their_attempts() {
    let actions = Actions::of(ACTIONS);
    let pool = pool(&actions, 2).await;
    for text in ["one", "two"] {
        let lines = start(&pool, "write", json!({ "text": text })).end().await.lines;
        let mut lines: Vec<_> = lines.into_iter().map(|(_, line)| line).collect();
        lines.sort();
        assert_eq!(lines, [text; 3]);
    }
}

#[tokio::test]
async fn attempts_survive_the_death_of_the_template_and_others_follow() {
    let actions = Actions::of(ACTIONS);
    let pool = pool(&actions, 2).await;
    let note = actions.path("note");
    let running = start(&pool, "parents", json!({ "note": note }));
    running.until_line("ready").await;
    let pids = actions.pids("note", 2).await;
    kill_process(pids[0], Signal::KILL).expect("a template");
    until("the end of the template", || !is_alive(pids[0])).await;
    let own = i64::from(std::process::id());
    for _ in 0..5 {
        // Of this one, and of the one that is ready.
        call(&pool, "die").await;
        call(&pool, "die").await;
        let template = call(&pool, "parent").await.value().as_i64().expect("a process id");
        assert_ne!(template, own, "it imported the files itself");
        let template = Pid::from_raw(template as i32).expect("a process id");
        kill_process(template, Signal::KILL).expect("a template");
    }
    assert!(imports(&actions) > 5, "{} imports", imports(&actions));
    std::fs::write(actions.path("go"), "").expect("a file");
    assert_eq!(running.end().await.value(), "went on");
}

#[tokio::test]
async fn closed_pool_leaves_neither_copies_nor_their_template() {
    use tinpot_core::Executor as _;
    let actions = Actions::of(ACTIONS);
    let pool = pool(&actions, 2).await;
    std::fs::write(actions.path("go"), "").expect("a file");
    start(&pool, "parents", json!({ "note": actions.path("note") })).end().await.value();
    let pids = actions.pids("note", 2).await;
    pool.close().await.expect("closed");
    assert!(pids.iter().all(|pid| !is_alive(*pid)));
}

#[tokio::test]
async fn imports_that_cannot_be_copied_run_in_each_interpreter() {
    let hazards = [
        ("a thread", "threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()"),
        ("a socket", "import socket; kept = socket.socket()"),
        ("an event loop", "import asyncio; kept = asyncio.new_event_loop()"),
        ("a process", "kept = subprocess.Popen(['sleep', '1000'])"),
        ("a pipe", "kept = os.pipe()"),
        ("a file that is written", "kept = open(HERE + '/kept', 'w')"),
        (
            "a database",
            "import sqlite3; kept = sqlite3.connect(HERE + '/db'); kept.execute('create table if not exists t (a)')",
        ),
        ("a generator", "kept = random.Random(1)"),
        ("a lock of processes", "import multiprocessing; kept = multiprocessing.Lock()"),
        ("shared memory", "import mmap; kept = mmap.mmap(-1, 4096)"),
    ];
    for (what, line) in hazards {
        let actions = Actions::of(&format!("{ACTIONS}\n{line}\n"));
        let pool = pool(&actions, 1).await;
        let before = call(&pool, "pid").await.value();
        call(&pool, "die").await;
        call(&pool, "die").await;
        assert_ne!(call(&pool, "pid").await.value(), before);
        assert!(imports(&actions) >= 3, "{what} was copied");
    }
}

#[tokio::test]
async fn files_that_are_read_or_appended_to_are_no_obstacle() {
    let lines = "\nlog = open(HERE + '/log', 'a')\nown = open(__file__)\n";
    let actions = Actions::of(&format!("{ACTIONS}{lines}"));
    let pool = pool(&actions, 1).await;
    for _ in 0..3 {
        call(&pool, "die").await;
    }
    call(&pool, "pid").await.value();
    assert_eq!(imports(&actions), 1);
}

#[tokio::test]
async fn copies_have_a_position_of_their_own_in_files_that_imports_opened() {
    let text = "\nTEXT = open(__file__)\nTEXT.read(2)\n@action\ndef read(): return TEXT.read(4)\n";
    let actions = Actions::of(&format!("{ACTIONS}{text}"));
    let pool = pool(&actions, 1).await;
    for _ in 0..3 {
        assert_eq!(call(&pool, "read").await.value(), "port");
        call(&pool, "die").await;
    }
    assert_eq!(imports(&actions), 1);
}

#[tokio::test]
async fn objects_that_refuse_to_be_looked_at_are_no_obstacle() {
    let lazy = "\nclass Lazy:\n    @property\n    \
                def __class__(self): raise RuntimeError('not configured')\nLAZY = Lazy()\n";
    let actions = Actions::of(&format!("{ACTIONS}{lazy}"));
    let pool = pool(&actions, 1).await;
    call(&pool, "die").await;
    call(&pool, "die").await;
    call(&pool, "pid").await.value();
    assert_eq!(imports(&actions), 1);
}

#[tokio::test]
async fn processes_of_killed_copies_do_not_stay_as_zombies() {
    let text = "\n@action\ndef wait(note: str):\n    \
                child = subprocess.Popen(['sleep', '1000'])\n    \
                with open(note, 'w') as file: file.write('%d\\n%d\\n' % (os.getppid(), child.pid))\n    \
                print('ready', flush=True)\n    time.sleep(1000)\n";
    let actions = Actions::of(&format!("{ACTIONS}{text}"));
    let pool = pool(&actions, 1).await;
    let note = actions.path("note");
    let running = start(&pool, "wait", json!({ "note": note }));
    running.until_line("ready").await;
    let pids = actions.pids("note", 2).await;
    running.ask(Duration::ZERO);
    assert_eq!(running.end().await.outcome, Outcome::Cancelled);
    until("the end of the child", || !exists(pids[1])).await;
    assert!(is_alive(pids[0]), "the template has ended");
}

#[tokio::test]
async fn what_outlives_a_copy_does_not_stay_as_a_zombie() {
    let text = "\n@action\ndef leave(note: str):\n    \
                child = subprocess.Popen(['/bin/sleep', '1000'], env={}, start_new_session=True)\n    \
                with open(note, 'w') as file: file.write('%d\\n%d\\n' % (os.getppid(), child.pid))\n    \
                os._exit(3)\n";
    let actions = Actions::of(&format!("{ACTIONS}{text}"));
    let pool = pool(&actions, 1).await;
    run(&pool, "leave", json!({ "note": actions.path("note") })).await.failure();
    let pids = actions.pids("note", 2).await;
    // With a cgroup, it was killed with the copy.
    let _ = kill_process(pids[1], Signal::KILL);
    until("the end of the child", || !exists(pids[1])).await;
    assert!(is_alive(pids[0]), "the template has ended");
}
