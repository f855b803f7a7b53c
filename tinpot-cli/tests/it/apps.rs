//! Packing, deploying and rolling back.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::Value;

use crate::support::{Process, Ran, Server, file, tinpot};

const TOWERFILE: &str = r#"
[app]
name = "hello"
script = "main.sh"

[[parameters]]
name = "name"
default = "World"
"#;

/// Writes an app that says this.
fn app(dir: &Path, says: &str) {
    file(dir, "Towerfile", TOWERFILE);
    file(dir, "main.sh", &format!("echo {says}\n"));
}

#[test]
fn a_directory_is_packed_listed_and_checked() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().join("app");
    std::fs::create_dir(&dir).expect("a folder");
    app(&dir, "hello");
    file(&dir, "notes.txt", "not for others");
    let run = |more: &[&str]| {
        let mut command = tinpot();
        command.current_dir(&dir).arg("pack").args(more);
        Ran::of(command)
    };
    assert_eq!(run(&["--list"]).ok(), "Towerfile\nmain.sh\nnotes.txt\n");
    assert_eq!(run(&["--list", "--exclude", "*.txt"]).ok(), "Towerfile\nmain.sh\n");
    let listed = run(&["--list", "--json"]);
    let first: Value =
        serde_json::from_str(listed.ok().lines().next().expect("a line")).expect("JSON");
    assert_eq!(first["path"], "Towerfile");
    let checked = run(&[]);
    assert!(checked.ok().starts_with("hello: 3 files, "), "{checked:?}");
    assert!(checked.stderr.contains("not written"), "{checked:?}");
    let output = folder.path().join("hello.tar.gz");
    let packed = run(&["--output", output.to_str().expect("UTF-8"), "--json"]).json();
    let size = std::fs::metadata(&output).expect("an archive").len();
    assert_eq!((&packed["app"], &packed["archive"]["bytes"]), (&"hello".into(), &size.into()));
    // The same again, whatever the times of the files.
    file(&dir, "notes.txt", "not for others");
    assert_eq!(run(&["--json"]).json()["bundle"], packed["bundle"]);
}

#[test]
fn what_cannot_be_packed_is_named_with_a_remedy() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = |arguments: &[&str]| {
        let mut command = tinpot();
        // No server is asked.
        command.env("TINPOT_SERVER", "http://127.0.0.1:9").current_dir(folder.path());
        command.args(arguments);
        Ran::of(command)
    };
    for command in [&["pack"][..], &["pack", "--list"], &["deploy"], &["versions", "upload"]] {
        let none = run(command);
        assert!(
            none.failed(5).contains("no Towerfile and no Python function with @action in ."),
            "{none:?}"
        );
        let away = run(&[command, &["elsewhere"]].concat());
        assert!(away.failed(5).contains("no directory elsewhere"), "{away:?}");
    }
    file(folder.path(), "Towerfile", "[app]\nname = \"Hello\"\nscript = \"main.sh\"\n");
    assert!(run(&["deploy"]).failed(2).contains("app.name must have 3 to 32 lower-case"));
    file(folder.path(), "Towerfile", "[app]\nname = \"hello\"\nscript = \"main.sh\"\n");
    assert!(run(&["deploy"]).failed(2).contains("app.script \"main.sh\" must be a file"));
    file(folder.path(), "main.sh", "echo\n");
    let text = "[app]\nname = \"hello\"\nscript = \"main.sh\"\nsorce = []\n";
    file(folder.path(), "Towerfile", text);
    let warned = run(&["pack"]);
    warned.ok();
    assert!(warned.stderr.contains("did you mean \"source\"?"), "{warned:?}");
    assert!(run(&["deploy"]).failed(8).contains("cannot reach the server"));
}

#[test]
fn an_app_is_deployed_changed_rolled_back_and_disabled() {
    let server = Server::start();
    let folder = tempfile::tempdir().expect("a folder");
    let run = |arguments: &[&str]| {
        let mut command = server.tinpot(arguments);
        command.current_dir(folder.path());
        Ran::of(command)
    };
    assert!(run(&["apps", "list"]).stderr.contains("no apps"));
    app(folder.path(), "one");
    let first = run(&["deploy"]);
    assert_eq!(first.ok(), "hello: version 1 is active\n");
    assert!(first.stderr.contains("created app hello"), "{first:?}");
    assert_eq!(run(&["deploy"]).ok(), "hello: unchanged, version 1 is active\n");
    // The app is an action, with the inputs of its Towerfile.
    let action = run(&["actions", "show", "hello"]);
    assert!(action.ok().contains("--name <TEXT>"), "{action:?}");
    app(folder.path(), "two");
    let second = run(&["deploy", "--json"]).json();
    assert_eq!((&second["result"], &second["version"]["version"]), (&"created".into(), &2.into()));

    let diff = run(&["versions", "diff", "hello", "1", "--names"]);
    assert_eq!(diff.ok(), "~ main.sh\n");
    let diff = run(&["versions", "diff", "hello", "1"]);
    assert_eq!(diff.ok(), "~ main.sh\n@@ -1 +1 @@\n-echo one\n+echo two\n");
    assert!(run(&["versions", "diff", "hello", "2", "2"]).stderr.contains("no differences"));
    let diff = run(&["versions", "diff", "hello", "1", "2", "--json"]).json();
    assert_eq!(diff["files"][0]["change"], "changed");
    let shown = run(&["versions", "show", "hello"]);
    for part in ["hello 2  active", "runtime  script", "2 files", "main.sh", "name = \"hello\""] {
        assert!(shown.ok().contains(part), "{part:?} in {shown:?}");
    }
    assert_eq!(run(&["versions", "show", "hello", "1", "--json"]).json()["active"], false);

    assert_eq!(run(&["rollback", "hello"]).ok(), "hello: version 1 is active, instead of 2\n");
    assert!(run(&["rollback", "hello"]).failed(6).contains("no version before 1"));
    assert!(
        run(&["rollback", "hello", "7"]).failed(5).contains("has no version 7; the latest is 2")
    );
    let back = "hello: version 2 is active again, with the same content\n";
    assert_eq!(run(&["deploy"]).ok(), back);
    app(folder.path(), "three");
    let uploaded = run(&["versions", "upload"]);
    assert!(
        uploaded.ok().contains("version 3 is there; `tinpot rollback hello 3`"),
        "{uploaded:?}"
    );
    let list = run(&["versions", "list", "hello"]);
    let rows: Vec<&str> = list.ok().lines().collect();
    assert_eq!(rows.len(), 4, "{list:?}");
    assert!(rows[1].starts_with("3 ") && rows[2].contains("active"), "{list:?}");
    assert_eq!(run(&["versions", "list", "hello", "-n", "1"]).ok().lines().count(), 2);

    assert!(run(&["apps", "disable", "hello"]).ok().contains("hello is disabled"));
    let refused = run(&["run", "hello", "--detach"]);
    assert!(refused.failed(6).contains("action \"hello\" is disabled"), "{refused:?}");
    let listed = run(&["apps", "list"]);
    assert!(listed.ok().lines().nth(1).is_some_and(|row| row.contains("disabled")), "{listed:?}");
    let again = run(&["deploy"]);
    assert!(again.ok().contains("version 3 is active"), "{again:?}");
    assert!(again.stderr.contains("`tinpot apps enable hello` enables it"), "{again:?}");
    run(&["apps", "enable", "hello"]).ok();
    let shown = run(&["apps", "show", "hello"]);
    for part in ["state    enabled", "active   3", "VERSION"] {
        assert!(shown.ok().contains(part), "{part:?} in {shown:?}");
    }
    assert_eq!(run(&["apps", "list", "--json"]).json()["apps"][0]["name"], "hello");

    assert!(run(&["apps", "show", "helo"]).failed(5).contains("did you mean"));
    assert!(run(&["versions", "list", "helo"]).failed(5).contains("no app \"helo\""));
    let made = run(&["apps", "create", "other-app", "--description", "Another"]);
    assert!(made.ok().contains("other-app was created"), "{made:?}");
    assert!(run(&["apps", "create", "other-app"]).failed(6).contains("there is an app"));
    run(&["apps", "create", "third-app"]).ok();
    let removed = run(&["apps", "remove", "third-app"]);
    assert!(removed.stderr.contains("third-app was removed"), "{removed:?}");
    run(&["apps", "show", "third-app"]).failed(5);
    assert!(run(&["apps", "create", "X"]).failed(2).contains("must have 3 to 32"));
    assert!(run(&["rollback", "other-app"]).failed(6).contains("has no active version"));
    assert!(run(&["versions", "show", "other-app"]).failed(6).contains("no active version"));
}

#[test]
fn a_name_that_a_worker_offers_is_refused_and_the_version_waits() {
    let server = Server::start();
    let folder = tempfile::tempdir().expect("a folder");
    let towerfile = "[app]\nname = \"noop\"\nscript = \"main.sh\"\n";
    file(folder.path(), "Towerfile", towerfile);
    file(folder.path(), "main.sh", "echo\n");
    let dir = folder.path().to_str().expect("UTF-8");
    let refused = server.run(&["deploy", dir]);
    assert!(refused.failed(6).contains("offers an action of this name"), "{refused:?}");
    let app = server.run(&["apps", "show", "noop", "--json"]).json();
    assert_eq!((&app["active_version"], &app["latest_version"]), (&Value::Null, &1.into()));
    server.run(&["run", "noop"]).ok();
}

#[test]
fn versions_and_bundles_outlive_a_killed_server() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().join("app");
    std::fs::create_dir(&dir).expect("a folder");
    app(&dir, "one");
    let actions = folder.path().join("actions");
    file(&actions, "own.py", "from tinpot import action\n\n@action\ndef own():\n    pass\n");
    let start = || {
        let mut command = tinpot();
        command.current_dir(folder.path());
        command.args(["dev", "--port", "0", "--store", "tinpot.db"]);
        let mut process = Process::start(command);
        let url = process.url();
        (process, url)
    };
    let run = |url: &str, arguments: &[&str]| {
        let mut command = tinpot();
        command.env("TINPOT_SERVER", url).current_dir(&dir).args(arguments);
        Ran::of(command)
    };
    let (mut server, url) = start();
    assert_eq!(run(&url, &["deploy"]).ok(), "hello: version 1 is active\n");
    server.kill();
    let blobs = folder.path().join("tinpot.db.blobs");
    let mode = std::fs::metadata(blobs).expect("a folder").permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    let (_server, url) = start();
    assert_eq!(run(&url, &["deploy"]).ok(), "hello: unchanged, version 1 is active\n");
    assert!(run(&url, &["versions", "show", "hello"]).ok().contains("main.sh"));
    assert!(run(&url, &["actions", "show", "hello"]).ok().contains("--name <TEXT>"));

    let mut command = tinpot();
    command.current_dir(folder.path()).args(["dev", "--port", "0", "--blobs", "elsewhere"]);
    let refused = Ran::of(command);
    assert!(refused.failed(1).contains("--blobs (TINPOT_BLOBS) needs a store in a file"));
}
