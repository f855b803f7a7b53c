//! The files of a directory: which ones are imported, by which names, and which actions are offered.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use serde_json::json;
use tinpot_core::Executor;
use tinpot_core::executor::ActionSet;
use tinpot_python::PythonPool;

use crate::support::{Actions, call, names, offer, until, within};

/// A file with one action, which returns a value.
fn returning(name: &str, value: &str) -> String {
    format!("from tinpot import action\n@action\ndef {name}(): return {value}\n")
}

/// A pool that copies its files, and one that imports them from the disk.
async fn pools(root: &Path) -> [Arc<PythonPool>; 2] {
    let start = async |reload| {
        let builder = PythonPool::builder(root).size(1).spare(0).reload(reload);
        Arc::new(builder.start().await.expect("a pool"))
    };
    [start(true).await, start(false).await]
}

fn sorted(offer: &ActionSet) -> Vec<&str> {
    let mut found = names(offer);
    found.sort_unstable();
    found
}

fn error_at<'a>(offer: &'a ActionSet, place: &str) -> &'a str {
    let found = offer.load_errors.iter().find(|error| error.place == place);
    found.map_or_else(|| panic!("{place}: {:#?}", offer.load_errors), |error| &error.message)
}

#[tokio::test]
async fn files_behind_links_belong_to_the_directory() {
    let shared = Actions::new()
        .file("backup.py", &returning("backup", "__file__"))
        .file("jobs/clean.py", &returning("clean", "1"))
        .file("jobs/deep/er.py", &returning("deep", "2"));
    let actions = Actions::new().file("own.py", &returning("own", "3"));
    symlink(shared.path("backup.py"), actions.path("backup.py")).expect("a link");
    symlink(shared.path("jobs"), actions.path("jobs")).expect("a link");
    for pool in pools(actions.0.path()).await {
        let offer = offer(&pool);
        assert_eq!(offer.load_errors, []);
        assert_eq!(sorted(&offer), ["backup", "clean", "deep", "own"]);
        assert_eq!(call(&pool, "deep").await.value(), json!(2));
    }
}

#[tokio::test]
async fn what_is_left_out_is_reported_with_the_reason() {
    let library = Actions::new()
        .file("corp/__init__.py", "")
        .file("corp/jobs.py", &format!("{}\n@action\ndef other(): pass\n", returning("deploy", "1")))
        .file(
            "corp/timing.py",
            "def timed(function):\n    def wrapper(value: complex): return function(value)\n    return wrapper\n",
        );
    let path = library.0.path().display();
    let actions = Actions::new()
        .file("uses.py", &format!("import sys\nsys.path.append('{path}')\nfrom corp.jobs import *\n"))
        .file(
            "z_timed.py",
            "from tinpot import action\nfrom corp.timing import timed\n@action\n@timed\ndef quick(value: int): return value\n",
        )
        .file(
            "z_adopts.py",
            "from tinpot import action\nimport corp.jobs\nmine = action(name='mine')(corp.jobs.other.__wrapped__)\n",
        );
    symlink(actions.path("gone-elsewhere.py"), actions.path("gone.py")).expect("a link");
    for pool in pools(actions.0.path()).await {
        let offer = offer(&pool);
        assert_eq!(sorted(&offer), ["mine"]);
        let left_out = error_at(&offer, "uses.py");
        assert!(left_out.contains("deploy, other"), "{left_out}");
        assert!(left_out.contains("corp/jobs.py"), "{left_out}");
        let hidden = error_at(&offer, "z_timed.py:3");
        assert!(hidden.contains("functools.wraps") && hidden.contains("complex"), "{hidden}");
        let dangling = error_at(&offer, "gone.py");
        assert!(dangling.contains("No such file"), "{dangling}");
        assert_eq!(offer.load_errors.len(), 3, "{:#?}", offer.load_errors);
    }
}

#[tokio::test]
async fn functions_of_one_decorator_without_wraps_are_not_taken_for_each_other() {
    let decorator =
        "def plain(function):\n    def wrapper(): return function()\n    return wrapper\n";
    let actions = Actions::new().file("own_decorator.py", decorator).file(
        "jobs.py",
        "from tinpot import action\nfrom own_decorator import plain\n\
         @action\n@plain\ndef one(): return 1\n@action\n@plain\ndef two(): return 2\n",
    );
    for pool in pools(actions.0.path()).await {
        let offer = offer(&pool);
        assert_eq!(names(&offer), [""; 0]);
        assert!(offer.load_errors[0].message.contains("'wrapper'"), "{:#?}", offer.load_errors);
    }
}

#[tokio::test]
async fn moved_link_leads_to_the_new_files() {
    let releases = Actions::new()
        .file("1/jobs.py", &returning("version", "'old'"))
        .file("1/same.py", &returning("place", "__file__"))
        .file("2/jobs.py", &returning("version", "'new'"))
        .file("2/same.py", &returning("place", "__file__"));
    let current = releases.path("current");
    symlink("1", &current).expect("a link");
    let builder = PythonPool::builder(&current).size(1).spare(0);
    let pool = Arc::new(builder.start().await.expect("a pool"));
    assert_eq!(call(&pool, "version").await.value(), json!("old"));
    let mut offers = pool.actions();
    offers.try_next();
    symlink("2", releases.path("next")).expect("a link");
    fs::rename(releases.path("next"), &current).expect("a moved link");
    within("the new release", offers.next()).await.expect("an offer");
    assert_eq!(call(&pool, "version").await.value(), json!("new"));
    let place = call(&pool, "place").await.value();
    assert!(place.as_str().is_some_and(|place| place.ends_with("2/same.py")), "{place}");
    // The new directory is watched.
    fs::write(releases.path("2/more.py"), returning("more", "1")).expect("a file");
    until("the new file", || names(&offer(&pool)).contains(&"more")).await;
}

#[tokio::test]
async fn link_to_equal_files_elsewhere_is_noticed() {
    let text = returning("place", "__file__");
    let releases = Actions::new().file("1/jobs.py", &text).file("2/jobs.py", &text);
    let current = releases.path("current");
    symlink("1", &current).expect("a link");
    let builder = PythonPool::builder(&current).size(1).spare(0);
    let pool = Arc::new(builder.start().await.expect("a pool"));
    let mut offers = pool.actions();
    offers.try_next();
    fs::remove_file(&current).expect("removed");
    symlink("2", &current).expect("a link");
    within("the new release", offers.next()).await.expect("an offer");
    let place = call(&pool, "place").await.value();
    assert!(place.as_str().is_some_and(|place| place.ends_with("2/jobs.py")), "{place}");
}

#[tokio::test]
async fn only_the_named_file_and_its_imports_are_run() {
    let actions = Actions::new()
        .file("go.py", &format!("from helper import VALUE\n{}", returning("go", "VALUE")))
        .file("helper.py", "VALUE = 7\n")
        .file("cleanup.py", "open('ran.txt', 'w')\nraise RuntimeError\n")
        .file("deep/er/twin.py", &returning("go", "8"));
    let builder = PythonPool::builder(actions.0.path()).size(1).spare(0).only("go.py");
    let pool = Arc::new(builder.start().await.expect("a pool"));
    let offer = offer(&pool);
    assert_eq!((names(&offer), offer.load_errors.len()), (vec!["go"], 0));
    assert_eq!(call(&pool, "go").await.value(), json!(7));
}

#[tokio::test]
async fn copy_of_a_file_takes_nothing_out_of_service() {
    let actions = Actions::new().file("deploy.py", &returning("deploy", "1"));
    let pool = actions.pool().await;
    fs::write(actions.path("a deploy.py"), returning("deploy", "2")).expect("a copy");
    until("the problem", || !offer(&pool).load_errors.is_empty()).await;
    let changed = offer(&pool);
    assert_eq!(names(&changed), ["deploy"]);
    let problem = error_at(&changed, "a deploy.py:2");
    assert!(problem.contains("deploy.py:2 has that name already"), "{problem}");
    assert_eq!(call(&pool, "deploy").await.value(), json!(1));
    // Other changes do not forget it.
    fs::write(actions.path("more.py"), returning("more", "1")).expect("a file");
    until("the new file", || names(&offer(&pool)).contains(&"more")).await;
    assert_eq!(call(&pool, "deploy").await.value(), json!(1));
    fs::remove_file(actions.path("a deploy.py")).expect("removed");
    until("no problem", || offer(&pool).load_errors.is_empty()).await;
}

#[tokio::test]
async fn equal_copy_that_was_there_before_takes_nothing_out_of_service() {
    let actions = Actions::new()
        .file("deploy.py", &returning("deploy", "1"))
        .file("deploy copy.py", &returning("deploy", "1"));
    for pool in pools(actions.0.path()).await {
        let offer = offer(&pool);
        assert_eq!(names(&offer), ["deploy"]);
        error_at(&offer, "deploy copy.py:2");
        assert_eq!(call(&pool, "deploy").await.value(), json!(1));
    }
}

#[tokio::test]
async fn half_an_imported_file_is_not_offered() {
    let actions = Actions::new()
        .file("a.py", "try:\n    import broken\nexcept Exception: pass\n")
        .file("broken.py", &format!("{}1 / 0\n", returning("half", "1")));
    for pool in pools(actions.0.path()).await {
        let offer = offer(&pool);
        assert_eq!(names(&offer), [""; 0]);
        assert!(error_at(&offer, "broken.py").contains("ZeroDivisionError"));
    }
}

#[tokio::test]
async fn imports_of_older_tinpots_work() {
    let actions = Actions::new()
        .file("x.py", "LOADED = []\nLOADED.append(1)\nfrom tinpot.decorators import action\n@action('one', 'Group', 'Text')\ndef f(): return LOADED\n")
        .file("by_name.py", &format!("from actions.x import LOADED\n{}", returning("named", "LOADED")))
        .file("relative.py", &format!("from . import x\nfrom .x import LOADED\n{}", returning("relative", "x.LOADED is LOADED")))
        .file("sub/inner.py", &format!("from ..x import LOADED\nfrom .other import B\nfrom actions.sub.other import B as C\n{}", returning("inner", "[B is C, LOADED]")))
        .file("sub/other.py", "B = []\n")
        .file("statistics.py", &format!("from .x import LOADED\n{}", returning("like_the_library", "LOADED")))
        .file("uses.py", &format!("from actions.statistics import like_the_library as f\n{}", returning("uses", "f()")))
        .file("__init__.py", "NAME = 'package'\nfrom tinpot import action\n@action\ndef at_the_top(): return NAME\n")
        .file("top.py", &format!("from . import NAME\n{}", returning("top", "NAME")))
        .file("old.py", "import subprocess\nfrom tinpot import action, action_print, capture_subprocess_output, run_command\nimport tinpot.logging\n@action(\"captured\", \"Group\")\ndef f():\n    with capture_subprocess_output():\n        action_print('line')\n    return run_command('echo $((1 + 1))').stdout.strip()\n");
    for pool in pools(actions.0.path()).await {
        assert_eq!(offer(&pool).load_errors, []);
        for (action, value) in [
            ("one", json!([1])),
            ("named", json!([1])),
            ("relative", json!(true)),
            ("inner", json!([true, [1]])),
            ("like_the_library", json!([1])),
            ("uses", json!([1])),
            ("at_the_top", json!("package")),
            ("top", json!("package")),
            ("captured", json!("2")),
        ] {
            assert_eq!(call(&pool, action).await.value(), value, "{action}");
        }
        let offer = offer(&pool);
        let one = offer.actions.iter().find(|action| action.name == "one").expect("an action");
        assert_eq!((&*one.group, &*one.description), ("Group", "Text"));
    }
}

#[tokio::test]
async fn package_found_by_its_parent_is_not_loaded_twice() {
    let parent = Actions::new().file("jobs/state.py", "LOADED = []\nLOADED.append(1)\n").file(
        "jobs/uses.py",
        &format!(
            "import state\nfrom jobs.state import LOADED\n{}",
            returning("uses", "[LOADED is state.LOADED, LOADED]")
        ),
    );
    let builder = PythonPool::builder(parent.path("jobs")).size(1).spare(0);
    let pool = builder.env("PYTHONPATH", parent.0.path()).start().await.expect("a pool");
    let pool = Arc::new(pool);
    assert_eq!(call(&pool, "uses").await.value(), json!([true, [1]]));
}

#[tokio::test]
async fn library_below_the_directory_keeps_its_own_imports() {
    let actions = Actions::new()
        .file("_libraries/corp/__init__.py", "from .inner import VALUE\n")
        .file("_libraries/corp/inner.py", "from . import other\nVALUE = other.VALUE, __package__\n")
        .file("_libraries/corp/other.py", "VALUE = 1\n");
    let path = actions.path("_libraries");
    let actions = actions.file(
        "uses.py",
        &format!(
            "import sys\nsys.path.insert(0, {path:?})\nfrom corp import VALUE\n{}",
            returning("uses", "VALUE")
        ),
    );
    for pool in pools(actions.0.path()).await {
        assert_eq!(offer(&pool).load_errors, []);
        assert_eq!(call(&pool, "uses").await.value(), json!([1, "corp"]));
    }
}

#[tokio::test]
async fn processes_that_multiprocessing_spawns_find_the_modules() {
    let file = |name: &str, import: &str| {
        format!(
            "import multiprocessing\n{import}\nfrom tinpot import action\n\
             def square(x): return x * x\n\
             @action(timeout=30)\ndef {name}():\n    \
             with multiprocessing.get_context('spawn').Pool(1) as pool:\n        \
             return pool.map(square, [1, 2])\n"
        )
    };
    let actions = Actions::new()
        .file("statistics.py", &file("like_the_library", "from .helper import X"))
        .file("squares.py", &file("plain", "from actions.helper import X"))
        .file("helper.py", "X = 1\n")
        .file("with.dots.py", &file("dots", ""))
        .file("json/inner.py", &file("inner", ""));
    for pool in pools(actions.0.path()).await {
        assert_eq!(offer(&pool).load_errors, []);
        for action in ["like_the_library", "plain", "dots", "inner"] {
            assert_eq!(call(&pool, action).await.value(), json!([1, 4]), "{action}");
        }
    }
}

#[tokio::test]
async fn what_the_coordinator_refuses_is_a_problem_with_its_place() {
    let file = |pattern: &str| {
        format!(
            "from typing import Annotated\nfrom tinpot import Param, action\n@action\n\
             def secret(value: Annotated[str, Param(pattern=r'{pattern}')]): pass\n"
        )
    };
    for pattern in [r"^(?=.*\d).{8,}$", r"\Av\d+\Z", r"(a)\1", r"(?<!a)b"] {
        let actions = Actions::new().file("jobs.py", &file(pattern));
        let [_, pool] = pools(actions.0.path()).await;
        let offer = offer(&pool);
        assert_eq!(names(&offer), [""; 0], "{pattern}");
        let problem = error_at(&offer, "jobs.py:3");
        for part in ["secret", "/properties/value/pattern", "regular expression", "\\A"] {
            assert!(problem.contains(part), "{part} in {problem}");
        }
    }
}

#[tokio::test]
async fn question_for_the_version_runs_nothing_of_the_directory() {
    // The working directory is one per process: the program of the test is started once more.
    const VARIABLE: &str = "TINPOT_TEST_DIRECTORY";
    if let Some(directory) = std::env::var_os(VARIABLE) {
        let pool = Arc::new(PythonPool::builder(directory).start().await.expect("a pool"));
        assert_eq!(call(&pool, "fine").await.value(), json!(1));
        return;
    }
    let noisy = Actions::new().file("sitecustomize.py", "print('hello from the site')\n");
    let actions = Actions::new().file("fine.py", &returning("fine", "1"));
    for name in ["json.py", "site.py", "encodings.py", "posix.py", "os.py"] {
        fs::write(actions.path(name), "").expect("a file");
    }
    let program = std::env::current_exe().expect("this program");
    let test = "files::question_for_the_version_runs_nothing_of_the_directory";
    let mut command = Command::new(program);
    command.args([test, "--exact"]).current_dir(actions.0.path());
    command.env(VARIABLE, ".").env("PYTHONPATH", noisy.0.path());
    let output = command.output().expect("the program of the test");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
