//! Functions that the tests share.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;
use tinpot_core::executor::{ActionSet, Attempt, ContextParts, LogBuffer, stop_channel};
use tinpot_core::{
    Context, ExecutionId, Executor, Failure, Json, LogChunk, LogWriter, Outcome, Progress, Stop,
    StopReason, Stream,
};
use tinpot_core::{Epoch, Fence};
use tinpot_python::{ContainmentMode, PythonPool};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

/// The time limit of conditions. Generous, because it costs nothing if all is well.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// A grace period that no test ever waits for.
pub(crate) const AMPLE: Duration = Duration::from_secs(3600);

/// The containments to test: cgroups if the machine has them, and process groups.
pub(crate) const MODES: [ContainmentMode; 2] =
    [ContainmentMode::Auto, ContainmentMode::ProcessGroup];

/// Actions that are asked to end where Python drops what is raised. What their own clean-up drops is
/// no request.
pub(crate) const SWALLOWING: &str = "
class Closing:
    def __del__(self):
        print('ready', flush=True)
        while True: time.sleep(0.01)

class Checking:
    def __del__(self):
        current().check_cancelled()

@action
def swallow():
    one = Closing()
    del one
    try:
        while True: time.sleep(0.01)
    finally:
        one = Checking()
        del one
        for _ in range(20): time.sleep(0.01)
        print('cleaned')

@action
def shielded():
    one = Closing()
    del one
    for _ in range(1000): run_command('sleep 0.01')
";

/// Runs the actions of [`SWALLOWING`], and asks them to end.
pub(crate) async fn requests_are_not_lost(executor: &Arc<impl Executor>) {
    let running = start(executor, "swallow", json!({}));
    running.until_line("ready").await;
    running.ask(AMPLE);
    let ended = running.end().await;
    assert_eq!((&ended.outcome, ended.stdout().last()), (&Outcome::Cancelled, Some(&"cleaned")));
    let running = start(executor, "shielded", json!({}));
    running.until_line("ready").await;
    running.ask(AMPLE);
    assert_eq!(running.end().await.outcome, Outcome::Cancelled);
}

/// A directory of actions.
pub(crate) struct Actions(pub(crate) TempDir);

impl Actions {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    /// One file, `actions.py`, that begins with the imports that most tests need.
    pub(crate) fn of(text: &str) -> Self {
        let imports =
            "import os, sys, time, ctypes, signal, subprocess, threading\nfrom tinpot import *\n";
        Self::new().file("actions.py", &format!("{imports}{text}"))
    }

    pub(crate) fn file(self, name: &str, text: &str) -> Self {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        std::fs::write(path, text).expect("a file");
        self
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) async fn pool(&self) -> Arc<PythonPool> {
        self.pool_in(ContainmentMode::Auto).await
    }

    pub(crate) async fn pool_in(&self, mode: ContainmentMode) -> Arc<PythonPool> {
        let builder = PythonPool::builder(self.0.path()).size(1).spare(1).containment(mode);
        Arc::new(builder.start().await.expect("a pool"))
    }

    /// Waits until an action has written `count` process ids to a file, one per line, and returns
    /// them.
    pub(crate) async fn pids(&self, file: &str, count: usize) -> Vec<Pid> {
        let read = || {
            let text = std::fs::read_to_string(self.path(file)).unwrap_or_default();
            text.lines().filter_map(|l| Pid::from_raw(l.parse().ok()?)).collect::<Vec<_>>()
        };
        until("the process ids", || read().len() >= count).await;
        read()
    }
}

/// An attempt that was started.
pub(crate) struct Running {
    pub(crate) stop: watch::Sender<Option<Stop>>,
    buffer: LogBuffer,
    taken: std::sync::Mutex<Vec<LogChunk>>,
    ready: Arc<Notify>,
    progress: watch::Receiver<Option<Progress>>,
    pub(crate) task: JoinHandle<Outcome>,
}

/// An attempt that has ended.
pub(crate) struct Ended {
    pub(crate) outcome: Outcome,
    pub(crate) lines: Vec<(Stream, String)>,
    pub(crate) chunks: Vec<LogChunk>,
    pub(crate) progress: Option<Progress>,
}

pub(crate) fn start(executor: &Arc<impl Executor>, action: &str, parameters: Value) -> Running {
    let ready = Arc::new(Notify::new());
    let (logs, buffer) = LogWriter::channel(ready.clone(), u64::MAX);
    let (stop, stops) = stop_channel();
    let (report, progress) = watch::channel(None);
    let parts = ContextParts::new(logs, stops, report);
    let context = Context::new(parts);
    let fence = Fence { epoch: Epoch { instance: 1, number: 1 }, number: 1 };
    let parameters = Json::serialize(&parameters).expect("parameters");
    let attempt = Attempt::new(ExecutionId::generate(), fence, action, parameters);
    let executor = executor.clone();
    let task = tokio::spawn(async move { executor.execute(attempt, context).await });
    Running { stop, buffer, taken: Default::default(), ready, progress, task }
}

impl Running {
    /// Waits until a line is written.
    pub(crate) async fn until_line(&self, text: &str) {
        until(text, || {
            let mut taken = self.taken.lock().expect("a lock");
            taken.extend(self.buffer.take(usize::MAX));
            taken.iter().any(|chunk| chunk.lines.iter().any(|line| line == text))
        })
        .await;
    }

    /// Waits until the attempt reports a progress.
    pub(crate) async fn until_progress(&self, expected: (f64, Option<f64>, &str)) {
        until("the progress", || {
            let seen = self.progress.borrow();
            seen.as_ref().is_some_and(|seen| (seen.done, seen.total, &*seen.message) == expected)
        })
        .await;
    }

    pub(crate) fn ask(&self, grace: Duration) {
        self.ask_because(StopReason::Cancelled, grace);
    }

    pub(crate) fn ask_because(&self, reason: StopReason, grace: Duration) {
        self.stop.send_replace(Some(Stop::new(reason, grace)));
    }

    pub(crate) async fn end(mut self) -> Ended {
        let mut chunks = std::mem::take(&mut *self.taken.lock().expect("a lock"));
        let outcome = within("the end of the attempt", async {
            loop {
                tokio::select! {
                    outcome = &mut self.task => break outcome.expect("execute does not panic"),
                    () = self.ready.notified() => chunks.extend(self.buffer.take(usize::MAX)),
                }
            }
        })
        .await;
        chunks.extend(self.buffer.take(usize::MAX));
        let of = |chunk: &LogChunk| {
            let stream = chunk.stream;
            chunk.lines.clone().into_iter().map(move |line| (stream, line))
        };
        let lines = chunks.iter().flat_map(of).collect();
        let progress = self.progress.borrow().clone();
        Ended { outcome, lines, chunks, progress }
    }
}

impl Ended {
    pub(crate) fn stdout(&self) -> Vec<&str> {
        self.stream(Stream::Stdout)
    }

    pub(crate) fn stream(&self, wanted: Stream) -> Vec<&str> {
        self.lines.iter().filter(|(s, _)| *s == wanted).map(|(_, line)| line.as_str()).collect()
    }

    pub(crate) fn failure(&self) -> &Failure {
        match &self.outcome {
            Outcome::Failed(failure) => failure,
            other => panic!("ended with {other:?}"),
        }
    }

    pub(crate) fn value(&self) -> Value {
        match &self.outcome {
            Outcome::Succeeded(value) => value.deserialize().expect("a JSON document"),
            other => panic!("ended with {other:?}"),
        }
    }
}

pub(crate) async fn run(executor: &Arc<impl Executor>, action: &str, parameters: Value) -> Ended {
    start(executor, action, parameters).end().await
}

/// Runs an action without parameters.
pub(crate) async fn call(executor: &Arc<impl Executor>, action: &str) -> Ended {
    run(executor, action, json!({})).await
}

pub(crate) fn offer(executor: &Arc<impl Executor>) -> Arc<ActionSet> {
    executor.actions().current()
}

pub(crate) fn names(offer: &ActionSet) -> Vec<&str> {
    offer.actions.iter().map(|action| action.name.as_str()).collect()
}

/// Returns the letter of a process's state, if it exists.
fn state(pid: Pid) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    stat.rsplit(") ").next()?.chars().next()
}

/// Returns true if a process exists and is not a zombie.
pub(crate) fn is_alive(pid: Pid) -> bool {
    state(pid).is_some_and(|state| !matches!(state, 'Z' | 'X'))
}

/// Returns true if a process exists, also as a zombie.
pub(crate) fn exists(pid: Pid) -> bool {
    state(pid).is_some()
}

/// Stops a process, and waits until it has stopped: until then it still reads what comes.
pub(crate) async fn freeze(pid: Pid) {
    kill_process(pid, Signal::STOP).expect("a signal");
    until("the process to stop", || state(pid) == Some('T')).await;
}

pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: nothing within {PATIENCE:?}"),
    }
}

pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    within(what, async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}
