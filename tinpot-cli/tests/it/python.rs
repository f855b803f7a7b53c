//! The Python environments of a worker, and those in the cache of this machine.

use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use serde_json::Value;

use crate::support::{PATIENCE, Process, Ran, file, page, tinpot};

/// Makes a wheel without a build: a zip with a module and its metadata.
const WHEEL: &str = r#"
import sys, zipfile
folder, name, version = sys.argv[1:]
with zipfile.ZipFile(f"{folder}/{name}-{version}-py3-none-any.whl", "w") as wheel:
    wheel.writestr(f"{name}.py", f"VERSION = {version!r}\n")
    info = f"{name}-{version}.dist-info"
    wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    wheel.writestr(f"{info}/RECORD", "")
"#;
const MONTHLY: &str = "import tinpot_one\nfrom tinpot import action\n\
    @action\ndef monthly(): print(tinpot_one.VERSION)\n";

/// A machine with an index of one wheel, and a cache of its own.
struct Host(tempfile::TempDir);

impl Host {
    fn new() -> Self {
        let place = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
        let host = Self(place);
        host.wheel("1.0");
        host
    }

    /// Adds a version of the package to the index.
    fn wheel(&self, version: &str) {
        let mut make = Command::new("python3");
        make.args(["-c", WHEEL]).arg(self.0.path()).args(["tinpot_one", version]);
        assert!(make.status().expect("python3").success());
    }

    fn actions(&self) -> PathBuf {
        self.0.path().join("actions")
    }

    fn file(&self, name: &str, text: &str) {
        file(&self.actions(), name, text);
    }

    fn tinpot(&self, arguments: &[&str]) -> Command {
        let mut command = tinpot();
        let index = self.0.path();
        command.args(arguments).env("XDG_CACHE_HOME", self.0.path().join("cache"));
        command.env_remove("CACHE_DIRECTORY").env("PIP_NO_INDEX", "1").env("UV_NO_INDEX", "1");
        command.env("PIP_FIND_LINKS", index).env("UV_FIND_LINKS", index).env("UV_OFFLINE", "1");
        // An index with a password, which must not be seen anywhere.
        command.env("PIP_EXTRA_INDEX_URL", "http://me:hush@127.0.0.1:1/simple");
        command
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(self.tinpot(arguments))
    }
}

/// Waits until a worker of the server has an environment in that state, and returns the worker.
fn until(url: &str, host: &Host, state: &str) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let workers = host.run(&["--server", url, "workers", "list", "--json"]).json();
        let worker = &workers["workers"][0];
        if worker["python_environments"][0]["state"] == state {
            return worker.clone();
        }
        assert!(Instant::now() < deadline, "{state}: {workers}");
    }
}

#[test]
fn environment_that_cannot_be_built_is_shown_with_its_reason_until_it_is_mended() {
    let host = Host::new();
    host.file("reports/requirements.txt", "tinpot_one==7\n");
    host.file("reports/monthly.py", MONTHLY);
    let mut dev = host.tinpot(&["dev", "--port", "0"]);
    dev.arg(host.actions());
    let mut dev = Process::start(dev);
    let url = dev.url();
    let worker = until(&url, &host, "failed");
    let environment = &worker["python_environments"][0];
    assert_eq!(environment["place"], "reports/requirements.txt");
    assert!(environment["reason"].as_str().expect("a text").contains("tinpot_one==7"), "{worker}");
    assert_eq!(environment["log"], Value::Null, "lists leave logs out: {worker}");
    let id = worker["id"].as_str().expect("an id");
    let seen = host.run(&["--server", &url, "workers", "show", id]).ok().to_owned();
    for part in ["reports/requirements.txt", "failed", "tinpot_one==7", "  $ ", id] {
        assert!(seen.contains(part), "{part}: {seen}");
    }
    let whole = page(&url, &format!("/api/workers/{id}"));
    let log = host.run(&["python", "log", environment["key"].as_str().expect("a key")]);
    for text in [&seen, &whole, &log.ok().to_owned(), &worker.to_string()] {
        assert!(!text.contains("hush") && !text.contains("me:"), "{text}");
    }
    host.file("reports/requirements.txt", "tinpot_one==1.0\n");
    let worker = until(&url, &host, "ready");
    let environment = &worker["python_environments"][0];
    assert_eq!((&environment["reason"], &environment["packages"]), (&Value::Null, &1.into()));
    let ran = host.run(&["--server", &url, "run", "monthly"]);
    assert!(ran.stderr.contains("1.0"), "{ran:?}");
    host.file("reports/requirements.txt", "tinpot_one==8\n");
    let worker = until(&url, &host, "kept");
    assert!(worker["actions"].to_string().contains("monthly"), "{worker}");
    // What is in use stays, and a retry needs no change of the file.
    let dry = host.run(&["python", "prune", "--json"]).json();
    assert_eq!(dry["python_environments"], Value::Array(Vec::new()), "{dry}");
    host.wheel("8");
    host.run(&["python", "retry"]).ok();
    until(&url, &host, "ready");
    assert!(!dev.seen.iter().any(|line| line.contains("hush")), "{:?}", dev.seen);
}

#[test]
fn environments_are_built_listed_retried_and_pruned_by_hand() {
    let host = Host::new();
    host.file("reports/requirements.txt", "tinpot_one==1.0\n");
    host.file("reports/monthly.py", MONTHLY);
    host.file("plain.py", "");
    let folder = host.actions();
    let dir = folder.to_str().expect("a path");
    let built = host.run(&["python", "build", dir]);
    assert!(built.ok().starts_with("built ") && built.ok().contains(" reports/requirements.txt"));
    assert!(built.stderr.contains("$ ") && !built.stderr.contains("hush"), "{built:?}");
    // By the file that asks, the same one is found.
    let asking = folder.join("reports/requirements.txt");
    let again = host.run(&["python", "build", asking.to_str().expect("a path"), "--json"]).json();
    let again = &again["python_environments"][0];
    assert_eq!((&again["ready"], &again["new"]), (&true.into(), &false.into()), "{again}");
    let nothing = folder.join("plain.py");
    let nothing = host.run(&["python", "build", nothing.to_str().expect("a path")]);
    assert!(nothing.ok().is_empty() && nothing.stderr.contains("asks for no"), "{nothing:?}");
    host.run(&["python", "build", "missing"]).failed(5);
    let wrong = host.0.path().join("wrong");
    file(&wrong, "requirements.txt", "tinpot_one==7\n");
    file(&wrong, "x.py", "");
    let failed = host.run(&["python", "build", wrong.to_str().expect("a path")]);
    assert!(failed.stdout.contains("failed requirements.txt: "), "{failed:?}");
    assert_eq!(failed.code, Some(1), "{failed:?}");
    let list = host.run(&["python", "list"]);
    assert!(list.ok().contains("ready") && list.ok().contains("failed"), "{list:?}");
    let retried = host.run(&["python", "retry"]);
    assert!(retried.ok().contains("wrong/requirements.txt"), "{retried:?}");
    let dry = host.run(&["python", "prune", "--dry-run", "--json"]).json();
    assert_eq!(dry["python_environments"].as_array().map(Vec::len), Some(1), "{dry}");
    let removed = host.run(&["python", "prune"]);
    assert!(removed.ok().contains("reports/requirements.txt"), "{removed:?}");
    assert!(!std::path::Path::new(again["path"].as_str().expect("a path")).exists());
    // The log of the failed build may still be read.
    let list = host.run(&["python", "list", "--json"]).json();
    let states: Vec<_> = list["python_environments"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| &one["state"])
        .collect();
    assert_eq!(states, ["failed"], "{list}");
}
