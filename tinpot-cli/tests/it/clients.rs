//! Lists, details, logs, and what changes workers and queues.

use serde_json::Value;

use crate::support::{Server, tinpot};

#[test]
fn every_list_has_a_form_for_people_and_one_for_programs() {
    let server = Server::shared();
    server.run(&["run", "noop"]).ok();
    for (arguments, header) in [
        (&["actions", "list"][..], "NAME"),
        (&["workers", "list"], "LAST HEARTBEAT"),
        (&["queues", "list"], "WAITING"),
        (&["executions", "list"], "ACCEPTED"),
    ] {
        let ran = server.run(arguments);
        assert!(ran.ok().lines().next().is_some_and(|line| line.contains(header)), "{ran:?}");
        let ran = server.run(&[arguments, &["--json"]].concat());
        for line in ran.ok().lines() {
            serde_json::from_str::<Value>(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        }
    }
    let found = server.run(&["actions", "list", "nine times"]);
    assert_eq!(found.ok(), "", "arguments are not searched: {found:?}");
    let found = server.run(&["actions", "list", "TEXTS"]);
    assert!(found.ok().contains("echo") && !found.stdout.contains("noop"), "{found:?}");
    let found = server.run(&["actions", "list", "texts", "--json"]).json();
    assert_eq!(
        found.as_object().map(|all| all.keys().collect::<Vec<_>>()),
        Some(vec![&"echo".to_owned()])
    );
    assert_eq!(server.run(&["actions", "show", "aside", "--json"]).json()["queue"], "aside");
}

#[test]
fn executions_are_filtered_and_shown() {
    let server = Server::shared();
    let id = server.run(&["run", "fail", "--detach"]).ok().trim().to_owned();
    server.wait_for(&id, "failed");
    let list =
        server.run(&["executions", "list", "--action", "fail", "--status", "failed", "--json"]);
    let all: Vec<Value> =
        list.ok().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert!(all.iter().any(|execution| execution["execution_id"] == *id), "{all:?}");
    assert!(all.iter().all(|execution| execution["action_name"] == "fail"), "{all:?}");
    let shown = server.run(&["executions", "show", &id]);
    for part in ["fail  failed", &id, "attempt 1", "parameters", "ValueError: no luck", "Traceback"]
    {
        assert!(shown.ok().contains(part), "{part:?} in {shown:?}");
    }
    assert_eq!(server.run(&["executions", "list", "-n", "1", "--json"]).ok().lines().count(), 1);
    let none = server.run(&["executions", "list", "--action", "nothing"]);
    assert_eq!((none.ok(), none.stderr.contains("no matching executions")), ("", true));
}

#[test]
fn a_log_is_printed_followed_filtered_and_searched() {
    let server = Server::shared();
    let id = server.run(&["run", "lines", "--number", "300", "--detach"]).ok().trim().to_owned();
    server.run(&["executions", "watch", &id, "-q"]).ok();
    let logs = |more: &[&str]| server.run(&[&["executions", "logs", &id], more].concat());
    let whole: String = (0..300).map(|at| format!("number {at}\n")).collect();
    assert_eq!(logs(&[]).ok(), whole);
    assert_eq!(logs(&["--follow"]).ok(), whole);
    assert_eq!(logs(&["--after", "299", "-N"]).ok().trim(), "300 number 299");
    let lines = logs(&["--json"]);
    assert_eq!(lines.ok().lines().count(), 300);
    let first: Value =
        serde_json::from_str(lines.stdout.lines().next().expect("a line")).expect("JSON");
    assert_eq!((&first["message"], &first["seq"]), (&"number 0".into(), &1.into()));
    assert!(logs(&["-t", "--after", "299"]).ok().starts_with("20"));
    let id = server.run(&["run", "logged", "--detach"]).ok().trim().to_owned();
    server.run(&["executions", "watch", &id, "-q"]).ok();
    let ran = server.run(&["executions", "logs", &id, "--level", "warning", "-f"]);
    assert_eq!(ran.ok(), "WARNING look out\n");
    // A search cannot be combined with following.
    logs(&["-f", "--search", "x"]).failed(2);
}

#[test]
fn a_watch_prints_one_json_event_per_line() {
    let server = Server::shared();
    let id = server.run(&["run", "logged", "--detach"]).ok().trim().to_owned();
    let ran = server.run(&["executions", "watch", &id, "--json"]);
    let kinds: Vec<String> = ran
        .ok()
        .lines()
        .map(|line| {
            let event: Value = serde_json::from_str(line).expect("JSON");
            event["type"].as_str().expect("a type").to_owned()
        })
        .collect();
    assert_eq!(
        (kinds.first().map(String::as_str), kinds.last().map(String::as_str)),
        (Some("connected"), Some("complete"))
    );
    assert_eq!(kinds.iter().filter(|kind| *kind == "log").count(), 3);
}

#[test]
fn a_profile_names_the_server() {
    let server = Server::shared();
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join("tinpot")).expect("a folder");
    let text = format!(
        "[profile.here]\nserver = \"{}\"\n[profile.gone]\nserver = \"http://127.0.0.1:1\"\n",
        server.url
    );
    crate::support::file(&folder.path().join("tinpot"), "config.toml", &text);
    let run = |arguments: &[&str], env: &[(&str, &str)]| {
        let mut command = tinpot();
        command.env("XDG_CONFIG_HOME", folder.path()).args(arguments).envs(env.iter().copied());
        crate::support::Ran::of(command)
    };
    run(&["actions", "list", "--profile", "here"], &[]).ok();
    run(&["--profile", "here", "actions", "list"], &[("TINPOT_SERVER", "http://127.0.0.1:1")]).ok();
    run(&["run", "noop"], &[("TINPOT_PROFILE", "here")]).ok();
    run(&["run", "echo", "--profile", "here", "--text", "x"], &[("TINPOT_PROFILE", "gone")]).ok();
    run(&["actions", "list", "--profile", "gone", "--server", &server.url], &[]).ok();
    run(&["actions", "list", "--profile", "gone"], &[]).failed(8);
    assert!(
        run(&["actions", "list", "--profile", "hree"], &[])
            .failed(5)
            .contains("did you mean \"here\"?")
    );
    crate::support::file(
        &folder.path().join("tinpot"),
        "config.toml",
        "[profile.x]\nsrever = \"a\"\n",
    );
    assert!(
        run(&["actions", "list", "--profile", "x"], &[])
            .failed(2)
            .contains("config.toml:2: unknown field `srever`")
    );
}
