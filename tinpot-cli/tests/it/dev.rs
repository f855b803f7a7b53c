//! `tinpot dev`: the first five minutes.

use std::net::TcpListener;

use rustix::process::Signal;

use crate::support::{Process, Ran, file, page, tinpot};

fn dev(folder: &std::path::Path) -> Process {
    let mut command = tinpot();
    command.args(["dev", "--port", "0"]).arg(folder);
    Process::start(command)
}

fn run(url: &str, arguments: &[&str]) -> Ran {
    let mut command = tinpot();
    command.env("TINPOT_SERVER", url).args(arguments);
    Ran::of(command)
}

#[test]
fn examples_are_written_into_an_empty_or_missing_directory() {
    let folder = tempfile::tempdir().expect("a folder");
    for folder in [folder.path().to_owned(), folder.path().join("missing")] {
        let mut dev = dev(&folder);
        let url = dev.url();
        dev.line("Wrote");
        dev.line("hello, countdown");
        dev.line("History in memory: it ends with this server; --store FILE keeps it");
        let advice = dev.line("run hello --help");
        assert!(advice.contains(&url), "{advice}");
        dev.line("press Ctrl-C to stop");
        assert_eq!(run(&url, &["run", "hello", "--name", "you"]).ok(), "Hello, you!\n");
        assert_eq!(run(&url, &["run", "countdown", "--seconds", "1"]).ok(), "lift-off!\n");
        dev.signal(Signal::INT);
        assert_eq!(dev.end().code(), Some(0), "{:?}", dev.seen);
        assert!(folder.join("hello.py").exists());
        // The next round needs a directory without the example.
        std::fs::remove_file(folder.join("hello.py")).expect("it is there");
    }
}

#[test]
fn a_file_for_the_history_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = folder.path().join("history.db");
    let mut command = tinpot();
    command.args(["dev", "--port", "0", "--store"]).arg(&store).arg(folder.path().join("actions"));
    let mut dev = Process::start(command);
    dev.line(&format!("History in {}, for 30 days", store.display()));
}

#[test]
fn a_new_folder_with_a_towerfile_is_offered() {
    let folder = tempfile::tempdir().expect("a folder");
    let actions = folder.path().join("actions");
    file(&actions, "plain.py", "from tinpot import action\n\n@action\ndef plain():\n    pass\n");
    let mut dev = dev(&actions);
    let url = dev.url();
    dev.line("press Ctrl-C to stop");
    file(&actions, "shell/main.sh", "echo \"[$word]\"\n");
    file(&actions, "shell/Towerfile", "[app]\nname = \"shell\"\nscript = \"main.sh\"\n");
    dev.line("new: shell");
    // The worker offers it a moment later.
    let mut tries = (0..100).map(|_| run(&url, &["run", "shell", "-p", "word=one"]));
    let ran = tries.find(|ran| ran.code != Some(5)).expect("the action is offered");
    assert!(ran.ok().is_empty() && ran.stderr.contains("[one]"), "{ran:?}");
}

#[test]
fn the_default_directory_is_actions() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = tinpot();
    command.args(["dev", "--port", "0"]).current_dir(folder.path());
    let mut dev = Process::start(command);
    dev.line("Wrote actions/hello.py");
    assert!(folder.path().join("actions/hello.py").exists());
}

#[test]
fn load_errors_are_printed_and_the_other_files_run() {
    let folder = tempfile::tempdir().expect("a folder");
    file(
        folder.path(),
        "good.py",
        "from tinpot import action\n\n@action\ndef good():\n    return 1\n",
    );
    let bad = file(folder.path(), "bad.py", "def broken(:\n    pass\n");
    let mut dev = dev(folder.path());
    let url = dev.url();
    dev.line("good");
    dev.line("load error: bad.py");
    dev.line("SyntaxError");
    assert_eq!(run(&url, &["run", "good"]).ok(), "1\n");
    assert!(run(&url, &["workers", "list"]).ok().contains("SyntaxError"));
    // A corrected file is reloaded, and a file that breaks is reported.
    std::fs::write(&bad, "from tinpot import action\n\n@action\ndef better():\n    return 2\n")
        .expect("a file");
    dev.line("new: better");
    let deadline = std::time::Instant::now() + crate::support::PATIENCE;
    while run(&url, &["run", "better"]).code != Some(0) {
        assert!(std::time::Instant::now() < deadline, "it does not come");
    }
    std::fs::write(&bad, "import nothing_like_it\n").expect("a file");
    dev.line("nothing_like_it");
    assert_eq!(run(&url, &["run", "better"]).ok(), "2\n");
}

#[test]
fn a_port_in_use_is_reported_before_anything_is_written() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port().to_string();
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = tinpot();
    command.args(["dev", "--port", &port]).arg(folder.path().join("new"));
    let ran = Ran::of(command);
    assert!(ran.failed(1).contains(&port) && ran.stderr.contains("--port 0"), "{ran:?}");
    assert!(!folder.path().join("new").exists());
    let mut command = tinpot();
    command.args(["coordinator", "--port", &port, "--embedded-broker"]);
    command.args(["--broker", "tcp://127.0.0.1:0", "--store"]).arg(folder.path().join("new.db"));
    let ran = Ran::of(command);
    assert!(ran.failed(1).contains(&port) && ran.stderr.contains("--port 0"), "{ran:?}");
    assert_eq!((ran.stdout.as_str(), ran.stderr.lines().count()), ("", 1), "{ran:?}");
    assert!(!folder.path().join("new.db").exists());
    let mut command = tinpot();
    command.args(["coordinator", "--port", "0", "--store", "memory", "--embedded-broker"]);
    command.arg(format!("127.0.0.1:{port}"));
    let ran = Ran::of(command);
    assert!(ran.failed(1).contains("choose another address with --embedded-broker"), "{ran:?}");
    assert_eq!((ran.stdout.as_str(), ran.stderr.lines().count()), ("", 1), "{ran:?}");
}

#[test]
fn a_missing_interpreter_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = tinpot();
    command.args(["dev", "--port", "0", "--python", "/nonexistent/python"]).arg(folder.path());
    assert!(Ran::of(command).failed(1).contains("/nonexistent/python"));
    // A file stands where the directory should be.
    let path = file(folder.path(), "file", "");
    let mut command = tinpot();
    command.args(["dev", "--port", "0"]).arg(&path);
    assert!(Ran::of(command).failed(1).contains(path.to_str().expect("text")));
}

#[test]
fn no_ui_serves_the_api_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let start = |more: &[&str]| {
        let mut command = tinpot();
        command.args(["dev", "--port", "0"]).arg(folder.path()).args(more);
        Process::start(command)
    };
    let mut dev = start(&["--embed-parents", "https://wiki.example.org, https://b.example.org"]);
    let url = dev.url();
    assert!(page(&url, "/").contains("<html"), "{}", page(&url, "/"));
    let framed = page(&url, "/embed/executions/01890000-0000-7000-8000-000000000000");
    assert!(
        framed.contains("frame-ancestors https://wiki.example.org https://b.example.org"),
        "{framed}"
    );
    let mut wrong = start(&["--embed-parents", "https://a.example; script-src *"]);
    assert_eq!(wrong.end().code(), Some(2), "{:?}", wrong.seen);
    let mut dev = start(&["--no-ui"]);
    let url = dev.url();
    assert!(page(&url, "/").starts_with("HTTP/1.1 404"), "{}", page(&url, "/"));
}

#[test]
fn a_file_that_is_imported_late_is_a_notice_and_no_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = "from tinpot import action\n\n@action\ndef one():\n    return 1\n";
    file(folder.path(), "one.py", text);
    let more = "import socket\nkept = socket.socket()\n";
    file(folder.path(), "late.py", &format!("{more}{}", text.replace("one", "two")));
    let dir = folder.path().to_str().expect("text");
    let mut command = tinpot();
    command.args(["check", dir]);
    let ran = Ran::of(command);
    assert!(ran.ok().contains("ok two\n") && ran.stdout.contains("notice late.py\n"), "{ran:?}");
    assert!(ran.stdout.contains("its import left socket:"), "{ran:?}");
    assert!(ran.stderr.contains("2 actions, 0 load errors"), "{ran:?}");
    let mut dev = dev(folder.path());
    let url = dev.url();
    dev.line("notice: late.py");
    assert_eq!(run(&url, &["run", "two"]).ok(), "1\n");
    let listed = run(&url, &["workers", "list", "--json"]).json();
    let worker = &listed["workers"][0];
    assert_eq!(worker["problems"][0]["notice"], true, "{worker}");
    let shown = run(&url, &["workers", "show", worker["id"].as_str().expect("an id")]);
    assert!(shown.ok().contains("notice late.py"), "{shown:?}");
    let listed = run(&url, &["workers", "list"]);
    assert!(listed.ok().contains(" ok ") && !listed.stdout.contains("late.py"), "{listed:?}");
}
