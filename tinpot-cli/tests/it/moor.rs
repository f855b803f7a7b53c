//! Workers of mooR at the program, and their keys.

use std::os::unix::fs::MetadataExt;
use std::process::Command;
use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustix::process::Signal;
use tinpot_moor::testing::FakeWorker;
use tinpot_moor::{CurveKey, SigningKey};

use crate::support::{PATIENCE, Process, Ran, free_port, tinpot};

fn keygen(folder: &std::path::Path, words: &[&str]) -> Ran {
    let mut command = tinpot();
    command.args(["moor", "keygen"]).args(words).current_dir(folder);
    Ran::of(command)
}

#[test]
fn a_worker_of_moor_attaches_and_runs_executions() {
    let folder = tempfile::tempdir().expect("a folder");
    let made = keygen(folder.path(), &[]);
    assert!(made.ok().contains("moor-verifying-key.pem"), "{made:?}");
    let private = std::fs::read_to_string(folder.path().join("moor-signing-key.pem"));
    let key = SigningKey::from_pem(&private.expect("a file")).expect("a key");
    let address = format!("ipc://{}/m", folder.path().display());
    let port = free_port().to_string();
    let mut command = tinpot();
    command.args(["coordinator", "--broker=none", "--port", &port, "--moor", &address]);
    command.args(["--moor-types", "echo", "--moor-key", "moor-verifying-key.pem"]);
    command.env("TINPOT_STORE", folder.path().join("tinpot.db")).current_dir(folder.path());
    let mut coordinator = Process::start(command);
    let line = coordinator.line("Workers of mooR attach at ");
    assert!(line.ends_with(&address), "{line}");
    coordinator.line("Tinpot listens on http");
    let run = |words: &[&str]| {
        let mut command: Command = tinpot();
        command.env("TINPOT_SERVER", format!("http://127.0.0.1:{port}")).args(words);
        Ran::of(command)
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let address = address.parse().expect("an address");
    let worker =
        runtime.block_on(async { FakeWorker::builder(&address, "echo").key(&key).start() });
    let deadline = Instant::now() + PATIENCE;
    while !run(&["actions", "list"]).ok().contains("echo") {
        assert!(Instant::now() < deadline, "the action is there in time");
    }
    let ran = run(&["run", "echo", "--data", r##"{"args":[1,2.0,{"$obj":"#3"}]}"##]);
    assert!(ran.ok().contains("$obj"), "{ran:?}");
    assert!(run(&["workers", "list", "--json"]).ok().contains("mooR worker, token dialect"));
    drop(worker);
    coordinator.signal(Signal::TERM);
    assert!(coordinator.end().success());
}

#[test]
fn keys_are_not_replaced_and_one_of_version_2_is_explained() {
    let folder = tempfile::tempdir().expect("a folder");
    keygen(folder.path(), &[]).ok();
    let again = keygen(folder.path(), &[]);
    assert!(again.failed(1).contains("moor-verifying-key.pem exists"), "{again:?}");
    let mut der = vec![0x30, 0x51, 2, 1, 1, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    let key = SigningKey::from_pem(
        "-----BEGIN PRIVATE KEY-----\n\
         MC4CAQAwBQYDK2VwBCIEIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f\n\
         -----END PRIVATE KEY-----\n",
    )
    .expect("a key");
    der.extend(0..32);
    der.extend([0x81, 0x21, 0]);
    der.extend(key.verifying_key().as_bytes());
    let digits = STANDARD.encode(der);
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{digits}\n-----END PRIVATE KEY-----\n");
    std::fs::write(folder.path().join("old.pem"), pem).expect("a file");
    let files = ["--from", "old.pem", "--private-key", "new.pem", "--public-key", "new-pub.pem"];
    let made = keygen(folder.path(), &files);
    made.ok();
    assert!(format!("{made:?}").contains("PKCS#8 version 2"), "{made:?}");
    let new = std::fs::read_to_string(folder.path().join("new.pem")).expect("a file");
    assert_eq!(new, key.to_pem());
}

#[test]
fn a_curve_key_is_written_for_its_owner_and_not_replaced() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = || {
        let mut command = tinpot();
        command.args(["moor", "curve-keygen"]).current_dir(folder.path());
        Ran::of(command)
    };
    let made = write();
    let path = folder.path().join("moor-curve.key");
    let key = CurveKey::parse(&std::fs::read_to_string(&path).expect("a file")).expect("a key");
    assert!(made.ok().contains(&key.public()), "{made:?}");
    assert_eq!(std::fs::metadata(&path).expect("a file").mode() & 0o077, 0);
    assert!(write().failed(1).contains("moor-curve.key exists"));
}
