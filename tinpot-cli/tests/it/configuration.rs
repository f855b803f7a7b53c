//! The precedence of flags, variables, files and defaults, and `--show-config`.

use std::path::Path;

use serde_json::Value;

use crate::support::{Ran, file, tinpot};

fn shown(program: &str, config: Option<&Path>, arguments: &[&str], env: &[(&str, &str)]) -> Ran {
    let mut command = tinpot();
    command.arg(program).args(arguments).arg("--show-config").envs(env.iter().copied());
    if let Some(config) = config {
        command.arg("--config").arg(config);
    }
    Ran::of(command)
}

#[test]
fn a_flag_overrides_a_variable_which_overrides_the_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = file(
        folder.path(),
        "tinpot.toml",
        "port = 1001\nhost = \"::1\"\nstore = \"a.db\"\nheartbeat_interval = 2.5\nno_reload = true\nqueues = [\"a\", \"b\"]\n[coordinator]\nport = 1002\n",
    );
    let all = shown(
        "coordinator",
        Some(&config),
        &["--json", "--store", "c.db"],
        &[("TINPOT_STORE", "b.db"), ("HOST", "127.0.0.2")],
    )
    .json();
    let expect = |key: &str, value: Value, source: &str| {
        assert_eq!(
            (&all[key]["value"], all[key]["source"].as_str().unwrap_or_default().split(' ').next()),
            (&value, Some(source)),
            "{key}"
        );
    };
    expect("store", "c.db".into(), "flag");
    expect("host", "127.0.0.2".into(), "variable");
    expect("port", 1002.into(), "file");
    expect("heartbeat_interval", 2.5.into(), "file");
    expect("keep_alive", 10.into(), "default");
    expect("ca", Value::Null, "not");
    assert!(all.get("queues").is_none(), "a setting of the other program: {all}");
    let all = shown(
        "worker",
        Some(&config),
        &["--json", "--queues", "c"],
        &[("TINPOT_NO_RELOAD", "false")],
    )
    .json();
    assert_eq!(
        (&all["queues"]["value"], &all["no_reload"]["value"]),
        (&serde_json::json!(["c"]), &false.into())
    );
    // A variable names the file too; the flag overrides it.
    let other = file(folder.path(), "other.toml", "name = \"other\"\n");
    let config_env = [("TINPOT_CONFIG", other.to_str().expect("text"))];
    assert_eq!(shown("worker", None, &["--json"], &config_env).json()["name"]["value"], "other");
    assert_eq!(
        shown("worker", Some(&config), &["--json"], &config_env).json()["name"]["value"],
        "worker"
    );
}

#[test]
fn the_shown_settings_are_a_file_with_the_same_settings() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = file(
        folder.path(),
        "a.toml",
        "[worker]\nqueues = [\"x\"]\ngrace = 3\nlimit_memory = \"256M\"\nname = \"a \\\" b\"\n",
    );
    let first = shown("worker", Some(&config), &[], &[]);
    let again = file(folder.path(), "b.toml", first.ok());
    let strip = |text: &str| {
        text.lines()
            .map(|line| line.split("  # ").next().unwrap_or_default().trim_end().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(strip(shown("worker", Some(&again), &[], &[]).ok()), strip(first.ok()));
}

#[test]
fn settings_of_directories_stand_next_to_the_interpreters() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = "[worker]\npython = [\"python3\", \"/opt/python\"]\n\
        [python.reports]\nrequirements = [\"numpy>=2\"]\nstart = \"auto\"\n\
        [python.\"b c/d\"]\nisolation = \"fresh\"\n";
    let config = file(folder.path(), "a.toml", text);
    let all = shown("worker", Some(&config), &["--json"], &[]).json();
    assert_eq!(all["python"]["value"], serde_json::json!(["python3", "/opt/python"]));
    assert_eq!(all["python.\"reports\".start"]["value"], "auto");
    let first = shown("worker", Some(&config), &[], &[]);
    let again = file(folder.path(), "b.toml", first.ok());
    let again = shown("worker", Some(&again), &["--json"], &[]).json();
    let keys = ["python.\"reports\".requirements", "python.\"b c/d\".isolation", "python"];
    for key in keys {
        assert_ne!(all[key]["value"], Value::Null, "{key}: {all}");
        assert_eq!(again[key]["value"], all[key]["value"], "{key}");
    }
    // The table of the program wins, and the settings are of no concern to a coordinator.
    let text = "[python.a]\nstart = \"auto\"\n[worker.python.a]\ngroups = [\"x\"]\n";
    let config = file(folder.path(), "c.toml", text);
    let all = shown("worker", Some(&config), &["--json"], &[]).json();
    assert_eq!(all["python.\"a\".groups"]["value"], serde_json::json!(["x"]));
    assert_eq!(all["python.\"a\".start"], Value::Null, "{all}");
    let config = file(folder.path(), "d.toml", "[python.a]\nstart = \"auto\"\n");
    shown("coordinator", Some(&config), &[], &[]).ok();
}

#[test]
fn passwords_are_not_shown() {
    // A password must not show in an error either.
    let ran = shown("coordinator", None, &[], &[("BROKER_USER", "hunter2")]);
    assert!(ran.failed(2).contains("variable BROKER_USER"), "{ran:?}");
    assert!(!ran.stderr.contains("hunter2"), "{ran:?}");
    let folder = tempfile::tempdir().expect("a folder");
    let config = file(
        folder.path(),
        "a.toml",
        "broker = \"mqtt://me:hunter2@host:1\"\n[coordinator]\nembedded_broker = true\nbroker_user = \"me:hunter2\"\n\
         [python.a]\nrequirements = [\"x @ https://me:hunter2@host/x.whl\"]\n\
         [python.b]\nrequirements = \"https://me:hunter2@host/r.txt\"\n",
    );
    for (program, env) in [
        ("worker", &[][..]),
        ("coordinator", &[]),
        ("coordinator", &[("MQTT_BROKER", "ws://me:hunter2@x"), ("BROKER_USER", "you:hunter2")]),
    ] {
        for more in [&[][..], &["--json"]] {
            let ran = shown(program, Some(&config), more, env);
            assert!(ran.ok().contains("me:***@") && !ran.stdout.contains("hunter2"), "{ran:?}");
        }
        let mut command = tinpot();
        command.args([program, "--help"]).envs(env.iter().copied());
        assert!(!Ran::of(command).ok().contains("hunter2"));
    }
}

#[test]
fn a_wrong_file_is_refused_with_key_line_and_remedy() {
    let folder = tempfile::tempdir().expect("a folder");
    for (text, said) in [
        ("prot = 1", "a.toml:1: unknown setting \"prot\"; did you mean \"port\"?"),
        (
            "[worker]\nconcurency = 1",
            "a.toml:2: unknown setting \"concurency\" of worker; did you mean \"concurrency\"?",
        ),
        ("[wroker]\nname = \"x\"", "did you mean \"worker\"?"),
        ("[worker]\nport = 1", "\"port\" of worker"),
        ("# ours\n\nport = 99999", "a.toml:3: port: must be from 0 to 65535 (got \"99999\")"),
        ("port = true", "port: must not be true or false"),
        ("[worker]\nno_reload = 3", "a.toml:2: no_reload: must be true or false"),
        ("worker_lease = \"soon\"", "worker_lease: must be a number of seconds"),
        ("containment = \"jail\"", "containment: must be auto, cgroup or process-group"),
        ("groups = { a = 1 }", "groups: must be text"),
        (
            "[python.mail]\nisolaton = \"fresh\"",
            "a.toml:2: python.\"mail\": unknown setting \"isolaton\"; did you mean \"isolation\"?",
        ),
        (
            "[worker.python.\"a/b\"]\nstart = \"copy\"",
            "a.toml:2: python.\"a/b\": start: must be auto, fork or spawn (got \"copy\")",
        ),
        ("[python.\"../a\"]\nstart = \"fork\"", "must be a path below the directory of actions"),
        ("[python]\nmail = \"fresh\"", "a.toml:2: python.\"mail\": must be a table"),
        ("[python.a]\nrequirements = 3", "requirements: must be the path of a file"),
        ("[python.a]\nrequirements = [3]", "requirements: must be a list of texts"),
        ("[python.a]\npython = \">=new\"", "python: must be versions like"),
        ("[python.a]\ngroups = []\nrequirements = []", "exclude each other"),
        ("host = \"::1\"\nport = ", "a.toml:2: "),
        ("broker = \"tcp://me:hunter2@port\nport = 1", "a.toml:1: "),
    ] {
        let config = file(folder.path(), "a.toml", text);
        let ran = shown(
            if text.contains("port") || text.contains("prot") { "coordinator" } else { "worker" },
            Some(&config),
            &[],
            &[],
        );
        let stderr = ran.failed(2);
        assert!(stderr.contains(said) && stderr.contains("a.toml"), "{text}: {said:?} in {ran:?}");
        assert!(!stderr.contains("hunter2"), "{ran:?}");
    }
    let ran = shown("worker", Some(Path::new("/nonexistent.toml")), &[], &[]);
    assert!(ran.failed(2).contains("cannot read /nonexistent.toml"), "{ran:?}");
}

#[test]
fn settings_that_depend_on_each_other_are_required_together() {
    for (arguments, said) in [
        (&[("BROKER_USER", "a:b")][..], "--embedded-broker"),
        (&[("BROKER_USER_FILE", "/x")], "--embedded-broker"),
        (&[("BROKER_USER", "a")], "a name, a colon and a password"),
        (&[("BROKER_USER", "a:b"), ("BROKER_USER_FILE", "/x")], "exclude each other"),
        (&[("TINPOT_EMBEDDED_BROKER", "here")], "127.0.0.1:1883"),
    ] {
        let mut command = tinpot();
        command.arg("coordinator").envs(arguments.iter().copied());
        assert!(Ran::of(command).failed(2).contains(said), "{arguments:?}");
    }
    let mut command = tinpot();
    command.args([
        "coordinator",
        "--store",
        "memory",
        "--port",
        "0",
        "--embedded-broker",
        "0.0.0.0:1",
    ]);
    assert!(Ran::of(command).failed(1).contains("--broker-user"));
    let mut command = tinpot();
    command.args(["coordinator", "--cert", "/x", "--store", "memory", "--port", "0"]);
    assert!(Ran::of(command).failed(1).contains("--key"));
}

#[test]
fn old_names_of_flags_variables_and_keys_work_and_warn_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = file(folder.path(), "a.toml", "[coordinator]\nbeat_interval = 3\n");
    let none: [(&str, &str); 0] = [];
    let old = [("TINPOT_BEAT_INTERVAL", "2")];
    let new = [("TINPOT_BEAT_INTERVAL", "2"), ("TINPOT_HEARTBEAT_INTERVAL", "4")];
    for (config, arguments, env, value, warning) in [
        (None, &["--beat-interval", "1"][..], &none[..], 1, "--beat-interval is now"),
        (None, &["--beat-interval=1"], &none, 1, "--beat-interval is now --heartbeat-interval"),
        (None, &[], &old, 2, "TINPOT_BEAT_INTERVAL is now TINPOT_HEARTBEAT_INTERVAL"),
        (Some(&config), &[], &none, 3, "a.toml:2: beat_interval is now heartbeat_interval"),
        (Some(&config), &[], &new, 4, "a.toml:2"),
        (None, &[], &new, 4, ""),
        (None, &["--heartbeat-interval", "5"], &old, 5, ""),
    ] {
        let arguments = [arguments, &["--json"]].concat();
        let ran = shown("coordinator", config.map(|path| &**path), &arguments, env);
        assert_eq!(ran.json()["heartbeat_interval"]["value"], value, "{arguments:?}: {ran:?}");
        assert!(ran.stderr.contains(warning), "{arguments:?}: {ran:?}");
        let warnings = ran.stderr.matches("still works").count();
        assert_eq!(warnings, usize::from(!warning.is_empty()), "{arguments:?}: {ran:?}");
    }
}

#[test]
fn names_of_older_tinpots_work_or_warn() {
    let json = |env: &[(&str, &str)], program: &str| {
        let ran = shown(program, None, &["--json"], env);
        (ran.json(), ran.stderr)
    };
    let env = [("QUEUE_NAME", "devops"), ("ACTION_FILTER", "DevOps,ML")];
    let (all, stderr) = json(&env, "worker");
    assert_eq!(all["queues"]["value"], serde_json::json!(["devops"]));
    assert_eq!(all["groups"]["value"], serde_json::json!(["DevOps", "ML"]));
    assert!(stderr.contains("QUEUE_NAME is now QUEUES; the old name still works"), "{stderr}");
    let env = [("REDIS_URL", "redis://localhost"), ("CELERY_BROKER_URL", "redis://localhost")];
    for program in ["worker", "coordinator"] {
        let (_, stderr) = json(&env, program);
        assert!(stderr.contains("CELERY_BROKER_URL, REDIS_URL have no effect"), "{stderr}");
    }
    let env = [
        ("ROOT_PATH", "tinpot/"),
        ("CORS_ORIGINS", "https://a.example, http://b:3000"),
        ("TINPOT_LIMIT_REQUEST", "15M"),
    ];
    let (all, _) = json(&env, "coordinator");
    assert_eq!(all["root_path"]["value"], "tinpot/");
    assert_eq!(all["limit_request"]["value"], "15M");
    for (flag, value, part) in [
        ("--root-path", "/api/x", "a path of the server itself"),
        ("--root-path", "/a b", "must be a path like /tinpot"),
        ("--cors-origins", "https://a.example/path", "must be an origin like"),
        ("--cors-origins", "a.example", "must be an origin like"),
        ("--limit-request", "16M", "must be at most 15M"),
    ] {
        let ran = shown("coordinator", None, &[flag, value], &[]);
        assert!(ran.stderr.contains(part), "{part}: {ran:?}");
    }
}

#[test]
fn a_time_that_the_coordinator_tells_is_accepted_at_a_worker_and_has_no_effect() {
    let none: [(&str, &str); 0] = [];
    for (arguments, env, named) in [
        (&["--worker-lease", "20"][..], &none[..], "--worker-lease (TINPOT_WORKER_LEASE)"),
        (&["--beat-interval=2"], &none, "--heartbeat-interval (TINPOT_HEARTBEAT_INTERVAL)"),
        (&[], &[("TINPOT_COORDINATOR_LEASE", "90")], "--coordinator-lease"),
        (&["--kill-after", "2"], &none, "--kill-after (TINPOT_KILL_AFTER)"),
    ] {
        let ran = shown("worker", None, arguments, env);
        assert!(ran.ok().contains("grace") && ran.stderr.contains(named), "{ran:?}");
        assert_eq!(ran.stderr.matches("has no effect").count(), 1, "{ran:?}");
    }
    let ran = shown("worker", None, &["--worker-lease", "soon"], &none);
    assert!(ran.failed(2).contains("--worker-lease"), "{ran:?}");
    assert!(!shown("worker", None, &[], &none).ok().contains("lease"));
}

#[test]
fn a_host_may_be_a_name() {
    let mut command = tinpot();
    command.args(["coordinator", "--embedded-broker=127.0.0.1:0", "--store", "memory"]);
    command.args(["--host", "localhost", "--port", "0"]);
    let mut coordinator = crate::support::Process::start(command);
    assert!(coordinator.url().starts_with("http://127.0.0.1:"), "{:?}", coordinator.seen);
    let mut command = tinpot();
    command.args(["coordinator", "--show-config", "--host", "no_such host"]);
    let ran = Ran::of(command);
    assert!(ran.failed(2).contains("must be an IP address or a host name"), "{ran:?}");
}

#[test]
fn variables_of_other_programs_do_no_harm() {
    let settings = |variables: &[(&str, &str)]| {
        let mut command = tinpot();
        command.args(["coordinator", "--show-config", "--json"]).envs(variables.iter().copied());
        Ran::of(command)
    };
    // conda sets HOST to its platform.
    let ran = settings(&[("HOST", "x86_64-conda-linux-gnu")]);
    assert_eq!(ran.json()["host"]["value"], "127.0.0.1");
    assert!(
        ran.stderr.contains("HOST is ignored") && ran.stderr.contains("TINPOT_HOST"),
        "{ran:?}"
    );
    let ran = settings(&[("HOST", "x86_64-conda-linux-gnu"), ("TINPOT_HOST", "::1")]);
    assert_eq!((ran.json()["host"]["value"].as_str(), &*ran.stderr), (Some("::1"), ""));
    assert_eq!(ran.json()["host"]["source"], "variable TINPOT_HOST");
    let ran = settings(&[("PORT", "many"), ("TINPOT_PORT", "81")]);
    assert_eq!(ran.json()["port"]["value"], 81);
    let ran = settings(&[("PORT", "82"), ("TINPOT_PORT", "tcp://10.0.0.1:8000")]);
    assert_eq!(ran.json()["port"]["value"], 82);
    let ran = settings(&[("PORT", "many")]);
    assert!(
        ran.failed(2).contains("variable PORT") && ran.stderr.contains("TINPOT_PORT"),
        "{ran:?}"
    );
}
