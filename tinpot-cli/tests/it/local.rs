//! Commands without a server: `init`, `check`, `exec`, `doctor`, `version`.

use serde_json::Value;

use crate::support::{Ran, Server, file, free_port, tinpot};

fn run(arguments: &[&str]) -> Ran {
    let mut command = tinpot();
    // No program listens there.
    command.env("TINPOT_SERVER", "http://127.0.0.1:1").args(arguments);
    Ran::of(command)
}

#[test]
fn init_writes_examples_that_pass_check() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a b");
    let dir = path.to_str().expect("text");
    let ran = run(&["init", dir]);
    assert!(
        ran.ok().contains("hello.py") && ran.stderr.contains(&format!("tinpot dev '{dir}'")),
        "{ran:?}"
    );
    assert!(run(&["init", dir]).failed(6).contains("not empty"));
    let ran = run(&["check", dir]);
    assert_eq!(ran.ok(), "ok hello\nok countdown\n");
    assert!(ran.stderr.contains("2 actions, 0 load errors"), "{ran:?}");
    assert_eq!(run(&["check", dir, "--json"]).json()["problems"], serde_json::json!([]));
}

#[test]
fn check_reports_errors_with_their_place() {
    let folder = tempfile::tempdir().expect("a folder");
    file(folder.path(), "good.py", "from tinpot import action\n\n@action\ndef good():\n    pass\n");
    file(
        folder.path(),
        "bad.py",
        "from tinpot import action\n\n@action\ndef bad(x: object()):\n    pass\n",
    );
    let dir = folder.path().to_str().expect("text");
    let ran = run(&["check", dir]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stdout.contains("ok good") && ran.stdout.contains("load error bad.py:"), "{ran:?}");
    let ran = run(&["check", dir, "--json"]);
    let found: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!(
        (ran.code, found["problems"].as_array().map(Vec::len)),
        (Some(1), Some(1)),
        "{found}"
    );
}

#[test]
fn file_runs_in_the_environment_that_it_asks_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path();
    let metadata = "# /// script\n# dependencies = ['tinpot_wheel==1']\n# ///\n";
    let text = "import tinpot_wheel\nfrom tinpot import action\n@action\ndef version(): return tinpot_wheel.VERSION\n";
    let script = file(path, "actions/script.py", &format!("{metadata}{text}"));
    let broken = metadata.replace("==1", "==2");
    file(path, "actions/broken.py", &broken);
    let wheel = "import sys, zipfile\n\
        with zipfile.ZipFile(sys.argv[1] + '/tinpot_wheel-1-py3-none-any.whl', 'w') as wheel:\n    \
            info = 'tinpot_wheel-1.dist-info/'\n    \
            wheel.writestr('tinpot_wheel.py', 'VERSION = 1')\n    \
            wheel.writestr(info + 'METADATA', 'Metadata-Version: 2.1\\nName: tinpot-wheel\\nVersion: 1\\n')\n    \
            wheel.writestr(info + 'WHEEL', 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')\n    \
            wheel.writestr(info + 'RECORD', '')\n";
    let made = std::process::Command::new("python3").args(["-c", wheel]).arg(path).status();
    assert!(made.expect("python3").success());
    let run = |arguments: &[&str]| {
        let mut command = tinpot();
        command.env("XDG_CACHE_HOME", path.join("cache")).args(arguments);
        command.env("PIP_NO_INDEX", "1").env("PIP_FIND_LINKS", path);
        command.env("UV_OFFLINE", "1").env("UV_NO_INDEX", "1").env("UV_FIND_LINKS", path);
        Ran::of(command)
    };
    let target = format!("{}::version", script.display());
    let ran = run(&["exec", &target, "--json"]);
    assert_eq!(ran.json()["result"], 1);
    assert!(ran.stderr.contains("built the Python environment of script.py"), "{ran:?}");
    let target = format!("{}::version", path.join("actions/broken.py").display());
    let message = run(&["exec", &target]).failed(1).to_owned();
    assert!(message.contains("cannot build the Python environment"), "{message}");
    let dir = path.join("actions").display().to_string();
    let ran = run(&["check", &dir]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stdout.contains("ok version\nload error broken.py\n"), "{ran:?}");
    let listed = run(&["python", "list"]).ok().to_owned();
    let built = listed.lines().find(|line| line.ends_with("actions/script.py")).expect("a line");
    assert!(built.contains(" ready "), "{listed}");
    let key = built.split(' ').next().expect("a key");
    assert!(run(&["python", "log", key]).ok().contains("tinpot"), "the log");
    let key =
        message.rsplit("tinpot python log ").next().and_then(|rest| rest.split_whitespace().next());
    assert!(run(&["python", "log", key.expect("a key")]).ok().contains("tinpot_wheel==2"));
    assert!(run(&["python", "log", "none"]).failed(5).contains("no Python environment none"));
}

#[test]
fn exec_runs_one_action_as_a_worker_would() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = file(
        folder.path(),
        "mine.py",
        "import sys\nimport helper\nfrom tinpot import action\n\n@action\ndef twice(number: int):\n    print('working')\n    return helper.double(number)\n\n\
         @action\ndef bad():\n    raise RuntimeError('no')\n",
    );
    file(folder.path(), "helper.py", "def double(x):\n    return 2 * x\n");
    // Nothing imports these files.
    file(folder.path(), "cleanup.py", &format!("open({:?}, 'w')\n", folder.path().join("ran")));
    let twin = "from tinpot import action\n@action\ndef twice(): pass\n";
    file(folder.path(), "twin.py", twin);
    let target = |name: &str| format!("{}::{name}", path.display());
    let ran = run(&["exec", &target("twice"), "--number", "21"]);
    assert_eq!((ran.ok(), ran.stderr.trim()), ("42\n", "working"));
    assert_eq!(run(&["exec", &target("twice"), "-p", "number=2", "--json"]).json()["result"], 4);
    assert!(!folder.path().join("ran").exists());
    assert!(run(&["exec", &target("bad")]).failed(1).contains("RuntimeError: no"));
    assert!(run(&["exec", &target("twice")]).failed(2).contains("--number is required"));
    assert!(run(&["exec", &target("twcie")]).failed(5).contains("did you mean \"twice\"?"));
    let help = run(&["exec", &target("twice"), "--help"]);
    assert!(help.ok().contains("--number <INTEGER>"));
    let called = format!("tinpot exec {}", target("twice"));
    assert!(help.stdout.contains(&format!("Usage: {called} --number")), "{help:?}");
    assert!(run(&["exec", &target("twice")]).stderr.contains(&format!("see: {called} --help")));
    assert!(
        run(&["exec", &target("twice"), "--number", "1", "--detach"])
            .failed(2)
            .contains("--detach")
    );
    file(folder.path(), "mine.py", "import nothing_like_it\n");
    assert!(run(&["exec", &target("twice")]).failed(1).contains("nothing_like_it"));
}

const TOWERFILE: &str = "[app]\nname = \"greet-me\"\nscript = \"main.sh\"\n\
                         [[parameters]]\nname = \"who\"\nrequired = true\n";

#[test]
fn folders_with_a_towerfile_are_checked_and_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let app = folder.path().join("app");
    file(&app, "Towerfile", TOWERFILE);
    file(&app, "main.sh", "echo working; echo \"\\\"hello $who\\\"\" > $TINPOT_RESULT\n");
    // Python does not import what belongs to an app.
    file(&app, "main.py", "raise RuntimeError\n");
    let (dir, app_dir) = (folder.path().to_str().expect("text"), app.to_str().expect("text"));
    assert_eq!(run(&["check", dir]).ok(), "ok greet-me\n");
    for target in [app_dir.to_owned(), format!("{app_dir}/Towerfile")] {
        let ran = run(&["exec", &target, "--who", "you"]);
        assert_eq!((ran.ok(), ran.stderr.trim()), ("hello you\n", "working"));
    }
    assert!(run(&["exec", app_dir]).failed(2).contains("--who is required"));
    file(&app, "main.sh", "echo 'out of paper' >&2; exit 4\n");
    assert!(run(&["exec", app_dir, "--who", "x"]).failed(1).contains("exit code 4: out of paper"));

    // A Python action with the name of the app.
    file(
        folder.path(),
        "twin.py",
        "from tinpot import action\n\n@action('greet-me')\ndef twin():\n    pass\n",
    );
    let ran = run(&["check", dir]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stdout.contains("ok greet-me\nload error greet-me"), "{ran:?}");
    file(&app, "Towerfile", &TOWERFILE.replace("main.sh", "main.rb"));
    let ran = run(&["check", dir]);
    assert!(ran.stdout.contains("load error app/Towerfile:3"), "{ran:?}");
    assert!(run(&["exec", app_dir]).failed(1).contains("must end in .py or .sh"));
}

#[test]
fn doctor_checks_everything_and_suggests_remedies() {
    let server = Server::shared();
    let port = server.url.rsplit(':').next().expect("a port");
    let doctor = |more: &[&str]| {
        server.run(&[&["doctor", "--store", "memory", "--port", port], more].concat())
    };
    let ran = doctor(&["--json"]);
    let found: Vec<Value> = serde_json::from_str(ran.ok()).expect("JSON");
    let state = |found: &[Value], what: &str| {
        let finding = found
            .iter()
            .find(|finding| finding["what"] == what)
            .unwrap_or_else(|| panic!("{what} in {found:?}"));
        finding["state"].as_str().expect("a state").to_owned()
    };
    for what in ["server", "clock", "port", "disk", "temporary", "python"] {
        assert_eq!(state(&found, what), "ok", "{what}: {found:?}");
    }
    assert_eq!(state(&found, "broker"), "ok", "no broker is needed here: {found:?}");
    assert!(["ok", "warning"].contains(&&*state(&found, "cgroups")), "{found:?}");
    for finding in found.iter().filter(|finding| finding["state"] != "ok") {
        assert!(finding["do"].as_str().is_some_and(|text| !text.is_empty()), "{finding}");
    }
    let ran = server.run(&["doctor", "--store", "memory", "--host", "::1", "--port", port]);
    assert!(ran.stdout.contains(&format!("[::1]:{port}")), "{ran:?}");
    // Every fault is a problem, and shows in the exit code.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken_port = taken.local_addr().expect("an address").port().to_string();
    for (arguments, what) in [
        (&["--python", "/nonexistent"][..], "python"),
        (&["--store", "/nonexistent/a.db"], "disk"),
        (&["--port", &taken_port], "port"),
        (&["--broker", "tcp://127.0.0.1:1"], "broker"),
    ] {
        let mut command = server.tinpot(&["doctor", "--json"]);
        if what != "port" {
            command.args(["--port", port]);
        }
        if what != "disk" {
            command.args(["--store", "memory"]);
        }
        let ran = Ran::of({
            command.args(arguments);
            command
        });
        assert_eq!(ran.code, Some(1), "{ran:?}");
        let found: Vec<Value> = serde_json::from_str(&ran.stdout).expect("JSON");
        assert_eq!(state(&found, what), "problem", "{found:?}");
    }
    let broker = format!("tcp://127.0.0.1:{}", free_port());
    let mut command = server.tinpot(&["doctor", "--store", "memory", "--port", port]);
    command.env("MQTT_BROKER", broker);
    let ran = Ran::of(command);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(
        ran.stdout.contains("problem broker") && ran.stdout.contains("--embedded-broker"),
        "{ran:?}"
    );
}

#[test]
fn version_prints_both_versions() {
    let own = env!("CARGO_PKG_VERSION");
    let ran = run(&["version"]);
    assert!(
        ran.ok().starts_with(&format!("tinpot {own}\n")) && ran.stdout.contains("none at"),
        "{ran:?}"
    );
    assert_eq!(run(&["--version"]).ok(), format!("tinpot {own}\n"));
}

#[test]
fn doctor_does_not_wait_for_one_check_after_the_other() {
    // Accepts connections, and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let silent = format!("http://{}", silent.local_addr().expect("an address"));
    let mut command = tinpot();
    let port = free_port().to_string();
    let broker = format!("tcp://127.0.0.1:{}", free_port());
    command.args(["doctor", "--json", "--port", &port, "--broker", &broker, "--server", &silent]);
    let begun = std::time::Instant::now();
    let found: Vec<Value> = serde_json::from_str(&Ran::of(command).stdout).expect("JSON");
    let took = begun.elapsed();
    assert_eq!(found.len(), 8, "{found:?}");
    // The server has 3 s; two of its checks and a broker, one by one, would take longer.
    assert!(took < std::time::Duration::from_secs(6), "{took:?}: {found:?}");
}
