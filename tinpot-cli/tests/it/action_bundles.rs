//! Folders of Python actions that are deployed, and workers that share no disk with them.

use std::io::Read;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use rustix::process::Signal;

use crate::bundles::{By, Place, Tap};
use crate::support::{PATIENCE, Process, Ran, ask, file, tinpot};

const HEAD: &str = "from tinpot import action\n\nfrom helper import times\n\n\n@action\n";
const ADD: &str = "def add(a: int, b: int):\n    \"\"\"Adds two numbers.\"\"\"\n    print('adding')\n    return a + b\n";
const MULTIPLY: &str = "def multiply(a: int, b: int):\n    return times(a, b)\n";

/// A folder of actions without a Towerfile.
fn tools(folder: &Path, action: &str) {
    file(folder, "tools/helper.py", "def times(a, b):\n    return a * b\n");
    file(folder, "tools/tools.py", &format!("{HEAD}{action}"));
}

fn worker(place: &Place) -> Process {
    let mut worker = Process::start(place.joined("web"));
    worker.line("reaches its coordinator by");
    worker
}

fn ends(mut worker: Process) {
    worker.signal(Signal::TERM);
    assert!(worker.end().success(), "{:#?}", worker.seen);
}

#[test]
fn a_folder_of_actions_runs_on_a_worker_elsewhere() {
    let place = Place::start(By::Http);
    let worker = worker(&place);
    let folder = place.folder.path();
    tools(folder, ADD);
    assert_eq!(place.run(&["deploy", "tools"]).ok(), "tools: version 1 is active\n");
    // What an import leaves in the folder is no new content.
    file(folder, "tools/__pycache__/tools.cpython-39.pyc", "compiled");
    assert_eq!(place.run(&["deploy", "tools"]).ok(), "tools: unchanged, version 1 is active\n");
    let shown = place.run(&["actions", "show", "add"]);
    assert!(shown.ok().contains("--a <INTEGER>"), "{shown:?}");
    assert!(shown.ok().contains("Adds two numbers."), "{shown:?}");
    let ran = place.run(&["run", "add", "--a", "3", "--b", "4"]);
    assert_eq!(ran.ok().trim(), "7");
    assert!(ran.stderr.contains("adding"), "{ran:?}");
    let wrong = place.run(&["run", "add", "--a", "three", "--b", "4"]);
    assert!(wrong.code != Some(0) && wrong.stderr.contains("--a"), "{wrong:?}");

    let shown = place.run(&["apps", "show", "tools"]);
    assert!(shown.ok().contains("actions  add\n"), "{shown:?}");

    // Another version has another action, and no other app may have it.
    tools(folder, MULTIPLY);
    assert_eq!(place.run(&["deploy", "tools"]).ok(), "tools: version 2 is active\n");
    assert_eq!(place.run(&["run", "multiply", "--a", "3", "--b", "4"]).ok().trim(), "12");
    let disabled = |action: &str| {
        let gone = place.run(&["run", action, "--a", "3", "--b", "4"]);
        assert!(gone.code != Some(0) && gone.stderr.contains("disabled"), "{gone:?}");
    };
    disabled("add");
    place.run(&["rollback", "tools"]).ok();
    assert_eq!(place.run(&["run", "add", "--a", "1", "--b", "1"]).ok().trim(), "2");
    disabled("multiply");
    file(folder, "other/tools.py", &format!("from tinpot import action\n\n\n@action\n{ADD}"));
    let taken = place.run(&["deploy", "other"]);
    assert!(taken.stderr.contains("action \"add\" belongs to app \"tools\""), "{taken:?}");

    place.run(&["apps", "disable", "tools"]).ok();
    disabled("add");
    place.run(&["apps", "enable", "tools"]).ok();
    assert_eq!(place.run(&["run", "add", "--a", "2", "--b", "1"]).ok().trim(), "3");
    ends(worker);
}

const MEET: &str = r#"
import asyncio
import os

from tinpot import action

started, running, peak = 0, 0, 0


@action(concurrency=3)
async def meet():
    global started, running, peak
    started, running = started + 1, running + 1
    peak = max(peak, running)
    while started < 3:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    running -= 1
    return [os.getpid(), peak]
"#;

#[test]
fn coroutines_with_a_concurrency_share_an_interpreter_and_take_no_slots() {
    let place = Place::start(By::Http);
    let mut command = place.joined("web");
    command.env("CONCURRENCY", "1");
    let mut worker = Process::start(command);
    worker.line("reaches its coordinator by");
    file(place.folder.path(), "tools/tools.py", MEET);
    assert_eq!(place.run(&["deploy", "tools"]).ok(), "tools: version 1 is active\n");
    let begin = |_| place.run(&["run", "meet", "--detach"]).ok().trim().to_owned();
    // The first ones end only if three run at once, on a worker with one slot.
    let ids: Vec<String> = (0..5).map(begin).collect();
    let results = ids.iter().map(|id| place.wait_for(id, "succeeded")["outcome"]["result"].clone());
    let results: Vec<(u32, u32)> =
        results.map(|result| serde_json::from_value(result).expect("two numbers")).collect();
    assert!(results.iter().all(|(process, _)| *process == results[0].0), "{results:?}");
    assert_eq!(results.iter().map(|(_, peak)| *peak).max(), Some(3), "{results:?}");
    ends(worker);
}

#[test]
fn what_cannot_be_imported_is_not_deployed() {
    let place = Place::start(By::Http);
    let folder = place.folder.path();
    let refused = |name: &str, code: i32, parts: &[&str]| {
        let ran = place.run(&["deploy", name]);
        let text = ran.failed(code);
        for part in parts {
            assert!(text.contains(part), "{name} should say {part:?}: {text}");
        }
    };
    file(folder, "empty/notes.txt", "");
    refused("empty", 5, &["no Towerfile and no Python function with @action in empty"]);
    file(folder, "plain/main.py", "print('no action')\n");
    refused("plain", 5, &["no Towerfile and no Python function with @action in plain"]);
    file(folder, "broken/fine.py", &format!("from tinpot import action\n\n@action\n{ADD}"));
    file(folder, "broken/wrong.py", "import sys\n\nimport nothing_of_that_name\n");
    refused("broken", 1, &["wrong.py", "line 3", "nothing_of_that_name", "nothing was deployed"]);
    assert!(place.run(&["pack", "broken"]).failed(1).contains("nothing was packed"));
    file(folder, "broken/wrong.py", "def f(:\n");
    refused("broken", 1, &["wrong.py", "line 1", "invalid syntax"]);
    file(folder, "broken/wrong.py", &format!("from tinpot import action\n\n@action\n{ADD}"));
    refused("broken", 1, &["wrong.py", "fine.py", "add"]);
    // A name that no app can have.
    file(folder, "x/tools.py", &format!("from tinpot import action\n\n@action\n{ADD}"));
    refused("x", 2, &["3 to 32 lower-case letters", "--app NAME"]);
    let towerfile = "[app]\nname = \"settings\"\n[tinpot]\nkind = \"actions\"\nqueue = \"night\"\n";
    file(folder, "settings/Towerfile", towerfile);
    refused("settings", 2, &["tinpot.queue", "set it with @action(queue="]);
    let named = place.run(&["deploy", "settings", "--app", "other"]);
    assert!(named.failed(2).contains("app.name"), "{named:?}");
    let none = place.run(&["apps", "list", "--json"]).json();
    assert_eq!(none["apps"].as_array().map(Vec::len), Some(0), "{none}");
    assert_eq!(place.run(&["deploy", "x", "--app", "tools"]).ok(), "tools: version 1 is active\n");
}

/// Deploys with packages that no worker has.
fn deploy_with_packages(place: &Place, packages: &Path) -> Ran {
    let mut command = tinpot();
    command.env("TINPOT_SERVER", place.url()).current_dir(place.folder.path());
    command.env("PYTHONPATH", packages).args(["deploy", "tools"]);
    Ran::of(command)
}

#[track_caller]
fn until(place: &Place, words: &[&str], is_it: impl Fn(&serde_json::Value) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let shown = place.run(words).json();
        if is_it(&shown) {
            return;
        }
        assert!(Instant::now() < deadline, "{words:?}: {shown}");
    }
}

#[test]
fn a_version_that_a_worker_cannot_load_is_not_available() {
    let place = Place::start(By::Http);
    let worker = worker(&place);
    let folder = place.folder.path();
    tools(folder, ADD);
    place.run(&["deploy", "tools"]).ok();
    let packages = folder.join("packages");
    file(&packages, "only_here.py", "");
    file(folder, "tools/tools.py", &format!("import only_here\n{HEAD}{ADD}"));
    assert_eq!(deploy_with_packages(&place, &packages).ok(), "tools: version 2 is active\n");
    let failed = place.run(&["run", "add", "--a", "3", "--b", "4"]);
    assert!(failed.failed(1).contains("BundleMismatch"), "{failed:?}");
    assert!(failed.stderr.contains("No module named 'only_here'"), "{failed:?}");
    let says = |shown: &serde_json::Value| {
        let text = shown.to_string();
        text.contains("version 2 of app tools") && text.contains("No module named 'only_here'")
    };
    until(&place, &["workers", "list", "--json"], says);
    until(&place, &["actions", "show", "add", "--json"], |shown| shown["available"] == false);

    place.run(&["rollback", "tools"]).ok();
    until(&place, &["actions", "show", "add", "--json"], |shown| shown["available"] == true);
    assert_eq!(place.run(&["run", "add", "--a", "3", "--b", "4"]).ok().trim(), "7");
    ends(worker);
}

/// Deploys the archive of a folder as clients do that do not import it. Returns the whole answer.
fn deploy_archive(place: &Place, app: &str) -> String {
    let archive = place.folder.path().join("archive.tar.gz");
    let path = archive.to_str().expect("UTF-8");
    // Packing imports the folder; the archive has the files alone.
    let packed = place.run(&["pack", app, "--output", path, "--json"]).json();
    let digest = packed["archive"]["digest"].as_str().expect("a digest");
    let bytes = std::fs::read(&archive).expect("an archive");
    let upload = format!("/api/blobs/{digest}");
    let (status, body) = crate::tower::ask(&place.url(), "PUT", &upload, &[], &bytes);
    assert!((200..300).contains(&status), "{body}");
    let deploy = serde_json::json!({ "archive": digest, "create": true }).to_string();
    let head = "content-type: application/json\r\n";
    ask(&place.url(), "POST", &format!("/api/apps/{app}/versions"), head, &deploy)
}

#[test]
fn a_worker_imports_a_folder_that_comes_as_an_archive() {
    let place = Place::start(By::Http);
    let worker = worker(&place);
    let folder = place.folder.path();
    tools(folder, ADD);
    let created = deploy_archive(&place, "tools");
    assert!(created.starts_with("HTTP/1.1 201"), "{created}");
    assert_eq!(place.run(&["run", "add", "--a", "3", "--b", "4"]).ok().trim(), "7");
    let shown = place.run(&["actions", "show", "add"]);
    assert!(shown.ok().contains("Adds two numbers."), "{shown:?}");
    // The same files by the command are the same version.
    assert_eq!(place.run(&["deploy", "tools"]).ok(), "tools: unchanged, version 1 is active\n");
    let again = deploy_archive(&place, "tools");
    assert!(again.starts_with("HTTP/1.1 200") && again.contains("unchanged"), "{again}");
    ends(worker);
}

#[test]
fn requirements_of_a_folder_of_actions_are_installed_for_it() {
    const WHEEL: &str = "import sys, zipfile\n\
        with zipfile.ZipFile(sys.argv[1] + '/only_here-1.0-py3-none-any.whl', 'w') as wheel:\n\
        \x20   wheel.writestr('only_here.py', 'NAME = \"installed\"\\n')\n\
        \x20   info = 'only_here-1.0.dist-info/'\n\
        \x20   wheel.writestr(info + 'METADATA', 'Metadata-Version: 2.1\\nName: only-here\\nVersion: 1.0\\n')\n\
        \x20   wheel.writestr(info + 'WHEEL', 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')\n\
        \x20   wheel.writestr(info + 'RECORD', '')\n";
    let place = Place::start(By::Http);
    let worker = worker(&place);
    let folder = place.folder.path();
    let text = "import only_here\nfrom tinpot import action\n\n\n@action\ndef name():\n    return only_here.NAME\n";
    file(folder, "tools/tools.py", text);
    file(folder, "tools/requirements.txt", "--no-index\n./wheels/only_here-1.0-py3-none-any.whl\n");
    std::fs::create_dir(folder.join("tools/wheels")).expect("a folder");
    let mut make = Command::new("python3");
    make.args(["-c", WHEEL]).arg(folder.join("tools/wheels"));
    assert!(make.status().expect("python3").success());
    let packages = folder.join("packages");
    file(&packages, "only_here.py", "NAME = 'of the deploy'\n");
    deploy_with_packages(&place, &packages).ok();
    let ran = place.run(&["run", "name"]);
    assert_eq!(ran.ok().trim(), "installed");
    assert!(ran.stderr.contains("installing dependencies from requirements.txt"), "{ran:?}");
    let again = place.run(&["run", "name"]);
    assert!(!again.stderr.contains("installing"), "{again:?}");
    ends(worker);
}

#[test]
fn a_worker_that_is_killed_while_it_fetches_leaves_nothing_in_the_way() {
    let place = Place::start(By::Mosquitto);
    let folder = place.folder.path();
    tools(folder, ADD);
    // Three megabytes that cannot be compressed.
    let mut random = vec![0; 3 << 20];
    std::fs::File::open("/dev/urandom").expect("a file").read_exact(&mut random).expect("bytes");
    std::fs::write(folder.join("tools/data"), random).expect("a file");
    place.run(&["deploy", "tools"]).ok();

    let tap = Tap::start(place.port, Some(1 << 20));
    let mut worker = Process::start(place.plain("web", &tap.url()));
    worker.line("reaches its coordinator by");
    place.run(&["run", "add", "--a", "1", "--b", "2", "--detach"]).ok();
    tap.wait_for(1 << 20);
    worker.kill();
    tap.open();
    // The next one has the same cache, and finds no half of the bundle.
    let mut next = Process::start(place.plain("web", &tap.url()));
    next.line("reaches its coordinator by");
    assert_eq!(place.run(&["run", "add", "--a", "3", "--b", "4"]).ok().trim(), "7");
    ends(next);
}
