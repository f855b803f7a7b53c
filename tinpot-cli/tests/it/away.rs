//! A server that goes away in the middle and comes back: the programs themselves, killed and
//! started again.

use crate::support::{Process, Ran, free_port, tinpot};

const ACTIONS: &str = "import time\nfrom tinpot import action\n\n@action\ndef count(number: int):\n    for at in range(number):\n        \
                       print('line', at, flush=True)\n        time.sleep(0.05)\n    return number\n";

#[test]
fn a_run_survives_a_restart_of_the_coordinator() {
    let folder = tempfile::tempdir().expect("a folder");
    let actions = folder.path().join("actions");
    std::fs::create_dir(&actions).expect("a folder");
    crate::support::file(&actions, "count.py", ACTIONS);
    let (http, broker) = (free_port(), free_port());
    let url = format!("http://127.0.0.1:{http}");
    let config = format!(
        "broker = \"tcp://127.0.0.1:{broker}\"\nkeep_alive = 5\n[coordinator]\nport = {http}\nembedded_broker = true\nstore = {:?}\n[worker]\nactions = {actions:?}\n",
        folder.path().join("store.db")
    );
    let config = crate::support::file(folder.path(), "tinpot.toml", &config);
    let start = |program: &str| {
        let mut command = tinpot();
        command.arg(program).env("TINPOT_CONFIG", &config);
        Process::start(command)
    };
    let mut coordinator = start("coordinator");
    coordinator.url();
    let mut worker = start("worker");
    worker.line("reaches its coordinator");
    let client = |arguments: &[&str]| {
        let mut command = tinpot();
        command.env("TINPOT_SERVER", &url).args(arguments);
        command
    };
    let deadline = std::time::Instant::now() + crate::support::PATIENCE;
    while Ran::of(client(&["actions", "show", "count"])).code != Some(0) {
        assert!(std::time::Instant::now() < deadline, "the action does not come");
    }
    let mut run = Process::start(client(&["run", "count", "--number", "80"]));
    run.line("line 10");
    coordinator.kill();
    run.line("waiting for the server");
    drop(coordinator);
    let mut coordinator = start("coordinator");
    coordinator.url();
    run.line("the server is back");
    assert_eq!(run.end().code(), Some(0), "{:#?}", run.seen);
    let lines: Vec<_> = run.seen.iter().filter(|line| line.starts_with("line ")).cloned().collect();
    let expected: Vec<_> = (0..80).map(|at| format!("line {at}")).collect();
    assert_eq!(lines, expected, "each line once, in order");
    assert!(run.seen.iter().any(|line| line == "80"), "{:?}", run.seen);
    for program in [&mut worker, &mut coordinator] {
        program.signal(rustix::process::Signal::TERM);
        assert_eq!(program.end().code(), Some(0), "{:#?}", program.seen);
    }
}

#[test]
fn a_server_without_the_execution_after_a_restart_is_reported() {
    let port = free_port().to_string();
    let folder = tempfile::tempdir().expect("a folder");
    crate::support::file(folder.path(), "count.py", ACTIONS);
    let start = || {
        let mut command = tinpot();
        command.args(["dev", "--port", &port]).arg(folder.path());
        let mut process = Process::start(command);
        process.url();
        process
    };
    let mut server = start();
    let mut command = tinpot();
    command.args([
        "run",
        "count",
        "--number",
        "2000",
        "--server",
        &format!("http://127.0.0.1:{port}"),
    ]);
    let mut run = Process::start(command);
    run.line("line 3");
    server.kill();
    run.line("waiting for the server");
    let _server = start();
    run.line("the server no longer has the execution");
    assert_eq!(run.end().code(), Some(5), "{:?}", run.seen);
}
