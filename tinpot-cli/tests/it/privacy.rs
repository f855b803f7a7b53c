//! Settings, files and descriptors that a server keeps to itself.

use std::io::Write;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::{PATIENCE, Process, Ran, file, tinpot};

const ACTIONS: &str = r#"
import os
import resource
import subprocess

from tinpot import Context, action


def descriptors():
    """Give the files that are open here."""
    paths = [f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd")]
    return [os.readlink(path) for path in paths if os.path.exists(path)]


@action
def look(ctx: Context):
    """Give what an action sees of its worker."""
    mask = os.umask(0)
    os.umask(mask)
    child = subprocess.run(["env"], capture_output=True, text=True, check=True).stdout
    return {
        "variables": dict(os.environ),
        "child": child,
        "umask": mask,
        "open_files": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        "secret": ctx.secret("db").reveal() == "canary-of-a-secret",
        "descriptors": descriptors(),
    }
"#;

/// Returns `tinpot` as a shell starts it after these commands.
fn after(commands: &str) -> Command {
    let usual = tinpot();
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{commands}; exec \"$@\""), "sh"]);
    command.arg(usual.get_program()).args(usual.get_args());
    for (name, value) in usual.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
}

/// Starts a server with the actions of this file.
fn start(mut command: Command, folder: &Path) -> (Process, String) {
    std::fs::create_dir(folder.join("actions")).expect("a folder");
    file(&folder.join("actions"), "look.py", ACTIONS);
    command.env("TINPOT_SECRET_DB", "canary-of-a-secret");
    command.current_dir(folder).args(["dev", "--port", "0", "--store", "tinpot.db"]);
    let mut process = Process::start(command);
    let url = process.url();
    (process, url)
}

fn look(url: &str) -> Value {
    let mut command = tinpot();
    command.env("TINPOT_SERVER", url).args(["run", "look", "--json"]);
    Ran::of(command).json()["result"].clone()
}

#[test]
fn actions_see_what_the_operator_names_and_no_setting_of_the_worker() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = tinpot();
    command.envs([
        ("MQTT_BROKER", "tcp://me:canary-of-mqtt@host"),
        ("BROKER_USER", "me:canary-of-the-broker"),
        ("TINPOT_PROFILES_KEY", "canary-of-tinpot"),
        ("GITHUB_TOKEN", "canary-of-a-token"),
        ("DATABASE_URL", "canary-of-a-database"),
        ("TINPOT_ENV", "NAMED,APP_*"),
        ("NAMED", "named"),
        ("APP_MODE", "mode"),
    ]);
    let (_process, url) = start(command, folder.path());
    let seen = look(&url);
    let text = seen.to_string();
    assert!(!text.contains("canary"), "{text}");
    let variables = &seen["variables"];
    assert_eq!((&variables["NAMED"], &variables["APP_MODE"]), (&"named".into(), &"mode".into()));
    assert!(variables["PATH"].is_string() && variables["HOME"].is_string(), "{variables}");
    assert_eq!(seen["secret"], true, "it is there for those who ask: {seen}");
}

#[test]
fn an_action_inherits_no_descriptor() {
    let folder = tempfile::tempdir().expect("a folder");
    file(folder.path(), "canary.key", "canary of a key");
    let path = folder.path().join("canary.key").display().to_string();
    let (_process, url) = start(after(&format!("exec 9< {path}")), folder.path());
    let open = look(&url)["descriptors"].to_string();
    assert!(open.contains("pipe:") && !open.contains("canary"), "{open}");
}

#[test]
fn files_are_of_their_user_alone_whatever_the_umask_of_the_shell() {
    let folder = tempfile::tempdir().expect("a folder");
    let temporary = folder.path().join("tmp");
    std::fs::create_dir(&temporary).expect("a folder");
    let mut command = after("umask 000");
    command.env("TMPDIR", &temporary);
    let (_process, url) = start(command, folder.path());
    let seen = look(&url);
    assert_eq!(seen["umask"], 0, "actions get the umask of the shell back");
    let mut paths: Vec<_> = std::fs::read_dir(folder.path())
        .expect("a folder")
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_file())
        .collect();
    assert!(paths.len() >= 3, "database, log and lock: {paths:?}");
    let mut folders = vec![temporary];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
            if entry.path().is_dir() {
                folders.push(entry.path());
            }
            // Python writes these with the umask of actions, into a folder of its user alone.
            let of_python = |end: &str| entry.file_name().to_string_lossy().ends_with(end);
            if !of_python("__pycache__") && !of_python(".pyc") {
                paths.push(entry.path());
            }
        }
    }
    for path in paths {
        let mode = path.symlink_metadata().expect("metadata").permissions().mode();
        assert_eq!(mode & 0o077, 0, "{} has {mode:o}", path.display());
    }
}

#[test]
fn idle_connections_leave_descriptors_for_actions() {
    let folder = tempfile::tempdir().expect("a folder");
    // The soft limit is lower, and raised to the hard one.
    let (_process, url) = start(after("ulimit -Hn 400; ulimit -Sn 128"), folder.path());
    let address = url.trim_start_matches("http://");
    let begin = |_| {
        let mut connection = TcpStream::connect(address).expect("a connection");
        // The server may have closed it.
        let _ = connection.write_all(b"GET /api/stream HTTP/1.1\r\nhost: localhost\r\n\r\n");
        connection
    };
    let idle: Vec<TcpStream> = (0..350).map(begin).collect();
    // A new interpreter, a call and an answer need some. This client waits for a place.
    let deadline = std::time::Instant::now() + PATIENCE;
    drop(idle.into_iter().take(5).collect::<Vec<_>>());
    let seen = loop {
        let mut command = tinpot();
        command.env("TINPOT_SERVER", &url).args(["run", "look", "--json"]);
        let ran = Ran::of(command);
        if ran.code == Some(0) {
            break ran.json()["result"].clone();
        }
        assert!(std::time::Instant::now() < deadline, "{ran:?}");
    };
    assert_eq!(seen["open_files"], 128, "actions get the limit of the shell back");
}

#[test]
fn an_address_of_the_network_is_refused_without_authentication() {
    for host in ["0.0.0.0", "::", "10.255.255.1"] {
        let mut command = tinpot();
        command.args(["coordinator", "--store", "memory", "--port", "0", "--host", host]);
        let ran = Ran::of(command);
        let said = ran.failed(2);
        assert!(said.contains("--insecure-no-auth") && said.contains("refusing"), "{ran:?}");
    }
    let mut command = tinpot();
    command.args(["coordinator", "--store", "memory", "--port", "0", "--host", "0.0.0.0"]);
    command.args(["--insecure-no-auth", "--embedded-broker=127.0.0.1:0"]);
    let mut process = Process::start(command);
    let url = process.url();
    // Every address of the machine, and no name but those that are allowed.
    let port = url.rsplit(':').next().expect("a port");
    for (host, status) in [("127.0.0.1", 200), ("10.1.2.3", 200), ("evil.example", 421)] {
        let mut connection = TcpStream::connect(format!("127.0.0.1:{port}")).expect("it listens");
        let head =
            format!("GET /health HTTP/1.1\r\nhost: {host}:{port}\r\nconnection: close\r\n\r\n");
        connection.write_all(head.as_bytes()).expect("it reads");
        let mut answer = String::new();
        std::io::Read::read_to_string(&mut connection, &mut answer).expect("it answers");
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{host}: {answer}");
    }
    assert!(process.line("evil.example").contains("--allow-host"), "the log names the setting");
}

#[test]
fn a_password_on_the_command_line_is_refused_with_a_place_for_it() {
    for (arguments, said) in [
        (["worker", "--broker", "mqtt://me:canary@host"], "--broker-password-file"),
        (
            ["coordinator", "--broker=mqtt://me:canary@host", "--show-config"],
            "MQTT_BROKER_PASSWORD_FILE",
        ),
        (["coordinator", "--embedded-broker", "--broker-user=me:canary"], "--broker-user-file"),
    ] {
        let mut command = tinpot();
        command.args(arguments);
        let ran = Ran::of(command);
        assert!(ran.failed(2).contains(said) && !ran.stderr.contains("canary"), "{ran:?}");
    }
}

#[test]
fn a_password_comes_from_a_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let user = file(folder.path(), "user", "worker:canary\n");
    let password = file(folder.path(), "password", "canary\n");
    let broker = crate::support::free_port();
    let mut coordinator = tinpot();
    coordinator
        .args(["coordinator", "--port", "0", "--store", "memory"])
        .arg(format!("--embedded-broker=127.0.0.1:{broker}"))
        .arg("--broker-user-file")
        .arg(&user);
    let mut coordinator = Process::start(coordinator);
    let url = coordinator.url();
    std::fs::create_dir(folder.path().join("actions")).expect("a folder");
    file(&folder.path().join("actions"), "look.py", ACTIONS);
    let mut worker = tinpot();
    worker
        .current_dir(folder.path())
        .env("TINPOT_SECRET_DB", "canary-of-a-secret")
        .arg("worker")
        .arg(format!("--broker=mqtt://worker@127.0.0.1:{broker}"))
        .arg("--broker-password-file")
        .arg(&password);
    let mut worker = Process::start(worker);
    worker.line("reaches its coordinator");
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        let mut command = tinpot();
        command.env("TINPOT_SERVER", &url).args(["actions", "list", "--json"]);
        if Ran::of(command).ok().contains("look") {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "the worker is not admitted");
    }
    assert_eq!(look(&url)["secret"], true);
    let mut command = tinpot();
    command.args([
        "worker",
        "--broker",
        "mqtt://me@host",
        "--broker-password-file",
        "/nonexistent",
    ]);
    command.current_dir(folder.path());
    assert!(Ran::of(command).failed(1).contains("/nonexistent"));
}

/// The action of the test below. It starts a program as well, and stays until a file is there.
const STAY: &str = r#"
import os
import subprocess
import time
from typing import Annotated

from tinpot import Context, Param, Secret, action


@action
def stay(ctx: Context, key: Secret, until: str):
    """Hold secrets of three kinds, and a program."""
    held = [ctx.secret("db").reveal(), ctx.secret("vault").reveal(), key.reveal()]
    program = subprocess.Popen(["sh", "-c", f"while [ ! -e {until} ]; do sleep 0.1; done"])
    open(until + ".ready", "w").close()
    program.wait()
    return [text.startswith("canary-") for text in held]
"#;

/// Returns the processes that descend from this one, by id, with what `/proc` shows of each.
#[cfg(target_os = "linux")]
fn descendants() -> Vec<(u32, String, String)> {
    let mut parents = std::collections::BTreeMap::new();
    for entry in std::fs::read_dir("/proc").expect("a folder").flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        // It may have ended.
        let Ok(stat) = std::fs::read_to_string(format!("/proc/{id}/stat")) else { continue };
        let after = stat.rsplit_once(") ").map_or("", |(_, after)| after);
        let parent = after.split(' ').nth(1).and_then(|parent| parent.parse::<u32>().ok());
        parents.insert(id, parent.unwrap_or_default());
    }
    let is_ours = |mut id: u32| {
        while let Some(parent) = parents.get(&id) {
            if *parent == std::process::id() {
                return true;
            }
            id = *parent;
        }
        false
    };
    let shown = |id: u32, name: &str| {
        // Without the rights of root, no process sees the environment of a server: good enough.
        let bytes = std::fs::read(format!("/proc/{id}/{name}")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).replace('\0', " ")
    };
    let ours = parents.keys().copied().filter(|id| is_ours(*id));
    ours.map(|id| (id, shown(id, "cmdline"), shown(id, "environ"))).collect()
}

/// Attack 26: another process that looks at those of this machine finds no secret, however it was given:
/// by a variable, in a file, or as a parameter.
#[cfg(target_os = "linux")]
#[test]
fn no_secret_is_in_the_environment_or_the_arguments_of_a_process() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    file(folder.path(), "actions/stay.py", STAY);
    file(folder.path(), "password", "canary-of-a-user");
    file(folder.path(), "secrets/db", "canary-in-a-file");
    let until = path("until");
    let parameters = serde_json::json!({ "key": "canary-of-a-parameter", "until": until });
    file(folder.path(), "parameters.json", &parameters.to_string());
    let port = crate::support::free_port();
    let server = |words: &[&str]| {
        let mut command = tinpot();
        command.args(words).current_dir(folder.path()).env("TINPOT_STORE", path("tinpot.db"));
        command.env("TINPOT_TOKEN", "canary-of-a-token");
        command
    };
    let set = Ran::with_input(server(&["secrets", "set", "vault"]), "canary-of-the-coordinator");
    set.ok();
    let mut command = server(&["coordinator", "--port=0", "--insecure-plain-secrets"]);
    command.arg(format!("--embedded-broker=127.0.0.1:{port}"));
    command.env("BROKER_USER", "me:canary-of-a-user").env("TINPOT_FRAMES", "plain");
    let mut coordinator = Process::start(command);
    let url = coordinator.url();
    let mut command = server(&["worker", "--name=one"]);
    command.env("MQTT_BROKER", format!("mqtt://me:canary-of-a-user@127.0.0.1:{port}"));
    command.env("TINPOT_SECRET_DB", "canary-of-the-worker").env("TINPOT_FRAMES", "plain");
    let mut worker = Process::start(command);
    worker.line("Worker one-");
    let mut command = server(&["worker", "--name=two", "--broker-password-file=password"]);
    command.env("MQTT_BROKER", format!("mqtt://me@127.0.0.1:{port}"));
    command.env("TINPOT_SECRETS_DIR", path("secrets")).env("TINPOT_FRAMES", "plain");
    let mut other = Process::start(command);
    other.line("Worker two-");
    let mut dev = server(&["dev", "--port=0", "actions"]);
    dev.env("TINPOT_STORE", "memory").env("TINPOT_SECRET_DB", "canary-of-dev");
    let mut dev = Process::start(dev);
    dev.url();
    let mut command = tinpot();
    command.env("TINPOT_SERVER", &url).current_dir(folder.path());
    command.args(["run", "stay", "--data", "@parameters.json", "--json"]);
    let run = std::thread::spawn(move || Ran::of(command));
    let deadline = std::time::Instant::now() + PATIENCE;
    while !path("until.ready").exists() {
        if run.is_finished() {
            panic!("the action does not start: {:?}", run.join());
        }
        assert!(
            std::time::Instant::now() < deadline,
            "the action does not start: {:?}",
            worker.seen
        );
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let all = descendants();
    let names = ["coordinator", "worker", "dev", "tinpot_child", "sleep 0.1; done"];
    for name in names {
        assert!(all.iter().any(|(_, line, _)| line.contains(name)), "{name}: {all:#?}");
    }
    for (id, line, environment) in &all {
        for (what, text) in [("arguments", line), ("environment", environment)] {
            assert!(!text.contains("canary"), "{what} of {id}, {line}: {text}");
        }
    }
    std::fs::write(&until, "").expect("a file");
    let ran = run.join().expect("it ends").json();
    assert_eq!(ran["result"], serde_json::json!([true, true, true]), "{ran}");
}
