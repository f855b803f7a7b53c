//! Bytes that are too large for the body of a submission.

use std::io::Write;
use std::path::PathBuf;

use rustix::process::Signal;
use serde_json::{Value, json};
use tinpot_bundle::Hasher;

use crate::bundles::{By, Place, Tap};
use crate::support::{Process, Ran, ask, file, tinpot};

const ACTIONS: &str = r#"
import hashlib
from typing import Annotated

from tinpot import Param, action


@action
def digest(blob: Annotated[bytes, Param(min_length=100)], more: bytes = b""):
    return [len(blob), hashlib.sha256(blob).hexdigest(), len(more)]


@action
def named_like_an_option(data: bytes):
    return len(data)


@action(concurrency=2)
async def shared(blob: bytearray):
    return [type(blob).__name__, hashlib.sha256(blob).hexdigest()]
"#;

const BYTES: usize = 40_000_000;

/// Writes a large file, and returns its path and its digest.
fn large(place: &Place, name: &str, bytes: usize) -> (PathBuf, String) {
    let path = place.folder.path().join(name);
    let mut file = std::fs::File::create(&path).expect("a file");
    let mut hasher = Hasher::new();
    let block: Vec<u8> = (0..=u8::MAX).cycle().take(1_000_003).collect();
    let mut left = bytes;
    while left > 0 {
        let piece = &block[..left.min(block.len())];
        hasher.update(piece);
        file.write_all(piece).expect("written");
        left -= piece.len();
    }
    (path, hasher.finish().to_string())
}

fn place(by: By) -> Place {
    let place = Place::start(by);
    file(place.folder.path(), "actions/uploads.py", ACTIONS);
    place
}

fn worker(command: std::process::Command) -> Process {
    let mut worker = Process::start(command);
    worker.line("reaches its coordinator by");
    worker
}

/// Waits until the worker offers its actions.
fn offered(place: &Place) {
    let listed = || place.run(&["actions", "list"]).stdout.contains("shared");
    let deadline = std::time::Instant::now() + crate::support::PATIENCE;
    while !listed() {
        assert!(std::time::Instant::now() < deadline, "the actions are not offered");
    }
}

fn runs_with_large_bytes(place: &Place) {
    offered(place);
    let (path, digest) = large(place, "large", BYTES);
    let at = format!("@{}", path.display());
    let ran = place.run(&["run", "digest", "--blob", &at, "--json"]).json();
    assert_eq!(ran["result"], json!([BYTES, digest, 0]), "{ran}");
    // It is not the parameter that is large, but what that refers to.
    let id = ran["execution_id"].as_str().expect("an id");
    let shown = place.run(&["executions", "show", id, "--json"]).json();
    assert_eq!(shown["parameters"]["blob"], json!(format!("upload:{digest}")), "{shown}");
    let again = place.run(&["executions", "rerun", id, "--json"]).json();
    assert_eq!(again["result"], json!([BYTES, digest, 0]), "{again}");
    let changed = place.run(&["executions", "rerun", id, "--more", "@@abc", "--json"]).json();
    assert_eq!(changed["result"], json!([BYTES, digest, 4]), "{changed}");
    let ran = place.run(&["run", "shared", "--blob", &at]);
    assert_eq!(ran.json(), json!(["bytearray", digest]));
    // A small one travels with the submission.
    let small = file(place.folder.path(), "small", &"abc".repeat(50));
    let at = format!("@{}", small.display());
    let ran = place.run(&["run", "digest", "--blob", &at, "--json"]).json();
    let id = ran["execution_id"].as_str().expect("an id");
    let shown = place.run(&["executions", "show", id, "--json"]).json();
    assert_eq!(shown["parameters"]["blob"], json!("YWJj".repeat(50)), "{shown}");
}

#[test]
fn large_bytes_reach_a_worker_by_http() {
    let place = place(By::Http);
    let _worker = worker(place.joined("web"));
    runs_with_large_bytes(&place);
    // The option `--data` has the name of the parameter: the error names the parameter's flag.
    let bytes = format!("@{}", file(place.folder.path(), "bytes", "abc").display());
    let run = ["run", "named_like_an_option"];
    let refused = place.run(&[&run[..], &["--data", &bytes]].concat());
    assert!(refused.failed(2).contains("; the parameter `data` is --param-data"), "{refused:?}");
    assert_eq!(place.run(&[&run[..], &["--param-data", &bytes]].concat()).json(), json!(3));
}

#[test]
fn large_bytes_reach_a_worker_that_joined_by_an_embedded_broker() {
    let place = place(By::EmbeddedBroker);
    let _worker = worker(place.joined("web"));
    runs_with_large_bytes(&place);
}

#[test]
fn large_bytes_reach_a_worker_with_mosquitto() {
    let place = place(By::Mosquitto);
    let _worker = worker(place.plain("web", &place.url()));
    runs_with_large_bytes(&place);
}

#[test]
fn a_worker_that_cannot_fetch_says_what_to_set() {
    let place = place(By::EmbeddedBroker);
    let _worker = worker(place.plain("web", ""));
    offered(&place);
    let (path, _) = large(&place, "large", 600_000);
    let at = format!("@{}", path.display());
    let ran = place.run(&["run", "digest", "--blob", &at]);
    assert!(ran.failed(1).contains("--bundle-server (TINPOT_BUNDLE_SERVER)"), "{ran:?}");
}

/// Uploads by a plain request, and returns the reference.
fn upload(place: &Place, content: &str) -> String {
    let path = "/api/actions/digest/uploads";
    let answer = ask(&place.url(), "POST", path, "", content);
    let body = answer.split_once("\r\n\r\n").map_or(&*answer, |(_, body)| body);
    let sent: Value = serde_json::from_str(body).unwrap_or_else(|_| panic!("{answer}"));
    sent["upload"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}

#[test]
fn an_upload_outlives_the_coordinator_and_its_executions_wait_for_a_worker() {
    let mut place = place(By::Http);
    let command = place.joined("web");
    let first = worker(place.joined("first"));
    offered(&place);
    drop(first);
    let reference = upload(&place, &"content".repeat(20));
    place.restart();
    let id =
        place.run(&["run", "digest", "-d", &format!(r#"{{"blob":"{reference}"}}"#), "--detach"]);
    let id = id.ok().trim().to_owned();
    place.restart();
    let _worker = worker(command);
    let ended = place.wait_for(&id, "succeeded");
    assert_eq!(ended["outcome"]["result"][0], json!(140), "{ended}");
}

#[test]
fn a_fetch_that_is_cut_goes_on_and_a_worker_that_is_killed_meanwhile_leaves_nothing() {
    let place = place(By::EmbeddedBroker);
    let tap = Tap::start(place.port, Some(300_000));
    let temporary = place.folder.path().join("tmp");
    std::fs::create_dir(&temporary).expect("a folder");
    let begin = || {
        let mut command = place.plain("web", &tap.url());
        command.env("TMPDIR", &temporary);
        worker(command)
    };
    let mut first = begin();
    offered(&place);
    let (path, digest) = large(&place, "large", 2_000_000);
    let at = format!("@{}", path.display());
    let words = ["run", "digest", "--blob", &at, "--retries", "2", "--detach"];
    let id = place.run(&words).ok().trim().to_owned();
    tap.wait_for(100_000);
    let parts = || {
        let all = std::fs::read_dir(&temporary).expect("a folder").flatten();
        all.filter(|entry| entry.path().join(&digest).exists()).count()
    };
    assert_eq!(parts(), 1, "the fetch has begun");
    first.kill();
    drop(first);
    let second = begin();
    assert_eq!(parts(), 0, "a later worker removes what the killed one left");
    place.run(&["executions", "cancel", &id]).ok();
    let id = place.run(&words).ok().trim().to_owned();
    tap.open();
    let ended = place.wait_for(&id, "succeeded");
    assert_eq!(ended["outcome"]["result"], json!([2_000_000, digest, 0]), "{ended}");
    assert_eq!(parts(), 0, "it is removed with the attempt");
    second.signal(Signal::TERM);
}

#[test]
fn a_server_refuses_what_is_too_large_by_its_setting() {
    let folder = tempfile::tempdir().expect("a folder");
    file(folder.path(), "actions/uploads.py", ACTIONS);
    let mut command = tinpot();
    command.args(["dev", "actions", "--port", "0", "--limit-upload", "700K"]);
    command.current_dir(folder.path());
    let mut server = Process::start(command);
    let url = server.url();
    let run = |bytes: usize, piped: bool| {
        let content = "x".repeat(bytes);
        let mut command = tinpot();
        command.env("TINPOT_SERVER", &url).args(["run", "digest", "--blob"]);
        if piped {
            command.arg("@-");
            return Ran::with_input(command, &content);
        }
        let path = file(folder.path(), "large", &content);
        command.arg(format!("@{}", path.display()));
        Ran::of(command)
    };
    for piped in [false, true] {
        assert_eq!(run(700 * 1024, piped).json()[0], json!(700 * 1024));
        let refused = run(700 * 1024 + 1, piped);
        let told = "upload must have at most 716800 bytes (got 716801): the setting limit_upload";
        assert!(refused.stderr.contains(told), "{refused:?}");
        assert_eq!(refused.code, Some(2), "{refused:?}");
    }
}
