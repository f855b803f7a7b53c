//! Python environments.

use serde_json::json;
use tinpot_core::{Outcome, Stream};

use crate::support::{AMPLE, Apps, call, start, until};

const IMPORT: &str = "import tinpot_test_package\nprint(tinpot_test_package.NAME)\n";

/// A wheel without a build: a zip with a module and its metadata.
const WHEEL: &str = r#"
import sys, zipfile
folder, name = sys.argv[1:]
with zipfile.ZipFile(f"{folder}/tinpot_test_package-1.0-py3-none-any.whl", "w") as wheel:
    wheel.writestr("tinpot_test_package.py", f"NAME = {name!r}\n")
    info = "tinpot_test_package-1.0.dist-info"
    wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tinpot-test-package\nVersion: 1.0\n")
    wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    wheel.writestr(f"{info}/RECORD", "")
"#;

fn with_wheel(name: &str) -> Apps {
    let apps = Apps::python("packaged", IMPORT).file("make_wheel.py", WHEEL).file(
        "packaged/requirements.txt",
        "--no-index\n--find-links ./wheels\ntinpot-test-package==1.0\n",
    );
    std::fs::create_dir(apps.path("packaged/wheels")).expect("a directory");
    wheel(&apps, name);
    apps
}

fn wheel(apps: &Apps, name: &str) {
    let made = std::process::Command::new("python3")
        .arg(apps.path("make_wheel.py"))
        .arg(apps.path("packaged/wheels"))
        .arg(name)
        .status();
    assert!(made.expect("python3").success());
}

#[tokio::test]
async fn requirements_are_installed_once() {
    let apps = with_wheel("one");
    let executor = apps.start().await;
    let first = call(&executor, "packaged").await;
    assert_eq!(first.stdout(), ["one"], "{:?}", first.lines);
    let said = first.stream(Stream::System).join("\n");
    for part in [
        "using Python interpreter at: /",
        "creating virtual environment at: .venv",
        "installing dependencies from requirements.txt",
        "Successfully installed tinpot-test-package-1.0",
    ] {
        assert!(said.contains(part), "{said}");
    }
    let second = call(&executor, "packaged").await;
    assert_eq!(second.stdout(), ["one"]);
    assert!(!second.stream(Stream::System).join("\n").contains("installing"));
    // The wheel is a file of the app, to which the requirements refer.
    wheel(&apps, "two");
    assert_eq!(call(&executor, "packaged").await.stdout(), ["two"]);
}

#[tokio::test]
async fn attempts_at_once_share_one_build() {
    let apps = with_wheel("shared");
    let cache = tempfile::tempdir().expect("a directory");
    let builder = apps.builder().cache(cache.path().join("cache"));
    let executor = std::sync::Arc::new(builder.start().await.expect("an executor"));
    let all: Vec<_> = (0..4).map(|_| start(&executor, "packaged", json!({}))).collect();
    let mut builds = 0;
    for running in all {
        let ended = running.end().await;
        assert_eq!(ended.stdout(), ["shared"], "{:?}", ended.lines);
        builds += usize::from(ended.stream(Stream::System).join("\n").contains("creating"));
    }
    assert_eq!(builds, 1);
}

#[tokio::test]
async fn requirements_that_do_not_install_fail_with_the_reason() {
    let apps = Apps::python("broken", IMPORT)
        .file("broken/requirements.txt", "--no-index\ntinpot-no-such-package==1\n");
    let executor = apps.start().await;
    for _ in 0..2 {
        let ended = call(&executor, "broken").await;
        let failure = ended.failure();
        assert_eq!(failure.kind, "SetupFailed");
        assert!(failure.message.contains("cannot install dependencies"), "{failure:?}");
        assert!(failure.message.contains("tinpot-no-such-package"), "{failure:?}");
    }
}

/// A package whose build does not end, and starts a process that does not, either.
fn hanging() -> Apps {
    Apps::new()
        .app("hanging", "main.py", "[tinpot]\nsetup_timeout = \"SECONDS\"\n", IMPORT)
        .file("hanging/requirements.txt", "--no-index\n./package\n")
        .file(
            "hanging/package/pyproject.toml",
            "[build-system]\nrequires = []\nbuild-backend = \"backend\"\nbackend-path = [\".\"]\n",
        )
        .file(
            "hanging/package/backend.py",
            "import subprocess, time\nsubprocess.Popen(['sleep', '600'])\ntime.sleep(600)\n",
        )
}

fn towerfile(apps: &Apps, limit: &str) {
    let text = std::fs::read_to_string(apps.path("hanging/Towerfile")).expect("a file");
    apps.write("hanging/Towerfile", &text.replace("SECONDS", limit));
}

#[tokio::test]
async fn set_up_that_hangs_ends_at_its_limit() {
    let apps = hanging();
    towerfile(&apps, "6s");
    let executor = apps.start().await;
    let ended = call(&executor, "hanging").await;
    assert!(ended.failure().message.contains("time limit"), "{:?}", ended.failure());
}

#[tokio::test]
async fn set_up_can_be_cancelled() {
    let apps = hanging();
    towerfile(&apps, "10m");
    let executor = apps.start().await;
    let running = start(&executor, "hanging", json!({}));
    running.until_line("installing dependencies from requirements.txt").await;
    running.ask(AMPLE);
    assert_eq!(running.end().await.outcome, Outcome::Cancelled);
}

#[tokio::test]
async fn python_versions_are_checked() {
    let script = "import sys\nprint(sys.version_info >= (3, 8))\n";
    let apps = Apps::new().app("any", "main.py", "[tinpot]\npython = \">=3.8\"\n", script).app(
        "future",
        "main.py",
        "[tinpot]\npython = \">=3.99\"\n",
        script,
    );
    let executor = apps.start().await;
    assert_eq!(call(&executor, "any").await.stdout(), ["True"]);
    let ended = call(&executor, "future").await;
    let failure = ended.failure();
    assert!(failure.message.contains("needs Python >=3.99, and this worker has 3."), "{failure:?}");
}

#[tokio::test]
async fn what_was_not_used_for_the_longest_time_leaves_the_cache() {
    let cache = tempfile::tempdir().expect("a directory");
    let root = cache.path().join("cache");
    let apps = with_wheel("small");
    let builder = apps.builder().cache(&root).cache_bytes(1);
    let executor = std::sync::Arc::new(builder.start().await.expect("an executor"));
    assert_eq!(call(&executor, "packaged").await.stdout(), ["small"]);
    let venvs = || {
        let entries = std::fs::read_dir(root.join("venvs")).expect("a directory").flatten();
        entries.filter(|entry| entry.path().is_dir()).count()
    };
    // It is in use while it is built: only the next one removes it.
    assert_eq!(venvs(), 1);
    wheel(&apps, "other");
    assert_eq!(call(&executor, "packaged").await.stdout(), ["other"]);
    until("the first one is gone", || venvs() == 1).await;
}
