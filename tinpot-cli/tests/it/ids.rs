//! Executions named by a part of their id, and lists of a period.

use crate::support::{Server, tinpot};

#[test]
fn a_part_of_an_id_names_an_execution() {
    let server = Server::start();
    let ids: Vec<String> = (0..2)
        .map(|_| server.run(&["run", "say", "--detach", "-q"]).ok().trim().to_owned())
        .collect();
    let id = &ids[0];
    server.wait_for(id, "succeeded");
    let same = id.bytes().zip(ids[1].bytes()).take_while(|(a, b)| a == b).count();
    let ran = server.run(&["executions", "show", &id[..same]]);
    let stderr = ran.failed(2);
    assert!(ids.iter().all(|id| stderr.contains(id)) && stderr.contains("say"), "{stderr}");
    let (start, end) = (&id[..=same.max(13)], &id[28..]);
    let undashed = id.replace('-', "");
    let shown = format!("…{end}");
    for part in [start, &start.to_uppercase(), &undashed[..24], &undashed, end, &shown] {
        for arguments in [
            &["executions", "show", part][..],
            &["executions", "watch", part],
            &["executions", "logs", part],
            &["executions", "rerun", part],
            &["executions", "list", "--parent", part],
        ] {
            server.run(arguments).ok();
        }
        let shown = server.run(&["executions", "show", part, "--json"]).json();
        assert_eq!(shown["execution_id"], **id, "{part}");
    }
    assert!(server.run(&["executions", "cancel", start]).failed(6).contains(id));
    let ran = server.run(&["executions", "show", "00000000"]);
    assert!(ran.failed(5).contains("\"00000000\""), "{ran:?}");
    assert!(server.run(&["executions", "show", "01"]).failed(2).contains("at least 4 digits"));
}

#[test]
fn a_number_names_an_execution() {
    let server = Server::start();
    let ids: Vec<String> = (0..2)
        .map(|_| {
            server.run(&["run", "echo", "--text", "a", "--detach", "-q"]).ok().trim().to_owned()
        })
        .collect();
    server.wait_for(&ids[1], "succeeded");
    let shown = server.run(&["executions", "show", "2", "--json"]).json();
    assert_eq!((&shown["execution_id"], &shown["number"]), (&ids[1].as_str().into(), &2.into()));
    assert!(server.run(&["executions", "show", &ids[1]]).ok().contains("\nnumber        2\n"));
    let logs = server.run(&["executions", "logs", &ids[1]]).ok().to_owned();
    assert!(!logs.is_empty());
    for arguments in [&["logs", "2"][..], &["logs", "2", "--follow"], &["executions", "logs", "2"]]
    {
        assert_eq!(server.run(arguments).ok(), logs, "{arguments:?}");
    }
    let list = server.run(&["executions", "list"]);
    let numbers: Vec<_> = list.ok().lines().map(|line| line.split_whitespace().next()).collect();
    assert_eq!(numbers, [Some("NO"), Some("2"), Some("1")]);
    assert!(server.run(&["logs", "3"]).failed(5).contains("no execution has the number 3"));
}

#[test]
fn a_list_is_limited_to_a_period_that_the_user_names() {
    let server = Server::shared();
    let id = server.run(&["run", "noop", "--detach", "-q"]).ok().trim().to_owned();
    let lists = |arguments: &[&str]| {
        let list = ["executions", "list", "--action", "noop", "--json", "-n", "1000"];
        server.run(&[&list[..], arguments].concat()).ok().contains(&id)
    };
    for arguments in [
        ["--since", "1h"],
        ["--since", "1 hour ago"],
        ["--since", "yesterday"],
        ["--since", "2026-11-28"],
        ["--since", "2026-11-28T10:00:00Z"],
        ["--until", "now"],
        ["--until", "9999-01-01"],
    ] {
        assert!(lists(&arguments), "{arguments:?}");
    }
    for arguments in [["--until", "1h"], ["--until", "yesterday"], ["--since", "9999-01-01"]] {
        assert!(!lists(&arguments), "{arguments:?}");
    }
    let ran = server.run(&["executions", "list", "--since", "tomorrowish"]);
    assert!(ran.failed(2).contains("yesterday") && ran.stderr.contains("tomorrowish"), "{ran:?}");
}

#[test]
fn times_are_local_for_people_and_utc_for_programs() {
    let server = Server::shared();
    let id =
        server.run(&["run", "lines", "--number", "1", "-q", "--detach"]).ok().trim().to_owned();
    server.wait_for(&id, "succeeded");
    let run = |zone: &str, arguments: &[&str]| {
        let mut command = tinpot();
        command.env("TINPOT_SERVER", &server.url).env("TZ", zone).args(arguments);
        crate::support::Ran::of(command).ok().to_owned()
    };
    let show = ["executions", "show", &id];
    // 13 h ahead, in the form of POSIX, which needs no data of zones.
    assert!(run("XXX-13", &show).contains(" +13:00\n"), "{}", run("XXX-13", &show));
    let utc = run("UTC", &show);
    assert!(utc.contains("Z\n") && !utc.contains("+00:00"), "{utc}");
    assert_eq!(run("XXX-13", &[&show[..], &["--utc"]].concat()), utc);
    let json = run("XXX-13", &[&show[..], &["--json"]].concat());
    let record: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert!(record["accepted_at"].as_str().is_some_and(|time| time.ends_with('Z')), "{record}");
    let log = run("XXX-13", &["executions", "logs", &id, "-t"]);
    assert!(log.contains("+13:00 number 0"), "{log}");
    let list = ["executions", "list", "--action", "lines", "-n", "1"];
    assert_ne!(run("XXX-13", &list), run("UTC", &list));
}
