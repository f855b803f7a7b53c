//! Functions that the tests share.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustix::process::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;
use tinpot_core::executor::{ActionSet, Attempt, ContextParts, LogBuffer, stop_channel};
use tinpot_core::{
    Context, Epoch, ExecutionId, Executor, Failure, Fence, Json, LogChunk, LogWriter, Outcome,
    Progress, Stop, StopReason, Stream,
};
use tinpot_process::{ContainmentMode, ProcessExecutor, ProcessExecutorBuilder};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

/// The time limit of conditions. Generous, because it costs nothing if all is well.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);
/// A grace period that no test ever waits for.
pub(crate) const AMPLE: Duration = Duration::from_secs(3600);
/// The containments to test: cgroups if the machine has them, and process groups.
pub(crate) const MODES: [ContainmentMode; 2] =
    [ContainmentMode::Auto, ContainmentMode::ProcessGroup];

/// Returns the program that supervises: the example `host`, which cargo builds with the tests.
pub(crate) fn host() -> PathBuf {
    let tests = std::env::current_exe().expect("the test's own program");
    let target = tests.parent().and_then(|deps| deps.parent()).expect("a target directory");
    let host = target.join("examples/host");
    assert!(host.exists(), "{} is missing: cargo build --examples", host.display());
    host
}

/// The cache that tests share, so that each environment is made once.
fn cache() -> PathBuf {
    static CACHE: OnceLock<TempDir> = OnceLock::new();
    let cache = CACHE.get_or_init(|| tempfile::tempdir().expect("a directory"));
    cache.path().join("cache")
}

/// A directory of apps.
pub(crate) struct Apps(pub(crate) TempDir);

impl Apps {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    /// One app with a script for a shell.
    pub(crate) fn shell(name: &str, script: &str) -> Self {
        Self::new().app(name, "main.sh", "", script)
    }

    /// One app with a script for Python.
    pub(crate) fn python(name: &str, script: &str) -> Self {
        Self::new().app(name, "main.py", "", script)
    }

    /// An app with one script; `more` is appended to its Towerfile.
    pub(crate) fn app(self, name: &str, script: &str, more: &str, text: &str) -> Self {
        let towerfile = format!("[app]\nname = {name:?}\nscript = {script:?}\n{more}");
        self.file(&format!("{name}/Towerfile"), &towerfile).file(&format!("{name}/{script}"), text)
    }

    pub(crate) fn file(self, name: &str, text: &str) -> Self {
        self.write(name, text);
        self
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        std::fs::write(path, text).expect("a file");
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn builder(&self) -> ProcessExecutorBuilder {
        ProcessExecutor::builder(self.0.path()).supervisor(host()).cache(cache())
    }

    pub(crate) async fn start(&self) -> Arc<ProcessExecutor> {
        Arc::new(self.builder().start().await.expect("an executor"))
    }

    pub(crate) async fn start_in(&self, mode: ContainmentMode) -> Arc<ProcessExecutor> {
        Arc::new(self.builder().containment(mode).start().await.expect("an executor"))
    }

    /// Waits until a program has written `count` process ids to a file, one per line, and returns
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
    pub(crate) progress: Option<Progress>,
}

pub(crate) fn start(executor: &Arc<impl Executor>, action: &str, parameters: Value) -> Running {
    let ready = Arc::new(Notify::new());
    let (logs, buffer) = LogWriter::channel(ready.clone(), u64::MAX);
    let (stop, stops) = stop_channel();
    let (report, progress) = watch::channel(None);
    let context = Context::new(ContextParts::new(logs, stops, report));
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

    /// Waits until this is shown as the message of a progress.
    pub(crate) async fn until_shown(&self, message: &str) {
        until(message, || {
            self.progress.borrow().as_ref().is_some_and(|seen| &*seen.message == message)
        })
        .await;
    }

    pub(crate) fn ask(&self, grace: Duration) {
        self.stop.send_replace(Some(Stop::new(StopReason::Cancelled, grace)));
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
        let progress = self.progress.borrow().clone();
        Ended { outcome, lines: chunks.iter().flat_map(of).collect(), progress }
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
            other => panic!("ended with {other:?}: {:?}", self.lines),
        }
    }

    pub(crate) fn value(&self) -> Value {
        match &self.outcome {
            Outcome::Succeeded(value) => value.deserialize().expect("a JSON document"),
            other => panic!("ended with {other:?}: {:?}", self.lines),
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

/// Returns true if a process exists and is not a zombie.
pub(crate) fn is_alive(pid: Pid) -> bool {
    // In one look: between two, a zombie may go.
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
    stat.is_ok_and(|stat| {
        stat.rsplit(") ").next().is_some_and(|rest| !rest.starts_with(['Z', 'X']))
    })
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
