//! Stores in other processes: this very program, started again for one of the functions below.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use tinpot_core::store::{ListOptions, Session};
use tinpot_core::testing::store::open;
use tinpot_core::{ErrorKind, Store, Timestamp};

use crate::support::{accept, chain, commit, is_there, place, store};

/// The environment variable with the path of the store of such a process.
const STORE: &str = "TINPOT_TEST_STORE";

/// A process; killed when dropped.
pub(crate) struct Process {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Process {
    /// Starts `function` on a store: by `shell`, when there is one, which is to `exec "$@"`.
    pub(crate) fn start(function: &str, path: &Path, shell: Option<&str>) -> Self {
        let this = std::env::current_exe().expect("a path");
        let mut command = match shell {
            Some(shell) => {
                let mut command = Command::new("sh");
                command.args(["-c", shell, "sh"]).arg(this);
                command
            }
            None => Command::new(this),
        };
        Self::run(command.args(["--ignored", "--exact", function, "--nocapture"]).env(STORE, path))
    }

    /// Starts `function` as a user who may do nothing.
    pub(crate) fn start_without_rights(function: &str, path: &Path, program: &Path) -> Self {
        let mut command = Command::new(program);
        command.args(["--ignored", "--exact", function, "--nocapture"]).env(STORE, path);
        Self::run(command.uid(65_534).gid(65_534))
    }

    fn run(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("it starts");
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        Self { child, output }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The rest of the next line that has this in it.
    pub(crate) fn says(&mut self, what: &str) -> String {
        let mut line = String::new();
        loop {
            line.clear();
            assert_ne!(self.output.read_line(&mut line).expect("a line"), 0, "it ended");
            if let Some((_, rest)) = line.trim_end().split_once(what) {
                return rest.to_owned();
            }
        }
    }

    /// Lifts its limit on the size of files.
    fn give_room(&self) {
        let id = Pid::from_raw(self.id().cast_signed());
        let none = Rlimit { current: None, maximum: None };
        prlimit(id, Resource::Fsize, none).expect("it is there");
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("it is there");
        self.child.wait().expect("it was started here");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn path_told() -> std::path::PathBuf {
    std::env::var_os(STORE).expect("a path by the environment").into()
}

#[tokio::test]
#[ignore = "what other tests start as a process"]
async fn accepts_until_it_is_killed() {
    let store = open(store(&path_told())).await;
    let newest = store.executions(&ListOptions::default()).await.expect("a list");
    let first = newest.first().map_or(0, |execution| execution.id.as_u128()) + 1;
    for number in first.. {
        commit(&store, &[accept(number)]).await;
        println!("accepted: {number}");
    }
}

#[tokio::test]
#[ignore = "what other tests start as a process"]
async fn opens() {
    match store(&path_told()).open().await {
        Ok(_) => println!("open: yes"),
        Err(error) => println!("open: {:?}, {}", error.kind(), chain(&error)),
    }
}

/// Accepts until it cannot, then until it can again; and at every turn what it has said is there.
#[tokio::test]
#[ignore = "what other tests start as a process"]
async fn accepts_until_the_disk_is_full_and_then_on() {
    let store = open(store(&path_told())).await;
    let mut number = 1;
    loop {
        match store.commit(&[accept(number), accept(1_000_000 + number)], Timestamp(1)).await {
            Ok(()) => number += 1,
            Err(error) => {
                println!("full: {:?}, {}", error.kind(), chain(&error));
                break;
            }
        }
    }
    let all_are_there = async |end| {
        for number in 1..end {
            assert!(is_there(&store, number).await && is_there(&store, 1_000_000 + number).await);
        }
        assert!(!is_there(&store, end).await && !is_there(&store, 1_000_000 + end).await);
    };
    all_are_there(number).await;
    println!("reads: {}", number - 1);
    let full = number;
    while number < full + 100 {
        match store.commit(&[accept(number), accept(1_000_000 + number)], Timestamp(1)).await {
            Ok(()) => number += 1,
            Err(error) => assert_eq!(error.kind(), ErrorKind::StorageFull, "{}", chain(&error)),
        }
    }
    all_are_there(number).await;
    println!("goes on: {}", number - 1);
    store.close().await.expect("close");
}

#[tokio::test]
async fn a_store_keeps_everything_that_a_killed_process_acknowledged() {
    let (_directory, path) = place();
    for life in 0..3 {
        let mut process = Process::start("child::accepts_until_it_is_killed", &path, None);
        let mut last = 0;
        for _ in 0..200 {
            last = process.says("accepted: ").parse().expect("a number");
        }
        let error = store(&path).open().await.expect_err("it is open");
        let text = error.to_string();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        let holder = format!("process {}", process.id());
        assert!(text.contains(&holder) && text.contains("tinpot.db"), "{text}");
        process.kill();
        let next = open(store(&path)).await;
        let epoch = next.opened.epoch;
        assert_eq!(epoch.number, 2 * life + 2);
        for number in 1..=last {
            assert!(is_there(&next, number).await, "{number} was accepted");
        }
        next.close().await.expect("close");
    }
}

#[test]
fn a_disk_full_at_the_start_is_reported_and_nothing_is_left_behind() {
    let (_directory, path) = place();
    for blocks in [0, 8, 64] {
        let shell = format!("trap '' XFSZ; ulimit -S -f {blocks}; exec \"$@\"");
        let told = Process::start("child::opens", &path, Some(&shell)).says("open: ");
        assert!(told.starts_with("StorageFull") && told.contains("tinpot.db"), "{told}");
    }
    assert_eq!(Process::start("child::opens", &path, None).says("open: "), "yes");
}

#[test]
fn a_full_disk_fails_what_is_written_and_nothing_else() {
    let (_directory, path) = place();
    // Files may have a megabyte (2,048 blocks); writing more is an error instead of a signal.
    let shell = "trap '' XFSZ; ulimit -S -f 2048; exec \"$@\"";
    let function = "child::accepts_until_the_disk_is_full_and_then_on";
    let mut process = Process::start(function, &path, Some(shell));
    let told = process.says("full: ");
    assert!(told.starts_with("StorageFull") && told.contains("tinpot.db"), "{told}");
    let before: u32 = process.says("reads: ").parse().expect("a number");
    assert!(before > 10, "{before} fitted in");
    process.give_room();
    let after: u32 = process.says("goes on: ").parse().expect("a number");
    assert_eq!(after, before + 100);
}
